//! Layers that are kept in a store, opened to be read as tar.

use std::io::{self, Read};

use super::decode;
use crate::error::{Error, Result};
use crate::exec::{Cancel, Run, Task};
use crate::spec::media_type::LayerMedia;
use crate::spec::{Descriptor, DiffId, Kind, text};
use crate::store::Source;

/// A layer of an image: the blob, and which tar the image says is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The blob.
    pub descriptor: Descriptor,
    /// The tar.
    pub diff_id: DiffId,
}

impl Stored {
    /// What the media type says. Kinds: `unsupported` for what is no layer, and for a layer that is encrypted.
    pub fn media(&self) -> Result<LayerMedia> {
        let shown = text::shown(self.descriptor.media_type.as_ref());
        let unsupported = |why: &str| Err(Error::unsupported(format!("layer {} {why}: {shown}", self.descriptor.digest)).subject(&self.descriptor.digest));
        match Kind::of(&self.descriptor.media_type) {
            Kind::Layer(media) if !media.encrypted => Ok(media),
            Kind::Layer(_) => unsupported("is encrypted"),
            _ => unsupported("is no layer of an image"),
        }
    }

    /// Opens the tar inside: decompressed, and with the digest of the blob proved at its end. It is told as a task, and ends early where the run is asked to
    /// stop. Errors as [`Source::open`] and [`decode::decoder`].
    pub(super) fn open<'a>(&self, run: &Run, label: &str, source: &'a dyn Source) -> Result<Box<dyn Read + Send + 'a>> {
        let media = self.media()?;
        let task = run.events.start(label, Some(self.descriptor.size));
        let reader = source.open(&self.descriptor)?;
        decode::decoder(media.compression, Watched { reader, cancel: run.cancel.clone(), task })
    }

    /// Says which layer it is that an error is about.
    pub(super) fn cannot(&self, doing: &str, error: Error) -> Error {
        let digest = &self.descriptor.digest;
        error.context(format!("cannot {doing} layer {digest}")).subject(digest)
    }
}

/// A reader that can be stopped and tells how far it is.
struct Watched<R> {
    reader: R,
    cancel: Cancel,
    task: Task,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        let count = self.reader.read(buffer)?;
        self.task.advance(count as u64);
        Ok(count)
    }
}
