//! What holds for every command line: what it prints where, and how it ends.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::support::process::{Runs as _, checkout, larder, temp};

/// What came of a command line.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    /// The JSON line of a failure that stderr ends with. Its exit code is that of the process, and stdout is empty.
    #[track_caller]
    fn error(&self) -> Value {
        let error: Value = serde_json::from_str(self.stderr.lines().last().expect("a line")).expect("JSON");
        assert_eq!((&error["type"], error["exit"].as_i64()), (&Value::from("error"), self.code.map(i64::from)), "{self:?}");
        assert_eq!(self.stdout, "");
        error
    }
}

/// A command that succeeds, writes nothing but its result, and asks no cache.
fn dry_run() -> Command {
    let mut command = larder();
    command.args(["build", "--dry-run", "--no-cache"]).arg(checkout("testdata/hello"));
    command
}

/// Names of all commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = larder().arg("--help").succeeds();
    let list = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned)).filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = commands();
    assert!(commands.contains(&"build".to_owned()), "{commands:?}");
    for name in commands {
        for flag in ["--help", "-h"] {
            let help = larder().args([&name, flag]).succeeds();
            assert!(help.contains("Example") && help.contains(&format!("\n  larder {name} ")), "{help}");
        }
    }
}

#[test]
fn the_binary_tells_its_version() {
    assert_eq!(larder().arg("--version").succeeds(), concat!("larder ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let told = larder().arg("no-such-command").fails_with(2);
    assert!(told.starts_with("error: ") && told.contains("no-such-command"), "{told}");
}

#[test]
fn ops_09_wrong_arguments_are_one_error_and_exit_2() {
    let long = "x".repeat(100_000);
    for arguments in
        [&["--bogus"][..], &["build", "--bogus"], &["build", "--file"], &["nonsense"], &[], &["--jobs", "0"], &["build", "--progress", "loud"], &[&long]]
    {
        let text = ran(larder().args(arguments));
        assert_eq!((text.code, text.stdout.as_str()), (Some(2), ""), "{text:?}");
        assert!(text.stderr.starts_with("error: ") && text.stderr.contains("\n  hint: "), "{text:?}");
        let json = ran(larder().args(arguments).args(["--format", "json"]));
        assert_eq!((json.code, &json.error()["code"]), (Some(2), &Value::from("usage")), "{json:?}");
    }
}

#[test]
fn ops_09_a_closed_stdout_is_a_quiet_end() {
    let mut help = larder();
    help.arg("--help");
    let mut json = dry_run();
    json.args(["--format", "json"]);
    for mut command in [help, dry_run(), json] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let closed = ran(command.stdout(writer));
        assert_eq!((closed.code, closed.stderr.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn a_full_stdout_is_an_error() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let failed = ran(dry_run().args(["--format", "json"]).stdout(full));
    assert_eq!((failed.code, &failed.error()["code"]), (Some(1), &Value::from("io")), "{failed:?}");
}

#[test]
fn ops_02_json_is_exactly_one_document() {
    let told = dry_run().args(["--format", "json"]).succeeds();
    assert_eq!(told.lines().count(), 1, "{told}");
    let document: Value = serde_json::from_str(&told).expect("one JSON document");
    assert!(document["platforms"].is_array(), "{told}");
}

#[test]
fn bad_variables_are_named() {
    for (name, value) in [("LARDER_JOBS", "0"), ("LARDER_PROGRESS", "loud"), ("SOURCE_DATE_EPOCH", "yesterday")] {
        let failed = ran(dry_run().env(name, value));
        assert_eq!(failed.code, Some(2), "{failed:?}");
        assert!(failed.stderr.contains(name) && failed.stderr.contains(value), "{failed:?}");
    }
}

#[test]
fn an_absent_context_is_told_for_people_and_for_programs() {
    let place = temp();
    let absent = place.path().join("absent");
    let text = ran(larder().arg("build").arg(&absent).args(["-o", "oci:unused"]).current_dir(place.path()));
    assert_eq!((text.code, text.stdout.as_str()), (Some(4), ""), "{text:?}");
    assert!(text.stderr.starts_with("error: ") && text.stderr.contains(absent.to_str().expect("UTF-8")), "{text:?}");
    let json = ran(larder().arg("build").arg(&absent).args(["-o", "oci:unused", "--format", "json"]).current_dir(place.path()));
    assert_eq!(json.error()["code"], "not_found");
    assert!(!place.path().join("unused").exists());
}

/// Opening a named pipe for reading waits until somebody writes: the build hangs there, as on a slow disk, until the signals come.
#[test]
fn cra_04_a_second_signal_ends_the_process_at_once() {
    let place = temp();
    // Nothing ever comes from this pipe, and reading it cannot be interrupted gently.
    let mut larder = larder();
    larder.args(["copy", "oci-archive:-", "oci:unused"]).stdin(std::process::Stdio::piped());
    let mut child = larder.current_dir(place.path()).spawn().expect("the binary starts");
    let process = rustix::process::Pid::from_child(&child);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // Before it reads, a first signal would end it gently; and one that comes before its handlers are there would end it by itself.
    let mut pipe = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, b"x").expect("a pipe takes a byte");
    while rustix::io::ioctl_fionread(&pipe).expect("a pipe has a length") > 0 || !catches_term(child.id()) {
        assert!(std::time::Instant::now() < deadline, "it reads");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let status = loop {
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        assert!(std::time::Instant::now() < deadline, "it ends");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(143), "{status:?}");
    assert!(!place.path().join("unused").exists());
}

fn catches_term(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << 14) != 0)
}
