//! Files of an image, without unpacking it.
//!
//! Layers are read from the top until they tell what the paths are, each of them proved, before a byte of content is shown. Small files that might be meant are kept
//! while that happens; the layer of another one is read, and proved, once more while its content passes by, so memory does not grow with files or layers.

mod missing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::graph::find;
use crate::graph::image::{Choice, Image};
use crate::layer::Entry;
use crate::layer::apply::Follow;
use crate::layer::inventory::{Inode, InodeKind, Inventory, Origin};
use crate::layer::stack::{Entries, Stack};
use crate::layer::upper::{Room, Upper};
use crate::spec::{Descriptor, DiffId, Digest, Summing, base64, text};
use crate::store::{Location, Options, Source, transport};

/// Bytes of content that are kept while layers are read. Nearly all files that people look at are far smaller.
const KEPT: u64 = 32 << 20;

/// How much content is passed on at once.
const BUFFER: usize = 256 << 10;

/// Which files of which image.
#[derive(Clone, Debug)]
pub struct CatRequest {
    /// The image.
    pub image: Location,
    /// Which of its platforms.
    pub choice: Choice,
    /// The files, as paths from the root of the image. Of any bytes.
    pub paths: Vec<Vec<u8>>,
    /// How the store is opened.
    pub options: Options,
}

/// Files that were found, each of them a regular file.
pub struct Files {
    source: Box<dyn Source>,
    image: Image,
    files: Vec<Found>,
}

struct Found {
    asked: Vec<u8>,
    path: Vec<u8>,
    inode: Arc<Inode<Kept>>,
}

/// The content of a file, where it was kept.
type Kept = Option<Box<[u8]>>;

/// The files as data.
#[derive(Clone, Debug, Serialize)]
pub struct CatReport {
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// What the image runs on.
    pub platform: String,
    /// The files, in the order in which they were asked for.
    pub files: Vec<FileReport>,
}

/// A file with its content.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The path that was asked for.
    pub asked: String,
    /// The path of the file itself, behind all links.
    pub path: String,
    /// Digest of the layer that it is in.
    pub layer: Digest,
    /// Permission bits, octal.
    pub mode: String,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
    /// The content in base64.
    pub content: String,
}

/// Finds the files. All of them must be there.
///
/// Kinds: `not_found` for the image, its platform or a path; `usage` for a path that is a directory, a device or a pipe; `corrupt` for damage and for layers that
/// make no sense; `unsupported` for what is no container image, and beyond limits.
pub fn find(run: &Run, request: &CatRequest) -> Result<Files> {
    let source = transport::source(&request.image, &request.options)?;
    let root = find::resolve(&*source, request.image.selector())?;
    let image = Image::find(&*source, &root, &request.choice)?;
    let inventory = read(run, &*source, &image, &request.paths)?;
    let found = |asked: &Vec<u8>| {
        let Some(id) = inventory.find(asked, Follow::Yes)? else { return Err(missing::explain(&inventory, asked)) };
        let inode = inventory.inode(id);
        match inode.kind {
            // To the kernel a slash at the end means a directory.
            InodeKind::File { .. } if !asked.ends_with(b"/") => Ok(Found { asked: asked.clone(), path: inventory.rootfs().path(id), inode: inode.clone() }),
            _ => Err(missing::refuse(&inventory, asked, id)),
        }
    };
    let files = request.paths.iter().map(found).collect::<Result<_>>()?;
    Ok(Files { source, image, files })
}

/// Reads layers until they tell what the paths are: from the top, and where that is not enough also from the bottom. Of files whose name is that of a path that is
/// asked for, some content is kept.
fn read(run: &Run, source: &dyn Source, image: &Image, paths: &[Vec<u8>]) -> Result<Inventory<Kept>> {
    let layers = &image.manifest.value.layers;
    let all: Vec<(&Descriptor, &DiffId)> = layers.iter().zip(&image.diff_ids).collect();
    let names: BTreeSet<&[u8]> = paths.iter().map(|path| name_of(path)).collect();
    let mut left = KEPT;
    let mut keep = |entry: &Entry, content: &mut Entries<'_>| {
        if entry.size() > left || !names.contains(name_of(&entry.path)) {
            return Ok(None);
        }
        left -= entry.size();
        let mut kept = Vec::new();
        content.read_to_end(&mut kept).map_err(|error| cannot_read(&entry.path, error))?;
        Ok(Some(kept.into()))
    };

    let mut upper = Upper::default();
    let mut decided = None;
    let from_top = Stack::new(run, source, all.iter().copied().rev())?;
    let task = run.events.start("read layers", Some(from_top.size()));
    from_top.read(&task, |count, entries| {
        if upper.read(layers.len() - 1 - count, entries, &mut keep)? == Room::TooLittle {
            return Ok(ControlFlow::Break(()));
        }
        // Each try takes twice the layers of the last one, so that all together take as long as two.
        if upper.count().is_power_of_two() {
            decided = upper.alone().filter(|applied| paths.iter().all(|path| is_file(&applied.inventory, path)));
        }
        Ok(if decided.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let applied = match decided {
        Some(applied) => applied,
        None => {
            let mut lower = Inventory::default();
            Stack::new(run, source, all[..layers.len() - upper.count()].iter().copied())?.read(&task, |position, entries| {
                lower.apply(position, entries, &mut keep)?.tell(run, &layers[position]);
                Ok(ControlFlow::Continue(()))
            })?;
            upper.on(lower)?
        }
    };
    applied.remarks.iter().for_each(|(position, remarks)| remarks.tell(run, &layers[*position]));
    Ok(applied.inventory)
}

fn is_file(inventory: &Inventory<Kept>, path: &[u8]) -> bool {
    let found = inventory.find(path, Follow::Yes).ok().flatten();
    found.is_some_and(|id| matches!(inventory.inode(id).kind, InodeKind::File { .. }))
}

impl Files {
    /// Gives the content of one file after the other to `show`, in pieces.
    ///
    /// Where this fails, what was shown last must not be relied on. Kinds: `corrupt` for a layer that is no longer what it was, those of [`Source::open`], and those
    /// of `show`.
    pub fn write(&self, run: &Run, show: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.files.iter().try_for_each(|file| match &file.inode.kind {
            InodeKind::File { content: Some(content), .. } => show(content),
            _ => self.pass(run, file, show),
        })
    }

    /// The files with their content in memory. Kinds as [`write`](Self::write), and `unsupported` where there is too much of it.
    pub fn report(&self, run: &Run) -> Result<CatReport> {
        let size = self.files.iter().fold(0, |sum: u64, file| sum.saturating_add(size_of(&file.inode)));
        if size > KEPT {
            return Err(Error::unsupported(format!("the files have {size} bytes, more than the {KEPT} that one JSON document may hold"))
                .hint("without --format json they are written as they are, whatever their size"));
        }
        let files = self.files.iter().map(|file| self.file_report(run, file)).collect::<Result<_>>()?;
        Ok(CatReport { digest: self.image.manifest.descriptor.digest.clone(), platform: self.image.platform.to_string(), files })
    }

    fn file_report(&self, run: &Run, file: &Found) -> Result<FileReport> {
        let inode = &*file.inode;
        let mut content = Vec::new();
        let mut summing = Summing::default();
        let mut take = |bytes: &[u8]| {
            summing.update(bytes);
            content.extend_from_slice(bytes);
            Ok(())
        };
        match &inode.kind {
            InodeKind::File { content: Some(content), .. } => take(content)?,
            _ => self.pass(run, file, &mut take)?,
        }
        Ok(FileReport {
            asked: text::name(&file.asked).into_owned(),
            path: text::name(&file.path).into_owned(),
            layer: self.image.manifest.value.layers[origin(file)?.layer].digest.clone(),
            mode: format!("{:04o}", inode.mode),
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            size: size_of(inode),
            sha256: summing.finish().into(),
            content: base64::encode(&content),
        })
    }

    /// Reads the layer of a file again and gives its content to `show`.
    fn pass(&self, run: &Run, file: &Found, show: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let origin = origin(file)?;
        let (layer, diff_id) = (&self.image.manifest.value.layers[origin.layer], &self.image.diff_ids[origin.layer]);
        let stack = Stack::new(run, &*self.source, [(layer, diff_id)])?;
        let task = run.events.start(text::bytes(&file.path), Some(stack.size()));
        let mut buffer = vec![0; BUFFER];
        // A failure of who is shown the content says nothing of the layer.
        let mut shown = Ok(());
        stack.read(&task, |_, entries| {
            // The layer is the one that was proved before, or it will be refused at its end.
            for _ in 0..=origin.entry {
                entries.next_entry()?;
            }
            while shown.is_ok() {
                match entries.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => shown = show(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(cannot_read(&file.path, error)),
                }
            }
            Ok(ControlFlow::Break(()))
        })?;
        shown
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("image", &self.image.manifest.descriptor.digest).field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// Where a regular file is described, as all of them are.
fn origin(file: &Found) -> Result<Origin> {
    file.inode.origin.ok_or_else(|| Error::corrupt(format!("no layer describes `{}`", text::bytes(&file.path))))
}

fn size_of(inode: &Inode<Kept>) -> u64 {
    match inode.kind {
        InodeKind::File { size, .. } => size,
        _ => 0,
    }
}

fn cannot_read(path: &[u8], error: std::io::Error) -> Error {
    Error::io(format!("cannot read `{}`", text::bytes(path)), error)
}

/// The last component of a path.
fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
