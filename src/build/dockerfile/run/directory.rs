//! Files of contexts as a directory, for commands to see.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::build::dockerfile::key::copy;
use crate::error::{Error, IoContext as _, Result};
use crate::exec::Run;
use crate::layer::changeset::Item;
use crate::layer::{Entry, EntryKind};
use crate::spec::text;

/// Writes a new file.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    create(path)?.write_all(content).at("write", path)?;
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).at("set the permissions of", path)
}

/// Puts items into an empty directory.
pub(super) fn fill(run: &Run, items: &[Item], directory: &Path) -> Result<()> {
    fill_from(run, items, "", directory)
}

/// Puts what items have below `root` into an empty directory.
pub(super) fn fill_from(run: &Run, items: &[Item], root: &str, directory: &Path) -> Result<()> {
    let root = root.trim_start_matches('/').as_bytes();
    let mut directories: Vec<(PathBuf, Entry)> = Vec::new();
    for item in items {
        run.cancel.check()?;
        let below = item.path.strip_prefix(root).map(|below| below.strip_prefix(b"/").unwrap_or(below));
        let Some(below) = below.filter(|below| !below.is_empty()) else { continue };
        let path = directory.join(OsStr::from_bytes(below));
        let entry = item.entry(run.timestamps)?;
        match &entry.kind {
            EntryKind::Directory => {
                fs::create_dir(&path).at("create directory", &path)?;
                directories.push((path, entry));
                continue;
            }
            EntryKind::Symlink { target } => symlink(OsStr::from_bytes(target), &path).at("create", &path)?,
            EntryKind::Hardlink { target } => {
                let target = target.strip_prefix(root).map(|below| below.strip_prefix(b"/").unwrap_or(below)).unwrap_or(target);
                fs::hard_link(directory.join(OsStr::from_bytes(target)), &path).at("create", &path)?;
                continue;
            }
            EntryKind::File { .. } => copy(item, &entry, &mut create(&path)?)?,
            EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } | EntryKind::Fifo => {
                return Err(Error::unsupported(format!("`/{}` is a device or a named pipe, which is not mounted", text::bytes(below))));
            }
        }
        describe(&path, &entry)?;
    }
    // What comes into a directory changes its time.
    directories.iter().rev().try_for_each(|(path, entry)| describe(path, entry))
}

fn create(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at("create", path)
}

fn describe(path: &Path, entry: &Entry) -> Result<()> {
    lchown(path, Some(entry.uid), Some(entry.gid)).at("set the owner of", path)?;
    if matches!(entry.kind, EntryKind::Symlink { .. }) {
        return Ok(());
    }
    fs::set_permissions(path, PermissionsExt::from_mode(entry.mode)).at("set the permissions of", path)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(entry.mtime).unwrap_or(0));
    let file = File::open(path).at("open", path)?;
    file.set_times(fs::FileTimes::new().set_modified(time).set_accessed(time)).at("set the times of", path)
}
