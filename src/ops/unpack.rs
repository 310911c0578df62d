//! Unpacking the root filesystem of an image.
//!
//! The target appears when everything in it is complete and every layer is proved, or it does not appear at all.

use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::exec::Run;
use crate::fsio::Dir;
use crate::graph::image::{Choice, Image};
use crate::layer::remarks::Remarks;
use crate::layer::stack::{Entries, Stack};
use crate::layer::unpack::{self, Complete, LeftOut, Owner, Privileges, Target, What};
use crate::spec::{Descriptor, Digest, text};
use crate::store::{Location, Options, Source, transport};

/// What to unpack, and how.
#[derive(Clone, Debug)]
pub struct UnpackRequest {
    /// The image.
    pub image: Location,
    /// Which of its platforms.
    pub choice: Choice,
    /// The directory to make. It must be absent or empty.
    pub target: PathBuf,
    /// Whom everything belongs to.
    pub owner: Owner,
    /// What its programs may do.
    pub privileges: Privileges,
    /// The most bytes of content that the layers may have.
    pub max_size: Option<u64>,
    /// Whether something may be left out.
    pub completeness: Completeness,
    /// When the operation is over.
    pub durability: Durability,
    /// How the store is opened.
    pub options: Options,
}

/// Whether something may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// What cannot be done is left out, with a warning.
    AsFarAsPossible,
    /// What cannot be done is an error.
    Complete,
}

/// When an operation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When everything is written; the system brings it to the disk later, as with `cp` and `tar`.
    Written,
    /// When everything is on the disk.
    OnDisk,
}

/// What was unpacked.
#[derive(Clone, Debug, Serialize)]
pub struct UnpackReport {
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// What the image runs on.
    pub platform: String,
    /// The directory.
    pub target: String,
    /// How many layers were applied.
    pub layers: usize,
    /// Names of regular files; a file with two names counts twice.
    pub files: u64,
    /// Directories, the target among them.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices and named pipes.
    pub specials: u64,
    /// Bytes of content that were written.
    pub bytes: u64,
    /// What the target does not have of what the layers say.
    pub left_out: Vec<LeftOut>,
}

/// Where to unpack an image to, and how: what [`UnpackRequest`] says of it.
pub(super) struct Into<'a> {
    pub(super) target: &'a Path,
    pub(super) owner: Owner,
    pub(super) privileges: Privileges,
    pub(super) max_size: Option<u64>,
    pub(super) completeness: Completeness,
    pub(super) durability: Durability,
}

/// Unpacks.
///
/// Kinds: `conflict` where the target is there and not empty; `not_found` for the image, its platform, or the directory that is to hold the target; `corrupt` for
/// damage and for layers that make no sense; `unsupported` for what is no container image, beyond limits, and where something would have to be left out and must not be.
pub fn execute(run: &Run, request: &UnpackRequest) -> Result<UnpackReport> {
    let &UnpackRequest { ref target, owner, privileges, max_size, completeness, durability, .. } = request;
    check_target(target)?;
    let source = transport::source(&request.image, &request.options)?;
    let root = source.resolve(request.image.selector())?;
    let found = Image::find(&*source, &root, &request.choice)?;
    image(run, &*source, &found, &Into { target, owner, privileges, max_size, completeness, durability })
}

/// Whether a directory can be unpacked to, as far as that is known beforehand. Kinds as [`execute`].
pub(super) fn check_target(target: &Path) -> Result<()> {
    place(target).map(drop)
}

/// Unpacks an image that is found already. Kinds as [`execute`].
pub(super) fn image(run: &Run, source: &dyn Source, image: &Image, into: &Into<'_>) -> Result<UnpackReport> {
    let (parent, name) = place(into.target)?;
    let layers = &image.manifest.value.layers;
    let stack = Stack::new(run, source, layers.iter().zip(&image.diff_ids))?;
    let options = unpack::Options { owner: into.owner, privileges: into.privileges, max_size: into.max_size, cancel: run.cancel.clone() };
    let mut target = Target::create(parent.clone(), &name, options)?;
    let task = run.events.start("unpack", Some(stack.size()));
    stack.read(&task, |position, entries| apply(run, &layers[position], entries, &mut target))?;
    let complete = target.complete()?;
    tell(run, &complete, into.completeness)?;
    if into.durability == Durability::OnDisk {
        complete.sync()?;
    }
    run.cancel.check()?;
    let done = complete.appear(&parent, &name)?;
    Ok(UnpackReport {
        digest: image.manifest.descriptor.digest.clone(),
        platform: image.platform.to_string(),
        target: text::path(into.target).into_owned(),
        layers: layers.len(),
        files: done.files,
        directories: done.directories,
        symlinks: done.symlinks,
        specials: done.specials,
        bytes: done.bytes,
        left_out: done.left_out,
    })
}

/// The directory that is to hold the target, and the target's name there.
fn place(target: &Path) -> Result<(Arc<Dir>, PathBuf)> {
    let shown = text::path(target);
    let occupied = |what: &str| Error::conflict(format!("{shown} {what}")).subject(&shown).hint("give a directory that is not there yet, or an empty one");
    let there = match std::fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_symlink() => return Err(occupied("is a symbolic link")),
        Ok(metadata) if !metadata.is_dir() => return Err(occupied("is there already and is no directory")),
        Ok(_) if !Dir::open(target)?.entries()?.is_empty() => return Err(occupied("is not empty")),
        Ok(metadata) => Some(metadata.dev()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).at("examine", target),
    };
    // `.` and `x/..` have a name only beside what they stand in.
    let path = if target.file_name().is_some() { target.to_owned() } else { std::fs::canonicalize(target).at("examine", target)? };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(occupied("is the root of this machine")) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = Dir::open(parent).map_err(|error| match error.kind() {
        ErrorKind::NotFound => error.hint(format!("make {} first", text::path(parent))),
        _ => error,
    })?;
    let beside = rustix::fs::fstat(&parent).at("examine", parent.path())?.st_dev;
    if there.is_some_and(|there| there != beside) {
        return Err(occupied("is a mount point, which cannot be replaced").hint("give a directory below it"));
    }
    Ok((Arc::new(parent), PathBuf::from(name)))
}

/// Applies one layer.
fn apply(run: &Run, layer: &Descriptor, entries: &mut Entries<'_>, target: &mut Target) -> Result<ControlFlow<()>> {
    let mut remarks = Remarks::default();
    target.begin_layer();
    while let Some(entry) = entries.next_entry()? {
        remarks.look(&entry);
        if target.apply(&entry, entries)? {
            remarks.repeated(&entry);
        }
    }
    remarks.hear(entries);
    remarks.tell(run, layer);
    Ok(ControlFlow::Continue(()))
}

/// Warns of what was left out, or refuses it.
fn tell(run: &Run, complete: &Complete, completeness: Completeness) -> Result<()> {
    let lines = complete.unpacked().left_out.iter().map(line);
    match (completeness, lines.clone().next()) {
        (Completeness::Complete, Some(_)) => Err(Error::unsupported(lines.collect::<Vec<_>>().join("; ")).hint("without --strict it is left out")),
        _ => {
            lines.for_each(|line| run.events.warn(line));
            Ok(())
        }
    }
}

/// One kind of what was left out, as one line.
fn line(left_out: &LeftOut) -> String {
    const NAMED: usize = 3;
    let [one, many] = match left_out.what {
        What::OWNER => ["entry has another owner than the image says", "entries have another owner than the image says"],
        What::SETUID => ["entry is without its setuid or setgid bit", "entries are without their setuid or setgid bits"],
        What::DEVICE => ["device is left out", "devices are left out"],
        _ => ["extended attribute is left out", "extended attributes are left out"],
    };
    let what = if left_out.count == 1 { one } else { many };
    let named = left_out.entries.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = if left_out.count > NAMED as u64 { ", …" } else { "" };
    format!("{} {what}: {named}{more}", left_out.count)
}
