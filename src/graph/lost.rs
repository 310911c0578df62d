//! Documents that are in a layout though no name leads to them: what a lost `index.json` leaves behind, and images whose names stand on others by now.
//!
//! Nothing but the layout says that they are there, so their media types are what they say of themselves, or what their fields say.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Descriptor, Digest, Kind, MediaType, json, limits, links};
use crate::store::layout::{Layout, StoredBlob};

use super::walk::Graph;

/// The document of this digest, whether something leads to it or not; none where there is no such document.
pub fn find(layout: &Layout, digest: &Digest) -> Result<Option<Descriptor>> {
    match layout.stored()?.blobs.into_iter().find(|blob| blob.digest == *digest) {
        Some(blob) => Ok(read(layout, &blob)?.map(|(descriptor, _)| descriptor)),
        None => Ok(None),
    }
}

/// The same, where everything that it leads to is there: what a name may be given to. Kind `not_found` where something is missing.
pub fn find_whole(run: &Run, layout: &Layout, digest: &Digest) -> Result<Option<Descriptor>> {
    let Some(found) = find(layout, digest)? else { return Ok(None) };
    let graph = Graph::walk(run, layout, std::slice::from_ref(&found))?;
    for reached in graph.reached() {
        // What may not be distributed may be elsewhere.
        let is_elsewhere = matches!(Kind::of(&reached.descriptor.media_type), Kind::Layer(media) if media.non_distributable);
        if !is_elsewhere && !layout.has(&reached.descriptor)? {
            let missing = &reached.descriptor.digest;
            return Err(Error::not_found(format!("{digest} is not whole: blob {missing} is missing")).subject(missing));
        }
    }
    Ok(Some(found))
}

/// The documents that no other document of the layout points to, in the order of their digests. Reads everything that is small enough to be a document.
///
/// What cannot be read is left out. Fails with kind `interrupted`, and where the layout cannot be listed.
pub fn topmost(run: &Run, layout: &Layout) -> Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    let mut below = HashSet::new();
    for blob in layout.stored()?.blobs {
        run.cancel.check()?;
        let Ok(Some((descriptor, bytes))) = read(layout, &blob) else { continue };
        if let Ok(children) = links::children(&descriptor, &bytes) {
            below.extend(children.into_iter().map(|child| child.descriptor.digest));
            found.push(descriptor);
        }
    }
    found.retain(|descriptor| !below.contains(&descriptor.digest));
    Ok(found)
}

/// A blob that is a document, and its bytes.
fn read(layout: &Layout, blob: &StoredBlob) -> Result<Option<(Descriptor, Vec<u8>)>> {
    if blob.size() > limits::MANIFEST_BYTES as u64 {
        return Ok(None);
    }
    let unknown = Descriptor::new(MediaType::ImageManifest, blob.digest.clone(), blob.size());
    let bytes = layout.read(&unknown, limits::MANIFEST_BYTES)?;
    // Most content is something else.
    let Ok(value) = json::parse(&bytes, limits::MANIFEST_BYTES) else { return Ok(None) };
    let has = |field: &str| value.get(field).is_some();
    let media_type = match value.get("mediaType").and_then(|said| said.as_str()) {
        Some(said) => MediaType::from(said),
        None if has("manifests") => MediaType::ImageIndex,
        None if has("layers") && has("config") => MediaType::ImageManifest,
        None => return Ok(None),
    };
    let is_document = matches!(Kind::of(&media_type), Kind::Index | Kind::Manifest);
    Ok(is_document.then_some((Descriptor { media_type, ..unknown }, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::{Document, ImageIndex, ImageManifest};
    use crate::store::Destination as _;
    use crate::store::layout::Options;
    use std::num::NonZeroUsize;

    #[test]
    fn lay_06_what_no_document_points_to_is_found_and_what_is_not_whole_is_told() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("layout"), Options::default()).expect("created");
        let run = Run::new(NonZeroUsize::MIN).expect("threads start");
        let put = |media_type: MediaType, bytes: &[u8]| {
            let descriptor = Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64);
            layout.put(&descriptor, &mut &bytes[..]).expect("stored");
            descriptor
        };
        let config = put(MediaType::ImageConfig, b"{}");
        let absent = Descriptor::new(MediaType::ImageLayer, Digest::sha256(b"absent"), 6);
        let manifest = |layers: Vec<Descriptor>, said: Option<MediaType>| {
            let value = ImageManifest { media_type: said, ..ImageManifest::new(config.clone(), layers) };
            let document = Document::create(MediaType::ImageManifest, value).expect("created");
            put(MediaType::ImageManifest, &document.bytes)
        };
        let (below, broken) = (manifest(Vec::new(), None), manifest(vec![absent.clone()], Some(MediaType::ImageManifest)));
        let index = Document::create(MediaType::ImageIndex, ImageIndex::new(vec![below.clone()])).expect("created");
        let index = put(MediaType::ImageIndex, &index.bytes);
        let mut expected = vec![broken.clone(), index.clone()];
        expected.sort_by(|a, b| a.digest.cmp(&b.digest));
        assert_eq!(topmost(&run, &layout).expect("listed"), expected);
        for document in [&below, &broken, &index] {
            assert_eq!(find(&layout, &document.digest).expect("read").as_ref(), Some(document));
        }
        assert_eq!(find_whole(&run, &layout, &index.digest).expect("whole"), Some(index));
        let error = find_whole(&run, &layout, &broken.digest).expect_err("a layer is missing");
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::NotFound, Some(absent.digest.as_str())));
        for other in [&config.digest, &absent.digest] {
            assert_eq!(find(&layout, other).expect("no document"), None);
        }
    }
}
