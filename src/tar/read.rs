//! Reading: one entry after the other from a stream, strictly.
//!
//! Everything that known readers understand differently is an error of kind `corrupt`: sizes of entries that have no content, one field said twice, malformed
//! records, names with something behind their end, a block of zeros between entries. Sparse files, multi-volume archives and other extensions
//! are `unsupported`, as is what goes beyond a limit. Nothing is allocated for a size that an archive only claims.

use std::io::{BufRead, BufReader, Read, Seek};

use super::Entry;
use super::block::Block;
use super::interpret::{Extensions, Header, Item, Warning};
use super::{BLOCK, MAX_EXTENSION, write::padding};
use crate::error::{Error, Result};
use crate::spec::text;

/// How much is read from the source at once.
const BUFFER: usize = 64 * 1024;

/// Reads a tar stream. As a [`Read`] it gives the content of the entry that came last.
pub struct Reader<R> {
    source: BufReader<R>,
    /// Bytes of the stream that were taken.
    offset: u64,
    state: State,
    /// Where the entry that came last begins, its name as it was written, and what is left of its content and of the zeros behind it.
    begin: u64,
    name: Vec<u8>,
    left: u64,
    padding: usize,
    hidden: u64,
    warnings: Vec<(Warning, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Entries,
    Ended,
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads `source` from where it stands.
    pub fn new(source: R) -> Self {
        Reader::with_capacity(BUFFER, source)
    }

    /// Reads `source` from where it stands, `capacity` bytes at once. A little is best for who seeks over content.
    pub fn with_capacity(capacity: usize, source: R) -> Self {
        Reader {
            source: BufReader::with_capacity(capacity, source),
            offset: 0,
            state: State::Entries,
            begin: 0,
            name: Vec::new(),
            left: 0,
            padding: 0,
            hidden: 0,
            warnings: Vec::new(),
        }
    }

    /// The next entry, after skipping what was not read of the last one; none at the end of the archive.
    ///
    /// Fails with kind `corrupt` for damage and for whatever is ambiguous or leaves the root, with `unsupported` for what larder does not read and for limits,
    /// and as the source fails. After a failure every call fails.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let outcome = match self.state {
            State::Entries => self.read_entry(),
            State::Ended => Ok(None),
            State::Failed => Err(Error::corrupt("the archive could not be read before this")),
        };
        match &outcome {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Ended,
            Err(_) => self.state = State::Failed,
        }
        outcome
    }

    /// Where the next byte of content stands in the stream.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Where the entry that came last begins in the stream: its header, or the first extended header before it. After the last entry, where the end of the
    /// archive begins.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The name of the entry that came last as it was written, which may begin with a `/` or hold a `.`.
    pub fn written_name(&self) -> &[u8] {
        &self.name
    }

    /// What deserves attention so far, each kind once.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|(_, message)| message.as_str())
    }

    /// Reads all remaining entries and then the source to its end. Returns how many bytes other than zero stand behind the end of the archive or between
    /// entries, where no reader looks.
    ///
    /// Fails as [`Reader::next_entry`] does.
    pub fn finish(&mut self) -> Result<u64> {
        while self.next_entry()?.is_some() {}
        loop {
            let available = fill(&mut self.source)?;
            if available.is_empty() {
                return Ok(self.hidden);
            }
            let length = available.len();
            self.hidden += not_zero(available);
            self.take(length);
        }
    }

    /// Skips what was not read of the content of the last entry, and the padding behind it. Fails as [`Reader::next_entry`] does.
    pub fn skip_entry(&mut self) -> Result<()> {
        let outcome = self.skip_content();
        if outcome.is_err() {
            self.state = State::Failed;
        }
        outcome
    }

    /// The source, from which more may have been taken than was made use of.
    pub fn source_mut(&mut self) -> &mut R {
        self.source.get_mut()
    }

    /// Gives the source back. Some of what follows the last entry may have been taken from it.
    pub fn into_source(self) -> R {
        self.source.into_inner()
    }

    fn read_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_content()?;
        let mut extensions = Extensions::default();
        self.begin = self.offset;
        loop {
            let begin = self.offset;
            let Some(block) = self.next_block()? else {
                return if extensions.is_empty() { Ok(None) } else { Err(Error::corrupt("the archive ends where an extended header promised an entry")) };
            };
            let step = Header::parse(&block).and_then(|header| self.step(&header, &mut extensions));
            let step =
                step.map_err(|error| error.context(format!("cannot read archive entry `{}` at byte {begin}", text::bytes(&extensions.shown_name(&block)))));
            if let Some(entry) = step? {
                self.left = entry.size();
                self.padding = padding(self.left);
                return Ok(Some(entry));
            }
        }
    }

    /// Takes in one header: an entry, or none when it belongs to the next one.
    fn step(&mut self, header: &Header<'_>, extensions: &mut Extensions) -> Result<Option<Entry>> {
        match header.item(extensions)? {
            Item::Entry { entry, written, warnings } => {
                self.warn(&entry.path, &warnings);
                self.name = written;
                Ok(Some(entry))
            }
            Item::Extension(extension, size) => {
                if size > MAX_EXTENSION {
                    return Err(Error::unsupported(format!("its extended header has {size} bytes, more than {MAX_EXTENSION}")));
                }
                let content = self.extension(size)?;
                extensions.add(extension, &content)?;
                Ok(None)
            }
        }
    }

    /// The content of an extended header, whose size is within the limit.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        (&mut self.source).take(size).read_to_end(&mut content).map_err(cannot_read)?;
        self.offset += content.len() as u64;
        if content.len() as u64 != size {
            return Err(Error::corrupt("the archive ends in the middle of an extended header"));
        }
        let hidden = self.hidden;
        self.padding = padding(size);
        self.skip_padding()?;
        // Some readers take it for more of a name or for more records.
        if self.hidden > hidden {
            return Err(Error::corrupt("something stands behind the end of an extended header"));
        }
        Ok(content)
    }

    /// The next header block, or none at the end.
    fn next_block(&mut self) -> Result<Option<Block>> {
        let (block, length) = self.block()?;
        if length == 0 {
            self.warn(&[], &[Warning::NoEnd]);
            return Ok(None);
        }
        if length < BLOCK {
            return Err(self.half_a_header());
        }
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        let (second, length) = self.block()?;
        if second[..length].iter().any(|byte| *byte != 0) {
            return Err(Error::corrupt(format!(
                "a single block of zeros stands between entries, at byte {}: some readers end there, others go on",
                self.offset - BLOCK as u64
            )));
        }
        match length {
            0 => self.warn(&[], &[Warning::HalfEnd]),
            BLOCK => {}
            _ => return Err(self.half_a_header()),
        }
        Ok(None)
    }

    fn half_a_header(&self) -> Error {
        Error::corrupt(format!("the archive ends in the middle of a header, at byte {}", self.offset))
    }

    fn block(&mut self) -> Result<(Block, usize)> {
        let mut block: Block = [0; BLOCK];
        let mut length = 0;
        while length < BLOCK {
            match self.source.read(&mut block[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_read(error)),
            }
        }
        self.offset += length as u64;
        Ok((block, length))
    }

    fn skip_content(&mut self) -> Result<()> {
        while self.left > 0 {
            let available = fill(&mut self.source)?.len();
            if available == 0 {
                return Err(self.truncated());
            }
            let skipped = usize::try_from(self.left).map_or(available, |left| left.min(available));
            self.left -= skipped as u64;
            self.take(skipped);
        }
        self.skip_padding()
    }

    fn skip_padding(&mut self) -> Result<()> {
        while self.padding > 0 {
            let available = fill(&mut self.source)?;
            if available.is_empty() {
                // The content is whole; the missing end is warned of when the next header is looked for.
                self.padding = 0;
                break;
            }
            let skipped = available.len().min(self.padding);
            self.hidden += not_zero(&available[..skipped]);
            self.padding -= skipped;
            self.take(skipped);
        }
        Ok(())
    }

    fn take(&mut self, length: usize) {
        self.source.consume(length);
        self.offset += length as u64;
    }

    fn truncated(&self) -> Error {
        Error::corrupt(format!("the archive ends in the middle of `{}`, {} bytes early", text::bytes(&self.name), self.left))
    }

    fn warn(&mut self, name: &[u8], warnings: &[Warning]) {
        for warning in warnings {
            if !self.warnings.iter().any(|(known, _)| known == warning) {
                self.warnings.push((*warning, warning.message(name)));
            }
        }
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Passes over what was not read of the entry that came last without reading it. The source is `length` bytes long.
    ///
    /// Fails with kind `corrupt` where the source ends before that content does, and as seeking fails.
    pub fn seek_over_content(&mut self, length: u64) -> Result<()> {
        let end = self.offset.saturating_add(self.left);
        if end > length {
            self.left = end - length;
            self.state = State::Failed;
            return Err(self.truncated());
        }
        // The length of a file fits.
        self.source.seek_relative(self.left.cast_signed()).map_err(cannot_read)?;
        (self.offset, self.left) = (end, 0);
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    /// Gives the content of the entry that came last, and nothing more at its end. An archive that ends early is an error of kind `corrupt`.
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut buf[..wanted])?;
        if read == 0 {
            self.state = State::Failed;
            return Err(self.truncated().into());
        }
        self.left -= read as u64;
        self.offset += read as u64;
        Ok(read)
    }
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset).field("left", &self.left).finish_non_exhaustive()
    }
}

/// What the source has ready; nothing at its end.
fn fill<R: Read>(source: &mut BufReader<R>) -> Result<&[u8]> {
    while let Err(error) = source.fill_buf() {
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(cannot_read(error));
        }
    }
    Ok(source.buffer())
}

fn not_zero(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte != 0).count() as u64
}

fn cannot_read(error: std::io::Error) -> Error {
    Error::io("cannot read the archive", error)
}
