//! Length-limited Huffman codes.

/// The lengths and the bit-reversed code words of one alphabet.
pub(super) struct Code<const N: usize> {
    /// Length in bits of each symbol's code word; 0 for unused symbols.
    pub(super) lens: [u8; N],
    /// The code words, reversed: DEFLATE sends their most significant bit first.
    pub(super) words: [u16; N],
}

impl<const N: usize> Code<N> {
    /// No symbol has a code.
    pub(super) const EMPTY: Self = Self { lens: [0; N], words: [0; N] };

    /// Makes the code that is the best for `freqs`, or close to it where no
    /// code word may be longer than `limit` bits.
    ///
    /// At least two symbols get a code, used or not: RFC 1951 allows for
    /// incomplete distance codes, but some decoders have refused them.
    pub(super) fn build(&mut self, freqs: &[u32; N], limit: usize) {
        debug_assert!(limit <= 15 && N <= 512 && N <= 1 << limit);
        // Frequency above symbol: one unique key each, so any sort will do and
        // ties are always broken alike.
        let mut keys = [0u64; N];
        let mut used = 0;
        for (symbol, &freq) in freqs.iter().enumerate() {
            if freq != 0 {
                keys[used] = u64::from(freq) << 16 | symbol as u64;
                used += 1;
            }
        }
        let mut filler = 0;
        while used < 2 {
            if freqs[filler] == 0 {
                keys[used] = 1 << 16 | filler as u64;
                used += 1;
            }
            filler += 1;
        }
        let keys = &mut keys[..used];
        keys.sort_unstable();

        let mut weights = [0u32; N];
        for (weight, &key) in weights.iter_mut().zip(keys.iter()) {
            *weight = (key >> 16) as u32;
        }
        let depths = &mut weights[..used];
        minimum_redundancy(depths);

        let mut counts = [0u32; 16];
        for &depth in depths.iter() {
            counts[(depth as usize).min(limit)] += 1;
        }
        limit_lengths(&mut counts, limit);

        // The rarest symbols come first and get the longest words.
        self.lens = [0; N];
        let mut symbols = keys.iter();
        for len in (1..=limit).rev() {
            for &key in symbols.by_ref().take(counts[len] as usize) {
                self.lens[key as usize & 0xffff] = len as u8;
            }
        }
        self.assign_words(&counts);
    }

    /// Takes the given lengths, which must satisfy Kraft's equation.
    pub(super) fn set_lens(&mut self, lens: &[u8; N]) {
        self.lens = *lens;
        let mut counts = [0u32; 16];
        for &len in lens {
            counts[usize::from(len)] += 1;
        }
        self.assign_words(&counts);
    }

    /// Gives out the canonical code words (RFC 1951, section 3.2.2).
    fn assign_words(&mut self, counts: &[u32; 16]) {
        let mut next = [0u16; 16];
        let mut word = 0u32;
        for len in 1..16 {
            next[len] = word as u16;
            word = (word + counts[len]) << 1;
        }
        for (word, &len) in self.words.iter_mut().zip(&self.lens) {
            if len != 0 {
                let next = &mut next[usize::from(len)];
                *word = next.reverse_bits() >> (16 - u32::from(len));
                *next = next.wrapping_add(1);
            }
        }
    }

    /// Bits that symbols of these frequencies take in this code.
    pub(super) fn cost(&self, freqs: &[u32; N]) -> u64 {
        self.lens.iter().zip(freqs).map(|(&len, &freq)| u64::from(len) * u64::from(freq)).sum()
    }
}

/// Replaces weights, in ascending order, by the depths of their leaves in a
/// Huffman tree: the in-place method of Moffat and Katajainen ("In-place
/// calculation of minimum-redundancy codes", 1995).
fn minimum_redundancy(a: &mut [u32]) {
    let n = a.len();
    debug_assert!(n >= 2);
    // Pair the two lightest of leaves and inner nodes; an inner node's slot
    // holds its weight until it is paired itself, then its parent's index.
    let (mut leaf, mut root) = (0, 0);
    for next in 0..n - 1 {
        let mut take = |next: usize| {
            if leaf >= n || (root < next && a[root] < a[leaf]) {
                let weight = a[root];
                a[root] = next as u32;
                root += 1;
                weight
            } else {
                leaf += 1;
                a[leaf - 1]
            }
        };
        let first = take(next);
        let second = take(next);
        a[next] = first + second;
    }
    // Parents' indices to depths of inner nodes, from the root down.
    a[n - 2] = 0;
    for next in (0..n - 2).rev() {
        a[next] = a[a[next] as usize] + 1;
    }
    // Depths of inner nodes to depths of leaves: what a level has room for and
    // inner nodes do not take, leaves do.
    let (mut available, mut depth) = (1usize, 0);
    let (mut inner, mut slot) = (n - 1, n);
    while available > 0 {
        let mut taken = 0;
        while inner > 0 && a[inner - 1] == depth {
            taken += 1;
            inner -= 1;
        }
        for _ in taken..available {
            slot -= 1;
            a[slot] = depth;
        }
        available = 2 * taken;
        depth += 1;
    }
}

/// Repairs a code whose too long words were all cut to `limit` bits.
///
/// Cutting oversubscribes the code space. Each step makes one shorter word an
/// inner node, with itself and one of the words of `limit` bits below it, which
/// frees exactly one word of `limit` bits.
fn limit_lengths(counts: &mut [u32; 16], limit: usize) {
    let space = 1u32 << limit;
    let mut taken: u32 = (1..=limit).map(|len| counts[len] << (limit - len)).sum();
    while taken > space {
        let mut len = limit - 1;
        while counts[len] == 0 {
            len -= 1;
        }
        counts[len] -= 1;
        counts[len + 1] += 2;
        counts[limit] -= 1;
        taken -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kraft<const N: usize>(code: &Code<N>) -> u32 {
        code.lens.iter().filter(|&&len| len > 0).map(|&len| 1 << (15 - len)).sum()
    }

    #[test]
    fn fibonacci_frequencies_hit_the_limit_and_stay_complete() {
        let mut freqs = [0u32; 40];
        let (mut a, mut b) = (1, 1);
        for freq in &mut freqs {
            *freq = a;
            (a, b) = (b, a + b);
        }
        for limit in [6, 7, 9, 14, 15] {
            let mut code = Code::EMPTY;
            code.build(&freqs, limit);
            assert_eq!(usize::from(code.lens[0]), limit);
            // Forty symbols do not leave half of a code of 6 bits to one of them.
            assert!(code.lens[39] <= 2);
            assert_eq!(kraft(&code), 1 << 15);
            assert!(code.lens.is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn at_least_two_symbols_get_codes() {
        let mut code = Code::EMPTY;
        code.build(&[0u32; 30], 15);
        assert_eq!(code.lens[..3], [1, 1, 0]);
        let mut freqs = [0u32; 30];
        freqs[0] = 7;
        code.build(&freqs, 15);
        assert_eq!(code.lens[..3], [1, 1, 0]);
        freqs[0] = 0;
        freqs[29] = 7;
        code.build(&freqs, 15);
        assert_eq!((code.lens[0], code.lens[29]), (1, 1));
        assert_eq!(kraft(&code), 1 << 15);
    }

    #[test]
    fn lengths_are_optimal_where_the_limit_does_not_bind() {
        let freqs = [5u32, 9, 12, 13, 16, 45];
        let mut code = Code::EMPTY;
        code.build(&freqs, 15);
        assert_eq!(code.lens, [4, 4, 3, 3, 3, 1]);
        assert_eq!(code.cost(&freqs), 224);
    }

    #[test]
    fn words_are_canonical_and_reversed() {
        let mut code = Code::EMPTY;
        // The example of RFC 1951, section 3.2.2.
        code.set_lens(&[3, 3, 3, 3, 3, 2, 4, 4]);
        let words: Vec<u16> = code.words.iter().zip(&code.lens).map(|(word, &len)| word.reverse_bits() >> (16 - len)).collect();
        assert_eq!(words, [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]);
    }
}
