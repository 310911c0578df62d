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

/// The compilers that the committed programs were made with. Others may make other bytes of the same source.
const GCC: &str = "12.2.0";

#[test]
fn the_programs_of_the_sample_are_what_their_source_compiles_to() {
    for compiler in ["x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc", "arm-linux-gnueabihf-gcc"] {
        let Some(compiler) = tool(compiler) else { return };
        if Command::new(compiler).arg("-dumpfullversion").succeeds().trim() != GCC {
            return;
        }
    }
    let told = Command::new(checkout("testdata/hello/rebuild")).arg("--check").succeeds();
    assert!(told.ends_with("dist/ is what hello.c compiles to\n"), "{told}");
}
