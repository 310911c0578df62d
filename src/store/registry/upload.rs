//! Blobs on their way from us. Distribution specification, "Pushing blobs".
//!
//! A blob goes in one request after the one that opens a session, which is the fewest there can be. A host that does not understand that gets it as a stream, or in
//! chunks, and is remembered. When a connection breaks, the host is asked how far it came, and the upload goes on from there; a host that cannot tell gets all of it
//! again. Where a blob is in another repository of the host, it is taken from there. Nothing is hashed here: the host proves what came, and refuses what is not what
//! its digest says.

use std::num::NonZeroUsize;

use crate::error::{Error, ErrorKind, Result, Side};
use crate::fsio::VerifyingReader;
use crate::spec::Descriptor;
use crate::store::{Content, Put};

use super::Registry;
use super::auth::{Access, Verb};
use super::host::Ability;
use super::http::client::{Call, Last, Payload, Reply};
use super::http::header;
use super::http::url::{Scheme, Url};
use super::known::{Others, Step};
use super::rest::{Method, Repeat};
use super::settings::Upload;

/// Below this size a host that limits requests cannot be helped.
const SMALLEST_CHUNK: usize = 1 << 20;

/// What one attempt came to.
enum Attempt {
    Done,
    /// The host does not take blobs in this way.
    Otherwise(Upload, Error),
    /// The session is gone.
    Lost(Error),
    /// The host has another idea of how far it came.
    Misplaced(Error),
    /// What arrived is not what was sent, or what was sent is damaged.
    Damaged(Error),
}

/// A session of an upload.
struct Session {
    location: Url,
    /// How many bytes are there.
    at: u64,
    /// The smallest chunk that the host takes.
    least: usize,
    /// What leads every request to the same machine behind a host that is several.
    cookies: Option<String>,
}

/// What opening a session came to.
enum Opened {
    Session(Session),
    /// There is none, because the blob is there.
    There,
}

impl Registry {
    /// Brings a blob here, unless it is here. Kinds: those of [`Content::open`] and of calls; `corrupt` where the content is damaged.
    pub(super) fn bring(&self, descriptor: &Descriptor, content: &dyn Content) -> Result<Put> {
        let (host, digest) = (&self.host, &descriptor.digest);
        let others = if host.mounts() == Ability::Absent { Others::Ignore } else { Others::Wait };
        let (moving, from) = match host.blobs.begin(descriptor, &self.repository, others, &self.client.run.cancel)? {
            Step::There => return Ok(Put::Taken),
            Step::Bring(moving, from) => (moving, from),
        };
        if !self.is_known_to_lack(digest) && self.has_blob(descriptor)? {
            moving.arrived();
            return Ok(Put::Taken);
        }
        let mut opened = None;
        if let Some(from) = from.filter(|_| host.mounts() != Ability::Absent) {
            match self.mount(descriptor, &from)? {
                Some(Opened::There) => {
                    self.client.count(|counters| &counters.mounts);
                    moving.arrived();
                    return Ok(Put::Taken);
                }
                Some(Opened::Session(session)) => opened = Some(session),
                None => {}
            }
        }
        self.upload(descriptor, content, opened)?;
        self.client.count(|counters| &counters.uploads);
        moving.arrived();
        Ok(Put::Written)
    }

    /// Whether a blob is here. A host that does not say counts as not having it.
    pub(super) fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        self.ask_for_blob(descriptor, Verb::Push)
    }

    /// Whether a blob can be had here. The host is asked, whatever is known of it: what a manifest refers to need not be there.
    ///
    /// Kinds: as of calls.
    pub fn serves(&self, blob: &Descriptor) -> Result<bool> {
        self.ask_for_blob(blob, Verb::Pull)
    }

    fn ask_for_blob(&self, descriptor: &Descriptor, verb: Verb) -> Result<bool> {
        let path = format!("/{}/blobs/{}", self.repository, descriptor.digest);
        let mut call = Call::new(Method::Head, self.host.url(&path, None), self.access(verb));
        call.last = Last::Answer;
        let reply = self.client.call(&self.host, &mut call)?;
        Ok(reply.status == 200 && reply.length().is_none_or(|length| length == descriptor.size))
    }

    /// Takes a blob from another repository of the host, or at least opens a session; none where neither happened.
    fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<Option<Opened>> {
        let digest = &descriptor.digest;
        let url = self.uploads().with("mount", digest.as_str()).with("from", from);
        let access = Access::Repository { name: &self.repository, verb: Verb::Push, also: Some(from) };
        let mut call = Call::new(Method::Post, url, access);
        let reply = match self.client.call(&self.host, &mut call) {
            Ok(reply) => reply,
            // Whoever may not read there still may write here.
            Err(error) if error.kind() == ErrorKind::Denied => return Ok(None),
            Err(error) => return Err(error),
        };
        match reply.status {
            201 => {
                let is_said = reply.header("docker-content-digest") == Some(digest.as_str());
                drop(reply);
                if is_said || self.has_blob(descriptor)? {
                    self.host.set_mounts(Ability::Present);
                    return Ok(Some(Opened::There));
                }
                Ok(None)
            }
            202 => {
                self.host.set_mounts(Ability::Absent);
                self.session(&reply, &call.url).map(|session| Some(Opened::Session(session)))
            }
            _ => Ok(None),
        }
    }

    fn upload(&self, descriptor: &Descriptor, content: &dyn Content, opened: Option<Session>) -> Result<()> {
        let mut upload = OneUpload { registry: self, descriptor, content, failures: 0, damaged: false };
        let session = match opened {
            Some(session) => Some(session),
            None => upload.resumed()?,
        };
        upload.run(session)
    }

    fn uploads(&self) -> Url {
        self.host.url(&format!("/{}/blobs/uploads/", self.repository), None)
    }

    /// The session that an answer opened. Fails with kind `denied` where it is on another host.
    fn session(&self, reply: &Reply<'_>, asked: &Url) -> Result<Session> {
        let location = self.location(reply, asked)?.ok_or_else(|| Error::corrupt(format!("{} opened an upload and does not say where", self.host.name)))?;
        let least = reply.header("oci-chunk-min-length").and_then(|value| value.trim().parse().ok()).unwrap_or(0);
        Ok(Session { location, at: 0, least, cookies: cookies(reply) })
    }

    /// Where an answer says that the upload goes on.
    fn location(&self, reply: &Reply<'_>, asked: &Url) -> Result<Option<Url>> {
        let Some(location) = reply.header("location") else { return Ok(None) };
        own_location(asked, location).map(Some)
    }
}

/// Where an upload goes on: on the host that was asked. Behind a proxy that does not say how it was reached, a host takes itself for one with or without TLS; it is
/// still reached as before.
fn own_location(asked: &Url, location: &str) -> Result<Url> {
    let url = asked.join(location)?;
    let (own, other) = (&asked.origin, &url.origin);
    let is_same_but_for_tls = own.host == other.host
        && own.scheme != other.scheme
        && (own.port == other.port || [own, other].iter().any(|origin| is_usual(origin.scheme, origin.port)));
    match own == other || is_same_but_for_tls {
        true => Ok(url.at(own)),
        false => Err(Error::new(ErrorKind::Denied, format!("{own} wants an upload to go on at {other}, which is another host"))
            .hint("make what stands before the registry pass on its name and port (Host, X-Forwarded-Host)")),
    }
}

/// The cookies that an answer sets, as they are sent back.
fn cookies(reply: &Reply<'_>) -> Option<String> {
    let pairs: Vec<&str> = reply.all("set-cookie").filter_map(|cookie| cookie.split(';').next()).map(str::trim).filter(|pair| pair.contains('=')).collect();
    (!pairs.is_empty()).then(|| pairs.join("; "))
}

fn is_usual(scheme: Scheme, port: u16) -> bool {
    matches!((scheme, port), (Scheme::Http, 80) | (Scheme::Https, 443))
}

/// A blob that is being uploaded.
struct OneUpload<'a> {
    registry: &'a Registry,
    descriptor: &'a Descriptor,
    content: &'a dyn Content,
    failures: u32,
    /// Whether the host said before that something else arrived.
    damaged: bool,
}

impl OneUpload<'_> {
    /// The session of an earlier run, where the host still knows it.
    fn resumed(&self) -> Result<Option<Session>> {
        let registry = self.registry;
        let kept = registry.client.settings.sessions.find(&registry.host.name, &registry.repository, self.descriptor.digest.as_str());
        let Some(kept) = kept else { return Ok(None) };
        let Ok(location) = own_location(&registry.uploads(), &kept) else { return Ok(None) };
        let session = self.status(&Session { location, at: 0, least: 0, cookies: None })?;
        if session.is_none() {
            self.forget();
        }
        Ok(session.filter(|session| session.at <= self.descriptor.size))
    }

    fn run(&mut self, session: Option<Session>) -> Result<()> {
        let mut session = match session {
            Some(session) => session,
            None => match self.open()? {
                Opened::Session(session) => session,
                Opened::There => return Ok(()),
            },
        };
        loop {
            let next = match self.attempt(&mut session) {
                Ok(Attempt::Done) => {
                    self.forget();
                    return Ok(());
                }
                Ok(Attempt::Otherwise(way, error)) => self.change(way, error).map(|()| {
                    self.abort(&session);
                    None
                }),
                Ok(Attempt::Lost(error)) => self.again(error).map(|()| None),
                Ok(Attempt::Misplaced(error)) => self.again(error).and_then(|()| self.status(&session)),
                Ok(Attempt::Damaged(error)) => self.judge(error).map(|()| None),
                Err(error) if error.kind() == ErrorKind::Unavailable => self.again(error).and_then(|()| self.status(&session)),
                Err(error) => Err(error),
            };
            session = match next {
                Ok(Some(known)) => known,
                // What failed may have been the answer only.
                Ok(None) if self.failures > 0 && self.registry.has_blob(self.descriptor)? => {
                    self.forget();
                    return Ok(());
                }
                Ok(None) => match self.open()? {
                    Opened::Session(session) => session,
                    Opened::There => return Ok(()),
                },
                Err(error) => {
                    self.give_up(&session, &error);
                    return Err(error);
                }
            };
        }
    }

    /// Remembers that the host wants blobs in another way, where that is left to it.
    fn change(&self, way: Upload, error: Error) -> Result<()> {
        let host = &self.registry.host;
        if host.settings.upload != Upload::Auto || host.upload() == way {
            return Err(error);
        }
        host.set_upload(way);
        Ok(())
    }

    /// Opens a session.
    fn open(&self) -> Result<Opened> {
        let registry = self.registry;
        let mut call = Call::new(Method::Post, registry.uploads(), registry.access(Verb::Push));
        let reply = registry.client.call(&registry.host, &mut call)?;
        match reply.status {
            202 => {
                let session = registry.session(&reply, &call.url)?;
                self.keep(&session.location);
                Ok(Opened::Session(session))
            }
            201 => {
                drop(reply);
                match registry.has_blob(self.descriptor)? {
                    true => Ok(Opened::There),
                    false => Err(Error::corrupt(format!("{} says that {} is there, and it is not", registry.host.name, self.descriptor.digest))),
                }
            }
            _ => Err(reply.refusal(Method::Post, &call.url).into_error()),
        }
    }

    /// Sends what is missing in the way that the host wants.
    fn attempt(&self, session: &mut Session) -> Result<Attempt> {
        let way = self.registry.host.upload();
        match way {
            Upload::Auto | Upload::Single if session.at == 0 => self.put(session, 0),
            Upload::Auto | Upload::Single | Upload::Stream => {
                if session.at < self.descriptor.size
                    && let Some(attempt) = self.patch(session, self.descriptor.size, way)?
                {
                    return Ok(attempt);
                }
                self.put(session, self.descriptor.size)
            }
            Upload::Chunked(chunk) => {
                let chunk = chunk.get().max(session.least) as u64;
                while session.at < self.descriptor.size {
                    let end = session.at.saturating_add(chunk).min(self.descriptor.size);
                    if let Some(attempt) = self.patch(session, end, way)? {
                        return Ok(attempt);
                    }
                    self.keep(&session.location);
                }
                self.put(session, self.descriptor.size)
            }
        }
    }

    /// Sends the rest from `start` on and ends the session.
    fn put(&self, session: &mut Session, start: u64) -> Result<Attempt> {
        let url = session.location.with("digest", self.descriptor.digest.as_str());
        let length = self.descriptor.size - start;
        let open = || self.content.open(start);
        let mut call = self.call(Method::Put, url, session).header("Content-Type", "application/octet-stream");
        if length > 0 {
            call.payload = Payload::Content { length, open: &open };
        }
        let reply = self.registry.client.call(&self.registry.host, &mut call)?;
        let said = reply.header("docker-content-digest").map(str::to_owned);
        if matches!(reply.status, 201 | 204) && length > 0 && start == 0 && self.registry.host.upload() == Upload::Auto {
            self.registry.host.set_upload(Upload::Single);
        }
        match reply.status {
            201 | 204
                if said
                    .as_deref()
                    .is_none_or(|said| said == self.descriptor.digest.as_str() || !said.starts_with(self.descriptor.digest.algorithm().as_str())) =>
            {
                Ok(Attempt::Done)
            }
            201 | 204 => Err(Error::corrupt(format!("{} made {} of {}", self.registry.host.name, said.unwrap_or_default(), self.descriptor.digest))
                .subject(&self.descriptor.digest)),
            200 | 202 => {
                let refusal = reply.refusal(Method::Put, &call.url);
                // What it means is not written anywhere; whether the blob is there is what counts.
                Ok(if self.registry.has_blob(self.descriptor)? { Attempt::Done } else { Attempt::Otherwise(Upload::Stream, refusal.into_error()) })
            }
            status => {
                let refusal = reply.refusal(Method::Put, &call.url);
                let is_about_digest = refusal.is_about_digest();
                let error = refusal.into_error();
                Ok(match status {
                    400 if is_about_digest => Attempt::Damaged(error),
                    413 if length > 0 => Attempt::Otherwise(self.smaller(), error),
                    400 | 404 | 405 | 411 | 416 | 501 if length > 0 && self.registry.host.upload() == Upload::Auto => Attempt::Otherwise(Upload::Stream, error),
                    404 => Attempt::Lost(error.with_kind(ErrorKind::Unavailable)),
                    416 => Attempt::Misplaced(error),
                    _ => return Err(error),
                })
            }
        }
    }

    /// Sends the bytes from where the session is up to `end`; none where they arrived.
    fn patch(&self, session: &mut Session, end: u64, way: Upload) -> Result<Option<Attempt>> {
        let (start, length) = (session.at, end - session.at);
        let open = || self.content.open(start);
        let mut call = self.call(Method::Patch, session.location.clone(), session).header("Content-Type", "application/octet-stream");
        if start > 0 || end < self.descriptor.size || matches!(way, Upload::Chunked(_)) {
            call = call.header("Content-Range", format!("{start}-{}", end - 1));
        }
        call.payload = Payload::Content { length, open: &open };
        call.repeat = Repeat::Never;
        let reply = self.registry.client.call(&self.registry.host, &mut call)?;
        match reply.status {
            200 | 201 | 202 | 204 => {
                if let Some(location) = self.registry.location(&reply, &call.url)? {
                    session.location = location;
                }
                match reply.header("range").and_then(header::upload_range) {
                    Some(at) if at != end && end > 1 => {
                        let name = &self.registry.host.name;
                        Ok(Some(Attempt::Misplaced(Error::new(
                            ErrorKind::Unavailable,
                            format!("{name} has {at} bytes of an upload, not the {end} that were sent"),
                        ))))
                    }
                    _ => {
                        session.at = end;
                        Ok(None)
                    }
                }
            }
            status => {
                let error = reply.refusal(Method::Patch, &call.url).into_error();
                Ok(Some(match status {
                    413 => Attempt::Otherwise(self.smaller(), error),
                    400 | 404 | 405 | 411 | 501 if start == 0 && way == Upload::Stream && self.registry.host.settings.upload == Upload::Auto => {
                        Attempt::Otherwise(Upload::Chunked(Upload::CHUNK), error)
                    }
                    404 => Attempt::Lost(error.with_kind(ErrorKind::Unavailable)),
                    416 => Attempt::Misplaced(error),
                    _ => return Err(error),
                }))
            }
        }
    }

    /// A call of a session.
    fn call(&self, method: Method, url: Url, session: &Session) -> Call<'_> {
        let call = Call::new(method, url, self.registry.access(Verb::Push));
        match &session.cookies {
            Some(cookies) => call.header("Cookie", cookies.clone()),
            None => call,
        }
    }

    /// The way that sends less at once than the present one.
    fn smaller(&self) -> Upload {
        match self.registry.host.upload() {
            Upload::Chunked(chunk) => NonZeroUsize::new((chunk.get() / 4).max(SMALLEST_CHUNK)).map_or(Upload::Chunked(Upload::CHUNK), Upload::Chunked),
            _ => Upload::Chunked(Upload::CHUNK),
        }
    }

    /// How far a session came; none where nobody knows, so that it must begin anew.
    fn status(&self, session: &Session) -> Result<Option<Session>> {
        let registry = self.registry;
        let mut call = self.call(Method::Get, session.location.clone(), session);
        call.last = Last::Answer;
        let reply = registry.client.call(&registry.host, &mut call)?;
        let at = reply.header("range").and_then(header::upload_range);
        match (reply.status, at) {
            // Nothing, or one byte: it is not known which.
            (200 | 202 | 204, Some(0)) | (200 | 202 | 204, None) => Ok(None),
            (200 | 202 | 204, Some(at)) if at <= self.descriptor.size => {
                let location = registry.location(&reply, &call.url)?.unwrap_or_else(|| session.location.clone());
                Ok(Some(Session { location, at, least: session.least, cookies: session.cookies.clone() }))
            }
            _ => Ok(None),
        }
    }

    /// Takes in a failure that may pass. Fails where there were too many.
    fn again(&mut self, error: Error) -> Result<()> {
        self.failures += 1;
        match self.failures as usize >= self.registry.client.settings.patience.attempts.get() {
            true => Err(error.context(format!("cannot upload {} to {}", self.descriptor.digest, self.registry.shown()))),
            false => self.registry.client.pause(self.failures),
        }
    }

    /// Finds out whose fault it is that something else arrived. Once it may have been the way's.
    fn judge(&mut self, error: Error) -> Result<()> {
        let content = self.content.open(0)?;
        VerifyingReader::new(content, self.descriptor.digest.clone(), self.descriptor.size)?.drain().map_err(|error| error.side(Side::Source))?;
        match std::mem::replace(&mut self.damaged, true) {
            true => Err(error),
            false => Ok(()),
        }
    }

    /// Leaves a session that will not be used any more, unless a later run may go on with it.
    fn give_up(&self, session: &Session, error: &Error) {
        let registry = self.registry;
        let is_kept = registry.client.settings.sessions.find(&registry.host.name, &registry.repository, self.descriptor.digest.as_str()).is_some();
        if is_kept && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Interrupted) {
            return;
        }
        self.abort(session);
    }

    /// Tells the host that nothing more comes. Whatever it answers.
    fn abort(&self, session: &Session) {
        self.forget();
        let registry = self.registry;
        registry.client.farewell(&registry.host, Method::Delete, &session.location, &registry.access(Verb::Push));
    }

    fn keep(&self, location: &Url) {
        let registry = self.registry;
        registry.client.settings.sessions.begun(&registry.host.name, &registry.repository, self.descriptor.digest.as_str(), &location.in_full());
    }

    fn forget(&self) {
        let registry = self.registry;
        registry.client.settings.sessions.ended(&registry.host.name, &registry.repository, self.descriptor.digest.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_07_an_upload_goes_on_on_the_host_that_was_asked() {
        for (asked, location, expected) in [
            ("https://registry.example/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/1?_state=x", Some("https://registry.example/v2/a/blobs/uploads/1?_state=x")),
            ("https://registry.example/v2/a/blobs/uploads/", "https://registry.example:443/u", Some("https://registry.example/u")),
            ("https://registry.example/v2/a/blobs/uploads/", "http://registry.example/u", Some("https://registry.example/u")),
            ("http://registry.example:8081/v2/a/blobs/uploads/", "https://registry.example:8081/u", Some("http://registry.example:8081/u")),
            ("http://registry.example:8081/v2/a/blobs/uploads/", "https://registry.example/u", Some("http://registry.example:8081/u")),
            ("https://registry.example/v2/a/blobs/uploads/", "https://other.example/u", None),
            ("https://registry.example/v2/a/blobs/uploads/", "https://registry.example:8443/u", None),
            ("https://registry.example/v2/a/blobs/uploads/", "https://10.0.0.1/u", None),
            ("https://registry.example/v2/a/blobs/uploads/", "//evil.example/u", None),
            ("https://registry.example/v2/a/blobs/uploads/", "ftp://registry.example/u", None),
        ] {
            let asked: Url = asked.parse().expect("a URL");
            assert_eq!(own_location(&asked, location).ok().map(|url| url.in_full()).as_deref(), expected, "{location}");
        }
    }
}
