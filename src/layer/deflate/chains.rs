//! The thorough match finder: chains of positions.

use super::finder::{Effort, Finder, MAX_SWEEP, MULTIPLIER, Match, NOWHERE};
use super::symbol::MAX_DIST;
use super::window::Window;

/// Bits of the hash of 4 bytes.
const BITS: u32 = 16;
/// Bits of the hash of 3 bytes.
const SHORT_BITS: u32 = 14;

/// Positions whose 4 bytes have the same hash form a chain, from the newest to
/// the oldest. For matches of 3 bytes, only the last position is known.
///
/// All tables are one allocation, so that one register leads to all of them.
pub(super) struct Chains {
    /// The newest position of each chain.
    newest: [u16; 1 << BITS],
    /// For each position, the one before it in its chain.
    older: [u16; MAX_DIST],
    /// The newest position of each hash of 3 bytes.
    short: [u16; 1 << SHORT_BITS],
}

impl Chains {
    pub(super) fn new() -> Self {
        Self { newest: [NOWHERE; 1 << BITS], older: [NOWHERE; MAX_DIST], short: [NOWHERE; 1 << SHORT_BITS] }
    }
}

#[inline(always)]
fn hash(bytes: u32) -> usize {
    (bytes.wrapping_mul(MULTIPLIER) >> (32 - BITS)) as usize
}

#[inline(always)]
fn short_hash(bytes: u32) -> usize {
    ((bytes << 8).wrapping_mul(MULTIPLIER) >> (32 - SHORT_BITS)) as usize
}

impl Finder for Chains {
    fn start(&mut self) {
        self.newest.fill(NOWHERE);
        self.older.fill(NOWHERE);
        self.short.fill(NOWHERE);
    }

    #[inline(always)]
    fn find(&mut self, window: &Window, at: usize, longer_than: usize, effort: Effort) -> Match {
        let cur = at as u16;
        let here = window.load8(cur);
        let slot = &mut self.newest[hash(here as u32)];
        let mut candidate = *slot;
        *slot = cur;
        self.older[usize::from(cur) % MAX_DIST] = candidate;
        let slot = &mut self.short[short_hash(here as u32)];
        let short = *slot;
        *slot = cur;

        let mut best = Match { length: longer_than, dist: 0 };
        let mut probes = effort.probes;
        // How much farther back a position may be. Positions get older along a
        // chain; one that is out of reach shows as a gap wider than the room
        // left, for no gap is 65536 or more: see `sweep`.
        let mut room = MAX_DIST as u32;
        let mut this = cur;
        // The last 4 bytes of a match one longer than the best so far tell best
        // whether a candidate is better, and the first 4 as long as it is 3.
        let mut tail = (longer_than as u16).max(3) - 3;
        let mut wanted = window.load4(cur.wrapping_add(tail));
        loop {
            let gap = u32::from(this.wrapping_sub(candidate));
            if gap.wrapping_sub(1) >= room {
                break;
            }
            room -= gap;
            this = candidate;
            candidate = self.older[usize::from(this) % MAX_DIST];
            if window.load4(this.wrapping_add(tail)) == wanted {
                let diff = here ^ window.load8(this);
                let length = if diff == 0 { window.extend(cur, this, 8, effort.max) } else { (diff.trailing_zeros() >> 3) as usize };
                if length > best.length {
                    let dist = u32::from(cur.wrapping_sub(this));
                    best = Match { length, dist };
                    if length >= effort.nice {
                        return best;
                    }
                    tail = (length as u16).max(3) - 3;
                    wanted = window.load4(cur.wrapping_add(tail));
                }
            }
            probes -= 1;
            if probes == 0 {
                break;
            }
        }
        if best.length < 3 {
            let dist = u32::from(cur.wrapping_sub(short));
            if dist.wrapping_sub(1) < effort.short_dist && (here as u32 ^ window.load4(short)) << 8 == 0 {
                best = Match { length: 3, dist };
            }
        }
        best
    }

    /// The table for 3 bytes is left alone: what it could find within a match
    /// is hardly worth the time.
    #[inline(always)]
    fn insert(&mut self, window: &Window, at: usize, end: usize) {
        let mut at = at;
        while at < end {
            let cur = at as u16;
            let slot = &mut self.newest[hash(window.load4(cur))];
            self.older[usize::from(cur) % MAX_DIST] = *slot;
            *slot = cur;
            at += 1;
        }
    }

    /// Were it not for this, a position of long ago would look like a recent
    /// one when 16 bits wrap around, and lead into a chain of other strings.
    #[cold]
    #[inline(never)]
    fn sweep(&mut self, now: usize, gone: usize) {
        const OUT_OF_REACH: u16 = MAX_DIST as u16 + 1;
        let now = now as u16;
        if gone > MAX_SWEEP {
            self.newest.fill(now.wrapping_sub(OUT_OF_REACH));
            return;
        }
        for slot in &mut self.newest {
            let dist = now.wrapping_sub(*slot);
            // The lesser of the two, in a form that SSE2 has.
            let dist = dist - dist.saturating_sub(OUT_OF_REACH);
            *slot = now.wrapping_sub(dist);
        }
    }
}
