//! Owners, modes, times and extended attributes on the disk.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::left_out::What;
use crate::error::{Error, Result};
use crate::layer::changeset;
use crate::layer::entry::{Entry, Xattrs};
use crate::spec::text;

/// Whom what is unpacked belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whom the layers say. Takes root.
    Described,
    /// This user and group.
    Fixed(u32, u32),
    /// Whoever unpacks. Devices, and attributes that mean something to the system rather than to programs, are left out, whoever that is.
    Caller,
}

/// Whether a program may run with rights that whoever starts it does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privileges {
    /// As the layers say and [`Owner`] allows.
    #[default]
    Kept,
    /// Never: setuid and setgid bits of what is not a directory and file capabilities are left out, as a mount with `nosuid` ignores them.
    Dropped,
}

/// What an entry says of itself besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layer) struct Attributes {
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    xattrs: Xattrs,
}

/// A call that failed, as a verb phrase, and how.
type Failed = (&'static str, Errno);

/// The verb phrase for owners.
pub(in crate::layer) const CHANGE_OWNER: &str = "change the owner of";

const SET_MODE: &str = "set the permissions of";
const SET_TIMES: &str = "set the times of";
const SET_XATTR: &str = "set an extended attribute of";

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// What the user namespace of attributes begins with: those that programs made for themselves.
const USER_XATTR: &[u8] = b"user.";

/// The number that means "do not change" to the kernel, and so nobody.
const NOBODY: u32 = u32::MAX;

/// The attribute that lends rights of the system to who runs a program. capabilities(7).
const CAPABILITY: &[u8] = b"security.capability";

impl Attributes {
    /// Fails with kind `corrupt` for an owner that cannot be.
    pub(in crate::layer) fn of(entry: &Entry) -> Result<Attributes> {
        if entry.uid == NOBODY || entry.gid == NOBODY {
            return Err(Error::corrupt(format!("`{}` belongs to {}:{}, and {NOBODY} is nobody's number", text::bytes(&entry.path), entry.uid, entry.gid)));
        }
        Ok(Attributes { mode: entry.mode, owner: (entry.uid, entry.gid), mtime: entry.mtime, xattrs: entry.xattrs.clone() })
    }
}

/// Where attributes go.
enum Place<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A name that is never followed.
    Name(BorrowedFd<'a>, &'a [u8]),
}

/// Sets attributes under one rule for owners.
#[derive(Debug)]
pub(in crate::layer) struct Setter {
    owner: Owner,
    privileges: Privileges,
    /// Whom new files belong to.
    caller: (u32, u32),
    umask: Mode,
}

impl Setter {
    pub(in crate::layer) fn new(owner: Owner, privileges: Privileges, caller: (u32, u32), umask: Mode) -> Self {
        Setter { owner, privileges, caller, umask }
    }

    /// With which mode to create a file, so that it mostly has the right one. One with attributes can be written to, because otherwise only root could set them.
    pub(in crate::layer) fn mode_to_create(&self, attributes: &Attributes) -> Mode {
        if attributes.xattrs.is_empty() { Mode::from_raw_mode(attributes.mode & 0o777) } else { Mode::RUSR | Mode::WUSR }
    }

    /// Sets everything on a new file that was created with `created` and is completely written.
    pub(in crate::layer) fn file(&self, file: &OwnedFd, attributes: &Attributes, created: Mode) -> Result<Vec<What>, Failed> {
        let mut left_out = self.change_owner(&Place::Open(file.as_fd()), attributes)?;
        self.set_xattrs(&Place::Open(file.as_fd()), attributes, &mut left_out)?;
        let mode = Mode::from_raw_mode(self.mode(attributes, &mut left_out));
        // An access control list may have changed it.
        if created.difference(self.umask) != mode || !attributes.xattrs.is_empty() {
            rustix::fs::fchmod(file, mode).map_err(|error| (SET_MODE, error))?;
        }
        rustix::fs::futimens(file, &times(attributes.mtime)).map_err(|error| (SET_TIMES, error))?;
        Ok(left_out)
    }

    /// Sets everything on a new link, pipe or device, which has mode 0600 and cannot be opened: a link leads elsewhere, a pipe blocks, a device acts.
    pub(in crate::layer) fn name(&self, directory: BorrowedFd<'_>, name: &[u8], kind: FileType, attributes: &Attributes) -> Result<Vec<What>, Failed> {
        let mut left_out = self.change_owner(&Place::Name(directory, name), attributes)?;
        self.set_xattrs(&Place::Name(directory, name), attributes, &mut left_out)?;
        if kind != FileType::Symlink {
            let mode = Mode::from_raw_mode(self.mode(attributes, &mut left_out));
            change_mode(directory, name, kind, mode).map_err(|error| (SET_MODE, error))?;
        }
        rustix::fs::utimensat(directory, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(|error| (SET_TIMES, error))?;
        Ok(left_out)
    }

    /// Sets everything on a directory, in which nothing changes any more.
    pub(in crate::layer) fn directory(&self, directory: &OwnedFd, attributes: &Attributes) -> Result<Vec<What>, Failed> {
        let mut left_out = self.change_owner(&Place::Open(directory.as_fd()), attributes)?;
        self.set_xattrs(&Place::Open(directory.as_fd()), attributes, &mut left_out)?;
        // On a directory the bits lend nothing to anybody.
        rustix::fs::fchmod(directory, Mode::from_raw_mode(attributes.mode)).map_err(|error| (SET_MODE, error))?;
        rustix::fs::futimens(directory, &times(attributes.mtime)).map_err(|error| (SET_TIMES, error))?;
        Ok(left_out)
    }

    /// Sets what a directory has that nobody described. It lacks nothing.
    pub(in crate::layer) fn implied_directory(&self, directory: &OwnedFd) -> Result<Vec<What>, Failed> {
        self.directory(directory, &Attributes { mode: 0o755, owner: (0, 0), mtime: 0, xattrs: Xattrs::new() }).map(|_| Vec::new())
    }

    /// Whom an entry will belong to.
    fn owner(&self, attributes: &Attributes) -> (u32, u32) {
        match self.owner {
            Owner::Described => attributes.owner,
            Owner::Fixed(uid, gid) => (uid, gid),
            Owner::Caller => self.caller,
        }
    }

    /// The mode of what is not a directory. A program runs with the rights of an owner only if it is the one that the layer means.
    fn mode(&self, attributes: &Attributes, left_out: &mut Vec<What>) -> u32 {
        let owner = self.owner(attributes);
        let mut mode = attributes.mode;
        let never = self.privileges == Privileges::Dropped;
        if owner.0 != attributes.owner.0 || never {
            mode &= !SETUID;
        }
        if owner.1 != attributes.owner.1 || never {
            mode &= !SETGID;
        }
        if mode != attributes.mode {
            left_out.push(What::Setuid);
        }
        mode
    }

    fn change_owner(&self, place: &Place<'_>, attributes: &Attributes) -> Result<Vec<What>, Failed> {
        let owner = self.owner(attributes);
        let left_out = if owner == attributes.owner { Vec::new() } else { vec![What::Owner] };
        if owner != self.caller {
            let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
            let changed = match place {
                Place::Open(file) => rustix::fs::fchown(file, uid, gid),
                Place::Name(directory, name) => rustix::fs::chownat(directory, *name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
            };
            changed.map_err(|error| (CHANGE_OWNER, error))?;
        }
        Ok(left_out)
    }

    fn set_xattrs(&self, place: &Place<'_>, attributes: &Attributes, left_out: &mut Vec<What>) -> Result<(), Failed> {
        for (name, value) in &attributes.xattrs {
            let set = match place {
                _ if !self.takes(name) => Err(Errno::PERM),
                Place::Open(file) => rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()),
                Place::Name(directory, file) => {
                    // There is no call that takes a directory handle. This way leads through the handle all the same.
                    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), file].concat();
                    rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty())
                }
            };
            match set {
                Ok(()) => {}
                // The file system knows no attributes, or not on such a file, or the caller may not set this one.
                Err(Errno::OPNOTSUPP | Errno::PERM) => left_out.push(What::Attribute(name.as_slice().into())),
                Err(error) => return Err((SET_XATTR, error)),
            }
        }
        Ok(())
    }

    /// Whether an attribute is taken over at all.
    fn takes(&self, name: &[u8]) -> bool {
        let lends = name == CAPABILITY && self.privileges == Privileges::Dropped;
        !lends && !changeset::is_of_machine(name) && (self.owner != Owner::Caller || name.starts_with(USER_XATTR))
    }
}

/// Sets the mode of what cannot be opened. The handle tells what the name means before anything is changed.
fn change_mode(directory: BorrowedFd<'_>, name: &[u8], kind: FileType, mode: Mode) -> Result<(), Errno> {
    let handle = rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&handle)?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(Errno::LOOP);
    }
    if Mode::from_raw_mode(stat.st_mode) == mode {
        return Ok(());
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), mode)
}

/// Both times of an entry: no time of the unpacking stays.
fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
