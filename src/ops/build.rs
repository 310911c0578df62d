//! Building an image into one or more layouts and archives.

mod dockerfile;
mod report;
mod staging;
mod tree;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::build::dockerfile::spec::DockerfileSpec;
use crate::build::place;
use crate::build::spec::Level;
use crate::build::{self, BuildPlan, BuildSpec, Built, BuiltLayer, Cache, Origin, Shape};
use crate::copy::{self, CopyPlan, CopyRequest, How, Names, Platforms, Reading, Referrers, Wanted};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::fsio::Target;
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, ImageIndex, Platform, Selector, json};
use crate::store::layout::{Layout, Options};
use crate::store::transport::{self, LAYOUT};
use crate::store::{Destination as _, Location, Sharing, Source};

#[cfg(feature = "run")]
pub use dockerfile::runs_programs;
pub use report::{BuildPlanReport, BuildReport, ImageReport, LayerPlanReport, LayerReport, PlatformPlanReport};
use staging::Staging;
pub use tree::{Split, TreeForm, TreeOutput};

/// What to build and where to.
#[derive(Debug)]
pub struct BuildRequest {
    /// The image. Where there is a Dockerfile, what stands upon the image that it makes.
    pub spec: BuildSpec,
    /// The Dockerfile, where the image is made by one.
    pub dockerfile: Option<DockerfileSpec>,
    /// The platform of this machine, for specifications that name none.
    pub host: Platform,
    /// The layouts and archives to write.
    pub outputs: Vec<Output>,
    /// The directories and tars with the files of it.
    pub trees: Vec<TreeOutput>,
    /// Whether there is an index around a single platform too.
    pub shape: Shape,
    /// The cache, if one is to be used.
    pub cache: Option<Cache>,
    /// Where to write metadata in buildx's form.
    pub metadata_file: Option<PathBuf>,
    /// How stores are opened.
    pub options: Options,
}

/// A layout or an archive to write, and the names there.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where it is. A name in it is not looked at.
    pub location: Location,
    /// The names in it.
    pub names: OutputNames,
}

/// The names of the image in one output.
#[derive(Clone, Debug)]
pub enum OutputNames {
    /// Those of the image.
    Image,
    /// Those of the image and this one.
    ImageAnd(ImageName),
    /// This one alone.
    Only(ImageName),
}

/// Says what would be built. Reads names and sizes and writes nothing.
pub fn plan(run: &Run, request: &BuildRequest) -> Result<BuildPlanReport> {
    let prepared = prepare(run, request)?;
    let layout = request.outputs.iter().find(|output| output.is_layout());
    let layout = layout.and_then(|output| Layout::open(output.location.path(), request.options.clone()).ok());
    let (platforms, layers) = match &prepared.what {
        What::Spec(plan) => {
            let known = |layer, cache| build::is_known(layer, cache, layout.as_ref(), &request.options);
            let layers = plan.layers.iter().map(|layer| LayerPlanReport {
                label: layer.label.clone(),
                entries: layer.content.entries(),
                bytes: Some(layer.content.bytes()),
                cached: Some(request.cache.as_ref().is_some_and(|cache| known(layer, cache))),
            });
            let platforms = plan.platforms.iter().map(|platform| PlatformPlanReport {
                platform: platform.platform.to_string(),
                base: platform.base.as_ref().and_then(|base| base.origin.as_ref()).map(|base| base.digest.clone()),
                base_layers: platform.base.as_ref().map_or(0, |base| base.layers.len()),
                layers: platform.layers.clone(),
            });
            (platforms.collect(), layers.collect())
        }
        What::Dockerfile(plan) => dockerfile::plan_report(plan, &prepared.platforms),
    };
    Ok(BuildPlanReport {
        names: all_names(&prepared.names, request),
        outputs: locations(request),
        platforms,
        layers,
        compression: request.spec.compression.unwrap_or_default().to_string(),
    })
}

/// Builds into the first layout, copies to the others, writes the archives one after the other, and then gives the names in the layouts. Without a layout among the
/// outputs there is one for a while, beside the first archive.
///
/// Fails before anything is written when the specification cannot be met, or the metadata file not be written. No layout gets a name before the image is complete
/// in all of them and in the archives, so that a failure until then leaves all names as they were, and no archive half written. The names themselves are given to
/// one layout after the other: where that fails, those before it have the new ones. The metadata file comes last.
pub fn execute(run: &Run, request: &BuildRequest) -> Result<BuildReport> {
    if request.outputs.is_empty() && request.trees.is_empty() {
        return Err(Error::usage("there is nothing to write to").hint("add an output: -o oci:DIR"));
    }
    let prepared = prepare(run, request)?;
    let names = &prepared.names;
    let (layouts, archives): (Vec<&Output>, Vec<&Output>) = request.outputs.iter().partition(|output| output.is_layout());
    for output in &archives {
        // What cannot be written is known before anything is built.
        drop(transport::destination(&output.location, &request.options)?);
    }
    let trees = request.trees.iter().map(|tree| tree.prepare(prepared.platforms.len(), &request.options)).collect::<Result<Vec<_>>>()?;
    let mut metadata_file = request.metadata_file.as_deref().map(metadata_target).transpose()?;
    let mut describe = |built: &Built| match &mut metadata_file {
        Some(file) => file.fill(&json::canonical(&metadata(built, request, names))?, 0o644),
        None => Ok(()),
    };
    let (built, made) = match layouts.split_first() {
        Some((first, others)) => {
            let (built, made, layouts) = into_layouts(run, request, &prepared, (first, others), &archives)?;
            describe(&built)?;
            trees.into_iter().try_for_each(|tree| tree.write(run, &layouts[0].0, &built, &request.options))?;
            run.cancel.check()?;
            for (layout, output) in &layouts {
                let entries: Vec<Descriptor> = output.names(names).iter().map(|name| named(&built.root, name)).collect();
                layout.commit(&entries)?;
            }
            (built, made)
        }
        None => {
            let place = request.trees.first().filter(|_| archives.is_empty()).map(|tree| tree.place(&request.options));
            let place = place.as_deref().unwrap_or_else(|| staging_place(&archives, &request.options));
            let staging = Staging::create(place, &request.options)?;
            let cache = request.cache.as_ref().map(Cache::unfed);
            let (built, made) = make(run, request, &prepared, staging.layout(), cache.as_ref())?;
            describe(&built)?;
            archives.iter().try_for_each(|output| pack(run, request, staging.layout(), &built, output, names))?;
            trees.into_iter().try_for_each(|tree| tree.write(run, staging.layout(), &built, &request.options))?;
            (built, made)
        }
    };
    let report = report(request, made, &built, names);
    if let Some(file) = metadata_file {
        file.show(&run.cancel)?;
    }
    Ok(report)
}

/// Builds into a layout, and says of each layer that was made what it is.
fn make(run: &Run, request: &BuildRequest, prepared: &Prepared, layout: &Layout, cache: Option<&Cache>) -> Result<(Built, Vec<LayerReport>)> {
    let execute = |plan: &BuildPlan| {
        let built = build::execute(run, plan, request.shape, layout, cache, &request.options)?;
        let layers = plan.layers.iter().zip(&built.layers).map(|(plan, layer)| layer_report(&plan.label, layer)).collect::<Vec<_>>();
        Ok((built, layers))
    };
    match &prepared.what {
        What::Spec(plan) => execute(plan),
        What::Dockerfile(plan) => {
            let stages = dockerfile::Stages::build(run, request, plan, layout)?;
            let upon = build::plan_upon(run, &request.spec, &prepared.platforms, stages.images(request))?;
            let (built, layers) = execute(&upon)?;
            let (steps, kept) = (stages.report(), stages.are_kept());
            // Both keep the layout of the cache open.
            drop((stages, upon));
            if let Some(cache) = request.cache.as_ref().filter(|_| kept && steps.iter().any(|step| !step.cached)) {
                cache.bound(run, &request.options);
            }
            Ok((built, steps.into_iter().chain(layers).collect()))
        }
    }
}

/// The layouts among the outputs, opened.
type Layouts<'a> = Vec<(Layout, &'a Output)>;

/// Builds into the first layout and brings the image from there to everywhere else. The layouts have no names for it yet.
fn into_layouts<'a>(
    run: &Run,
    request: &BuildRequest,
    prepared: &Prepared,
    (first, others): (&'a Output, &[&'a Output]),
    archives: &[&Output],
) -> Result<(Built, Vec<LayerReport>, Layouts<'a>)> {
    let mut layouts = Vec::new();
    for output in std::iter::once(first).chain(others.iter().copied()) {
        let layout = Layout::ensure(output.location.path(), request.options.clone())?;
        // A layout that gets no names in the end is known before anything is built.
        layout.index()?;
        layouts.push((layout, output));
    }
    let (built, made) = make(run, request, prepared, &layouts[0].0, request.cache.as_ref())?;
    for (layout, output) in &layouts[1..] {
        copy(run, &built, &layouts[0].0, layout).map_err(|error| error.context(format!("cannot copy the image to {}", output.shown())))?;
    }
    archives.iter().try_for_each(|output| pack(run, request, &layouts[0].0, &built, output, &prepared.names))?;
    Ok((built, made, layouts))
}

/// Copies the image without its names. What is shared is read before, because some of it may have been in the first layout before this build.
fn copy(run: &Run, built: &Built, from: &Layout, to: &Layout) -> Result<()> {
    let plan = CopyPlan::of_content(run, from, std::slice::from_ref(&built.root))?;
    copy::execute(run, &[plan], to, How { sharing: Some(Sharing::Files), reading: Reading::All }).map(drop)
}

fn metadata_target(path: &Path) -> Result<Target> {
    Target::prepare(path).map_err(|error| error.context("cannot write the metadata file"))
}

/// Copies the image into an archive, under the names it is to have there.
fn pack(run: &Run, request: &BuildRequest, from: &Layout, built: &Built, output: &Output, names: &[ImageName]) -> Result<()> {
    let source = Unnamed { layout: from, root: &built.root };
    let wanted = Wanted::One(Selector::Only, Names::New(output.names(names)));
    let wanted = CopyRequest { source: &source, wanted: &wanted, platforms: &Platforms::All, referrers: Referrers::Left };
    let how = How { sharing: None, reading: Reading::Copied };
    let packed = CopyPlan::new(run, &wanted).and_then(|plan| {
        let archive = transport::destination(&output.location, &request.options)?;
        copy::execute(run, &[plan], &*archive, how)
    });
    packed.map(drop).map_err(|error| error.context(format!("cannot copy the image to {}", output.shown())))
}

/// Where a layout for a while is: beside the first archive that is a file, so that there is as much room as for that.
fn staging_place<'a>(archives: &[&'a Output], options: &'a Options) -> &'a Path {
    let file = archives.iter().find(|output| !output.location.is_stream());
    let parent = file.map_or(Some(options.temporary.as_path()), |output| output.location.path().parent());
    parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A layout as a source of one image that has no name there yet.
struct Unnamed<'a> {
    layout: &'a Layout,
    root: &'a Descriptor,
}

impl Source for Unnamed<'_> {
    fn location(&self) -> String {
        Source::location(self.layout)
    }

    fn index(&self) -> Result<ImageIndex> {
        Ok(ImageIndex::new(vec![self.root.clone()]))
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.layout.open(descriptor)
    }

    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.layout.open_unproved(descriptor)
    }
}

impl Output {
    /// Whether it is a layout, which is what a path without a scheme is unless an archive lies there.
    fn is_layout(&self) -> bool {
        let transport = transport::of(&self.location).map(|transport| transport.scheme());
        transport.map_or(self.location.scheme().is_none(), |scheme| scheme == LAYOUT)
    }

    /// The names there, where the image has the names `image`.
    fn names(&self, image: &[ImageName]) -> Vec<ImageName> {
        let mut names = match &self.names {
            OutputNames::Image | OutputNames::ImageAnd(_) => image.to_vec(),
            OutputNames::Only(_) => Vec::new(),
        };
        if let OutputNames::ImageAnd(own) | OutputNames::Only(own) = &self.names
            && !names.contains(own)
        {
            names.push(own.clone());
        }
        names
    }

    /// The location without a name.
    fn shown(&self) -> String {
        self.location.store().to_string()
    }
}

fn named(root: &Descriptor, name: &ImageName) -> Descriptor {
    let mut entry = root.clone();
    name.apply(&mut entry);
    entry
}

/// What is known before anything is written.
struct Prepared {
    names: Vec<ImageName>,
    platforms: Vec<Platform>,
    what: What,
}

enum What {
    Spec(Box<BuildPlan>),
    Dockerfile(build::dockerfile::plan::Plan),
}

fn prepare(run: &Run, request: &BuildRequest) -> Result<Prepared> {
    let names = names(&request.spec)?;
    let platforms = match request.spec.platforms.as_slice() {
        [] => {
            let warning = format!("no platform is given, so the image is for that of this machine, {}", request.host);
            run.events.warn(warning + "; `platforms` in the file or --platform makes it the same on every machine");
            vec![request.host.clone()]
        }
        given => given.to_vec(),
    };
    check_annotations(run, &request.spec, &platforms, request.shape)?;
    let what = match &request.dockerfile {
        None => What::Spec(Box::new(build::plan(run, &request.spec, &platforms, &request.options)?)),
        Some(spec) => What::Dockerfile(dockerfile::plan(run, spec, &platforms, &request.options)?),
    };
    Ok(Prepared { names, platforms, what })
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
    let mut left_out = Vec::new();
    for annotation in &spec.annotations {
        // A file serves builds of one platform and of several; a flag means this build.
        let from_file = annotation.place.origin() == place::Origin::File;
        let for_index = matches!(annotation.level, Level::Index | Level::IndexDescriptor);
        if for_index && !shape.is_index(platforms.len()) {
            if !from_file {
                return Err(annotation.place.usage("a single platform has no index to annotate").hint("add --index, or annotate the manifest"));
            }
            left_out.push(annotation);
        }
        if let Some(platform) = &annotation.platform
            && !platforms.contains(platform)
            && !(from_file && spec.usual_platforms.contains(platform))
        {
            return Err(annotation.place.usage(format!("{platform} is not built here")));
        }
    }
    if let Some(first) = left_out.first() {
        let what = if left_out.len() == 1 { format!("`{}` is", first.key) } else { format!("`{}` and {} more are", first.key, left_out.len() - 1) };
        run.events.warn(format!("{}: {what} left out: a single platform has no index to annotate; --index writes one", first.place));
    }
    Ok(())
}

fn layer_report(label: &str, built: &BuiltLayer) -> LayerReport {
    LayerReport {
        label: label.to_owned(),
        digest: built.layer.descriptor.digest.clone(),
        diff_id: built.layer.diff_id.0.clone(),
        size: built.layer.descriptor.size,
        uncompressed: built.layer.uncompressed,
        reused: built.layer.reused,
        cached: built.origin == Origin::Cached,
    }
}

fn report(request: &BuildRequest, layers: Vec<LayerReport>, built: &Built, names: &[ImageName]) -> BuildReport {
    let images = built.images.iter().map(|image| ImageReport {
        platform: image.platform.to_string(),
        digest: image.manifest.digest.clone(),
        layers: image.layers.len(),
        base_layers: image.base_layers,
        size: image.layers.iter().map(|layer| layer.size).sum(),
    });
    BuildReport {
        digest: built.root.digest.clone(),
        media_type: built.root.media_type.to_string(),
        names: all_names(names, request),
        outputs: locations(request),
        images: images.collect(),
        layers,
    }
}

/// The names that are given; where nothing is written yet, those of the image.
fn all_names(names: &[ImageName], request: &BuildRequest) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for output in &request.outputs {
        for name in output.names(names) {
            let shown = name.as_str().to_owned();
            if !all.contains(&shown) {
                all.push(shown);
            }
        }
    }
    if request.outputs.is_empty() && request.trees.is_empty() { names.iter().map(|name| name.as_str().to_owned()).collect() } else { all }
}

fn locations(request: &BuildRequest) -> Vec<String> {
    request.outputs.iter().map(Output::shown).chain(request.trees.iter().map(TreeOutput::shown)).collect()
}

/// The file that buildx writes with `--metadata-file` and that other tools read.
fn metadata(built: &Built, request: &BuildRequest, names: &[ImageName]) -> HashMap<String, Value> {
    let descriptor: Descriptor = built.root.bare();
    let mut metadata = HashMap::from([
        ("containerimage.digest".to_owned(), json!(built.root.digest)),
        ("containerimage.descriptor".to_owned(), json!(descriptor)),
        ("image.name".to_owned(), json!(all_names(names, request).join(","))),
    ]);
    if let [image] = built.images.as_slice() {
        metadata.insert("containerimage.config.digest".to_owned(), json!(image.config.digest));
    }
    metadata
}
