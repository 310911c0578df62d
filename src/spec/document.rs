//! A document: content that larder understands, with the exact bytes it was read from or is written as.
//!
//! What is only moved is moved as these bytes, so no digest changes on the way. What larder itself makes is encoded once, here.

use serde::Serialize;

use super::descriptor::{Descriptor, MediaType};
use super::digest::Digest;
use super::manifest::{ImageIndex, ImageManifest};
use super::{json, shape};
use crate::error::{Error, Result};

/// Content with its descriptor, its bytes and what they mean. `descriptor` names `bytes`, and `value` is what `bytes` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<T> {
    /// The name of the content, with whatever the one who pointed here said of it.
    pub descriptor: Descriptor,
    /// The content, byte for byte.
    pub bytes: Vec<u8>,
    /// The content as data.
    pub value: T,
}

/// A kind of document that can be read strictly.
pub trait Body: Sized {
    /// Reads and validates `bytes` as the content of `descriptor`; `limit` is the largest length in bytes. The digest is not checked here.
    fn read(descriptor: &Descriptor, bytes: &[u8], limit: usize) -> Result<Self>;
}

impl Body for ImageManifest {
    fn read(descriptor: &Descriptor, bytes: &[u8], limit: usize) -> Result<Self> {
        shape::manifest_within(descriptor, bytes, limit)
    }
}

impl Body for ImageIndex {
    fn read(descriptor: &Descriptor, bytes: &[u8], limit: usize) -> Result<Self> {
        shape::index_within(descriptor, bytes, limit)
    }
}

impl<T: Body> Document<T> {
    /// The document that `descriptor` names, from bytes whose digest the caller has verified; `limit` is the largest length in bytes.
    /// Fails with kind `corrupt` or `unsupported`.
    pub fn parse(descriptor: Descriptor, bytes: Vec<u8>, limit: usize) -> Result<Self> {
        if bytes.len() as u64 != descriptor.size {
            return Err(
                Error::corrupt(format!("{} has {} bytes, its descriptor says {}", descriptor.digest, bytes.len(), descriptor.size)).subject(&descriptor.digest)
            );
        }
        let value = T::read(&descriptor, &bytes, limit)?;
        Ok(Document { descriptor, bytes, value })
    }
}

impl<T: Serialize> Document<T> {
    /// A new document in canonical form, named by its SHA-256.
    pub fn create(media_type: impl Into<MediaType>, value: T) -> Result<Self> {
        let bytes = json::canonical(&value)?;
        let descriptor = Descriptor::new(media_type, Digest::sha256(&bytes), bytes.len() as u64);
        Ok(Document { descriptor, bytes, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::limits;

    #[test]
    fn what_is_created_can_be_parsed() {
        let config = Descriptor::new(MediaType::ImageConfig, Digest::sha256(b"{}"), 2);
        let created = Document::create(MediaType::ImageManifest, ImageManifest::new(config, Vec::new())).expect("created");
        assert_eq!(created.descriptor.digest, Digest::sha256(&created.bytes));
        let parsed = Document::<ImageManifest>::parse(created.descriptor.clone(), created.bytes.clone(), limits::MANIFEST_BYTES).expect("parsed");
        assert_eq!(parsed, created);
    }

    #[test]
    fn lay_18_and_20_a_wrong_size_prints_both_sizes() {
        let created = Document::create(MediaType::ImageIndex, ImageIndex::new(Vec::new())).expect("created");
        for size in [created.descriptor.size + 1, created.descriptor.size - 1, 1 << 62] {
            let descriptor = Descriptor { size, ..created.descriptor.clone() };
            let error = Document::<ImageIndex>::parse(descriptor, created.bytes.clone(), limits::MANIFEST_BYTES).expect_err("wrong size");
            assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
            assert!(error.message().ends_with(&format!("has {} bytes, its descriptor says {size}", created.bytes.len())), "{error}");
        }
    }
}
