//! How layers are compressed: the algorithm, its level, and what one compressed chunk is.
//!
//! A layer is compressed chunk by chunk. Chunks are independent of each other, so they can be made on any thread and taken over
//! from an earlier layer; where a chunk begins depends on the tar stream alone (see `chunk`). Together with the encoders this is the
//! byte contract of larder: the same entries give the same layer digest for ever. Golden digests in the tests pin it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use super::{deflate, gzip};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::media_type::Compression;

/// A compression with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// No compression: the blob is the tar.
    None,
    /// One gzip member, by larder's own encoder.
    Gzip(u8),
    /// One zstd frame for each chunk, by libzstd.
    Zstd(u8),
}

/// The levels a person may ask for, and the one that is taken when nobody asks.
const GZIP_LEVELS: std::ops::RangeInclusive<u8> = 1..=9;
const GZIP_DEFAULT: u8 = 6;
/// Above 19 libzstd wants windows that some readers refuse.
const ZSTD_LEVELS: std::ops::RangeInclusive<u8> = 1..=19;
const ZSTD_DEFAULT: u8 = 3;

impl Default for Codec {
    /// Gzip, which every reader of images understands.
    fn default() -> Self {
        Codec::Gzip(GZIP_DEFAULT)
    }
}

impl Codec {
    /// The algorithm without its level.
    pub fn compression(self) -> Compression {
        match self {
            Codec::None => Compression::None,
            Codec::Gzip(_) => Compression::Gzip,
            Codec::Zstd(_) => Compression::Zstd,
        }
    }

    /// Names everything that decides bytes: encoder, its contract version, level and chunking. Cached chunks of another contract are not used.
    pub fn contract(self) -> String {
        format!("{self}/{}", super::chunk::CONTRACT)
    }
}

impl From<Compression> for Codec {
    /// With the level that is taken when nobody asks.
    fn from(compression: Compression) -> Codec {
        match compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip(GZIP_DEFAULT),
            Compression::Zstd => Codec::Zstd(ZSTD_DEFAULT),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Codec::None => f.write_str("none"),
            Codec::Gzip(level) => write!(f, "gzip:{level}"),
            Codec::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Codec {
    type Err = Error;

    /// Reads `gzip`, `gzip:9`, `zstd`, `zstd:6`, `none` or `uncompressed`; anything else is a `usage` error.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::usage(format!("unknown compression `{}`", crate::spec::text::shown(text)))
                .hint("use gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19, or none")
        };
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let codec = match (name, level) {
            ("none" | "uncompressed", None) => Codec::None,
            ("gzip", level) => Codec::Gzip(level.unwrap_or(GZIP_DEFAULT)),
            ("zstd", level) => Codec::Zstd(level.unwrap_or(ZSTD_DEFAULT)),
            _ => return Err(bad()),
        };
        let valid = match codec {
            Codec::None => true,
            Codec::Gzip(level) => GZIP_LEVELS.contains(&level),
            Codec::Zstd(level) => ZSTD_LEVELS.contains(&level),
        };
        if valid { Ok(codec) } else { Err(bad()) }
    }
}

/// One compressed chunk.
#[derive(Debug)]
pub(super) struct Compressed {
    pub(super) bytes: Vec<u8>,
    /// CRC-32 of the chunk before compression; zero where the format has no use for it.
    pub(super) crc: u32,
}

/// Compresses chunks on any number of threads. Keeps the encoders' working memory between chunks.
pub(super) struct Encoder {
    codec: Codec,
    gzip: Mutex<Vec<deflate::Encoder>>,
    zstd: Mutex<Vec<zstd::bulk::Compressor<'static>>>,
}

impl Encoder {
    pub(super) fn new(codec: Codec) -> Self {
        Encoder { codec, gzip: Mutex::new(Vec::new()), zstd: Mutex::new(Vec::new()) }
    }

    /// What stands before the first chunk.
    pub(super) fn begin(&self) -> &'static [u8] {
        match self.codec {
            Codec::Gzip(_) => &gzip::HEADER,
            Codec::None | Codec::Zstd(_) => &[],
        }
    }

    /// Compresses one chunk into `bytes`, which is empty. The result depends on the chunk and the codec alone.
    pub(super) fn compress(&self, chunk: &[u8], mut bytes: Vec<u8>) -> Result<Compressed> {
        match self.codec {
            Codec::None => {
                bytes.reserve_exact(chunk.len());
                bytes.extend_from_slice(chunk);
                Ok(Compressed { bytes, crc: 0 })
            }
            Codec::Gzip(level) => {
                let mut encoder = take(&self.gzip).map_or_else(|| deflate::Encoder::new(level), Ok)?;
                bytes.reserve(chunk.len() / 2);
                encoder.encode_chunk(chunk, &mut bytes);
                give(&self.gzip, encoder);
                Ok(Compressed { bytes, crc: crc32fast::hash(chunk) })
            }
            Codec::Zstd(level) => {
                let failed = |error: std::io::Error| Error::new(ErrorKind::Io, "cannot compress with zstd").because(error);
                let mut encoder = take(&self.zstd).map_or_else(|| zstd::bulk::Compressor::new(i32::from(level)).map_err(failed), Ok)?;
                bytes.reserve_exact(zstd::zstd_safe::compress_bound(chunk.len()));
                encoder.compress_to_buffer(chunk, &mut bytes).map_err(failed)?;
                give(&self.zstd, encoder);
                Ok(Compressed { bytes, crc: 0 })
            }
        }
    }

    /// What stands after the last chunk, given all that was compressed.
    pub(super) fn end(&self, crc: &crc32fast::Hasher, uncompressed: u64) -> Vec<u8> {
        match self.codec {
            Codec::Gzip(_) => gzip::trailer(crc.clone().finalize(), uncompressed).to_vec(),
            Codec::None => Vec::new(),
            Codec::Zstd(_) => Vec::new(),
        }
    }
}

fn take<T>(idle: &Mutex<Vec<T>>) -> Option<T> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn give<T>(idle: &Mutex<Vec<T>>, encoder: T) {
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(encoder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_refuses_the_rest() {
        for text in ["none", "gzip:1", "gzip:9", "zstd:1", "zstd:19"] {
            assert_eq!(text.parse::<Codec>().expect("valid").to_string(), text);
        }
        assert_eq!("gzip".parse::<Codec>().expect("valid"), Codec::default());
        for text in ["", "gzip:0", "gzip:10", "gzip:", "zstd:20", "zstd:-1", "none:1", "bzip2", "GZIP", "gzip:1:2"] {
            assert!(text.parse::<Codec>().is_err(), "{text:?}");
        }
    }
}
