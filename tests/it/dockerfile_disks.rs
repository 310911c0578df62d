//! Disks that fill while an image is built from a Dockerfile: one clear error wherever it strikes, a layout as it was, and nothing left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::context::{noise, oci, stagings};
use crate::support::dockerfile::Kitchen;
use crate::support::image::{Ran, read_index};
use crate::support::process::Runs as _;
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// Mounts a small file system at PLACE, puts into it what was there before, leaves room for so many blocks, and runs a command; then AGAIN with all the room.
/// What is there after the first is copied to AFTER, and what is mounted there is counted.
const SCRIPT: &str = r#"
place=$1 before=$2 after=$3 left=$4; shift 4
mount -t tmpfs -o size=8m,mode=755 tmpfs "$place" || exit 99
cp -a "$before/." "$place/" || exit 99
head -c $((($(stat -f -c %a "$place") - left) * 4096)) /dev/zero >"$place/filler" || exit 99
"$@"
status=$?
rm "$place/filler" || exit 99
cp -a "$place/." "$after/" || exit 99
grep -c " $place" /proc/self/mountinfo >"$after.mounts"
rm -f "$after.index"
[ ! -e "$OUT/index.json" ] || cp "$OUT/index.json" "$after.index" || exit 99
[ $status = 0 ] || [ "$AGAIN" = no ] || "$@" >"$after.again" 2>&1 || exit 98
exit $status
"#;

/// A build whose cache or output is on a disk that is full.
struct Disk {
    kitchen: Kitchen,
    unshare: PathBuf,
    /// What the disk is: `cache` or `layouts`.
    name: &'static str,
    /// How many things larder does at once.
    jobs: &'static str,
}

/// What follows upon a build that found no room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The same with all the room, which must succeed.
    Again,
    Nothing,
}

/// What a build came to.
struct Outcome {
    ran: Ran,
    /// What was on the disk at its end.
    after: PathBuf,
}

impl Disk {
    /// `None` after saying that the test is skipped.
    #[track_caller]
    fn new(name: &'static str) -> Option<Disk> {
        let (Some(kitchen), Some(unshare)) = (Kitchen::with_shell("FROM shell:1\nCOPY noise /copied\nRUN cp /copied /made\n"), tool("unshare")) else {
            return None;
        };
        kitchen.file("noise", noise(600_000, 7));
        for directory in ["cache", "layouts", "before"] {
            fs::create_dir(kitchen.path(directory)).expect("writable");
        }
        Some(Disk { kitchen, unshare, name, jobs: "2" })
    }

    fn layout(&self) -> PathBuf {
        self.kitchen.path("layouts/out")
    }

    fn command(&self) -> Command {
        let output = oci(&self.layout());
        self.kitchen.command(&["--jobs", self.jobs, "--base", &self.kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &output])
    }

    #[track_caller]
    fn build(&self, left: u64, then: Then) -> Outcome {
        let after = self.kitchen.path("after");
        let _ = fs::remove_dir_all(&after);
        fs::create_dir(&after).expect("writable");
        let build = self.command();
        let mut within = Command::new(&self.unshare);
        within.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]).arg(self.kitchen.path(self.name)).arg(self.kitchen.path("before"));
        within.arg(&after).arg(left.to_string()).arg(build.get_program()).args(build.get_args()).env_clear().env("OUT", self.layout());
        within.env("AGAIN", if then == Then::Again { "yes" } else { "no" });
        within.envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = Ran::from(within.output().expect("it runs"));
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?} {:?}", fs::read_to_string(after.with_extension("again")));
        assert_eq!(fs::read_to_string(after.with_extension("mounts")).expect("counted"), "1\n", "only the disk itself");
        Outcome { ran, after }
    }
}

/// The error of a build that found no room.
#[track_caller]
fn no_room(ran: &Ran) -> Value {
    let error = ran.error();
    assert_eq!((error["code"].as_str(), ran.stdout.as_str()), (Some("io"), ""), "{ran:?}");
    let told = format!("{} {} {}", error["message"], error["causes"], error["hint"]);
    assert!(told.contains("No space left on device") || told.contains("is full"), "{error}");
    error
}

/// What a name begins with that nobody is to find afterwards.
fn begun(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".larder"))).collect()
}

#[test]
fn where_layers_are_made() {
    let Some(disk) = Disk::new("cache") else { return };
    // A disk that takes no cache at all is told, and layers are made elsewhere.
    let ran = disk.build(0, Then::Nothing).ran;
    assert!(ran.code == Some(0) && ran.stderr.contains("warning: cannot use the build cache: ") && !ran.stderr.contains("cache small"), "{ran:?}");
    fs::remove_dir_all(disk.layout()).expect("ours");
    let mut places = BTreeSet::new();
    for left in (20..).step_by(90) {
        let then = if left % 4 == 0 { Then::Again } else { Then::Nothing };
        let Outcome { ran, after } = disk.build(left, then);
        for place in [after.join("v1"), after.join("v1/content")] {
            assert_eq!((begun(&place), stagings(&place)), (Vec::new(), Vec::new()), "with room for {left}");
        }
        if after.join("v1/content/index.json").exists() {
            assert_layout_is_sound(&after.join("v1/content"));
        }
        if ran.code == Some(0) {
            break;
        }
        assert!(left < 3000, "it never succeeds");
        let error = no_room(&ran);
        let told = format!("{} {}", error["message"], error["causes"]);
        places.insert(match told.as_str() {
            told if told.contains("Dockerfile:2:1: cannot make the layer of this step") => "copy",
            told if told.contains("Dockerfile:3:1: the command ended with exit status 1") => "command",
            told if told.contains("Dockerfile:3:1: cannot run this step") && told.contains("cannot write content to ") => "layer",
            told if told.contains("Dockerfile:3:1: cannot run this step") && told.contains("/.larder-run-") => "unpacking",
            _ => panic!("{error}"),
        });
        if let Ok(index) = fs::read(after.with_extension("index")) {
            assert_eq!(serde_json::from_slice::<Value>(&index).expect("an index")["manifests"], json!([]), "nothing has a name");
        }
        if then == Then::Again {
            assert_eq!(assert_layout_is_sound(&disk.layout()).names, ["1"]);
        }
        let _ = fs::remove_dir_all(disk.layout());
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), ["command", "copy", "layer", "unpacking"]);
}

#[test]
fn where_the_layout_is() {
    let Some(mut disk) = Disk::new("layouts") else { return };
    let before = disk.kitchen.path("before/out");
    let mut old = crate::support::process::larder();
    old.args(["build", "-f", "/dev/null", "--copy", "noise=/old", "--no-cache", "--quiet", "-t", "old:1", "-o", &oci(&before)])
        .arg(disk.kitchen.context())
        .succeeds();
    let index = fs::read(before.join("index.json")).expect("there");
    // The steps are in the cache afterwards.
    disk.command().succeeds();
    fs::remove_dir_all(disk.layout()).expect("ours");
    let mut layers = BTreeSet::new();
    for left in (0..).step_by(30) {
        // Of two layers at once it is chance which finds no room, so one at a time as well.
        disk.jobs = if left % 60 == 0 { "1" } else { "2" };
        let Outcome { ran, after } = disk.build(left, Then::Again);
        let layout = after.join("out");
        assert_eq!(stagings(&layout), Vec::<PathBuf>::new());
        if ran.code == Some(0) {
            assert!(left > 0 && read_index(&layout)["manifests"].as_array().is_some_and(|entries| entries.len() == 2));
            break;
        }
        assert!(left < 3000, "it never succeeds");
        let error = no_room(&ran);
        assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("room")), "{error}");
        layers.insert(match error["message"].as_str().expect("text") {
            message if message.contains("of the base `docker.io/library/shell:1`") => "of the base",
            message if message.contains("that a step made") => "of a step",
            _ => "none",
        });
        assert_eq!(fs::read(layout.join("index.json")).expect("there"), index, "with room for {left}");
        assert_layout_is_sound(&layout);
    }
    assert_eq!(layers.into_iter().collect::<Vec<_>>(), ["of a step", "of the base"]);
}
