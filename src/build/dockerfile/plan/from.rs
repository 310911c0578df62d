//! What the words behind `FROM` and `--from` mean: a context, a stage, or an image.

use crate::build::dockerfile::bases::ContextSource;
use crate::build::dockerfile::instruction::Stage;
use crate::build::dockerfile::spec::NamedContext;
use crate::build::place::At;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{ImageName, text};

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing at all.
    Scratch,
    /// The context at this position.
    Context(usize),
    /// The stage at this position of the file.
    Stage(usize),
    /// The image of the bases with this name.
    Image(At<String>),
}

/// The names that there are.
pub(super) struct Names<'a> {
    pub(super) stages: &'a [Stage],
    pub(super) contexts: &'a [NamedContext],
}

impl Names<'_> {
    /// What a `FROM` of the stage at `position` means.
    pub(super) fn base(&self, name: &At<String>, position: usize) -> Result<Meaning> {
        if name.value.is_empty() {
            return Err(name.place.usage("the name of the base is empty").hint("an argument that it is made of has no value"));
        }
        if let Some(stage) = self.stage_before(&name.value, position) {
            return Ok(self.replaced(stage).map_or(Meaning::Stage(stage), Meaning::Context));
        }
        Ok(match self.context(&name.value) {
            Some(context) => Meaning::Context(context),
            None if name.value == "scratch" => Meaning::Scratch,
            None => Meaning::Image(name.clone()),
        })
    }

    /// What a `--from` in the stage at `position` means: there a number is a stage too.
    pub(super) fn source(&self, name: &At<String>, position: usize) -> Result<Meaning> {
        let shown = text::shown(&name.value);
        if let Some(context) = self.context(&name.value) {
            return Ok(Meaning::Context(context));
        }
        if let Ok(number) = name.value.parse::<usize>() {
            return match number < position {
                true => Ok(self.replaced(number).map_or(Meaning::Stage(number), Meaning::Context)),
                false => Err(name.place.usage(format!("there is no stage {shown} before this one")).hint("the first stage is 0")),
            };
        }
        if let Some(stage) = self.stage_before(&name.value, position) {
            return Ok(Meaning::Stage(stage));
        }
        if self.stages.iter().any(|stage| is_called(stage, &name.value)) {
            return Err(name.place.usage(format!("the stage `{shown}` is not there yet")).hint("move it before the stage that copies from it"));
        }
        if name.value == "scratch" {
            return Ok(Meaning::Scratch);
        }
        if name.value.is_empty() {
            return Err(name.place.usage("the name after `from` is empty"));
        }
        Ok(Meaning::Image(name.clone()))
    }

    /// The stage that is to be built.
    pub(super) fn target(&self, wanted: Option<&At<String>>) -> Result<usize> {
        let Some(wanted) = wanted else { return Ok(self.stages.len() - 1) };
        let by_name = self.stages.iter().rposition(|stage| is_called(stage, &wanted.value));
        let by_number = || wanted.value.parse::<usize>().ok().filter(|number| *number < self.stages.len());
        by_name.or_else(by_number).ok_or_else(|| self.no_target(wanted))
    }

    /// The context that takes the place of a stage, where one has its name.
    pub(super) fn replaced(&self, stage: usize) -> Option<usize> {
        self.stages[stage].name.as_ref().and_then(|name| self.context(&name.value))
    }

    fn no_target(&self, wanted: &At<String>) -> Error {
        let names: Vec<&str> = self.stages.iter().filter_map(|stage| stage.name.as_ref()).map(|name| name.value.as_str()).collect();
        let error = wanted.place.error(ErrorKind::NotFound, format!("there is no stage `{}`", text::shown(&wanted.value)));
        match (text::nearest(&wanted.value, names.iter().copied()), names.as_slice()) {
            (Some(near), _) => error.hint(format!("did you mean `{near}`?")),
            (None, []) => error.hint("no stage of the file has a name; a stage gets one with FROM image AS name"),
            (None, names) => error.hint(format!("the stages are {}", names.join(", "))),
        }
    }

    fn stage_before(&self, name: &str, position: usize) -> Option<usize> {
        self.stages[..position].iter().rposition(|stage| is_called(stage, name))
    }

    /// The context with this name; an image is meant by each of its names.
    fn context(&self, name: &str) -> Option<usize> {
        let full = |name: &str| ImageName::parse_reference(name).ok();
        let wanted = full(name);
        let is_it = |own: &str| own.eq_ignore_ascii_case(name) || wanted.is_some() && full(own) == wanted;
        self.contexts.iter().rposition(|context| is_it(&context.name.value))
    }
}

fn is_called(stage: &Stage, name: &str) -> bool {
    stage.name.as_ref().is_some_and(|own| own.value.eq_ignore_ascii_case(name))
}

impl ContextSource {
    /// Whether it is a directory of files, which has no config.
    pub(super) fn is_directory(&self) -> bool {
        matches!(self, ContextSource::Directory(_))
    }
}
