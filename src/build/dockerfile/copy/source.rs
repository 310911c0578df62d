//! What files can be copied from: a context of this machine, or the files of a stage.
//!
//! Both are roots that nothing leads out of: `..` ends at them, and links, absolute ones too, are followed within them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::build::destination::{join, parents};
use crate::build::dockerfile::files::{FileInfo, Files};
use crate::build::dockerfile::ignore::Ignore;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::layer::EntryKind;
use crate::layer::apply::{Follow, Kind, NodeId};
use crate::layer::tree::{Found, Keep, Tree};
use crate::spec::text;

/// How many symbolic links one path may lead through, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Something to copy from.
pub(in crate::build::dockerfile) trait Source: Sync {
    /// What is at a path, itself and not what it links to. No directory above it may be a link.
    fn look(&self, path: &[u8]) -> Result<Option<Seen>>;

    /// Everything below a directory, each directory before its content, in the byte order of names.
    fn walk(&self, run: &Run, directory: &[u8]) -> Result<Vec<Seen>>;

    /// The text of a link.
    fn target(&self, link: &Seen) -> Result<Vec<u8>>;

    /// Why nothing may be at a path although a person thinks so; for a hint.
    fn hides(&self, _path: &[u8]) -> Option<String> {
        None
    }
}

/// Something at a path of a source.
#[derive(Clone, Debug)]
pub(in crate::build::dockerfile) struct Seen {
    /// From the root of the source.
    pub(in crate::build::dockerfile) path: Vec<u8>,
    pub(in crate::build::dockerfile) what: What,
    pub(in crate::build::dockerfile) origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::build::dockerfile) enum What {
    Directory,
    File,
    Link,
    Special,
}

/// Where its attributes and its content are.
#[derive(Clone, Debug)]
pub(in crate::build::dockerfile) enum Origin {
    Context(Box<Found>),
    Stage(Arc<FileInfo>),
    /// A directory of a stage that no layer describes.
    Implied,
}

/// What a path means, with every link in it followed.
pub(super) fn resolve(source: &dyn Source, path: &[u8]) -> Result<Option<Seen>> {
    let mut at: Vec<u8> = Vec::new();
    let mut rest: Vec<Vec<u8>> = Vec::new();
    let push = |rest: &mut Vec<Vec<u8>>, path: &[u8]| rest.extend(names(path).rev().map(<[u8]>::to_vec));
    push(&mut rest, path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            at.truncate(at.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            continue;
        }
        let next = join(&at, &name);
        let Some(seen) = source.look(&next)? else { return Ok(None) };
        match seen.what {
            What::Directory => at = next,
            What::Link => {
                let target = source.target(&seen)?;
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::new(ErrorKind::Usage, format!("`{}` leads through more than {MAX_LINKS} symbolic links", text::bytes(path))));
                }
                if target.first() == Some(&b'/') {
                    at.clear();
                }
                push(&mut rest, &target);
            }
            What::File | What::Special if rest.is_empty() => return Ok(Some(seen)),
            What::File | What::Special => return Ok(None),
        }
    }
    source.look(&at)
}

/// The names of a path, without those that change nothing.
pub(super) fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// A directory of this machine, as far as its ignore file lets it be seen.
pub(in crate::build::dockerfile) struct Context<'a> {
    pub(in crate::build::dockerfile) tree: Arc<Tree>,
    pub(in crate::build::dockerfile) ignore: &'a Ignore,
}

impl Context<'_> {
    fn seen(found: Found) -> Seen {
        let what = match &found.stat {
            stat if stat.is_dir() => What::Directory,
            stat if stat.is_file() => What::File,
            stat if stat.is_symlink() => What::Link,
            _ => What::Special,
        };
        Seen { path: found.path.clone(), what, origin: Origin::Context(Box::new(found)) }
    }

    fn shows(&self, found: &Found) -> bool {
        found.path.is_empty() || !self.ignore.leaves_out(&found.path) || found.stat.is_dir() && self.ignore.may_take_back(&found.path)
    }
}

impl Source for Context<'_> {
    fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        match self.tree.find(path) {
            Ok(found) if self.shows(&found) => Ok(Some(Self::seen(found))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn walk(&self, run: &Run, directory: &[u8]) -> Result<Vec<Seen>> {
        let begins = |path: &[u8], with: &[u8]| with.is_empty() || path.strip_prefix(with).is_some_and(|rest| rest.first() == Some(&b'/'));
        let found = self.tree.walk(run, |path, is_dir| {
            if !begins(path, directory) {
                // On the way to the directory, or beside it.
                return if is_dir && (path == directory || begins(directory, path)) { Keep::No } else { Keep::Prune };
            }
            match self.ignore.leaves_out(path) {
                false => Keep::Yes,
                true if is_dir && self.ignore.may_take_back(path) => Keep::No,
                true => Keep::Prune,
            }
        })?;
        let mut all = Vec::with_capacity(found.len());
        let mut shown: HashSet<Vec<u8>> = HashSet::new();
        for found in found.into_iter().filter(|found| found.path != directory && begins(&found.path, directory)) {
            // A directory that is left out is there all the same for what was taken back.
            for above in parents(&found.path).filter(|above| begins(above, directory) && *above != directory) {
                if self.ignore.may_take_back(above) && self.ignore.leaves_out(above) && shown.insert(above.to_vec()) {
                    all.push(Self::seen(self.tree.find(above)?));
                }
            }
            all.push(Self::seen(found));
        }
        Ok(all)
    }

    fn target(&self, link: &Seen) -> Result<Vec<u8>> {
        match &link.origin {
            Origin::Context(found) => self.tree.read_link(found),
            Origin::Stage(_) | Origin::Implied => Ok(Vec::new()),
        }
    }

    fn hides(&self, path: &[u8]) -> Option<String> {
        let clean: Vec<u8> = names(path).collect::<Vec<_>>().join(&b'/');
        self.ignore.leaves_out(&clean).then(|| "the ignore file leaves it out of the context".to_owned())
    }
}

impl<T: Source + ?Sized + Sync> Source for &T {
    fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        (**self).look(path)
    }

    fn walk(&self, run: &Run, directory: &[u8]) -> Result<Vec<Seen>> {
        (**self).walk(run, directory)
    }

    fn target(&self, link: &Seen) -> Result<Vec<u8>> {
        (**self).target(link)
    }

    fn hides(&self, path: &[u8]) -> Option<String> {
        (**self).hides(path)
    }
}

impl Source for Files {
    fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        Ok(self.find(path, Follow::No)?.map(|id| seen(self, id, path.to_vec())))
    }

    fn walk(&self, _: &Run, directory: &[u8]) -> Result<Vec<Seen>> {
        let mut all = Vec::new();
        let Some(begin) = self.find(directory, Follow::No)? else { return Ok(all) };
        let mut pending = vec![(begin, directory.to_vec())];
        while let Some((id, path)) = pending.pop() {
            if let Kind::Directory(children) = self.node(id).kind() {
                pending.extend(children.iter().rev().map(|(name, child)| (*child, join(&path, name))));
            }
            if id != begin {
                all.push(seen(self, id, path));
            }
        }
        Ok(all)
    }

    fn target(&self, link: &Seen) -> Result<Vec<u8>> {
        match &link.origin {
            Origin::Stage(info) => match &info.entry.kind {
                EntryKind::Symlink { target } => Ok(target.clone()),
                _ => Ok(Vec::new()),
            },
            Origin::Context(_) | Origin::Implied => Ok(Vec::new()),
        }
    }
}

fn seen(files: &Files, id: NodeId, path: Vec<u8>) -> Seen {
    let node = files.node(id);
    let what = match node.kind() {
        Kind::Directory(_) => What::Directory,
        Kind::Symlink(_) => What::Link,
        Kind::File => What::File,
        Kind::Special => What::Special,
    };
    let origin = node.payload().clone().filter(|_| node.is_described()).map_or(Origin::Implied, Origin::Stage);
    Seen { path, what, origin }
}
