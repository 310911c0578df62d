//! Lower directories are judged by unpacking: the layers, laid over each other by the kernel where it may be asked, are what unpacking makes of them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::below::{Below, There};
use super::*;
use crate::error::{ErrorKind, Result};
use crate::exec::{Run, Timestamps, pool};
use crate::fsio::Dir;
use crate::fsio::overlay::{Attributes, is_whiteout};
use crate::layer::entry::Xattrs;
use crate::layer::unpack::{self, Owner, Privileges};
use crate::layer::{Codec, Entry, EntryKind, builder, stack::Stack};
use crate::spec::{Algorithm, Descriptor, DiffId, Digest, MediaType};
use crate::store::layout::{Layout, Options};
use crate::tar::write;

/// An entry with its content; it belongs to whoever runs the tests.
type Described = (Entry, Vec<u8>);

fn entry(path: &str, kind: EntryKind, mode: u32) -> Described {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    (Entry { path: path.into(), kind, mode, uid, gid, mtime: 1_000_000_000, xattrs: Xattrs::new() }, Vec::new())
}

fn file(path: &str, content: &str) -> Described {
    (entry(path, EntryKind::File { size: content.len() as u64 }, 0o644).0, content.into())
}

fn dir(path: &str, mode: u32) -> Described {
    entry(path, EntryKind::Directory, mode)
}

fn link(path: &str, target: &str) -> Described {
    entry(path, EntryKind::Symlink { target: target.into() }, 0o777)
}

fn hardlink(path: &str, target: &str) -> Described {
    entry(path, EntryKind::Hardlink { target: target.into() }, 0o644)
}

/// A layout with layers, and a place for what becomes of them.
struct Bench {
    temp: tempfile::TempDir,
    layout: Layout,
    run: Run,
    next: Cell<usize>,
}

type Stored = (Descriptor, DiffId);

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("layout"), Options::default()).expect("created");
        let mut run = Run::new(NonZeroUsize::MIN).expect("threads");
        run.timestamps = Timestamps::at(2_000_000_000).expect("a time");
        Bench { temp, layout, run, next: Cell::new(0) }
    }

    fn store(&self, layer: &[Described]) -> Stored {
        let mut tar = Vec::new();
        for (entry, content) in layer {
            write::header(entry, &mut tar).expect("a header");
            tar.extend_from_slice(content);
            tar.resize(tar.len() + write::padding(content.len() as u64), 0);
        }
        tar.resize(tar.len() + write::END, 0);
        let mut writer = self.layout.blob_writer(Algorithm::Sha256).expect("a writer");
        writer.write_all(&tar).expect("written");
        let (digest, size) = writer.finish().expect("stored");
        (Descriptor::new(MediaType::ImageLayer, digest, size), DiffId(Digest::sha256(&tar)))
    }

    fn unique(&self) -> String {
        self.next.set(self.next.get() + 1);
        self.next.get().to_string()
    }

    fn directory(&self) -> PathBuf {
        let path = self.temp.path().join(self.unique());
        fs::create_dir(&path).expect("created");
        path
    }

    fn unpack(&self, layers: &[Stored]) -> Result<PathBuf> {
        let name = self.unique();
        let parent = Arc::new(Dir::open(self.temp.path())?);
        let options = unpack::Options { owner: Owner::Described, privileges: Privileges::Kept, max_size: None, cancel: self.run.cancel.clone() };
        let mut target = unpack::Target::create(parent.clone(), Path::new(&name), options)?;
        let stack = Stack::new(&self.run, &self.layout, layers.iter().map(|(descriptor, diff_id)| (descriptor, diff_id)))?;
        stack.read(&self.run.events.start("", None), |_, entries| {
            target.begin_layer();
            while let Some(entry) = entries.next_entry()? {
                target.apply(&entry, entries)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        target.complete()?.appear(&parent, Path::new(&name))?;
        Ok(self.temp.path().join(name))
    }

    /// A lower directory above `below`.
    fn lower(&self, layers: &[Stored], below: &[PathBuf]) -> Result<PathBuf> {
        let into = self.directory();
        lower(&self.run, &self.layout, layers.iter().map(|(descriptor, diff_id)| (descriptor, diff_id)), below, &into)?;
        Ok(into)
    }

    /// Lower directories of so many layers each.
    fn lowers(&self, layers: &[Stored], groups: &[usize]) -> Result<Vec<PathBuf>> {
        let mut lowers = Vec::new();
        let mut rest = layers;
        for count in groups {
            let (now, later) = rest.split_at(*count);
            rest = later;
            lowers.push(self.lower(now, &lowers)?);
        }
        Ok(lowers)
    }
}

/// A tree in words.
type Listing = BTreeMap<PathBuf, String>;

fn words(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).expect("there");
    let what = match metadata.file_type() {
        kind if kind.is_dir() => "directory".to_owned(),
        kind if kind.is_symlink() => format!("link to {}", fs::read_link(path).expect("a link").display()),
        kind if kind.is_file() => format!("file with {:?}", fs::read_to_string(path).expect("readable")),
        kind if kind.is_fifo() => "pipe".to_owned(),
        _ => format!("device {}", metadata.rdev()),
    };
    format!("{what} {:o} {}:{} at {}", metadata.mode(), metadata.uid(), metadata.gid(), metadata.mtime())
}

fn listing(root: &Path) -> Listing {
    let mut all = Listing::from([(PathBuf::new(), words(root))]);
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory)).expect("readable") {
            let path = directory.join(entry.expect("an entry").file_name());
            if fs::symlink_metadata(root.join(&path)).expect("there").is_dir() {
                directories.push(path.clone());
            }
            all.insert(path.clone(), words(&root.join(path)));
        }
    }
    all
}

/// What lower directories make together, as larder sees it.
fn by_larder(lowers: &[PathBuf]) -> Listing {
    let below = Below::open(lowers, Attributes::here()).expect("opened");
    let mut pending = vec![below.root().expect("readable").expect("there")];
    let mut all = Listing::new();
    while let Some(there) = pending.pop() {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&there.found.path));
        all.insert(path, words(&below.tree(&there).path_of(&there.found)));
        if there.found.stat.is_dir() {
            pending.extend(below.list(&there).expect("readable"));
        }
    }
    all
}

/// The same as the kernel sees it; none where it may not be asked.
fn by_kernel(lowers: &[PathBuf], place: &Path) -> Option<Listing> {
    pool::apart(|| {
        #[expect(deprecated, reason = "what replaces it is unsafe for the sake of a flag that is not used")]
        rustix::thread::unshare(UnshareFlags::NEWNS).ok()?;
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).ok()?;
        let empty = place.join("empty");
        let point = place.join("point");
        for path in [&empty, &point] {
            let _ = fs::create_dir(path);
        }
        // Without an upper directory the kernel wants two.
        let lower: Vec<&str> = lowers.iter().rev().chain([&empty]).map(|path| path.to_str().expect("UTF-8")).collect();
        let options = std::ffi::CString::new(format!("lowerdir={}", lower.join(":"))).expect("no zero");
        rustix::mount::mount("overlay", &point, "overlay", MountFlags::empty(), Some(options.as_c_str())).ok()?;
        Some(listing(&point))
    })
    .expect("a thread")
}

/// All ways of putting the layers together give the same.
#[track_caller]
fn assert_same(layers: &[Vec<Described>]) {
    let bench = Bench::new();
    let stored: Vec<Stored> = layers.iter().map(|layer| bench.store(layer)).collect();
    let groups = [vec![1; layers.len()], vec![layers.len()], vec![1, layers.len() - 1]];
    let unpacked = match bench.unpack(&stored) {
        Ok(path) => listing(&path),
        Err(error) => {
            for groups in groups {
                assert_eq!(bench.lowers(&stored, &groups).expect_err("it cannot be unpacked").kind(), error.kind(), "{error:?}");
            }
            return;
        }
    };
    for groups in groups {
        let lowers = bench.lowers(&stored, &groups).expect("unpacked");
        assert_eq!(by_larder(&lowers), unpacked, "{groups:?}");
        if let Some(seen) = by_kernel(&lowers, bench.temp.path()) {
            assert_eq!(seen, unpacked, "{groups:?}");
        }
        for count in 1..lowers.len() {
            let (below, upper) = (&lowers[..count], &lowers[count]);
            let changes = changes(&bench.run, upper, below).expect("a changeset");
            let writer = bench.layout.blob_writer(Algorithm::Sha256).expect("a writer");
            let built = builder::build(&bench.run, "", &changes.items, Codec::None, None, writer).expect("built");
            let sum: usize = groups[..count].iter().sum();
            let chain = [&stored[..sum], &[(built.descriptor, built.diff_id)]].concat();
            let again = listing(&bench.unpack(&chain).expect("unpacked"));
            let whole = listing(&bench.unpack(&stored[..sum + groups[count]]).expect("unpacked"));
            assert_eq!(
                again,
                whole,
                "what layer {count} of {groups:?} changed: {:?}",
                changes.items.iter().map(|item| String::from_utf8_lossy(&item.path)).collect::<Vec<_>>()
            );
        }
    }
}

fn base() -> Vec<Described> {
    vec![dir("d", 0o700), file("d/f", "f"), file("d/g", "g"), dir("d/e", 0o1777), file("d/e/h", "h"), link("l", "d"), file("x", "x"), hardlink("y", "x")]
}

#[test]
fn directories_that_nobody_describes_stay_as_they_are_below() {
    assert_same(&[base(), vec![file("d/new", "")]]);
    assert_same(&[base(), vec![file("d/e/deep/er/new", "")]]);
    assert_same(&[base(), vec![file("l/through", "the link")]]);
    assert_same(&[vec![dir("", 0o711), dir("d", 0o755)], vec![file("new", "")]]);
}

#[test]
fn what_is_gone_stays_gone() {
    assert_same(&[base(), vec![file("d/.wh.f", "")]]);
    assert_same(&[base(), vec![file(".wh.d", "")]]);
    assert_same(&[base(), vec![file(".wh.l", ""), file(".wh.absent", ""), file("absent/.wh.x", "")]]);
    assert_same(&[base(), vec![file("d/.wh..wh..opq", "")]]);
    assert_same(&[base(), vec![file("d/.wh..wh..opq", ""), file("d/new", "")]]);
    assert_same(&[base(), vec![file("d/new", ""), file("d/.wh..wh..opq", "")]]);
    assert_same(&[base(), vec![file(".wh.d", ""), dir("d", 0o755), file("d/f", "again")]]);
    assert_same(&[base(), vec![file("d/new", ""), file(".wh.d", "")]]);
    assert_same(&[base(), vec![dir("d", 0o750), file(".wh.d", "")]]);
    assert_same(&[base(), vec![file(".wh.d", "")], vec![file("d/again", "")]]);
    assert_same(&[base(), vec![file("d/f", "2")], vec![file("d/.wh.f", "")], vec![file("d/f", "4")]]);
    assert_same(&[base(), vec![file("d/.wh.e", ""), dir("d/e", 0o755)], vec![file("d/.wh.e", "")], vec![link("d/e", "x")]]);
}

#[test]
fn one_kind_takes_the_place_of_another() {
    assert_same(&[base(), vec![file("d", "a file")]]);
    assert_same(&[base(), vec![file("d", "a file")], vec![dir("d", 0o755)], vec![file("d/f", "again")]]);
    assert_same(&[base(), vec![dir("x", 0o755), file("x/z", "")]]);
    assert_same(&[base(), vec![dir("l", 0o755)]]);
    assert_same(&[base(), vec![file("x/y", "below a file")]]);
    assert_same(&[base(), vec![link("d/e", "..")], vec![file("d/e/x", "through it")]]);
}

#[test]
fn links_name_what_is_there() {
    assert_same(&[base(), vec![hardlink("z", "x")]]);
    assert_same(&[base(), vec![hardlink("d/z", "d/f"), file("d/.wh.f", "")]]);
    assert_same(&[base(), vec![hardlink("z", "l")]]);
    assert_same(&[base(), vec![hardlink("x", "d/f")], vec![hardlink("d/g", "x")]]);
    assert_same(&[base(), vec![file("d/f", "new"), hardlink("z", "d/f"), hardlink("d/f", "d/e/h")]]);
    assert_same(&[base(), vec![hardlink("z", "absent")]]);
}

#[test]
fn tar_43_a_device_that_overlayfs_takes_for_something_else_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let bench = Bench::new();
    let device = |major, minor| bench.store(&[entry("d/f", EntryKind::CharDevice { major, minor }, 0o644)]);
    let below = bench.lowers(&[bench.store(&base())], &[1]).expect("unpacked");
    assert_eq!(bench.lower(&[device(0, 0)], &below).expect_err("0:0").kind(), ErrorKind::Unsupported);
    let lower = bench.lower(&[device(1, 3)], &below).expect("unpacked");
    assert_eq!(fs::symlink_metadata(lower.join("d/f")).expect("there").rdev(), rustix::fs::makedev(1, 3));
}

#[test]
fn two_names_of_one_file_below_are_two_names_of_one_file() {
    let bench = Bench::new();
    let stored = [bench.store(&base()), bench.store(&[hardlink("d/z", "d/f")])];
    let lowers = bench.lowers(&stored, &[1, 1]).expect("unpacked");
    let number = |name: &str| fs::metadata(lowers[1].join(name)).expect("there").ino();
    assert_eq!(number("d/f"), number("d/z"));
    let changes = changes(&bench.run, &lowers[1], &lowers[..1]).expect("a changeset");
    let last = changes.items.last().expect("items").entry(bench.run.timestamps).expect("an entry");
    assert_eq!((last.path.as_slice(), last.kind), (&b"d/z"[..], EntryKind::Hardlink { target: b"d/f".to_vec() }));
}

#[test]
fn what_did_not_change_is_no_change() {
    let bench = Bench::new();
    let lowers = bench.lowers(&[bench.store(&base())], &[1]).expect("unpacked");
    let upper = bench.directory();
    // As the kernel copies what is above a change, and what was opened for writing.
    std::process::Command::new("cp").args(["-a", "d", "x"]).arg(&upper).current_dir(&lowers[0]).status().expect("copied");
    let paths = |upper: &Path| {
        changes(&bench.run, upper, &lowers).expect("a changeset").items.into_iter().map(|item| String::from_utf8(item.path).expect("UTF-8")).collect::<Vec<_>>()
    };
    assert!(paths(&upper).is_empty());
    // The time and the length say nothing of the content.
    fs::write(upper.join("d/g"), "G").expect("written");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(upper.join("d/g")).expect("opened").set_modified(old).expect("own file");
    fs::set_permissions(upper.join("d/f"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
    rustix::fs::mknodat(rustix::fs::CWD, upper.join("whiteout-of-nothing"), rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty(), 0).expect("made");
    let socket = std::os::unix::net::UnixListener::bind(upper.join("socket")).expect("bound");
    assert_eq!(paths(&upper), ["d/f", "d/g"]);
    assert_eq!(changes(&bench.run, &upper, &lowers).expect("a changeset").sockets, [b"socket"]);
    drop(socket);
    fs::write(upper.join("d/.wh.f"), "").expect("written");
    assert_eq!(changes(&bench.run, &upper, &lowers).expect_err("reserved").kind(), ErrorKind::Unsupported);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("c".to_owned())]
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(name(), 1..4).prop_map(|names| names.join("/"))
}

fn random() -> impl Strategy<Value = Described> {
    let target = prop_oneof![path(), path().prop_map(|path| format!("/{path}")), name().prop_map(|name| format!("../{name}"))];
    prop_oneof![
        3 => (path(), "[xyz]{0,2}").prop_map(|(path, content)| file(&path, &content)),
        3 => (path(), prop_oneof![Just(0o755), Just(0o700), Just(0o1777)]).prop_map(|(path, mode)| dir(&path, mode)),
        1 => (path(), target).prop_map(|(path, target)| link(&path, &target)),
        1 => (path(), path()).prop_map(|(path, target)| hardlink(&path, &target)),
        2 => (path(), name()).prop_map(|(path, name)| file(&format!("{path}/.wh.{name}"), "")),
        1 => name().prop_map(|name| file(&format!(".wh.{name}"), "")),
        1 => path().prop_map(|path| file(&format!("{path}/.wh..wh..opq"), "")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_layers_give_the_same_in_every_way(layers in proptest::collection::vec(proptest::collection::vec(random(), 0..7), 2..5)) {
        assert_same(&layers);
    }
}

/// Used by the listing of what larder sees.
#[test]
fn a_whiteout_is_never_seen() {
    let bench = Bench::new();
    let lowers = bench.lowers(&[bench.store(&base()), bench.store(&[file("d/.wh.f", "")])], &[1, 1]).expect("unpacked");
    let metadata = fs::symlink_metadata(lowers[1].join("d/f")).expect("there");
    assert!(is_whiteout(metadata.mode(), metadata.rdev()));
    let below = Below::open(&lowers, Attributes::here()).expect("opened");
    let root: There = below.root().expect("readable").expect("there");
    let directory = below.find(&root, b"d").expect("readable").expect("there");
    assert!(below.find(&directory, b"d/f").expect("readable").is_none() && below.find(&directory, b"d/g").expect("readable").is_some());
}
