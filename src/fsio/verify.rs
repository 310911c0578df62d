//! Reading content that must be what its digest says.

use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::spec::{Digest, Hasher};

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
    Failed,
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

    fn fail(&mut self, message: String) -> io::Error {
        self.state = State::Failed;
        Error::corrupt(message).subject(&self.digest).into()
    }

    fn finish(&mut self) -> io::Result<()> {
        if let State::Reading(hasher) = std::mem::replace(&mut self.state, State::Complete) {
            let actual = hasher.finish();
            if actual != self.digest {
                return Err(self.fail(format!("content is damaged: its digest is {actual}, expected {}", self.digest)));
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
            State::Failed => Err(Error::corrupt(format!("content of {} was found damaged before", self.digest)).subject(&self.digest).into()),
            State::Ended => Ok(0),
            State::Complete => {
                if self.inner.read(&mut [0])? == 0 {
                    self.state = State::Ended;
                    return Ok(0);
                }
                Err(self.fail(format!("content of {} goes on after its {} bytes", self.digest, self.size)))
            }
            State::Reading(hasher) => {
                let want = usize::try_from(self.size - self.seen).unwrap_or(usize::MAX).min(buffer.len());
                let count = self.inner.read(&mut buffer[..want])?;
                if count == 0 {
                    return Err(self.fail(format!("content of {} ends after {} of {} bytes", self.digest, self.seen, self.size)));
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
            State::Failed => "Failed",
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
        for (content, size, words) in [
            (&b"abc"[..], 2, &["damaged", "expected sha256:"][..]),
            (b"abc", 4, &["ends after 3 of 4 bytes"]),
            (b"abd", 3, &["damaged"]),
            (b"abcd", 3, &["goes on after its 3 bytes"]),
            (b"", 3, &["ends after 0 of 3"]),
            (b"a", 0, &["damaged"]),
        ] {
            let error = read(content, b"abc", size).expect_err("damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(words.iter().all(|word| error.causes()[0].contains(word)), "{:?}", error.causes());
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
