//! Caches of commands: directories that outlive the build, each with a lock file beside it.
//!
//! ```text
//! DIR/<hash>-<n>         the directory; n counts the copies of a cache that two private users have at the same time
//! DIR/<hash>-<n>.lock    what the cache is called; locked while a command uses it, its time that of the last use
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::dockerfile::plan::{CachePlan, SharedBy};
use crate::error::{Error, IoContext as _, Result};
use crate::exec::Run;
use crate::fsio::lock::{Lock, Patience};
use crate::fsio::{Dir, durable, remove};

/// What the names of directories end with until they are whole.
const NEW: &str = ".new";

/// The most copies of one cache.
const COPIES: usize = 1000;

/// A cache that is in use.
pub(super) struct Held {
    path: PathBuf,
    _lock: Lock,
}

impl Held {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes the cache that `plan` names out of the directory `all`; it is made if it is missing, and `begin` fills it then. Waits for others where it has to.
pub(super) fn take(run: &Run, all: &Path, plan: &CachePlan, begin: impl Fn(&PathBuf) -> Result<()>) -> Result<Held> {
    // What a command leaves there may be set to run as root, and is for nobody else of this machine.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(all).at("create directory", all)?;
    fs::set_permissions(all, PermissionsExt::from_mode(0o700)).at("set the permissions of", all)?;
    let dir = Dir::open(all)?;
    let hash = blake3::hash(plan.id.as_bytes()).to_hex();
    let mut patience = Patience::new(Duration::MAX, run.cancel.clone());
    loop {
        run.cancel.check()?;
        let (name, lock) = lock(all, &hash[..32], plan, &mut patience)?;
        // A cache that was removed meanwhile took its lock file along.
        if !lock.is_of(&dir, Path::new(&lock_name(&name)))? {
            continue;
        }
        if !all.join(&name).is_dir() {
            // One of those who come first makes it. The others look again: whoever made it may share it by then, and who shares it may not wait to have it alone.
            match Lock::try_exclusive(lock.file().try_clone().at("open", all)?, all)? {
                Some(alone) if alone.is_of(&dir, Path::new(&lock_name(&name)))? => make(&dir, &name, plan, &begin)?,
                Some(_) => {}
                None => {
                    // Where the attempt leaves it shared, somebody else who tries the same would never have it alone.
                    drop(lock);
                    patience.wait(all)?;
                }
            }
            continue;
        }
        // The time of the last use. Where it cannot be set, the cache only looks older.
        let _ = lock.file().set_modified((run.clock.0)());
        return Ok(Held { path: all.join(name), _lock: lock });
    }
}

/// Holds the cache, as it is to be shared.
fn lock(all: &Path, hash: &str, plan: &CachePlan, patience: &mut Patience) -> Result<(String, Lock)> {
    let first = format!("{hash}-0");
    match plan.shared {
        SharedBy::Turns => {
            let (file, path) = lock_file(all, &first, plan)?;
            Ok((first, Lock::exclusive(file, &path, patience)?))
        }
        SharedBy::All => {
            let (file, path) = lock_file(all, &first, plan)?;
            Ok((first, Lock::shared(file, &path, patience)?))
        }
        SharedBy::Copies => free_copy(all, hash, plan),
    }
}

/// The first copy that nobody uses.
fn free_copy(all: &Path, hash: &str, plan: &CachePlan) -> Result<(String, Lock)> {
    for number in 0..COPIES {
        let name = format!("{hash}-{number}");
        let (file, path) = lock_file(all, &name, plan)?;
        if let Some(lock) = Lock::try_exclusive(file, &path)? {
            return Ok((name, lock));
        }
    }
    Err(Error::conflict(format!("more than {COPIES} commands use the cache `{}` at the same time", crate::spec::text::shown(&plan.id))))
}

fn lock_file(all: &Path, name: &str, plan: &CachePlan) -> Result<(File, PathBuf)> {
    let path = all.join(lock_name(name));
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).at("open", &path)?;
    if file.metadata().at("examine", &path)?.len() == 0 {
        file.write_all(plan.id.as_bytes()).at("write", &path)?;
    }
    Ok((file, path))
}

fn lock_name(name: &str) -> String {
    format!("{name}.lock")
}

/// Makes the directory of a cache that is locked, unless it is there.
fn make(dir: &Dir, name: &str, plan: &CachePlan, begin: impl Fn(&PathBuf) -> Result<()>) -> Result<()> {
    if dir.path().join(name).is_dir() {
        return Ok(());
    }
    let new = format!("{name}{NEW}");
    if dir.kind(Path::new(&new))?.is_some() {
        // Left behind by somebody who was stopped.
        remove::tree(dir, Path::new(&new))?;
    }
    dir.create(Path::new(&new), 0o755)?;
    let path = dir.path().join(&new);
    begin(&path)?;
    describe(&path, plan.attributes)?;
    durable::rename_dir(dir, Path::new(&new), Path::new(name))
}

/// Gives a directory its permissions, user and group.
fn describe(path: &Path, (mode, uid, gid): (u32, u32, u32)) -> Result<()> {
    chown(path, Some(uid), Some(gid)).at("set the owner of", path).map_err(|error| match uid.max(gid) {
        0 => error,
        // In a user namespace there are only those that it has numbers for.
        _ => error.hint("where an ordinary user builds, /etc/subuid and /etc/subgid say which numbers there are besides 0"),
    })?;
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).at("set the permissions of", path)
}
