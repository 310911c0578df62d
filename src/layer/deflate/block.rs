//! Blocks: where they end, which type they get, and their bits.

use super::bits::{BitWriter, Carry, append};
use super::header::Header;
use super::huffman::Code;
use super::processor::{self, Work};
use super::stats::{Codes, Stats};
use super::symbol::{DIST_SYMBOLS, END_OF_BLOCK, LENGTH_BASE, LENGTH_EXTRA, LENGTH_SYMBOL, LITLEN_SYMBOLS, MIN_MATCH, dist_extra, dist_symbol};

/// Literal/length code words are kept to 14 bits, one less than allowed, so
/// that four of them fit in the bit buffer at once.
const LITLEN_LIMIT: usize = 14;
/// The limit of RFC 1951.
const DIST_LIMIT: usize = 15;

/// Sequences of one block, at most.
const CAPACITY: usize = 40_000;
/// Symbols of a segment.
const SEGMENT_SYMBOLS: u32 = 1024;
/// A sequence of that many literals has no match: longer runs are cut.
const FULL_RUN: usize = 511;

/// Some literals, then a match: the run of literals in the low 9 bits, then the
/// length less 3 in 8 bits and the distance less 1 in 15.
///
/// The literals themselves stay in the chunk.
#[derive(Clone, Copy)]
struct Sequence(u32);

impl Sequence {
    #[inline(always)]
    fn new(run: usize, length: usize, dist: u32) -> Self {
        Self(run as u32 | ((length - MIN_MATCH) as u32) << 9 | (dist - 1) << 17)
    }
    #[inline(always)]
    fn run(self) -> usize {
        (self.0 & 511) as usize
    }
    #[inline(always)]
    fn length_less_3(self) -> usize {
        (self.0 >> 9) as usize & 255
    }
    #[inline(always)]
    fn dist_less_1(self) -> u32 {
        self.0 >> 17
    }
}

/// The buffers of a [`BlockWriter`], to be used again.
pub(super) struct Scratch {
    sequences: Vec<Sequence>,
    codes: Codes,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { sequences: vec![Sequence(0); CAPACITY + 1], codes: Codes { litlen: Code::EMPTY, dist: Code::EMPTY } }
    }
}

/// Takes the sequences of a chunk, and writes them as blocks.
///
/// Sequences are collected in segments of some thousand symbols. Whenever a
/// segment is full, the entropy tells whether it is cheaper to add it to the
/// segments before it or to end the block in front of it.
pub(super) struct BlockWriter<'a> {
    chunk: &'a [u8],
    out: &'a mut Vec<u8>,
    carry: Carry,
    scratch: &'a mut Scratch,
    /// Sequences in the buffer, and those of them before the segment.
    count: usize,
    settled: usize,
    /// Where in the chunk the block starts, the segment, and the next sequence.
    block_at: usize,
    segment_at: usize,
    next_at: usize,
    /// Symbols of the segment.
    symbols: u32,
    segment: Stats,
    /// Statistics of the settled sequences, and their estimate.
    block: Stats,
    block_cost: u64,
}

impl<'a> BlockWriter<'a> {
    pub(super) fn new(chunk: &'a [u8], out: &'a mut Vec<u8>, scratch: &'a mut Scratch) -> Self {
        Self {
            chunk,
            out,
            carry: Carry::default(),
            scratch,
            count: 0,
            settled: 0,
            block_at: 0,
            segment_at: 0,
            next_at: 0,
            symbols: 0,
            segment: Stats::EMPTY,
            block: Stats::EMPTY,
            block_cost: 0,
        }
    }

    /// Takes the literals up to `at`, then a match.
    #[inline(always)]
    pub(super) fn push(&mut self, at: usize, length: usize, dist: u32) {
        let run = at - self.next_at;
        self.segment.lengths[usize::from(LENGTH_SYMBOL[(length - MIN_MATCH) & 255]) & 31] += 1;
        self.segment.dists[dist_symbol(dist - 1) & 31] += 1;
        self.scratch.sequences[self.count] = Sequence::new(run, length, dist);
        self.count += 1;
        self.symbols += run as u32 + 1;
        self.next_at = at + length;
        if self.symbols >= SEGMENT_SYMBOLS {
            self.end_segment();
        }
    }

    /// Takes the literals from `at` to before `end`, which follow those and the
    /// match taken before.
    #[inline(always)]
    pub(super) fn literals(&mut self, at: usize, end: usize) {
        debug_assert!(self.next_at <= at && at <= end);
        for &byte in &self.chunk[at..end] {
            self.segment.literals[usize::from(byte)] += 1;
        }
        if end - self.next_at >= FULL_RUN {
            self.full_run();
        }
    }

    #[inline(always)]
    pub(super) fn literal(&mut self, at: usize, byte: u8) {
        self.segment.literals[usize::from(byte)] += 1;
        if at + 1 - self.next_at >= FULL_RUN {
            self.full_run();
        }
    }

    /// How many literals may be taken at once.
    pub(super) fn room(&self, at: usize) -> usize {
        FULL_RUN - (at - self.next_at)
    }

    /// Makes a sequence of a full run of literals.
    #[cold]
    #[inline(never)]
    fn full_run(&mut self) {
        self.scratch.sequences[self.count] = Sequence(FULL_RUN as u32);
        self.count += 1;
        self.symbols += FULL_RUN as u32;
        self.next_at += FULL_RUN;
        if self.symbols >= SEGMENT_SYMBOLS {
            self.end_segment();
        }
    }

    /// Decides whether the segment belongs to the block before it.
    #[cold]
    #[inline(never)]
    fn end_segment(&mut self) {
        let cost = self.segment.estimate();
        if self.settled == 0 {
            self.block.clone_from(&self.segment);
            self.block_cost = cost;
        } else {
            let together = self.block.estimate_with(&self.segment);
            if together <= self.block_cost + cost {
                self.block.add(&self.segment);
                self.block_cost = together;
            } else {
                self.write_block(self.settled, self.segment_at);
                self.block.clone_from(&self.segment);
                self.block_cost = cost;
            }
        }
        self.settled = self.count;
        self.segment_at = self.next_at;
        self.segment = Stats::EMPTY;
        self.symbols = 0;
        // A segment has at most SEGMENT_SYMBOLS sequences.
        if self.settled > CAPACITY - SEGMENT_SYMBOLS as usize {
            self.write_block(self.settled, self.segment_at);
            self.settled = 0;
            self.block = Stats::EMPTY;
            self.block_cost = 0;
        }
    }

    /// Writes what is left, and the empty stored block that ends a chunk.
    pub(super) fn finish(mut self) {
        let end = self.chunk.len();
        if self.next_at < end {
            // The last literals have no match either: the block ends there.
            self.scratch.sequences[self.count] = Sequence((end - self.next_at) as u32);
            self.count += 1;
            self.symbols += 1;
            self.next_at = end;
        }
        if self.symbols > 0 {
            self.end_segment();
        }
        if self.settled > 0 {
            self.write_block(self.settled, end);
        }
        append(self.out, self.carry, 64, |bits| write_stored(bits, &[]));
    }

    /// Writes the first `count` sequences as a block of the cheapest type; the
    /// block ends before `end`.
    fn write_block(&mut self, count: usize, end: usize) {
        let bytes = &self.chunk[self.block_at..end];
        let stats = &self.block;
        let litlen = stats.litlen_freqs();
        let dist = stats.dist_freqs();
        let extra: u64 = (0..LENGTH_EXTRA.len()).map(|i| u64::from(stats.lengths[i]) * u64::from(LENGTH_EXTRA[i])).sum::<u64>()
            + (0..DIST_SYMBOLS).map(|i| u64::from(dist[i]) * u64::from(dist_extra(i))).sum::<u64>();

        let codes = &mut self.scratch.codes;
        codes.litlen.build(&litlen, LITLEN_LIMIT);
        codes.dist.build(&dist, DIST_LIMIT);
        let header = Header::new(&codes.litlen.lens, &codes.dist.lens);
        let dynamic = 3 + header.bits + codes.litlen.cost(&litlen) + codes.dist.cost(&dist) + extra;
        let fixed = 3 + fixed_cost(&litlen, &dist) + extra;
        let stored = stored_cost(bytes.len(), self.carry);

        let room = stored.min(fixed).min(dynamic);
        let sequences = &self.scratch.sequences[..count];
        self.carry = append(self.out, self.carry, room, |mut bits| {
            if stored == room {
                return write_stored(bits, bytes);
            }
            if fixed == room {
                bits.put(0b010, 3);
                set_fixed(codes);
            } else {
                bits.put(0b100, 3);
                header.write(&mut bits);
            }
            processor::run(Sequences { bits, bytes, sequences, codes })
        });

        self.scratch.sequences.copy_within(count..self.count, 0);
        self.count -= count;
        self.settled = 0;
        self.block_at = end;
    }
}

/// The most that one stored block holds.
const MAX_STORED: usize = 65535;

/// Bits that `len` stored bytes take.
fn stored_cost(len: usize, carry: Carry) -> u64 {
    let blocks = len.div_ceil(MAX_STORED).max(1) as u64;
    // Only the first block's type may share its byte with the block before.
    let first = u64::from((carry.count() + 3).next_multiple_of(8) - carry.count());
    first + 32 + (blocks - 1) * 40 + 8 * len as u64
}

/// Writes stored blocks; at least one, so an empty one for no bytes.
fn write_stored<'a>(mut bits: BitWriter<'a>, bytes: &[u8]) -> BitWriter<'a> {
    let mut rest = bytes;
    loop {
        let (part, more) = rest.split_at(rest.len().min(MAX_STORED));
        bits.put(0b000, 3);
        bits.align();
        bits.put(part.len() as u32, 16);
        bits.put(!part.len() as u32 & 0xffff, 16);
        bits.bytes(part);
        if more.is_empty() {
            return bits;
        }
        rest = more;
    }
}

/// Bits that the symbols take in a fixed block.
fn fixed_cost(litlen: &[u32; LITLEN_SYMBOLS], dist: &[u32; DIST_SYMBOLS]) -> u64 {
    let litlen = litlen.iter().enumerate();
    let dist = dist.iter().map(|&freq| 5 * u64::from(freq));
    litlen.map(|(symbol, &freq)| u64::from(fixed_len(symbol)) * u64::from(freq)).chain(dist).sum()
}

/// Length of a literal/length symbol's word in a fixed block.
fn fixed_len(symbol: usize) -> u8 {
    match symbol {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    }
}

/// Makes the codes those of a fixed block.
fn set_fixed(codes: &mut Codes) {
    // The two symbols that no data uses take part in the making of the code.
    let mut whole = Code::<{ LITLEN_SYMBOLS + 2 }>::EMPTY;
    whole.set_lens(&std::array::from_fn(fixed_len));
    codes.litlen.lens.copy_from_slice(&whole.lens[..LITLEN_SYMBOLS]);
    codes.litlen.words.copy_from_slice(&whole.words[..LITLEN_SYMBOLS]);
    let mut whole = Code::<{ DIST_SYMBOLS + 2 }>::EMPTY;
    whole.set_lens(&[5; DIST_SYMBOLS + 2]);
    codes.dist.lens.copy_from_slice(&whole.lens[..DIST_SYMBOLS]);
    codes.dist.words.copy_from_slice(&whole.words[..DIST_SYMBOLS]);
}

/// Code word in the low 24 bits, its length above.
#[inline(always)]
fn entry(word: u32, len: u32) -> u32 {
    word | len << 24
}

#[inline(always)]
fn add(bits: &mut BitWriter<'_>, entry: u32) {
    bits.add(u64::from(entry & 0xff_ffff), entry >> 24);
}

/// The sequences of a block, to be written.
struct Sequences<'a, 'b> {
    bits: BitWriter<'a>,
    bytes: &'b [u8],
    sequences: &'b [Sequence],
    codes: &'b Codes,
}

impl<'a> Work for Sequences<'a, '_> {
    type Output = BitWriter<'a>;

    #[inline(always)]
    fn work(self) -> BitWriter<'a> {
        write_sequences(self.bits, self.bytes, self.sequences, self.codes)
    }
}

/// Writes the sequences and the end of the block.
#[inline(always)]
fn write_sequences<'a>(bits: BitWriter<'a>, bytes: &[u8], sequences: &[Sequence], codes: &Codes) -> BitWriter<'a> {
    let (litlen, dist) = (&codes.litlen, &codes.dist);
    let mut literals = [0u32; 256];
    for (i, to) in literals.iter_mut().enumerate() {
        *to = entry(litlen.words[i].into(), litlen.lens[i].into());
    }
    // Each length, with the extra bits already in place.
    let mut lengths = [0u32; 256];
    for (length, to) in lengths.iter_mut().enumerate() {
        let symbol = usize::from(LENGTH_SYMBOL[length]);
        let word = u32::from(litlen.words[257 + symbol]);
        let len = u32::from(litlen.lens[257 + symbol]);
        let extra = length as u32 - u32::from(LENGTH_BASE[symbol]);
        *to = entry(word | extra << len, len + u32::from(LENGTH_EXTRA[symbol]));
    }
    let mut dists = [0u32; 32];
    for (i, to) in dists[..DIST_SYMBOLS].iter_mut().enumerate() {
        *to = entry(dist.words[i].into(), dist.lens[i].into());
    }

    let mut bits = bits.local();
    let mut rest = bytes;
    for &sequence in sequences {
        let run = sequence.run();
        let (mut literal, after) = rest.split_at(run);
        while let Some((four, more)) = literal.split_first_chunk::<4>()
            && !more.is_empty()
        {
            // At most 7 + 4 × 14 bits.
            for &byte in four {
                add(&mut bits, literals[usize::from(byte)]);
            }
            bits.flush();
            literal = more;
        }
        // 0 to 4 literals are left. Most runs are that short, and the length
        // of a run is hard to predict: so no branch may depend on it.
        if let Some(four) = rest.get(run - literal.len()..run - literal.len() + 4) {
            for (i, &byte) in four.iter().enumerate() {
                let mask = 0u32.wrapping_sub(u32::from(i < literal.len()));
                add(&mut bits, literals[usize::from(byte)] & mask);
            }
        } else {
            for &byte in literal {
                add(&mut bits, literals[usize::from(byte)]);
            }
        }
        bits.flush();
        if run == FULL_RUN || after.is_empty() {
            rest = after;
            continue;
        }
        // At most 7 + 14 + 5 + 15 + 13 bits.
        let length = sequence.length_less_3();
        add(&mut bits, lengths[length]);
        let less_1 = sequence.dist_less_1();
        let symbol = dist_symbol(less_1);
        add(&mut bits, dists[symbol & 31]);
        let extra = dist_extra(symbol);
        bits.add(u64::from(less_1 & ((1 << extra) - 1)), extra);
        bits.flush();
        rest = &after[length + MIN_MATCH..];
    }
    let end = entry(litlen.words[END_OF_BLOCK].into(), litlen.lens[END_OF_BLOCK].into());
    add(&mut bits, end);
    bits.flush();
    bits
}
