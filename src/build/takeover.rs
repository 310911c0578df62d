//! Layers from other layouts: those of the base, and those that an earlier build left there.
//!
//! What comes from another layout is read and verified before it is shared, because nobody else would notice that it is damaged. What lies in the layout
//! itself already is not read, nor is what this build wrote a moment ago.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::base::Proof;
use super::cache::{Cache, Remembered};
use super::plan::{BuildPlan, LayerPlan};
use super::recipe::Recipe;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::{Run, Task};
use crate::layer::Layer;
use crate::spec::{Descriptor, Digest, text};
use crate::store::layout::{Layout, Options};
use crate::store::{Destination, Sharing, Source};

/// What is read at once only to be hashed.
const READ: usize = 1 << 20;

/// Links or copies the base's layers into the layout, each once.
///
/// Fails with kind `corrupt` where one is not what its digest says.
pub(super) fn base_layers(run: &Run, plan: &BuildPlan, layout: &Layout) -> Result<()> {
    let mut known: HashSet<&Digest> = HashSet::new();
    let bases = plan.platforms.iter().filter_map(|platform| platform.base.as_ref());
    let all = bases.flat_map(|base| base.layers.iter().enumerate().map(move |(position, layer)| (base, position, layer)));
    let wanted: Vec<_> = all.filter(|(_, _, layer)| known.insert(&layer.descriptor.digest)).collect();
    run.pool.concurrently(wanted, |(base, position, layer)| {
        let digest = &layer.descriptor.digest;
        // What stands above the layers of a base was made by the steps of a Dockerfile.
        let of = match position < base.inherited {
            true => format!("of the base `{}`", text::shown(&base.asked.value)),
            false => "that a step made".to_owned(),
        };
        let cannot = |error: Error| match (error.kind(), position < base.inherited) {
            (ErrorKind::Corrupt, false) => {
                let error = base.asked.place.wrap(error, format!("cannot use layer {digest} {of}, as the cache has it"));
                error.hint("larder cache prune --all empties the cache; --no-cache does without it")
            }
            _ => base.asked.place.wrap(error, format!("cannot use layer {digest} {of}")),
        };
        let outcome = match layer.proof {
            Proof::Written => share(run, &*layer.layout, layout, &layer.descriptor),
            Proof::Missing => bring(run, &format!("base layer {}", digest.short()), &*layer.layout, layout, &layer.descriptor),
        };
        outcome.map_err(cannot)
    })?;
    Ok(())
}

/// The layer as an earlier build left it, if this layout has it or can get it from the layout of that build.
///
/// Only stopping is an error: without the layer it is built.
pub(super) fn cached(run: &Run, layer: Named<'_>, cache: &Cache, layout: &Layout, options: &Options) -> Result<Option<Layer>> {
    let Some(known) = cache.layer(layer.recipe) else { return Ok(None) };
    if layout.has(&known.descriptor)? {
        cache.touch(run, layer.recipe);
        run.events.start(layer.label, Some(layer.bytes)).advance(layer.bytes);
        return Ok(Some(known.layer()));
    }
    if !from_holder(run, layer.label, &known, layout, options)? {
        return Ok(None);
    }
    // The next build looks here first; if this cannot be remembered, it looks where this one did.
    let _ = cache.keep_layer(layer.recipe, layer.label, &known.layer(), &absolute(layout.path()));
    Ok(Some(known.layer()))
}

/// A layer to look for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    /// For progress.
    pub(super) label: &'a str,
    /// What would have to be read for it.
    pub(super) bytes: u64,
    /// What it is made of.
    pub(super) recipe: &'a Recipe,
}

/// Whether a build into `layout` would find the layer and read no source file, as far as names and sizes tell.
pub fn is_known(plan: &LayerPlan, cache: &Cache, layout: Option<&Layout>, options: &Options) -> bool {
    let Some(known) = cache.layer(&plan.recipe) else { return false };
    layout.is_some_and(|layout| layout.has(&known.descriptor).unwrap_or(false)) || known.holders(options).next().is_some()
}

/// Whether one of the layouts that held the layer had it undamaged, so that `layout` has it now.
fn from_holder(run: &Run, label: &str, known: &Remembered, layout: &Layout, options: &Options) -> Result<bool> {
    for holder in known.holders(options) {
        match bring(run, label, &holder, layout, &known.descriptor) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let layer = known.descriptor.digest.short();
                run.events.warn(format!("{label}: layer {layer}, which an earlier build left in {}, is damaged there", text::path(holder.path())));
            }
            Err(_) => {}
        }
    }
    Ok(false)
}

/// Makes sure that `to` has a blob that `from` has: shares the file where both lie on one file system, and else copies it.
///
/// Fails with kind `corrupt` where it is not what its digest says.
pub fn bring(run: &Run, label: &str, from: &dyn Source, to: &Layout, descriptor: &Descriptor) -> Result<()> {
    run.cancel.check()?;
    if to.has(descriptor)? {
        return Ok(());
    }
    let task = run.events.start(label, Some(descriptor.size));
    prove(run, &task, from, descriptor).map_err(|error| error.side(Side::Source))?;
    share(run, from, to, descriptor)
}

/// The same for a blob that is known to be what its digest says, and need not be read for that.
fn share(run: &Run, from: &dyn Source, to: &Layout, descriptor: &Descriptor) -> Result<()> {
    run.cancel.check()?;
    if to.reuse(from, descriptor, Sharing::Files)?.is_some() {
        return Ok(());
    }
    let mut reader = from.open_unproved(descriptor).map_err(|error| error.side(Side::Source))?;
    to.put(descriptor, &mut reader)
}

/// Reads content to its end, which proves it.
fn prove(run: &Run, task: &Task, from: &dyn Source, descriptor: &Descriptor) -> Result<()> {
    let mut reader = from.open(descriptor)?;
    let mut buffer = vec![0; READ];
    loop {
        run.cancel.check()?;
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => task.advance(count as u64),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(format!("cannot read {}", descriptor.digest), error)),
        }
    }
}

/// The path as other processes find it.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
