//! What lower directories make together, looked up name by name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use crate::error::{ErrorKind, IoContext as _, Result};
use crate::fsio::overlay::{Attributes, is_whiteout};
use crate::fsio::{Dir, Hidden, replica};
use crate::layer::tree::{Found, Stat, Tree};

/// Lower directories.
#[derive(Debug)]
pub(super) struct Below {
    /// The uppermost first.
    trees: Vec<Lower>,
    attributes: Attributes,
}

/// One lower directory.
#[derive(Debug)]
struct Lower {
    tree: Tree,
    dir: Dir,
    hidden: Hidden,
}

/// What is at a path.
#[derive(Clone, Debug)]
pub(super) struct There {
    /// In the uppermost directory that has it.
    pub(super) found: Found,
    /// Which one that is.
    tree: usize,
    /// Those that have something in it, where it is a directory.
    parts: Vec<usize>,
}

impl Below {
    /// Opens the directories, the lowest of which is given first.
    pub(super) fn open(lowers: &[PathBuf], attributes: Attributes) -> Result<Below> {
        let trees =
            lowers.iter().rev().map(|path| Ok(Lower { tree: Tree::open(path)?, dir: Dir::open(path)?, hidden: Hidden::of(path)? })).collect::<Result<_>>()?;
        Ok(Below { trees, attributes })
    }

    /// The root; none where there is no directory at all.
    pub(super) fn root(&self) -> Result<Option<There>> {
        let Some(top) = self.trees.first() else { return Ok(None) };
        Ok(Some(There { found: top.tree.find(b"")?, tree: 0, parts: (0..self.trees.len()).collect() }))
    }

    /// What is at `path`, which is directly in the directory `parent`; none where nothing is, or was hidden.
    pub(super) fn find(&self, parent: &There, path: &[u8]) -> Result<Option<There>> {
        let mut there: Option<There> = None;
        for tree in &parent.parts {
            let lower = &self.trees[*tree];
            if lower.hidden.is_gone(path) {
                break;
            }
            let found = match lower.tree.find(path) {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_directory = found.stat.is_dir();
            if is_whiteout(found.stat.mode, found.stat.rdev) || (there.is_some() && !is_directory) {
                break;
            }
            let is_opaque = is_directory && is_opaque(&lower.tree, &lower.hidden, &found, self.attributes)?;
            let there = there.get_or_insert_with(|| There { found, tree: *tree, parts: Vec::new() });
            if !is_directory {
                break;
            }
            there.parts.push(*tree);
            if is_opaque {
                break;
            }
        }
        Ok(there)
    }

    /// The names in a directory with what each is, in byte order.
    pub(super) fn list(&self, directory: &There) -> Result<Vec<There>> {
        let mut names = BTreeMap::new();
        for tree in &directory.parts {
            let opened = self.directory(*tree, Path::new(OsStr::from_bytes(&directory.found.path)))?;
            for (name, kind) in opened.entries()? {
                // What is a directory in several goes together; all else is what the uppermost says.
                let stat = if kind == FileType::Directory { None } else { Some(rustix::fs::statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW)) };
                let stat = stat.transpose().at("examine", &opened.path().join(&name))?.map(Stat::from);
                names.entry(name).or_insert((*tree, stat));
            }
            for name in self.trees[*tree].hidden.names(&directory.found.path) {
                // `find` sees that it is gone.
                names.entry(OsStr::from_bytes(name).to_owned()).or_insert((*tree, None));
            }
        }
        let mut all = Vec::with_capacity(names.len());
        for (name, (tree, stat)) in names {
            let path = if directory.found.path.is_empty() { name.as_bytes().to_vec() } else { [&directory.found.path, &b"/"[..], name.as_bytes()].concat() };
            match stat {
                Some(stat) if is_whiteout(stat.mode, stat.rdev) => {}
                Some(stat) => all.push(There { found: Found { path, stat }, tree, parts: Vec::new() }),
                None => all.extend(self.find(directory, &path)?),
            }
        }
        Ok(all)
    }

    /// Copies what is no directory into `directory`, with everything that it has.
    pub(super) fn copy(&self, there: &There, directory: BorrowedFd<'_>) -> io::Result<()> {
        let path = Path::new(OsStr::from_bytes(&there.found.path));
        let from = self.directory(there.tree, path.parent().unwrap_or(Path::new("")))?;
        let name = Path::new(path.file_name().unwrap_or_default());
        replica::file(&from, directory, name, &rustix::fs::statat(&from, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Gives `directory` what the uppermost of the directories at a path has.
    pub(super) fn copy_attributes(&self, there: &There, directory: impl AsFd) -> io::Result<()> {
        replica::directory(self.directory(there.tree, Path::new(OsStr::from_bytes(&there.found.path)))?, directory)
    }

    fn directory(&self, tree: usize, path: &Path) -> Result<Dir> {
        let dir = &self.trees[tree].dir;
        if path.as_os_str().is_empty() { Dir::open(dir.path()) } else { dir.open_below(path) }
    }

    /// The directory in which the uppermost of what is at a path is.
    pub(super) fn tree(&self, there: &There) -> &Tree {
        &self.trees[there.tree].tree
    }
}

/// Whether a directory hides what is below it.
pub(super) fn is_opaque(tree: &Tree, hidden: &Hidden, directory: &Found, attributes: Attributes) -> Result<bool> {
    Ok(hidden.is_opaque(&directory.path) || tree.xattrs(directory)?.get(attributes.opaque().as_bytes()).is_some_and(|value| value == b"y"))
}
