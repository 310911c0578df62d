//! What `COPY` and `ADD` put into a stage: from a plan, the sources and the files of the stage to the items of a changeset. Reads names and attributes, and of
//! contents no more than tells an archive from other files.
//!
//! The rules are BuildKit's. A directory means its content; a file goes into a destination that ends with `/` or is a directory, and else takes its name.
//! Missing directories are made, 0755, for whom `--chown` says. A directory that is there keeps its attributes as the destination itself, and gets those of its
//! source below it.

mod archive;
mod links;
mod place;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use archive::Archives;
pub(super) use source::{Context, Source};

use super::chmod::{self, Chmod};
use super::files::{ContentAt, Files};
use super::glob::{Glob, Reading, has_wildcards, is_pattern};
use super::ignore::Ignore;
use super::instruction::{Mode, Paths, Verb};
use super::plan::CopyPlan;
use crate::build::destination::{join, parents};
use crate::build::place::At;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Run, Timestamps};
use crate::layer::changeset::{Item, Modes, Node, Owner, Rules, SourceTree, XattrRule};
use crate::layer::entry::{Xattrs, path_order};
use crate::layer::tree::{Found, Tree};
use crate::layer::{Entry, EntryKind};
use crate::spec::text;
use place::{Place, Placed, There};
use source::{Origin, Seen, What, resolve};

/// What a copy works on.
pub(super) struct Work<'a> {
    pub(super) run: &'a Run,
    pub(super) plan: &'a CopyPlan,
    pub(super) source: &'a dyn Source,
    /// The tree of a source that is a context.
    pub(super) tree: Option<&'a Arc<Tree>>,
    /// Whom `--chown` says.
    pub(super) owner: Option<(u32, u32)>,
}

/// What a copy comes to.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Its items in order.
    pub(super) items: Vec<Planned>,
    /// The archives that were not looked into.
    pub(super) archives: Vec<Found>,
}

/// One path of a copy.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) path: Vec<u8>,
    pub(super) node: PlannedNode,
}

/// What stands there.
#[derive(Clone, Debug)]
pub(super) enum PlannedNode {
    /// What a changeset can hold as it is.
    Ready(Node),
    /// A file whose content is in a layer of another stage.
    Content(Box<Entry>, ContentAt),
}

impl Planned {
    /// Bytes of content.
    pub(super) fn size(&self) -> u64 {
        match &self.node {
            PlannedNode::Ready(node) => node.size(),
            PlannedNode::Content(entry, _) => entry.size(),
        }
    }

    /// What it is in its layer.
    pub(super) fn entry(&self, timestamps: Timestamps) -> Result<Entry> {
        match &self.node {
            PlannedNode::Ready(node) => Item { path: self.path.clone(), node: node.clone() }.entry(timestamps),
            PlannedNode::Content(entry, _) => Ok(Entry { path: self.path.clone(), mtime: timestamps.clamp(entry.mtime), ..(**entry).clone() }),
        }
    }
}

impl Placed for PlannedNode {
    fn is_directory(&self) -> bool {
        match self {
            PlannedNode::Ready(node) => node.is_directory(),
            PlannedNode::Content(..) => false,
        }
    }
}

/// Finds out what a copy comes to where the stage has `files`. Errors point to the words of the instruction.
pub(super) fn collect(work: &Work<'_>, files: Option<&Files>, archives: Archives<'_>) -> Result<Copied> {
    let plan = work.plan;
    let place = Place::new(files.filter(|_| plan.mode == Mode::Onto));
    let mut collector = Collector { work, exclude: Ignore::of(&plan.exclude)?, place, trees: HashMap::new(), archives, noted: Vec::new() };
    let mut sources = Vec::new();
    for source in &plan.sources {
        match plan.paths {
            Paths::Name => sources.extend(collector.matches(source)?.into_iter().map(|seen| (source, seen))),
            Paths::Parents => collector.with_parents(source).map_err(|error| at(error, source))?,
        }
    }
    collector.check_destination(&sources)?;
    for (source, (path, seen)) in sources {
        collector.add(&path, seen).map_err(|error| at(error, source))?;
    }
    for document in &plan.documents {
        let node = collector.document(document.content.as_bytes());
        collector.add_file(document.name.as_bytes(), node).map_err(|error| at(error, &plan.to))?;
    }
    Ok(Copied { archives: collector.noted, items: in_order(collector.place.into_placed()) })
}

/// Errors about files get the place of the word that asked for them.
fn at(error: Error, written: &At<String>) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        _ => written.place.wrap(error, format!("cannot copy `{}`", text::shown(&written.value))),
    }
}

/// A source as it is written, with the path that it leads to and what is there.
type Matched<'a> = (&'a At<String>, (Vec<u8>, Seen));

struct Collector<'a> {
    work: &'a Work<'a>,
    exclude: Ignore,
    place: Place<'a, PlannedNode>,
    /// The context by what becomes of modes.
    trees: HashMap<Modes, Arc<SourceTree>>,
    archives: Archives<'a>,
    noted: Vec<Found>,
}

impl Collector<'_> {
    /// What a source means: one path, or all that match a pattern, each with the name it was found by.
    fn matches(&self, written: &At<String>) -> Result<Vec<(Vec<u8>, Seen)>> {
        let source = self.work.source;
        let clean = clean(&written.value);
        if !has_wildcards(&clean) {
            let path = super::glob::literal(&clean).into_bytes();
            let found = resolve(source, &path).map_err(|error| at(error, written))?;
            return found.map(|seen| vec![(path.clone(), seen)]).ok_or_else(|| self.absent(written, &path));
        }
        let (base, pattern) = split_pattern(&clean);
        let glob = Glob::parse(&pattern, Reading::Sources).map_err(|why| written.place.usage(why))?;
        let base_path = super::glob::literal(&base).into_bytes();
        let Some(base) = resolve(source, &base_path).map_err(|error| at(error, written))? else { return Ok(self.nothing(written)) };
        let mut found: Vec<(Vec<u8>, Seen)> = Vec::new();
        for seen in source.walk(self.work.run, &base.path).map_err(|error| at(error, written))? {
            let below = seen.path.strip_prefix(base.path.as_slice()).unwrap_or(&seen.path);
            let below = below.strip_prefix(b"/").unwrap_or(below);
            // What is in a directory that matches comes with it.
            let covered = found.last().is_some_and(|(path, _)| parents(&seen.path).any(|above| above == path.as_slice()));
            if covered || !glob.matches(below) {
                continue;
            }
            let path = seen.path.clone();
            if let Some(seen) = resolve(source, &path).map_err(|error| at(error, written))? {
                found.push((path, seen));
            }
        }
        if found.is_empty() {
            return Ok(self.nothing(written));
        }
        Ok(found)
    }

    fn nothing(&self, written: &At<String>) -> Vec<(Vec<u8>, Seen)> {
        self.work.run.events.warn(format!("{}: nothing matches `{}`", written.place, text::shown(&written.value)));
        Vec::new()
    }

    fn absent(&self, written: &At<String>, path: &[u8]) -> Error {
        let error = written.place.error(ErrorKind::NotFound, format!("there is no `{}` to copy", text::shown(&written.value)));
        match self.work.source.hides(path) {
            Some(why) => error.hint(why),
            None if written.value.split('/').any(|name| name == "..") => error.hint("nothing outside of the context can be copied: `..` ends at its top"),
            None => error,
        }
    }

    /// Several files need a directory to go into.
    fn check_destination(&self, sources: &[Matched<'_>]) -> Result<()> {
        let to = &self.work.plan.to;
        let count = sources.len() + self.work.plan.documents.len();
        if count < 2 || to.value.ends_with('/') || self.work.plan.paths == Paths::Parents {
            return Ok(());
        }
        let all_directories = self.work.plan.documents.is_empty() && sources.iter().all(|(_, (_, seen))| seen.what == What::Directory);
        let resolved = self.place.resolve(to.value.as_bytes()).map_err(|error| at(error, to))?;
        match all_directories || self.place.at(&resolved)? == There::Directory {
            true => Ok(()),
            false => Err(to.place.usage(format!("`{}` is to take {count} files, but is no directory", text::shown(&to.value))).hint("write a `/` at its end")),
        }
    }

    /// Adds what one source is.
    fn add(&mut self, path: &[u8], seen: Seen) -> Result<()> {
        match seen.what {
            What::Directory => self.add_directory(&seen),
            What::File if self.work.plan.verb == Verb::Add && self.add_archive(&seen)? => Ok(()),
            _ => {
                let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
                if self.exclude.leaves_out(name) {
                    return Ok(());
                }
                let node = self.node(&seen)?;
                self.add_file(name, node)
            }
        }
    }

    fn add_file(&mut self, name: &[u8], node: Option<PlannedNode>) -> Result<()> {
        let Some(node) = node else { return Ok(()) };
        let to = self.work.plan.to.value.as_bytes();
        if to.ends_with(b"/") {
            let directory = self.place.resolve(to)?;
            self.ensure(&directory)?;
        }
        let mut path = self.place.resolve(to)?;
        if self.place.at(&path)? == There::Directory {
            path = join(&path, name);
        }
        self.ensure(above(&path))?;
        check_name(&path)?;
        self.place.put(path, node)
    }

    fn add_directory(&mut self, directory: &Seen) -> Result<()> {
        let to = self.place.resolve(self.work.plan.to.value.as_bytes())?;
        self.ensure(&to)?;
        for seen in self.work.source.walk(self.work.run, &directory.path)? {
            let below = strip(&seen.path, &directory.path).to_vec();
            if self.exclude.leaves_out(&below) {
                continue;
            }
            self.add_below(&to, &below, &seen, &directory.path)?;
        }
        Ok(())
    }

    /// Adds something of a directory that is copied. Directories that are left out are there all the same for what is in them.
    fn add_below(&mut self, to: &[u8], below: &[u8], seen: &Seen, root: &[u8]) -> Result<()> {
        let path = join(to, below);
        check_name(&path)?;
        let Some(node) = self.node(seen)? else { return Ok(()) };
        for missing in parents(below).map(<[u8]>::to_vec).collect::<Vec<_>>() {
            let at = join(to, &missing);
            if self.place.lacks_directory(&at)?
                && let Some(seen) = self.work.source.look(&join(root, &missing))?
                && let Some(node) = self.node(&seen)?
            {
                self.place.put(at, node)?;
            }
        }
        self.place.put(path, node)
    }

    /// `--parents`: the path behind `/./`, or all of it, is kept.
    fn with_parents(&mut self, written: &At<String>) -> Result<()> {
        let (pivot, kept) = written.value.split_once("/./").unwrap_or(("", &written.value));
        let (pivot, kept) = (clean(pivot), clean(kept));
        let pivot_path = super::glob::literal(&pivot).into_bytes();
        let wanted = Glob::parse(&kept, Reading::Ignored).map_err(|why| written.place.usage(why))?;
        let Some(root) = resolve(self.work.source, &pivot_path)?.filter(|root| root.what == What::Directory) else {
            return Err(self.absent(written, &pivot_path));
        };
        let to = self.place.resolve(self.work.plan.to.value.as_bytes())?;
        self.ensure(&to)?;
        let mut matched = false;
        let mut covered: Vec<u8> = Vec::new();
        for seen in self.work.source.walk(self.work.run, &root.path)? {
            let below = strip(&seen.path, &root.path).to_vec();
            let is_within = !covered.is_empty() && parents(&below).any(|above| above == covered.as_slice());
            if !is_within && !kept.is_empty() && !wanted.matches(&below) {
                continue;
            }
            if !is_within && seen.what == What::Directory {
                covered.clone_from(&below);
            }
            matched = true;
            if !self.exclude.leaves_out(&below) {
                self.add_below(&to, &below, &seen, &root.path)?;
            }
        }
        match matched || is_pattern(&kept) || kept.is_empty() {
            true => Ok(()),
            false => Err(self.absent(written, &join(&pivot_path, kept.as_bytes()))),
        }
    }

    /// Makes a directory of the stage with those above it, where they are missing.
    fn ensure(&mut self, path: &[u8]) -> Result<()> {
        for above in parents(path).chain([path]) {
            check_name(above)?;
        }
        let (owner, run) = (self.work.owner.unwrap_or((0, 0)), self.work.run);
        self.place.ensure_directory(path, |path| made_directory(run, path, owner))
    }

    fn document(&self, content: &[u8]) -> Option<PlannedNode> {
        let (uid, gid) = self.work.owner.unwrap_or((0, 0));
        let mode = self.work.plan.chmod.as_ref().map_or(0o644, |chmod| chmod.apply(0o644, chmod::Kind::Other));
        let mtime = self.work.run.timestamps.epoch().cast_signed();
        let entry = Entry { path: Vec::new(), kind: EntryKind::File { size: content.len() as u64 }, mode, uid, gid, mtime, xattrs: Xattrs::new() };
        Some(PlannedNode::Ready(Node::Made(Box::new(entry), content.into())))
    }

    /// What something becomes in the layer; none for what a layer cannot hold.
    fn node(&mut self, seen: &Seen) -> Result<Option<PlannedNode>> {
        match &seen.origin {
            Origin::Context(found) => self.found(found),
            Origin::Stage(info) => Ok(Some(self.stored(info.entry.clone(), info.at))),
            Origin::Implied => {
                let entry = Entry { path: Vec::new(), kind: EntryKind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() };
                Ok(Some(self.stored(entry, ContentAt { layer: 0, entry: 0 })))
            }
        }
    }

    fn stored(&self, mut entry: Entry, at: ContentAt) -> PlannedNode {
        if let Some((uid, gid)) = self.work.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(chmod) = &self.work.plan.chmod {
            entry.mode = changed(chmod, entry.mode, &entry.kind);
        }
        match entry.kind {
            // Further names of one file become hard links once the order is known.
            EntryKind::File { .. } => PlannedNode::Content(Box::new(entry), at),
            _ => PlannedNode::Ready(Node::Made(Box::new(entry), Arc::default())),
        }
    }

    fn found(&mut self, found: &Found) -> Result<Option<PlannedNode>> {
        let stat = &found.stat;
        let Some(tree) = self.work.tree else { return Ok(None) };
        if stat.is_socket() {
            self.work.run.events.warn(format!("{} is a socket and is left out", text::path(&tree.path_of(found))));
            return Ok(None);
        }
        if stat.is_char_device() || stat.is_block_device() || stat.is_fifo() {
            let shown = text::path(&tree.path_of(found)).into_owned();
            return Err(Error::usage(format!("{shown} is a device or a named pipe")).hint("leave it out with --exclude or .dockerignore"));
        }
        let modes = match &self.work.plan.chmod {
            Some(chmod) if !stat.is_symlink() => {
                let kind = if stat.is_dir() { chmod::Kind::Directory } else { chmod::Kind::Other };
                Modes::Exactly(chmod.apply(stat.permissions(), kind))
            }
            _ => Modes::Keep,
        };
        let (uid, gid) = self.work.owner.unwrap_or((0, 0));
        let make = || Arc::new(SourceTree { tree: tree.clone(), rules: Rules { modes, owner: Owner::Fixed(uid, gid), xattrs: XattrRule::Keep } });
        let source = self.trees.entry(modes).or_insert_with(make).clone();
        Ok(Some(PlannedNode::Ready(Node::Found(source, Box::new(found.clone())))))
    }

    /// Extracts a file if it is an archive. False where it is none.
    fn add_archive(&mut self, seen: &Seen) -> Result<bool> {
        let Origin::Context(found) = &seen.origin else { return Ok(false) };
        let Some(tree) = self.work.tree else { return Ok(false) };
        let Some(archive) = archive::Archive::recognise(tree, found)? else { return Ok(false) };
        let to = self.place.resolve(self.work.plan.to.value.as_bytes())?;
        self.ensure(&to)?;
        match self.archives {
            Archives::Noted => self.noted.push((**found).clone()),
            Archives::Read(spool) => {
                for item in archive.items(self.work.run, spool)? {
                    self.extract(&to, item)?;
                }
            }
        }
        Ok(true)
    }

    /// Puts an entry of an archive where a reader who extracts it in the stage puts it: links on the way are followed, what has its name is replaced.
    fn extract(&mut self, to: &[u8], item: Item) -> Result<()> {
        let Node::Stored(mut entry, file, offset) = item.node else { return Ok(()) };
        let path = if item.path.is_empty() {
            // What the archive says of its root is said of the directory that it is extracted to.
            to.to_vec()
        } else {
            check_name(&item.path)?;
            let directory = self.place.resolve(&join(to, above(&item.path)))?;
            self.ensure(&directory)?;
            let name = item.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            join(&directory, name)
        };
        if path.is_empty() {
            return Ok(());
        }
        if let Some((uid, gid)) = self.work.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let EntryKind::Hardlink { target } = &mut entry.kind {
            let directory = self.place.resolve(&join(to, above(target)))?;
            let name = target.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            *target = join(&directory, name);
        }
        self.place.replace(path, PlannedNode::Ready(Node::Stored(entry, file, offset)));
        Ok(())
    }
}

/// A directory that nobody described.
pub(super) fn made_directory(run: &Run, path: &[u8], (uid, gid): (u32, u32)) -> PlannedNode {
    let mtime = run.timestamps.epoch().cast_signed();
    let entry = Entry { path: path.to_vec(), kind: EntryKind::Directory, mode: 0o755, uid, gid, mtime, xattrs: Xattrs::new() };
    PlannedNode::Ready(Node::Made(Box::new(entry), Arc::default()))
}

/// The directories that are missing for `path` to be a directory of the stage, itself among them.
pub(super) fn directories(run: &Run, files: &Files, path: &[u8], owner: (u32, u32)) -> Result<Vec<Planned>> {
    let mut place = Place::new(Some(files));
    let path = place.resolve(path)?;
    place.ensure_directory(&path, |path| made_directory(run, path, owner))?;
    Ok(in_order(place.into_placed()))
}

fn in_order(placed: HashMap<Vec<u8>, PlannedNode>) -> Vec<Planned> {
    let mut items: Vec<Planned> = placed.into_iter().map(|(path, node)| Planned { path, node }).collect();
    items.sort_by(|a, b| path_order(&a.path, &b.path));
    links::link_names(&mut items);
    items
}

fn changed(chmod: &Chmod, mode: u32, kind: &EntryKind) -> u32 {
    match kind {
        EntryKind::Symlink { .. } => mode,
        EntryKind::Directory => chmod.apply(mode, chmod::Kind::Directory),
        _ => chmod.apply(mode, chmod::Kind::Other),
    }
}

/// Refuses names that would delete something when the layer is applied.
fn check_name(path: &[u8]) -> Result<()> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    match name.starts_with(b".wh.") {
        true => Err(Error::usage(format!("`/{}` has a name that means deletion in a layer", text::bytes(path))).hint("rename it, or leave it out")),
        false => Ok(()),
    }
}

/// A source as it is written, without what changes nothing: `..` ends at the top.
fn clean(written: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The directory before the first component that is a pattern, and the pattern.
fn split_pattern(clean: &str) -> (String, String) {
    let parts: Vec<&str> = clean.split('/').collect();
    let first = parts.iter().position(|part| has_wildcards(part)).unwrap_or(parts.len());
    (parts[..first].join("/"), parts[first..].join("/"))
}

fn above(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}

/// What is left of `path` below `directory`.
fn strip<'a>(path: &'a [u8], directory: &[u8]) -> &'a [u8] {
    let rest = path.strip_prefix(directory).unwrap_or(path);
    rest.strip_prefix(b"/").unwrap_or(rest)
}
