//! `RUN`: the root filesystem of a stage as directories, the command in it, and a layer of what it changed.
//!
//! What a step comes to is decided, as far as anybody can know beforehand, by the layers below it, the command with its environment, and what is mounted for it from
//! contexts and stages, by content. The content of secrets and caches does not count, as for BuildKit.

mod caches;
mod directory;
mod mounts;
mod output;
mod workshop;

use std::sync::Arc;

use super::content::StageLayer;
use super::copy::{Planned, PlannedNode};
use super::execute::{Engine, Layered};
use super::plan::{Action, RunPlan, SCRIPTS, StepPlan};
use super::spec::Network;
use super::stage::State;
use crate::build::execute::{BuiltLayer, Origin, remember, settle};
use crate::build::recipe::{Recipe, Recorder};
use crate::build::takeover::{self, Named};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::changeset::Item;
use crate::layer::{builder, overlay};
use crate::runtime::{self, Failure, Outcome, Step, interpreter};
use crate::spec::{Algorithm, text};
use mounts::Mounted;
use output::Listener;
pub(super) use workshop::Workshop;

/// Says what this machine lacks of what the steps of the plan need, before anything is done.
pub(super) fn check(engine: &Engine<'_>) -> Result<()> {
    let mut checked = Vec::new();
    for stage in &engine.plan.stages {
        let Some(step) = stage.steps.iter().find(|step| matches!(step.action, Action::Run(_))) else { continue };
        if checked.is_empty() {
            workshop::program(&engine.spec.machine).map_err(|error| step.place.wrap(error, "cannot run this step"))?;
        }
        if !checked.contains(&&stage.platform) {
            interpreter::check(&stage.platform).map_err(|error| step.place.wrap(error, "cannot run this step"))?;
            checked.push(&stage.platform);
        }
    }
    Ok(())
}

impl State<'_> {
    /// Runs a command, unless it is known what it changes.
    pub(super) fn run(&mut self, step: &StepPlan, plan: &RunPlan, label: &str, prefix: &str) -> Result<Option<BuiltLayer>> {
        let (engine, shared) = (self.engine, self.shared);
        let layers = self.stage_layers();
        let mounted = Mounted::find(engine, shared, plan)?;
        let recipe = recipe(engine, &engine.plan.stages[self.position].platform.to_string(), &layers, plan, &mounted);
        let lineage = self.lineage(step);
        let mut items = None;
        let built = shared.layers.get(recipe.key, || {
            let named = Named { label, bytes: 0, recipe: &recipe };
            if let Some(cache) = engine.cache
                && let Some(known) = takeover::cached(engine.run, named, cache, engine.work, engine.options)?
            {
                return Ok(BuiltLayer { layer: known, origin: Origin::Cached });
            }
            if let Some(cache) = engine.cache {
                cache.load_chunks(lineage, &shared.reuse);
            }
            let settled = settle(engine.run, &recipe);
            let workspace = shared.workshop.workspace(engine)?;
            let lowers = shared.workshop.lowers(engine, &layers)?;
            let upper = {
                let (mounts, environment) = mounted.ready(engine, shared, &workspace)?;
                let environment =
                    plan.environment.iter().filter(|(name, _)| !environment.iter().any(|(own, _)| own == name)).cloned().chain(environment.clone());
                let runtime_step = Step {
                    lowers: lowers.clone(),
                    command: plan.words.clone(),
                    environment: environment.collect(),
                    directory: plan.directory.clone(),
                    user: plan.user.clone(),
                    network: match plan.network {
                        Network::None => runtime::Network::None,
                        Network::Host => runtime::Network::Host,
                    },
                    mounts: mounts.iter().map(|mount| mount.mount.clone()).collect(),
                    hosts: Vec::new(),
                };
                let _task = engine.run.events.start(label, None);
                let mut listener = Listener::new(engine.run, prefix);
                match workspace.step(&runtime_step, &engine.run.cancel, &mut |stream, line| listener.hear(stream, line))? {
                    Outcome::Done(changes) => changes.upper,
                    Outcome::Failed(failure) => return Err(failed(step, &failure, listener.last())),
                }
            };
            let changes = overlay::changes(engine.run, &upper, &lowers)?;
            for socket in &changes.sockets {
                engine.run.events.warn(format!("{}: the socket `/{}` is in no layer", step.place, text::bytes(socket)));
            }
            let writer = engine.work.blob_writer(Algorithm::Sha256)?;
            let layer = builder::build(engine.run, label, &changes.items, engine.codec, Some(&shared.reuse), writer)?;
            let stored = StageLayer { descriptor: layer.descriptor.clone(), diff_id: layer.diff_id.clone(), layout: engine.work.clone() };
            shared.workshop.add(&layers, &stored, lowers, upper);
            if let Some(cache) = engine.cache {
                remember(engine.run, (named, lineage), cache, engine.work, &layer, settled);
            }
            items = Some(changes.items);
            Ok(BuiltLayer { layer, origin: Origin::Built })
        });
        let built = built.map_err(|error| match error.message().starts_with(&format!("{}:", engine.spec.name)) {
            _ if error.kind() == ErrorKind::Interrupted => error,
            // It says where already.
            true => error,
            false => step.place.wrap(error, "cannot run this step"),
        })?;
        let of = StageLayer { descriptor: built.layer.descriptor.clone(), diff_id: built.layer.diff_id.clone(), layout: engine.work.clone() };
        self.push(Layered { of, planned: items.map(|items| Arc::new(items.into_iter().map(planned).collect())) });
        Ok(Some((*built).clone()))
    }
}

fn planned(item: Item) -> Planned {
    Planned { path: item.path, node: PlannedNode::Ready(item.node) }
}

/// What a step comes to, as a hash.
fn recipe(engine: &Engine<'_>, platform: &str, layers: &[StageLayer], plan: &RunPlan, mounted: &Mounted<'_>) -> Recipe {
    let mut recorder = Recorder::new(engine.codec, engine.run.timestamps);
    recorder.text("run 1");
    recorder.text(platform);
    layers.iter().for_each(|layer| recorder.text(layer.diff_id.0.as_str()));
    recorder.text("command");
    // The debug form spells out every field, and it is compared with nothing but itself.
    recorder.text(&format!("{:?}", (&plan.words, &plan.script, &plan.environment, &plan.directory, &plan.user, plan.network)));
    mounted.record(&mut recorder);
    recorder.finish()
}

/// The error for a command that did not succeed.
fn failed(step: &StepPlan, failure: &Failure, last: Option<String>) -> Error {
    let what = match failure.status {
        status @ 0..=128 => format!("the command ended with exit status {status}"),
        status => format!("the command was ended by signal {}", status - 128),
    };
    let mut error = step.place.error(ErrorKind::Io, what);
    if let Some(last) = last {
        error = error.because(Error::new(ErrorKind::Io, format!("the last line that it wrote is `{}`", text::shown(&last))));
    }
    match (&failure.hint, failure.status) {
        (Some(hint), _) => error.hint(hint.clone()),
        (None, 127) => error.hint("127 means that a program was not found"),
        (None, _) => error,
    }
}
