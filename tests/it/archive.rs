//! Archives, from the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::image::{Ran, ran, read_index};
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

const SCHEMES: [&str; 2] = ["oci-archive", "docker-archive"];

/// A directory with the sample in the layout `hello`.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(temp());
        let context = checkout("testdata/hello");
        succeeded(&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &place.at("oci", "hello")]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}/{name}", self.0.path().display())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("there")
    }
}

#[track_caller]
fn succeeded(arguments: &[&str]) -> Ran {
    let ran = ran(arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

#[track_caller]
fn failure(arguments: &[&str]) -> Value {
    let ran = ran(&[arguments, &["--format", "json"]].concat());
    assert_eq!(ran.stdout, "");
    ran.error()
}

fn names(location: &str) -> Vec<String> {
    let report = succeeded(&["list", "--format", "json", location]).json();
    report["names"].as_array().expect("a list").iter().map(|entry| entry["name"].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn arc_20_images_go_into_archives_and_come_back_as_they_were() {
    let place = Place::new();
    for scheme in SCHEMES {
        let (archive, back) = (place.at(scheme, scheme), format!("back-{scheme}"));
        succeeded(&["copy", "--all-names", &place.at("oci", "hello"), &archive]);
        assert_eq!(names(&archive), names(&place.at("oci", "hello")));
        succeeded(&["verify", "--deep", &archive]);
        succeeded(&["copy", "--all-names", &archive, &place.at("oci", &back)]);
        assert_eq!(read_index(&place.path(&back)), read_index(&place.path("hello")));
        assert_layout_is_sound(&place.path(&back));
        let again = place.at(scheme, &format!("again-{scheme}"));
        succeeded(&["copy", "--all-names", &place.at("oci", &back), &again]);
        assert!(place.bytes(&format!("again-{scheme}")) == place.bytes(scheme), "a copy of a copy has the same bytes");
    }
}

#[test]
fn arc_19_the_bytes_do_not_depend_on_threads_sources_or_where_they_go() {
    let place = Place::new();
    for scheme in SCHEMES {
        let expected = {
            succeeded(&["copy", "--all-names", "--jobs", "1", &place.at("oci", "hello"), &place.at(scheme, "one")]);
            place.bytes("one")
        };
        succeeded(&["copy", "--all-names", "--jobs", "8", &place.at("oci", "hello"), &place.at(scheme, "eight")]);
        succeeded(&["copy", "--all-names", &place.at(scheme, "one"), &place.at(scheme, "of-archive")]);
        let mut to_stdout = larder();
        to_stdout.args(["copy", "--all-names", &place.at("oci", "hello"), &format!("{scheme}:-")]);
        let output = to_stdout.stdout(fs::File::create(place.path("stdout")).expect("created")).stderr(Stdio::piped()).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        for name in ["eight", "of-archive", "stdout"] {
            assert!(place.bytes(name) == expected, "{scheme} {name}");
            fs::remove_file(place.path(name)).expect("there");
        }
        fs::remove_file(place.path("one")).expect("there");
    }
}

#[test]
fn what_is_built_into_an_archive_is_what_a_copy_would_be() {
    let place = Place::new();
    let context = checkout("testdata/hello");
    let build = |arguments: &[&str]| succeeded(&[&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet"], arguments].concat());
    for scheme in SCHEMES {
        succeeded(&["copy", "--quiet", "--all-names", &place.at("oci", "hello"), &place.at(scheme, "copied")]);
        build(&["-o", &place.at(scheme, "built")]);
        assert!(place.bytes("built") == place.bytes("copied"), "{scheme}");
        build(&["-o", &place.at(scheme, "beside"), "-o", &place.at("oci", "layout"), "-o", &place.at(scheme, "named:other")]);
        assert!(place.bytes("beside") == place.bytes("copied"), "{scheme}");
        assert_eq!(names(&place.at(scheme, "named")), ["other"]);
        assert_eq!(read_index(&place.path("layout")), read_index(&place.path("hello")));
        assert_layout_is_sound(&place.path("layout"));
        let output =
            larder().args(["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &format!("{scheme}:-")]).output().expect("it starts");
        assert!(output.status.success() && output.stdout == place.bytes("copied"), "{scheme}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{scheme}:-")));
        // The layout that was there for a while is gone.
        let left: Vec<_> = fs::read_dir(place.0.path()).expect("there").map(|entry| entry.expect("there").file_name().into_string().expect("UTF-8")).collect();
        assert_eq!(left.len(), 6, "{left:?}");
        ["copied", "built", "beside", "named"].iter().for_each(|name| fs::remove_file(place.path(name)).expect("there"));
        fs::remove_dir_all(place.path("layout")).expect("there");
    }
}

#[test]
fn nothing_is_built_for_an_output_that_cannot_be_written() {
    let place = Place::new();
    fs::write(place.path("notes"), "not an archive").expect("writable");
    let context = checkout("testdata/hello");
    let arguments =
        ["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &place.at("oci", "new"), "-o", &place.at("oci-archive", "notes")];
    assert_eq!(failure(&arguments)["code"], "conflict");
    assert!(!place.path("new").exists());
    assert_eq!(place.bytes("notes"), b"not an archive");
}

#[test]
fn stdout_carries_the_archive_and_stderr_the_report() {
    let place = Place::new();
    for (format, report) in [("text", "copied to oci-archive:-"), ("json", r#"{"destination":"oci-archive:-""#)] {
        let output =
            larder().args(["copy", "--all-names", "--quiet", "--format", format, &place.at("oci", "hello"), "oci-archive:-"]).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(report), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(place.path("x.tar"), &output.stdout).expect("writable");
        succeeded(&["verify", &place.at("oci-archive", "x.tar")]);
    }
}

#[test]
fn a_pipeline_needs_no_file() {
    let place = Place::new();
    let mut from = larder();
    let mut from = from
        .args(["copy", "--all-names", &place.at("oci", "hello"), "docker-archive:-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut to = larder();
    to.args(["copy", "--all-names", "docker-archive:-", &place.at("oci", "there")]).stdin(from.stdout.take().expect("a pipe")).succeeds();
    assert!(from.wait().expect("it ends").success());
    assert_eq!(read_index(&place.path("there")), read_index(&place.path("hello")));
    assert_layout_is_sound(&place.path("there"));
}

#[test]
fn arc_11_compressed_archives_are_read_and_not_added_to() {
    let place = Place::new();
    succeeded(&["copy", "--all-names", &place.at("oci", "hello"), &place.at("oci-archive", "x.tar")]);
    for (program, suffix) in [("gzip", "gz"), ("zstd", "zst")] {
        let Some(program) = tool(program) else { return };
        Command::new(program).args(["-q", "-k"]).arg(place.path("x.tar")).succeeds();
        let packed = place.at("oci-archive", &format!("x.tar.{suffix}"));
        assert_eq!(names(&packed), names(&place.at("oci", "hello")));
        succeeded(&["verify", &packed]);
        assert_eq!(failure(&["copy", "--all-names", &place.at("oci", "hello"), &packed])["code"], "unsupported");
    }
}

#[test]
fn images_are_added_to_an_archive_and_every_tar_sees_the_last_index() {
    let place = Place::new();
    for name in ["one", "two", "three"] {
        succeeded(&["copy", &place.at("oci", "hello:1.4.2"), &place.at("oci-archive", &format!("x.tar:{name}"))]);
    }
    assert_eq!(names(&place.at("oci-archive", "x.tar")), ["one", "two", "three"]);
    let archive = place.path("x.tar");
    let unpackers: [(&str, &[&str]); 2] = [("tar", &["-xf"]), ("bsdtar", &["-xf"])];
    for (program, arguments) in unpackers {
        let Some(tar) = tool(program) else { return };
        let directory = temp();
        Command::new(tar).args(arguments).arg(&archive).arg("-C").arg(directory.path()).succeeds();
        fs::remove_file(directory.path().join("superseded-index.json")).expect("what an older index became");
        assert_eq!(assert_layout_is_sound(directory.path()).names, ["one", "two", "three"], "{program}");
    }
    let script = "import sys, tarfile; print(tarfile.open(sys.argv[1]).extractfile('index.json').read().decode())";
    let index = Command::new("python3").args(["-c", script]).arg(&archive).succeeds();
    assert_eq!(serde_json::from_str::<Value>(&index).expect("JSON")["manifests"].as_array().expect("a list").len(), 3);
}

#[test]
fn arc_18_an_export_that_fails_leaves_no_file_and_a_pipe_that_closes_is_a_failure() {
    let place = Place::new();
    let layer = fs::read_dir(place.path("hello/blobs/sha256"))
        .expect("there")
        .map(|entry| entry.expect("there").path())
        .min_by_key(|path| fs::metadata(path).expect("there").len());
    fs::write(layer.expect("a blob"), "damaged").expect("writable");
    for scheme in SCHEMES {
        let error = failure(&["copy", "--all-names", &place.at("oci", "hello"), &place.at(scheme, "x.tar")]);
        assert_eq!(error["code"], "corrupt");
        assert!(!place.path("x.tar").exists());
    }
    let left: Vec<_> = fs::read_dir(place.0.path()).expect("there").map(|entry| entry.expect("there").file_name()).collect();
    assert_eq!(left, ["hello"]);
    let place = Place::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let output = larder().args(["copy", "--all-names", &place.at("oci", "hello"), "oci-archive:-"]).stdout(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to stdout"), "{output:?}");
}

#[test]
fn an_archive_is_not_read_from_a_terminal_and_other_files_are_left_alone() {
    let place = Place::new();
    assert_eq!(failure(&["list", "oci-archive:-"])["code"], "usage");
    fs::write(place.path("notes"), "not an archive").expect("writable");
    for scheme in SCHEMES {
        assert_eq!(failure(&["copy", "--all-names", &place.at("oci", "hello"), &place.at(scheme, "notes")])["code"], "conflict");
        assert_eq!(failure(&["list", &place.at(scheme, "notes")])["code"], "corrupt");
        assert_eq!(failure(&["list", &place.at(scheme, "absent")])["code"], "not_found");
    }
    assert_eq!(place.bytes("notes"), b"not an archive");
}

#[test]
fn docker_archives_say_what_the_older_docker_will_not_see() {
    let place = Place::new();
    let ran = succeeded(&["copy", &place.at("oci", "hello:1.4.2"), &place.at("docker-archive", "x.tar")]);
    assert!(ran.stderr.contains("linux/amd64") && ran.stderr.contains("2 other platforms"), "{ran:?}");
    let ran = succeeded(&["copy", "--platform", "linux/arm64", &place.at("oci", "hello:1.4.2"), &place.at("docker-archive", "y.tar")]);
    assert_eq!(ran.stderr, "");
}

/// Adds an image to an archive while strace kills larder at its n-th write into the archive. Returns whether it was killed.
fn killed_at(strace: &Path, archive: &Path, place: &Place, call: &str, number: usize) -> bool {
    let inject = format!("inject={call}:signal=KILL:when={number}");
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(archive).args(["-e", &inject]).arg(env!("CARGO_BIN_EXE_larder"));
    command.args(["copy", "--quiet", "--jobs", "1", &place.at("oci", "other:other"), &format!("oci-archive:{}", archive.display())]);
    !command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace starts").success()
}

#[test]
fn cra_01_whoever_is_killed_while_adding_leaves_the_old_archive_or_the_new_one() {
    let Some(strace) = tool("strace") else { return };
    let place = Place::new();
    succeeded(&["copy", "--platform", "linux/amd64", &place.at("oci", "hello:1.4.2"), &place.at("oci-archive", "old.tar:first")]);
    let file = checkout("testdata/hello/hello.c");
    let layer = format!("{}=/", file.to_str().expect("UTF-8"));
    succeeded(&[
        "build",
        place.0.path().to_str().expect("UTF-8"),
        "--copy",
        &layer,
        "--platform",
        "linux/amd64",
        "--no-cache",
        "--quiet",
        "-o",
        &place.at("oci", "other:other"),
    ]);
    let (old, archive) = (place.bytes("old.tar"), place.path("x.tar"));
    for call in ["pwrite64", "fsync", "ftruncate"] {
        for number in 1.. {
            fs::write(&archive, &old).expect("writable");
            let killed = killed_at(&strace, &archive, &place, call, number);
            let found = names(&place.at("oci-archive", "x.tar"));
            assert!(found == ["first"] || found == ["first", "other"], "{call} {number}: {found:?}");
            succeeded(&["verify", &place.at("oci-archive", "x.tar")]);
            succeeded(&["copy", "--quiet", &place.at("oci", "other:other"), &place.at("oci-archive", "x.tar")]);
            assert_eq!(names(&place.at("oci-archive", "x.tar")), ["first", "other"], "whoever comes next finishes");
            if !killed {
                assert!(number > 1, "{call} was met");
                break;
            }
        }
    }
}
