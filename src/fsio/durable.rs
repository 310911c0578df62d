//! Files that are there after a power cut, or not at all. The only file that renames.
//!
//! The order is always: write a temporary file, fsync it, rename it, fsync the directory. An fsync that failed is never repeated: the kernel
//! may have dropped the pages, and the second call would lie.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};
use crate::fsio::dir::Created;
use crate::fsio::{Dir, place};
use crate::spec::text;

/// A new file under a temporary name. Dropped, it is gone; [`persist`](TempFile::persist) gives it its name.
#[derive(Debug)]
pub struct TempFile {
    dir: Arc<Dir>,
    name: OsString,
    file: Arc<File>,
    standing: Standing,
}

/// Whether a temporary file has its temporary name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Named,
    /// It has no name yet: whatever becomes of the process, nothing is left of it.
    Nameless,
}

impl TempFile {
    /// Creates the file `name` in `dir`, readable by its owner only. Whatever stands there already is an error, a symbolic link as well.
    pub fn create(dir: Arc<Dir>, name: impl Into<OsString>) -> Result<TempFile> {
        let name = name.into();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::io::retry_on_intr(|| rustix::fs::openat(&*dir, &name, flags, Mode::RUSR | Mode::WUSR)).at("create", &dir.path().join(&name))?;
        Ok(TempFile { dir, name, file: Arc::new(File::from(file)), standing: Standing::Named })
    }

    /// Creates a file that will be a file of `dir`, beside `target` there. Where the file system can, it has no name until it is persisted, so that nothing is
    /// left of it even when the process is killed.
    pub fn beside(dir: Arc<Dir>, target: &OsStr) -> Result<TempFile> {
        let name = temporary_name(target);
        match nameless(&dir)? {
            Some(file) if can_be_named(&file) => Ok(TempFile { dir, name, file: Arc::new(file), standing: Standing::Nameless }),
            _ => TempFile::create(dir, name),
        }
    }

    /// The open file. The handle stays valid whatever becomes of the name.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Makes the open file `source` appear under the temporary name as well, without reading it. None where the file system cannot do that.
    pub fn link(dir: Arc<Dir>, name: impl Into<OsString>, source: File) -> Result<Option<TempFile>> {
        let name = name.into();
        let linked = place::hard_link(&source, &dir, Path::new(&name)).at("link", &dir.path().join(&name))?;
        Ok(linked.map(|_| TempFile { dir, name, file: Arc::new(source), standing: Standing::Named }))
    }

    /// Gives the file exactly `mode`, whatever the umask.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode)).at("set the permissions of", &self.dir.path().join(&self.name))
    }

    /// Brings the file to the disk and renames it to `name` in `dir`, replacing what is there unless that is a directory.
    /// The new name itself is durable only after [`sync_dir`].
    pub fn persist(mut self, dir: &Dir, name: &Path) -> Result<()> {
        let target = dir.path().join(name);
        rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.file)).at("bring to the disk", &target)?;
        if self.standing == Standing::Nameless {
            self.link_as(&self.dir, Path::new(&self.name)).at("write", &target)?;
            self.standing = Standing::Named;
        }
        // The drop finds nothing under the temporary name, unless both names were the same file: then renaming does nothing.
        rustix::fs::renameat(&*self.dir, &self.name, dir, name).at("write", &target)
    }

    /// Brings the file to the disk and gives it the name `name` in `dir`, unless something has that name: then that stays as it is.
    /// The new name itself is durable only after [`sync_dir`].
    pub fn persist_new(self, dir: &Dir, name: &Path) -> Result<Created> {
        let target = dir.path().join(name);
        rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.file)).at("bring to the disk", &target)?;
        let outcome = match self.standing {
            Standing::Nameless => self.link_as(dir, name),
            Standing::Named => match rustix::fs::renameat_with(&*self.dir, &self.name, dir, name, RenameFlags::NOREPLACE) {
                // File systems that cannot do this in one step can link; the drop removes the temporary name.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rustix::fs::linkat(&*self.dir, &self.name, dir, name, AtFlags::empty()),
                outcome => outcome,
            }
            .map_err(io::Error::from),
        };
        match outcome {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Existed),
            Err(error) => Err(error).at("write", &target),
        }
    }

    /// Gives a nameless file a name.
    fn link_as(&self, dir: &Dir, name: &Path) -> io::Result<()> {
        match place::hard_link(&self.file, dir, name)? {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the file system cannot name it")),
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if self.standing == Standing::Named {
            // Whoever sweeps the staging directory removes what could not be removed here.
            let _ = rustix::fs::unlinkat(&*self.dir, &self.name, AtFlags::empty());
        }
    }
}

/// A file in `dir` for bytes that are needed for a while and fit no memory. It has no name and goes with its last handle.
pub fn scratch_file(dir: &Arc<Dir>) -> Result<File> {
    match nameless(dir)? {
        Some(file) => Ok(file),
        None => {
            let named = TempFile::create(dir.clone(), temporary_name(OsStr::new("larder")))?;
            named.file().try_clone().at("create a file in", dir.path())
        }
    }
}

/// A file in `dir` without a name; none where the file system has no such files.
fn nameless(dir: &Dir) -> Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match rustix::io::retry_on_intr(|| rustix::fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR)) {
        Ok(file) => Ok(Some(File::from(file))),
        // Kernels that do not know the flag see a directory that is opened for writing.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error).at("create a file in", dir.path()),
    }
}

/// Whether [`place::hard_link`] has a way to this file. Without /proc only newer kernels or a capability help.
fn can_be_named(file: &File) -> bool {
    rustix::fs::statat(CWD, place::handle(file), AtFlags::empty()).is_ok()
}

/// Renames the directory `from` in `dir` to `to` in `dir`, which must be free or an empty directory. Fails with kind `conflict` where it is something else.
pub fn rename_dir(dir: &Dir, from: &Path, to: &Path) -> Result<()> {
    let path = dir.path().join(to);
    match rustix::fs::renameat(dir, from, dir, to) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
            Err(crate::Error::conflict(format!("{} is there already and is no empty directory", crate::spec::text::path(&path))))
        }
        Err(Errno::BUSY) => Err(crate::Error::conflict(format!("{} is in use as a mount point", crate::spec::text::path(&path)))),
        outcome => outcome.at("write", &path),
    }
    .map_err(|error| error.subject(crate::spec::text::path(&path)))
}

/// Makes the names in `dir` durable. File systems that cannot do this for directories (some network file systems) are tolerated.
pub fn sync_dir(dir: &Dir) -> Result<()> {
    match rustix::io::retry_on_intr(|| rustix::fs::fsync(dir)) {
        Ok(()) | Err(Errno::INVAL | Errno::NOTSUP | Errno::BADF) => Ok(()),
        Err(error) => Err(error).at("bring to the disk", dir.path()),
    }
}

/// Replaces the file `name` in `dir` by one with `bytes` and `mode`: after a crash at any moment it is the old one or the new one.
/// `temporary` must be new and lie on the same file system.
pub fn replace_file(temporary: TempFile, dir: &Dir, name: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    temporary.file().as_ref().write_all(bytes).at("write", &dir.path().join(name))?;
    temporary.set_mode(mode)?;
    temporary.persist(dir, name)?;
    sync_dir(dir)
}

/// Replaces the file at `path` by one with `bytes` and `mode`, as [`replace_file`] does. The directories above it are made where they are missing.
pub fn replace_path(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::usage(format!("{} does not name a file", text::path(path))));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    std::fs::create_dir_all(parent).at("create", parent)?;
    let dir = Arc::new(Dir::open(parent)?);
    let temporary = TempFile::create(dir.clone(), temporary_name(name))?;
    replace_file(temporary, &dir, Path::new(name), bytes, mode)
}

/// A name beside `name` that no other process and no other thread uses.
fn temporary_name(name: &OsStr) -> OsString {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{number}.tmp", std::process::id()));
    temporary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replaces_with_exact_mode_and_leaves_nothing_behind() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Arc::new(Dir::open(temp.path()).expect("opened"));
        for bytes in [&b"old"[..], b"new"] {
            let file = TempFile::create(dir.clone(), "t").expect("created");
            replace_file(file, &dir, Path::new("name"), bytes, 0o644).expect("replaced");
        }
        assert_eq!(std::fs::read(temp.path().join("name")).expect("there"), b"new");
        assert_eq!(std::fs::metadata(temp.path().join("name")).expect("there").permissions().mode() & 0o7777, 0o644);
        assert_eq!(dir.entries().expect("listed").len(), 1);
    }

    #[test]
    fn cra_24_a_planted_name_is_refused_and_left_alone() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Arc::new(Dir::open(temp.path()).expect("opened"));
        std::os::unix::fs::symlink("/etc/passwd", temp.path().join("t")).expect("linked");
        assert_eq!(TempFile::create(dir.clone(), "t").expect_err("planted").kind(), ErrorKind::Io);
        assert_eq!(dir.entries().expect("listed").len(), 1);
    }

    #[test]
    fn a_dropped_temporary_file_is_gone_but_its_handle_reads() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Arc::new(Dir::open(temp.path()).expect("opened"));
        let file = TempFile::create(dir.clone(), "t").expect("created");
        file.file().as_ref().write_all(b"kept").expect("written");
        let handle = file.file().clone();
        drop(file);
        assert!(dir.entries().expect("listed").is_empty());
        let mut read = [0; 4];
        std::os::unix::fs::FileExt::read_exact_at(&*handle, &mut read, 0).expect("read");
        assert_eq!(&read, b"kept");
    }

    #[test]
    fn a_new_name_replaces_nothing() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Arc::new(Dir::open(temp.path()).expect("opened"));
        let makers: [&dyn Fn() -> TempFile; 2] =
            [&|| TempFile::beside(dir.clone(), OsStr::new("name")).expect("created"), &|| TempFile::create(dir.clone(), "t").expect("created")];
        for make in makers {
            let write = |text: &str| {
                let file = make();
                file.file().as_ref().write_all(text.as_bytes()).expect("written");
                file.persist_new(&dir, Path::new("name")).expect("asked")
            };
            assert_eq!((write("first"), write("second")), (Created::New, Created::Existed));
            assert_eq!(std::fs::read(temp.path().join("name")).expect("there"), b"first");
            let other = make();
            other.file().as_ref().write_all(b"third").expect("written");
            other.persist(&dir, Path::new("name")).expect("replaced");
            assert_eq!(std::fs::read(temp.path().join("name")).expect("there"), b"third");
            assert_eq!(dir.entries().expect("listed").len(), 1, "nothing else is left");
            std::fs::remove_file(temp.path().join("name")).expect("removed");
        }
    }

    #[test]
    fn cra_03_a_file_beside_its_target_has_no_name_where_that_can_be() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Arc::new(Dir::open(temp.path()).expect("opened"));
        let file = TempFile::beside(dir.clone(), OsStr::new("name")).expect("created");
        let expected = usize::from(nameless(&dir).expect("asked").is_none());
        assert_eq!(dir.entries().expect("listed").len(), expected);
        drop(file);
        let mut scratch = scratch_file(&dir).expect("created");
        scratch.write_all(b"x").expect("written");
        assert!(dir.entries().expect("listed").is_empty());
    }
}
