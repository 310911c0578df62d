//! The bit writer: DEFLATE packs its codes least significant bit first.

/// Bits that did not fill a byte yet, carried from one block to the next.
#[derive(Clone, Copy, Default)]
pub(super) struct Carry {
    bits: u64,
    count: u32,
}

impl Carry {
    /// How many bits wait for their byte: 0 to 7.
    pub(super) fn count(self) -> u32 {
        self.count
    }
}

/// Writes codes into a slice.
///
/// The whole space of a block is there from the start, because the cost of a
/// block is known before its first bit is written. That leaves one bounds check
/// for each 8-byte store, and no growth in the inner loop.
///
/// The writer is passed by value: then its fields stay in registers.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    at: usize,
    bits: u64,
    count: u32,
}

/// Slack behind the last byte, so that a store of 8 bytes always fits.
const SLACK: usize = 16;

/// Appends to `out` what `write` writes: at most `room` bits, after those of
/// `carry`. Returns the bits that do not fill a byte.
pub(super) fn append(out: &mut Vec<u8>, carry: Carry, room: u64, write: impl FnOnce(BitWriter<'_>) -> BitWriter<'_>) -> Carry {
    let start = out.len();
    out.resize(start + (room as usize).div_ceil(8) + SLACK, 0);
    let mut writer = write(BitWriter { out: &mut out[start..], at: 0, bits: carry.bits, count: carry.count });
    writer.flush();
    let (at, bits, count) = (writer.at, writer.bits, writer.count);
    out.truncate(start + at);
    Carry { bits, count }
}

impl<'a> BitWriter<'a> {
    /// The same writer as a new local variable.
    ///
    /// What a function is given by value may still live in its caller's memory,
    /// and every change would be stored there; a local stays in registers.
    #[inline(always)]
    pub(super) fn local(self) -> Self {
        let Self { out, at, bits, count } = self;
        Self { out, at, bits, count }
    }

    /// Adds the `count` low bits of `value`; the other bits of `value` are zero.
    ///
    /// At most 56 bits may be added between two calls of [`BitWriter::flush`].
    #[inline(always)]
    pub(super) fn add(&mut self, value: u64, count: u32) {
        debug_assert!(self.count + count <= 63);
        self.bits |= value << self.count;
        self.count += count;
    }

    /// Moves the full bytes to the output; at most 7 bits stay.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        self.out[self.at..self.at + 8].copy_from_slice(&self.bits.to_le_bytes());
        self.at += (self.count >> 3) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    /// Adds and flushes: for headers, where speed does not matter.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        self.add(u64::from(value), count);
        self.flush();
    }

    /// Fills the last byte with zero bits.
    pub(super) fn align(&mut self) {
        self.count = (self.count + 7) & !7;
        self.flush();
    }

    /// Copies whole bytes; the writer must be aligned.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.count, 0);
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}
