//! The same tar under another compression.

use super::builder::{self, Layer};
use super::codec::Codec;
use super::raw::Raw;
use super::stored::Stored;
use crate::error::Result;
use crate::exec::Run;
use crate::store::{BlobWriter, Source};

/// Writes the tar of a layer again with `codec`. Its diff ID stays, and the blob is the one that building the same tar with this codec makes.
///
/// Kinds: those of [`Source::open`]; `corrupt` where the blob is damaged or holds another tar than the image says; `unsupported` for an encrypted layer. The
/// new blob then never appears.
pub fn recompress(run: &Run, label: &str, source: &dyn Source, layer: &Stored, codec: Codec, writer: BlobWriter) -> Result<Layer> {
    let open = layer.open(run, label, source);
    open.and_then(|reader| builder::write(run, Raw::new(reader), codec, None, Some(&layer.diff_id), writer)).map_err(|error| layer.cannot("compress", error))
}
