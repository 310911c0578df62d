//! The same rules as in [`apply`](crate::layer::apply), on a disk, and what a disk adds to them.

use super::*;
use crate::error::{ErrorKind, Result};
use crate::layer::entry::Xattrs;
use rustix::process::{getegid, geteuid};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

/// An entry with its content; it belongs to whoever runs the tests.
fn entry(path: &str, kind: EntryKind, mode: u32) -> (Entry, Vec<u8>) {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    (Entry { path: path.into(), kind, mode, uid, gid, mtime: 1_000_000_000, xattrs: Xattrs::new() }, Vec::new())
}

fn file(path: &str, content: &str) -> (Entry, Vec<u8>) {
    (entry(path, EntryKind::File { size: content.len() as u64 }, 0o644).0, content.into())
}

fn dir(path: &str) -> (Entry, Vec<u8>) {
    entry(path, EntryKind::Directory, 0o755)
}

fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    entry(path, EntryKind::Symlink { target: target.into() }, 0o777)
}

fn hardlink(path: &str, target: &str) -> (Entry, Vec<u8>) {
    entry(path, EntryKind::Hardlink { target: target.into() }, 0o644)
}

fn device(path: &str) -> (Entry, Vec<u8>) {
    entry(path, EntryKind::CharDevice { major: 1, minor: 3 }, 0o666)
}

type Layer = Vec<(Entry, Vec<u8>)>;

/// Layers that try to reach what is outside of a place.
type Hostile = dyn Fn(&Place) -> Vec<Layer>;

/// A place to unpack to, with something outside that must not change.
struct Place {
    temp: tempfile::TempDir,
    parent: Arc<Dir>,
}

impl Place {
    fn new() -> Place {
        let temp = tempfile::tempdir().expect("temporary directory");
        let outer = temp.path().join("outer");
        fs::create_dir_all(outer.join("outside")).expect("created");
        fs::create_dir_all(outer.join("in-evil")).expect("created");
        fs::write(outer.join("outside/secret"), "secret").expect("written");
        fs::set_permissions(outer.join("outside/secret"), fs::Permissions::from_mode(0o600)).expect("own file");
        let parent = Arc::new(Dir::open(&outer).expect("opened"));
        Place { temp, parent }
    }

    fn outside(&self) -> PathBuf {
        self.temp.path().join("outer/outside")
    }

    /// The absolute path of something outside, as a hostile layer would write it.
    fn absolute(&self, name: &str) -> String {
        self.outside().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn target(&self, owner: Owner, privileges: Privileges) -> Target {
        let options = Options { owner, privileges, max_size: Some(1 << 30), cancel: Cancel::default() };
        Target::create(self.parent.clone(), Path::new("in"), options).expect("created")
    }

    fn unpack_for(&self, owner: Owner, layers: &[Layer]) -> Result<Unpacked> {
        self.unpack_with(owner, Privileges::Kept, layers)
    }

    fn unpack_with(&self, owner: Owner, privileges: Privileges, layers: &[Layer]) -> Result<Unpacked> {
        let mut target = self.target(owner, privileges);
        for layer in layers {
            target.begin_layer();
            for (entry, content) in layer {
                target.apply(entry, &mut &content[..])?;
            }
        }
        target.complete()?.appear(&self.parent, Path::new("in"))
    }

    fn unpack(&self, layers: &[Layer]) -> Result<Unpacked> {
        self.unpack_for(Owner::Described, layers)
    }

    /// Where something was unpacked to.
    fn at(&self, path: &str) -> PathBuf {
        self.temp.path().join("outer/in").join(path)
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.at(path)).expect("there").mode() & 0o7777
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Nothing outside was made, changed or removed, and nothing temporary is left.
    #[track_caller]
    fn assert_outside_is_untouched(&self) {
        let names = |path: &Path| {
            let mut names: Vec<_> = fs::read_dir(path).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.outside()), ["secret"]);
        assert_eq!(fs::read_to_string(self.outside().join("secret")).expect("there"), "secret");
        assert_eq!(fs::metadata(self.outside().join("secret")).expect("there").mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(self.outside()).expect("there").mode() & 0o7777, 0o755);
        assert_eq!(names(&self.temp.path().join("outer/in-evil")).len(), 0);
        assert_eq!(names(self.temp.path()), ["outer"]);
        assert!(names(&self.temp.path().join("outer")).iter().all(|name| ["in", "in-evil", "outside"].iter().any(|known| name == known)));
    }
}

fn is_root() -> bool {
    geteuid().is_root()
}

#[test]
fn what_layers_say_is_on_the_disk() {
    let place = Place::new();
    let mut fifo = entry("run/pipe", EntryKind::Fifo, 0o620);
    fifo.0.mtime = -5;
    let layers = [
        vec![dir(""), dir("etc"), file("etc/a", "old"), file("etc/b", "b"), dir("run"), fifo, dir("gone"), file("gone/x", "")],
        vec![file("etc/a", "new"), link("etc/l", "a"), hardlink("etc/h", "etc/b"), file(".wh.gone", ""), file("deep/er/f", "f")],
    ];
    let unpacked = place.unpack(&layers).expect("unpacked");
    assert_eq!((unpacked.files, unpacked.directories, unpacked.symlinks, unpacked.specials), (4, 5, 1, 1));
    assert_eq!((place.read("etc/a"), place.read("etc/l"), place.read("etc/h")), ("new".into(), "new".into(), "b".into()));
    let inode = |path: &str| fs::metadata(place.at(path)).expect("there").ino();
    assert_eq!(inode("etc/h"), inode("etc/b"));
    assert!(!place.at("gone").exists());
    let mtime = |path: &str| fs::symlink_metadata(place.at(path)).expect("there").mtime();
    for path in ["", "etc", "etc/a", "etc/l", "run"] {
        assert_eq!(mtime(path), 1_000_000_000, "{path}");
    }
    assert_eq!((mtime("run/pipe"), place.mode("run/pipe")), (-5, 0o620));
    assert!(fs::symlink_metadata(place.at("run/pipe")).expect("there").file_type().is_fifo());
    place.assert_outside_is_untouched();
}

#[test]
fn tar_45_implied_directories_are_the_same_everywhere() {
    let place = Place::new();
    place.unpack_for(Owner::Caller, &[vec![file("a/b/c", "")]]).expect("unpacked");
    for path in ["", "a", "a/b"] {
        let metadata = fs::metadata(place.at(path)).expect("there");
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o755, 0), "{path}");
    }
}

#[test]
fn tar_37_modes_are_exact_whatever_the_umask_and_directories_are_locked_last() {
    let place = Place::new();
    let modes = [0, 0o400, 0o444, 0o644, 0o666, 0o755, 0o777, 0o2755, 0o4755, 0o6711, 0o1644];
    let mut layer: Layer = modes.iter().map(|mode| entry(&format!("f{mode}"), EntryKind::File { size: 0 }, *mode)).collect();
    for mode in [0o555, 0, 0o1777, 0o2775] {
        layer.push(entry(&format!("d{mode}"), EntryKind::Directory, mode));
        layer.push(file(&format!("d{mode}/x"), "x"));
    }
    let unpacked = place.unpack(&[layer, vec![file(&format!("d{}/y", 0o555), "y")]]).expect("unpacked");
    assert_eq!(unpacked.left_out, []);
    for mode in modes {
        assert_eq!(place.mode(&format!("f{mode}")), mode);
    }
    for mode in [0o555, 0, 0o1777, 0o2775] {
        assert_eq!(place.mode(&format!("d{mode}")), mode);
    }
}

#[test]
fn tar_16_attributes_of_links_are_their_own() {
    let place = Place::new();
    place.unpack(&[vec![link("l", &place.absolute("secret")), link("d", "../outside")]]).expect("unpacked");
    assert_eq!(fs::symlink_metadata(place.at("l")).expect("there").mtime(), 1_000_000_000);
    assert_ne!(fs::metadata(place.outside().join("secret")).expect("there").mtime(), 1_000_000_000);
    place.assert_outside_is_untouched();
}

#[test]
fn tar_03_to_15_no_entry_reaches_outside() {
    let cases: Vec<Box<Hostile>> = vec![
        Box::new(|place| vec![vec![link("esc", &place.absolute("")), file("esc/p", "x"), file("esc/secret", "x")]]),
        Box::new(|place| {
            vec![vec![link("esc", &place.absolute(""))], vec![file("esc/p", "x")], vec![file("esc/.wh.secret", ""), file("esc/.wh..wh..opq", "")]]
        }),
        Box::new(|_| vec![vec![link("s", ".."), dir("s/outside/made"), file("s/in-evil/made", "")]]),
        Box::new(|_| vec![vec![link("a", "../../../../../../../.."), link("b", "a"), file("b/tmp/larder-escape", "x")]]),
        Box::new(|place| vec![vec![link("l", &place.absolute("secret")), file("l", "x")]]),
        Box::new(|place| vec![vec![link("d", &place.absolute("")), entry("d", EntryKind::Directory, 0o777)]]),
        Box::new(|place| vec![vec![link("l", &place.absolute("secret")), hardlink("h", "l"), entry("h", EntryKind::File { size: 0 }, 0o4777)]]),
        Box::new(|place| vec![vec![link("l", &place.absolute("")), dir("l/new"), entry("l/new", EntryKind::Fifo, 0o666)]]),
        Box::new(|_| vec![vec![link("x", "../outside"), link("y", "../in-evil"), file("x/x", ""), file("y/y", "")]]),
        // A directory that becomes a link between two of its files.
        Box::new(|place| vec![vec![dir("d"), file("d/a", "a"), link("d", &place.absolute("")), file("d/b", "b")]]),
        Box::new(|place| vec![vec![dir("d"), file("d/a", "a")], vec![link("d", &place.absolute(""))], vec![file("d/b", "b"), file("d/.wh.secret", "")]]),
    ];
    for (position, case) in cases.iter().enumerate() {
        let place = Place::new();
        let layers = case(&place);
        place.unpack(&layers).unwrap_or_else(|error| panic!("case {position}: {error}: {:?}", error.causes()));
        place.assert_outside_is_untouched();
    }
    assert!(!Path::new("/tmp/larder-escape").exists());
}

#[test]
fn tar_06_to_11_hard_links_stay_inside() {
    let place = Place::new();
    for target in [place.absolute("secret"), "outside/secret".into(), "etc/passwd".into()] {
        assert_eq!(place.unpack(&[vec![hardlink("h", target.trim_start_matches('/'))]]).expect_err("not there").kind(), ErrorKind::Corrupt);
    }
    place.unpack(&[vec![link("s", &place.absolute("secret")), hardlink("h", "s")]]).expect("the link itself");
    assert!(fs::symlink_metadata(place.at("h")).expect("there").is_symlink());
    place.assert_outside_is_untouched();
}

/// Whatever is exchanged while it works, nothing outside is reached. Directories are opened by path again and again, because there are more than stay open.
#[test]
fn tar_18_directories_that_become_links_meanwhile_lead_nowhere() {
    let mut failed = 0;
    for round in 0..20 {
        let place = Place::new();
        let mut target = place.target(Owner::Described, Privileges::Kept);
        target.begin_layer();
        let staging = target.staging.dir().path().to_owned();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (dir, evil) = (staging.join("d"), staging.join("evil"));
                let _ = symlink(place.outside(), &evil);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &evil, rustix::fs::RenameFlags::EXCHANGE);
                }
            });
            let outcome = (0..3000).try_for_each(|n| {
                let (entry, content) = match n % 3 {
                    0 => file(&format!("d/{}/f{n}", n % 20), "x"),
                    1 => dir(&format!("d/{n}")),
                    _ => file(&format!("d/{}/.wh.f{}", n % 20, n - 2), ""),
                };
                target.apply(&entry, &mut &content[..]).map(|_| ())
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            outcome.and_then(|()| target.complete().map(drop))
        });
        failed += usize::from(outcome.is_err());
        assert_eq!(fs::read_dir(place.outside()).expect("listed").count(), 1, "round {round}");
        assert_eq!(fs::read_to_string(place.outside().join("secret")).expect("there"), "secret");
    }
    assert!(failed > 0, "nothing was ever exchanged");
}

#[test]
fn cra_27_nothing_is_visible_before_the_end_and_nothing_is_left_of_a_failure() {
    let place = Place::new();
    let mut target = place.target(Owner::Described, Privileges::Kept);
    target.begin_layer();
    for (entry, content) in [entry("locked", EntryKind::Directory, 0), file("locked/x", "x")] {
        target.apply(&entry, &mut &content[..]).expect("applied");
    }
    assert!(!place.at("").exists());
    assert_eq!(fs::metadata(target.staging.dir().path()).expect("there").mode() & 0o7777, 0o700);
    drop(target.complete().expect("complete"));
    assert!(!place.at("").exists());
    place.assert_outside_is_untouched();
    fs::create_dir(place.at("")).expect("somebody was faster");
    fs::write(place.at("x"), "").expect("and put something there");
    assert_eq!(place.unpack(&[vec![file("y", "")]]).expect_err("occupied").kind(), ErrorKind::Conflict);
    assert!(place.at("x").exists() && !place.at("y").exists());
    place.assert_outside_is_untouched();
}

#[test]
fn tar_50_a_name_that_the_disk_takes_for_another_is_a_conflict() {
    for (entry, content) in [file("A", "x"), dir("A"), link("A", "x"), entry("A", EntryKind::Fifo, 0o600)] {
        let place = Place::new();
        let mut target = place.target(Owner::Described, Privileges::Kept);
        target.begin_layer();
        // As on a disk where `A` is there once `a` is.
        fs::write(target.staging.dir().path().join("A"), "").expect("written");
        assert_eq!(target.apply(&entry, &mut &content[..]).expect_err("another name").kind(), ErrorKind::Conflict);
    }
}

#[test]
fn tar_47_and_48_names_are_bytes_and_too_long_ones_are_named() {
    let place = Place::new();
    let mut odd = file("x", "odd");
    odd.0.path = b"d/\xff\n\x1b[31m \xe2\x80\xae".to_vec();
    place.unpack(&[vec![odd.clone()]]).expect("unpacked");
    assert_eq!(fs::read(place.at("").join(std::ffi::OsStr::from_bytes(&odd.0.path))).expect("there"), b"odd");
    let place = Place::new();
    place.unpack(&[vec![file(&"n".repeat(255), "")]]).expect("the longest name");
    let place = Place::new();
    let error = place.unpack(&[vec![file(&"n".repeat(256), "")]]).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("nnnn"));
    place.assert_outside_is_untouched();
}

#[test]
fn tar_59_the_number_that_means_nobody_is_refused() {
    for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
        for mut entry in [file("f", ""), dir("d"), link("l", "x")] {
            (entry.0.uid, entry.0.gid) = (uid, gid);
            assert_eq!(Place::new().unpack_for(Owner::Caller, &[vec![entry]]).expect_err("nobody").kind(), ErrorKind::Corrupt);
        }
    }
}

#[test]
fn cmp_04_content_beyond_the_limit_is_refused() {
    let place = Place::new();
    let mut target = place.target(Owner::Described, Privileges::Kept);
    target.options.max_size = Some(10);
    target.begin_layer();
    target.apply(&file("a", "12345").0, &mut &b"12345"[..]).expect("within");
    target.apply(&file("b", "12345").0, &mut &b"12345"[..]).expect("just within");
    assert_eq!(target.apply(&file("c", "1").0, &mut &b"1"[..]).expect_err("beyond").kind(), ErrorKind::Unsupported);
}

#[test]
fn the_caller_owns_everything_and_is_told_what_that_leaves_out() {
    let place = Place::new();
    let others = |mut entry: (Entry, Vec<u8>)| {
        (entry.0.uid, entry.0.gid) = (entry.0.uid + 1, entry.0.gid + 1);
        entry
    };
    let mut tagged = others(file("tagged", ""));
    for name in ["user.kept", "security.capability", "trusted.overlay.opaque"] {
        tagged.0.xattrs.insert(name.as_bytes().to_vec(), b"value".to_vec());
    }
    let layer = vec![
        file("mine", ""),
        others(entry("su", EntryKind::File { size: 0 }, 0o6755)),
        entry("own-su", EntryKind::File { size: 0 }, 0o4755),
        others(entry("shared", EntryKind::Directory, 0o2775)),
        device("null"),
        hardlink("zero", "null"),
        device("hidden"),
        tagged,
    ];
    let unpacked = place
        .unpack_for(Owner::Caller, &[layer, vec![file(".wh.hidden", ""), file("replaced", ""), device("replaced"), file("replaced", "")]])
        .expect("unpacked");
    let left_out: Vec<_> = unpacked.left_out.iter().map(|left| (left.what, left.count, left.entries.join(" "))).collect();
    assert_eq!(
        left_out,
        [
            ("attribute", 2, "tagged (security.capability) tagged (trusted.overlay.opaque)".into()),
            ("device", 2, "null zero".into()),
            ("owner", 3, "shared su tagged".into()),
            ("setuid", 1, "su".into()),
        ]
    );
    assert_eq!((place.mode("su"), place.mode("own-su"), place.mode("shared")), (0o755, 0o4755, 0o2775));
    assert!(!place.at("null").exists() && !place.at("zero").exists() && place.at("replaced").exists());
    assert_eq!(unpacked.specials, 0);
    let metadata = fs::metadata(place.at("su")).expect("there");
    assert_eq!((metadata.uid(), metadata.gid()), (geteuid().as_raw(), getegid().as_raw()));
    let mut value = [0; 16];
    assert_eq!(rustix::fs::getxattr(place.at("tagged"), "user.kept", &mut value), Ok(5));
}

#[test]
fn tar_38_attributes_of_files_without_write_permission_and_of_directories_are_set() {
    let place = Place::new();
    let mut layer = vec![entry("f", EntryKind::File { size: 0 }, 0o444), entry("d", EntryKind::Directory, 0o555)];
    for (entry, _) in &mut layer {
        entry.xattrs.insert(b"user.note".to_vec(), b"a\nb\0c".to_vec());
    }
    let unpacked = place.unpack(&[layer, vec![file("d/x", "")]]).expect("unpacked");
    assert_eq!(unpacked.left_out, []);
    for path in ["f", "d"] {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(place.at(path), "user.note", &mut value).expect("set");
        assert_eq!(&value[..length], b"a\nb\0c");
    }
    assert_eq!((place.mode("f"), place.mode("d")), (0o444, 0o555));
}

#[test]
fn a_directory_described_again_has_nothing_of_its_old_description() {
    let place = Place::new();
    let mut old = dir("d");
    old.0.xattrs.insert(b"user.old".to_vec(), b"x".to_vec());
    place.unpack(&[vec![old, file("d/x", "")], vec![entry("d", EntryKind::Directory, 0o700)]]).expect("unpacked");
    assert_eq!(rustix::fs::getxattr(place.at("d"), "user.old", &mut [0_u8; 16]), Err(Errno::NODATA));
    assert_eq!((place.mode("d"), place.read("d/x")), (0o700, String::new()));
}

#[test]
fn tar_36_and_38_root_gets_owners_devices_and_capabilities() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    // `cap_net_raw+ep` as the kernel stores it.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let owned = |mut entry: (Entry, Vec<u8>)| {
        (entry.0.uid, entry.0.gid) = (4_294_967_294, 42);
        entry
    };
    let mut ping = owned(entry("ping", EntryKind::File { size: 0 }, 0o6755));
    ping.0.xattrs.insert(b"security.capability".to_vec(), capability.to_vec());
    let mut labelled = owned(link("l", "ping"));
    labelled.0.xattrs.insert(b"trusted.note".to_vec(), b"x".to_vec());
    let layer =
        vec![ping, labelled, owned(device("null")), owned(entry("disk", EntryKind::BlockDevice { major: 0xfff, minor: 0xf_ffff }, 0o660)), owned(dir("d"))];
    let unpacked = place.unpack(&[layer]).expect("unpacked");
    assert_eq!((unpacked.left_out, unpacked.specials), (Vec::new(), 2));
    for path in ["ping", "l", "null", "disk", "d"] {
        let metadata = fs::symlink_metadata(place.at(path)).expect("there");
        assert_eq!((metadata.uid(), metadata.gid()), (4_294_967_294, 42), "{path}");
    }
    assert_eq!((place.mode("ping"), place.mode("null"), place.mode("disk")), (0o6755, 0o666, 0o660));
    assert_eq!(fs::metadata(place.at("disk")).expect("there").rdev(), rustix::fs::makedev(0xfff, 0xf_ffff));
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(place.at("ping"), "security.capability", &mut value).expect("set");
    assert_eq!(&value[..length], capability);
    assert_eq!(rustix::fs::lgetxattr(place.at("l"), "trusted.note", &mut value), Ok(1));
}

#[test]
fn tar_37_no_program_lends_rights_that_nobody_wants() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let mut ping = entry("ping", EntryKind::File { size: 0 }, 0o755);
    ping.0.xattrs.insert(b"security.capability".to_vec(), [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec());
    ping.0.xattrs.insert(b"user.note".to_vec(), b"x".to_vec());
    let bits = |path, mode| entry(path, EntryKind::File { size: 0 }, mode);
    let layer = vec![
        ping,
        bits("su", 0o4755),
        bits("write", 0o2755),
        bits("sticky", 0o1755),
        entry("tmp", EntryKind::Directory, 0o7777),
        hardlink("other-su", "su"),
        entry("queue", EntryKind::Fifo, 0o6644),
    ];
    let unpacked = place.unpack_with(Owner::Described, Privileges::Dropped, &[layer]).expect("unpacked");
    let modes = ["su", "other-su", "write", "sticky", "tmp", "queue"].map(|path| place.mode(path));
    assert_eq!(modes, [0o755, 0o755, 0o755, 0o1755, 0o7777, 0o644]);
    let mut value = [0; 64];
    assert_eq!(rustix::fs::getxattr(place.at("ping"), "security.capability", &mut value), Err(Errno::NODATA));
    assert_eq!(rustix::fs::getxattr(place.at("ping"), "user.note", &mut value), Ok(1));
    let left_out: Vec<_> = unpacked.left_out.iter().map(|left| (left.what, left.entries.join(" "))).collect();
    assert_eq!(left_out, [("attribute", "ping (security.capability)".into()), ("setuid", "other-su queue su write".into())]);
}

#[test]
fn another_owner_for_everything_takes_setuid_bits_that_it_does_not_mean() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let unpacked = place
        .unpack_for(Owner::Fixed(12, 34), &[vec![dir("d"), entry("su", EntryKind::File { size: 0 }, 0o4755), link("l", "x"), file("implied/f", "")]])
        .expect("unpacked");
    for path in ["", "d", "su", "l", "implied", "implied/f"] {
        let metadata = fs::symlink_metadata(place.at(path)).expect("there");
        assert_eq!((metadata.uid(), metadata.gid()), (12, 34), "{path}");
    }
    assert_eq!(place.mode("su"), 0o755);
    let left_out: Vec<_> = unpacked.left_out.iter().map(|left| (left.what, left.count)).collect();
    assert_eq!(left_out, [("owner", 4), ("setuid", 1)]);
}
