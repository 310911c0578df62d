//! Layouts written by hand, right or wrong as a test wants them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::Digest as _;
use tempfile::TempDir;

use super::mount::Mount;
use super::process::temp;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A layout in a temporary directory.
pub(crate) struct Forge {
    /// Removed with everything in it.
    _home: TempDir,
    layout: PathBuf,
}

impl Forge {
    /// A layout without images.
    pub(crate) fn new() -> Forge {
        Forge::inside(temp())
    }

    /// The same on a file system of a test's own.
    pub(crate) fn on(mount: &Mount) -> Forge {
        Forge::inside(tempfile::tempdir_in(mount.path()).expect("a temporary directory"))
    }

    fn inside(home: TempDir) -> Forge {
        let forge = Forge { layout: home.path().join("layout"), _home: home };
        for directory in ["", "blobs", "blobs/sha256"] {
            fs::create_dir(forge.layout.join(directory)).expect("writable");
            fs::set_permissions(forge.layout.join(directory), fs::Permissions::from_mode(0o755)).expect("own directory");
        }
        forge.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        forge.write_index(&json!({"schemaVersion": 2, "manifests": []}));
        forge
    }

    /// A layout with one image, tagged `image`, that is right: the layer is a tar with one file.
    pub(crate) fn with_image() -> (Forge, Image) {
        let forge = Forge::new();
        let image = forge.image(LAYER, &tar(&[("file", b"content")]));
        forge.enter("image", &image.manifest);
        (forge, image)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.layout
    }

    /// Stores content and describes it.
    pub(crate) fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.write(&format!("blobs/sha256/{}", &digest["sha256:".len()..]), bytes);
        descriptor
    }

    /// Stores a document and describes it.
    pub(crate) fn document(&self, media_type: &str, document: &Value) -> Value {
        self.put(media_type, document.to_string().as_bytes())
    }

    /// Stores an image of one layer, which is what its diff ID says as far as it is not compressed.
    pub(crate) fn image(&self, layer_type: &str, layer: &[u8]) -> Image {
        let diff_id = sha256(layer);
        self.image_of(&[self.put(layer_type, layer)], &[&diff_id])
    }

    /// Stores an image of these layers and diff IDs.
    pub(crate) fn image_of(&self, layers: &[Value], diff_ids: &[&str]) -> Image {
        let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
        let config = self.document(CONFIG, &json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs}));
        let manifest = self.document(MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}));
        Image { manifest, config, layer: layers.first().cloned().unwrap_or_default() }
    }

    /// Gives a document a tag.
    pub(crate) fn enter(&self, tag: &str, descriptor: &Value) {
        self.enter_all(vec![(json!({"org.opencontainers.image.ref.name": tag}), descriptor.clone())]);
    }

    /// Puts entries with these annotations into `index.json`.
    pub(crate) fn enter_all(&self, entries: Vec<(Value, Value)>) {
        let mut index = super::image::read_index(&self.layout);
        for (annotations, mut entry) in entries {
            entry["annotations"] = annotations;
            index["manifests"].as_array_mut().expect("a list").push(entry);
        }
        self.write_index(&index);
    }

    /// Gives a document a full name.
    pub(crate) fn enter_as(&self, name: &str, descriptor: &Value) {
        let mut entry = descriptor.clone();
        let tag = name.rsplit_once(':').expect("a tag").1;
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": name});
        let mut index = super::image::read_index(&self.layout);
        index["manifests"].as_array_mut().expect("a list").push(entry);
        self.write_index(&index);
    }

    fn write_index(&self, index: &Value) {
        self.write("index.json", index.to_string().as_bytes());
    }

    fn write(&self, place: &str, bytes: &[u8]) {
        fs::write(self.layout.join(place), bytes).expect("writable");
        fs::set_permissions(self.layout.join(place), fs::Permissions::from_mode(0o644)).expect("own file");
    }
}

/// The descriptors of an image.
pub(crate) struct Image {
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    /// The first layer.
    pub(crate) layer: Value,
}

/// The digest of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = sha2::Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// An archive of regular files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, *content).expect("an entry");
    }
    archive.into_inner().expect("an archive")
}
