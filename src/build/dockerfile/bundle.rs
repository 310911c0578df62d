//! A build cache that travels: the layers that steps made and what each step is known by, as an artifact in an image layout.
//!
//! ```text
//! manifest   config: Keys, of media type application/vnd.larder.build.cache.v1+json     layers: those of the steps, each once
//! ```
//!
//! A step is known by what it comes to, whatever machine it is done on. What comes out of a bundle is proved before it is used: the documents, each
//! layer by its digest, and its tar by the diff ID. That a step does come to its layer is the word of who made the bundle, as with every cache.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::build::base;
use crate::build::place::At;
use crate::build::takeover;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::graph::find;
use crate::layer::Layer;
use crate::layer::stack::Stack;
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, DiffId, Digest, Document, ImageManifest, MediaType, Selector, json, limits, text};
use crate::store::layout::{Layout, Options};
use crate::store::{Destination as _, Sharing, Source as _};

/// What the config of a bundle is, and so the bundle.
const MEDIA_TYPE: &str = "application/vnd.larder.build.cache.v1+json";

/// What BuildKit's caches have there.
const BUILDKIT: &str = "application/vnd.buildkit.cacheconfig.v0";

/// The name that a bundle has in a layout where nobody gives another.
const NAME: &str = "buildcache";

/// How many steps a document of keys may have: one step takes about 300 bytes.
const KEYS_BYTES: usize = limits::SPECIFICATION_BYTES;

/// Where a bundle is, or goes.
#[derive(Clone, Debug)]
pub struct BundleSpec {
    /// The layout.
    pub layout: PathBuf,
    /// Its name there, where one is given.
    pub name: Option<String>,
    /// Which steps go in.
    pub scope: Scope,
}

/// Which steps a bundle has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Those of all stages.
    #[default]
    Max,
    /// Those whose layers are in the image.
    Min,
}

/// The document of keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Keys {
    steps: Vec<Entry>,
}

/// A step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    key: Key,
    layer: Digest,
    diff_id: DiffId,
    uncompressed: u64,
    label: String,
}

/// A step for a bundle.
pub struct Step<'a> {
    /// What it is known by.
    pub key: Key,
    /// What a person knows it by.
    pub label: &'a str,
    /// What it made.
    pub layer: &'a Layer,
}

/// An opened bundle.
#[derive(Debug)]
pub struct Bundle {
    layout: Layout,
    location: String,
    steps: HashMap<Key, (Entry, Descriptor)>,
}

impl Bundle {
    /// Opens a bundle and reads its documents.
    ///
    /// Kinds: `not_found` where the layout or the name is not there; `unsupported` for what is no bundle of larder; `corrupt`.
    pub fn open(spec: &At<BundleSpec>, options: &Options) -> Result<Bundle> {
        let open = || {
            let layout = Layout::open(&spec.value.layout, options.clone())?;
            let root = find::select(&layout, &layout.index()?, &Selector::Name(spec.value.name().to_owned()))?;
            if root.media_type != MediaType::ImageManifest {
                return Err(foreign(root.media_type.as_ref()));
            }
            let manifest = Document::<ImageManifest>::parse(root.clone(), layout.read(&root, limits::MANIFEST_BYTES)?, limits::MANIFEST_BYTES)?.value;
            if manifest.config.media_type.as_ref() != MEDIA_TYPE {
                return Err(foreign(manifest.config.media_type.as_ref()));
            }
            let keys: Keys = json::decode(&layout.read(&manifest.config, KEYS_BYTES)?, KEYS_BYTES)?;
            let layers: HashMap<&Digest, &Descriptor> = manifest.layers.iter().map(|layer| (&layer.digest, layer)).collect();
            let mut steps = HashMap::new();
            for entry in keys.steps {
                let layer = layers.get(&entry.layer).ok_or_else(|| Error::corrupt(format!("its list of steps has layer {}, and it has not", entry.layer)))?;
                // What else is said of it, as other addresses, is not taken over.
                let layer = base::oci_layer(layer)?;
                steps.insert(entry.key, (entry, Descriptor::new(layer.media_type, layer.digest, layer.size)));
            }
            Ok(Bundle { location: text::path(&spec.value.layout).into_owned(), layout, steps })
        };
        open().map_err(|error| spec.place.wrap(error, "cannot use this build cache"))
    }

    /// The layer of a step, proved and brought into `to`; none where the bundle does not know the step.
    ///
    /// Kinds: `corrupt` where the layer is not what the bundle says, `not_found` where it lacks it; those of writing.
    fn bring(&self, run: &Run, label: &str, key: Key, to: &Layout) -> Result<Option<Layer>> {
        let Some((entry, descriptor)) = self.steps.get(&key) else { return Ok(None) };
        let task = run.events.start(label, Some(descriptor.size));
        // The diff ID too: configs and keys of later steps are made of it.
        let proved = Stack::new(run, &self.layout, [(descriptor, &entry.diff_id)])?.read(&task, |_, _| Ok(std::ops::ControlFlow::Continue(())));
        proved.map_err(|error| error.side(Side::Source))?;
        if !to.has(descriptor)? && to.reuse(&self.layout, descriptor, Sharing::Files)?.is_none() {
            to.put(descriptor, &mut self.layout.open_unproved(descriptor)?)?;
        }
        let (descriptor, diff_id) = (descriptor.clone(), entry.diff_id.clone());
        Ok(Some(Layer { reused: descriptor.size, descriptor, diff_id, uncompressed: entry.uncompressed, chunks: Vec::new() }))
    }
}

/// The layer of a step from the first bundle that has it whole. What is damaged is told, and done again.
pub(super) fn find(run: &Run, bundles: &[Bundle], label: &str, key: Key, to: &Layout) -> Result<Option<Layer>> {
    for bundle in bundles {
        match bundle.bring(run, label, key, to) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) if error.failed_side() != Some(Side::Source) || error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => run.events.warn(format!("{label}: the build cache in {} is of no use for this step: {error}", bundle.location)),
        }
    }
    Ok(None)
}

/// Writes a bundle of `steps`, whose layers are in `from`, under its name.
pub fn write(run: &Run, spec: &At<BundleSpec>, steps: &[Step<'_>], from: &Layout, options: &Options) -> Result<()> {
    let write = || {
        let to = Layout::ensure(&spec.value.layout, options.clone())?;
        let mut known = HashSet::new();
        let layers: Vec<&Descriptor> = steps.iter().map(|step| &step.layer.descriptor).filter(|layer| known.insert(&layer.digest)).collect();
        run.pool.concurrently(layers.clone(), |layer| takeover::bring(run, &format!("cache layer {}", layer.digest.short()), from, &to, layer))?;
        // In one order, whichever step was done first.
        let steps: BTreeMap<Key, Entry> = steps.iter().map(|step| (step.key, Entry::of(step))).collect();
        let keys = json::canonical(&Keys { steps: steps.into_values().collect() })?;
        let config = to.put_document(MediaType::from(MEDIA_TYPE), &keys)?;
        let mut manifest = ImageManifest::new(config, layers.into_iter().map(Descriptor::bare).collect());
        manifest.artifact_type = Some(MEDIA_TYPE.to_owned());
        let manifest = Document::create(MediaType::ImageManifest, manifest)?;
        to.put_document(MediaType::ImageManifest, &manifest.bytes)?;
        let mut entry = manifest.descriptor;
        entry.artifact_type = Some(MEDIA_TYPE.to_owned());
        ImageName::verbatim(spec.value.name())?.apply(&mut entry);
        to.commit(&[entry])
    };
    write().map_err(|error| spec.place.wrap(error, "cannot write the build cache"))
}

impl BundleSpec {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(NAME)
    }
}

impl Entry {
    fn of(step: &Step<'_>) -> Entry {
        let layer = step.layer;
        Entry {
            key: step.key,
            layer: layer.descriptor.digest.clone(),
            diff_id: layer.diff_id.clone(),
            uncompressed: layer.uncompressed,
            label: step.label.to_owned(),
        }
    }
}

fn foreign(media_type: &str) -> Error {
    let shown = text::shown(media_type);
    match media_type {
        BUILDKIT => Error::unsupported("BuildKit made this cache, and larder does not know what its keys mean").hint("export one with larder build --cache-to"),
        _ => {
            Error::unsupported(format!("it is no build cache of larder but `{shown}`")).hint("name the cache, as in oci:DIR:NAME; larder list shows the names")
        }
    }
}
