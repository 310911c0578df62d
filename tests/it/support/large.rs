//! Images whose content is far more than what is stored of it.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::Digest as _;

use super::forge::{Forge, LAYER};
use super::image::blob_path;

/// What the file in the layer ends with, behind zeros.
pub(crate) const END: &[u8] = b"the end of it";

/// A layer that is not compressed and nearly all of it zeros.
pub(crate) struct Large {
    header: tar::Header,
    /// Where [`END`] stands.
    end: u64,
    digest: String,
    pub(crate) size: u64,
}

impl Large {
    /// One that has a file `zeros` of this many bytes.
    pub(crate) fn new(content: u64) -> Large {
        let mut header = tar::Header::new_ustar();
        header.set_path("zeros").expect("short");
        header.set_mode(0o644);
        header.set_size(content);
        header.set_cksum();
        let (end, size) = (512 + content - END.len() as u64, 512 + content.next_multiple_of(512) + 1024);
        let digest = digest(&[(0, header.as_bytes()), (end, END)], size);
        Large { header, end, digest, size }
    }

    /// Stores the image `large` with this layer, the zeros as a hole. Returns where the layer is.
    pub(crate) fn store(&self, forge: &Forge) -> PathBuf {
        let path = blob_path(forge.path(), &Value::from(&*self.digest));
        let file = fs::File::create(&path).expect("writable");
        let pieces = file.set_len(self.size).and_then(|()| file.write_all_at(self.header.as_bytes(), 0)).and_then(|()| file.write_all_at(END, self.end));
        pieces.expect("writable");
        let layer = json!({"mediaType": LAYER, "digest": self.digest, "size": self.size});
        forge.enter("large", &forge.image_of(&[layer], &[&self.digest]).manifest);
        path
    }
}

/// The digest of this many bytes: zeros but for what stands at these places.
fn digest(pieces: &[(u64, &[u8])], size: u64) -> String {
    let mut hash = sha2::Sha256::new();
    let mut done = 0;
    let zeros = vec![0; 1 << 20];
    let mut skip_to = |place: u64, hash: &mut sha2::Sha256, piece: &[u8]| {
        while done < place {
            let count = usize::try_from(place - done).unwrap_or(usize::MAX).min(zeros.len());
            hash.update(&zeros[..count]);
            done += count as u64;
        }
        hash.update(piece);
        done += piece.len() as u64;
    };
    pieces.iter().for_each(|(place, piece)| skip_to(*place, &mut hash, piece));
    skip_to(size, &mut hash, &[]);
    hash.finalize().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
