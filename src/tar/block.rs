//! One header block: where its fields are and how numbers stand in them.

use std::ops::Range;

use super::BLOCK;

pub(super) type Block = [u8; BLOCK];

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const CHECKSUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;
/// Access and change time of the GNU format, where ustar has the prefix.
pub(super) const GNU_TIMES: [Range<usize>; 2] = [345..357, 357..369];
/// What the GNU format says of sparse files: where their pieces are, whether more of them follow, and their size.
pub(super) const GNU_SPARSE: Range<usize> = 386..495;
/// Holds `tar\0` in the star formats, whose prefix is shorter.
pub(super) const STAR_TRAILER: Range<usize> = 508..512;

pub(super) const USTAR: &[u8; 8] = b"ustar\x0000";
pub(super) const GNU: &[u8; 8] = b"ustar  \0";
pub(super) const V7: &[u8; 8] = b"\0\0\0\0\0\0\0\0";

/// The largest number that `field` holds as octal digits with a NUL behind them.
pub(super) const fn octal_max(field: &Range<usize>) -> u64 {
    (1 << (3 * (field.end - field.start - 1))) - 1
}

/// Writes octal digits that fill the field up to the NUL at its end. `value` must not be larger than [`octal_max`].
pub(super) fn put_octal(block: &mut Block, field: &Range<usize>, mut value: u64) {
    debug_assert!(value <= octal_max(field));
    let digits = &mut block[field.start..field.end - 1];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value & 7).to_le_bytes()[0];
        value >>= 3;
    }
}

/// Writes the checksum, which must come last.
pub(super) fn seal(block: &mut Block) {
    block[CHECKSUM].fill(b' ');
    let sum = checksums(block).0;
    // Six digits, NUL, space: the sum of 512 bytes needs no more.
    put_octal(block, &(CHECKSUM.start..CHECKSUM.end - 1), sum.into());
    block[CHECKSUM.end - 2] = 0;
}

/// The sum of all bytes taken as unsigned and as signed numbers, the checksum field taken as spaces. Historic writers used signed ones.
pub(super) fn checksums(block: &Block) -> (u32, i32) {
    let mut unsigned = 0;
    let mut signed = 0;
    for (index, byte) in block.iter().enumerate() {
        let byte = if CHECKSUM.contains(&index) { b' ' } else { *byte };
        unsigned += u32::from(byte);
        signed += i32::from(byte.cast_signed());
    }
    (unsigned, signed)
}

/// Why a numeric field is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadNumber {
    /// There is none.
    Blank,
    /// It is neither octal digits nor a base-256 number.
    Garbage,
    /// It needs more than 64 bits.
    Large,
}

/// Reads octal digits, with spaces before them and spaces or NULs behind them.
pub(super) fn octal(field: &[u8]) -> Result<u64, BadNumber> {
    let begin = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = field[begin..].iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, rest) = field[begin..].split_at(digits);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Err(BadNumber::Garbage);
    }
    if digits.is_empty() {
        return Err(BadNumber::Blank);
    }
    // The longest field has twelve digits: 36 bits.
    Ok(digits.iter().fold(0, |value, digit| value * 8 + u64::from(digit - b'0')))
}

/// Reads octal digits, or a base-256 number as GNU tar writes what octal digits cannot hold.
pub(super) fn number(field: &[u8]) -> Result<i64, BadNumber> {
    let negative = match field.first() {
        Some(0x80) => false,
        Some(0xff) => true,
        Some(0..=0x7f) => return octal(field)?.try_into().map_err(|_| BadNumber::Large),
        _ => return Err(BadNumber::Garbage),
    };
    let value = field[1..].iter().fold(if negative { -1 } else { 0 }, |value: i128, byte| value << 8 | i128::from(*byte));
    i64::try_from(value).map_err(|_| BadNumber::Large)
}

/// The text of a field up to its first NUL, or none when something stands behind the NUL.
pub(super) fn text(field: &[u8]) -> Option<&[u8]> {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field[length..].iter().all(|byte| *byte == 0).then_some(&field[..length])
}
