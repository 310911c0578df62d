//! The layers of an image once it is decided what is to be made: what the new manifest and the new config say of them.

use crate::error::Result;
use crate::layer::{Codec, Layer, Stored, Times};
use crate::spec::{Compression, Descriptor, DiffId, Family, History, ImageConfig, Kind, annotation};

use super::convert;
use super::image::replaced;
use super::layers::{self, Works};
use super::stack::{Slot, Stack, What};

/// All steps, first to last, each with the layer that it made.
#[derive(Debug)]
pub(super) struct Settled {
    steps: Vec<(History, Option<Place>)>,
    family: Family,
}

/// The place of a layer.
#[derive(Debug)]
enum Place {
    /// It is there already.
    Kept(Stored),
    /// It is to be made.
    Made {
        /// Its position among the layers to make.
        work: usize,
        /// What pointed to the layer that it replaces.
        pointer: Option<Descriptor>,
    },
}

impl Stack {
    /// Decides what is to be made, for a manifest of `family`. `asked` is the family that all layers are to be of.
    ///
    /// Fails with kind `unsupported` for a layer that the family has no media type for.
    pub(super) fn settle(&self, family: Family, asked: Option<Family>, works: &mut Works) -> Result<Settled> {
        let steps = self.steps.iter().map(|step| {
            let place = step.slot.as_ref().map(|slot| slot.settle(family, asked, works)).transpose()?;
            Ok((step.history.clone(), place))
        });
        let steps = steps.collect::<Result<_>>()?;
        Ok(Settled { steps, family })
    }
}

impl Slot {
    fn settle(&self, family: Family, asked: Option<Family>, works: &mut Works) -> Result<Place> {
        let layer = match &self.what {
            What::Stored(number, layer) if self.times == Times::Kept && self.codec.is_none() => {
                // A layer of the image itself keeps whatever type it has; one that comes from elsewhere gets that of the manifest.
                let stays = number.is_some() && asked.is_none();
                let descriptor = if stays { layer.descriptor.clone() } else { convert::layer(&layer.descriptor, family)? };
                return Ok(Place::Kept(Stored { descriptor, diff_id: layer.diff_id.clone() }));
            }
            What::Stored(_, layer) => Some(layer),
            What::New(_) | What::Squashed(_) => None,
        };
        let codec = self.codec.map_or_else(|| self.usual_codec(), Ok)?;
        layers::check_compression(family, codec.compression())?;
        let work = match &self.what {
            What::Stored(_, layer) if self.times == Times::Kept => works.recompress(layer, codec),
            What::Stored(_, layer) => works.clamp(layer, self.codec),
            What::New(plan) => works.build(plan, codec),
            What::Squashed(squashed) => works.squash(squashed, self.times, codec),
        };
        Ok(Place::Made { work, pointer: layer.map(|layer| layer.descriptor.clone()) })
    }

    /// How a layer is compressed where nobody says it: as what it is made of, where that is all alike.
    fn usual_codec(&self) -> Result<Codec> {
        let from = match &self.what {
            What::Stored(_, layer) => std::slice::from_ref(&**layer),
            What::New(_) => &[],
            What::Squashed(squashed) => squashed.stored.as_slice(),
        };
        let all = from.iter().map(|layer| Ok(layer.media()?.compression)).collect::<Result<Vec<Compression>>>()?;
        match all.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => Ok(Codec::from(*first)),
            _ => Ok(Codec::default()),
        }
    }
}

impl Settled {
    /// The layers that are there already.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Stored> {
        self.steps.iter().filter_map(|(_, place)| match place {
            Some(Place::Kept(layer)) => Some(layer),
            _ => None,
        })
    }

    /// The layers once those that were to be made are there.
    pub(super) fn finish(&self, made: &[Layer]) -> Vec<Stored> {
        self.steps.iter().filter_map(|(_, place)| place.as_ref()).map(|place| place.finish(made, self.family)).collect()
    }

    /// Writes layers and history into a config. The diff IDs are those of all layers, bottom first.
    pub(super) fn write(&self, diff_ids: &[DiffId], config: &mut ImageConfig) {
        let history = self.steps.iter().map(|(history, place)| History { empty_layer: place.is_none(), ..history.clone() });
        config.set_layers(diff_ids, &history.collect::<Vec<_>>());
    }
}

impl Place {
    fn finish(&self, made: &[Layer], family: Family) -> Stored {
        let (work, pointer) = match self {
            Place::Kept(layer) => return layer.clone(),
            Place::Made { work, pointer } => (*work, pointer),
        };
        let Layer { descriptor, diff_id, .. } = &made[work];
        let mut descriptor = descriptor.clone();
        if let Kind::Layer(media) = Kind::of(&descriptor.media_type)
            && let Some(media_type) = family.layer(media)
        {
            descriptor.media_type = media_type;
        }
        if let Some(pointer) = pointer {
            let changed = pointer.digest != descriptor.digest;
            let is_converted = Family::of(&pointer.media_type) != family;
            descriptor = replaced(pointer, &descriptor);
            if is_converted {
                descriptor = convert::pointer(descriptor, family);
            }
            descriptor.annotations.retain(|key, _| !(changed && annotation::OF_BLOB.iter().any(|prefix| key.starts_with(prefix))));
        }
        Stored { descriptor, diff_id: diff_id.clone() }
    }
}
