//! The sample in `testdata/hello`.

use std::process::Command;

use crate::support::process::{Runs as _, checkout};
use crate::support::tools::tool;

#[test]
fn the_programs_of_the_sample_run_and_say_their_platform() {
    let program = |directory: &str| checkout("testdata/hello/dist").join(directory).join("hello");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(Command::new(program("linux-amd64")).succeeds(), "hello from larder: linux/amd64\n");
    }
    if let Some(qemu) = tool("qemu-aarch64-static") {
        assert_eq!(Command::new(qemu).arg(program("linux-arm64")).succeeds(), "hello from larder: linux/arm64\n");
    }
    if let Some(qemu) = tool("qemu-arm-static") {
        assert_eq!(Command::new(qemu).arg(program("linux-armv7")).succeeds(), "hello from larder: linux/arm/v7\n");
    }
}
