//! Flags of instructions: each is taken by name, and what nobody takes is an error.

use crate::build::place::At;
use crate::error::{Error, Result};
use crate::spec::text;

/// The flags of one instruction.
pub(super) struct Flags {
    left: Vec<At<String>>,
    /// The names that were asked for.
    known: Vec<&'static str>,
}

impl Flags {
    pub(super) fn of(found: Vec<At<String>>) -> Self {
        Flags { left: found, known: Vec::new() }
    }

    /// One of them, where there are any.
    pub(super) fn first(&self) -> Option<&At<String>> {
        self.left.first()
    }

    /// `--NAME=VALUE`, once at most.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<At<String>>> {
        let mut found = self.texts(name)?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(found[1].place.usage(format!("`--{name}` stands here twice"))),
        }
    }

    /// `--NAME=VALUE`, any number of times.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<At<String>>> {
        self.take(name).into_iter().map(|(flag, value)| value.ok_or_else(|| needs_value(&flag, name))).collect()
    }

    /// `--NAME`, `--NAME=true` or `--NAME=false`, once at most.
    pub(super) fn switch(&mut self, name: &'static str) -> Result<Option<At<bool>>> {
        let mut found = self.take(name);
        if let Some((second, _)) = found.get(1) {
            return Err(second.place.usage(format!("`--{name}` stands here twice")));
        }
        let Some((flag, value)) = found.pop() else { return Ok(None) };
        let on = match value.map(|value| value.value.to_lowercase()).as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(flag.place.usage(format!("`--{name}` is true or false"))),
        };
        Ok(Some(At::new(on, flag.place)))
    }

    /// Fails where flags are left that `instruction` does not have.
    pub(super) fn finish(&mut self, instruction: &str) -> Result<()> {
        let Some(flag) = self.left.first() else { return Ok(()) };
        let name = flag.value.trim_start_matches("--").split('=').next().unwrap_or_default();
        let error = flag.place.usage(format!("`{instruction}` has no flag `--{}`", text::shown(name)));
        Err(match text::nearest(name, self.known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `--{near}`?")),
            None if self.known.is_empty() => error.hint(format!("`{instruction}` takes no flags")),
            None => error.hint(format!("its flags are {}", self.known.iter().map(|name| format!("--{name}")).collect::<Vec<_>>().join(", "))),
        })
    }

    fn take(&mut self, name: &'static str) -> Vec<(At<String>, Option<At<String>>)> {
        self.known.push(name);
        let is_it = |flag: &At<String>| flag.value.strip_prefix("--").is_some_and(|flag| flag.split('=').next() == Some(name));
        let (found, left) = std::mem::take(&mut self.left).into_iter().partition(is_it);
        self.left = left;
        let found: Vec<At<String>> = found;
        let value = |flag: &At<String>| flag.value.split_once('=').map(|(_, value)| At::new(value.to_owned(), flag.place.clone()));
        found.into_iter().map(|flag| (flag.clone(), value(&flag))).collect()
    }
}

fn needs_value(flag: &At<String>, name: &str) -> Error {
    flag.place.usage(format!("`--{name}` needs a value")).hint(format!("write --{name}=VALUE"))
}
