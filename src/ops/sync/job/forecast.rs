//! What a job would do: asked and counted, and nothing changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::copy::{self, CopyPlan};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::ops::copy::TallyReport;
use crate::spec::{Descriptor, Digest};
use crate::store::entries::Identity;
use crate::store::registry::Traffic;
use crate::store::{Destination, transport};
use crate::sync::{Attached, Existing, Key, Target};

use super::arrivals::known_names;
use super::carry::{Carrying, Found, Standing};
use super::prune::{self, PruneCandidate};
use super::report::{self, Failure};
use super::select::{self, Image, Selection, full_name};
use super::stores::Stores;
use super::work::Work;
use super::{SyncRequest, local_target};

/// What a job would do.
#[derive(Clone, Debug, Serialize)]
pub struct SyncPlanReport {
    /// Every image, in the order of the job.
    pub images: Vec<PlannedImage>,
    /// What each registry, layout and archive would get, in the order of their names.
    pub targets: Vec<TargetForecast>,
    /// What each registry would be asked for, in the order of their names.
    pub registries: Vec<RegistryForecast>,
    /// The names that would go from targets.
    pub prune: Vec<PruneCandidate>,
    /// What was sent to registries and received from them to find this out.
    pub traffic: Traffic,
    /// The share of the job, where it is not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Entries of layouts that have no name and so no place to go.
    pub nameless: usize,
    /// What is attached to images and would be left where it is, as far as it was seen.
    pub attached_left: usize,
}

impl SyncPlanReport {
    /// The kind of failure that planning amounts to, as [`SyncReport::verdict`](super::SyncReport::verdict) has it. None where everything could be planned.
    pub fn verdict(&self) -> Option<ErrorKind> {
        report::worst(self.images.iter().filter_map(|image| image.failure.as_ref()))
    }
}

/// One image.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedImage {
    /// What it is called where it comes from. Foreign text.
    pub source: String,
    /// What it would be called where it goes; none where that could not be found out. Foreign text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What would become of it.
    pub state: Planned,
    /// What its name would stand on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What its name stands on now, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Digest>,
    /// Blobs and documents that its place lacks and that no image before it brings.
    pub missing: TallyReport,
    /// The platforms that are asked for and that it does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// Why it could not be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What would become of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planned {
    /// It would get a name that is new.
    New,
    /// It would get a name that another image has.
    Moved,
    /// It is there.
    Unchanged,
    /// Another image would keep the name.
    Kept,
    /// The source does not have it, and need not.
    Absent,
    /// It could not be planned.
    Failed,
}

impl Planned {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Planned::New => "new",
            Planned::Moved => "moved",
            Planned::Unchanged => "unchanged",
            Planned::Kept => "kept",
            Planned::Absent => "absent",
            Planned::Failed => "failed",
        }
    }
}

/// What a registry, a layout or an archive would get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetForecast {
    /// The registry's host, or the location.
    pub target: String,
    /// Images that would get a name.
    pub images: usize,
    /// Blobs that would be sent there, each once.
    pub blobs: TallyReport,
    /// Blobs that would be taken from another repository there.
    pub taken: TallyReport,
    /// Manifests and indexes that would be put.
    pub documents: TallyReport,
}

/// What a registry would be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistryForecast {
    /// The host.
    pub host: String,
    /// Requests, at most about so many; attempts that fail, lists and those for tokens come on top.
    pub requests: u64,
}

/// Finds out what the job would do. Fails with kind `interrupted` only.
pub(super) fn forecast(run: &Run, request: &SyncRequest<'_>) -> Result<SyncPlanReport> {
    let stores = Stores::new(request.reach, &request.options);
    let selection = select::select(run, &request.routes, &stores)?;
    let prune = prune::plan(run, request, &stores, &selection)?.candidates();
    let Selection { images, failures, nameless, attached, .. } = selection;
    let images = images.into_iter().filter(|image| request.shard.has(&full_name(&request.routes[image.route], &image.target))).collect();
    let carrying = Carrying::new(run, request, &stores, None, images);
    let mut locals: HashMap<String, Result<Local, Failure>> = HashMap::new();
    for image in &carrying.images {
        if let Some(location) = local_target(carrying.route(image)).map(crate::store::Location::store) {
            locals.entry(location.to_string()).or_insert_with(|| Local::look(&location, request).map_err(|error| Failure::from(&error)));
        }
    }
    let forecast = Forecast { carrying: &carrying, locals, asked: Mutex::default(), known: Mutex::default() };
    let _task = run.events.start(format!("plan of {} images", carrying.images.len()), None);
    let planned = run.pool.waiting((0..carrying.images.len()).collect(), |position| forecast.image(position))?;
    let mut counting = Counting::default();
    // One after the other, so that what comes first does not depend on who was asked first.
    let planned = planned.into_iter().zip(&carrying.images).map(|((planned, bringing), image)| match bringing {
        Some(bringing) => PlannedImage { missing: counting.count(&carrying, image, &bringing), ..planned },
        None => planned,
    });
    let planned: Vec<PlannedImage> = planned.collect();
    let mut images: Vec<(usize, PlannedImage)> = carrying.images.iter().map(|image| image.route).zip(planned).collect();
    for unmeant in failures {
        let target = unmeant.target.map(|target| full_name(&request.routes[unmeant.route], &target));
        images.push((unmeant.route, PlannedImage::failed(unmeant.source, target, Failure::from(&unmeant.error))));
    }
    images.sort_by_key(|(route, _)| *route);
    let Counting { targets, mut requests, .. } = counting;
    for (host, asked) in forecast.asked.into_inner().unwrap_or_else(PoisonError::into_inner) {
        *requests.entry(host).or_default() += asked;
    }
    let carries_all = request.routes.iter().all(|route| route.attached == Attached::Carried);
    Ok(SyncPlanReport {
        images: images.into_iter().map(|(_, image)| image).collect(),
        targets: targets.into_values().collect(),
        registries: requests.into_iter().map(|(host, requests)| RegistryForecast { host, requests }).collect(),
        prune,
        traffic: request.reach.traffic(),
        shard: (request.shard != crate::sync::Shard::WHOLE).then(|| request.shard.to_string()),
        nameless,
        attached_left: if carries_all { 0 } else { attached },
    })
}

/// A layout or an archive that images would go to.
struct Local {
    known: HashMap<Identity, Digest>,
    /// None where it is yet to be made.
    destination: Option<Box<dyn Destination>>,
}

impl Local {
    fn look(location: &crate::store::Location, request: &SyncRequest<'_>) -> Result<Local> {
        let known = known_names(location, &request.options)?;
        let exists = !location.is_stream() && transport::source(location, &request.options).is_ok();
        // Opening what is not there would make it.
        let destination = exists.then(|| transport::destination(location, &request.options)).transpose().map_err(|error| error.side(Side::Destination))?;
        Ok(Local { known, destination })
    }
}

struct Forecast<'a> {
    carrying: &'a Carrying<'a>,
    locals: HashMap<String, Result<Local, Failure>>,
    /// How often each host was asked, as a run would ask it.
    asked: Mutex<BTreeMap<String, u64>>,
    /// Each digest once: images have most of them in common.
    known: Mutex<HashSet<Arc<Digest>>>,
}

/// What one image brings.
struct Bringing {
    /// What lacks there: digest, size, and whether it is a document.
    missing: Vec<(Arc<Digest>, u64, Form)>,
    /// What is there.
    present: Vec<Arc<Digest>>,
    documents: u64,
    state: Planned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Blob,
    Document,
}

/// Counts what images bring, in their order.
#[derive(Default)]
struct Counting {
    targets: BTreeMap<String, TargetForecast>,
    requests: BTreeMap<String, u64>,
    /// What is, or comes to, a registry, a layout or an archive.
    there: HashMap<String, HashSet<Arc<Digest>>>,
    /// What comes to a repository.
    placed: HashMap<String, HashSet<Arc<Digest>>>,
}

impl PlannedImage {
    fn failed(source: String, target: Option<String>, failure: Failure) -> PlannedImage {
        let missing = TallyReport::default();
        PlannedImage { source, target, state: Planned::Failed, digest: None, moved_from: None, missing, lacking: Vec::new(), failure: Some(failure) }
    }
}

impl Forecast<'_> {
    /// What becomes of an image, and what it brings. Fails with kind `interrupted` only.
    fn image(&self, position: usize) -> Result<(PlannedImage, Option<Bringing>)> {
        self.carrying.run.cancel.check()?;
        let image = &self.carrying.images[position];
        let target = full_name(self.carrying.route(image), &image.target);
        match self.try_image(position, image, &target) {
            Ok(planned) => Ok(planned),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => Ok((PlannedImage::failed(image.source.clone(), Some(target), Failure::from(&error)), None)),
        }
    }

    fn try_image(&self, position: usize, image: &Image, target: &str) -> Result<(PlannedImage, Option<Bringing>)> {
        let blank = |state| PlannedImage {
            source: image.source.clone(),
            target: Some(target.to_owned()),
            state,
            digest: None,
            moved_from: None,
            missing: TallyReport::default(),
            lacking: self.carrying.outcomes.lacking(position),
            failure: None,
        };
        if let Some(reason) = self.carrying.refusal(image) {
            return Err(Error::new(ErrorKind::Denied, reason));
        }
        self.ask(image.from.host(), 1);
        let Some(found) = self.carrying.find(&Work::of(position))? else { return Ok((blank(Planned::Absent), None)) };
        match self.found(position, image, &found, blank) {
            Err(error) if error.kind() == ErrorKind::Corrupt => match found.proved(&error)? {
                Some(proved) => self.found(position, image, &proved, blank),
                None => Err(error),
            },
            outcome => outcome,
        }
    }

    fn found(&self, position: usize, image: &Image, found: &Found, blank: impl Fn(Planned) -> PlannedImage) -> Result<(PlannedImage, Option<Bringing>)> {
        let lone = found.lone();
        let (platforms, expected) = self.carrying.expected(&Work::of(position), found, &lone)?;
        let there = self.there(image, found)?;
        let state = match &there {
            None => Planned::New,
            Some(digest) if *digest == expected => Planned::Unchanged,
            Some(_) if self.carrying.route(image).existing == Existing::Kept => Planned::Kept,
            Some(_) => Planned::Moved,
        };
        if state == Planned::Kept {
            return Ok((PlannedImage { digest: there, ..blank(state) }, None));
        }
        let moved_from = there.filter(|_| state == Planned::Moved);
        let planned = PlannedImage { digest: Some(expected.clone()), moved_from, ..blank(state) };
        if state == Planned::Unchanged && self.carrying.route(image).attached == Attached::Left {
            return Ok((planned, None));
        }
        let key = Key::of([]);
        let (pending, settled) = match state {
            Planned::Unchanged => (Vec::new(), vec![(position, key)]),
            _ => (vec![(position, key, None)], Vec::new()),
        };
        let standing = Standing { expected, platforms, pending, settled };
        let Some((plan, _)) = self.carrying.plan(&Work::of(position), &lone, &standing)? else { return Ok((planned, None)) };
        let missing = self.missing(image, &plan)?;
        Ok((planned, Some(self.bringing(&plan, &missing, state))))
    }

    fn ask(&self, host: Option<&str>, requests: u64) {
        if let Some(host) = host {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(host.to_owned()).or_default() += requests;
        }
    }

    /// What the name of an image stands on where it goes.
    fn there(&self, image: &Image, found: &Found) -> Result<Option<Digest>> {
        match &image.target {
            Target::Registry(reference) => {
                self.ask(Some(reference.host()), 1);
                self.carrying.there(&*self.carrying.stores.repository(reference)?, image, found)
            }
            Target::Local(name) => Ok(self.local(image)?.and_then(|local| local.known.get(&Identity::of(name)).cloned())),
        }
    }

    fn local(&self, image: &Image) -> Result<Option<&Local>> {
        let Some(location) = local_target(self.carrying.route(image)) else { return Ok(None) };
        match self.locals.get(&location.store().to_string()) {
            Some(Ok(local)) => Ok(Some(local)),
            Some(Err(failure)) => Err(failure.error()),
            None => Ok(None),
        }
    }

    fn missing<'p>(&self, image: &Image, plan: &'p CopyPlan<'_>) -> Result<Vec<&'p Descriptor>> {
        let plans = std::slice::from_ref(plan);
        let run = self.carrying.run;
        match &image.target {
            Target::Registry(reference) => copy::missing(run, plans, &*self.carrying.stores.repository(reference)?),
            Target::Local(_) => match self.local(image)?.and_then(|local| local.destination.as_deref()) {
                Some(destination) => copy::missing(run, plans, destination),
                None => copy::all(plans),
            },
        }
    }

    fn bringing(&self, plan: &CopyPlan<'_>, missing: &[&Descriptor], state: Planned) -> Bringing {
        let lacks: HashSet<&Digest> = missing.iter().map(|descriptor| &descriptor.digest).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shared = |digest: &Digest| match known.get(digest) {
            Some(digest) => digest.clone(),
            None => {
                let digest = Arc::new(digest.clone());
                known.insert(digest.clone());
                digest
            }
        };
        let documents = plan.documents.iter().map(Vec::len).sum::<usize>() as u64;
        let mut bringing = Bringing { missing: Vec::with_capacity(missing.len()), present: Vec::new(), documents, state };
        for (height, descriptor) in plan.content() {
            let form = if height > 0 { Form::Document } else { Form::Blob };
            match lacks.contains(&descriptor.digest) {
                true => bringing.missing.push((shared(&descriptor.digest), descriptor.size, form)),
                false => bringing.present.push(shared(&descriptor.digest)),
            }
        }
        bringing
    }
}

impl Counting {
    /// Counts what an image brings, each digest once for each place. Returns what no image before it brings there.
    fn count(&mut self, carrying: &Carrying<'_>, image: &Image, bringing: &Bringing) -> TallyReport {
        let (place, repository) = match &image.target {
            Target::Registry(reference) => (reference.host().to_owned(), format!("{}/{}", reference.host(), reference.repository())),
            Target::Local(_) => {
                let location = local_target(carrying.route(image)).map(|location| location.store().to_string()).unwrap_or_default();
                (location.clone(), location)
            }
        };
        let target = self.targets.entry(place.clone()).or_insert_with(|| TargetForecast { target: place.clone(), ..TargetForecast::default() });
        target.images += usize::from(bringing.state != Planned::Unchanged);
        let (there, placed) = (self.there.entry(place).or_default(), self.placed.entry(repository).or_default());
        there.extend(bringing.present.iter().cloned());
        let mut own = TallyReport::default();
        let (mut sent, mut read) = (0, bringing.documents);
        for (digest, size, form) in &bringing.missing {
            if !placed.insert(digest.clone()) {
                continue;
            }
            let is_new = there.insert(digest.clone());
            let (tally, cost) = match (form, is_new) {
                (Form::Document, _) => (&mut target.documents, 1),
                (Form::Blob, true) => (&mut target.blobs, 2),
                (Form::Blob, false) => (&mut target.taken, 1),
            };
            add(tally, *size);
            sent += cost;
            if *form == Form::Document || is_new {
                add(&mut own, *size);
                read += u64::from(*form == Form::Blob);
            }
        }
        // The tag is put, and read back.
        let named = if bringing.state == Planned::Unchanged { 0 } else { 2 };
        if let Target::Registry(reference) = &image.target {
            let asked = (bringing.missing.len() + bringing.present.len()) as u64;
            *self.requests.entry(reference.host().to_owned()).or_default() += asked + sent + named;
        }
        if let Some(host) = image.from.host() {
            *self.requests.entry(host.to_owned()).or_default() += read;
        }
        own
    }
}

fn add(tally: &mut TallyReport, size: u64) {
    tally.count += 1;
    tally.bytes = tally.bytes.saturating_add(size);
}
