//! Whiteouts: entries that mean that something of a lower layer is gone. image-spec, layer.md "Whiteouts".

use super::entry::{Entry, EntryKind, Xattrs};
use crate::error::{Error, Result};
use crate::spec::text;

/// What the last component of a whiteout's path begins with.
pub const PREFIX: &[u8] = b".wh.";

/// The last component of an opaque whiteout's path.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a whiteout hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// The path itself with everything below it, in the form of [`Entry::path`].
    Explicit(Vec<u8>),
    /// Everything below the directory, in the form of [`Entry::path`], that lower layers put there.
    Opaque(Vec<u8>),
}

impl Whiteout {
    /// What `entry` hides; none when it is no whiteout. A directory is never one, whatever its name.
    ///
    /// Fails with kind `corrupt` when it has the name of a whiteout but hides nothing that can be named, or is no empty file. A hard link is taken as one:
    /// layers made on aufs have all whiteouts linked to the first.
    pub fn of(entry: &Entry) -> Result<Option<Whiteout>> {
        let (directory, name) = split(&entry.path);
        let Some(hidden) = name.strip_prefix(PREFIX).filter(|_| entry.kind != EntryKind::Directory) else {
            return Ok(None);
        };
        let bad = |why: &str| Err(Error::corrupt(format!("whiteout `{}` {why}", text::bytes(&entry.path))));
        if !matches!(entry.kind, EntryKind::File { size: 0 } | EntryKind::Hardlink { .. }) {
            return bad("is not an empty file");
        }
        if name == OPAQUE {
            return Ok(Some(Whiteout::Opaque(directory.to_vec())));
        }
        match hidden {
            b"" | b"." | b".." => bad("hides no name"),
            _ if hidden.starts_with(PREFIX) => bad("hides a name that is reserved for whiteouts"),
            _ => Ok(Some(Whiteout::Explicit(below(directory, hidden)))),
        }
    }

    /// The entry that says it: an empty file of the superuser.
    ///
    /// Fails with kind `unsupported` when a name is reserved for whiteouts, and with `corrupt` when it is the root that should be hidden.
    pub fn entry(&self, mtime: i64) -> Result<Entry> {
        let path = match self {
            Whiteout::Opaque(directory) => below(directory, OPAQUE),
            Whiteout::Explicit(path) => {
                let (directory, name) = split(path);
                if name.is_empty() {
                    return Err(Error::corrupt("the root cannot be hidden"));
                }
                below(directory, &[PREFIX, name].concat())
            }
        };
        let (Whiteout::Opaque(hidden) | Whiteout::Explicit(hidden)) = self;
        if is_reserved(hidden) {
            return Err(Error::unsupported(format!("`{}` cannot be hidden: names that begin with `.wh.` are reserved for whiteouts", text::bytes(hidden))));
        }
        Ok(Entry { path, kind: EntryKind::File { size: 0 }, mode: 0o644, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() })
    }
}

/// Whether a component of `path` has a name that is reserved for whiteouts, so that a layer cannot carry it as a file.
pub fn is_reserved(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|component| component.starts_with(PREFIX))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.iter().rposition(|byte| *byte == b'/').map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]))
}

fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, kind: EntryKind) -> Result<Option<Whiteout>> {
        Whiteout::of(&Entry { path: path.into(), kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() })
    }

    const EMPTY: EntryKind = EntryKind::File { size: 0 };

    #[test]
    fn tar_39_opaque_whiteouts() {
        assert_eq!(of("a/b/.wh..wh..opq", EMPTY).expect("valid"), Some(Whiteout::Opaque(b"a/b".to_vec())));
        assert_eq!(of(".wh..wh..opq", EMPTY).expect("valid"), Some(Whiteout::Opaque(Vec::new())));
    }

    #[test]
    fn tar_40_explicit_whiteouts() {
        assert_eq!(of("a/.wh.b", EMPTY).expect("valid"), Some(Whiteout::Explicit(b"a/b".to_vec())));
        assert_eq!(of(".wh.b", EMPTY).expect("valid"), Some(Whiteout::Explicit(b"b".to_vec())));
        assert_eq!(of(".wh.b", EntryKind::Hardlink { target: b".wh.a".to_vec() }).expect("valid"), Some(Whiteout::Explicit(b"b".to_vec())));
        assert_eq!(of("a/.wh....", EMPTY).expect("valid"), Some(Whiteout::Explicit(b"a/...".to_vec())));
        for path in ["", "a", "a/b", "a/.w", "a/.wh", "a/x.wh.b", ".wh.a/b"] {
            assert_eq!(of(path, EMPTY).expect("valid"), None, "{path}");
        }
    }

    #[test]
    fn tar_41_whiteouts_that_hide_nothing() {
        for path in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh...", ".wh..wh.x", ".wh..wh.", ".wh..wh..opqx", "d/.wh..wh.plnk"] {
            assert_eq!(of(path, EMPTY).expect_err(path).kind(), crate::error::ErrorKind::Corrupt);
        }
        for kind in [EntryKind::File { size: 1 }, EntryKind::Symlink { target: b"x".to_vec() }, EntryKind::Fifo] {
            assert!(of(".wh.a", kind.clone()).is_err() && of(".wh..wh..opq", kind).is_err());
        }
        assert_eq!(of(".wh.etc", EntryKind::Directory).expect("taken literally"), None);
    }

    #[test]
    fn what_is_made_means_what_it_should() {
        for whiteout in [Whiteout::Explicit(b"a/b".to_vec()), Whiteout::Explicit(b"b".to_vec()), Whiteout::Opaque(b"a".to_vec()), Whiteout::Opaque(Vec::new())]
        {
            assert_eq!(Whiteout::of(&whiteout.entry(7).expect("valid")).expect("valid"), Some(whiteout));
        }
        for path in [&b""[..], b".wh.a", b"a/.wh.b/c", b".wh."] {
            assert!(Whiteout::Explicit(path.to_vec()).entry(0).is_err());
        }
        assert!(is_reserved(b"a/.wh.b/c") && is_reserved(b".wh.") && !is_reserved(b"a.wh.b/wh."));
    }
}
