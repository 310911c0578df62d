//! How a container of the image runs: the `config` section of an image config. image-spec, config.md "config".
//!
//! An empty value and a missing one are the same. Setters leave every other field of the section as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{ImageConfig, expect, is_texts, list, object, set_text, set_texts, texts};
use crate::error::{Error, Result};
use crate::spec::text;

impl ImageConfig {
    /// The environment as `NAME=value`, in order.
    pub fn env(&self) -> Vec<String> {
        texts(self.setting("Env"))
    }

    /// Sets a variable of the environment: in its place when it is there, else at the end. Kind `usage` for a name that cannot be one.
    pub fn set_env(&mut self, name: &str, value: &str) -> Result<()> {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Error::usage(format!(
                "invalid environment variable `{}`: a name is not empty and has no `=`, and nothing has a NUL",
                text::shown(name)
            )));
        }
        let env = list(self.settings_mut(), "Env");
        let item = Value::from(format!("{name}={value}"));
        let Some(first) = env.iter().position(|item| is_variable(item, name)) else {
            env.push(item);
            return Ok(());
        };
        env[first] = item;
        // Of several with one name programs see the first or the last: only one may stay.
        let mut position = 0;
        env.retain(|item| {
            position += 1;
            position == first + 1 || !is_variable(item, name)
        });
        Ok(())
    }

    /// Removes a variable of the environment.
    pub fn remove_env(&mut self, name: &str) {
        if !self.env().iter().any(|item| item.split('=').next() == Some(name)) {
            return;
        }
        let left: Vec<String> = self.env().into_iter().filter(|item| item.split('=').next() != Some(name)).collect();
        set_texts(self.settings_mut(), "Env", &left);
    }

    /// The program and its first arguments.
    pub fn entrypoint(&self) -> Vec<String> {
        words(self.setting("Entrypoint"))
    }

    /// Sets the program and its first arguments.
    pub fn set_entrypoint<T: AsRef<str>>(&mut self, words: &[T]) {
        set_texts(self.settings_mut(), "Entrypoint", words);
    }

    /// The arguments of the entrypoint, or the program where there is none.
    pub fn cmd(&self) -> Vec<String> {
        words(self.setting("Cmd"))
    }

    /// Sets the arguments of the entrypoint, or the program where there is none.
    pub fn set_cmd<T: AsRef<str>>(&mut self, words: &[T]) {
        set_texts(self.settings_mut(), "Cmd", words);
    }

    /// The user and group that the program runs as; empty for root.
    pub fn user(&self) -> &str {
        self.setting_text("User")
    }

    /// Sets the user and group that the program runs as.
    pub fn set_user(&mut self, user: &str) {
        set_text(self.settings_mut(), "User", user);
    }

    /// The directory that the program starts in; empty for the root.
    pub fn working_dir(&self) -> &str {
        self.setting_text("WorkingDir")
    }

    /// Sets the directory that the program starts in.
    pub fn set_working_dir(&mut self, directory: &str) {
        set_text(self.settings_mut(), "WorkingDir", directory);
    }

    /// The signal that ends the program; empty for the runtime's choice.
    pub fn stop_signal(&self) -> &str {
        self.setting_text("StopSignal")
    }

    /// Sets the signal that ends the program.
    pub fn set_stop_signal(&mut self, signal: &str) {
        set_text(self.settings_mut(), "StopSignal", signal);
    }

    /// The labels, in the order of their keys.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.setting("Labels").and_then(Value::as_object).into_iter().flatten();
        labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// Sets a label.
    pub fn set_label(&mut self, key: &str, value: &str) {
        object(self.settings_mut(), "Labels").insert(key.into(), value.into());
    }

    /// Removes a label.
    pub fn remove_label(&mut self, key: &str) {
        if !self.labels().contains_key(key) {
            return;
        }
        object(self.settings_mut(), "Labels").remove(key);
        self.drop_empty("Labels");
    }

    /// The ports that the program listens on, like `8080/tcp`.
    pub fn exposed_ports(&self) -> Vec<String> {
        self.keys("ExposedPorts")
    }

    /// Adds a port: `8080`, which is `8080/tcp`, or with one of `/tcp`, `/udp`, `/sctp`. Kind `usage` for other text.
    pub fn add_exposed_port(&mut self, port: &str) -> Result<()> {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        match number.parse::<u16>() {
            Ok(number) if number > 0 && matches!(protocol.as_str(), "tcp" | "udp" | "sctp") => {
                object(self.settings_mut(), "ExposedPorts").insert(format!("{number}/{protocol}"), Map::new().into());
                Ok(())
            }
            _ => Err(Error::usage(format!("invalid port `{}`", text::shown(port))).hint("write it as 8080, 8080/tcp, 8080/udp or 8080/sctp")),
        }
    }

    /// The directories that keep their content apart from the container.
    pub fn volumes(&self) -> Vec<String> {
        self.keys("Volumes")
    }

    /// Adds a directory that keeps its content apart from the container.
    pub fn add_volume(&mut self, path: &str) {
        object(self.settings_mut(), "Volumes").insert(path.into(), Map::new().into());
    }

    /// A field of the section by its key, such as Docker's `Healthcheck`; null is none.
    pub fn setting(&self, key: &str) -> Option<&Value> {
        self.0.get("config").and_then(Value::as_object)?.get(key).filter(|value| !value.is_null())
    }

    /// Sets a field of the section by its key, for those without a setter: Docker's `Healthcheck`, `OnBuild`, `Shell`. Null removes it.
    pub fn set_setting(&mut self, key: &str, value: Value) {
        let settings = self.settings_mut();
        match value {
            Value::Null => settings.remove(key),
            value => settings.insert(key.into(), value),
        };
    }

    /// The fields of the section that say something.
    pub(super) fn settings(&self) -> BTreeMap<&str, &Value> {
        let settings = self.0.get("config").and_then(Value::as_object).into_iter().flatten();
        settings.filter(|(_, value)| !is_empty(value)).map(|(key, value)| (key.as_str(), value)).collect()
    }

    /// What differs between the settings of two configs, for people: the names of variables, labels, ports and volumes, and of other fields.
    pub fn changed_settings(&self, before: &ImageConfig) -> Vec<String> {
        let (after, before) = (self.settings(), before.settings());
        let keys: BTreeSet<&str> = after.keys().chain(before.keys()).copied().collect();
        let differs = keys.into_iter().filter(|key| after.get(key) != before.get(key));
        differs.flat_map(|key| changed_items(key, before.get(key).copied(), after.get(key).copied())).collect()
    }

    /// Every field that larder reads has the type that it expects.
    pub(super) fn validate_settings(&self) -> Result<()> {
        let Some(settings) = self.0.get("config").and_then(Value::as_object) else { return Ok(()) };
        for key in ["User", "WorkingDir", "StopSignal"] {
            expect(settings, key, "a string", Value::is_string)?;
        }
        expect(settings, "Env", "a list of strings", is_texts)?;
        for key in ["Entrypoint", "Cmd"] {
            expect(settings, key, "a list of strings", |value| value.is_string() || is_texts(value))?;
        }
        for key in ["ExposedPorts", "Volumes"] {
            expect(settings, key, "an object", Value::is_object)?;
        }
        expect(settings, "Labels", "an object of strings", |value| value.as_object().is_some_and(|labels| labels.values().all(Value::is_string)))
    }

    fn settings_mut(&mut self) -> &mut Map<String, Value> {
        object(&mut self.0, "config")
    }

    fn setting_text(&self, key: &str) -> &str {
        self.setting(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn keys(&self, key: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.setting(key).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    }

    fn drop_empty(&mut self, key: &str) {
        if self.setting(key).and_then(Value::as_object).is_some_and(Map::is_empty) {
            self.settings_mut().remove(key);
        }
    }
}

/// A list of words; old versions of Docker wrote a single word as a string.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(word)) => vec![word.clone()],
        other => texts(other),
    }
}

/// Null, and what has nothing in it: tools write it where others leave the field out.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The parts of a field that differ.
fn changed_items(key: &str, before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let word = match key {
        "Env" => "env",
        "Labels" => "label",
        "ExposedPorts" => "port",
        "Volumes" => "volume",
        "WorkingDir" => "workdir",
        "StopSignal" => "stop signal",
        other => return vec![text::shown(&other.to_lowercase()).into_owned()],
    };
    let items = |value: Option<&Value>| -> BTreeMap<String, Value> {
        match value {
            Some(Value::Object(members)) => members.clone().into_iter().collect(),
            Some(Value::Array(_)) => texts(value)
                .into_iter()
                .map(|item| item.split_once('=').map_or((item.clone(), Value::Null), |(name, value)| (name.into(), value.into())))
                .collect(),
            _ => BTreeMap::new(),
        }
    };
    let (before, after) = (items(before), items(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing: Vec<String> =
        names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(|name| format!("{word} {}", text::shown(name))).collect();
    // Only the order or a repetition differs, or it is a single text.
    if differing.is_empty() { vec![word.to_owned()] } else { differing }
}

fn is_variable(item: &Value, name: &str) -> bool {
    item.as_str().is_some_and(|item| item.split('=').next() == Some(name))
}
