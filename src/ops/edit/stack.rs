//! The layers of an image and the steps that made it, as one list: what keeps a history truthful while layers come and go.

use crate::layer::{Layer, Stored};
use crate::spec::media_type::Family;
use crate::spec::{Descriptor, DiffId, History, ImageConfig, Kind, annotation};

use super::image::replaced;
use super::tree::Image;

/// What a step says that was added for a layer whose making nobody wrote down.
const NOT_RECORDED: &str = "not recorded";

/// All steps, first to last, each with the layer that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stack {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    history: History,
    slot: Option<Slot>,
}

/// The place of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// It is there already: its number in the image before the edit, and what it is.
    Kept(usize, Stored),
    /// It is to be made.
    Made {
        /// Its position among the layers to make.
        work: usize,
        /// What pointed to the layer that it replaces.
        pointer: Option<Descriptor>,
    },
}

impl Stack {
    /// The steps of an image. Where its history has fewer steps with a layer than there are layers, the missing ones are added; where it has more, they
    /// are steps without one.
    pub(super) fn of(image: &Image) -> Stack {
        let layers = image.manifest.value.layers.iter().zip(&image.diff_ids);
        let stored = layers.map(|(descriptor, diff_id)| Stored { descriptor: descriptor.clone(), diff_id: diff_id.clone() });
        let mut layers = (1..).zip(stored).map(|(number, layer)| Slot::Kept(number, layer));
        let mut steps: Vec<Step> = Vec::new();
        for history in image.config.value.history() {
            let slot = if history.empty_layer { None } else { layers.next() };
            steps.push(Step { history, slot });
        }
        let unrecorded = || History { comment: Some(NOT_RECORDED.into()), ..History::default() };
        steps.extend(layers.map(|slot| Step { history: unrecorded(), slot: Some(slot) }));
        Stack { steps }
    }

    /// Whether the history is that of another stack.
    pub(super) fn has_steps_of(&self, other: &Stack) -> bool {
        let steps = |stack: &Stack| stack.steps.iter().map(|step| (step.history.clone(), step.slot.is_some())).collect::<Vec<_>>();
        steps(self) == steps(other)
    }

    /// Adds a layer on top, with the step that made it.
    pub(super) fn push(&mut self, history: History, work: usize) {
        self.steps.push(Step { history, slot: Some(Slot::Made { work, pointer: None }) });
    }

    /// Takes a layer away, and the step that made it. Returns it; none where it is not there any more.
    pub(super) fn drop_layer(&mut self, number: usize) -> Option<Stored> {
        let position = self.steps.iter().position(|step| matches!(&step.slot, Some(Slot::Kept(own, _)) if *own == number))?;
        match self.steps.remove(position).slot {
            Some(Slot::Kept(_, layer)) => Some(layer),
            _ => None,
        }
    }

    /// How many layers there are.
    pub(super) fn layers(&self) -> usize {
        self.steps.iter().filter(|step| step.slot.is_some()).count()
    }

    /// Adds a step that made no layer.
    pub(super) fn note(&mut self, history: History) {
        self.steps.push(Step { history, slot: None });
    }

    /// The layers, bottom first.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.steps.iter_mut().filter_map(|step| step.slot.as_mut())
    }

    /// The layers once those that were to be made are there, for a manifest of `family`.
    pub(super) fn finish(&self, made: &[Layer], family: Family) -> Vec<Stored> {
        self.steps.iter().filter_map(|step| step.slot.as_ref()).map(|slot| slot.finish(made, family)).collect()
    }

    /// Writes layers and history into a config. The diff IDs are those of all layers, bottom first.
    pub(super) fn write(&self, diff_ids: &[DiffId], config: &mut ImageConfig) {
        let history = self.steps.iter().map(|step| History { empty_layer: step.slot.is_none(), ..step.history.clone() });
        config.set_layers(diff_ids, &history.collect::<Vec<_>>());
    }
}

impl Slot {
    fn finish(&self, made: &[Layer], family: Family) -> Stored {
        let (work, pointer) = match self {
            Slot::Kept(_, layer) => return layer.clone(),
            Slot::Made { work, pointer } => (*work, pointer),
        };
        let Layer { descriptor, diff_id, .. } = &made[work];
        let mut descriptor = descriptor.clone();
        if let Kind::Layer(media) = Kind::of(&descriptor.media_type)
            && let Some(media_type) = family.layer(media)
        {
            descriptor.media_type = media_type;
        }
        if let Some(pointer) = pointer {
            let changed = pointer.digest != descriptor.digest;
            descriptor = replaced(pointer, &descriptor);
            descriptor.annotations.retain(|key, _| !(changed && annotation::OF_BLOB.iter().any(|prefix| key.starts_with(prefix))));
        }
        Stored { descriptor, diff_id: diff_id.clone() }
    }
}
