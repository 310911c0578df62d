//! Archives that hold an image layout: `oci-archive`. Their bytes, and how they are read and added to, are those of `tarfile`.
//!
//! Any number of images, each with any number of platforms. image-spec, image-layout.md.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::exec::Events;
use crate::spec::{Descriptor, ImageIndex, json};

use super::header;
use super::tarfile::{self, Form, INDEX, Links, MANIFESTS, ReadDocument, Reading};
use super::transport::Transport;
use super::{Destination, Options, Source};

/// The scheme of these archives.
const SCHEME: &str = "oci-archive";

/// Archives of image layouts, as a transport.
#[derive(Debug)]
pub struct OciArchive;

impl Transport for OciArchive {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn recognises(&self, path: &Path) -> bool {
        Reading::look(path).is_some_and(|archive| archive.has_member(header::NAME) && !archive.has_member(MANIFESTS))
    }

    fn source(&self, path: &Path, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(Archive::open(path, options)?))
    }

    fn destination(&self, path: &Path, options: &Options) -> Result<Box<dyn Destination>> {
        tarfile::destination(path, &Layout, options)
    }
}

/// What an `oci-archive` has besides content: its index.
struct Layout;

impl Form for Layout {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn documents(&self) -> &'static [&'static str] {
        &[INDEX]
    }

    fn reads_documents(&self) -> bool {
        false
    }

    fn write(&self, index: &ImageIndex, _: ReadDocument<'_>, _: &Events) -> Result<Vec<Vec<u8>>> {
        Ok(vec![json::canonical(index)?])
    }

    fn accept(&self, archive: &Reading) -> Result<()> {
        if !archive.has_member(MANIFESTS) {
            return Ok(());
        }
        let shown = &archive.input.shown;
        let error = Error::conflict(format!("{shown} has a `{MANIFESTS}`, which would not list what is added")).subject(shown);
        Err(error.hint(format!("write docker-archive:{shown}, or a new archive")))
    }
}

/// An archive that is read.
#[derive(Debug)]
pub struct Archive {
    archive: Reading,
    index: ImageIndex,
}

impl Archive {
    /// Opens the archive at `path`, or the one on stdin for `-`. One that is compressed or comes through a pipe is written into a file without a name first.
    ///
    /// Kinds: `not_found` where there is none; `corrupt` where it is no archive of a layout, or one whose members two readers could understand
    /// differently; `unsupported` for other compressions, for another version of the layout and beyond the limits.
    pub fn open(path: &Path, options: &Options) -> Result<Archive> {
        let archive = Reading::open(path, Links::Refused, options)?;
        let index = archive.layout()?;
        Ok(Archive { archive, index })
    }
}

impl Source for Archive {
    fn location(&self) -> String {
        format!("{SCHEME}:{}", self.archive.input.shown)
    }

    fn index(&self) -> Result<ImageIndex> {
        Ok(self.index.clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.archive.open_blob(descriptor)?))
    }

    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.archive.open_unproved(descriptor)?))
    }

    fn remarks(&self) -> Result<Vec<String>> {
        self.archive.remarks()
    }
}

#[cfg(test)]
mod tests;
