//! Decompression of tar streams, in this process: no helper program is ever run.
//!
//! All members of a gzip stream and all frames of a Zstandard stream are read, and nothing may stand behind them: RFC 1952, RFC 8878. Damage is an error of
//! kind `corrupt`; what the source fails with stays what it is.

pub mod packed;

use std::io::{BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge;

use crate::error::{Error, Result};
use crate::spec::media_type::Compression;

/// The binary logarithm of the largest Zstandard window: 128 MiB, what every decoder takes without being asked (`zstd --long=27`). The window is held in memory.
pub const MAX_WINDOW_LOG: u32 = 27;

/// How many bytes of a stream are enough to tell what it is.
pub const HEAD: usize = 512;

/// How much compressed data is read at once.
const BUFFER: usize = 64 * 1024;

/// What a stream that begins with `head`, at most [`HEAD`] bytes of it, is; none where it is nothing that larder reads as a layer.
pub fn sniff(head: &[u8]) -> Option<Compression> {
    match Look::at(head) {
        Look::Gzip => Some(Compression::Gzip),
        Look::Zstd => Some(Compression::Zstd),
        Look::Tar => Some(Compression::None),
        Look::Other(_) => None,
    }
}

/// The error of kind `unsupported` for a stream that begins with `head`, where [`sniff`] says none. What is empty or unknown is of kind `corrupt`.
pub fn refusal(head: &[u8]) -> Error {
    let look = Look::at(head);
    let message = format!("the content is {}, neither a tar nor one compressed with gzip or Zstandard", look.name());
    match look {
        Look::Other("empty" | "something else") => Error::corrupt(message),
        _ => Error::unsupported(message).hint("compress it again with gzip or zstd"),
    }
}

/// Decompresses `reader`, which must be what `compression` says.
///
/// Fails with kind `corrupt` when it begins otherwise. The reader that is returned fails with an [`Error`] inside: `corrupt` for damage and for whatever stands
/// behind the end, `unsupported` for a Zstandard window beyond [`MAX_WINDOW_LOG`].
pub fn decoder<'a>(compression: Compression, reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let (head, source) = begin(reader)?;
    let look = Look::at(&head);
    let fits = match compression {
        Compression::Gzip => look == Look::Gzip,
        Compression::Zstd => look == Look::Zstd,
        // Whether it is a tar is for who reads it to say.
        Compression::None => !matches!(look, Look::Gzip | Look::Zstd),
    };
    if !fits {
        let wanted = Look::of(compression).name();
        return Err(Error::corrupt(format!("the content should be {wanted} but is {}", look.name())));
    }
    open(compression, source)
}

/// Decompresses `reader` as its first bytes say. Also tells which compression that was.
///
/// Fails as [`refusal`] says when they are those of no kind of layer; else as [`decoder`].
pub fn sniffing_decoder<'a>(reader: impl Read + Send + 'a) -> Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let (head, source) = begin(reader)?;
    let compression = sniff(&head).ok_or_else(|| refusal(&head))?;
    Ok((compression, open(compression, source)?))
}

fn open<'a>(compression: Compression, source: Source<impl Read + Send + 'a>) -> Result<Box<dyn Read + Send + 'a>> {
    let cannot = |error| Error::io("cannot start decompression", error);
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(Checked::new("gzip", MultiGzDecoder::new(BufReader::with_capacity(BUFFER, source)))),
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::with_buffer(BufReader::with_capacity(BUFFER, source)).map_err(cannot)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(cannot)?;
            Box::new(Checked::new("Zstandard", decoder))
        }
    })
}

/// Reads the first bytes and puts them back.
fn begin<R: Read>(mut reader: R) -> Result<(Vec<u8>, Source<R>)> {
    let mut head = Vec::with_capacity(HEAD);
    (&mut reader).take(HEAD as u64).read_to_end(&mut head).map_err(|error| Error::io("cannot read the content", error))?;
    Ok((head.clone(), Source { inner: Cursor::new(head).chain(reader), failed: false }))
}

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Gzip,
    Zstd,
    Tar,
    Other(&'static str),
}

impl Look {
    fn at(head: &[u8]) -> Look {
        match head {
            [0x1f, 0x8b, ..] => Look::Gzip,
            // A frame, or a skippable frame before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Look::Zstd,
            [] => Look::Other("empty"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Look::Other("xz"),
            [b'B', b'Z', b'h', ..] => Look::Other("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Look::Other("lz4"),
            [b'P', b'K', 3, 4, ..] => Look::Other("zip"),
            _ if super::is_header(head) => Look::Tar,
            _ => Look::Other("something else"),
        }
    }

    fn of(compression: Compression) -> Look {
        match compression {
            Compression::None => Look::Tar,
            Compression::Gzip => Look::Gzip,
            Compression::Zstd => Look::Zstd,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Look::Gzip => "gzip",
            Look::Zstd => "Zstandard",
            Look::Tar => "an uncompressed tar",
            Look::Other(name) => name,
        }
    }
}

/// A source that remembers whether it was the one that failed.
struct Source<R> {
    inner: Chain<Cursor<Vec<u8>>, R>,
    failed: bool,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.inner.read(buf) {
                // Decoders would lose their place.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => {
                    self.failed = result.is_err();
                    return result;
                }
            }
        }
    }
}

/// A decoder over a [`Source`].
trait Decoder: Read {
    fn source_failed(&self) -> bool;
}

impl<R: Read> Decoder for MultiGzDecoder<BufReader<Source<R>>> {
    fn source_failed(&self) -> bool {
        self.get_ref().get_ref().failed
    }
}

impl<R: Read> Decoder for ZstdDecoder<'_, BufReader<Source<R>>> {
    fn source_failed(&self) -> bool {
        self.get_ref().get_ref().failed
    }
}

/// A decoder whose own failures are errors of larder, and which never goes on after one.
struct Checked<D> {
    decoder: D,
    name: &'static str,
    failed: bool,
}

impl<D> Checked<D> {
    fn new(name: &'static str, decoder: D) -> Self {
        Checked { decoder, name, failed: false }
    }

    fn explain(&self, error: std::io::Error) -> Error {
        let own = error.get_ref().and_then(|inner| inner.downcast_ref::<zstd::Error>());
        if own.is_some_and(|own| own.is(ZSTD_error_frameParameter_windowTooLarge)) {
            return Error::unsupported(format!("the Zstandard stream needs a window of more than {} MiB", (1u64 << MAX_WINDOW_LOG) >> 20))
                .hint(format!("compress it again with a window of at most 2^{MAX_WINDOW_LOG} bytes, as `zstd --long={MAX_WINDOW_LOG}` does"));
        }
        if error.kind() == std::io::ErrorKind::OutOfMemory {
            return Error::unsupported(format!("the {} stream needs a dictionary that takes too much memory", self.name))
                .hint("compress it again with a smaller one, as `xz -9` does");
        }
        let message = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => format!("the {} stream ends too early", self.name),
            _ => format!("the {} stream is damaged", self.name),
        };
        Error::corrupt(message).because(error)
    }
}

impl<D: Decoder> Read for Checked<D> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.failed {
            return Err(Error::corrupt(format!("the {} stream could not be read before this", self.name)).into());
        }
        self.decoder.read(buf).map_err(|error| {
            self.failed = true;
            if self.decoder.source_failed() { error } else { self.explain(error).into() }
        })
    }
}

#[cfg(test)]
mod tests;
