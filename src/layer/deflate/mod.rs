//! A DEFLATE encoder whose bytes belong to larder. RFC 1951.
//!
//! # Contract
//!
//! The output depends on the chunk and the level alone: not on earlier chunks, the processor, the number of threads or the version of a
//! library. Layers are named by the digest of these bytes, so whatever changes them, here or in the table of levels, changes the names of
//! everybody's layers: that is a breaking change, and the golden digests in the tests stand in its way.
//!
//! # Form
//!
//! A chunk becomes blocks that refer to nothing before it and are not final, then an empty stored block, so that it ends at a byte boundary.
//! Chunks can be joined in any number; an empty final block ends the stream. At the sizes that layers are cut into, independent
//! chunks cost less than a thousandth of the size.
//!
//! # How
//!
//! ```text
//! window   the last 32 KiB and what follows, in a ring whose index cannot leave it
//! buckets  fast match finder: the last few positions of each hash      } finder
//! chains   thorough match finder: all positions of each hash           }
//! parse    lazy matching: which of the matches are used
//! block    where a block ends, and whether it is stored, fixed or dynamic
//! huffman, header, symbol, stats, bits    codes, their description, and the bits
//! processor   which instructions the two loops that take the time are compiled to
//! ```
//!
//! No access is unchecked: positions are 16 bits and index tables of that size, so the compiler sees that nothing is out of bounds.

mod bits;
mod block;
mod buckets;
mod chains;
mod finder;
mod header;
mod huffman;
mod parse;
mod processor;
mod stats;
mod symbol;
#[cfg(test)]
mod tests;
mod window;

use block::{BlockWriter, Scratch};
use buckets::Buckets;
use chains::Chains;
use finder::{Effort, Finder};
use parse::{Parsing, parse};
use processor::Work;
use symbol::MAX_MATCH;
use window::Window;

use crate::error::{Error, Result};

/// Compresses chunks of one level, any number of them. Holds its tables, about a quarter of a megabyte, and the symbols of one block.
pub(super) struct Encoder {
    window: Box<Window>,
    finder: Finders,
    scratch: Scratch,
    parsing: Parsing,
}

enum Finders {
    One(Box<Buckets<u16>>),
    Two(Box<Buckets<u32>>),
    Four(Box<Buckets<u64>>),
    All(Box<Chains>),
}

/// What a level does, in the order of the fields of [`Row`].
///
/// Level 6 is made to be a little smaller than `gzip -6` and as fast as that allows, level 2 to be as large as what common builders of images write.
const LEVELS: [Row; 9] = [
    Row(4, 4, 32, 8, 1, 6),
    Row(4, 4, 48, 8, 1, 5),
    Row(4, 4, 32, 16, 1, 6),
    Row(6, 3, 32, 16, 1, 7),
    Row(9, 4, 32, 16, 1, 7),
    Row(14, 7, 48, 32, 1, 7),
    Row(32, 16, 64, 64, 2, 8),
    Row(100, 50, 130, 80, 2, 9),
    Row(600, 300, 258, 258, 2, 10),
];

/// Candidates compared at a new match (chains only), candidates compared at the position after one (chains only), a length that is good enough, a length
/// after which no better match is sought, positions that are looked at after a match, and 2 to what power bytes without a match lengthen the step.
#[derive(Clone, Copy)]
struct Row(u32, u32, usize, usize, u32, u32);

impl Encoder {
    /// An encoder for a level from 1, the fastest, to 9, the smallest. Others fail with kind `usage`.
    pub(super) fn new(level: u8) -> Result<Self> {
        let finder = match level {
            1 => Finders::One(Box::new(Buckets::new())),
            2 => Finders::Two(Box::new(Buckets::new())),
            3 => Finders::Four(Box::new(Buckets::new())),
            4..=9 => Finders::All(Box::new(Chains::new())),
            _ => return Err(Error::usage(format!("gzip has no level {level}")).hint("levels are 1 to 9")),
        };
        let row = LEVELS[usize::from(level) - 1];
        Ok(Encoder { window: Box::new(Window::new()), finder, scratch: Scratch::new(), parsing: parsing(row) })
    }

    /// Appends the compressed form of `chunk` to `out`.
    pub(super) fn encode_chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let Self { window, finder, scratch, parsing } = self;
        let mut blocks = BlockWriter::new(chunk, out, scratch);
        match finder {
            Finders::One(finder) => processor::run(Parse { chunk, window, finder: &mut **finder, parsing: *parsing, blocks: &mut blocks }),
            Finders::Two(finder) => processor::run(Parse { chunk, window, finder: &mut **finder, parsing: *parsing, blocks: &mut blocks }),
            Finders::Four(finder) => processor::run(Parse { chunk, window, finder: &mut **finder, parsing: *parsing, blocks: &mut blocks }),
            Finders::All(finder) => processor::run(Parse { chunk, window, finder: &mut **finder, parsing: *parsing, blocks: &mut blocks }),
        }
        blocks.finish();
    }
}

/// The parsing of a chunk.
struct Parse<'a, 'b, F> {
    chunk: &'a [u8],
    window: &'a mut Window,
    finder: &'a mut F,
    parsing: Parsing,
    blocks: &'a mut BlockWriter<'b>,
}

impl<F: Finder> Work for Parse<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn work(self) {
        parse(self.chunk, self.window, self.finder, self.parsing, self.blocks);
    }
}

fn parsing(Row(probes, later_probes, nice, good, looks, skip): Row) -> Parsing {
    /// Farther away, three bytes cost more as a match than as literals.
    const SHORT_DISTANCE: u32 = 4096;
    let first = Effort { probes, nice, short_dist: SHORT_DISTANCE, max: MAX_MATCH };
    Parsing { first, again: Effort { probes: later_probes, ..first }, good, twice: looks == 2, skip }
}
