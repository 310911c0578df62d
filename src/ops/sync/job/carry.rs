//! Carrying images: the question whether one is there, its plan, its content, its names.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::copy::{self, CopyPlan, CopyRequest, How, Names, Platforms, Reading, Referrers, Wanted};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::graph::filter::Filter;
use crate::graph::image;
use crate::spec::{Descriptor, Digest, ImageName, Kind, Platform, Reference, Selector};
use crate::store::registry::Which;
use crate::store::{Sharing, Source};
use crate::sync::{Attached, Existing, Journal, Key, Lacking, Route, Target};

use super::arrivals::{Arrival, Arrivals, Flights};
use super::lone::Lone;
use super::outcome::{Outcome, Outcomes};
use super::reach::Repository;
use super::report::{ContentReport, Failure, ImageReport, State};
use super::select::{From, Image, Name, Need, Unmeant, full_name};
use super::stores::{Attachments, LocalSource, Stores};
use super::toward::{Toward, Traffic};
use super::work::{Work, Works};
use super::{Failing, Layouts, SyncRequest, archive, is_layout, local_target};

/// How content comes over: files of this machine are shared where that can be.
pub(super) const HOW: How = How { sharing: Some(Sharing::Files), reading: Reading::Copied };

/// Carries the images of a job.
pub(super) struct Carrying<'a> {
    pub(super) run: &'a Run,
    pub(super) request: &'a SyncRequest<'a>,
    pub(super) stores: &'a Stores<'a>,
    journal: Option<&'a Journal>,
    pub(super) images: Vec<Image>,
    pub(super) outcomes: Outcomes,
    layouts: Layouts,
    /// What is on its way to each registry.
    hosts: HashMap<String, Flights>,
    stopped: AtomicBool,
    /// Whether somebody was told that the journal cannot be written.
    silent: AtomicBool,
}

/// The image of some work, found in its source.
pub(super) struct Found {
    /// What it is carried from.
    pub(super) origin: OriginStore,
    pub(super) root: Descriptor,
    attached: Option<Arc<Attachments>>,
}

/// A source that somebody holds open.
pub(super) enum OriginStore {
    Local(Arc<LocalSource>),
    Remote(Arc<dyn Repository>),
}

impl OriginStore {
    fn source(&self) -> &dyn Source {
        match self {
            OriginStore::Local(local) => &*local.source,
            OriginStore::Remote(repository) => &**repository,
        }
    }
}

impl Found {
    /// The same with what the image itself says of its size and type, where the answer to a mere question said something else: what stands before a registry may
    /// answer with those of a form of its own. None where that is not the reason of this failure.
    pub(super) fn proved(&self, failure: &Error) -> Result<Option<Found>> {
        let OriginStore::Remote(repository) = &self.origin else { return Ok(None) };
        if failure.failed_side() == Some(Side::Destination) {
            return Ok(None);
        }
        let read = repository.entries_for(&Selector::Digest(self.root.digest.clone())).map_err(|error| error.side(Side::Source))?;
        let proved = read.manifests.into_iter().next().filter(|read| (read.size, &read.media_type) != (self.root.size, &self.root.media_type));
        Ok(proved.map(|root| Found { origin: OriginStore::Remote(repository.clone()), root, attached: self.attached.clone() }))
    }

    /// The image as if it were alone.
    pub(super) fn lone(&self) -> Lone<'_> {
        Lone::new(self.origin.source(), &self.root, self.attached.clone())
    }
}

/// Where the images of some work stand before anything is carried.
pub(super) struct Standing {
    /// What the names are to stand on.
    pub(super) expected: Digest,
    pub(super) platforms: Platforms,
    /// The images that have to get their names, with what these stood on before.
    pub(super) pending: Vec<(usize, Key, Option<Digest>)>,
    /// The images that have their names, where what is attached to them may lack.
    pub(super) settled: Vec<(usize, Key)>,
}

impl Standing {
    /// What becomes of the images once everything has arrived.
    pub(super) fn outcomes(self) -> impl Iterator<Item = (usize, Key, Outcome)> {
        let Standing { expected, pending, settled, .. } = self;
        let unchanged = Outcome::at(State::Unchanged, &expected);
        let settled = settled.into_iter().map(move |(position, key)| (position, key, unchanged.clone()));
        let copied =
            pending.into_iter().map(move |(position, key, moved_from)| (position, key, Outcome { moved_from, ..Outcome::at(State::Copied, &expected) }));
        copied.chain(settled)
    }
}

impl<'a> Carrying<'a> {
    pub(super) fn new(run: &'a Run, request: &'a SyncRequest<'a>, stores: &'a Stores<'a>, journal: Option<&'a Journal>, images: Vec<Image>) -> Self {
        let outcomes = Outcomes::of(images.len());
        let hosts = images.iter().filter_map(|image| Some((image.target_host()?.to_owned(), Flights::default()))).collect();
        Carrying {
            run,
            request,
            stores,
            journal,
            images,
            outcomes,
            layouts: HashMap::new(),
            hosts,
            stopped: AtomicBool::new(false),
            silent: AtomicBool::new(false),
        }
    }

    /// Looks at the layouts that images go to. One that cannot be read is the failure of its images.
    pub(super) fn look_at_layouts(&mut self) {
        let request = self.request;
        for image in &self.images {
            let Some(location) = local_target(&request.routes[image.route]).filter(|location| is_layout(location)) else { continue };
            let location = location.store();
            let open = || Arrivals::at(&location, &request.options).map_err(|error| Failure::from(&error));
            self.layouts.entry(location.to_string()).or_insert_with(open);
        }
    }

    /// Carries all images. Fails with kind `interrupted` only.
    pub(super) fn all(&self) -> Result<()> {
        let _task = self.run.events.start(format!("sync of {} image{}", self.images.len(), if self.images.len() == 1 { "" } else { "s" }), None);
        let Works { single, archives } = Works::of(&self.images, &self.request.routes);
        for (number, work) in single.iter().enumerate() {
            if let Some(arrivals) = self.arrivals(work) {
                arrivals.expect(number);
            }
        }
        self.run.pool.waiting(single.into_iter().enumerate().collect(), |(number, work)| {
            let arrival = self.carry(&work)?;
            if let Some(arrivals) = self.arrivals(&work) {
                arrivals.settle(number, arrival, |batch| self.name(arrivals, batch));
            }
            Ok(())
        })?;
        archives.into_values().try_for_each(|images| archive::carry(self, &images))
    }

    /// The layout that some work goes to, where it goes to one that is open.
    fn arrivals(&self, work: &Work) -> Option<&Arrivals> {
        let location = local_target(self.route(self.first(work)))?;
        self.layouts.get(&location.store().to_string())?.as_ref().ok()
    }

    /// Carries the images of some work. Returns those that have arrived in a layout. Fails with kind `interrupted` only.
    fn carry(&self, work: &Work) -> Result<Option<Arrival>> {
        self.run.cancel.check()?;
        if let Some(failure) = self.why_not(work) {
            self.outcomes.set_open(work.images(), &Outcome::without(State::NotTried, Some(failure)));
            return Ok(None);
        }
        self.try_carry(work).or_else(|error| self.fail(work, &error).map(|()| None))
    }

    /// Why work is not tried.
    fn why_not(&self, work: &Work) -> Option<Failure> {
        if self.stopped.load(Ordering::Relaxed) {
            return Some(Failure::from(&Error::new(ErrorKind::Unavailable, "not tried, because another image failed")));
        }
        Some(Failure::from(&Error::new(ErrorKind::Denied, self.refusal(self.first(work))?)))
    }

    /// Why an image is not asked for: one of its registries does not know who we are. A password that is sent again and again locks the account of whoever it
    /// belongs to. What is forbidden is another thing: the next image may be allowed.
    pub(super) fn refusal(&self, image: &Image) -> Option<String> {
        let target = match &image.target {
            Target::Registry(reference) => Some(reference),
            Target::Local(_) => None,
        };
        image.from.reference().into_iter().chain(target).find_map(|reference| self.request.reach.refused(reference))
    }

    /// Notes that images did not arrive. Fails with kind `interrupted` only, where that is the reason.
    pub(super) fn fail(&self, work: &Work, error: &Error) -> Result<()> {
        if error.kind() == ErrorKind::Interrupted || self.run.cancel.is_cancelled() {
            return Err(Error::interrupted());
        }
        let first = self.first(work);
        self.run.events.warn(format!("{} did not arrive: {}", first.source, error.causes().pop().unwrap_or_else(|| error.message().to_owned())));
        if self.request.failing == Failing::StopsAll {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.outcomes.set_open(work.images(), &Outcome::without(State::Failed, Some(Failure::from(error))));
        Ok(())
    }

    fn try_carry(&self, work: &Work) -> Result<Option<Arrival>> {
        let Some(found) = self.find(work)? else { return Ok(None) };
        match self.bring(work, &found) {
            Err(error) if error.kind() == ErrorKind::Corrupt => match found.proved(&error)? {
                Some(proved) => self.bring(work, &proved),
                None => Err(error),
            },
            outcome => outcome,
        }
    }

    fn bring(&self, work: &Work, found: &Found) -> Result<Option<Arrival>> {
        let first = self.first(work);
        let lone = found.lone();
        match &first.target {
            Target::Registry(reference) => self.to_registry(work, found, &lone, reference).map(|()| None),
            Target::Local(_) => self.to_layout(work, found, &lone),
        }
    }

    /// Finds the image of some work in its source. None where it is not there and need not be; then its outcome is set.
    pub(super) fn find(&self, work: &Work) -> Result<Option<Found>> {
        let first = self.first(work);
        let attached = self.route(first).attached;
        let (reference, name) = match &first.from {
            From::Entry(local, entry) => {
                let attached = match attached {
                    Attached::Carried => Some(local.attached(self.run)?),
                    Attached::Left => Some(Arc::default()),
                };
                return Ok(Some(Found { origin: OriginStore::Local(local.clone()), root: (**entry).clone(), attached }));
            }
            From::Remote(reference, name) => (reference, name),
        };
        let repository = self.stores.repository(reference)?;
        let which = match name {
            Name::Tag(tag) => Which::Tag(tag),
            Name::Digest(digest) => Which::Digest(digest),
        };
        match repository.manifest(which).map_err(|error| error.side(Side::Source))? {
            Some(root) => Ok(Some(Found { origin: OriginStore::Remote(repository), root, attached: None })),
            None if first.need == Need::May => {
                self.outcomes.set_open(work.images(), &Outcome::without(State::Absent, None));
                Ok(None)
            }
            None => Err(Error::not_found(format!("there is no image {}", first.source))
                .subject(&first.source)
                .hint("`larder sync list` shows the tags of a repository; a repository alone means its tag latest")
                .side(Side::Source)),
        }
    }

    /// Finds out which images of some work have to get their names; `there` says what a name stands on. The outcomes of the others are set.
    pub(super) fn stand(&self, work: &Work, found: &Found, lone: &Lone<'_>, there: impl Fn(&Image) -> Result<Option<Digest>>) -> Result<Standing> {
        let (platforms, expected) = self.expected(work, found, lone)?;
        let (mut pending, mut settled) = (Vec::new(), Vec::new());
        for position in work.images() {
            let image = &self.images[position];
            let route = self.route(image);
            let attached = if route.attached == Attached::Carried { "attached" } else { "" };
            let key = Key::of([full_name(route, &image.target).as_str(), expected.as_str(), attached]);
            if self.journal.is_some_and(|journal| journal.has(&key)) {
                self.outcomes.set(position, Outcome::at(State::Finished, &expected));
                continue;
            }
            match there(image)? {
                Some(digest) if digest == expected && route.attached == Attached::Carried => settled.push((position, key)),
                Some(digest) if digest == expected => {
                    self.note(&key);
                    self.outcomes.set(position, Outcome::at(State::Unchanged, &expected));
                }
                Some(digest) if route.existing == Existing::Kept => self.outcomes.set(position, Outcome::at(State::Kept, &digest)),
                other => pending.push((position, key, other)),
            }
        }
        Ok(Standing { expected, platforms, pending, settled })
    }

    /// Which platforms of the image of some work are carried, and what its names are to stand on.
    pub(super) fn expected(&self, work: &Work, found: &Found, lone: &Lone<'_>) -> Result<(Platforms, Digest)> {
        let Platforms::Filtered(wanted) = self.platforms(work, found, lone)? else { return Ok((Platforms::All, found.root.digest.clone())) };
        let filtered = |wanted: &[Platform]| Filter::new(self.run, lone, wanted).apply(&found.root).map(|filtered| filtered.root.digest);
        match filtered(&wanted) {
            Ok(expected) => Ok((Platforms::Filtered(wanted), expected)),
            Err(error) if error.kind() == ErrorKind::NotFound && self.route(self.first(work)).lacking == Lacking::Skipped => {
                let is_there = |platform: &Platform| filtered(std::slice::from_ref(platform)).is_ok();
                let (there, lacking): (Vec<Platform>, Vec<Platform>) = wanted.into_iter().partition(is_there);
                if there.is_empty() {
                    return Err(error.side(Side::Source));
                }
                self.outcomes.lack(work.images(), &lacking.iter().map(ToString::to_string).collect::<Vec<_>>());
                let expected = filtered(&there).map_err(|error| error.side(Side::Source))?;
                Ok((Platforms::Filtered(there), expected))
            }
            Err(error) => Err(error.side(Side::Source)),
        }
    }

    /// Which platforms are carried: what has none of its own comes as it is.
    fn platforms(&self, work: &Work, found: &Found, lone: &Lone<'_>) -> Result<Platforms> {
        let wanted = &self.route(self.first(work)).platforms;
        let is_image = !wanted.is_empty()
            && match Kind::of(&found.root.media_type) {
                Kind::Index => true,
                Kind::Manifest => image::platform_of(lone, &found.root).map_err(|error| error.side(Side::Source))?.is_some(),
                _ => false,
            };
        Ok(if is_image { Platforms::Filtered(wanted.clone()) } else { Platforms::All })
    }

    fn to_registry(&self, work: &Work, found: &Found, lone: &Lone<'_>, reference: &Reference) -> Result<()> {
        let repository = self.stores.target(reference)?;
        let there = |image: &Image| self.there(&*repository, image, found);
        let standing = self.stand(work, found, lone, there)?;
        let Some(planned) = self.plan(work, lone, &standing)? else { return Ok(()) };
        let (mut plan, own) = planned;
        // What is attached has tags of its own, which are asked for like all others.
        let mut entries = Vec::with_capacity(plan.entries.len());
        for (position, mut entry) in std::mem::take(&mut plan.entries).into_iter().enumerate() {
            let wanted = position < own || self.rename_attached(&mut entry, reference, &*repository)?;
            if wanted {
                entries.push(entry);
            }
        }
        plan.entries = entries;
        let name = standing.pending.first().map_or_else(|| reference.to_string(), |(position, _, _)| self.images[*position].target.to_string());
        let traffic = self.hosts.get(reference.host()).map_or(Traffic::None, Traffic::Registry);
        let toward = Toward { destination: &*repository, name: &name, cancel: &self.run.cancel, traffic };
        let carried = copy::execute(self.run, std::slice::from_ref(&plan), &toward, HOW)?;
        self.outcomes.add(&carried);
        for (position, key, outcome) in standing.outcomes() {
            self.note(&key);
            self.outcomes.set(position, outcome);
        }
        Ok(())
    }

    /// What the name of an image stands on in its repository.
    pub(super) fn there(&self, repository: &dyn Repository, image: &Image, found: &Found) -> Result<Option<Digest>> {
        let Target::Registry(reference) = &image.target else { return Ok(None) };
        let which = reference.tag().map_or(Which::Digest(&found.root.digest), Which::Tag);
        let there = repository.manifest_before_push(which).map_err(|error| error.side(Side::Destination))?;
        Ok(there.map(|descriptor| descriptor.digest))
    }

    /// Plans what is carried: the pending images, and what is attached to any. None where there is nothing to do. With the plan comes how many of its first
    /// entries are the images themselves.
    pub(super) fn plan<'l>(&self, work: &Work, lone: &'l Lone<'_>, standing: &Standing) -> Result<Option<(CopyPlan<'l>, usize)>> {
        let attached = self.route(self.first(work)).attached;
        if standing.pending.is_empty() && standing.settled.is_empty() {
            return Ok(None);
        }
        let names: Vec<ImageName> = standing.pending.iter().filter_map(|(position, _, _)| self.images[*position].name()).collect::<Result<_>>()?;
        let names = if names.is_empty() { Names::Kept } else { Names::New(names) };
        let referrers = match attached {
            Attached::Carried => Referrers::Carried,
            Attached::Left => Referrers::Left,
        };
        let wanted = Wanted::One(Selector::Only, names);
        let request = CopyRequest { source: lone, wanted: &wanted, platforms: &standing.platforms, referrers };
        // Planning asks nobody but the source.
        let mut plan = CopyPlan::new(self.run, &request).map_err(|error| error.side(Side::Source))?;
        let mut own = plan.entries.iter().take_while(|entry| entry.digest == standing.expected).count();
        if standing.pending.is_empty() {
            // The image has its name; only what is attached may lack.
            plan.entries.drain(..own);
            own = 0;
        }
        Ok(Some((plan, own)))
    }

    /// Gives something that is attached its name where it goes. Returns whether the name is to be given: it may stand on the right digest already.
    fn rename_attached(&self, entry: &mut Descriptor, reference: &Reference, repository: &dyn Repository) -> Result<bool> {
        let tag = ImageName::of(entry).and_then(|name| name.tag());
        ImageName::clear(entry);
        let Some(tag) = tag else { return Ok(true) };
        ImageName::with_repository(&format!("{}/{}", reference.host(), reference.repository()), &tag)?.apply(entry);
        let there = repository.manifest_before_push(Which::Tag(&tag)).map_err(|error| error.side(Side::Destination))?;
        Ok(there.is_none_or(|there| there.digest != entry.digest))
    }

    fn to_layout(&self, work: &Work, found: &Found, lone: &Lone<'_>) -> Result<Option<Arrival>> {
        let first = self.first(work);
        let Some(location) = local_target(self.route(first)) else { return Ok(None) };
        let arrivals = match self.layouts.get(&location.store().to_string()) {
            Some(Ok(arrivals)) => arrivals,
            Some(Err(failure)) => return Err(failure.error()),
            None => return Ok(None),
        };
        let there = |image: &Image| match &image.target {
            Target::Local(name) => Ok(arrivals.known(name).cloned()),
            Target::Registry(_) => Ok(None),
        };
        let standing = self.stand(work, found, lone, there)?;
        let Some((mut plan, own)) = self.plan(work, lone, &standing)? else { return Ok(None) };
        let mut entries = std::mem::take(&mut plan.entries);
        for entry in entries.iter_mut().skip(own) {
            local_name(entry, &first.target)?;
        }
        let name = first.target.to_string();
        let traffic = Traffic::Layout(&arrivals.flights);
        let toward = Toward { destination: arrivals.destination()?, name: &name, cancel: &self.run.cancel, traffic };
        let carried = copy::execute(self.run, std::slice::from_ref(&plan), &toward, HOW)?;
        self.outcomes.add(&carried);
        let mut images = Vec::new();
        for (position, key, outcome) in standing.outcomes() {
            self.outcomes.set(position, outcome);
            images.push((position, key));
        }
        Ok(Some(Arrival { images, entries }))
    }

    /// Gives the images that have arrived in a layout their names.
    fn name(&self, arrivals: &Arrivals, batch: Vec<Arrival>) {
        let outcome = arrivals.name(&batch);
        for (position, key) in batch.into_iter().flat_map(|arrival| arrival.images) {
            match &outcome {
                Ok(()) => self.note(&key),
                Err(error) => self.outcomes.set(position, Outcome::without(State::Failed, Some(Failure::from(error)))),
            }
        }
    }

    /// The image that some work is about, under the first of its names.
    fn first(&self, work: &Work) -> &Image {
        &self.images[work.first]
    }

    pub(super) fn route(&self, image: &Image) -> &Route {
        &self.request.routes[image.route]
    }

    /// Notes in the journal that an image is finished. What cannot be noted is found out again by the next run.
    pub(super) fn note(&self, key: &Key) {
        let Some(journal) = self.journal else { return };
        if let Err(error) = journal.note(key)
            && !self.silent.swap(true, Ordering::Relaxed)
        {
            self.run.events.warn(format!("{error}: a run that is killed begins anew"));
        }
    }

    /// What became of all images, and of those that were no images to begin with.
    pub(super) fn finish(self, unmeant: Vec<Unmeant>) -> (Vec<ImageReport>, ContentReport) {
        let (outcomes, content) = self.outcomes.finish();
        let routes = &self.request.routes;
        let mut reports: Vec<(usize, ImageReport)> = Vec::with_capacity(outcomes.len() + unmeant.len());
        for (image, outcome) in self.images.into_iter().zip(outcomes) {
            let Outcome { state, digest, moved_from, failure, lacking } = outcome;
            let target = Some(full_name(&routes[image.route], &image.target));
            reports.push((image.route, ImageReport { source: image.source, target, state, digest, moved_from, lacking, failure }));
        }
        for Unmeant { route, source, target, error } in unmeant {
            let target = target.map(|target| full_name(&routes[route], &target));
            let failure = Some(Failure::from(&error));
            reports.push((route, ImageReport { source, target, state: State::Failed, digest: None, moved_from: None, lacking: Vec::new(), failure }));
        }
        reports.sort_by_key(|(route, _)| *route);
        (reports.into_iter().map(|(_, report)| report).collect(), content)
    }
}

impl Image {
    fn target_host(&self) -> Option<&str> {
        match &self.target {
            Target::Registry(reference) => Some(reference.host()),
            Target::Local(_) => None,
        }
    }

    /// The name that its entry gets where it goes; none for what goes by its digest.
    pub(super) fn name(&self) -> Option<Result<ImageName>> {
        match &self.target {
            Target::Local(name) => Some(Ok(name.clone())),
            Target::Registry(reference) => {
                let tag = reference.tag()?;
                Some(ImageName::with_repository(&format!("{}/{}", reference.host(), reference.repository()), tag))
            }
        }
    }
}

/// Gives something that is attached its name beside the image that goes to `target`.
pub(super) fn local_name(entry: &mut Descriptor, target: &Target) -> Result<()> {
    let Some(tag) = ImageName::of(entry).and_then(|name| name.tag()) else {
        ImageName::clear(entry);
        return Ok(());
    };
    let repository = match target {
        Target::Local(name) => name.reference().map(|reference| format!("{}/{}", reference.host(), reference.repository())),
        Target::Registry(_) => None,
    };
    let name = repository.map_or_else(|| ImageName::tag_only(&tag), |repository| ImageName::with_repository(&repository, &tag))?;
    name.apply(entry);
    Ok(())
}
