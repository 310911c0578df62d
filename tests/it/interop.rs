//! Other tools read what larder writes, and larder reads what they write.

mod archives;
mod daemons;
mod ours;
mod rich;
mod theirs;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::bundle::oci;
use crate::support::image::{blob_path, ran, read_index};
use crate::support::process::{Runs as _, checkout, larder};
use crate::support::tools::tool;

/// What larder builds here when a test needs one platform that this machine runs.
const HOST: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// skopeo without any policy of this machine, if there is one.
#[track_caller]
fn skopeo() -> Option<Skopeo> {
    tool("skopeo").map(Skopeo)
}

struct Skopeo(PathBuf);

impl Skopeo {
    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(&self.0);
        let output = command.arg("--insecure-policy").args(arguments).output().expect("skopeo starts");
        assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn copy(&self, options: &[&str], from: &str, to: &str) {
        self.run(&[&["copy", "--quiet"], options, &[from, to]].concat());
    }

    /// Reads the manifest or index of every name, and expects the bytes whose digest the name stands on.
    /// It takes no notice of manifests of Docker's in a layout, although buildah, which is made of the same library, writes them.
    fn reads_all_names(&self, layout: &Path) {
        for entry in read_index(layout)["manifests"].as_array().expect("a list") {
            let Some(name) = entry["annotations"][REF_NAME].as_str().filter(|_| entry["mediaType"].as_str().is_some_and(is_oci)) else { continue };
            let expected = std::fs::read(blob_path(layout, &entry["digest"])).expect("there");
            assert_eq!(self.run(&["inspect", "--raw", &oci(layout, name)]), expected, "{name}");
        }
    }
}

fn is_oci(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.")
}

/// The names in `index.json`, as everybody but larder knows them, and what they stand on.
fn entries(layout: &Path) -> Vec<(Option<String>, String)> {
    let index = read_index(layout);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let entry = |entry: &Value| (text(&entry["annotations"][REF_NAME]), text(&entry["digest"]).expect("a digest"));
    index["manifests"].as_array().expect("a list").iter().map(entry).collect()
}

/// The names in a layout as larder lists them.
#[track_caller]
fn listed(layout: &Path) -> Vec<String> {
    let listed = ran(&["list", "--format", "json", layout.to_str().expect("UTF-8")]).json();
    listed["names"].as_array().expect("a list").iter().map(|entry| entry["name"].as_str().unwrap_or("-").to_owned()).collect()
}

/// Expects `verify --deep` to find nothing but this.
#[track_caller]
fn assert_clean_but(layout: &Path, warnings: &[&str]) {
    let verified = ran(&["verify", "--deep", "--format", "json", layout.to_str().expect("UTF-8")]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let report = verified.json();
    let findings: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|finding| finding["message"].as_str().expect("text")).collect();
    assert_eq!(findings, warnings);
}

/// Expects `verify --deep` to find nothing.
#[track_caller]
fn assert_clean(layout: &Path) {
    assert_clean_but(layout, &[]);
}

/// larder's `build` into this layout, with further arguments.
#[track_caller]
fn build(layout: &Path, arguments: &[&str]) {
    larder().args(["build", "--no-cache", "--quiet", "-o", &format!("oci:{}", layout.display())]).args(arguments).succeeds();
}

/// The sample's directory, as an argument.
fn sample() -> String {
    checkout("testdata/hello").into_os_string().into_string().expect("UTF-8")
}
