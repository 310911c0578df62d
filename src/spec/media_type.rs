//! Media types: what content is, by the text of its type. image-spec, media-types.md, and Docker's schema 2 types.

use std::fmt;
use std::str::FromStr;

pub use oci_spec::image::MediaType;

use crate::error::{Error, Result};

/// Docker's schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer without compression; compressed ones have `.gzip` or `.zstd` behind it.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's layer that must not be distributed; compressed ones have `.gzip` or `.zstd` behind it.
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_NON_DISTRIBUTABLE_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const DOCKER_SCHEMA_1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// What larder does with content of a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list of manifests.
    Index,
    /// An image for one platform, or an artifact.
    Manifest,
    /// An image config.
    Config,
    /// A layer of an image.
    Layer(LayerMedia),
    /// Anything else: carried, never read.
    Other,
}

/// What the media type of a layer says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerMedia {
    /// How the tar is compressed.
    pub compression: Compression,
    /// Whether the layer may be left out of a copy because its licence forbids distribution.
    pub non_distributable: bool,
    /// Whether the layer is encrypted: it can be carried but not read.
    pub encrypted: bool,
}

impl Kind {
    /// The kind of a media type.
    pub fn of(media_type: impl AsRef<str>) -> Kind {
        match media_type.as_ref() {
            "application/vnd.oci.image.index.v1+json" | DOCKER_MANIFEST_LIST => Kind::Index,
            "application/vnd.oci.image.manifest.v1+json" | DOCKER_MANIFEST => Kind::Manifest,
            "application/vnd.oci.image.config.v1+json" | DOCKER_CONFIG => Kind::Config,
            other => LayerMedia::of(other).map_or(Kind::Other, Kind::Layer),
        }
    }
}

impl LayerMedia {
    fn of(media_type: &str) -> Option<LayerMedia> {
        let (plain, encrypted) = match media_type.strip_suffix("+encrypted") {
            Some(plain) => (plain, true),
            None => (media_type, false),
        };
        let bases = [(OCI_LAYER, "+", false), (OCI_NON_DISTRIBUTABLE_LAYER, "+", true), (DOCKER_LAYER, ".", false), (DOCKER_FOREIGN_LAYER, ".", true)];
        bases.into_iter().find_map(|(base, separator, non_distributable)| {
            let suffix = plain.strip_prefix(base)?;
            let compression = match suffix.strip_prefix(separator) {
                None if suffix.is_empty() => Compression::None,
                Some("gzip") => Compression::Gzip,
                Some("zstd") => Compression::Zstd,
                _ => return None,
            };
            Some(LayerMedia { compression, non_distributable, encrypted })
        })
    }
}

/// Whose media types a document uses: those of manifest, config and layers go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// The OCI image specification.
    Oci,
    /// Docker's schema 2.
    Docker,
}

impl Family {
    /// The family of the media type of a manifest or index.
    pub fn of(media_type: impl AsRef<str>) -> Family {
        if is_docker(media_type) { Family::Docker } else { Family::Oci }
    }

    /// The media type of an index.
    pub fn index(self) -> MediaType {
        match self {
            Family::Oci => MediaType::ImageIndex,
            Family::Docker => DOCKER_MANIFEST_LIST.into(),
        }
    }

    /// The media type of a manifest.
    pub fn manifest(self) -> MediaType {
        match self {
            Family::Oci => MediaType::ImageManifest,
            Family::Docker => DOCKER_MANIFEST.into(),
        }
    }

    /// The media type of an image config.
    pub fn config(self) -> MediaType {
        match self {
            Family::Oci => MediaType::ImageConfig,
            Family::Docker => DOCKER_CONFIG.into(),
        }
    }

    /// The media type of a layer. None for what the family has no media type for: Docker has none for Zstandard.
    pub fn layer(self, media: LayerMedia) -> Option<MediaType> {
        let (base, separator) = match (self, media.non_distributable) {
            (Family::Oci, false) => (OCI_LAYER, "+"),
            (Family::Oci, true) => (OCI_NON_DISTRIBUTABLE_LAYER, "+"),
            (Family::Docker, false) => (DOCKER_LAYER, "."),
            (Family::Docker, true) => (DOCKER_FOREIGN_LAYER, "."),
        };
        let compression = match media.compression {
            Compression::None => String::new(),
            Compression::Zstd if self == Family::Docker => return None,
            compression => format!("{separator}{compression}"),
        };
        let encrypted = if media.encrypted { "+encrypted" } else { "" };
        Some(format!("{base}{compression}{encrypted}").as_str().into())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::Oci => "oci",
            Family::Docker => "docker",
        })
    }
}

impl FromStr for Family {
    type Err = Error;

    /// Fails with kind `usage` for other names.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "oci" => Ok(Family::Oci),
            "docker" => Ok(Family::Docker),
            other => Err(Error::usage(format!("unknown media types `{}`", super::text::shown(other))).hint("use oci or docker")),
        }
    }
}

/// Whether a media type is that of Docker's schema 1 manifests, which larder does not read.
pub fn is_schema_1(media_type: impl AsRef<str>) -> bool {
    matches!(media_type.as_ref(), DOCKER_SCHEMA_1 | DOCKER_SCHEMA_1_SIGNED)
}

/// Whether a media type is one of Docker's and not of the OCI specification.
pub fn is_docker(media_type: impl AsRef<str>) -> bool {
    media_type.as_ref().starts_with("application/vnd.docker.")
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, what every tool reads.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The name on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// Fails with kind `usage` for other names.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" | "uncompressed" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            other => Err(Error::usage(format!("unknown compression `{}`", super::text::shown(other))).hint("use none, gzip or zstd")),
        }
    }
}

/// The media type of the layers that larder writes.
pub fn layer_media_type(compression: Compression) -> MediaType {
    match compression {
        Compression::None => MediaType::ImageLayer,
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str) -> (Compression, bool, bool) {
        match Kind::of(media_type) {
            Kind::Layer(layer) => (layer.compression, layer.non_distributable, layer.encrypted),
            other => panic!("{media_type} is {other:?}"),
        }
    }

    #[test]
    fn lay_46_docker_types_are_known() {
        assert_eq!(Kind::of(DOCKER_MANIFEST_LIST), Kind::Index);
        assert_eq!(Kind::of(DOCKER_MANIFEST), Kind::Manifest);
        assert_eq!(Kind::of(DOCKER_CONFIG), Kind::Config);
        assert_eq!(layer("application/vnd.docker.image.rootfs.diff.tar"), (Compression::None, false, false));
        assert_eq!(layer("application/vnd.docker.image.rootfs.diff.tar.gzip"), (Compression::Gzip, false, false));
        assert_eq!(layer("application/vnd.docker.image.rootfs.diff.tar.zstd"), (Compression::Zstd, false, false));
        assert_eq!(layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), (Compression::Gzip, true, false));
        assert_eq!(layer("application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted"), (Compression::Gzip, false, true));
    }

    #[test]
    fn oci_types_are_known() {
        assert_eq!(Kind::of(MediaType::ImageIndex), Kind::Index);
        assert_eq!(Kind::of(MediaType::ImageManifest), Kind::Manifest);
        assert_eq!(Kind::of(&MediaType::ImageConfig), Kind::Config);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(layer(layer_media_type(compression).as_ref()), (compression, false, false));
            assert_eq!(compression.as_str().parse::<Compression>().expect("its own name"), compression);
        }
        assert_eq!(layer("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"), (Compression::Zstd, true, false));
        assert_eq!(layer("application/vnd.oci.image.layer.v1.tar+encrypted"), (Compression::None, false, true));
        assert_eq!(layer("application/vnd.oci.image.layer.v1.tar+zstd+encrypted"), (Compression::Zstd, false, true));
    }

    #[test]
    fn a_layer_has_a_media_type_in_every_family_that_can_say_it() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for (non_distributable, encrypted) in [(false, false), (true, false), (false, true), (true, true)] {
                let media = LayerMedia { compression, non_distributable, encrypted };
                for family in [Family::Oci, Family::Docker] {
                    match family.layer(media) {
                        Some(media_type) => assert_eq!((Kind::of(&media_type), Family::of(&media_type)), (Kind::Layer(media), family)),
                        None => assert_eq!((compression, family), (Compression::Zstd, Family::Docker)),
                    }
                }
            }
        }
        assert_eq!(
            Family::Oci.layer(LayerMedia { compression: Compression::Gzip, non_distributable: false, encrypted: false }),
            Some(MediaType::ImageLayerGzip)
        );
    }

    #[test]
    fn a_family_has_a_media_type_for_every_document() {
        for family in [Family::Oci, Family::Docker] {
            let kinds = [(family.index(), Kind::Index), (family.manifest(), Kind::Manifest), (family.config(), Kind::Config)];
            for (media_type, kind) in kinds {
                assert_eq!((Kind::of(&media_type), Family::of(&media_type)), (kind, family));
            }
            assert_eq!(family.to_string().parse::<Family>().expect("its own name"), family);
        }
        assert!("OCI".parse::<Family>().is_err());
    }

    #[test]
    fn lay_47_all_else_is_opaque() {
        for media_type in [
            "",
            "application/vnd.oci.empty.v1+json",
            "application/vnd.oci.image.layer.v1.tar+xz",
            "application/vnd.oci.image.layer.v1.tar.gzip",
            "application/vnd.oci.image.layer.v1.targzip",
            "application/vnd.docker.image.rootfs.diff.tar+gzip",
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            "APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON",
            DOCKER_SCHEMA_1,
        ] {
            assert_eq!(Kind::of(media_type), Kind::Other, "{media_type}");
        }
        assert!(is_schema_1(DOCKER_SCHEMA_1_SIGNED) && !is_schema_1(DOCKER_MANIFEST));
        assert!("lz4".parse::<Compression>().is_err());
        assert_eq!("uncompressed".parse::<Compression>().expect("known"), Compression::None);
    }
}
