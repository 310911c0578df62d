//! What a directory in the form of overlayfs hides of those below it, on file systems that do not let it say so itself.
//!
//! A directory on overlayfs, as everything inside a container mostly is, can have no whiteout: the kernel makes none there, so that whiteouts stay what the lower file
//! system says. Others have no attributes. Nothing of that kind is ever laid over others by the kernel, so that its form is larder's own affair: a list beside the
//! directory, where nothing in the directory can be taken for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::io::Errno;

use super::overlay::Attributes;
use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::spec::text;

/// What the records of a list begin with: a name that is gone, and a directory that hides what is below it.
const GONE: u8 = b'-';
const OPAQUE: u8 = b'=';

/// What a directory hides that it cannot say itself. Paths are relative to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Names, by the directory that they are hidden in.
    gone: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    opaque: BTreeSet<Vec<u8>>,
}

/// How a directory says that a name is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By a whiteout, as the kernel does.
    Device,
    /// In the list beside it.
    Listed,
}

impl Form {
    /// Makes a whiteout `name` in `directory`, where the file system has them. Else it has to be listed.
    pub fn whiteout(directory: impl AsFd, name: &[u8]) -> Result<Form, Errno> {
        match rustix::fs::mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(Form::Device),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Form::Listed),
            Err(error) => Err(error),
        }
    }
}

impl Hidden {
    /// What the list beside `directory`, or beside what that links to, says; nothing where there is none.
    pub fn of(directory: &Path) -> Result<Hidden> {
        let list = Hidden::list(&std::fs::read_link(directory).unwrap_or_else(|_| directory.to_owned()));
        match std::fs::read(&list) {
            Ok(bytes) => Hidden::parse(&bytes).ok_or_else(|| Error::new(ErrorKind::Io, format!("{} is no list of what is hidden", text::path(&list)))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Hidden::default()),
            Err(error) => Err(error).at("read", &list),
        }
    }

    /// Where the list for a directory is.
    pub fn list(directory: &Path) -> PathBuf {
        let name = directory.file_name().unwrap_or_default();
        directory.with_file_name(OsStr::from_bytes(&[b".", name.as_bytes(), b".hidden"].concat()))
    }

    /// Makes the list beside `directory`, where something is hidden.
    pub fn keep(&self, directory: &Path) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let list = Hidden::list(directory);
        std::fs::write(&list, self.bytes()).at("write", &list)
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.opaque.is_empty()
    }

    /// Lists a name that is gone from the directory at `path`.
    pub fn list_name(&mut self, path: &[u8], name: &[u8]) {
        self.gone.entry(path.to_vec()).or_default().insert(name.to_vec());
    }

    /// Hides everything that is below `directory`, which is at `path`.
    pub fn hide_below(&mut self, directory: impl AsFd, path: &[u8], attributes: Attributes) -> Result<(), Errno> {
        match rustix::fs::fsetxattr(directory, attributes.opaque(), b"y", XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::OPNOTSUPP) => drop(self.opaque.insert(path.to_vec())),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The names that are gone from the directory at `path`.
    pub fn names(&self, path: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.gone.get(path).into_iter().flatten().map(Vec::as_slice)
    }

    /// Whether what lower directories have at `path` is gone.
    pub fn is_gone(&self, path: &[u8]) -> bool {
        let (directory, name) = path.iter().rposition(|byte| *byte == b'/').map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
        self.gone.get(directory).is_some_and(|names| names.contains(name))
    }

    /// Whether the directory at `path` hides everything that is below it.
    pub fn is_opaque(&self, path: &[u8]) -> bool {
        self.opaque.contains(path)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut record = |parts: &[&[u8]]| parts.iter().for_each(|part| bytes.extend_from_slice(part));
        for (directory, names) in &self.gone {
            names.iter().for_each(|name| record(&[&[GONE], directory, b"/", name, b"\0"]));
        }
        self.opaque.iter().for_each(|path| record(&[&[OPAQUE], path, b"\0"]));
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Hidden> {
        let mut hidden = Hidden::default();
        for record in bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            match record.split_first()? {
                (&GONE, path) => {
                    let slash = path.iter().rposition(|byte| *byte == b'/')?;
                    hidden.list_name(&path[..slash], &path[slash + 1..]);
                }
                (&OPAQUE, path) => drop(hidden.opaque.insert(path.to_vec())),
                _ => return None,
            }
        }
        Some(hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_list_says_what_it_was_told() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir(at("upper")).expect("created");
        symlink(at("upper"), at("l0")).expect("linked");
        Hidden::default().keep(&at("upper")).expect("nothing to say");
        assert!(!Hidden::list(&at("upper")).exists());
        let mut hidden = Hidden::default();
        hidden.list_name(b"", b"top");
        hidden.list_name(b"a/b", b"c \xff\n-");
        hidden.list_name(b"a/b", b"=d");
        hidden.opaque.insert(b"a".to_vec());
        hidden.keep(&at("upper")).expect("kept");
        for name in ["upper", "l0"] {
            assert_eq!(Hidden::of(&at(name)).expect("read"), hidden, "{name}");
        }
        assert!(hidden.is_gone(b"top") && hidden.is_gone(b"a/b/=d") && !hidden.is_gone(b"a/b") && !hidden.is_gone(b"a") && !hidden.is_gone(b"b/=d"));
        assert!(hidden.is_opaque(b"a") && !hidden.is_opaque(b"a/b") && !hidden.is_opaque(b""));
        assert_eq!(hidden.names(b"a/b").collect::<Vec<_>>(), [&b"=d"[..], b"c \xff\n-"]);
        assert_eq!(hidden.names(b"a").count(), 0);
        std::fs::write(Hidden::list(&at("upper")), "x").expect("written");
        assert_eq!(Hidden::of(&at("upper")).expect_err("no list").kind(), ErrorKind::Io);
    }
}
