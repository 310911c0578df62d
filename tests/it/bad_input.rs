//! Input that cannot be meant: one error that names the place and the remedy, the exit code of its kind, and nothing written anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::context;
use crate::support::image::Ran;
use crate::support::process::{Runs as _, larder, temp};
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::sound::assert_layout_is_sound;

/// A place to work: `out` is a layout with one image, `context` holds a program for amd64 and one for arm64, and some things are no layouts.
struct Place {
    home: TempDir,
}

impl Place {
    fn new() -> Place {
        let home = temp();
        let at = |path: &str| home.path().join(path);
        context::write(&at("first"), "first");
        context::build(&at("first"), &at("out")).succeeds();
        for architecture in ["amd64", "arm64"] {
            fs::create_dir_all(at("context/dist").join(architecture)).expect("writable");
            fs::write(at("context/dist").join(architecture).join("app"), architecture).expect("writable");
        }
        let write = |path: &str, text: &str| fs::write(at(path), text).expect("writable");
        for directory in ["occupied", "old", "empty-index", "half", "empty"] {
            fs::create_dir(at(directory)).expect("writable");
        }
        write("file", "no directory");
        write("occupied/precious", "somebody's");
        write("old/oci-layout", r#"{"imageLayoutVersion":"9.0.0"}"#);
        write("old/index.json", r#"{"schemaVersion":2,"manifests":[]}"#);
        for (directory, index) in [("empty-index", ""), ("half", r#"{"schemaVersion":2,"#)] {
            write(&format!("{directory}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
            write(&format!("{directory}/index.json"), index);
        }
        Place { home }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Runs a command that must fail with this exit code, for people and for programs, and change nothing. Returns what programs are told.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], exit: i32) -> Value {
        let before = self.snapshot();
        let (command, rest) = arguments.split_first().expect("a command");
        let run = |format: &str| {
            let mut larder = larder();
            larder.args([command, "--format", format]).args(rest).current_dir(self.home.path());
            Ran::from(larder.output().expect("it starts"))
        };
        let (text, json) = (run("text"), run("json"));
        assert_eq!((text.code, json.code), (Some(exit), Some(exit)), "{arguments:?}: {text:?}");
        assert_eq!((text.stdout.as_str(), json.stdout.as_str()), ("", ""), "{arguments:?}");
        let error = json.error();
        assert_eq!(json.stderr.lines().count(), 1, "{json:?}");
        // The same in both: the message, then its causes, then at most one hint.
        let shown = |value: &Value| value.as_str().expect("text").to_owned();
        let causes = error["causes"].as_array().expect("a list").iter().map(|cause| format!("  caused by: {}", shown(cause)));
        let hint = error["hint"].as_str().map(|hint| format!("  hint: {hint}"));
        let expected: Vec<String> = [format!("error: {}", shown(&error["message"]))].into_iter().chain(causes).chain(hint).collect();
        assert_eq!(text.stderr.lines().collect::<Vec<_>>(), expected, "{arguments:?}");
        assert_same(&before, &self.snapshot(), &format!("{arguments:?}"));
        error
    }

    /// Everything there is, but for the lock files of layouts whose index cannot be read: who wants to write has to lock before he reads.
    fn snapshot(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut all = snapshot(self.home.path());
        for broken in ["empty-index", "half"] {
            all.remove(&Path::new(broken).join("index.json.lock"));
        }
        all
    }
}

/// All that an error says, its hint apart.
fn words(error: &Value) -> String {
    let causes = error["causes"].as_array().expect("a list").iter().filter_map(Value::as_str);
    error["message"].as_str().into_iter().chain(causes).collect::<Vec<_>>().join(": ")
}

/// The two platforms that all specifications here are for; their own lines begin with the third.
const HEAD: &str = "platforms = [\"linux/amd64\", \"linux/arm64\"]\n[[layer]]\n";

/// A specification behind [`HEAD`], its exit code, what the error begins with, and words of the hint.
type Case = (&'static str, i32, &'static str, &'static str);

const SPECIFICATIONS: &[Case] = &[
    ("[[layer.copy]]\nform = 'dist'\nto = '/x'\n", 2, "context/larder.toml:4:1: unknown key `form` in [[layer.copy]]", "did you mean `from`?"),
    ("[[layer.copi]]\nfrom = 'dist'\nto = '/x'\n", 2, "context/larder.toml:3:9: unknown key `copi` in [[layer]]", "did you mean `copy`?"),
    ("[confg]\nuser = '0'\n", 2, "context/larder.toml:3:2: unknown key `confg` at the top level", "did you mean `config`?"),
    ("rootfs = 'dist'\n[config]\nentry-point = ['/x']\n", 2, "context/larder.toml:5:1: unknown key `entry-point` in [config]", "did you mean `entrypoint`?"),
    ("rootfs = 'dist'\n[config]\nzzz = 1\n", 2, "context/larder.toml:5:1: unknown key `zzz` in [config]", "the keys are entrypoint, cmd, env"),
    ("[[layer.copy]]\nfrom = 'dist/{arhc}'\nto = '/x'\n", 2, "context/larder.toml:4:8: unknown field `{arhc}`, did you mean {arch}?", "the fields are"),
    ("[[layer.copy]]\nfrom = 'dist/{os}-{arch}'\nto = '/x'\n", 4, "context/larder.toml:4:8: source `dist/linux-amd64` for platform linux/amd64", "`platforms`"),
    ("[[layer.copy]]\nfrom = 'dist'\nto = 'x'\n", 2, "context/larder.toml:5:6: destination `x` does not begin with `/`", "write `/x`"),
    (
        "[[layer.copy]]\nfrom = 'dist'\nto = '/x/../../etc'\n",
        2,
        "context/larder.toml:5:6: destination `/x/../../etc` has a `..`",
        "the path that it stands for",
    ),
    ("[[layer.file]]\nto = '/..'\ncontent = ''\n", 2, "context/larder.toml:4:6: destination `/..` has a `..`", "the path that it stands for"),
    ("[[layer.remove]]\npath = '/../etc'\n", 2, "context/larder.toml:4:8: destination `/../etc` has a `..`", "the path that it stands for"),
    ("[[layer.symlink]]\nto = '/'\ntarget = '/etc'\n", 2, "context/larder.toml:4:6: the root of the image cannot be the destination", ""),
    (
        "[[layer.file]]\nto = '/a'\ncontent = '1'\n[[layer.file]]\nto = '//a'\ncontent = '2'\n",
        2,
        "context/larder.toml:6:1: `/a` is made twice in this layer",
        "the first is at context/larder.toml:3:1",
    ),
    (
        "[[layer.file]]\nto = '/a'\ncontent = '1'\n[[layer.symlink]]\nto = '/a/b'\ntarget = 'c'\n",
        2,
        "context/larder.toml:6:1: `/a/b` is below `/a`, which is not a directory",
        "the first is at context/larder.toml:3:1",
    ),
    ("[[layer.file]]\nto = '/a'\ncontent = 1\n", 2, "context/larder.toml:5:11: `content` must be a string, not an integer", ""),
    ("[[layer.file]]\nto = '/a'\ncontent = ''\nmode = '0999'\n", 2, "context/larder.toml:6:8: `0999` is not a mode", "\"0755\""),
    ("[[layer.file]]\nto = '/a'\ncontent = ''\nowner = 'root'\n", 2, "context/larder.toml:6:9: `root` is not an owner", "\"0:0\""),
    ("rootfs = 'dist'\ntar = 'x.tar'\n", 2, "context/larder.toml:4:7: a layer is made of `rootfs` or of `tar`", "two [[layer]]"),
    ("tar = 'x.tar'\n", 4, "context/larder.toml:3:7: source `x.tar`", "looked at context/x.tar"),
    ("", 2, "context/larder.toml:2:1: this layer is empty", "[[layer.copy]]"),
    ("rootfs = 'dist'\n[config]\nenv = { 'A=B' = 'x' }\n", 2, "context/larder.toml:5:17: `A=B` is not the name of a variable", ""),
    ("rootfs = 'dist'\n[config]\nuser = '0'\nuser = '1'\n", 2, "context/larder.toml:6:1: duplicate key", ""),
    ("rootfs = 'dist\n", 2, "context/larder.toml:3:", ""),
];

#[test]
fn a_specification_that_cannot_be_met_is_one_error_with_file_line_and_column() {
    let place = Place::new();
    for (toml, exit, begin, hint) in SPECIFICATIONS {
        fs::write(place.path("context/larder.toml"), format!("{HEAD}{toml}")).expect("writable");
        for output in ["oci:out", "oci:new"] {
            let error = place.refuses(&["build", "context", "--no-cache", "-o", output], *exit);
            assert!(words(&error).starts_with(begin), "{toml}: {error}");
            assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{toml}: {error}");
        }
    }
    // Bytes that are no text at all.
    fs::write(place.path("context/larder.toml"), b"name = \"\xff\"").expect("writable");
    let error = place.refuses(&["build", "context", "--no-cache", "-o", "oci:out"], 2);
    assert!(words(&error).starts_with("context/larder.toml"), "{error}");
    assert_layout_is_sound(&place.path("out"));
}

#[test]
fn every_platform_is_looked_at_before_anything_is_built() {
    let place = Place::new();
    let platforms = "platforms = [\"linux/amd64\", \"linux/arm64\", \"linux/riscv64\"]\n";
    fs::write(place.path("context/larder.toml"), format!("{platforms}[[layer]]\n[[layer.copy]]\nfrom = 'dist/{{arch}}'\nto = '/x'\n")).expect("writable");
    let error = place.refuses(&["build", "context", "--no-cache", "-o", "oci:out"], 4);
    assert!(words(&error).starts_with("context/larder.toml:4:8: source `dist/riscv64` for platform linux/riscv64 cannot be found"), "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("context/dist/riscv64")), "{error}");
}

#[test]
fn a_layout_that_is_none_is_left_alone() {
    let place = Place::new();
    // What it is, and how each way to use it ends: reading, naming, building into it.
    let cases = [
        ("occupied", 3, 3, 5, "occupied is n"),
        ("file", 3, 3, 5, "file is not an image layout: it is not a directory"),
        ("old", 6, 6, 6, "old/oci-layout: imageLayoutVersion is \"9.0.0\""),
        ("empty-index", 3, 3, 3, "empty-index/index.json is empty"),
        ("half", 3, 3, 3, "cannot read half/index.json: invalid JSON"),
        ("absent", 4, 4, 0, "cannot open directory absent"),
        ("empty", 3, 3, 0, "empty is not an image layout: it has no `oci-layout` file"),
    ];
    for (layout, read, name, build, why) in cases {
        let location = format!("oci:{layout}");
        let image = format!("{location}:x");
        let mut all: Vec<(Vec<&str>, i32)> = vec![
            (vec!["list", &location], read),
            (vec!["tag", &image, "y"], name),
            (vec!["untag", &image], name),
            (vec!["build", "--copy", "context/dist=/x", "--platform", "linux/amd64", "--no-cache", "-o", &location], build),
        ];
        // A broken index is what verification is for: it is a finding there.
        if !layout.contains("index") && layout != "half" {
            all.push((vec!["verify", &location], read));
        }
        for (arguments, exit) in all.iter().filter(|(_, exit)| *exit != 0) {
            let error = place.refuses(arguments, *exit);
            assert!(words(&error).contains(why), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn lay_64_names_outside_the_grammar_are_refused_wherever_they_come_from() {
    let place = Place::new();
    let long = "x".repeat(129);
    let tags = ["", " ", "a b", ".hidden", "new\nline", "tab\t", "\u{1b}[31mred", "größe", "x*", &long];
    let references = ["UPPER/case:1", "a:", "a:b:c d", "../../etc/passwd", "/absolute", "x@sha256:aa", "a//b:1"];
    for name in tags.iter().chain(&references) {
        let error = place.refuses(&["tag", "oci:out:first", "--", name], 2);
        assert!(words(&error).contains("invalid"), "{name:?}: {error}");
        let build = ["build", "--copy", "context/dist=/x", "--platform", "linux/amd64", "--no-cache", "-o", "oci:out"];
        // There a word alone may be a repository.
        if *name != long.as_str() && *name != "/absolute" {
            let error = place.refuses(&[&build[..], &[&format!("--tag={name}")]].concat(), 2);
            assert!(words(&error).contains("--tag"), "{name:?}: {error}");
        }
        // Foreign text cannot move the cursor or add lines.
        assert!(words(&error).chars().all(|c| !c.is_control()), "{error}");
    }
    assert_eq!(assert_layout_is_sound(&place.path("out")).names, ["first"]);
}
