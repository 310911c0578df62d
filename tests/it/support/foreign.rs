//! Running programs of other architectures under qemu, without registering anything with the machine.

use std::path::Path;
use std::process::{Command, Output};

use super::tools::{skip, tool};

/// What the kernel needs to know to run arm64 programs: the first bytes of their files, and which bits of those count.
const ARM64: &str = r":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:";

/// Since Linux 6.7 each user namespace has its own table of interpreters, which vanishes with it.
const SCRIPT: &str = r#"
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 99
printf '%s%s:F' "$1" "$2" >/proc/sys/fs/binfmt_misc/register || exit 99
shift 2
exec chroot "$@"
"#;

/// Runs a program of the arm64 root filesystem `tree`, there and in a user namespace of its own. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn run_arm64(tree: &Path, program: &[&str]) -> Option<Output> {
    let qemu = tool("qemu-aarch64-static")?;
    let unshare = tool("unshare")?;
    let mut command = Command::new(unshare);
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", ARM64]).arg(qemu).arg(tree).args(program);
    let output = command.output().expect("unshare runs");
    if output.status.code() == Some(99) {
        skip(&format!("this kernel has no interpreter table for a user namespace: {}", String::from_utf8_lossy(&output.stderr)));
        return None;
    }
    Some(output)
}
