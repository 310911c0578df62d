//! What larder carries itself in a promotion: whole images, and tags for single architectures.

use std::collections::BTreeSet;

use crate::copy::{self, CopyPlan, CopyRequest, How, Names, Platforms, Reading, Referrers, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::{Digest, ImageName, Platform, Selector};
use crate::store::registry::{Registry, Which};

use super::check::Proved;
use super::way::Ends;
use super::{Manner, Step, digest_of};

/// Copies what the tags stand on.
pub(super) fn copy(run: &Run, ends: &Ends, steps: &[Step], referrers: Referrers) -> Result<()> {
    steps.iter().try_for_each(|step| give(run, &ends.source, &ends.target, &step.root.digest, &step.target_tag, referrers))
}

/// Makes `tag` at `target` stand on `digest` of `source`.
fn give(run: &Run, source: &Registry, target: &Registry, digest: &Digest, tag: &str, referrers: Referrers) -> Result<()> {
    let wanted = Wanted::One(Selector::Digest(digest.clone()), Names::New(vec![ImageName::tag_only(tag)?]));
    let plan = CopyPlan::new(run, &CopyRequest { source, wanted: &wanted, platforms: &Platforms::All, referrers })?;
    copy::execute(run, &[plan], target, How { sharing: None, reading: Reading::Copied })?;
    Ok(())
}

/// Gives each architecture at the target a tag of its own. Those that a move leaves behind at the source go.
pub(super) fn arch_tags(run: &Run, ends: &Ends, promoted: &mut [Proved], manner: Manner) -> Result<()> {
    for proved in promoted {
        let mut seen = BTreeSet::new();
        for image in &proved.images {
            let suffix = suffix(&image.platform);
            if !seen.insert(suffix.clone()) {
                continue;
            }
            let digest = &image.descriptor.digest;
            let (old, new) = (format!("{}-{suffix}", proved.step.source_tag), format!("{}-{suffix}", proved.step.target_tag));
            let error = |error: Error| error.context(format!("cannot give {} the tag {new}", image.platform));
            if digest_of(&ends.target, &new).map_err(error)?.as_ref() != Some(digest) {
                give(run, &ends.target, &ends.target, digest, &new, Referrers::Left).map_err(error)?;
            }
            if manner == Manner::Move && digest_of(&ends.source, &old)?.as_ref() == Some(digest) {
                match ends.source.remove(Which::Tag(&old)) {
                    Err(error) if !matches!(error.kind(), ErrorKind::NotFound) => run.events.warn(format!("the tag {old} is still at the source: {error}")),
                    _ => {}
                }
            }
            proved.arch_tags.push(new);
        }
    }
    Ok(())
}

/// What is put behind a tag for one architecture: `linux-amd64`, `linux-armv7`.
fn suffix(platform: &Platform) -> String {
    format!("{}-{}{}", platform.os, platform.architecture, platform.variant.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_architecture_is_that_of_artifactory() {
        for (platform, expected) in [
            (Platform::new("linux", "amd64", ""), "linux-amd64"),
            (Platform::new("linux", "arm64", "v8"), "linux-arm64v8"),
            (Platform::new("linux", "arm", "v7"), "linux-armv7"),
            (Platform::new("windows", "amd64", ""), "windows-amd64"),
        ] {
            assert_eq!(suffix(&platform), expected);
        }
    }
}
