//! Building from a Dockerfile: the stages, in a work space of their own, before the image is put together of them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::staging::Staging;
use super::{BuildRequest, LayerPlanReport, LayerReport, PlatformPlanReport, layer_report, staging_place};
use crate::build::base::{BaseOrigin, PlatformBase};
use crate::build::dockerfile::bundle::{self, Bundle, Scope, Step};
use crate::build::dockerfile::execute::{self, Built, Engine, Keys};
use crate::build::dockerfile::parse::Severity;
#[cfg(feature = "run")]
use crate::build::dockerfile::plan::Action;
use crate::build::dockerfile::plan::{self, Plan, StageBase};
use crate::build::dockerfile::spec::DockerfileSpec;
use crate::build::place::{At, Place};
use crate::error::{ErrorKind, Result};
use crate::exec::Run;
use crate::spec::Platform;
use crate::store::layout::{Layout, Options};

/// Plans, and tells what a person should know of the file.
pub(super) fn plan(run: &Run, spec: &DockerfileSpec, platforms: &[Platform], options: &Options) -> Result<Plan> {
    let plan = plan::plan(run, spec, platforms, options)?;
    let checks = &spec.file.directives.checks;
    for remark in plan.remarks.iter().filter(|remark| checks.wants(remark.rule)) {
        match checks.severity {
            Severity::Warning => run.events.warn(format!("{}: {} ({})", remark.place, remark.message, remark.rule)),
            Severity::Error => {
                return Err(remark.place.usage(format!("{} ({})", remark.message, remark.rule)).hint("`# check=error=true` makes this an error"));
            }
        }
    }
    Ok(plan)
}

/// Whether a build runs programs. Fails as planning does.
#[cfg(feature = "run")]
pub fn runs_programs(run: &Run, request: &BuildRequest) -> Result<bool> {
    let Some(spec) = &request.dockerfile else { return Ok(false) };
    let platforms = match request.spec.platforms.as_slice() {
        [] => std::slice::from_ref(&request.host),
        given => given,
    };
    let plan = plan::plan(run, spec, platforms, &request.options)?;
    Ok(plan.stages.iter().flat_map(|stage| &stage.steps).any(|step| matches!(step.action, Action::Run(_))))
}

/// The platforms and the steps that a plan has.
pub(super) fn plan_report(plan: &Plan, platforms: &[Platform]) -> (Vec<PlatformPlanReport>, Vec<LayerPlanReport>) {
    let mut first = Vec::new();
    let mut steps = Vec::new();
    for (position, stage) in plan.stages.iter().enumerate() {
        first.push(steps.len());
        steps.extend((0..stage.steps.len()).map(|step| LayerPlanReport { label: plan.label(position, step), entries: None, bytes: None, cached: None }));
    }
    let reports = platforms.iter().zip(&plan.targets).map(|(platform, target)| {
        // The steps of the target's own chain of stages; others are there for what is copied.
        let (mut layers, mut base, mut at) = (Vec::new(), None, *target);
        loop {
            let stage = &plan.stages[at];
            layers.splice(0..0, first[at]..first[at] + stage.steps.len());
            match &stage.base {
                StageBase::Scratch => break,
                StageBase::Stage(below) => at = *below,
                StageBase::Image(image) => {
                    base = Some(image.clone());
                    break;
                }
            }
        }
        PlatformPlanReport {
            platform: platform.to_string(),
            base: base.as_ref().map(|base| base.manifest.digest.clone()),
            base_layers: base.map_or(0, |base| base.layers.len()),
            layers,
        }
    });
    (reports.collect(), steps)
}

/// The stages as they were built, and where.
pub(super) struct Stages {
    built: Built,
    work: Arc<Layout>,
    /// The work space, where it is one for a while.
    staging: Option<Staging>,
}

impl Stages {
    /// Builds them: in the cache, where there is one, else beside `layout`.
    pub(super) fn build(run: &Run, request: &BuildRequest, plan: &Plan, layout: &Layout) -> Result<Stages> {
        let Some(spec) = &request.dockerfile else { return Err(crate::Error::usage("there is no Dockerfile")) };
        let (work, staging) = work_space(run, request, layout)?;
        let bundles = bundles(run, spec, &request.options)?;
        let engine = Engine {
            run,
            spec,
            plan,
            codec: request.spec.compression.unwrap_or_default(),
            work: &work,
            cache: request.cache.as_ref().filter(|_| staging.is_none()),
            bundles: &bundles,
            keys: if spec.cache_to.is_empty() { Keys::Untold } else { Keys::Told },
            options: &request.options,
        };
        let built = execute::execute(&engine)?;
        drop(bundles);
        let stages = Stages { built, work, staging };
        spec.cache_to.iter().try_for_each(|to| bundle::write(run, to, &stages.steps(to.value.scope), &stages.work, &request.options))?;
        Ok(stages)
    }

    /// Whether their layers stay in the cache.
    pub(super) fn are_kept(&self) -> bool {
        self.staging.is_none()
    }

    /// What a bundle has of them.
    fn steps(&self, scope: Scope) -> Vec<Step<'_>> {
        let in_image =
            |step: &Step<'_>| self.built.images.iter().flat_map(|image| &image.layers).any(|layer| layer.descriptor.digest == step.layer.descriptor.digest);
        let steps = self.built.steps.iter().filter_map(|step| Some(Step { key: step.key?, label: &step.label, layer: &step.layer.as_ref()?.layer }));
        steps.filter(|step| scope == Scope::Max || in_image(step)).collect()
    }

    /// The images of the target stage, one for each platform.
    pub(super) fn images(&self, request: &BuildRequest) -> Vec<PlatformBase> {
        let file = request.dockerfile.as_ref().map(|spec| spec.file.stages[0].place.clone());
        let place = file.unwrap_or_else(|| Place::flag("--file"));
        let images = self.built.images.iter().map(|image| PlatformBase {
            origin: image.base.as_ref().map(|base| BaseOrigin { digest: base.manifest.digest.clone(), name: base.name.clone() }),
            layers: image.layers.clone(),
            inherited: image.base.as_ref().map_or(0, |base| base.layers.len()),
            config: image.config.clone(),
            asked: At::new(image.base.as_ref().and_then(|base| base.name.clone()).unwrap_or_default(), place.clone()),
        });
        images.collect()
    }

    /// The layers that were made, each once.
    pub(super) fn report(&self) -> Vec<LayerReport> {
        let mut known = HashSet::new();
        let made = self.built.steps.iter().filter_map(|step| Some((&step.label, step.layer.as_ref()?)));
        made.filter(|(_, layer)| known.insert(layer.layer.descriptor.digest.clone())).map(|(label, layer)| layer_report(label, layer)).collect()
    }
}

/// What builds elsewhere knew. What is not there yet is told, because a first build has nothing to begin with.
fn bundles(run: &Run, spec: &DockerfileSpec, options: &Options) -> Result<Vec<Bundle>> {
    let mut bundles = Vec::new();
    for from in &spec.cache_from {
        match Bundle::open(from, options) {
            Ok(bundle) => bundles.push(bundle),
            Err(error) if error.kind() == ErrorKind::NotFound => run.events.warn(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(bundles)
}

/// Where layers are made: the layout of the cache; where there is none, one for a while.
fn work_space(run: &Run, request: &BuildRequest, layout: &Layout) -> Result<(Arc<Layout>, Option<Staging>)> {
    if let Some(cache) = &request.cache {
        match cache.ensure().and_then(|()| Layout::ensure(&cache.content(), request.options.clone())) {
            Ok(layout) => return Ok((Arc::new(layout), None)),
            Err(error) => run.events.warn(format!("cannot use the build cache: {error}")),
        }
    }
    let archives: Vec<_> = request.outputs.iter().filter(|output| !output.is_layout()).collect();
    let beside = request.outputs.iter().find(|output| output.is_layout()).and_then(|_| layout.path().parent());
    let place = beside.filter(|place| !place.as_os_str().is_empty()).unwrap_or_else(|| match archives.is_empty() {
        true => Path::new("."),
        false => staging_place(&archives, &request.options),
    });
    // Where the output may be written and nothing beside it, layers are copied in the end.
    let staging = Staging::create(place, &request.options).or_else(|_| Staging::create(&request.options.temporary, &request.options))?;
    Ok((Arc::new(staging.layout().clone()), Some(staging)))
}
