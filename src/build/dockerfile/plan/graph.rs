//! Which stages are needed, and in which order they are planned.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::from::{Meaning, Names};
use super::scope::Given;
use super::stage::{self, Begin};
use super::{Plan, SourceId, StagePlan, automatic};
use crate::build::dockerfile::bases::{self, BaseImage, Bases, ContextSource};
use crate::build::dockerfile::bounds::{PLANNED_BYTES, REMARKS};
use crate::build::dockerfile::expand::Lexer;
use crate::build::dockerfile::instruction::{Instruction, Kind, MountSpec, Remark};
use crate::build::dockerfile::parse::parse_trigger;
use crate::build::dockerfile::spec::DockerfileSpec;
use crate::build::place::{At, Place};
use crate::error::Result;
use crate::exec::Run;
use crate::spec::{Platform, text};
use crate::store::layout::Options;

pub(super) fn plan(run: &Run, spec: &DockerfileSpec, platforms: &[Platform], options: &Options) -> Result<Plan> {
    let names = Names { stages: &spec.file.stages, contexts: &spec.contexts };
    let target = names.target(spec.target.as_ref())?;
    let bases = Bases::open(&spec.bases, options)?;
    let mut planner = Planner {
        run,
        spec,
        names,
        bases,
        options,
        plan: Plan { stages: Vec::new(), targets: Vec::new(), remarks: spec.file.remarks.clone() },
        images: HashMap::new(),
        spent: 0,
    };
    for platform in platforms {
        let stage = planner.platform(platform, target)?;
        planner.plan.targets.push(stage);
    }
    planner.tell_unused_args();
    Ok(planner.plan)
}

pub(super) struct Planner<'a> {
    pub(super) run: &'a Run,
    pub(super) spec: &'a DockerfileSpec,
    pub(super) names: Names<'a>,
    bases: Bases,
    options: &'a Options,
    pub(super) plan: Plan,
    /// Images that were looked for, by name and platform.
    images: HashMap<(String, String), Arc<BaseImage>>,
    /// Bytes of what was planned so far.
    spent: usize,
}

/// A stage that is needed, before its instructions are planned.
struct Needed {
    begin: Begin,
    platform: Platform,
    /// Its instructions, those of its base's triggers first.
    instructions: Vec<(Instruction, Vec<Option<Meaning>>)>,
}

impl Planner<'_> {
    /// Plans the target stage for one platform and all that it needs, and returns its position.
    fn platform(&mut self, platform: &Platform, target: usize) -> Result<usize> {
        let given = self.given(platform, target)?;
        let mut needed: HashMap<usize, Needed> = HashMap::new();
        let mut wanted = BTreeSet::from([target]);
        // A stage needs only stages before it, so that one way back finds all.
        while let Some(position) = wanted.pop_last() {
            let stage = self.needed(position, platform, &given)?;
            if let Begin::Stage(base) = stage.begin {
                wanted.insert(base);
            }
            for meaning in stage.instructions.iter().flat_map(|(_, meanings)| meanings).flatten() {
                if let Meaning::Stage(source) = meaning {
                    wanted.insert(*source);
                }
            }
            needed.insert(position, stage);
        }
        let mut positions: Vec<usize> = needed.keys().copied().collect();
        positions.sort_unstable();
        let mut planned: HashMap<usize, stage::Planned> = HashMap::new();
        for position in positions {
            let Some(stage) = needed.remove(&position) else { continue };
            let done = self.stage(position, stage, &given, &planned)?;
            planned.insert(position, done);
        }
        Ok(planned[&target].position)
    }

    fn given(&mut self, platform: &Platform, target: usize) -> Result<Given> {
        let build_args: HashMap<String, String> = self.spec.build_args.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect();
        let name = self.spec.file.stages[target].name.as_ref().map_or("", |name| &name.value);
        let mut globals = automatic::arguments(&self.spec.host, platform, name, self.run.timestamps);
        for (name, value) in &mut globals {
            if let Some(given) = build_args.get(name) {
                value.clone_from(given);
            }
        }
        let mut given = Given { network: self.spec.machine.network, lexer: Lexer::new(self.spec.file.directives.escape), build_args, globals };
        let mut remarks = Vec::new();
        given.declare(&self.spec.file.args, &mut remarks)?;
        self.remark(remarks);
        Ok(given)
    }

    /// Finds out what a stage begins with and what its instructions copy from.
    fn needed(&mut self, position: usize, target: &Platform, given: &Given) -> Result<Needed> {
        let stage = &self.spec.file.stages[position];
        let mut remarks = Vec::new();
        let platform = match &stage.platform {
            None => target.clone(),
            Some(written) => {
                let expanded = given.expand(written, &mut remarks)?;
                Platform::parse_with(&expanded.value, &self.spec.host).map_err(|error| written.place.wrap(error, "cannot read the platform of this stage"))?
            }
        };
        let base = given.expand(&stage.base, &mut remarks)?;
        self.remark(remarks);
        if let Some(context) = self.names.replaced(position) {
            return Ok(Needed { begin: self.context(context, &platform)?, platform, instructions: Vec::new() });
        }
        let begin = match self.names.base(&base, position)? {
            Meaning::Scratch => Begin::Scratch,
            Meaning::Stage(stage) => Begin::Stage(stage),
            Meaning::Context(context) => self.context(context, &platform)?,
            Meaning::Image(name) => Begin::Image(self.image(&name, &platform)?),
        };
        let triggers = match &begin {
            Begin::Image(image) => stage::triggers(&image.config),
            Begin::Stage(base) => {
                let own = self.spec.file.stages[*base].instructions.iter();
                own.filter_map(|instruction| if let Kind::Onbuild(trigger) = &instruction.kind { Some(trigger.clone()) } else { None }).collect()
            }
            Begin::Scratch | Begin::Directory(_) => Vec::new(),
        };
        let name = format!("ONBUILD of {}", text::shown(&base.value));
        let triggers = triggers.iter().map(|trigger| parse_trigger(&name, trigger)).collect::<Result<Vec<_>>>();
        let triggers = triggers.map_err(|error| stage.base.place.wrap(error, "the base has a trigger that cannot be read"))?;
        let all = triggers.into_iter().chain(stage.instructions.iter().cloned());
        let instructions = all.map(|instruction| {
            let meanings = self.sources(&instruction, position)?;
            Ok((instruction, meanings))
        });
        Ok(Needed { begin, platform, instructions: instructions.collect::<Result<_>>()? })
    }

    /// What an instruction copies from or mounts; none is the main context.
    fn sources(&self, instruction: &Instruction, position: usize) -> Result<Vec<Option<Meaning>>> {
        let find = |name: &At<String>| self.names.source(name, position);
        match &instruction.kind {
            Kind::Copy(copy) => Ok(vec![copy.from.as_ref().map(find).transpose()?]),
            Kind::Run(run) => {
                let from = |mount: &MountSpec| {
                    let field = mount.fields.iter().find(|(key, _)| key == "from").and_then(|(_, value)| value.clone());
                    field.map(|name| find(&At::new(name, mount.place.clone()))).transpose()
                };
                run.mounts.iter().map(from).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    fn context(&mut self, position: usize, platform: &Platform) -> Result<Begin> {
        Ok(match &self.spec.contexts[position].source {
            ContextSource::Directory(_) => Begin::Directory(position),
            ContextSource::Base(name) => Begin::Image(self.image(name, platform)?),
            ContextSource::Layout(location) => Begin::Image(self.layout(location, platform)?),
        })
    }

    fn image(&mut self, name: &At<String>, platform: &Platform) -> Result<Arc<BaseImage>> {
        let key = (name.value.clone(), platform.to_string());
        if let Some(known) = self.images.get(&key) {
            return Ok(known.clone());
        }
        let image = Arc::new(self.bases.find(name, platform)?);
        self.images.insert(key, image.clone());
        Ok(image)
    }

    fn layout(&mut self, location: &At<String>, platform: &Platform) -> Result<Arc<BaseImage>> {
        // No name of an image has a blank.
        let key = (format!("layout {}", location.value), platform.to_string());
        if let Some(known) = self.images.get(&key) {
            return Ok(known.clone());
        }
        let image = Arc::new(bases::only(location, platform, self.options)?);
        self.images.insert(key, image.clone());
        Ok(image)
    }

    fn stage(&mut self, position: usize, needed: Needed, given: &Given, planned: &HashMap<usize, stage::Planned>) -> Result<stage::Planned> {
        let name = self.stage_name(position);
        let mut work = stage::Work::begin(self, name, &needed.begin, &needed.platform, planned)?;
        self.spend(&self.spec.file.stages[position].place, work.spent())?;
        for (instruction, meanings) in &needed.instructions {
            let sources = meanings.iter().map(|meaning| self.source(meaning.as_ref(), &needed.platform, planned)).collect::<Result<Vec<_>>>()?;
            let mut remarks = Vec::new();
            let before = work.spent();
            work.add(instruction, sources, given, &mut remarks)?;
            self.spend(&instruction.place, work.spent() - before)?;
            self.remark(remarks);
        }
        Ok(work.finish(self))
    }

    fn stage_name(&self, position: usize) -> String {
        let stages = &self.spec.file.stages;
        match &stages[position].name {
            Some(name) => name.value.clone(),
            None if stages.len() == 1 => String::new(),
            None => format!("stage-{position}"),
        }
    }

    /// Where something is copied from.
    fn source(&mut self, meaning: Option<&Meaning>, platform: &Platform, planned: &HashMap<usize, stage::Planned>) -> Result<SourceId> {
        let begin = match meaning {
            None => return Ok(SourceId::Context),
            Some(Meaning::Stage(stage)) => return Ok(SourceId::Stage(planned[stage].position)),
            Some(Meaning::Context(context)) if self.spec.contexts[*context].source.is_directory() => return Ok(SourceId::Named(*context)),
            Some(Meaning::Context(context)) => self.context(*context, platform)?,
            Some(Meaning::Scratch) => Begin::Scratch,
            Some(Meaning::Image(name)) => Begin::Image(self.image(name, platform)?),
        };
        Ok(SourceId::Stage(self.bare(begin, platform)?))
    }

    /// A stage that is nothing but an image.
    fn bare(&mut self, begin: Begin, platform: &Platform) -> Result<usize> {
        let work = stage::Work::begin(self, String::new(), &begin, platform, &HashMap::new())?;
        Ok(work.finish(self).position)
    }

    /// Adds a stage unless it is there already.
    pub(super) fn push(&mut self, stage: StagePlan) -> usize {
        match self.plan.stages.iter().position(|known| *known == stage) {
            Some(known) => known,
            None => {
                self.plan.stages.push(stage);
                self.plan.stages.len() - 1
            }
        }
    }

    /// Whoever writes `ENV` lines that double each other gets an error instead of all memory.
    fn spend(&mut self, place: &Place, bytes: usize) -> Result<()> {
        self.spent += bytes;
        match self.spent > PLANNED_BYTES {
            true => Err(place.usage(format!("environments and history of this build have more than {PLANNED_BYTES} bytes"))),
            false => Ok(()),
        }
    }

    fn remark(&mut self, remarks: Vec<Remark>) {
        for remark in remarks {
            if self.plan.remarks.len() < REMARKS && !self.plan.remarks.contains(&remark) {
                self.plan.remarks.push(remark);
            }
        }
    }

    /// Tells of arguments of the call that no `ARG` takes.
    fn tell_unused_args(&mut self) {
        let file = &self.spec.file;
        let in_stages = file.stages.iter().flat_map(|stage| &stage.instructions).filter_map(|instruction| match &instruction.kind {
            Kind::Arg(args) => Some(args),
            _ => None,
        });
        let declared: HashSet<&str> = file.args.iter().chain(in_stages.flatten()).map(|arg| arg.name.value.as_str()).collect();
        let known: Vec<&str> = declared.iter().copied().collect();
        let automatic = automatic::arguments(&self.spec.host, &self.spec.host, "", self.run.timestamps);
        let mut remarks = Vec::new();
        for (name, _) in &self.spec.build_args {
            let own = name.value.as_str();
            let needs_none =
                automatic::PROXIES.iter().any(|proxy| own.eq_ignore_ascii_case(proxy)) || own.starts_with("BUILDKIT_") || automatic.contains_key(own);
            if !declared.contains(own) && !needs_none {
                let near = text::nearest(own, known.iter().copied()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let message = format!("no ARG takes `{}`{near}", text::shown(own));
                remarks.push(Remark { rule: "UnusedBuildArg", place: name.place.clone(), message });
            }
        }
        self.remark(remarks);
    }
}
