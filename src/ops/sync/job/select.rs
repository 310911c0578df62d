//! Which images a job is about: the entries of layouts and archives, and the tags of repositories, under the names that they have where they go.
//!
//! Only names are held, and of layouts their entries: ten thousand images take some ten megabytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::graph::{find, referrers};
use crate::spec::{Descriptor, Digest, ImageName, Reference, Selector, text};
use crate::specfile::At;
use crate::store::Location;
use crate::sync::{Below, Chosen, Endpoint, Origin, RepositoryName, Route, Target};

use super::stores::{LocalSource, Stores};

/// One image, and where it goes.
pub(super) struct Image {
    /// The route that it takes.
    pub(super) route: usize,
    pub(super) from: From,
    pub(super) target: Target,
    /// What the image is called where it comes from, for people.
    pub(super) source: String,
    pub(super) need: Need,
}

/// What it means that an image is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A failure: somebody asked for this very image.
    Must,
    /// Nothing: it was asked for in many repositories.
    May,
}

/// Where an image is.
pub(super) enum From {
    /// An entry of a layout or an archive.
    Entry(Arc<LocalSource>, Box<Descriptor>),
    /// A tag of a repository, or a digest.
    Remote(Arc<Reference>, Name),
}

/// What an image of a repository is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Tag(String),
    Digest(Digest),
}

/// Something that cannot be carried, known before anything is.
pub(super) struct Unmeant {
    pub(super) route: usize,
    pub(super) source: String,
    pub(super) target: Option<Target>,
    pub(super) error: Error,
}

/// All images of a job.
#[derive(Default)]
pub(super) struct Selection {
    /// In the order of the routes, and of each route the older tags of a repository before the newer.
    pub(super) images: Vec<Image>,
    pub(super) failures: Vec<Unmeant>,
    /// Routes of which nobody can say that all images are known.
    pub(super) incomplete: HashSet<usize>,
    /// How many entries of layouts have no name and so no place to go.
    pub(super) nameless: usize,
    /// How many entries are attached to others.
    pub(super) attached: usize,
}

/// Finds the images of all routes. Fails with kind `interrupted` only.
pub(super) fn select(run: &Run, routes: &[Route], stores: &Stores<'_>) -> Result<Selection> {
    let mut selection = Selection::default();
    for (number, route) in routes.iter().enumerate() {
        let first = selection.images.len();
        let mut selecting = Selecting { run, stores, number, route, selection: &mut selection, merged: BTreeSet::new() };
        for from in &route.from {
            run.cancel.check()?;
            if let Err(error) = selecting.end(from) {
                selecting.fail(from.value.to_string(), None, error)?;
            }
        }
        if let Some(error) = selecting.merging() {
            selecting.selection.images.truncate(first);
            selecting.fail(route.to_string(), None, error)?;
        }
    }
    selection.refuse_conflicts(routes);
    Ok(selection)
}

struct Selecting<'a, 'b> {
    run: &'a Run,
    stores: &'a Stores<'b>,
    number: usize,
    route: &'a Route,
    selection: &'a mut Selection,
    /// The repositories that come together where only one is named, without that anybody named each of them.
    merged: BTreeSet<String>,
}

impl Selecting<'_, '_> {
    fn end(&mut self, from: &At<Endpoint>) -> Result<()> {
        match &from.value {
            Endpoint::Local(location) => self.local(location),
            Endpoint::Repository(reference) => {
                let name = RepositoryName::of(reference);
                match Chosen::of(reference) {
                    Chosen::All => self.repositories(vec![(reference.clone(), name)], Need::Must),
                    Chosen::Tag(tag) => self.remote(&Arc::new(reference.clone()), &name, Some(tag), Name::Tag(tag.to_owned()), Need::Must),
                    Chosen::Digest(digest, tag) => self.remote(&Arc::new(reference.clone()), &name, tag, Name::Digest(digest.clone()), Need::Must),
                }
            }
            Endpoint::Below(below) => {
                let repositories = self.below(below).map_err(|error| error.side(Side::Source))?;
                self.merged.extend(repositories.iter().map(|(_, name)| name.full.clone()));
                self.repositories(repositories, Need::May)
            }
        }
    }

    /// That images of several repositories would come into one, which nobody asked for.
    fn merging(&self) -> Option<Error> {
        let (Endpoint::Repository(_), [first, second, ..]) = (&self.route.to.value, &self.merged.iter().collect::<Vec<_>>()[..]) else { return None };
        let all = self.merged.len();
        let message = format!("images of {all} repositories, such as {first} and {second}, would come into one");
        let hint =
            format!("write {}/ with a slash at its end, and each repository keeps its name below it; or choose one with --repository", self.route.to.value);
        Some(self.route.to.place.usage(message).hint(hint))
    }

    /// Notes something that cannot be carried. Fails with kind `interrupted` only.
    fn fail(&mut self, source: String, target: Option<Target>, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Interrupted {
            return Err(error);
        }
        self.selection.incomplete.insert(self.number);
        self.selection.failures.push(Unmeant { route: self.number, source, target, error });
        Ok(())
    }

    fn local(&mut self, location: &Location) -> Result<()> {
        let local = self.stores.local(location)?;
        if *location.selector() != Selector::Only {
            return self.selected(&local, location.selector());
        }
        // As in a registry, which tags are meant is decided in each repository by itself.
        let mut repositories: BTreeMap<Option<String>, BTreeMap<String, (Origin, &Descriptor)>> = BTreeMap::new();
        for entry in &local.index.manifests {
            let origin = Origin::of_entry(entry);
            match &origin.tag {
                None => self.selection.nameless += 1,
                Some(_) if ImageName::of(entry).as_ref().is_some_and(referrers::is_attached) => self.selection.attached += 1,
                Some(tag) if self.route.wants(&origin) => {
                    let repository = origin.repository.as_ref().map(|name| name.full.clone());
                    repositories.entry(repository).or_default().insert(tag.clone(), (origin.clone(), entry));
                }
                Some(_) => {}
            }
        }
        for absent in self.route.tags.names().unwrap_or_default() {
            if !repositories.values().any(|tags| tags.contains_key(&absent.value)) {
                let error =
                    absent.place.error(ErrorKind::NotFound, format!("{} has no image with the tag `{}`", local.source.location(), text::shown(&absent.value)));
                self.fail(format!("{}:{}", local.source.location(), text::shown(&absent.value)), None, error.side(Side::Source))?;
            }
        }
        for (repository, tags) in repositories {
            self.merged.insert(repository.unwrap_or_else(|| "those without one".to_owned()));
            for tag in self.route.tags.choose(tags.keys().cloned()) {
                let Some((origin, entry)) = tags.get(&tag) else { continue };
                self.take(origin, From::Entry(local.clone(), Box::new((*entry).clone())), Need::Must)?;
            }
        }
        Ok(())
    }

    /// One image of a layout, under all names that are meant.
    fn selected(&mut self, local: &Arc<LocalSource>, selector: &Selector) -> Result<()> {
        let found = find::select(&*local.source, &local.index, selector).map_err(|error| {
            let several = error.kind() == ErrorKind::Usage;
            let error = error.context(format!("cannot find an image in {}", local.source.location())).side(Side::Source);
            if several { error.hint("name one of them") } else { error }
        })?;
        let mut origins: Vec<Origin> = selector.entries(&local.index).into_iter().map(Origin::of_entry).collect();
        if origins.is_empty() {
            origins.push(Origin::default());
        }
        if self.route.is_to_one_name() {
            origins.truncate(1);
        }
        origins.iter().try_for_each(|origin| self.take(origin, From::Entry(local.clone(), Box::new(found.clone())), Need::Must))
    }

    /// The repositories below a path that are meant.
    fn below(&self, below: &Below) -> Result<Vec<(Reference, RepositoryName)>> {
        let named = |reference: Reference| {
            let name = RepositoryName::below(below, &reference);
            (reference, name)
        };
        if let Some(names) = self.route.repositories.names() {
            let references = names.iter().map(|name| below.repository(&name.value).map_err(|error| name.place.wrap(error, "cannot be a repository")));
            return Ok(references.collect::<Result<Vec<_>>>()?.into_iter().map(named).collect());
        }
        let mut found = Vec::new();
        for path in self.stores.reach.repositories(&below.host)? {
            // What a registry lists and references cannot name, nobody can ask for.
            let Some(Ok(reference)) = path.strip_prefix(&below.path).filter(|name| !name.is_empty()).map(|name| below.repository(name)) else { continue };
            let (reference, name) = named(reference);
            if self.route.wants_repository(&name) {
                found.push((reference, name));
            }
        }
        Ok(found)
    }

    /// The tags of repositories that are meant.
    fn repositories(&mut self, repositories: Vec<(Reference, RepositoryName)>, need: Need) -> Result<()> {
        if let Some(tags) = self.route.tags.names() {
            for (reference, name) in &repositories {
                let reference = Arc::new(reference.clone());
                for tag in tags {
                    self.remote(&reference, name, Some(&tag.value), Name::Tag(tag.value.clone()), need)?;
                }
            }
            return Ok(());
        }
        let (run, stores) = (self.run, self.stores);
        let lists = run.pool.waiting(repositories, |(reference, name)| {
            run.cancel.check()?;
            let tags = stores.repository(&reference).and_then(|repository| repository.tags());
            Ok((reference, name, tags.map_err(|error| error.side(Side::Source))))
        })?;
        for (reference, name, tags) in lists {
            let tags = match tags {
                Ok(tags) => tags,
                Err(error) => {
                    self.fail(format!("{}/{}", reference.host(), reference.repository()), None, error)?;
                    continue;
                }
            };
            let (attached, tags): (Vec<String>, Vec<String>) = tags.into_iter().partition(|tag| is_attached_tag(tag));
            self.selection.attached += attached.len();
            let reference = Arc::new(reference);
            for tag in self.route.tags.choose(tags) {
                self.remote(&reference, &name, Some(&tag), Name::Tag(tag.clone()), Need::Must)?;
            }
        }
        Ok(())
    }

    fn remote(&mut self, reference: &Arc<Reference>, name: &RepositoryName, tag: Option<&str>, which: Name, need: Need) -> Result<()> {
        let origin = Origin { repository: Some(name.clone()), tag: tag.map(str::to_owned) };
        self.take(&origin, From::Remote(reference.clone(), which), need)
    }

    /// Takes an image in under the name that it gets. Fails with kind `interrupted` only.
    fn take(&mut self, origin: &Origin, from: From, need: Need) -> Result<()> {
        let source = from.shown();
        match self.route.target(origin) {
            Ok(Some(target)) => self.selection.images.push(Image { route: self.number, from, target, source, need }),
            Ok(None) => {}
            Err(error) => self.fail(source, None, error)?,
        }
        Ok(())
    }
}

fn is_attached_tag(tag: &str) -> bool {
    ImageName::tag_only(tag).is_ok_and(|name| referrers::is_attached(&name))
}

impl From {
    /// The registry that is asked; none for what is on this machine.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            From::Entry(..) => None,
            From::Remote(reference, _) => Some(reference.host()),
        }
    }

    /// The repository that is asked; none for what is on this machine.
    pub(super) fn reference(&self) -> Option<&Reference> {
        match self {
            From::Entry(..) => None,
            From::Remote(reference, _) => Some(reference),
        }
    }

    fn shown(&self) -> String {
        match self {
            From::Entry(local, entry) => {
                let name = ImageName::of(entry).map_or_else(|| format!("@{}", entry.digest), |name| format!(":{}", text::shown(name.as_str())));
                format!("{}{name}", local.source.location())
            }
            From::Remote(reference, Name::Tag(tag)) => format!("{}/{}:{tag}", reference.host(), reference.repository()),
            From::Remote(reference, Name::Digest(digest)) => format!("{}/{}@{digest}", reference.host(), reference.repository()),
        }
    }

    /// Whether both are surely one image.
    fn is_same(&self, other: &From) -> bool {
        match (self, other) {
            (From::Entry(_, a), From::Entry(_, b)) => a.digest == b.digest,
            (From::Remote(a, x), From::Remote(b, y)) => (a.host(), a.repository(), x) == (b.host(), b.repository(), y),
            _ => false,
        }
    }
}

/// A name where images go: for layouts and archives the place, and the name in it.
pub(super) fn full_name(route: &Route, target: &Target) -> String {
    match (&route.to.value, target) {
        (Endpoint::Local(location), Target::Local(name)) => format!("{}:{}", location.store(), name.as_str()),
        (_, target) => target.to_string(),
    }
}

impl Selection {
    /// Leaves out images that would take a name from each other, all of them: nobody said which is meant. Of what is the same image twice, one stays.
    fn refuse_conflicts(&mut self, routes: &[Route]) {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (position, image) in self.images.iter().enumerate() {
            // What goes by its digest takes no name from anybody.
            if matches!(&image.target, Target::Registry(reference) if reference.tag().is_none()) {
                continue;
            }
            by_name.entry(full_name(&routes[image.route], &image.target)).or_default().push(position);
        }
        let mut gone: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        for (_, positions) in by_name.into_iter().filter(|(_, positions)| positions.len() > 1) {
            let first = positions[0];
            let other = positions.iter().copied().find(|position| !self.images[*position].from.is_same(&self.images[first].from));
            match other {
                // Digests have no conflicts.
                None => gone.extend(positions[1..].iter().map(|position| (*position, None))),
                Some(other) => gone.extend(positions.iter().map(|position| (*position, Some(if *position == first { other } else { first })))),
            }
        }
        let mut images = Vec::with_capacity(self.images.len());
        let sources: HashMap<usize, String> = gone.values().flatten().map(|other| (*other, self.images[*other].source.clone())).collect();
        for (position, image) in std::mem::take(&mut self.images).into_iter().enumerate() {
            match gone.get(&position) {
                None => images.push(image),
                Some(None) => {}
                Some(Some(other)) => {
                    let other = sources.get(other).map_or("another image", String::as_str);
                    let message = format!("{} and {other} would both be {}", image.source, image.target);
                    let error = Error::conflict(message).subject(&image.target).hint("give one of them another name, or leave it out");
                    self.incomplete.insert(image.route);
                    self.failures.push(Unmeant { route: image.route, source: image.source, target: Some(image.target), error });
                }
            }
        }
        self.images = images;
    }
}
