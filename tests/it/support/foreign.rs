//! Running programs of other architectures under qemu, without registering anything with the machine.

use std::path::Path;
use std::process::{Command, Output};

use super::tools::{skip, tool};

/// A machine that qemu plays.
#[derive(Debug)]
pub(crate) struct Machine {
    qemu: &'static str,
    /// What the kernel needs to know to run its programs: the first bytes of their files, and which bits of those count.
    magic: &'static str,
}

/// linux/arm64.
pub(crate) const ARM64: Machine = Machine {
    qemu: "qemu-aarch64-static",
    magic: r":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:",
};

/// linux/arm.
pub(crate) const ARM: Machine = Machine {
    qemu: "qemu-arm-static",
    magic: r":arm:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:",
};

/// Since Linux 6.7 each user namespace has its own table of interpreters, which vanishes with it.
const SCRIPT: &str = r#"
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 99
printf '%s%s:F' "$1" "$2" >/proc/sys/fs/binfmt_misc/register || exit 99
shift 2
exec chroot "$@"
"#;

/// Runs a program of the root filesystem `tree`, there and in a user namespace of its own. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn run(machine: &Machine, tree: &Path, program: &[&str]) -> Option<Output> {
    let qemu = tool(machine.qemu)?;
    let unshare = tool("unshare")?;
    let mut command = Command::new(unshare);
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", machine.magic]).arg(qemu).arg(tree).args(program);
    ran(command.output().expect("unshare runs"))
}

/// Leads into a user namespace in which root is root and has all users beside it, and which has an interpreter for a machine, with these flags, or none.
const WITHIN: &str = r#"
numbers=$(mktemp) && echo 0:0:65536 >"$numbers" || exit 99
mount --bind "$numbers" /etc/subuid && mount --bind "$numbers" /etc/subgid || exit 99
rm "$numbers"
exec unshare --user --map-users=0,0,65536 --map-groups=0,0,65536 --mount -- sh -c '
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 99
    [ -z "$3" ] || printf "%s%s:%s" "$1" "$2" "$3" >/proc/sys/fs/binfmt_misc/register || exit 99
    shift 3
    exec "$@"' sh "$@"
"#;

/// Runs the arguments that are added as root where the kernel hands the machine's programs to its interpreter, if there are flags to register it with. An exit status
/// of 99 says that this cannot be. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn within(machine: &Machine, flags: &str) -> Option<Command> {
    let (qemu, unshare) = (tool(machine.qemu)?, tool("unshare")?);
    let mut command = Command::new(unshare);
    command.args(["--mount", "--propagation", "private", "sh", "-c", WITHIN, "sh", machine.magic]).arg(qemu).arg(flags);
    Some(command)
}

/// What ran there; `None` after saying that the test is skipped, because it could not.
#[track_caller]
pub(crate) fn ran(output: Output) -> Option<Output> {
    if output.status.code() == Some(99) {
        skip(&format!("this kernel has no interpreter table for a user namespace: {}", String::from_utf8_lossy(&output.stderr)));
        return None;
    }
    Some(output)
}
