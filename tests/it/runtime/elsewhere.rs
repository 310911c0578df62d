//! Steps where nobody is root, and steps of another machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::actor::{self, Actor};
use super::sample::Sample;
use crate::support::context;
use crate::support::foreign::{self, ARM64};
use crate::support::process::{NOBODY, Runs as _, larder, temp};
use crate::support::tools::{rootfs, skip, tool};
use crate::support::user::{Home, SUBORDINATE};

/// The sample as another user may read it.
fn readable(sample: &Sample) -> PathBuf {
    fs::set_permissions(sample.rootfs().join("root"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("own file");
    sample.rootfs()
}

/// Copies the root filesystem `$1` to `$2` as the user that is root there, and goes on with the rest.
const COPY: &str = r#"cp -r "$1" "$2" 2>/dev/null; shift 2; exec "$@""#;

const SCRIPT: &str = "id -u; rm /etc/motd; rm -r /var/lib/data/deep; mkdir /var/lib/data/deep; echo x >/etc/x; touch -d @1 /etc /var/lib/data";

#[test]
fn an_ordinary_user_runs_steps_in_a_user_namespace() {
    let Some(sample) = Sample::new() else { return };
    for (name, numbers, script, expected) in [
        (
            "one number",
            &["--map-root-user"][..],
            SCRIPT,
            "done None [\"etc\", \"etc/.wh.motd\", \"etc/x\", \"var/lib/data\", \"var/lib/data/deep\", \"var/lib/data/deep/.wh..wh..opq\"]",
        ),
        ("many numbers", &["--map-root-user", "--map-auto"], "id -u; echo x >/etc/x; chown 33:4 /etc/x; touch -d @1 /etc", "done None [\"etc\", \"etc/x\"]"),
    ] {
        let home = Home::new();
        let Some(mut within) = home.as_nobody() else { return };
        let rootfs = home.own().join("rootfs");
        within.args(["unshare", "--user"]).args(numbers).args(["sh", "-c", COPY, "sh"]).arg(readable(&sample)).arg(&rootfs);
        let actor = Actor { within, home: &home.own(), rootfs: &rootfs, script, platform: "linux/amd64", network: "none" };
        let output = actor.command().output().expect("it runs");
        let told = fs::read_to_string(home.own().join("told")).unwrap_or_else(|_| format!("{output:?}"));
        if told.contains("cannot make a mount") || String::from_utf8_lossy(&output.stderr).contains("unshare failed") {
            return skip(&format!("this machine lets no ordinary user make a user namespace: {told}"));
        }
        assert_eq!(told, expected, "{name}");
        assert!(home.own().join("0").exists(), "it was root");
        assert!(super::sample::left(&home.own()).is_empty());
    }
}

#[test]
fn the_network_of_the_machine_is_there_for_an_ordinary_user_too() {
    let Some(sample) = Sample::new() else { return };
    let home = Home::new();
    let Some(mut within) = home.as_nobody() else { return };
    let rootfs = home.own().join("rootfs");
    within.args(["unshare", "--user", "--map-root-user", "sh", "-c", COPY, "sh"]).arg(readable(&sample)).arg(&rootfs);
    // Nor may it reach the control groups of the user, which are mounted below.
    let script = "ls /sys/class/net | tr '\\n' ' '; ! touch /sys/x 2>/dev/null && test -d /sys/fs/cgroup && test -z \"$(ls -A /sys/fs/cgroup)\"";
    let actor = Actor { within, home: &home.own(), rootfs: &rootfs, script, platform: "linux/amd64", network: "host" };
    let output = actor.command().output().expect("it runs");
    let told = fs::read_to_string(home.own().join("told")).unwrap_or_else(|_| format!("{output:?}"));
    assert_eq!(told, "done None []");
    let mut names: Vec<String> =
        fs::read_dir("/sys/class/net").expect("readable").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(home.own().join(names.join(" ") + " ").exists(), "{names:?}");
}

/// larder itself enters a user namespace: seen by the owners of what it unpacks.
#[test]
fn larder_enters_a_user_namespace_with_the_numbers_of_the_user() {
    let (Some(_), Some(_)) = (Sample::new(), tool("newuidmap")) else { return };
    let home = Home::new();
    let tree = home.at("tree");
    fs::create_dir(&tree).expect("created");
    for (name, owner) in [("root", 0), ("other", 33)] {
        fs::write(tree.join(name), "").expect("written");
        std::os::unix::fs::chown(tree.join(name), Some(owner), Some(owner)).expect("root may");
    }
    let layout = home.at("layout");
    larder()
        .args(["build", "--no-cache", "--quiet", "--platform", "linux/amd64", "--rootfs"])
        .arg(&tree)
        .args(["-o", &context::oci(&layout)])
        .args(["-t", "image"])
        .succeeds();
    let target = home.own().join("target");
    let unpack = |arguments: &[&str]| {
        let mut command = home.as_nobody()?;
        // Only the shell of Debian's bash can start a program by another name.
        let start = format!("exec -a {} \"$0\" \"$@\"", arguments[0]);
        command.args(["bash", "-c", &start]).arg(home.at("larder")).args(["unpack", "--quiet"]).arg(format!("{}:image", context::oci(&layout))).arg(&target);
        Some(command)
    };
    let Some(mut plain) = unpack(&["larder"]) else { return };
    plain.succeeds();
    let owner = |name: &str| fs::metadata(target.join(name)).expect("there").uid();
    assert_eq!((owner("root"), owner("other")), (NOBODY, NOBODY));
    fs::remove_dir_all(&target).expect("removed");
    let Some(mut inside) = unpack(&["larder-userns"]) else { return };
    inside.succeeds();
    assert_eq!((owner("root"), owner("other")), (NOBODY, SUBORDINATE + 32));
    fs::remove_dir_all(&target).expect("removed");
    // Without numbers of its own there is only root.
    fs::write(home.at("subuid"), "").expect("written");
    let told = unpack(&["larder-userns"]).expect("as before").fails_with(1);
    assert!(told.contains("its owner has no number here"), "{told}");
}

/// What became of a step of another machine, whose interpreter is registered with these flags, or is not.
#[track_caller]
fn of_another_machine(flags: &str, rootfs: &Path, home: &Path) -> Option<String> {
    let within = foreign::within(&ARM64, flags)?;
    let script = "uname -m; dpkg --print-architecture; echo x >/etc/x; chown 33:4 /etc/x; touch -d @1 /etc";
    let output = foreign::ran(Actor { within, home, rootfs, script, platform: "linux/arm64", network: "none" }.command().output().expect("it runs"))?;
    Some(fs::read_to_string(home.join("told")).unwrap_or_else(|_| format!("{output:?}")))
}

#[test]
fn steps_of_another_machine_run_where_the_kernel_knows_an_interpreter() {
    let (Some(_), Some(arm64)) = (Sample::new(), rootfs("arm64")) else { return };
    let home = temp();
    let Some(told) = of_another_machine("F", &arm64, home.path()) else { return };
    assert_eq!(told, "done None [\"etc\", \"etc/x\"]");
    assert!(home.path().join("aarch64").exists() && home.path().join("arm64").exists());
    assert!(super::sample::left(home.path()).is_empty());
}

#[test]
#[cfg(not(target_arch = "aarch64"))]
fn what_is_missing_for_another_machine_is_told_beforehand() {
    let Some(sample) = Sample::new() else { return };
    let home = temp();
    for (flags, expected) in [("", "the kernel knows no interpreter for them"), ("P", "without the flag F")] {
        let Some(told) = of_another_machine(flags, &sample.rootfs(), home.path()) else { return };
        assert!(told.contains("this machine cannot run programs of linux/arm64") && told.contains(expected) && told.contains("qemu-user-static"), "{told}");
    }
}

#[test]
fn the_actor_does_as_it_is_told() {
    let Some(sample) = Sample::new() else { return };
    let home = temp();
    actor::command(Command::new("env"), home.path(), &sample, "echo began; exit 7").succeeds();
    assert_eq!(fs::read_to_string(home.path().join("told")).expect("told"), "failed 7 ");
    assert!(home.path().join("began").exists());
}
