//! The variables that a stage sees while it is planned.

use std::collections::{BTreeSet, HashMap};

use crate::build::dockerfile::bounds::REMARKS;
use crate::build::dockerfile::expand::{Expanded, Lexer, Variables};
use crate::build::dockerfile::instruction::{ArgSpec, Remark};
use crate::build::dockerfile::spec::Network;
use crate::build::place::At;
use crate::error::Result;
use crate::spec::text;

/// What is known before any stage, for one target platform.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) lexer: Lexer,
    /// What network steps have that do not say.
    pub(super) network: Network,
    /// What the call says of arguments.
    pub(super) build_args: HashMap<String, String>,
    /// Automatic arguments, and those before the first stage.
    pub(super) globals: HashMap<String, String>,
}

/// The variables of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The environment of its steps: that of the image, and arguments, in the order in which they came.
    pub(super) environment: Vec<(String, String)>,
    /// The arguments that were declared, in order, each once.
    pub(super) args: Vec<(String, Option<String>)>,
}

impl Given {
    /// Takes in the arguments before the first stage, each of which may use those before it.
    pub(super) fn declare(&mut self, args: &[ArgSpec], remarks: &mut Vec<Remark>) -> Result<()> {
        for arg in args {
            let value = match (self.build_args.get(&arg.name.value), &arg.default) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => Some(expand(&self.lexer, default, &self.globals, self.globals.keys(), "UndefinedVar", remarks)?.text),
                (None, None) => None,
            };
            if let Some(value) = value {
                self.globals.insert(arg.name.value.clone(), value);
            }
        }
        Ok(())
    }

    /// A text of a `FROM`.
    pub(super) fn expand(&self, written: &At<String>, remarks: &mut Vec<Remark>) -> Result<At<String>> {
        let expanded = expand(&self.lexer, written, &self.globals, self.globals.keys(), "UndefinedArgInFrom", remarks)?;
        Ok(At::new(expanded.text, written.place.clone()))
    }
}

impl Scope {
    /// Sets a variable.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.environment.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Declares an argument and returns its value, if it has one.
    pub(super) fn declare(&mut self, given: &Given, arg: &ArgSpec, remarks: &mut Vec<Remark>) -> Result<Option<String>> {
        let name = &arg.name.value;
        let value = match (given.build_args.get(name), &arg.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(given, default, remarks)?.text),
            (None, None) => given.globals.get(name).cloned(),
        };
        if let Some(value) = &value {
            self.set(name, value);
        }
        match self.args.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(&value),
            None => self.args.push((name.clone(), value.clone())),
        }
        Ok(value)
    }

    /// Expands a text of an instruction.
    pub(super) fn expand(&self, given: &Given, written: &At<String>, remarks: &mut Vec<Remark>) -> Result<Expanded> {
        self.expand_with(&given.lexer, written, remarks)
    }

    /// The same with another reading of quotes.
    pub(super) fn expand_with(&self, lexer: &Lexer, written: &At<String>, remarks: &mut Vec<Remark>) -> Result<Expanded> {
        let mut expanded = expand(lexer, written, self, self.environment.iter().map(|(name, _)| name), "UndefinedVar", &mut Vec::new())?;
        // What was declared without a value is meant to be empty.
        expanded.unset.retain(|name| !self.args.iter().any(|(declared, _)| declared == name));
        remark(&expanded.unset, written, self.environment.iter().map(|(name, _)| name), "UndefinedVar", remarks);
        Ok(expanded)
    }
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn expand<'a>(
    lexer: &Lexer,
    written: &At<String>,
    variables: &dyn Variables,
    names: impl Iterator<Item = &'a String>,
    rule: &'static str,
    remarks: &mut Vec<Remark>,
) -> Result<Expanded> {
    let expanded = lexer.expand(&written.value, variables).map_err(|why| written.place.usage(text::shown(&why)))?;
    remark(&expanded.unset, written, names, rule, remarks);
    Ok(expanded)
}

/// Tells of variables that are not set.
fn remark<'a>(unset: &BTreeSet<String>, written: &At<String>, names: impl Iterator<Item = &'a String>, rule: &'static str, remarks: &mut Vec<Remark>) {
    if unset.is_empty() {
        return;
    }
    let known: Vec<&str> = names.map(String::as_str).collect();
    for name in unset.iter().take(REMARKS.saturating_sub(remarks.len())) {
        let near = text::nearest(name, known.iter().copied()).map(|near| format!("; did you mean `${near}`?")).unwrap_or_default();
        let remark =
            Remark { rule, place: written.place.clone(), message: format!("`${}` is not set, so nothing stands in its place{near}", text::shown(name)) };
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
}
