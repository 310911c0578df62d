//! The file that buildx writes with `--metadata-file`, and that other tools take over from.
//!
//! One image, under however many names, has the form of `buildx build`; several have that of `buildx bake`, which has one such object for each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::Result;
use crate::spec::{Digest, json};

use super::report::{State, SyncReport};

/// The content of the file: every image that has its name now.
pub(super) fn of(report: &SyncReport) -> Result<Vec<u8>> {
    let mut names: BTreeMap<&Digest, Vec<&str>> = BTreeMap::new();
    for image in &report.images {
        if let (State::Copied | State::Unchanged | State::Finished, Some(digest), Some(target)) = (image.state, &image.digest, &image.target) {
            names.entry(digest).or_default().push(target);
        }
    }
    let describe = |digest: &Digest, names: &[&str]| json!({"containerimage.digest": digest, "image.name": names.join(",")});
    let value: Value = match names.len() {
        1 => names.iter().map(|(digest, names)| describe(digest, names)).next().unwrap_or_default(),
        _ => {
            let each = names.iter().flat_map(|(digest, names)| names.iter().map(|name| ((*name).to_owned(), describe(digest, &[name]))));
            Value::Object(each.collect())
        }
    };
    json::canonical(&value)
}
