//! Proving to a host who one is.
//!
//! What a host wants is learnt from its first refusal; with a credential, from one ping before the first request, so that no request is answered as if it came
//! from a stranger. A token is asked for once for each scope, however many threads need it, and anew after four fifths of its life. A refusal of a token server
//! is final for the run, and a login that was refused is not sent again for anything: that would lock the user out. So a login is shown by one thread first, and
//! by others only once it was believed.

pub(crate) mod challenge;
mod logins;
pub(crate) mod realm;
pub(crate) mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{base64, text};

use super::credential::{Credential, Secret};
use super::host::Host;
use super::http::client::Client;
use super::rest::{Authorization, Method};
use challenge::Challenge;
use logins::{Logins, Verdict, Why};
use realm::Carries;
use token::{Failed, Reason, Wish};

/// What a call must be allowed to do.
#[derive(Clone, Debug)]
pub(crate) enum Access<'a> {
    /// The call says itself who makes it.
    Explicit(&'a Authorization),
    /// Something with a repository.
    Repository {
        /// Which.
        name: &'a str,
        /// What.
        verb: Verb,
        /// Another one from which to read.
        also: Option<&'a str>,
    },
    /// Listing repositories.
    Catalog,
    /// Nothing but to be known.
    Host,
}

/// What is done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// All of it.
    Delete,
}

impl Access<'_> {
    fn repository(&self) -> &str {
        match self {
            Access::Repository { name, .. } => name,
            Access::Catalog | Access::Host | Access::Explicit(_) => "",
        }
    }

    /// The scope in our own words.
    fn scope(&self) -> String {
        match self {
            Access::Repository { name, verb, also } => {
                let actions = match verb {
                    Verb::Pull => "pull",
                    Verb::Push => "pull,push",
                    Verb::Delete => "pull,push,delete",
                };
                let also = also.map(|also| format!(" repository:{also}:pull")).unwrap_or_default();
                format!("repository:{name}:{actions}{also}")
            }
            Access::Catalog => "registry:catalog:*".into(),
            Access::Host | Access::Explicit(_) => String::new(),
        }
    }
}

/// `Basic …`.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", base64::encode(format!("{user}:{}", password.reveal()).as_bytes())))
}

/// `Bearer …`.
pub(crate) fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.reveal()))
}

/// The header that carries it, and what it carries.
fn in_authorization(value: Secret) -> (String, Secret) {
    ("Authorization".to_owned(), value)
}

/// What is known of how a host wants to be spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Wants {
    #[default]
    Unknown,
    /// It asked for nothing so far; a user and a password do no harm.
    Nothing,
    Basic,
    Token {
        realm: String,
        service: String,
    },
}

/// What one host was shown and has given.
#[derive(Default)]
pub(crate) struct Auth {
    wants: Mutex<Wants>,
    /// Held while a host is pinged.
    learning: Mutex<()>,
    credentials: Mutex<HashMap<String, Option<Credential>>>,
    logins: Logins,
    /// Scopes in the words of the host, where these are not ours.
    scopes: Mutex<HashMap<String, String>>,
    tokens: Mutex<HashMap<String, Arc<Mutex<Slot>>>>,
}

/// A user and a password on their way to a host that has not seen them. Dropping it says nothing of them.
pub(crate) struct Showing<'a> {
    logins: &'a Logins,
    credential: Credential,
    alone: MutexGuard<'a, ()>,
}

impl Showing<'_> {
    /// The host answered as if it knew them.
    pub(crate) fn believed(self) {
        self.logins.judge(&self.credential, Verdict::Believed);
        drop(self.alone);
    }

    /// The host refused them. Where it wants tokens instead, that says nothing. The error for a person.
    pub(crate) fn refused(self, host: &Host, challenges: &[String], error: Error) -> Error {
        let wants_token = |challenge: &Challenge| matches!(challenge, Challenge::Bearer { realm, .. } if !realm.is_empty());
        if challenge::parse(challenges.iter().map(String::as_str)).iter().any(wants_token) {
            return error;
        }
        self.logins.judge(&self.credential, Verdict::Refused(Why::of_login(&host.name, &error)));
        drop(self.alone);
        error.hint(logins::WRONG)
    }
}

/// A place for one token. Its lock is held while the token is asked for.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Given {
        token: Secret,
        renew_at: Duration,
    },
    Refused(Why),
}

impl Auth {
    /// What to send with a call, as far as is known. Kinds: those of [`Credentials::find`](super::Credentials::find), `denied`, `unavailable`, `interrupted`.
    pub(crate) fn authorization(&self, client: &Client, host: &Host, access: &Access<'_>) -> Result<Option<(String, Secret)>> {
        let credential = self.credential(client, host, access.repository())?;
        if let Some(why) = credential.as_ref().and_then(|credential| self.logins.refusal(credential)) {
            return Err(why.error());
        }
        match &credential {
            Some(Credential::Bearer(token)) => return Ok(Some(in_authorization(bearer(token)))),
            Some(Credential::Header { name, value }) => return Ok(Some((name.clone(), value.clone()))),
            _ => {}
        }
        let mut wants = lock(&self.wants).clone();
        if wants == Wants::Unknown && credential.is_some() {
            wants = self.learn(client, host)?;
        }
        match (&wants, &credential) {
            (Wants::Nothing | Wants::Basic, Some(Credential::Basic { user, password })) => Ok(Some(in_authorization(basic(user, password)))),
            (Wants::Token { realm, service }, credential) => {
                let own = access.scope();
                let scope = lock(&self.scopes).get(&own).cloned().unwrap_or(own);
                self.token(client, host, realm, service, &scope, credential.as_ref(), None).map(|token| Some(in_authorization(token)))
            }
            _ => Ok(None),
        }
    }

    /// What there is to send with a call without asking anybody.
    pub(crate) fn known(&self, client: &Client, access: &Access<'_>) -> Option<Secret> {
        let credential = lock(&self.credentials).get(access.repository()).cloned().flatten();
        match (lock(&self.wants).clone(), credential) {
            (_, Some(Credential::Bearer(token))) => Some(bearer(&token)),
            (Wants::Nothing | Wants::Basic, Some(Credential::Basic { user, password })) => Some(basic(&user, &password)),
            (Wants::Token { realm, service }, credential) => {
                let own = access.scope();
                let scope = lock(&self.scopes).get(&own).cloned().unwrap_or(own);
                let slot = lock(&self.tokens).get(&key(&realm, &service, &scope, credential.as_ref())).cloned()?;
                let slot = slot.try_lock().ok()?;
                match &*slot {
                    Slot::Given { token, renew_at } if client.run.clock.now() < *renew_at => Some(token.clone()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Answers a refusal: prepares what the next attempt is to send. False where there is nothing else to send. `used` is what was refused.
    ///
    /// Kinds: `denied`, `unavailable`, `interrupted`.
    pub(crate) fn renew(&self, client: &Client, host: &Host, access: &Access<'_>, challenges: &[String], used: Option<&Secret>) -> Result<bool> {
        let credential = self.credential(client, host, access.repository())?;
        if matches!(credential, Some(Credential::Bearer(_) | Credential::Header { .. })) {
            return Ok(false);
        }
        let challenges = challenge::parse(challenges.iter().map(String::as_str));
        let by_token = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope } if !realm.is_empty() => Some((realm, service, scope)),
            _ => None,
        });
        let password = match &credential {
            Some(Credential::Basic { user, password }) if challenges.contains(&Challenge::Basic) => {
                Some(basic(user, password)).filter(|basic| used != Some(basic))
            }
            _ => None,
        };
        if let Some((realm, service, scope)) = by_token {
            let own = access.scope();
            let scope = if scope.is_empty() || speaks_of(scope, access.repository()) { own.clone() } else { scope.clone() };
            match self.token(client, host, realm, service, &scope, credential.as_ref(), used) {
                Ok(_) => {
                    if scope != own {
                        lock(&self.scopes).insert(own, scope);
                    }
                    *lock(&self.wants) = Wants::Token { realm: realm.clone(), service: service.clone() };
                    return Ok(true);
                }
                // The token server may know others than the registry itself, which is shown the login once more.
                Err(error) if error.kind() == ErrorKind::Denied && password.is_some() => {
                    credential.iter().for_each(|credential| self.logins.forget(credential))
                }
                Err(error) => return Err(error),
            }
        }
        match password {
            Some(_) => {
                *lock(&self.wants) = Wants::Basic;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// What is to be held while a user and a password are shown with a call for the first time. None where nothing of the kind is sent, or is known to be good.
    ///
    /// Fails with kind `denied` where they were refused.
    pub(crate) fn showing(&self, access: &Access<'_>, sent: Option<&Secret>) -> Result<Option<Showing<'_>>> {
        let credential = lock(&self.credentials).get(access.repository()).cloned().flatten();
        let Some(credential @ Credential::Basic { .. }) = credential else { return Ok(None) };
        match &credential {
            Credential::Basic { user, password } if sent == Some(&basic(user, password)) => {
                Ok(self.logins.alone(&credential)?.map(|alone| Showing { logins: &self.logins, credential, alone }))
            }
            _ => Ok(None),
        }
    }

    /// Why nothing is asked any more of a repository: the host refused the login for it. None where it did not.
    pub(crate) fn refused(&self, client: &Client, host: &Host, repository: &str) -> Option<String> {
        if self.logins.none_is_refused() {
            return None;
        }
        let credential = self.credential(client, host, repository).ok()??;
        self.logins.refusal(&credential)?;
        Some(match credential {
            Credential::Basic { user, .. } => format!("{} refused the login of `{}`, so it is asked no more", host.name, text::shown(&user)),
            _ => format!("{} refused the login, so it is asked no more", host.name),
        })
    }

    fn credential(&self, client: &Client, host: &Host, repository: &str) -> Result<Option<Credential>> {
        if let Some(known) = lock(&self.credentials).get(repository) {
            return Ok(known.clone());
        }
        let found = client.settings.credentials.find(&host.name, repository)?;
        Ok(lock(&self.credentials).entry(repository.to_owned()).or_insert(found).clone())
    }

    /// Asks a host what it wants, without wanting anything of it.
    fn learn(&self, client: &Client, host: &Host) -> Result<Wants> {
        let _alone = lock(&self.learning);
        let known = lock(&self.wants).clone();
        if known != Wants::Unknown {
            return Ok(known);
        }
        client.run.cancel.check()?;
        // A host that cannot be reached shows that to the call itself, which is patient.
        let Ok(response) = client.ask(host, Method::Get, &host.url("/", None), &[], None, None) else { return Ok(Wants::Unknown) };
        let wants = match response.status {
            401 => {
                let mut challenges = challenge::parse(response.all("www-authenticate"));
                challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
                match challenges.into_iter().next() {
                    Some(Challenge::Bearer { realm, service, .. }) if !realm.is_empty() => Wants::Token { realm, service },
                    Some(Challenge::Basic) => Wants::Basic,
                    _ => Wants::Nothing,
                }
            }
            status if super::http::retry::is_passing(status) => Wants::Unknown,
            _ => Wants::Nothing,
        };
        *lock(&self.wants) = wants.clone();
        Ok(wants)
    }

    /// The token for a scope, with `Bearer` before it. One that was refused is not given again.
    #[expect(clippy::too_many_arguments, reason = "a token is known by all of this")]
    fn token(
        &self,
        client: &Client,
        host: &Host,
        realm: &str,
        service: &str,
        scope: &str,
        credential: Option<&Credential>,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let slot = lock(&self.tokens).entry(key(realm, service, scope, credential)).or_default().clone();
        let mut slot = lock(&slot);
        match &*slot {
            Slot::Given { token, renew_at } if refused != Some(token) && client.run.clock.now() < *renew_at => return Ok(token.clone()),
            Slot::Refused(why) => return Err(why.error()),
            _ => {}
        }
        let _first = credential.map(|credential| self.logins.alone(credential)).transpose()?;
        let carries = if credential.is_some() { Carries::Credential } else { Carries::Nothing };
        let fetched = realm::check(realm, &host.origin(), &host.settings.trusted_realms, carries)
            .map_err(Failed::otherwise)
            .and_then(|realm| token::fetch(client, host, &Wish { realm: &realm, service, scope, credential }));
        match fetched {
            Ok(fetched) => {
                if let Some(credential) = credential {
                    self.logins.judge(credential, Verdict::Believed);
                }
                let token = bearer(&fetched.token);
                *slot = Slot::Given { token: token.clone(), renew_at: client.run.clock.now() + fetched.life * 4 / 5 };
                Ok(token)
            }
            Err(Failed { error, reason }) => {
                if error.kind() == ErrorKind::Denied {
                    *slot = Slot::Refused(Why::of(&error));
                }
                if let (Some(credential), Reason::Login) = (credential, reason) {
                    self.logins.judge(credential, Verdict::Refused(Why::of_login(&host.name, &error)));
                }
                Err(error)
            }
        }
    }
}

/// What a token is known by.
fn key(realm: &str, service: &str, scope: &str, credential: Option<&Credential>) -> String {
    let account = match credential {
        Some(Credential::Basic { user, .. }) => user.as_str(),
        Some(_) => "<token>",
        None => "",
    };
    [realm, service, scope, account].join("\n")
}

/// Whether a scope is about a repository in the words that we use for it.
fn speaks_of(scope: &str, repository: &str) -> bool {
    scope
        .split_ascii_whitespace()
        .any(|scope| scope.strip_prefix("repository:").and_then(|rest| rest.strip_prefix(repository)).is_some_and(|rest| rest.starts_with(':')))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
