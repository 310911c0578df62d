//! Archives that people bring: compressed as layers are, or with xz or bzip2, which no layer may be.

use std::io::{BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;

use super::{BUFFER, Checked, Decoder, Look, Source, begin, open};
use crate::error::Result;
use crate::spec::media_type::Compression;

/// The largest xz dictionary in KiB: twice that of `xz -9`. It is held in memory.
const MAX_DICTIONARY: u32 = 128 << 10;

/// Decompresses `reader`, which begins with `head`, as that says; none where it is not compressed, or in an unknown way.
///
/// The reader that is returned fails as that of [`super::decoder`].
pub fn decoder<'a>(head: &[u8], reader: impl Read + Send + 'a) -> Result<Option<Box<dyn Read + Send + 'a>>> {
    let look = Look::at(head);
    let buffered = |source| BufReader::with_capacity(BUFFER, source);
    Ok(match look {
        Look::Gzip => Some(open(Compression::Gzip, begin(reader)?.1)?),
        Look::Zstd => Some(open(Compression::Zstd, begin(reader)?.1)?),
        Look::Other("xz") => Some(Box::new(Checked::new("xz", XzReader::new_mem_limit(buffered(begin(reader)?.1), true, MAX_DICTIONARY)))),
        Look::Other("bzip2") => Some(Box::new(Checked::new("bzip2", MultiBzDecoder::new(buffered(begin(reader)?.1))))),
        Look::Tar | Look::Other(_) => None,
    })
}

impl<R: Read> Decoder for XzReader<BufReader<Source<R>>> {
    fn source_failed(&self) -> bool {
        self.inner().get_ref().failed
    }
}

impl<R: Read> Decoder for MultiBzDecoder<BufReader<Source<R>>> {
    fn source_failed(&self) -> bool {
        self.get_ref().get_ref().failed
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::error::{Error, ErrorKind};

    const CONTENT: &[u8] = b"abcabcabcabcabc";

    /// What `xz` makes of it.
    const XZ: [u8; 68] = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0xe0,
        0x00, 0x0e, 0x00, 0x08, 0x5d, 0x00, 0x30, 0x98, 0x88, 0xa9, 0x1b, 0x55, 0xd0, 0x00, 0x00, 0x49, 0xfa, 0xac, 0x2a, 0xc9, 0xba, 0x41, 0x45, 0x00, 0x01,
        0x24, 0x0f, 0x1c, 0x49, 0xd1, 0x41, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
    ];

    /// What `bzip2` makes of it.
    const BZIP2: [u8; 40] = [
        0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x78, 0x31, 0x87, 0xca, 0x00, 0x00, 0x02, 0x01, 0x00, 0x38, 0x00, 0x20, 0x00, 0x30, 0xcc,
        0x08, 0x9a, 0x49, 0x92, 0x4e, 0x2e, 0xe4, 0x8a, 0x70, 0xa1, 0x20, 0xf0, 0x63, 0x0f, 0x94,
    ];

    fn decode(bytes: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let mut reader = decoder(bytes, Cursor::new(bytes.to_vec()))?.expect("compressed");
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| Error::io("cannot read", error))?;
        Ok(content)
    }

    #[test]
    fn what_people_compress_is_read() {
        for packed in [&XZ[..], &BZIP2] {
            assert_eq!(decode(packed).expect("whole"), CONTENT);
            assert_eq!(decode(&[packed, packed].concat()).expect("two streams"), [CONTENT, CONTENT].concat());
        }
        assert!(decoder(&[0; 512], Cursor::new(vec![0; 512])).expect("nothing is read").is_none());
        assert!(decoder(b"text", Cursor::new(b"text".to_vec())).expect("nothing is read").is_none());
    }

    #[test]
    fn damage_is_an_error_that_says_so() {
        for packed in [&XZ[..], &BZIP2] {
            for length in 10..packed.len() {
                let error = decode(&packed[..length]).expect_err("too short");
                assert!(error.kind() == ErrorKind::Corrupt && error.causes()[0].ends_with("ends too early"), "{length}: {:?}", error.causes());
            }
            for position in 10..packed.len() - 1 {
                let mut damaged = packed.to_vec();
                damaged[position] ^= 0x41;
                assert!(decode(&damaged).is_ok_and(|content| content == CONTENT) || decode(&damaged).is_err(), "{position}");
            }
            assert_eq!(decode(&[packed, b"tail"].concat()).expect_err("more").kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_dictionary_that_takes_too_much_memory_is_refused() {
        let mut huge = XZ;
        huge[16] = 40;
        let sum = crc32fast::hash(&huge[12..20]).to_le_bytes();
        huge[20..24].copy_from_slice(&sum);
        let error = decode(&huge).expect_err("4 GiB");
        assert!(error.kind() == ErrorKind::Unsupported && error.causes()[0].contains("dictionary"), "{:?}", error.causes());
    }
}
