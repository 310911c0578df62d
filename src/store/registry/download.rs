//! Blobs on their way to us: a reader that goes on where it was when a connection breaks. Distribution specification, "Pulling blobs".
//!
//! Nothing is proved here but what headers claim; whoever reads proves size and digest of the whole, so that parts of different answers cannot pass for one blob.

use std::io::{self, Read};

use crate::error::{Error, ErrorKind, Result};
use crate::fsio::Mismatch;
use crate::spec::Descriptor;

use super::Registry;
use super::auth::Verb;
use super::http::client::{Call, Transfer};
use super::http::encoding::{self, Decoded, Encoding};
use super::http::header;
use super::rest::Method;

/// How much must have come between two failures so that they are not counted together.
const PROGRESS: u64 = 4 << 20;

/// What is read at once only to be skipped.
const SKIP: usize = 64 << 10;

/// Content of a blob from some byte on.
pub(super) struct BlobReader<'a> {
    registry: &'a Registry,
    descriptor: Descriptor,
    at: u64,
    body: Option<Decoded<'a>>,
    etag: Option<String>,
    /// How it came. Of what is encoded no part can be asked for.
    encoding: Encoding,
    failures: u32,
    /// Where the last failure was.
    failed_at: u64,
}

impl<'a> BlobReader<'a> {
    /// A reader that asks for the content when it is first read.
    pub(super) fn new(registry: &'a Registry, descriptor: &Descriptor, start: u64) -> Self {
        BlobReader { registry, descriptor: descriptor.clone(), at: start, body: None, etag: None, encoding: Encoding::Identity, failures: 0, failed_at: start }
    }

    /// Asks for the content now. Kinds: as [`Source::open`](crate::store::Source::open).
    pub(super) fn connect(&mut self) -> Result<()> {
        let (registry, digest) = (self.registry, &self.descriptor.digest);
        let path = format!("/{}/blobs/{digest}", registry.repository);
        let mut call = Call::new(Method::Get, registry.host.url(&path, None), registry.access(Verb::Pull));
        call.transfer = Transfer::Download;
        if self.at > 0 && self.encoding == Encoding::Identity {
            call = call.header("Range", format!("bytes={}-", self.at));
            if let Some(etag) = &self.etag {
                call = call.header("If-Range", etag.clone());
            }
        }
        let reply = registry.client.call(&registry.host, &mut call)?;
        let mut begins_at = 0;
        match reply.status {
            200 => {}
            206 => {
                let range = reply.header("content-range").and_then(header::content_range);
                let Some(range) = range.filter(|range| range.first <= self.at && range.total.is_none_or(|total| total == self.descriptor.size)) else {
                    return Err(Error::new(ErrorKind::Unavailable, format!("{} sent another part of {digest} than was asked for", registry.host.name)));
                };
                begins_at = range.first;
            }
            404 => return Err(Error::not_found(format!("blob {digest} is missing in {}", registry.shown())).subject(digest)),
            _ => return Err(reply.refusal(Method::Get, &call.url).into_error()),
        }
        let encoding = encoding::of(&reply)?;
        if reply.status == 206 && encoding != Encoding::Identity {
            return Err(Error::unsupported(format!("{} encodes a part of {digest}, which was not asked for", registry.host.name)));
        }
        self.encoding = encoding;
        if encoding == Encoding::Identity && reply.status == 200 && reply.length().is_some_and(|length| length != self.descriptor.size) {
            return Err(Mismatch::Size { actual: reply.length().unwrap_or_default(), expected: self.descriptor.size }.of(digest));
        }
        // A weak one does not say that bytes are the same.
        self.etag = reply.header("etag").filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let mut body = Decoded::new(reply.into_body(), encoding);
        skip(&mut body, self.at - begins_at).map_err(|error| Error::new(ErrorKind::Unavailable, "the connection failed").because(error))?;
        self.body = Some(body);
        Ok(())
    }

    /// Takes in a failure. Fails where there were too many.
    fn again(&mut self, error: Error) -> Result<()> {
        self.body = None;
        self.failures = if self.at >= self.failed_at + PROGRESS { 1 } else { self.failures + 1 };
        self.failed_at = self.at;
        let client = &self.registry.client;
        if self.failures as usize >= client.settings.patience.attempts.get() {
            let digest = &self.descriptor.digest;
            return Err(error.context(format!("cannot read {digest} from {} beyond byte {}", self.registry.shown(), self.at)).subject(digest));
        }
        client.pause(self.failures)
    }
}

/// Whether a failure while reading is worth another attempt.
fn is_passing(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}

fn skip(body: &mut impl Read, mut bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; SKIP];
    while bytes > 0 {
        let most = usize::try_from(bytes).unwrap_or(SKIP).min(SKIP);
        match body.read(&mut buffer[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes -= count as u64,
        }
    }
    Ok(())
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(body) = &mut self.body else {
                match self.connect() {
                    Ok(()) => {}
                    Err(error) if is_passing(&error) => self.again(error)?,
                    Err(error) => return Err(error.into()),
                }
                continue;
            };
            let error = match body.read(buffer) {
                Ok(0) if self.at < self.descriptor.size && !buffer.is_empty() => {
                    Error::new(ErrorKind::Unavailable, format!("the connection ended {} bytes early", self.descriptor.size - self.at))
                }
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) => match error.downcast::<Error>() {
                    Ok(own) => return Err(own.into()),
                    Err(error) => super::http::wire::Trouble::from(ureq::Error::from(error)).error,
                },
            };
            if !is_passing(&error) {
                return Err(error.into());
            }
            self.again(error)?;
        }
    }
}
