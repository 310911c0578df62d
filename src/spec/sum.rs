//! SHA-256 as 32 bytes, for whoever keeps many of them: a [`Digest`](super::Digest) takes four times as much memory.

use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sum(pub(super) [u8; 32]);

/// A running [`Sum`].
#[derive(Clone, Debug, Default)]
pub struct Summing(Sha256);

impl Sum {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Sum {
        Sum(Sha256::digest(bytes).into())
    }
}

impl Summing {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum of all bytes taken in.
    pub fn finish(self) -> Sum {
        Sum(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Digest;

    #[test]
    fn ops_07_a_sum_is_the_digest_of_the_same_bytes() {
        let mut summing = Summing::default();
        summing.update(b"hello ");
        summing.update(b"world");
        assert_eq!(summing.clone().finish(), Sum::of(b"hello world"));
        assert_eq!(Digest::from(summing.finish()), Digest::sha256(b"hello world"));
    }
}
