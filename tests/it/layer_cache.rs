//! `larder build` of a larder.toml, again: what did not change is not read, what changed is never missed, and nothing of the cache reaches the image.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::context::{noise, oci};
use crate::support::image::{Ran, blob_path, manifest_of};
use crate::support::mount::Mount;
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::strace::trace;

/// A context with a layer of files, a layer of a tree and a layer of an archive, with a cache of its own.
struct Pantry {
    _home: TempDir,
    root: PathBuf,
}

const TOML: &str = "tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n[[layer.copy]]\nfrom = \"files\"\nto = \"/files\"\n[[layer]]\nrootfs = \"tree\"\n[[layer]]\ntar = \"archive.tar\"\n";

/// Where the cache is that nobody has to name, below the home directory.
const CACHE: &str = ".cache/larder";

impl Pantry {
    fn new(files: u64) -> Pantry {
        let home = temp();
        let root = home.path().to_owned();
        Pantry { _home: home, root }.filled(files)
    }

    fn filled(self, files: u64) -> Pantry {
        for directory in ["context/files/deep", "context/tree/etc"] {
            fs::create_dir_all(self.path(directory)).expect("writable");
        }
        for number in 0..files {
            self.write(&format!("files/source-{number:02}"), &noise(300_000, number));
        }
        self.write("files/deep/source-deep", b"deep");
        self.write("tree/etc/source-tree", b"tree");
        fs::write(self.path("context/archive.tar"), crate::support::forge::tar(&[("packed", b"packed")])).expect("writable");
        fs::write(self.path("context/larder.toml"), TOML).expect("writable");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path("context").join(name), content).expect("writable");
    }

    /// A build into the layout `out`, in a home of its own.
    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = larder();
        command.arg("build").arg(self.path("context")).args(["--format", "json", "-o", &oci(&self.path(out))]).args(more);
        if !more.contains(&"--compression") {
            command.args(["--compression", "gzip:1"]);
        }
        command.env("HOME", &self.root);
        command
    }

    #[track_caller]
    fn build(&self, out: &str, more: &[&str]) -> Value {
        let ran = Ran::from(self.command(out, more).output().expect("the binary starts"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.json()
    }

    /// The notes of the cache in a folder of it.
    fn notes(&self, folder: &str) -> Vec<PathBuf> {
        let listing = fs::read_dir(self.path(CACHE).join("v1").join(folder)).expect("there");
        let mut notes: Vec<PathBuf> = listing.map(|entry| entry.expect("readable").path()).collect();
        notes.sort();
        notes
    }
}

/// Which layers were taken from the cache.
fn cached(report: &Value) -> Vec<bool> {
    report["layers"].as_array().expect("a list").iter().map(|layer| layer["cached"].as_bool().expect("said")).collect()
}

/// The names of all sources of the context that a build opens. `None` after saying that the test is skipped.
#[track_caller]
fn opened(build: &Command) -> Option<BTreeSet<String>> {
    let trace = trace(build, &["open", "openat", "openat2"])?;
    assert!(trace.contains("larder.toml"), "the trace has what was opened");
    let names = trace.lines().filter_map(|line| line.split('"').nth(1)?.rsplit('/').next());
    Some(names.filter(|name| name.starts_with("source-") || name.ends_with(".tar")).map(str::to_owned).collect())
}

#[test]
fn a_second_build_of_the_same_opens_no_source_and_without_the_cache_all_are_read() {
    let pantry = Pantry::new(3);
    let Some(first) = opened(&pantry.command("out", &[])) else { return };
    assert_eq!(first.len(), 6, "{first:?}");
    // An archive is looked at through a handle; nothing else is.
    let second = opened(&pantry.command("out", &[])).expect("as before");
    assert!(second.iter().all(|name| name == "archive.tar"), "{second:?}");
    let report = pantry.build("out", &[]);
    assert_eq!(cached(&report), [true; 3]);
    // Another layout gets them from the first one, without the sources too.
    let third = opened(&pantry.command("elsewhere", &[])).expect("as before");
    assert!(third.iter().all(|name| name == "archive.tar"), "{third:?}");

    assert_eq!(opened(&pantry.command("out", &["--no-cache"])).expect("as before"), first);
    let fresh = pantry.build("fresh", &["--no-cache"]);
    assert_eq!((cached(&fresh), &fresh["digest"]), (vec![false; 3], &report["digest"]));
    for layout in ["out", "elsewhere", "fresh"] {
        assert_layout_is_sound(&pantry.path(layout));
    }
}

#[test]
fn one_changed_file_costs_its_own_layer_only() {
    let pantry = Pantry::new(1);
    let first = pantry.build("out", &[]);
    pantry.write("tree/etc/source-tree", b"TREE");
    let second = pantry.build("out", &[]);
    assert_eq!(cached(&second), [true, false, true]);
    assert_ne!(second["layers"][1]["digest"], first["layers"][1]["digest"]);
    // Whatever else makes another layer of the same content.
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(pantry.path("context/tree/etc/source-tree"), fs::Permissions::from_mode(0o4711)).expect("own file");
    fs::write(pantry.path("context/archive.tar"), crate::support::forge::tar(&[("packed", b"PACKED")])).expect("writable");
    assert_eq!(cached(&pantry.build("out", &[])), [true, false, false]);
    fs::rename(pantry.path("context/files/deep"), pantry.path("context/files/deeper")).expect("own file");
    assert_eq!(cached(&pantry.build("out", &[])), [false, true, true]);
    fs::write(pantry.path("context/larder.toml"), TOML.replace("to = \"/files\"", "to = \"/files\"\nowner = \"1:1\"")).expect("writable");
    assert_eq!(cached(&pantry.build("out", &[])), [false, true, true]);
    assert_eq!(cached(&pantry.build("out", &["--compression", "none"])), [false; 3]);
    let mut late = pantry.command("out", &[]);
    let late = Ran::from(late.env("SOURCE_DATE_EPOCH", "1000000000").output().expect("the binary starts"));
    assert_eq!(cached(&late.json()), [false; 3]);
    assert_eq!(pantry.build("fresh", &["--no-cache"])["digest"], pantry.build("out", &[])["digest"]);
    assert_layout_is_sound(&pantry.path("out"));
}

/// A file that keeps its name, its size, its inode and its time of modification, and changes as fast as builds end.
#[test]
fn a_file_that_is_written_again_at_once_is_never_taken_for_the_old_one() {
    // With inodes of this size ext4 knows whole seconds only.
    let coarse = Mount::disk_made_with("ext4", 64 << 20, &["-I", "128"]);
    let fine = temp();
    let places = [Some(fine.path().to_owned()), coarse.as_ref().map(Mount::path)];
    for place in places.into_iter().flatten() {
        let context = place.join("context");
        fs::create_dir_all(context.join("files")).expect("writable");
        fs::write(context.join("larder.toml"), "tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n[[layer.copy]]\nfrom = \"files\"\nto = \"/\"\n")
            .expect("writable");
        fs::write(context.join("files/one"), "").expect("writable");
        for round in 0..12 {
            let content = format!("this is round {round:02}");
            let file = fs::File::options().write(true).open(context.join("files/one")).expect("own file");
            std::io::Write::write_all(&mut &file, content.as_bytes()).expect("writable");
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("own file");
            let out = place.join("out");
            let mut build = larder();
            build.arg("build").arg(&context).args(["--compression", "none", "-o", &oci(&out), "--cache-dir"]).arg(place.join("cache")).succeeds();
            let layer = fs::read(blob_path(&out, &manifest_of(&out, "1", "amd64")["layers"][0]["digest"])).expect("there");
            assert!(layer.windows(content.len()).any(|window| window == content.as_bytes()), "{} has the layer of an earlier round", place.display());
        }
    }
}

/// What happens to a note.
type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn notes_that_are_damaged_or_gone_cost_time_and_nothing_else() {
    let pantry = Pantry::new(3);
    let reference = pantry.build("out", &[])["digest"].clone();
    let all = || [pantry.notes("layers"), pantry.notes("chunks")].concat();
    assert_eq!(all().len(), 6, "a note and a table of chunks for each layer");
    let wrong_size = |note: &Path| {
        if note.parent().is_some_and(|folder| folder.ends_with("layers")) {
            let text = fs::read_to_string(note).expect("a note").replace("\"size\":", "\"size\":9");
            fs::write(note, text).expect("writable");
        }
    };
    let damages: [(&str, Damage<'_>); 7] = [
        ("garbage", &|note| fs::write(note, noise(3000, 7)).expect("writable")),
        ("nothing", &|note| fs::write(note, "").expect("writable")),
        ("half of it", &|note| fs::File::options().write(true).open(note).and_then(|file| file.set_len(40)).expect("own file")),
        ("another size", &wrong_size),
        ("gone", &|note| fs::remove_file(note).expect("own file")),
        ("JSON of another kind", &|note| fs::write(note, "[1]").expect("writable")),
        ("every second one gone", &|note| {
            if note.to_string_lossy().as_bytes().last().is_some_and(|last| last % 2 == 0) {
                fs::remove_file(note).expect("own file");
            }
        }),
    ];
    for (what, damage) in damages {
        all().iter().for_each(|note| damage(note));
        let report = pantry.build("out", &[]);
        assert_eq!(report["digest"], reference, "{what}");
        if !what.starts_with("every") {
            assert_eq!(cached(&report), [false; 3], "{what}");
        }
        let again = pantry.build("out", &[]);
        assert_eq!((cached(&again), &again["digest"]), (vec![true; 3], &reference), "the cache is whole again after: {what}");
    }
    // What cannot be mended is told, and builds go on.
    for note in all() {
        fs::remove_file(&note).expect("own file");
        fs::create_dir_all(note.join("in the way")).expect("writable");
    }
    let ran = Ran::from(pantry.command("out", &[]).output().expect("the binary starts"));
    assert!(ran.code == Some(0) && ran.stderr.contains("warning: cannot keep the layer cache"), "{ran:?}");
    assert_eq!(ran.json()["digest"], reference);
    fs::remove_dir_all(pantry.path(CACHE)).expect("own cache");
    assert_eq!(pantry.build("out", &[])["digest"], reference);
    assert_layout_is_sound(&pantry.path("out"));
}

#[test]
fn a_layer_that_changed_takes_over_what_is_compressed_already_and_is_the_same_without() {
    for codec in ["gzip:1", "zstd:1"] {
        let pantry = Pantry::new(12);
        let with = |out: &str, more: &[&str]| pantry.build(out, &[&["--compression", codec], more].concat());
        let first = with("out", &[]);
        assert_eq!(first["layers"][0]["reused"], 0, "{first}");
        let change = |number: u64| {
            // Neither the number of entries nor their sizes stay.
            pantry.write("files/source-11", &noise(200_000 + usize::try_from(number).expect("small"), 100 + number));
            pantry.write(&format!("files/source-9{number}"), b"more");
        };
        change(1);
        let changed = with("out", &[]);
        let layer = &changed["layers"][0];
        let (size, reused) = (layer["size"].as_u64().expect("bytes"), layer["reused"].as_u64().expect("bytes"));
        assert!(layer["cached"] == false && reused > size / 4 && reused < size, "{codec}: {layer}");
        let fresh = with("fresh", &["--no-cache"]);
        assert_eq!((&fresh["digest"], &fresh["layers"][0]["reused"]), (&changed["digest"], &0.into()), "{codec}");

        // A blob that was damaged since gives nothing that is not right.
        let blob = blob_path(&pantry.path("out"), &layer["digest"]);
        let mut bytes = fs::read(&blob).expect("there");
        bytes[1000] ^= 1;
        fs::remove_file(&blob).expect("own file");
        fs::write(&blob, bytes).expect("writable");
        change(2);
        let healed = with("second", &[]);
        assert!(healed["layers"][0]["reused"].as_u64().is_some_and(|now| now < reused), "{codec}: {healed}");
        assert_eq!(healed["digest"], with("fresh", &["--no-cache"])["digest"], "{codec}");
        assert_layout_is_sound(&pantry.path("second"));
        assert_layout_is_sound(&pantry.path("fresh"));
    }
}
