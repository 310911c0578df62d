//! Layers of which little is stored and much comes out.

use std::io::Write as _;

use sha2::Digest as _;

use super::forge::{Forge, GZIP_LAYER, ZSTD_LAYER, sha256};
use super::tape::{self, Record, file};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zstd,
}

/// Zeros are compressed once, and the result is repeated.
const PART: u64 = 64 << 20;

/// A layout with the image `image`, whose one layer has the file `zeros` of this many bytes, a multiple of [`PART`].
pub(crate) fn bomb(codec: Codec, size: u64) -> Forge {
    let zeros = vec![0; usize::try_from(PART).expect("a part fits memory")];
    let mut hasher = sha2::Sha256::new();
    hasher.update(head(size));
    (0..size / PART).for_each(|_| hasher.update(&zeros));
    hasher.update([0; 1024]);
    let diff_id = hasher.finalize().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    with_diff_id(codec, size, &diff_id)
}

/// The same, so large that nobody reads it to its end; so its diff ID is not known.
pub(crate) fn endless(codec: Codec) -> Forge {
    with_diff_id(codec, 64 << 30, &sha256(b"nobody knows"))
}

fn with_diff_id(codec: Codec, size: u64, diff_id: &str) -> Forge {
    let part = compressed(codec, &vec![0; usize::try_from(PART).expect("a part fits memory")]);
    let mut blob = compressed(codec, &head(size));
    (0..size / PART).for_each(|_| blob.extend_from_slice(&part));
    blob.extend(compressed(codec, &[0; 1024]));
    let forge = Forge::new();
    let layer = forge.put(if codec == Codec::Gzip { GZIP_LAYER } else { ZSTD_LAYER }, &blob);
    forge.enter("image", &forge.image_of(&[layer], &[diff_id]).manifest);
    forge
}

/// What stands before the content. The size is in a record, because the header has no room for it.
fn head(size: u64) -> Vec<u8> {
    let mut head = tape::tar(&[Record { pax: vec![("size".into(), size.to_string().into_bytes())], ..file("zeros", "") }]);
    head.truncate(head.len() - 1024);
    head
}

/// One member of a gzip stream, or one frame of a Zstandard stream.
pub(crate) fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    match codec {
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("in memory")
        }
        Codec::Zstd => zstd::stream::encode_all(bytes, 3).expect("in memory"),
    }
}
