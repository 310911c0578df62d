//! How registries are spoken to. Everything that others decide comes in here: the library reads no environment, no file and no clock of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::credential::{Anonymous, Credentials, Secret};
use super::sessions::{Sessions, Unkept};

/// What one run knows of all registries.
#[derive(Clone)]
pub struct Settings {
    /// For hosts that have none of their own.
    pub defaults: HostSettings,
    /// For single hosts, by their name as references have it, with the port where there is one. Each stands alone: nothing is taken over from the defaults.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Who knows credentials.
    pub credentials: Arc<dyn Credentials>,
    /// Ways out of the network.
    pub proxies: Proxies,
    /// The certificates that are trusted everywhere, in PEM: those of the system.
    pub system_certificates: Vec<Vec<u8>>,
    /// How larder calls itself.
    pub user_agent: String,
    /// How patient one is.
    pub patience: Patience,
    /// Bytes per second that all transfers together may take in each direction.
    pub bandwidth: Option<NonZeroUsize>,
    /// Remembers uploads that were begun, for a run that continues this one.
    pub sessions: Arc<dyn Sessions>,
    /// Any number that differs from run to run, from which waiting times are varied.
    pub seed: u64,
}

impl Default for Settings {
    /// Anonymous, without proxies, and with no certificate that is trusted.
    fn default() -> Self {
        Settings {
            defaults: HostSettings::default(),
            hosts: BTreeMap::new(),
            credentials: Arc::new(Anonymous),
            proxies: Proxies::default(),
            system_certificates: Vec::new(),
            user_agent: concat!("larder/", env!("CARGO_PKG_VERSION")).to_owned(),
            patience: Patience::default(),
            bandwidth: None,
            sessions: Arc::new(Unkept),
            seed: 0,
        }
    }
}

impl Settings {
    /// What holds for a host, in upper or lower case.
    pub fn of(&self, host: &str) -> &HostSettings {
        self.hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map_or(&self.defaults, |(_, settings)| settings)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("defaults", &self.defaults).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// How one host is spoken to.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// What protects the connection.
    pub security: Security,
    /// The path that takes the place of `/v2`, such as `/artifactory/api/docker/docker-local/v2`; the repositories of references are then those below it.
    pub api_prefix: Option<String>,
    /// How blobs are sent.
    pub upload: Upload,
    /// How many transfers run at once in each direction.
    pub transfers: NonZeroUsize,
    /// How many requests may begin in a second.
    pub requests_per_second: Option<NonZeroUsize>,
    /// Other hosts that may be given the credentials of this one, because they issue its tokens.
    pub trusted_realms: Vec<String>,
}

impl Default for HostSettings {
    fn default() -> Self {
        HostSettings {
            security: Security::default(),
            api_prefix: None,
            upload: Upload::default(),
            transfers: NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN),
            requests_per_second: None,
            trusted_realms: Vec::new(),
        }
    }
}

/// What protects a connection.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS whose certificate is verified; without TLS only for this machine itself.
    Verified(Certificates),
    /// TLS with any certificate, and where the host speaks none, none.
    Insecure(Certificates),
    /// No TLS.
    Plain,
}

impl Security {
    /// The authorities that were given for it.
    pub(super) fn authorities(&self) -> &[Vec<u8>] {
        match self {
            Security::Verified(certificates) | Security::Insecure(certificates) => &certificates.authorities,
            Security::Plain => &[],
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Security::Verified(Certificates::default())
    }
}

/// Certificates for one host.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// Authorities that are trusted besides those of the system, in PEM.
    pub authorities: Vec<Vec<u8>>,
    /// What proves to the host who one is.
    pub client: Option<ClientCertificate>,
}

/// A certificate of one's own.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its authority, in PEM.
    pub chain: Vec<u8>,
    /// Its private key, in PEM.
    pub key: Secret,
}

/// How blobs are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upload {
    /// As a single request, and as the others where the host turns out not to understand that.
    #[default]
    Auto,
    /// POST, then PUT with all bytes.
    Single,
    /// POST, then PATCH with all bytes, then PUT.
    Stream,
    /// POST, then PATCH with this many bytes each, then PUT.
    Chunked(NonZeroUsize),
}

impl Upload {
    /// The usual size of chunks: large enough that requests do not matter, small enough for most of what limits them.
    pub const CHUNK: NonZeroUsize = match NonZeroUsize::new(16 << 20) {
        Some(size) => size,
        None => NonZeroUsize::MIN,
    };
}

/// Ways out of the network, as URLs; these may contain passwords.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `https`.
    pub https: Option<Secret>,
    /// For `http`.
    pub http: Option<Secret>,
    /// Hosts that are reached without: names, which stand for what ends in them too, addresses, networks as `10.0.0.0/8`, and `*` for all.
    pub none: Vec<String>,
}

/// How long one waits, and how often one tries.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How often a request is sent, the first time included.
    pub attempts: NonZeroUsize,
    /// How long to wait before the second attempt; each further one waits twice as long.
    pub first_wait: Duration,
    /// The longest time to wait before an attempt, whatever the host asks for.
    pub longest_wait: Duration,
    /// For all attempts of one request without the time that content flows.
    pub deadline: Duration,
    /// For finding the address of a host, and for connecting to it.
    pub connect: Duration,
    /// For an answer to begin.
    pub answer: Duration,
    /// How long a connection may carry nothing while content flows.
    pub idle: Duration,
    /// Bytes per second that a transfer must have had over a time of `idle`; slower ones begin anew elsewhere.
    pub slowest: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            attempts: NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            deadline: Duration::from_secs(600),
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            slowest: 128,
        }
    }
}
