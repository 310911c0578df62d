//! How a command ends that did what it was to do.

use std::process::ExitCode;

/// The exit code for [`Ending::Different`]: that of `diff` and `cmp`.
pub(crate) const DIFFERENT_EXIT_CODE: u8 = 1;

/// What the exit code tells of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is done.
    Done,
    /// It was to compare, and there are differences.
    Different,
}

impl From<()> for Ending {
    fn from((): ()) -> Self {
        Ending::Done
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => ExitCode::SUCCESS,
            Ending::Different => ExitCode::from(DIFFERENT_EXIT_CODE),
        }
    }
}
