//! What is told of a promotion.

use serde::Serialize;

use crate::spec::Digest;

use super::check::Proved;
use super::way::{By, Way};
use super::{Manner, Step};

/// What would be promoted.
#[derive(Clone, Debug, Serialize)]
pub struct PromotePlanReport {
    /// `artifactory` where the server does it, `copy` where larder does.
    pub by: &'static str,
    /// `copy` or `move`.
    pub manner: &'static str,
    /// Where the image is.
    pub source: String,
    /// Where it goes.
    pub target: String,
    /// The tags.
    pub tags: Vec<Arrived>,
}

/// What was promoted.
#[derive(Clone, Debug, Serialize)]
pub struct PromoteReport {
    /// `artifactory` where the server did it, `copy` where larder did.
    pub by: &'static str,
    /// `copy` or `move`.
    pub manner: &'static str,
    /// Where the image was.
    pub source: String,
    /// Where it is.
    pub target: String,
    /// The tags.
    pub tags: Vec<Promoted>,
    /// What is not as it could be.
    pub warnings: Vec<String>,
}

/// One tag, and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arrived {
    /// The tag at the source.
    pub source_tag: String,
    /// The tag at the target.
    pub target_tag: String,
    /// What it stands on.
    pub digest: Digest,
    /// What the tag at the target stood on before, where that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Digest>,
    /// Whether the target had it already.
    pub unchanged: bool,
}

/// One tag that was read back.
#[derive(Clone, Debug, Serialize)]
pub struct Promoted {
    /// The tag.
    #[serde(flatten)]
    pub tag: Arrived,
    /// What there is for each platform, all of it proved to be there. Foreign text.
    pub platforms: Vec<String>,
    /// The tags that single architectures were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arch_tags: Vec<String>,
}

impl From<&Step> for Arrived {
    fn from(step: &Step) -> Self {
        Arrived {
            source_tag: step.source_tag.clone(),
            target_tag: step.target_tag.clone(),
            digest: step.root.digest.clone(),
            moved_from: step.before.clone().filter(|_| !step.is_there()),
            unchanged: step.is_there(),
        }
    }
}

impl PromotePlanReport {
    pub(super) fn new(way: &Way, steps: &[Step], manner: Manner) -> Self {
        PromotePlanReport { by: by(way), manner: word(manner), source: way.from(), target: way.to(), tags: steps.iter().map(Arrived::from).collect() }
    }
}

impl PromoteReport {
    pub(super) fn new(way: &Way, manner: Manner, proved: Vec<Proved>, warnings: Vec<String>) -> Self {
        let tags = proved.into_iter().map(|proved| Promoted {
            tag: Arrived::from(&proved.step),
            platforms: proved.images.iter().map(|image| image.platform.to_string()).collect(),
            arch_tags: proved.arch_tags,
        });
        PromoteReport { by: by(way), manner: word(manner), source: way.from(), target: way.to(), tags: tags.collect(), warnings }
    }
}

fn by(way: &Way) -> &'static str {
    match way.by {
        By::Server(_) => "artifactory",
        By::Engine => "copy",
    }
}

fn word(manner: Manner) -> &'static str {
    match manner {
        Manner::Copy => "copy",
        Manner::Move => "move",
    }
}
