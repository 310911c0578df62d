//! Which layer of an image is meant.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::spec::{Digest, text};

use super::tree::Image;

/// A layer of an image as it is before the edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerId {
    /// By its number, counted from 1 at the bottom.
    Number(usize),
    /// By the digest of its blob, or its diff ID.
    Digest(Digest),
}

impl FromStr for LayerId {
    type Err = Error;

    /// Fails with kind `usage`.
    fn from_str(text: &str) -> Result<Self> {
        let number = text.parse::<usize>().ok().filter(|number| *number > 0).map(LayerId::Number);
        let id = number.or_else(|| text.parse().ok().map(LayerId::Digest));
        id.ok_or_else(|| {
            Error::usage(format!("`{}` is no layer", text::shown(text))).hint("give its number, counted from 1 at the bottom, its digest or its diff ID")
        })
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerId::Number(number) => number.fmt(f),
            LayerId::Digest(digest) => digest.fmt(f),
        }
    }
}

impl LayerId {
    /// The number of the layer in an image; none where a digest is not one of its layers. Kind `usage` for a number beyond its layers.
    pub(super) fn number(&self, image: &Image) -> Result<Option<usize>> {
        let layers = &image.manifest.value.layers;
        match self {
            LayerId::Number(number) if *number <= layers.len() => Ok(Some(*number)),
            LayerId::Number(number) => Err(Error::usage(format!("there is no layer {number}: the image for {} has {}", image.platform, layers.len()))),
            LayerId::Digest(digest) => {
                let mut all = layers.iter().zip(&image.diff_ids);
                Ok(all.position(|(layer, diff_id)| layer.digest == *digest || diff_id.0 == *digest).map(|position| position + 1))
            }
        }
    }

    /// Fails with kind `not_found` where none of the images has the layer.
    pub(super) fn check<'a>(&self, images: impl Iterator<Item = &'a Image>) -> Result<()> {
        for image in images {
            if self.number(image)?.is_some() {
                return Ok(());
            }
        }
        Err(Error::not_found(format!("no image that is edited has a layer {self}")).subject(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_layer_is_a_number_or_a_digest() {
        let digest = Digest::sha256(b"a");
        for (text, id) in [("1", LayerId::Number(1)), ("20", LayerId::Number(20)), (digest.as_str(), LayerId::Digest(digest.clone()))] {
            assert_eq!(text.parse::<LayerId>().expect(text), id);
            assert_eq!(id.to_string(), text);
        }
        for text in ["", "0", "-1", "1.5", "top", "sha256:x", "99999999999999999999999"] {
            assert_eq!(text.parse::<LayerId>().expect_err(text).kind(), ErrorKind::Usage);
        }
    }
}
