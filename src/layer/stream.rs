//! Tar streams in chunks.
//!
//! Where a stream comes from differs; where it is cut does not, because [`Chunks`] looks at the entries alone.

use std::io::Read;
use std::os::unix::fs::FileExt;

use super::changeset::{Item, Node};
use super::chunk::Cutter;
use super::entry::Entry;
use super::shelf::Buffer;
use super::tar::write as tar;
use super::tree::SourceFile;
use crate::error::{Error, Result};
use crate::exec::{Run, Task};
use crate::spec::text;

/// A tar stream, entry by entry.
pub(super) trait Records {
    /// What stands before the content of the next entry; none after the last one. Called when content and padding of the last one were taken.
    fn next(&mut self) -> Result<Option<Head>>;

    /// Fills `out` with the next bytes of content; never asked for more than there are.
    fn content(&mut self, out: &mut [u8]) -> Result<()>;

    /// Appends what fills the last block of the content; called once its last byte was taken.
    fn padding(&mut self, chunk: &mut Buffer) -> Result<()>;

    /// Appends up to `room` bytes of what stands behind the last entry; fewer only at the end of the stream. `room` is at least [`tar::END`].
    fn tail(&mut self, chunk: &mut Buffer, room: usize) -> Result<usize>;
}

/// An entry up to its content.
pub(super) struct Head {
    pub(super) path: Vec<u8>,
    /// Extended headers and the header itself.
    pub(super) bytes: Vec<u8>,
    /// Length of the content.
    pub(super) size: u64,
}

impl Head {
    /// What stands before the content of an entry. Fails as [`tar::header`].
    pub(super) fn of(entry: Entry) -> Result<Head> {
        let mut bytes = Vec::with_capacity(512);
        tar::header(&entry, &mut bytes)?;
        Ok(Head { size: entry.size(), path: entry.path, bytes })
    }
}

/// Cuts a tar stream into chunks.
pub(super) struct Chunks<R> {
    records: R,
    cutter: Cutter,
    /// An entry that begins the next chunk.
    pending: Option<Head>,
    /// The content that the next chunk goes on with.
    current: Option<Content>,
    state: State,
}

struct Content {
    left: u64,
    large: bool,
}

#[derive(PartialEq, Eq)]
enum State {
    /// Nothing was cut yet.
    Begin,
    Entries,
    Tail,
    Ended,
}

impl<R: Records> Chunks<R> {
    pub(super) fn new(records: R, cutter: Cutter) -> Self {
        Chunks { records, cutter, pending: None, current: None, state: State::Begin }
    }

    /// The next chunk, in the buffer `chunk`, which is empty; or none after the end of the stream. There is always one.
    pub(super) fn next_chunk(&mut self, mut chunk: Buffer) -> Result<Option<Buffer>> {
        match self.state {
            State::Ended => return Ok(None),
            State::Tail => return self.tail(chunk),
            State::Begin | State::Entries => {}
        }
        loop {
            if let Some(content) = self.current.take() {
                if !self.copy(content, &mut chunk)? {
                    self.state = State::Entries;
                    return Ok(Some(chunk));
                }
                continue;
            }
            let next = self.pending.take().map_or_else(|| self.records.next(), |pending| Ok(Some(pending)))?;
            let Some(head) = next else { return self.tail(chunk) };
            if self.cutter.cuts_before(chunk.len(), &head.path, head.size) {
                self.pending = Some(head);
                self.state = State::Entries;
                return Ok(Some(chunk));
            }
            chunk.extend_from_slice(&head.bytes);
            if head.size > 0 {
                self.current = Some(Content { left: head.size, large: self.cutter.is_large(head.size) });
            }
        }
    }

    /// Copies content into the chunk. Returns false when the chunk is full, or ends because a large file ended.
    fn copy(&mut self, mut content: Content, chunk: &mut Buffer) -> Result<bool> {
        let room = if content.large { self.cutter.piece.saturating_sub(chunk.len()) as u64 } else { u64::MAX };
        let take = usize::try_from(content.left.min(room)).unwrap_or(usize::MAX);
        self.records.content(chunk.grow(take))?;
        content.left -= take as u64;
        if content.left > 0 {
            self.current = Some(content);
            return Ok(false);
        }
        self.records.padding(chunk)?;
        Ok(!content.large)
    }

    /// The mark of the end stays with the last entries, however full their chunk is; what else follows fills chunks of its own.
    fn tail(&mut self, mut chunk: Buffer) -> Result<Option<Buffer>> {
        let room = self.cutter.piece.saturating_sub(chunk.len()).max(tar::END);
        let taken = self.records.tail(&mut chunk, room)?;
        let is_first = self.state == State::Begin;
        self.state = if taken < room { State::Ended } else { State::Tail };
        Ok((is_first || !chunk.is_empty()).then_some(chunk))
    }
}

/// A tar stream as a reader.
pub(super) struct Rendered<R> {
    chunks: Chunks<R>,
    chunk: Buffer,
    /// How much of the chunk was read.
    taken: usize,
}

impl<R: Records> Rendered<R> {
    pub(super) fn new(chunks: Chunks<R>) -> Self {
        Rendered { chunks, chunk: Buffer::default(), taken: 0 }
    }
}

impl<R: Records> Read for Rendered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.taken == self.chunk.len() {
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.clear();
            self.taken = 0;
            let Some(chunk) = self.chunks.next_chunk(chunk)? else { return Ok(0) };
            self.chunk = chunk;
        }
        let count = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..count].copy_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// The tar stream of a changeset.
pub(super) struct Items<'a> {
    run: &'a Run,
    items: std::slice::Iter<'a, Item>,
    task: Task,
    current: Option<Open<'a>>,
    ended: bool,
}

/// Content that is being read.
struct Open<'a> {
    from: From<'a>,
    left: u64,
    padding: usize,
    item: &'a Item,
}

enum From<'a> {
    Memory(&'a [u8]),
    File(SourceFile),
    Archive(&'a std::fs::File, u64),
}

impl<'a> Items<'a> {
    pub(super) fn new(run: &'a Run, items: &'a [Item], task: Task) -> Self {
        Items { run, items: items.iter(), task, current: None, ended: false }
    }

    fn open(&self, item: &'a Item, size: u64) -> Result<Option<Open<'a>>> {
        if size == 0 {
            // Even an empty file must be readable and still empty.
            if let Node::Found(source, found) = &item.node
                && found.stat.is_file()
            {
                source.tree.open_file(found)?.finish()?;
            }
            return Ok(None);
        }
        let from = match &item.node {
            Node::Made(_, bytes) => From::Memory(bytes),
            Node::Found(source, found) => From::File(source.tree.open_file(found)?),
            Node::Stored(_, file, offset) => From::Archive(file, *offset),
            Node::Hardlink(..) => return Err(Error::corrupt(format!("hard link {} has content", text::bytes(&item.path)))),
        };
        Ok(Some(Open { from, left: size, padding: tar::padding(size), item }))
    }
}

impl Records for Items<'_> {
    fn next(&mut self) -> Result<Option<Head>> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let head = Head::of(item.entry(self.run.timestamps)?)?;
        self.current = self.open(item, head.size)?;
        Ok(Some(head))
    }

    fn content(&mut self, out: &mut [u8]) -> Result<()> {
        let Some(open) = &mut self.current else { return Ok(()) };
        let take = out.len();
        match &mut open.from {
            From::Memory(bytes) => {
                let (now, later) = bytes.split_at(take);
                out.copy_from_slice(now);
                *bytes = later;
            }
            From::File(file) => {
                file.read_into(out)?;
            }
            From::Archive(file, offset) => {
                let name = &open.item.path;
                file.read_exact_at(out, *offset).map_err(|error| Error::io(format!("cannot read {} from its archive", text::bytes(name)), error))?;
                *offset += take as u64;
            }
        }
        self.task.advance(take as u64);
        open.left -= take as u64;
        Ok(())
    }

    fn padding(&mut self, chunk: &mut Buffer) -> Result<()> {
        let Some(open) = self.current.take() else { return Ok(()) };
        if let From::File(file) = open.from {
            file.finish()?;
        }
        chunk.extend_with_zeros(open.padding);
        Ok(())
    }

    fn tail(&mut self, chunk: &mut Buffer, _: usize) -> Result<usize> {
        if self.ended {
            return Ok(0);
        }
        self.ended = true;
        // Two blocks of zeros end the archive.
        chunk.extend_with_zeros(tar::END);
        Ok(tar::END)
    }
}
