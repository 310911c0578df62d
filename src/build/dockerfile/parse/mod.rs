//! From the text of a Dockerfile to its instructions.
//!
//! Every instruction, flag and form of BuildKit's frontend is read; whatever is none of them is one error of kind `usage` with file, line and column, and the
//! nearest that is known. Nothing is expanded and no file is looked at.

mod arguments;
mod copy;
mod directive;
mod document;
mod duration;
mod flags;
mod forms;
mod health;
mod line;
mod run;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;

pub use directive::{Checks, Directives, Severity};

use super::bounds::{INSTRUCTION_BYTES, INSTRUCTIONS, LINE_BYTES};
use super::instruction::{ArgSpec, Dockerfile, Document, Instruction, Kind, Remark, Stage};
use crate::build::place::{At, Place};
use crate::error::Result;
use crate::spec::text;
use arguments::{assignments, one, pairs};
use flags::Flags;
use forms::{command, list};
use line::{Line, Lines, Span};

const NAMES: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// Reads the text of a Dockerfile. `name` stands in messages.
pub fn parse(name: &str, text: &str) -> Result<Dockerfile> {
    check_lines(name, text)?;
    let mut lines = Lines::of(name, text);
    let directives = directive::read(name, &mut lines)?;
    let mut reader = Reader::new(directives.escape);
    let mut args = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    let mut count = 0;
    while let Some(line) = lines.next(reader.escape) {
        count += 1;
        if count > INSTRUCTIONS {
            return Err(line.place(0).usage(format!("the file has more than {INSTRUCTIONS} instructions")));
        }
        if let Some(gap) = line.gap {
            reader.remark(
                "NoEmptyContinuation",
                Place::line(name, gap, 1),
                "an empty line in the middle of an instruction will be an error in later versions of BuildKit",
            );
        }
        match reader.instruction(&line, &mut lines, name)? {
            Read::Stage(stage) => stages.push(*stage),
            Read::Instruction(instruction) => match (stages.last_mut(), instruction.kind) {
                (Some(stage), kind) => stage.instructions.push(Instruction { kind, ..*instruction }),
                (None, Kind::Arg(more)) => args.extend(more),
                (None, _) => {
                    let what = line.whole().trim().split_word().0.text().to_uppercase();
                    return Err(instruction.place.usage(format!("`{}` before the first `FROM`", text::shown(&what))).hint("only ARG may stand there"));
                }
            },
        }
    }
    if stages.is_empty() {
        return Err(Place::line(name, lines.number().max(1), 1).usage("the file has no `FROM`").hint("write what to build upon, or `FROM scratch`"));
    }
    reader.check_names(&stages);
    Ok(Dockerfile { directives, args, stages, remarks: reader.remarks })
}

/// Reads a trigger that a base image brings along: one instruction. `name` stands in messages.
pub fn parse_trigger(name: &str, text: &str) -> Result<Instruction> {
    check_lines(name, text)?;
    let mut lines = Lines::of(name, text);
    let mut reader = Reader::new('\\');
    let empty = || Place::flag(name).usage("the trigger is no instruction");
    let line = lines.next('\\').ok_or_else(empty)?;
    let Read::Instruction(instruction) = reader.instruction(&line, &mut lines, name)? else { return Err(empty()) };
    match lines.next('\\') {
        None => Ok(*instruction),
        Some(more) => Err(more.place(0).usage("the trigger is more than one instruction")),
    }
}

/// What a logical line is.
enum Read {
    Stage(Box<Stage>),
    Instruction(Box<Instruction>),
}

/// Reads instructions and collects remarks.
struct Reader {
    escape: char,
    remarks: Vec<Remark>,
}

/// An instruction taken apart, before its arguments are read.
struct Parts<'a> {
    /// Its name in upper case.
    name: String,
    place: Place,
    flags: Flags,
    arguments: Span<'a>,
    documents: Vec<Document>,
}

impl Reader {
    fn new(escape: char) -> Self {
        Reader { escape, remarks: Vec::new() }
    }

    fn remark(&mut self, rule: &'static str, place: Place, message: &str) {
        self.remarks.push(Remark { rule, place, message: message.to_owned() });
    }

    fn instruction(&mut self, line: &Line, lines: &mut Lines<'_>, file: &str) -> Result<Read> {
        let (word, rest) = line.whole().trim().split_word();
        if line.text.len() > INSTRUCTION_BYTES {
            return Err(word.place().usage(format!("an instruction has {INSTRUCTION_BYTES} bytes at most")).hint("put what is large into a file, and copy it"));
        }
        let name = known(word)?;
        let documents = if takes_documents(&name, rest) { document::read(line, lines, file)? } else { Vec::new() };
        let (found, arguments) = words::flags(rest);
        let parts = Parts { name: name.to_uppercase(), place: word.place(), flags: Flags::of(found), arguments: arguments.trim(), documents };
        if name == "from" {
            return stage(parts, line).map(|stage| Read::Stage(Box::new(stage)));
        }
        let (place, written) = (parts.place.clone(), line.text.trim().to_owned());
        let kind = self.kind(&name, parts)?;
        Ok(Read::Instruction(Box::new(Instruction { place, lines: line.lines.clone(), written, kind })))
    }

    fn kind(&mut self, name: &str, mut parts: Parts<'_>) -> Result<Kind> {
        // Those with flags of their own look after the rest of them.
        match name {
            "copy" | "add" => return copy::read(self, parts).map(|copy| Kind::Copy(Box::new(copy))),
            "run" => return run::read(self, parts).map(|run| Kind::Run(Box::new(run))),
            "healthcheck" => return health::read(self, parts).map(Kind::Healthcheck),
            "onbuild" => return onbuild(&parts).map(Kind::Onbuild),
            _ => parts.flags.finish(&parts.name)?,
        }
        let parts = &parts;
        Ok(match name {
            "arg" => Kind::Arg(args(parts, self.escape)?),
            "env" => Kind::Env(pairs(self, parts)?),
            "label" => Kind::Label(pairs(self, parts)?),
            "workdir" => Kind::Workdir(one(parts)?),
            "user" => Kind::User(one(parts)?),
            "stopsignal" => Kind::StopSignal(one(parts)?),
            "expose" => Kind::Expose(some(parts, parts.arguments.words().into_iter().map(Span::at).collect())?),
            "volume" => Kind::Volume(volumes(parts)?),
            "entrypoint" => Kind::Entrypoint(command(self, parts)?),
            "cmd" => Kind::Cmd(command(self, parts)?),
            "shell" => Kind::Shell(shell(parts)?),
            _ => {
                self.remark("MaintainerDeprecated", parts.place.clone(), "MAINTAINER is deprecated; write LABEL org.opencontainers.image.authors=…");
                Kind::Maintainer(one(parts)?.value)
            }
        })
    }

    /// Tells of names that several stages have, and of names that mean something else.
    fn check_names(&mut self, stages: &[Stage]) {
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        for name in stages.iter().filter_map(|stage| stage.name.as_ref()) {
            if matches!(name.value.as_str(), "scratch" | "context") {
                self.remark("ReservedStageName", name.place.clone(), &format!("`{}` as the name of a stage hides what it means otherwise", name.value));
            }
            if let Some(first) = seen.insert(&name.value, &name.place) {
                self.remark("DuplicateStageName", name.place.clone(), &format!("another stage is called `{}` too, at {first}", text::shown(&name.value)));
            }
        }
    }
}

/// Refuses lines that are longer than BuildKit reads them.
fn check_lines(name: &str, text: &str) -> Result<()> {
    match text.split('\n').position(|line| line.len() > LINE_BYTES) {
        None => Ok(()),
        Some(number) => {
            let error = Place::line(name, number + 1, 1).usage(format!("a line has {LINE_BYTES} bytes at most"));
            Err(error.hint("put what is large into a file, and copy it"))
        }
    }
}

/// The name of an instruction in lower case.
fn known(word: Span<'_>) -> Result<String> {
    let name = word.text().to_lowercase();
    if NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    let error = word.place().usage(format!("unknown instruction `{}`", text::shown(word.text())));
    Err(match text::nearest(&name, NAMES) {
        Some(near) => error.hint(format!("did you mean `{}`?", near.to_uppercase())),
        None => error.hint("a line that goes on with the next one ends with a backslash"),
    })
}

/// Whether text is a word that announces a here-document, and nothing else.
pub(crate) fn is_document(text: &str) -> bool {
    document::announced(text.trim()).is_some()
}

/// Whether words like `<<EOF` announce lines to come.
fn takes_documents(name: &str, rest: Span<'_>) -> bool {
    let (name, rest) = match name {
        "onbuild" => {
            let (inner, rest) = rest.trim().split_word();
            (inner.text().to_lowercase(), rest)
        }
        name => (name.to_owned(), rest),
    };
    let arguments = words::flags(rest).1.trim();
    matches!(name.as_str(), "add" | "copy" | "run") && rest.text().contains("<<") && forms::json(arguments).is_err()
}

fn stage(mut parts: Parts<'_>, line: &Line) -> Result<Stage> {
    let platform = parts.flags.text("platform")?;
    parts.flags.finish(&parts.name)?;
    let words = parts.arguments.words();
    let (base, name) = match words.as_slice() {
        [base] => (base, None),
        [base, word, name] if word.text().eq_ignore_ascii_case("as") => (base, Some(name)),
        [_, word, ..] => return Err(word.place().usage("`FROM` takes an image, and `AS` with a name")),
        [] => return Err(parts.place.usage("`FROM` takes an image").hint("to begin with nothing, write `FROM scratch`")),
    };
    let name = name.map(|name| stage_name(*name)).transpose()?;
    Ok(Stage { place: parts.place, lines: line.lines.clone(), base: base.at(), name, platform, instructions: Vec::new() })
}

fn stage_name(written: Span<'_>) -> Result<At<String>> {
    let name = written.text().to_lowercase();
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    if valid {
        return Ok(At::new(name, written.place()));
    }
    let message = format!("`{}` cannot be the name of a stage", text::shown(written.text()));
    Err(written.place().usage(message).hint("it begins with a letter and has letters, digits, `-`, `_` and `.`"))
}

fn args(parts: &Parts<'_>, escape: char) -> Result<Vec<ArgSpec>> {
    let args = assignments(parts, escape)?.into_iter().map(|(name, default)| ArgSpec { name, default });
    some(parts, args.collect())
}

fn volumes(parts: &Parts<'_>) -> Result<Vec<At<String>>> {
    let volumes = some(parts, list(parts)?)?;
    match volumes.iter().find(|volume| volume.value.trim().is_empty()) {
        Some(empty) => Err(empty.place.usage("a volume cannot be empty")),
        None => Ok(volumes.into_iter().map(|volume| At::new(volume.value.trim().to_owned(), volume.place)).collect()),
    }
}

fn shell(parts: &Parts<'_>) -> Result<Vec<String>> {
    let words = forms::json(parts.arguments).unwrap_or_default();
    match words.is_empty() {
        false => Ok(words),
        true => Err(parts.place.usage("`SHELL` takes a JSON list of words").hint(r#"for example SHELL ["/bin/bash", "-c"]"#)),
    }
}

/// The instruction is only checked: what it means depends on the image that it will be part of.
fn onbuild(parts: &Parts<'_>) -> Result<String> {
    if let Some(flag) = parts.flags.first() {
        return Err(flag.place.usage("`ONBUILD` takes no flags; those of its instruction follow that"));
    }
    let (word, rest) = parts.arguments.split_word();
    if word.is_empty() {
        return Err(parts.place.usage("`ONBUILD` takes an instruction"));
    }
    let name = known(word)?;
    if matches!(name.as_str(), "onbuild" | "from" | "maintainer") {
        return Err(word.place().usage(format!("`{}` cannot be a trigger", name.to_uppercase())));
    }
    let documents = parts.documents.clone();
    let (found, arguments) = words::flags(rest);
    let inner = Parts { name: name.to_uppercase(), place: word.place(), flags: Flags::of(found), arguments: arguments.trim(), documents };
    Reader::new('\\').kind(&name, inner)?;
    let mut written = parts.arguments.text().to_owned();
    for document in &parts.documents {
        written.push_str(&format!("\n{}{}", document.content.value, document.name));
    }
    Ok(written)
}

fn some<T>(parts: &Parts<'_>, list: Vec<T>) -> Result<Vec<T>> {
    match list.is_empty() {
        false => Ok(list),
        true => Err(parts.place.usage(format!("`{}` takes at least one argument", parts.name))),
    }
}
