//! Attestations as BuildKit writes them: entries of an index that are about another entry, and no images.

use crate::spec::{Descriptor, Platform, annotation};

/// Whether an entry of an index is an attestation and no image.
pub fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotation(annotation::DOCKER_REFERENCE_TYPE).is_some() || entry.platform.as_ref().is_some_and(Platform::is_attestation)
}

/// Whether `entry` is an attestation about `image`.
pub fn is_about(entry: &Descriptor, image: &Descriptor) -> bool {
    is_attestation(entry) && entry.annotation(annotation::DOCKER_REFERENCE_DIGEST) == Some(image.digest.as_str())
}
