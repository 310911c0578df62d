//! Where credentials come from.
//!
//! For a repository on a host the first of these that has something counts:
//!
//! 1. what was given for the host with the call itself;
//! 2. `DOCKER_AUTH_CONFIG`, a file in Docker's form as the value of a variable;
//! 3. the files in Docker's form, in their order. A person who names one (`--authfile`, `REGISTRY_AUTH_FILE`) means this one alone; else they are those of
//!    containers-auth.json(5) and then Docker's own. Within a file see `config`;
//! 4. the server of JFrog's CLI that is on the host, where its file is among the places.
//!
//! Paths and values come from the caller. Files are read when they are asked, so that what a login changes is seen; a helper is asked once for each host. No
//! secret is in an error, and of a malformed file only the position.

mod config;
mod edit;
mod file;
mod helper;
mod jfrog;
mod keys;
mod members;

pub use config::Keeper;
pub use edit::{Forgotten, Scope, Store};
pub use helper::Helpers;
pub use jfrog::{Login, Server, Servers};

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Events;
use crate::spec::text;

use self::config::{Entries, Found};
use super::credential::{Credential, Credentials, Secret};

/// What the environment variable is called, for messages.
const INLINE: &str = "DOCKER_AUTH_CONFIG";

/// Where to look.
#[derive(Debug, Default)]
pub struct Places {
    /// Credentials for hosts.
    pub given: Vec<(String, Credential)>,
    /// The text of a file in Docker's form.
    pub inline: Option<Secret>,
    /// Files in Docker's form.
    pub files: Files,
    /// The file of JFrog's CLI, and the server of it that is preferred.
    pub jfrog: Option<(PathBuf, Option<String>)>,
}

/// Files in Docker's form.
#[derive(Debug)]
pub enum Files {
    /// Where tools keep them, in this order. They need not exist.
    Usual(Vec<PathBuf>),
    /// The one that was named. It must exist.
    Named(PathBuf),
}

impl Default for Files {
    fn default() -> Self {
        Files::Usual(Vec::new())
    }
}

/// What credentials came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The call itself.
    Given,
    /// `DOCKER_AUTH_CONFIG`, or a helper that it names.
    Inline(Keeper),
    /// A file, or a helper that it names.
    File(PathBuf, Keeper),
    /// A server of JFrog's CLI.
    Jfrog(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, keeper) = match self {
            Origin::Given => return f.write_str("the call"),
            Origin::Jfrog(id) => return write!(f, "server `{}` of JFrog's CLI", text::shown(id)),
            Origin::Inline(keeper) => (INLINE.into(), keeper),
            Origin::File(path, keeper) => (text::path(path), keeper),
        };
        match keeper {
            Keeper::File => f.write_str(&place),
            Keeper::Helper(name) => write!(f, "docker-credential-{}, which {place} names", text::shown(name)),
        }
    }
}

/// All places where credentials can be.
pub struct Sources {
    places: Places,
    helpers: Helpers,
    events: Events,
    /// Files whose permissions were complained about.
    warned: Mutex<HashSet<PathBuf>>,
    /// What helpers have said, by helper and server. Held while one is asked, so that none is asked twice.
    answers: Mutex<HashMap<(String, String), Option<Credential>>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Sources {
    /// Looks at `places`; what is wrong with them and not fatal goes to `events`.
    pub fn new(places: Places, helpers: Helpers, events: Events) -> Self {
        Sources { places, helpers, events, warned: Mutex::default(), answers: Mutex::default() }
    }

    /// The credentials for `repository` on `host`, and what they came from.
    ///
    /// Kinds: `usage` for files that cannot be understood, encrypted servers of JFrog's CLI and helpers that are not there; `io` for what cannot be read, and for
    /// helpers that fail.
    pub fn locate(&self, host: &str, repository: &str) -> Result<Option<(Credential, Origin)>> {
        if let Some((_, credential)) = self.places.given.iter().find(|(other, _)| keys::normal(other) == keys::normal(host)) {
            return Ok(Some((credential.clone(), Origin::Given)));
        }
        if let Some(inline) = &self.places.inline {
            let entries: Entries = file::decode(inline.reveal().as_bytes(), Path::new(INLINE))?;
            if let Some(found) =
                self.in_entries(&entries, host, repository).map_err(|error| error.context(format!("cannot use the credentials in {INLINE}")))?
            {
                return Ok(Some((found.credential, Origin::Inline(found.keeper))));
            }
        }
        let files = match &self.places.files {
            Files::Usual(files) => files.as_slice(),
            Files::Named(file) => std::slice::from_ref(file),
        };
        for path in files {
            if let Some(found) = self.in_file(path, host, repository)? {
                return Ok(Some((found.credential, Origin::File(path.clone(), found.keeper))));
            }
        }
        self.of_jfrog(host)
    }

    fn in_file(&self, path: &Path, host: &str, repository: &str) -> Result<Option<Found>> {
        let Some(content) = file::read(path)? else {
            return match &self.places.files {
                Files::Usual(_) => Ok(None),
                Files::Named(_) => {
                    Err(Error::new(ErrorKind::NotFound, format!("there is no file of credentials at {}", text::path(path))).subject(text::path(path)))
                }
            };
        };
        let entries: Entries = file::decode_or_empty(&content.bytes, path)?;
        let found = self.in_entries(&entries, host, repository);
        let found = found.map_err(|error| error.context(format!("cannot use the credentials in {}", text::path(path))))?;
        if content.exposed && found.as_ref().is_some_and(|found| found.keeper == Keeper::File) {
            self.complain(path);
        }
        Ok(found)
    }

    fn in_entries(&self, entries: &Entries, host: &str, repository: &str) -> Result<Option<Found>> {
        entries.find(host, repository, &mut |helper, server| {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = (helper.to_owned(), server.to_owned());
            if let Some(answer) = answers.get(&asked) {
                return Ok(answer.clone());
            }
            let answer = self.helpers.get(helper, server)?;
            answers.insert(asked, answer.clone());
            Ok(answer)
        })
    }

    fn of_jfrog(&self, host: &str) -> Result<Option<(Credential, Origin)>> {
        let Some((path, wanted)) = &self.places.jfrog else { return Ok(None) };
        let servers = Servers::read(path)?;
        let Some(server) = servers.of_host(host, wanted.as_deref()) else { return Ok(None) };
        Ok(server.login()?.for_registry().map(|credential| (credential, Origin::Jfrog(server.id.clone()))))
    }

    /// Tells once that others can read what is secret.
    fn complain(&self, path: &Path) {
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
            let path = text::path(path);
            self.events.warn(format!("every user of this machine can read the credentials in {path}; `chmod 600 {path}` keeps them to yourself"));
        }
    }
}

impl Credentials for Sources {
    fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>> {
        let found = self.locate(host, repository).map_err(|error| error.context(format!("cannot find out the credentials for {host}")))?;
        Ok(found.map(|(credential, _)| credential))
    }
}

#[cfg(test)]
mod tests;
