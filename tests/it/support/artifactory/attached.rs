//! What is attached to a manifest: everything that names it as its subject.

use serde_json::{Value, json};

use super::access::Right;
use super::errors;
use super::media::OCI_INDEX;
use super::site::Site;
use super::world::World;
use crate::support::http::{Answer, Request};

impl World {
    pub(super) fn referrers(&mut self, request: &Request, site: &Site, image: &str, digest: &str) -> Answer {
        if let Err(answer) = self.admit(request, site, image, Right::Read) {
            return answer;
        }
        if !self.switches.referrers {
            return errors::generic(404, "Not Found");
        }
        let wanted = request.parameter("artifactType");
        let mut found: Vec<Value> = Vec::new();
        for folder in self.folders_to_read(&site.repository) {
            for (path, sha256) in self.manifests_of(&folder, image) {
                let bytes = self.storage.read(path).expect("it is listed");
                let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let Some(media_type) = self.storage.file(path).expect("it is listed").media_type() else { continue };
                if document["subject"]["digest"] != digest {
                    continue;
                }
                let artifact_type = [&document["artifactType"], &document["config"]["mediaType"]].into_iter().find_map(Value::as_str);
                let mut descriptor = json!({"mediaType": media_type, "digest": format!("sha256:{sha256}"), "size": bytes.len(), "artifactType": artifact_type});
                if document["annotations"].is_object() {
                    descriptor["annotations"] = document["annotations"].clone();
                }
                if wanted.as_deref().is_none_or(|wanted| Some(wanted) == artifact_type) && !found.contains(&descriptor) {
                    found.push(descriptor);
                }
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found});
        let answer = Answer::new(200).header("Content-Type", OCI_INDEX).body(index.to_string());
        if wanted.is_some() { answer.header("OCI-Filters-Applied", "artifactType") } else { answer }
    }
}
