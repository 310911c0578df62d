//! Opening files that strangers put there.
//!
//! A FIFO, a socket, a device or a symbolic link where a file belongs must neither block nor lead elsewhere: it is refused at once.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::{Dir, beneath};
use crate::spec::text;

/// An open regular file and the size it had when it was opened.
#[derive(Debug)]
pub struct Regular {
    /// The file, open for reading.
    pub file: File,
    /// Its size in bytes at that moment.
    pub size: u64,
}

/// Opens the regular file `path` below `dir` for reading, following no symbolic link and never blocking.
///
/// Fails with kind `corrupt`, naming what is there instead, where it or a directory on the way is something else; `not_found` where it is absent.
pub fn open(dir: &Dir, path: &Path) -> Result<Regular> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(beneath::open(dir.as_fd(), path, flags, Mode::empty()).map_err(|error| explain(dir, path, FileType::RegularFile, error))?);
    let size = regular_size(&file, &dir.path().join(path))?;
    Ok(Regular { file, size })
}

/// Opens the regular file at `path` for reading. A symbolic link is followed, because the caller named it; errors as [`open`].
pub fn open_path(path: &Path) -> Result<Regular> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).at("open", path)?);
    let size = regular_size(&file, path)?;
    Ok(Regular { file, size })
}

/// Reads the regular file at `path`, which a person named, of at most `limit` bytes.
///
/// Errors as [`open_path`], with kind `usage` where it is no regular file or larger.
pub fn read_path(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let regular = open_path(path).map_err(|error| match error.kind() {
        ErrorKind::Corrupt => error.with_kind(ErrorKind::Usage),
        _ => error,
    })?;
    let mut bytes = Vec::new();
    regular.file.take(limit as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    match bytes.len() > limit {
        true => Err(Error::usage(format!("{} is larger than the limit of {limit} bytes", text::path(path))).subject(text::path(path))),
        false => Ok(bytes),
    }
}

/// The size in bytes of the regular file `path` below `dir`; none where it is absent. Errors as [`open`].
pub fn size(dir: &Dir, path: &Path) -> Result<Option<u64>> {
    match beneath::open(dir.as_fd(), path, OFlags::PATH, Mode::empty()) {
        Ok(fd) => regular_size(&File::from(fd), &dir.path().join(path)).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(explain(dir, path, FileType::RegularFile, error)),
    }
}

/// Reads at `offset` without moving the handle; a signal does not end the read.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Whether two files have the same bytes from their beginnings to their ends.
pub fn same_content(a: &File, b: &File) -> io::Result<bool> {
    const CHUNK: usize = 256 * 1024;
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut offset = 0;
    loop {
        let count = read_at(a, &mut left, offset)?;
        if count == 0 {
            return Ok(read_at(b, &mut right[..1], offset)? == 0);
        }
        match b.read_exact_at(&mut right[..count], offset) {
            Ok(()) if left[..count] == right[..count] => offset += count as u64,
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn regular_size(file: &File, path: &Path) -> Result<u64> {
    let stat = rustix::fs::fstat(file).at("examine", path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat.st_size.cast_unsigned()),
        kind => Err(not_a("regular file", kind, path)),
    }
}

/// Says why `path` could not be opened as a `wanted`: the first component that is not what it must be, else the error of the system.
pub(super) fn explain(dir: &Dir, path: &Path, wanted: FileType, error: io::Error) -> Error {
    let full = dir.path().join(path);
    let telling = [Errno::LOOP, Errno::NOTDIR, Errno::ISDIR, Errno::NXIO, Errno::NODEV].map(|errno| Some(errno.raw_os_error()));
    if !telling.contains(&error.raw_os_error()) {
        return Error::io(format!("cannot open {}", text::path(&full)), error).subject(text::path(&full));
    }
    let mut part = PathBuf::new();
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        part.push(name);
        let wanted = if names.peek().is_some() { FileType::Directory } else { wanted };
        // Only a diagnosis: whatever changes meanwhile, the file is not opened.
        match rustix::fs::statat(dir, &part, AtFlags::SYMLINK_NOFOLLOW).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(kind) if kind == wanted => {}
            Ok(kind) => return not_a(name_of(wanted), kind, &dir.path().join(&part)),
            Err(_) => break,
        }
    }
    Error::io(format!("cannot open {}", text::path(&full)), error).subject(text::path(&full))
}

/// An error of kind `corrupt`: `path` is a `kind` where a `wanted` belongs.
fn not_a(wanted: &str, kind: FileType, path: &Path) -> Error {
    Error::corrupt(format!("{} is a {}, not a {wanted}", text::path(path), name_of(kind))).subject(text::path(path))
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of unknown type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::os::unix::fs::symlink;

    #[test]
    fn same_content_sees_every_difference() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let file = |name: &str, bytes: &[u8]| {
            std::fs::write(temp.path().join(name), bytes).expect("written");
            File::open(temp.path().join(name)).expect("opened")
        };
        let long = vec![7; 300_000];
        let mut last = long.clone();
        last[299_999] = 8;
        let a = file("a", &long);
        assert!(same_content(&a, &file("b", &long)).expect("read"));
        for other in [&last[..], &long[..299_999], b""] {
            assert!(!same_content(&a, &file("b", other)).expect("read"));
            assert!(!same_content(&file("b", other), &a).expect("read"));
        }
    }

    #[test]
    fn lay_57_to_60_names_what_is_there_instead_and_never_blocks() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::write(at("file"), "four").expect("written");
        std::fs::create_dir(at("directory")).expect("created");
        symlink("file", at("link")).expect("linked");
        symlink("directory", at("dirlink")).expect("linked");
        std::fs::write(at("directory/file"), "").expect("written");
        std::fs::hard_link(at("file"), at("hard")).expect("linked");
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");

        let dir = Dir::open(temp.path()).expect("opened");
        for name in ["file", "hard"] {
            assert_eq!(open(&dir, Path::new(name)).expect("a regular file").size, 4);
            assert_eq!(size(&dir, Path::new(name)).expect("a regular file"), Some(4));
        }
        for (name, what) in [
            ("directory", "directory is a directory"),
            ("link", "link is a symbolic link"),
            ("dirlink/file", "dirlink is a symbolic link, not a directory"),
            ("fifo", "fifo is a FIFO"),
            ("socket", "socket is a socket"),
            ("file/below", "file is a regular file, not a directory"),
        ] {
            for error in [open(&dir, Path::new(name)).expect_err(name), size(&dir, Path::new(name)).expect_err(name)] {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}");
                assert!(error.message().contains(what), "{name}: {error}");
            }
        }
        assert_eq!(open(&dir, Path::new("absent")).expect_err("absent").kind(), ErrorKind::NotFound);
        assert_eq!(size(&dir, Path::new("absent")).expect("absent"), None);
    }
}
