//! Building an image into one or more layouts.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use crate::build::place;
use crate::build::spec::Level;
use crate::build::{self, BuildPlan, BuildSpec, Built, Cache, Origin, Shape};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::fsio::durable;
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, Digest, Platform, json};
use crate::store::Destination;
use crate::store::layout::{Layout, Options};

/// What to build and where to.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The image.
    pub spec: BuildSpec,
    /// The platform of this machine, for specifications that name none.
    pub host: Platform,
    /// The layouts to write.
    pub outputs: Vec<Output>,
    /// Whether there is an index around a single platform too.
    pub shape: Shape,
    /// The cache, if one is to be used.
    pub cache: Option<Cache>,
    /// Where to write metadata in buildx's form.
    pub metadata_file: Option<PathBuf>,
    /// How layouts are opened.
    pub options: Options,
}

/// A layout to write, and the names there.
#[derive(Clone, Debug)]
pub struct Output {
    /// The directory.
    pub path: PathBuf,
    /// A name for this output only, instead of the image's names.
    pub name: Option<ImageName>,
}

/// What was built.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// Digest of what the names stand on.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The names.
    pub names: Vec<String>,
    /// The layouts.
    pub outputs: Vec<String>,
    /// The images, in the order of the index.
    pub images: Vec<ImageReport>,
    /// The layers that were made or taken from the cache, each once.
    pub layers: Vec<LayerReport>,
}

/// One platform's image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The platform.
    pub platform: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Number of layers, the base's included.
    pub layers: usize,
    /// Number of layers of the base.
    pub base_layers: usize,
    /// Bytes of all layers as stored.
    pub size: u64,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// What it is.
    pub label: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub uncompressed: u64,
    /// Bytes of the blob that were taken over from an earlier one.
    pub reused: u64,
    /// Whether the cache knew the whole layer, so that no file was read.
    pub cached: bool,
}

/// What would be built.
#[derive(Clone, Debug, Serialize)]
pub struct BuildPlanReport {
    /// The names.
    pub names: Vec<String>,
    /// The layouts that would be written.
    pub outputs: Vec<String>,
    /// The platforms, in order.
    pub platforms: Vec<PlatformPlanReport>,
    /// The layers that would be made, each once.
    pub layers: Vec<LayerPlanReport>,
    /// How layers would be compressed.
    pub compression: String,
}

/// One platform that would be built.
#[derive(Clone, Debug, Serialize)]
pub struct PlatformPlanReport {
    /// The platform.
    pub platform: String,
    /// The manifest that it stands upon.
    pub base: Option<Digest>,
    /// Layers of the base.
    pub base_layers: usize,
    /// Positions in the list of layers.
    pub layers: Vec<usize>,
}

/// One layer that would be made.
#[derive(Clone, Debug, Serialize)]
pub struct LayerPlanReport {
    /// What it is.
    pub label: String,
    /// Number of entries; not known for an archive before it is read.
    pub entries: Option<usize>,
    /// Bytes to read.
    pub bytes: u64,
    /// Whether the cache knows it.
    pub cached: bool,
}

/// Says what would be built. Reads names and sizes and writes nothing.
pub fn plan(run: &Run, request: &BuildRequest) -> Result<BuildPlanReport> {
    let (names, plan) = prepare(run, request)?;
    let layers = plan.layers.iter().map(|layer| LayerPlanReport {
        label: layer.label.clone(),
        entries: layer.content.entries(),
        bytes: layer.content.bytes(),
        cached: request.cache.as_ref().is_some_and(|cache| cache.layer(&layer.recipe).is_some()),
    });
    let platforms = plan.platforms.iter().map(|platform| PlatformPlanReport {
        platform: platform.platform.to_string(),
        base: platform.base.as_ref().map(|base| base.manifest.digest.clone()),
        base_layers: platform.base.as_ref().map_or(0, |base| base.layers.len()),
        layers: platform.layers.clone(),
    });
    Ok(BuildPlanReport {
        names: all_names(&names, &request.outputs),
        outputs: locations(&request.outputs),
        platforms: platforms.collect(),
        layers: layers.collect(),
        compression: plan.codec.to_string(),
    })
}

/// Builds into the first layout, copies to the others, and then gives the names.
///
/// Fails before anything is written when the specification cannot be met. After any failure the layouts have the names they had.
pub fn execute(run: &Run, request: &BuildRequest) -> Result<BuildReport> {
    let Some((first, others)) = request.outputs.split_first() else {
        return Err(Error::usage("there is nothing to write to").hint("add an output: -o oci:DIR"));
    };
    let (names, plan) = prepare(run, request)?;
    let layout = Layout::ensure(&first.path, request.options.clone())?;
    let built = build::execute(run, &plan, request.shape, &layout, request.cache.as_ref(), &request.options)?;
    let mut layouts = vec![layout];
    for output in others {
        let other = Layout::ensure(&output.path, request.options.clone())?;
        build::copy(run, &built, &layouts[0], &other).map_err(|error| error.context(format!("cannot copy the image to oci:{}", output.path.display())))?;
        layouts.push(other);
    }
    run.cancel.check()?;
    for (layout, output) in layouts.iter().zip(&request.outputs) {
        let names = output.name.as_ref().map_or(names.as_slice(), std::slice::from_ref);
        let entries: Vec<Descriptor> = names.iter().map(|name| named(&built.root, name)).collect();
        layout.commit(&entries)?;
    }
    let report = report(request, &plan, &built, &names);
    if let Some(path) = &request.metadata_file {
        durable::replace_path(path, &json::canonical(&metadata(&built, request, &names))?, 0o644)?;
    }
    Ok(report)
}

fn named(root: &Descriptor, name: &ImageName) -> Descriptor {
    let mut entry = root.clone();
    name.apply(&mut entry);
    entry
}

fn prepare(run: &Run, request: &BuildRequest) -> Result<(Vec<ImageName>, BuildPlan)> {
    let names = names(&request.spec)?;
    let host = [request.host.clone()];
    let platforms = if request.spec.platforms.is_empty() { host.as_slice() } else { request.spec.platforms.as_slice() };
    check_annotations(run, &request.spec, platforms, request.shape)?;
    let plan = build::plan(run, &request.spec, platforms, &request.options)?;
    Ok((names, plan))
}

/// The names that the specification gives, at least one.
fn names(spec: &BuildSpec) -> Result<Vec<ImageName>> {
    let repository = spec.name.as_ref();
    if spec.tags.is_empty() {
        let name = repository.map_or_else(
            || ImageName::tag_only("latest"),
            |name| ImageName::with_repository(&name.value, "latest").map_err(|error| name.place.wrap(error, "`name` is not a repository")),
        );
        return Ok(vec![name?]);
    }
    let mut names: Vec<ImageName> = Vec::new();
    for tag in &spec.tags {
        let name = ImageName::parse_within(&tag.value, repository.map(|repository| repository.value.as_str()));
        let name = name.map_err(|error| tag.place.wrap(error, "cannot give this name"))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// An annotation that would go nowhere is an error, not a silence.
fn check_annotations(run: &Run, spec: &BuildSpec, platforms: &[Platform], shape: Shape) -> Result<()> {
    for annotation in &spec.annotations {
        let for_index = matches!(annotation.level, Level::Index | Level::IndexDescriptor);
        if for_index && !shape.is_index(platforms.len()) {
            // A file serves builds of one platform and of several; a flag means this build.
            if annotation.place.origin() == place::Origin::File {
                run.events.warn(format!("{}: `{}` is left out: a single platform has no index", annotation.place, annotation.key));
                continue;
            }
            return Err(annotation.place.usage("a single platform has no index to annotate").hint("add --index, or annotate the manifest"));
        }
        if let Some(platform) = &annotation.platform
            && !platforms.contains(platform)
        {
            return Err(annotation.place.usage(format!("{platform} is not built here")));
        }
    }
    Ok(())
}

fn report(request: &BuildRequest, plan: &BuildPlan, built: &Built, names: &[ImageName]) -> BuildReport {
    let images = built.images.iter().map(|image| ImageReport {
        platform: image.platform.to_string(),
        digest: image.manifest.digest.clone(),
        layers: image.layers.len(),
        base_layers: image.base_layers,
        size: image.layers.iter().map(|layer| layer.size).sum(),
    });
    let layers = plan.layers.iter().zip(&built.layers).map(|(plan, built)| LayerReport {
        label: plan.label.clone(),
        digest: built.layer.descriptor.digest.clone(),
        diff_id: built.layer.diff_id.0.clone(),
        size: built.layer.descriptor.size,
        uncompressed: built.layer.uncompressed,
        reused: built.layer.reused,
        cached: built.origin == Origin::Cached,
    });
    BuildReport {
        digest: built.root.digest.clone(),
        media_type: built.root.media_type.to_string(),
        names: all_names(names, &request.outputs),
        outputs: locations(&request.outputs),
        images: images.collect(),
        layers: layers.collect(),
    }
}

fn all_names(names: &[ImageName], outputs: &[Output]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for output in outputs {
        for name in output.name.as_ref().map_or(names, std::slice::from_ref) {
            let shown = name.as_str().to_owned();
            if !all.contains(&shown) {
                all.push(shown);
            }
        }
    }
    if outputs.is_empty() { names.iter().map(|name| name.as_str().to_owned()).collect() } else { all }
}

fn locations(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(|output| format!("oci:{}", output.path.display())).collect()
}

/// The file that buildx writes with `--metadata-file` and that other tools read.
fn metadata(built: &Built, request: &BuildRequest, names: &[ImageName]) -> HashMap<String, Value> {
    let descriptor: Descriptor = built.root.bare();
    let mut metadata = HashMap::from([
        ("containerimage.digest".to_owned(), json!(built.root.digest)),
        ("containerimage.descriptor".to_owned(), json!(descriptor)),
        ("image.name".to_owned(), json!(all_names(names, &request.outputs).join(","))),
    ]);
    if let [image] = built.images.as_slice() {
        metadata.insert("containerimage.config.digest".to_owned(), json!(image.config.digest));
    }
    metadata
}
