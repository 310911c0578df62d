//! Where a layer is cut into chunks.
//!
//! Cuts fall on boundaries of tar entries chosen by the entry's own path, never by a counter over the whole stream. A file that is added,
//! removed or changed therefore moves the cuts around it only: a little later the old chunks come back, byte for byte, and their compressed form
//! can be taken over from an earlier layer. Large files have chunks of their own, cut at fixed distances from their start.
//!
//! The rules are part of the byte contract: a change here changes every digest that larder makes.

use super::codec::Codec;

/// Names the rules below and both encoders' versions.
pub(super) const CONTRACT: &str = "2";

/// One path in this many may end a chunk early.
const CUT_MASK: u64 = 15;

/// The sizes that decide cuts, in bytes of tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cutter {
    /// Below this no cut is made between small files.
    min: usize,
    /// From here on the next entry boundary is a cut.
    enough: usize,
    /// Files of this size or more stand in chunks of their own.
    large: u64,
    /// The length of the pieces of a large file, the first one with the header.
    pub(super) piece: usize,
}

impl Cutter {
    /// The sizes for a codec: DEFLATE looks back 32 KiB, so small chunks cost nothing; zstd frames want more.
    pub(super) fn of(codec: Codec) -> Self {
        const KIB: usize = 1024;
        match codec {
            Codec::None | Codec::Gzip(_) => Cutter { min: 256 * KIB, enough: 768 * KIB, large: 512 * 1024, piece: 1024 * KIB },
            Codec::Zstd(_) => Cutter { min: 1024 * KIB, enough: 3072 * KIB, large: 2048 * 1024, piece: 4096 * KIB },
        }
    }

    /// No chunk is longer than this.
    pub(super) fn max(self) -> usize {
        // A small file may begin just below `enough`; its headers are small beside this allowance.
        self.enough + usize::try_from(self.large).unwrap_or(usize::MAX / 2) + 64 * 1024
    }

    /// Whether an entry of this size fills chunks of its own.
    pub(super) fn is_large(self, size: u64) -> bool {
        size >= self.large
    }

    /// Whether a chunk that holds `filled` bytes ends before the entry at `path` of `size` bytes of content.
    pub(super) fn cuts_before(self, filled: usize, path: &[u8], size: u64) -> bool {
        filled > 0 && (self.is_large(size) || filled >= self.enough || (filled >= self.min && hash(path) & CUT_MASK == 0))
    }
}

/// FNV-1a, 64 bits, folded: part of the contract, so it is spelled out here.
fn hash(bytes: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325 ^ 0xcbf2_9ce4);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c ^ 0xaf63_dc4c);
    }

    #[test]
    fn cuts_depend_on_the_path_between_min_and_enough() {
        let cutter = Cutter::of(Codec::Gzip(6));
        let paths: Vec<String> = (0..1000).map(|n| format!("usr/lib/{n}")).collect();
        let cuts = paths.iter().filter(|p| cutter.cuts_before(300 * 1024, p.as_bytes(), 10)).count();
        assert!((30..100).contains(&cuts), "about one in sixteen, got {cuts}");
        assert!(paths.iter().all(|p| !cutter.cuts_before(200 * 1024, p.as_bytes(), 10)));
        assert!(paths.iter().all(|p| cutter.cuts_before(800 * 1024, p.as_bytes(), 10)));
        assert!(cutter.cuts_before(1, b"x", 512 * 1024));
        assert!(!cutter.cuts_before(0, b"x", 512 * 1024));
    }
}
