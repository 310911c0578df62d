//! The README: what it shows works as it stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::process::{Runs as _, checkout, larder};
use crate::support::readme;
use crate::support::sound::assert_layout_is_sound;

#[test]
fn every_command_in_the_readme_runs_as_written_in_a_fresh_clone() {
    let binary = Path::new(env!("CARGO_BIN_EXE_larder")).parent().expect("a directory");
    let (temp, path, commands) = (readme::clone(), readme::path(binary), readme::commands());
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        // A failure on the left of a pipe counts.
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &command]).current_dir(temp.path()).env_clear().env("HOME", temp.path()).env("PATH", &path);
        bash.succeeds();
    }
    let layouts = fs::read_dir(temp.path()).expect("there").map(|entry| entry.expect("an entry").path());
    let layouts: Vec<_> = layouts.filter(|path| path.extension().is_some_and(|extension| extension == "oci")).collect();
    assert!(layouts.len() > 2, "{layouts:?}");
    layouts.iter().for_each(|layout| drop(assert_layout_is_sound(layout)));
}

#[test]
fn every_command_is_in_the_readme_and_in_the_changelog() {
    let (readme, changelog) = (readme::text(), fs::read_to_string(checkout("CHANGELOG.md")).expect("CHANGELOG.md"));
    let help = larder().arg("--help").succeeds();
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    for name in list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        let named = format!("`larder {name}`");
        let row = readme.lines().any(|line| line.starts_with("| ") && line.contains(&named));
        assert!(row && changelog.contains(&named), "{named}");
    }
}

#[cfg(feature = "sync")]
#[test]
fn every_command_that_needs_a_registry_is_understood() {
    let blocks = readme::blocks("text");
    let commands: Vec<&String> = blocks.iter().filter(|command| command.starts_with("larder sync ")).collect();
    assert!(commands.len() > 4, "{commands:?}");
    let binary = Path::new(env!("CARGO_BIN_EXE_larder")).parent().expect("a directory");
    for command in commands {
        let command = [" #", " < ", " | "].iter().fold(command.as_str(), |command, end| command.split(end).next().unwrap_or_default());
        // What cannot be understood is told before the help is.
        Command::new("bash").arg("-c").arg(format!("{command} --help")).env_clear().env("PATH", readme::path(binary)).succeeds();
    }
}
