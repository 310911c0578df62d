//! Archives for Docker and podman: `docker-archive`.
//!
//! # Reading
//!
//! An archive of Docker 25 or later, and one of larder, holds an image layout beside its `manifest.json`: the layout is read, with the digests it has, and
//! `manifest.json` must agree with it. Any other holds configs and layers only: manifests are made for them, see `classic`.
//!
//! # Writing
//!
//! An archive has the bytes of an `oci-archive` and a `manifest.json`, so whoever knows layouts (containerd, Docker with its store, podman, skopeo) sees every
//! image with all of its platforms under the digest it has, and who does not (Docker's older store) finds images by `manifest.json`. That file can name one
//! platform of an image: linux/amd64 where the image has it, else the first that is in the archive. What it cannot say is told as a warning: the
//! other platforms, names without a repository, and what is no image.

use std::io::{Cursor, Read};
use std::path::Path;

use crate::error::Result;
use crate::fsio::VerifyingReader;
use crate::spec::{Descriptor, ImageIndex};

use super::tarfile::{self, Links, MANIFESTS, Reading};
use super::transport::Transport;
use super::{Destination, Options, Source, header};

mod agreement;
mod classic;
mod form;
mod manifests;

use classic::Made;
use form::Docker;

/// The scheme of these archives.
const SCHEME: &str = "docker-archive";

/// Archives for Docker and podman, as a transport.
#[derive(Debug)]
pub struct DockerArchive;

impl Transport for DockerArchive {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn recognises(&self, path: &Path) -> bool {
        Reading::look(path).is_some_and(|archive| archive.has_member(MANIFESTS))
    }

    fn source(&self, path: &Path, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(Images::open(path, options)?))
    }

    fn destination(&self, path: &Path, options: &Options) -> Result<Box<dyn Destination>> {
        tarfile::destination(path, &Docker, options)
    }
}

/// An archive that is read.
#[derive(Debug)]
pub struct Images {
    archive: Reading,
    index: ImageIndex,
    made: Made,
}

impl Images {
    /// Opens the archive at `path`, or the one on stdin for `-`. One that is compressed or comes through a pipe is written into a file without a name first.
    ///
    /// Kinds: `not_found` where there is none; `corrupt` where it is no such archive, or one that two readers could understand differently; `unsupported` for
    /// other compressions, for another version of the layout and beyond the limits.
    pub fn open(path: &Path, options: &Options) -> Result<Images> {
        let archive = Reading::open(path, Links::Inside, options)?;
        let items = manifests::read(&archive)?;
        if archive.has_member(header::NAME) {
            let index = archive.layout()?;
            let index = agreement::check(&archive, index, items.as_deref().unwrap_or_default())?;
            return Ok(Images { archive, index, made: Made::default() });
        }
        let items = items.ok_or_else(|| manifests::missing(&archive))?;
        let (made, index) = Made::of(&archive, &items, &options.cancel)?;
        made.remarks.iter().for_each(|remark| options.events.warn(remark.as_str()));
        Ok(Images { archive, index, made })
    }

    /// The bytes of a manifest that was made.
    fn document(&self, descriptor: &Descriptor) -> Option<&[u8]> {
        self.made.documents.get(&descriptor.digest).map(Vec::as_slice)
    }
}

impl Source for Images {
    fn location(&self) -> String {
        format!("{SCHEME}:{}", self.archive.input.shown)
    }

    fn index(&self) -> Result<ImageIndex> {
        Ok(self.index.clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        if let Some(bytes) = self.document(descriptor) {
            return Ok(Box::new(VerifyingReader::new(Cursor::new(bytes), descriptor.digest.clone(), descriptor.size)?));
        }
        match self.made.content.get(&descriptor.digest) {
            Some(extent) => Ok(Box::new(extent.open(&self.archive.input.file, descriptor)?)),
            None => Ok(Box::new(self.archive.open_blob(descriptor)?)),
        }
    }

    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        if self.document(descriptor).is_some() {
            return self.open(descriptor);
        }
        match self.made.content.get(&descriptor.digest) {
            Some(extent) => Ok(Box::new(extent.open_unproved(&self.archive.input.file, descriptor)?)),
            None => Ok(Box::new(self.archive.open_unproved(descriptor)?)),
        }
    }

    fn remarks(&self) -> Result<Vec<String>> {
        let mut remarks = self.archive.remarks()?;
        remarks.extend(self.made.remarks.iter().cloned());
        Ok(remarks)
    }
}

#[cfg(test)]
mod tests;
