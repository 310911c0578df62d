//! The parts that larder plays for itself where it starts once more: told by the name that it is started by, which no person gives.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::runtime::{keeper, userns};

use super::environment::Environment;
use super::failure::{Failure, Reporter};
use super::style::Style;
use super::{args, input, output};

/// Whether larder entered a user namespace by itself: there it is root, and yet the user who called it.
pub(super) fn is_in_own_namespace() -> bool {
    Environment::arguments().first().is_some_and(|name| name == userns::NAME)
}

/// Plays the part that the first of `arguments` names, and tells the exit code; none where there is a command to be run, in a user namespace or not.
pub(super) fn play(arguments: &[OsString], style: Style) -> Option<ExitCode> {
    let (name, rest) = arguments.split_first()?;
    match name.to_str()? {
        keeper::NAME => Some(keeper::main(input::handle(), output::handle())),
        userns::MAP_NAME => Some(userns::map(rest, |message| eprintln!("{message}"))),
        userns::NAME => userns::begin().err().map(|error| Reporter::new(args::wanted_format(arguments), style).report(&Failure::from(&error))),
        _ => None,
    }
}
