//! Walking: generation after generation of directories, each generation in parallel, then one pass that puts the lists into order.
//!
//! A worker holds one open directory at a time and there is no recursion, so neither depth nor breadth of a tree exhausts descriptors or stack.

use rustix::fs::{AtFlags, FileType, OFlags, RawDir};

use super::{Found, Keep, MAX_PATH, Stat, Tree, changed, fail, too_long};
use crate::error::Result;
use crate::exec::Run;

/// Space for names between two system calls.
const NAMES: usize = 32 * 1024;

/// At most this many directories are one piece of parallel work.
const BATCH: usize = 32;

/// One path below a directory.
struct Child {
    found: Found,
    reported: bool,
    walked: bool,
}

pub(super) fn walk(tree: &Tree, run: &Run, filter: &(impl Fn(&[u8], bool) -> Keep + Sync)) -> Result<Vec<Found>> {
    let mut lists = Vec::new();
    let mut generation = vec![Found { path: Vec::new(), stat: tree.stat }];
    while !generation.is_empty() {
        let batch = generation.len().div_ceil(4 * run.pool.jobs().get()).min(BATCH);
        let batches = generation.chunks(batch).collect();
        let scanned = run.pool.try_map(batches, |batch: &[Found]| {
            let mut names = Vec::with_capacity(NAMES);
            batch.iter().map(|directory| run.cancel.check().and_then(|()| scan(tree, directory, filter, &mut names))).collect::<Result<Vec<_>>>()
        })?;
        let before = lists.len();
        lists.extend(scanned.into_iter().flatten());
        generation = lists[before..].iter().flatten().filter(|child| child.walked).map(|child| child.found.clone()).collect();
    }
    Ok(in_order(tree, lists))
}

/// Reads one directory; the result is sorted by name.
fn scan(tree: &Tree, directory: &Found, filter: &impl Fn(&[u8], bool) -> Keep, names: &mut Vec<u8>) -> Result<Vec<Child>> {
    let fd = tree.directory(&directory.path, OFlags::RDONLY)?;
    let place = || tree.path_of(directory);
    let now = Stat::from(rustix::fs::fstat(&fd).map_err(|error| fail("read the directory", &place(), error))?);
    if !now.is_same_inode(&directory.stat) {
        return Err(changed(&place()));
    }
    let mut children = Vec::new();
    let mut entries = RawDir::new(&fd, names.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| fail("read the directory", &place(), error))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = below(&directory.path, name.to_bytes());
        if path.len() > MAX_PATH {
            return Err(too_long(&tree.path_of_bytes(&path)));
        }
        let look = |path: &[u8]| match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Stat::from(stat)),
            Err(rustix::io::Errno::NOENT) => Err(changed(&tree.path_of_bytes(path))),
            Err(error) => Err(fail("look at", &tree.path_of_bytes(path), error)),
        };
        // Most file systems tell the kind with the name, which spares a look at what is left out.
        let seen = if entry.file_type() == FileType::Unknown { Some(look(&path)?) } else { None };
        let is_dir = seen.map_or(entry.file_type() == FileType::Directory, |stat| stat.is_dir());
        let keep = filter(&path, is_dir);
        let walked = is_dir && keep != Keep::Prune;
        if keep == Keep::Yes || walked {
            let stat = seen.map_or_else(|| look(&path), Ok)?;
            if stat.is_dir() != is_dir {
                return Err(changed(&tree.path_of_bytes(&path)));
            }
            children.push(Child { found: Found { path, stat }, reported: keep == Keep::Yes, walked });
        }
    }
    children.sort_unstable_by(|a, b| a.found.path.cmp(&b.found.path));
    Ok(children)
}

fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    if !directory.is_empty() {
        path.extend_from_slice(directory);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Puts every directory's list behind the directory. `lists` holds the root's list, then those of the walked directories in the order of their generations.
fn in_order(tree: &Tree, lists: Vec<Vec<Child>>) -> Vec<Found> {
    let mut out = Vec::with_capacity(1 + lists.iter().map(Vec::len).sum::<usize>());
    // The walked children of list after list are the lists from the second on.
    let mut next = 1;
    let first_below: Vec<usize> = lists
        .iter()
        .map(|list| {
            let first = next;
            next += list.iter().filter(|child| child.walked).count();
            first
        })
        .collect();
    let mut lists: Vec<_> = lists.into_iter().zip(first_below).map(|(list, below)| (list.into_iter(), below)).collect();
    out.push(Found { path: Vec::new(), stat: tree.stat });
    let mut open = vec![0];
    while let Some(current) = open.last() {
        let (children, below) = &mut lists[*current];
        let Some(child) = children.next() else {
            open.pop();
            continue;
        };
        if child.walked {
            let list = *below;
            *below += 1;
            open.push(list);
        }
        if child.reported {
            out.push(child.found);
        }
    }
    out
}
