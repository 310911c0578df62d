//! What documents mean to a container: without times, order and names, and without how things are stored.

use serde_json::Value;

use super::document::remove;
use crate::graph::image::Image;
use crate::spec::ImageConfig;
use crate::spec::annotation::{CREATED, IMAGE_NAME, REF_NAME};
use crate::spec::config::is_empty;

/// Keys of annotations and labels that say when something was made or how it is called.
const OF_MAKING: [&str; 3] = [CREATED, REF_NAME, IMAGE_NAME];

/// A manifest or an index, or a pointer to one.
pub(super) fn of_document(document: &mut Value) {
    remove(document, &["mediaType", "schemaVersion"]);
    if let Some(config) = document.get_mut("config") {
        remove(config, &["mediaType"]);
    }
    without_making(document, "annotations");
}

/// The config with its platform in the one form that all spellings of it have.
pub(super) fn of_platform(image: &Image) -> ImageConfig {
    let mut config = image.config.clone();
    config.set_platform(&image.platform.normalized());
    config
}

/// A config. A field with nothing in it and a missing one do not differ.
pub(super) fn of_config(config: &mut Value) {
    remove(config, &["created"]);
    without_empty(config);
    sort(config, "os.features");
    if let Some(settings) = config.get_mut("config") {
        without_making(settings, "Labels");
        without_empty(settings);
        sort(settings, "Env");
    }
    without_empty(config);
}

/// A step of the history.
pub(super) fn of_step(step: &mut Value) {
    remove(step, &["created"]);
}

fn without_making(value: &mut Value, key: &str) {
    if let Some(annotations) = value.get_mut(key) {
        remove(annotations, &OF_MAKING);
        if annotations.as_object().is_some_and(serde_json::Map::is_empty) {
            remove(value, &[key]);
        }
    }
}

fn without_empty(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, value| !is_empty(value));
    }
}

fn sort(value: &mut Value, key: &str) {
    if let Some(Value::Array(items)) = value.get_mut(key) {
        items.sort_by_key(Value::to_string);
    }
}
