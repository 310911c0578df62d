//! Indexes: what they say themselves, and what they say of the images in them.

use std::collections::HashSet;

use serde_json::Value;

use super::document::{FieldDifference, fields, remove, without};
use super::meaning;
use super::pairs::Pair;
use super::{Side, Strictness};
use crate::error::{Error, Result};
use crate::graph::attestation::is_attestation;
use crate::spec::{Descriptor, Digest, ImageIndex, Kind, json, limits, shape};

const MANIFESTS: &str = "manifests";

/// Compares what stands above the images. Two single images have nothing there.
pub(super) fn compare(a: &Side, b: &Side, pairs: &[Pair], strictness: Strictness) -> Result<Vec<FieldDifference>> {
    match (a.is_index(), b.is_index(), strictness) {
        (true, true, _) => {}
        (false, false, _) | (_, _, Strictness::Semantic) => return Ok(Vec::new()),
        _ => return Ok(fields("mediaType", &a.root.media_type.as_ref().into(), &b.root.media_type.as_ref().into())),
    }
    let ((x, of_x), (y, of_y)) = (read(a, strictness)?, read(b, strictness)?);
    let mut found = fields("", &x, &y);
    for pair in pairs {
        if let (Some(of_a), Some(of_b)) = (&pair.a, &pair.b) {
            let name = format!("{MANIFESTS}[{}]", pair.platform);
            found.extend(fields(&name, &pointer(&of_a.descriptor, strictness)?, &pointer(&of_b.descriptor, strictness)?));
        }
    }
    let images: HashSet<&Digest> = pairs.iter().flat_map(|pair| pair.a.iter().chain(&pair.b)).map(|candidate| &candidate.descriptor.digest).collect();
    found.extend(others(&of_x, &of_y, &images, strictness)?);
    if strictness == Strictness::Exact {
        found.extend(order(&of_x, &of_y));
    }
    Ok(found)
}

/// The index without its manifests, and the same as data.
fn read(side: &Side, strictness: Strictness) -> Result<(Value, ImageIndex)> {
    let bytes = side.source.read(&side.root, limits::MANIFEST_BYTES)?;
    let index = shape::index(&side.root, &bytes)?;
    let mut document = json::parse(&bytes, limits::MANIFEST_BYTES)?;
    remove(&mut document, &[MANIFESTS]);
    if strictness == Strictness::Semantic {
        meaning::of_document(&mut document);
    }
    Ok((document, index))
}

/// What an index says of an image, besides its digest.
fn pointer(descriptor: &Descriptor, strictness: Strictness) -> Result<Value> {
    let mut pointer = value(descriptor)?;
    remove(&mut pointer, &["digest", "size", "data"]);
    if strictness == Strictness::Semantic {
        meaning::of_document(&mut pointer);
        // The images are compared because it is the same.
        remove(&mut pointer, &["platform"]);
    }
    Ok(pointer)
}

/// Members that are no images: attestations, artifacts, indexes. What is attested of images with other digests is another attestation, and how images are nested
/// means nothing.
fn others(a: &ImageIndex, b: &ImageIndex, images: &HashSet<&Digest>, strictness: Strictness) -> Result<Vec<FieldDifference>> {
    let of = |index: &ImageIndex| {
        let others = index.manifests.iter().filter(|member| !images.contains(&member.digest));
        let meant = others.filter(|member| strictness == Strictness::Exact || !(is_attestation(member) || Kind::of(&member.media_type) == Kind::Index));
        meant.map(value).collect::<Result<Vec<Value>>>()
    };
    let (a, b) = (of(a)?, of(b)?);
    let (only_a, only_b) = (without(a.clone(), &b), without(b, &a));
    let of_a = only_a.into_iter().map(|member| FieldDifference { field: MANIFESTS.to_owned(), a: Some(member), b: None });
    let of_b = only_b.into_iter().map(|member| FieldDifference { field: MANIFESTS.to_owned(), a: None, b: Some(member) });
    Ok(of_a.chain(of_b).collect())
}

/// Whether the same members stand in another order.
fn order(a: &ImageIndex, b: &ImageIndex) -> Option<FieldDifference> {
    let names = |index: &ImageIndex| -> Vec<String> {
        let name = |member: &Descriptor| member.platform.as_ref().map_or_else(|| member.media_type.to_string(), ToString::to_string);
        index.manifests.iter().map(name).collect()
    };
    let (a, b) = (names(a), names(b));
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    (a != b && sorted(&a) == sorted(&b)).then(|| FieldDifference { field: MANIFESTS.to_owned(), a: Some(a.into()), b: Some(b.into()) })
}

fn value(descriptor: &Descriptor) -> Result<Value> {
    serde_json::to_value(descriptor).map_err(|error| Error::corrupt("a descriptor is no JSON").because(error))
}
