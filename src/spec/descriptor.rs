//! Descriptors: typed, sized, named pointers to content. image-spec, descriptor.md.
//!
//! `oci-spec` gives the media types. Its descriptor keeps annotations in random order, forgets unknown fields and misnames
//! `os.version`, any of which would change digests, so this one stands beside it and converts where a library user needs theirs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::annotations::Annotations;
use super::digest::Digest;
use super::platform::Platform;

pub use oci_spec::image::MediaType;

/// A pointer to content: what it is, its name, its size, and what the one who points wants to say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Where else the content may be fetched from. Carried, never used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// What the one who points says of the content.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// What the content runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The content itself in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Fields that larder does not know; kept as they are.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Descriptor {
    /// A descriptor with the required fields only.
    pub fn new(media_type: impl Into<MediaType>, digest: Digest, size: u64) -> Self {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: Annotations::new(),
            platform: None,
            artifact_type: None,
            data: None,
            other: BTreeMap::new(),
        }
    }

    /// The same content without what only this pointer said: annotations, platform and unknown fields.
    #[must_use]
    pub fn bare(&self) -> Self {
        Descriptor { urls: self.urls.clone(), artifact_type: self.artifact_type.clone(), ..Self::new(self.media_type.clone(), self.digest.clone(), self.size) }
    }

    /// An annotation of this pointer.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)
    }
}

impl TryFrom<&Descriptor> for oci_spec::image::Descriptor {
    type Error = oci_spec::OciSpecError;

    fn try_from(descriptor: &Descriptor) -> Result<Self, Self::Error> {
        let digest: oci_spec::image::Digest = descriptor.digest.as_str().parse()?;
        let mut out = Self::new(descriptor.media_type.clone(), descriptor.size, digest);
        if !descriptor.annotations.is_empty() {
            out.set_annotations(Some(descriptor.annotations.clone().into_iter().collect()));
        }
        Ok(out)
    }
}
