//! Annotations as a person asks for them, in the grammar of buildx: which documents, and of which platform.

use super::place::Place;
use super::spec::{AnnotationSpec, Level};
use crate::error::{Error, Result};
use crate::spec::{Platform, text};

/// The documents that an annotation is for: `manifest`, or `manifest[linux/amd64]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    level: Level,
    platform: Option<Platform>,
}

impl Target {
    /// The manifests of all platforms.
    pub const MANIFESTS: Target = Target { level: Level::Manifest, platform: None };

    /// Reads a target. Fails with kind `usage`.
    pub fn parse(place: &Place, written: &str) -> Result<Self> {
        let (name, platform) = split(written);
        let Some((_, level)) = Level::NAMES.into_iter().find(|(known, _)| *known == name) else { return Err(unknown(place, name)) };
        let Some(platform) = platform else { return Ok(Target { level, platform: None }) };
        if matches!(level, Level::Index | Level::IndexDescriptor) {
            return Err(place
                .usage(format!("`{}`: an index is for all platforms", text::shown(written)))
                .hint("leave the platform out, or annotate its manifest"));
        }
        let platform = platform.strip_suffix(']').ok_or_else(|| place.usage(format!("`{}` does not end with `]`", text::shown(written))))?;
        let platform = Platform::parse(platform).map_err(|error| place.wrap(error, "has a platform that cannot be read"))?;
        Ok(Target { level, platform: Some(platform) })
    }

    /// Whether somebody who wrote this meant a target, well or badly.
    pub fn is_meant(written: &str) -> bool {
        let (name, platform) = split(written);
        platform.is_some_and(|platform| platform.ends_with(']')) || text::nearest(name, NAMES).is_some()
    }

    /// The annotation of these documents. Fails with kind `usage` for a key that cannot be one.
    pub fn annotation(&self, place: &Place, key: &str, value: &str) -> Result<AnnotationSpec> {
        if key.is_empty() {
            return Err(place.usage("the key of an annotation cannot be empty"));
        }
        if key.starts_with('[') {
            let message = format!("`{}` is not a key: the platform belongs to the document", text::shown(key));
            return Err(place
                .usage(message)
                .hint("write --annotation 'manifest[linux/amd64]:KEY=VALUE', or [annotations.\"manifest[linux/amd64]\"] in the file"));
        }
        Ok(AnnotationSpec { place: place.clone(), level: self.level, platform: self.platform.clone(), key: key.to_owned(), value: value.to_owned() })
    }
}

const NAMES: [&str; 4] = [Level::NAMES[0].0, Level::NAMES[1].0, Level::NAMES[2].0, Level::NAMES[3].0];

/// The name, and what stands after the bracket.
fn split(written: &str) -> (&str, Option<&str>) {
    written.split_once('[').map_or((written, None), |(name, platform)| (name, Some(platform)))
}

fn unknown(place: &Place, name: &str) -> Error {
    place.usage(format!("`{}` is not a document that can be annotated", text::shown(name))).hint(match text::nearest(name, NAMES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the documents are {}", NAMES.join(", ")),
    })
}
