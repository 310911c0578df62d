//! The layers of an image and the steps that made it, as one list: what keeps a history truthful while layers come and go.

use crate::spec::{DiffId, History, ImageConfig};

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
    layer: Option<DiffId>,
}

impl Stack {
    /// The steps of an image. Where its history has fewer steps with a layer than there are layers, the missing ones are added; where it has more, they
    /// are steps without one.
    pub(super) fn of(image: &Image) -> Stack {
        let mut layers = image.diff_ids.iter().cloned();
        let mut steps: Vec<Step> = Vec::new();
        for history in image.config.value.history() {
            let layer = if history.empty_layer { None } else { layers.next() };
            steps.push(Step { history, layer });
        }
        let unrecorded = || History { comment: Some(NOT_RECORDED.into()), ..History::default() };
        steps.extend(layers.map(|layer| Step { history: unrecorded(), layer: Some(layer) }));
        Stack { steps }
    }

    /// Adds a step that made no layer.
    pub(super) fn note(&mut self, history: History) {
        self.steps.push(Step { history, layer: None });
    }

    /// Writes layers and history into a config.
    pub(super) fn write(&self, config: &mut ImageConfig) {
        let diff_ids: Vec<DiffId> = self.steps.iter().filter_map(|step| step.layer.clone()).collect();
        let history = self.steps.iter().map(|step| History { empty_layer: step.layer.is_none(), ..step.history.clone() });
        config.set_layers(&diff_ids, &history.collect::<Vec<_>>());
    }
}
