//! Runs that are ended from outside, at any moment: nothing half-done is visible, and whoever comes next goes on as if nothing had been.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::Signal;

use crate::support::context::{self, noise, oci, stagings};
use crate::support::process::{Companion, Runs as _, has_open, larder};
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::sound::{assert_layout_is_sound, examine};

/// Makes a context whose layer takes long to build.
fn slow(at: &Path, tag: &str) -> PathBuf {
    context::write(at, tag);
    let file = at.join("own");
    fs::File::create(&file).and_then(|file| file.set_len(300 << 20)).expect("a sparse file");
    file
}

#[test]
fn cra_04_signals_end_a_build_with_130_and_without_a_trace() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (home, layout) = context::layout();
        let file = slow(&home.path().join("slow"), "slow");
        let before = snapshot(&layout);
        let mut build = Companion::start(&mut context::build(&home.path().join("slow"), &layout));
        build.wait_until("it read", |process| has_open(process, &file));
        let begin = Instant::now();
        build.signal(signal);
        let (status, told) = build.ends();
        assert_eq!(status.code(), Some(130), "{signal:?}: {told}");
        assert!(told.starts_with("error: ") && told.contains("interrupted"), "{told}");
        assert!(begin.elapsed() < Duration::from_secs(20), "it ended late");
        let mut after = snapshot(&layout);
        // What was complete may stay: it is content without a name.
        after.retain(|path, _| before.contains_key(path) || !path.starts_with("blobs"));
        assert_same(&before, &after, "an interrupted build");
        assert_eq!(assert_layout_is_sound(&layout).names, ["first"]);
    }
}

#[test]
fn cra_04_a_build_that_is_ended_before_its_first_image_leaves_a_layout_without_images_or_none() {
    let (home, _) = context::layout();
    let file = slow(&home.path().join("slow"), "slow");
    let layout = home.path().join("new");
    let mut build = Companion::start(&mut context::build(&home.path().join("slow"), &layout));
    build.wait_until("it read", |process| has_open(process, &file));
    build.signal(Signal::TERM);
    assert_eq!(build.ends().0.code(), Some(130));
    assert_eq!(assert_layout_is_sound(&layout).names, [""; 0]);
}

#[test]
fn cra_04_who_waits_for_a_lock_can_be_ended() {
    let (_home, layout) = context::layout();
    let lock = fs::File::open(layout.join("index.json.lock")).expect("there");
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("free");
    let before = snapshot(&layout);
    for arguments in [["tag", &format!("{}:first", oci(&layout)), "x"], ["untag", &oci(&layout), "first"]] {
        let mut waiting = Companion::start(larder().args(arguments).args(["--lock-timeout", "1h"]));
        let path = layout.join("index.json.lock");
        waiting.wait_until("it opened the lock", |process| has_open(process, &path));
        waiting.signal(Signal::INT);
        let (status, told) = waiting.ends();
        assert_eq!(status.code(), Some(130), "{told}");
    }
    assert_same(&before, &snapshot(&layout), "waiting");
}

#[test]
fn cra_23_what_a_killed_writer_leaves_is_swept_by_the_next_one() {
    let (home, layout) = context::layout();
    let file = slow(&home.path().join("slow"), "slow");
    for _ in 0..3 {
        let mut build = Companion::start(&mut context::build(&home.path().join("slow"), &layout));
        build.wait_until("it read", |process| has_open(process, &file));
        build.signal(Signal::KILL);
        assert_eq!(build.ends().0.code(), None);
        let left = stagings(&layout);
        assert_eq!(left.len(), 1, "its own, and none of those before it: {left:?}");
        // Readers do not mind.
        for command in ["list", "verify"] {
            larder().args([command, &oci(&layout)]).succeeds();
        }
    }
    // Not the staging directory of somebody who is alive.
    let mut alive = Companion::start(&mut context::build(&home.path().join("slow"), &layout));
    alive.wait_until("it read", |process| has_open(process, &file));
    alive.signal(Signal::STOP);
    let stopped = |process| fs::read_to_string(format!("/proc/{process}/status")).is_ok_and(|status| status.contains("State:\tT"));
    alive.wait_until("it stopped", stopped);
    let left = stagings(&layout);
    larder().args(["tag", &format!("{}:first", oci(&layout)), "x"]).succeeds();
    assert_eq!(stagings(&layout), left);
    alive.signal(Signal::CONT);
    alive.signal(Signal::TERM);
    assert_eq!(alive.ends().0.code(), Some(130));
    assert_eq!(assert_layout_is_sound(&layout).names, ["first", "x"]);
}

/// A moment of the life of a process, the same each time the test runs.
fn moments(longest: Duration) -> impl Iterator<Item = Duration> {
    noise(4096, 11).chunks_exact(2).map(move |pair| longest * u32::from(u16::from_le_bytes([pair[0], pair[1]])) / 65536).collect::<Vec<_>>().into_iter()
}

#[test]
fn cra_01_to_03_a_kill_at_any_moment_leaves_the_old_state_or_the_new_one() {
    const KILLS: usize = 25;
    let (home, layout) = context::layout();
    let context = home.path().join("second");
    context::write(&context, "second");
    fs::write(context.join("own"), noise(500_000, 5)).expect("writable");
    let pristine = home.path().join("pristine");
    let restore = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        Command::new("cp").arg("-a").args([from, to]).succeeds();
    };
    restore(&layout, &pristine);
    let begin = Instant::now();
    context::build(&context, &layout).succeeds();
    let (usual, whole) = (begin.elapsed(), snapshot(&layout));
    let mut killed = 0;
    for moment in moments(usual * 6 / 5).take(KILLS) {
        restore(&pristine, &layout);
        let build = Companion::start(&mut context::build(&context, &layout));
        std::thread::sleep(moment);
        build.signal(Signal::KILL);
        killed += usize::from(build.ends().0.code().is_none());

        larder().args(["verify", &oci(&layout)]).succeeds();
        let names = assert_sound_but_for_staging(&layout);
        assert!(names == ["first"] || names == ["first", "second"], "killed after {moment:?}: {names:?}");
        context::build(&context, &layout).succeeds();
        assert_same(&whole, &snapshot(&layout), "a build that was killed and run again");
    }
    assert!(killed > 0, "all of them were faster than the kill");
    assert_layout_is_sound(&layout);
}

/// Nothing is wrong with a layout but what a killed writer had not finished.
#[track_caller]
fn assert_sound_but_for_staging(layout: &Path) -> Vec<String> {
    let aside: Vec<(PathBuf, PathBuf)> = stagings(layout).into_iter().enumerate().map(|(n, path)| (path, layout.with_extension(n.to_string()))).collect();
    for (path, elsewhere) in &aside {
        fs::rename(path, elsewhere).expect("one file system");
    }
    let sound = examine(layout).unwrap_or_else(|findings| panic!("{findings}"));
    for (path, elsewhere) in &aside {
        fs::rename(elsewhere, path).expect("one file system");
    }
    sound.names
}

#[test]
fn cra_02_a_kill_at_the_first_build_leaves_a_place_to_build_into() {
    let (home, layout) = context::layout();
    let whole = snapshot(&layout);
    let new = home.path().join("new");
    for moment in moments(Duration::from_millis(40)).take(25) {
        let _ = fs::remove_dir_all(&new);
        let build = Companion::start(&mut context::build(&home.path().join("first"), &new));
        std::thread::sleep(moment);
        build.signal(Signal::KILL);
        build.ends();
        context::build(&home.path().join("first"), &new).succeeds();
        assert_layout_is_sound(&new);
        assert_same(&whole, &snapshot(&new), "the image of a build that was killed and begun again");
    }
}
