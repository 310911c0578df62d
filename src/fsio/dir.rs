//! An open directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{IoContext, Result};
use crate::fsio::{beneath, regular};

/// An open directory. The path it was opened by serves messages only; everything is done through the handle.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What [`Dir::create`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The directory is new.
    New,
    /// Something with that name existed.
    Existed,
}

impl Dir {
    /// Opens the directory at `path`, which a person named: symbolic links in it are followed.
    pub fn open(path: &Path) -> Result<Dir> {
        let fd = rustix::io::retry_on_intr(|| rustix::fs::open(path, FLAGS, Mode::empty())).at("open directory", path)?;
        Ok(Dir { fd, path: path.to_owned() })
    }

    /// Opens the directory `path` below this one, following no symbolic link.
    ///
    /// Fails with kind `corrupt`, naming what is there instead, where it or a directory on the way is something else.
    pub fn open_below(&self, path: &Path) -> Result<Dir> {
        let fd = beneath::open(self.fd.as_fd(), path, FLAGS, Mode::empty()).map_err(|error| regular::explain(self, path, FileType::Directory, error))?;
        Ok(Dir { fd, path: self.path.join(path) })
    }

    /// Creates the directory `name` in this one with exactly `mode`, whatever the umask.
    pub fn create(&self, name: &Path, mode: u32) -> Result<Created> {
        let full = self.path.join(name);
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let created = self.open_below(name)?;
                rustix::fs::fchmod(&created.fd, Mode::from_raw_mode(mode)).at("set the permissions of", &full)?;
                Ok(Created::New)
            }
            Err(Errno::EXIST) => Ok(Created::Existed),
            Err(error) => Err(error).at("create directory", &full),
        }
    }

    /// The names in this directory with the type of each, in byte order, without `.` and `..`.
    pub fn entries(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).at("list", &self.path)? {
            let entry = entry.at("list", &self.path)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsStr::from_bytes(name).to_owned();
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind(Path::new(&name))?.unwrap_or(FileType::Unknown),
                kind => kind,
            };
            entries.push((name, kind));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// What `name` in this directory is, itself and not what it links to; none where it is absent.
    pub fn kind(&self, name: &Path) -> Result<Option<FileType>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).at("examine", &self.path.join(name)),
        }
    }

    /// The path this directory was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn lists_in_byte_order_and_creates_with_exact_modes() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Dir::open(temp.path()).expect("opened");
        for name in ["b", "a", "B"] {
            std::fs::write(temp.path().join(name), "").expect("written");
        }
        assert_eq!(dir.create(Path::new("d"), 0o777).expect("created"), Created::New);
        assert_eq!(dir.create(Path::new("d"), 0o777).expect("there"), Created::Existed);
        assert_eq!(std::fs::metadata(temp.path().join("d")).expect("there").permissions().mode() & 0o7777, 0o777);
        let names: Vec<_> = dir.entries().expect("listed").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["B", "a", "b", "d"]);
        assert_eq!(dir.entries().expect("listed again").len(), 4);
    }

    #[test]
    fn a_long_path_is_an_io_error_and_shown_escaped() {
        let path = PathBuf::from(format!("/tmp/\n{}", "x".repeat(5000)));
        let error = Dir::open(&path).expect_err("too long");
        assert_eq!(error.kind(), crate::error::ErrorKind::Io);
        assert!(error.message().contains("\\n") && !error.message().contains('\n'));
    }
}
