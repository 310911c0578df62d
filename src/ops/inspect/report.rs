//! What an inspection tells, under names that do not change. Texts are foreign: names, annotations, media types, everything of a config.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Error;
use crate::ops::verify::{Code, line};
use crate::spec::{Annotations, Descriptor, DiffId, Digest, History};

/// Images of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectReport {
    /// The store.
    pub location: String,
    /// The images, in the order of their first entries.
    pub images: Vec<ImageReport>,
    /// How much all of them are.
    pub totals: Totals,
}

/// One image: everything below one document, and the names that stand on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// The entries of the store that stand on it; none for a document that only others lead to.
    pub entries: Vec<EntryReport>,
    /// The index or manifest.
    pub document: DocumentReport,
}

/// An entry of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryReport {
    /// The full reference, else the ref.name; none for an entry without a name.
    pub name: Option<String>,
    /// All annotations of the entry, names among them.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// Content as its descriptor says it is, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// Where else it may be fetched from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What is wrong with content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong, in the words of verification.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
}

/// What a document that indexes and stores name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A list of manifests.
    Index,
    /// An image for one platform.
    Manifest,
    /// A manifest of something that is no image.
    Artifact,
    /// What a builder says of another manifest.
    Attestation,
    /// Content of a media type that larder does not know: never looked into.
    Other,
}

/// An index, a manifest, or what stands in the place of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocumentReport {
    /// What it is.
    #[serde(rename = "type")]
    pub form: Form,
    /// The document itself.
    #[serde(flatten)]
    pub content: Content,
    /// What it runs on: as its descriptor says, else its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What kind of artifact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its own annotations.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// Annotations of the descriptor that leads to it.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub descriptor_annotations: Annotations,
    /// What it says it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Content>,
    /// For an attestation: the manifest that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<Digest>,
    /// Whether it stands in the report before, so that what it leads to is not told again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What says that it is attached to this document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<ReferrerReport>,
    /// What it leads to.
    #[serde(flatten)]
    pub body: Body,
}

/// What a document leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// The parts of an index.
    Index {
        /// In the order of the index.
        manifests: Vec<DocumentReport>,
    },
    /// The parts of a manifest.
    Manifest {
        /// The config. Boxed, because most reports are those of layers.
        config: Box<ConfigReport>,
        /// Bottom first.
        layers: Vec<LayerReport>,
    },
    /// Nothing, or nothing that could be read.
    Leaf {},
}

/// A config. Fields of settings are there where it is an image config that could be read and did not stand in the report before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigReport {
    /// The document itself.
    #[serde(flatten)]
    pub content: Content,
    /// Whether it stands in the report before, so that what it says is not told again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What it says.
    #[serde(flatten)]
    pub settings: Option<Settings>,
}

/// What an image config says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// What the image runs on; none where the config does not say it.
    pub platform: Option<String>,
    /// When it was made.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments of the entrypoint, or the program.
    pub cmd: Vec<String>,
    /// The environment, as `NAME=value`.
    pub env: Vec<String>,
    /// The user and group; empty for root.
    pub user: String,
    /// The directory that the program starts in; empty for the root.
    pub working_dir: String,
    /// The signal that ends the program; empty for the runtime's choice.
    pub stop_signal: String,
    /// The ports, like `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// The directories that are kept apart from the container.
    pub volumes: Vec<String>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// All steps, those without a layer among them.
    pub history: Vec<History>,
}

/// A layer of an image, or a part of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// The layer itself.
    #[serde(flatten)]
    pub content: Content,
    /// Annotations of its descriptor.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// The digest of its tar, where the config says one for each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<DiffId>,
    /// By which command it was made, where the history has one step for each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// What the history says of it besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// How many manifests of the report have it.
    pub used_by: usize,
}

/// Something that is attached to a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferrerReport {
    /// How the store says that it is attached.
    pub via: Via,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// What kind of artifact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// How an attachment is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// By its own `subject`.
    Subject,
    /// By a tag like `sha256-….sig`, or by the index under the tag `sha256-…`.
    Tag,
}

/// How much there is, by the sizes that descriptors say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Images for one platform each.
    pub manifests: usize,
    /// Their layers, each as often as an image has it.
    pub layers: usize,
    /// Their layers, each once.
    pub unique_layers: usize,
    /// Bytes of everything in the report, each as often as it is there.
    pub bytes: u64,
    /// Bytes of everything in the report, each once.
    pub unique_bytes: u64,
}

impl Content {
    /// Content of which nothing bad is known.
    pub(super) fn of(descriptor: &Descriptor) -> Content {
        Content {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.to_string(),
            size: descriptor.size,
            urls: descriptor.urls.clone(),
            problem: None,
        }
    }
}

impl Problem {
    /// A problem of this code, told in one line.
    pub(super) fn new(code: Code, error: &Error) -> Problem {
        let message = if code == Code::BlobMissing { "it is missing".to_owned() } else { line(error) };
        Problem { code, message }
    }
}

impl InspectReport {
    /// All documents, each before those it leads to.
    pub fn documents(&self) -> Vec<&DocumentReport> {
        let mut found = Vec::new();
        let mut stack: Vec<&DocumentReport> = self.images.iter().rev().map(|image| &image.document).collect();
        while let Some(document) = stack.pop() {
            found.push(document);
            if let Body::Index { manifests } = &document.body {
                stack.extend(manifests.iter().rev());
            }
        }
        found
    }

    /// Shows all documents to `change`.
    pub(super) fn change_documents(&mut self, mut change: impl FnMut(&mut DocumentReport)) {
        let mut stack: Vec<&mut DocumentReport> = self.images.iter_mut().map(|image| &mut image.document).collect();
        while let Some(document) = stack.pop() {
            change(document);
            if let Body::Index { manifests } = &mut document.body {
                stack.extend(manifests);
            }
        }
    }
}
