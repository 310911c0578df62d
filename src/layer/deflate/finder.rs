//! What match finders have in common.

use super::window::Window;

/// A match.
#[derive(Clone, Copy)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) dist: u32,
}

/// How hard to search.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// At most so many candidates are compared.
    pub(super) probes: u32,
    /// A match of that length is taken without a look at further candidates.
    pub(super) nice: usize,
    /// Farthest distance for a match of 3 bytes.
    pub(super) short_dist: u32,
    /// The longest match: not a constant here, lest the loop that compares be
    /// unrolled 32 times, with all its addresses computed up front.
    pub(super) max: usize,
}

/// A position that is never within reach, in tables of 16-bit positions that
/// start with it: in the first 32768 bytes it is always ahead, by less than
/// 65536 - 32768; and after them, it is the position of a byte like others.
pub(super) const NOWHERE: u16 = 0x7fff;

/// Multiplier of the hashes: 2^32 divided by the golden ratio.
pub(super) const MULTIPLIER: u32 = 0x9e37_79b1;

/// The farthest that positions may advance between two calls of
/// [`Finder::sweep`].
pub(super) const MAX_SWEEP: usize = 32766;

/// A match finder: it knows the positions that were inserted, and finds the
/// longest of the matches that start there.
///
/// Positions are given as they count in the chunk, and kept in 16 bits: see
/// [`Window`] for why that is safe.
pub(super) trait Finder {
    /// Forgets all positions.
    fn start(&mut self);

    /// Finds a match at `at` that is longer than `longer_than`, and inserts
    /// `at`. If there is none, the length is `longer_than` or less.
    fn find(&mut self, window: &Window, at: usize, longer_than: usize, effort: Effort) -> Match;

    /// Inserts the positions from `at` to before `end`.
    fn insert(&mut self, window: &Window, at: usize, end: usize);

    /// Drops positions out of reach. `gone` is how far positions advanced since
    /// the last call, or since the start.
    fn sweep(&mut self, _now: usize, _gone: usize) {}
}
