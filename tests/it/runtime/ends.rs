//! However a step ends, nothing is left of it, and what went wrong is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use larder::ErrorKind;
use larder::exec::Cancel;
use larder::runtime::{Access, Content, GRACE, Mount, Options, Outcome, Program, Rootfs, Step, Workspace};
use rustix::process::{Pid, Signal};

use super::actor;
use super::sample::{self, Sample, run};
use crate::support::process::{Companion, Runs as _, temp};
use crate::support::tools::{root, tool};

/// What a machine could have left of steps: mounts, processes that are in no name space of ours, control groups.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: String,
    groups: Vec<String>,
    processes: Vec<String>,
}

/// Those of workspaces in `place`.
fn traces(place: &Path) -> Traces {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let mounts = mounts.lines().filter(|line| line.contains(".larder-run-")).collect();
    let names: Vec<String> =
        sample::left(place).iter().map(|path| path.file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned()).collect();
    let found = Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", "larder-run-*"]).output().expect("find runs");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let groups = found.lines().filter(|group| names.iter().any(|name| group.contains(name))).map(str::to_owned).collect();
    Traces { mounts, groups, processes: processes(place) }
}

/// The processes that work in `place`, or have it as their root.
fn processes(place: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        let place = place.to_str().expect("UTF-8");
        // Test threads that left the name space count as the process of the test.
        if mounts.contains(&format!("{place}/.larder-run-")) {
            found.push(format!("{name} {}", fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ")));
        }
    }
    found
}

/// Nothing is left but what the workspace itself is.
#[track_caller]
fn assert_nothing_is_left(place: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let traces = traces(place);
        if traces == (Traces { mounts: String::new(), groups: Vec::new(), processes: Vec::new() }) {
            return;
        }
        // The kernel ends the processes of a name space one after the other.
        assert!(Instant::now() < deadline, "{traces:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn assert_fails(sample: &Sample, step: &Step, kind: ErrorKind, told: &str) {
    let workspace = sample.workspace();
    let error = run(&workspace, step).failed();
    let all = [vec![error.message().to_owned()], error.causes()].concat().join(": ");
    assert_eq!(error.kind(), kind, "{all}");
    assert!(all.contains(told), "{all}");
    assert_nothing_is_left(sample.path());
    let entries = fs::read_dir(&sample.left()[0]).expect("readable").count();
    assert_eq!(entries, 0, "the directory of the step is gone");
}

#[test]
fn a_command_that_cannot_be_executed_says_why() {
    let Some(sample) = Sample::new() else { return };
    let write = |path: &str, content: &[u8]| {
        fs::write(sample.rootfs().join(path), content).expect("written");
        fs::set_permissions(sample.rootfs().join(path), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("own file");
    };
    write("script", b"#!/usr/bin/python3 -u\n");
    write("text", b"neither\n");
    write("empty", b"");
    let mut foreign = fs::read(sample.rootfs().join("bin/busybox")).expect("readable");
    // s390x, which no test registers.
    foreign[5] = 2;
    foreign[18..20].copy_from_slice(&[0, 22]);
    write("foreign", &foreign);
    let dynamic = fs::read("/bin/true").expect("readable");
    write("dynamic", &dynamic);
    let command = |command: &str| Step { command: vec![command.to_owned()], ..sample.step("") };
    for (name, kind, told) in [
        ("/absent", ErrorKind::NotFound, "there is no program `/absent`"),
        ("absent", ErrorKind::NotFound, "there is no program `absent`"),
        ("/etc", ErrorKind::NotFound, "there is no program `/etc`"),
        ("/script", ErrorKind::NotFound, "`/script` is a script for `/usr/bin/python3`, which is not in the root filesystem"),
        ("/text", ErrorKind::Unsupported, "`/text` is neither a program for Linux nor a script"),
        ("/empty", ErrorKind::Unsupported, "`/empty` is neither a program for Linux nor a script"),
        ("/foreign", ErrorKind::Unsupported, "`/foreign` is a program for s390x"),
        ("/dynamic", ErrorKind::NotFound, "`/dynamic` needs `/lib"),
        // What the kernel refuses for another reason.
        ("/etc/motd", ErrorKind::Unsupported, "`/etc/motd` is neither"),
    ] {
        assert_fails(&sample, &command(name), kind, told);
    }
    // Something mounted may make up for what is missing, and then it is the command that failed.
    let tool = |command: &[&str]| {
        let content = Content::Tree { lowers: vec![sample.rootfs()], path: "/bin/busybox".to_owned(), access: Access::Read };
        Step {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            mounts: vec![Mount { target: "/tools/busybox".to_owned(), content }],
            ..sample.step("")
        }
    };
    let ran = sample.run(&tool(&["/tools/busybox", "sh", "-c", "exit 3"]));
    assert!(matches!(&ran.outcome, Ok(Outcome::Failed(failure)) if failure.status == 3), "{ran:?}");
    assert_fails(&sample, &tool(&["/foreign"]), ErrorKind::Unsupported, "`/foreign` is a program for s390x");
    assert_fails(&sample, &tool(&["absent"]), ErrorKind::NotFound, "there is no program `absent`");
    fs::set_permissions(sample.rootfs().join("bin/busybox"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("own file");
    assert_fails(&sample, &command("/bin/busybox"), ErrorKind::Io, "permission denied");
}

#[test]
fn a_step_that_makes_no_sense_is_refused() {
    let Some(sample) = Sample::new() else { return };
    let step = || sample.step("true");
    for step in [
        Step { command: Vec::new(), ..step() },
        Step { command: vec!["a\0b".into()], ..step() },
        Step { directory: "relative".into(), ..step() },
        Step { environment: vec![("A=B".into(), String::new())], ..step() },
    ] {
        assert_eq!(sample.run(&step).failed().kind(), ErrorKind::Usage);
    }
    assert_eq!(sample.run(&Step { lowers: vec!["/absent".into()], ..step() }).failed().kind(), ErrorKind::NotFound);
}

/// Waits until a step says that it has begun, and does something to the process of this name then.
fn when_it_began(sample: &Sample, step: &Step, mut act: impl FnMut(&Cancel)) -> larder::Result<Outcome> {
    let workspace = sample.workspace();
    let cancel = Cancel::default();
    let outcome = workspace.step(step, &cancel, &mut |_, line| {
        if line == b"began" {
            act(&cancel);
        }
    });
    assert_nothing_is_left(sample.path());
    outcome
}

/// A process below this one whose command line contains `text`.
fn descendant(text: &str) -> Option<Pid> {
    let mut parents = vec![std::process::id().to_string()];
    let status = |pid: &str| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    while let Some(parent) = parents.pop() {
        for entry in fs::read_dir("/proc").expect("readable").flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if !status(&pid).lines().any(|line| line == format!("PPid:\t{parent}")) {
                continue;
            }
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).replace('\0', " ").contains(text) {
                return Pid::from_raw(pid.parse().expect("a number"));
            }
            parents.push(pid);
        }
    }
    None
}

fn kill(text: &str) {
    let pid = descendant(text).unwrap_or_else(|| panic!("no process {text}"));
    rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
}

const LONG: &str = "setsid sleep 987 & (trap '' TERM INT HUP; sleep 987) & echo began; sleep 987";

#[test]
fn who_cancels_does_not_wait() {
    let Some(sample) = Sample::new() else { return };
    let mut begin = None;
    let cancelled = when_it_began(&sample, &sample.step(LONG), |cancel| {
        begin = Some(Instant::now());
        cancel.cancel();
    });
    assert_eq!(cancelled.expect_err("cancelled").kind(), ErrorKind::Interrupted);
    let took = begin.expect("it began").elapsed();
    assert!(took < GRACE, "{took:?}");
    let cancel = Cancel::default();
    cancel.cancel();
    let error = sample.workspace().step(&sample.step("true"), &cancel, &mut |_, _| {}).expect_err("cancelled before");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn a_runtime_or_a_keeper_that_is_killed_takes_everything_with_it() {
    let Some(sample) = Sample::new() else { return };
    // Two of these tests at the same time would find each other's.
    let marker = |name: &str| format!("echo began; sleep 9{name}");
    let step = sample.step(&marker("1"));
    let error = when_it_began(&sample, &step, |_| kill(&format!("{}/", sample.path().display()))).expect_err("killed");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    assert!(error.causes().concat().contains("killed by signal 9"), "{error:?}");
    let step = sample.step(&marker("2"));
    let error = when_it_began(&sample, &step, |_| {
        let name = sample.left().remove(0);
        kill(&format!("larder-keeper {}", name.file_name().expect("a name").to_string_lossy().trim_start_matches('.')));
    })
    .expect_err("killed");
    assert!(error.message().contains("ended from outside"), "{error:?}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("memory")), "{error:?}");
}

#[test]
fn the_end_of_the_first_process_is_the_end_of_all() {
    let Some(sample) = Sample::new() else { return };
    let begin = Instant::now();
    let outcome = when_it_began(&sample, &sample.step("setsid sleep 987 & echo began"), |_| {});
    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn what_is_no_larder_and_what_is_no_runtime_is_told() {
    let Some(sample) = Sample::new() else { return };
    let with = |options: Options| {
        let workspace = Workspace::open(sample.path(), options).expect("a workspace");
        let error = run(&workspace, &sample.step("true")).failed();
        assert_nothing_is_left(sample.path());
        [vec![error.message().to_owned()], error.causes()].concat().join(": ")
    };
    let all = with(Options { larder: "/bin/false".into(), ..sample.options(Rootfs::Overlay) });
    assert!(all.contains("ended from outside (exit status: 1)"), "{all}");
    let all = with(Options { larder: "/bin/echo".into(), ..sample.options(Rootfs::Overlay) });
    assert!(all.contains("larder of this version") || all.contains("ended from outside"), "{all}");
    let fake = sample.path().join("fake");
    fs::write(&fake, "#!/bin/sh\n[ \"$1\" = --version ] && echo runc version 9 || { echo 'no such luck' >&2; exit 1; }\n").expect("written");
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("own file");
    let options = Options { runtime: Program::at(&fake).expect("it says so"), ..sample.options(Rootfs::Overlay) };
    let workspace = Workspace::open(sample.path(), options).expect("a workspace");
    let ran = run(&workspace, &sample.step("true"));
    assert!(matches!(&ran.outcome, Ok(Outcome::Failed(failure)) if failure.status == 1), "{ran:?}");
    assert_eq!(ran.error, ["no such luck"]);
}

#[test]
fn steps_run_at_the_same_time() {
    let Some(sample) = Sample::new() else { return };
    let workspace = sample.workspace();
    let uppers: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|index| {
                let (workspace, sample) = (&workspace, &sample);
                scope.spawn(move || run(workspace, &sample.step(&format!("sleep 0.1; echo {index} >/etc/own"))).upper())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for (index, upper) in uppers.iter().enumerate() {
        assert_eq!(fs::read_to_string(upper.join("etc/own")).expect("written"), format!("{index}\n"));
        assert_eq!(fs::read_dir(upper.parent().expect("a place")).expect("readable").count(), 1);
    }
    workspace.discard(&uppers[0]).expect("removed");
    assert!(!uppers[0].exists() && uppers[1].exists());
    assert_eq!(workspace.discard(Path::new("/etc")).expect_err("not ours").kind(), ErrorKind::Usage);
    drop(workspace);
    assert_nothing_is_left(sample.path());
    assert!(sample.left().is_empty());
}

#[test]
fn cra_23_a_larder_that_is_killed_leaves_no_process_and_no_mount_and_its_files_are_swept() {
    let Some(sample) = Sample::new() else { return };
    let mut actor = Companion::start(&mut actor::command(Command::new("env"), sample.path(), &sample, LONG));
    actor.wait_until("the step began", |_| sample.path().join("began").exists());
    assert!(!processes(sample.path()).is_empty(), "the processes of the step are seen where they are");
    // Another larder leaves it alone.
    drop(sample.workspace());
    assert_eq!(sample.left().len(), 1);
    actor.signal(Signal::KILL);
    actor.ends();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes(sample.path()).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes(sample.path()));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(sample.left().len(), 1, "files are what is left");
    let dead = sample.left().remove(0);
    drop(sample.workspace());
    assert!(sample.left().is_empty() && !dead.exists());
    assert_nothing_is_left(sample.path());
    let groups = Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "2", "-name"])
        .arg(format!("{}*", dead.file_name().expect("a name").to_string_lossy().trim_start_matches('.')))
        .succeeds();
    assert_eq!(groups, "");
}

#[test]
fn what_somebody_mounted_into_a_dead_workspace_is_unmounted_and_not_removed() {
    let (Some(sample), Some(unshare)) = (Sample::new(), tool("unshare")) else { return };
    let (dead, precious) = (sample.path().join(".larder-run-1-dead"), sample.path().join("precious"));
    fs::create_dir_all(dead.join("0/root")).expect("created");
    fs::create_dir(&precious).expect("created");
    fs::write(precious.join("file"), "precious").expect("written");
    let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    let mut within = Command::new(unshare);
    within.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&precious).arg(dead.join("0/root"));
    actor::command(within, sample.path(), &sample, "true").succeeds();
    assert_eq!(fs::read_to_string(sample.path().join("told")).expect("told"), "done None []");
    assert_eq!(fs::read_to_string(precious.join("file")).expect("there"), "precious");
    assert!(!dead.exists());
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let (Some(sample), Some(unshare)) = (Sample::new(), tool("unshare")) else { return };
    let home = temp();
    let within = |size: &str| {
        let mut within = Command::new(&unshare);
        let script = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && "$3" "$4" "$5" "$6"; cp "$2/told" "$2.told"; ls -A "$2" >"$2.left""#;
        within.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", size]).arg(home.path().join("small"));
        within
    };
    fs::create_dir(home.path().join("small")).expect("created");
    let small = home.path().join("small");
    let script = "dd if=/dev/zero of=/big bs=64k 2>&1 | grep -o 'No space left.*' >&2; dd if=/dev/zero of=/big2 bs=64k count=1 2>/dev/null";
    actor::command(within("4m"), &small, &sample, script).succeeds();
    let told = fs::read_to_string(home.path().join("small.told")).expect("told");
    assert_eq!(told, "failed 1 the file system that steps run on is full");
    let left = fs::read_to_string(home.path().join("small.left")).expect("listed");
    assert!(!left.contains(".larder-run"), "{left}");
}

#[test]
fn root_that_may_not_mount_is_told_what_to_do() {
    let (Some(_), Some(setpriv), true) = (Sample::new(), tool("setpriv"), root()) else { return };
    let home = temp();
    let mut within = Command::new(setpriv);
    within.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]);
    let sample = Sample::new().expect("as before");
    let output = actor::command(within, home.path(), &sample, "true").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("RUN takes root, or a user namespace"), "{said}");
}
