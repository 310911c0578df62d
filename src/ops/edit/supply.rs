//! The content that new layers are made of: that of the layout, and that of a new base which need not be in it.

use std::collections::HashSet;
use std::io::Read;

use crate::build;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::layer::Stored;
use crate::spec::{Descriptor, ImageIndex};
use crate::store::Source;
use crate::store::layout::Layout;

/// A layout, and behind it the store of a new base.
pub(super) struct Supply<'a> {
    pub(super) layout: &'a Layout,
    pub(super) base: Option<&'a dyn Source>,
}

impl Supply<'_> {
    /// Layers that the layout does not have yet, each once.
    pub(super) fn missing<'l>(&self, layers: impl Iterator<Item = &'l Stored>) -> Result<Vec<&'l Descriptor>> {
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for layer in layers.filter(|layer| seen.insert(&layer.descriptor.digest)) {
            if self.base.is_some() && !self.layout.has(&layer.descriptor)? {
                missing.push(&layer.descriptor);
            }
        }
        Ok(missing)
    }

    /// Brings layers of the base into the layout: as links where that can be, and read and proved before. What nobody but its owner may distribute need not be there.
    pub(super) fn bring(&self, run: &Run, layers: Vec<&Descriptor>) -> Result<()> {
        let Some(base) = self.base else { return Ok(()) };
        let bring = |layer: &Descriptor| {
            let label = format!("base layer {}", layer.digest.short());
            match build::bring(run, &label, base, self.layout, layer) {
                Err(error) if error.kind() == ErrorKind::NotFound && is_elsewhere(layer) => Ok(()),
                outcome => outcome.map_err(|error| error.context(format!("cannot use layer {} of the new base", layer.digest))),
            }
        };
        run.pool.concurrently(layers, bring).map(drop)
    }
}

/// Whether a layer is left to who owns it, so that an image is whole without it.
fn is_elsewhere(layer: &Descriptor) -> bool {
    matches!(crate::spec::Kind::of(&layer.media_type), crate::spec::Kind::Layer(media) if media.non_distributable)
}

impl Source for Supply<'_> {
    fn location(&self) -> String {
        Source::location(self.layout)
    }

    fn index(&self) -> Result<ImageIndex> {
        self.layout.index()
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let absent = match Source::open(self.layout, descriptor) {
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            outcome => return outcome,
        };
        match self.base {
            Some(base) => base.open(descriptor).map_err(|error: Error| if error.kind() == ErrorKind::NotFound { absent } else { error }),
            None => Err(absent),
        }
    }
}
