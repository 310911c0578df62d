//! Carrying a plan out: every stage that is needed, several at once, each step after those before it.
//!
//! Layers are made in a layout that is work space: the cache, or a directory for a while. What a step comes to is decided by the files of its stage as the steps
//! before made them, held in memory, and by its sources. Nothing of a stage is on a disk but its layers.

use std::sync::{Arc, Mutex, PoisonError};

use super::bases::{BaseImage, ContextSource};
use super::bundle::Bundle;
use super::content::StageLayer;
use super::copy::Planned;
use super::files::{self, Files};
use super::key::Key;
use super::listing::Listing;
use super::plan::{Plan, StageBase};
use super::queue::Queue;
#[cfg(feature = "run")]
use super::run::Workshop;
use super::spec::DockerfileSpec;
use super::stage;
use crate::build::base::BaseLayer;
use crate::build::cache::Cache;
use crate::build::execute::BuiltLayer;
use crate::error::{ErrorKind, Result};
use crate::exec::{Once, Promise, Run};
use crate::layer::tree::Tree;
use crate::layer::{Codec, Reuse};
use crate::spec::config::{History, ImageConfig};
use crate::store::layout::{Layout, Options};

/// What everything happens with.
pub struct Engine<'a> {
    /// How it runs.
    pub run: &'a Run,
    /// What was asked for.
    pub spec: &'a DockerfileSpec,
    /// What is to be done.
    pub plan: &'a Plan,
    /// How layers are compressed.
    pub codec: Codec,
    /// Where layers are made.
    pub work: &'a Arc<Layout>,
    /// What earlier builds knew, if it is to be used.
    pub cache: Option<&'a Cache>,
    /// What builds elsewhere knew.
    pub bundles: &'a [Bundle],
    /// Whether it is to be told by which keys the steps are known.
    pub keys: Keys,
    /// How layouts are opened.
    pub options: &'a Options,
}

/// Whether steps are told with the keys that they are known by on other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They are, though files have to be read for it that nobody else reads.
    Told,
    /// They are not.
    Untold,
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// For each platform of the plan the image of its target.
    pub images: Vec<TargetImage>,
    /// The steps of all stages, in the order of the plan.
    pub steps: Vec<BuiltStep>,
}

/// The image of a stage.
#[derive(Clone, Debug)]
pub struct TargetImage {
    /// Its config, complete.
    pub config: ImageConfig,
    /// Its layers, bottom first, each with the layout that has it.
    pub layers: Vec<BaseLayer>,
    /// What it stands upon in the end.
    pub base: Option<Arc<BaseImage>>,
}

/// A step that was done.
#[derive(Clone, Debug)]
pub struct BuiltStep {
    /// What it is called.
    pub label: String,
    /// The layer that it made; none where nothing changed.
    pub layer: Option<BuiltLayer>,
    /// What it is known by on other machines, where that is to be told.
    pub key: Option<Key>,
}

/// Builds all stages of the plan. A failure is that of the first step, in the order of the plan, that failed.
pub fn execute(engine: &Engine<'_>) -> Result<Built> {
    #[cfg(feature = "run")]
    super::run::check(engine)?;
    let stages = &engine.plan.stages;
    let (promises, duties): (Vec<_>, Vec<_>) = stages.iter().map(|_| Promise::new()).unzip();
    // A step that fails ends those that run beside it.
    let run = engine.run.part();
    let engine = &Engine { run: &run, ..*engine };
    let shared = Shared {
        contexts: Contexts::open(engine.spec)?,
        reuse: Reuse::default(),
        layers: Once::default(),
        stages: promises,
        #[cfg(feature = "run")]
        workshop: Workshop::default(),
    };
    let queue = Queue::new(stages.iter().map(|stage| stage.needs().collect()).zip(duties));
    let done = run.pool.concurrently(vec![(); stages.len()], |()| {
        let Some((position, duty)) = queue.next() else { return Ok(None) };
        let stage = run.cancel.check().and_then(|()| stage::build(engine, &shared, position)).map(|stage| duty.keep(stage));
        if stage.is_err() {
            run.cancel.cancel();
        }
        queue.finish(position);
        Ok(Some((position, stage)))
    })?;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(position, _)| *position);
    let done = all(done.into_iter().map(|(_, stage)| stage).collect())?;
    let images = engine.plan.targets.iter().map(|target| image(engine, *target, &done[*target])).collect();
    if let Some(cache) = engine.cache {
        cache.trim();
    }
    Ok(Built { images, steps: done.iter().flat_map(|stage| stage.steps.iter().cloned()).collect() })
}

/// What everybody made, or the failure of the first who was not only stopped because of others.
fn all(stages: Vec<Result<Arc<StageDone>>>) -> Result<Vec<Arc<StageDone>>> {
    let (done, failed): (Vec<_>, Vec<_>) = stages.into_iter().partition(Result::is_ok);
    let mut errors: Vec<_> = failed.into_iter().filter_map(Result::err).collect();
    if errors.is_empty() {
        return done.into_iter().collect();
    }
    let first = errors.iter().position(|error| error.kind() != ErrorKind::Interrupted).unwrap_or(0);
    Err(errors.swap_remove(first))
}

fn image(engine: &Engine<'_>, position: usize, done: &StageDone) -> TargetImage {
    let diff_ids: Vec<_> = done.layers.iter().map(|layer| layer.of.diff_id.clone()).collect();
    let mut config = engine.plan.stages[position].config.clone();
    config.set_layers(&diff_ids, &done.history);
    let layers = done.layers.iter().map(|Layered { of, .. }| BaseLayer { descriptor: of.descriptor.clone(), layout: of.layout.clone(), proof: of.proof });
    let mut at = position;
    let base = loop {
        match &engine.plan.stages[at].base {
            StageBase::Scratch => break None,
            StageBase::Image(image) => break Some(image.clone()),
            StageBase::Stage(below) => at = *below,
        }
    };
    TargetImage { config, layers: layers.collect(), base }
}

/// What the stages share while they are built.
pub(super) struct Shared {
    pub(super) contexts: Contexts,
    pub(super) reuse: Reuse,
    /// Layers by what they are made of: two stages that need the same one make it once.
    pub(super) layers: Once<[u8; 32], BuiltLayer>,
    pub(super) stages: Vec<Promise<StageDone>>,
    #[cfg(feature = "run")]
    pub(super) workshop: Workshop,
}

/// The directories that files are copied from.
pub(super) struct Contexts {
    main: Arc<Tree>,
    named: Vec<Option<Arc<Tree>>>,
}

impl Contexts {
    fn open(spec: &DockerfileSpec) -> Result<Self> {
        let named = spec.contexts.iter().map(|context| match &context.source {
            ContextSource::Directory(path) => {
                let tree = Tree::open(path).map_err(|error| context.name.place.wrap(error, "cannot use this context"))?;
                Ok(Some(Arc::new(tree)))
            }
            ContextSource::Layout(_) | ContextSource::Base(_) => Ok(None),
        });
        Ok(Contexts { main: Arc::new(Tree::open(&spec.context)?), named: named.collect::<Result<_>>()? })
    }

    /// The main context, or the one with a name at this position.
    pub(super) fn tree(&self, named: Option<usize>) -> &Arc<Tree> {
        named.and_then(|position| self.named.get(position)?.as_ref()).unwrap_or(&self.main)
    }
}

/// A stage that is built.
pub(super) struct StageDone {
    pub(super) layers: Vec<Layered>,
    pub(super) history: Vec<History>,
    pub(super) steps: Vec<BuiltStep>,
    /// Its files, once somebody needs them.
    files: Mutex<Option<Arc<Files>>>,
}

/// A layer of a stage, with what is known of it without reading it.
#[derive(Clone)]
pub(super) struct Layered {
    pub(super) of: StageLayer,
    /// What it was made of in this build.
    pub(super) planned: Option<Arc<Vec<Planned>>>,
}

impl StageDone {
    pub(super) fn new(layers: Vec<Layered>, history: Vec<History>, steps: Vec<BuiltStep>, files: Option<Files>) -> Self {
        StageDone { layers, history, steps, files: Mutex::new(files.map(Arc::new)) }
    }

    /// Its files.
    pub(super) fn files(&self, engine: &Engine<'_>) -> Result<Arc<Files>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &*files {
            return Ok(files.clone());
        }
        let mut loaded = Files::default();
        load(engine, &mut loaded, &self.layers, 0)?;
        Ok(files.insert(Arc::new(loaded)).clone())
    }
}

/// Applies the layers from position `from` on to `files`.
pub(super) fn load(engine: &Engine<'_>, files: &mut Files, layers: &[Layered], from: usize) -> Result<()> {
    let read = |layer: &Layered| match &layer.planned {
        Some(planned) => files::listing_of(engine.run, planned),
        None => {
            let label = format!("read layer {}", layer.of.descriptor.digest.short());
            Listing::of(engine.run, &label, &layer.of.layout, &layer.of.descriptor, &layer.of.diff_id, engine.cache)
        }
    };
    let listings = engine.run.pool.concurrently(layers[from..].iter().collect(), read)?;
    for (position, listing) in listings.iter().enumerate() {
        files::apply(files, from + position, listing)?;
    }
    Ok(())
}
