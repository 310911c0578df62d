//! Giving blobs out, in whole or in part, or the place where they can be fetched.

use super::access::Right;
use super::errors;
use super::site::Site;
use super::storage::{File, sha256_of};
use super::world::World;
use crate::support::http::{Answer, Request};

/// The compressed layer of an empty archive, as Docker made it in its first years. It is always there.
const EMPTY_LAYER: (&str, &[u8]) = (
    "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4",
    b"\x1f\x8b\x08\x00\x00\x09\x6e\x88\x00\xff\x62\x18\x05\xa3\x60\x14\x8c\x58\x00\x08\x00\x00\xff\xff\x2e\xaf\xb5\xef\x00\x04\x00\x00",
);

impl World {
    pub(super) fn get_blob(&mut self, request: &Request, site: &Site, image: &str, digest: &str) -> Answer {
        if let Err(answer) = self.admit(request, site, image, Right::Read) {
            return answer;
        }
        let Some(hex) = sha256_of(digest) else { return errors::digest_invalid() };
        let found = self.folders_to_read(&site.repository).iter().find_map(|folder| self.storage.with_content(folder, hex));
        let Some(path) = found else {
            if digest == EMPTY_LAYER.0 {
                return ranged(request, EMPTY_LAYER.1.to_vec()).header("Docker-Content-Digest", digest);
            }
            return errors::blob_unknown(digest);
        };
        if let Some(status) = self.switches.s3_redirect.filter(|_| request.method == "GET") {
            return Answer::new(status).header("Location", &format!("{}/{path}?X-Amz-Signature={}", self.object_store, self.secret));
        }
        let file = self.storage.file(&path).expect("it was found");
        with_checksums(ranged(request, self.storage.read(&path).expect("it was found")), file).header("Docker-Content-Digest", digest)
    }
}

/// Adds what Artifactory says about every file.
pub(super) fn with_checksums(answer: Answer, file: &File) -> Answer {
    let answer = answer.header("ETag", &file.sha1).header("X-Checksum-Sha1", &file.sha1);
    answer.header("X-Checksum-Sha256", &file.sha256).header("X-Checksum-Md5", &file.md5)
}

/// The bytes that are asked for.
pub(super) fn ranged(request: &Request, bytes: Vec<u8>) -> Answer {
    let answer = |status| Answer::new(status).header("Content-Type", "application/octet-stream").header("Accept-Ranges", "bytes");
    let Some(range) = request.header("Range").and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-')) else {
        return answer(200).body(bytes);
    };
    let length = bytes.len();
    let (start, end) = (range.0.parse().unwrap_or(length), range.1.parse().map_or(length, |last: usize| last.saturating_add(1).min(length)));
    if start >= end {
        return answer(416).header("Content-Range", &format!("bytes */{length}"));
    }
    answer(206).header("Content-Range", &format!("bytes {start}-{}/{length}", end - 1)).body(&bytes[start..end])
}
