//! The files of an image instead of the image: as a directory, or as a tar of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::staging::Staging;
use crate::build::{self, Built};
use crate::error::{Error, IoContext, Result};
use crate::exec::Run;
use crate::fsio::{Dir, Target, regular, remove};
use crate::graph::image::{Choice, Image};
use crate::layer::changeset::Item;
use crate::layer::entry::path_order;
use crate::layer::squash::squash;
use crate::layer::stack::Stack;
use crate::layer::unpack::{Owner, Privileges};
use crate::layer::{Codec, Layer, Times, builder};
use crate::ops::unpack::{self, Completeness, Durability, Into};
use crate::spec::{Algorithm, Platform, text};
use crate::store::layout::{Layout, Options};

/// How much is copied at once.
const BUFFER: usize = 1 << 20;

/// Where the files of an image go.
#[derive(Clone, Debug)]
pub struct TreeOutput {
    /// The directory or the file; `-` is stdout for a tar.
    pub path: PathBuf,
    /// What it is.
    pub form: TreeForm,
    /// Where the files of each platform are in it.
    pub split: Split,
    /// Whom the files of a directory belong to.
    pub owner: Owner,
    /// What the programs of a directory may do.
    pub privileges: Privileges,
}

/// What the files of an image are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeForm {
    /// A directory.
    Directory,
    /// A tar.
    Tar,
}

/// Where the files of each platform are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// In a directory of their own, where there are several platforms.
    Fitting,
    /// In a directory of their own.
    Always,
    /// At the top; there is one platform.
    Never,
}

/// What the names of the directories of platforms are: those of buildx.
fn directory(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

/// A target that can be written, as far as that can be known before anything is built.
pub(super) struct Prepared<'a> {
    output: &'a TreeOutput,
    file: Option<Target>,
}

impl TreeOutput {
    /// As reports show it.
    pub(super) fn shown(&self) -> String {
        let form = if self.form == TreeForm::Tar { "tar" } else { "local" };
        format!("type={form},dest={}", self.path.display())
    }

    /// Whether it goes to stdout.
    pub fn is_stdout(&self) -> bool {
        self.form == TreeForm::Tar && self.path == Path::new("-")
    }

    /// Looks at the target, before anything is built for it.
    pub(super) fn prepare(&self, platforms: usize, options: &Options) -> Result<Prepared<'_>> {
        if self.split == Split::Never && platforms > 1 {
            return Err(Error::usage(format!("the files of {platforms} platforms cannot be at one place"))
                .hint("leave platform-split=false away, or build one platform"));
        }
        let file = match self.form {
            TreeForm::Directory => {
                if let Some(parent) = self.path.parent() {
                    std::fs::create_dir_all(parent).at("create directory", parent)?;
                }
                unpack::check_target(&self.path)?;
                None
            }
            TreeForm::Tar if self.is_stdout() => {
                options.stdout.as_ref().ok_or_else(|| Error::usage("nobody wants to see a tar on a terminal").hint("pass stdout on to a file or a program"))?;
                None
            }
            TreeForm::Tar => Some(Target::prepare(&self.path)?),
        };
        Ok(Prepared { output: self, file })
    }

    /// Where there is room for what is made on the way.
    pub(super) fn place(&self, options: &Options) -> PathBuf {
        let parent = if self.is_stdout() { Some(options.temporary.as_path()) } else { self.path.parent() };
        parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
    }

    fn splits(&self, platforms: usize) -> bool {
        match self.split {
            Split::Fitting => platforms > 1,
            Split::Always => true,
            Split::Never => false,
        }
    }
}

impl Prepared<'_> {
    /// Writes the files of what was built into `layout`. The target appears when it is whole.
    pub(super) fn write(self, run: &Run, layout: &Layout, built: &Built, options: &Options) -> Result<()> {
        let output = self.output;
        let images =
            built.images.iter().map(|image| Ok((directory(&image.platform), Image::find(layout, &image.manifest, &Choice::For(image.platform.clone()))?)));
        let images = images.collect::<Result<Vec<_>>>()?;
        let written = match output.form {
            TreeForm::Directory => directories(run, layout, &images, output),
            TreeForm::Tar => tar(run, layout, &images, output, options).and_then(|(staging, layer)| pass_on(run, &blob(&staging, &layer), self.file, options)),
        };
        written.map_err(|error| error.context(format!("cannot write the files to {}", text::path(&output.path))))
    }
}

fn directories(run: &Run, layout: &Layout, images: &[(String, Image)], output: &TreeOutput) -> Result<()> {
    let unpack = |target: &Path, image: &Image| {
        let into = Into {
            target,
            owner: output.owner,
            privileges: output.privileges,
            max_size: None,
            completeness: Completeness::AsFarAsPossible,
            durability: Durability::OnDisk,
        };
        unpack::image(run, layout, image, &into).map(drop)
    };
    if !output.splits(images.len()) {
        return images.iter().try_for_each(|(_, image)| unpack(&output.path, image));
    }
    std::fs::create_dir_all(&output.path).at("create directory", &output.path)?;
    let dir = Dir::open(&output.path)?;
    for (number, (name, image)) in images.iter().enumerate() {
        if let Err(error) = unpack(&output.path.join(name), image) {
            // What is not whole is not there. What cannot be removed is no more of a failure than there is.
            images[..number].iter().for_each(|(name, _)| drop(remove::tree(&dir, Path::new(name))));
            return Err(error);
        }
    }
    Ok(())
}

/// The tar, as a blob of a layout that is there for a while.
fn tar(run: &Run, layout: &Layout, images: &[(String, Image)], output: &TreeOutput, options: &Options) -> Result<(Staging, Layer)> {
    let staging = Staging::create(&output.place(options), options)?;
    let mut parts = Vec::new();
    for (name, image) in images {
        let stack = Stack::new(run, layout, image.manifest.value.layers.iter().zip(&image.diff_ids))?;
        let writer = staging.layout().blob_writer(Algorithm::Sha256)?;
        let layer = squash(run, &format!("files of {name}"), &stack, 0, Times::Kept, Codec::None, writer)?;
        parts.push((name, layer));
    }
    if let ([(_, layer)], false) = (parts.as_slice(), output.splits(images.len())) {
        let layer = layer.clone();
        return Ok((staging, layer));
    }
    let mut items: Vec<Item> = Vec::new();
    for (name, layer) in &parts {
        items.extend(build::items_below(run, &blob(&staging, layer), name.as_bytes())?);
    }
    items.sort_by(|a, b| path_order(&a.path, &b.path));
    let layer = builder::build(run, "files", &items, Codec::None, None, staging.layout().blob_writer(Algorithm::Sha256)?)?;
    Ok((staging, layer))
}

fn blob(staging: &Staging, layer: &Layer) -> PathBuf {
    let digest = &layer.descriptor.digest;
    staging.layout().path().join("blobs").join(digest.algorithm().as_str()).join(digest.encoded())
}

fn pass_on(run: &Run, from: &Path, to: Option<Target>, options: &Options) -> Result<()> {
    let mut file = regular::open_path(from)?.file;
    let mut stdout: Option<&Arc<File>> = options.stdout.as_ref();
    let mut target = to;
    let mut buffer = vec![0; BUFFER];
    loop {
        run.cancel.check()?;
        let read = match file.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).at("read", from),
        };
        match (&mut target, &mut stdout) {
            (Some(target), _) if read > 0 => target.fill(&buffer[..read], 0o644)?,
            (Some(_), _) => return target.map_or(Ok(()), |target| target.show(&run.cancel)),
            (None, Some(stdout)) if read > 0 => stdout.as_ref().write_all(&buffer[..read]).map_err(|error| Error::io("cannot write to stdout", error))?,
            (None, _) => return Ok(()),
        }
    }
}
