//! From an upper directory to a changeset.
//!
//! The kernel puts more into an upper directory than what changed: every directory above a change, and files that were opened for writing and not written to. What is
//! as it is below is left out. Only the time of a directory in which something came or went stays a change, as it does with other tools.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::below::{Below, There, is_opaque};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::fsio::Hidden;
use crate::fsio::overlay::{Attributes, is_whiteout};
use crate::layer::changeset::{self, Item, Modes, Node, Owner, Rules, SourceTree, XattrRule};
use crate::layer::tree::{Found, Keep, Tree};
use crate::layer::whiteout::{self, Whiteout};
use crate::layer::{Entry, entry::Xattrs};
use crate::spec::text;

/// How much of two files is compared at once.
const PIECE: usize = 256 << 10;

/// The permissions and the owner of a root that nobody described.
const ROOT: (u32, u32, u32) = (0o755, 0, 0);

/// What is taken over: everything.
const RULES: Rules = Rules { modes: Modes::Keep, owner: Owner::Keep, xattrs: XattrRule::Keep };

/// What an upper directory changed.
#[derive(Debug)]
pub struct Changes {
    /// In order, ready for [`builder::build`](crate::layer::builder::build), which clamps their times.
    pub items: Vec<Item>,
    /// The paths of sockets, which no layer can carry.
    pub sockets: Vec<Vec<u8>>,
}

/// What the upper directory `upper` changed in what `lowers` (the lowest first) make together. Nothing may change in any of them meanwhile, nor before the layer is built.
///
/// Kinds: `io`; `unsupported` for names that a layer cannot carry.
pub fn changes(run: &Run, upper: &Path, lowers: &[PathBuf]) -> Result<Changes> {
    let attributes = Attributes::here();
    let below = Below::open(lowers, attributes)?;
    let source = Arc::new(SourceTree { tree: Arc::new(Tree::open(upper)?), rules: RULES });
    let (hidden, changes) = (Hidden::of(upper)?, Changes { items: Vec::new(), sockets: Vec::new() });
    let mut walk = Walk { below: &below, source: &source, hidden: &hidden, attributes, above: Vec::new(), changes };
    for found in source.tree.walk(run, |_, _| Keep::Yes)? {
        run.cancel.check()?;
        walk.one(found)?;
    }
    let mut changes = walk.changes;
    let clash = |_, first: usize, second: usize| Error::corrupt(format!("the paths {first} and {second} of {} exclude each other", text::path(upper)));
    changes.items = changeset::arrange(changes.items, clash)?;
    changeset::link_names(&mut changes.items);
    Ok(changes)
}

/// A walk over the upper directory, in the order of paths.
struct Walk<'a> {
    below: &'a Below,
    source: &'a Arc<SourceTree>,
    hidden: &'a Hidden,
    attributes: Attributes,
    /// The directories above, outermost first, with what is below each and shines through.
    above: Vec<(Vec<u8>, Option<There>)>,
    changes: Changes,
}

impl Walk<'_> {
    fn one(&mut self, found: Found) -> Result<()> {
        if found.path.is_empty() {
            return self.root(found);
        }
        let (parent, name) =
            found.path.iter().rposition(|byte| *byte == b'/').map_or((&b""[..], &found.path[..]), |slash| (&found.path[..slash], &found.path[slash + 1..]));
        while self.above.last().is_some_and(|(path, _)| path != parent) {
            self.above.pop();
        }
        let there = match self.above.last() {
            Some((_, Some(directory))) => self.below.find(directory, &found.path)?,
            _ => None,
        };
        if is_whiteout(found.stat.mode, found.stat.rdev) {
            return self.hide(there.is_some(), &Whiteout::Explicit(found.path));
        }
        if name.starts_with(whiteout::PREFIX) {
            let shown = text::bytes(&found.path).into_owned();
            let error = Error::unsupported(format!("no layer can carry `{shown}`: names that begin with `.wh.` mean that something is gone"));
            return Err(error.subject(&shown).hint("remove it, or give it another name, in the same step"));
        }
        if found.stat.is_dir() {
            return self.directory(found, there);
        }
        if found.stat.is_socket() {
            // What it took the place of is gone all the same.
            self.hide(there.is_some(), &Whiteout::Explicit(found.path.clone()))?;
            self.changes.sockets.push(found.path);
            return Ok(());
        }
        // A file with several names keeps all of them, so that they stay one file.
        let is_same = match &there {
            Some(there) if found.stat.nlink < 2 || !found.stat.is_file() => self.has_same_attributes(&found, there)? && self.has_same_content(&found, there)?,
            _ => false,
        };
        if !is_same {
            self.add(found);
        }
        Ok(())
    }

    fn root(&mut self, found: Found) -> Result<()> {
        let there = self.below.root()?;
        let is_same = match &there {
            // Its time is that of whatever was unpacked there.
            Some(there) => self.has_same_owner(&found, there) && self.xattrs(&found)? == self.xattrs_below(there)?,
            None => (found.stat.permissions(), found.stat.uid, found.stat.gid) == ROOT && self.xattrs(&found)?.is_empty(),
        };
        self.hide_listed(b"", there.as_ref())?;
        self.above.push((Vec::new(), there));
        if !is_same {
            self.add(found);
        }
        Ok(())
    }

    /// Says what is gone from the directory at `path`, below which there is `there`, as far as a list says so.
    fn hide_listed(&mut self, path: &[u8], there: Option<&There>) -> Result<()> {
        let Some(there) = there else { return Ok(()) };
        for name in self.hidden.names(path) {
            let gone = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
            let is_there = self.below.find(there, &gone)?.is_some();
            self.hide(is_there, &Whiteout::Explicit(gone))?;
        }
        Ok(())
    }

    fn directory(&mut self, found: Found, there: Option<There>) -> Result<()> {
        let there = there.filter(|there| there.found.stat.is_dir());
        let is_opaque = is_opaque(&self.source.tree, self.hidden, &found, self.attributes)?;
        let shines_through = there.clone().filter(|_| !is_opaque);
        self.hide_listed(&found.path, shines_through.as_ref())?;
        self.above.push((found.path.clone(), shines_through.clone()));
        if is_opaque {
            self.hide(there.is_some(), &Whiteout::Opaque(found.path.clone()))?;
        }
        let is_same = match shines_through {
            Some(there) => self.has_same_attributes(&found, &there)?,
            None => false,
        };
        if !is_same {
            self.add(found);
        }
        Ok(())
    }

    fn add(&mut self, found: Found) {
        self.changes.items.push(Item { path: found.path.clone(), node: Node::Found(self.source.clone(), Box::new(found)) });
    }

    /// Says that something is gone, where there is something below.
    fn hide(&mut self, is_there: bool, whiteout: &Whiteout) -> Result<()> {
        if is_there {
            let entry: Entry = whiteout.entry(0)?;
            self.changes.items.push(Item { path: entry.path.clone(), node: Node::Made(Box::new(entry), Arc::from(&b""[..])) });
        }
        Ok(())
    }

    fn has_same_owner(&self, found: &Found, there: &There) -> bool {
        let (here, below) = (&found.stat, &there.found.stat);
        (here.mode, here.uid, here.gid) == (below.mode, below.uid, below.gid)
    }

    fn has_same_attributes(&self, found: &Found, there: &There) -> Result<bool> {
        Ok(self.has_same_owner(found, there) && found.stat.mtime == there.found.stat.mtime && self.xattrs(found)? == self.xattrs_below(there)?)
    }

    /// Of two things that are of one kind.
    fn has_same_content(&self, found: &Found, there: &There) -> Result<bool> {
        let (tree, below) = (&self.source.tree, self.below.tree(there));
        let (here, under) = (&found.stat, &there.found.stat);
        if here.is_symlink() {
            return Ok(tree.read_link(found)? == below.read_link(&there.found)?);
        }
        if !here.is_file() {
            return Ok(here.rdev == under.rdev);
        }
        if here.size != under.size {
            return Ok(false);
        }
        let (mut one, mut other) = (tree.open_file(found)?, below.open_file(&there.found)?);
        let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let count = one.read_into(&mut left)?;
            if other.read_into(&mut right)? != count || left[..count] != right[..count] {
                return Ok(false);
            }
            if count == 0 {
                return Ok(true);
            }
        }
    }

    fn xattrs(&self, found: &Found) -> Result<Xattrs> {
        Ok(kept(self.source.tree.xattrs(found)?))
    }

    fn xattrs_below(&self, there: &There) -> Result<Xattrs> {
        Ok(kept(self.below.tree(there).xattrs(&there.found)?))
    }
}

/// Those that go into a layer.
fn kept(xattrs: Xattrs) -> Xattrs {
    xattrs.into_iter().filter(|(name, _)| RULES.xattrs.keeps(name)).collect()
}
