//! The process that keeps one step: larder itself, started once more, as the first process of a process namespace and in a mount namespace that it alone sees.
//!
//! It puts the root filesystem together, lets the runtime run the command in it, and tells what came of that. It dies with the thread that started it, and when it
//! dies, however, the kernel ends every process of the namespace and the mounts go with the last of them.

mod bind;
mod container;
mod copy;
mod executable;
mod layers;
mod relay;
mod rootfs;
mod stop;
mod stub;
mod watch;
mod within;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::Signal;

use super::order::{Cgroups, Content, Order, Report, Told};
use super::place::{OWN, ROOT, UPPER};
use super::userns;
use crate::error::{Error, IoContext as _, Result};
use crate::spec::accounts::{Accounts, User};
use bind::Bound;
use watch::{End, Reports};

/// The name that larder is started by to become a keeper.
pub const NAME: &str = "larder-keeper";

/// The most of `/etc/passwd` and of `/etc/group` that is read, in bytes.
const MAX_ACCOUNTS: u64 = 16 << 20;

/// Keeps the step that `orders` describe, and tells `reports` about it.
pub fn main(orders: BorrowedFd<'_>, reports: BorrowedFd<'_>) -> ExitCode {
    let reports = Reports::to(reports);
    // Should larder be gone already, its end of the pipe is closed, which is looked for from now on.
    let report = rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Error::io("cannot ask to die with larder", error))
        .and_then(|()| keep(orders, &reports))
        .unwrap_or_else(|error| Report::Failed(Told::from(&error)));
    match reports.report(&report) {
        Ok(()) => ExitCode::SUCCESS,
        // There is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn keep(orders: BorrowedFd<'_>, reports: &Reports<'_>) -> Result<Report> {
    let (order, secrets) = read(orders)?;
    watch::check(orders)?;
    prepare(&order)?;
    let bound = bind::all(&order, secrets)?;
    let rootfs = rootfs::assemble(&order, &bound)?;
    let (config, trouble) = configure(&order, &bound)?;
    let path = Path::new(OWN).join("bundle/config.json");
    std::fs::write(&path, config).at("write", &path)?;
    let killed = watch::killed_for_memory();
    let end = watch::run(&order, orders, reports)?;
    let copied = rootfs.why_copied();
    rootfs.finish(&order, &end)?;
    match end {
        End::Exit(0) => Ok(Report::Ended { status: 0, hint: None, copied }),
        End::Refused(why) => Err(trouble.unwrap_or_else(|| watch::refused(&order, &why))),
        End::Exit(status) | End::Unclear(status) => match trouble {
            // What cannot be executed has not been, unless something that is mounted made up for it.
            Some(trouble) if order.mounts.is_empty() || matches!(end, End::Unclear(_)) => Err(trouble),
            _ => Ok(Report::Ended { status, hint: hint(status, killed), copied }),
        },
    }
}

/// Reads the order and the secrets that come with it.
fn read(orders: BorrowedFd<'_>) -> Result<(Order, Vec<Vec<u8>>)> {
    let failed = |error: std::io::Error| Error::io("cannot read the order", error);
    let mut pipe = File::from(rustix::io::fcntl_dupfd_cloexec(orders, 3).map_err(|error| failed(error.into()))?);
    let mut bytes = |length: usize| {
        let mut bytes = vec![0; length];
        pipe.read_exact(&mut bytes).map(|()| bytes).map_err(failed)
    };
    let length = bytes(4)?.try_into().map_or(0, u32::from_le_bytes);
    let order: Order = serde_json::from_slice(&bytes(length as usize)?).map_err(|error| Error::io("cannot understand the order", error))?;
    let mut secrets = Vec::new();
    for mount in &order.mounts {
        if let Content::Secret { length, .. } = mount.content {
            secrets.push(bytes(length)?);
        }
    }
    Ok((order, secrets))
}

/// Makes the mounts of this process its own, and gives it a place in memory and the view of its processes that the runtime needs.
fn prepare(order: &Order) -> Result<()> {
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    // What the machine unmounts goes here as well; nothing goes the other way.
    let private = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(|error| Error::io("cannot keep mounts from the machine", error))?;
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", safe, None).map_err(|error| {
        Error::io("cannot mount /proc", error).hint("inside a container RUN takes one that hides nothing of /proc, such as a privileged one")
    })?;
    rustix::mount::mount("tmpfs", OWN, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0700"))
        .at("mount a file system in memory at", Path::new(OWN))?;
    if order.cgroups == Cgroups::None && !order.runtime.takes_both_versions_of_cgroups() {
        // It looks at them all the same. Where there are none to be seen, it goes on.
        let _ = rustix::mount::mount("tmpfs", "/sys/fs/cgroup", "tmpfs", safe, None);
    }
    for name in ["bundle", "state"] {
        let path = Path::new(OWN).join(name);
        std::fs::create_dir(&path).at("create", &path)?;
    }
    for (name, content) in [("hosts", &order.hosts), ("resolv.conf", &order.resolv_conf)] {
        let path = Path::new(OWN).join(name);
        std::fs::write(&path, content).at("write", &path)?;
    }
    Ok(())
}

/// What the runtime is to be told, and why the command cannot be executed, where that can be seen.
fn configure(order: &Order, bound: &[Bound]) -> Result<(Vec<u8>, Option<Error>)> {
    let root = within::open_directory(ROOT)?;
    let user = user(root.as_fd(), order)?;
    if !bound.iter().any(|bound| Path::new(&within::clean(&order.directory)).starts_with(&bound.target)) {
        stub::ensure(root.as_fd(), &order.directory, stub::Kind::Directory, stub::Times::Change)?;
    }
    let trouble = executable::trouble(root.as_fd(), order);
    let config = container::config(order, &user, bound);
    Ok((serde_json::to_vec(&config).map_err(|error| Error::io("cannot describe the container", error))?, trouble))
}

/// Who runs the command.
fn user(root: BorrowedFd<'_>, order: &Order) -> Result<User> {
    let file = |path| within::read(root, path, MAX_ACCOUNTS).map(Option::unwrap_or_default);
    let user = Accounts::parse(&file("/etc/passwd")?, &file("/etc/group")?).user(&order.user)?;
    if userns::has_user(user.uid) && userns::has_group(user.gid) {
        return Ok(user);
    }
    Err(Error::unsupported(format!("the user namespace has no user {} with the group {}", user.uid, user.gid)).hint(userns::NUMBERS))
}

/// What probably made a command fail that is no fault of its own.
fn hint(status: u8, killed: Option<u64>) -> Option<String> {
    /// The shell says 128 and the number of the signal.
    const KILLED: u8 = 128 + 9;
    /// A disk with less than this is full, in bytes.
    const FULL: u64 = 1 << 20;
    if status == KILLED && watch::killed_for_memory() > killed {
        return Some("memory ran out, and the kernel killed a process".into());
    }
    let free = rustix::fs::statvfs(UPPER).ok()?;
    if free.f_bavail.saturating_mul(free.f_frsize) < FULL || (free.f_files > 0 && free.f_favail == 0) {
        return Some("the file system that steps run on is full".into());
    }
    (!userns::has_user(1)).then(|| format!("in this user namespace there is no user but root, which many programs need; {}", userns::NUMBERS))
}

/// Takes a mount away, so that what it shows is complete below. What is still in use goes with the name space.
fn unmount(path: &str) {
    let _ = rustix::mount::unmount(path, UnmountFlags::NOFOLLOW);
}
