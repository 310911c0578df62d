//! How much memory a program takes.

use std::process::Command;

use super::process::{Runs as _, temp};

/// Runs its arguments and writes the largest size that the process had in memory, in KiB, behind what that wrote to stdout.
const MEASURE: &str = r#"
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"#;

/// Runs larder with these arguments, which succeeds, and returns its peak memory in MiB.
#[track_caller]
pub(crate) fn peak(arguments: &[&str]) -> u64 {
    measured(&[&[env!("CARGO_BIN_EXE_larder")], arguments].concat())
}

/// The same for a run whose result is too much to keep, and which ends with this exit code.
#[track_caller]
pub(crate) fn peak_unseen(exit: i32, arguments: &[&str]) -> u64 {
    const UNSEEN: &str = r#"exit=$1; shift; "$@" >/dev/null; test $? = "$exit""#;
    measured(&[&["/bin/sh", "-c", UNSEEN, "sh", &exit.to_string(), env!("CARGO_BIN_EXE_larder")], arguments].concat())
}

/// The most memory that a program, which succeeds, or one of those that it ran had, in MiB.
#[track_caller]
pub(crate) fn measured(words: &[&str]) -> u64 {
    let told = Command::new("python3").args(["-c", MEASURE]).args(words).env("HOME", temp().path()).succeeds();
    told.lines().last().and_then(|line| line.parse::<u64>().ok()).expect("a number of KiB") / 1024
}
