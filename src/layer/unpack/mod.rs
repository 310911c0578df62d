//! Unpacking: layers become a directory of this machine.
//!
//! What each entry does is decided by [`apply`](super::apply) in memory. Here it is done on the disk, and in such a way that no layer and no other process leads
//! anywhere else:
//!
//! * Everything happens in a new directory beside the target, which only its owner can enter until it is complete and gets its name.
//! * No path of a layer reaches the kernel. The memory knows what every name is, links on the way are followed there, and what is left is a path without links. Its
//!   directory is opened below the root with every symbolic link refused ([`beneath`](crate::fsio::beneath)); then one name is worked on through that handle.
//!   Somebody who exchanges directories for links meanwhile makes it fail.
//! * What has to go is removed name by name, as the memory knows it; nothing is ever listed.
//!
//! Directories are made enterable for their owner alone and get their owner, mode and times at the end, the inner ones first, so that neither the order of entries nor
//! a mode without write permission matters. Files get theirs at once: owner, attributes, mode, times, in this order, because each may undo what comes after it.
//!
//! What an upper layer hides is written all the same and removed again. To know it before, all layers would have to be decompressed before the first is applied, and
//! that costs more: a layer that upgrades Perl in a Debian image hides 4 per cent of the bytes below it, and most layers hide less.

pub(super) mod attributes;
pub(super) mod content;
pub(super) mod directories;
mod left_out;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

pub use attributes::{Owner, Privileges};
pub use left_out::{LeftOut, What};

use super::apply::{Kind, NodeId, Placement, Rootfs};
use super::entry::xattrs_size;
use super::tree::Stat;
use super::{Entry, EntryKind};
use crate::error::{Error, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::{Dir, TempDir, durable};
use crate::spec::text;
use attributes::{Attributes, Setter};
use directories::Directories;

/// How a root filesystem is unpacked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whom it belongs to.
    pub owner: Owner,
    /// What its programs may do.
    pub privileges: Privileges,
    /// The most bytes of content that all layers together may have.
    pub max_size: Option<u64>,
    /// Ends it early.
    pub cancel: Cancel,
}

/// A directory that is being unpacked to. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Target {
    rootfs: Rootfs<Mark>,
    staging: TempDir,
    directories: Directories,
    setter: Setter,
    options: Options,
    written: u64,
    buffer: Vec<u8>,
}

/// What is kept of each name until all layers are applied.
#[derive(Clone, Debug, Default)]
struct Mark {
    /// Those of a directory that somebody described. Others get theirs when they are made.
    attributes: Option<Box<Attributes>>,
    left_out: Vec<What>,
}

impl Mark {
    /// Whether the name is missing on the disk.
    fn is_absent(&self) -> bool {
        self.left_out.contains(&What::Device)
    }
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Names of regular files; a file with two names counts twice.
    pub files: u64,
    /// Directories, the root among them.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices and named pipes.
    pub specials: u64,
    /// Bytes of content that were written, those that upper layers hide among them.
    pub bytes: u64,
    /// What could not be as the layers say.
    pub left_out: Vec<LeftOut>,
}

/// A target with everything in it, which has yet to appear.
#[derive(Debug)]
pub struct Complete {
    staging: TempDir,
    unpacked: Unpacked,
}

impl Target {
    /// Begins to unpack to what will be called `name` in `parent`.
    pub fn create(parent: Arc<Dir>, name: &Path, options: Options) -> Result<Target> {
        let staging = TempDir::create(parent, name)?;
        let caller = Stat::from(rustix::fs::fstat(staging.dir()).at("examine", staging.dir().path())?);
        let setter = Setter::new(options.owner, options.privileges, (caller.uid, caller.gid), umask(staging.dir())?);
        let directories = Directories::below(staging.dir())?;
        Ok(Target { rootfs: Rootfs::default(), staging, directories, setter, options, written: 0, buffer: Vec::new() })
    }

    /// Begins the next layer.
    pub fn begin_layer(&mut self) {
        self.rootfs.begin_layer();
    }

    /// Applies the next entry of the layer, with the content of a regular file. Tells whether the layer had an entry with the same path before.
    ///
    /// Kinds: those of [`Rootfs::apply`]; `corrupt` for owners that cannot be; `io` and `conflict` where the disk does not do it; `unsupported` beyond
    /// [`Options::max_size`]. After a failure nothing more can be applied.
    pub fn apply(&mut self, entry: &Entry, content: &mut impl Read) -> Result<bool> {
        self.options.cancel.check()?;
        let mut mark = Mark::default();
        match &entry.kind {
            EntryKind::Directory => {
                // They are kept until everything in the directory is done.
                self.rootfs.charge(xattrs_size(&entry.xattrs))?;
                mark.attributes = Some(Box::new(Attributes::of(entry)?));
            }
            EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } if self.options.owner == Owner::Caller => mark.left_out.push(What::Device),
            _ => {}
        }
        let change = self.rootfs.apply(entry, mark)?;
        for gone in change.gone {
            self.remove(gone)?;
        }
        for implied in change.implied {
            self.make_directory(implied)?;
        }
        match change.placed {
            Some(Placement::New(node)) => self.make(node, entry, content)?,
            Some(Placement::Link { node, target }) => self.link(node, target)?,
            Some(Placement::Redescribed(_)) | None => {}
        }
        Ok(change.repeated)
    }

    /// Gives the directories what they are to have, now that nothing changes in them any more.
    pub fn complete(mut self) -> Result<Complete> {
        let mut unpacked = Unpacked { bytes: self.written, ..Unpacked::default() };
        let mut all = self.rootfs.walk();
        for id in all.iter().rev() {
            match self.rootfs.node(*id).kind() {
                Kind::Directory(_) => {
                    self.options.cancel.check()?;
                    self.finish_directory(*id)?;
                    unpacked.directories += 1;
                }
                Kind::Symlink(_) => unpacked.symlinks += 1,
                Kind::File => unpacked.files += 1,
                Kind::Special if self.rootfs.node(*id).payload().is_absent() => {}
                Kind::Special => unpacked.specials += 1,
            }
        }
        all.retain(|id| !self.rootfs.node(*id).payload().left_out.is_empty());
        unpacked.left_out = left_out::collect(all.iter().map(|id| (self.rootfs.path(*id), self.rootfs.node(*id).payload().left_out.as_slice())));
        Ok(Complete { staging: self.staging, unpacked })
    }

    /// Removes a name that the memory no longer has.
    fn remove(&mut self, id: NodeId) -> Result<()> {
        let node = self.rootfs.node(id);
        if node.payload().is_absent() {
            return Ok(());
        }
        let flags = if node.is_directory() { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let directory = self.directories.open(&self.rootfs, node.parent())?;
        rustix::fs::unlinkat(directory, node.name(), flags).map_err(|error| fail("remove", &self.rootfs.path(id), error))
    }

    fn make_directory(&mut self, id: NodeId) -> Result<()> {
        let node = self.rootfs.node(id);
        let directory = self.directories.open(&self.rootfs, node.parent())?;
        rustix::fs::mkdirat(directory, node.name(), Mode::RWXU).map_err(|error| fail("create", &self.rootfs.path(id), error))
    }

    fn make(&mut self, id: NodeId, entry: &Entry, content: &mut impl Read) -> Result<()> {
        let node = self.rootfs.node(id);
        let cannot = |error| fail("create", &entry.path, error);
        let name = node.name();
        let directory = self.directories.open(&self.rootfs, node.parent())?;
        let (kind, device) = match &entry.kind {
            EntryKind::Directory => return self.make_directory(id),
            EntryKind::File { size } => {
                self.written = self.written.saturating_add(*size);
                check_size(self.written, self.options.max_size)?;
                let attributes = Attributes::of(entry)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = self.setter.mode_to_create(&attributes);
                let file = rustix::io::retry_on_intr(|| rustix::fs::openat(directory, name, flags, mode)).map_err(cannot)?;
                content::write(&file, *size, content, &mut self.buffer, &self.options.cancel).map_err(|error| content::context(error, &entry.path))?;
                let left_out = self.setter.file(&file, &attributes, mode).map_err(|(doing, error)| fail(doing, &entry.path, error))?;
                self.rootfs.payload_mut(id).left_out = left_out;
                return Ok(());
            }
            EntryKind::Symlink { target } => {
                rustix::fs::symlinkat(target.as_slice(), directory, name).map_err(cannot)?;
                (FileType::Symlink, 0)
            }
            EntryKind::CharDevice { major, minor } => (FileType::CharacterDevice, rustix::fs::makedev(*major, *minor)),
            EntryKind::BlockDevice { major, minor } => (FileType::BlockDevice, rustix::fs::makedev(*major, *minor)),
            EntryKind::Fifo | EntryKind::Hardlink { .. } => (FileType::Fifo, 0),
        };
        if node.payload().is_absent() {
            return Ok(());
        }
        if kind != FileType::Symlink {
            rustix::fs::mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, device).map_err(|error| match error {
                Errno::PERM => cannot(error).hint("devices take root; larder unpack --rootless leaves them out and says so"),
                error => cannot(error),
            })?;
        }
        let attributes = Attributes::of(entry)?;
        let left_out = self.setter.name(directory, name, kind, &attributes).map_err(|(doing, error)| fail(doing, &entry.path, error))?;
        self.rootfs.payload_mut(id).left_out = left_out;
        Ok(())
    }

    fn link(&mut self, id: NodeId, target: NodeId) -> Result<()> {
        let (node, named) = (self.rootfs.node(id), self.rootfs.node(target));
        if node.payload().is_absent() {
            return Ok(());
        }
        let (from, to) = self.directories.open_both(&self.rootfs, named.parent(), node.parent())?;
        // Without flags a symbolic link is linked itself.
        rustix::fs::linkat(from, named.name(), to, node.name(), AtFlags::empty()).map_err(|error| fail("link", &self.rootfs.path(id), error))
    }

    fn finish_directory(&mut self, id: NodeId) -> Result<()> {
        let path = self.rootfs.path(id);
        let directory = self.directories.open_to_change(&path)?;
        let described = self.rootfs.node(id).payload().attributes.as_deref();
        let left_out = match described {
            Some(attributes) => self.setter.directory(&directory, attributes),
            None => self.setter.implied_directory(&directory),
        };
        let left_out = left_out.map_err(|(doing, error)| fail(doing, &path, error))?;
        self.rootfs.payload_mut(id).left_out = left_out;
        Ok(())
    }
}

impl Complete {
    /// What was unpacked.
    pub fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }

    /// Brings everything to the disk, so that a power cut after [`appear`](Self::appear) loses nothing.
    pub fn sync(&self) -> Result<()> {
        let dir = self.staging.dir();
        rustix::fs::syncfs(dir).at("bring to the disk", dir.path())
    }

    /// Gives the directory its name, which must be free or an empty directory: kind `conflict`. Brings the name to the disk.
    pub fn appear(self, parent: &Dir, name: &Path) -> Result<Unpacked> {
        self.staging.persist(name)?;
        durable::sync_dir(parent)?;
        Ok(self.unpacked)
    }
}

/// The permissions that new files do not get, found out by making one.
pub(super) fn umask(dir: &Dir) -> Result<Mode> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    let name = ".umask";
    let file = rustix::fs::openat(dir, name, flags, all).at("create", &dir.path().join(name))?;
    let made = Mode::from_raw_mode(rustix::fs::fstat(&file).at("examine", &dir.path().join(name))?.st_mode);
    rustix::fs::unlinkat(dir, name, AtFlags::empty()).at("remove", &dir.path().join(name))?;
    Ok(all.difference(made))
}

fn check_size(written: u64, limit: Option<u64>) -> Result<()> {
    match limit {
        Some(limit) if written > limit => {
            Err(Error::unsupported(format!("the layers have more than {limit} bytes of content"))
                .hint("if the image can be trusted, allow more with --max-size"))
        }
        _ => Ok(()),
    }
}

/// What could not be done to a path of the root filesystem.
fn fail(doing: &str, path: &[u8], error: Errno) -> Error {
    let shown = text::bytes(path);
    let failure = Error::io(format!("cannot {doing} `{shown}`"), error).subject(&shown);
    match error {
        Errno::EXIST => Error::conflict(format!("cannot {doing} `{shown}`: the file system takes another name for this one"))
            .subject(&shown)
            .hint("unpack to a file system that tells upper from lower case and leaves Unicode as it is"),
        Errno::INVAL if doing == attributes::CHANGE_OWNER => {
            failure.hint("its owner has no number here, as in a user namespace; larder unpack --rootless makes everything yours")
        }
        Errno::PERM if doing == attributes::CHANGE_OWNER => failure.hint("owners take root; larder unpack --rootless makes everything yours"),
        _ => failure,
    }
}
