//! Building one stage: its steps, one after the other.

use std::cell::OnceCell;
use std::sync::Arc;

use super::bundle;
use super::content::{self, StageLayer};
use super::copy::{self, Archives, Context, Copied, Planned, PlannedNode, Source, Work};
use super::execute::{BuiltStep, Engine, Keys, Layered, Shared, StageDone, load};
use super::files::{self, Files};
use super::ignore::Ignore;
use super::instruction::Mode;
use super::key::Key;
use super::listing::Listing;
use super::owner::{self, Table};
#[cfg(not(feature = "run"))]
use super::plan::RunPlan;
use super::plan::{Action, CopyPlan, SourceId, StageBase, StepPlan};
use crate::build::base::Proof;
use crate::build::cache::Lineage;
use crate::build::execute::{BuiltLayer, Origin, Settled, remember, settle};
use crate::build::place::At;
use crate::build::recipe::{Recipe, Recorder};
use crate::build::takeover::{self, Named};
use crate::error::{ErrorKind, Result};
use crate::layer::changeset::{Item, Node};
use crate::layer::tree::Tree;
use crate::layer::{Layer, builder};
use crate::spec::Algorithm;
use crate::spec::config::History;

/// The largest table of users that is looked into.
const TABLE_BYTES: usize = 16 << 20;

/// Builds the stage at `position` of the plan.
pub(super) fn build(engine: &Engine<'_>, shared: &Shared, position: usize) -> Result<StageDone> {
    let plan = &engine.plan.stages[position];
    let (layers, mut history) = match &plan.base {
        StageBase::Scratch => (Vec::new(), Vec::new()),
        StageBase::Image(image) => {
            let layers = image.layers.iter().zip(&image.diff_ids).map(|(descriptor, diff_id)| Layered {
                of: StageLayer { descriptor: descriptor.clone(), diff_id: diff_id.clone(), layout: image.layout.clone(), proof: Proof::Missing },
                planned: None,
            });
            (layers.collect(), image.config.history())
        }
        StageBase::Stage(base) => {
            let done = shared.stages[*base].wait()?;
            (done.layers.clone(), done.history.clone())
        }
    };
    let mut state = State { engine, shared, position, layers, files: None, loaded: 0 };
    let mut steps = Vec::new();
    for (number, step) in plan.steps.iter().enumerate() {
        engine.run.cancel.check()?;
        let label = engine.plan.label(position, number);
        let done = state.step(step, &label, &engine.plan.prefix(position, number))?;
        let (layer, key) = done.map_or((None, None), |done| (Some(done.layer), done.key));
        steps.push(BuiltStep { label, layer, key });
    }
    for entry in &plan.history {
        let has_layer = entry.layer.is_some_and(|step| steps[step].layer.is_some());
        history.push(History { empty_layer: !has_layer, ..entry.entry.clone() });
    }
    let files = state.files.filter(|_| state.loaded == state.layers.len());
    Ok(StageDone::new(state.layers, history, steps, files))
}

/// A stage between two steps.
pub(super) struct State<'a> {
    pub(super) engine: &'a Engine<'a>,
    pub(super) shared: &'a Shared,
    pub(super) position: usize,
    layers: Vec<Layered>,
    /// What the first `loaded` layers make together, once somebody needed it.
    files: Option<Files>,
    loaded: usize,
}

/// A step that made a layer, and what it is known by elsewhere, where that is to be told.
pub(super) struct Done {
    pub(super) layer: BuiltLayer,
    pub(super) key: Option<Key>,
}

/// What a step puts into the stage.
struct Change<'a> {
    copied: Copied,
    recipe: Recipe,
    /// The layers of what is copied from, and what else decides what the step comes to.
    from: &'a [StageLayer],
    rest: String,
    /// What it has in common with its next version.
    lineage: Lineage,
    /// Where its archives are.
    tree: Option<Arc<Tree>>,
}

impl Change<'_> {
    /// Whether its archives still are what was planned, after the last byte was read. Other files are compared while they are read.
    fn check_still(&self) -> Result<()> {
        let Some(tree) = &self.tree else { return Ok(()) };
        self.copied.archives.iter().try_for_each(|found| tree.open_file(found).map(drop))
    }
}

impl State<'_> {
    fn step(&mut self, step: &StepPlan, label: &str, prefix: &str) -> Result<Option<Done>> {
        self.act(step, label, prefix).map_err(|error| {
            let says_where = error.message().starts_with(&format!("{}:", self.engine.spec.name));
            if says_where || error.kind() == ErrorKind::Interrupted {
                return error;
            }
            let what = match &step.action {
                Action::Copy(_) => "cannot copy".to_owned(),
                Action::Run(_) => "cannot run this step".to_owned(),
                Action::Directory { path, .. } => format!("cannot make `{path}`"),
            };
            step.place.wrap(error, what)
        })
    }

    fn act(&mut self, step: &StepPlan, label: &str, prefix: &str) -> Result<Option<Done>> {
        match &step.action {
            Action::Copy(plan) => self.copy(step, plan, label),
            Action::Run(plan) => self.run(step, plan, label, prefix),
            Action::Directory { path, user } => {
                let owner = self.directory_owner(step, user)?;
                let run = self.engine.run;
                let items = copy::directories(run, self.files()?, path.as_bytes(), owner)?;
                let copied = Copied { items, archives: Vec::new() };
                let recipe = self.recipe(&copied, &[], "");
                let change = Change { copied, recipe, from: &[], rest: String::new(), lineage: self.lineage(step), tree: None };
                let work = self.engine.work;
                self.add(step, label, change, |change| content::fetch(run, label, &[], change.copied.items.clone(), || work.scratch_file()))
            }
        }
    }

    #[cfg(not(feature = "run"))]
    fn run(&mut self, step: &StepPlan, plan: &RunPlan, _: &str, _: &str) -> Result<Option<Done>> {
        Err(step.place.error(ErrorKind::Unsupported, format!("this larder was built to run no programs, `{}` neither", plan.words.join(" "))))
    }

    /// The layers as they are now.
    pub(super) fn stage_layers(&self) -> Vec<StageLayer> {
        self.layers.iter().map(|layer| layer.of.clone()).collect()
    }

    /// Puts a layer on top.
    pub(super) fn push(&mut self, layer: Layered) {
        self.layers.push(layer);
    }

    fn copy(&mut self, step: &StepPlan, plan: &CopyPlan, label: &str) -> Result<Option<Done>> {
        let owner = plan.chown.as_ref().map(|chown| self.owner(chown)).transpose()?;
        if plan.mode == Mode::Onto {
            self.files()?;
        }
        let engine = self.engine;
        let from = From::open(engine, self.shared, &plan.from)?;
        let (source, tree) = from.source();
        let work = Work { run: engine.run, plan, source: &*source, tree, owner };
        let copied = copy::collect(&work, self.files.as_ref(), Archives::Noted)?;
        let rest = if copied.archives.is_empty() { String::new() } else { self.of_archives(plan, owner) };
        let recipe = self.recipe(&copied, from.layers(), &rest);
        let change = Change { copied, recipe, from: from.layers(), rest, lineage: self.lineage(step), tree: tree.cloned() };
        let files = self.files.take();
        let layer = self.add(step, label, change, |change| {
            let scratch = || engine.work.scratch_file();
            let planned = match change.copied.archives.is_empty() {
                true => change.copied.items.clone(),
                false => copy::collect(&work, files.as_ref(), Archives::Read(&scratch))?.items,
            };
            content::fetch(engine.run, label, from.layers(), planned, scratch)
        });
        self.files = self.files.take().or(files);
        layer
    }

    /// Adds the layer of a change, as somebody made it before or as it is made of `items`. A change of nothing adds none.
    fn add(&mut self, step: &StepPlan, label: &str, change: Change<'_>, items: impl FnOnce(&Change<'_>) -> Result<Vec<Item>>) -> Result<Option<Done>> {
        if change.copied.items.is_empty() && change.copied.archives.is_empty() {
            return Ok(None);
        }
        let engine = self.engine;
        let key = OnceCell::new();
        let built = self.shared.layers.get(change.recipe.key, || {
            if let Some(known) = self.known(&change, label)? {
                return Ok(BuiltLayer { layer: known, origin: Origin::Cached });
            }
            if let Some(cache) = engine.cache {
                cache.load_chunks(change.lineage, &self.shared.reuse);
            }
            let settled = settle(engine.run, &change.recipe);
            if !engine.bundles.is_empty()
                && let Some(layer) = bundle::find(engine.run, engine.bundles, label, self.key(&change, &key)?, engine.work)?
            {
                self.remember(&change, label, &layer, settled);
                return Ok(BuiltLayer { layer, origin: Origin::Cached });
            }
            let items = items(&change)?;
            let writer = engine.work.blob_writer(Algorithm::Sha256)?;
            let layer = builder::build(engine.run, label, &items, engine.codec, Some(&self.shared.reuse), writer)?;
            change.check_still()?;
            self.remember(&change, label, &layer, settled);
            Ok(BuiltLayer { layer, origin: Origin::Built })
        });
        let built = built.and_then(|layer| {
            let key = (engine.keys == Keys::Told).then(|| self.key(&change, &key)).transpose()?;
            Ok(Done { layer: (*layer).clone(), key })
        });
        let built = built.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => error,
            _ => step.place.wrap(error, "cannot make the layer of this step"),
        })?;
        let of = StageLayer::new(&built.layer, engine.work);
        let planned = change.copied.archives.is_empty().then(|| Arc::new(change.copied.items));
        self.push(Layered { of, planned });
        Ok(Some(built))
    }

    /// What the change is known by on other machines.
    fn key(&self, change: &Change<'_>, known: &OnceCell<Key>) -> Result<Key> {
        if let Some(key) = known.get().copied().or_else(|| Key::of_recipe(&change.recipe)) {
            return Ok(key);
        }
        let key = Key::of_copy(self.engine.run, self.engine.codec, &change.copied, (change.from, change.tree.as_deref()), &change.rest)?;
        Ok(*known.get_or_init(|| key))
    }

    fn remember(&self, change: &Change<'_>, label: &str, layer: &Layer, settled: Settled) {
        let engine = self.engine;
        if let Some(cache) = engine.cache {
            remember(engine.run, (Named { label, bytes: 0, recipe: &change.recipe }, change.lineage), cache, engine.work, layer, settled);
        }
    }

    fn known(&self, change: &Change<'_>, label: &str) -> Result<Option<Layer>> {
        let Some(cache) = self.engine.cache else { return Ok(None) };
        let bytes = change.copied.items.iter().map(Planned::size).sum::<u64>() + change.copied.archives.iter().map(|found| found.stat.size).sum::<u64>();
        takeover::cached(self.engine.run, Named { label, bytes, recipe: &change.recipe }, cache, self.engine.work, self.engine.options)
    }

    /// The files of the stage as they are now.
    fn files(&mut self) -> Result<&Files> {
        let mut files = match (self.files.take(), &self.engine.plan.stages[self.position].base) {
            (Some(files), _) => files,
            (None, StageBase::Stage(base)) => {
                let below = self.shared.stages[*base].wait()?;
                self.loaded = below.layers.len();
                (*below.files(self.engine)?).clone()
            }
            (None, StageBase::Scratch | StageBase::Image(_)) => Files::default(),
        };
        load(self.engine, &mut files, &self.layers, self.loaded)?;
        self.loaded = self.layers.len();
        Ok(self.files.insert(files))
    }

    /// What decides what comes out of archives besides their content: what is there before, and the plan.
    fn of_archives(&self, plan: &CopyPlan, owner: Option<(u32, u32)>) -> String {
        let sources: Vec<&str> = plan.sources.iter().map(|source| source.value.as_str()).collect();
        let below: Vec<&str> = self.layers.iter().map(|layer| layer.of.diff_id.0.as_str()).collect();
        format!("archives {:?} {sources:?} {:?} {owner:?} {:?} {below:?}", plan.to.value, plan.mode, plan.paths)
    }

    /// What the step comes to, as a hash. `rest` is what decides besides the files.
    fn recipe(&self, copied: &Copied, from: &[StageLayer], rest: &str) -> Recipe {
        let mut recorder = Recorder::new(self.engine.codec, self.engine.run.timestamps);
        let mut last = None;
        for item in &copied.items {
            match &item.node {
                PlannedNode::Ready(node) => recorder.item(&item.path, node, &mut last),
                PlannedNode::Content(entry, at) => {
                    recorder.item(&item.path, &Node::Made(entry.clone(), Arc::default()), &mut last);
                    recorder.text(&format!("{} {}", from[at.layer].diff_id, at.entry));
                }
            }
        }
        if !copied.archives.is_empty() {
            recorder.text(rest);
            copied.archives.iter().for_each(|found| recorder.stat(&found.stat));
        }
        recorder.finish()
    }

    pub(super) fn lineage(&self, step: &StepPlan) -> Lineage {
        let mut hasher = blake3::Hasher::new_derive_key("larder step lineage 1");
        let context = std::path::absolute(&self.engine.spec.context).unwrap_or_else(|_| self.engine.spec.context.clone());
        let stage = &self.engine.plan.stages[self.position];
        for part in [format!("{context:?}"), self.engine.codec.contract(), stage.name.clone(), stage.platform.to_string(), step.written.clone()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Lineage(*hasher.finalize().as_bytes())
    }

    fn owner(&mut self, written: &At<String>) -> Result<(u32, u32)> {
        owner::numbers(written, |table| self.table(table))
    }

    /// Whom a working directory belongs to. A user whom the stage does not know is root, as for BuildKit.
    fn directory_owner(&mut self, step: &StepPlan, user: &str) -> Result<(u32, u32)> {
        if user.is_empty() {
            return Ok((0, 0));
        }
        match self.owner(&At::new(user.to_owned(), step.place.clone())) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.engine.run.events.warn(format!("{}; the directory belongs to root", error.message()));
                Ok((0, 0))
            }
            outcome => outcome,
        }
    }

    /// The content of a table of the stage.
    fn table(&mut self, table: Table) -> Result<Option<Vec<u8>>> {
        let at = match files::regular(self.files()?, table.path())? {
            Some(info) => info.at,
            None => return Ok(None),
        };
        let layer = &self.layers[at.layer];
        let label = format!("look into layer {}", layer.of.descriptor.digest.short());
        let known = match &layer.planned {
            Some(_) => None,
            None => Listing::of(self.engine.run, &label, &layer.of.layout, &layer.of.descriptor, &layer.of.diff_id, self.engine.cache)?.small.remove(&at.entry),
        };
        if let Some(known) = known {
            return Ok(Some(known));
        }
        content::read(self.engine.run, &label, &self.stage_layers(), at, TABLE_BYTES).map(Some)
    }
}

/// An opened source of a copy.
pub(super) enum From<'a> {
    Context { tree: Arc<Tree>, ignore: &'a Ignore },
    Stage { files: Arc<Files>, layers: Vec<StageLayer> },
}

impl<'a> From<'a> {
    pub(super) fn open(engine: &'a Engine<'_>, shared: &Shared, id: &SourceId) -> Result<Self> {
        Ok(match id {
            SourceId::Context => From::Context { tree: shared.contexts.tree(None).clone(), ignore: &engine.spec.ignore },
            SourceId::Named(position) => From::Context { tree: shared.contexts.tree(Some(*position)).clone(), ignore: &engine.spec.contexts[*position].ignore },
            SourceId::Stage(position) => {
                let done = shared.stages[*position].wait()?;
                From::Stage { files: done.files(engine)?, layers: done.layers.iter().map(|layer| layer.of.clone()).collect() }
            }
        })
    }

    pub(super) fn source(&self) -> (Box<dyn Source + '_>, Option<&Arc<Tree>>) {
        match self {
            From::Context { tree, ignore } => (Box::new(Context { tree: tree.clone(), ignore }), Some(tree)),
            From::Stage { files, .. } => (Box::new(&**files), None),
        }
    }

    pub(super) fn layers(&self) -> &[StageLayer] {
        match self {
            From::Context { .. } => &[],
            From::Stage { layers, .. } => layers,
        }
    }
}
