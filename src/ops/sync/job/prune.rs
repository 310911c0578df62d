//! Tags and names that go from targets, because their images are not meant any more.
//!
//! What goes is decided before anything is carried, and only where nobody can err: the route's images must all be known, and those of all others that lead
//! there; a repository must be one that the job
//! brings images to; a tag must be one that could have come by the route, by its patterns and ranges. What does not fit them was put there by somebody else and
//! stays, and so does what is attached to images. A name goes after all images have arrived, and where one of its repository has not, it stays.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::graph::referrers;
use crate::spec::{Descriptor, Digest, ImageName, Kind, Reference, limits, links};
use crate::store::Location;
use crate::store::layout::Layout;
use crate::store::registry::Which;
use crate::sync::{Endpoint, Prune, Route, Target};

use super::reach::Repository;
use super::report::{Failure, ImageReport, PruneState, PrunedReport, State};
use super::select::{Selection, full_name};
use super::stores::Stores;
use super::{SyncRequest, local_target};

/// Says whether these names may go.
pub type Confirm<'a> = &'a (dyn Fn(&[PruneCandidate]) -> Result<bool> + Sync);

/// A name that is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PruneCandidate {
    /// What it is called. Foreign text.
    pub name: String,
}

/// What is to go.
#[derive(Default)]
pub(super) struct PrunePlan {
    repositories: Vec<RepositoryPlan>,
    layouts: Vec<LayoutPlan>,
}

struct RepositoryPlan {
    reference: Reference,
    gone: Vec<String>,
    /// Why its tags are not known.
    failure: Option<Failure>,
}

struct LayoutPlan {
    location: Location,
    gone: Vec<ImageName>,
    failure: Option<Failure>,
}

/// Decides what is to go. Fails with kind `interrupted` only.
pub(super) fn plan(run: &Run, request: &SyncRequest<'_>, stores: &Stores<'_>, selection: &Selection) -> Result<PrunePlan> {
    let routes = &request.routes;
    let mut meant: HashSet<String> = selection.images.iter().map(|image| full_name(&routes[image.route], &image.target)).collect();
    meant.extend(selection.failures.iter().filter_map(|unmeant| Some(full_name(&routes[unmeant.route], unmeant.target.as_ref()?))));
    let mut plan = PrunePlan::default();
    let mut repositories: BTreeMap<String, (Reference, Vec<&Route>)> = BTreeMap::new();
    for (number, route) in routes.iter().enumerate().filter(|(_, route)| route.prune == Prune::Tags) {
        let images: Vec<_> = selection.images.iter().filter(|image| image.route == number).collect();
        if selection.incomplete.contains(&number) || images.is_empty() {
            run.events.warn(format!("{route}: nothing is pruned, because not all of its images are known"));
            continue;
        }
        let unknown = |place: &str, leads: &dyn Fn(&Route) -> bool| {
            let other = selection.incomplete.iter().map(|other| &routes[*other]).find(|other| leads(other));
            if let Some(other) = other {
                run.events.warn(format!("{place}: nothing is pruned, because not all images of {other} are known, which may come there too"));
            }
            other.is_some()
        };
        let mut spared = BTreeSet::new();
        for image in &images {
            if let Target::Registry(reference) = &image.target {
                let name = repository(reference);
                if spared.contains(&name) || (!repositories.contains_key(&name) && unknown(&name, &|other| may_lead_to(other, reference))) {
                    spared.insert(name);
                    continue;
                }
                let entry = repositories.entry(name).or_insert_with(|| (reference.clone(), Vec::new()));
                if !entry.1.iter().any(|known| std::ptr::eq(*known, route)) {
                    entry.1.push(route);
                }
            }
        }
        if let Some(location) = local_target(route) {
            let shown = location.store().to_string();
            if unknown(&shown, &|other| local_target(other).is_some_and(|other| other.store() == location.store())) {
                continue;
            }
            let targets = images.iter().filter_map(|image| match &image.target {
                Target::Local(name) => Some(name),
                Target::Registry(_) => None,
            });
            plan.layouts.push(layout(request, route, &location.store(), targets, &meant));
        }
    }
    plan.repositories = run.pool.waiting(repositories.into_values().collect(), |(reference, routes)| {
        run.cancel.check()?;
        let tags = match stores.repository(&reference).and_then(|repository| repository.tags()) {
            Ok(tags) => tags,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let failure = Some(Failure::from(&error.side(Side::Destination)));
                return Ok(RepositoryPlan { reference, gone: Vec::new(), failure });
            }
        };
        let name = repository(&reference);
        let goes = |tag: &&String| {
            let full = format!("{name}:{tag}");
            !meant.contains(&full) && request.shard.has(&full) && !is_attached(tag) && routes.iter().any(|route| route.tag_before(tag).is_some())
        };
        let gone = tags.iter().filter(goes).cloned().collect();
        Ok(RepositoryPlan { reference, gone, failure: None })
    })?;
    Ok(plan)
}

/// Whether images of a route may come to a repository.
fn may_lead_to(route: &Route, reference: &Reference) -> bool {
    match &route.to.value {
        Endpoint::Local(_) => false,
        Endpoint::Repository(target) => repository(target) == repository(reference),
        Endpoint::Below(below) => below.host == reference.host() && reference.repository().starts_with(&below.path),
    }
}

/// What is to go from a layout: names in the repositories that the route leads to.
fn layout<'n>(
    request: &SyncRequest<'_>,
    route: &Route,
    location: &Location,
    targets: impl Iterator<Item = &'n ImageName>,
    meant: &HashSet<String>,
) -> LayoutPlan {
    let home = |name: &ImageName| name.reference().map(|reference| repository(&reference));
    let homes: BTreeSet<Option<String>> = targets.map(home).collect();
    let index = match Layout::open(location.path(), request.options.clone()).and_then(|layout| layout.index()) {
        Ok(index) => index,
        Err(error) => {
            // A layout that is yet to be made has nothing to prune; what else is wrong with it, its images tell.
            let failure = Some(&error).filter(|error| error.kind() != ErrorKind::NotFound).map(Failure::from);
            return LayoutPlan { location: location.clone(), gone: Vec::new(), failure };
        }
    };
    let goes = |name: &ImageName| {
        let full = full_name(route, &Target::Local(name.clone()));
        let came = name.tag().is_some_and(|tag| route.tag_before(&tag).is_some());
        !meant.contains(&full) && request.shard.has(&full) && came && !referrers::is_attached(name) && homes.contains(&home(name))
    };
    let gone = index.manifests.iter().filter_map(ImageName::of).filter(goes).collect();
    LayoutPlan { location: location.clone(), gone, failure: None }
}

fn repository(reference: &Reference) -> String {
    format!("{}/{}", reference.host(), reference.repository())
}

fn is_attached(tag: &str) -> bool {
    ImageName::tag_only(tag).is_ok_and(|name| referrers::is_attached(&name))
}

impl PrunePlan {
    pub(super) fn candidates(&self) -> Vec<PruneCandidate> {
        let tags = self.repositories.iter().flat_map(|plan| plan.gone.iter().map(|tag| format!("{}:{tag}", repository(&plan.reference))));
        let names = self.layouts.iter().flat_map(|plan| plan.gone.iter().map(|name| format!("{}:{}", plan.location, name.as_str())));
        tags.chain(names).map(|name| PruneCandidate { name }).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.repositories.iter().all(|plan| plan.gone.is_empty()) && self.layouts.iter().all(|plan| plan.gone.is_empty())
    }

    /// How many names go, in words.
    pub(super) fn amount(&self) -> String {
        match self.candidates().len() {
            1 => "one name".to_owned(),
            more => format!("{more} names"),
        }
    }

    /// Removes what is to go. Fails with kind `interrupted` only.
    pub(super) fn execute(self, run: &Run, stores: &Stores<'_>, images: &[ImageReport]) -> Result<Vec<PrunedReport>> {
        let lost: Vec<&str> =
            images.iter().filter(|image| matches!(image.state, State::Failed | State::NotTried)).filter_map(|image| image.target.as_deref()).collect();
        let mut pruned = Vec::new();
        let removed = run.pool.waiting(self.repositories, |plan| {
            run.cancel.check()?;
            Ok(plan.execute(stores, &lost))
        })?;
        pruned.extend(removed.into_iter().flatten());
        for plan in self.layouts {
            run.cancel.check()?;
            pruned.extend(plan.execute(stores, &lost));
        }
        Ok(pruned)
    }
}

fn reported(name: String, outcome: Result<()>) -> PrunedReport {
    match outcome {
        Ok(()) => PrunedReport { name, state: PruneState::Removed, failure: None },
        Err(error) => PrunedReport { name, state: PruneState::Failed, failure: Some(Failure::from(&error)) },
    }
}

impl RepositoryPlan {
    fn execute(self, stores: &Stores<'_>, lost: &[&str]) -> Vec<PrunedReport> {
        let name = repository(&self.reference);
        if let Some(failure) = self.failure {
            return vec![PrunedReport { name, state: PruneState::Failed, failure: Some(failure) }];
        }
        let is_lost = lost.iter().any(|target| target.strip_prefix(&*name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')));
        if is_lost {
            let spared = |tag: &String| PrunedReport { name: format!("{name}:{tag}"), state: PruneState::Spared, failure: None };
            return self.gone.iter().map(spared).collect();
        }
        let opened = stores.repository(&self.reference);
        let kept = OnceCell::new();
        let remove = |tag: &String| {
            let outcome = match &opened {
                Ok(repository) => self.remove(&**repository, tag, &kept),
                Err(error) => Err(Error::new(error.kind(), error.message())),
            };
            reported(format!("{name}:{tag}"), outcome.map_err(|error| error.side(Side::Destination)))
        };
        self.gone.iter().map(remove).collect()
    }

    /// Removes a tag. Where a registry removes images and not tags, the image goes, unless a tag that stays leads to it too.
    fn remove(&self, repository: &dyn Repository, tag: &str, kept: &OnceCell<HashMap<Digest, String>>) -> Result<()> {
        match repository.remove(Which::Tag(tag)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            outcome => return outcome,
        }
        let Some(image) = repository.manifest(Which::Tag(tag))? else { return Ok(()) };
        let kept = match kept.get() {
            Some(kept) => kept,
            None => {
                let found = self.kept(repository)?;
                kept.get_or_init(|| found)
            }
        };
        if let Some(other) = kept.get(&image.digest) {
            let message = format!("the registry removes no tags, and its image is also `{other}`, or a part of it");
            return Err(Error::unsupported(message).subject(&image.digest));
        }
        match repository.remove(Which::Digest(&image.digest)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// All manifests that tags which stay lead to, each with such a tag. The tags are those that are there now: some have just come.
    fn kept(&self, repository: &dyn Repository) -> Result<HashMap<Digest, String>> {
        let mut kept = HashMap::new();
        for tag in repository.tags()? {
            if self.gone.contains(&tag) {
                continue;
            }
            let mut next: Vec<Descriptor> = repository.manifest(Which::Tag(&tag))?.into_iter().collect();
            while let Some(manifest) = next.pop() {
                if kept.insert(manifest.digest.clone(), tag.clone()).is_some() || Kind::of(&manifest.media_type) != Kind::Index {
                    continue;
                }
                let bytes = repository.read(&manifest, limits::MANIFEST_BYTES)?;
                let members = links::children(&manifest, &bytes)?.into_iter().map(|member| member.descriptor);
                next.extend(members.filter(|member| matches!(Kind::of(&member.media_type), Kind::Index | Kind::Manifest)));
            }
        }
        Ok(kept)
    }
}

impl LayoutPlan {
    fn execute(self, stores: &Stores<'_>, lost: &[&str]) -> Vec<PrunedReport> {
        let full = |name: &ImageName| format!("{}:{}", self.location, name.as_str());
        if let Some(failure) = self.failure {
            return vec![PrunedReport { name: self.location.to_string(), state: PruneState::Failed, failure: Some(failure) }];
        }
        let is_lost = |name: &ImageName| {
            let home = name.reference().map(|reference| format!("{}:{}:", self.location, repository(&reference)));
            lost.iter().any(|target| home.as_ref().map_or_else(|| target.starts_with(&format!("{}:", self.location)), |home| target.starts_with(home)))
        };
        let (spared, gone): (Vec<&ImageName>, Vec<&ImageName>) = self.gone.iter().partition(|name| is_lost(name));
        let mut reports: Vec<PrunedReport> =
            spared.into_iter().map(|name| PrunedReport { name: full(name), state: PruneState::Spared, failure: None }).collect();
        if gone.is_empty() {
            return reports;
        }
        let outcome = Layout::open(self.location.path(), stores.options.clone()).and_then(|layout| {
            layout.update_index(|index| {
                index.manifests.retain(|entry| ImageName::of(entry).is_none_or(|name| !gone.contains(&&name)));
                Ok(())
            })
        });
        let failure = outcome.err().map(|error| Failure::from(&error));
        for name in gone {
            let state = if failure.is_some() { PruneState::Failed } else { PruneState::Removed };
            reports.push(PrunedReport { name: full(name), state, failure: failure.clone() });
        }
        reports
    }
}
