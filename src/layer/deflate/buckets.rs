//! The fast match finder: buckets of the last few positions.

use super::finder::{Effort, Finder, MULTIPLIER, Match, NOWHERE};
use super::symbol::MAX_DIST;
use super::window::Window;

/// Bits of the hash of 4 bytes.
const BITS: u32 = 14;
/// Inside a match every other position is inserted. What begins at the others is found one byte later, which makes the output a fifth of a per cent larger and
/// takes 5 % off the time; the larger table gives more than that fifth back.
const STRIDE: usize = 2;
/// One integer of a few positions, the newest in the low bits: so to insert one
/// is a shift, and none of them waits for the load of another. No wider than it
/// must be: the table competes with the window for the first-level cache.
pub(super) trait Bucket: Copy {
    /// How many positions there are.
    const WAYS: usize;
    /// Without positions.
    const EMPTY: Self;

    /// With a new position in the place of the oldest.
    fn with(self, position: u16) -> Self;

    /// The positions as the low bits of an integer.
    fn positions(self) -> u64;
}

impl Bucket for u16 {
    const WAYS: usize = 1;
    const EMPTY: Self = NOWHERE;

    #[inline(always)]
    fn with(self, position: u16) -> Self {
        position
    }

    #[inline(always)]
    fn positions(self) -> u64 {
        u64::from(self)
    }
}

impl Bucket for u32 {
    const WAYS: usize = 2;
    const EMPTY: Self = NOWHERE as u32 * 0x0001_0001;

    #[inline(always)]
    fn with(self, position: u16) -> Self {
        self << 16 | u32::from(position)
    }

    #[inline(always)]
    fn positions(self) -> u64 {
        u64::from(self)
    }
}

impl Bucket for u64 {
    const WAYS: usize = 4;
    const EMPTY: Self = NOWHERE as u64 * 0x0001_0001_0001_0001;

    #[inline(always)]
    fn with(self, position: u16) -> Self {
        self << 16 | u64::from(position)
    }

    #[inline(always)]
    fn positions(self) -> u64 {
        self
    }
}

/// The newest positions of each hash.
pub(super) struct Buckets<B> {
    buckets: [B; 1 << BITS],
}

impl<B: Bucket> Buckets<B> {
    pub(super) fn new() -> Self {
        Self { buckets: [B::EMPTY; 1 << BITS] }
    }
}

#[inline(always)]
fn hash(bytes: u32) -> usize {
    (bytes.wrapping_mul(MULTIPLIER) >> (32 - BITS)) as usize
}

impl<B: Bucket> Finder for Buckets<B> {
    fn start(&mut self) {
        self.buckets.fill(B::EMPTY);
    }

    #[inline(always)]
    fn find(&mut self, window: &Window, at: usize, longer_than: usize, effort: Effort) -> Match {
        let cur = at as u16;
        let here = window.load8(cur);
        let slot = &mut self.buckets[hash(here as u32)];
        let mut bucket = slot.positions();
        *slot = slot.with(cur);
        // Which candidate is best is hard to predict, so nothing branches on it:
        // the first 8 bytes of all are compared, and ties go to the newest.
        let mut best = Match { length: longer_than, dist: 0 };
        let mut seen = bucket;
        for _ in 0..B::WAYS {
            let this = seen as u16;
            seen >>= 16;
            let dist = u32::from(cur.wrapping_sub(this));
            let diff = here ^ window.load8(this);
            let length = (diff.trailing_zeros() >> 3) as usize;
            let reachable = dist.wrapping_sub(1) < MAX_DIST as u32;
            let better = reachable & (length > best.length) & (length > 3);
            best.length = if better { length } else { best.length };
            best.dist = if better { dist } else { best.dist };
        }
        if best.length < 8 || best.dist == 0 {
            return best;
        }
        best.length = window.extend(cur, cur.wrapping_sub(best.dist as u16), 8, effort.max);
        for _ in 1..B::WAYS {
            if best.length >= effort.nice {
                break;
            }
            bucket >>= 16;
            let this = bucket as u16;
            let dist = u32::from(cur.wrapping_sub(this));
            if dist.wrapping_sub(1) < MAX_DIST as u32 && here == window.load8(this) {
                let length = window.extend(cur, this, 8, effort.max);
                if length > best.length {
                    best = Match { length, dist };
                }
            }
        }
        best
    }

    #[inline(always)]
    fn insert(&mut self, window: &Window, at: usize, end: usize) {
        let mut at = at;
        while at < end {
            let cur = at as u16;
            let slot = &mut self.buckets[hash(window.load4(cur))];
            *slot = slot.with(cur);
            at += STRIDE;
        }
    }
}
