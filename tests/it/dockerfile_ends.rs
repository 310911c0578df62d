//! However a step of a Dockerfile ends, `larder build` says why, and nothing is left of it: no mount, no process, no file but those of the cache, no name in a layout.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::dockerfile_run::left;
use crate::support::context::{oci, stagings};
use crate::support::dockerfile::Kitchen;
use crate::support::foreign::{self, ARM64};
use crate::support::image::read_index;
use crate::support::process::{Companion, Runs as _};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// A step that does not end by itself, says when it has begun, and has processes that would stay.
const LONG: &str = "FROM shell:1\nARG PLACE\nRUN setsid sleep 987 & (trap '' TERM INT HUP; sleep 987) & echo began > /began; sleep 987\n";

/// The arguments of a build of one image for amd64 into `out`.
fn arguments(kitchen: &Kitchen) -> Vec<String> {
    let (bases, output) = (kitchen.bases(), oci(&kitchen.out()));
    let place = format!("PLACE={}", kitchen.path("").display());
    ["--base", &bases, "--platform", "linux/amd64", "-t", "app:1", "--build-arg", &place, "-o", &output].map(str::to_owned).to_vec()
}

pub(crate) fn command(kitchen: &Kitchen) -> Command {
    kitchen.command(&arguments(kitchen).iter().map(String::as_str).collect::<Vec<_>>())
}

/// The same build in another process of the test's: behind words that start one.
pub(crate) fn inside(mut words: Command, kitchen: &Kitchen) -> Command {
    let build = command(kitchen);
    words.arg(build.get_program()).args(build.get_args()).env_clear();
    for (name, value) in build.get_envs() {
        words.env(name, value.unwrap_or_default());
    }
    words
}

/// The last line of what a build told a program.
#[track_caller]
pub(crate) fn error(told: &str) -> Value {
    serde_json::from_str(told.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The processes of a build: they have mounts in its cache, or arguments or variables that name something there.
pub(crate) fn processes(kitchen: &Kitchen) -> Vec<(Pid, String)> {
    let (place, cache) = (kitchen.path(""), kitchen.path("cache"));
    let (place, cache) = (place.to_str().expect("UTF-8"), cache.to_str().expect("UTF-8"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        let read = |name: &str| String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default()).replace('\0', " ");
        let line = read("cmdline");
        if pid.as_raw_nonzero().get().cast_unsigned() != std::process::id()
            && (line.contains(place) || read("environ").contains(place) || read("mountinfo").contains(cache))
        {
            found.push((pid, line));
        }
    }
    found
}

/// Waits until the step of [`LONG`] has begun.
#[track_caller]
fn wait_until_it_began(larder: &mut Companion, kitchen: &Kitchen) {
    let place = kitchen.path("cache/v1");
    let began = || {
        let workspaces = fs::read_dir(&place).into_iter().flatten().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".larder-run-"));
        let mut steps = workspaces.flat_map(|workspace| fs::read_dir(workspace.path()).into_iter().flatten().flatten());
        steps.any(|step| step.path().join("upper/began").exists())
    };
    larder.wait_until("the step began", |_| began());
    // They are seen where they are, so that nobody looks for them in vain afterwards.
    let sleeping = || processes(kitchen).iter().filter(|(_, line)| line.starts_with("sleep 987")).count();
    larder.wait_until("all its processes run", |_| sleeping() == 3);
}

/// Kills the process of a build whose arguments have `text` in them.
#[track_caller]
fn kill(kitchen: &Kitchen, text: &str) {
    let found = processes(kitchen);
    let process = found.iter().find(|(_, line)| line.contains(text)).unwrap_or_else(|| panic!("no process {text}: {found:?}"));
    rustix::process::kill_process(process.0, Signal::KILL).expect("it is ours");
}

#[track_caller]
pub(crate) fn assert_no_process_and_no_mount(kitchen: &Kitchen) {
    let deadline = Instant::now() + Duration::from_secs(20);
    // The kernel ends the processes of a name space one after the other.
    while !processes(kitchen).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes(kitchen));
        std::thread::sleep(Duration::from_millis(10));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    assert!(!mounts.contains(kitchen.path("").to_str().expect("UTF-8")), "{mounts}");
}

#[track_caller]
pub(crate) fn assert_nothing_is_left(kitchen: &Kitchen) {
    assert_no_process_and_no_mount(kitchen);
    let none = [""; 0].map(PathBuf::from);
    assert_eq!(left(kitchen), none);
    let content = kitchen.path("cache/v1/content");
    for layout in [kitchen.out(), content].iter().filter(|layout| layout.exists()) {
        assert_eq!(stagings(layout), none);
        assert_layout_is_sound(layout);
    }
    if kitchen.out().exists() {
        assert_eq!(read_index(&kitchen.out())["manifests"], json!([]), "nothing has a name");
        let blobs = fs::read_dir(kitchen.out().join("blobs/sha256")).map_or(0, Iterator::count);
        assert_eq!(blobs, 0, "and nothing is there that could have one");
    }
}

#[test]
fn a_signal_ends_a_step_with_all_its_processes() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let Some(kitchen) = Kitchen::with_shell(LONG) else { return };
        let mut larder = Companion::start(&mut command(&kitchen));
        wait_until_it_began(&mut larder, &kitchen);
        let begin = Instant::now();
        larder.signal(signal);
        let (status, told) = larder.ends();
        assert_eq!((status.code(), &error(&told)["code"]), (Some(130), &"interrupted".into()), "{told}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        assert_nothing_is_left(&kitchen);
    }
}

#[test]
fn cra_23_what_a_build_that_was_killed_left_is_swept_by_the_next() {
    let Some(kitchen) = Kitchen::with_shell(LONG) else { return };
    let mut larder = Companion::start(&mut command(&kitchen));
    wait_until_it_began(&mut larder, &kitchen);
    larder.signal(Signal::KILL);
    larder.ends();
    assert_no_process_and_no_mount(&kitchen);
    assert_eq!(left(&kitchen).len(), 1, "files are what is left");
    let groups = || {
        let found = Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", "larder-run-*"]).output().expect("find runs");
        String::from_utf8_lossy(&found.stdout).into_owned()
    };
    let name = left(&kitchen)[0].file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned();
    kitchen.file("Dockerfile", "FROM shell:1\nRUN echo again > /again\n");
    assert_eq!(kitchen.image(&["--base", &kitchen.bases()]).read("again"), "again\n");
    assert_eq!(left(&kitchen), [""; 0].map(PathBuf::from));
    assert!(!groups().contains(&name), "{}", groups());
    assert_no_process_and_no_mount(&kitchen);
}

#[test]
fn a_runtime_or_a_keeper_that_is_killed_is_told_with_the_step() {
    for (name, message, hint) in [("--bundle", "it was killed by signal 9", ""), ("larder-keeper", "ended from outside", "memory ran out")] {
        let Some(kitchen) = Kitchen::with_shell(LONG) else { return };
        let mut larder = Companion::start(&mut command(&kitchen));
        wait_until_it_began(&mut larder, &kitchen);
        kill(&kitchen, name);
        let (status, told) = larder.ends();
        assert_eq!(status.code(), Some(1), "{told}");
        let error = error(&told);
        assert!(error.to_string().contains("Dockerfile:3:1") && error.to_string().contains(message), "{error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{error}");
        assert_nothing_is_left(&kitchen);
    }
}

#[test]
fn a_full_disk_is_told_with_the_step() {
    let (Some(kitchen), Some(unshare)) = (Kitchen::with_shell("FROM shell:1\nRUN dd if=/dev/zero of=/big bs=64k\n"), tool("unshare")) else { return };
    let cache = kitchen.path("cache");
    fs::create_dir(&cache).expect("writable");
    // What is left there is looked at before the file system goes.
    let script = r#"mount -t tmpfs -o size=8m tmpfs "$1" && shift && "$@"; status=$?; ls -A "$0/v1" "$0/v1/content" >&3; exit $status"#;
    let listing = kitchen.path("listing");
    let mut within = Command::new(unshare);
    within.args(["--mount", "--propagation", "private", "sh", "-c", &format!("exec 3>{}\n{script}", listing.display())]).arg(&cache).arg(&cache);
    let told = inside(within, &kitchen).fails_with(1);
    let error = error(&told);
    assert!(error.to_string().contains("Dockerfile:2:1"), "{error}");
    assert_eq!(error["hint"], "the file system that steps run on is full", "{error}");
    let listing = fs::read_to_string(listing).expect("listed");
    assert!(listing.contains("index.json") && !listing.contains(".larder"), "{listing}");
    assert_nothing_is_left(&kitchen);
}

#[test]
#[cfg(not(target_arch = "aarch64"))]
fn a_missing_interpreter_is_told_before_anything_runs() {
    let Some(kitchen) = Kitchen::with_shell("FROM shell:1\nRUN echo x > /x\n") else { return };
    for (flags, message, hint) in [
        ("", "the kernel knows no interpreter for them", "install qemu-user-static, which brings qemu-aarch64"),
        ("P", "without the flag F", "echo -1 >/proc/sys/fs/binfmt_misc/"),
    ] {
        let Some(within) = foreign::within(&ARM64, flags) else { return };
        let mut build = inside(within, &kitchen);
        build.args(["--platform", "linux/arm64"]);
        let Some(output) = foreign::ran(build.output().expect("it runs")) else { return };
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        let error = error(&String::from_utf8_lossy(&output.stderr));
        assert!(error.to_string().contains("Dockerfile:2:1") && error.to_string().contains("linux/arm64"), "{error}");
        assert!(error["causes"].to_string().contains(message) && error["hint"].as_str().is_some_and(|told| told.contains(hint)), "{error}");
        assert!(error["hint"].as_str().is_some_and(|told| told.contains("qemu-user-static")), "{error}");
        assert_nothing_is_left(&kitchen);
    }
}

#[test]
fn a_program_for_another_machine_is_told_by_its_architecture() {
    let Some(kitchen) = Kitchen::with_shell("FROM shell:1\nCOPY --chmod=755 foreign text /\nRUN [\"/foreign\"]\n") else { return };
    // s390x, which no test registers.
    let mut foreign = fs::read(kitchen.path("rootfs/bin/busybox")).expect("readable");
    foreign[5] = 2;
    foreign[18..20].copy_from_slice(&[0, 22]);
    kitchen.file("foreign", foreign);
    kitchen.file("text", "neither\n");
    let bases = kitchen.bases();
    let error = kitchen.refused(6, &["--base", &bases]);
    assert!(error.to_string().contains("Dockerfile:3:1") && error["causes"].to_string().contains("`/foreign` is a program for s390x"), "{error}");
    kitchen.file("Dockerfile", "FROM shell:1\nCOPY --chmod=755 foreign text /\nRUN [\"/text\"]\n");
    let error = kitchen.refused(6, &["--base", &bases]);
    assert!(error["causes"].to_string().contains("`/text` is neither a program for Linux nor a script"), "{error}");
    // What a shell says of it.
    kitchen.file("Dockerfile", "FROM shell:1\nCOPY foreign /\nRUN /foreign\n");
    let error = kitchen.refused(1, &["--base", &bases]);
    assert!(error["message"].as_str().is_some_and(|message| message.ends_with("exit status 126")), "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("for another machine")), "{error}");
    assert_nothing_is_left(&kitchen);
}

#[test]
fn a_machine_without_a_runtime_is_told_what_to_install() {
    let (Some(kitchen), Some(unshare)) = (Kitchen::with_shell("FROM shell:1\nCOPY nothing /\nRUN true\n"), tool("unshare")) else { return };
    // Hides them from this build alone.
    let script = r#"for name in runc crun; do for place in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /usr/libexec $(echo "$PATH" | tr : ' '); do
        [ ! -f "$place/$name" ] || mount --bind /dev/null "$place/$name" || exit 99; done; done; exec "$@""#;
    let mut within = Command::new(unshare);
    within.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    let error = error(&inside(within, &kitchen).fails_with(4));
    assert!(error.to_string().contains("Dockerfile:3:1") && error.to_string().contains("no OCI runtime"), "{error}");
    assert_eq!(error["hint"], "install runc or crun, or name another OCI runtime with --runtime");
    assert_nothing_is_left(&kitchen);
}

#[test]
fn a_step_sees_nothing_of_who_runs_larder() {
    let Some(kitchen) = Kitchen::with_shell(
        "FROM shell:1\nRUN env | sort > /env; ls /proc/self/fd > /fds; cat /proc/1/environ | tr '\\0' '\\n' | sort > /first; ls -A /etc > /etc.list; id > /id; umask >> /id\n",
    ) else {
        return;
    };
    fs::write(kitchen.path("private"), "private").expect("writable");
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"exec 7<"$0" 9<"$0"; exec "$@""#]).arg(kitchen.path("private"));
    let mut build = inside(shell, &kitchen);
    build.env("LARDER_PASSWORD", "of larder").env("OTHER", "of the machine").succeeds();
    let image = kitchen.built("amd64");
    assert_eq!((image.read("env"), image.read("first")), ("HOME=/\nPATH=/bin\nPWD=/\nSHLVL=1\n".into(), "HOME=/\nPATH=/bin\n".into()));
    // The fourth is that of the listing itself.
    assert_eq!(image.read("fds"), "0\n1\n2\n3\n");
    assert_eq!(image.read("id"), "uid=0(root) gid=0(root) groups=0(root)\n0022\n");
    assert!(!image.entries().contains_key("etc/hosts"), "{:?}", image.listing());
    let mode = |path: &str| fs::metadata(kitchen.path(path)).map(|metadata| metadata.permissions().mode() & 0o777).ok();
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --mount=type=cache,target=/c cp /bin/busybox /c/own && chmod 4755 /c/own\n");
    kitchen.image(&["--base", &kitchen.bases()]);
    assert_eq!(mode("cache/v1/mounts"), Some(0o700), "a program that runs with the rights of root is there");
}

#[test]
fn links_in_the_way_of_mounts_lead_nowhere_but_into_the_root() {
    let text = "FROM shell:1\nCOPY tree /\nWORKDIR /m/work\n\
        RUN --mount=type=tmpfs,target=/m/memory --mount=type=cache,target=/m/cache --mount=type=bind,target=/dir --mount=type=secret,id=key,target=/m/key \
        touch /m/memory/x /m/cache/x /m/here; cat /m/key; pwd > /up/pwd; cat /etc/hosts > /read\n";
    let Some(kitchen) = Kitchen::with_shell(text) else { return };
    let outside = kitchen.path("outside");
    fs::create_dir(&outside).expect("writable");
    fs::write(outside.join("hosts"), "of the machine").expect("writable");
    let place = outside.to_str().expect("UTF-8");
    for (link, target) in [("m", ""), ("dir", "/dir"), ("etc/resolv.conf", "/resolv"), ("etc/hosts", "/hosts")] {
        kitchen.link(&format!("tree/{link}"), &format!("{place}{target}"));
    }
    kitchen.link("tree/up", "/");
    fs::write(kitchen.path("key"), "the secret key").expect("writable");
    let image = kitchen.image(&["--base", &kitchen.bases(), "--secret", &format!("id=key,src={}", kitchen.path("key").display())]);
    let inside = place.trim_start_matches('/');
    assert_eq!(image.read("pwd"), format!("{place}/work\n"));
    assert!(image.read("read").contains("buildkitsandbox"), "{}", image.read("read"));
    assert!(image.entries().contains_key(&format!("{inside}/here")), "{:?}", image.listing());
    for unwanted in ["resolv", "hosts", "memory/x", "cache", "key", "dir"] {
        assert!(!image.entries().contains_key(&format!("{inside}/{unwanted}")), "{unwanted}: {:?}", image.listing());
    }
    assert!(!image.holds("the secret key"));
    let names: Vec<_> = fs::read_dir(&outside).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["hosts"]);
    assert_eq!(fs::read_to_string(outside.join("hosts")).expect("there"), "of the machine");
    assert_no_process_and_no_mount(&kitchen);
}

#[test]
fn a_root_whose_proc_is_a_link_is_refused() {
    let Some(kitchen) = Kitchen::with_shell("FROM shell:1\nCOPY tree /\nRUN true\n") else { return };
    kitchen.link("tree/proc", "/sys");
    let error = kitchen.refused(1, &["--base", &kitchen.bases()]);
    assert!(error.to_string().contains("Dockerfile:3:1") && error["causes"].to_string().contains("proc"), "{error}");
    assert_nothing_is_left(&kitchen);
}
