//! The layers that are to be made: each once, however many images want it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::build::{self, LayerPlan};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::{Codec, Layer, Stored, recompress};
use crate::spec::media_type::{Compression, Family, LayerMedia};
use crate::spec::{Algorithm, Digest};
use crate::store::layout::Layout;

/// What is to be made, in the order in which images first want it.
#[derive(Debug, Default)]
pub(super) struct Works {
    works: Vec<Work>,
    known: HashMap<String, usize>,
}

/// A layer to make.
#[derive(Debug)]
pub(super) struct Work {
    /// For people.
    pub(super) label: String,
    how: How,
}

#[derive(Debug)]
enum How {
    Recompress(Box<Stored>, Codec),
    Build(Arc<LayerPlan>, Codec),
}

impl Works {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Work> {
        self.works.iter()
    }

    /// The layer under another compression.
    pub(super) fn recompress(&mut self, layer: &Stored, codec: Codec) -> usize {
        let Stored { descriptor, diff_id } = layer;
        let label = format!("layer {} as {codec}", descriptor.digest.short());
        self.add(
            format!("recompress {} {} {diff_id} {codec}", descriptor.digest, descriptor.media_type),
            label,
            How::Recompress(Box::new(layer.clone()), codec),
        )
    }

    /// A layer from files of this machine.
    pub(super) fn build(&mut self, plan: &Arc<LayerPlan>, codec: Codec) -> usize {
        // Each plan stands for one layer.
        self.add(format!("build {:p}", Arc::as_ptr(plan)), format!("new {}", plan.label), How::Build(plan.clone(), codec))
    }

    fn add(&mut self, key: String, label: String, how: How) -> usize {
        *self.known.entry(key).or_insert_with(|| {
            self.works.push(Work { label, how });
            self.works.len() - 1
        })
    }

    /// Makes all of them, in their order. What is there is read from `layout`, and what is new is written to it.
    pub(super) fn make(&self, run: &Run, layout: &Layout) -> Result<Vec<Layer>> {
        run.pool.concurrently(self.works.iter().collect(), |work| work.make(run, layout))
    }
}

impl Work {
    fn make(&self, run: &Run, layout: &Layout) -> Result<Layer> {
        let writer = || layout.blob_writer(Algorithm::Sha256);
        match &self.how {
            How::Recompress(layer, codec) => recompress::recompress(run, &self.label, layout, layer, *codec, writer()?),
            How::Build(plan, codec) => build::make(run, plan, *codec, None, layout).map_err(|error| error.context(format!("cannot make {}", self.label))),
        }
    }

    /// The blobs that it is made of; none where it is made of files.
    pub(super) fn from(&self) -> Vec<Digest> {
        match &self.how {
            How::Recompress(layer, _) => vec![layer.descriptor.digest.clone()],
            How::Build(..) => Vec::new(),
        }
    }
}

/// Fails with kind `unsupported` where a manifest of `family` cannot have layers of this compression.
pub(super) fn check_compression(family: Family, compression: Compression) -> Result<()> {
    match family.layer(LayerMedia { compression, non_distributable: false, encrypted: false }) {
        Some(_) => Ok(()),
        None => Err(Error::unsupported(format!("Docker's schema 2 has no media type for layers that are compressed with {compression}"))
            .hint("compress them with gzip: --compression gzip")),
    }
}
