//! What a command finds: that of Docker and BuildKit, and nothing of the machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use larder::ErrorKind;
use larder::runtime::{Access, Content, Mount, Network, Outcome, Step};

use super::actor;
use super::sample::{Sample, run};
use crate::support::process::{Runs as _, temp};
use crate::support::tools::tool;

#[test]
fn a_step_finds_what_docker_gives_it() {
    let Some(sample) = Sample::new() else { return };
    let script = "id; pwd; umask; hostname; cat; env | sort; cat /etc/hosts; wc -c </etc/resolv.conf; ls /sys/class/net; cat /proc/self/oom_score_adj; \
        grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status; echo $$; touch /proc/sys/kernel/x 2>/dev/null || echo 'no'; ulimit -Sn; ip addr show lo | grep -o 'inet 127[^ ]*'";
    let mut step = sample.step(script);
    step.environment.extend([("A".to_owned(), "1 2".to_owned()), ("B".to_owned(), String::new())]);
    step.hosts = vec![("more".to_owned(), "10.0.0.1".parse().expect("an address"))];
    let expected = "uid=0(root) gid=0(root) groups=0(root)\n/\n0022\nbuildkitsandbox\nA=1 2\nB=\nHOME=/root\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nSHLVL=1\n\
        127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1\tmore\n0\nlo\n0\n\
        CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n\
        1\nno\n1024\ninet 127.0.0.1/8";
    assert_eq!(sample.run(&step).said(), expected);
}

#[test]
fn nothing_of_the_machine_is_seen() {
    let Some(sample) = Sample::new() else { return };
    let script =
        "ls /dev /dev/pts; awk '{ print $2 }' /proc/mounts | grep -v '^/proc/\\|^/sys/' | sort; ls / /tmp; cat /proc/1/comm; set -- /proc/[0-9]*; echo $#";
    let said = sample.run(&sample.step(script)).said();
    let devices = "/dev:\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\n/dev/pts:\nptmx";
    let mounts = "/\n/dev\n/dev/mqueue\n/dev/pts\n/dev/shm\n/etc/hosts\n/etc/resolv.conf\n/proc\n/sys";
    let names = "/:\nbin\ndata\ndev\netc\nlib\nproc\nroot\nsys\ntmp\nusr\nvar\n\n/tmp:";
    // There is no process but the shell.
    assert_eq!(said, format!("{devices}\n{mounts}\n{names}\nsh\n1"));
    // Not even root writes to a device that is not its own.
    let script = "mknod /tmp/disk b 7 0 && ! dd if=/tmp/disk of=/dev/null count=1 2>/dev/null && rm /tmp/disk && mknod /tmp/null c 1 3 && echo x >/tmp/null && rm /tmp/null";
    assert_eq!(sample.run(&sample.step(script)).said(), "");
}

#[test]
fn users_are_those_of_the_root_filesystem() {
    let Some(sample) = Sample::new() else { return };
    let workspace = sample.workspace();
    let as_user = |user: &str, script: &str| run(&workspace, &Step { user: user.to_owned(), ..sample.step(script) });
    for (user, id) in [
        ("www", "uid=33(www) gid=33(www) groups=4(adm),33(www) /var/www"),
        ("33:staff", "uid=33(www) gid=50(staff) groups=50(staff) /var/www"),
        ("1234:5", "uid=1234 gid=5 groups=5 /"),
        ("0", "uid=0(root) gid=0(root) groups=0(root) /root"),
    ] {
        assert_eq!(as_user(user, "echo $(id) $HOME").said(), id, "{user}");
    }
    let script = "grep CapEff /proc/self/status; ! touch /etc/x 2>/dev/null; touch /tmp/mine";
    assert_eq!(as_user("www", script).said(), "CapEff:\t0000000000000000");
    for (user, kind) in [("nobody", ErrorKind::NotFound), ("root:nobody", ErrorKind::NotFound), ("4294967296", ErrorKind::Usage)] {
        assert_eq!(as_user(user, "true").failed().kind(), kind, "{user}");
    }
}

#[test]
fn the_working_directory_is_made() {
    let Some(sample) = Sample::new() else { return };
    let workspace = sample.workspace();
    let ran = run(&workspace, &Step { directory: "/data/new/er/".to_owned(), ..sample.step("pwd -P; touch here") });
    assert_eq!(ran.output, ["/var/lib/data/new/er"]);
    assert!(ran.upper().join("var/lib/data/new/er/here").is_file());
    let error = run(&workspace, &Step { directory: "/etc/motd/x".to_owned(), ..sample.step("true") }).failed();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
}

#[test]
fn output_comes_line_by_line_while_the_step_runs() {
    let Some(sample) = Sample::new() else { return };
    let ran = sample.run(&sample.step("echo out; echo err >&2; printf 'no end'; printf '\\377\\n' >&2"));
    assert_eq!((ran.output, ran.error), (vec!["out".to_owned(), "no end".to_owned()], vec!["err".to_owned(), "\u{fffd}".to_owned()]));
    // Much of it, on both sides at once.
    let ran = sample.run(&sample.step("seq 1 200000 & seq 1 200000 >&2; wait"));
    let expected: Vec<String> = (1..=200_000).map(|number: u32| number.to_string()).collect();
    assert!(ran.output == expected && ran.error == expected, "{} {}", ran.output.len(), ran.error.len());
}

fn mount(target: &str, content: Content) -> Mount {
    Mount { target: target.to_owned(), content }
}

fn tree(lowers: &[PathBuf], path: &str, access: Access) -> Content {
    Content::Tree { lowers: lowers.to_vec(), path: path.to_owned(), access }
}

#[test]
fn what_is_mounted_is_there_for_the_step_alone() {
    let Some(sample) = Sample::new() else { return };
    let place = temp();
    let at = |name: &str| place.path().join(name);
    for directory in ["context/sub", "upper/var/lib/data", "cache"] {
        fs::create_dir_all(at(directory)).expect("writable");
    }
    fs::write(at("context/sub/file"), "of the context\n").expect("written");
    fs::write(at("upper/var/lib/data/b"), "above\n").expect("written");
    std::os::unix::fs::symlink("../../../../etc/passwd", at("context/out")).expect("linked");
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
    let stage = [sample.rootfs(), at("upper")];
    let mut step = sample.step(
        "cat /context/sub/file; ! touch /context/x 2>/dev/null && cat /new/er/b; echo changed >/stage/var/lib/data/b; cat /stage/var/lib/data/a /stage/var/lib/data/b; \
         stat -c '%a %u:%g' /run/secrets/key; cat /run/secrets/key; echo cached >>/root/.cache/x; df -m /scratch | awk 'NR == 2 { print $2 }'; touch /scratch/x; \
         test -S /run/agent && stat -c '%a %u:%g' /run/agent; cat /only",
    );
    step.mounts = vec![
        mount("/context", tree(&[at("context")], "/", Access::Read)),
        mount("/new/er", tree(&stage, "/data", Access::Read)),
        mount("/stage", tree(&stage, "/", Access::Discard)),
        mount("/only", tree(&[at("context")], "sub/file", Access::Read)),
        mount("/run/secrets/key", Content::Secret { bytes: b"secret\n".to_vec(), mode: 0o440, owner: (33, 4) }),
        mount("/root/.cache", Content::Directory(at("cache"))),
        mount("/scratch", Content::Memory { size: Some(8 << 20) }),
        mount("/run/agent", Content::Socket { path: at("socket"), mode: 0o620, owner: (33, 4) }),
    ];
    for rootfs in [larder::runtime::Rootfs::Overlay, larder::runtime::Rootfs::Copy] {
        let workspace = sample.workspace_of(rootfs);
        let ran = run(&workspace, &step);
        let expected = "of the context\nabove\na\nchanged\n440 33:4\nsecret\n8\n620 33:4\nof the context";
        assert_eq!(ran.output.join("\n"), expected, "{ran:?}");
        let upper = ran.upper();
        assert_eq!(fs::read_dir(&upper).expect("readable").count(), 0, "nothing of it is a change");
    }
    assert_eq!(fs::read_to_string(at("cache/x")).expect("kept"), "cached\ncached\n");
    assert_eq!(fs::read_to_string(at("upper/var/lib/data/b")).expect("there"), "above\n");
    drop(socket);
    for (target, content, kind) in [
        ("/x", tree(&[at("context")], "/absent", Access::Read), ErrorKind::NotFound),
        // What leads out of a context leads nowhere.
        ("/x", tree(&[at("context")], "/out", Access::Read), ErrorKind::NotFound),
        ("/", tree(&[at("context")], "/", Access::Read), ErrorKind::Usage),
        ("/etc", tree(&[at("context")], "/sub/file", Access::Read), ErrorKind::Usage),
        ("/etc/motd", Content::Memory { size: None }, ErrorKind::Usage),
    ] {
        let error = sample.run(&Step { mounts: vec![mount(target, content)], ..sample.step("true") }).failed();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}

#[test]
fn the_network_of_the_machine_is_there_on_request() {
    let Some(sample) = Sample::new() else { return };
    let step = Step { network: Network::Host, ..sample.step("ls /sys/class/net; cat /etc/resolv.conf") };
    let said = sample.run(&step).said();
    let machine: Vec<String> = {
        let mut names: Vec<String> =
            fs::read_dir("/sys/class/net").expect("readable").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let resolv_conf = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(said, format!("{}\n{}", machine.join("\n"), resolv_conf).trim_end());
}

#[test]
fn a_root_filesystem_of_nothing_is_enough_for_a_program_that_needs_nothing() {
    let Some(sample) = Sample::new() else { return };
    let place = temp();
    fs::create_dir(place.path().join("lower")).expect("created");
    fs::copy(sample.rootfs().join("bin/busybox"), place.path().join("lower/busybox")).expect("copied");
    let workspace = sample.workspace();
    let step = Step { lowers: vec![place.path().join("lower")], command: vec!["/busybox".into(), "ls".into(), "/".into(), "/etc".into()], ..sample.step("") };
    let ran = run(&workspace, &step);
    assert_eq!(ran.output.join(" "), "/: busybox dev etc proc sys  /etc: hosts resolv.conf");
    assert_eq!(fs::read_dir(ran.upper()).expect("readable").count(), 0);
    let ran = run(&workspace, &Step { lowers: Vec::new(), ..step });
    assert!(matches!(&ran.outcome, Err(error) if error.kind() == ErrorKind::NotFound), "{ran:?}");
}

#[test]
fn a_step_that_fails_says_how() {
    let Some(sample) = Sample::new() else { return };
    for (script, expected) in [("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$; sleep 9", 137)] {
        // The first process of a name space is not killed by signals of its own: so another shell.
        let ran = sample.run(&sample.step(&format!("sh -c '{script}'; exit $?")));
        let Ok(Outcome::Failed(failure)) = ran.outcome else { panic!("{ran:?}") };
        assert_eq!((failure.status, failure.hint), (expected, None), "{script}");
    }
}

#[test]
fn devices_that_layers_have_are_dead_where_no_control_group_keeps_a_step_from_them() {
    let (Some(sample), Some(unshare)) = (Sample::new(), tool("unshare")) else { return };
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(rustix::fs::CWD, sample.rootfs().join("device"), rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666), null)
        .expect("root may");
    let script = "if echo x 2>/dev/null >/device; then echo alive; else echo dead; fi";
    // Where nobody can write to the hierarchies, no group can be made.
    let without_groups =
        r#"awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r place; do mount -o remount,bind,ro "$place" || exit 99; done; exec "$@""#;
    let mut within = Command::new(unshare);
    within.args(["--mount", "--propagation", "private", "sh", "-c", without_groups, "sh"]);
    let home = temp();
    actor::command(within, home.path(), &sample, script).succeeds();
    assert!(home.path().join("dead").exists(), "{:?}", fs::read_to_string(home.path().join("told")));
}
