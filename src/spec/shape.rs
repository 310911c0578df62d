//! The shape of manifests and indexes: what a document must be before anything it says is believed.
//!
//! Relies on [`json`] for the text. Guarantees that a document read here is the same to every reader: it is what its descriptor says, it
//! has the fields of one kind of document only, no field stands there in another spelling, sizes fit the signed 64 bits that other tools
//! use, and embedded content is what its descriptor names. image-spec, manifest.md, image-index.md, descriptor.md; CVE-2021-41190.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::descriptor::{Descriptor, MediaType};
use super::manifest::{ImageIndex, ImageManifest};
use super::media_type::{self, Kind};
use super::scan::{self, Outline};
use super::{base64, json, limits, text};
use crate::error::{Error, Result};

const MANIFEST_FIELDS: [&str; 7] = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"];
const INDEX_FIELDS: [&str; 6] = ["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"];
const DESCRIPTOR_FIELDS: [&str; 8] = ["mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType", "data"];
const PLATFORM_FIELDS: [&str; 5] = ["architecture", "os", "os.version", "os.features", "variant"];

/// Reads the manifest that `descriptor` points to. Kinds: `corrupt`, and `unsupported` for Docker's schema 1.
pub fn manifest(descriptor: &Descriptor, bytes: &[u8]) -> Result<ImageManifest> {
    manifest_within(descriptor, bytes, limits::MANIFEST_BYTES)
}

/// Reads the index that `descriptor` points to. Kinds: `corrupt`, and `unsupported` for Docker's schema 1.
pub fn index(descriptor: &Descriptor, bytes: &[u8]) -> Result<ImageIndex> {
    index_within(descriptor, bytes, limits::MANIFEST_BYTES)
}

/// Reads the `index.json` of a layout, which errors call `place`. Kind `corrupt`.
pub fn layout_index(bytes: &[u8], place: &str) -> Result<ImageIndex> {
    let read = || {
        let index: ImageIndex = document(Kind::Index, bytes, limits::LAYOUT_INDEX_BYTES)?;
        match &index.media_type {
            Some(media_type) if Kind::of(media_type) != Kind::Index => Err(Error::corrupt(format!("its `mediaType` is `{}`", shown(media_type)))),
            _ => validate_index(&index).map(|()| index),
        }
    };
    read().map_err(|error: Error| error.context(format!("cannot read {place}")).subject(place))
}

/// What is strange about the `index.json` of a layout that [`layout_index`] read as `index`.
pub fn layout_index_warning(index: &ImageIndex, bytes: &[u8]) -> Option<&'static str> {
    // One with names has no such thing, and may be large.
    if index.manifests.is_empty() { warnings(bytes).into_iter().next() } else { None }
}

/// What the readers above let pass although the specification forbids or discourages it, one line each.
pub fn warnings(bytes: &[u8]) -> Vec<&'static str> {
    let Ok(Value::Object(members)) = json::parse(bytes, limits::LAYOUT_INDEX_BYTES) else { return Vec::new() };
    let mut warnings = Vec::new();
    if members.get("manifests").is_some_and(Value::is_null) {
        warnings.push("`manifests` is null and not a list");
    }
    if members.get("layers").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        warnings.push("`layers` is empty");
    }
    warnings
}

/// Whether `error`, from reading a document, says that readers could understand the document differently, rather than that it is broken for all of them.
pub fn is_ambiguous(error: &Error) -> bool {
    let says_so = |line: &str| line.starts_with("ambiguous: ") || line.contains(": ambiguous: ");
    says_so(error.message()) || error.causes().iter().any(|line| says_so(line))
}

pub(super) fn manifest_within(descriptor: &Descriptor, bytes: &[u8], limit: usize) -> Result<ImageManifest> {
    let read = || {
        described_as(descriptor, Kind::Manifest)?;
        let manifest: ImageManifest = document(Kind::Manifest, bytes, limit)?;
        same_media_type(descriptor, manifest.media_type.as_ref())?;
        validate_manifest(&manifest).map(|()| manifest)
    };
    read().map_err(|error: Error| error.context(format!("cannot read manifest {}", descriptor.digest)).subject(&descriptor.digest))
}

pub(super) fn index_within(descriptor: &Descriptor, bytes: &[u8], limit: usize) -> Result<ImageIndex> {
    let read = || {
        described_as(descriptor, Kind::Index)?;
        let index: ImageIndex = document(Kind::Index, bytes, limit)?;
        same_media_type(descriptor, index.media_type.as_ref())?;
        validate_index(&index).map(|()| index)
    };
    read().map_err(|error: Error| error.context(format!("cannot read index {}", descriptor.digest)).subject(&descriptor.digest))
}

/// The descriptor says that its content is a document of this kind.
fn described_as(descriptor: &Descriptor, kind: Kind) -> Result<()> {
    if media_type::is_schema_1(&descriptor.media_type) {
        return Err(schema_1());
    }
    if Kind::of(&descriptor.media_type) != kind {
        return Err(Error::corrupt(format!("its descriptor says `{}`, which is not {}", shown(&descriptor.media_type), noun(kind))));
    }
    Ok(())
}

/// Reads a document whose fields are those of `kind` and of no other kind of document.
fn document<T: DeserializeOwned>(kind: Kind, bytes: &[u8], limit: usize) -> Result<T> {
    let Outline::Object(keys) = json::outline(bytes, limit)? else { return Err(Error::corrupt("it is not a JSON object")) };
    let find = |name: &str| keys.iter().find(|key| scan::same_but_for_case(key, name)).map(String::as_str);
    if find("fsLayers").is_some() && find("config").is_none() && find("layers").is_none() && find("manifests").is_none() {
        return Err(schema_1());
    }
    if let (Some(layers), Some(manifests)) = (find("layers"), find("manifests")) {
        return Err(Error::corrupt(format!("ambiguous: it has both `{layers}` and `{manifests}`")));
    }
    let (strange, twin): (&[&str], Kind) = match kind {
        Kind::Index => (&["config", "layers", "fsLayers", "history"], Kind::Manifest),
        _ => (&["manifests", "fsLayers", "history"], Kind::Index),
    };
    let own = if kind == Kind::Index { "manifests" } else { "layers" };
    match strange.iter().find_map(|name| find(name)) {
        Some(key) if find(own).is_none() => Err(Error::corrupt(format!("ambiguous: it should be {} but is {}: it has `{key}`", noun(kind), noun(twin)))),
        Some(key) => Err(Error::corrupt(format!("ambiguous: {} cannot have `{key}`", noun(kind)))),
        None => json::typed(bytes),
    }
}

/// The document says the same media type as the descriptor, or none: then the descriptor decides.
fn same_media_type(descriptor: &Descriptor, inside: Option<&MediaType>) -> Result<()> {
    match inside {
        Some(inside) if inside.as_ref() != descriptor.media_type.as_ref() => {
            Err(Error::corrupt(format!("ambiguous: its `mediaType` is `{}`, but its descriptor says `{}`", shown(inside), shown(&descriptor.media_type))))
        }
        _ => Ok(()),
    }
}

fn validate_manifest(manifest: &ImageManifest) -> Result<()> {
    validate_version(manifest.schema_version)?;
    one_spelling(manifest.other.keys(), &MANIFEST_FIELDS, String::new)?;
    validate_descriptor(&manifest.config, || "config".into())?;
    for (position, layer) in manifest.layers.iter().enumerate() {
        validate_descriptor(layer, || format!("layers[{position}]"))?;
    }
    manifest.subject.as_ref().map_or(Ok(()), |subject| validate_descriptor(subject, || "subject".into()))
}

fn validate_index(index: &ImageIndex) -> Result<()> {
    validate_version(index.schema_version)?;
    one_spelling(index.other.keys(), &INDEX_FIELDS, String::new)?;
    for (position, manifest) in index.manifests.iter().enumerate() {
        validate_descriptor(manifest, || format!("manifests[{position}]"))?;
    }
    index.subject.as_ref().map_or(Ok(()), |subject| validate_descriptor(subject, || "subject".into()))
}

fn validate_version(version: u32) -> Result<()> {
    match version {
        2 => Ok(()),
        1 => Err(schema_1()),
        other => Err(Error::corrupt(format!("its `schemaVersion` is {other} and not 2"))),
    }
}

/// Checks one descriptor of a document; `place` names it in errors.
fn validate_descriptor(descriptor: &Descriptor, place: impl Fn() -> String) -> Result<()> {
    let bad = |why: String| Err(Error::corrupt(format!("{}: {why}", place())));
    if i64::try_from(descriptor.size).is_err() {
        return bad(format!("size {} is more than the largest size, {}", descriptor.size, i64::MAX));
    }
    one_spelling(descriptor.other.keys(), &DESCRIPTOR_FIELDS, &place)?;
    if let Some(platform) = &descriptor.platform {
        one_spelling(platform.other.keys(), &PLATFORM_FIELDS, || format!("{}.platform", place()))?;
    }
    match &descriptor.data {
        Some(data) => validate_data(descriptor, data).or_else(|why| bad(format!("data: {why}"))),
        None => Ok(()),
    }
}

/// Embedded content is the content that the descriptor names. A digest that cannot be computed proves nothing and is left to whoever uses it.
fn validate_data(descriptor: &Descriptor, data: &str) -> Result<(), String> {
    if data.len() / 4 * 3 > limits::DATA_BYTES + 3 {
        return Err(format!("it has {} characters; the limit is {} bytes of content", data.len(), limits::DATA_BYTES));
    }
    let Some(content) = base64::decode(data) else { return Err("it is not base64 in the standard alphabet with padding".into()) };
    if content.len() as u64 != descriptor.size {
        return Err(format!("it has {} bytes, the descriptor says {}", content.len(), descriptor.size));
    }
    let Ok(mut hasher) = descriptor.digest.algorithm().hasher() else { return Ok(()) };
    hasher.update(&content);
    let actual = hasher.finish();
    match actual == descriptor.digest {
        true => Ok(()),
        false => Err(format!("its digest is {actual}, the descriptor says {}", descriptor.digest)),
    }
}

/// No key is that of a known field in another case: readers that ignore case would take it.
pub(super) fn one_spelling<'a>(keys: impl Iterator<Item = &'a String>, fields: &[&str], place: impl Fn() -> String) -> Result<()> {
    for key in keys {
        if let Some(field) = fields.iter().find(|field| **field != key.as_str() && scan::same_but_for_case(field, key)) {
            let place = place();
            let place = if place.is_empty() { place } else { format!("{place}: ") };
            return Err(Error::corrupt(format!("{place}ambiguous: some readers take `{}` for `{field}`", text::shown(key))));
        }
    }
    Ok(())
}

fn schema_1() -> Error {
    Error::unsupported("it is a Docker schema 1 manifest, which larder does not read")
        .hint("copy the image with a tool that converts it, such as `skopeo copy --format oci`")
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Index => "an image index",
        _ => "an image manifest",
    }
}

fn shown(media_type: &MediaType) -> std::borrow::Cow<'_, str> {
    text::shown(media_type.as_ref())
}

#[cfg(test)]
mod tests;
