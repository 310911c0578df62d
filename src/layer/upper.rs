//! Upper layers, read before those below them, which they may make needless.
//!
//! What a path is, the layers on top tell mostly by themselves: who puts a file into a layer puts the directories on the way there too. Then what they make is
//! the same on whatever lies below:
//!
//! * a directory that a layer describes is one afterwards, whatever was there, and what has its name elsewhere is not touched by it;
//! * an entry whose directory was reached through such alone lands there, and in the place of whatever was there;
//! * a hard link whose target is found names that; a whiteout whose directory is found hides there what it would hide anyway, and nothing of its own layer.
//!
//! The first entry of which that is not true makes all of it uncertain: its way may lead through a link that lies below, to anywhere. So does a path at which the
//! upper layers have nothing. Then the lower layers are needed, and the upper ones, which are kept as entries, are applied on top of them.

use std::io::Read;

use super::apply::{Change, Follow};
use super::inventory::{Described, Inventory, Keep, Origin};
use super::remarks::Remarks;
use super::whiteout::Whiteout;
use crate::error::Result;
use crate::tar;

/// How many entries are kept at most: more than nearly all images have. An entry takes about 300 bytes.
const ENTRIES: usize = 1 << 17;

/// How many bytes of names, texts of links and extended attributes are kept at most.
const TEXT: usize = 16 << 20;

/// Some layers of an image, from the top downwards.
#[derive(Debug)]
pub struct Upper<C> {
    /// The topmost first.
    layers: Vec<Layer<C>>,
    entries: usize,
    text: usize,
}

#[derive(Debug)]
struct Layer<C> {
    position: usize,
    described: Vec<Described<C>>,
    remarks: Remarks,
}

/// What came of applying upper layers.
#[derive(Debug)]
pub struct Applied<C> {
    /// What there is in the end.
    pub inventory: Inventory<C>,
    /// What there is to say of each layer, with its position.
    pub remarks: Vec<(usize, Remarks)>,
}

/// Whether there was room for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The layer is kept.
    Enough,
    /// Nothing of the layer is kept.
    TooLittle,
}

impl<C> Default for Upper<C> {
    fn default() -> Self {
        Upper { layers: Vec::new(), entries: 0, text: 0 }
    }
}

impl<C> Upper<C> {
    /// How many layers there are.
    pub fn count(&self) -> usize {
        self.layers.len()
    }

    /// Takes in the next lower layer, which is that at `position` of the image. Kinds: those of [`tar::Reader::next_entry`] and of `keep`.
    pub fn read<R: Read>(&mut self, position: usize, entries: &mut tar::Reader<R>, keep: &mut Keep<'_, C, R>) -> Result<Room> {
        let mut layer = Layer { position, described: Vec::new(), remarks: Remarks::default() };
        let mut text = self.text;
        while let Some(described) = Described::next(entries, Origin { layer: position, entry: layer.described.len() as u64 }, keep)? {
            text += described.text();
            if self.entries + layer.described.len() >= ENTRIES || text > TEXT {
                return Ok(Room::TooLittle);
            }
            layer.remarks.look(&described.entry);
            layer.described.push(described);
        }
        layer.remarks.hear(entries);
        (self.entries, self.text) = (self.entries + layer.described.len(), text);
        self.layers.push(layer);
        Ok(Room::Enough)
    }

    /// What these layers make, where it is the same on whatever lies below them. What is not in it may still be below.
    pub fn alone(&self) -> Option<Applied<C>> {
        let mut inventory = Inventory::default();
        let layers = self.layers.iter().rev().map(|layer| layer.apply(&mut inventory, |inventory, described| enter_certainly(inventory, described).ok_or(())));
        let remarks = layers.collect::<Result<_, ()>>().ok()?;
        Some(Applied { inventory, remarks })
    }

    /// Applies these layers on top of what lower layers made. Kinds: those of [`Rootfs::apply`](super::apply::Rootfs::apply).
    pub fn on(&self, mut lower: Inventory<C>) -> Result<Applied<C>> {
        let layers = self.layers.iter().rev().map(|layer| layer.apply(&mut lower, Inventory::enter));
        let remarks = layers.collect::<Result<_>>()?;
        Ok(Applied { inventory: lower, remarks })
    }
}

impl<C> Layer<C> {
    /// Applies the entries as `enter` does.
    fn apply<E>(&self, inventory: &mut Inventory<C>, enter: impl Fn(&mut Inventory<C>, &Described<C>) -> Result<Change, E>) -> Result<(usize, Remarks), E> {
        let mut remarks = self.remarks.clone();
        inventory.begin_layer();
        for described in &self.described {
            if enter(inventory, described)?.repeated {
                remarks.repeated(&described.entry);
            }
        }
        Ok((self.position, remarks))
    }
}

/// Applies an entry. None where what it does depends on what lies below, or cannot be done without that.
fn enter_certainly<C>(inventory: &mut Inventory<C>, described: &Described<C>) -> Option<Change> {
    let entry = &described.entry;
    if let Ok(Some(Whiteout::Explicit(_) | Whiteout::Opaque(_))) = Whiteout::of(entry) {
        let directory = entry.path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &entry.path[..slash]);
        if !matches!(inventory.find(directory, Follow::Yes), Ok(Some(_))) {
            return None;
        }
    }
    inventory.enter(described).ok().filter(|change| change.implied.is_empty())
}

#[cfg(test)]
mod tests;
