//! Reading back: the proof that a promotion did what it should, whoever did it.

use crate::copy::CopyPlan;
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::graph::image::{self, Candidate};
use crate::spec::{Descriptor, Selector, text};
use crate::store::Source as _;
use crate::store::registry::Which;

use super::Step;
use super::way::Ends;

/// What arrived under one tag.
pub(super) struct Proved {
    pub(super) step: Step,
    /// Its images, in the order of the index.
    pub(super) images: Vec<Candidate>,
    /// The tags of single architectures that were made.
    pub(super) arch_tags: Vec<String>,
}

/// Proves every step. Kinds: `not_found` for what is missing at the target, `corrupt` for what is something else.
pub(super) fn all(run: &Run, ends: &Ends, steps: &[Step]) -> Result<Vec<Proved>> {
    let to = format!("{}/{}", ends.target.host(), ends.target.repository());
    run.pool.concurrently(steps.iter().collect(), |step| {
        one(run, ends, step).map_err(|error| {
            let tag = text::shown(&step.target_tag).into_owned();
            error.context(format!("the promotion of {to}:{tag} is not what it should be")).subject(format!("{to}:{tag}"))
        })
    })
}

fn one(run: &Run, ends: &Ends, step: &Step) -> Result<Proved> {
    let target = &ends.target;
    let Some(found) = target.manifest(Which::Tag(&step.target_tag))? else {
        return Err(Error::not_found("the tag is not there")
            .hint("a server that says it is done has not done it: look whether both repositories are local, and name these"));
    };
    if found.digest != step.root.digest {
        return Err(Error::corrupt(format!("the tag stands on {} and should stand on {}", found.digest, step.root.digest))
            .hint("somebody else may have changed it, or the server keeps an older index there: remove the tag at the target and promote again"));
    }
    // Reads and proves every document, and with them what each platform needs. How long the first one is, it says itself: the answer to a question may have
    // another length.
    let root = target.resolve(&Selector::Digest(step.root.digest.clone()))?;
    let plan = CopyPlan::of_content(run, target, std::slice::from_ref(&root))?;
    let there = run.pool.waiting(plan.blobs, |blob: Descriptor| {
        run.cancel.check()?;
        Ok((target.serves(&blob)?, blob))
    })?;
    if let Some((_, blob)) = there.iter().find(|(there, _)| !there) {
        return Err(Error::not_found(format!("the content {} is not there", blob.digest)).hint("promote again; what is missing comes along then"));
    }
    Ok(Proved { step: step.clone(), images: image::candidates(target, &root)?, arch_tags: Vec::new() })
}
