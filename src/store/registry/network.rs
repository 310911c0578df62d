//! What one run shares of all registries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Reference, limits};

use super::auth::Access;
use super::documents::Documents;
use super::host::Host;
use super::http::client::{Call, Client, Payload};
use super::http::url::{Scheme, Url};
use super::pages;
use super::rest::{Answer, Method, Rest};
use super::settings::{Security, Settings};
use super::{Registry, lock};

/// All registries that one run speaks to. Clones share everything: connections, tokens, limits, and what is known of hosts.
#[derive(Clone)]
pub struct Network {
    client: Arc<Client>,
    documents: Arc<Documents>,
    hosts: Arc<Mutex<BTreeMap<String, Arc<Host>>>>,
}

impl Network {
    /// Sends nothing. Fails with kind `usage` for settings of hosts that cannot be used.
    pub fn new(settings: Settings, run: &Run) -> Result<Network> {
        let network = Network { client: Arc::new(Client::new(Arc::new(settings), run)), documents: Arc::default(), hosts: Arc::default() };
        for name in network.client.settings.hosts.keys() {
            network.host(name)?;
        }
        Ok(network)
    }

    /// A repository; tag and digest of the reference are not looked at. Sends nothing. Fails with kind `usage` for settings that cannot be used.
    pub fn repository(&self, reference: &Reference) -> Result<Registry> {
        let host = self.host(reference.host())?;
        Ok(Registry::new(self.client.clone(), host, self.documents.clone(), reference.repository()))
    }

    /// The repositories of a host, in its order, as far as it lists them. Kinds: `unsupported` where it lists none; `denied`; `unavailable`; `interrupted`.
    pub fn repositories(&self, host: &str) -> Result<Vec<String>> {
        pages::repositories(&self.client, &*self.host(host)?)
    }

    /// Proves to a host who one is, and does nothing else. Kinds: `denied`, `unavailable`, `interrupted`.
    pub fn authenticate(&self, host: &str) -> Result<()> {
        let host = self.host(host)?;
        let mut call = Call::new(Method::Get, host.url("/", None), Access::Host);
        let reply = self.client.call(&host, &mut call)?;
        match reply.status {
            200..300 => Ok(()),
            _ => Err(reply.refusal(Method::Get, &call.url).into_error()),
        }
    }

    /// One call besides `/v2`, under the same rules for retries, redirects, limits and secrets. An answer that is not worth another attempt is returned as it is,
    /// but for secrets that a refusal repeats.
    ///
    /// Kinds: `usage` for a URL that cannot be used; `denied` where the host points to where we do not go; `unavailable`; `interrupted`.
    pub fn rest(&self, rest: &Rest) -> Result<Answer> {
        let url: Url = rest.url.parse().map_err(|error: Error| error.with_kind(crate::error::ErrorKind::Usage))?;
        let host = self.host(&url.origin.authority())?;
        if url.origin.scheme == Scheme::Http && !url.origin.is_loopback() && !matches!(host.settings.security, Security::Plain | Security::Insecure(_)) {
            return Err(Error::usage(format!("{} is not protected", url.origin)).hint("write https://, or give --plain-http for this host"));
        }
        let mut call = Call::new(rest.method, url, Access::Explicit(&rest.authorization));
        call.repeat = rest.repeat;
        call = call.header("Accept", "application/json");
        if let Some((content_type, body)) = &rest.body {
            call = call.header("Content-Type", content_type.clone());
            call.payload = Payload::Bytes(body);
        }
        let reply = self.client.call(&host, &mut call)?;
        let (status, headers) = (reply.status, reply.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let told = reply.told().clone();
        let mut body = reply.bytes(limits::MANIFEST_BYTES)?;
        if status != 200 {
            // What is no success is for people, and may repeat what the host was told.
            body = told.hide(&String::from_utf8_lossy(&body)).into_owned().into_bytes();
        }
        Ok(Answer { status, headers, body })
    }

    /// Why nothing is asked any more of a repository: its host refused the login for it, and would lock the user out. None where it did not. Sends nothing.
    pub fn refused(&self, reference: &Reference) -> Option<String> {
        let host = lock(&self.hosts).get(&reference.host().to_ascii_lowercase()).cloned()?;
        host.auth.refused(&self.client, &host, reference.repository())
    }

    /// What was sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.client.traffic()
    }

    fn host(&self, name: &str) -> Result<Arc<Host>> {
        let name = name.to_ascii_lowercase();
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(&name) {
            return Ok(host.clone());
        }
        let host = Arc::new(Host::new(&name, self.client.settings.of(&name).clone())?);
        hosts.insert(name, host.clone());
        Ok(host)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("settings", &self.client.settings).finish_non_exhaustive()
    }
}

/// How much was sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Requests, those for tokens and those that were sent again among them.
    pub requests: u64,
    /// Blobs that were uploaded.
    pub uploads: u64,
    /// Blobs that were taken from another repository of the host.
    pub mounts: u64,
    /// Bytes of content and documents sent.
    pub sent: u64,
    /// Bytes of content and documents received.
    pub received: u64,
}
