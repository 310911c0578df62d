//! What larder takes of the machine: a bounded part of its memory, and nothing of the network.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::context::{self, oci};
use crate::support::process::{Runs as _, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::{skip, tool};

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
fn peak(arguments: &[&str]) -> u64 {
    let mut command = Command::new("python3");
    let told = command.args(["-c", MEASURE, env!("CARGO_BIN_EXE_larder")]).args(arguments).env("HOME", temp().path()).succeeds();
    told.lines().last().and_then(|line| line.parse::<u64>().ok()).expect("a number of KiB") / 1024
}

#[test]
fn lay_21_a_build_of_a_large_file_takes_little_memory_with_any_number_of_jobs() {
    const MOST: u64 = 256;
    let home = temp();
    let context = home.path().join("context");
    context::write(&context, "large");
    let file = fs::File::create(context.join("own")).expect("writable");
    // Compressed as usual, with few threads and with more than any machine has; and as it is, where nothing becomes smaller.
    for (jobs, compression, size) in [("2", "gzip", 2 << 30), ("256", "gzip", 2 << 30), ("64", "zstd", 1 << 30), ("64", "none", 300 << 20)] {
        file.set_len(size).expect("a sparse file");
        let layout = home.path().join(format!("layout-{jobs}-{compression}"));
        let build = ["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "--jobs", jobs, "--compression", compression, "-o", &oci(&layout)];
        let used = peak(&build);
        assert!(used < MOST, "{used} MiB with --jobs {jobs} and {compression}");
        let used = peak(&["verify", "--deep", "--quiet", "--jobs", jobs, &oci(&layout)]);
        assert!(used < MOST, "{used} MiB to verify it");
        if compression == "none" {
            assert_layout_is_sound(&layout);
        }
    }
}

/// Everything that needs no registry, one command after the other, with `$1` for larder and `$2` for a place to work.
const EVERYTHING: &str = r#"
set -e
cd "$2"
"$1" build context --quiet -o oci:layout
"$1" build context --quiet --no-cache --base oci:layout:first -t second -o oci:layout
"$1" tag oci:layout:first third
"$1" untag oci:layout second
"$1" list oci:layout
"$1" verify --deep oci:layout
"#;

#[track_caller]
fn everything(mut within: Command, home: &Path) {
    context::write(&home.join("context"), "first");
    within.args(["sh", "-c", EVERYTHING, "sh", env!("CARGO_BIN_EXE_larder")]).arg(home).env("HOME", home).succeeds();
    assert_eq!(assert_layout_is_sound(&home.join("layout")).names, ["first", "third"]);
}

#[test]
fn reg_45_everything_works_without_a_network() {
    let Some(unshare) = tool("unshare") else { return };
    let offline = || {
        let mut command = Command::new(&unshare);
        command.args(["--user", "--map-root-user", "--net", "--"]);
        command
    };
    if !offline().arg("true").status().expect("unshare starts").success() {
        return skip("this machine does not let us leave its network");
    }
    // Not even the machine itself can be reached.
    let interfaces = offline().args(["cat", "/proc/net/dev"]).succeeds();
    assert!(interfaces.lines().skip(2).all(|line| line.trim_start().starts_with("lo:")), "{interfaces}");
    everything(offline(), temp().path());
}

#[test]
fn reg_45_nothing_asks_for_a_network() {
    let Some(strace) = tool("strace") else { return };
    let home = temp();
    let trace = home.path().join("trace");
    let mut traced = Command::new(strace);
    traced.args(["-f", "-qq", "-e", "trace=%network", "-e", "signal=none", "-o"]).arg(&trace);
    everything(traced, home.path());
    let calls = fs::read_to_string(&trace).expect("strace wrote it");
    assert_eq!(calls, "", "these calls are for networks");
    // Would it see one?
    let python = "import socket; socket.socket()";
    Command::new("strace").args(["-f", "-qq", "-e", "trace=%network", "-o"]).arg(&trace).args(["python3", "-c", python]).succeeds();
    assert!(fs::read_to_string(&trace).expect("strace wrote it").contains("socket("));
}
