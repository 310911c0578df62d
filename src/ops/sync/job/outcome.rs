//! What became of images, noted by whichever thread knows it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::copy::Carried;
use crate::spec::Digest;

use super::report::{ContentReport, Failure, State};

/// What became of one image.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) state: State,
    pub(super) digest: Option<Digest>,
    pub(super) moved_from: Option<Digest>,
    pub(super) failure: Option<Failure>,
    /// The platforms that were asked for and are not there.
    pub(super) lacking: Vec<String>,
}

impl Outcome {
    /// An image whose name stands on something.
    pub(super) fn at(state: State, digest: &Digest) -> Outcome {
        Outcome { state, digest: Some(digest.clone()), moved_from: None, failure: None, lacking: Vec::new() }
    }

    /// An image that has no name where it was to go.
    pub(super) fn without(state: State, failure: Option<Failure>) -> Outcome {
        Outcome { state, digest: None, moved_from: None, failure, lacking: Vec::new() }
    }
}

/// What became of all images, by their positions.
pub(super) struct Outcomes(Mutex<Noted>);

struct Noted {
    of_images: Vec<Option<Outcome>>,
    /// The platforms that images lack, where they lack some.
    lacking: HashMap<usize, Vec<String>>,
    content: ContentReport,
}

impl Outcomes {
    /// Nothing yet of so many images.
    pub(super) fn of(images: usize) -> Outcomes {
        Outcomes(Mutex::new(Noted { of_images: vec![None; images], lacking: HashMap::new(), content: ContentReport::default() }))
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, image: usize, outcome: Outcome) {
        self.noted().of_images[image] = Some(outcome);
    }

    /// Sets the outcome of those images that have none.
    pub(super) fn set_open(&self, images: impl Iterator<Item = usize>, outcome: &Outcome) {
        let mut noted = self.noted();
        for image in images {
            noted.of_images[image].get_or_insert_with(|| outcome.clone());
        }
    }

    /// Notes what images lack.
    pub(super) fn lack(&self, images: impl Iterator<Item = usize>, platforms: &[String]) {
        self.noted().lacking.extend(images.map(|image| (image, platforms.to_vec())));
    }

    /// What an image lacks.
    pub(super) fn lacking(&self, image: usize) -> Vec<String> {
        self.noted().lacking.get(&image).cloned().unwrap_or_default()
    }

    pub(super) fn add(&self, carried: &Carried) {
        self.noted().content.add(carried);
    }

    /// What became of each image, in their order, and of all content.
    pub(super) fn finish(self) -> (Vec<Outcome>, ContentReport) {
        let Noted { of_images, mut lacking, content } = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let untried = || Outcome::without(State::NotTried, None);
        let outcomes = of_images.into_iter().enumerate().map(|(image, outcome)| {
            let outcome = outcome.unwrap_or_else(untried);
            Outcome { lacking: lacking.remove(&image).unwrap_or_default(), ..outcome }
        });
        (outcomes.collect(), content)
    }
}
