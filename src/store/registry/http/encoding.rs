//! Bodies that come compressed although nobody asked for that. What counts is what they decode to.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::spec::text;

use super::client::{Incoming, Reply};

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

/// The encoding of an answer. Fails with kind `unsupported` for others than gzip, and for more than one.
pub(crate) fn of(reply: &Reply<'_>) -> Result<Encoding> {
    match reply.header("content-encoding").map(str::trim) {
        None | Some("" | "identity") => Ok(Encoding::Identity),
        Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
        Some(other) => Err(Error::unsupported(format!("an answer is encoded as `{}`, which was not asked for", text::shown(other)))),
    }
}

/// A body of either kind.
pub(crate) enum Decoded<'a> {
    Identity(Incoming<'a>),
    Gzip(Box<MultiGzDecoder<Incoming<'a>>>),
}

impl<'a> Decoded<'a> {
    pub(crate) fn new(body: Incoming<'a>, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Decoded::Identity(body),
            Encoding::Gzip => Decoded::Gzip(Box::new(MultiGzDecoder::new(body))),
        }
    }
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoded::Identity(body) => body.read(buffer),
            Decoded::Gzip(body) => body.read(buffer),
        }
    }
}

/// A whole document of at most `limit` bytes. Fails with kind `corrupt` where it is longer.
pub(crate) fn document(reply: Reply<'_>, limit: usize) -> Result<Vec<u8>> {
    match of(&reply)? {
        Encoding::Identity => reply.bytes(limit),
        Encoding::Gzip => {
            let mut bytes = Vec::new();
            let read = Decoded::new(reply.into_body(), Encoding::Gzip).take(limit as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| Error::io("cannot decode an answer", error))?;
            match bytes.len() > limit {
                true => Err(Error::corrupt(format!("the answer goes on after {limit} bytes, which is the limit"))),
                false => Ok(bytes),
            }
        }
    }
}
