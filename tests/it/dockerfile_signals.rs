//! A step of a Dockerfile that is stopped is told so, and may clean up before it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use larder::runtime::GRACE;
use rustix::process::Signal;

use crate::dockerfile_ends::{assert_no_process_and_no_mount, assert_nothing_is_left, command, error, inside, processes};
use crate::support::dockerfile::Kitchen;
use crate::support::foreign::{self, ARM64};
use crate::support::process::{Companion, Runs as _};
use crate::support::tools::rootfs;

/// The exit status of larder that was stopped by a signal.
const INTERRUPTED: Option<i32> = Some(130);

/// A file in the cache mounts of a build.
fn found(kitchen: &Kitchen, name: &str) -> Option<PathBuf> {
    fn find(place: &Path, name: &str) -> Option<PathBuf> {
        let mut entries = fs::read_dir(place).ok()?.flatten();
        entries.find_map(|entry| match entry.file_type().ok()?.is_dir() {
            true => find(&entry.path(), name),
            false => (entry.file_name() == name).then(|| entry.path()),
        })
    }
    find(&kitchen.path("cache/v1/mounts"), name)
}

/// Its content.
fn cached(kitchen: &Kitchen, name: &str) -> Option<String> {
    fs::read_to_string(found(kitchen, name)?).ok()
}

/// A build whose steps wrote these files into their cache mounts.
#[track_caller]
fn begun(kitchen: &Kitchen, names: &[&str]) -> Companion {
    begun_as(command(kitchen), kitchen, names)
}

#[track_caller]
fn begun_as(mut build: Command, kitchen: &Kitchen, names: &[&str]) -> Companion {
    let mut larder = Companion::start(build.args(["--jobs", "2", "--progress", "plain"]));
    larder.wait_until("the steps began", |_| names.iter().all(|name| cached(kitchen, name).is_some_and(|content| !content.is_empty())));
    larder
}

/// What came of a build that got a signal, and how long that took.
struct Stopped {
    status: ExitStatus,
    told: String,
    took: Duration,
}

#[track_caller]
fn stop(larder: Companion, signal: Signal) -> Stopped {
    let begin = Instant::now();
    larder.signal(signal);
    let (status, told) = larder.ends();
    Stopped { status, told, took: begin.elapsed() }
}

impl Stopped {
    /// It ended because it was asked to, and not because its time was over.
    #[track_caller]
    fn was_in_time(&self) {
        assert_eq!(self.status.code(), INTERRUPTED, "{}", self.told);
        assert_eq!(error(&self.told)["code"], "interrupted", "{}", self.told);
        assert!(self.took < GRACE - Duration::from_secs(1), "{:?}: {}", self.took, self.told);
    }
}

#[test]
fn the_signal_that_larder_gets_is_that_of_the_step_and_comes_once() {
    for (signal, name) in [(Signal::INT, "INT"), (Signal::TERM, "TERM"), (Signal::HUP, "HUP")] {
        let Some(kitchen) = Kitchen::with_shell(
            r#"FROM shell:1
RUN --mount=type=cache,target=/c for name in INT TERM HUP; do trap "echo $name >> /c/told; echo cleaned up" $name; done; touch /made; echo >> /c/began; \
    until [ -s /c/told ]; do sleep 0.1; done; sleep 0.5; echo ended >> /c/told; printf 'no end'
"#,
        ) else {
            return;
        };
        let larder = begun(&kitchen, &["began"]);
        let stopped = stop(larder, signal);
        stopped.was_in_time();
        assert_eq!(cached(&kitchen, "told"), Some(format!("{name}\nended\n")), "{}", stopped.told);
        assert!(stopped.told.contains(" cleaned up\n") && stopped.told.contains(" no end\n"), "what it writes is shown: {}", stopped.told);
        assert_nothing_is_left(&kitchen);
        // It succeeded, but that counts for nothing.
        let again = kitchen.image(&["--base", &kitchen.bases(), "--build-arg", &format!("PLACE={}", kitchen.path("").display())]);
        assert_eq!(again.cached_and_made(), (0, 1), "{}", again.report);
    }
}

#[test]
fn a_shell_that_would_take_no_notice_does_nothing_more_and_all_stages_clean_up() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let Some(kitchen) = Kitchen::with_shell(
            r#"FROM shell:1 AS other
RUN --mount=type=cache,target=/other sh -c 'trap "sleep 1; echo cleaned >> /other/other; exit 3" INT TERM HUP; echo >> /other/other; while :; do sleep 0.1; done'; \
    echo next >> /other/other
FROM shell:1
RUN --mount=type=cache,target=/c echo >> /c/told; sleep 987; echo next >> /c/told; sleep 987
COPY --from=other / /x
"#,
        ) else {
            return;
        };
        let larder = begun(&kitchen, &["told", "other"]);
        let stopped = stop(larder, signal);
        stopped.was_in_time();
        assert_eq!(cached(&kitchen, "other").as_deref(), Some("\ncleaned\n"), "{}", stopped.told);
        assert_eq!(cached(&kitchen, "told").as_deref(), Some("\n"), "{}", stopped.told);
        assert_nothing_is_left(&kitchen);
    }
}

/// A step that takes no notice, and one that cannot.
const DEAF: &str = r#"FROM shell:1 AS other
RUN --mount=type=cache,target=/other trap 'echo too much' TERM; sh -c 'echo > /other/other; kill -STOP $$'
FROM shell:1
RUN --mount=type=cache,target=/c trap '' TERM; echo > /c/began; while :; do sleep 0.1; done
COPY --from=other / /x
"#;

#[test]
fn what_does_not_end_is_killed_when_the_time_of_all_is_over() {
    let Some(kitchen) = Kitchen::with_shell(DEAF) else { return };
    let stopped = stop(begun(&kitchen, &["began", "other"]), Signal::TERM);
    assert_eq!(stopped.status.code(), INTERRUPTED, "{}", stopped.told);
    assert!(stopped.took > GRACE && stopped.took < GRACE * 2, "{:?}", stopped.took);
    assert!(!stopped.told.contains("too much\n"), "{}", stopped.told);
    assert_nothing_is_left(&kitchen);
}

#[test]
fn a_second_signal_ends_steps_that_take_their_time() {
    let Some(kitchen) = Kitchen::with_shell(DEAF) else { return };
    let mut larder = begun(&kitchen, &["began", "other"]);
    larder.signal(Signal::TERM);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(larder.try_wait().expect("it is ours"), None, "it waits");
    let stopped = stop(larder, Signal::INT);
    assert_eq!(stopped.status.code(), Some(128 + Signal::INT.as_raw()), "{}", stopped.told);
    assert!(stopped.took < GRACE / 2, "{:?}", stopped.took);
    assert_no_process_and_no_mount(&kitchen);
}

#[test]
fn a_keeper_and_a_runtime_that_do_not_answer_are_not_waited_for() {
    for text in ["larder-keeper", "--bundle"] {
        let Some(kitchen) = Kitchen::with_shell(
            "FROM shell:1\nARG PLACE\nRUN --mount=type=cache,target=/c trap 'echo told > /c/told; exit' TERM; echo > /c/began; while :; do sleep 0.1; done\n",
        ) else {
            return;
        };
        let larder = begun(&kitchen, &["began"]);
        let found = processes(&kitchen).into_iter().find(|(_, line)| line.contains(text)).expect("a process");
        rustix::process::kill_process(found.0, Signal::STOP).expect("it is ours");
        let stopped = stop(larder, Signal::TERM);
        assert_eq!(stopped.status.code(), INTERRUPTED, "{}", stopped.told);
        assert!(stopped.took > GRACE && stopped.took < GRACE * 2, "{:?}", stopped.took);
        assert_nothing_is_left(&kitchen);
    }
}

#[test]
fn a_step_beside_one_that_fails_cleans_up_and_the_failure_is_told() {
    let Some(kitchen) = Kitchen::with_shell(
        r#"FROM shell:1 AS other
RUN --mount=type=cache,id=both,target=/c trap 'echo cleaned > /c/told; exit' TERM; echo > /c/began; while :; do sleep 0.1; done
FROM shell:1
RUN --mount=type=cache,id=both,target=/c i=0; until [ -e /c/began ] || [ $((i += 1)) = 300 ]; do sleep 0.1; done; echo > /c/failed; exit 7
COPY --from=other / /x
"#,
    ) else {
        return;
    };
    let error = kitchen.refused(1, &["--base", &kitchen.bases(), "--jobs", "2"]);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("Dockerfile:4:1") && message.contains("exit status 7")), "{error}");
    assert_eq!(cached(&kitchen, "told").as_deref(), Some("cleaned\n"));
    let failed = found(&kitchen, "failed").and_then(|file| fs::metadata(file).ok()?.modified().ok()).expect("a time");
    assert!(failed.elapsed().is_ok_and(|since| since < GRACE), "{:?}", failed.elapsed());
    assert_nothing_is_left(&kitchen);
}

#[test]
#[cfg(not(target_arch = "aarch64"))]
fn a_shell_of_another_machine_does_nothing_more_either() {
    let text = "FROM foreign:1\nARG TARGETARCH\nRUN --mount=type=cache,target=/c echo >> /c/$TARGETARCH; sleep 987; echo next >> /c/$TARGETARCH; sleep 987\n";
    let (Some(kitchen), Some(debian)) = (Kitchen::with_shell(text), rootfs("arm64")) else { return };
    for name in ["bin/sh", "bin/sleep", "lib/ld-linux-aarch64.so.1", "lib/aarch64-linux-gnu/libc.so.6"] {
        let to = kitchen.path("foreign").join(name);
        fs::create_dir_all(to.parent().expect("a parent")).expect("writable");
        Command::new("cp").arg("-L").arg(debian.join(name)).arg(to).succeeds();
    }
    kitchen.base("foreign:1", &["--rootfs", "foreign", "--env", "PATH=/bin"]);
    let Some(within) = foreign::within(&ARM64, "F") else { return };
    let mut build = inside(within, &kitchen);
    // Both have the programs of the latter.
    let platforms = ["amd64", "arm64"];
    build.args(["--platform", "linux/arm64"]);
    let stopped = stop(begun_as(build, &kitchen, &platforms), Signal::TERM);
    stopped.was_in_time();
    for platform in platforms {
        assert_eq!(cached(&kitchen, platform).as_deref(), Some("\n"), "{}", stopped.told);
    }
    assert_nothing_is_left(&kitchen);
}
