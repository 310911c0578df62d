#![allow(clippy::unwrap_used)]

use std::io::Write;

use flate2::GzBuilder;
use flate2::write::GzEncoder;

use super::*;
use crate::error::ErrorKind;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd_frame(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    [&[0x5e, 0x2a, 0x4d, 0x18], &u32::try_from(content.len()).unwrap().to_le_bytes()[..], content].concat()
}

/// A frame with the given header behind the magic number, and one raw block.
fn raw_frame(header: &[u8], content: &[u8]) -> Vec<u8> {
    let block = u32::try_from(content.len() << 3).unwrap() | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd], header, &block.to_le_bytes()[..3], content].concat()
}

fn decode(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder(compression, bytes)?.read_to_end(&mut out).map_err(|error| Error::io("cannot decompress", error))?;
    Ok(out)
}

#[track_caller]
fn corrupt(compression: Compression, bytes: &[u8]) {
    let error = decode(compression, bytes).expect_err("must be refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error} {:?}", error.causes());
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0] & 0x3f
    };
    (0..length).map(step).collect()
}

#[test]
fn cmp_01_all_members_of_a_gzip_stream() {
    let (a, b) = (noise(100_000), noise(70_000));
    assert!(decode(Compression::Gzip, &[gzip(&a), gzip(&b)].concat()).unwrap() == [&a[..], &b].concat());
    assert!(decode(Compression::Gzip, &[gzip(b""), gzip(&a), gzip(b""), gzip(&b), gzip(b"")].concat()).unwrap() == [a, b].concat());
}

#[test]
fn cmp_02_something_behind_a_gzip_stream() {
    let whole = gzip(&noise(1000));
    for tail in [&b"x"[..], &[0; 512], b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0\0", &gzip(b"abc")[..10], b"garbage that is longer than a header"] {
        corrupt(Compression::Gzip, &[&whole[..], tail].concat());
    }
}

#[test]
fn cmp_03_damaged_gzip_streams() {
    let content = noise(5000);
    let whole = gzip(&content);
    for length in 0..whole.len() {
        corrupt(Compression::Gzip, &whole[..length]);
    }
    for (at, what) in [(whole.len() - 1, "ISIZE"), (whole.len() - 5, "CRC"), (2, "method"), (3, "reserved flags")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        assert!(decode(Compression::Gzip, &bytes).is_err(), "{what}");
        corrupt(Compression::Gzip, &bytes);
    }
}

#[test]
fn cmp_03_long_gzip_header_fields() {
    let mut encoder = GzBuilder::new().extra(vec![7; 65_535]).filename(vec![b'n'; 65_535]).comment("c").write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"content").unwrap();
    assert_eq!(decode(Compression::Gzip, &encoder.finish().unwrap()).unwrap(), b"content");
}

#[test]
fn cmp_06_zstandard_windows() {
    let window = |log: u8| raw_frame(&[0, (log - 10) << 3], b"content");
    assert_eq!(decode(Compression::Zstd, &window(27)).unwrap(), b"content");
    let single_segment = raw_frame(&[&[0xe0], &(8u64 << 30).to_le_bytes()[..]].concat(), b"content");
    let second = [zstd_frame(b"abc"), window(28)].concat();
    for bytes in [window(28), window(31), window(41), single_segment, second] {
        let error = decode(Compression::Zstd, &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error} {:?}", error.causes());
        assert!(error.causes().iter().any(|line| line.contains("128 MiB")) && error.hint_text().unwrap().contains("--long=27"));
    }
}

#[test]
fn cmp_07_frames_of_a_zstandard_stream() {
    let (a, b) = (noise(300_000), noise(70_000));
    let frames = [skippable(b"table"), zstd_frame(&a), skippable(b""), zstd_frame(b""), zstd_frame(&b), skippable(&[7; 100_000])].concat();
    assert!(decode(Compression::Zstd, &frames).unwrap() == [a, b].concat());
    assert_eq!(decode(Compression::Zstd, &zstd_frame(b"")).unwrap(), b"");
}

#[test]
fn cmp_07_damaged_zstandard_streams() {
    let whole = zstd_frame(&noise(5000));
    for length in 0..whole.len() {
        corrupt(Compression::Zstd, &whole[..length]);
    }
    for tail in [&b"x"[..], &[0; 512], &[0x28, 0xb5], &skippable(b"abc")[..9], b"garbage that is longer than a header", &gzip(b"abc")] {
        corrupt(Compression::Zstd, &[&whole[..], tail].concat());
    }
    let mut checksum = whole.clone();
    *checksum.last_mut().unwrap() ^= 1;
    corrupt(Compression::Zstd, &checksum);
    // One byte of dictionary ID, before the window.
    corrupt(Compression::Zstd, &raw_frame(&[1, 0x88, 42], b"content"));
}

#[test]
fn cmp_08_and_cmp_09_content_that_is_not_what_the_media_type_says() {
    let tar = vec![0; 1024];
    let wrong = [
        (Compression::Gzip, tar.clone(), "an uncompressed tar"),
        (Compression::Gzip, zstd_frame(b"x"), "Zstandard"),
        (Compression::Gzip, b"BZh91AY&SY".to_vec(), "bzip2"),
        (Compression::Gzip, b"\xfd7zXZ\0".to_vec(), "xz"),
        (Compression::Gzip, Vec::new(), "empty"),
        (Compression::Zstd, gzip(b"x"), "gzip"),
        (Compression::Zstd, tar.clone(), "an uncompressed tar"),
        (Compression::Zstd, b"\x04\x22\x4d\x18".to_vec(), "lz4"),
        (Compression::None, gzip(&tar), "gzip"),
        (Compression::None, zstd_frame(&tar), "Zstandard"),
    ];
    for (compression, bytes, name) in wrong {
        let error = decode(compression, &bytes).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.message().ends_with(&format!("but is {name}")), "{error}");
    }
}

#[test]
fn cmp_10_empty_content() {
    assert_eq!(decode(Compression::Gzip, &gzip(b"")).unwrap(), b"");
    assert_eq!(decode(Compression::None, b"").unwrap(), b"");
    assert_eq!(decode(Compression::None, &[0; 1024]).unwrap(), [0; 1024]);
    corrupt(Compression::Gzip, b"");
    corrupt(Compression::Zstd, b"");
}

#[test]
fn cmp_14_nothing_comes_after_damage() {
    for (compression, mut bytes) in [(Compression::Gzip, gzip(&noise(300_000))), (Compression::Zstd, zstd_frame(&noise(300_000)))] {
        bytes.truncate(bytes.len() / 2);
        let mut reader = decoder(compression, &bytes[..]).unwrap();
        let mut out = Vec::new();
        assert!(reader.read_to_end(&mut out).is_err());
        assert!(noise(300_000).starts_with(&out), "nothing but what was decoded");
        for _ in 0..3 {
            assert!(reader.read(&mut [0; 10]).is_err());
        }
    }
}

#[test]
fn what_the_first_bytes_say() {
    let mut header = Vec::new();
    let entry =
        crate::tar::Entry { path: b"a".to_vec(), kind: crate::tar::EntryKind::Directory, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: Default::default() };
    crate::tar::write::header(&entry, &mut header).unwrap();
    for (bytes, expected) in [
        (gzip(b"x"), Ok(Compression::Gzip)),
        (zstd_frame(b"x"), Ok(Compression::Zstd)),
        (skippable(b"x"), Ok(Compression::Zstd)),
        (header, Ok(Compression::None)),
        (vec![0; 1024], Ok(Compression::None)),
        (Vec::new(), Err(ErrorKind::Corrupt)),
        (vec![0; 100], Err(ErrorKind::Corrupt)),
        (b"BZh9".to_vec(), Err(ErrorKind::Unsupported)),
        (noise(1000), Err(ErrorKind::Corrupt)),
    ] {
        assert_eq!(sniff(&bytes), expected.ok());
        let opened = sniffing_decoder(&bytes[..]).map(|(compression, _)| compression).map_err(|error| error.kind());
        assert_eq!(opened, expected);
    }
    let bytes = gzip(b"content");
    let (_, mut reader) = sniffing_decoder(&bytes[..]).unwrap();
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    assert_eq!(out, "content");
}

/// Gives one byte at a time, with interruptions, and then an error.
struct Slow<'a>(&'a [u8], u32, Option<fn() -> std::io::Error>);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        match self.2 {
            _ if self.1.is_multiple_of(3) => Err(std::io::ErrorKind::Interrupted.into()),
            Some(error) if self.0.is_empty() => Err(error()),
            _ => {
                let length = buf.len().min(1);
                self.0.read(&mut buf[..length])
            }
        }
    }
}

#[test]
fn slow_and_interrupted_sources() {
    let content = noise(2000);
    for (compression, bytes) in [
        (Compression::Gzip, [gzip(&content), gzip(b"")].concat()),
        (Compression::Zstd, [zstd_frame(&content), skippable(b"x")].concat()),
        (Compression::None, content.clone()),
    ] {
        let mut out = Vec::new();
        decoder(compression, Slow(&bytes, 0, None)).unwrap().read_to_end(&mut out).unwrap();
        assert!(out == content);
    }
}

#[test]
fn an_error_of_the_source_stays_what_it_is() {
    let content = noise(2000);
    for (compression, bytes) in [(Compression::Gzip, gzip(&content)), (Compression::Zstd, zstd_frame(&content)), (Compression::None, content.clone())] {
        for length in [0, 5, 300, 600, 1000, bytes.len()] {
            let fail = |error| {
                let opened = decoder(compression, Slow(&bytes[..length.min(bytes.len())], 0, Some(error)));
                opened.and_then(|mut reader| reader.read_to_end(&mut Vec::new()).map_err(|error| Error::io("cannot decompress", error))).unwrap_err()
            };
            assert_eq!(fail(|| std::io::Error::from_raw_os_error(5)).kind(), ErrorKind::Io);
            assert_eq!(fail(|| std::io::ErrorKind::UnexpectedEof.into()).kind(), ErrorKind::Io);
            assert_eq!(fail(|| Error::interrupted().into()).kind(), ErrorKind::Interrupted);
        }
    }
}
