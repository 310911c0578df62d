//! DEFLATE chunks by zlib-rs: correct, and to be replaced by an encoder whose bytes are larder's own.

use crate::error::{Error, ErrorKind, Result};

/// Compresses chunks of one level.
pub(super) struct Encoder(u32);

impl Encoder {
    pub(super) fn new(level: u8) -> Result<Self> {
        if level > 9 {
            return Err(Error::new(ErrorKind::Usage, format!("gzip has no level {level}")));
        }
        Ok(Encoder(level.into()))
    }

    /// Appends the chunk as blocks that are not final, ending at a byte boundary.
    pub(super) fn encode_chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut state = flate2::Compress::new(flate2::Compression::new(self.0), false);
        out.reserve(chunk.len() + chunk.len() / 8 + 1024);
        // With this much room one call takes everything.
        let _ = state.compress_vec(chunk, out, flate2::FlushCompress::Sync);
    }
}
