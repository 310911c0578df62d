//! Keys of annotations that larder reads or writes. image-spec, annotations.md; for the others, the tool that defines them.

pub use oci_spec::image::{
    ANNOTATION_AUTHORS as AUTHORS, ANNOTATION_BASE_IMAGE_DIGEST as BASE_DIGEST, ANNOTATION_BASE_IMAGE_NAME as BASE_NAME, ANNOTATION_CREATED as CREATED,
    ANNOTATION_DESCRIPTION as DESCRIPTION, ANNOTATION_DOCUMENTATION as DOCUMENTATION, ANNOTATION_LICENSES as LICENSES, ANNOTATION_REF_NAME as REF_NAME,
    ANNOTATION_REVISION as REVISION, ANNOTATION_SOURCE as SOURCE, ANNOTATION_TITLE as TITLE, ANNOTATION_URL as URL, ANNOTATION_VENDOR as VENDOR,
    ANNOTATION_VERSION as VERSION,
};

/// On an entry of `index.json`: the full reference of the image. containerd, BuildKit, Docker.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// On an entry of an index: what the entry is to the manifest of [`DOCKER_REFERENCE_DIGEST`]. BuildKit.
pub const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// On an entry of an index: the digest of the manifest that the entry is about. BuildKit.
pub const DOCKER_REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// The value of [`DOCKER_REFERENCE_TYPE`] for attestations, the only one defined.
pub const ATTESTATION_MANIFEST: &str = "attestation-manifest";

/// On an image index that holds some platforms of another one: the digest of that one. larder.
pub const FILTERED_FROM: &str = "larder.filtered-from";

/// What the keys of annotations on a layer begin with that tell of the bytes of the blob and not of the tar inside: tables of contents of eStargz and
/// zstd:chunked. They are not true of the same tar in another compression.
pub const OF_BLOB: [&str; 3] = ["containerd.io/snapshot/stargz/", "io.containers.estargz.", "io.github.containers.zstd-chunked."];
