//! A tree of files as plain data, so that what was packed can be compared with what another tool unpacked.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// What is in a tree, the root itself under the empty path.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// A file of any kind, with all that a layer can say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Permissions, setuid, setgid and sticky bit, octal.
    pub(crate) mode: String,
    pub(crate) owner: (u32, u32),
    /// Seconds: no layer says more.
    pub(crate) mtime: i64,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// The first path of the same file.
    pub(crate) first: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// With the digest of the content.
    File(blake3::Hash),
    Symlink(PathBuf),
    Fifo,
    CharDevice(u64),
    BlockDevice(u64),
}

/// Reads a tree.
#[track_caller]
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let place = root.join(&path);
        let metadata = fs::symlink_metadata(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        if metadata.is_dir() {
            let entries = fs::read_dir(&place).expect("readable");
            todo.extend(entries.map(|entry| path.join(entry.expect("an entry").file_name())));
        }
        tree.insert(path, node(&place, &metadata));
    }
    find_hard_links(root, &mut tree);
    tree
}

fn node(place: &Path, metadata: &Metadata) -> Node {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Symlink(fs::read_link(place).expect("a link")),
        kind if kind.is_fifo() => Kind::Fifo,
        kind if kind.is_char_device() => Kind::CharDevice(metadata.rdev()),
        kind if kind.is_block_device() => Kind::BlockDevice(metadata.rdev()),
        kind if kind.is_file() => Kind::File(blake3::hash(&fs::read(place).expect("readable"))),
        kind => panic!("{}: {kind:?}", place.display()),
    };
    let owner = (metadata.uid(), metadata.gid());
    Node { kind, mode: format!("{:o}", metadata.mode() & 0o7777), owner, mtime: metadata.mtime(), xattrs: xattrs(place), first: PathBuf::new() }
}

fn xattrs(place: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 64 * 1024];
    let length = rustix::fs::llistxattr(place, &mut names[..]).expect("the file system has extended attributes");
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &OsStr| {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(place, name, &mut value[..]).expect("a value");
        value.truncate(length);
        value
    };
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), value(OsStr::from_bytes(name)))).collect()
}

fn find_hard_links(root: &Path, tree: &mut Tree) {
    let mut first: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    for (path, node) in tree {
        let metadata = fs::symlink_metadata(root.join(path)).expect("still there");
        let key = (metadata.dev(), metadata.ino());
        node.first = first.entry(key).or_insert_with(|| path.clone()).clone();
    }
}

/// Fails with the first differences, unless the trees are the same in everything.
#[track_caller]
pub(crate) fn assert_same(actual: &Tree, expected: &Tree) {
    let paths = actual.keys().chain(expected.keys().filter(|path| !actual.contains_key(*path)));
    let different = paths.filter(|path| actual.get(*path) != expected.get(*path));
    let lines: Vec<String> =
        different.map(|path| format!("{}:\n  is        {:?}\n  should be {:?}", path.display(), actual.get(path), expected.get(path))).collect();
    let shown = lines.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(lines.is_empty(), "{} differences:\n{shown}", lines.len());
}
