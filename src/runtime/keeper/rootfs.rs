//! The root filesystem of a step.
//!
//! The runtime has to find a place for everything that it mounts. Those that are missing are made in a lower directory above the others, as Docker does, so that
//! neither they nor the times of the directories above them ever are a change that the step made.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::mount::MountFlags;

use super::bind::Bound;
use super::copy::{self, Seen};
use super::layers::{self, Failed, Upper};
use super::stub::{self, Kind, Times};
use super::watch::End;
use super::{unmount, within};
use crate::error::{IoContext as _, Result};
use crate::fsio::replica;
use crate::runtime::order::{Devices, Order, lower};
use crate::runtime::place::{INIT, INIT_WORK, NOTHING, ROOT, UPPER, WORK};
use crate::runtime::workspace;

/// A root filesystem that is complete at [`ROOT`].
pub(super) enum Rootfs {
    /// Changes go to [`UPPER`] by themselves.
    Laid,
    /// Changes are found by what was seen before.
    Copied { why: String, seen: Seen },
}

/// What the runtime mounts into every container.
const MOUNTED: [(&str, Kind); 5] =
    [("/proc", Kind::Directory), ("/sys", Kind::Directory), ("/dev", Kind::Directory), ("/etc/hosts", Kind::File), ("/etc/resolv.conf", Kind::File)];

/// File systems that are made when the container is: the runtime makes what it needs there.
const MADE_LATER: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Puts the root filesystem together.
pub(super) fn assemble(order: &Order, bound: &[Bound]) -> Result<Rootfs> {
    let lowers = if order.lowers == 0 { vec![NOTHING.to_owned()] } else { (0..order.lowers).map(lower).collect() };
    let why = match order.rootfs {
        workspace::Rootfs::Copy => "it was asked for".to_owned(),
        workspace::Rootfs::Overlay => match lay(order, bound, &lowers) {
            Ok(()) => return Ok(Rootfs::Laid),
            Err(Failed::Error(error)) => return Err(error),
            Err(Failed::Unusable(why)) => why,
        },
    };
    copy::merge(&lowers, ROOT, order.attributes)?;
    make_stubs(bound)?;
    take_attributes(ROOT, UPPER)?;
    let seen = copy::look(ROOT)?;
    if order.devices() == Devices::Dead {
        mount_without_devices()?;
    }
    Ok(Rootfs::Copied { why, seen })
}

fn lay(order: &Order, bound: &[Bound], lowers: &[String]) -> Result<(), Failed> {
    let top = lowers.last().map_or(NOTHING, String::as_str);
    take_attributes(top, INIT).map_err(Failed::Error)?;
    layers::lay(lowers, Some(Upper { upper: INIT, work: INIT_WORK }), ROOT, order)?;
    let made = make_stubs(bound);
    unmount(ROOT);
    made.map_err(Failed::Error)?;
    take_attributes(INIT, UPPER).map_err(Failed::Error)?;
    let lowers = [lowers, &[INIT.to_owned()]].concat();
    layers::lay(&lowers, Some(Upper { upper: UPPER, work: WORK }), ROOT, order)
}

/// Mounts a root filesystem that is there once more, upon itself.
fn mount_without_devices() -> Result<()> {
    let place = Path::new(ROOT);
    rustix::mount::mount_bind(place, place).at("mount", place)?;
    rustix::mount::mount_remount(place, MountFlags::BIND | MountFlags::NODEV, c"").at("mount", place)
}

/// The root of the uppermost directory is the root of all.
fn take_attributes(from: &str, to: &str) -> Result<()> {
    replica::directory(within::open_directory(from)?, within::open_directory(to)?).at("set the attributes of", Path::new(to))
}

fn make_stubs(bound: &[Bound]) -> Result<()> {
    let root = within::open_directory(ROOT)?;
    let bound = bound.iter().map(|bound| (bound.target.as_str(), bound.kind));
    for (path, kind) in MOUNTED.into_iter().chain(bound) {
        let is_later = MADE_LATER.iter().any(|place| path != *place && Path::new(path).starts_with(place));
        if !is_later {
            stub::ensure(root.as_fd(), path, kind, Times::Keep)?;
        }
    }
    Ok(())
}

impl Rootfs {
    /// Why it was copied, where it was not asked for.
    pub(super) fn why_copied(&self) -> Option<String> {
        match self {
            Rootfs::Laid => None,
            Rootfs::Copied { why, .. } => Some(why.clone()),
        }
    }

    /// Takes it apart. What a command that succeeded changed is completely in [`UPPER`] then; nobody wants to know what another one did.
    pub(super) fn finish(self, order: &Order, end: &End) -> Result<()> {
        match (self, end) {
            (Rootfs::Laid, _) => unmount(ROOT),
            (Rootfs::Copied { seen, .. }, End::Exit(0)) => {
                // Nothing gets a second name across mounts.
                unmount(ROOT);
                copy::changes(ROOT, &seen, UPPER, order.attributes)?;
            }
            (Rootfs::Copied { .. }, _) => {}
        }
        Ok(())
    }
}
