//! Listing what the entries of a store name.
//!
//! Reads the entries and nothing else, so for a layout the time depends on their number alone, whatever the images are.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::spec::{Descriptor, Digest, ImageName, Selector};
use crate::store::{Location, Options, transport};

/// Which store to list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The store, without a name.
    pub location: Location,
    /// How it is opened.
    pub options: Options,
}

/// The entries, in their order.
#[derive(Clone, Debug, Serialize)]
pub struct ListReport {
    /// One for each entry, those without a name among them.
    pub names: Vec<NameReport>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameReport {
    /// The full reference, else the ref.name; none for an entry without a name. Foreign text.
    pub name: Option<String>,
    /// The annotation `org.opencontainers.image.ref.name`. Foreign text.
    pub ref_name: Option<String>,
    /// The annotation `io.containerd.image.name`. Foreign text.
    pub image_name: Option<String>,
    /// What the name stands on.
    pub digest: Digest,
    /// Its media type. Foreign text.
    pub media_type: String,
    /// Bytes of the manifest or index itself.
    pub size: u64,
    /// What it runs on, where the entry says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

impl From<&Descriptor> for NameReport {
    fn from(entry: &Descriptor) -> Self {
        let name = ImageName::of(entry);
        NameReport {
            name: name.as_ref().map(|name| name.as_str().to_owned()),
            ref_name: name.as_ref().and_then(ImageName::ref_name).map(str::to_owned),
            image_name: name.as_ref().and_then(ImageName::image).map(str::to_owned),
            digest: entry.digest.clone(),
            media_type: entry.media_type.to_string(),
            size: entry.size,
            platform: entry.platform.as_ref().map(ToString::to_string),
        }
    }
}

/// Lists the entries. Kinds: those of [`transport::source`]; `corrupt` where the entries cannot be read; `usage` for a location with a name, which is one image.
pub fn execute(request: &ListRequest) -> Result<ListReport> {
    let location = &request.location;
    if *location.selector() != Selector::Only {
        return Err(Error::usage(format!("`{location}` is one image, and a list is of all")).hint("leave the name out, or use `larder inspect`"));
    }
    let index = transport::source(location, &request.options)?.index()?;
    Ok(ListReport { names: index.manifests.iter().map(NameReport::from).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{MediaType, Platform};
    use crate::store::{Destination as _, Layout};

    #[test]
    fn every_entry_is_listed_as_it_is_and_no_blob_is_opened() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(temp.path(), Options::default()).expect("created");
        // None of these manifests exists.
        let mut full = Descriptor::new(MediaType::ImageIndex, Digest::sha256(b"a"), 7);
        ImageName::parse_reference("registry.example/a:1").expect("a name").apply(&mut full);
        let mut tag = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"b"), 8);
        ImageName::tag_only("x").expect("a name").apply(&mut tag);
        tag.platform = Some(Platform::new("linux", "arm", "v7"));
        let unnamed = Descriptor::new("application/vnd.example", Digest::sha256(b"c"), 9);
        layout.commit(&[full, tag, unnamed]).expect("committed");

        let report = execute(&ListRequest { location: Location::parse(temp.path()).expect("a location"), options: Options::default() }).expect("listed");
        let json = serde_json::to_value(&report).expect("plain data");
        let digest = |content: &[u8]| Digest::sha256(content).to_string();
        let expected = serde_json::json!({"names": [
            {"name": "registry.example/a:1", "ref_name": "1", "image_name": "registry.example/a:1", "digest": digest(b"a"),
             "media_type": "application/vnd.oci.image.index.v1+json", "size": 7},
            {"name": "x", "ref_name": "x", "image_name": null, "digest": digest(b"b"),
             "media_type": "application/vnd.oci.image.manifest.v1+json", "size": 8, "platform": "linux/arm/v7"},
            {"name": null, "ref_name": null, "image_name": null, "digest": digest(b"c"), "media_type": "application/vnd.example", "size": 9},
        ]});
        assert_eq!(json, expected);
    }
}
