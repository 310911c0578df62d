//! Names that only the source gives, and that must not leave another image for it.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::spec::{Descriptor, ImageName};
use crate::store::entries::Identity;

use super::plan::CopyPlan;

/// How many names the error lists; its reader counts the others.
const LISTED: usize = 5;

/// The names of `plans` that must not move.
#[derive(Debug)]
pub struct Claims<'a>(HashMap<Identity, &'a Descriptor>);

impl<'a> Claims<'a> {
    /// Those that the plans [say](CopyPlan::claimed).
    pub fn of(plans: &'a [CopyPlan<'_>]) -> Self {
        let claimed: HashSet<&Identity> = plans.iter().flat_map(|plan| &plan.claimed).collect();
        let entries = plans.iter().filter(|plan| !plan.claimed.is_empty()).flat_map(|plan| &plan.entries);
        let named = entries.filter_map(|entry| Some((Identity::of_entry(entry)?, entry)));
        Claims(named.filter(|(identity, _)| claimed.contains(identity)).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails with kind `conflict` where one of the names stands on another image among the entries of `location`.
    pub fn check(&self, entries: &[Descriptor], location: &str) -> Result<()> {
        let taken = |entry: &&Descriptor| {
            let claim = Identity::of_entry(entry).and_then(|identity| self.0.get(&identity));
            claim.is_some_and(|claim| claim.digest != entry.digest)
        };
        let taken: Vec<&Descriptor> = entries.iter().filter(taken).collect();
        let names = taken.iter().filter_map(|entry| Some((ImageName::of(entry)?, entry.digest.short())));
        let mut names = names.map(|(name, digest)| format!("`{name}` ({digest})"));
        let listed = names.by_ref().take(LISTED).collect::<Vec<_>>().join(", ");
        let Some(first) = taken.first().and_then(|entry| ImageName::of(entry)) else { return Ok(()) };
        let more = match names.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = if taken.len() == 1 { "a name that stands on another image" } else { "names that stand on other images" };
        Err(Error::conflict(format!("the source gives {what} in {location}: {listed}{more}"))
            .subject(first)
            .hint("--force moves names, --prefix REPOSITORY brings them under another repository, and a name that is written in the call moves as well"))
    }
}
