//! The alphabets of RFC 1951, section 3.2.5: lengths and distances as symbols.

/// Symbols of the literal/length alphabet that may occur in data.
pub(super) const LITLEN_SYMBOLS: usize = 286;
/// Symbols of the distance alphabet that may occur in data.
pub(super) const DIST_SYMBOLS: usize = 30;
/// The literal/length symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The longest match.
pub(super) const MAX_MATCH: usize = 258;
/// The shortest match.
pub(super) const MIN_MATCH: usize = 3;
/// The farthest distance.
pub(super) const MAX_DIST: usize = 32768;

/// Number of length symbols: 257 to 285.
const LENGTH_SYMBOLS: usize = 29;

/// Extra bits of each length symbol.
pub(super) const LENGTH_EXTRA: [u8; LENGTH_SYMBOLS] = {
    let mut extra = [0; LENGTH_SYMBOLS];
    let mut i = 8;
    // The last symbol means 258 alone, and has no extra bits.
    while i < LENGTH_SYMBOLS - 1 {
        extra[i] = (i / 4 - 1) as u8;
        i += 1;
    }
    extra
};

/// `length - 3` of the shortest length of each length symbol.
pub(super) const LENGTH_BASE: [u8; LENGTH_SYMBOLS] = {
    let mut base = [0; LENGTH_SYMBOLS];
    let mut next = 0;
    let mut i = 0;
    while i < LENGTH_SYMBOLS - 1 {
        base[i] = next as u8;
        next += 1 << LENGTH_EXTRA[i];
        i += 1;
    }
    base[LENGTH_SYMBOLS - 1] = 255;
    base
};

/// Length symbol, less 257, of each `length - 3`.
pub(super) static LENGTH_SYMBOL: [u8; 256] = {
    let mut symbol = [0; 256];
    let mut i = 0;
    let mut length = 0;
    while length < 256 {
        while i + 1 < LENGTH_SYMBOLS && LENGTH_BASE[i + 1] as usize <= length {
            i += 1;
        }
        symbol[length] = i as u8;
        length += 1;
    }
    symbol
};

/// The distance symbol of `distance - 1`.
///
/// From 4 on, symbols come in pairs for each power of two: the position of the
/// highest bit picks the pair, the bit below it picks the symbol.
#[inline(always)]
pub(super) fn dist_symbol(dist_less_1: u32) -> usize {
    let high = 31 - (dist_less_1 | 2).leading_zeros();
    let symbol = 2 * high + ((dist_less_1 >> (high - 1)) & 1);
    // Symbols 0 and 1 have no highest bit to go by.
    (symbol - 2 * u32::from(dist_less_1 < 2)) as usize
}

/// Extra bits of a distance symbol.
#[inline(always)]
pub(super) fn dist_extra(symbol: usize) -> u32 {
    (symbol as u32 >> 1).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_symbols_are_those_of_the_rfc() {
        for (length, symbol) in [
            (3, 257),
            (10, 264),
            (11, 265),
            (12, 265),
            (13, 266),
            (18, 268),
            (19, 269),
            (34, 272),
            (35, 273),
            (66, 276),
            (67, 277),
            (130, 280),
            (131, 281),
            (227, 284),
            (257, 284),
            (258, 285),
        ] {
            assert_eq!(usize::from(LENGTH_SYMBOL[length - 3]) + 257, symbol);
        }
        assert_eq!(LENGTH_EXTRA[27], 5);
        assert_eq!(LENGTH_BASE[27], 227 - 3);
    }

    #[test]
    fn distance_symbols_are_those_of_the_rfc() {
        for (dist, symbol, extra) in [
            (1, 0, 0),
            (2, 1, 0),
            (3, 2, 0),
            (4, 3, 0),
            (5, 4, 1),
            (6, 4, 1),
            (7, 5, 1),
            (8, 5, 1),
            (9, 6, 2),
            (16384, 27, 12),
            (24576, 28, 13),
            (24577, 29, 13),
            (32768, 29, 13),
            (16385, 28, 13),
        ] {
            assert_eq!(dist_symbol(dist - 1), symbol, "{dist}");
            assert_eq!(dist_extra(symbol), extra);
        }
    }
}
