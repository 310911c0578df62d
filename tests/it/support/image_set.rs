//! Many images at once, for two platforms each, which share layers as images of one house do.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::context::noise;
use super::forge::{CONFIG, Forge, INDEX, LAYER, MANIFEST, sha256, tar};

pub(crate) const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// How many different layers there are at the bottom.
const BASES: usize = 5;

/// A layout, and what is in it.
pub(crate) struct ImageSet {
    forge: Forge,
    pub(crate) images: Vec<Named>,
}

/// An image and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Without a host.
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// Of the index.
    pub(crate) digest: String,
    /// Of the manifests, in the order of [`PLATFORMS`].
    pub(crate) manifests: Vec<String>,
}

impl ImageSet {
    /// So many images, in a fifth as many repositories. Every one has a layer that a fifth of all have, and one for each platform that nothing else has, of this
    /// many bytes.
    pub(crate) fn new(count: usize, size: usize) -> ImageSet {
        let forge = Forge::new();
        let bases: Vec<(Value, String)> = (0..BASES).map(|number| layer(&forge, "base", &noise(50_000, number as u64))).collect();
        let (mut images, mut entries) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (repository, tag) = (format!("team/app-{:03}", number / BASES), format!("1.{}", number % BASES));
            let mut children = Vec::new();
            for (turn, architecture) in PLATFORMS.iter().enumerate() {
                let own = layer(&forge, "own", &noise(size, (1000 + 2 * number + turn) as u64));
                let mut child = image(&forge, architecture, &[&bases[number % BASES], &own]);
                child["platform"] = json!({"os": "linux", "architecture": architecture});
                children.push(child);
            }
            let index = forge.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}));
            let name = format!("registry.example/{repository}:{tag}");
            entries.push((json!({"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": name}), index.clone()));
            images.push(Named { repository, tag, digest: digest(&index), manifests: children.iter().map(digest).collect() });
        }
        forge.enter_all(entries);
        ImageSet { forge, images }
    }

    pub(crate) fn layout(&self) -> &Path {
        self.forge.path()
    }

    /// How many layers and configs there are, each once.
    pub(crate) fn blobs(&self) -> usize {
        let all = std::fs::read_dir(self.layout().join("blobs/sha256")).expect("there").count();
        let manifests: BTreeSet<&String> = self.images.iter().flat_map(|image| image.manifests.iter().chain([&image.digest])).collect();
        all - manifests.len()
    }

    /// The repositories, each once.
    pub(crate) fn repositories(&self) -> BTreeSet<&str> {
        self.images.iter().map(|image| image.repository.as_str()).collect()
    }
}

/// A layer of one file, and its diff ID.
fn layer(forge: &Forge, name: &str, content: &[u8]) -> (Value, String) {
    let bytes = tar(&[(name, content)]);
    (forge.put(LAYER, &bytes), sha256(&bytes))
}

fn image(forge: &Forge, architecture: &str, layers: &[&(Value, String)]) -> Value {
    let diff_ids: Vec<&str> = layers.iter().map(|(_, diff_id)| diff_id.as_str()).collect();
    let history: Vec<Value> = layers.iter().map(|_| json!({"created_by": "a test"})).collect();
    let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
    let config = json!({"architecture": architecture, "os": "linux", "config": {"Labels": {"order": "66"}}, "rootfs": rootfs, "history": history});
    let config = forge.document(CONFIG, &config);
    let layers: Vec<&Value> = layers.iter().map(|(descriptor, _)| descriptor).collect();
    forge.document(MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a digest").to_owned()
}
