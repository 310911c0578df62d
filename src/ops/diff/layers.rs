//! Layers, bottom first.

use serde_json::Value;

use super::document::{fields, pairs};
use super::report::{Change, LayerReport, LayerSide};
use crate::error::{Error, Result};
use crate::graph::image::Image;
use crate::spec::{Descriptor, DiffId};

/// The layers that are not the same. Those that both have at the bottom and at the top are not among them.
pub(super) fn compare(a: &Image, b: &Image) -> Result<Vec<LayerReport>> {
    let (of_a, of_b) = (values(a)?, values(b)?);
    let report = |(at_a, at_b): (Option<usize>, Option<usize>)| {
        let (change, fields) = match (at_a, at_b) {
            (Some(at_a), Some(at_b)) => (Change::Changed, fields("", &of_a[at_a], &of_b[at_b])),
            (Some(_), None) => (Change::Removed, Vec::new()),
            (None, _) => (Change::Added, Vec::new()),
        };
        LayerReport { change, a: at_a.map(|position| side(a, position)), b: at_b.map(|position| side(b, position)), fields }
    };
    Ok(pairs(&of_a, &of_b).into_iter().map(report).collect())
}

/// How many layers from the bottom both have: the same blob, and the same tar in it.
pub(super) fn common(a: &Image, b: &Image) -> usize {
    let of = |image: &Image| -> Vec<(Descriptor, DiffId)> {
        let layers = image.manifest.value.layers.iter().zip(&image.diff_ids);
        layers.map(|(layer, diff_id)| (Descriptor::new(layer.media_type.clone(), layer.digest.clone(), layer.size), diff_id.clone())).collect()
    };
    of(a).iter().zip(&of(b)).take_while(|(a, b)| a == b).count()
}

fn side(image: &Image, position: usize) -> LayerSide {
    let (layer, diff_id) = (&image.manifest.value.layers[position], &image.diff_ids[position]);
    LayerSide { position: position + 1, digest: layer.digest.clone(), diff_id: diff_id.0.clone(), size: layer.size, media_type: layer.media_type.to_string() }
}

/// Everything that is said of each layer.
fn values(image: &Image) -> Result<Vec<Value>> {
    let value = |(layer, diff_id): (&Descriptor, &DiffId)| {
        let mut value = serde_json::to_value(layer).map_err(|error| Error::corrupt("a descriptor is no JSON").because(error))?;
        value["diffId"] = diff_id.0.as_str().into();
        Ok(value)
    };
    image.manifest.value.layers.iter().zip(&image.diff_ids).map(value).collect()
}
