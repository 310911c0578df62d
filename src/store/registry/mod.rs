//! Registries: repositories on hosts that speak the OCI distribution specification 1.1, and those that speak what came before it.
//!
//! A [`Network`] is what one run shares: settings, connections, tokens, limits, and what is known of each host. A [`Registry`] is one repository, a
//! [`Source`](super::Source) and a [`Destination`](super::Destination) for the same copy engine as all stores.
//!
//! Relies on whoever calls for everything that is not the network itself: credentials, certificates, proxies and the time come in with [`Settings`] and
//! [`Run`](crate::exec::Run).
//!
//! Guarantees:
//!
//! * What arrives is proved: manifests here, blobs by whoever reads them. What is sent is as it was: no byte and no media type changes.
//! * Names come last. A tag is put once, after all that it leads to, and read back.
//! * A secret goes to the host it is for and to the token server of that host, and is shown nowhere: not in errors, not in `Debug`, not in URLs.
//! * Nothing a host says makes us wait for ever, read without end or connect to where it is not itself.
//! * Few requests: what is known is not asked for, a blob goes to a host once and is taken from repository to repository there.

mod attached;
mod auth;
mod credential;
pub mod credentials;
mod destination;
mod documents;
mod download;
mod host;
mod http;
mod known;
mod manifest;
mod network;
mod pages;
mod rest;
mod sessions;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod upload;

pub use credential::{Anonymous, Credential, Credentials, Given, Secret};
pub use network::{Network, Traffic};
pub use rest::{Answer, Authorization, Method, Repeat, Rest};
pub use sessions::{Sessions, Unkept};
pub use settings::{Certificates, ClientCertificate, HostSettings, Patience, Proxies, Security, Settings, Upload};

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{ErrorKind, Result};
use crate::spec::{Descriptor, Digest, links};

use auth::{Access, Verb};
use documents::Documents;
use host::Host;
use http::client::Client;

/// Which manifest of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one that a tag names.
    Tag(&'a str),
    /// The one with this digest.
    Digest(&'a Digest),
}

/// One repository.
pub struct Registry {
    client: Arc<Client>,
    host: Arc<Host>,
    documents: Arc<Documents>,
    repository: String,
    /// Blobs and manifests that the host said it has not.
    lacking: Mutex<HashSet<Digest>>,
    /// What tags stand on, as far as it was asked before a push.
    standing: Mutex<HashMap<String, Option<Digest>>>,
    /// Manifests that will get a tag, and so are put with it.
    awaited: Mutex<HashSet<Digest>>,
    /// The bytes of those that came.
    held: Mutex<HashMap<Digest, Vec<u8>>>,
    /// The tags, for those who look for many of them.
    listed: OnceLock<Result<HashSet<String>, ErrorKind>>,
}

impl Registry {
    fn new(client: Arc<Client>, host: Arc<Host>, documents: Arc<Documents>, repository: &str) -> Registry {
        Registry {
            client,
            host,
            documents,
            repository: repository.to_owned(),
            lacking: Mutex::default(),
            standing: Mutex::default(),
            awaited: Mutex::default(),
            held: Mutex::default(),
            listed: OnceLock::new(),
        }
    }

    /// The host, as references have it.
    pub fn host(&self) -> &str {
        &self.host.name
    }

    /// The repository on the host.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What a manifest is, without reading it: one request, if its answer says all. None where there is none.
    ///
    /// Kinds: `denied` where the host will not tell, `corrupt` where it says two things, `unavailable`, `interrupted`.
    pub fn manifest(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        match self.head(which, Verb::Pull)? {
            manifest::Answer::Found(descriptor) => Ok(Some(*descriptor)),
            manifest::Answer::Absent => Ok(None),
            // The answer to HEAD has no text; the one to GET has, or even is better.
            manifest::Answer::Refused => Ok(self.get(which)?.map(|(descriptor, _)| descriptor)),
        }
    }

    /// As [`manifest`](Self::manifest), before a push: a host that will not tell, as those of virtual repositories, counts as having none. What a tag stands on is
    /// remembered, so that pushing does not ask again.
    pub fn manifest_before_push(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        let found = match self.head(which, Verb::Push)? {
            manifest::Answer::Found(descriptor) => Some(*descriptor),
            manifest::Answer::Absent | manifest::Answer::Refused => None,
        };
        if let Which::Tag(tag) = which {
            lock(&self.standing).insert(tag.to_owned(), found.as_ref().map(|descriptor| descriptor.digest.clone()));
        }
        Ok(found)
    }

    fn access(&self, verb: Verb) -> Access<'_> {
        Access::Repository { name: &self.repository, verb, also: None }
    }

    /// `HOST/REPOSITORY`.
    fn shown(&self) -> String {
        format!("{}/{}", self.host.name, self.repository)
    }

    fn is_known_to_lack(&self, digest: &Digest) -> bool {
        lock(&self.lacking).contains(digest)
    }

    /// Remembers that what a manifest refers to is here.
    fn note_children(&self, descriptor: &Descriptor, bytes: &[u8]) {
        for child in links::children(descriptor, bytes).unwrap_or_default() {
            self.host.blobs.note(&child.descriptor, &self.repository);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.shown())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
