//! Layouts to edit.

use std::num::NonZeroUsize;

use serde_json::Value;

use crate::build::place::Place;
use crate::build::spec::{AnnotationSpec, Level};
use crate::error::Result;
use crate::exec::{Run, Timestamps};
use crate::layer::changeset::{Item, Node};
use crate::layer::entry::Xattrs;
use crate::layer::tar::Reader;
use crate::layer::{Codec, Entry, EntryKind, builder, decode};
use crate::ops::edit::{self, AnnotationChange, Changes, EditReport, EditRequest};
use crate::ops::verify::{self, Absent, Depth, VerifyRequest};
use crate::spec::{
    Algorithm, Descriptor, DiffId, Document, History, ImageConfig, ImageIndex, ImageManifest, ImageName, MediaType, Platform, Selector, annotation, json,
    limits,
};
use crate::store::layout::{Layout, Options};
use crate::store::{Destination as _, Location};

pub(super) type Layer = (Descriptor, DiffId);

pub(super) fn run() -> Run {
    Run::new(NonZeroUsize::MIN).expect("threads start")
}

pub(super) struct Sample {
    temp: tempfile::TempDir,
    pub(super) layout: Layout,
}

impl Sample {
    pub(super) fn new() -> Sample {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("layout"), Options::default()).expect("created");
        Sample { temp, layout }
    }

    /// Where files for new layers lie.
    pub(super) fn context(&self) -> std::path::PathBuf {
        let context = self.temp.path().join("context");
        std::fs::create_dir_all(&context).expect("writable");
        context
    }

    /// The paths in a layer, in their order.
    pub(super) fn paths(&self, layer: &Descriptor) -> Vec<String> {
        let blob = self.layout.open_blob(layer).expect("there");
        let mut tar = Reader::new(decode::sniffing_decoder(blob).expect("a layer").1);
        let mut paths = Vec::new();
        while let Some(entry) = tar.next_entry().expect("a tar") {
            paths.push(String::from_utf8(entry.path).expect("text"));
        }
        paths
    }

    /// A layer with one file.
    pub(super) fn layer(&self, path: &str, content: &str) -> Layer {
        self.layer_with(path, content, 0, Codec::default())
    }

    /// A layer with one file that has this time, compressed in this way.
    pub(super) fn layer_with(&self, path: &str, content: &str, mtime: i64, codec: Codec) -> Layer {
        let kind = EntryKind::File { size: content.len() as u64 };
        let entry = Entry { path: path.into(), kind, mode: 0o644, uid: 0, gid: 0, mtime, xattrs: Xattrs::new() };
        let item = Item { path: path.into(), node: Node::Made(Box::new(entry), content.as_bytes().into()) };
        let writer = self.layout.blob_writer(Algorithm::Sha256).expect("writable");
        let late = Run { timestamps: Timestamps::at(mtime.unsigned_abs()).expect("a moment"), ..run() };
        let layer = builder::build(&late, "layer", &[item], codec, None, writer).expect("built");
        (layer.descriptor, layer.diff_id)
    }

    /// How many blobs there are.
    pub(super) fn blobs(&self) -> usize {
        std::fs::read_dir(self.layout.path().join("blobs/sha256")).expect("listed").count()
    }

    pub(super) fn put(&self, media_type: &str, value: &Value) -> Descriptor {
        self.layout.put_document(media_type.into(), &json::canonical(value).expect("JSON")).expect("stored")
    }

    /// An image of these layers, one step of history for each, with its platform on the pointer.
    pub(super) fn image(&self, platform: &str, layers: &[Layer], change: impl FnOnce(&mut ImageConfig, &mut ImageManifest)) -> Descriptor {
        let platform = Platform::parse(platform).expect("a platform");
        let mut config = ImageConfig::new(&platform);
        for (position, (_, diff_id)) in layers.iter().enumerate() {
            config.push_layer(diff_id, History { created_by: Some(format!("step {position}")), ..History::default() });
        }
        let placeholder = Descriptor::new(MediaType::ImageConfig, crate::spec::Digest::sha256(b""), 0);
        let mut manifest = ImageManifest::new(placeholder, layers.iter().map(|(descriptor, _)| descriptor.clone()).collect());
        change(&mut config, &mut manifest);
        let config = Document::create(manifest.config.media_type.clone(), config).expect("created");
        self.layout.put_document(config.descriptor.media_type.clone(), &config.bytes).expect("stored");
        manifest.config = config.descriptor;
        let media_type = manifest.media_type.clone().unwrap_or(MediaType::ImageManifest);
        let manifest = Document::create(media_type, manifest).expect("created");
        self.layout.put_document(manifest.descriptor.media_type.clone(), &manifest.bytes).expect("stored");
        Descriptor { platform: Some(platform), ..manifest.descriptor }
    }

    pub(super) fn index(&self, manifests: Vec<Descriptor>) -> Descriptor {
        let index = Document::create(MediaType::ImageIndex, ImageIndex::new(manifests)).expect("created");
        self.layout.put_document(MediaType::ImageIndex, &index.bytes).expect("stored")
    }

    /// What BuildKit puts beside an image that it attests.
    pub(super) fn attestation(&self, of: &Descriptor) -> Descriptor {
        let layer = self.put("application/vnd.in-toto+json", &serde_json::json!({"subject": of.digest}));
        let config = self.put("application/vnd.oci.image.config.v1+json", &serde_json::json!({"os": "unknown", "architecture": "unknown"}));
        let manifest = self.put(MediaType::ImageManifest.as_ref(), &serde_json::to_value(ImageManifest::new(config, vec![layer])).expect("JSON"));
        let mut entry = Descriptor { platform: Some(Platform::new("unknown", "unknown", "")), ..manifest };
        entry.annotations.insert(annotation::DOCKER_REFERENCE_TYPE.into(), annotation::ATTESTATION_MANIFEST.into());
        entry.annotations.insert(annotation::DOCKER_REFERENCE_DIGEST.into(), of.digest.to_string());
        entry
    }

    /// Where an image of this layout is.
    pub(super) fn location(&self, name: &str) -> Location {
        Location::parse(format!("oci:{}:{name}", self.layout.path().display())).expect("a location")
    }

    pub(super) fn name(&self, descriptor: &Descriptor, name: &str) {
        let mut entry = descriptor.clone();
        ImageName::parse_within(name, None).expect("a name").apply(&mut entry);
        self.layout.commit(&[entry]).expect("committed");
    }

    pub(super) fn request(&self, image: &str, changes: Changes) -> EditRequest {
        let image = Selector::parse(image).expect("a selector");
        let layout = self.layout.path().to_owned();
        EditRequest { layout, image, names: Vec::new(), platforms: Vec::new(), changes, options: Options::default() }
    }

    /// Edits, and then proves the layout.
    #[track_caller]
    pub(super) fn edited(&self, request: &EditRequest) -> EditReport {
        let report = self.edit(request).unwrap_or_else(|error| panic!("{error}: {:?}", error.causes()));
        let verify = VerifyRequest {
            location: Location::parse(format!("oci:{}@{}", self.layout.path().display(), report.digest)).expect("a location"),
            depth: Depth::Layers,
            absent: Absent::Damage,
            options: Options::default(),
        };
        let found = verify::execute(&run(), &verify).expect("verified");
        assert_eq!(found.errors().collect::<Vec<_>>(), [] as [&verify::Finding; 0]);
        report
    }

    pub(super) fn edit(&self, request: &EditRequest) -> Result<EditReport> {
        edit::execute(&run(), request)
    }

    /// The entry with this name.
    pub(super) fn entry(&self, name: &str) -> Descriptor {
        Selector::Name(name.to_owned()).select(&self.layout.index().expect("readable")).expect("the name is there").clone()
    }

    pub(super) fn read_index(&self, descriptor: &Descriptor) -> ImageIndex {
        let bytes = self.layout.read(descriptor, limits::MANIFEST_BYTES).expect("there");
        Document::<ImageIndex>::parse(descriptor.clone(), bytes, limits::MANIFEST_BYTES).expect("an index").value
    }

    pub(super) fn read_manifest(&self, descriptor: &Descriptor) -> ImageManifest {
        let bytes = self.layout.read(descriptor, limits::MANIFEST_BYTES).expect("there");
        Document::<ImageManifest>::parse(descriptor.clone(), bytes, limits::MANIFEST_BYTES).expect("a manifest").value
    }

    pub(super) fn read_config(&self, manifest: &ImageManifest) -> ImageConfig {
        ImageConfig::parse(&self.layout.read(&manifest.config, limits::CONFIG_BYTES).expect("there"), limits::CONFIG_BYTES).expect("a config")
    }
}

/// A variable to set.
pub(super) fn env(name: &str, value: &str) -> Changes {
    let mut changes = Changes::default();
    changes.settings.set.env.push((name.into(), value.into()));
    changes
}

/// All layers under another compression.
pub(super) fn compressed(codec: Codec) -> Changes {
    let mut changes = Changes::default();
    changes.layers.compression = Some(codec);
    changes
}

pub(super) fn spec(level: Level, platform: Option<&str>, key: &str, value: &str) -> AnnotationSpec {
    let platform = platform.map(|platform| Platform::parse(platform).expect("a platform"));
    AnnotationSpec { place: Place::flag("--annotation"), level, platform, key: key.into(), value: value.into() }
}

pub(super) fn annotations(changes: impl IntoIterator<Item = AnnotationChange>) -> Changes {
    Changes { annotations: changes.into_iter().collect(), ..Changes::default() }
}

/// A JSON document with spaces and an order of keys that larder does not write.
pub(super) fn odd(value: &Value) -> Vec<u8> {
    let mut members: Vec<String> = value.as_object().expect("an object").iter().map(|(key, value)| format!(" {key:?} : {value}")).collect();
    members.reverse();
    format!("{{{} }}\n", members.join(",\n")).into_bytes()
}
