//! From a specification to a plan: which layers are to be made, from which files, for which platforms. Reads names and sizes, writes nothing.
//!
//! Layers that come out the same on several platforms stand in the plan once. The plan is plain data: it can be printed, compared and
//! tested, and its order is the order of the image whatever happens in parallel later.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::archive;
use super::base::{Base, PlatformBase};
use super::cache::Lineage;
use super::collect;
use super::destination::parents;
use super::globs;
use super::image;
use super::place::Place;
use super::recipe::{Recipe, Recorder};
use super::spec::{AnnotationSpec, BuildSpec, ConfigSpec, Devices, LayerSource, LayerSpec, Step};
use super::template::Template;
use crate::error::Result;
use crate::exec::Run;
use crate::layer::Codec;
use crate::layer::changeset::{Item, Node};
use crate::layer::tree::Stat;
use crate::spec::{Platform, text};
use crate::store::layout::Options;

/// What will be built.
#[derive(Debug)]
pub struct BuildPlan {
    /// The platforms in the order of the index.
    pub platforms: Vec<PlatformPlan>,
    /// The layers to make, each once.
    pub layers: Vec<LayerPlan>,
    /// What the configs say.
    pub config: ConfigSpec,
    /// Annotations of all documents.
    pub annotations: Vec<AnnotationSpec>,
    /// How layers are compressed.
    pub codec: Codec,
}

/// One platform's image.
#[derive(Debug)]
pub struct PlatformPlan {
    /// The platform.
    pub platform: Platform,
    /// What it stands upon.
    pub base: Option<PlatformBase>,
    /// Positions in [`BuildPlan::layers`], bottom first.
    pub layers: Vec<usize>,
}

/// One layer to make.
#[derive(Debug)]
pub struct LayerPlan {
    /// For progress: what the layer is.
    pub label: String,
    /// The history entry's `created_by`.
    pub created_by: String,
    /// The history entry's comment.
    pub comment: Option<String>,
    /// What it is made of.
    pub content: Content,
    /// Names it by what it is made of.
    pub recipe: Recipe,
    /// What it has in common with its next version.
    pub lineage: Lineage,
}

/// What a layer is made of.
#[derive(Clone, Debug)]
pub enum Content {
    /// A planned changeset.
    Items(Arc<Vec<Item>>),
    /// An archive that is read when the layer is made.
    Tar(TarSource),
}

/// An archive on this machine.
#[derive(Clone, Debug)]
pub struct TarSource {
    /// Where it is asked for.
    pub place: Place,
    /// The file.
    pub path: PathBuf,
    /// What the file was when the plan was made.
    pub stat: Stat,
    /// What happens to device nodes.
    pub devices: Devices,
}

impl Content {
    /// Number of entries, where it is known before the layer is made.
    pub fn entries(&self) -> Option<usize> {
        match self {
            Content::Items(items) => Some(items.len()),
            Content::Tar(_) => None,
        }
    }

    /// Bytes to read.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Items(items) => items.iter().map(|item| item.node.size()).sum(),
            Content::Tar(tar) => tar.stat.size,
        }
    }
}

/// Plans a build for `platforms`. Fails before anything is written when a source, a base or a platform of it is missing.
pub fn plan(run: &Run, spec: &BuildSpec, platforms: &[Platform], options: &Options) -> Result<BuildPlan> {
    let base = spec.base.as_ref().map(|base| Base::open(base, options)).transpose()?;
    let select = |platform: &Platform| base.as_ref().map(|base| base.select(platform)).transpose();
    super::platforms::warn_of_unknown(run, platforms);
    upon(run, spec, platforms, select)
}

/// Plans a build for `platforms` upon what the stages of a Dockerfile made for them; the base of `spec` is not looked at. Errors as [`plan`].
pub fn plan_upon(run: &Run, spec: &BuildSpec, platforms: &[Platform], made: Vec<PlatformBase>) -> Result<BuildPlan> {
    let mut made = made.into_iter();
    upon(run, spec, platforms, |_| Ok(made.next()))
}

fn upon(run: &Run, spec: &BuildSpec, platforms: &[Platform], mut base: impl FnMut(&Platform) -> Result<Option<PlatformBase>>) -> Result<BuildPlan> {
    let codec = spec.compression.unwrap_or_default();
    warn_of_idle_layers(run, spec, platforms);
    let mut planner = Planner::new(run, spec, codec, "larder build");
    let mut plans = Vec::with_capacity(platforms.len());
    for platform in platforms {
        image::check(&spec.config, platform)?;
        let base = base(platform)?;
        let layers = planner.platform(platform, base.is_some())?;
        plans.push(PlatformPlan { platform: platform.clone(), base, layers });
    }
    tell_apart(&mut planner.layers, plans.iter().map(|plan| (&plan.platform, plan.layers.as_slice())));
    Ok(BuildPlan { platforms: plans, layers: planner.layers, config: spec.config.clone(), annotations: spec.annotations.clone(), codec })
}

/// Layers that go on top of what is there already, as [`plan_above`] found them.
#[derive(Debug)]
pub struct AbovePlan {
    /// The layers to make, each once.
    pub layers: Vec<LayerPlan>,
    /// For each platform positions in `layers`, bottom first.
    pub platforms: Vec<Vec<usize>>,
}

/// Plans the layers of `spec` for images that have others already; its base and everything else in it are not looked at. `author` is what their history says
/// before what it says of them. Errors as [`plan`].
pub fn plan_above(run: &Run, spec: &BuildSpec, platforms: &[Platform], author: &'static str) -> Result<AbovePlan> {
    let mut planner = Planner::new(run, spec, spec.compression.unwrap_or_default(), author);
    let chosen = platforms.iter().map(|platform| planner.platform(platform, true)).collect::<Result<Vec<_>>>()?;
    tell_apart(&mut planner.layers, platforms.iter().zip(chosen.iter().map(Vec::as_slice)));
    Ok(AbovePlan { layers: planner.layers, platforms: chosen })
}

/// Tells of layers that no platform has, neither of this build nor of the file's.
fn warn_of_idle_layers(run: &Run, spec: &BuildSpec, platforms: &[Platform]) {
    for layer in spec.layers.iter().filter(|layer| !layer.platforms.is_empty()) {
        if !platforms.iter().chain(&spec.usual_platforms).any(|platform| layer.platforms.contains(platform)) {
            let only: Vec<String> = layer.platforms.iter().map(Platform::to_string).collect();
            run.events.warn(format!("{}: this layer is left out: it is for {} only, which is not built", layer.place, only.join(", ")));
        }
    }
}

/// Says of layers that one platform alone has which one that is.
fn tell_apart<'a>(layers: &mut [LayerPlan], platforms: impl Iterator<Item = (&'a Platform, &'a [usize])> + Clone) {
    if platforms.clone().count() < 2 {
        return;
    }
    for (index, layer) in layers.iter_mut().enumerate() {
        let mut users = platforms.clone().filter(|(_, layers)| layers.contains(&index));
        if let (Some((only, _)), None) = (users.next(), users.next()) {
            layer.label = format!("{} ({only})", layer.label);
        }
    }
}

struct Planner<'a> {
    run: &'a Run,
    spec: &'a BuildSpec,
    codec: Codec,
    author: &'static str,
    /// Content by position of the layer and the paths that its templates name: walked once for all platforms that share them.
    collected: HashMap<(usize, Vec<String>), Content>,
    layers: Vec<LayerPlan>,
    /// Positions in `layers`.
    known: HashMap<([u8; 32], usize), usize>,
    /// Warnings that one platform gave already.
    told: HashSet<String>,
}

impl<'a> Planner<'a> {
    fn new(run: &'a Run, spec: &'a BuildSpec, codec: Codec, author: &'static str) -> Self {
        Planner { run, spec, codec, author, collected: HashMap::new(), layers: Vec::new(), known: HashMap::new(), told: HashSet::new() }
    }

    fn platform(&mut self, platform: &Platform, has_base: bool) -> Result<Vec<usize>> {
        // What directories the layers below provide; unknown above a base or an archive.
        let mut provided = if has_base { None } else { Some(HashSet::new()) };
        let mut chosen = Vec::new();
        let wanted = |layer: &LayerSpec| layer.platforms.is_empty() || layer.platforms.iter().any(|only| only == platform);
        for (position, layer) in self.spec.layers.iter().enumerate().filter(|(_, layer)| wanted(layer)) {
            let paths = paths(layer, platform);
            let mut content = self.content(position, layer, platform, &paths)?;
            if provided.is_some() {
                self.warn_of_idle_removals(layer, platform, &chosen)?;
            }
            match (&mut content, &mut provided) {
                (Content::Items(items), Some(directories)) => add_parents(self.run, items, directories),
                (Content::Items(_), None) => {}
                (Content::Tar(_), provided) => *provided = None,
            }
            chosen.push(self.add(position, layer, platform, &paths, content)?);
        }
        Ok(chosen)
    }

    /// Tells of steps that remove what none of the layers `below` has. They are all that there is.
    fn warn_of_idle_removals(&mut self, layer: &LayerSpec, platform: &Platform, below: &[usize]) -> Result<()> {
        let LayerSource::Steps(steps) = &layer.source else { return Ok(()) };
        for step in steps {
            let Step::Remove { place, path } = step else { continue };
            let path = path.resolve(platform)?.path;
            let is_it = |item: &Item| item.path.strip_prefix(path.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
            let has_it = |layer: &usize| matches!(&self.layers[*layer].content, Content::Items(items) if items.iter().any(is_it));
            if !below.iter().any(has_it) {
                let warning = format!("{place}: there is no `/{}` to remove: this image has no base, and no layer below has it", text::bytes(&path));
                if self.told.insert(warning.clone()) {
                    self.run.events.warn(warning);
                }
            }
        }
        Ok(())
    }

    fn content(&mut self, position: usize, layer: &LayerSpec, platform: &Platform, paths: &[String]) -> Result<Content> {
        let key = (position, paths.to_vec());
        if let Some(content) = self.collected.get(&key) {
            return Ok(content.clone());
        }
        let context = &self.spec.context;
        let content = match &layer.source {
            LayerSource::Steps(steps) => Content::Items(Arc::new(collect::steps(self.run, context, steps, platform)?)),
            LayerSource::Rootfs(rootfs) => Content::Items(Arc::new(collect::rootfs(self.run, context, rootfs, platform)?)),
            LayerSource::Tar(tar) => {
                let path = collect::source(context, &tar.from, platform)?;
                let stat = archive::stat(&path).map_err(|error| tar.from.place.wrap(error, "cannot use this archive"))?;
                Content::Tar(TarSource { place: tar.from.place.clone(), path, stat, devices: tar.devices })
            }
        };
        self.collected.insert(key, content.clone());
        Ok(content)
    }

    /// The position of the layer in the plan; a layer that is there already is not added again.
    fn add(&mut self, position: usize, layer: &LayerSpec, platform: &Platform, paths: &[String], content: Content) -> Result<usize> {
        let mut recorder = Recorder::new(self.codec, self.run.timestamps);
        match &content {
            Content::Items(items) => recorder.items(items),
            Content::Tar(tar) => {
                recorder.text(&format!("tar {:?}", tar.devices));
                recorder.stat(&tar.stat);
            }
        }
        let recipe = recorder.finish();
        if let Some(index) = self.known.get(&(recipe.key, position)) {
            return Ok(*index);
        }
        let index = self.layers.len();
        let comment = layer.comment.clone();
        let label = comment.clone().unwrap_or_else(|| format!("layer {}", position + 1));
        let created_by = format!("{}: {}", self.author, what_is_made(layer, platform)?);
        self.layers.push(LayerPlan { label, created_by, comment, content, recipe, lineage: self.lineage(position, paths) });
        self.known.insert((recipe.key, position), index);
        Ok(index)
    }

    fn lineage(&self, position: usize, paths: &[String]) -> Lineage {
        let mut hasher = blake3::Hasher::new_derive_key("larder layer lineage 1");
        let context = std::path::absolute(&self.spec.context).unwrap_or_else(|_| self.spec.context.clone());
        let parts = [format!("{context:?}"), self.codec.contract(), position.to_string()];
        for part in parts.iter().chain(paths) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Lineage(*hasher.finalize().as_bytes())
    }
}

/// The sources of a layer for a platform, and whatever else in it differs between platforms; where these are the same the layer is.
fn paths(layer: &LayerSpec, platform: &Platform) -> Vec<String> {
    let mut paths = Vec::new();
    let mut add = |template: &Template| paths.push(template.expand(platform));
    let excluded = match &layer.source {
        LayerSource::Steps(steps) => return steps.iter().flat_map(|step| step_paths(step, platform)).collect(),
        LayerSource::Rootfs(rootfs) => {
            add(&rootfs.from.value);
            rootfs.exclude.as_slice()
        }
        LayerSource::Tar(tar) => {
            add(&tar.from.value);
            &[]
        }
    };
    paths.extend(globs::varying(excluded, platform));
    paths
}

fn step_paths(step: &Step, platform: &Platform) -> Vec<String> {
    let mut paths = Vec::new();
    let varying = |template: &Template| template.varies().then(|| template.expand(platform));
    match step {
        Step::Copy(copy) => {
            paths.push(copy.from.value.expand(platform));
            paths.extend(varying(copy.to.template()));
            paths.extend(globs::varying(&copy.include, platform));
            paths.extend(globs::varying(&copy.exclude, platform));
        }
        Step::Symlink { to, target, .. } => paths.extend([to.template(), &target.value].into_iter().filter_map(varying)),
        Step::File { to, .. } | Step::Directory { to, .. } | Step::Remove { path: to, .. } => paths.extend(varying(to.template())),
    }
    paths
}

/// Adds the directories that nothing below and nothing in the layer itself provides, and remembers what this layer provides.
fn add_parents(run: &Run, items: &mut Arc<Vec<Item>>, provided: &mut HashSet<Vec<u8>>) {
    // A link counts: it may well lead to a directory, and a directory in its place would break it.
    let provides = |item: &Item| match &item.node {
        Node::Made(entry, _) | Node::Stored(entry, ..) => matches!(entry.kind, crate::layer::EntryKind::Directory | crate::layer::EntryKind::Symlink { .. }),
        Node::Found(_, found) => found.stat.is_dir() || found.stat.is_symlink(),
        Node::Hardlink(..) => false,
    };
    let mut added: Vec<Item> = Vec::new();
    let mut last: &[u8] = b"";
    for item in items.iter() {
        let parent = item.path.iter().rposition(|byte| *byte == b'/').map_or(&[] as &[u8], |at| &item.path[..at]);
        if parent != last {
            for above in parents(&item.path).filter(|above| !above.is_empty()) {
                if provided.insert(above.to_vec()) {
                    added.push(collect::directory(run, above, 0o755, (0, 0)));
                }
            }
            last = parent;
        }
        if provides(item) {
            provided.insert(item.path.clone());
        }
    }
    if !added.is_empty() {
        let mut all: Vec<Item> = items.as_ref().clone();
        all.extend(added);
        all.sort_by(|a, b| crate::layer::entry::path_order(&a.path, &b.path));
        *items = Arc::new(all);
    }
}

/// What history says of a layer: where things went, never where they came from, because that may be a path of this machine.
fn what_is_made(layer: &LayerSpec, platform: &Platform) -> Result<String> {
    const SHOWN: usize = 4;
    let steps = match &layer.source {
        LayerSource::Rootfs(_) => return Ok("root file system".to_owned()),
        LayerSource::Tar(_) => return Ok("archive".to_owned()),
        LayerSource::Steps(steps) => steps,
    };
    let step = |step: &Step| {
        let (verb, to) = match step {
            Step::Copy(copy) => ("copy to", &copy.to),
            Step::File { to, .. } => ("file", to),
            Step::Symlink { to, .. } => ("link", to),
            Step::Directory { to, .. } => ("directory", to),
            Step::Remove { path, .. } => ("remove", path),
        };
        Ok(format!("{verb} /{}", text::bytes(&to.resolve(platform)?.path)))
    };
    let mut parts: Vec<String> = steps.iter().take(SHOWN).map(step).collect::<Result<_>>()?;
    if steps.len() > SHOWN {
        parts.push(format!("{} more", steps.len() - SHOWN));
    }
    Ok(parts.join(", "))
}
