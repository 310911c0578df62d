//! From a tar stream to a layer blob, in one pass.
//!
//! The caller's thread makes the tar stream, chunk after chunk (see `stream`); one thread computes the diff ID; the pool compresses; one thread writes and
//! computes the digest. Chunks are cut where the tar stream says (see `chunk`), so the bytes do not depend on the number of
//! threads, and no more than a fixed number of chunks is in memory whatever the size of the layer.

use std::io::Write;

use super::changeset::Item;
use super::chunk::Cutter;
use super::codec::{Codec, Compressed, Encoder};
use super::diff_id;
use super::reuse::{ChunkKey, ChunkRecord, Keyer, Reuse, check};
use super::shelf::{Buffer, Lent, Shelf};
use super::stream::{Chunks, Items, Records};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::media_type::layer_media_type;
use crate::spec::{Descriptor, DiffId, Hasher, text};
use crate::store::layout::BlobWriter;

/// A finished layer: complete, durable and under its final name.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Media type, digest and size of the blob.
    pub descriptor: Descriptor,
    /// Digest of the tar inside.
    pub diff_id: DiffId,
    /// Length of the tar inside, in bytes.
    pub uncompressed: u64,
    /// How many bytes of the blob were taken over from earlier ones.
    pub reused: u64,
    /// Where its chunks stand, for later layers.
    pub chunks: Vec<ChunkRecord>,
}

/// Writes `items`, which are in order, as one layer. Chunks that `reuse` knows are taken over, and new ones made known to it; without it they are not even keyed.
///
/// Fails with kind `io` when a source cannot be read or changes while it is read; the blob then never appears.
pub fn build(run: &Run, label: &str, items: &[Item], codec: Codec, reuse: Option<&Reuse>, writer: BlobWriter) -> Result<Layer> {
    let total = items.iter().map(|item| item.node.size()).sum();
    let task = run.events.start(label, Some(total));
    write(run, Items::new(run, items, task), codec, reuse, None, writer)
}

/// Writes a tar stream as one layer. Where a diff ID is expected and the stream has another one, the error is of kind `corrupt` and the blob never appears.
pub(super) fn write(run: &Run, records: impl Records, codec: Codec, reuse: Option<&Reuse>, expected: Option<&DiffId>, mut writer: BlobWriter) -> Result<Layer> {
    let cutter = Cutter::of(codec);
    let mut stream = Chunks::new(records, cutter);
    let encoder = Encoder::new(codec);
    let keyer = Keyer::new(codec);
    let (plain, packed) = (Shelf::<Buffer>::default(), Shelf::<Vec<u8>>::default());
    let file = writer.file();
    let mut hasher = expected.map_or_else(|| Ok(Hasher::sha256()), |expected| expected.0.algorithm().hasher())?;
    let mut written = Written { offset: 0, crc: crc32fast::Hasher::new(), uncompressed: 0, reused: 0, chunks: Vec::new() };
    let place = text::path(writer.layout()).into_owned();
    let cannot_write = |error| Error::io(format!("cannot write the layer to {place}"), error).subject(&place);

    writer.write_all(encoder.begin()).map_err(&cannot_write)?;
    written.offset += encoder.begin().len() as u64;
    run.pool.pipeline(
        &run.cancel,
        cutter.max(),
        || {
            let mut buffer: Buffer = plain.take();
            buffer.reserve(cutter.max());
            Ok(stream.next_chunk(buffer)?.map(|chunk| Lent::new(chunk, &plain)))
        },
        |chunk: &Lent<'_>| hasher.update(chunk),
        |chunk| {
            let key = reuse.map(|_| keyer.key(chunk));
            let known = match reuse.zip(key) {
                Some((reuse, key)) => reuse.find(key, packed.take()),
                None => Err(packed.take()),
            };
            let reused = known.is_ok();
            let compressed = known.or_else(|buffer| encoder.compress(chunk, buffer))?;
            Ok(Done { key: key.map(|key| (key, check(&compressed.bytes))), compressed, uncompressed: chunk.len() as u64, reused })
        },
        |mut done| {
            writer.write_all(&done.compressed.bytes).map_err(&cannot_write)?;
            let record = written.add(&done)?;
            if let Some(reuse) = reuse {
                reuse.add(&file, record);
            }
            done.compressed.bytes.clear();
            packed.give(done.compressed.bytes);
            Ok(())
        },
    )?;
    writer.write_all(&encoder.end(&written.crc, written.uncompressed)).map_err(&cannot_write)?;
    let diff_id = DiffId(hasher.finish());
    if let Some(expected) = expected {
        diff_id::check(&diff_id, expected)?;
    }
    let (digest, size) = writer.finish()?;
    Ok(Layer {
        descriptor: Descriptor::new(layer_media_type(codec.compression()), digest, size),
        diff_id,
        uncompressed: written.uncompressed,
        reused: written.reused,
        chunks: written.chunks,
    })
}

fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| Error::unsupported("a chunk of 4 GiB or more"))
}

/// A chunk on its way from a worker to the blob.
struct Done {
    /// Its key and check sum, where chunks are to be reused.
    key: Option<(ChunkKey, [u8; 16])>,
    compressed: Compressed,
    uncompressed: u64,
    reused: bool,
}

/// What the blob holds so far.
struct Written {
    offset: u64,
    crc: crc32fast::Hasher,
    uncompressed: u64,
    reused: u64,
    chunks: Vec<ChunkRecord>,
}

impl Written {
    fn add(&mut self, done: &Done) -> Result<Option<ChunkRecord>> {
        let (length, crc) = (length(&done.compressed.bytes)?, done.compressed.crc);
        let record = done.key.map(|(key, check)| ChunkRecord { key, offset: self.offset, length, crc, check });
        self.chunks.extend(record);
        self.offset += u64::from(length);
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(crc, done.uncompressed));
        self.uncompressed += done.uncompressed;
        if done.reused {
            self.reused += u64::from(length);
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected sum is that of Python's zlib over the bytes themselves.
    #[test]
    fn the_check_sums_of_chunks_come_together_beyond_four_gibibytes() {
        const PIECE: usize = 1 << 20;
        let crc = |bytes: &[u8]| crc32fast::hash(bytes);
        let zeros = crc(&vec![0; PIECE]);
        let mut written = Written { offset: 0, crc: crc32fast::Hasher::new(), uncompressed: 0, reused: 0, chunks: Vec::new() };
        let chunks = std::iter::repeat_n((zeros, PIECE as u64), 5 * 1024 + 1).chain([(crc(b"end"), 3)]);
        for (crc, uncompressed) in chunks {
            // A chunk as short as those of zeros are.
            let compressed = Compressed { bytes: vec![0; 1024], crc };
            written.add(&Done { key: None, compressed, uncompressed, reused: false }).expect("short");
        }
        assert_eq!((written.crc.finalize(), written.uncompressed, written.offset), (0xe231_93bc, 5_369_757_699, 5122 << 10));
    }
}
