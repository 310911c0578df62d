//! Configs on another base: what a person changed stays, what was taken over is taken over anew.

use serde_json::{Map, Value};

use super::ImageConfig;
use super::settings::is_empty;

/// Fields of the section that are merged by the items in them.
const MAPS: [&str; 3] = ["Labels", "ExposedPorts", "Volumes"];

/// What an entrypoint of one's own makes one's own too: arguments of the base were meant for the entry point of the base.
const ARGUMENTS: [&str; 2] = ["Cmd", "ArgsEscaped"];

/// What is not merged: layers and their steps are somebody else's matter, and an image was made when it was made.
const OWN: [&str; 4] = ["config", "rootfs", "history", "created"];

impl ImageConfig {
    /// This config, of an image on the base of `old`, on the base of `new`. Layers, history and `created` stay.
    ///
    /// Field by field, at the top as in `config`: where this one says what `old` says, it now says what `new` says, and else it says what it said. Variables of the
    /// environment, labels, ports and volumes are fields of their own in this; variables have the order of `new`, and those that `new` lacks follow in theirs. Where the
    /// entrypoint is not that of `old`, `Cmd` stays.
    #[must_use]
    pub fn rebased(&self, old: &ImageConfig, new: &ImageConfig) -> ImageConfig {
        let top =
            |config: &ImageConfig| config.0.iter().filter(|(key, _)| !OWN.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect();
        let section = |config: &ImageConfig| config.0.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        let (own, before, after) = (section(self), section(old), section(new));
        let mut settings = merge(&own, &before, &after, said);
        for key in MAPS {
            let items = |section: &Map<String, Value>| section.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
            set(&mut settings, &own, key, merge(&items(&own), &items(&before), &items(&after), |map, key| map.get(key)).into());
        }
        set(&mut settings, &own, "Env", environment(&self.env(), &old.env(), &new.env()).into());
        if said(&own, "Entrypoint") != said(&before, "Entrypoint") {
            for key in ARGUMENTS {
                set(&mut settings, &own, key, own.get(key).cloned().unwrap_or_default());
            }
        }
        let mut merged = merge(&top(self), &top(old), &top(new), said);
        merged.extend(OWN.into_iter().filter_map(|key| Some((key.to_owned(), self.0.get(key)?.clone()))));
        if !settings.is_empty() || merged.contains_key("config") {
            merged.insert("config".to_owned(), settings.into());
        }
        ImageConfig(merged)
    }
}

/// What a field says; nothing where it is empty.
fn said<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).filter(|value| !is_empty(value))
}

/// What a map says of a key.
type Read = for<'a> fn(&'a Map<String, Value>, &str) -> Option<&'a Value>;

/// Each field in which `own` says what `old` says becomes that of `new`; `read` tells what is said.
fn merge(own: &Map<String, Value>, old: &Map<String, Value>, new: &Map<String, Value>, read: Read) -> Map<String, Value> {
    let mut merged = own.clone();
    for key in old.keys().chain(new.keys()) {
        let (is, becomes) = (read(own, key), read(new, key));
        // What stays keeps its spelling: null, empty or missing.
        if is != read(old, key) || is == becomes {
            continue;
        }
        match becomes {
            Some(value) => merged.insert(key.clone(), value.clone()),
            None => merged.remove(key),
        };
    }
    merged
}

/// Sets a field to `value`, which keeps the spelling of `own` where it says the same.
fn set(settings: &mut Map<String, Value>, own: &Map<String, Value>, key: &str, value: Value) {
    let (value, own) = (Some(value).filter(|value| !is_empty(value)), own.get(key));
    let value = if value.as_ref() == own.filter(|own| !is_empty(own)) { own.cloned() } else { value };
    match value {
        Some(value) => settings.insert(key.to_owned(), value),
        None => settings.remove(key),
    };
}

/// The variables: those of `new` in their order, then those that only `own` has.
fn environment(own: &[String], old: &[String], new: &[String]) -> Vec<String> {
    if own == old || old == new {
        return if own == old { new.to_vec() } else { own.to_vec() };
    }
    let name = |item: &str| item.split('=').next().unwrap_or_default().to_owned();
    // Of several with one name the last one counts.
    let find = |env: &[String], wanted: &str| env.iter().rev().find(|item| name(item) == wanted).cloned();
    let mut merged: Vec<String> = Vec::new();
    for item in new.iter().chain(own) {
        let name_of_item = name(item);
        let (is, was, becomes) = (find(own, &name_of_item), find(old, &name_of_item), find(new, &name_of_item));
        let item = if is == was { becomes } else { is };
        merged.extend(item.filter(|_| find(&merged, &name_of_item).is_none()));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::limits;
    use serde_json::json;

    fn config(value: &Value) -> ImageConfig {
        ImageConfig::parse(&crate::spec::json::canonical(value).expect("JSON"), limits::CONFIG_BYTES).expect("a config")
    }

    /// The section of an image that stood on `old` and now stands on `new`.
    #[track_caller]
    fn rebased(own: &Value, old: &Value, new: &Value) -> Value {
        let [own, old, new] = [own, old, new].map(|section| config(&json!({"os": "linux", "architecture": "amd64", "config": section})));
        Value::from(own.rebased(&old, &new).0)["config"].clone()
    }

    #[test]
    fn what_was_taken_over_follows_the_base_and_what_was_changed_stays() {
        let old = json!({"User": "old", "WorkingDir": "/old", "StopSignal": "TERM", "Shell": ["sh"], "Healthcheck": {"Test": ["NONE"]}});
        let new = json!({"User": "new", "WorkingDir": "/new", "Shell": ["bash"], "X": 1});
        assert_eq!(rebased(&old, &old, &new), new);
        let own = json!({"User": "own", "WorkingDir": "/old", "StopSignal": "TERM", "OnBuild": ["RUN x"], "Healthcheck": {"Test": ["CMD", "x"]}});
        assert_eq!(
            rebased(&own, &old, &new),
            json!({"User": "own", "WorkingDir": "/new", "OnBuild": ["RUN x"], "Healthcheck": {"Test": ["CMD", "x"]}, "X": 1})
        );
        // Taken away is changed.
        assert_eq!(rebased(&json!({"WorkingDir": "/old"}), &old, &json!({"User": "new"})), json!({}));
    }

    #[test]
    fn items_of_lists_and_maps_are_fields_of_their_own() {
        let old = json!({"Env": ["PATH=/bin", "A=1", "GONE=1", "B=1"], "Labels": {"a": "1", "gone": "", "b": "1"}, "ExposedPorts": {"1/tcp": {}, "2/tcp": {}}});
        let own = json!({"Env": ["OWN=1", "PATH=/bin", "A=own", "B=1"], "Labels": {"a": "own", "b": "1", "own": ""}, "ExposedPorts": {"1/tcp": {}, "3/tcp": {}}, "Volumes": {"/v": {}}});
        let new = json!({"Env": ["NEW=2", "B=2", "GONE=2", "A=2", "PATH=/sbin"], "Labels": {"a": "2", "gone": "2", "new": "2"}, "ExposedPorts": {"2/tcp": {}, "4/tcp": {}}});
        assert_eq!(
            rebased(&own, &old, &new),
            json!({
                "Env": ["NEW=2", "B=2", "A=own", "PATH=/sbin", "OWN=1"],
                "Labels": {"a": "own", "new": "2", "own": ""},
                "ExposedPorts": {"3/tcp": {}, "4/tcp": {}},
                "Volumes": {"/v": {}},
            }),
            "what the image took away does not come back"
        );
    }

    #[test]
    fn arguments_belong_to_the_entrypoint() {
        let old = json!({"Entrypoint": ["/old"], "Cmd": ["old"]});
        let new = json!({"Entrypoint": ["/new"], "Cmd": ["new"]});
        assert_eq!(rebased(&json!({"Entrypoint": ["/old"], "Cmd": ["own"]}), &old, &new), json!({"Entrypoint": ["/new"], "Cmd": ["own"]}));
        assert_eq!(rebased(&json!({"Entrypoint": ["/own"], "Cmd": ["old"]}), &old, &new), json!({"Entrypoint": ["/own"], "Cmd": ["old"]}));
        assert_eq!(rebased(&json!({"Entrypoint": ["/own"]}), &json!({}), &json!({"Cmd": ["sh"]})), json!({"Entrypoint": ["/own"]}));
        assert_eq!(rebased(&json!({"Cmd": ["own"]}), &json!({"Cmd": ["sh"]}), &json!({"Cmd": ["bash"]})), json!({"Cmd": ["own"]}));
    }

    #[test]
    fn the_rest_of_the_document_is_merged_alike_and_what_changes_nothing_keeps_every_spelling() {
        let own = config(&json!({
            "os": "windows", "architecture": "amd64", "os.version": "1", "author": "me", "created": "2020-01-01T00:00:00Z", "x": [1],
            "config": {"Env": null, "Labels": {}, "Cmd": null, "User": ""}, "history": [{"comment": "own"}], "rootfs": {"type": "layers", "diff_ids": []},
        }));
        let old = config(&json!({"os": "windows", "architecture": "amd64", "os.version": "1", "author": "base"}));
        assert_eq!(own.rebased(&old, &old), own);
        let new = config(
            &json!({"os": "windows", "architecture": "amd64", "os.version": "2", "author": "new", "created": "2026-01-01T00:00:00Z", "y": 1, "history": []}),
        );
        let mut expected = own.clone();
        expected.0.insert("os.version".into(), "2".into());
        expected.0.insert("y".into(), 1.into());
        assert_eq!(own.rebased(&old, &new), expected);
    }
}
