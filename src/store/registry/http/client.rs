//! Calls: what a registry is asked for, with what proves who one is, as often as it takes.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::BodyReader;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::store::registry::auth::Access;
use crate::store::registry::credential::Secret;
use crate::store::registry::host::Host;
use crate::store::registry::network::Traffic;
use crate::store::registry::rest::{Authorization, Method, Repeat};
use crate::store::registry::settings::{Security, Settings};

use super::agents::Agents;
use super::failure::{Refusal, one_line};
use super::limits::{self, Slot, Throttle};
use super::retry::{self, Dice};
use super::url::{Scheme, Url};
use super::wire::{self, Body, Request, Response, Trouble, TroubleKind};
use super::{header, redirect};

/// How many different warnings of one host are told.
const WARNINGS: usize = 10;

/// What all calls of a run share.
pub(crate) struct Client {
    pub(crate) settings: Arc<Settings>,
    pub(crate) run: Run,
    agents: Agents,
    dice: Dice,
    /// One for each direction.
    throttles: Option<[Throttle; 2]>,
    warned: Mutex<BTreeSet<String>>,
    counters: Counters,
}

/// What was sent and received.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) uploads: AtomicU64,
    pub(crate) mounts: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// One thing that is asked for.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
    pub(crate) access: Access<'a>,
    pub(crate) repeat: Repeat,
    pub(crate) transfer: Transfer,
    pub(crate) last: Last,
}

/// What an answer becomes that would be worth another attempt, after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// An error.
    Error,
    /// What it is: an answer, for those who ask what they can do without.
    Answer,
}

/// What is sent with a call.
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// Content, opened anew for each time that it is sent.
    Content {
        length: u64,
        open: &'a dyn Fn() -> Result<Box<dyn Read + 'a>>,
    },
}

/// Whether a call is of those that move content to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// It is; its slot is kept while the content is read.
    Download,
    /// It is not.
    Request,
}

impl<'a> Call<'a> {
    /// A call without a body that may be repeated.
    pub(crate) fn new(method: Method, url: Url, access: Access<'a>) -> Self {
        Call { method, url, headers: Vec::new(), payload: Payload::None, access, repeat: Repeat::Safe, transfer: Transfer::Request, last: Last::Error }
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer, which holds its slot until it was read.
pub(crate) struct Reply<'a> {
    response: Response,
    client: &'a Client,
    slot: Slot,
}

impl std::ops::Deref for Reply<'_> {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.response
    }
}

impl<'a> Reply<'a> {
    /// The whole body. Fails as [`Response::bytes`].
    pub(crate) fn bytes(self, limit: usize) -> Result<Vec<u8>> {
        let bytes = self.response.bytes(limit).map_err(|trouble| trouble.error)?;
        self.client.counters.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// The body as it comes, no faster than it may.
    pub(crate) fn into_body(self) -> Incoming<'a> {
        Incoming { body: self.response.into_body(), client: self.client, _slot: self.slot }
    }

    /// What an answer that is a refusal says.
    pub(crate) fn refusal(self, method: Method, url: &Url) -> Refusal {
        Refusal::read(self.response, method, url)
    }
}

/// A body on its way to us.
pub(crate) struct Incoming<'a> {
    body: BodyReader<'static>,
    client: &'a Client,
    _slot: Slot,
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.client.throttled(1, buffer, |portion| self.body.read(portion))?;
        self.client.counters.received.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Content on its way from us.
struct Outgoing<'a> {
    content: Box<dyn Read + 'a>,
    client: &'a Client,
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.client.throttled(0, buffer, |portion| self.content.read(portion))?;
        self.client.counters.sent.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What is known of a call while it is tried.
struct Trial {
    attempt: u32,
    /// Whether the answer to a refusal was to prove anew who one is. That helps once or never.
    renewed: bool,
}

enum Outcome<'a> {
    Answered(Box<Reply<'a>>),
    Failed(Trouble),
    /// With another credential, or without TLS, it may work at once.
    Again,
}

impl Client {
    pub(crate) fn new(settings: Arc<Settings>, run: &Run) -> Self {
        let throttles = settings.bandwidth.map(|bandwidth| [Throttle::new(bandwidth), Throttle::new(bandwidth)]);
        Client {
            agents: Agents::new(settings.clone(), run),
            dice: Dice::new(settings.seed),
            throttles,
            warned: Mutex::default(),
            counters: Counters::default(),
            run: run.clone(),
            settings,
        }
    }

    /// Makes a call, as often as it takes: what fails for a while is tried again, a refusal for want of a credential is answered once with a new one.
    ///
    /// Returns every answer but those. Kinds: `denied`, `unavailable` after the last attempt, `interrupted`, and those of [`Payload::Content`].
    pub(crate) fn call(&self, host: &Host, call: &mut Call<'_>) -> Result<Reply<'_>> {
        let patience = &self.settings.patience;
        let begun = self.run.clock.now();
        let mut trial = Trial { attempt: 1, renewed: false };
        loop {
            host.turns.wait(self.run.clock, &self.run.cancel, host.settings.requests_per_second)?;
            let (error, wait, may_repeat) = match self.once(host, call, &mut trial)? {
                Outcome::Again => continue,
                Outcome::Answered(reply) if !retry::is_passing(reply.status) => return Ok(*reply),
                Outcome::Answered(reply) if call.last == Last::Answer && trial.attempt as usize >= patience.attempts.get() => return Ok(*reply),
                Outcome::Answered(reply) => {
                    let asked = reply.header("retry-after").and_then(|value| header::retry_after(value, self.run.clock.now()));
                    let asked = asked.map(|wait| wait.min(patience.longest_wait));
                    let (is_limit, wait) = (reply.status == 429, asked.unwrap_or_else(|| self.dice.wait(patience, trial.attempt)));
                    if is_limit || asked.is_some() {
                        host.turns.pause(self.run.clock, wait);
                    }
                    // What was refused for the number of requests was not done.
                    (reply.refusal(call.method, &call.url).into_error(), wait, is_limit)
                }
                Outcome::Failed(trouble) => {
                    if trouble.kind == TroubleKind::Final || trouble.kind == TroubleKind::NoTls {
                        return Err(failed(trouble.error, call, trial.attempt));
                    }
                    let may_repeat = trouble.kind == TroubleKind::Unreached;
                    if may_repeat {
                        self.agents.forget(&call.url.origin);
                    }
                    (failed(trouble.error, call, trial.attempt), self.dice.wait(patience, trial.attempt), may_repeat)
                }
            };
            let is_last = trial.attempt as usize >= patience.attempts.get() || self.run.clock.now().saturating_sub(begun) + wait > patience.deadline;
            // Content is sent again only by those who know how much of it has come.
            let may_repeat = (may_repeat || call.repeat == Repeat::Safe) && !matches!(call.payload, Payload::Content { .. });
            if is_last || !may_repeat {
                return Err(error);
            }
            limits::sleep(wait, &self.run.cancel)?;
            trial.attempt += 1;
        }
    }

    /// Waits before a further attempt at something that takes several calls.
    pub(crate) fn pause(&self, attempt: u32) -> Result<()> {
        limits::sleep(self.dice.wait(&self.settings.patience, attempt), &self.run.cancel)
    }

    fn once(&self, host: &Host, call: &mut Call<'_>, trial: &mut Trial) -> Result<Outcome<'_>> {
        let authorization = match &call.access {
            Access::Explicit(authorization) => explicit(authorization),
            access => host.auth.authorization(self, host, access)?,
        };
        let slot = match call.transfer {
            Transfer::Download => host.downloads.take(&self.run.cancel)?,
            Transfer::Request => host.requests.take(&self.run.cancel)?,
        };
        // Behind the slot: who shows a login must not wait for those who wait for him.
        let showing = host.auth.showing(&call.access, authorization.as_ref().map(|(_, secret)| secret))?;
        let sent = authorization.as_ref().map(|(name, secret)| (name.as_str(), secret));
        let response = match self.follow(host, call, sent) {
            Ok(response) => response,
            Err(trouble) if trouble.kind == TroubleKind::NoTls && matches!(host.settings.security, Security::Insecure(_)) => {
                return match host.without_tls(&call.url.origin) {
                    Some(origin) => {
                        call.url = call.url.at(&origin);
                        Ok(Outcome::Again)
                    }
                    None => Ok(Outcome::Failed(trouble)),
                };
            }
            Err(trouble) => return Ok(Outcome::Failed(trouble)),
        };
        self.tell_warnings(host, &response);
        if response.status == 401 && !matches!(call.access, Access::Explicit(_)) {
            let challenges: Vec<String> = response.all("www-authenticate").map(str::to_owned).collect();
            let refusal = Refusal::read(response, call.method, &call.url).into_error();
            drop(slot);
            let refusal = match showing {
                Some(showing) => showing.refused(host, &challenges, refusal),
                None => refusal,
            };
            if trial.renewed || challenges.is_empty() {
                return Err(refusal);
            }
            trial.renewed = true;
            let used = authorization.map(|(_, secret)| secret);
            return match host.auth.renew(self, host, &call.access, &challenges, used.as_ref())? {
                true => Ok(Outcome::Again),
                false => Err(refusal),
            };
        }
        if let Some(showing) = showing.filter(|_| !retry::is_passing(response.status)) {
            showing.believed();
        }
        Ok(Outcome::Answered(Box::new(Reply { response, client: self, slot })))
    }

    /// Sends a call to where it leads in the end.
    fn follow(&self, host: &Host, call: &Call<'_>, authorization: Option<(&str, &Secret)>) -> Result<Response, Trouble> {
        let mut url = call.url.clone();
        for _ in 0..=redirect::MOST {
            let is_home = url.origin == call.url.origin;
            let agent = match is_home {
                true => self.agents.named(&url.origin, &host.settings),
                false => self.agents.foreign(&url.origin, &call.url.origin),
            };
            let sent = self.send(&agent.map_err(Trouble::ours)?, call, &url, authorization.filter(|_| is_home));
            // Only the host itself may be spoken to without TLS, and not what it points to.
            let response = sent.map_err(|trouble| if is_home { trouble } else { trouble.finally_without_tls() })?;
            match redirect::target(&url, call.method, response.status, response.header("location")).map_err(Trouble::ours)? {
                Some(next) => url = next,
                None if !is_home && response.status == 401 => {
                    let error = Error::new(
                        ErrorKind::Denied,
                        format!("{} {} was redirected to {}, which wants a credential", call.method.as_str(), call.url, url.origin),
                    );
                    return Err(Trouble::ours(error.hint("use the address that the registry points to")));
                }
                // Signatures of such places run out; a new one is to be had where the first came from.
                None if !is_home && response.status == 403 => {
                    let error = Error::new(
                        ErrorKind::Unavailable,
                        format!("{} {url}, where {} was redirected to, was answered with 403", call.method.as_str(), call.url),
                    );
                    return Err(Trouble { kind: TroubleKind::Broken, error });
                }
                None => return Ok(response),
            }
        }
        Err(Trouble::ours(Error::new(
            ErrorKind::Unavailable,
            format!("{} {} was redirected more than {} times", call.method.as_str(), call.url, redirect::MOST),
        )))
    }

    fn send(&self, agent: &ureq::Agent, call: &Call<'_>, url: &Url, authorization: Option<(&str, &Secret)>) -> Result<Response, Trouble> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut outgoing;
        let (body, length) = match &call.payload {
            Payload::None => (Body::None, 0),
            Payload::Bytes(bytes) => {
                self.counters.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                (Body::Bytes(bytes), bytes.len() as u64)
            }
            Payload::Content { length, open } => {
                outgoing = Outgoing { content: open().map_err(Trouble::ours)?, client: self };
                (Body::Stream { length: *length, content: &mut outgoing }, *length)
            }
        };
        let patience = &self.settings.patience;
        // A cookie is for the host that gave it.
        let headers: Vec<_> = call.headers.iter().filter(|(name, _)| *name != "Cookie" || url.origin == call.url.origin).cloned().collect();
        let request = Request {
            method: call.method,
            url,
            headers: &headers,
            authorization,
            body,
            // A host may hash, and copy to a store of its own, before it answers.
            patience: patience.answer + Duration::from_secs(length / SETTLED_PER_SECOND),
            sending: patience.answer + Duration::from_secs(length / patience.slowest.max(1)),
            // Content takes as long as it flows.
            receiving: if call.transfer == Transfer::Download { Duration::MAX } else { patience.deadline },
        };
        wire::send(agent, request)
    }

    /// A request that stands alone, as one for a token: to a host that `host` named, without a credential of its own and without another attempt.
    pub(crate) fn ask(
        &self,
        host: &Host,
        method: Method,
        url: &Url,
        headers: &[(&'static str, String)],
        authorization: Option<&Secret>,
        body: Option<&[u8]>,
    ) -> Result<Response, Trouble> {
        let own = host.origin();
        let agent = match url.origin == own {
            true => self.agents.named(&url.origin, &host.settings),
            false => self.agents.foreign(&url.origin, &own),
        };
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let request = Request {
            method,
            url,
            headers,
            authorization: authorization.map(|secret| ("Authorization", secret)),
            body: body.map_or(Body::None, Body::Bytes),
            patience: self.settings.patience.answer,
            sending: self.settings.patience.answer,
            receiving: self.settings.patience.answer,
        };
        wire::send(&agent.map_err(Trouble::ours)?, request)
    }

    /// Says something to a host at the end, once and whatever comes of it, also when the run is to stop.
    pub(crate) fn farewell(&self, host: &Host, method: Method, url: &Url, access: &Access<'_>) {
        let Ok(agent) = self.agents.farewell(&url.origin, &host.settings) else { return };
        let authorization = host.auth.known(self, access);
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let request = Request {
            method,
            url,
            headers: &[],
            authorization: authorization.as_ref().map(|secret| ("Authorization", secret)),
            body: Body::None,
            patience: FAREWELL,
            sending: FAREWELL,
            receiving: FAREWELL,
        };
        let _ = wire::send(&agent, request);
    }

    fn throttled(&self, direction: usize, buffer: &mut [u8], read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let Some(throttle) = self.throttles.as_ref().map(|throttles| &throttles[direction]) else { return read(buffer) };
        let portion = buffer.len().min(throttle.portion());
        let count = read(&mut buffer[..portion])?;
        throttle.wait(self.run.clock, &self.run.cancel, count)?;
        Ok(count)
    }

    /// Tells each warning of a registry once.
    fn tell_warnings(&self, host: &Host, response: &Response) {
        for value in response.all("warning") {
            let Some(text) = value.trim().strip_prefix("299 ").and_then(|rest| Some(rest.split_once('"')?.1.rsplit_once('"')?.0)) else { continue };
            let line = format!("{} says: {}", host.name, one_line(&response.told().hide(text)));
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.len() < WARNINGS && warned.insert(line.clone()) {
                self.run.events.warn(line);
            }
        }
    }

    /// Counts something that was done.
    pub(crate) fn count(&self, which: impl FnOnce(&Counters) -> &AtomicU64) {
        which(&self.counters).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { requests, uploads, mounts, sent, received } = &self.counters;
        Traffic { requests: read(requests), uploads: read(uploads), mounts: read(mounts), sent: read(sent), received: read(received) }
    }
}

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// How fast the slowest host is thought to hash and store what it was sent.
const SETTLED_PER_SECOND: u64 = 8 << 20;

fn failed(error: Error, call: &Call<'_>, attempts: u32) -> Error {
    let tries = if attempts > 1 { format!(" {attempts} times") } else { String::new() };
    let host = call.url.origin.clone();
    match error.kind() {
        ErrorKind::Unavailable => error.context(format!("{} {} failed{tries}", call.method.as_str(), call.url)).subject(host.authority()),
        _ => error,
    }
}

fn explicit(authorization: &Authorization) -> Option<(String, Secret)> {
    let header = |value: Secret| ("Authorization".to_owned(), value);
    match authorization {
        Authorization::None => None,
        Authorization::Basic { user, password } => Some(header(crate::store::registry::auth::basic(user, password))),
        Authorization::Bearer(token) => Some(header(crate::store::registry::auth::bearer(token))),
        Authorization::Header { name, value } => Some((name.clone(), value.clone())),
    }
}

impl Host {
    /// Gives up TLS for good, where the origin that could not speak it is the one in use. The origin in its place.
    fn without_tls(&self, origin: &super::url::Origin) -> Option<super::url::Origin> {
        let mut own = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        if *own == *origin && origin.scheme == Scheme::Https {
            // The port stays what it was, unless nobody wrote one.
            let port = if origin.port == 443 { 80 } else { origin.port };
            *own = super::url::Origin { scheme: Scheme::Http, host: origin.host.clone(), port };
        }
        (origin.scheme == Scheme::Https && own.scheme == Scheme::Http).then(|| own.clone())
    }
}
