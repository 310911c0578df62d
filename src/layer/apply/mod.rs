//! Applying changesets: the root filesystem that layers make together, held in memory. image-spec, layer.md "Applying Changesets".
//!
//! One set of rules serves whoever needs the result: what is unpacked, what a single file of an image is, and how two images differ. Nothing here touches
//! a disk. The rules:
//!
//! * A whiteout hides what lower layers put there and nothing of its own layer, wherever in the layer it stands; an opaque whiteout likewise.
//! * An entry replaces what has its name, except that a directory over a directory gives it new attributes and keeps its content. The link is replaced,
//!   never what it leads to.
//! * Symbolic links on the way to an entry are followed as the kernel would follow them with the root filesystem as root: none leads out of it.
//! * Directories that nobody describes are implied: 0755, owned by root, of 1970. A file that stands where a directory is needed gives way.
//! * A hard link names what its target is at that moment, from whatever layer; a link itself where that is a symbolic link. Its own attributes mean nothing.
//! * Of two entries of one layer with the same path the last counts.

mod resolve;
mod rootfs;
mod rules;

#[cfg(test)]
mod tests;

pub use resolve::Follow;
pub use rootfs::{Kind, Node, NodeId, Rootfs};
pub use rules::{Change, Placement};
