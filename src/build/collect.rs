//! From the steps of a layer to the items of its changeset: looks at the source files, reads none.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::destination::{self, Destination};
use super::globs::Globs;
use super::place::{At, Place};
use super::spec::{CopySpec, Devices, RootfsSpec, Step};
use super::template::Template;
use crate::error::{ErrorKind, IoContext, Result};
use crate::exec::Run;
use crate::layer::changeset::{Clash, Item, Modes, Node, Rules, SourceTree, XattrRule, arrange, link_names};
use crate::layer::entry::Xattrs;
use crate::layer::tree::{Found, Keep, Tree};
use crate::layer::{Entry, EntryKind};
use crate::spec::{Platform, text};

/// The items of a layer's own steps for one platform, in order.
pub(super) fn steps(run: &Run, context: &Path, steps: &[Step], platform: &Platform) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut places: Vec<(usize, &Place)> = Vec::new();
    for step in steps {
        places.push((items.len(), step.place()));
        match step {
            Step::Copy(copy) => collect_copy(run, context, copy, platform, &mut items)?,
            made => items.push(make(run, made, platform)?),
        }
    }
    // Directories that several copies share are one directory; everything else may be made once only.
    merge_directories(&mut items, &mut places);
    let place = |index: usize| places.iter().rev().find(|(begin, _)| *begin <= index).map(|(_, place)| (*place).clone());
    let paths: Vec<Vec<u8>> = items.iter().map(|item| item.path.clone()).collect();
    arrange(items, |clash, first, second| {
        let (first_place, second_place) = (place(first), place(second));
        let path = |index: usize| format!("`/{}`", text::bytes(&paths[index]));
        let message = match clash {
            Clash::Twice => format!("{} is made twice in this layer", path(second)),
            Clash::Below => format!("{} is below {}, which is not a directory in this layer", path(second), path(first)),
        };
        let error = second_place.unwrap_or_else(|| Place::flag("layer")).usage(message);
        match first_place {
            Some(first) => error.hint(format!("the first is at {first}; leave one out, or put it into a [[layer]] of its own")),
            None => error,
        }
    })
}

/// The items of a tree that is kept as it is, in order.
pub(super) fn rootfs(run: &Run, context: &Path, spec: &RootfsSpec, platform: &Platform) -> Result<Vec<Item>> {
    let path = source(context, &spec.from, platform)?;
    let exclude = Globs::compile(&spec.exclude, platform)?;
    let rules = Rules { modes: Modes::Keep, owner: spec.owner, xattrs: XattrRule::Keep };
    let source_tree = Arc::new(SourceTree { tree: Arc::new(open(&path, &spec.from, platform)?), rules });
    let found = source_tree.tree.walk(run, |path, _| if exclude.as_ref().is_some_and(|globs| globs.covers(path)) { Keep::Prune } else { Keep::Yes })?;
    let mut items = Vec::with_capacity(found.len());
    for found in found {
        if admit(run, &source_tree.tree, &found, spec.devices, &spec.from.place)? {
            items.push(Item { path: found.path.clone(), node: Node::Found(source_tree.clone(), Box::new(found)) });
        }
    }
    link_names(&mut items);
    Ok(items)
}

/// The path of a source on this machine, which must exist.
pub(super) fn source(context: &Path, from: &At<Template>, platform: &Platform) -> Result<PathBuf> {
    let written = from.value.expand(platform);
    let path = context.join(&written);
    match std::fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
            let message = format!("source `{}` for platform {platform} cannot be found", text::shown(&written));
            Err(from.place.error(kind, message).because(error).hint(format!("looked at {}; create it, or limit the layer with `platforms`", text::path(&path))))
        }
    }
}

fn open(path: &Path, from: &At<Template>, platform: &Platform) -> Result<Tree> {
    Tree::open(path).map_err(|error| from.place.wrap(error, format!("source for platform {platform}")))
}

fn collect_copy(run: &Run, context: &Path, copy: &CopySpec, platform: &Platform, items: &mut Vec<Item>) -> Result<()> {
    let path = source(context, &copy.from, platform)?;
    let to = copy.to.resolve(platform)?;
    if !path.is_dir() {
        return collect_file(&path, copy, &to, platform, items);
    }
    let (include, exclude) = (Globs::compile(&copy.include, platform)?, Globs::compile(&copy.exclude, platform)?);
    let source_tree = Arc::new(SourceTree { tree: Arc::new(open(&path, &copy.from, platform)?), rules: copy.rules });
    let found = source_tree.tree.walk(run, |path, is_dir| {
        if exclude.as_ref().is_some_and(|globs| globs.matches(path)) {
            return Keep::Prune;
        }
        match &include {
            // Directories are looked into; those that turn out to hold nothing are dropped below.
            Some(globs) if !is_dir && !globs.covers(path) => Keep::No,
            _ => Keep::Yes,
        }
    })?;
    let wanted = include.as_ref().map(|globs| needed_directories(&found, globs));
    let before = items.len();
    for found in found {
        let skipped = found.path.is_empty() || (found.stat.is_dir() && wanted.as_ref().is_some_and(|wanted| !wanted.contains(&found.path)));
        if !skipped && admit(run, &source_tree.tree, &found, Devices::Refuse, &copy.from.place)? {
            items.push(Item { path: to.join(&found.path), node: Node::Found(source_tree.clone(), Box::new(found)) });
        }
    }
    if items.len() == before && include.is_some() {
        let message = format!("nothing in `{}` matches `include` for platform {platform}", text::shown(&copy.from.value.expand(platform)));
        return Err(copy.place.error(ErrorKind::NotFound, message));
    }
    if items.len() == before && !to.path.is_empty() {
        items.push(directory(run, &to.path, 0o755, (0, 0)));
    }
    Ok(())
}

/// Directories that `include` names, and those above what it names.
fn needed_directories(found: &[Found], include: &Globs) -> HashSet<Vec<u8>> {
    let mut needed = HashSet::new();
    for found in found {
        if !found.stat.is_dir() || include.covers(&found.path) {
            needed.extend(destination::parents(&found.path).map(<[u8]>::to_vec));
            if found.stat.is_dir() {
                needed.insert(found.path.clone());
            }
        }
    }
    needed
}

fn collect_file(path: &Path, copy: &CopySpec, to: &Destination, platform: &Platform, items: &mut Vec<Item>) -> Result<()> {
    if let Some(pattern) = copy.include.first().or(copy.exclude.first()) {
        return Err(pattern.place.usage("patterns go with a directory, and the source is a file"));
    }
    let real = std::fs::canonicalize(path).at("read", path)?;
    let (parent, name) = match (real.parent(), real.file_name()) {
        (Some(parent), Some(name)) => (parent, name.as_bytes()),
        _ => return Err(copy.from.place.usage("the source has no name")),
    };
    let tree = open(parent, &copy.from, platform)?;
    let found = tree.find(name)?;
    if !found.stat.is_file() {
        return Err(copy.from.place.error(ErrorKind::Unsupported, format!("source {} is neither a file nor a directory", text::path(path))));
    }
    let to = if to.into {
        // The name is the one that was written, which may be that of a link.
        let written = path.file_name().map_or(name, OsStrExt::as_bytes);
        to.join(written)
    } else {
        to.path.clone()
    };
    check_name(&to, &copy.place)?;
    items.push(Item { path: to, node: Node::Found(Arc::new(SourceTree { tree: Arc::new(tree), rules: copy.rules }), Box::new(found)) });
    Ok(())
}

/// Whether a found file goes into the layer; an error where it must not.
fn admit(run: &Run, tree: &Tree, found: &Found, devices: Devices, place: &Place) -> Result<bool> {
    check_name(&found.path, place)?;
    let stat = &found.stat;
    if stat.is_socket() {
        run.events.warn(format!("{} is a socket and is left out", text::path(&tree.path_of(found))));
        return Ok(false);
    }
    if stat.is_char_device() || stat.is_block_device() || stat.is_fifo() {
        return match devices {
            Devices::Keep => Ok(true),
            Devices::Skip => Ok(false),
            Devices::Refuse => Err(place
                .usage(format!("{} is a device or a named pipe", text::path(&tree.path_of(found))))
                .hint("leave it out with `exclude`, or use `rootfs` with devices = \"keep\"")),
        };
    }
    Ok(true)
}

/// Refuses names that would delete something when the layer is applied.
fn check_name(path: &[u8], place: &Place) -> Result<()> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    if name.starts_with(b".wh.") {
        let message = format!("`/{}` has a name that means deletion in a layer", text::bytes(path));
        return Err(place.usage(message).hint("rename it, or leave it out with `exclude`"));
    }
    Ok(())
}

fn make(run: &Run, step: &Step, platform: &Platform) -> Result<Item> {
    Ok(match step {
        Step::File { to, content, mode, owner, .. } => {
            made(run, &to.resolve(platform)?, EntryKind::File { size: content.len() as u64 }, *mode, *owner, content.as_slice().into())
        }
        Step::Symlink { to, target, owner, .. } => {
            let text = target.value.expand(platform).into_bytes();
            if text.is_empty() {
                return Err(target.place.usage(format!("the target of a symbolic link is empty for platform {platform}")));
            }
            made(run, &to.resolve(platform)?, EntryKind::Symlink { target: text }, 0o777, *owner, Arc::default())
        }
        Step::Directory { to, mode, owner, .. } => directory(run, &to.resolve(platform)?.path, *mode, *owner),
        Step::Remove { path, .. } => {
            let path = path.resolve(platform)?;
            let (parent, name) = match path.path.iter().rposition(|byte| *byte == b'/') {
                Some(at) => (&path.path[..at], &path.path[at + 1..]),
                None => (&[] as &[u8], path.path.as_slice()),
            };
            let hidden = Destination { path: destination::join(parent, &[b".wh.", name].concat()), into: false };
            made(run, &hidden, EntryKind::File { size: 0 }, 0o644, (0, 0), Arc::default())
        }
        // Copies are collected, not made.
        Step::Copy(copy) => directory(run, &copy.to.resolve(platform)?.path, 0o755, (0, 0)),
    })
}

fn made(run: &Run, to: &Destination, kind: EntryKind, mode: u32, (uid, gid): (u32, u32), content: Arc<[u8]>) -> Item {
    let mtime = run.timestamps.epoch().cast_signed();
    let entry = Entry { path: to.path.clone(), kind, mode, uid, gid, mtime, xattrs: Xattrs::new() };
    Item { path: to.path.clone(), node: Node::Made(Box::new(entry), content) }
}

/// A directory that nobody described.
pub(super) fn directory(run: &Run, path: &[u8], mode: u32, owner: (u32, u32)) -> Item {
    made(run, &Destination { path: path.to_vec(), into: true }, EntryKind::Directory, mode, owner, Arc::default())
}

/// Keeps the last of several directories with one path: the later step decides its mode and owner.
fn merge_directories(items: &mut Vec<Item>, places: &mut [(usize, &Place)]) {
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut keep: Vec<bool> = items.iter().rev().map(|item| !item.node.is_directory() || seen.insert(&item.path)).collect();
    keep.reverse();
    for (begin, _) in places.iter_mut() {
        *begin = keep[..*begin].iter().filter(|kept| **kept).count();
    }
    let mut kept = keep.into_iter();
    items.retain(|_| kept.next().unwrap_or(true));
}
