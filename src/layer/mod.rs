//! Layers: from a changeset to the bytes of a blob, and from one blob to another.
//!
//! ```text
//! tree, archive, specification --> Item* (changeset) --> tar stream --> chunks --> compressed chunks --> blob
//!                                                          ^  |                                          |
//!                                          stored layer ---+  diff ID                                 digest
//! ```
//!
//! # The byte contract
//!
//! The same entries give the same blob: on every machine, with any number of threads, in every later version of larder that does not say otherwise
//! in its change log. What decides bytes:
//!
//! * the order of entries ([`entry::path_order`], and of those of several layers as [`squash`] says) and their tar form ([`tar`]): ustar, with PAX records only
//!   for what ustar cannot say;
//! * where the stream is cut into chunks: on entries, by rules that look at the stream alone;
//! * for gzip the encoder in `deflate`, which is larder's own and has no other version; one member, chunks joined by empty stored blocks;
//! * for zstd the pinned libzstd, one frame for each chunk.
//!
//! Golden digests in the tests hold each of these in place. A layer that is compressed again is cut by the same rules, so it becomes the very blob that
//! building its entries with that compression would have made.
//!
//! # What is not used
//!
//! Trees are walked by `tree` and not by the crate walkdir, which goes by paths: here each step is a handle of a directory, so nobody can put another one in its
//! place meanwhile. Files are read and not mapped (memmap2): one that shrinks would end the process with SIGBUS instead of with an error, and mapping takes
//! `unsafe`. Archives are read and written by [`tar`] and not by the crate of that name, which takes headers that readers see in two ways for good; tests use it.
//!
//! Relies on `exec` for threads and on `store` for the blob that is written. Image-spec, layer.md.

pub mod apply;
pub mod builder;
pub mod changeset;
mod chunk;
mod codec;
mod deflate;
pub mod diff_id;
pub mod difference;
mod gzip;
pub mod inventory;
pub mod overlay;
mod raw;
pub mod recompress;
pub mod remarks;
pub mod reuse;
mod shelf;
pub mod squash;
pub mod stack;
pub mod stored;
mod stream;
pub mod times;
pub mod tree;
pub mod unpack;
pub mod upper;
pub mod whiteout;

pub use builder::Layer;
pub use codec::Codec;
pub use reuse::Reuse;
pub use stored::Stored;
pub use times::Times;

pub use crate::tar::{self, Entry, EntryKind, decode, entry};
