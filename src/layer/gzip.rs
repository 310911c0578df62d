//! The frame around the DEFLATE chunks of a gzip layer. RFC 1952.
//!
//! One member for the whole layer, because several readers stop after the first. Nothing in the frame depends on the machine:
//! no name, no time, operating system "unknown".

/// What stands before the first chunk: magic, method 8, no flags, time 0, no extra flags, operating system 255.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty final block with fixed codes. Chunks end at a byte boundary with a block that is not final, so this closes the stream.
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// What stands after the last chunk: the end of the DEFLATE stream, the CRC-32 and the length modulo 2^32.
pub(super) fn trailer(crc: u32, uncompressed: u64) -> [u8; 10] {
    let mut out = [0; 10];
    out[..2].copy_from_slice(&FINAL_BLOCK);
    out[2..6].copy_from_slice(&crc.to_le_bytes());
    out[6..].copy_from_slice(&((uncompressed & 0xffff_ffff) as u32).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_in_the_trailer_wraps_at_four_gibibytes() {
        const GIB: u64 = 1 << 30;
        for (length, low) in [(0, 0), (3, 3), (4 * GIB - 1, u32::MAX), (4 * GIB, 0), (4 * GIB + 7, 7), (10 * GIB, 2 << 30), (u64::MAX, u32::MAX)] {
            let expected = [&[0x03, 0x00, 0xef, 0xbe, 0xad, 0xde][..], &u32::to_le_bytes(low)].concat();
            assert_eq!(trailer(0xdead_beef, length)[..], expected, "{length}");
        }
    }
}
