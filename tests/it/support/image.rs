//! Looking into what larder wrote, without larder.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use super::process::checkout;

/// What came of a run of larder.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs larder with these arguments to its end.
pub(crate) fn ran(arguments: &[&str]) -> Ran {
    Ran::from(super::process::larder().args(arguments).output().expect("the binary starts"))
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs larder, which must succeed.
#[track_caller]
pub(crate) fn succeeded(arguments: &[&str]) -> Ran {
    let ran = ran(arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

/// What larder, which must succeed, reports.
#[track_caller]
pub(crate) fn json(arguments: &[&str]) -> Value {
    succeeded(&[arguments, &["--format", "json"]].concat()).json()
}

impl Ran {
    /// Stdout as the one JSON document that it is.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).expect("one JSON document")
    }

    /// The JSON line that stderr of a failure ends with.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let line = self.stderr.lines().last().expect("stderr ends with a line");
        serde_json::from_str(line).unwrap_or_else(|_| panic!("the last line is JSON: {self:?}"))
    }
}

/// `index.json`.
pub(crate) fn read_index(layout: &Path) -> Value {
    read_json(&layout.join("index.json"))
}

/// The manifest for an architecture of the image with this ref.name.
#[track_caller]
pub(crate) fn manifest_of(layout: &Path, tag: &str, architecture: &str) -> Value {
    let index = read_index(layout);
    let entries = index["manifests"].as_array().expect("a list");
    let entry = entries.iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag).expect("the tag is there");
    let document = blob(layout, &entry["digest"]);
    let Some(children) = document["manifests"].as_array() else { return document };
    let child = children.iter().find(|child| child["platform"]["architecture"] == architecture).expect("the architecture is there");
    blob(layout, &child["digest"])
}

/// The config of a manifest.
pub(crate) fn config_of(layout: &Path, manifest: &Value) -> Value {
    blob(layout, &manifest["config"]["digest"])
}

/// An entry of a layer as Python's tarfile sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct LayerEntry {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) link: String,
}

/// The entries of a layer.
#[track_caller]
pub(crate) fn layer_entries(layout: &Path, layer: &Value) -> Vec<LayerEntry> {
    let path = blob_path(layout, &layer["digest"]);
    let output = Command::new("python3").arg("-B").arg(checkout("tests/it/support/entries.py")).arg(path).output().expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("entries.py prints JSON")
}

/// Where a blob lies.
pub(crate) fn blob_path(layout: &Path, digest: &Value) -> std::path::PathBuf {
    let (algorithm, encoded) = digest.as_str().and_then(|digest| digest.split_once(':')).expect("a digest");
    layout.join("blobs").join(algorithm).join(encoded)
}

fn blob(layout: &Path, digest: &Value) -> Value {
    read_json(&blob_path(layout, digest))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).expect("JSON")
}
