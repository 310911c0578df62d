//! The stand-in for Artifactory behaves as its specification says, asked by hand and by tools that know nothing of it.

mod access;
mod addressing;
mod foreign;
mod manifests;
mod promotion;
mod rest;
mod uploads;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::artifactory::{Artifactory, PASSWORD, USER};
use crate::support::forge::sha256;
use crate::support::http::{Ask, Reply};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A client of one repository that does only what it is told.
struct Client {
    host: String,
    /// What stands before the names of images.
    prefix: String,
    authorization: String,
}

impl Client {
    fn new(artifactory: &Artifactory, repository: &str) -> Client {
        Client { host: artifactory.host(), prefix: format!("/v2/{repository}"), authorization: basic(USER, PASSWORD) }
    }

    /// The same as somebody else.
    fn user(mut self, name: &str, password: &str) -> Client {
        self.authorization = basic(name, password);
        self
    }

    fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(&self.host, method, &format!("{}/{path}", self.prefix)).header("Authorization", &self.authorization)
    }

    /// Sends a link that came in an answer.
    fn follow(&self, method: &str, link: &str) -> Ask {
        let target = link.split_once("://").and_then(|(_, rest)| rest.split_once('/')).expect("an absolute link").1;
        Ask::new(&self.host, method, &format!("/{target}")).header("Authorization", &self.authorization)
    }

    /// Pushes a blob in one piece.
    #[track_caller]
    fn blob(&self, image: &str, bytes: &[u8]) -> Value {
        let begun = self.ask("POST", &format!("{image}/blobs/uploads/")).send();
        assert_eq!(begun.status, 202, "{begun:?}");
        let digest = sha256(bytes);
        let put = self.follow("PUT", &format!("{}?digest={digest}", begun.header("Location"))).body(bytes).send();
        assert_eq!((put.status, put.header("Docker-Content-Digest")), (201, digest.as_str()), "{put:?}");
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
    }

    fn put(&self, image: &str, reference: &str, media_type: &str, document: &Value) -> Reply {
        self.ask("PUT", &format!("{image}/manifests/{reference}")).header("Content-Type", media_type).body(document.to_string()).send()
    }

    /// Pushes an image of one layer, under its digest unless there is a tag; its descriptor.
    #[track_caller]
    fn image(&self, image: &str, tag: Option<&str>, layer: &str) -> Value {
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"colour": "red"}}, "rootfs": {"type": "layers", "diff_ids": []}});
        let mut config = self.blob(image, config.to_string().as_bytes());
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let layer = self.blob(image, layer.as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        let digest = sha256(manifest.to_string().as_bytes());
        let put = self.put(image, tag.unwrap_or(&digest), OCI_MANIFEST, &manifest);
        assert_eq!((put.status, put.header("Docker-Content-Digest")), (201, digest.as_str()), "{put:?}");
        json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": manifest.to_string().len()})
    }

    /// Pushes an image for amd64 and arm64, whose layers have `content` in them, under a tag; its digest, and those of the platforms.
    #[track_caller]
    fn list(&self, image: &str, tag: &str, content: &str) -> (String, Vec<String>) {
        let mut children = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let mut child = self.image(image, None, &format!("{content} {architecture}"));
            child["platform"] = json!({"os": "linux", "architecture": architecture});
            children.push(child);
        }
        let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        let put = self.put(image, tag, OCI_INDEX, &list);
        assert_eq!(put.status, 201, "{put:?}");
        let digests = children.iter().map(|child| child["digest"].as_str().expect("a digest").to_owned());
        (put.header("Docker-Content-Digest").to_owned(), digests.collect())
    }

    /// The digest of what a tag is for those who take everything; nothing if it is not there.
    fn digest(&self, image: &str, tag: &str) -> String {
        let head = self.ask("HEAD", &format!("{image}/manifests/{tag}")).header("Accept", &format!("{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_MANIFEST}"));
        head.send().header("Docker-Content-Digest").to_owned()
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

/// Code and message of an error, in either form.
#[track_caller]
fn error(reply: &Reply) -> (u16, String, String) {
    let error = reply.json()["errors"][0].take();
    let code = error["code"].as_str().map_or_else(|| error["status"].to_string(), str::to_owned);
    (reply.status, code, error["message"].as_str().unwrap_or_default().to_owned())
}

/// What lies in a folder of the storage view, or below it with their whole path.
fn view(artifactory: &Artifactory, folder: &str) -> Vec<String> {
    let root = artifactory.storage().join(folder);
    let mut names: Vec<String> = crate::support::snapshot::snapshot(&root).keys().map(|path| path.to_str().expect("UTF-8").to_owned()).collect();
    names.retain(|name| root.join(name).is_file());
    names.sort();
    names
}
