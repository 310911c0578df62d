//! A file that a person named for a result, which may be something else than a file.
//!
//! A regular file is replaced as a whole, through whatever symbolic links lead to it, and the links stay. A device, a terminal or a pipe is written to and stays
//! what it is. Both are looked at before the work whose result they are to hold, so that a path that cannot be written fails before anything is done.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Error, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::Dir;
use crate::fsio::durable::{TempFile, sync_dir};
use crate::spec::text;

/// The symbolic links that the kernel follows in one path (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// How long to wait before a reader of a full pipe is looked for again.
const PAUSE: Duration = Duration::from_millis(10);

/// Where a result goes. Dropped, nothing has changed.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A regular file, or nothing yet.
    File { temporary: TempFile, dir: Arc<Dir>, name: PathBuf },
    /// Something that takes bytes as they come, and those that it is to get.
    Stream { file: File, bytes: Vec<u8> },
}

impl Target {
    /// Finds out what `path` is. Directories above it are made where they are missing.
    ///
    /// Kinds: `usage` where it can hold no result, and `io` where it cannot be written.
    pub fn prepare(path: &Path) -> Result<Target> {
        let mut at = path.to_owned();
        for _ in 0..=LINKS {
            let metadata = match std::fs::symlink_metadata(&at) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Target::file(path, &at),
                Err(error) => return Err(error).at("examine", &at),
            };
            let kind = metadata.file_type();
            if kind.is_file() {
                return Target::file(path, &at);
            } else if kind.is_dir() || kind.is_block_device() {
                return Err(cannot(path, if kind.is_dir() { "is a directory" } else { "is a block device" }));
            } else if !kind.is_symlink() || is_handle(&at)? {
                return Target::stream(path, &at);
            }
            let link = std::fs::read_link(&at).at("read the link", &at)?;
            at = parent(&at).join(link);
        }
        Err(cannot(path, "leads through too many symbolic links"))
    }

    fn file(path: &Path, at: &Path) -> Result<Target> {
        let name = at.file_name().ok_or_else(|| cannot(path, "does not name a file"))?;
        let parent = parent(at);
        std::fs::create_dir_all(parent).at("create", parent)?;
        let dir = Arc::new(Dir::open(parent)?);
        let temporary = TempFile::beside(dir.clone(), name)?;
        Ok(Target { path: path.to_owned(), kind: Kind::File { temporary, dir, name: name.into() } })
    }

    fn stream(path: &Path, at: &Path) -> Result<Target> {
        // A pipe that nobody reads is an error at once.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::io::retry_on_intr(|| rustix::fs::open(at, flags, Mode::empty())).at("open", path)?);
        match FileType::from_raw_mode(rustix::fs::fstat(&file).at("examine", path)?.st_mode) {
            FileType::CharacterDevice | FileType::Fifo => Ok(Target { path: path.to_owned(), kind: Kind::Stream { file, bytes: Vec::new() } }),
            // Written from its beginning it would mix with what else goes there through that handle.
            FileType::RegularFile => Err(cannot(path, "is a file that is open already").hint("give the name of the file itself")),
            _ => Err(cannot(path, "cannot be written to")),
        }
    }

    /// Takes the result, which nobody sees yet. A file has `mode`, whatever the umask.
    pub fn fill(&mut self, content: &[u8], mode: u32) -> Result<()> {
        match &mut self.kind {
            Kind::File { temporary, .. } => {
                temporary.file().as_ref().write_all(content).at("write", &self.path)?;
                temporary.set_mode(mode)
            }
            Kind::Stream { bytes, .. } => {
                bytes.extend_from_slice(content);
                Ok(())
            }
        }
    }

    /// Makes the result appear, in a file as a whole.
    pub fn show(self, cancel: &Cancel) -> Result<()> {
        match self.kind {
            Kind::File { temporary, dir, name } => {
                temporary.persist(&dir, &name)?;
                sync_dir(&dir)
            }
            Kind::Stream { mut file, bytes } => {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    cancel.check()?;
                    match file.write(rest) {
                        Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)).at("write", &self.path),
                        Ok(written) => rest = &rest[written..],
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                        Err(error) => return Err(error).at("write", &self.path),
                    }
                }
                Ok(())
            }
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a symbolic link stands for a handle of a process, as `/dev/stdout` does at its end: its text is no path.
fn is_handle(link: &Path) -> Result<bool> {
    /// `PROC_SUPER_MAGIC` of the kernel.
    const PROC: u64 = 0x9fa0;
    let parent = parent(link);
    let file_system = rustix::fs::statfs(parent).at("examine", parent)?;
    Ok(u64::try_from(file_system.f_type).is_ok_and(|magic| magic == PROC))
}

fn cannot(path: &Path, why: &str) -> Error {
    Error::usage(format!("{} {why}", text::path(path))).subject(text::path(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn write(path: &Path, content: &[u8]) -> Result<()> {
        let mut target = Target::prepare(path)?;
        target.fill(content, 0o644)?;
        target.show(&Cancel::default())
    }

    #[test]
    fn a_file_is_replaced_where_links_lead_and_the_links_stay() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir(at("below")).expect("created");
        symlink("below/second", at("first")).expect("linked");
        symlink("../file", at("below/second")).expect("linked");
        for content in [&b"new"[..], b"again"] {
            write(&at("first"), content).expect("written");
            assert_eq!(std::fs::read(at("file")).expect("there"), content);
        }
        assert!(at("first").is_symlink() && at("below/second").is_symlink());
        assert_eq!(std::fs::metadata(at("file")).expect("there").permissions().mode() & 0o7777, 0o644);
        write(&at("deep/er/file"), b"x").expect("directories are made");
        symlink("circle", at("circle")).expect("linked");
        for (path, kind) in [("below", ErrorKind::Usage), ("circle", ErrorKind::Usage), ("file/x", ErrorKind::Io)] {
            assert_eq!(Target::prepare(&at(path)).expect_err(path).kind(), kind, "{path}");
        }
        assert_eq!(std::fs::read_dir(temp.path()).expect("listed").count(), 5, "nothing else is left");
    }

    #[test]
    fn what_was_prepared_and_not_shown_changes_nothing() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("file");
        std::fs::write(&path, "old").expect("written");
        let mut target = Target::prepare(&path).expect("prepared");
        target.fill(b"new", 0o644).expect("filled");
        drop(target);
        assert_eq!(std::fs::read(&path).expect("there"), b"old");
    }

    #[test]
    fn a_device_or_a_pipe_is_written_to_and_stays() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let null = std::fs::metadata("/dev/null").expect("there").ino();
        write(Path::new("/dev/null"), b"gone").expect("written");
        assert_eq!(std::fs::symlink_metadata("/dev/null").expect("there").ino(), null);
        assert_eq!(write(Path::new("/dev/full"), b"x").expect_err("full").kind(), ErrorKind::Io);
        let pipe = temp.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
        assert_eq!(Target::prepare(&pipe).expect_err("nobody reads").kind(), ErrorKind::Io);
        let reader = rustix::fs::open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).expect("opened");
        let long = vec![7; 100_000];
        let expected = long.clone();
        // A reader that is slower than the pipe is large.
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut buffer = [0; 4096];
            while all.len() < expected.len() {
                match rustix::io::read(&reader, &mut buffer) {
                    Ok(read) => all.extend_from_slice(&buffer[..read]),
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
            assert_eq!(all, expected);
        });
        write(&pipe, &long).expect("written");
        thread.join().expect("read as written");
        assert!(std::fs::symlink_metadata(&pipe).expect("there").file_type().is_fifo());
    }
}
