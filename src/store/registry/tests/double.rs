//! A registry in memory that keeps to the distribution specification, with switches for what registries do differently.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::server::{Asked, Reply, Server};
use crate::spec::{Digest, Kind};

/// What a registry does differently.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ways {
    /// Answers a PUT with a body as Artifactory did before version 7.
    pub(super) no_single: bool,
    /// Takes no PATCH without a range.
    pub(super) no_stream: bool,
    /// Opens a session instead of mounting.
    pub(super) no_mounts: bool,
    /// Knows the referrers API.
    pub(super) referrers: bool,
    /// How much a request may carry.
    pub(super) limit: Option<usize>,
    /// The smallest chunk but for the last.
    pub(super) least: usize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: HashMap<(String, String), Vec<u8>>,
    pub(super) manifests: HashMap<(String, String), (String, Vec<u8>)>,
    pub(super) tags: BTreeMap<(String, String), String>,
    uploads: HashMap<String, Vec<u8>>,
    next: usize,
}

/// A registry.
pub(super) struct Double {
    pub(super) server: Server,
    pub(super) state: std::sync::Arc<Mutex<State>>,
}

impl Double {
    pub(super) fn start(ways: Ways) -> Double {
        Double::with(ways, |_| None)
    }

    /// One that `first` may answer for.
    pub(super) fn with(ways: Ways, first: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Double {
        let state = std::sync::Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let server = Server::start(move |asked| match first(asked) {
            Some(reply) => reply,
            None => shared.lock().expect("unpoisoned").answer(asked, ways),
        });
        Double { server, state }
    }
}

fn error(status: u16, code: &str) -> Reply {
    Reply::new(status).header("Content-Type", "application/json").body(json!({"errors": [{"code": code, "message": code.to_lowercase()}]}).to_string())
}

impl State {
    fn answer(&mut self, asked: &Asked, ways: Ways) -> Reply {
        let Some(rest) = asked.path().strip_prefix("/v2/") else { return error(404, "NOT_FOUND") };
        let method = asked.method.as_str();
        if rest.is_empty() {
            return Reply::new(200);
        }
        if let Some((name, id)) = rest.split_once("/blobs/uploads/") {
            return self.upload(asked, ways, name, id);
        }
        if let Some((name, digest)) = rest.split_once("/blobs/") {
            let Some(content) = self.blobs.get(&(name.into(), digest.into())) else { return error(404, "BLOB_UNKNOWN") };
            return part(asked, Reply::new(200).header("Docker-Content-Digest", digest).header("ETag", format!("\"{digest}\"")), content);
        }
        if let Some((name, which)) = rest.split_once("/manifests/") {
            return match method {
                "PUT" => self.put_manifest(asked, ways, name, which),
                "DELETE" => match self.tags.remove(&(name.into(), which.into())).is_some() || self.manifests.remove(&(name.into(), which.into())).is_some() {
                    true => Reply::new(202),
                    false => error(404, "MANIFEST_UNKNOWN"),
                },
                _ => self.get_manifest(asked, name, which),
            };
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            let all: Vec<&str> = self.tags.keys().filter(|(other, _)| other == name).map(|(_, tag)| tag.as_str()).collect();
            return if all.is_empty() { error(404, "NAME_UNKNOWN") } else { Reply::new(200).body(json!({"name": name, "tags": all}).to_string()) };
        }
        match rest.split_once("/referrers/") {
            Some((name, subject)) if ways.referrers => self.referrers(name, subject),
            _ => error(404, "NOT_FOUND"),
        }
    }

    /// As a host that does everything in the usual way.
    pub(super) fn answer_for_tests(&mut self, asked: &Asked) -> Reply {
        self.answer(asked, Ways::default())
    }

    fn get_manifest(&self, asked: &Asked, name: &str, which: &str) -> Reply {
        if asked.header("accept").is_none_or(|accept| !accept.contains("image.index")) {
            return error(404, "MANIFEST_UNKNOWN");
        }
        let digest = self.tags.get(&(name.into(), which.into())).map_or(which, String::as_str);
        let Some((media_type, content)) = self.manifests.get(&(name.into(), digest.into())) else { return error(404, "MANIFEST_UNKNOWN") };
        Reply::new(200).header("Docker-Content-Digest", digest).header("Content-Type", media_type).body(content.clone())
    }

    fn put_manifest(&mut self, asked: &Asked, ways: Ways, name: &str, which: &str) -> Reply {
        let media_type = asked.header("content-type").unwrap_or_default().to_owned();
        let document: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let children: Vec<String> = match Kind::of(&media_type) {
            Kind::Index => {
                document["manifests"].as_array().into_iter().flatten().map(|child| child["digest"].as_str().unwrap_or_default().to_owned()).collect()
            }
            Kind::Manifest => {
                let blobs = document["layers"].as_array().into_iter().flatten().chain([&document["config"]]);
                blobs.map(|blob| blob["digest"].as_str().unwrap_or_default().to_owned()).collect()
            }
            _ => return error(403, "UNAUTHORIZED"),
        };
        let is_index = Kind::of(&media_type) == Kind::Index;
        for child in children {
            let key = (name.to_owned(), child);
            if !(if is_index { self.manifests.contains_key(&key) } else { self.blobs.contains_key(&key) }) {
                return error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        let digest = Digest::sha256(&asked.body).to_string();
        if which.contains(':') && which != digest {
            return error(400, "DIGEST_INVALID");
        }
        if !which.contains(':') {
            self.tags.insert((name.into(), which.into()), digest.clone());
        }
        self.manifests.insert((name.into(), digest.clone()), (media_type, asked.body.clone()));
        let reply = Reply::new(201).header("Docker-Content-Digest", &digest).header("Location", format!("/v2/{name}/manifests/{digest}"));
        match document["subject"]["digest"].as_str().filter(|_| ways.referrers) {
            Some(subject) => reply.header("OCI-Subject", subject),
            None => reply,
        }
    }

    fn referrers(&self, name: &str, subject: &str) -> Reply {
        let mut attached = Vec::new();
        for ((other, digest), (media_type, content)) in &self.manifests {
            let document: Value = serde_json::from_slice(content).unwrap_or_default();
            if other == name && document["subject"]["digest"] == subject {
                attached.push(
                    json!({"mediaType": media_type, "digest": digest, "size": content.len(), "annotations": {"io.containerd.image.name": "evil.example/x:1"}}),
                );
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": attached});
        Reply::new(200).header("Content-Type", "application/vnd.oci.image.index.v1+json").body(index.to_string())
    }

    fn upload(&mut self, asked: &Asked, ways: Ways, name: &str, id: &str) -> Reply {
        if ways.limit.is_some_and(|limit| asked.body.len() > limit) {
            return Reply::new(413).header("Content-Type", "text/html").body("<html><head><title>413 Request Entity Too Large</title></head></html>");
        }
        let at = |id: &str, length: usize| {
            let range = format!("0-{}", length.saturating_sub(1));
            Reply::new(202).header("Location", format!("/v2/{name}/blobs/uploads/{id}?_state=s{length}")).header("Range", range)
        };
        if asked.method == "POST" {
            if let (Some(digest), Some(from), false) = (asked.parameter("mount"), asked.parameter("from"), ways.no_mounts)
                && let Some(content) = self.blobs.get(&(from, digest.clone())).cloned()
            {
                self.blobs.insert((name.into(), digest.clone()), content);
                return Reply::new(201).header("Docker-Content-Digest", digest);
            }
            self.next += 1;
            let id = format!("u{}", self.next);
            self.uploads.insert(id.clone(), Vec::new());
            let reply = at(&id, 0);
            return if ways.least > 0 { reply.header("OCI-Chunk-Min-Length", ways.least.to_string()) } else { reply };
        }
        let Some(content) = self.uploads.get_mut(id) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
        match asked.method.as_str() {
            "GET" => at(id, content.len()),
            "DELETE" => {
                self.uploads.remove(id);
                Reply::new(204)
            }
            "PATCH" => {
                let range = asked.header("content-range");
                if ways.no_stream && range.is_none() {
                    return error(405, "UNSUPPORTED");
                }
                if range.is_some_and(|range| !range.starts_with(&format!("{}-", content.len()))) {
                    return Reply::new(416);
                }
                content.extend_from_slice(&asked.body);
                let length = content.len();
                at(id, length)
            }
            _ => {
                if ways.no_single && !asked.body.is_empty() {
                    return error(404, "BLOB_UNKNOWN");
                }
                let mut content = self.uploads.remove(id).unwrap_or_default();
                content.extend_from_slice(&asked.body);
                let digest = asked.parameter("digest").unwrap_or_default();
                if Digest::sha256(&content).as_str() != digest {
                    return error(400, "DIGEST_INVALID");
                }
                self.blobs.insert((name.into(), digest.clone()), content);
                Reply::new(201).header("Docker-Content-Digest", digest)
            }
        }
    }
}

/// A blob, or the part of it that was asked for.
pub(super) fn part(asked: &Asked, reply: Reply, content: &[u8]) -> Reply {
    let from = asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        None => reply.body(content),
        Some(from) if from < content.len() => {
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            Reply::new(206).header("Content-Range", range).body(&content[from..])
        }
        Some(_) => Reply::new(416),
    }
}
