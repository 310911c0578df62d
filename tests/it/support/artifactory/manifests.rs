//! Manifests in and out.

use serde_json::{Value, json};

use super::access::Right;
use super::blobs::with_checksums;
use super::errors;
use super::media::{self, Kind};
use super::setup::Class;
use super::site::Site;
use super::storage::sha256_of;
use super::store::Manifest;
use super::switches::Overwriting;
use super::world::World;
use crate::support::forge::sha256;
use crate::support::http::{Answer, Request};

impl World {
    pub(super) fn put_manifest(&mut self, request: &Request, site: &Site, image: &str, reference: &str) -> Answer {
        let caller = match self.admit(request, site, image, Right::Write) {
            Ok(caller) => caller,
            Err(answer) => return answer,
        };
        let repository = match self.folder_to_write(&site.repository, "a manifest") {
            Ok(folder) => folder,
            Err(answer) => return answer,
        };
        let manifest = match read(request, reference) {
            Ok(manifest) => manifest,
            Err(answer) => return answer,
        };
        if self.switches.reject_oci && manifest.media_type.contains(".oci.") {
            return errors::manifest_invalid("Unsupported media type");
        }
        if let Err(answer) = self.check_children(&repository, image, &manifest) {
            return answer;
        }
        let is_tag = sha256_of(reference).is_none();
        let taken = is_tag && self.storage.is_folder(&format!("{repository}/{image}/{reference}"));
        if taken && !self.may(&caller.user, &repository, Right::Delete) {
            match self.switches.no_overwrite {
                Overwriting::Allowed => {}
                Overwriting::BadRequest => return errors::manifest_invalid("The remote server returned an error: HTTP 403 Forbidden"),
                Overwriting::Forbidden => return errors::denied("overwriting", &site.name(image)),
            }
        }
        self.store_manifest(&manifest, &repository, image, reference, &caller.user);
        let answer = Answer::new(201).header("Location", &site.link(image, &format!("manifests/{}", manifest.digest)));
        let answer = answer.header("Docker-Content-Digest", &manifest.digest);
        match manifest.document["subject"]["digest"].as_str() {
            Some(subject) if self.switches.referrers => answer.header("OCI-Subject", subject),
            _ => answer,
        }
    }

    /// Everything that a manifest leads to must be there: blobs anywhere in the repository, manifests under the same name.
    fn check_children(&self, repository: &str, image: &str, manifest: &Manifest) -> Result<(), Answer> {
        for child in media::children(manifest.kind, &manifest.document) {
            let digest = child["digest"].as_str().unwrap_or_default();
            let hex = sha256_of(digest).ok_or_else(|| errors::manifest_invalid(&format!("no digest: {digest}")))?;
            match manifest.kind {
                Kind::Image if self.storage.with_content(repository, hex).is_none() => {
                    return Err(errors::manifest_invalid(&format!("Failed to copy blob {digest}")));
                }
                Kind::List if self.manifest_by_digest(repository, image, digest).is_none() => {
                    let message = format!("Manifest list ({}) Missing manifest digest {digest}", manifest.digest);
                    return Err(errors::manifest_invalid(&message));
                }
                Kind::Image | Kind::List => {}
            }
        }
        if self.switches.history_check && manifest.kind == Kind::Image {
            let config = self.config(repository, &manifest.document).unwrap_or_default();
            let made = config["history"].as_array().map_or(0, |history| history.iter().filter(|entry| entry["empty_layer"] != true).count());
            if made < manifest.document["layers"].as_array().map_or(0, Vec::len) {
                return Err(errors::registry(400, "MANIFEST_INVALID", "null", &json!({"description": null})));
            }
        }
        Ok(())
    }

    pub(super) fn get_manifest(&mut self, request: &Request, site: &Site, image: &str, reference: &str) -> Answer {
        if let Err(answer) = self.admit(request, site, image, Right::Read) {
            return answer;
        }
        let accept = request.list("Accept");
        let as_schema_1 = self.switches.no_accept_schema1 && media::knows_only_schema_1(&accept);
        for repository in self.folders_to_read(&site.repository) {
            for path in self.manifest_files(&repository, image, reference) {
                let file = self.storage.file(&path).expect("it was found");
                // What did not come as a manifest is taken for one of old.
                let Some(media_type) = file.media_type().filter(|_| !as_schema_1) else { return schema_1(site, image, reference) };
                if !media::accepts(&accept, media_type) && !media::knows_only_schema_1(&accept) {
                    continue;
                }
                let answer = Answer::new(200).header("Content-Type", media_type).body(self.storage.read(&path).expect("it was found"));
                let answer = answer.header("Docker-Content-Digest", &format!("sha256:{}", file.sha256));
                let answer = with_checksums(answer, file).header("X-Artifactory-Filename", path.rsplit('/').next().unwrap_or_default());
                return if request.method == "HEAD" { answer.header("X-Artifactory-Docker-Registry", &repository) } else { answer };
            }
        }
        let is_virtual = self.repository(&site.repository).is_some_and(|repository| repository.class == Class::Virtual);
        if is_virtual && self.switches.virtual_403 { errors::denied("pull", &site.name(image)) } else { errors::manifest_unknown(image) }
    }

    pub(super) fn delete_manifest(&mut self, request: &Request, site: &Site, image: &str, reference: &str) -> Answer {
        if let Err(answer) = self.admit(request, site, image, Right::Delete) {
            return answer;
        }
        let files: Vec<String> = match sha256_of(reference) {
            Some(hex) => self.manifests_of(&site.repository, image).filter(|(_, sha256)| *sha256 == hex).map(|(path, _)| path.to_owned()).collect(),
            None => self.manifest_files(&site.repository, image, reference),
        };
        if files.is_empty() {
            return errors::manifest_unknown(image);
        }
        for path in files {
            self.storage.remove(path.rsplit_once('/').expect("it lies in a folder").0);
        }
        Answer::new(202)
    }

    /// The files that a reference can mean, the list first.
    fn manifest_files(&self, repository: &str, image: &str, reference: &str) -> Vec<String> {
        if sha256_of(reference).is_some() {
            return self.manifest_by_digest(repository, image, reference).into_iter().collect();
        }
        let paths = Kind::ALL.map(|kind| format!("{repository}/{image}/{reference}/{}", kind.file_name()));
        paths.into_iter().filter(|path| self.storage.file(path).is_some()).collect()
    }

    /// The manifest with this digest in the folder of its digest, in either spelling, or else in that of a tag.
    pub(super) fn manifest_by_digest(&self, repository: &str, image: &str, digest: &str) -> Option<String> {
        let hex = sha256_of(digest)?;
        let own = ["sha256:", "sha256__"].map(|prefix| format!("{repository}/{image}/{prefix}{hex}/"));
        let mut found: Vec<&str> = self.manifests_of(repository, image).filter(|(_, sha256)| *sha256 == hex).map(|(path, _)| path).collect();
        found.sort_by_key(|path| !own.iter().any(|folder| path.starts_with(folder)));
        found.first().map(|path| (*path).to_owned())
    }

    /// The manifests directly in the folders of an image, with their hashes.
    pub(super) fn manifests_of(&self, repository: &str, image: &str) -> impl Iterator<Item = (&str, &str)> {
        let image = format!("{repository}/{image}");
        let depth = image.split('/').count() + 2;
        let is_manifest = |path: &str| Kind::ALL.iter().any(|kind| path.rsplit('/').next() == Some(kind.file_name()));
        let files: Vec<_> = self.storage.iter_below(&image).filter(|(path, _)| is_manifest(path) && path.split('/').count() == depth).collect();
        files.into_iter().map(|(path, file)| (path, file.sha256.as_str()))
    }

    /// The config of a manifest, if it is JSON.
    pub(super) fn config(&self, repository: &str, manifest: &Value) -> Option<Value> {
        let path = self.storage.with_content(repository, sha256_of(manifest["config"]["digest"].as_str()?)?)?;
        serde_json::from_slice(&self.storage.read(&path)?).ok()
    }
}

/// What was sent, if it is a manifest at all and goes under this reference.
fn read(request: &Request, reference: &str) -> Result<Manifest, Answer> {
    let media_type = media::without_parameters(request.header("Content-Type").unwrap_or_default()).to_owned();
    let Some(kind) = Kind::of(&media_type) else {
        let message = "Pushing Docker images with manifest v2 schema 1 to this repository is blocked. Use a client that knows schema 2.";
        return Err(errors::registry(403, "UNAUTHORIZED", message, &Value::Null));
    };
    let digest = sha256(&request.body);
    if sha256_of(reference).is_some() {
        if reference != digest {
            return Err(errors::digest_invalid());
        }
    } else if !is_tag(reference) {
        return Err(errors::manifest_invalid(&format!("'{reference}' is not a tag")));
    }
    let document: Value = serde_json::from_slice(&request.body).map_err(|_| errors::manifest_invalid("not JSON"))?;
    if document["mediaType"].as_str().is_some_and(|own| own != media_type) {
        return Err(errors::manifest_invalid("mediaType is not Content-Type"));
    }
    Ok(Manifest { kind, media_type, digest, bytes: request.body.clone(), document })
}

/// What those get who do not say that they know more.
fn schema_1(site: &Site, image: &str, reference: &str) -> Answer {
    let layers = json!([{"blobSum": "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"}]);
    let body =
        json!({"schemaVersion": 1, "name": site.name(image), "tag": reference, "architecture": "amd64", "fsLayers": layers, "history": [], "signatures": []});
    let body = body.to_string();
    Answer::new(200).header("Content-Type", media::SCHEMA_1).header("Docker-Content-Digest", &sha256(body.as_bytes())).body(body)
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub(super) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = text.bytes();
    text.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}
