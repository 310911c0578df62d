//! Pieces of work: images that are carried together.

use std::collections::{BTreeMap, HashMap};

use crate::spec::Digest;
use crate::sync::{Route, Target};

use super::select::{From, Image, full_name};
use super::{is_layout, local_target};

/// Images that are one image of one source, under several names of one target. Positions among the images of the job; there is at least one.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) first: usize,
    others: Vec<usize>,
}

impl Work {
    /// One image.
    pub(super) fn of(image: usize) -> Work {
        Work { first: image, others: Vec::new() }
    }

    /// All images.
    pub(super) fn images(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// All work of a job.
#[derive(Debug, Default)]
pub(super) struct Works {
    /// What is carried image by image, in the order of the job.
    pub(super) single: Vec<Work>,
    /// The images that become one archive, for each archive.
    pub(super) archives: BTreeMap<String, Vec<usize>>,
}

impl Works {
    /// Groups images: tags of one repository that stand on one image of a layout take one plan and one set of questions.
    pub(super) fn of(images: &[Image], routes: &[Route]) -> Works {
        let mut works = Works::default();
        let mut known: HashMap<(usize, &Digest, String), usize> = HashMap::new();
        for (position, image) in images.iter().enumerate() {
            let route = &routes[image.route];
            if let Some(location) = local_target(route).filter(|location| !is_layout(location)) {
                works.archives.entry(location.store().to_string()).or_default().push(position);
                continue;
            }
            if let From::Entry(_, entry) = &image.from {
                let repository = match &image.target {
                    Target::Registry(reference) => format!("{}/{}", reference.host(), reference.repository()),
                    Target::Local(_) => full_name(route, &image.target),
                };
                let next = works.single.len();
                let work = *known.entry((image.route, &entry.digest, repository)).or_insert(next);
                if work != next {
                    works.single[work].others.push(position);
                    continue;
                }
            }
            works.single.push(Work::of(position));
        }
        works
    }
}
