//! From layers to a lower directory.
//!
//! What the layers mean is decided in memory, by the rules that every other way of applying them has ([`apply`](crate::layer::apply)): what is below is taken for a
//! layer of its own that came first. What then is to be on the disk differs from unpacking in this: what is only below is not there, what is gone below is there as a
//! whiteout, and a directory that must not show what is below it says so. As in [`unpack`](crate::layer::unpack) no path of a layer reaches the kernel.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::below::{Below, There};
use crate::error::{Error, IoContext as _, Result};
use crate::exec::Run;
use crate::fsio::hidden::Form;
use crate::fsio::overlay::Attributes as Overlay;
use crate::fsio::{Dir, Hidden, remove};
use crate::layer::apply::{Change, NodeId, Placement, Rootfs};
use crate::layer::entry::Xattrs;
use crate::layer::stack::Stack;
use crate::layer::tree::Stat;
use crate::layer::unpack::attributes::{Attributes, Setter};
use crate::layer::unpack::directories::Directories;
use crate::layer::unpack::{Owner, Privileges, content, umask};
use crate::layer::{Entry, EntryKind};
use crate::spec::{Descriptor, DiffId, text};
use crate::store::Source;

/// Unpacks `layers` of `source`, in this order and each proved, on top of what the lower directories `below` (the lowest first) make together: what they add, change
/// and hide becomes the content of the new and empty directory `into`, which then is the lower directory above `below`.
///
/// Kinds: those of [`Stack::read`] and [`Rootfs::apply`]; `io` where the disk does not do it. After a failure `into` is good for nothing.
pub fn lower<'a>(
    run: &'a Run,
    source: &'a dyn Source,
    layers: impl IntoIterator<Item = (&'a Descriptor, &'a DiffId)>,
    below: &[PathBuf],
    into: &Path,
) -> Result<()> {
    let stack = Stack::new(run, source, layers)?;
    let mut target = Target::begin(below, into)?;
    let task = run.events.start("root filesystem", Some(stack.size()));
    stack.read(&task, |_, entries| {
        target.rootfs.begin_layer();
        while let Some(entry) = entries.next_entry()? {
            run.cancel.check()?;
            target.apply(run, &entry, entries)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    target.complete()
}

/// What a layer said of a directory.
type Described = Option<Box<Attributes>>;

/// A lower directory that is being made.
struct Target {
    rootfs: Rootfs<Described>,
    below: Below,
    dir: Dir,
    directories: Directories,
    setter: Setter,
    overlay: Overlay,
    /// What is below and not here.
    only_below: HashSet<NodeId>,
    /// Directories here that show what is below.
    merged: HashSet<NodeId>,
    /// What is here in the place of something below.
    covers: HashSet<NodeId>,
    /// The whiteouts that are here, whatever their form.
    whiteouts: HashMap<(NodeId, Box<[u8]>), Form>,
    /// What the directory cannot say itself; the names are put in at the end, once it is clear which stay.
    hidden: Hidden,
    buffer: Vec<u8>,
}

/// What the paths of devices mostly begin with.
const DEVICES: &[u8] = b"dev/";

const ROOT: NodeId = Rootfs::<Described>::ROOT;

impl Target {
    fn begin(below: &[PathBuf], into: &Path) -> Result<Target> {
        let overlay = Overlay::here();
        let dir = Dir::open(into)?;
        let caller = Stat::from(rustix::fs::fstat(&dir).at("examine", into)?);
        let setter = Setter::new(Owner::Described, Privileges::Kept, (caller.uid, caller.gid), umask(&dir)?);
        let mut target = Target {
            rootfs: Rootfs::default(),
            below: Below::open(below, overlay)?,
            directories: Directories::below(&dir)?,
            dir,
            setter,
            overlay,
            only_below: HashSet::new(),
            merged: HashSet::new(),
            covers: HashSet::new(),
            whiteouts: HashMap::new(),
            hidden: Hidden::default(),
            buffer: Vec::new(),
        };
        target.look_below()?;
        Ok(target)
    }

    /// Takes what is below for the first layer.
    fn look_below(&mut self) -> Result<()> {
        let Some(root) = self.below.root()? else { return Ok(()) };
        self.rootfs.begin_layer();
        self.merged.insert(ROOT);
        self.covers.insert(ROOT);
        let mut directories = vec![root];
        while let Some(directory) = directories.pop() {
            for there in self.below.list(&directory)? {
                let stat = &there.found.stat;
                let kind = match FileType::from_raw_mode(stat.mode) {
                    FileType::Directory => EntryKind::Directory,
                    FileType::Symlink => EntryKind::Symlink { target: self.below.tree(&there).read_link(&there.found)? },
                    FileType::RegularFile => EntryKind::File { size: stat.size },
                    _ => EntryKind::Fifo,
                };
                let is_directory = kind == EntryKind::Directory;
                let entry = Entry { path: there.found.path.clone(), kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() };
                if let Some(Placement::New(node)) = self.rootfs.apply(&entry, None)?.placed {
                    self.only_below.insert(node);
                }
                if is_directory {
                    directories.push(there);
                }
            }
        }
        Ok(())
    }

    /// Applies the next entry of a layer, with the content of a regular file.
    fn apply(&mut self, run: &Run, entry: &Entry, content: &mut impl Read) -> Result<()> {
        let described = if entry.kind == EntryKind::Directory { Some(Box::new(Attributes::of(entry)?)) } else { None };
        let change = self.rootfs.apply(entry, described)?;
        self.take_away(&change)?;
        for implied in &change.implied {
            self.make_directory(*implied)?;
        }
        match change.placed {
            Some(Placement::New(node)) => self.make(run, node, entry, content)?,
            Some(Placement::Link { node, target }) => self.link(node, target)?,
            Some(Placement::Redescribed(directory)) => self.ensure(directory)?,
            None => {}
        }
        Ok(())
    }

    /// Removes here what has gone, and hides what has gone below.
    fn take_away(&mut self, change: &Change) -> Result<()> {
        for directory in &change.forgotten {
            self.merged.remove(directory);
        }
        let gone: HashSet<NodeId> = change.gone.iter().copied().collect();
        for id in &change.gone {
            let parent = self.rootfs.node(*id).parent();
            let name: Box<[u8]> = self.rootfs.node(*id).name().into();
            // With a directory goes what is in it.
            if gone.contains(&parent) {
                continue;
            }
            if !self.only_below.contains(id) {
                self.remove(*id)?;
            }
            if self.only_below.contains(id) || self.covers.contains(id) {
                self.ensure(parent)?;
                let directory = self.directories.open(&self.rootfs, parent)?;
                let form = Form::whiteout(directory, &name).map_err(|error| fail("hide", &self.rootfs.path(*id), error))?;
                self.whiteouts.insert((parent, name), form);
            }
        }
        Ok(())
    }

    /// Removes what is here, a directory with all that is in it.
    fn remove(&mut self, id: NodeId) -> Result<()> {
        let node = self.rootfs.node(id);
        let path = self.rootfs.path(id);
        if node.is_directory() {
            return remove::tree(&self.dir, Path::new(OsStr::from_bytes(&path)));
        }
        let directory = self.directories.open(&self.rootfs, node.parent())?;
        rustix::fs::unlinkat(directory, node.name(), AtFlags::empty()).map_err(|error| fail("remove", &path, error))
    }

    /// Makes room for a node: the directory that it is in is here, and no whiteout has its name.
    fn make_room(&mut self, id: NodeId) -> Result<()> {
        let parent = self.rootfs.node(id).parent();
        self.ensure(parent)?;
        let place = (parent, self.rootfs.node(id).name().into());
        let Some(form) = self.whiteouts.remove(&place) else { return Ok(()) };
        self.covers.insert(id);
        if form == Form::Device {
            let directory = self.directories.open(&self.rootfs, parent)?;
            rustix::fs::unlinkat(directory, &*place.1, AtFlags::empty()).map_err(|error| fail("uncover", &self.rootfs.path(id), error))?;
        }
        Ok(())
    }

    /// Makes a directory of what is below be here as well, with those above it.
    fn ensure(&mut self, id: NodeId) -> Result<()> {
        if self.only_below.remove(&id) {
            self.merged.insert(id);
            self.covers.insert(id);
            self.make_directory(id)?;
        }
        Ok(())
    }

    fn make_directory(&mut self, id: NodeId) -> Result<()> {
        self.make_room(id)?;
        let node = self.rootfs.node(id);
        let directory = self.directories.open(&self.rootfs, node.parent())?;
        rustix::fs::mkdirat(directory, node.name(), Mode::RWXU).map_err(|error| fail("create", &self.rootfs.path(id), error))
    }

    fn make(&mut self, run: &Run, id: NodeId, entry: &Entry, content: &mut impl Read) -> Result<()> {
        if entry.kind == EntryKind::Directory {
            return self.make_directory(id);
        }
        self.make_room(id)?;
        let node = self.rootfs.node(id);
        let directory = self.directories.open(&self.rootfs, node.parent())?;
        let cannot = |error| fail("create", &entry.path, error);
        let attributes = Attributes::of(entry)?;
        let (kind, device) = match &entry.kind {
            EntryKind::File { size } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = self.setter.mode_to_create(&attributes);
                let file = rustix::io::retry_on_intr(|| rustix::fs::openat(directory, node.name(), flags, mode)).map_err(cannot)?;
                content::write(&file, *size, content, &mut self.buffer, &run.cancel).map_err(|error| content::context(error, &entry.path))?;
                return self.setter.file(&file, &attributes, mode).map(drop).map_err(|(doing, error)| fail(doing, &entry.path, error));
            }
            EntryKind::Symlink { target } => {
                rustix::fs::symlinkat(target.as_slice(), directory, node.name()).map_err(cannot)?;
                (FileType::Symlink, 0)
            }
            EntryKind::CharDevice { major, minor } => (FileType::CharacterDevice, rustix::fs::makedev(*major, *minor)),
            EntryKind::BlockDevice { major, minor } => (FileType::BlockDevice, rustix::fs::makedev(*major, *minor)),
            EntryKind::Directory | EntryKind::Hardlink { .. } | EntryKind::Fifo => (FileType::Fifo, 0),
        };
        if kind == FileType::CharacterDevice && device == 0 {
            // TAR-43: no layer hides something by another way than layers do. Nor could it be shown as a device.
            let shown = text::bytes(&entry.path).into_owned();
            return Err(Error::unsupported(format!("`{shown}` is the device 0:0, which overlayfs takes for something else")).subject(shown));
        }
        if kind != FileType::Symlink {
            match rustix::fs::mknodat(directory, node.name(), kind, Mode::RUSR | Mode::WUSR, device) {
                // No user namespace may make devices. Nobody could use them there either.
                // Those in `/dev` nobody would see anyway: a container has one of its own.
                Err(Errno::PERM) if self.overlay == Overlay::User => {
                    if !entry.path.starts_with(DEVICES) {
                        run.events.warn(format!("the device `{}` is left out of the root filesystem: making it takes root", text::bytes(&entry.path)));
                    }
                    return Ok(());
                }
                outcome => outcome.map_err(cannot)?,
            }
        }
        self.setter.name(directory, node.name(), kind, &attributes).map(drop).map_err(|(doing, error)| fail(doing, &entry.path, error))
    }

    /// Gives what is at `target` another name. What is only below is copied first: overlayfs would have two files otherwise.
    fn link(&mut self, id: NodeId, target: NodeId) -> Result<()> {
        if self.only_below.contains(&target) {
            self.copy_up(target)?;
        }
        self.make_room(id)?;
        let (node, named) = (self.rootfs.node(id), self.rootfs.node(target));
        let (from, to) = self.directories.open_both(&self.rootfs, named.parent(), node.parent())?;
        rustix::fs::linkat(from, named.name(), to, node.name(), AtFlags::empty()).map_err(|error| fail("link", &self.rootfs.path(id), error))
    }

    fn copy_up(&mut self, id: NodeId) -> Result<()> {
        self.make_room(id)?;
        let path = self.rootfs.path(id);
        let there = self.find_below(&path)?;
        let directory = self.directories.open(&self.rootfs, self.rootfs.node(id).parent())?;
        self.below.copy(&there, directory).map_err(|error| Error::io(format!("cannot copy `{}`", text::bytes(&path)), error))?;
        self.only_below.remove(&id);
        self.covers.insert(id);
        Ok(())
    }

    /// What is at a path that has only directories above it, which are below as well.
    fn find_below(&self, path: &[u8]) -> Result<There> {
        let gone = || Error::new(crate::error::ErrorKind::Io, format!("`{}` changed while it was being read", text::bytes(path)));
        let mut there = self.below.root()?.ok_or_else(gone)?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end).chain((!path.is_empty()).then_some(path.len()));
        for end in ends {
            there = self.below.find(&there, &path[..end])?.ok_or_else(gone)?;
        }
        Ok(there)
    }

    /// Removes the whiteouts of directories that show nothing of what is below, which overlayfs would list there, and notes those that stay and are none.
    fn settle_whiteouts(&mut self, all: &[NodeId]) -> Result<()> {
        let all: HashSet<NodeId> = all.iter().copied().collect();
        let mut whiteouts: Vec<_> = self.whiteouts.drain().filter(|((directory, _), _)| all.contains(directory)).collect();
        whiteouts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for ((id, name), form) in whiteouts {
            match (form, self.merged.contains(&id)) {
                (Form::Device, false) => {
                    let directory = self.directories.open(&self.rootfs, id)?;
                    rustix::fs::unlinkat(directory, &*name, AtFlags::empty()).map_err(|error| fail("uncover", &self.rootfs.path(id), error))?;
                }
                (Form::Listed, true) => self.hidden.list_name(&self.rootfs.path(id), &name),
                (Form::Device, true) | (Form::Listed, false) => {}
            }
        }
        Ok(())
    }

    /// Gives the directories what they are to have, the inner ones first, now that nothing changes in them any more.
    fn complete(mut self) -> Result<()> {
        let all = self.rootfs.walk();
        self.settle_whiteouts(&all)?;
        let here = all.iter().rev().filter(|id| self.rootfs.node(**id).is_directory() && !self.only_below.contains(id));
        for id in here {
            let path = self.rootfs.path(*id);
            let directory = self.directories.open_to_change(&path)?;
            if self.covers.contains(id) && !self.merged.contains(id) {
                self.hidden.hide_below(&directory, &path, self.overlay).map_err(|error| fail("mark", &path, error))?;
            }
            let outcome = match self.rootfs.node(*id).payload() {
                Some(attributes) => self.setter.directory(&directory, attributes),
                None if self.merged.contains(id) => {
                    let there = self.find_below(&path)?;
                    self.below
                        .copy_attributes(&there, &directory)
                        .map_err(|error| Error::io(format!("cannot copy the attributes of `{}`", text::bytes(&path)), error))?;
                    continue;
                }
                None => self.setter.implied_directory(&directory),
            };
            outcome.map_err(|(doing, error)| fail(doing, &path, error))?;
        }
        self.hidden.keep(self.dir.path())
    }
}

/// What to do where a user namespace lacks an owner.
const NUMBERS: &str = "its owner has no number here: give the user more of them in /etc/subuid and /etc/subgid, with newuidmap to use them (Debian: uidmap), \
    or run larder as root";

/// What could not be done to a path of the root filesystem.
fn fail(doing: &str, path: &[u8], error: Errno) -> Error {
    let shown = text::bytes(path);
    let failure = Error::io(format!("cannot {doing} `{shown}`"), error).subject(&shown);
    match error {
        Errno::INVAL => failure.hint(NUMBERS),
        _ => failure,
    }
}
