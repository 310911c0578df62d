//! The tar stream of the one layer.

use std::io::Read;

use super::survey::{Head as Said, Mark, Place, Survey};
use crate::error::{Error, Result};
use crate::exec::{Run, Task, Timestamps};
use crate::layer::apply::NodeId;
use crate::layer::entry::Xattrs;
use crate::layer::shelf::Buffer;
use crate::layer::stack::Stack;
use crate::layer::stream::{Head, Records};
use crate::layer::tar::{Reader, write};
use crate::layer::times::Times;
use crate::layer::whiteout::Whiteout;
use crate::layer::{Entry, EntryKind};

/// Says what a survey found, reading the layers again.
pub(super) struct Squashed<'a> {
    stack: &'a Stack<'a>,
    survey: &'a Survey,
    task: &'a Task,
    times: Times,
    timestamps: Timestamps,
    /// How much of each list was said.
    heads: usize,
    survivors: usize,
    layer: Option<Layer<'a>>,
    /// What further names of the last entry are links to.
    linked: Option<Linked>,
    padding: usize,
    ended: bool,
}

/// A layer that is being read.
struct Layer<'a> {
    position: usize,
    entries: Reader<Box<dyn Read + Send + 'a>>,
    /// The position of the next entry.
    next: u32,
}

/// An entry with a name, as further names of it are said.
struct Linked {
    place: Place,
    link: Entry,
}

impl<'a> Squashed<'a> {
    pub(super) fn new(run: &Run, stack: &'a Stack<'a>, survey: &'a Survey, task: &'a Task, times: Times) -> Self {
        Squashed { stack, survey, task, times, timestamps: run.timestamps, heads: 0, survivors: 0, layer: None, linked: None, padding: 0, ended: false }
    }

    fn said(&self, head: Said) -> Result<Entry> {
        let rootfs = &self.survey.rootfs;
        let now = self.timestamps.epoch().cast_signed();
        match head {
            Said::Directory(id) => Ok(self.directory(id)),
            Said::Opaque(id) => Whiteout::Opaque(rootfs.path(id)).entry(now),
            Said::Hidden(id) => Whiteout::Explicit(rootfs.path(id)).entry(now),
        }
    }

    /// A directory as it was said last, or as one that nobody says anything of.
    fn directory(&self, id: NodeId) -> Entry {
        let path = self.survey.rootfs.path(id);
        let (mode, (uid, gid), mtime, xattrs) = match self.survey.rootfs.node(id).payload() {
            Mark::Directory(said) => (said.mode, said.owner, said.mtime, said.xattrs.clone()),
            _ => (0o755, (0, 0), 0, Xattrs::new()),
        };
        Entry { path, kind: EntryKind::Directory, mode, uid, gid, mtime: self.times.of(mtime, self.timestamps), xattrs }
    }

    /// The next name of a file, link or device.
    fn survivor(&mut self) -> Result<Option<Entry>> {
        let Some(survivor) = self.survey.survivors.get(self.survivors).copied() else {
            self.close()?;
            return Ok(None);
        };
        self.survivors += 1;
        let path = self.survey.rootfs.path(survivor.node);
        if let Some(linked) = self.linked.as_ref().filter(|linked| linked.place == survivor.place) {
            return Ok(Some(Entry { path, ..linked.link.clone() }));
        }
        let made = self.read(survivor.place)?;
        let made = Entry { mtime: self.times.of(made.mtime, self.timestamps), ..made };
        // The first name of it, which may be one in the layers below.
        let anchor = self.survey.anchors.get(&survivor.place);
        let target = anchor.map_or_else(|| path.clone(), |anchor| self.survey.rootfs.path(*anchor));
        let link = Entry { path: Vec::new(), kind: EntryKind::Hardlink { target }, xattrs: Xattrs::new(), ..made.clone() };
        let said = if anchor.is_some() { Entry { path, ..link.clone() } } else { Entry { path, ..made } };
        self.linked = Some(Linked { place: survivor.place, link });
        Ok(Some(said))
    }

    /// The entry at a place, which is not before any that was read.
    fn read(&mut self, place: Place) -> Result<Entry> {
        let position = place.layer as usize;
        if self.layer.as_ref().is_none_or(|layer| layer.position != position) {
            self.close()?;
            self.layer = Some(Layer { position, entries: self.stack.open(position, self.task)?, next: 0 });
        }
        let Some(layer) = &mut self.layer else { return Err(changed()) };
        loop {
            let entry = layer.entries.next_entry().and_then(|entry| entry.ok_or_else(changed)).map_err(|error| self.stack.explain(position, error))?;
            layer.next += 1;
            if layer.next > place.entry {
                return Ok(entry);
            }
        }
    }

    /// Reads what is left of the present layer, which proves it.
    fn close(&mut self) -> Result<()> {
        match self.layer.take() {
            Some(mut layer) => layer.entries.finish().map(drop).map_err(|error| self.stack.explain(layer.position, error)),
            None => Ok(()),
        }
    }
}

fn changed() -> Error {
    Error::corrupt("the layer changed while it was read")
}

impl Records for Squashed<'_> {
    fn next(&mut self) -> Result<Option<Head>> {
        let entry = match self.survey.heads.get(self.heads) {
            Some(head) => {
                self.heads += 1;
                Some(self.said(*head)?)
            }
            None => self.survivor()?,
        };
        let Some(entry) = entry else { return Ok(None) };
        self.padding = write::padding(entry.size());
        Head::of(entry).map(Some)
    }

    fn content(&mut self, out: &mut [u8]) -> Result<()> {
        let Some(layer) = &mut self.layer else { return Err(changed()) };
        let read = layer.entries.read_exact(out).map_err(|error| Error::io("cannot read the layer", error));
        read.map_err(|error| self.stack.explain(layer.position, error))
    }

    fn padding(&mut self, chunk: &mut Buffer) -> Result<()> {
        chunk.extend_with_zeros(self.padding);
        Ok(())
    }

    fn tail(&mut self, chunk: &mut Buffer, _: usize) -> Result<usize> {
        if self.ended {
            return Ok(0);
        }
        self.ended = true;
        chunk.extend_with_zeros(write::END);
        Ok(write::END)
    }
}
