//! The bounds of what larder reads into memory, each with its reason.
//!
//! A size that somebody else wrote never decides how much is allocated; these do. They are no settings: whoever could be talked into raising them for one
//! image would have none. For the same reason there is no option that follows links in a layout or an archive, and none that carries content whose digest
//! cannot be computed.

/// A manifest or a nested index: 4 MiB, what registries accept (distribution-spec, "Pushing manifests").
pub const MANIFEST_BYTES: usize = 4 << 20;

/// The `index.json` of a layout: 512 MiB. It is the one document that grows with use; a million names take about 350 MB.
pub const LAYOUT_INDEX_BYTES: usize = 512 << 20;

/// The `oci-layout` file: 64 KiB. It has one field, and may have more that larder does not know.
pub const LAYOUT_HEADER_BYTES: usize = 64 << 10;

/// An image config: 8 MiB. Histories of thousands of steps stay below 1 MiB.
pub const CONFIG_BYTES: usize = 8 << 20;

/// Nesting of arrays and objects in a document: 64. The documents of the specifications need 8.
pub const JSON_DEPTH: usize = 64;

/// Members of one object: 65 536. Bounds the memory of the search for duplicate keys; the largest known object, a map of
/// annotations, has a few hundred.
pub const JSON_MEMBERS: usize = 1 << 16;

/// Nesting of indexes below a name: 16. Two are usual; the bound keeps a chain of hostile indexes short.
pub const INDEX_DEPTH: usize = 16;

/// Content embedded in a descriptor: what a manifest may have in all.
pub const DATA_BYTES: usize = MANIFEST_BYTES;

/// A `larder.toml`: 16 MiB. It has no more than small files inside; large ones are sources.
pub const SPECIFICATION_BYTES: usize = 16 << 20;

/// A file of credentials: 4 MiB. One with a thousand hosts has 200 KiB.
#[cfg(feature = "sync")]
pub const CREDENTIALS_BYTES: usize = 4 << 20;

/// How many times its size a compressed archive may unpack to, once it is more than [`UNPACKED_FREE_BYTES`]. Layers reach a few hundred, where they have large
/// files of zeros; gzip can reach 1032, zstd far more.
pub const EXPANSION: u64 = 1000;

/// What any compressed archive may unpack to: 1 GiB. It fits where layers are built.
pub const UNPACKED_FREE_BYTES: u64 = 1 << 30;

/// What a compressed archive of `size` bytes may unpack to.
pub fn unpacked_bytes(size: u64) -> u64 {
    size.saturating_mul(EXPANSION).max(UNPACKED_FREE_BYTES)
}
