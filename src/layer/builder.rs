//! From a changeset to a layer blob, in one pass.
//!
//! The caller's thread reads files and frames them as tar, chunk after chunk; one thread computes the diff ID; the pool compresses; one thread writes and
//! computes the digest. Chunks are cut where the tar stream says (see `chunk`), so the bytes do not depend on the number of
//! threads, and no more than a fixed number of chunks is in memory whatever the size of the layer.

use std::io::Write;
use std::os::unix::fs::FileExt;

use super::changeset::{Item, Node};
use super::chunk::Cutter;
use super::codec::{Codec, Compressed, Encoder};
use super::reuse::{ChunkKey, ChunkRecord, Keyer, Reuse, check};
use super::tar::write as tar;
use super::tree::SourceFile;
use crate::error::{Error, Result};
use crate::exec::{Run, Task};
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
pub fn build(run: &Run, label: &str, items: &[Item], codec: Codec, reuse: Option<&Reuse>, mut writer: BlobWriter) -> Result<Layer> {
    let total = items.iter().map(|item| item.node.size()).sum();
    let task = run.events.start(label, Some(total));
    let mut stream = Stream::new(run, items, Cutter::of(codec), task);
    let encoder = Encoder::new(codec);
    let keyer = Keyer::new(codec);
    let file = writer.file();
    let mut diff_id = Hasher::sha256();
    let mut written = Written { offset: 0, crc: crc32fast::Hasher::new(), uncompressed: 0, reused: 0, chunks: Vec::new() };
    let cannot_write = |error| Error::io("cannot write the layer", error);

    writer.write_all(encoder.begin()).map_err(cannot_write)?;
    written.offset += encoder.begin().len() as u64;
    run.pool.pipeline(
        &run.cancel,
        || stream.next_chunk(),
        |chunk: &Vec<u8>| diff_id.update(chunk),
        |chunk| {
            let key = reuse.map(|_| keyer.key(chunk));
            let known = reuse.zip(key).and_then(|(reuse, key)| reuse.find(key));
            let reused = known.is_some();
            let compressed = known.map_or_else(|| encoder.compress(chunk), Ok)?;
            Ok(Done { key: key.map(|key| (key, check(&compressed.bytes))), compressed, uncompressed: chunk.len() as u64, reused })
        },
        |done| {
            writer.write_all(&done.compressed.bytes).map_err(cannot_write)?;
            let record = written.add(&done)?;
            if let Some(reuse) = reuse {
                reuse.add(&file, record);
            }
            Ok(())
        },
    )?;
    writer.write_all(&encoder.end(&written.crc, written.uncompressed)).map_err(cannot_write)?;
    let (digest, size) = writer.finish()?;
    Ok(Layer {
        descriptor: Descriptor::new(layer_media_type(codec.compression()), digest, size),
        diff_id: DiffId(diff_id.finish()),
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

/// The tar stream of a changeset, cut into chunks.
struct Stream<'a> {
    run: &'a Run,
    items: std::slice::Iter<'a, Item>,
    cutter: Cutter,
    task: Task,
    /// The header of an entry that begins the next chunk.
    pending: Option<Pending<'a>>,
    /// The content that the next chunk goes on with.
    current: Option<Content<'a>>,
    ended: bool,
}

/// An entry whose header is framed but not yet in a chunk.
struct Pending<'a> {
    item: &'a Item,
    header: Vec<u8>,
    content: Option<Content<'a>>,
}

/// Content that is being copied into chunks.
struct Content<'a> {
    from: From<'a>,
    left: u64,
    /// Zeros that fill the last block.
    padding: usize,
    large: bool,
    name: &'a Item,
}

enum From<'a> {
    Memory(&'a [u8]),
    File(SourceFile),
    Archive(&'a std::fs::File, u64),
}

impl<'a> Stream<'a> {
    fn new(run: &'a Run, items: &'a [Item], cutter: Cutter, task: Task) -> Self {
        Stream { run, items: items.iter(), cutter, task, pending: None, current: None, ended: false }
    }

    /// The next chunk, or none after the end of the archive.
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(self.cutter.max());
        loop {
            if let Some(content) = self.current.take() {
                if !self.copy(content, &mut chunk)? {
                    return Ok(Some(chunk));
                }
                continue;
            }
            match self.next_entry()? {
                Some(pending) => {
                    let size = pending.content.as_ref().map_or(0, |content| content.left);
                    if self.cutter.cuts_before(chunk.len(), &pending.item.path, size) {
                        self.pending = Some(pending);
                        return Ok(Some(chunk));
                    }
                    chunk.extend_from_slice(&pending.header);
                    self.current = pending.content;
                }
                None => {
                    // Two blocks of zeros end the archive.
                    chunk.resize(chunk.len() + tar::END, 0);
                    self.ended = true;
                    return Ok(Some(chunk));
                }
            }
        }
    }

    fn next_entry(&mut self) -> Result<Option<Pending<'a>>> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        let Some(item) = self.items.next() else { return Ok(None) };
        let entry = item.entry(self.run.timestamps)?;
        let mut header = Vec::with_capacity(512);
        tar::header(&entry, &mut header)?;
        let size = entry.size();
        let content = if size == 0 {
            // Even an empty file must be readable and still empty.
            if let Node::Found(source, found) = &item.node
                && found.stat.is_file()
            {
                source.tree.open_file(found)?.finish()?;
            }
            None
        } else {
            let from = match &item.node {
                Node::Made(_, bytes) => From::Memory(bytes),
                Node::Found(source, found) => From::File(source.tree.open_file(found)?),
                Node::Stored(_, file, offset) => From::Archive(file, *offset),
                Node::Hardlink(..) => return Err(Error::corrupt(format!("hard link {} has content", text::bytes(&item.path)))),
            };
            Some(Content { from, left: size, padding: tar::padding(size), large: self.cutter.is_large(size), name: item })
        };
        Ok(Some(Pending { item, header, content }))
    }

    /// Copies content into the chunk. Returns false when the chunk is full, or ends because a large file ended.
    fn copy(&mut self, mut content: Content<'a>, chunk: &mut Vec<u8>) -> Result<bool> {
        let room = if content.large { self.cutter.piece.saturating_sub(chunk.len()) as u64 } else { u64::MAX };
        let take = usize::try_from(content.left.min(room)).unwrap_or(usize::MAX);
        let begin = chunk.len();
        match &mut content.from {
            From::Memory(bytes) => {
                let (now, later) = bytes.split_at(take);
                chunk.extend_from_slice(now);
                *bytes = later;
            }
            From::File(file) => {
                chunk.resize(begin + take, 0);
                file.read_into(&mut chunk[begin..])?;
            }
            From::Archive(file, offset) => {
                chunk.resize(begin + take, 0);
                file.read_exact_at(&mut chunk[begin..], *offset)
                    .map_err(|error| Error::io(format!("cannot read {} from its archive", text::bytes(&content.name.path)), error))?;
                *offset += take as u64;
            }
        }
        self.task.advance(take as u64);
        content.left -= take as u64;
        if content.left > 0 {
            self.current = Some(content);
            return Ok(false);
        }
        if let From::File(file) = content.from {
            file.finish()?;
        }
        chunk.resize(chunk.len() + content.padding, 0);
        Ok(!content.large)
    }
}
