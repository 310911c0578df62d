//! What earlier builds knew: which recipe made which layer, and where the chunks of layers stand.
//!
//! The cache can be deleted at any time, as a whole or in part. An entry that cannot be read, or that tells of a layout
//! which is gone or damaged, is as good as none. Nothing of it enters the output.
//!
//! ```text
//! DIR/v1/layers/<recipe>      a layer: descriptor, diff ID, layouts that have held it
//! DIR/v1/chunks/<lineage>     the chunks of the newest layer that was made from the same sources
//! DIR/v1/listings/<diff ID>   what is in a layer, without the content
//! DIR/v1/mounts/              directories that steps of Dockerfiles have as caches
//! DIR/v1/content/             an image layout with the layers that steps of Dockerfiles made; other layers are where they were built into
//! ```

mod chunks;
mod kept;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use kept::{BUILDS_KEEP, Entry, EntryForm, Kept, Pruned, Wanted};

use super::recipe::Recipe;
use crate::error::{IoContext as _, Result};
use crate::exec::Run;
use crate::fsio::durable;
use crate::layer::Layer;
use crate::layer::reuse::{ChunkRecord, Reuse};
use crate::spec::{Descriptor, DiffId};
use crate::store::layout::{Layout, Options};

/// Above this the oldest notes go. An entry is a few hundred bytes; the chunks of a layer of 1 GB take about 100 KB.
const MAX_BYTES: u64 = 128 << 20;

/// A layer remembers the layouts that hold it, the newest first.
const MAX_LAYOUTS: usize = 4;

/// A directory of earlier builds.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    feeding: Feeding,
}

/// Whether a cache learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feeding {
    Learns,
    /// What is built now is gone soon: remembering it would crowd out what stays.
    LooksOnly,
}

/// A layer that was built before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of its tar.
    pub diff_id: DiffId,
    /// Length of its tar.
    pub uncompressed: u64,
    /// What a person knows it by.
    #[serde(default)]
    label: String,
    /// Layouts that have held the blob, newest first.
    layouts: Vec<PathBuf>,
}

/// What one build and the next have in common although files changed: the sources and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage(pub [u8; 32]);

impl Cache {
    /// The cache in a directory, which is made when something is first kept.
    pub fn at(directory: &Path) -> Self {
        Cache { root: directory.join("v1"), feeding: Feeding::Learns }
    }

    /// The same cache for a build whose layout is gone afterwards: it is looked at and learns nothing.
    #[must_use]
    pub fn unfed(&self) -> Self {
        Cache { root: self.root.clone(), feeding: Feeding::LooksOnly }
    }

    /// The layer of a recipe, if it is known.
    pub fn layer(&self, recipe: &Recipe) -> Option<Remembered> {
        serde_json::from_slice(&std::fs::read(self.layer_path(recipe)).ok()?).ok()
    }

    /// Remembers a layer that `layout` holds now and that a person knows by `label`. Failing to is no failure of the build, and the caller may tell it as a warning.
    pub fn keep_layer(&self, recipe: &Recipe, label: &str, layer: &Layer, layout: &Path) -> Result<()> {
        let mut layouts = vec![layout.to_owned()];
        if let Some(known) = self.layer(recipe) {
            layouts.extend(known.layouts.into_iter().filter(|known| known != layout));
        }
        layouts.truncate(MAX_LAYOUTS);
        let remembered = Remembered {
            descriptor: layer.descriptor.clone(),
            diff_id: layer.diff_id.clone(),
            uncompressed: layer.uncompressed,
            label: label.to_owned(),
            layouts,
        };
        let bytes = crate::spec::json::canonical(&remembered)?;
        self.write(&self.layer_path(recipe), &bytes)
    }

    /// Notes that the layer of a recipe was used now. Where that cannot be, it only looks older.
    pub fn touch(&self, run: &Run, recipe: &Recipe) {
        let _ = File::options().append(true).open(self.layer_path(recipe)).and_then(|file| file.set_modified((run.clock.0)()));
    }

    /// Adds the chunks of the newest layer of a lineage to `reuse`, as far as its blob is still there.
    pub fn load_chunks(&self, lineage: Lineage, reuse: &Reuse) {
        if let Some((file, records)) = std::fs::read(self.chunks_path(lineage)).ok().and_then(|bytes| chunks::parse(&bytes)) {
            reuse.add(&file, records);
        }
    }

    /// Remembers the chunks of a layer that stands at `blob`.
    pub fn keep_chunks(&self, lineage: Lineage, blob: &Path, chunks: &[ChunkRecord]) -> Result<()> {
        self.write(&self.chunks_path(lineage), &chunks::write(blob, chunks))
    }

    /// The directory, as errors and reports show it.
    pub fn shown(&self) -> String {
        crate::spec::text::path(self.root.parent().unwrap_or(&self.root)).into_owned()
    }

    /// Makes the directory where it is missing. What was built is nobody else's business before it is where it was asked for.
    pub fn ensure(&self) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).at("create directory", &self.root)
    }

    /// Where the layout is that holds the layers of steps.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The directory of what steps that run a program keep for their like.
    pub fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }

    /// Anything else that is remembered under a name.
    pub(super) fn read(&self, folder: &str, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.join(folder).join(name)).ok()
    }

    /// Remembers it.
    pub(super) fn keep(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<()> {
        self.write(&self.root.join(folder).join(name), bytes)
    }

    /// Deletes the oldest notes once they have grown over their bound. What cannot be deleted stays.
    pub fn trim(&self) {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for folder in ["layers", "chunks", "listings"] {
            let Ok(listing) = std::fs::read_dir(self.root.join(folder)) else { continue };
            entries.extend(listing.flatten().filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len().max(4096), entry.path()))
            }));
        }
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        if total <= MAX_BYTES {
            return;
        }
        entries.sort();
        for (_, size, path) in entries {
            if total <= MAX_BYTES / 4 * 3 {
                break;
            }
            if std::fs::remove_file(path).is_ok() {
                total -= size;
            }
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        match self.feeding {
            Feeding::Learns => {
                self.ensure()?;
                durable::replace_path(path, bytes, 0o600)
            }
            Feeding::LooksOnly => Ok(()),
        }
    }

    fn layer_path(&self, recipe: &Recipe) -> PathBuf {
        self.root.join("layers").join(hex(&recipe.key))
    }

    fn chunks_path(&self, lineage: Lineage) -> PathBuf {
        self.root.join("chunks").join(hex(&lineage.0))
    }
}

impl Remembered {
    /// The layouts that still hold the blob in the right size, the newest first.
    pub fn holders(&self, options: &Options) -> impl Iterator<Item = Layout> {
        self.layouts.iter().filter_map(|path| {
            let layout = Layout::open(path, options.clone()).ok()?;
            layout.has(&self.descriptor).unwrap_or(false).then_some(layout)
        })
    }

    /// The layer, without its chunks.
    pub fn layer(&self) -> Layer {
        Layer {
            descriptor: self.descriptor.clone(),
            diff_id: self.diff_id.clone(),
            uncompressed: self.uncompressed,
            reused: self.descriptor.size,
            chunks: Vec::new(),
        }
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}
