//! A new image from an old one.
//!
//! ```text
//! entry --read--> Tree --plan--> ImagePlan* --make--> layers --write--> configs, manifests, indexes --> names
//! ```
//!
//! Everything is read and decided before anything is written, and names change last, in one step. Changes are made in one order, whatever the order in
//! which they were asked for: the base is exchanged, layers are dropped, then added, then squashed, then their times are clamped, then they are compressed; then come settings of the
//! config, annotations, and media types. Numbers of layers are those of the image before the edit.
//!
//! What no change reaches is not written again: its bytes and its digest stay, in the middle of an index as for a whole image. History stays
//! truthful: it has one step for each layer, and what an edit did to the config is a step without one. An attestation or a signature tells of the very
//! bytes that it was made for; where it stands in the same index as an image that changed it is left out of the new index, and the report says so. The
//! old image stays in the layout with all that belongs to it, until garbage collection finds it without a name.
//!
//! Kinds of errors: `usage` for a change that makes no sense for the image, `not_found`, `unsupported` for what is no image or cannot be said in the media types that are asked for,
//! `corrupt`, and `conflict` where another process moved the name meanwhile.

mod annotations;
mod base;
mod changes;
mod convert;
mod image;
mod index;
mod layer_id;
mod layers;
mod names;
mod planner;
mod report;
mod settled;
mod stack;
mod supply;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::build::spec::BuildSpec;
use crate::build::{self, LayerPlan};
use crate::error::Result;
use crate::exec::Run;
use crate::spec::{Descriptor, Platform, Selector, text};
use crate::store::layout::{Layout, Options};

pub use changes::{AnnotationChange, Changes, LayerChanges, SettingChanges, SquashFrom};
pub use layer_id::LayerId;
pub use report::{BroughtReport, DroppedReport, EditPlanReport, EditReport, ImagePlanReport, ImageReport, LayerPlanReport, LayerReport, UntouchedReport};

use base::Bases;
use image::{ImagePlan, Rewritten};
use layers::Works;
use names::Naming;
use planner::Given;
use supply::Supply;
use tree::Tree;

/// What steps of history begin with that an edit adds.
const AUTHOR: &str = "larder edit";

/// Which image to edit, and how.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// The directory of the layout.
    pub layout: PathBuf,
    /// The image.
    pub image: Selector,
    /// Names for the new image, as for [`tag`](super::tag); with none the names that the image was selected by move to the new one.
    pub names: Vec<String>,
    /// The platforms to edit; empty means all.
    pub platforms: Vec<Platform>,
    /// What to change.
    pub changes: Changes,
    /// How the layout is opened.
    pub options: Options,
}

/// What is decided before anything is written.
struct Plan {
    layout: Layout,
    naming: Naming,
    tree: Tree,
    /// By position in the tree.
    images: BTreeMap<usize, ImagePlan>,
    works: Works,
    bases: Bases,
    /// Layers of new bases that the layout lacks.
    brought: Vec<Descriptor>,
    /// What is done beside the images, for people.
    around: Vec<String>,
}

/// Says what would be done. Reads documents and writes nothing.
pub fn plan(run: &Run, request: &EditRequest) -> Result<EditPlanReport> {
    let plan = prepare(run, request)?;
    Ok(report::planned(&plan))
}

/// Makes the new image and moves or gives the names.
pub fn execute(run: &Run, request: &EditRequest) -> Result<EditReport> {
    let plan = prepare(run, request)?;
    let supply = Supply { layout: &plan.layout, base: plan.bases.source() };
    supply.bring(run, plan.brought.iter().collect())?;
    let made = plan.works.make(run, &supply, &plan.layout)?;
    let mut rewritten: BTreeMap<usize, Rewritten> = BTreeMap::new();
    for (position, image) in &plan.images {
        run.cancel.check()?;
        rewritten.insert(*position, image.rewrite(plan.tree.image(*position), &made, &request.changes)?);
    }
    for (position, image) in &rewritten {
        image.write(plan.tree.image(*position), &plan.layout)?;
    }
    let rebuilt = index::rebuild(&plan.tree, &rewritten, &request.changes)?;
    rebuilt.write(&plan.layout)?;
    run.cancel.check()?;
    let named = plan.naming.commit(&plan.layout, &rebuilt.root, &rebuilt.gone, &request.changes)?;
    Ok(report::done(&plan, &made, &rewritten, &rebuilt, named))
}

fn prepare(run: &Run, request: &EditRequest) -> Result<Plan> {
    let layout = Layout::open(&request.layout, request.options.clone())?;
    let naming = Naming::of(&layout, request)?;
    let (root, changes) = (naming.root(), &request.changes);
    let tree = Tree::read(run, &layout, root, &request.platforms).map_err(|error| error.context(cannot(request, root)))?;
    annotations::check(&tree, &changes.annotations, changes.media_types)?;
    let bases = Bases::open(&changes.layers, &request.options)?;
    for layer in changes.layers.named() {
        layer.check(tree.images().map(|(_, image)| image))?;
    }
    let appended = append(run, &tree, &changes.layers)?;
    let mut works = Works::default();
    let mut images = BTreeMap::new();
    for ((position, image), appended) in tree.images().zip(appended) {
        let mut plan = || {
            let (old, new) = (bases.old_for(&layout, &tree, image)?, bases.new_for(image)?);
            let given = Given { old_base: old.as_ref(), new_base: new.as_ref(), appended: &appended };
            ImagePlan::new(run, image, changes, given, &mut works)
        };
        images.insert(position, plan().map_err(|error| error.context(format!("cannot edit the image for {}", image.platform)))?);
    }
    let mut around = annotations::around(&tree, naming.root(), &changes.annotations);
    if let Some(family) = changes.media_types {
        convert::check(&tree, family).map_err(|error| error.context(cannot(request, root)))?;
        around.extend(convert::around(&tree, family));
    }
    let supply = Supply { layout: &layout, base: bases.source() };
    let brought = supply.missing(images.values().flat_map(ImagePlan::kept))?.into_iter().cloned().collect();
    Ok(Plan { layout, naming, tree, images, works, bases, brought, around })
}

/// The layers to put on top of each image.
fn append(run: &Run, tree: &Tree, changes: &LayerChanges) -> Result<Vec<Vec<Arc<LayerPlan>>>> {
    let spec = BuildSpec { context: changes.context.clone(), layers: changes.append.clone(), compression: changes.compression, ..BuildSpec::default() };
    let platforms: Vec<Platform> = tree.images().map(|(_, image)| image.platform.normalized()).collect();
    let above = build::plan_above(run, &spec, &platforms, AUTHOR)?;
    let layers: Vec<Arc<LayerPlan>> = above.layers.into_iter().map(Arc::new).collect();
    Ok(above.platforms.into_iter().map(|chosen| chosen.into_iter().map(|position| layers[position].clone()).collect()).collect())
}

fn cannot(request: &EditRequest, root: &Descriptor) -> String {
    format!("cannot edit {} in oci:{}", root.digest, text::path(&request.layout))
}
