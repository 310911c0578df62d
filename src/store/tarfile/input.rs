//! The file that an archive is read from: readable at every offset and not compressed.
//!
//! A file that is a plain tar is read where it lies. One that is compressed, and one that comes through a pipe, is written once into a file without a name.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FileType;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::exec::{Cancel, Task};
use crate::fsio::{Dir, durable, regular};
use crate::spec::media_type::Compression;
use crate::spec::text;
use crate::store::Options;
use crate::tar::decode;

use super::extent::Extent;

/// What stands for stdin and stdout in place of a path.
pub(in crate::store) const STREAM: &str = "-";

/// How much an archive may grow when it is decompressed.
#[derive(Clone, Copy)]
struct Expansion {
    /// Bytes that are always fine.
    floor: u64,
    /// How many times its size it may become above that.
    ratio: u64,
}

/// Above 1 GiB, 200 times: what archives hold is compressed already or shrinks to a tenth; only bombs shrink this much.
const EXPANSION: Expansion = Expansion { floor: 1 << 30, ratio: 200 };

/// How much is copied at once.
const CHUNK: usize = 1 << 20;

/// A plain tar in a file.
#[derive(Debug)]
pub(in crate::store) struct Input {
    /// The file.
    pub(in crate::store) file: Arc<File>,
    /// Its size in bytes.
    pub(in crate::store) size: u64,
    /// What to call it in messages.
    pub(in crate::store) shown: String,
    /// How the archive was compressed.
    pub(in crate::store) compression: Compression,
}

impl Input {
    /// Opens the archive at `path`, or stdin for `-`.
    ///
    /// Kinds: `not_found` where there is none; `corrupt` where something else is there; `unsupported` for other compressions and beyond the limits of expansion;
    /// `usage` where there is no stdin.
    pub(in crate::store) fn open(path: &Path, options: &Options) -> Result<Input> {
        if path == Path::new(STREAM) {
            return Input::standard(options);
        }
        let shown = text::path(path).into_owned();
        let regular = regular::open_path(path).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.hint("an archive that is no file can come through stdin: write `-` in place of the path"),
            _ => error,
        })?;
        Input::of(Arc::new(regular.file), regular.size, shown, options)
    }

    /// The file at `path`, where it is a tar that is not compressed.
    pub(super) fn plain(path: &Path) -> Option<Input> {
        let regular = regular::open_path(path).ok()?;
        let mut head = Vec::new();
        (&regular.file).take(decode::HEAD as u64).read_to_end(&mut head).ok()?;
        let shown = text::path(path).into_owned();
        let input = Input { file: Arc::new(regular.file), size: regular.size, shown, compression: Compression::None };
        (decode::sniff(&head) == Some(Compression::None)).then_some(input)
    }

    fn standard(options: &Options) -> Result<Input> {
        let Some(stdin) = &options.stdin else {
            return Err(Error::usage("there is no archive on stdin").hint("redirect stdin from a file or a pipe"));
        };
        let shown = "stdin".to_owned();
        let stat = rustix::fs::fstat(stdin).at("examine", Path::new(&shown))?;
        let at_its_beginning = rustix::fs::tell(stdin).is_ok_and(|at| at == 0);
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && at_its_beginning {
            return Input::of(stdin.clone(), stat.st_size.cast_unsigned(), shown, options);
        }
        let (compression, file, size) = spool(stdin.as_ref(), None, &shown, options, EXPANSION)?;
        Ok(Input { file, size, shown, compression })
    }

    /// The archive in `file`, which is `size` bytes long. Errors as [`open`](Self::open).
    pub(super) fn of(file: Arc<File>, size: u64, shown: String, options: &Options) -> Result<Input> {
        let mut head = Vec::new();
        let extent = Extent { offset: 0, size };
        extent.read(&file).take(decode::HEAD as u64).read_to_end(&mut head).at("read", Path::new(&shown))?;
        match decode::sniff(&head) {
            Some(Compression::None) => Ok(Input { file, size, shown, compression: Compression::None }),
            Some(_) => {
                let (compression, file, size) = spool(extent.read(&file), Some(size), &shown, options, EXPANSION)?;
                Ok(Input { file, size, shown, compression })
            }
            None => Err(decode::refusal(&head).context(format!("cannot read {shown} as an archive")).subject(&shown)),
        }
    }

    /// The whole file.
    pub(in crate::store) fn extent(&self) -> Extent {
        Extent { offset: 0, size: self.size }
    }
}

/// Writes what `source` decompresses to into a file without a name.
fn spool(source: impl Read + Send, total: Option<u64>, shown: &str, options: &Options, limit: Expansion) -> Result<(Compression, Arc<File>, u64)> {
    let dir = Arc::new(Dir::open(&options.temporary).map_err(|error| error.hint("give another directory for temporary files in TMPDIR"))?);
    let file = durable::scratch_file(&dir)?;
    let taken = AtomicU64::new(0);
    let task = options.events.start(format!("read {shown}"), total);
    let source = Counted { source, taken: &taken, task: &task, cancel: &options.cancel };
    let cannot = |error: Error| error.context(format!("cannot read {shown} as an archive")).subject(shown);
    let (compression, mut plain) = decode::sniffing_decoder(source).map_err(cannot)?;
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = match plain.read(&mut buffer) {
            Ok(0) => return Ok((compression, Arc::new(file), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(format!("cannot read {shown} as an archive"), error).subject(shown)),
        };
        size += count as u64;
        if size > limit.floor && size / limit.ratio > taken.load(Ordering::Relaxed) {
            let message = format!("it expands to more than {} times its size", limit.ratio);
            return Err(cannot(Error::unsupported(message).hint("if it is meant to, decompress it with another tool first")));
        }
        let keep = |error| Error::io(format!("cannot keep a copy of {shown} in {}", text::path(dir.path())), error);
        (&file).write_all(&buffer[..count]).map_err(|error| {
            keep(error).subject(text::path(dir.path())).hint("give a directory with more room in TMPDIR, or give the archive as an uncompressed file")
        })?;
    }
}

/// A source that is counted, shown and stopped.
struct Counted<'a, R> {
    source: R,
    taken: &'a AtomicU64,
    task: &'a Task,
    cancel: &'a Cancel,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        let count = self.source.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        self.task.advance(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arc_11_an_archive_that_only_expands_is_refused() {
        let packed = zstd::bulk::compress(&vec![0; 3 << 20], 3).expect("compressed");
        let expand = |floor, ratio| spool(&packed[..], None, "x", &Options::default(), Expansion { floor, ratio }).map(|(_, _, size)| size);
        assert_eq!(expand(3 << 20, 1).expect("below the floor"), 3 << 20);
        let ratio = (3 << 20) / packed.len() as u64;
        assert_eq!(expand(0, ratio).expect("within the ratio"), 3 << 20);
        let error = expand(0, ratio / 2).expect_err("beyond");
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Unsupported, Some("x")));
        assert!(error.hint_text().is_some_and(|hint| hint.contains("decompress")));
    }
}
