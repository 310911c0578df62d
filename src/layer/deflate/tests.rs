use std::io::Read;

use proptest::prelude::*;

use super::block::BlockWriter;
use super::processor::Work as _;
use super::{Encoder, Finders, Parse};
use crate::spec::Digest;

const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;

fn encode(level: u8, chunk: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(level).expect("a level").encode_chunk(chunk, &mut out);
    out
}

/// Decodes joined chunks with two decoders that share no code.
#[track_caller]
fn decode(mut stream: Vec<u8>, size: usize) -> Vec<u8> {
    stream.extend_from_slice(&[3, 0]);
    let mut first = Vec::new();
    flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut first).expect("flate2 reads it");
    let mut second = vec![0; size];
    let length = libdeflater::Decompressor::new().deflate_decompress(&stream, &mut second).expect("libdeflate reads it");
    assert!(length == size && first == second);
    first
}

#[track_caller]
fn round_trip(level: u8, chunk: &[u8]) -> usize {
    let stream = encode(level, chunk);
    assert!(stream.ends_with(&[0, 0, 0xff, 0xff]), "level {level}: ends at a byte boundary");
    let size = stream.len();
    assert!(decode(stream, chunk.len()) == chunk, "level {level}, {} bytes", chunk.len());
    size
}

/// A generator of our own, so that nobody else's version changes the corpus.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }

    /// Words of a small vocabulary, as text has them.
    fn words(&mut self, count: usize) -> Vec<u8> {
        let vocabulary: Vec<Vec<u8>> = (0..500)
            .map(|_| {
                let length = 1 + self.next() % 11;
                (0..length).map(|_| b'a' + (self.next() % 26) as u8).collect()
            })
            .collect();
        let mut out = Vec::with_capacity(count + 16);
        while out.len() < count {
            // Low numbers are drawn more often.
            let (a, b) = (self.next() % 500, self.next() % 500);
            out.extend_from_slice(&vocabulary[a.min(b) as usize]);
            out.push(if self.next().is_multiple_of(12) { b'\n' } else { b' ' });
        }
        out.truncate(count);
        out
    }
}

/// What layers hold: headers, text, code-like data, noise and zeros.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut mixed = Vec::new();
    for part in 0..40_usize {
        let mut header = [0; 512];
        header[..12].copy_from_slice(format!("usr/lib/{part:04}").as_bytes());
        mixed.extend_from_slice(&header);
        mixed.extend_from_slice(&match part % 4 {
            0 => noise.words(9000),
            1 => noise.bytes(3000),
            2 => (0..12_000_u32).flat_map(|n| (n.wrapping_mul(40_503) >> 7).to_le_bytes()).collect(),
            _ => vec![0; 20_000],
        });
    }
    vec![("mixed", mixed), ("text", noise.words(400_000)), ("noise", noise.bytes(200_000)), ("zeros", vec![0; 300_000])]
}

#[test]
fn every_length_from_nothing_round_trips() {
    let text = Noise(7).words(4096);
    for level in LEVELS {
        for length in (0..300).chain([511, 512, 513, 1000, 4095]) {
            round_trip(level, &text[..length]);
        }
    }
}

#[test]
fn what_strains_the_format_round_trips() {
    let mut noise = Noise(11);
    // Frequencies like Fibonacci numbers want codes longer than 15 bits.
    let (mut a, mut b, mut fibonacci) = (1_usize, 1_usize, Vec::new());
    for symbol in 0..24_u8 {
        fibonacci.extend(std::iter::repeat_n(symbol * 7, a));
        (a, b) = (b, a + b);
    }
    let far: Vec<u8> = {
        let part = noise.bytes(32768);
        [part.clone(), part].concat()
    };
    let too_far: Vec<u8> = {
        let part = noise.bytes(32769);
        [part.clone(), part].concat()
    };
    let longest: Vec<u8> = {
        let part = noise.bytes(258);
        [&part[..], b"x", &part, b"y", &part].concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("fibonacci", fibonacci),
        ("distance 32768", far),
        ("distance 32769", too_far),
        ("length 258", longest),
        ("one literal", vec![b'a']),
        ("one symbol", vec![b'a'; 70_000]),
        ("two symbols", (0..70_000).map(|n| if n % 2 == 0 { b'a' } else { b'b' }).collect()),
        ("period 3", (0..100_000).map(|n| (n % 3) as u8).collect()),
        ("period 257", (0..100_000).map(|n| (n % 257 % 256) as u8).collect()),
        ("every byte once", (0..=255).collect()),
        ("match at the very end", [&noise.bytes(1000)[..], b"abcdefgh", b"abcdefgh"].concat()),
        ("zeros between noise", [noise.bytes(70_000), vec![0; 200_000], noise.bytes(70_000), vec![0; 5]].concat()),
        ("runs of all bytes", (0..=255_u8).flat_map(|byte| std::iter::repeat_n(byte, 300)).collect()),
    ];
    for (name, data) in cases {
        for level in LEVELS {
            let size = round_trip(level, &data);
            assert!(size <= data.len() + data.len() / 1000 + 64, "{name} at level {level}: {size} for {}", data.len());
        }
    }
}

#[test]
fn positions_beyond_sixteen_bits_round_trip() {
    let mut noise = Noise(13);
    let mut data = Vec::new();
    while data.len() < 1_300_000 {
        data.extend(noise.words(3000));
        data.extend(noise.bytes(700));
        let back = (noise.next() % 60_000) as usize + 1;
        let from = data.len().saturating_sub(back);
        let copy: Vec<u8> = data[from..(from + 5000).min(data.len())].to_vec();
        data.extend(copy);
    }
    for level in LEVELS {
        round_trip(level, &data);
    }
}

#[test]
fn joined_chunks_are_one_stream() {
    let parts = corpus();
    let mut encoder = Encoder::new(6).expect("a level");
    let (mut stream, mut whole) = (Vec::new(), Vec::new());
    for (_, part) in &parts {
        encoder.encode_chunk(part, &mut stream);
        whole.extend_from_slice(part);
    }
    assert!(decode(stream, whole.len()) == whole);
}

#[test]
fn earlier_chunks_leave_no_trace() {
    for level in LEVELS {
        let mut used = Encoder::new(level).expect("a level");
        for (name, part) in corpus().iter().chain(corpus().iter().rev()) {
            let mut again = Vec::new();
            used.encode_chunk(part, &mut again);
            assert!(again == encode(level, part), "{name} at level {level}");
        }
    }
}

#[test]
fn levels_are_ordered_and_compress() {
    let (_, mixed) = &corpus()[0];
    let sizes: Vec<usize> = LEVELS.map(|level| encode(level, mixed).len()).collect();
    assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0] + pair[0] / 200), "{sizes:?}");
    assert!(sizes[8] < sizes[0] && sizes[0] < mixed.len());
    let text = &corpus()[1].1;
    assert!(encode(6, text).len() < text.len() * 2 / 5);
    assert!(encode(6, &vec![0; 1 << 20]).len() < 1300, "zeros cost next to nothing");
    assert!(Encoder::new(0).is_err() && Encoder::new(10).is_err());
}

/// The byte contract. See the module's documentation before you touch these.
#[test]
fn golden_digests() {
    let parts = corpus();
    let now: Vec<String> = LEVELS
        .map(|level| {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(level).expect("a level");
            for (_, part) in &parts {
                encoder.encode_chunk(part, &mut out);
            }
            Digest::sha256(&out).short().to_owned()
        })
        .collect();
    assert_eq!(now, GOLDEN);
}

const GOLDEN: [&str; 9] =
    ["3f1c885c7dbe", "28d29b3f37b0", "ca73166b3592", "94432af6c5c9", "d7384e530f33", "1a3032e9bb98", "fd76c61b2f51", "d55b182dfe41", "59cfd2cebb3f"];

/// On a processor without more instructions than every one has, this says nothing.
#[test]
fn what_newer_processors_can_do_besides_changes_no_byte() {
    for (_, part) in corpus() {
        let Encoder { mut window, finder: Finders::Two(mut finder), mut scratch, parsing } = Encoder::new(2).expect("a level") else {
            panic!("level 2 has pairs")
        };
        let mut out = Vec::new();
        let mut blocks = BlockWriter::new(&part, &mut out, &mut scratch);
        Parse { chunk: &part, window: &mut window, finder: &mut *finder, parsing, blocks: &mut blocks }.work();
        blocks.finish();
        assert!(out == encode(2, &part));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_round_trips(level in LEVELS, pieces in proptest::collection::vec((0..5_u8, any::<u64>(), 1..3000_usize), 0..40)) {
        let mut data: Vec<u8> = Vec::new();
        for (kind, seed, length) in pieces {
            let mut noise = Noise(seed | 1);
            match kind {
                0 => data.extend(noise.bytes(length)),
                1 => data.extend(noise.words(length)),
                2 => data.extend(std::iter::repeat_n(seed as u8, length)),
                _ if data.is_empty() => {}
                _ => {
                    // A copy from anywhere before, as far as the window and farther.
                    let from = (seed % data.len() as u64) as usize;
                    let to = (from + length).min(data.len());
                    data.extend_from_within(from..to);
                }
            }
        }
        round_trip(level, &data);
    }
}
