//! The README, whose commands are what people run first.

use std::ffi::OsString;
use std::path::Path;

use tempfile::TempDir;

use super::process::{checkout, temp};

pub(crate) fn text() -> String {
    std::fs::read_to_string(checkout("README.md")).expect("README.md")
}

/// What stands before the arguments of larder where it is not installed.
const FROM_A_CLONE: &str = "cargo run --release -- ";

/// The commands of larder in blocks of shell, each with the lines that continue it, in their order.
pub(crate) fn commands() -> Vec<String> {
    blocks("sh")
}

/// The commands of larder in blocks of this kind.
pub(crate) fn blocks(kind: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for block in text().split(&format!("```{kind}\n")).skip(1) {
        let block = block.split("```").next().expect("a split has a first part").replace("\\\n", " ");
        // In a clone larder is what cargo makes.
        let lines = block.lines().map(|line| line.strip_prefix(FROM_A_CLONE).map_or_else(|| line.to_owned(), |rest| format!("larder {rest}")));
        commands.extend(lines.filter(|line| line.starts_with("larder ")));
    }
    commands
}

/// A place where they work as in a fresh clone.
pub(crate) fn clone() -> TempDir {
    let temp = temp();
    std::os::unix::fs::symlink(checkout("testdata"), temp.path().join("testdata")).expect("linked");
    temp
}

/// A path on which `larder` is the program in this directory.
pub(crate) fn path(directory: &Path) -> OsString {
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(directory.to_owned()).chain(std::env::split_paths(&others))).expect("a path")
}
