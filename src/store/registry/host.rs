//! One host, as a run knows it: where it is, what it was shown, what it can do and what it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::spec::reference::DOCKER_HUB;

use super::auth::Auth;
use super::http::limits::{Slots, Turns};
use super::http::url::{Origin, Scheme, Url};
use super::known::Blobs;
use super::settings::{HostSettings, Security, Upload};

/// Where Docker Hub serves.
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";

/// One host.
pub(crate) struct Host {
    /// As references have it.
    pub(crate) name: String,
    pub(crate) settings: HostSettings,
    /// Changes once where TLS turns out not to be spoken and need not be.
    pub(crate) origin: Mutex<Origin>,
    /// What every path begins with: `/v2`, without a slash at its end.
    base: String,
    pub(crate) requests: Slots,
    pub(crate) downloads: Slots,
    pub(crate) turns: Turns,
    pub(crate) auth: Auth,
    pub(crate) blobs: Blobs,
    /// Held while a list is written that several threads may want to write.
    pub(crate) lists: Mutex<()>,
    habits: Mutex<Habits>,
}

/// What a host turned out to do.
#[derive(Clone, Copy, Debug)]
struct Habits {
    upload: Upload,
    mounts: Ability,
    referrers: Ability,
}

/// Whether a host can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    Unknown,
    Present,
    Absent,
}

impl Host {
    /// Fails with kind `usage` where the name or the prefix cannot be used.
    pub(crate) fn new(name: &str, settings: HostSettings) -> Result<Host> {
        let server = if name == DOCKER_HUB { DOCKER_HUB_SERVER } else { name };
        let https = Origin::new(Scheme::Https, server)?;
        let origin = if is_plain(&https, &settings.security) { Origin::new(Scheme::Http, server)? } else { https };
        let base = match &settings.api_prefix {
            None => "/v2".to_owned(),
            Some(prefix) => format!("/{}", prefix.trim_matches('/')),
        };
        let probe: Result<Url> = format!("{origin}{base}/").parse();
        if base.contains(['?', '#']) || probe.is_err() {
            return Err(Error::usage(format!("`{base}` is not the path of an API")).hint("write a path such as /artifactory/api/docker/docker-local/v2"));
        }
        Ok(Host {
            name: name.to_owned(),
            origin: Mutex::new(origin),
            base,
            requests: Slots::new(settings.transfers),
            downloads: Slots::new(settings.transfers),
            turns: Turns::default(),
            auth: Auth::default(),
            blobs: Blobs::default(),
            lists: Mutex::default(),
            habits: Mutex::new(Habits { upload: settings.upload, mounts: Ability::Unknown, referrers: Ability::Unknown }),
            settings,
        })
    }

    /// Where it is.
    pub(crate) fn origin(&self) -> Origin {
        lock(&self.origin).clone()
    }

    /// Something of its API; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str, query: Option<String>) -> Url {
        self.origin().url(&format!("{}{path}", self.base), query)
    }

    /// How it wants blobs.
    pub(crate) fn upload(&self) -> Upload {
        lock(&self.habits).upload
    }

    /// Remembers how it wants blobs.
    pub(crate) fn set_upload(&self, upload: Upload) {
        lock(&self.habits).upload = upload;
    }

    /// Whether it takes blobs from one repository to another.
    pub(crate) fn mounts(&self) -> Ability {
        lock(&self.habits).mounts
    }

    /// Remembers whether it takes blobs from one repository to another; what it did once it can do.
    pub(crate) fn set_mounts(&self, ability: Ability) {
        let mut habits = lock(&self.habits);
        if habits.mounts != Ability::Present {
            habits.mounts = ability;
        }
    }

    /// Whether it tells what is attached to a manifest.
    pub(crate) fn referrers(&self) -> Ability {
        lock(&self.habits).referrers
    }

    /// Remembers whether it tells what is attached to a manifest; what it did once it can do.
    pub(crate) fn set_referrers(&self, ability: Ability) {
        let mut habits = lock(&self.habits);
        if habits.referrers != Ability::Present {
            habits.referrers = ability;
        }
    }
}

/// Whether TLS is left out: where a person wants that, and on this machine unless certificates were given for it.
fn is_plain(origin: &Origin, security: &Security) -> bool {
    match security {
        Security::Plain => true,
        Security::Insecure(_) => false,
        Security::Verified(certificates) => origin.is_loopback() && certificates.authorities.is_empty() && certificates.client.is_none(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::registry::settings::Certificates;

    fn url(name: &str, settings: HostSettings) -> String {
        Host::new(name, settings).expect(name).url("/a/tags/list", None).in_full()
    }

    #[test]
    fn reg_43_without_tls_only_on_this_machine_or_where_it_is_wanted() {
        let with = |security: Security| HostSettings { security, ..HostSettings::default() };
        let authority = || Certificates { authorities: vec![Vec::new()], client: None };
        for (name, security, expected) in [
            ("registry.example", Security::default(), "https://registry.example/v2/a/tags/list"),
            ("Registry.Example:5000", Security::default(), "https://registry.example:5000/v2/a/tags/list"),
            ("docker.io", Security::default(), "https://registry-1.docker.io/v2/a/tags/list"),
            ("localhost", Security::default(), "http://localhost/v2/a/tags/list"),
            ("127.0.0.2:5000", Security::default(), "http://127.0.0.2:5000/v2/a/tags/list"),
            ("[::1]:5000", Security::default(), "http://[::1]:5000/v2/a/tags/list"),
            ("localhost:5000", Security::Verified(authority()), "https://localhost:5000/v2/a/tags/list"),
            ("localhost:5000", Security::Insecure(Certificates::default()), "https://localhost:5000/v2/a/tags/list"),
            ("10.0.0.1", Security::default(), "https://10.0.0.1/v2/a/tags/list"),
            ("registry.example", Security::Plain, "http://registry.example/v2/a/tags/list"),
        ] {
            assert_eq!(url(name, with(security)), expected, "{name}");
        }
    }

    #[test]
    fn a_prefix_takes_the_place_of_v2() {
        let with = |prefix: &str| HostSettings { api_prefix: Some(prefix.into()), ..HostSettings::default() };
        let expected = "https://art.example/artifactory/api/docker/docker-local/v2/a/tags/list";
        for prefix in ["/artifactory/api/docker/docker-local/v2", "artifactory/api/docker/docker-local/v2/"] {
            assert_eq!(url("art.example", with(prefix)), expected);
        }
        for prefix in ["/a?b", "/a b", "/a#"] {
            assert!(Host::new("art.example", with(prefix)).is_err(), "{prefix}");
        }
    }
}
