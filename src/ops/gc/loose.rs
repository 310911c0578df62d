//! Documents among the content that no entry leads to: what they lead to, and what they are attached to.

use std::collections::HashMap;
use std::io::Read as _;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::{Descriptor, Digest, Kind, Node, json, limits, links};
use crate::store::Layout;
use crate::store::layout::StoredBlob;

use super::GarbageForm;

/// A manifest or index that was found by looking and not by a descriptor.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) form: GarbageForm,
    pub(super) children: Vec<Node>,
    pub(super) subject: Option<Digest>,
}

/// The documents among `blobs`. What does not match its digest, or is no document by its own word, is none; what cannot be read at all is an error, because
/// it might be one.
pub(super) fn documents(run: &Run, layout: &Layout, blobs: &[&StoredBlob]) -> Result<HashMap<Digest, Document>> {
    let small: Vec<&StoredBlob> = blobs.iter().copied().filter(|blob| blob.size() <= limits::MANIFEST_BYTES as u64).collect();
    let found = run.pool.try_map(small, |blob| {
        run.cancel.check()?;
        Ok(read(layout, blob)?.and_then(|bytes| Some((blob.digest.clone(), parse(&blob.digest, &bytes)?))))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// The verified bytes of what may be JSON.
fn read(layout: &Layout, blob: &StoredBlob) -> Result<Option<Vec<u8>>> {
    let descriptor = Descriptor::new("application/octet-stream", blob.digest.clone(), blob.size());
    let read = || {
        // Most of what is small is compressed or a script, which the first byte tells without hashing the rest.
        let mut first = Vec::new();
        layout.open_blob(&descriptor)?.take(1).read_to_end(&mut first).map_err(|error| Error::io(format!("cannot read {}", blob.digest), error))?;
        if !first.first().is_some_and(|byte| matches!(byte, b'{' | b' ' | b'\t' | b'\r' | b'\n')) {
            return Ok(None);
        }
        layout.read(&descriptor, limits::MANIFEST_BYTES).map(Some)
    };
    match read() {
        // Nobody can use what is damaged, and nobody did: nothing leads to it.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(None),
        outcome => outcome,
    }
}

/// What `bytes` say they are; none for what is neither a manifest nor an index.
fn parse(digest: &Digest, bytes: &[u8]) -> Option<Document> {
    /// What decides where a document does not say its media type, as OCI 1.0 allowed.
    #[derive(serde::Deserialize)]
    struct Outline {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let outline: Outline = json::decode(bytes, limits::MANIFEST_BYTES).ok()?;
    let media_type = outline.media_type.as_deref().unwrap_or(match outline.manifests {
        Some(_) => "application/vnd.oci.image.index.v1+json",
        None => "application/vnd.oci.image.manifest.v1+json",
    });
    let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
    let form = match Kind::of(media_type) {
        Kind::Index => GarbageForm::Index,
        Kind::Manifest => GarbageForm::Manifest,
        _ => return None,
    };
    let children = links::children(&descriptor, bytes).ok()?;
    let subject = links::subject(&descriptor, bytes).ok()?.map(|subject| subject.digest);
    Some(Document { form, children, subject })
}
