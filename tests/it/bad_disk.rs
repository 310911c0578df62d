//! Disks that are full, that cannot be read or written, and files that do not keep still: one clear error, and the layout as it was.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::context::{self, noise, oci};
use crate::support::image::{Ran, read_index};
use crate::support::mount::Mount;
use crate::support::process::{Companion, Runs as _, has_open, larder, larder_as_nobody, temp};
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// Runs a command that must fail as the machine failed, and returns its error.
#[track_caller]
fn io_error(command: &mut Command) -> Value {
    let ran = Ran::from(command.args(["--format", "json"]).output().expect("the binary starts"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let error = ran.error();
    assert_eq!(error["code"], "io", "{error}");
    error
}

/// All that an error says.
fn words(error: &Value) -> String {
    format!("{} {} {}", error["message"], error["causes"], error["subject"])
}

/// Leaves room for so many more things on a file system.
type Fill = fn(&Path, u64);

fn fill_bytes(place: &Path, left: u64) {
    let state = rustix::fs::statvfs(place).expect("it is mounted");
    let bytes = (state.f_bavail - left) * state.f_frsize;
    fs::write(place.join("filler"), vec![1; usize::try_from(bytes).expect("little")]).expect("there is room");
}

fn fill_inodes(place: &Path, left: u64) {
    fs::create_dir(place.join("filler")).expect("there is room");
    for number in left..rustix::fs::statvfs(place).expect("it is mounted").f_favail {
        fs::write(place.join("filler").join(number.to_string()), "").expect("there is room");
    }
}

/// Gives a command less and less to do without room: first none at all, then one block or file more each time, until it succeeds.
/// Whatever could not be written, nothing has changed, and with room it succeeds.
#[track_caller]
fn sweep(mount: &Mount, fill: Fill, pristine: &Path, command: impl Fn(&Path) -> Command) {
    let layout = mount.path().join("layout");
    let index = fs::read(pristine.join("index.json")).expect("there");
    for left in 0..100 {
        let _ = fs::remove_dir_all(&layout);
        Command::new("cp").arg("-a").arg(pristine).arg(&layout).succeeds();
        fill(&mount.path(), left);
        let ran = Ran::from(command(&layout).args(["--format", "json"]).output().expect("the binary starts"));
        let filler = mount.path().join("filler");
        fs::remove_file(&filler).or_else(|_| fs::remove_dir_all(&filler)).expect("ours");
        if ran.code == Some(0) {
            assert!(left > 0, "there was room all the time");
            assert_layout_is_sound(&layout);
            return;
        }
        assert_eq!((ran.code, &ran.error()["code"]), (Some(1), &"io".into()), "{ran:?}");
        let error = ran.error();
        assert!(words(&error).contains("No space left on device") && words(&error).contains(layout.to_str().expect("UTF-8")), "{error}");
        assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("room")), "{error}");
        assert_eq!(fs::read(layout.join("index.json")).expect("there"), index, "with room for {left}");
        // Nothing begun is left behind either.
        assert_layout_is_sound(&layout);
        command(&layout).succeeds();
        assert_layout_is_sound(&layout);
    }
    panic!("it never succeeds");
}

#[test]
fn cra_09_and_10_a_full_disk_is_an_error_wherever_it_strikes() {
    let (home, pristine) = context::layout();
    let small = home.path().join("small");
    fs::create_dir(&small).expect("writable");
    fs::write(small.join("content"), noise(10_000, 2)).expect("writable");
    let toml = "tags = [\"second\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n[[layer.copy]]\nfrom = \"content\"\nto = \"/content\"\n";
    fs::write(small.join("larder.toml"), toml).expect("writable");
    for (options, fill) in [("size=4m", fill_bytes as Fill), ("nr_inodes=60", fill_inodes)] {
        let Some(mount) = Mount::memory(options) else { return };
        sweep(&mount, fill, &pristine, |layout| context::build(&small, layout));
        sweep(&mount, fill, &pristine, |layout| {
            let mut command = larder();
            command.args(["tag", &format!("{}:first", oci(layout)), "second"]);
            command
        });
    }
}

#[test]
fn cra_09_a_layer_larger_than_the_disk_is_an_error_and_its_begin_is_removed() {
    let Some(mount) = Mount::memory("size=6m") else { return };
    let (home, layout) = (temp(), mount.path().join("layout"));
    let (first, large) = (home.path().join("first"), home.path().join("large"));
    context::write(&first, "first");
    context::build(&first, &layout).succeeds();
    context::write(&large, "large");
    fs::write(large.join("own"), noise(20 << 20, 3)).expect("writable");
    let index = fs::read(layout.join("index.json")).expect("there");
    for jobs in ["1", "4"] {
        let error = io_error(context::build(&large, &layout).args(["--jobs", jobs]));
        // A small layer beside the large one may be the one that finds no room.
        let is_told = ["cannot write the layer to ", "cannot write content to "].iter().any(|what| words(&error).contains(what));
        assert!(is_told && words(&error).contains("No space left on device"), "{error}");
        assert_eq!(fs::read(layout.join("index.json")).expect("there"), index);
        assert_eq!(assert_layout_is_sound(&layout).names, ["first"]);
    }
    // The room is there again.
    context::write(&home.path().join("second"), "second");
    context::build(&home.path().join("second"), &layout).succeeds();
    assert_eq!(assert_layout_is_sound(&layout).names, ["first", "second"]);
}

#[test]
fn cra_10_a_limit_on_the_size_of_files_is_an_error_and_no_signal() {
    let Some(prlimit) = tool("prlimit") else { return };
    let (home, layout) = context::layout();
    let large = home.path().join("large");
    context::write(&large, "large");
    fs::write(large.join("own"), noise(3 << 20, 4)).expect("writable");
    let before = snapshot(&layout);
    let mut limited = Command::new(prlimit);
    limited.arg("--fsize=1000000").arg(env!("CARGO_BIN_EXE_larder")).arg("build").arg(&large).args(["--no-cache", "-o", &oci(&layout)]).env_clear();
    let error = io_error(&mut limited);
    assert!(words(&error).contains("File too large"), "{error}");
    assert_eq!(fs::read(layout.join("index.json")).expect("there"), before[Path::new("index.json")].1);
    assert_eq!(assert_layout_is_sound(&layout).names, ["first"]);
}

#[test]
fn cra_14_a_layout_that_cannot_be_written_can_be_read() {
    let Some(mount) = Mount::memory("size=4m") else { return };
    let (home, layout) = (temp(), mount.path().join("layout"));
    let context = home.path().join("first");
    context::write(&context, "first");
    context::build(&context, &layout).succeeds();
    // Media that were never written by larder have no lock file.
    fs::remove_file(layout.join("index.json.lock")).expect("there");
    mount.make_read_only();
    read_but_not_written(&layout, &context, "Read-only file system", larder);

    let (home, layout) = context::layout();
    fs::remove_file(layout.join("index.json.lock")).expect("there");
    // A directory of root's.
    if larder_as_nobody(home.path()).is_some() {
        read_but_not_written(&layout, &context, "Permission denied", || larder_as_nobody(home.path()).expect("as before"));
    }
}

#[track_caller]
fn read_but_not_written(layout: &Path, context: &Path, why: &str, larder: impl Fn() -> Command) {
    let before = snapshot(layout);
    let place = oci(layout);
    assert!(larder().args(["list", &place]).succeeds().contains("first"));
    for flags in [&["verify"][..], &["verify", "--deep"]] {
        assert!(larder().args(flags).arg(&place).succeeds().contains("no damage found"));
    }
    let image = format!("{place}:first");
    let build = ["build", context.to_str().expect("UTF-8"), "--no-cache", "-o", &place];
    for arguments in [&["tag", &image, "x"][..], &["untag", &image], &build] {
        let error = io_error(larder().args(arguments));
        assert!(words(&error).contains(why), "{error}");
    }
    assert_same(&before, &snapshot(layout), why);
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    let home = temp();
    let Some(_) = larder_as_nobody(home.path()) else { return };
    let layout = home.path().join("home/layout");
    let build = |context: &Path| {
        let mut command = larder_as_nobody(home.path()).expect("as before");
        command.arg("build").arg(context).args(["--no-cache", "-o", &oci(&layout)]);
        command
    };
    let first = home.path().join("first");
    context::write(&first, "first");
    build(&first).succeeds();
    let before = snapshot(&layout);
    for (name, secret) in [("file", "own"), ("specification", "larder.toml"), ("directory", "closed")] {
        let context = home.path().join(name);
        context::write(&context, "second");
        fs::create_dir(context.join("closed")).expect("writable");
        let toml = fs::read_to_string(context.join("larder.toml")).expect("there");
        fs::write(context.join("larder.toml"), format!("{toml}[[layer.copy]]\nfrom = \"closed\"\nto = \"/closed\"\n")).expect("writable");
        fs::set_permissions(context.join(secret), fs::Permissions::from_mode(0o0)).expect("own file");
        let error = io_error(&mut build(&context));
        assert!(words(&error).contains(context.join(secret).to_str().expect("UTF-8")), "{error}");
        assert!(words(&error).contains("Permission denied"), "{error}");
        let after = snapshot(&layout);
        assert_eq!(after[Path::new("index.json")], before[Path::new("index.json")]);
        assert_eq!(assert_layout_is_sound(&layout).names, ["first"]);
    }
}

/// Large enough that nobody reads it before it can be changed.
const SLOW: u64 = 96 << 20;

/// A context with a file that takes long to read, and one that is read after it; and a build of it that stands still while it has the first one open.
struct Reading {
    _home: tempfile::TempDir,
    layout: PathBuf,
    context: PathBuf,
    build: Companion,
}

impl Reading {
    #[track_caller]
    fn of(layer: &str, slow: &str) -> Reading {
        let (home, layout) = context::layout();
        let context = home.path().join("context");
        fs::create_dir_all(context.join("tree")).expect("writable");
        let zeros = |path: &Path, size| fs::File::create(path).and_then(|file| file.set_len(size)).expect("writable");
        zeros(&context.join("tree/a-slow"), SLOW);
        fs::write(context.join("tree/b-next"), "next").expect("writable");
        Command::new("tar").args(["-cf", "archive.tar", "tree"]).current_dir(&context).succeeds();
        fs::write(context.join("larder.toml"), format!("tags = [\"second\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n{layer}\n")).expect("writable");
        let mut build = Companion::start(context::build(&context, &layout).args(["--jobs", "1"]));
        let file = context.join(slow);
        build.wait_until("it had the file open", |process| has_open(process, &file));
        build.signal(Signal::STOP);
        build.wait_until("it stood still", |process| fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") T ")));
        assert!(has_open(build.id(), &file), "the file is still being read");
        Reading { _home: home, layout, context, build }
    }

    /// Lets the build go on, which must fail, naming the file, and leave no trace.
    #[track_caller]
    fn fails(self, file: &str) {
        self.build.signal(Signal::CONT);
        let (status, told) = self.build.ends();
        assert_eq!(status.code(), Some(1), "{told}");
        assert!(told.contains(self.context.join(file).to_str().expect("UTF-8")) && told.contains("changed while it was being read"), "{told}");
        assert_eq!(assert_layout_is_sound(&self.layout).names, ["first"]);
        assert_eq!(read_index(&self.layout)["manifests"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn tar_57_a_file_that_changes_while_it_is_read_is_no_layer() {
    let changes: [fn(&Path); 6] = [
        |file| fs::File::options().append(true).open(file).and_then(|mut file| file.write_all(b"more")).expect("writable"),
        |file| fs::File::options().write(true).open(file).and_then(|file| file.set_len(SLOW - 5000)).expect("writable"),
        |file| fs::File::options().write(true).open(file).and_then(|file| file.set_len(0)).expect("writable"),
        |file| fs::File::options().write(true).open(file).and_then(|mut file| file.write_all(b"other bytes, same length")).expect("writable"),
        |file| fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("own file"),
        |file| {
            fs::write(file.with_extension("new"), "another file").expect("writable");
            fs::rename(file.with_extension("new"), file).expect("one file system");
        },
    ];
    for change in changes {
        let reading = Reading::of("[[layer.copy]]\nfrom = \"tree\"\nto = \"/tree\"", "tree/a-slow");
        change(&reading.context.join("tree/a-slow"));
        reading.fails("tree/a-slow");
    }
}

#[test]
fn tar_57_what_takes_the_place_of_a_planned_file_is_not_read() {
    let changes: [fn(&Path); 5] = [
        |file| fs::write(file, "NEXT").expect("writable"),
        |file| fs::remove_file(file).expect("there"),
        |file| mknodat(CWD, file, FileType::Fifo, Mode::RWXU, 0).expect("made"),
        |file| symlink("/etc/passwd", file).expect("made"),
        |file| fs::create_dir(file).expect("made"),
    ];
    for (number, change) in changes.iter().enumerate() {
        let reading = Reading::of("rootfs = \"tree\"", "tree/a-slow");
        let file = reading.context.join("tree/b-next");
        if number > 1 {
            fs::remove_file(&file).expect("there");
        }
        change(&file);
        reading.fails("tree/b-next");
    }
}

#[test]
fn tar_57_an_archive_that_changes_while_it_is_read_is_no_layer() {
    let changes: [fn(&Path); 3] = [
        |file| fs::File::options().append(true).open(file).and_then(|mut file| file.write_all(&[0; 512])).expect("writable"),
        |file| fs::File::options().write(true).open(file).and_then(|mut file| file.write_all(b"tree")).expect("writable"),
        |file| {
            fs::copy(file, file.with_extension("new")).expect("writable");
            fs::rename(file.with_extension("new"), file).expect("one file system");
        },
    ];
    for change in changes {
        let reading = Reading::of("tar = \"archive.tar\"", "archive.tar");
        change(&reading.context.join("archive.tar"));
        reading.fails("archive.tar");
    }
}
