//! Images made by hand, in a layout.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::exec::Run;
use crate::layer::Entry;
use crate::layer::inventory::sample::layer;
use crate::spec::{Descriptor, DiffId, Digest, History, ImageConfig, ImageIndex, ImageManifest, ImageName, MediaType, Platform, json};
use crate::store::{Destination as _, Layout, Location, Options};

pub(super) type Layer<'a> = Vec<(Entry, &'a str)>;

/// A layout in a directory of its own.
pub(super) struct Sample {
    temp: tempfile::TempDir,
    pub(super) layout: Layout,
}

/// An image that can still be changed.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) config: ImageConfig,
    pub(super) manifest: ImageManifest,
}

pub(super) fn run() -> Run {
    Run::new(NonZeroUsize::MIN).expect("threads start")
}

impl Sample {
    pub(super) fn new() -> Sample {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("layout"), Options::default()).expect("created");
        Sample { temp, layout }
    }

    /// The image with this tag.
    pub(super) fn location(&self, tag: &str) -> Location {
        Location::parse(format!("oci:{}:{tag}", self.layout.path().display())).expect("a location")
    }

    pub(super) fn put(&self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        self.layout.put_document(media_type, bytes).expect("stored")
    }

    /// Stores layers and describes an image of them for linux/amd64.
    pub(super) fn draft(&self, layers: &[Layer<'_>]) -> Draft {
        let mut config = ImageConfig::new(&Platform::new("linux", "amd64", ""));
        let mut stored = Vec::new();
        for entries in layers {
            let tar = layer(entries);
            config.push_layer(&DiffId(Digest::sha256(&tar)), History { created_by: Some("a step".to_owned()), ..History::default() });
            stored.push(self.put(MediaType::ImageLayer, &tar));
        }
        // The config comes when the draft is finished.
        let none = Descriptor::new(MediaType::ImageConfig, Digest::sha256(b""), 0);
        Draft { config, manifest: ImageManifest::new(none, stored) }
    }

    /// Stores the documents of an image, and returns the manifest as an index points to it.
    pub(super) fn image(&self, mut draft: Draft) -> Descriptor {
        draft.manifest.config = self.put(draft.manifest.config.media_type.clone(), &json::canonical(&draft.config).expect("JSON"));
        let manifest = self.put(MediaType::ImageManifest, &json::canonical(&draft.manifest).expect("JSON"));
        Descriptor { platform: Some(draft.config.platform().expect("a platform")), ..manifest }
    }

    pub(super) fn index(&self, index: &ImageIndex) -> Descriptor {
        self.put(MediaType::ImageIndex, &json::canonical(index).expect("JSON"))
    }

    pub(super) fn name(&self, tag: &str, descriptor: &Descriptor) {
        let mut entry = descriptor.bare();
        ImageName::tag_only(tag).expect("a tag").apply(&mut entry);
        self.layout.commit(&[entry]).expect("named");
    }

    /// The file of a blob.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> PathBuf {
        self.temp.path().join("layout/blobs/sha256").join(descriptor.digest.encoded())
    }
}
