//! The window: the part of a chunk that matches are sought in.

use super::symbol::{MAX_DIST, MAX_MATCH};

/// Size of the ring: the reach of a 16-bit position.
const RING: usize = 1 << 16;
/// The first bytes of the ring stand behind its end again, so that a load of 8
/// bytes may start anywhere.
const MIRROR: usize = 8;
/// Bytes that are taken from the chunk at once.
const STEP: usize = 1 << 11;
/// Bytes behind the current position that stay readable: the longest match at
/// the position after the next, and one load.
const LOOKAHEAD: usize = 1024;

const _: () = assert!(MAX_DIST + STEP + 2 * LOOKAHEAD <= RING && LOOKAHEAD > 2 * MAX_MATCH + 16);

/// A ring buffer over a chunk, indexed by the low 16 bits of the position.
///
/// Copying a chunk through it costs about 1 % of the time. In return no index
/// into it can be out of bounds, which the compiler sees: match finding is free
/// of bounds checks without any `unsafe`. Nor do positions in the match finders'
/// tables ever need rebasing: a stale one just names another byte of the ring,
/// and whatever distance it gives is either too far or as good as any.
pub(super) struct Window {
    ring: [u8; RING + MIRROR],
    /// How much of the chunk was taken.
    filled: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { ring: [0; RING + MIRROR], filled: 0 }
    }

    /// Starts a new chunk.
    pub(super) fn start(&mut self) {
        self.filled = 0;
    }

    /// Makes the bytes at and behind `at` readable. Returns how far `at` may
    /// advance until this is to be called again.
    #[inline(never)]
    pub(super) fn advance(&mut self, chunk: &[u8], at: usize) -> usize {
        while at + LOOKAHEAD > self.filled {
            let from = self.filled.min(chunk.len());
            let part = &chunk[from..(self.filled + STEP).min(chunk.len()).max(from)];
            // STEP divides RING, so that a step never wraps around.
            let start = self.filled % RING;
            let space = &mut self.ring[start..start + STEP];
            let (bytes, rest) = space.split_at_mut(part.len());
            bytes.copy_from_slice(part);
            // Nothing may depend on the chunks before this one.
            rest.fill(0);
            if start == 0 {
                self.ring.copy_within(..MIRROR, RING);
            }
            self.filled += STEP;
        }
        self.filled - LOOKAHEAD + 1
    }

    #[inline(always)]
    pub(super) fn load1(&self, at: u16) -> u8 {
        self.ring[usize::from(at)]
    }
    /// The 8 bytes at a position.
    #[inline(always)]
    pub(super) fn load8(&self, at: u16) -> u64 {
        let at = usize::from(at);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.ring[at..at + 8]);
        u64::from_le_bytes(bytes)
    }

    /// The 4 bytes at a position.
    #[inline(always)]
    pub(super) fn load4(&self, at: u16) -> u32 {
        let at = usize::from(at);
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.ring[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    /// How many bytes at `a` and `b` are equal, given that the first `len` are;
    /// never more than [`MAX_MATCH`].
    #[inline(always)]
    pub(super) fn extend(&self, a: u16, b: u16, mut len: usize, max: usize) -> usize {
        while len < max {
            let diff = self.load8(a.wrapping_add(len as u16)) ^ self.load8(b.wrapping_add(len as u16));
            if diff != 0 {
                len += (diff.trailing_zeros() >> 3) as usize;
                break;
            }
            len += 8;
        }
        len.min(max)
    }
}
