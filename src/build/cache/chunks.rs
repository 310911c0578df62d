//! Tables of chunks: where the compressed pieces of a layer stand, so that the next version of the layer takes over those that did not change.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::layer::reuse::{ChunkKey, ChunkRecord};

/// Magic and version of a chunk table.
const MAGIC: &[u8; 8] = b"larder-1";
const RECORD: usize = 32 + 8 + 4 + 4 + 16;

/// Magic, length of the blob's path, path, records, check sum of all that.
pub(super) fn write(blob: &Path, chunks: &[ChunkRecord]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let path = blob.as_os_str().as_bytes();
    let mut out = Vec::with_capacity(MAGIC.len() + 8 + path.len() + chunks.len() * RECORD + 32);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(path.len() as u64).to_le_bytes());
    out.extend_from_slice(path);
    for chunk in chunks {
        out.extend_from_slice(&chunk.key.0);
        out.extend_from_slice(&chunk.offset.to_le_bytes());
        out.extend_from_slice(&chunk.length.to_le_bytes());
        out.extend_from_slice(&chunk.crc.to_le_bytes());
        out.extend_from_slice(&chunk.check);
    }
    let check = blake3::hash(&out);
    out.extend_from_slice(check.as_bytes());
    out
}

/// The blob, opened, and its chunks. None where the table is damaged or the blob gone.
pub(super) fn parse(bytes: &[u8]) -> Option<(Arc<File>, Vec<ChunkRecord>)> {
    use std::os::unix::ffi::OsStrExt;
    let (body, check) = bytes.split_last_chunk::<32>()?;
    if blake3::hash(body).as_bytes() != check {
        return None;
    }
    let body = body.strip_prefix(MAGIC)?;
    let (length, body) = body.split_first_chunk::<8>()?;
    let (path, body) = body.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let file = crate::fsio::regular::open_path(Path::new(std::ffi::OsStr::from_bytes(path))).ok()?.file;
    let record = |bytes: &[u8]| {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        Some(ChunkRecord {
            key: ChunkKey(*key),
            offset: u64::from_le_bytes(*offset),
            length: u32::from_le_bytes(*length),
            crc: u32::from_le_bytes(*crc),
            check: rest.try_into().ok()?,
        })
    };
    let records = body.chunks_exact(RECORD).map(record).collect::<Option<Vec<_>>>()?;
    Some((Arc::new(file), records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_tables_round_trip_and_damage_is_noticed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let blob = directory.path().join("blob");
        std::fs::write(&blob, b"x").expect("write");
        let record = |n: u8| ChunkRecord { key: ChunkKey([n; 32]), offset: u64::from(n), length: 7, crc: 9, check: [n; 16] };
        let mut bytes = write(&blob, &[record(1), record(2)]);
        assert_eq!(parse(&bytes).expect("valid").1, [record(1), record(2)]);
        bytes[40] ^= 1;
        assert!(parse(&bytes).is_none());
        assert!(parse(b"").is_none());
    }
}
