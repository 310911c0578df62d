//! Where things go: the files of the stage as they are, and what the same step has put there already.
//!
//! Links on the way to the destination are followed within the root of the stage, as its processes would follow them. Below the destination none is: what stands
//! in the way of a directory is an error, as it is for BuildKit, and what stands in the way of a file is replaced unless it is a directory.

use std::collections::HashMap;

use super::source::names;
use crate::build::destination::join;
use crate::build::dockerfile::files::Files;
use crate::error::{Error, Result};
use crate::layer::apply::{Follow, Kind};
use crate::layer::entry::MAX_PATH;
use crate::spec::text;

/// How many symbolic links one path may lead through, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// What is at a path of the stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Directory,
    Link(Vec<u8>),
    Other,
}

/// The stage with what a step puts into it.
pub(super) struct Place<'a, T> {
    /// None where the step is not to know what is there.
    files: Option<&'a Files>,
    /// What the step puts there.
    placed: HashMap<Vec<u8>, T>,
}

/// What a step puts at a path.
pub(super) trait Placed {
    fn is_directory(&self) -> bool;
}

impl<'a, T: Placed> Place<'a, T> {
    pub(super) fn new(files: Option<&'a Files>) -> Self {
        Place { files, placed: HashMap::new() }
    }

    /// What the step has put there, in no order.
    pub(super) fn into_placed(self) -> HashMap<Vec<u8>, T> {
        self.placed
    }

    /// What is at a path, whose directories are no links.
    pub(super) fn at(&self, path: &[u8]) -> Result<There> {
        if path.is_empty() {
            return Ok(There::Directory);
        }
        match (self.placed.get(path), self.files) {
            (Some(placed), _) => Ok(if placed.is_directory() { There::Directory } else { There::Other }),
            (None, None) => Ok(There::Nothing),
            (None, Some(files)) => Ok(match files.find(path, Follow::No)?.map(|id| files.node(id).kind()) {
                None => There::Nothing,
                Some(Kind::Directory(_)) => There::Directory,
                Some(Kind::Symlink(target)) => There::Link(target.to_vec()),
                Some(Kind::File | Kind::Special) => There::Other,
            }),
        }
    }

    /// The path that `path` means, with every link in it followed, the last one too. What is missing stays as it is written.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut at: Vec<u8> = Vec::new();
        let mut rest: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == b".." {
                at.truncate(at.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = join(&at, &name);
            if next.len() > MAX_PATH {
                return Err(refused(path, &format!("is longer than {MAX_PATH} bytes")));
            }
            match self.at(&next)? {
                There::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(refused(path, &format!("leads through more than {MAX_LINKS} symbolic links")));
                    }
                    if target.first() == Some(&b'/') {
                        at.clear();
                    }
                    rest.extend(names(&target).rev().map(<[u8]>::to_vec));
                }
                There::Nothing | There::Directory | There::Other => at = next,
            }
        }
        Ok(at)
    }

    /// Makes the directory `path`, which is resolved, and those above it, with `make` where they are missing.
    pub(super) fn ensure_directory(&mut self, path: &[u8], make: impl Fn(&[u8]) -> T) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = path.to_vec();
        loop {
            match self.at(&at)? {
                There::Directory => break,
                There::Nothing => missing.push(at.clone()),
                There::Link(_) | There::Other => return Err(refused(&at, "is not a directory, and one is needed there")),
            }
            at.truncate(at.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
        }
        for path in missing {
            let made = make(&path);
            self.placed.insert(path, made);
        }
        Ok(())
    }

    /// Whether the directory `path` has yet to be made. Fails where something else has its name: what is put below it would go where a link leads.
    pub(super) fn lacks_directory(&self, path: &[u8]) -> Result<bool> {
        match self.at(path)? {
            There::Directory => Ok(false),
            There::Nothing => Ok(true),
            There::Link(_) | There::Other => Err(refused(path, "is not a directory, and one is needed there")),
        }
    }

    /// Puts something at a path whose directory is there.
    pub(super) fn put(&mut self, path: Vec<u8>, what: T) -> Result<()> {
        match (self.at(&path)?, what.is_directory()) {
            (There::Other | There::Link(_), true) => return Err(refused(&path, "is not a directory, and a directory would be copied onto it")),
            (There::Directory, false) => return Err(refused(&path, "is a directory, and something else would be copied onto it")),
            _ => {}
        }
        self.placed.insert(path, what);
        Ok(())
    }

    /// Puts something at a path, whatever is there, as an archive that is extracted does: what replaces a directory takes away what was put into it.
    pub(super) fn replace(&mut self, path: Vec<u8>, what: T) {
        if !what.is_directory() && self.placed.get(&path).is_some_and(Placed::is_directory) {
            let below = [path.as_slice(), b"/"].concat();
            self.placed.retain(|placed, _| !placed.starts_with(&below));
        }
        self.placed.insert(path, what);
    }
}

fn refused(path: &[u8], why: &str) -> Error {
    let path = text::bytes(path);
    Error::usage(format!("`/{}` of the stage {why}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::entry::Xattrs;
    use crate::layer::{Entry, EntryKind};

    #[derive(Debug, PartialEq)]
    enum Thing {
        Directory,
        File,
    }

    impl Placed for Thing {
        fn is_directory(&self) -> bool {
            *self == Thing::Directory
        }
    }

    fn files(entries: &[(&str, &str)]) -> Files {
        let mut files = Files::default();
        files.begin_layer();
        for (path, target) in entries {
            let kind = match *target {
                "/" => EntryKind::Directory,
                "" => EntryKind::File { size: 0 },
                target => EntryKind::Symlink { target: target.into() },
            };
            let entry = Entry { path: (*path).into(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() };
            files.apply(&entry, None).expect("applied");
        }
        files
    }

    #[test]
    fn links_lead_nowhere_but_into_the_root() {
        let files = files(&[("usr/lib", "/"), ("lib", "usr/lib"), ("var/run", "/run"), ("up", "../../../etc"), ("loop", "loop"), ("dangling", "/no/such")]);
        let place = Place::<Thing>::new(Some(&files));
        let resolve = |path: &str| place.resolve(path.as_bytes()).map(|path| String::from_utf8(path).expect("UTF-8"));
        assert_eq!(resolve("lib/x").expect("found"), "usr/lib/x");
        assert_eq!(resolve("/var/run/a").expect("found"), "run/a");
        assert_eq!(resolve("up/passwd").expect("found"), "etc/passwd");
        assert_eq!(resolve("dangling/x").expect("found"), "no/such/x");
        assert_eq!(resolve("../../x").expect("found"), "x");
        assert!(resolve("loop/x").is_err());
        assert_eq!(Place::<Thing>::new(None).resolve(b"lib/x").expect("as written"), b"lib/x");
    }

    #[test]
    fn directories_are_made_where_they_are_missing() {
        let files = files(&[("usr/lib", "/"), ("file", "")]);
        let mut place = Place::new(Some(&files));
        place.ensure_directory(b"usr/lib/a/b", |_| Thing::Directory).expect("made");
        assert!(place.ensure_directory(b"file/x", |_| Thing::Directory).is_err());
        place.put(b"usr/lib/a/b/c".to_vec(), Thing::File).expect("put");
        assert!(place.put(b"usr/lib/a".to_vec(), Thing::File).is_err() && place.put(b"file".to_vec(), Thing::Directory).is_err());
        place.put(b"file".to_vec(), Thing::File).expect("replaced");
        let mut placed: Vec<_> = place.into_placed().into_keys().map(|path| String::from_utf8(path).expect("UTF-8")).collect();
        placed.sort();
        assert_eq!(placed, ["file", "usr/lib/a", "usr/lib/a/b", "usr/lib/a/b/c"]);
    }
}
