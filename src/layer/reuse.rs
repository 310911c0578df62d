//! Compressed chunks that exist already, by the content they were made from.
//!
//! A chunk whose bytes were compressed before under the same contract is taken over from the blob it stands in. Taken over means
//! read back and compared with a check sum taken when it was written, so a blob that was damaged meanwhile costs time, never correctness.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use super::codec::{Codec, Compressed};

/// What a chunk was made of and how: a keyed hash over the contract and the uncompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkKey(pub [u8; 32]);

/// Where a compressed chunk stands inside a layer blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// The content.
    pub key: ChunkKey,
    /// First byte in the blob.
    pub offset: u64,
    /// Length in the blob.
    pub length: u32,
    /// CRC-32 of the uncompressed bytes, or zero where the format has none.
    pub crc: u32,
    /// Check sum of the compressed bytes.
    pub check: [u8; 16],
}

/// The chunks known so far. Layers built at the same time share one and feed each other.
#[derive(Debug, Default)]
pub struct Reuse {
    known: Mutex<HashMap<ChunkKey, (Arc<File>, ChunkRecord)>>,
}

impl Reuse {
    /// Adds chunks that stand in `file`.
    pub fn add(&self, file: &Arc<File>, records: impl IntoIterator<Item = ChunkRecord>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            known.entry(record.key).or_insert_with(|| (file.clone(), record));
        }
    }

    /// The compressed form of the content behind `key`, in the buffer `bytes`, if it is known and still intact. The buffer comes back empty if not.
    pub(super) fn find(&self, key: ChunkKey, mut bytes: Vec<u8>) -> Result<Compressed, Vec<u8>> {
        let Some((file, record)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned() else { return Err(bytes) };
        bytes.reserve_exact(record.length as usize);
        bytes.resize(record.length as usize, 0);
        if file.read_exact_at(&mut bytes, record.offset).is_ok() && check(&bytes) == record.check {
            return Ok(Compressed { bytes, crc: record.crc });
        }
        bytes.clear();
        Err(bytes)
    }
}

/// Keys the chunks of one codec.
#[derive(Clone)]
pub(super) struct Keyer(blake3::Hasher);

impl Keyer {
    pub(super) fn new(codec: Codec) -> Self {
        Keyer(blake3::Hasher::new_derive_key(&format!("larder layer chunk {}", codec.contract())))
    }

    pub(super) fn key(&self, chunk: &[u8]) -> ChunkKey {
        ChunkKey(*self.0.clone().update(chunk).finalize().as_bytes())
    }
}

/// The check sum of compressed bytes.
pub(super) fn check(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_damaged_chunk_is_not_taken_over() {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(b"..compressed").expect("write");
        let key = Keyer::new(Codec::default()).key(b"content");
        let record = ChunkRecord { key, offset: 2, length: 10, crc: 7, check: check(b"compressed") };
        let reuse = Reuse::default();
        let file = Arc::new(file);
        reuse.add(&file, [record]);
        assert_eq!(reuse.find(key, Vec::new()).expect("known").bytes, b"compressed");
        assert!(reuse.find(Keyer::new(Codec::Gzip(1)).key(b"content"), Vec::new()).is_err(), "another contract is another key");
        file.write_all_at(b"X", 5).expect("damage");
        assert_eq!(reuse.find(key, Vec::new()).err(), Some(Vec::new()));
    }
}
