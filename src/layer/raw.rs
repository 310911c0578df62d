//! A tar stream that exists already, byte for byte, with the places where its entries begin.
//!
//! What a strict reader cannot make sense of is passed on as it is: whether the stream is the right one is for its diff ID to say.

use std::io::Read;

use super::shelf::Buffer;
use super::stream::{Head, Records};
use super::tar::Reader;
use crate::error::{Error, ErrorKind, Result};

/// How much is read at once of what stands behind the last entry.
const READ: usize = 64 * 1024;

/// The records of an existing stream.
pub(super) struct Raw<R> {
    tar: Reader<Kept<R>>,
    /// Bytes of the stream that were handed on.
    taken: u64,
}

impl<R: Read> Raw<R> {
    pub(super) fn new(source: R) -> Self {
        Raw { tar: Reader::new(Kept { source, bytes: Vec::new(), begin: 0, failed: false }), taken: 0 }
    }

    /// Takes `count` bytes off what the reader of the tar has seen and shows them to `out`.
    fn take(&mut self, count: usize, out: impl FnOnce(&[u8])) {
        let kept = self.tar.source_mut();
        let count = count.min(kept.rest().len());
        out(&kept.rest()[..count]);
        kept.drop_front(count);
        self.taken += count as u64;
    }

    /// What was seen of the entry that begins where nothing was taken yet.
    fn seen(&self) -> usize {
        // Headers are bounded, and content is taken as it comes.
        usize::try_from(self.tar.position() - self.taken).unwrap_or(usize::MAX)
    }
}

impl<R: Read> Records for Raw<R> {
    fn next(&mut self) -> Result<Option<Head>> {
        match self.tar.next_entry() {
            Ok(Some(entry)) => {
                let mut bytes = Vec::with_capacity(512);
                self.take(self.seen(), |seen| bytes.extend_from_slice(seen));
                Ok(Some(Head { size: entry.size(), path: entry.path, bytes }))
            }
            Ok(None) => Ok(None),
            // Not what larder would read, but bytes all the same.
            Err(error) if !self.tar.source_mut().failed && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn content(&mut self, out: &mut [u8]) -> Result<()> {
        self.tar.read_exact(out).map_err(|error| Error::io("cannot read the layer", error))?;
        self.tar.source_mut().drop_front(out.len());
        self.taken += out.len() as u64;
        Ok(())
    }

    fn padding(&mut self, chunk: &mut Buffer) -> Result<()> {
        self.tar.skip_entry()?;
        self.take(self.seen(), |seen| chunk.extend_from_slice(seen));
        Ok(())
    }

    fn tail(&mut self, chunk: &mut Buffer, room: usize) -> Result<usize> {
        let begin = chunk.len();
        self.take(room, |seen| chunk.extend_from_slice(seen));
        let mut buffer = [0; READ];
        while chunk.len() - begin < room {
            let wanted = (room - (chunk.len() - begin)).min(READ);
            match self.tar.source_mut().source.read(&mut buffer[..wanted]) {
                Ok(0) => break,
                Ok(count) => chunk.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read the layer", error)),
            }
        }
        Ok(chunk.len() - begin)
    }
}

/// Keeps what was read until it is dropped.
struct Kept<R> {
    source: R,
    bytes: Vec<u8>,
    /// Where in `bytes` that begins which was not dropped.
    begin: usize,
    /// Whether it was the source that failed, and not what was made of its bytes.
    failed: bool,
}

impl<R> Kept<R> {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    fn drop_front(&mut self, count: usize) {
        self.begin += count.min(self.bytes.len() - self.begin);
        if self.begin == self.bytes.len() {
            self.bytes.clear();
            self.begin = 0;
        } else if self.begin > READ {
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
    }
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.source.read(buf) {
            Ok(count) => {
                self.bytes.extend_from_slice(&buf[..count]);
                Ok(count)
            }
            Err(error) => {
                self.failed |= error.kind() != std::io::ErrorKind::Interrupted;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::changeset::{Item, Node};
    use crate::layer::chunk::Cutter;
    use crate::layer::entry::Xattrs;
    use crate::layer::stream::{Chunks, Items};
    use crate::layer::{Codec, Entry, EntryKind};

    fn chunks(records: impl Records, codec: Codec) -> Result<Vec<Vec<u8>>> {
        let mut chunks = Chunks::new(records, Cutter::of(codec));
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next_chunk(Buffer::default())? {
            all.push(chunk.to_vec());
        }
        Ok(all)
    }

    /// A stream of many small files, with long names among them, and some large ones.
    fn items() -> Vec<Item> {
        let file = |number: usize| {
            let size = match number % 97 {
                13 => 3_000_000,
                14 => 524_288,
                15 => 0,
                other => other * 151,
            };
            let path = if number % 31 == 7 { format!("{}/{number}", "long".repeat(80)) } else { format!("usr/{number:05}") };
            let kind = EntryKind::File { size: size as u64 };
            let entry = Entry { path: path.clone().into(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() };
            let content: Vec<u8> = (0..size).map(|at| ((at * (number + 3)) >> 4).to_le_bytes()[0]).collect();
            Item { path: path.into(), node: Node::Made(Box::new(entry), content.into()) }
        };
        (0..600).map(file).collect()
    }

    fn built(items: &[Item], codec: Codec) -> Vec<Vec<u8>> {
        let run = crate::exec::Run::new(std::num::NonZeroUsize::MIN).expect("threads start");
        chunks(Items::new(&run, items, run.events.start("", None)), codec).expect("in memory")
    }

    #[test]
    fn what_larder_built_is_cut_where_building_cut_it() {
        let items = items();
        for codec in [Codec::Gzip(6), Codec::Zstd(3), Codec::None] {
            let expected = built(&items, codec);
            assert!(expected.len() > 5, "{}", expected.len());
            let stream = expected.concat();
            // However little the source gives at once.
            for step in [1 << 20, 8191] {
                let found = chunks(Raw::new(Small { bytes: &stream, step }), codec).expect("readable");
                assert!(found == expected, "{codec} {step}");
            }
        }
    }

    #[test]
    fn tar_53_every_byte_is_passed_on_whatever_it_means() {
        let stream = built(&items()[..20], Codec::default()).concat();
        let first = stream.iter().position(|byte| *byte == 0).expect("there are zeros");
        let mut damaged = stream.clone();
        damaged[first + 600_000] ^= 1;
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("no tar", b"hello".repeat(100_000)),
            ("no end", stream[..stream.len() - 1024].to_vec()),
            ("padding of a whole record", [&stream[..], &[0; 9000]].concat()),
            ("data behind the end", [&stream[..], &vec![7; 5_000_000][..]].concat()),
            ("another archive behind the end", [&stream[..], &stream].concat()),
            ("a damaged header or content", damaged),
            ("hidden data in padding", [&stream[..512], &vec![9; stream.len()][..]].concat()),
        ] {
            let found = chunks(Raw::new(&bytes[..]), Codec::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(found.concat() == bytes, "{what}");
            assert!(found.iter().all(|chunk| chunk.len() <= Cutter::of(Codec::default()).max()), "{what}");
            assert!(!found.is_empty(), "{what}");
        }
    }

    #[test]
    fn cmp_14_a_source_that_fails_is_the_error_and_not_the_end() {
        let stream = built(&items(), Codec::default()).concat();
        for at in [0, 511, 512, 100_000, 2_000_000] {
            let source = (&stream[..at]).chain(Failing);
            let error = chunks(Raw::new(source), Codec::default()).expect_err("it fails");
            assert_eq!((error.kind(), error.causes().is_empty()), (ErrorKind::Corrupt, false), "{at}: {error}");
            assert!(error.causes().iter().chain([&error.message().to_owned()]).any(|line| line.contains("broken source")), "{at}: {error}");
        }
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(Error::corrupt("broken source").into())
        }
    }

    struct Small<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Small<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let wanted = buf.len().min(self.step);
            self.bytes.read(&mut buf[..wanted])
        }
    }
}
