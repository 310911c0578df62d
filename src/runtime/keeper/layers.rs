//! Directories laid over each other by the kernel.
//!
//! The options make an upper directory that says everything itself: renamed directories are copied (`redirect_dir`), and a file of which only the metadata changed
//! is there with its content (`metacopy`). Nothing is brought to the disk when a program asks for it (`volatile`), because what a step leaves is made durable as a
//! layer or not needed.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::error::{Error, IoContext as _, Result};
use crate::fsio::Hidden;
use crate::fsio::overlay::Attributes;
use crate::runtime::order::{Devices, Order};

/// The most directories that the kernel lays over each other (`OVL_MAX_STACK`).
const MOST: usize = 500;

/// The longest text of options that the kernel takes: a page with its end.
const LONGEST: usize = 4095;

/// Why it is refused mostly.
const ON_OVERLAYFS: &str =
    "steps run in a directory that is on overlayfs itself, as the files of a container are; a cache directory on another file system is faster";

/// Why directories are not laid over each other.
pub(super) enum Failed {
    /// This cannot be done here at all: they can be copied.
    Unusable(String),
    /// Copying would not help.
    Error(Error),
}

/// Where what is changed goes.
#[derive(Clone, Copy)]
pub(super) struct Upper<'a> {
    pub(super) upper: &'a str,
    /// A directory beside it, for the kernel.
    pub(super) work: &'a str,
}

/// Mounts what `lowers` (the lowest first) make together at the directory `place`; without `upper` only to be read. All are names in the working directory, without
/// any character that means something.
pub(super) fn lay(lowers: &[String], upper: Option<Upper<'_>>, place: &str, order: &Order) -> Result<(), Failed> {
    let attributes = order.attributes;
    let flags = if order.devices() == Devices::Dead { MountFlags::NODEV } else { MountFlags::empty() };
    let own = if upper.is_some() { "redirect_dir=nofollow,metacopy=off,index=off,xino=off" } else { "redirect_dir=nofollow,xino=off" };
    let own = if attributes == Attributes::User { format!("userxattr,{own}") } else { own.to_owned() };
    let lower: Vec<&str> = lowers.iter().rev().map(String::as_str).collect();
    let mut options = format!("{own},lowerdir={}", lower.join(":"));
    if let Some(asked) = upper {
        probe(asked, attributes)?;
        let Upper { upper, work } = asked;
        options = format!("{options},upperdir={upper},workdir={work}");
    }
    for lower in lowers {
        if !Hidden::of(Path::new(lower)).map_err(Failed::Error)?.is_empty() {
            return Err(unusable(upper, "the file system keeps no whiteouts, which overlayfs needs".into()));
        }
    }
    if lowers.len() > MOST || options.len() + ",volatile".len() > LONGEST {
        return Err(Failed::Unusable(format!("the kernel lays no {} directories over each other", lowers.len())));
    }
    let volatile = upper.map(|_| format!("{options},volatile"));
    // Before Linux 5.10 there is no way not to wait for the disk.
    let mut outcome = Err(Errno::INVAL);
    for options in volatile.into_iter().chain([options]) {
        if outcome == Err(Errno::INVAL) {
            let options = CString::new(options).map_err(|_| Failed::Unusable("a name contains a zero byte".into()))?;
            outcome = rustix::mount::mount("overlay", place, "overlay", flags, Some(options.as_c_str()));
        }
    }
    match outcome {
        Ok(()) => check(upper, place),
        Err(error @ (Errno::INVAL | Errno::NODEV | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::LOOP)) => {
            Err(unusable(upper, format!("the kernel refused overlayfs: {}", std::io::Error::from(error))))
        }
        Err(error) => Err(Failed::Error(Error::io("cannot mount the root filesystem", error))),
    }
}

/// What `why` says, unless there is a reason that explains it.
fn unusable(upper: Option<Upper<'_>>, why: String) -> Failed {
    Failed::Unusable(if upper.is_some_and(|Upper { upper, .. }| is_overlayfs(upper)) { ON_OVERLAYFS.to_owned() } else { why })
}

/// Whether a directory is on overlayfs, which takes no upper directory there.
fn is_overlayfs(directory: &str) -> bool {
    /// `OVERLAYFS_SUPER_MAGIC`.
    const MAGIC: i128 = 0x794c_7630;
    rustix::fs::statfs(directory).is_ok_and(|found| i128::from(found.f_type) == MAGIC)
}

/// The kernel mounts what it cannot write to all the same.
fn check(upper: Option<Upper<'_>>, place: &str) -> Result<(), Failed> {
    let flags = rustix::fs::statvfs(place).at("examine", Path::new(place)).map_err(Failed::Error)?.f_flag;
    if upper.is_some() && flags.contains(StatVfsMountFlags::RDONLY) {
        super::unmount(place);
        return Err(Failed::Unusable("overlayfs cannot write to this file system".into()));
    }
    Ok(())
}

/// Whether the file system of `upper` keeps what overlayfs has to note there.
fn probe(place: Upper<'_>, attributes: Attributes) -> Result<(), Failed> {
    let failed = |error| Failed::Error(Error::io("cannot prepare the root filesystem", error));
    let directory = rustix::fs::open(place.upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    match rustix::fs::fsetxattr(&directory, attributes.opaque(), b"n", XattrFlags::empty()) {
        Ok(()) => rustix::fs::fremovexattr(&directory, attributes.opaque()).map_err(failed),
        Err(Errno::OPNOTSUPP | Errno::PERM) => Err(unusable(Some(place), "the file system has no extended attributes, which overlayfs needs".into())),
        Err(error) => Err(failed(error)),
    }
}
