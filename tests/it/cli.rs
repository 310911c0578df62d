//! What holds for every command line.

use crate::support::process::{Runs as _, larder};

#[test]
fn the_binary_tells_its_version() {
    assert_eq!(larder().arg("--version").succeeds(), concat!("larder ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let told = larder().arg("no-such-command").fails_with(2);
    assert!(told.starts_with("error: ") && told.contains("no-such-command"), "{told}");
}
