//! The connections of a run: for each origin some that are kept open, set up as that host wants it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};

use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Cancel, Run};
use crate::store::registry::settings::{Certificates, HostSettings, Security, Settings};

use super::names::{Allowed, Names};
use super::tls::{Demand, Tls};
use super::url::{Origin, Scheme, is_private};
use super::watch::Watch;

/// What is read from a connection at once.
const INPUT: usize = 128 << 10;

/// What is written to a connection at once: large enough that a request for it costs little, small enough to stay in the cache of the processor.
const OUTPUT: usize = 256 << 10;

/// How many connections to one host are kept for the next requests.
const IDLE_CONNECTIONS: usize = 32;

/// How long a connection is kept that nobody uses. Most hosts close theirs after a minute.
const IDLE_AGE: Duration = Duration::from_secs(30);

/// The longest headers of an answer.
const HEADERS: usize = 64 << 10;

/// For how many hosts that others point to connections are kept. Some stores have a host for each of their shelves.
const FOREIGN_HOSTS: usize = 64;

/// All connections.
pub(crate) struct Agents {
    settings: Arc<Settings>,
    run: Run,
    names: Names,
    agents: Mutex<HashMap<Key, ureq::Agent>>,
    /// For hosts without settings of their own: reading the authorities of a system takes a while.
    usual: OnceLock<Tls>,
}

/// Hosts of one origin that are set up alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    origin: Origin,
    peer: Peer,
    /// The host that vouches for it with authorities of its own.
    by: Option<Origin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peer {
    /// A person named it.
    Named,
    /// Another host named it.
    Foreign(Allowed),
    /// A person named it, and nobody wants anything of it any more.
    Left,
}

impl Agents {
    pub(crate) fn new(settings: Arc<Settings>, run: &Run) -> Self {
        Agents { settings, run: run.clone(), names: Names::default(), agents: Mutex::default(), usual: OnceLock::new() }
    }

    /// Connections to a host that a person named. Fails with kind `usage` where its settings cannot be used.
    pub(crate) fn named(&self, origin: &Origin, settings: &HostSettings) -> Result<ureq::Agent> {
        self.get(Key { origin: origin.clone(), peer: Peer::Named, by: None }, &settings.security)
    }

    /// Connections for what is said to a host at the end, also when the run is to stop.
    pub(crate) fn farewell(&self, origin: &Origin, settings: &HostSettings) -> Result<ureq::Agent> {
        self.get(Key { origin: origin.clone(), peer: Peer::Left, by: None }, &settings.security)
    }

    /// Connections to a host that `by` named. It gets no certificate of ours, and is trusted without TLS settings only where a person gave it some; but the
    /// authorities that a person trusts for `by` may vouch for what belongs to it, such as its token server.
    ///
    /// Fails with kind `denied` where it is in a private network and `by` is not.
    pub(crate) fn foreign(&self, origin: &Origin, by: &Origin) -> Result<ureq::Agent> {
        let allowed = self.names.allowed_by(by);
        if allowed == Allowed::Public && (origin.is_loopback() || origin.address().is_some_and(is_private)) {
            return Err(Error::new(ErrorKind::Denied, format!("{by} points to {origin}, which is in a private network")).subject(origin));
        }
        let key = |by| Key { origin: origin.clone(), peer: Peer::Foreign(allowed), by };
        if let Some(settings) = self.settings.hosts.get(&origin.authority()) {
            return self.get(key(None), &settings.security);
        }
        let mut authorities = self.settings.defaults.security.authorities().to_vec();
        let own = self.settings.of(&by.authority()).security.authorities();
        let by = own.iter().any(|authority| !authorities.contains(authority)).then(|| by.clone());
        if by.is_some() {
            authorities.extend_from_slice(own);
        }
        self.get(key(by), &Security::Verified(Certificates { authorities, client: None }))
    }

    /// Forgets what is known of an origin that cannot be reached.
    pub(crate) fn forget(&self, origin: &Origin) {
        self.names.forget(origin);
    }

    fn get(&self, key: Key, security: &Security) -> Result<ureq::Agent> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.make(&key.origin, key.peer, security)?;
        let is_foreign = |key: &Key| matches!(key.peer, Peer::Foreign(_));
        if is_foreign(&key) && agents.keys().filter(|key| is_foreign(key)).count() >= FOREIGN_HOSTS {
            // What somebody is using ends when he is through with it.
            agents.retain(|key, _| !is_foreign(key));
        }
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn make(&self, origin: &Origin, peer: Peer, security: &Security) -> Result<ureq::Agent> {
        let (allowed, cancel) = match peer {
            Peer::Named => (Allowed::Any, self.run.cancel.clone()),
            Peer::Foreign(allowed) => (allowed, self.run.cancel.clone()),
            Peer::Left => (Allowed::Any, Cancel::default()),
        };
        let patience = &self.settings.patience;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(self.settings.proxies.towards(origin)?)
            .user_agent(self.settings.user_agent.as_str())
            .accept("")
            .accept_encoding("identity")
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.answer))
            .timeout_await_100(Some(Duration::from_secs(1)))
            .max_response_header_size(HEADERS)
            .input_buffer_size(INPUT)
            .output_buffer_size(OUTPUT)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .max_idle_age(IDLE_AGE)
            .build();
        let watch = Watch { cancel, clock: self.run.clock, idle: patience.idle, slowest: patience.slowest };
        let sockets = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(watch);
        let resolver = self.names.resolver(allowed);
        Ok(match origin.scheme {
            Scheme::Http => ureq::Agent::with_parts(config, sockets, resolver),
            Scheme::Https => ureq::Agent::with_parts(config, sockets.chain(self.tls(security)?), resolver),
        })
    }

    fn tls(&self, security: &Security) -> Result<Tls> {
        let system = || self.settings.system_certificates.iter().map(Vec::as_slice);
        match security {
            Security::Insecure(certificates) => Tls::new(Demand::Nothing, [], certificates.client.as_ref()),
            Security::Verified(Certificates { authorities, client: None }) if authorities.is_empty() => match self.usual.get() {
                Some(tls) => Ok(tls.clone()),
                None => {
                    let tls = Tls::new(Demand::Certificate, system(), None)?;
                    Ok(self.usual.get_or_init(|| tls).clone())
                }
            },
            Security::Verified(certificates) => {
                let authorities = certificates.authorities.iter().map(Vec::as_slice);
                Tls::new(Demand::Certificate, system().chain(authorities), certificates.client.as_ref())
            }
            Security::Plain => Tls::new(Demand::Certificate, system(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::store::registry::http::url::Url;

    #[test]
    fn connections_to_hosts_that_others_point_to_are_bounded() {
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        let agents = Agents::new(Arc::default(), &run);
        let origin = |name: &str| name.parse::<Url>().expect("a URL").origin;
        let home = origin("http://registry.example");
        agents.named(&home, &HostSettings::default()).expect("an agent");
        for number in 0..3 * FOREIGN_HOSTS {
            agents.foreign(&origin(&format!("http://shelf-{number}.example")), &home).expect("an agent");
        }
        let kept = agents.agents.lock().expect("unpoisoned");
        assert!(kept.len() <= FOREIGN_HOSTS + 1 && kept.keys().any(|key| key.peer == Peer::Named), "{}", kept.len());
    }
}
