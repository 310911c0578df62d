//! The layers of an image and the steps that made it, as one list: what keeps a history truthful while layers come and go.

use std::sync::Arc;

use crate::build::LayerPlan;
use crate::error::Result;
use crate::layer::{Codec, Stored, Times};
use crate::spec::{Descriptor, DiffId, History, ImageConfig};

use super::tree::Image;

/// What a step says that was added for a layer whose making nobody wrote down.
const NOT_RECORDED: &str = "not recorded";

/// All steps, first to last, each with the layer that it made.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) steps: Vec<Step>,
}

/// A step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) history: History,
    pub(super) origin: Origin,
    pub(super) slot: Option<Slot>,
}

/// Whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// That of a base which was named.
    Base,
    /// That of the image, as far as is known.
    Own,
}

/// The place of a layer, and what is to become of it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) what: What,
    pub(super) times: Times,
    /// How it is to be compressed, where that was asked for.
    pub(super) codec: Option<Codec>,
}

/// A layer before anything is done with it.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// It is there already. One of the image before the edit has its number there.
    Stored(Option<usize>, Box<Stored>),
    /// It is to be made of files.
    New(Arc<LayerPlan>),
    /// It is to be made of layers.
    Squashed(Squashed),
}

/// Layers that become one.
#[derive(Clone, Debug)]
pub(super) struct Squashed {
    /// The layers below, which count for what the new one must say.
    pub(super) below: Vec<Stored>,
    /// Those of them that are there already; they are below the others.
    pub(super) stored: Vec<Stored>,
    /// Those that are to be made of files, without ever being layers of their own.
    pub(super) new: Vec<Arc<LayerPlan>>,
}

impl Stack {
    /// The steps of an image.
    pub(super) fn of(image: &Image) -> Stack {
        let mut number = 0;
        let what = |layer| {
            number += 1;
            What::Stored(Some(number), Box::new(layer))
        };
        Stack::new(&image.manifest.value.layers, &image.diff_ids, &image.config.value, Origin::Own, what)
    }

    /// The steps of a base.
    pub(super) fn of_base(layers: &[Descriptor], diff_ids: &[DiffId], config: &ImageConfig) -> Stack {
        Stack::new(layers, diff_ids, config, Origin::Base, |layer| What::Stored(None, Box::new(layer)))
    }

    /// Where a history has fewer steps with a layer than there are layers, the missing ones are added; where it has more, they are steps without one.
    fn new(layers: &[Descriptor], diff_ids: &[DiffId], config: &ImageConfig, origin: Origin, mut what: impl FnMut(Stored) -> What) -> Stack {
        let stored = layers.iter().zip(diff_ids).map(|(descriptor, diff_id)| Stored { descriptor: descriptor.clone(), diff_id: diff_id.clone() });
        let mut slots = stored.map(|layer| Slot::of(what(layer)));
        let mut steps: Vec<Step> = Vec::new();
        for history in config.history() {
            let slot = if history.empty_layer { None } else { slots.next() };
            steps.push(Step { history, origin, slot });
        }
        let unrecorded = || History { comment: Some(NOT_RECORDED.into()), ..History::default() };
        steps.extend(slots.map(|slot| Step { history: unrecorded(), origin, slot: Some(slot) }));
        Stack { steps }
    }

    /// Marks what is of the base that the image stands on. Where the history does not begin with steps like those of the base, the base ends with its last layer.
    pub(super) fn mark_base(&mut self, base: &Stack) {
        let length = self.length_of_base(base);
        self.steps[..length].iter_mut().for_each(|step| step.origin = Origin::Base);
    }

    /// Puts other steps in the place of those of the base that the image stands on.
    pub(super) fn replace_base(&mut self, base: Stack) {
        self.steps.retain(|step| step.origin == Origin::Own);
        self.steps.splice(..0, base.steps);
    }

    fn length_of_base(&self, base: &Stack) -> usize {
        let has_layer = |step: &Step| step.slot.is_some();
        let shape = |steps: &[Step]| steps.iter().map(has_layer).collect::<Vec<_>>();
        if self.steps.len() >= base.steps.len() && shape(&self.steps[..base.steps.len()]) == shape(&base.steps) {
            return base.steps.len();
        }
        let layers = base.layers();
        let mut ends = self.steps.iter().enumerate().filter(|(_, step)| has_layer(step)).map(|(position, _)| position + 1);
        if layers == 0 { 0 } else { ends.nth(layers - 1).unwrap_or(self.steps.len()) }
    }

    /// Whether the history is that of another stack.
    pub(super) fn has_steps_of(&self, other: &Stack) -> bool {
        let steps = |stack: &Stack| stack.steps.iter().map(|step| (step.history.clone(), step.slot.is_some())).collect::<Vec<_>>();
        steps(self) == steps(other)
    }

    /// Adds a layer on top, with the step that made it.
    pub(super) fn push(&mut self, history: History, plan: Arc<LayerPlan>) {
        self.steps.push(Step { history, origin: Origin::Own, slot: Some(Slot::of(What::New(plan))) });
    }

    /// Takes a layer away, and the step that made it. Returns it; none where it is not there any more.
    pub(super) fn drop_layer(&mut self, number: usize) -> Option<Stored> {
        let is_it = |slot: &Slot| matches!(slot.what, What::Stored(Some(own), _) if own == number);
        let position = self.steps.iter().position(|step| step.slot.as_ref().is_some_and(is_it))?;
        match self.steps.remove(position).slot?.what {
            What::Stored(_, layer) => Some(*layer),
            What::New(_) | What::Squashed(_) => None,
        }
    }

    /// Makes one layer of those that `is_meant` and of all above the lowest of them; none where they are fewer than two. The one step that it then has takes the place of the last of
    /// theirs; steps without a layer stay.
    pub(super) fn squash(&mut self, is_meant: impl Fn(&Step, &Slot) -> bool, step: impl FnOnce(&Squashed, &[History]) -> History) -> Option<usize> {
        let first = self.steps.iter().position(|step| step.slot.as_ref().is_some_and(|slot| is_meant(step, slot)))?;
        let mut squashed = Squashed { below: Vec::new(), stored: Vec::new(), new: Vec::new() };
        let mut told = Vec::new();
        let mut last = first;
        for (position, step) in self.steps.iter().enumerate() {
            match step.slot.as_ref().map(|slot| &slot.what) {
                Some(What::Stored(_, layer)) if position < first => squashed.below.push((**layer).clone()),
                Some(What::Stored(_, layer)) => squashed.stored.push((**layer).clone()),
                Some(What::New(plan)) => squashed.new.push(plan.clone()),
                Some(What::Squashed(_)) | None => continue,
            }
            if position >= first {
                told.push(step.history.clone());
                last = position;
            }
        }
        let count = told.len();
        if count < 2 {
            return None;
        }
        let history = step(&squashed, &told);
        self.steps[last] = Step { history, origin: Origin::Own, slot: Some(Slot::of(What::Squashed(squashed))) };
        let mut position = 0;
        self.steps.retain(|step| {
            position += 1;
            position <= first || position == last + 1 || step.slot.is_none()
        });
        Some(count)
    }

    /// How many layers there are.
    pub(super) fn layers(&self) -> usize {
        self.steps.iter().filter(|step| step.slot.is_some()).count()
    }

    /// Adds a step that made no layer.
    pub(super) fn note(&mut self, history: History) {
        self.steps.push(Step { history, origin: Origin::Own, slot: None });
    }

    /// The layers, bottom first, with whose they are.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = (Origin, &mut Slot)> {
        self.steps.iter_mut().filter_map(|step| step.slot.as_mut().map(|slot| (step.origin, slot)))
    }
}

impl Slot {
    fn of(what: What) -> Slot {
        Slot { what, times: Times::Kept, codec: None }
    }

    /// Whether it is a layer that nobody but its owner may distribute, so that it stays what it is. Kinds as [`Stored::media`].
    pub(super) fn is_fixed(&self) -> Result<bool> {
        match &self.what {
            What::Stored(_, layer) => Ok(layer.media()?.non_distributable),
            What::New(_) | What::Squashed(_) => Ok(false),
        }
    }
}
