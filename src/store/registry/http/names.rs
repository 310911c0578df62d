//! The addresses of hosts: each is asked for once, and what a stranger points to must not be in a private network that he is not in himself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::error::{Error, ErrorKind};

use super::url::{Origin, is_private};
use super::watch::carried;

/// What was found. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>);

/// Which addresses will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Allowed {
    /// All: a person named the host.
    Any,
    /// Those of the whole internet: a host in it named this one.
    Public,
}

impl Names {
    /// A resolver that accepts these addresses.
    pub(super) fn resolver(&self, allowed: Allowed) -> Known {
        Known { names: self.clone(), allowed, inner: DefaultResolver::default() }
    }

    /// What hosts may be in that an origin points to. A host that was reached through a proxy has no address here, and counts as public.
    pub(super) fn allowed_by(&self, origin: &Origin) -> Allowed {
        let literal = origin.address().is_some_and(is_private) || origin.is_loopback();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&key(&origin.host, origin.port)).is_some_and(|addresses| addresses.iter().any(|address| is_private(address.ip())));
        if literal || found { Allowed::Any } else { Allowed::Public }
    }

    /// Forgets the addresses of an origin, because they did not answer.
    pub(super) fn forget(&self, origin: &Origin) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(&origin.host, origin.port));
    }
}

fn key(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Looks a host up where it is not known yet.
#[derive(Debug)]
pub(super) struct Known {
    names: Names,
    allowed: Allowed,
    inner: DefaultResolver,
}

impl Resolver for Known {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let key = key(host, port);
        let known = self.names.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let found: Vec<SocketAddr> = match (known, key.parse::<SocketAddr>()) {
            (Some(known), _) => known,
            // No thread is needed to find what is an address already.
            (None, Ok(address)) => vec![address],
            (None, Err(_)) => {
                let found = self.inner.resolve(uri, config, timeout)?;
                found.iter().copied().collect()
            }
        };
        let mut names = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES {
            names.clear();
        }
        names.entry(key).or_insert_with(|| found.clone());
        drop(names);
        if self.allowed == Allowed::Public && found.iter().any(|address| is_private(address.ip())) {
            let error = Error::new(ErrorKind::Denied, format!("{host} is in a private network, and a registry outside of it points there"));
            return Err(carried(error.subject(host)));
        }
        let mut addresses = self.empty();
        found.into_iter().take(MOST).for_each(|address| addresses.push(address));
        match addresses.is_empty() {
            true => Err(ureq::Error::HostNotFound),
            false => Ok(addresses),
        }
    }
}

/// How many hosts are remembered. What was forgotten is looked up again.
const NAMES: usize = 1024;

/// How many addresses the client has room for.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(allowed: Allowed, url: &str) -> Result<Vec<SocketAddr>, ureq::Error> {
        let agent = ureq::Agent::new_with_defaults();
        let found = Names::default().resolver(allowed).resolve(&url.parse().expect("a URL"), agent.config(), NextTimeout::default());
        found.map(|addresses| addresses.iter().copied().collect())
    }

    #[test]
    fn reg_09_a_stranger_does_not_lead_into_a_private_network() {
        for url in [
            "http://127.0.0.1/",
            "http://localhost:5000/",
            "http://10.1.2.3/",
            "https://169.254.169.254/",
            "http://[::1]/",
            "http://[fd00::1]:443/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            let error = resolve(Allowed::Public, url).expect_err(url);
            assert!(error.to_string().contains("private network"), "{url}: {error}");
        }
        assert_eq!(resolve(Allowed::Any, "http://127.0.0.1:5000/").expect("named"), ["127.0.0.1:5000".parse().expect("an address")]);
        assert_eq!(resolve(Allowed::Public, "https://8.8.8.8/").expect("public"), ["8.8.8.8:443".parse().expect("an address")]);
    }

    #[test]
    fn reg_09_who_is_in_a_private_network_may_point_into_it() {
        let names = Names::default();
        let origin = |url: &str| url.parse::<super::super::url::Url>().expect(url).origin;
        for (url, allowed) in [
            ("https://registry.example", Allowed::Public),
            ("https://8.8.8.8", Allowed::Public),
            ("https://10.0.0.1", Allowed::Any),
            ("http://localhost:5000", Allowed::Any),
        ] {
            assert_eq!(names.allowed_by(&origin(url)), allowed, "{url}");
        }
        names.0.lock().expect("unpoisoned").insert("registry.example:443".into(), vec!["10.0.0.1:443".parse().expect("an address")]);
        assert_eq!(names.allowed_by(&origin("https://registry.example")), Allowed::Any);
        names.forget(&origin("https://registry.example"));
        assert_eq!(names.allowed_by(&origin("https://registry.example")), Allowed::Public);
    }
}
