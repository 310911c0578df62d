//! The arguments of simple instructions.

use super::line::Span;
use super::words::quoted;
use super::{Parts, Reader};
use crate::build::dockerfile::instruction::Pair;
use crate::build::place::At;
use crate::error::Result;
use crate::spec::text;

/// The only argument: all that stands there.
pub(super) fn one(parts: &Parts<'_>) -> Result<At<String>> {
    match parts.arguments.is_empty() {
        false => Ok(parts.arguments.at()),
        true => Err(parts.place.usage(format!("`{}` takes an argument", parts.name))),
    }
}

/// A name, and the value where one is given.
pub(super) type Assignment = (At<String>, Option<At<String>>);

/// `NAME` and `NAME=VALUE`.
pub(super) fn assignments(parts: &Parts<'_>, escape: char) -> Result<Vec<Assignment>> {
    let words = quoted(parts.arguments, escape).into_iter();
    words.map(|(word, span)| assignment(parts, &word, span)).collect()
}

fn assignment(parts: &Parts<'_>, word: &str, span: Span<'_>) -> Result<Assignment> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    if name.is_empty() {
        return Err(span.place().usage(format!("a name is empty in `{}`", parts.name)));
    }
    let value = value.map(|value| At::new(value.to_owned(), span.from(name.len() + 1).place()));
    Ok((At::new(name.to_owned(), span.place()), value))
}

/// `KEY=VALUE …`, or in the old form one key and all that follows.
pub(super) fn pairs(reader: &mut Reader, parts: &Parts<'_>) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for (position, (name, value)) in assignments(parts, reader.escape)?.into_iter().enumerate() {
        match value {
            Some(value) => pairs.push(Pair { key: name, value }),
            None if position == 0 => return old_form(reader, parts),
            None => {
                let message = format!("`{}` has no `=`", text::shown(&name.value));
                return Err(name.place.usage(message).hint("write KEY=VALUE; a value with spaces needs quotes"));
            }
        }
    }
    super::some(parts, pairs)
}

fn old_form(reader: &mut Reader, parts: &Parts<'_>) -> Result<Vec<Pair>> {
    let (key, value) = parts.arguments.split_word();
    if value.is_empty() {
        return Err(key.place().usage(format!("`{}` of `{}` has no value", text::shown(key.text()), parts.name)).hint("write KEY=VALUE"));
    }
    let message = format!("`{} KEY VALUE` is an old form; write {} KEY=VALUE", parts.name, parts.name);
    reader.remark("LegacyKeyValueFormat", parts.place.clone(), &message);
    Ok(vec![Pair { key: key.at(), value: value.at() }])
}
