//! What an edit is asked to change.

use std::path::PathBuf;
use std::str::FromStr;

use crate::build::spec::{AnnotationSpec, ConfigSpec, LayerSpec};
use crate::error::{Error, Result};
use crate::layer::{Codec, Times};
use crate::spec::Family;
use crate::store::Location;

use super::layer_id::LayerId;

/// What to change.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Layers.
    pub layers: LayerChanges,
    /// Settings of the configs.
    pub settings: SettingChanges,
    /// Annotations of documents; those that are taken away go before others come.
    pub annotations: Vec<AnnotationChange>,
    /// Whose media types all documents and layers are to have.
    pub media_types: Option<Family>,
}

/// What to change in the layers.
#[derive(Clone, Debug, Default)]
pub struct LayerChanges {
    /// The image to stand on instead of the base.
    pub rebase: Option<Location>,
    /// The base, where annotations do not say it.
    pub old_base: Option<Location>,
    /// Layers to leave out.
    pub drop: Vec<LayerId>,
    /// Layers to put on top, bottom first.
    pub append: Vec<LayerSpec>,
    /// The directory that the sources of new layers are relative to.
    pub context: PathBuf,
    /// Layers to make one of.
    pub squash: Option<SquashFrom>,
    /// What becomes of the times of files, and of those in the configs. Those of a base that is named stay.
    pub times: Times,
    /// How all layers are compressed; what is in them stays.
    pub compression: Option<Codec>,
}

/// The lowest layer of those that become one; the topmost is always the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SquashFrom {
    /// All layers become one.
    Bottom,
    /// Those above the base.
    Base,
    /// This one and those above it.
    Layer(LayerId),
}

/// What to change in the configs.
#[derive(Clone, Debug, Default)]
pub struct SettingChanges {
    /// Variables to remove; before others are set.
    pub unset_env: Vec<String>,
    /// Labels to remove; before others are set.
    pub unset_labels: Vec<String>,
    /// Settings to add or to replace.
    pub set: ConfigSpec,
    /// When the image was made, as RFC 3339.
    pub created: Option<String>,
}

/// A change of an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnotationChange {
    /// It is added or replaced.
    Set(AnnotationSpec),
    /// It is removed where it is; the value means nothing.
    Unset(AnnotationSpec),
}

impl Changes {
    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        self.layers.is_nothing() && self.settings.is_nothing() && self.annotations.is_empty() && self.media_types.is_none()
    }
}

impl LayerChanges {
    fn is_nothing(&self) -> bool {
        let layers = self.drop.is_empty() && self.append.is_empty() && self.squash.is_none();
        layers && self.rebase.is_none() && self.times == Times::Kept && self.compression.is_none()
    }

    /// The layers that are named, each of which some image must have.
    pub(super) fn named(&self) -> impl Iterator<Item = &LayerId> {
        let squashed = if let Some(SquashFrom::Layer(layer)) = &self.squash { Some(layer) } else { None };
        self.drop.iter().chain(squashed)
    }

    /// Fails with kind `usage` for a base that nothing asks for.
    pub(super) fn check(&self) -> Result<()> {
        let asked = self.rebase.is_some() || self.squash == Some(SquashFrom::Base) || self.times == Times::Clamped;
        match &self.old_base {
            Some(base) if !asked => Err(Error::usage(format!("nothing that is to be done needs the old base, {base}"))
                .hint("it goes with --rebase, with --squash=base and with --normalise-timestamps")),
            _ => Ok(()),
        }
    }
}

impl SettingChanges {
    fn is_nothing(&self) -> bool {
        self.unset_env.is_empty() && self.unset_labels.is_empty() && self.set == ConfigSpec::default() && self.created.is_none()
    }
}

impl FromStr for SquashFrom {
    type Err = Error;

    /// Reads `all`, `base` or a layer. Fails with kind `usage`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(SquashFrom::Bottom),
            "base" => Ok(SquashFrom::Base),
            other => other.parse().map(SquashFrom::Layer).map_err(|error: Error| {
                error.hint("say nothing for all layers, base for those above the base, or the lowest layer to squash: its number, counted from 1 at the bottom, or its digest")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::Digest;

    #[test]
    fn layers_to_squash_begin_at_the_bottom_above_the_base_or_at_a_layer() {
        let digest = Digest::sha256(b"a");
        for (text, from) in [
            ("all", SquashFrom::Bottom),
            ("base", SquashFrom::Base),
            ("3", SquashFrom::Layer(LayerId::Number(3))),
            (digest.as_str(), SquashFrom::Layer(LayerId::Digest(digest.clone()))),
        ] {
            assert_eq!(text.parse::<SquashFrom>().expect(text), from);
        }
        for text in ["", "0", "top", "-1"] {
            let error = text.parse::<SquashFrom>().expect_err(text);
            assert_eq!((error.kind(), error.hint_text().map(|hint| hint.contains("base for those above"))), (ErrorKind::Usage, Some(true)));
        }
    }
}
