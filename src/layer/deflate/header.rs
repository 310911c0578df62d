//! The header of a dynamic block (RFC 1951, section 3.2.7).

use super::bits::BitWriter;
use super::huffman::Code;
use super::symbol::{DIST_SYMBOLS, LITLEN_SYMBOLS};

/// Symbols of the code length alphabet.
const SYMBOLS: usize = 19;
/// No code word of the code length code is longer.
const MAX_LEN: usize = 7;
/// The order in which the lengths of the code length code are sent.
const ORDER: [usize; SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Repeat the previous length 3 to 6 times.
const REPEAT: u8 = 16;
/// Repeat a length of zero 3 to 10 times.
const ZEROS: u8 = 17;
/// Repeat a length of zero 11 to 138 times.
const MANY_ZEROS: u8 = 18;

/// A header, ready to be written.
pub(super) struct Header {
    litlen_count: usize,
    dist_count: usize,
    /// Symbols of the code length alphabet, with the value of their extra bits.
    items: [(u8, u8); LITLEN_SYMBOLS + DIST_SYMBOLS],
    item_count: usize,
    code: Code<SYMBOLS>,
    /// How many lengths of the code length code are sent.
    sent: usize,
    /// The size of the header, without the three bits of the block's type.
    pub(super) bits: u64,
}

fn extra_bits(symbol: u8) -> u32 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

impl Header {
    pub(super) fn new(litlen: &[u8; LITLEN_SYMBOLS], dist: &[u8; DIST_SYMBOLS]) -> Self {
        let litlen_count = used(litlen).max(257);
        let dist_count = used(dist).max(1);
        let mut lens = [0; LITLEN_SYMBOLS + DIST_SYMBOLS];
        let count = litlen_count + dist_count;
        lens[..litlen_count].copy_from_slice(&litlen[..litlen_count]);
        lens[litlen_count..count].copy_from_slice(&dist[..dist_count]);

        let mut header = Self { litlen_count, dist_count, items: [(0, 0); LITLEN_SYMBOLS + DIST_SYMBOLS], item_count: 0, code: Code::EMPTY, sent: 0, bits: 0 };
        // Runs may cross from one alphabet to the other.
        for run in lens[..count].chunk_by(|a, b| a == b) {
            header.push_run(run[0], run.len());
        }

        let mut freqs = [0; SYMBOLS];
        for &(symbol, _) in &header.items[..header.item_count] {
            freqs[usize::from(symbol)] += 1;
        }
        header.code.build(&freqs, MAX_LEN);
        header.sent = SYMBOLS;
        while header.sent > 4 && header.code.lens[ORDER[header.sent - 1]] == 0 {
            header.sent -= 1;
        }
        let extra: u64 = (0u8..).zip(&freqs).map(|(symbol, &freq)| u64::from(freq) * u64::from(extra_bits(symbol))).sum();
        header.bits = 5 + 5 + 4 + 3 * header.sent as u64 + header.code.cost(&freqs) + extra;
        header
    }

    fn push_run(&mut self, len: u8, mut run: usize) {
        if len == 0 {
            while run >= 11 {
                let part = run.min(138);
                self.push(MANY_ZEROS, part - 11);
                run -= part;
            }
            if run >= 3 {
                self.push(ZEROS, run - 3);
                run = 0;
            }
        } else if run >= 4 {
            self.push(len, 0);
            run -= 1;
            while run >= 3 {
                let part = run.min(6);
                self.push(REPEAT, part - 3);
                run -= part;
            }
        }
        for _ in 0..run {
            self.push(len, 0);
        }
    }

    fn push(&mut self, symbol: u8, extra: usize) {
        self.items[self.item_count] = (symbol, extra as u8);
        self.item_count += 1;
    }

    pub(super) fn write(&self, out: &mut BitWriter<'_>) {
        out.put(self.litlen_count as u32 - 257, 5);
        out.put(self.dist_count as u32 - 1, 5);
        out.put(self.sent as u32 - 4, 4);
        for &symbol in &ORDER[..self.sent] {
            out.put(u32::from(self.code.lens[symbol]), 3);
        }
        for &(symbol, extra) in &self.items[..self.item_count] {
            let at = usize::from(symbol);
            out.put(self.code.words[at].into(), self.code.lens[at].into());
            out.put(extra.into(), extra_bits(symbol));
        }
    }
}

/// The number of lengths up to the last that is not zero.
fn used(lens: &[u8]) -> usize {
    lens.iter().rposition(|&len| len != 0).map_or(0, |i| i + 1)
}
