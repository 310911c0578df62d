//! Locks between processes: `flock`, which dies with its holder.
//!
//! A lock excludes those who ask for it on the same machine. On network file systems it may exclude only processes of one machine; a file system that
//! knows no locks is an error for an exclusive lock and no obstacle for a shared one, because media that cannot be locked are usually read-only.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::{Dir, regular};
use crate::spec::text;

/// How long to wait for others, in all waits together, and what ends the wait early.
#[derive(Clone, Debug)]
pub struct Patience {
    timeout: Duration,
    waited: Duration,
    cancel: Cancel,
}

impl Patience {
    /// Waits at most `timeout`; zero asks once and does not wait.
    pub fn new(timeout: Duration, cancel: Cancel) -> Self {
        Patience { timeout, waited: Duration::ZERO, cancel }
    }

    /// Sleeps a little longer than the last time, because of a lock at `path`. Fails with kind `conflict` when the time is over.
    pub fn wait(&mut self, path: &Path) -> Result<()> {
        const SHORTEST: Duration = Duration::from_millis(1);
        const LONGEST: Duration = Duration::from_millis(50);
        self.cancel.check()?;
        let left = self.timeout.saturating_sub(self.waited);
        if left.is_zero() {
            return Err(Error::conflict(format!("{} is locked by another process; waited {:?}", text::path(path), self.timeout))
                .subject(text::path(path))
                .hint("wait until the other process ends, or give --lock-timeout a longer time"));
        }
        let pause = (self.waited / 4).clamp(SHORTEST, LONGEST).min(left);
        std::thread::sleep(pause);
        self.waited += pause;
        Ok(())
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Shares `file` (opened from `path`) with other sharers. Where the file system knows no locks nobody else can hold one: that is no error.
    pub fn shared(file: File, path: &Path, patience: &mut Patience) -> Result<Lock> {
        while matches!(try_lock(&file, FlockOperation::NonBlockingLockShared, path), Ok(Attempt::Busy)) {
            patience.wait(path)?;
        }
        Ok(Lock { file })
    }

    /// Holds `file` (opened from `path`) alone.
    pub fn exclusive(file: File, path: &Path, patience: &mut Patience) -> Result<Lock> {
        while try_lock(&file, FlockOperation::NonBlockingLockExclusive, path)? == Attempt::Busy {
            patience.wait(path)?;
        }
        Ok(Lock { file })
    }

    /// Holds `file` (opened from `path`) alone if nobody else holds it now; none if somebody does.
    pub fn try_exclusive(file: File, path: &Path) -> Result<Option<Lock>> {
        Ok(match try_lock(&file, FlockOperation::NonBlockingLockExclusive, path)? {
            Attempt::Held => Some(Lock { file }),
            Attempt::Busy => None,
        })
    }

    /// Holds the lock file `name` in `dir` alone. The file is created with mode 0644 where it is absent and never removed; others do remove it
    /// (BuildKit, when it unlocks), so what counts is the file that has the name once the lock is held.
    pub fn of_file(dir: &Dir, name: &Path, patience: &mut Patience) -> Result<Lock> {
        let path = dir.path().join(name);
        loop {
            let lock = Lock::exclusive(open_or_create(dir, name)?, &path, patience)?;
            if is_named(&lock.file, dir, name)? {
                return Ok(lock);
            }
            patience.cancel.check()?;
        }
    }

    /// The file that is locked. It may be read; it may be written where the lock is [of a file](Self::of_file) that may.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether the entry `name` of `dir` is the file that is locked. If it is not, the lock excludes nobody who comes by that name.
    pub fn is_of(&self, dir: &Dir, name: &Path) -> Result<bool> {
        is_named(&self.file, dir, name)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough while a child process between fork and exec still has the handle.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Whether the entry `name` of `dir` is the open `file`.
pub fn is_named(file: &File, dir: &Dir, name: &Path) -> Result<bool> {
    let path = dir.path().join(name);
    let held = rustix::fs::fstat(file).at("examine", &path)?;
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error).at("examine", &path),
    }
}

fn is_same(a: impl AsFd, b: impl AsFd) -> bool {
    match (rustix::fs::fstat(a), rustix::fs::fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

#[derive(PartialEq, Eq)]
enum Attempt {
    Held,
    Busy,
}

fn try_lock(file: &File, operation: FlockOperation, path: &Path) -> Result<Attempt> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(Attempt::Held),
        Err(Errno::WOULDBLOCK) => Ok(Attempt::Busy),
        Err(error) => Err(error).at("lock", path).map_err(|error| error.hint("the file system must support flock for writing; use a local one")),
    }
}

fn open_or_create(dir: &Dir, name: &Path) -> Result<File> {
    let path = dir.path().join(name);
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    // Each round that ends here means that somebody created or removed the file in between.
    for _ in 0..100 {
        match rustix::io::retry_on_intr(|| rustix::fs::openat(dir, name, flags | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)) {
            Ok(fd) => {
                rustix::fs::fchmod(&fd, mode).at("set the permissions of", &path)?;
                return Ok(File::from(fd));
            }
            Err(Errno::EXIST) => match regular::open(dir, name) {
                Err(error) if error.kind() == crate::error::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                // Network file systems make flock a byte-range lock, and an exclusive one of these needs a handle for writing.
                Ok(regular) => match rustix::io::retry_on_intr(|| rustix::fs::openat(dir, name, flags | OFlags::RDWR, Mode::empty())) {
                    Ok(fd) if is_same(&fd, &regular.file) => return Ok(File::from(fd)),
                    Ok(_) | Err(Errno::NOENT) => {}
                    Err(_) => return Ok(regular.file),
                },
            },
            Err(error) => return Err(error).at("create", &path),
        }
    }
    Err(Error::conflict(format!("{} is created and removed by others again and again", text::path(&path))).subject(text::path(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn patience(milliseconds: u64) -> Patience {
        Patience::new(Duration::from_millis(milliseconds), Cancel::default())
    }

    fn dir() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Dir::open(temp.path()).expect("opened");
        (temp, dir)
    }

    #[test]
    fn cra_19_a_held_lock_is_a_conflict_after_the_timeout_and_free_after_the_drop() {
        let (_temp, dir) = dir();
        let name = Path::new("lock");
        let held = Lock::of_file(&dir, name, &mut patience(0)).expect("free");
        for timeout in [0, 30] {
            let error = Lock::of_file(&dir, name, &mut patience(timeout)).expect_err("held");
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.hint_text().is_some_and(|hint| hint.contains("--lock-timeout")));
        }
        drop(held);
        Lock::of_file(&dir, name, &mut patience(0)).expect("free again");
    }

    #[test]
    fn cra_19_a_removed_lock_file_still_excludes() {
        let (temp, dir) = dir();
        let name = Path::new("lock");
        let first = Lock::of_file(&dir, name, &mut patience(0)).expect("free");
        // Somebody who opened the file before it was removed must not believe in the lock of the removed file.
        let stale = regular::open(&dir, name).expect("there").file;
        std::fs::remove_file(temp.path().join("lock")).expect("removed");
        drop(first);
        let second = Lock::of_file(&dir, name, &mut patience(0)).expect("free");
        assert!(is_named(&second.file, &dir, name).expect("examined"));
        assert!(!is_named(&stale, &dir, name).expect("examined"));
        assert!(Lock::of_file(&dir, name, &mut patience(0)).is_err());
    }

    #[test]
    fn waiting_ends_when_cancelled() {
        let (_temp, dir) = dir();
        let _held = Lock::of_file(&dir, Path::new("lock"), &mut patience(0)).expect("free");
        let cancel = Cancel::default();
        cancel.cancel();
        let error = Lock::of_file(&dir, Path::new("lock"), &mut Patience::new(Duration::from_secs(60), cancel)).expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn sharers_share_and_exclude_the_exclusive() {
        let (temp, dir) = dir();
        let path = temp.path().join("f");
        std::fs::write(&path, "").expect("written");
        let open = || regular::open(&dir, Path::new("f")).expect("there").file;
        let one = Lock::shared(open(), &path, &mut patience(0)).expect("shared");
        let two = Lock::shared(open(), &path, &mut patience(0)).expect("shared");
        assert!(Lock::try_exclusive(open(), &path).expect("asked").is_none());
        drop((one, two));
        let alone = Lock::try_exclusive(open(), &path).expect("asked").expect("free");
        assert_eq!(Lock::shared(open(), &path, &mut patience(5)).expect_err("held").kind(), ErrorKind::Conflict);
        drop(alone);
    }

    #[test]
    fn lay_60_a_planted_lock_file_is_refused() {
        let (temp, dir) = dir();
        std::os::unix::fs::symlink("elsewhere", temp.path().join("lock")).expect("linked");
        assert_eq!(Lock::of_file(&dir, Path::new("lock"), &mut patience(0)).expect_err("planted").kind(), ErrorKind::Corrupt);
        assert!(!temp.path().join("elsewhere").exists());
    }
}
