//! Reading content that must be what its digest says.

use std::fmt;
use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::spec::{Digest, Hasher};

/// How content differs from its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It has another number of bytes.
    Size {
        /// What it has.
        actual: u64,
        /// What its descriptor says.
        expected: u64,
    },
    /// It goes on after the bytes it should have.
    Longer {
        /// What its descriptor says.
        expected: u64,
    },
    /// Its bytes are others.
    Digest {
        /// The digest that it has.
        actual: Digest,
    },
}

impl Mismatch {
    /// The error of kind `corrupt` for the content that should have `digest`; this mismatch is its cause.
    pub fn of(self, digest: &Digest) -> Error {
        Error::corrupt(format!("content of {digest} is damaged")).subject(digest).because(self)
    }

    /// The mismatch that `error` is about, where it is about one.
    pub fn in_error(error: &Error) -> Option<&Mismatch> {
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            if let Some(mismatch) = cause.downcast_ref() {
                return Some(mismatch);
            }
            next = cause.source();
        }
        None
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Size { actual, expected } => write!(f, "it has {actual} bytes, its descriptor says {expected}"),
            Mismatch::Longer { expected } => write!(f, "it goes on after the {expected} bytes that its descriptor says"),
            Mismatch::Digest { actual } => write!(f, "its digest is {actual}"),
        }
    }
}

impl std::error::Error for Mismatch {}

/// A reader that proves what passes through it: exactly `size` bytes with exactly this digest.
///
/// The proof ends with the last byte: the read that would deliver it fails instead where the digest differs, and a read after it fails where the
/// content goes on. Whoever stops earlier has proved nothing; [`drain`](Self::drain) reads the rest. Memory does not depend on the size.
/// Errors of the content are of kind `corrupt`; [`Error::io`] takes them out of the [`io::Error`] they travel in.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    digest: Digest,
    size: u64,
    seen: u64,
    state: State,
}

enum State {
    Reading(Box<Hasher>),
    /// The digest is right; whether the content ends here is not yet known.
    Complete,
    Ended,
    Failed(Mismatch),
}

impl<R: Read> VerifyingReader<R> {
    /// Fails with kind `unsupported` where the digest's algorithm cannot be computed.
    pub fn new(inner: R, digest: Digest, size: u64) -> Result<Self> {
        let hasher = digest.algorithm().hasher()?;
        Ok(VerifyingReader { inner, digest, size, seen: 0, state: State::Reading(Box::new(hasher)) })
    }

    /// The size in bytes that the content must have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads to the end without keeping anything.
    pub fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(format!("cannot read {}", self.digest), error)),
            }
        }
    }

    /// Everything, verified. Fails with kind `corrupt` when the content is larger than `limit` bytes.
    pub fn read_to_vec(mut self, limit: usize) -> Result<Vec<u8>> {
        if self.size > limit as u64 {
            return Err(Error::corrupt(format!("{} has {} bytes, more than the limit of {limit} bytes", self.digest, self.size)).subject(&self.digest));
        }
        let mut bytes = Vec::new();
        // `read_to_end` grows with what arrives, not with what was announced.
        Read::read_to_end(&mut self, &mut bytes).map_err(|error| Error::io(format!("cannot read {}", self.digest), error))?;
        Ok(bytes)
    }

    fn fail(&mut self, mismatch: Mismatch) -> io::Error {
        self.state = State::Failed(mismatch.clone());
        mismatch.of(&self.digest).into()
    }

    fn finish(&mut self) -> io::Result<()> {
        if let State::Reading(hasher) = std::mem::replace(&mut self.state, State::Complete) {
            let actual = hasher.finish();
            if actual != self.digest {
                return Err(self.fail(Mismatch::Digest { actual }));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.size == 0 && self.seen == 0 {
            self.finish()?;
        }
        match &mut self.state {
            State::Failed(mismatch) => Err(mismatch.clone().of(&self.digest).into()),
            State::Ended => Ok(0),
            State::Complete => {
                if self.inner.read(&mut [0])? == 0 {
                    self.state = State::Ended;
                    return Ok(0);
                }
                Err(self.fail(Mismatch::Longer { expected: self.size }))
            }
            State::Reading(hasher) => {
                let want = usize::try_from(self.size - self.seen).unwrap_or(usize::MAX).min(buffer.len());
                let count = self.inner.read(&mut buffer[..want])?;
                if count == 0 {
                    return Err(self.fail(Mismatch::Size { actual: self.seen, expected: self.size }));
                }
                hasher.update(&buffer[..count]);
                self.seen += count as u64;
                if self.seen == self.size {
                    self.finish()?;
                }
                Ok(count)
            }
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Reading(_) => "Reading",
            State::Complete => "Complete",
            State::Ended => "Ended",
            State::Failed(_) => "Failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const LIMIT: usize = 1 << 20;

    fn read(content: &[u8], claimed: &[u8], size: u64) -> Result<Vec<u8>> {
        VerifyingReader::new(content, Digest::sha256(claimed), size).expect("computable").read_to_vec(LIMIT)
    }

    #[test]
    fn lay_22_good_content_passes_and_so_does_none() {
        assert_eq!(read(b"abc", b"abc", 3).expect("good"), b"abc");
        assert_eq!(read(b"", b"", 0).expect("good"), b"");
    }

    #[test]
    fn lay_18_and_32_wrong_size_or_bytes_are_corrupt_and_both_are_named() {
        let digest = |bytes: &[u8]| Mismatch::Digest { actual: Digest::sha256(bytes) };
        for (content, size, mismatch) in [
            (&b"abc"[..], 2, digest(b"ab")),
            (b"abc", 4, Mismatch::Size { actual: 3, expected: 4 }),
            (b"abd", 3, digest(b"abd")),
            (b"abcd", 3, Mismatch::Longer { expected: 3 }),
            (b"", 3, Mismatch::Size { actual: 0, expected: 3 }),
            (b"a", 0, digest(b"")),
        ] {
            let error = read(content, b"abc", size).expect_err("damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(Mismatch::in_error(&error), Some(&mismatch));
            assert_eq!(error.causes().last(), Some(&mismatch.to_string()));
        }
    }

    #[test]
    fn the_last_byte_is_never_delivered_unproved() {
        let mut reader = VerifyingReader::new(&b"abd"[..], Digest::sha256(b"abc"), 3).expect("computable");
        let mut buffer = [0; 2];
        assert_eq!(reader.read(&mut buffer).expect("not the last"), 2);
        assert!(reader.read(&mut buffer).is_err());
        assert!(reader.read(&mut buffer).is_err(), "it stays failed");
    }

    #[test]
    fn lay_20_an_announced_size_allocates_nothing() {
        let reader = VerifyingReader::new(&b"abc"[..], Digest::sha256(b"abc"), u64::MAX).expect("computable");
        assert_eq!(reader.read_to_vec(usize::MAX).expect_err("short").kind(), ErrorKind::Corrupt);
        assert_eq!(read(b"abc", b"abc", LIMIT as u64 + 1).expect_err("limit").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn lay_61_reading_stops_one_byte_after_the_size() {
        let mut endless = VerifyingReader::new(io::repeat(0), Digest::sha256(&[0; 10]), 10).expect("computable");
        assert!(endless.drain().is_err());
    }

    #[test]
    fn cra_11_an_error_of_the_device_is_not_corruption() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(5))
            }
        }
        let error = VerifyingReader::new(Broken, Digest::sha256(b""), 5).expect("computable").read_to_vec(LIMIT).expect_err("EIO");
        assert_eq!(error.kind(), ErrorKind::Io);
    }

    #[test]
    fn lay_31_an_unknown_algorithm_is_refused_by_name() {
        let digest: Digest = "foo256:abc".parse().expect("valid");
        assert_eq!(VerifyingReader::new(io::empty(), digest, 0).expect_err("unknown").kind(), ErrorKind::Unsupported);
    }
}
