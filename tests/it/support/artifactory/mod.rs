//! A server that behaves towards clients as Artifactory does, as far as that is known from its documentation, from published source and from what
//! people who met it have published. It is there to be pushed to, pulled from and promoted in, and to be difficult in all the ways that are known.
//!
//! What it stores can be looked at as people look at it in Artifactory: [`Artifactory::storage`] is a tree of
//! `REPOSITORY/IMAGE/TAG/list.manifest.json`, `REPOSITORY/IMAGE/sha256:…/manifest.json` and `sha256__…` beside them.
//!
//! Its time stands still unless a test lets it pass, and everything that it is asked is logged. Counting failed logins and `/__log` are its own
//! inventions; what it says in words is not promised by any version.

mod access;
mod aql;
mod attached;
mod blobs;
mod clock;
mod errors;
mod lists;
mod log;
mod manifests;
mod media;
mod object_store;
mod promote;
mod rest;
mod setup;
mod site;
mod storage;
mod store;
mod switches;
mod uploads;
mod world;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub(crate) use log::{Entry, Listener};
pub(crate) use setup::{
    ACCESS_TOKEN, API_KEY, Anonymous, Class, PASSWORD, Package, READER, READER_PASSWORD, REFERENCE_TOKEN, Repository, Setup, USER, WRITER, WRITER_PASSWORD,
};
pub(crate) use switches::{Drop, Mounting, Overwriting, RateLimit, Switches};

use super::http::{Answer, Intake, Request, Server, Service};
use object_store::ObjectStore;
use world::World;

/// A running instance.
pub(crate) struct Artifactory {
    server: Server,
    /// Dropped with it.
    _object_store: Server,
    world: Arc<Mutex<World>>,
}

/// A listener: for everything, or for a repository that has a port of its own.
struct Front {
    world: Arc<Mutex<World>>,
    repository: Option<String>,
}

impl Artifactory {
    #[track_caller]
    pub(crate) fn start(mut setup: Setup) -> Artifactory {
        let identity = setup.identity.take();
        let world = Arc::new(Mutex::new(World::new(setup)));
        let object_store = Server::start(Arc::new(ObjectStore::new(Arc::clone(&world))));
        world.lock().expect("nobody has it").object_store = object_store.url();
        let front = Arc::new(Front { world: Arc::clone(&world), repository: None });
        let server = match identity {
            Some(identity) => Server::start_tls(front, &identity),
            None => Server::start(front),
        };
        Artifactory { server, _object_store: object_store, world }
    }

    /// Another port, behind which there is one repository.
    pub(crate) fn port_of(&self, repository: &str) -> Server {
        Server::start(Arc::new(Front { world: Arc::clone(&self.world), repository: Some(repository.into()) }))
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        self.server.host()
    }

    /// `http://127.0.0.1:PORT` or `https://…`
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The URL as JFrog's tools want it: `…/artifactory/`.
    pub(crate) fn rest_url(&self) -> String {
        format!("{}/artifactory/", self.url())
    }

    /// The directory of the storage view.
    pub(crate) fn storage(&self) -> PathBuf {
        self.world().storage.root().to_owned()
    }

    /// Changes how it behaves from now on.
    pub(crate) fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.world().switches);
    }

    /// Lets time pass: tokens expire, and what was uploaded for no manifest goes after a day.
    pub(crate) fn pass(&self, time: Duration) {
        self.world().pass(time);
    }

    /// What was asked until now.
    pub(crate) fn log(&self) -> Vec<Entry> {
        self.world().log.entries.clone()
    }

    /// What was asked until now, which is forgotten.
    pub(crate) fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut self.world().log.entries)
    }

    /// How often a user came with something wrong.
    pub(crate) fn failed_logins(&self, user: &str) -> u32 {
        self.world().failures(user)
    }

    /// Lets those in again who failed too often.
    pub(crate) fn forget_failed_logins(&self) {
        self.world().forget_failures();
    }

    /// The properties of a file in the storage view.
    pub(crate) fn property(&self, path: &str, name: &str) -> Option<String> {
        self.world().storage.file(path)?.properties.get(name)?.first().cloned()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no request killed it")
    }
}

impl Service for Front {
    fn intake(&self, head: &Request) -> Intake {
        self.world.lock().expect("no request killed it").intake(head)
    }

    fn answer(&self, request: &Request) -> Answer {
        self.world.lock().expect("no request killed it").answer(request, self.repository.as_deref())
    }
}
