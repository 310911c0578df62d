//! The layers that are to be made: each once, however many images want it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::build::{self, LayerPlan};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::{self, Codec, Layer, Stored, Times, recompress, times};
use crate::spec::media_type::{Compression, Family, LayerMedia};
use crate::spec::{Algorithm, Digest};
use crate::store::Source;
use crate::store::layout::Layout;

use super::stack::Squashed;

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
    /// With the compression that was asked for.
    Clamp(Box<Stored>, Option<Codec>),
    Build(Arc<LayerPlan>, Codec),
    Squash(Box<Squashed>, Times, Codec),
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

    /// The layer with no time of a file later than the moment of the run.
    pub(super) fn clamp(&mut self, layer: &Stored, codec: Option<Codec>) -> usize {
        let Stored { descriptor, diff_id } = layer;
        let label = format!("layer {} with other times", descriptor.digest.short());
        self.add(format!("clamp {} {} {diff_id} {codec:?}", descriptor.digest, descriptor.media_type), label, How::Clamp(Box::new(layer.clone()), codec))
    }

    /// One layer of several.
    pub(super) fn squash(&mut self, squashed: &Squashed, times: Times, codec: Codec) -> usize {
        let stored = |layers: &[Stored]| {
            let each = layers.iter().map(|Stored { descriptor, diff_id }| format!("{} {} {diff_id}", descriptor.digest, descriptor.media_type));
            each.collect::<Vec<_>>().join(", ")
        };
        let new = squashed.new.iter().map(|plan| format!("{:p}", Arc::as_ptr(plan))).collect::<Vec<_>>().join(", ");
        let key = format!("squash {} on {}: {} and {new} {times:?} {codec}", squashed.stored.len(), stored(&squashed.below), stored(&squashed.stored));
        let label = format!("{} layers as one", squashed.stored.len() + squashed.new.len());
        self.add(key, label, How::Squash(Box::new(squashed.clone()), times, codec))
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

    /// Makes all of them, in their order. What is there is read from `source`, and what is new is written to `layout`.
    pub(super) fn make(&self, run: &Run, source: &dyn Source, layout: &Layout) -> Result<Vec<Layer>> {
        run.pool.concurrently(self.works.iter().collect(), |work| work.make(run, source, layout))
    }
}

impl Work {
    fn make(&self, run: &Run, source: &dyn Source, layout: &Layout) -> Result<Layer> {
        let writer = || layout.blob_writer(Algorithm::Sha256);
        match &self.how {
            How::Recompress(layer, codec) => recompress::recompress(run, &self.label, source, layer, *codec, writer()?),
            How::Build(plan, codec) => build::make(run, plan, *codec, None, layout).map_err(|error| error.context(format!("cannot make {}", self.label))),
            How::Clamp(layer, asked) => {
                let codec = asked.unwrap_or(Codec::from(layer.media()?.compression));
                let clamped = times::clamp(run, &self.label, source, layer, codec, writer)?;
                match asked {
                    Some(codec) if clamped.descriptor.digest == layer.descriptor.digest => {
                        recompress::recompress(run, &self.label, source, layer, *codec, writer()?)
                    }
                    _ => Ok(clamped),
                }
            }
            How::Squash(squashed, times, codec) => {
                squash(run, &self.label, source, squashed, *times, *codec, layout).map_err(|error| error.context("cannot make one layer of several"))
            }
        }
    }

    /// The blobs that it is made of; none where it is made of files.
    pub(super) fn from(&self) -> Vec<Digest> {
        match &self.how {
            How::Recompress(layer, _) | How::Clamp(layer, _) => vec![layer.descriptor.digest.clone()],
            How::Squash(squashed, ..) => squashed.stored.iter().map(|layer| layer.descriptor.digest.clone()).collect(),
            How::Build(..) => Vec::new(),
        }
    }
}

fn squash(run: &Run, label: &str, source: &dyn Source, squashed: &Squashed, times: Times, codec: Codec, layout: &Layout) -> Result<Layer> {
    let items = squashed.new.iter().map(|plan| build::items(run, plan, layout)).collect::<Result<Vec<_>>>()?;
    let stored = squashed.below.iter().chain(&squashed.stored);
    let mut stack = layer::stack::Stack::new(run, source, stored.map(|layer| (&layer.descriptor, &layer.diff_id)))?;
    items.iter().for_each(|items| stack.push_new(items));
    let layer = layer::squash::squash(run, label, &stack, squashed.below.len(), times, codec, layout.blob_writer(Algorithm::Sha256)?)?;
    squashed.new.iter().try_for_each(|plan| build::check_still(plan))?;
    Ok(layer)
}

/// Fails with kind `unsupported` where a manifest of `family` cannot have layers of this compression.
pub(super) fn check_compression(family: Family, compression: Compression) -> Result<()> {
    match family.layer(LayerMedia { compression, non_distributable: false, encrypted: false }) {
        Some(_) => Ok(()),
        None => Err(Error::unsupported(format!("Docker's schema 2 has no media type for layers that are compressed with {compression}"))
            .hint("compress them with gzip: --compression gzip")),
    }
}
