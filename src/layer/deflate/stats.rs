//! Symbol statistics, and what they say about the size of a block.

use super::huffman::Code;
use super::symbol::{DIST_SYMBOLS, END_OF_BLOCK, LITLEN_SYMBOLS};

/// How often each symbol occurs.
///
/// The literal/length alphabet is kept in two arrays, so that each can be
/// indexed without a bounds check: by a byte, and by 5 bits.
#[derive(Clone)]
pub(super) struct Stats {
    pub(super) literals: [u32; 256],
    pub(super) lengths: [u32; 32],
    pub(super) dists: [u32; 32],
}

impl Stats {
    pub(super) const EMPTY: Self = Self { literals: [0; 256], lengths: [0; 32], dists: [0; 32] };

    /// The frequencies as [`Code::build`] takes them; a block has one end.
    pub(super) fn litlen_freqs(&self) -> [u32; LITLEN_SYMBOLS] {
        let mut freqs = [0; LITLEN_SYMBOLS];
        let (literals, rest) = freqs.split_at_mut(END_OF_BLOCK);
        literals.copy_from_slice(&self.literals);
        rest[0] = 1;
        let lengths = &mut rest[1..];
        lengths.copy_from_slice(&self.lengths[..lengths.len()]);
        freqs
    }

    /// The frequencies of the distance symbols.
    pub(super) fn dist_freqs(&self) -> [u32; DIST_SYMBOLS] {
        let mut freqs = [0; DIST_SYMBOLS];
        freqs.copy_from_slice(&self.dists[..DIST_SYMBOLS]);
        freqs
    }

    /// Adds the counts of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [(&mut self.literals[..], &other.literals[..]), (&mut self.lengths[..], &other.lengths[..]), (&mut self.dists[..], &other.dists[..])];
        for (to, from) in pairs {
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
    }

    /// Estimates what a block of these symbols costs: their entropy and the header, in units of 1 / [`ONE_BIT`] bit. Extra bits are left out.
    pub(super) fn estimate(&self) -> u64 {
        self.estimate_with(&Self::EMPTY)
    }

    /// As [`estimate`](Self::estimate), for the symbols of both.
    #[inline(never)]
    pub(super) fn estimate_with(&self, more: &Self) -> u64 {
        let literals = Mass::of(&self.literals, &more.literals);
        let lengths = Mass::of(&self.lengths, &more.lengths);
        let dists = Mass::of(&self.dists, &more.dists);
        let litlen = literals.total + lengths.total;
        let symbols = u64::from(literals.used + lengths.used + dists.used);
        let bits = (n_log2_n(litlen) - literals.n_log2_n - lengths.n_log2_n) + (n_log2_n(dists.total) - dists.n_log2_n);
        bits + (HEADER_BITS + symbols * HEADER_BITS_PER_SYMBOL) * ONE_BIT
    }
}

/// Fixed-point scale of estimates.
const ONE_BIT: u64 = 1 << LOG_BITS;
const LOG_BITS: u32 = 12;

/// Rough size of a dynamic block's header: the fixed part with the code length
/// code, and what one more used symbol adds.
const HEADER_BITS: u64 = 60;
const HEADER_BITS_PER_SYMBOL: u64 = 4;

/// Sums over one alphabet.
struct Mass {
    total: u32,
    used: u32,
    n_log2_n: u64,
}

impl Mass {
    fn of(freqs: &[u32], more: &[u32]) -> Self {
        let mut mass = Self { total: 0, used: 0, n_log2_n: 0 };
        for (&freq, &more) in freqs.iter().zip(more) {
            let freq = freq + more;
            mass.total += freq;
            mass.used += u32::from(freq != 0);
            mass.n_log2_n += n_log2_n(freq);
        }
        mass
    }
}

/// Precision of [`LOG2`], in bits.
const MANTISSA_BITS: u32 = 8;

/// log2(1 + i / 2^MANTISSA_BITS) in fixed point: integers only, for the bytes
/// of the output depend on it.
static LOG2: [u16; 1 << MANTISSA_BITS] = {
    let mut table = [0; 1 << MANTISSA_BITS];
    let mut i = 0;
    while i < table.len() {
        // Squaring a number in [1, 2) gives the bits of its logarithm.
        let mut x = (1u64 << 31) + ((i as u64) << (31 - MANTISSA_BITS));
        let mut log = 0u16;
        let mut bit = 0;
        while bit < LOG_BITS {
            x = (x * x) >> 31;
            log <<= 1;
            if x >> 32 != 0 {
                x >>= 1;
                log |= 1;
            }
            bit += 1;
        }
        table[i] = log;
        i += 1;
    }
    table
};

/// log2 of `n > 0`, in fixed point.
#[inline(always)]
const fn log2(n: u32) -> u64 {
    let zeros = n.leading_zeros();
    let mantissa = (n << zeros) >> (31 - MANTISSA_BITS);
    let fraction = LOG2[mantissa as usize & ((1 << MANTISSA_BITS) - 1)];
    (31 - zeros) as u64 * ONE_BIT + fraction as u64
}

/// n × log2(n), in fixed point; 0 for 0.
#[inline(always)]
fn n_log2_n(n: u32) -> u64 {
    match N_LOG2_N.get(n as usize) {
        Some(&product) => u64::from(product),
        None => u64::from(n) * log2(n),
    }
}

/// [`n_log2_n`] of small numbers.
static N_LOG2_N: [u32; 512] = {
    let mut table = [0; 512];
    let mut n = 1;
    while n < table.len() {
        table[n] = (n as u64 * log2(n as u32)) as u32;
        n += 1;
    }
    table
};

/// The two codes of a block, in the form that emission takes.
pub(super) struct Codes {
    pub(super) litlen: Code<LITLEN_SYMBOLS>,
    pub(super) dist: Code<DIST_SYMBOLS>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close() {
        for n in (1..5000).chain([65535, 65536, 1 << 20, (1 << 24) - 1]) {
            let exact = f64::from(n).log2();
            let got = log2(n) as f64 / ONE_BIT as f64;
            assert!(exact >= got - 1e-9 && exact - got < 0.006, "{n}: {got}");
        }
    }
}
