//! What becomes of the layers, the history and the config of one image, one change after the other.

use std::sync::Arc;

use crate::build::LayerPlan;
use crate::error::{Error, Result};
use crate::exec::Timestamps;
use crate::layer::{Codec, Stored, Times};
use crate::spec::{History, ImageConfig};

use super::AUTHOR;
use super::base::Base;
use super::changes::{LayerChanges, SettingChanges, SquashFrom};
use super::layer_id::LayerId;
use super::stack::{Origin, Slot, Squashed, Stack, Step, What};
use super::tree::Image;

/// What an image is edited with besides the changes.
pub(super) struct Given<'a> {
    /// The base that it stands on, where that was named or is needed.
    pub(super) old_base: Option<&'a Base>,
    /// The base that it is to stand on.
    pub(super) new_base: Option<&'a Base>,
    /// The layers to put on top.
    pub(super) appended: &'a [Arc<LayerPlan>],
}

/// An image while it is decided what becomes of it.
pub(super) struct Planner<'a> {
    image: &'a Image,
    given: Given<'a>,
    pub(super) config: ImageConfig,
    pub(super) stack: Stack,
    /// When the steps of this edit were made, as RFC 3339.
    created: String,
    timestamps: Timestamps,
    /// For people, one line each.
    pub(super) done: Vec<String>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(image: &'a Image, given: Given<'a>, created: String, timestamps: Timestamps) -> Self {
        Planner { image, given, config: image.config.value.clone(), stack: Stack::of(image), created, timestamps, done: Vec::new() }
    }

    /// Changes the layers, in the order in which changes are made.
    pub(super) fn change_layers(&mut self, changes: &LayerChanges) -> Result<()> {
        self.rebase();
        self.drop_layers(&changes.drop)?;
        self.append();
        if self.stack.layers() == 0 && !self.image.diff_ids.is_empty() {
            return Err(Error::usage("no layer would be left").hint("an image without layers cannot run"));
        }
        if let Some(from) = &changes.squash {
            self.squash(from)?;
        }
        if changes.times == Times::Clamped {
            self.clamp()?;
        }
        match changes.compression {
            Some(codec) => self.compress(codec),
            None => Ok(()),
        }
    }

    /// A step of this edit.
    fn step(&self, what: &str) -> History {
        History { created: Some(self.created.clone()), created_by: Some(format!("{AUTHOR}: {what}")), ..History::default() }
    }

    fn rebase(&mut self) {
        let Some(old) = self.given.old_base else { return };
        self.stack.mark_base(&old.stack());
        let Some(new) = self.given.new_base else { return };
        if old.digest == new.digest {
            return;
        }
        self.stack.replace_base(new.stack());
        self.config = self.image.config.value.rebased(&old.config, &new.config);
        self.stack.note(self.step(&format!("rebase from {} to {}", old.digest, new.digest)));
        let layers = |base: &Base| count(base.layers.len(), "layer");
        self.done.push(format!("base {} ({}) replaced by {} ({})", old.digest.short(), layers(old), new.digest.short(), layers(new)));
        let taken = self.config.changed_settings(&self.image.config.value);
        if !taken.is_empty() {
            self.done.push(format!("from the new base: {}", taken.join(", ")));
        }
    }

    fn drop_layers(&mut self, layers: &[LayerId]) -> Result<()> {
        for id in layers {
            let Some(number) = id.number(self.image)? else { continue };
            self.check_own(number)?;
            let Some(layer) = self.stack.drop_layer(number) else { continue };
            self.stack.note(self.step(&format!("drop layer {}", layer.descriptor.digest)));
            self.done.push(format!("layer {number} dropped"));
        }
        Ok(())
    }

    /// A layer of a base that goes is not there any more for anything else. Kind `usage`.
    fn check_own(&self, number: usize) -> Result<()> {
        match (self.given.old_base, self.given.new_base) {
            (Some(old), Some(_)) if number <= old.layers.len() => {
                Err(Error::usage(format!("layer {number} is of the old base, which is exchanged as a whole"))
                    .hint(format!("the first layer above it is {}", old.layers.len() + 1)))
            }
            _ => Ok(()),
        }
    }

    fn append(&mut self) {
        for layer in self.given.appended {
            let history = History {
                created: Some(self.created.clone()),
                created_by: Some(layer.created_by.clone()),
                comment: layer.comment.clone(),
                ..History::default()
            };
            self.stack.push(history, layer.clone());
            let what = layer.created_by.strip_prefix(AUTHOR).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&layer.created_by);
            self.done.push(format!("layer added: {what}"));
        }
    }

    fn squash(&mut self, from: &SquashFrom) -> Result<()> {
        if self.config.platform().is_ok_and(|platform| platform.os == "windows") {
            return Err(Error::unsupported("layers of Windows are not squashed: what they mean is for Windows to say"));
        }
        let lowest = match from {
            SquashFrom::Layer(id) => match id.number(self.image)? {
                Some(number) => {
                    self.check_own(number)?;
                    number
                }
                // Another platform has it.
                None => return Ok(()),
            },
            SquashFrom::Bottom | SquashFrom::Base => 1,
        };
        let is_meant = |step: &Step, slot: &Slot| match (from, &slot.what) {
            (SquashFrom::Bottom, _) => true,
            (SquashFrom::Base, _) => step.origin == Origin::Own,
            (SquashFrom::Layer(_), What::Stored(Some(number), _)) => *number >= lowest,
            (SquashFrom::Layer(_), _) => step.origin == Origin::Own,
        };
        let created = self.created.clone();
        if let Some(squashed) = self.stack.squash(is_meant, |squashed, steps| squash_step(created, squashed, steps)) {
            self.done.push(format!("{} squashed into one", count(squashed, "layer")));
        }
        self.stack.slots_mut().try_for_each(|(_, slot)| match &slot.what {
            What::Squashed(squashed) => squashed.stored.iter().try_for_each(check_distributable),
            What::Stored(..) | What::New(_) => Ok(()),
        })
    }

    /// Lets no time be later than the moment of the run: of files, of steps, and of the image.
    fn clamp(&mut self) -> Result<()> {
        let (mut looked, mut kept) = (0, 0);
        for (_, slot) in self.stack.slots_mut().filter(|(origin, _)| *origin == Origin::Own) {
            if slot.is_fixed()? {
                kept += 1;
                continue;
            }
            slot.times = Times::Clamped;
            looked += 1;
        }
        let steps = self.stack.steps.iter_mut().filter(|step| step.origin == Origin::Own).map(|step| &mut step.history.created);
        for created in steps {
            if let Some(epoch) = created.as_deref().and_then(|created| self.timestamps.instead_of(created)) {
                *created = Some(epoch);
            }
        }
        if let Some(epoch) = self.config.created().and_then(|created| self.timestamps.instead_of(created)) {
            self.config.set_created(&epoch);
            self.done.push(format!("created {epoch}"));
        }
        self.done.push(format!("times in {} at most {}", count(looked, "layer"), self.timestamps.created()));
        self.tell_fixed(kept);
        Ok(())
    }

    /// Compresses all layers but those that are what they are because nobody may distribute others.
    fn compress(&mut self, codec: Codec) -> Result<()> {
        let (mut again, mut kept) = (0, 0);
        for (_, slot) in self.stack.slots_mut() {
            if slot.is_fixed()? {
                kept += 1;
                continue;
            }
            slot.codec = Some(codec);
            // One of files is compressed once and not again.
            again += usize::from(!matches!(slot.what, What::New(_)));
        }
        if again > 0 {
            self.done.push(format!("{} compressed with {codec}", count(again, "layer")));
        }
        self.tell_fixed(kept);
        Ok(())
    }

    fn tell_fixed(&mut self, kept: usize) {
        let line = format!("{} kept that must not be distributed", count(kept, "layer"));
        if kept > 0 && !self.done.contains(&line) {
            self.done.push(line);
        }
    }

    pub(super) fn apply_settings(&mut self, settings: &SettingChanges) -> Result<()> {
        let before = self.config.clone();
        for name in &settings.unset_env {
            self.config.remove_env(name);
        }
        for key in &settings.unset_labels {
            self.config.remove_label(key);
        }
        settings.set.apply(&mut self.config)?;
        let changed = self.config.changed_settings(&before);
        if !changed.is_empty() {
            self.stack.note(self.step(&changed.join(", ")));
        }
        self.done.extend(changed);
        if let Some(created) = settings.created.as_deref().filter(|created| before.created() != Some(*created)) {
            self.config.set_created(created);
            self.done.push(format!("created {created}"));
        }
        Ok(())
    }
}

/// What may not be distributed must not become part of something that may.
fn check_distributable(layer: &Stored) -> Result<()> {
    match layer.media()?.non_distributable {
        true => Err(Error::unsupported(format!("layer {} must not be distributed, and so cannot become part of another one", layer.descriptor.digest))
            .subject(&layer.descriptor.digest)),
        false => Ok(()),
    }
}

/// The step in the place of those of the layers that became one. What they said stands in its comment.
fn squash_step(created: String, squashed: &Squashed, steps: &[History]) -> History {
    let of = squashed.stored.iter().map(|layer| layer.descriptor.digest.to_string()).chain(squashed.new.iter().map(|plan| plan.created_by.clone()));
    let said = steps.iter().map(|step| step.created_by.as_deref().or(step.comment.as_deref()).unwrap_or_default());
    let said = said.filter(|said| !said.is_empty()).collect::<Vec<_>>().join("\n");
    History {
        created: Some(created),
        created_by: Some(format!("{AUTHOR}: squash {}: {}", count(steps.len(), "layer"), of.collect::<Vec<_>>().join(", "))),
        comment: (!said.is_empty()).then_some(said),
        ..History::default()
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
