//! From a Dockerfile to a plan: which stages are needed for which platforms, what each of their steps does, and what their configs say.
//!
//! Reads the documents of bases, no layer and no source file, and writes nothing. Every variable is expanded here, so that what cannot be built fails before
//! anything is done. The plan is plain data; stages come after those that they need.

mod automatic;
mod copy;
mod from;
mod go;
mod graph;
mod mount;
mod port;
mod run;
mod scope;
mod settings;
mod signal;
mod stage;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use automatic::EPOCH;
pub use copy::{CopyPlan, DocumentPlan};
#[cfg(feature = "run")]
pub(crate) use run::SCRIPTS;
pub use run::{BindPlan, CachePlan, MountPlan, MountedPlan, RunPlan, SecretPlan, SharedBy, SocketPlan, Writable};

use super::bases::BaseImage;
use super::instruction::Remark;
use super::spec::DockerfileSpec;
use crate::build::place::Place;
use crate::error::Result;
use crate::exec::Run;
use crate::spec::Platform;
use crate::spec::config::{History, ImageConfig};
use crate::store::layout::Options;

/// What will be built.
#[derive(Debug)]
pub struct Plan {
    /// The stages, each after those that it needs. A stage that comes out the same for several platforms stands here once.
    pub stages: Vec<StagePlan>,
    /// For each platform the position of its stage.
    pub targets: Vec<usize>,
    /// What a person should know.
    pub remarks: Vec<Remark>,
}

/// One stage for one platform, or for several that it is the same for.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// What people call it; empty where it is the only one.
    pub name: String,
    /// What its steps run on.
    pub platform: Platform,
    /// What it begins with.
    pub base: StageBase,
    /// The steps that make layers.
    pub steps: Vec<StepPlan>,
    /// What its config says in the end, without layers and history of its own.
    pub config: ImageConfig,
    /// What history says of its own instructions.
    pub history: Vec<HistoryPlan>,
}

impl StagePlan {
    /// The stages of the plan that it begins with, copies from or mounts.
    pub fn needs(&self) -> impl Iterator<Item = usize> {
        let base = if let StageBase::Stage(base) = self.base { Some(base) } else { None };
        let sources = self.steps.iter().flat_map(|step| step.action.sources());
        base.into_iter().chain(sources.filter_map(|source| if let SourceId::Stage(stage) = source { Some(*stage) } else { None }))
    }
}

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum StageBase {
    /// Nothing.
    Scratch,
    /// An image.
    Image(Arc<BaseImage>),
    /// Another stage.
    Stage(usize),
}

/// What history says of one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPlan {
    /// The entry.
    pub entry: History,
    /// The step of the stage that makes its layer, where one does.
    pub layer: Option<usize>,
}

/// A step that makes a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlan {
    /// Where it is asked for.
    pub place: Place,
    /// The lines of the file.
    pub lines: Range<usize>,
    /// The instruction, for people.
    pub written: String,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Copies files.
    Copy(Box<CopyPlan>),
    /// Runs a command.
    Run(Box<RunPlan>),
    /// Makes a directory, where there is none.
    Directory {
        /// The directory, absolute.
        path: String,
        /// Whom it belongs to; empty for root.
        user: String,
    },
}

impl Action {
    /// Where it takes files from.
    fn sources(&self) -> Vec<&SourceId> {
        match self {
            Action::Copy(copy) => vec![&copy.from],
            Action::Run(run) => run.mounts.iter().filter_map(|mount| mount.what.source()).collect(),
            Action::Directory { .. } => Vec::new(),
        }
    }
}

/// Where files are copied from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceId {
    /// The main context.
    Context,
    /// The context at this position among those with names.
    Named(usize),
    /// A stage of the plan.
    Stage(usize),
}

/// Plans a build for `platforms`. Fails before anything is written when a base is missing or a text cannot be expanded.
pub fn plan(run: &Run, spec: &DockerfileSpec, platforms: &[Platform], options: &Options) -> Result<Plan> {
    graph::plan(run, spec, platforms, options)
}

impl Plan {
    /// What a step is called: [`Plan::prefix`], and the instruction.
    pub fn label(&self, stage: usize, step: usize) -> String {
        format!("{} {}", self.prefix(stage, step), shortened(&self.stages[stage].steps[step].written))
    }

    /// The stage of a step, its number, and its platform where there are several.
    pub fn prefix(&self, stage: usize, step: usize) -> String {
        let plan = &self.stages[stage];
        let mut parts = Vec::new();
        if self.stages.iter().any(|other| other.platform != plan.platform) {
            parts.push(plan.platform.to_string());
        }
        if !plan.name.is_empty() {
            parts.push(plan.name.clone());
        }
        parts.push(format!("{}/{}", step + 1, plan.steps.len()));
        format!("[{}]", parts.join(" "))
    }
}

/// The beginning of an instruction, on one line.
fn shortened(written: &str) -> String {
    const MOST: usize = 100;
    let words = written.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}
