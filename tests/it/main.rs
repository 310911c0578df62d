//! The integration tests: the binary from outside, judged by other tools than itself. One file per subject.

mod support;

mod accept;
mod architecture;
mod archive;
mod archive_room;
mod artifactory_standin;
mod bad_disk;
mod bad_input;
mod bud;
mod build;
mod build_keys;
mod build_outputs;
mod build_paths;
mod build_refused;
mod build_takeover;
mod cache;
mod cat;
mod cli;
mod concurrency;
mod copy;
mod copy_fs;
mod determinism;
mod devices;
mod diff;
mod dockerfile;
mod dockerfile_cache;
mod dockerfile_call;
mod dockerfile_configs;
mod dockerfile_copied;
#[cfg(feature = "sync")]
mod dockerfile_debian;
mod dockerfile_disks;
mod dockerfile_ends;
mod dockerfile_hostile;
mod dockerfile_mounts;
mod dockerfile_refused;
mod dockerfile_run;
#[cfg(feature = "run")]
mod dockerfile_signals;
mod dockerfile_ssh;
mod dockerfile_user;
mod durable;
mod edit;
mod faults;
mod foreign_names;
mod gc;
mod hostile;
mod index;
mod inspect;
mod interop;
mod killed;
mod layer_cache;
#[cfg(feature = "sync")]
mod login;
mod machine;
mod names;
mod odd_layouts;
mod oracle;
#[cfg(feature = "sync")]
mod promote;
mod readme;
mod real_registry;
mod rebase;
#[cfg(feature = "sync")]
mod registry;
mod rootfs;
mod run_images;
#[cfg(feature = "run")]
mod runtime;
mod sample;
mod scripted_server;
mod squash;
#[cfg(feature = "sync")]
mod sync_artifactory;
mod sync_bulk;
#[cfg(feature = "sync")]
mod sync_hostile;
#[cfg(feature = "sync")]
mod sync_registry;
#[cfg(feature = "sync")]
mod sync_secrets;
mod tar_differential;
mod unpack;
mod verify;

use std::collections::BTreeSet;

/// A file that is not named above is never compiled, and its tests never run.
#[test]
fn no_file_here_is_forgotten() {
    let directory = support::process::checkout("tests/it");
    let entries = std::fs::read_dir(directory).expect("tests/it").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let files: BTreeSet<String> = entries.map(|name| name.trim_end_matches(".rs").to_owned()).filter(|name| name != "main").collect();
    let modules = include_str!("main.rs").lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    assert_eq!(files, modules.map(str::to_owned).collect::<BTreeSet<_>>());
}
