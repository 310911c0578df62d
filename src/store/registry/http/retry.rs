//! When to try again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::registry::settings::Patience;

/// Whether a status means that the same request may succeed later.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Makes waiting times that differ between threads and between runs, so that what failed together does not come back together.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(AtomicU64::new(seed))
    }

    /// How long to wait before the attempt after number `attempt`, which counts from 1: between half and all of a time that doubles.
    pub(crate) fn wait(&self, patience: &Patience, attempt: u32) -> Duration {
        let whole = patience.first_wait.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(patience.longest_wait);
        let thousandths = 500 + self.throw() % 501;
        whole.saturating_mul(u32::try_from(thousandths).unwrap_or(1000)) / 1000
    }

    /// SplitMix64, by Sebastiano Vigna.
    fn throw(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_differ_and_have_a_limit() {
        let patience = Patience::default();
        let (dice, other) = (Dice::new(1), Dice::new(2));
        let waits: Vec<Duration> = (1..40).map(|attempt| dice.wait(&patience, attempt)).collect();
        for (attempt, wait) in (0..).zip(&waits) {
            let whole = patience.first_wait.saturating_mul(2_u32.saturating_pow(attempt)).min(patience.longest_wait);
            assert!(*wait >= whole / 2 && *wait <= whole, "{attempt}: {wait:?}");
        }
        assert_ne!(waits, (1..40).map(|attempt| other.wait(&patience, attempt)).collect::<Vec<_>>());
    }
}
