//! Following paths, as the kernel does for a process whose root is the root filesystem.

use super::rootfs::{Kind, NodeId, Origin, Rootfs};
use crate::error::{Error, Result};
use crate::layer::entry::MAX_PATH;
use crate::spec::text;

/// How many symbolic links one path may lead through, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// As on the way there.
    Yes,
    /// The link itself is meant.
    No,
}

/// Where a walk over a path is.
struct Walk<'a> {
    /// The whole path, for errors.
    path: &'a [u8],
    at: NodeId,
    /// Components still to go, the next one last.
    rest: Vec<Box<[u8]>>,
    links: usize,
    steps: usize,
}

impl<'a> Walk<'a> {
    fn new(path: &'a [u8], at: NodeId) -> Self {
        let mut walk = Walk { path, at, rest: Vec::new(), links: 0, steps: 0 };
        walk.push(path);
        walk
    }

    fn push(&mut self, path: &[u8]) {
        self.rest.extend(path.split(|byte| *byte == b'/').rev().filter(|name| !matches!(*name, b"" | b".")).map(Into::into));
    }

    /// The next component. Links multiply components; the sum of all is bounded, so that time is bounded by the length of what a layer says.
    fn next(&mut self) -> Result<Option<Box<[u8]>>> {
        self.steps += 1;
        if self.steps > MAX_PATH {
            return Err(self.refused("leads through too many directories"));
        }
        Ok(self.rest.pop())
    }

    /// Goes on with the text of a link.
    fn follow(&mut self, target: &[u8]) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(self.refused(&format!("leads through more than {MAX_LINKS} symbolic links")));
        }
        if target.first() == Some(&b'/') {
            self.at = Rootfs::<()>::ROOT;
        }
        self.push(target);
        Ok(())
    }

    fn refused(&self, why: &str) -> Error {
        Error::unsupported(format!("the path `{}` {why}", text::bytes(self.path)))
    }
}

impl<T: Clone + Default> Rootfs<T> {
    /// What `path` means, if there is something. Absolute paths and `..` mean what they mean to a process whose root this is. Fails with kind `unsupported`
    /// where the path leads through too many links.
    pub fn find(&self, path: &[u8], follow: Follow) -> Result<Option<NodeId>> {
        let mut walk = Walk::new(path, Self::ROOT);
        while let Some(name) = walk.next()? {
            if *name == *b".." {
                walk.at = self.node(walk.at).parent;
                continue;
            }
            let Some(child) = self.child(walk.at, &name) else { return Ok(None) };
            match &self.node(child).kind {
                Kind::Symlink(target) if follow == Follow::Yes || !walk.rest.is_empty() => walk.follow(target)?,
                Kind::Directory(_) => walk.at = child,
                _ if walk.rest.is_empty() => return Ok(Some(child)),
                _ => return Ok(None),
            }
        }
        Ok(Some(walk.at))
    }

    /// The directory that `path` means, made where it or something on the way is missing; files in the way give way. What was made is added to `implied`, outer
    /// directories first, and what gave way to `gone`.
    pub(super) fn ensure_directory(&mut self, path: &[u8], implied: &mut Vec<NodeId>, gone: &mut Vec<NodeId>) -> Result<NodeId> {
        let mut walk = Walk::new(path, Self::ROOT);
        while let Some(name) = walk.next()? {
            if *name == *b".." {
                walk.at = self.node(walk.at).parent;
                continue;
            }
            let child = self.child(walk.at, &name);
            walk.at = match child.map(|child| (child, &self.node(child).kind)) {
                Some((child, Kind::Directory(_))) => child,
                Some((_, Kind::Symlink(target))) => {
                    walk.follow(&target.clone())?;
                    continue;
                }
                other => {
                    if let Some((child, _)) = other {
                        self.remove(child, gone);
                    }
                    let made = self.insert(walk.at, &name, Kind::Directory(Default::default()), Origin::Implied, T::default())?;
                    implied.push(made);
                    made
                }
            };
        }
        Ok(walk.at)
    }
}
