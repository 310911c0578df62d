//! Registries in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::ops::sync::job::reach::{Reach, Repository};
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Reference};
use crate::store::registry::{Traffic, Which};
use crate::store::{Content, Destination, MemoryStore, Presence, Put, Source};

/// Registries that write down what they are asked for.
#[derive(Clone, Default)]
pub(super) struct Hosts {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    repositories: Mutex<BTreeMap<String, Arc<Shelf>>>,
    log: Mutex<Vec<String>>,
    behaviour: Mutex<Behaviour>,
    sending: Mutex<()>,
    /// Manifests that are new and being put: no two with one digest may be, on one host.
    putting: Mutex<HashSet<Digest>>,
}

/// What goes wrong.
#[derive(Clone, Default)]
pub(super) struct Behaviour {
    /// Hosts that know no login, each with whether it was shown one.
    pub(super) refusing: HashMap<String, bool>,
    /// Repositories that nobody may do anything with.
    pub(super) forbidden: HashSet<String>,
    /// Tags that cannot be put, as `host/repository:tag`.
    pub(super) broken: HashSet<String>,
    /// Whether single tags can be removed.
    pub(super) keeps_tags: bool,
    /// Asks to stop once so many tags were put.
    pub(super) stop_after: Option<(usize, crate::exec::Cancel)>,
}

/// One repository.
pub(super) struct Shelf {
    name: String,
    host: String,
    hosts: Hosts,
    store: MemoryStore,
    tags: Mutex<HashMap<String, Descriptor>>,
    referrers: Mutex<HashMap<Digest, Vec<Descriptor>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hosts {
    pub(super) fn shelf(&self, name: &str) -> Arc<Shelf> {
        let host = name.split('/').next().expect("a host").to_owned();
        let new =
            || Shelf { name: name.to_owned(), host, hosts: self.clone(), store: MemoryStore::default(), tags: Mutex::default(), referrers: Mutex::default() };
        lock(&self.shared.repositories).entry(name.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    pub(super) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// From now on, this tag cannot be put.
    pub(super) fn breaks(&self, tag: &str) {
        lock(&self.shared.behaviour).broken.insert(tag.to_owned());
    }

    /// From now on, this host knows no login.
    pub(super) fn refuses(&self, host: &str) {
        lock(&self.shared.behaviour).refusing.insert(host.to_owned(), false);
    }

    /// From now on, nobody may do anything with this repository.
    pub(super) fn forbids(&self, name: &str) {
        lock(&self.shared.behaviour).forbidden.insert(name.to_owned());
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        let mut log = std::mem::take(&mut *lock(&self.shared.log));
        log.sort();
        log
    }

    /// Every tag of every repository, and what it stands on.
    pub(super) fn tags(&self) -> BTreeMap<String, Digest> {
        let repositories = lock(&self.shared.repositories);
        let tags = repositories.values().flat_map(|shelf| {
            let tags = lock(&shelf.tags);
            tags.iter().map(|(tag, descriptor)| (format!("{}:{tag}", shelf.name), descriptor.digest.clone())).collect::<Vec<_>>()
        });
        tags.collect()
    }
}

impl Hosts {
    /// Puts a manifest as docker-registry does, which can do so with one of its kind at a time.
    fn put_alone<T>(&self, digest: &Digest, put: impl FnOnce() -> Result<T>) -> Result<T> {
        assert!(lock(&self.shared.putting).insert(digest.clone()), "{digest} is put twice at a time");
        std::thread::sleep(std::time::Duration::from_micros(200));
        let outcome = put();
        lock(&self.shared.putting).remove(digest);
        outcome
    }
}

impl Reach for Hosts {
    fn repository(&self, reference: &Reference) -> Result<Arc<dyn Repository>> {
        Ok(self.shelf(&format!("{}/{}", reference.host(), reference.repository())))
    }

    fn repositories(&self, host: &str) -> Result<Vec<String>> {
        lock(&self.shared.log).push(format!("CATALOG {host}"));
        let repositories = lock(&self.shared.repositories);
        Ok(repositories.values().filter(|shelf| shelf.host == host).filter_map(|shelf| Some(shelf.name.strip_prefix(host)?[1..].to_owned())).collect())
    }

    fn refused(&self, reference: &Reference) -> Option<String> {
        let shown = lock(&self.shared.behaviour).refusing.get(reference.host()).copied()?;
        shown.then(|| format!("{} refused the login, so it is asked no more", reference.host()))
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

impl Shelf {
    fn asked(&self, what: impl std::fmt::Display) -> Result<()> {
        lock(&self.hosts.shared.log).push(format!("{what} {}", self.name));
        let mut behaviour = lock(&self.hosts.shared.behaviour);
        if let Some(shown) = behaviour.refusing.get_mut(&self.host) {
            *shown = true;
            return Err(Error::new(ErrorKind::Denied, "the registry said 401"));
        }
        match behaviour.forbidden.contains(&self.name) {
            true => Err(Error::new(ErrorKind::Denied, "the registry said 403")),
            false => Ok(()),
        }
    }

    /// Puts an image under a tag without being asked.
    pub(super) fn stock(&self, tag: &str, descriptor: &Descriptor) {
        lock(&self.tags).insert(tag.to_owned(), descriptor.clone());
    }

    /// What a tag stands on, without asking.
    pub(super) fn look_at(&self, tag: &str) -> Descriptor {
        self.look(Which::Tag(tag)).expect("in stock")
    }

    pub(super) fn attach(&self, subject: &Descriptor, referrer: &Descriptor) {
        lock(&self.referrers).entry(subject.digest.clone()).or_default().push(referrer.clone());
    }

    pub(super) fn store(&self) -> &MemoryStore {
        &self.store
    }

    pub(super) fn holds(&self, descriptor: &Descriptor) -> bool {
        self.store.has(descriptor).expect("memory")
    }

    fn look(&self, which: Which<'_>) -> Option<Descriptor> {
        match which {
            Which::Tag(tag) => lock(&self.tags).get(tag).cloned(),
            Which::Digest(digest) => {
                let tags = lock(&self.tags);
                tags.values().find(|descriptor| descriptor.digest == *digest).cloned()
            }
        }
    }
}

impl Repository for Shelf {
    fn manifest(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        self.asked(match which {
            Which::Tag(tag) => format!("HEAD {tag}"),
            Which::Digest(_) => "HEAD digest".to_owned(),
        })?;
        Ok(self.look(which))
    }

    fn manifest_before_push(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        self.manifest(which)
    }

    fn tags(&self) -> Result<Vec<String>> {
        self.asked("TAGS")?;
        let tags: Vec<String> = lock(&self.tags).keys().cloned().collect();
        if tags.is_empty() { Err(Error::not_found("no such repository")) } else { Ok(tags) }
    }

    fn remove(&self, which: Which<'_>) -> Result<()> {
        match which {
            Which::Tag(tag) => {
                self.asked(format!("DELETE {tag}"))?;
                match lock(&self.hosts.shared.behaviour).keeps_tags {
                    true => Err(Error::unsupported("the registry said 405")),
                    false => lock(&self.tags).remove(tag).map(drop).ok_or_else(|| Error::not_found("no such tag")),
                }
            }
            Which::Digest(digest) => {
                self.asked("DELETE digest")?;
                lock(&self.tags).retain(|_, descriptor| descriptor.digest != *digest);
                Ok(())
            }
        }
    }
}

impl Source for Shelf {
    fn location(&self) -> String {
        format!("docker://{}", self.name)
    }

    fn index(&self) -> Result<ImageIndex> {
        panic!("nobody lists a registry to copy an image")
    }

    fn referrers(&self, subject: &Descriptor) -> Result<Option<Vec<Descriptor>>> {
        self.asked("REFERRERS")?;
        Ok(Some(lock(&self.referrers).get(&subject.digest).cloned().unwrap_or_default()))
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.asked("GET")?;
        self.store.open(descriptor)
    }
}

impl Destination for Shelf {
    fn location(&self) -> String {
        Source::location(self)
    }

    fn presence(&self) -> Presence {
        Presence::Proved
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.asked("HEAD content")?;
        self.store.has(descriptor)
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        self.asked("PUT")?;
        self.store.put(descriptor, content)
    }

    fn put_from(&self, descriptor: &Descriptor, content: &dyn Content) -> Result<Put> {
        let others: Vec<Arc<Shelf>> = lock(&self.hosts.shared.repositories).values().filter(|shelf| shelf.host == self.host).cloned().collect();
        let is_document = descriptor.media_type.to_string().contains("manifest") || descriptor.media_type.to_string().contains("index");
        if is_document {
            let put = || self.put(descriptor, &mut *content.open(0)?);
            let is_known = others.iter().any(|shelf| shelf.holds(descriptor));
            return if is_known { put() } else { self.hosts.put_alone(&descriptor.digest, put) }.map(|()| Put::Written);
        }
        // Content on its way is waited for, as the network does.
        let _alone = lock(&self.hosts.shared.sending);
        if self.holds(descriptor) {
            return Ok(Put::Taken);
        }
        if let Some(other) = others.iter().find(|shelf| shelf.holds(descriptor)) {
            self.asked("MOUNT")?;
            self.store.put(descriptor, &mut *other.store.open(descriptor)?)?;
            return Ok(Put::Taken);
        }
        self.put(descriptor, &mut *content.open(0)?)?;
        Ok(Put::Written)
    }

    fn commit(&self, entries: &[Descriptor]) -> Result<()> {
        for entry in entries {
            let Some(tag) = ImageName::of(entry).and_then(|name| name.tag()) else { continue };
            self.asked(format!("TAG {tag}"))?;
            let behaviour = lock(&self.hosts.shared.behaviour).clone();
            if behaviour.broken.contains(&format!("{}:{tag}", self.name)) {
                return Err(Error::new(ErrorKind::Unavailable, "the registry said 503"));
            }
            assert!(self.holds(entry), "a tag before its manifest");
            self.stock(&tag, &entry.bare());
            if let Some((most, cancel)) = behaviour.stop_after
                && self.hosts.tags().len() >= most
            {
                cancel.cancel();
            }
        }
        Ok(())
    }
}
