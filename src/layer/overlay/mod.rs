//! Layers and directories in the form of overlayfs, in both directions.
//!
//! ```text
//! layers --lower--> a lower directory        an upper directory, those below it --changes--> a changeset
//! ```
//!
//! A whiteout is a character device 0:0 there and an empty file `.wh.NAME` in a layer; an opaque directory has an attribute there and a file `.wh..wh..opq` in a layer.
//! Attributes of overlayfs itself never are in a layer. image-spec, layer.md; <https://docs.kernel.org/filesystems/overlayfs.html>
//!
//! Relies on [`apply`](super::apply) for what layers mean and on [`unpack`](super::unpack) for how files come to a disk.

mod below;
mod changes;
mod lower;

#[cfg(test)]
mod tests;

pub use changes::{Changes, changes};
pub use lower::lower;
