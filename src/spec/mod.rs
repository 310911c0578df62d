//! The documents of the specifications as plain data: no I/O, no clock, no policy.
//!
//! What larder only moves it carries as the exact bytes it read ([`Document`]); what it writes goes through one canonical encoder.
//! Follows image-spec 1.1 and, for what Docker writes, the schema 2 media types.

pub mod accounts;
pub mod annotation;
pub mod annotations;
pub mod base64;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod json;
pub mod limits;
pub mod links;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod platform;
pub mod reference;
mod scan;
pub mod shape;
pub mod sum;
pub mod text;

pub use annotations::Annotations;
pub use config::{History, ImageConfig};
pub use descriptor::{Descriptor, MediaType};
pub use digest::{Algorithm, ChainId, DiffId, Digest, Hasher};
pub use document::Document;
pub use links::{Node, Role};
pub use manifest::{ImageIndex, ImageManifest};
pub use media_type::{Compression, Family, Kind, LayerMedia};
pub use name::{ImageName, Prefix, Selector};
pub use platform::Platform;
pub use reference::Reference;
pub use sum::{Sum, Summing};
