//! Names that only the source gives, and that must not leave another image for it.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::spec::{Descriptor, Digest, ImageName};
use crate::store::entries::Identity;

use super::plan::CopyPlan;

/// How many names the error lists; the others it counts.
const LISTED: usize = 5;

/// Fails with kind `conflict` where a name that the plans [claim](CopyPlan::claimed) stands on another image among `entries`, which are those of `location`.
pub fn check(plans: &[CopyPlan<'_>], entries: &[Descriptor], location: &str) -> Result<()> {
    if entries.is_empty() || plans.iter().all(|plan| plan.claimed.is_empty()) {
        return Ok(());
    }
    let claims = claims(plans);
    let is_taken = |entry: &&Descriptor| names_of(entry).iter().any(|name| claims.get(name).is_some_and(|digest| **digest != entry.digest));
    let taken: Vec<(ImageName, &Digest)> = entries.iter().filter(is_taken).filter_map(|entry| Some((ImageName::of(entry)?, &entry.digest))).collect();
    let Some((first, _)) = taken.first() else { return Ok(()) };
    let listed: Vec<String> = taken.iter().take(LISTED).map(|(name, digest)| format!("`{name}` ({})", digest.short())).collect();
    let more = match taken.len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = if taken.len() == 1 { "a name that stands on another image" } else { "names that stand on other images" };
    Err(Error::conflict(format!("the source gives {what} in {location}: {}{more}", listed.join(", ")))
        .subject(first)
        .hint("--force moves them (--dry-run --force shows it), and --prefix HOST/REPOSITORY brings them under a repository that has none of these names"))
}

/// The claimed names that nothing else in the plans is called, and what they would stand on.
fn claims<'a>(plans: &'a [CopyPlan<'_>]) -> HashMap<Identity, &'a Digest> {
    let named = plans.iter().flat_map(|plan| plan.entries.iter().filter_map(move |entry| Some((plan, Identity::of_entry(entry)?, &entry.digest))));
    let (claimed, others): (Vec<_>, Vec<_>) = named.partition(|(plan, identity, _)| plan.claimed.contains(identity));
    let mut claims: HashMap<Identity, &Digest> = claimed.into_iter().map(|(_, identity, digest)| (identity, digest)).collect();
    for (_, identity, _) in others {
        claims.remove(&identity);
    }
    claims
}

/// What an entry is called: its name, and the full reference that would be found before it where it has none of its own.
fn names_of(entry: &Descriptor) -> Vec<Identity> {
    let Some(name) = ImageName::of(entry) else { return Vec::new() };
    let mut names = vec![Identity::of(&name)];
    if name.image().is_none() {
        names.extend(name.ref_name().and_then(|text| ImageName::parse_reference(text).ok()).as_ref().map(Identity::of));
    }
    names
}
