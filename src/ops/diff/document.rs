//! Documents, field by field.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Strictness;
use super::meaning;
use crate::error::{Error, Result};
use crate::graph::image::Image;
use crate::spec::{json, limits};

/// A field that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldDifference {
    /// Its path, the keys joined by dots. Foreign text.
    pub field: String,
    /// What the first side has; missing where it has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<Value>,
    /// What the second side has; missing where it has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Value>,
}

/// Manifests without their layers. What the manifest says of the config beyond its media type follows from the config.
pub(super) fn manifests(a: &Image, b: &Image, strictness: Strictness) -> Result<Vec<FieldDifference>> {
    let of = |image: &Image| {
        let mut manifest = json::parse(&image.manifest.bytes, limits::MANIFEST_BYTES)?;
        remove(&mut manifest, &["layers"]);
        if let Some(config) = manifest.get_mut("config") {
            remove(config, &["digest", "size", "data"]);
        }
        if strictness == Strictness::Semantic {
            meaning::of_document(&mut manifest);
        }
        Ok::<_, Error>(manifest)
    };
    Ok(fields("", &of(a)?, &of(b)?))
}

/// Configs without their diff IDs, which belong to the layers.
pub(super) fn configs(a: &Image, b: &Image, strictness: Strictness) -> Result<Vec<FieldDifference>> {
    let of = |image: &Image| {
        let config = match strictness {
            Strictness::Exact => serde_json::to_value(&image.config),
            Strictness::Semantic => serde_json::to_value(meaning::of_platform(image)),
        };
        let mut config = config.map_err(|error| Error::corrupt("the image config is no JSON").because(error))?;
        if let Some(rootfs) = config.get_mut("rootfs") {
            remove(rootfs, &["diff_ids"]);
        }
        let history = match config.as_object_mut().and_then(|config| config.remove("history")) {
            Some(Value::Array(steps)) => steps,
            _ => Vec::new(),
        };
        Ok::<_, Error>((config, history))
    };
    let ((mut a, mut steps_of_a), (mut b, mut steps_of_b)) = (of(a)?, of(b)?);
    if strictness == Strictness::Semantic {
        [&mut a, &mut b].into_iter().for_each(meaning::of_config);
        steps_of_a.iter_mut().chain(&mut steps_of_b).for_each(meaning::of_step);
        (steps_of_a, steps_of_b) = (without(steps_of_a.clone(), &steps_of_b), without(steps_of_b, &steps_of_a));
    }
    let mut found = fields("", &a, &b);
    found.extend(pairs(&steps_of_a, &steps_of_b).into_iter().map(|(of_a, of_b)| {
        let field = match strictness {
            Strictness::Exact => format!("history[{}]", of_a.or(of_b).unwrap_or_default()),
            // Positions mean nothing there.
            Strictness::Semantic => "history".to_owned(),
        };
        FieldDifference { field, a: of_a.map(|at| steps_of_a[at].clone()), b: of_b.map(|at| steps_of_b[at].clone()) }
    }));
    Ok(found)
}

/// The fields in which two values differ. `name` is that of the values themselves.
pub(super) fn fields(name: &str, a: &Value, b: &Value) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    compare(name, Some(a), Some(b), &mut found);
    found
}

/// Documents are nested to a bounded depth, so recursion is.
fn compare(name: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<FieldDifference>) {
    if a == b {
        return;
    }
    let none = Map::new();
    let (of_a, of_b) = match (a, b) {
        (Some(Value::Object(of_a)), Some(Value::Object(of_b))) => (of_a, of_b),
        (Some(Value::Object(of_a)), None) if !of_a.is_empty() => (of_a, &none),
        (None, Some(Value::Object(of_b))) if !of_b.is_empty() => (&none, of_b),
        _ => {
            found.push(FieldDifference { field: name.to_owned(), a: a.cloned(), b: b.cloned() });
            return;
        }
    };
    let mut keys: Vec<&String> = of_a.keys().chain(of_b.keys().filter(|key| !of_a.contains_key(*key))).collect();
    keys.sort();
    for key in keys {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        compare(&name, of_a.get(key), of_b.get(key), found);
    }
}

/// Positions of what differs in two lists, in their order. What they begin and end with alike is left out; what lies between goes together by position.
pub(super) fn pairs<T: PartialEq>(a: &[T], b: &[T]) -> Vec<(Option<usize>, Option<usize>)> {
    let shorter = a.len().min(b.len());
    let begin = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let end = a.iter().rev().zip(b.iter().rev()).take(shorter - begin).take_while(|(a, b)| a == b).count();
    let (middle_a, middle_b) = (begin..a.len() - end, begin..b.len() - end);
    let at = |range: &std::ops::Range<usize>, position: usize| Some(position).filter(|position| range.contains(position));
    let all = begin..middle_a.end.max(middle_b.end);
    let differs = |(of_a, of_b): &(Option<usize>, Option<usize>)| of_a.map(|at| &a[at]) != of_b.map(|at| &b[at]);
    all.map(|position| (at(&middle_a, position), at(&middle_b, position))).filter(differs).collect()
}

/// What is in `items` and not in `others`, each as often as it is there more often.
pub(super) fn without(items: Vec<Value>, others: &[Value]) -> Vec<Value> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    others.iter().for_each(|other| *counts.entry(other.to_string()).or_default() += 1);
    let is_left = |item: &Value| match counts.get_mut(&item.to_string()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    items.into_iter().filter(is_left).collect()
}

pub(super) fn remove(value: &mut Value, keys: &[&str]) {
    if let Some(members) = value.as_object_mut() {
        keys.iter().for_each(|key| drop(Map::remove(members, *key)));
    }
}
