//! Carrying a plan out: layers, then configs and manifests, then the index, each complete and durable before what names it.
//!
//! Names are not given here; until they are, nobody sees what was built.

use std::sync::Arc;

use super::archive;
use super::cache::{Cache, Lineage};
use super::image;
use super::plan::{BuildPlan, Content, LayerPlan, PlatformPlan};
use super::recipe::Recipe;
use super::takeover::{self, Named};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::changeset::Item;
use crate::layer::{Codec, Layer, Reuse, builder};
use crate::spec::{Algorithm, Descriptor, Platform};
use crate::store::layout::{Layout, Options};

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// What a name is to stand on: the index, or the manifest of a single platform.
    pub root: Descriptor,
    /// The images in the order of the plan.
    pub images: Vec<BuiltImage>,
    /// The layers in the order of the plan.
    pub layers: Vec<BuiltLayer>,
}

/// One platform's image.
#[derive(Debug)]
pub struct BuiltImage {
    /// The platform.
    pub platform: Platform,
    /// Its manifest, as the index lists it.
    pub manifest: Descriptor,
    /// Its config.
    pub config: Descriptor,
    /// All its layers, the base's included, bottom first.
    pub layers: Vec<Descriptor>,
    /// How many of them are the base's.
    pub base_layers: usize,
}

/// One layer of the plan.
#[derive(Clone, Debug)]
pub struct BuiltLayer {
    /// The layer.
    pub layer: Layer,
    /// How it came about.
    pub origin: Origin,
}

/// How a layer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its files were read.
    Built,
    /// The cache knew it; no source file was read.
    Cached,
}

/// Whether there is an index around the manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Only for more than one platform.
    Fitting,
    /// Always.
    Index,
}

impl Shape {
    /// Whether `platforms` of them get an index.
    pub fn is_index(self, platforms: usize) -> bool {
        self == Shape::Index || platforms > 1
    }
}

/// Builds everything that `plan` says into `layout`. `cache` is looked at and fed where there is one.
pub fn execute(run: &Run, plan: &BuildPlan, shape: Shape, layout: &Layout, cache: Option<&Cache>, options: &Options) -> Result<Built> {
    // A single layer that nobody remembers has nothing to share its chunks with.
    let reuse = (cache.is_some() || plan.layers.len() > 1).then(Reuse::default);
    let layers = run.pool.concurrently(plan.layers.iter().collect(), |layer| {
        obtain(run, layer, plan, layout, cache, reuse.as_ref(), options).map_err(|error| error.context(format!("cannot make {}", layer.label)))
    })?;
    takeover::base_layers(run, plan, layout)?;
    let mut images = Vec::with_capacity(plan.platforms.len());
    for platform in &plan.platforms {
        let own: Vec<_> = platform.layers.iter().map(|index| (&plan.layers[*index], &layers[*index].layer)).collect();
        images.push(image::write(run, plan, platform, &own, layout)?);
    }
    let root = if shape.is_index(images.len()) { image::write_index(plan, &images, layout)? } else { image::single(&images[0]) };
    if let Some(cache) = cache {
        cache.trim();
    }
    Ok(Built { root, images, layers })
}

/// Takes a layer from the cache, or makes it.
fn obtain(
    run: &Run,
    plan: &LayerPlan,
    build: &BuildPlan,
    layout: &Layout,
    cache: Option<&Cache>,
    reuse: Option<&Reuse>,
    options: &Options,
) -> Result<BuiltLayer> {
    let named = Named { label: &plan.label, bytes: plan.content.bytes(), recipe: &plan.recipe };
    let known = cache.map(|cache| takeover::cached(run, named, cache, layout, options)).transpose()?.flatten();
    if let Some(layer) = known {
        return Ok(BuiltLayer { layer, origin: Origin::Cached });
    }
    if let Some((cache, reuse)) = cache.zip(reuse) {
        cache.load_chunks(plan.lineage, reuse);
    }
    let settled = settle(run, &plan.recipe);
    let layer = make(run, plan, build.codec, reuse, layout)?;
    if let Some(cache) = cache {
        remember(run, (named, plan.lineage), cache, layout, &layer, settled);
    }
    Ok(BuiltLayer { layer, origin: Origin::Built })
}

/// Makes a layer from what it is planned from.
pub fn make(run: &Run, plan: &LayerPlan, codec: Codec, reuse: Option<&Reuse>, layout: &Layout) -> Result<Layer> {
    let writer = layout.blob_writer(Algorithm::Sha256)?;
    let items = items(run, plan, layout)?;
    let layer = builder::build(run, &plan.label, &items, codec, reuse, writer)?;
    check_still(plan)?;
    Ok(layer)
}

/// The changeset of a layer that is to be made; what takes more space than memory has room for is kept in `layout` for as long as the items live.
pub fn items(run: &Run, plan: &LayerPlan, layout: &Layout) -> Result<Arc<Vec<Item>>> {
    match &plan.content {
        Content::Items(items) => Ok(items.clone()),
        Content::Tar(tar) => archive::items(run, tar, || layout.scratch_file()).map(Arc::new),
    }
}

/// Whether the sources of a layer still are what was planned, once its items were read. Kind `io` where they are not.
pub fn check_still(plan: &LayerPlan) -> Result<()> {
    match &plan.content {
        // Each file is compared with what the plan saw while it is read.
        Content::Items(_) => Ok(()),
        Content::Tar(tar) => archive::check_still(tar),
    }
}

/// Whether a recipe may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Yes,
    /// The clock cannot tell whether a file may change without showing it.
    Unknown,
}

/// Waits until a file that changes from now on would show it.
pub(super) fn settle(run: &Run, recipe: &Recipe) -> Settled {
    /// A file from further in the future than this has a clock of its own.
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);
    let Some(settled) = recipe.settled else { return Settled::Yes };
    let now = run.clock.now();
    if settled > now + PATIENCE {
        return Settled::Unknown;
    }
    std::thread::sleep(settled.saturating_sub(now));
    Settled::Yes
}

/// Remembers a layer, and its chunks for the next version of it.
pub(super) fn remember(run: &Run, (of, lineage): (Named<'_>, Lineage), cache: &Cache, layout: &Layout, layer: &Layer, settled: Settled) {
    let root = takeover::absolute(layout.path());
    let blob = root.join("blobs").join(layer.descriptor.digest.algorithm().as_str()).join(layer.descriptor.digest.encoded());
    let kept = if settled == Settled::Yes { cache.keep_layer(of.recipe, of.label, layer, &root) } else { Ok(()) };
    if let Err(error) = kept.and_then(|()| cache.keep_chunks(lineage, &blob, &layer.chunks)) {
        run.events.warn(format!("cannot keep the layer cache: {error}"));
    }
}

/// A platform of the plan whose layers are known.
pub(super) type OwnLayers<'a> = [(&'a LayerPlan, &'a Layer)];

/// What a platform is called in errors.
pub(super) fn cannot_write(platform: &PlatformPlan) -> impl Fn(Error) -> Error + '_ {
    move |error| error.context(format!("cannot write the image for {}", platform.platform))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    use super::*;
    use crate::exec::Clock;

    const NOW: Duration = Duration::from_secs(1_000_000_000);

    #[test]
    fn what_may_change_without_showing_it_is_waited_for_or_not_remembered() {
        let run = Run { clock: Clock(|| UNIX_EPOCH + NOW), ..Run::new(NonZeroUsize::MIN).expect("a pool") };
        let settled_at = |settled: Option<Duration>| {
            let begin = Instant::now();
            (settle(&run, &Recipe { key: [0; 32], settled }), begin.elapsed())
        };
        assert_eq!(settled_at(None).0, Settled::Yes);
        assert_eq!(settled_at(Some(NOW - Duration::from_secs(1))).0, Settled::Yes);
        for wait in [Duration::from_millis(20), Duration::from_millis(50)] {
            let (settled, waited) = settled_at(Some(NOW + wait));
            assert!(settled == Settled::Yes && waited >= wait, "{waited:?} instead of {wait:?}");
        }
        for wait in [Duration::from_millis(51), Duration::from_secs(2), Duration::from_secs(1_000_000_000)] {
            let (settled, waited) = settled_at(Some(NOW + wait));
            assert!(settled == Settled::Unknown && waited < wait, "{waited:?} of {wait:?}");
        }
    }
}
