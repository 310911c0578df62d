//! The README: what it shows works as it stands there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::image::{blob_path, read_index};
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
fn the_first_command_builds_for_three_platforms_and_ends_in_a_short_table() {
    let first = readme::commands().remove(0);
    assert!(first.starts_with("larder build testdata/hello -o oci:hello.oci "), "{first}");
    let (temp, path) = (readme::clone(), readme::path(Path::new(env!("CARGO_BIN_EXE_larder")).parent().expect("a directory")));
    let told = Command::new("bash").arg("-euc").arg(&first).current_dir(temp.path()).env_clear().env("HOME", temp.path()).env("PATH", path).succeeds();
    let layout = temp.path().join("hello.oci");
    assert_layout_is_sound(&layout);
    let document = |digest: &Value| -> Value { serde_json::from_slice(&fs::read(blob_path(&layout, digest)).expect("there")).expect("JSON") };
    let root = read_index(&layout)["manifests"][0]["digest"].clone();
    let mut expected = vec!["PLATFORM LAYERS SIZE DIGEST".to_owned()];
    for (child, platform) in document(&root)["manifests"].as_array().expect("a list").iter().zip(["linux/amd64", "linux/arm64", "linux/arm/v7"]) {
        let layers = document(&child["digest"])["layers"].as_array().expect("a list").clone();
        let size: u64 = layers.iter().map(|layer| layer["size"].as_u64().expect("bytes")).sum();
        expected.push(format!("{platform} {} {size} B {}", layers.len(), child["digest"].as_str().expect("a digest")));
    }
    expected.extend([String::new(), format!("digest {}", root.as_str().expect("a digest")), "layers 4 built, 0 unchanged".to_owned()]);
    expected.extend(["1.4.2", "latest"].map(|tag| format!("name registry.example/team/hello:{tag}")));
    expected.push("written oci:hello.oci".to_owned());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(told.lines().map(words).collect::<Vec<_>>(), expected);
    // It is a table: what stands below each other begins at one place.
    let columns: BTreeSet<_> = told.lines().take(4).map(|line| line.find("sha256:").or_else(|| line.find("DIGEST"))).collect();
    assert_eq!(columns.len(), 1, "{told}");
    assert!(told.lines().all(|line| line.len() < 120 && line.trim_end() == line), "{told}");
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
