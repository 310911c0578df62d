//! A small image layout, written by hand from the text of the specification and not by larder.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::process::temp;

/// The layout and what is in it.
pub(crate) struct Handmade {
    place: tempfile::TempDir,
    /// The image index named `1.0`: linux/amd64 and linux/arm64.
    pub(crate) index: String,
    /// The manifest for linux/amd64, also named `amd`.
    pub(crate) manifest: String,
    /// The config of that manifest, as bytes.
    pub(crate) config: Vec<u8>,
    /// The one layer of all images.
    pub(crate) layer: String,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Handmade {
    /// Writes the layout into a new temporary directory.
    pub(crate) fn create() -> Handmade {
        let place = temp();
        let root = place.path();
        fs::create_dir_all(root.join("blobs/sha256")).expect("writable");
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("writable");
        // An empty tar archive: two blocks of zeros.
        let tar = vec![0_u8; 1024];
        let layer = blob(root, LAYER, &tar);
        let diff_id = layer["digest"].clone();
        let mut configs = Vec::new();
        let manifests: Vec<Value> = ["amd64", "arm64"]
            .into_iter()
            .map(|architecture| {
                let config = json!({
                    "architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
                    "config": {"Entrypoint": ["/hello"], "Env": ["LANG=C.UTF-8"], "Labels": {"note": "red \u{1b}[31m"}},
                    "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                    "history": [{"created": "1970-01-01T00:00:00Z", "comment": "empty"}],
                });
                configs.push(config.to_string().into_bytes());
                let config = blob(root, CONFIG, config.to_string().as_bytes());
                let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
                let mut descriptor = blob(root, MANIFEST, manifest.to_string().as_bytes());
                descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
                descriptor
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let index = blob(root, INDEX, index.to_string().as_bytes());
        let top = json!({"schemaVersion": 2, "manifests": [named(&index, "1.0"), named(&manifests[0], "amd")]});
        fs::write(root.join("index.json"), top.to_string()).expect("writable");
        Handmade { index: digest(&index), manifest: digest(&manifests[0]), config: configs.swap_remove(0), layer: digest(&layer), place }
    }

    pub(crate) fn root(&self) -> &Path {
        self.place.path()
    }

    /// The directory, as an argument.
    pub(crate) fn location(&self) -> &str {
        self.root().to_str().expect("UTF-8")
    }

    /// Where the content `digest` lies.
    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.root().join("blobs").join(digest.replace(':', "/"))
    }
}

fn blob(root: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    fs::write(root.join("blobs").join(digest.replace(':', "/")), bytes).expect("writable");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

fn named(descriptor: &Value, name: &str) -> Value {
    let mut descriptor = descriptor.clone();
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("text").to_owned()
}
