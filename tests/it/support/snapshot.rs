//! What a directory holds, to see later that nothing in it changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Type and permissions, and the content of a regular file.
type Seen = (u32, Vec<u8>);

/// Everything below `root`, by its path from there. Times are not looked at, and nothing but regular files is opened.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("readable").path();
            let metadata = path.symlink_metadata().expect("it is there");
            let content = if metadata.is_file() { fs::read(&path).expect("readable") } else { Vec::new() };
            if metadata.is_dir() {
                todo.push(path.clone());
            }
            all.insert(path.strip_prefix(root).expect("below").to_owned(), (metadata.mode(), content));
        }
    }
    all
}

/// Where two snapshots differ.
#[track_caller]
pub(crate) fn assert_same(before: &BTreeMap<PathBuf, Seen>, after: &BTreeMap<PathBuf, Seen>, what: &str) {
    let different: Vec<&PathBuf> = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(different.is_empty(), "{what}: {different:?} changed");
}
