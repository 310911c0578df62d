//! What is mounted for one step alone, made ready where the runtime finds it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::layers::{self, Failed, Upper};
use super::stub::Kind;
use super::{copy, relay, within};
use crate::error::{Error, IoContext as _, Result};
use crate::fsio::replica;
use crate::runtime::order::{Content, Devices, Mount, Order, mounted};
use crate::runtime::place::OWN;
use crate::runtime::{Access, userns, workspace};
use crate::spec::text;

/// A mount that the runtime can be told of.
pub(super) struct Bound {
    /// Where it goes, without anything that a link would be looked up for first.
    pub(super) target: String,
    /// What has to be there before.
    pub(super) kind: Kind,
    /// What the runtime is told.
    pub(super) mount: Value,
}

/// Makes all mounts ready, in their order.
pub(super) fn all(order: &Order, secrets: Vec<Vec<u8>>) -> Result<Vec<Bound>> {
    let mut secrets = secrets.into_iter();
    let mut bound = Vec::new();
    for (index, mount) in order.mounts.iter().enumerate() {
        let target = within::clean(&mount.target);
        if target == "/" {
            return Err(Error::usage("nothing can be mounted over the whole root filesystem"));
        }
        let ready = one(order, index, mount, &target, &mut secrets).map_err(|error| error.context(format!("cannot mount `{}`", text::shown(&target))))?;
        bound.push(ready);
    }
    Ok(bound)
}

fn one(order: &Order, index: usize, mount: &Mount, target: &str, secrets: &mut impl Iterator<Item = Vec<u8>>) -> Result<Bound> {
    match &mount.content {
        Content::Memory { size } => Ok(memory(target, *size)),
        Content::Place => {
            let source = open(&mounted(index, 0))?;
            bind(order, index, target, &source, "rw")
        }
        Content::Tree { lowers, path, access } => {
            let tree = tree(order, index, *lowers, *access)?;
            let source = within::open(tree.as_fd(), path, OFlags::PATH).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR => Error::not_found(format!("there is no `{}` in what is mounted", text::shown(path))).subject(text::shown(path)),
                error => Error::io(format!("cannot open `{}`", text::shown(path)), error),
            })?;
            bind(order, index, target, &source, if *access == Access::Read { "ro" } else { "rw" })
        }
        Content::Secret { mode, owner, .. } => {
            let path = format!("{OWN}/secret{index}");
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).at("create", Path::new(&path))?;
            file.write_all(&secrets.next().unwrap_or_default()).at("write", Path::new(&path))?;
            give(&path, *owner, *mode)?;
            bind(order, index, target, &open(&path)?, "ro")
        }
        Content::Socket { mode, owner } => {
            let path = format!("{OWN}/socket{index}");
            relay::start(Path::new(&path), Path::new(&mounted(index, 0)))?;
            give(&path, *owner, *mode)?;
            bind(order, index, target, &open(&path)?, "rw")
        }
    }
}

/// Gives something of the keeper's own, which nobody else sees yet, its owner and its permissions.
fn give(path: &str, (user, group): (u32, u32), mode: u32) -> Result<()> {
    let owned = rustix::fs::chown(path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    owned.at("change the owner of", Path::new(path)).map_err(|error| if owned == Err(Errno::INVAL) { error.hint(userns::NUMBERS) } else { error })?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).at("set the permissions of", Path::new(path))
}

fn memory(target: &str, size: Option<u64>) -> Bound {
    let size = size.map(|size| format!("size={size}"));
    let options: Vec<String> = ["nosuid", "nodev", "mode=1777"].map(str::to_owned).into_iter().chain(size).collect();
    let mount = json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options });
    Bound { target: target.to_owned(), kind: Kind::Directory, mount }
}

/// Mounts what is open where its path says nothing of where it came from, and can be said in UTF-8.
fn bind(order: &Order, index: usize, target: &str, source: &OwnedFd, access: &str) -> Result<Bound> {
    let place = format!("{OWN}/mount{index}");
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(source).at("examine", Path::new(target))?.st_mode) == FileType::Directory;
    let made = if is_directory { std::fs::create_dir(&place) } else { File::create(&place).map(drop) };
    made.at("create", Path::new(&place))?;
    let handle = format!("/proc/self/fd/{}", source.as_raw_fd());
    rustix::mount::mount_bind_recursive(handle, &place).at("mount", Path::new(&place))?;
    let source = format!("{}/{place}", order.place);
    let mut options = vec!["rbind", access];
    if order.devices() == Devices::Dead {
        options.push("nodev");
    }
    let mount = json!({ "destination": target, "type": "bind", "source": source, "options": options });
    Ok(Bound { target: target.to_owned(), kind: if is_directory { Kind::Directory } else { Kind::File }, mount })
}

/// What lower directories make together. What is written there goes to a directory that nobody looks at.
fn tree(order: &Order, index: usize, lowers: usize, access: Access) -> Result<OwnedFd> {
    let lowers: Vec<String> = (0..lowers).map(|lower| mounted(index, lower)).collect();
    if let ([only], Access::Read) = (lowers.as_slice(), access) {
        return within::open_directory(only);
    }
    let [place, upper, work] = ["", "-upper", "-work"].map(|part| format!("tree{index}{part}"));
    for name in [&place, &upper, &work] {
        std::fs::create_dir(name).at("create", Path::new(name))?;
    }
    if let Some(top) = lowers.last() {
        replica::directory(within::open_directory(top)?, within::open_directory(&upper)?).at("set the attributes of", Path::new(&upper))?;
    }
    let upper = (access == Access::Discard).then_some(Upper { upper: &upper, work: &work });
    let laid = match order.rootfs {
        workspace::Rootfs::Overlay => layers::lay(&lowers, upper, &place, order),
        workspace::Rootfs::Copy => Err(Failed::Unusable(String::new())),
    };
    match laid {
        Ok(()) => {}
        Err(Failed::Unusable(_)) => copy::merge(&lowers, &place, order.attributes)?,
        Err(Failed::Error(error)) => return Err(error),
    }
    within::open_directory(&place)
}

/// Opens something of this machine to mount it.
fn open(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at("open", Path::new(path))
}
