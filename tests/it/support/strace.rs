//! What a program asks of the kernel, as strace tells it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::temp;
use super::tools::{skip, tool};

/// Runs `command`, which must succeed, and returns its calls of these kinds and those of its threads as strace prints them, handles with their paths.
/// `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn trace(command: &Command, kinds: &[&str]) -> Option<String> {
    let strace = tool("strace")?;
    if !Command::new(&strace).args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
        skip("this machine does not let us trace processes");
        return None;
    }
    let home = temp();
    let log = home.path().join("log");
    let mut traced = Command::new(strace);
    // Content is not printed, paths are.
    traced.args(["-f", "-qq", "-yy", "-s", "0", "-e", &format!("trace={}", kinds.join(",")), "-o"]).arg(&log);
    traced.arg(command.get_program()).args(command.get_args());
    traced.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = traced.output().expect("strace starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    Some(std::fs::read_to_string(log).expect("strace wrote it"))
}

/// A call that succeeded.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) kind: String,
    /// The paths of its handles and the text of its strings, in their order.
    pub(crate) words: Vec<Word>,
    /// When it began and when it was over: the numbers of lines.
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Handle(PathBuf),
    Text(String),
}

impl Call {
    /// The path of its first handle.
    pub(crate) fn handle(&self) -> Option<&Path> {
        self.words.iter().find_map(|word| match word {
            Word::Handle(path) => Some(path.as_path()),
            Word::Text(_) => None,
        })
    }

    /// The paths that it names by a directory and a name in there.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let pairs = self.words.windows(2).filter_map(|pair| match pair {
            // The empty name is the handle itself.
            [Word::Handle(directory), Word::Text(name)] if name.is_empty() => Some(directory.clone()),
            [Word::Handle(directory), Word::Text(name)] => Some(directory.join(name)),
            _ => None,
        });
        pairs.collect()
    }
}

/// The calls in a trace that succeeded, in the order in which they were over.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut begun: Vec<(&str, String, usize)> = Vec::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(head) = rest.strip_suffix("<unfinished ...>") {
            begun.push((process, head.to_owned(), number));
            continue;
        }
        let (text, begin) = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, tail)) => {
                let at = begun.iter().position(|(other, ..)| *other == process).expect("it began");
                let (_, head, begin) = begun.remove(at);
                (head + tail, begin)
            }
            None => (rest.to_owned(), number),
        };
        let Some((kind, arguments)) = text.split_once('(') else { continue };
        let Some((arguments, result)) = arguments.rsplit_once(" = ") else { continue };
        if !result.starts_with('-') {
            calls.push(Call { kind: kind.to_owned(), words: words(arguments), begin, end: number });
        }
    }
    calls
}

fn words(mut text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    while let Some(at) = text.find(['<', '"']) {
        let (close, rest) = (if text[at..].starts_with('<') { '>' } else { '"' }, &text[at + 1..]);
        let Some(end) = rest.find(close) else { break };
        words.push(if close == '>' { Word::Handle(rest[..end].into()) } else { Word::Text(rest[..end].to_owned()) });
        text = &rest[end + 1..];
    }
    words
}
