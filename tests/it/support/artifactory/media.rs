//! Media types of manifests, and which of them a client takes.

use serde_json::Value;

pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const SCHEMA_1_PLAIN: &str = "application/vnd.docker.distribution.manifest.v1+json";

/// What a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of one platform.
    Image,
    /// Of several.
    List,
}

impl Kind {
    pub(super) const ALL: [Kind; 2] = [Kind::List, Kind::Image];

    /// Of a media type that can be stored.
    pub(super) fn of(media_type: &str) -> Option<Kind> {
        match media_type {
            DOCKER_MANIFEST | OCI_MANIFEST => Some(Kind::Image),
            DOCKER_LIST | OCI_INDEX => Some(Kind::List),
            _ => None,
        }
    }

    pub(super) fn file_name(self) -> &'static str {
        match self {
            Kind::Image => "manifest.json",
            Kind::List => "list.manifest.json",
        }
    }
}

/// The media types in an `Accept` header, without their parameters.
fn accepted(accept: &str) -> Vec<&str> {
    accept.split(',').map(without_parameters).filter(|media_type| !media_type.is_empty()).collect()
}

pub(super) fn without_parameters(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a header accepts this media type by its name.
pub(super) fn accepts(accept: &str, media_type: &str) -> bool {
    accepted(accept).contains(&media_type)
}

/// Whether a header names manifests.
pub(super) fn manifests_accepted(accept: &str) -> bool {
    accepted(accept).iter().any(|media_type| Kind::of(media_type).is_some())
}

/// Whether a header is that of a client which knows schema 1 only, or nothing.
pub(super) fn knows_only_schema_1(accept: &str) -> bool {
    accepted(accept).iter().all(|media_type| matches!(*media_type, SCHEMA_1 | SCHEMA_1_PLAIN | "application/json" | "*/*"))
}

/// The descriptors of what a manifest of this kind needs: blobs without a place of their own, or manifests.
pub(super) fn children(kind: Kind, document: &Value) -> Vec<&Value> {
    let list = |name: &str| document[name].as_array().map(Vec::as_slice).unwrap_or_default();
    match kind {
        Kind::List => list("manifests").iter().collect(),
        Kind::Image => [&document["config"]].into_iter().chain(list("layers")).filter(|child| child["urls"].as_array().is_none_or(Vec::is_empty)).collect(),
    }
}

/// `linux-arm64v8` and the like: what a tag of one architecture has behind it.
pub(super) fn platform_suffix(descriptor: &Value) -> Option<String> {
    let field = |name: &str| descriptor["platform"][name].as_str();
    let (os, architecture) = (field("os")?, field("architecture")?);
    (os != "unknown").then(|| format!("{os}-{architecture}{}", field("variant").unwrap_or("")))
}
