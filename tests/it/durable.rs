//! What larder says is done survives a power cut: the order of its calls, and disks that lose whatever was not brought to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::context::{self, build, oci, stagings};
use crate::support::image::{json, succeeded};
use crate::support::mount::Mount;
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::strace::{Call, calls, trace};

/// Everything that changes a disk, and everything that waits for it.
const KINDS: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "mkdirat",
    "renameat",
    "renameat2",
    "linkat",
    "fsync",
    "fdatasync",
];

/// A disk as a power cut would leave it: what was written and made, and is not known to be there.
#[derive(Default)]
struct Disk {
    /// Files with content in memory alone, by the last name that they had.
    content: BTreeSet<PathBuf>,
    /// Names that are in memory alone.
    names: BTreeSet<PathBuf>,
    /// Files and directories that were waited for.
    synced: BTreeSet<PathBuf>,
}

impl Disk {
    /// Follows the calls in the order in which they were over. An fsync counts for what was over when it began.
    fn after(calls: &[Call], each: impl Fn(&Disk, &Call)) -> Disk {
        let mut disk = Disk::default();
        let mut over: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for call in calls {
            each(&disk, call);
            match (call.kind.as_str(), call.names().as_slice()) {
                ("fsync" | "fdatasync", _) => {
                    let path = call.handle().expect("a handle").to_owned();
                    let before = |changed: &PathBuf| over.get(changed).is_none_or(|end| *end < call.begin);
                    disk.names.retain(|name| name.parent() != Some(&path) || !before(name));
                    if disk.content.contains(&path) && before(&path) {
                        disk.content.remove(&path);
                    }
                    disk.synced.insert(path);
                }
                ("renameat" | "renameat2" | "linkat", [from, to]) => {
                    let is_dirty = disk.content.contains(from);
                    if call.kind != "linkat" {
                        disk.names.remove(from);
                        disk.content.remove(from);
                    }
                    if is_dirty {
                        disk.content.insert(to.clone());
                    }
                    if disk.synced.contains(from) {
                        disk.synced.insert(to.clone());
                    }
                    over.insert(to.clone(), call.end);
                    disk.names.insert(to.clone());
                }
                ("mkdirat", [directory]) => {
                    over.insert(directory.clone(), call.end);
                    disk.names.insert(directory.clone());
                }
                (_, _) => {
                    let Some(path) = call.handle() else { continue };
                    over.insert(path.to_owned(), call.end);
                    disk.content.insert(path.to_owned());
                }
            }
        }
        disk
    }

    /// What is in memory alone of what stands at `place`, its own name included.
    fn missing(&self, place: &Path) -> Vec<&PathBuf> {
        // What writers work in has no name that counts.
        let counts = |path: &&PathBuf| path.starts_with(place) && !path.to_string_lossy().contains("/.larder-staging-");
        self.content.iter().chain(&self.names).filter(counts).collect()
    }
}

/// Runs larder, which writes to the layout `out`: no name comes before what it stands on, and in the end nothing is missing. `None` where the test is skipped.
#[track_caller]
fn is_durable(command: &Command, out: &Path) -> Option<Disk> {
    let calls = calls(&trace(command, KINDS)?);
    let index = out.join("index.json");
    // A new layout has one without names first.
    let naming = calls.iter().rposition(|call| call.kind.starts_with("rename") && call.names().get(1) == Some(&index));
    let naming = calls[naming.unwrap_or_else(|| panic!("{command:?} gives no name"))].end;
    let disk = Disk::after(&calls, |disk, call| {
        if !call.kind.starts_with("rename") {
            return;
        }
        let [from, to] = &call.names()[..] else { panic!("{call:?}") };
        assert!(!to.starts_with(out) || !disk.content.contains(from), "{command:?}: {} has its name and no content: {call:?}", to.display());
        if call.end == naming {
            let missing = disk.missing(&out.join("blobs"));
            assert!(missing.is_empty(), "{command:?}: the name comes before {missing:?}");
        }
    });
    assert_eq!(disk.missing(out), Vec::<&PathBuf>::new(), "{command:?} is over");
    Some(disk)
}

/// The paths of all blobs of a layout.
fn blobs(layout: &Path) -> Vec<PathBuf> {
    fs::read_dir(layout.join("blobs/sha256")).expect("there").map(|entry| entry.expect("readable").path()).collect()
}

#[test]
fn cra_05_names_come_after_what_they_stand_on_is_on_the_disk() {
    let (home, layout) = context::layout();
    let path = |name: &str| home.path().join(name);
    // Into a new layout, beside another image, and where all is there already and may be in memory alone.
    context::write(&path("second"), "second");
    for (out, tag) in [(path("new"), "second"), (layout.clone(), "second"), (layout.clone(), "again")] {
        let Some(disk) = is_durable(build(&path("second"), &out).args(["-t", &format!("x:{tag}")]), &out) else { return };
        for blob in blobs(&path("new")) {
            let found = out.join("blobs/sha256").join(blob.file_name().expect("a digest"));
            assert!(disk.synced.contains(&found), "{} is relied upon", found.display());
        }
    }
    let command = |arguments: &[&str]| {
        let mut command = larder();
        command.args(arguments).arg("--quiet");
        command
    };
    is_durable(&command(&["tag", &format!("{}:first", oci(&layout)), "third"]), &layout);
    is_durable(&command(&["untag", &oci(&layout), "third"]), &layout);
    // Files of another layout are linked, and may be in memory alone.
    let linked = path("linked");
    let disk = is_durable(&command(&["copy", "--all-names", &oci(&layout), &oci(&linked)]), &linked).expect("as before");
    // By the name that they had when they were waited for.
    let waited: BTreeSet<_> = disk.synced.iter().filter_map(|path| path.file_name()).collect();
    assert!(blobs(&linked).iter().all(|blob| waited.contains(blob.file_name().expect("a digest"))), "{:?}", disk.synced);

    for kind in ["oci-archive", "docker-archive"] {
        let archive = path(&format!("{kind}.tar"));
        let location = format!("{kind}:{}", archive.display());
        let trace = trace(&command(&["copy", &format!("{}:first", oci(&layout)), &location]), KINDS).expect("as before");
        let disk = Disk::after(&calls(&trace), |disk, call| {
            if let ("renameat" | "linkat", [from, _]) = (call.kind.as_str(), &call.names()[..]) {
                assert!(disk.synced.contains(from) && !disk.content.contains(from), "{kind}: {call:?}");
            }
        });
        assert!(disk.missing(&archive).is_empty() && disk.synced.contains(home.path()), "{trace}");
    }
    let archive = path("oci-archive.tar");
    let location = format!("oci-archive:{}", archive.display());
    let text = trace(&command(&["copy", &format!("{}:second", oci(&layout)), &location]), KINDS).expect("as before");
    let of_archive: Vec<_> = calls(&text).into_iter().filter(|call| call.handle() == Some(&archive)).collect();
    let kinds: Vec<&str> = of_archive.iter().map(|call| call.kind.as_str()).collect();
    // What is appended is on the disk before the one write that makes it count.
    assert!(matches!(kinds[..], [.., "fsync", "pwrite64", "fsync"]), "{text}");
    let read = path("read");
    is_durable(&command(&["copy", "--all-names", &location, &oci(&read)]), &read);
}

/// Loses what the kernel has in memory for a file system, as a power cut does, and lets the file system see what is left.
#[track_caller]
fn cut(mount: Mount) -> Mount {
    // FS_IOC_SHUTDOWN without anything being brought to the disk first.
    let script = "import fcntl, os, struct, sys\nfcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    Command::new("python3").args(["-c", script]).arg(mount.path()).succeeds();
    mount.again()
}

/// The names in a layout, which is sound but for what writers could not remove.
#[track_caller]
fn names(layout: &Path) -> Vec<String> {
    stagings(layout).into_iter().for_each(|staging| fs::remove_dir_all(staging).expect("ours"));
    assert_layout_is_sound(layout).names
}

#[test]
fn cra_05_what_is_done_is_there_after_a_power_cut() {
    for (kind, bytes) in [("ext4", 64 << 20), ("xfs", 320 << 20)] {
        let Some(mut mount) = Mount::disk(kind, bytes) else { continue };
        let home = temp();
        context::write(&home.path().join("first"), "first");
        let place = |mount: &Mount, name: &str| mount.path().join(name);
        // What nobody waited for shows that the power is cut indeed.
        let careless = |mount: &Mount| fs::write(place(mount, "careless"), "lost").expect("writable");
        build(&home.path().join("first"), &place(&mount, "layout")).succeeds();
        careless(&mount);
        mount = cut(mount);
        assert!(fs::read(place(&mount, "careless")).map_or(true, |content| content.is_empty()), "{kind} kept all");
        assert_eq!(names(&place(&mount, "layout")), ["first"], "{kind}");

        succeeded(&["tag", &format!("{}:first", oci(&place(&mount, "layout"))), "second"]);
        mount = cut(mount);
        assert_eq!(names(&place(&mount, "layout")), ["first", "second"], "{kind}");

        succeeded(&["copy", "--all-names", &oci(&place(&mount, "layout")), &oci(&place(&mount, "copy"))]);
        mount = cut(mount);
        assert_eq!(names(&place(&mount, "copy")), ["first", "second"], "{kind}");

        let archive = |mount: &Mount| format!("oci-archive:{}", place(mount, "archive.tar").display());
        succeeded(&["copy", &format!("{}:first", oci(&place(&mount, "layout"))), &archive(&mount)]);
        mount = cut(mount);
        succeeded(&["copy", &format!("{}:second", oci(&place(&mount, "layout"))), &archive(&mount)]);
        mount = cut(mount);
        succeeded(&["verify", "--deep", &archive(&mount)]);
        let listed = json(&["list", &archive(&mount)]);
        assert!(["first", "second"].iter().all(|name| listed.to_string().contains(name)), "{kind}: {listed}");
    }
}
