//! Attestations as BuildKit writes them: entries of an index that are about another entry, and no images.

use crate::spec::{Descriptor, Platform, annotation};

/// Whether an entry of an index is an attestation and no image.
pub fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotation(annotation::DOCKER_REFERENCE_TYPE).is_some() || entry.platform.as_ref().is_some_and(Platform::is_attestation)
}

/// The digest of what an attestation is about; none for what is no attestation, and for one that does not say.
pub fn subject_of(entry: &Descriptor) -> Option<&str> {
    if is_attestation(entry) { entry.annotation(annotation::DOCKER_REFERENCE_DIGEST) } else { None }
}

/// Whether `entry` is an attestation about `image`.
pub fn is_about(entry: &Descriptor, image: &Descriptor) -> bool {
    subject_of(entry) == Some(image.digest.as_str())
}
