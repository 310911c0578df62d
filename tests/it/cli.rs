//! What holds for every command line: what it prints where, and how it ends.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::support::handmade::Handmade;
use crate::support::process::{Runs as _, larder, temp};

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

/// Names of all commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = larder().arg("--help").succeeds();
    let list = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned)).filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
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
fn ops_09_wrong_arguments_are_one_error_and_exit_2() {
    let long = "x".repeat(100_000);
    for arguments in [&["--bogus"][..], &["list", "--bogus"], &["list"], &["nonsense"], &[], &["--jobs", "0"], &["list", "x", "--format", "yaml"], &[&long]] {
        let text = ran(larder().args(arguments));
        assert_eq!((text.code, text.stdout.as_str()), (Some(2), ""), "{text:?}");
        assert!(text.stderr.starts_with("error: ") && text.stderr.contains("\n  hint: "), "{text:?}");
        let json = ran(larder().args(arguments).args(["--format", "json"]));
        assert_eq!((json.code, &json.error()["code"]), (Some(2), &Value::from("usage")), "{json:?}");
    }
}

#[test]
fn ops_09_a_closed_stdout_is_a_quiet_end() {
    let layout = Handmade::create();
    for arguments in [&["--help"][..], &["list", layout.location()], &["inspect", layout.location(), "--format", "json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let closed = ran(larder().args(arguments).stdout(writer));
        assert_eq!((closed.code, closed.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_full_stdout_is_an_error() {
    let layout = Handmade::create();
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let failed = ran(larder().args(["list", layout.location(), "--format", "json"]).stdout(full));
    assert_eq!((failed.code, &failed.error()["code"]), (Some(1), &Value::from("io")), "{failed:?}");
}

#[test]
fn bad_variables_are_named() {
    for (name, value) in [("LARDER_JOBS", "0"), ("LARDER_PROGRESS", "loud"), ("SOURCE_DATE_EPOCH", "yesterday")] {
        let failed = ran(larder().args(["list", "x"]).env(name, value));
        assert_eq!(failed.code, Some(2), "{failed:?}");
        assert!(failed.stderr.contains(name) && failed.stderr.contains(value), "{failed:?}");
    }
}

#[test]
fn a_missing_layout_is_told_with_its_causes() {
    let place = temp();
    let absent = place.path().join("absent");
    let absent = absent.to_str().expect("UTF-8");
    let text = ran(larder().args(["list", absent]));
    assert_eq!((text.code, text.stdout.as_str()), (Some(4), ""), "{text:?}");
    assert!(text.stderr.starts_with("error: ") && text.stderr.contains(absent), "{text:?}");
    let json = ran(larder().args(["list", absent, "--format", "json"]));
    assert_eq!(json.error()["code"], "not_found");
}
