//! Searching for files, in the smallest part of Artifactory's query language: `items.find({…}).include(…)` with fields that are equal or `$match`.

use serde_json::{Map, Value, json};

use super::storage::File;

pub(super) struct Query {
    conditions: Map<String, Value>,
    fields: Vec<String>,
}

impl Query {
    pub(super) fn read(text: &str) -> Option<Query> {
        let rest = text.trim().strip_prefix("items.find(")?;
        let (conditions, rest) = rest.split_once(')')?;
        let fields = match rest.trim().strip_prefix(".include(") {
            Some(fields) => fields.trim_end().strip_suffix(')')?.split(',').map(|field| field.trim().trim_matches('"').to_owned()).collect(),
            None => ["repo", "path", "name", "size", "created"].map(str::to_owned).into(),
        };
        Some(Query { conditions: serde_json::from_str(conditions).ok()?, fields })
    }

    /// What is to be said of a file, if it is one of those.
    pub(super) fn result(&self, path: &str, file: &File) -> Option<Value> {
        if !self.conditions.iter().all(|(name, wanted)| field(path, file, name).is_some_and(|value| is_like(&value, wanted))) {
            return None;
        }
        let fields = self.fields.iter().filter_map(|name| Some((name.clone(), json!(field(path, file, name)?))));
        Some(Value::Object(fields.collect()))
    }
}

/// `repo`, `path`, `name` and the like, or a property behind an `@`.
fn field(path: &str, file: &File, name: &str) -> Option<String> {
    let (repository, rest) = path.split_once('/')?;
    let (folder, own) = rest.rsplit_once('/').unwrap_or((".", rest));
    Some(match name {
        "repo" => repository.to_owned(),
        "path" => folder.to_owned(),
        "name" => own.to_owned(),
        "size" => file.size.to_string(),
        "created" => file.created.text(),
        "sha256" => file.sha256.clone(),
        "actual_sha1" => file.sha1.clone(),
        "actual_md5" => file.md5.clone(),
        _ => file.properties.get(name.strip_prefix('@')?)?.first()?.clone(),
    })
}

/// Whether a value is this one, or like the pattern behind `$match`, in which `*` stands for anything.
fn is_like(value: &str, wanted: &Value) -> bool {
    match (wanted.as_str(), wanted["$match"].as_str(), wanted["$eq"].as_str()) {
        (Some(equal), ..) | (_, _, Some(equal)) => value == equal,
        (_, Some(pattern), _) => globset::GlobBuilder::new(pattern).literal_separator(false).build().is_ok_and(|glob| glob.compile_matcher().is_match(value)),
        _ => false,
    }
}
