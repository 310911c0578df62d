//! The two forms of arguments: a JSON list, and everything else.

use serde_json::Value;

use super::line::Span;
use super::{Parts, Reader};
use crate::build::dockerfile::instruction::Command;
use crate::build::place::At;
use crate::error::Result;

/// Why text is no list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoList {
    /// It is no JSON list.
    NotJson,
    /// It is a list with something in it that is no string.
    NotStrings,
}

/// The words of a JSON list.
pub(super) fn json(arguments: Span<'_>) -> Result<Vec<String>, NoList> {
    let text = arguments.text().trim_start();
    if !text.starts_with('[') {
        return Err(NoList::NotJson);
    }
    let values: Vec<Value> = serde_json::from_str(text).map_err(|_| NoList::NotJson)?;
    let word = |value| if let Value::String(word) = value { Ok(word) } else { Err(NoList::NotStrings) };
    values.into_iter().map(word).collect()
}

/// A JSON list of words, or words between white space.
pub(super) fn list(parts: &Parts<'_>) -> Result<Vec<At<String>>> {
    match json(parts.arguments) {
        Ok(words) => Ok(words.into_iter().map(|word| At::new(word, parts.arguments.place())).collect()),
        Err(NoList::NotJson) => Ok(parts.arguments.words().into_iter().map(Span::at).collect()),
        Err(NoList::NotStrings) => Err(not_strings(parts.arguments)),
    }
}

/// A JSON list of words, or text for a shell.
pub(super) fn command(reader: &mut Reader, parts: &Parts<'_>) -> Result<Command> {
    command_in(reader, parts, parts.arguments)
}

/// The same, where only a part of the arguments is the command.
pub(super) fn command_in(reader: &mut Reader, parts: &Parts<'_>, arguments: Span<'_>) -> Result<Command> {
    match json(arguments) {
        Ok(words) => Ok(Command::Exec(words)),
        Err(NoList::NotStrings) => Err(not_strings(arguments)),
        Err(NoList::NotJson) => {
            let text = arguments.text();
            if text.starts_with('[') && text.ends_with(']') && !text.starts_with("[[") && !text.starts_with("[ ") {
                let message = format!("`{}` looks like a JSON list but is none, so a shell gets it; JSON has double quotes", parts.name);
                reader.remark("JSONArgsRecommended", arguments.place(), &message);
            }
            Ok(Command::Shell(text.to_owned()))
        }
    }
}

fn not_strings(arguments: Span<'_>) -> crate::Error {
    arguments.place().usage("a JSON list here has nothing but strings in it").hint("put every word into double quotes")
}
