//! The diff ID of what is read. image-spec, config.md "Layer DiffID".

use std::io::Read;

use crate::error::{Error, Result};
use crate::spec::{DiffId, Hasher};

/// Fails with kind `corrupt` where a layer has not the diff ID that its image config says.
pub(super) fn check(actual: &DiffId, expected: &DiffId) -> Result<()> {
    match actual == expected {
        true => Ok(()),
        false => Err(Error::corrupt(format!("its diff ID is {actual}, the image config says {expected}"))),
    }
}

/// Passes a layer's uncompressed tar through, counts it and computes its diff ID.
pub struct DiffIdReader<R> {
    source: R,
    hasher: Hasher,
    count: u64,
}

/// How much is read at once of what nobody else wants.
const BUFFER: usize = 64 * 1024;

impl<R: Read> DiffIdReader<R> {
    /// Reads `source` from where it stands.
    pub fn new(source: R) -> Self {
        DiffIdReader { source, hasher: Hasher::sha256(), count: 0 }
    }

    /// How many bytes were read so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Reads what is left of the source and returns the diff ID and the length of all of it. Fails as the source does.
    pub fn finish(mut self) -> Result<(DiffId, u64)> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok((DiffId(self.hasher.finish()), self.count)),
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(Error::io("cannot read the layer", error)),
                _ => {}
            }
        }
    }
}

impl<R: Read> Read for DiffIdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buf)?;
        self.hasher.update(&buf[..read]);
        self.count += read as u64;
        Ok(read)
    }
}

impl<R> std::fmt::Debug for DiffIdReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiffIdReader").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Digest;

    #[test]
    fn the_whole_stream_counts_however_much_was_read() {
        let bytes: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        for read in [0, 1, 1000, bytes.len()] {
            let mut reader = DiffIdReader::new(&bytes[..]);
            reader.read_exact(&mut vec![0; read]).expect("long enough");
            assert_eq!(reader.count(), read as u64);
            assert_eq!(reader.finish().expect("no failure"), (DiffId(Digest::sha256(&bytes)), bytes.len() as u64));
        }
    }
}
