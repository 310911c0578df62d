//! The image config as a document that keeps every field.
//!
//! A config says how the layers stack up and how a container of them runs. Docker puts more there than the specification has, and the
//! next tool may put more still; so the document is a JSON object with typed access to what larder needs, and the rest stays as it is.
//! What [`ImageConfig::parse`] accepts has the right types wherever larder looks. image-spec, config.md.

mod rebase;
mod settings;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::descriptor::Descriptor;
use super::digest::DiffId;
use super::document::Body;
use super::media_type::Kind;
use super::platform::Platform;
use super::scan::Outline;
use super::{json, shape, text};
use crate::error::{Error, Result};

pub use settings::is_empty;

const FIELDS: [&str; 10] = ["created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history"];
const ROOTFS_FIELDS: [&str; 2] = ["type", "diff_ids"];

/// The config of an image, with every field that it was read with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ImageConfig(Map<String, Value>);

/// What one step of a build did, for people to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Fields that larder does not know; kept as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ImageConfig {
    /// The config of an image without layers.
    pub fn new(platform: &Platform) -> Self {
        let mut config = ImageConfig(Map::new());
        config.0.insert("config".into(), Map::new().into());
        config.set_platform(platform);
        config.set_layers(&[], &[]);
        config
    }

    /// Reads a config of at most `limit` bytes. Kind `corrupt`.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self> {
        let Outline::Object(_) = json::outline(bytes, limit)? else { return Err(Error::corrupt("it is not a JSON object")) };
        let config = ImageConfig(json::typed(bytes)?);
        config.validate()?;
        Ok(config)
    }

    /// What the image runs on. Kind `corrupt` when operating system or architecture is missing.
    pub fn platform(&self) -> Result<Platform> {
        let required = |key| self.text(key).ok_or_else(|| Error::corrupt(format!("the image config has no `{key}`")));
        Ok(Platform {
            os_version: self.text("os.version").map(Into::into),
            os_features: texts(self.0.get("os.features")),
            ..Platform::new(required("os")?, required("architecture")?, self.text("variant").unwrap_or_default())
        })
    }

    /// Says what the image runs on.
    pub fn set_platform(&mut self, platform: &Platform) {
        set_text(&mut self.0, "os", &platform.os);
        set_text(&mut self.0, "architecture", &platform.architecture);
        set_text(&mut self.0, "variant", platform.variant());
        set_text(&mut self.0, "os.version", platform.os_version.as_deref().unwrap_or_default());
        set_texts(&mut self.0, "os.features", &platform.os_features);
    }

    /// Says what the image runs on, as far as `platform` says it: a variant, a version and features that it leaves open stay.
    pub fn refine_platform(&mut self, platform: &Platform) {
        set_text(&mut self.0, "os", &platform.os);
        set_text(&mut self.0, "architecture", &platform.architecture);
        for (key, text) in [("variant", platform.variant()), ("os.version", platform.os_version.as_deref().unwrap_or_default())] {
            if !text.is_empty() {
                set_text(&mut self.0, key, text);
            }
        }
        if !platform.os_features.is_empty() {
            set_texts(&mut self.0, "os.features", &platform.os_features);
        }
    }

    /// When the image was made, as RFC 3339.
    pub fn created(&self) -> Option<&str> {
        self.text("created")
    }

    /// Says when the image was made, as RFC 3339; nothing when empty.
    pub fn set_created(&mut self, created: &str) {
        set_text(&mut self.0, "created", created);
    }

    /// Who made the image.
    pub fn author(&self) -> Option<&str> {
        self.text("author")
    }

    /// Says who made the image; nothing when empty.
    pub fn set_author(&mut self, author: &str) {
        set_text(&mut self.0, "author", author);
    }

    /// The uncompressed layers, bottom first. Kind `corrupt` when `rootfs` is missing or something else.
    pub fn diff_ids(&self) -> Result<Vec<DiffId>> {
        let rootfs = self.0.get("rootfs").and_then(Value::as_object).ok_or_else(|| Error::corrupt("the image config has no `rootfs`"))?;
        match rootfs.get("type").and_then(Value::as_str) {
            Some("layers") => {}
            Some(other) => return Err(Error::corrupt(format!("rootfs.type of the image config is `{}` and not `layers`", text::shown(other)))),
            None => return Err(Error::corrupt("rootfs of the image config has no `type`")),
        }
        let ids: Vec<Value> = match rootfs.get("diff_ids") {
            Some(Value::Array(ids)) => ids.clone(),
            // Written by Go programs for an image without layers.
            Some(Value::Null) => Vec::new(),
            _ => return Err(Error::corrupt("rootfs.diff_ids of the image config is not a list")),
        };
        let read =
            |(position, id)| serde_json::from_value(id).map_err(|error| Error::corrupt(format!("rootfs.diff_ids[{position}] of the image config: {error}")));
        ids.into_iter().enumerate().map(read).collect()
    }

    /// The diff IDs, which must be one for each of `layers` layers of the manifest. Kind `corrupt`.
    pub fn diff_ids_for(&self, layers: usize) -> Result<Vec<DiffId>> {
        let ids = self.diff_ids()?;
        match ids.len() == layers {
            true => Ok(ids),
            false => Err(Error::corrupt(format!("the manifest has {layers} layers, but the image config has {} diff IDs", ids.len()))),
        }
    }

    /// The steps that made the image, first to last, those without a layer among them.
    pub fn history(&self) -> Vec<History> {
        self.0.get("history").map(read_history).and_then(Result::ok).unwrap_or_default()
    }

    /// Puts a layer on top, with the step that made it.
    pub fn push_layer(&mut self, diff_id: &DiffId, history: History) {
        let rootfs = object(&mut self.0, "rootfs");
        rootfs.insert("type".into(), "layers".into());
        list(rootfs, "diff_ids").push(diff_id.0.as_str().into());
        self.push_history(&History { empty_layer: false, ..history });
    }

    /// Adds a step that made no layer.
    pub fn push_empty(&mut self, history: History) {
        self.push_history(&History { empty_layer: true, ..history });
    }

    fn push_history(&mut self, history: &History) {
        list(&mut self.0, "history").push(history_value(history));
    }

    /// Replaces all layers and all steps.
    pub fn set_layers(&mut self, diff_ids: &[DiffId], history: &[History]) {
        let rootfs = object(&mut self.0, "rootfs");
        rootfs.insert("type".into(), "layers".into());
        rootfs.insert("diff_ids".into(), diff_ids.iter().map(|id| id.0.as_str()).collect());
        self.0.insert("history".into(), history.iter().map(history_value).collect());
    }

    /// Whether both say the same: in the document and in its `config`, a field with nothing in it and a missing one do not differ.
    pub fn says_the_same_as(&self, other: &ImageConfig) -> bool {
        let top = |config: &ImageConfig| -> Map<String, Value> {
            let fields = config.0.iter().filter(|(key, value)| key.as_str() != "config" && !settings::is_empty(value));
            fields.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        self.settings() == other.settings() && top(self) == top(other)
    }

    /// A field at the top of the document, larder's own among them.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn validate(&self) -> Result<()> {
        shape::one_spelling(self.0.keys(), &FIELDS, String::new)?;
        for key in ["created", "author", "architecture", "os", "os.version", "variant"] {
            expect(&self.0, key, "a string", Value::is_string)?;
        }
        expect(&self.0, "os.features", "a list of strings", is_texts)?;
        expect(&self.0, "config", "an object", Value::is_object)?;
        expect(&self.0, "rootfs", "an object", Value::is_object)?;
        if let Some(rootfs) = self.0.get("rootfs").and_then(Value::as_object) {
            shape::one_spelling(rootfs.keys(), &ROOTFS_FIELDS, || "rootfs".into())?;
        }
        self.0.get("history").map_or(Ok(Vec::new()), read_history)?;
        self.validate_settings()
    }
}

impl Body for ImageConfig {
    fn read(descriptor: &Descriptor, bytes: &[u8], limit: usize) -> Result<Self> {
        let read = || match Kind::of(&descriptor.media_type) {
            Kind::Config => ImageConfig::parse(bytes, limit),
            _ => Err(Error::unsupported(format!("its media type is `{}`, which is not that of an image config", text::shown(descriptor.media_type.as_ref())))
                .hint("it is an artifact and not a container image")),
        };
        read().map_err(|error: Error| error.context(format!("cannot read image config {}", descriptor.digest)).subject(&descriptor.digest))
    }
}

fn read_history(history: &Value) -> Result<Vec<History>> {
    match history {
        Value::Array(steps) => {
            let read = |(position, step)| {
                History::deserialize(step)
                    .map_err(|error: serde_json::Error| Error::corrupt(format!("history[{position}]: {}", text::shown(&error.to_string()))))
            };
            steps.iter().enumerate().map(read).collect()
        }
        Value::Null => Ok(Vec::new()),
        _ => Err(Error::corrupt("history: it is not a list")),
    }
}

fn history_value(history: &History) -> Value {
    serde_json::to_value(history).expect("texts, a flag and JSON values are JSON")
}

/// Checks a field that may be missing or null.
fn expect(map: &Map<String, Value>, key: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<()> {
    match map.get(key) {
        Some(value) if !value.is_null() && !is(value) => Err(Error::corrupt(format!("`{key}` of the image config is not {what}"))),
        _ => Ok(()),
    }
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
}

/// Sets a string; an empty one is removed.
fn set_text(map: &mut Map<String, Value>, key: &str, text: &str) {
    match text.is_empty() {
        true => map.remove(key),
        false => map.insert(key.into(), text.into()),
    };
}

/// Sets a list of strings; an empty one is removed.
fn set_texts<T: AsRef<str>>(map: &mut Map<String, Value>, key: &str, texts: &[T]) {
    match texts.is_empty() {
        true => map.remove(key),
        false => map.insert(key.into(), texts.iter().map(AsRef::as_ref).collect()),
    };
}

/// The object at `key`, made where there is none.
fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = Map::new().into();
    }
    value.as_object_mut().expect("it has just been made one")
}

/// The list at `key`, made where there is none.
fn list<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = map.entry(key).or_insert(Value::Null);
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("it has just been made one")
}

#[cfg(test)]
mod tests;
