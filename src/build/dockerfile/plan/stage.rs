//! One stage for one platform: its instructions, one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::graph::Planner;
use super::scope::{Given, Scope};
use super::settings::Settings;
use super::{Action, SourceId, StageBase, StagePlan, StepPlan, copy, run};
use crate::build::dockerfile::bases::BaseImage;
use crate::build::dockerfile::instruction::{CopySpec, Instruction, Kind, Mode, Paths, Remark, Verb};
use crate::build::place::{At, Place};
use crate::error::{ErrorKind, Result};
use crate::spec::Platform;
use crate::spec::config::ImageConfig;

/// What a stage begins with.
#[derive(Clone, Debug)]
pub(super) enum Begin {
    Scratch,
    Image(Arc<BaseImage>),
    /// The stage at this position of the file.
    Stage(usize),
    /// The files of the context at this position.
    Directory(usize),
}

/// A stage that is planned.
pub(super) struct Planned {
    /// Its position in the plan.
    pub(super) position: usize,
    scope: Scope,
}

/// A stage that is being planned.
pub(super) struct Work {
    stage: StagePlan,
    settings: Settings,
}

/// The triggers that a config has.
pub(super) fn triggers(config: &ImageConfig) -> Vec<String> {
    let list = config.setting("OnBuild").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Work {
    pub(super) fn begin(planner: &Planner<'_>, name: String, begin: &Begin, platform: &Platform, planned: &HashMap<usize, Planned>) -> Result<Work> {
        let mut platform = platform.clone();
        let (base, config, scope) = match begin {
            Begin::Scratch | Begin::Directory(_) => (StageBase::Scratch, Settings::scratch(ImageConfig::new(&platform)), Scope::default()),
            Begin::Image(image) => {
                platform.clone_from(&image.platform);
                (StageBase::Image(image.clone()), image.config.clone(), Scope::default())
            }
            Begin::Stage(position) => {
                let Planned { position, scope } = &planned[position];
                let base = &planner.plan.stages[*position];
                platform.clone_from(&base.platform);
                (StageBase::Stage(*position), base.config.clone(), scope.clone())
            }
        };
        let mut settings = Settings::begin(config, scope, planner.run.timestamps)?;
        settings.take_triggers();
        let stage = StagePlan { name, platform, base, steps: Vec::new(), config: settings.config.clone(), history: Vec::new() };
        // It begins with all that the stage before it had.
        settings.spent = settings.scope.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut work = Work { stage, settings };
        if let Begin::Directory(context) = begin {
            work.copy_all(*context, &planner.spec.contexts[*context].name.place);
        }
        Ok(work)
    }

    /// A stage that is a directory begins with all its files.
    fn copy_all(&mut self, context: usize, place: &Place) {
        let at = |text: &str| At::new(text.to_owned(), place.clone());
        let plan = copy::CopyPlan {
            verb: Verb::Copy,
            from: SourceId::Named(context),
            sources: vec![at("/")],
            documents: Vec::new(),
            to: at("/"),
            chown: None,
            chmod: None,
            mode: Mode::Onto,
            paths: Paths::Name,
            exclude: Vec::new(),
        };
        let step = StepPlan { place: place.clone(), lines: 0..0, written: "the files of a context".to_owned(), action: Action::Copy(Box::new(plan)) };
        self.push(step, "COPY / / # buildkit".to_owned());
    }

    /// Plans one instruction, which copies from `sources`.
    pub(super) fn add(&mut self, instruction: &Instruction, sources: Vec<SourceId>, given: &Given, remarks: &mut Vec<Remark>) -> Result<()> {
        let settings = &mut self.settings;
        match &instruction.kind {
            Kind::Arg(args) => settings.arg(given, args, remarks)?,
            Kind::Env(pairs) => settings.env(given, pairs, remarks)?,
            Kind::Label(pairs) => settings.label(given, pairs, remarks)?,
            Kind::User(user) => settings.user(given, user, remarks)?,
            Kind::Expose(ports) => settings.expose(given, ports, remarks)?,
            Kind::Volume(volumes) => settings.volume(given, volumes, remarks)?,
            Kind::StopSignal(signal) => settings.stop_signal(given, signal, remarks)?,
            Kind::Entrypoint(command) => settings.entrypoint(command),
            Kind::Cmd(command) => settings.cmd(command),
            Kind::Shell(words) => settings.shell(words),
            Kind::Healthcheck(check) => settings.healthcheck(check),
            Kind::Maintainer(name) => settings.maintainer(name),
            Kind::Onbuild(trigger) => settings.onbuild(trigger),
            Kind::Workdir(directory) => {
                let path = settings.workdir(given, directory, remarks)?;
                self.directory(instruction, path);
            }
            Kind::Copy(copy) => self.copy(instruction, copy, sources, given, remarks)?,
            Kind::Run(_) if cfg!(not(feature = "run")) => {
                let error = instruction.place.error(ErrorKind::Unsupported, "this larder was built to run no programs");
                return Err(error.hint("build it with the feature `run`"));
            }
            Kind::Run(run) => {
                let (plan, said) = run::plan(settings, given, run, &sources, remarks)?;
                settings.spent += plan.environment.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                self.push(step(instruction, Action::Run(Box::new(plan))), said);
            }
        }
        Ok(())
    }

    fn directory(&mut self, instruction: &Instruction, path: String) {
        let said = format!("WORKDIR {path}");
        if path == "/" {
            return self.settings.note(said, None);
        }
        let action = Action::Directory { path, user: self.settings.config.user().to_owned() };
        self.push(step(instruction, action), said);
    }

    fn copy(&mut self, instruction: &Instruction, spec: &CopySpec, sources: Vec<SourceId>, given: &Given, remarks: &mut Vec<Remark>) -> Result<()> {
        let from = sources.into_iter().next().unwrap_or(SourceId::Context);
        let (plan, said) = copy::plan(&self.settings, given, spec, from, remarks)?;
        self.settings.spent += plan.documents.iter().map(|document| document.content.len()).sum::<usize>();
        self.push(step(instruction, Action::Copy(Box::new(plan))), said);
        Ok(())
    }

    fn push(&mut self, step: StepPlan, said: String) {
        self.settings.note(said, Some(self.stage.steps.len()));
        self.stage.steps.push(step);
    }

    /// Bytes of what was planned so far.
    pub(super) fn spent(&self) -> usize {
        self.settings.spent
    }

    /// Puts the stage into the plan.
    pub(super) fn finish(self, planner: &mut Planner<'_>) -> Planned {
        let Settings { config, scope, history, .. } = self.settings;
        let position = planner.push(StagePlan { config, history, ..self.stage });
        Planned { position, scope }
    }
}

fn step(instruction: &Instruction, action: Action) -> StepPlan {
    StepPlan { place: instruction.place.clone(), lines: instruction.lines.clone(), written: instruction.written.clone(), action }
}
