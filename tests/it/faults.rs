//! Faults at every call: strace kills larder at its first, second, third ... call of a kind, or lets the call fail, until there are no more of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::context::{self, oci, stagings};
use crate::support::image::Ran;
use crate::support::process::{Runs as _, larder};
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::{skip, tool};

/// The calls that change something on the disk, or that changes depend on.
const CALLS: &[&str] = &["openat2", "mkdirat", "write", "fchmod", "fsync", "fdatasync", "flock", "linkat", "renameat", "unlinkat"];

/// No operation here makes more calls of one kind.
const MOST: usize = 200;

/// A layout to work on again and again, and what is done to it.
struct Bench {
    strace: PathBuf,
    home: TempDir,
    /// The arguments of larder behind which the layout stands in place of `LAYOUT`.
    operation: Vec<String>,
    /// What the layout holds when all went well.
    whole: BTreeMap<PathBuf, (u32, Vec<u8>)>,
}

impl Bench {
    /// `None` after saying that the test is skipped.
    #[track_caller]
    fn of(operation: &[&str]) -> Option<Bench> {
        let strace = tool("strace")?;
        if !Command::new(&strace).args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
            skip("this machine does not let us trace processes");
            return None;
        }
        let (home, layout) = context::layout();
        fs::rename(layout, home.path().join("pristine")).expect("one file system");
        context::write(&home.path().join("second"), "second");
        let context = home.path().join("second");
        let operation = operation.iter().map(|word| word.replace("CONTEXT", context.to_str().expect("UTF-8")));
        let mut bench = Bench { strace, operation: operation.collect(), whole: BTreeMap::new(), home };
        bench.restore();
        bench.plain().succeeds();
        bench.whole = seen(&bench.layout());
        Some(bench)
    }

    fn layout(&self) -> PathBuf {
        self.home.path().join("layout")
    }

    /// Brings the layout back to how it was.
    fn restore(&self) {
        let _ = fs::remove_dir_all(self.layout());
        Command::new("cp").arg("-a").args([self.home.path().join("pristine"), self.layout()]).succeeds();
    }

    fn arguments(&self) -> impl Iterator<Item = String> {
        self.operation.iter().map(|word| word.replace("LAYOUT", &oci(&self.layout())))
    }

    /// The operation as it is.
    fn plain(&self) -> Command {
        let mut command = larder();
        command.args(self.arguments());
        command
    }

    /// The operation with a fault at some of the calls of this kind; none where it makes no such call.
    fn with(&self, call: &str, fault: &str) -> Option<Output> {
        self.with_options(call, fault, &[])
    }

    fn with_options(&self, call: &str, fault: &str, options: &[&str]) -> Option<Output> {
        let log = self.home.path().join("log");
        let mut command = Command::new(&self.strace);
        command.args(options).args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}"), "-o"]).arg(&log);
        command.arg(env!("CARGO_BIN_EXE_larder")).args(self.arguments()).args(["--format", "json"]).env("HOME", self.home.path());
        let output = command.output().expect("strace starts");
        let happened = output.status.signal().is_some() || fs::read_to_string(log).expect("strace wrote it").contains("(INJECTED)");
        happened.then_some(output)
    }

    /// What holds after whatever happened: the old state or the new one, and the operation can be done as if nothing had been. Whether it was the new one.
    #[track_caller]
    fn is_old_or_new_and_goes_on(&self, what: &str) -> State {
        larder().args(["verify", &oci(&self.layout())]).succeeds();
        let state = self.state(what);
        self.plain().succeeds();
        assert_same(&self.whole, &seen(&self.layout()), what);
        state
    }

    #[track_caller]
    fn state(&self, what: &str) -> State {
        let now = seen(&self.layout());
        if now == self.whole {
            return State::New;
        }
        let old = seen(&self.home.path().join("pristine"));
        assert_eq!(now[Path::new("index.json")], old[Path::new("index.json")], "{what}: neither the old names nor the new ones");
        if now != old {
            // Content without a name may be there, if it is right.
            let apart = self.home.path().join("apart");
            let _ = fs::remove_dir_all(&apart);
            Command::new("cp").arg("-a").args([self.layout(), apart.clone()]).succeeds();
            stagings(&apart).into_iter().for_each(|staging| fs::remove_dir_all(staging).expect("ours"));
            assert_layout_is_sound(&apart);
        }
        State::Old
    }
}

/// What a layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Old,
    New,
}

/// Everything in a layout, but for what a killed or failed writer could not remove, which is not in the way of anybody.
fn seen(layout: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = snapshot(layout);
    all.retain(|path, _| !path.to_string_lossy().starts_with(".larder"));
    all
}

const TAG: &[&str] = &["tag", "LAYOUT:first", "second", "--quiet"];
const BUILD: &[&str] = &["build", "CONTEXT", "--no-cache", "--jobs", "1", "--quiet", "-o", "LAYOUT"];

#[track_caller]
fn kill_at_every_call(operation: &[&str]) {
    let Some(bench) = Bench::of(operation) else { return };
    let mut killed = 0;
    for call in CALLS {
        for number in 1..MOST {
            bench.restore();
            let what = format!("killed at {call} {number}");
            let Some(output) = bench.with(call, &format!("signal=KILL:when={number}")) else { break };
            assert!(output.status.signal().is_some(), "{what}: {output:?}");
            killed += 1;
            bench.is_old_or_new_and_goes_on(&what);
        }
    }
    assert!(killed > 10, "only {killed} calls were seen");
}

#[test]
fn cra_01_and_02_tag_killed_at_every_call() {
    kill_at_every_call(TAG);
}

#[test]
fn cra_01_and_02_build_killed_at_every_call() {
    kill_at_every_call(BUILD);
}

/// Lets every call fail in turn. It may not matter, or it is an error of the machine; what is reported as done is done.
#[track_caller]
fn fail_at_every_call(operation: &[&str], errors: &[&str]) {
    let Some(bench) = Bench::of(operation) else { return };
    let mut failed = 0;
    for (call, error) in CALLS.iter().flat_map(|call| errors.iter().map(move |error| (call, error))) {
        for number in 1..MOST {
            bench.restore();
            let what = format!("{error} at {call} {number}");
            let Some(output) = bench.with(call, &format!("error={error}:when={number}")) else { break };
            let ran = Ran::from(output);
            let state = bench.is_old_or_new_and_goes_on(&what);
            match ran.code {
                // After a sync that failed nobody knows what is on the disk.
                Some(0) => assert!(state == State::New && !call.ends_with("sync"), "{what}: it said that it was done"),
                Some(1) => assert_eq!(ran.error()["code"], "io", "{what}: {ran:?}"),
                _ => panic!("{what}: {ran:?}"),
            }
            failed += usize::from(ran.code == Some(1));
        }
    }
    assert!(failed > 10, "only {failed} calls failed");
}

#[test]
fn cra_07_and_09_tag_with_every_call_failing() {
    fail_at_every_call(TAG, &["EIO", "ENOSPC"]);
}

#[test]
fn cra_07_and_09_build_with_every_call_failing() {
    fail_at_every_call(BUILD, &["EIO"]);
}

/// What is done although these calls fail in this way.
#[track_caller]
fn is_done_all_the_same(bench: &Bench, call: &str, fault: &str, options: &[&str]) {
    bench.restore();
    let what = format!("{call}:{fault}");
    let output = bench.with_options(call, fault, options).unwrap_or_else(|| panic!("{what}: there is no such call"));
    assert!(output.status.success(), "{what}: {output:?}");
    assert_same(&bench.whole, &seen(&bench.layout()), &what);
}

#[test]
fn cra_12_interrupted_calls_are_made_again() {
    for operation in [TAG, BUILD] {
        let Some(bench) = Bench::of(operation) else { return };
        // The loader of programs, which reads first, does not do so.
        for (call, when) in [("read", "6+2"), ("write", "1+2"), ("fsync", "1+2"), ("flock", "1+2")] {
            is_done_all_the_same(&bench, call, &format!("error=EINTR:when={when}"), &[]);
        }
        is_done_all_the_same(&bench, "openat2", "error=EAGAIN:when=1+2", &[]);
    }
}

#[test]
fn cra_13_what_the_kernel_or_a_sandbox_does_not_allow_is_done_in_another_way() {
    for operation in [TAG, BUILD] {
        let Some(bench) = Bench::of(operation) else { return };
        for (call, error) in [("openat2", "ENOSYS"), ("openat2", "EPERM"), ("statx", "ENOSYS"), ("fadvise64", "EINVAL"), ("getrandom", "ENOSYS")] {
            // Not every operation makes every call.
            bench.restore();
            if let Some(output) = bench.with(call, &format!("error={error}")) {
                assert!(output.status.success(), "{call} {error}: {output:?}");
                assert_same(&bench.whole, &seen(&bench.layout()), call);
            }
        }
        is_done_all_the_same(&bench, "openat2", "error=ENOSYS", &[]);
    }
}

/// Some network file systems cannot bring directories to the disk, and say so.
#[test]
fn cra_08_a_directory_that_cannot_be_synced_is_tolerated_and_a_file_is_not() {
    let Some(bench) = Bench::of(TAG) else { return };
    let layout = bench.layout();
    for error in ["EINVAL", "EOPNOTSUPP"] {
        is_done_all_the_same(&bench, "fsync", &format!("error={error}"), &["-P", layout.to_str().expect("UTF-8")]);
    }
    bench.restore();
    let failed = Ran::from(bench.with("fsync", "error=EINVAL:when=1").expect("the new index"));
    assert_eq!((failed.code, &failed.error()["code"]), (Some(1), &"io".into()), "{failed:?}");
    assert_eq!(bench.state("a file that was not synced"), State::Old);
}

#[test]
fn cra_19_a_file_system_without_locks_can_be_read_and_not_written() {
    for command in ["list", "verify"] {
        let Some(mut bench) = Bench::of(TAG) else { return };
        bench.operation = vec![command.to_owned(), "LAYOUT".to_owned()];
        bench.restore();
        let output = bench.with("flock", "error=ENOLCK").expect("it locks");
        assert!(output.status.success(), "{output:?}");
    }
    let Some(bench) = Bench::of(TAG) else { return };
    bench.restore();
    let refused = Ran::from(bench.with("flock", "error=ENOLCK").expect("it locks"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error()["hint"].as_str().is_some_and(|hint| hint.contains("flock")), "{refused:?}");
    assert_eq!(bench.state("no locks"), State::Old);
}
