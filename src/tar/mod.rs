//! Tar streams, plain and compressed: what layers and archives are made of. POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format";
//! image-spec, layer.md.
//!
//! Knows nothing of images. [`mod@write`] makes the plainest headers that hold an entry, the same bytes for the same entry. [`read`] accepts what image tools are known to
//! write and refuses every form that two readers could understand differently: who is shown one thing must not get another.

mod block;
pub mod decode;
pub mod entry;
#[cfg(test)]
pub(crate) mod forge;
mod interpret;
mod pax;
pub mod read;
pub mod write;

pub use entry::{Entry, EntryKind};
pub use read::Reader;

/// Everything in a tar stream begins at a multiple of this many bytes.
const BLOCK: usize = 512;

/// The longest extended header or GNU long name in bytes. Far more than paths and attributes need, and little enough to be held in memory.
pub const MAX_EXTENSION: u64 = 1024 * 1024;

/// The largest major number of a device: Linux keeps 12 bits.
const MAX_MAJOR: u64 = 0xfff;

/// The largest minor number of a device: Linux keeps 20 bits.
const MAX_MINOR: u64 = 0xf_ffff;

/// Whether a stream that begins with `head` looks like a tar: a header with a good checksum, or zeros.
fn is_header(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<BLOCK>() else { return false };
    block.iter().all(|byte| *byte == 0) || interpret::Header::parse(block).is_ok()
}

#[cfg(test)]
mod tests;
