//! Where images are kept, and the two contracts that everything which moves images relies on.
//!
//! A store holds content by digest and entries: descriptors of manifests, most of them with a name. What can be read is a [`Source`], what can be written
//! a [`Destination`]. Stores do not know each other. Whether a store keeps the contracts is checked by one suite for all of them.

pub mod archive;
#[cfg(test)]
pub(crate) mod conformance;
pub mod docker_archive;
pub mod entries;
mod header;
pub mod layout;
pub mod location;
pub mod memory;
pub mod options;
#[cfg(feature = "sync")]
pub mod registry;
mod tarfile;
pub mod transport;

pub use layout::{BlobWriter, Layout};
pub use location::Location;
pub use memory::MemoryStore;
pub use options::Options;

use std::fs::File;
use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::fsio::Placed;
use crate::spec::{Descriptor, ImageIndex, Selector};

/// A store that can be read, by many threads at once. Reading changes nothing.
pub trait Source: Send + Sync {
    /// Where this is, as a person would write it on the command line.
    fn location(&self) -> String;

    /// The entries, as an image index: those of a layout are its `index.json`.
    ///
    /// Fails with kind `corrupt` where the store has no readable entries.
    fn index(&self) -> Result<ImageIndex>;

    /// The entries that `selector` may mean, as an image index; others may be among them. For stores that have very many and can be asked for single ones.
    ///
    /// Fails as [`index`](Self::index), and with kind `not_found` where it is plain that nothing is meant.
    fn entries_for(&self, _selector: &Selector) -> Result<ImageIndex> {
        self.index()
    }

    /// The entry that is meant. Kinds: `not_found` where there is none; `usage` where several are meant.
    fn resolve(&self, selector: &Selector) -> Result<Descriptor> {
        let index = self.entries_for(selector)?;
        selector.select(&index).cloned().map_err(|error| error.context(format!("cannot find an image in {}", self.location())))
    }

    /// Opens content. The reader proves size and digest while it is read and fails with kind `corrupt` before the last byte where they differ;
    /// who stops earlier has proved nothing.
    ///
    /// Kinds: `not_found` where the content is absent; `corrupt` where its size is known to be wrong; `unsupported` for a digest that cannot be computed.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>>;

    /// Opens content without proving anything but its size, for [`Destination::put`], which proves what it is given: hashing twice would cost as much as all the
    /// rest of a copy. Kinds as [`open`](Self::open).
    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.open(descriptor)
    }

    /// As [`open_unproved`](Self::open_unproved), without the first `start` bytes.
    fn open_unproved_from(&self, descriptor: &Descriptor, start: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut content = self.open_unproved(descriptor)?;
        io::copy(&mut content.by_ref().take(start), &mut io::sink()).map_err(|error| Error::io(format!("cannot read {}", descriptor.digest), error))?;
        Ok(content)
    }

    /// What is attached to a manifest, for stores that can be asked and whose entries do not tell all of it. None where the entries do.
    fn referrers(&self, _subject: &Descriptor) -> Result<Option<Vec<Descriptor>>> {
        Ok(None)
    }

    /// Reads and verifies content of at most `limit` bytes; larger content is of kind `corrupt`. Other errors as [`open`](Self::open).
    fn read(&self, descriptor: &Descriptor, limit: usize) -> Result<Vec<u8>> {
        let digest = &descriptor.digest;
        if descriptor.size > limit as u64 {
            return Err(Error::corrupt(format!("{digest} has {} bytes, more than the limit of {limit} bytes", descriptor.size)).subject(digest));
        }
        let mut bytes = Vec::new();
        self.open(descriptor)?.read_to_end(&mut bytes).map_err(|error| Error::io(format!("cannot read {digest}"), error))?;
        Ok(bytes)
    }

    /// Whether content that came damaged may come whole when it is asked for again, as over a network.
    fn may_heal(&self) -> bool {
        false
    }

    /// What readers should know of the store that no content tells, one line each: bytes where no reader looks, the same thing twice. Not for every use of the
    /// store: finding out may read much of it.
    fn remarks(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The content as a file of this machine that another store may share instead of reading: a regular file whose size is right and whose bytes nobody
    /// has verified. None where the content is no file.
    fn local_file(&self, _descriptor: &Descriptor) -> Result<Option<File>> {
        Ok(None)
    }
}

/// A store that can be written, by many threads at once.
///
/// The order is the caller's duty: content before the manifests that reference it, manifests before the entries that name them. In return, whatever is
/// interrupted at any moment leaves a store in which everything that is named is whole.
pub trait Destination: Send + Sync {
    /// Where this is, as a person would write it on the command line.
    fn location(&self) -> String;

    /// Tells beforehand everything that will be put, each digest once, in an order that the images alone decide, and the entries that will be committed. A store
    /// whose bytes depend on the order of its content keeps this one, in whichever order and by however many threads it is then put. Told nothing, such a store
    /// keeps the order of putting.
    fn announce(&self, _content: &[Descriptor], _entries: &[Descriptor]) -> Result<()> {
        Ok(())
    }

    /// Whether content of the descriptor's digest and size is there, so that it need not be put. Its bytes are not looked at.
    fn has(&self, descriptor: &Descriptor) -> Result<bool>;

    /// What it means that content is there.
    fn presence(&self) -> Presence {
        Presence::Claimed
    }

    /// Takes over content from `source` without reading it, where both lie on one file system that can do so. `Ok(None)` means: put it instead.
    /// Nothing is verified but the size; so not for documents. Kind `unsupported` for a digest that cannot be computed.
    fn reuse(&self, _source: &dyn Source, _descriptor: &Descriptor, _sharing: Sharing) -> Result<Option<Placed>> {
        Ok(None)
    }

    /// Stores content. It is visible only when it is complete and proved; what fails leaves nothing behind. Content that is there already is no error and is
    /// afterwards what it must be. The same content may be put many times at once.
    ///
    /// Fails with kind `corrupt` where `content` is not what `descriptor` says.
    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()>;

    /// As [`put`](Self::put), for content that may be asked for again: after a failure that is worth another attempt, or not at all.
    fn put_from(&self, descriptor: &Descriptor, content: &dyn Content) -> Result<Put> {
        self.put(descriptor, &mut *content.open(0)?)?;
        Ok(Put::Written)
    }

    /// Adds `entries` at once, as [`entries::enter`] says, after everything put before is durable. Once this returns, a power cut loses nothing of it.
    fn commit(&self, entries: &[Descriptor]) -> Result<()>;

    /// As [`commit`](Self::commit), if `condition` holds of the entries that are there at that moment: its error is the error, and nothing changes. For stores that
    /// have all their entries in one place; others fail with kind `unsupported`.
    fn commit_if(&self, _entries: &[Descriptor], _condition: &dyn Fn(&ImageIndex) -> Result<()>) -> Result<()> {
        Err(Error::unsupported(format!("{} cannot change names on a condition", self.location())))
    }
}

/// Content that can be read as often as it is needed. Nothing is proved.
pub trait Content {
    /// The content without its first `start` bytes. Errors as [`Source::open`].
    fn open(&self, start: u64) -> Result<Box<dyn Read + '_>>;
}

/// What became of content that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was written.
    Written,
    /// The destination had it elsewhere, and took it from there.
    Taken,
}

/// What it means that a destination [has](Destination::has) content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Something of its size lies under its name. Documents are put anyway, so that damage is repaired.
    Claimed,
    /// It was proved when it came, and so was all that it leads to.
    Proved,
}

/// What a destination may share with a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Blocks, until one side writes to its file.
    #[default]
    Blocks,
    /// The file itself: who damages one side damages both.
    Files,
}
