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

use super::bundle;
use super::content::StageLayer;
use super::copy::{Planned, PlannedNode};
use super::execute::{Engine, Layered};
use super::key::Key;
use super::plan::{Action, RunPlan, SCRIPTS, StepPlan};
use super::spec::Network;
use super::stage::{Done, State};
use crate::build::execute::{BuiltLayer, Origin, remember, settle};
use crate::build::recipe::{Recipe, Recorder};
use crate::build::takeover::{self, Named};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::changeset::Item;
use crate::layer::{builder, overlay};
use crate::runtime::{self, Changes, Failure, Outcome, Step, interpreter};
use crate::spec::{Algorithm, Platform, text};
use mounts::Mounted;
use output::Listener;
pub(super) use workshop::Workshop;

/// Says what this machine lacks of what the steps of the plan need, before anything is done. With the cache of another machine it may be that no step has to run.
pub(super) fn check(engine: &Engine<'_>) -> Result<()> {
    if !engine.bundles.is_empty() {
        return Ok(());
    }
    let mut checked = Vec::new();
    for stage in &engine.plan.stages {
        let Some(step) = stage.steps.iter().find(|step| matches!(step.action, Action::Run(_))) else { continue };
        if checked.is_empty() {
            workshop::program(&engine.spec.machine).map_err(|error| step.place.wrap(error, "cannot run this step"))?;
        }
        if !checked.contains(&&stage.platform) {
            check_platform(&stage.platform, step)?;
            checked.push(&stage.platform);
        }
    }
    Ok(())
}

fn check_platform(platform: &Platform, step: &StepPlan) -> Result<()> {
    interpreter::check(platform).map_err(|error| step.place.wrap(error, "cannot run this step"))
}

impl State<'_> {
    /// Runs a command, unless it is known what it changes.
    pub(super) fn run(&mut self, step: &StepPlan, plan: &RunPlan, label: &str, prefix: &str) -> Result<Option<Done>> {
        let (engine, shared) = (self.engine, self.shared);
        let layers = self.stage_layers();
        let mounted = Mounted::find(engine, shared, plan)?;
        let recipe = recipe(engine, &engine.plan.stages[self.position].platform.to_string(), &layers, plan, &mounted);
        let lineage = self.lineage(step);
        let key = Key::of(&recipe);
        let mut items = None;
        let built = shared.layers.get(recipe.key, || {
            let named = Named { label, bytes: 0, recipe: &recipe };
            if let Some(cache) = engine.cache
                && let Some(known) = takeover::cached(engine.run, named, cache, engine.work, engine.options)?
            {
                return Ok(BuiltLayer { layer: known, origin: Origin::Cached });
            }
            let settled = settle(engine.run, &recipe);
            if let Some(layer) = bundle::find(engine.run, engine.bundles, label, key, engine.work)? {
                if let Some(cache) = engine.cache {
                    remember(engine.run, (named, lineage), cache, engine.work, &layer, settled);
                }
                return Ok(BuiltLayer { layer, origin: Origin::Cached });
            }
            if !engine.bundles.is_empty() {
                check_platform(&engine.plan.stages[self.position].platform, step)?;
            }
            if let Some(cache) = engine.cache {
                cache.load_chunks(lineage, &shared.reuse);
            }
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
                let outcome = workspace.step(&runtime_step, &engine.run.cancel, &mut |stream, line| listener.hear(stream, line))?;
                if let Outcome::Done(Changes { copied: Some(why), .. }) | Outcome::Failed(Failure { copied: Some(why), .. }) = &outcome {
                    shared.workshop.tell(engine, why)?;
                }
                match outcome {
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
            let built = BuiltLayer { layer, origin: Origin::Built };
            shared.workshop.add(&layers, &StageLayer::new(&built, engine.work), lowers, upper);
            if let Some(cache) = engine.cache {
                remember(engine.run, (named, lineage), cache, engine.work, &built.layer, settled);
            }
            items = Some(changes.items);
            Ok(built)
        })?;
        let of = StageLayer::new(&built, engine.work);
        self.push(Layered { of, planned: items.map(|items| Arc::new(items.into_iter().map(planned).collect())) });
        Ok(Some(Done { layer: (*built).clone(), key: Some(key) }))
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

/// How a command ended. Those whose signal it was have 128 more than its number; a command can end with such a status by itself, and with those beyond all signals.
fn ending(status: u8) -> String {
    /// The highest number of a signal.
    const LAST: u8 = 64;
    match status.checked_sub(128) {
        Some(signal @ 1..=LAST) => format!("the command was ended by signal {signal}"),
        _ => format!("the command ended with exit status {status}"),
    }
}

/// The error for a command that did not succeed.
fn failed(step: &StepPlan, failure: &Failure, last: Option<String>) -> Error {
    let mut error = step.place.error(ErrorKind::Io, ending(failure.status));
    if let Some(last) = last {
        error = error.because(Error::new(ErrorKind::Io, format!("the last line that it wrote is `{}`", text::shown(&last))));
    }
    match (&failure.hint, failure.status) {
        (Some(hint), _) => error.hint(hint.clone()),
        (None, 127) => error.hint("127 means that a program was not found"),
        (None, 126) => error.hint("126 means that a program could not be executed: it lacks the permission, or is for another machine"),
        (None, _) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::ending;

    #[test]
    fn only_what_can_be_a_signal_is_called_one() {
        for status in [1, 127, 128, 193, 200, 255] {
            assert_eq!(ending(status), format!("the command ended with exit status {status}"));
        }
        for (status, signal) in [(129, 1), (137, 9), (192, 64)] {
            assert_eq!(ending(status), format!("the command was ended by signal {signal}"));
        }
    }
}
