//! Bringing the content of one file into another with as little work as the file system allows.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use crate::fsio::{Dir, regular};

/// How the content came to its new place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Placed {
    /// Both files share the blocks until one is written to.
    Reflinked,
    /// Both names are one file.
    Linked,
    /// The bytes were copied.
    Copied,
}

/// Makes the empty file `target` share the blocks of `source`. `Ok(None)` where the file systems cannot do that.
pub fn reflink(source: &File, target: &File) -> io::Result<Option<Placed>> {
    match rustix::fs::ioctl_ficlone(target, source) {
        Ok(()) => Ok(Some(Placed::Reflinked)),
        Err(error) if cannot(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives the open file `source` another name: `name` in `dir`, which must be free. `Ok(None)` where that cannot be done.
pub fn hard_link(source: &File, dir: &Dir, name: &Path) -> io::Result<Option<Placed>> {
    // Both ways link what is open, whatever its old name means by now. The first needs a recent kernel or a capability, the second /proc.
    match rustix::fs::linkat(source, "", dir, name, AtFlags::EMPTY_PATH) {
        Ok(()) => return Ok(Some(Placed::Linked)),
        Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
        Err(_) => {}
    }
    match rustix::fs::linkat(CWD, handle(source), dir, name, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(Some(Placed::Linked)),
        Err(Errno::NOENT | Errno::MLINK) => Ok(None),
        Err(error) if cannot(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A path that leads to an open file.
pub(super) fn handle(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Copies everything from the beginning of `source` into the empty file `target`, sharing blocks where possible.
pub fn copy(source: &File, target: &File) -> io::Result<Placed> {
    if let Some(placed) = reflink(source, target)? {
        return Ok(placed);
    }
    let mut copied = 0;
    loop {
        match rustix::fs::copy_file_range(source, Some(&mut copied), target, None, 1 << 30) {
            // Some file systems copy nothing and call it success; the reads below find out.
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) if cannot(error) => break,
            Err(error) => return Err(error.into()),
        }
    }
    copy_rest(source, target, copied)?;
    Ok(Placed::Copied)
}

fn copy_rest(source: &File, mut target: &File, mut offset: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = regular::read_at(source, &mut buffer, offset)?;
        if count == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..count])?;
        offset += count as u64;
    }
}

/// Whether `error` says that another way must be tried, rather than that something is broken.
fn cannot(error: Errno) -> bool {
    [Errno::XDEV, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::NOTTY, Errno::PERM, Errno::ACCESS, Errno::BADF, Errno::TXTBSY]
        .contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_whole_files_and_continues_where_the_kernel_stopped() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| temp.path().join(name);
        for size in [0, 1, 3 << 20] {
            let bytes: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            std::fs::write(path("from"), &bytes).expect("written");
            let from = File::open(path("from")).expect("opened");
            copy(&from, &File::create(path("to")).expect("created")).expect("copied");
            assert_eq!(std::fs::read(path("to")).expect("read"), bytes);
            let half = bytes.len() / 2;
            std::fs::write(path("half"), &bytes[..half]).expect("written");
            copy_rest(&from, &File::options().append(true).open(path("half")).expect("opened"), half as u64).expect("copied");
            assert_eq!(std::fs::read(path("half")).expect("read"), bytes);
        }
    }

    #[test]
    fn links_the_open_file_whatever_its_name_means_by_now() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| temp.path().join(name);
        std::fs::write(path("from"), "linked").expect("written");
        let from = File::open(path("from")).expect("opened");
        std::fs::rename(path("from"), path("moved")).expect("renamed");
        std::fs::write(path("from"), "other").expect("written");
        let dir = Dir::open(temp.path()).expect("opened");
        if hard_link(&from, &dir, Path::new("to")).expect("asked") == Some(Placed::Linked) {
            assert_eq!(std::fs::read(path("to")).expect("read"), b"linked");
        }
        assert!(hard_link(&from, &dir, Path::new("moved")).is_err(), "a taken name is an error");
    }
}
