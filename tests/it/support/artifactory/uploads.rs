//! Sending blobs. There is no asking how far an upload came, and every answer names a new place to go on at.

use std::collections::BTreeMap;

use serde_json::Value;

use super::access::Right;
use super::errors;
use super::site::Site;
use super::storage::{UPLOADS, sha256_of};
use super::switches::Mounting;
use super::world::World;
use crate::support::forge::sha256;
use crate::support::http::{Answer, Request};

/// Uploads that have begun, by the last part of their place.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    begun: u32,
    open: BTreeMap<String, Upload>,
}

#[derive(Debug)]
struct Upload {
    uuid: String,
    /// Its repository and image: no other place leads to it.
    image: String,
    bytes: Vec<u8>,
    patches: u32,
}

impl World {
    /// POST: begins, or mounts, or takes the blob at once.
    pub(super) fn begin_upload(&mut self, request: &Request, site: &Site, image: &str) -> Answer {
        let caller = match self.admit(request, site, image, Right::Write) {
            Ok(caller) => caller,
            Err(answer) => return answer,
        };
        let folder = match self.folder_to_write(&site.repository, "blobs") {
            Ok(folder) => folder,
            Err(answer) => return answer,
        };
        if let Some(digest) = request.parameter("mount") {
            match self.switches.mount {
                Mounting::Unauthorized => return self.challenge(site, None),
                Mounting::Works => {
                    if let Some(path) = self.find_readable(&caller.user, &digest) {
                        let bytes = self.storage.read(&path).expect("it was found");
                        return self.keep(site, image, &folder, &caller.user, &digest, &bytes);
                    }
                }
                Mounting::Off => {}
            }
        }
        if let Some(digest) = request.parameter("digest") {
            return self.keep(site, image, &folder, &caller.user, &digest, &request.body);
        }
        self.uploads.begun += 1;
        let uuid = format!("{:08x}-{}", self.uploads.begun, self.secret);
        let upload = Upload { uuid: uuid.clone(), image: format!("{folder}/{image}"), bytes: Vec::new(), patches: 0 };
        self.uploads.open.insert(uuid.clone(), upload);
        let answer = Answer::new(202).header("Location", &site.link(image, &format!("blobs/uploads/{uuid}")));
        answer.header("Docker-Upload-Uuid", &uuid)
    }

    /// PATCH: the next bytes.
    pub(super) fn continue_upload(&mut self, request: &Request, site: &Site, image: &str, id: &str) -> Answer {
        if let Err(answer) = self.admit(request, site, image, Right::Write) {
            return answer;
        }
        let Ok(mut upload) = self.take_upload(site, image, id) else { return errors::upload_unknown() };
        if self.switches.flaky_patch_404 > 0 {
            self.switches.flaky_patch_404 -= 1;
            return errors::upload_unknown();
        }
        if let Some(range) = request.header("Content-Range") {
            let (start, end) = (upload.bytes.len(), upload.bytes.len() + request.body.len());
            if range != format!("{start}-{}", end.saturating_sub(1)) {
                self.uploads.open.insert(id.to_owned(), upload);
                return Answer::new(416);
            }
        }
        upload.bytes.extend_from_slice(&request.body);
        upload.patches += 1;
        let (uuid, id) = (upload.uuid.clone(), format!("{}.patch{}", upload.uuid, upload.patches));
        let range = format!("0-{}", upload.bytes.len().saturating_sub(1));
        self.uploads.open.insert(id.clone(), upload);
        let answer = Answer::new(202).header("Location", &site.link(image, &format!("blobs/uploads/{id}")));
        answer.header("Range", &range).header("Docker-Upload-Uuid", &uuid)
    }

    /// PUT: the last bytes, if there are any left, and what it all must be.
    pub(super) fn end_upload(&mut self, request: &Request, site: &Site, image: &str, id: &str) -> Answer {
        let caller = match self.admit(request, site, image, Right::Write) {
            Ok(caller) => caller,
            Err(answer) => return answer,
        };
        let folder = match self.folder_to_write(&site.repository, "blobs") {
            Ok(folder) => folder,
            Err(answer) => return answer,
        };
        let Ok(mut upload) = self.take_upload(site, image, id) else { return errors::upload_unknown() };
        let Some(digest) = request.parameter("digest") else { return errors::digest_invalid() };
        let of_old = request.header("User-Agent").is_some_and(|agent| agent.starts_with("docker/1."));
        if self.switches.legacy_monolithic_404 && upload.patches == 0 && !request.body.is_empty() && !of_old {
            return errors::blob_unknown(&digest);
        }
        upload.bytes.extend_from_slice(&request.body);
        self.keep(site, image, &folder, &caller.user, &digest, &upload.bytes)
    }

    /// The upload that a place leads to, which it leads to no more.
    fn take_upload(&mut self, site: &Site, image: &str, id: &str) -> Result<Upload, Answer> {
        let image = format!("{}/{image}", self.folder_to_write(&site.repository, "blobs")?);
        match self.uploads.open.get(id) {
            Some(upload) if upload.image == image => Ok(self.uploads.open.remove(id).expect("just seen")),
            _ => Err(errors::upload_unknown()),
        }
    }

    /// A blob that a user may read, wherever it is.
    fn find_readable(&self, user: &str, digest: &str) -> Option<String> {
        let sha256 = sha256_of(digest)?;
        let keys = self.repositories.iter().filter(|repository| self.may(user, &repository.key, Right::Read)).map(|repository| repository.key.as_str());
        keys.flat_map(|key| self.folders_to_read(key)).find_map(|folder| self.storage.with_content(&folder, sha256))
    }

    /// Puts a blob where it waits for a manifest, if it is what it is said to be.
    fn keep(&mut self, site: &Site, image: &str, folder: &str, user: &str, digest: &str, bytes: &[u8]) -> Answer {
        let Some(hex) = sha256_of(digest) else { return errors::digest_invalid() };
        if sha256(bytes) != digest {
            return errors::registry(400, "BLOB_UPLOAD_INVALID", "The blob upload encountered an error and can no longer proceed.", &Value::Null);
        }
        self.storage.put(&format!("{folder}/{image}/{UPLOADS}/sha256__{hex}"), bytes, user, self.now);
        let answer = Answer::new(201).header("Location", &site.link(image, &format!("blobs/{digest}")));
        answer.header("Docker-Content-Digest", digest)
    }
}
