//! Looking at images: `larder inspect`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::image::{blob_path, config_of, manifest_of, ran, read_index, succeeded};
use crate::support::process::{Runs as _, checkout, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// A layout with the sample under its two names.
fn hello(more: &[&str]) -> (TempDir, PathBuf, String) {
    let temp = temp();
    let layout = temp.path().join("out");
    let location = format!("oci:{}", layout.display());
    let context = checkout("testdata/hello");
    succeeded(&[&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &location], more].concat());
    assert_layout_is_sound(&layout);
    (temp, layout, location)
}

#[track_caller]
fn inspected(location: &str) -> Value {
    succeeded(&["inspect", location, "--format", "json"]).json()
}

/// Exit code and message of a failure.
#[track_caller]
fn failure(arguments: &[&str]) -> (i64, String) {
    let ran = ran(&[arguments, &["--format", "json"]].concat());
    assert_eq!(ran.stdout, "");
    (ran.error()["exit"].as_i64().expect("a number"), ran.error().to_string())
}

fn file(layout: &Path, digest: &Value) -> Vec<u8> {
    fs::read(blob_path(layout, digest)).expect("the blob is there")
}

#[test]
fn the_tree_shows_names_platforms_settings_and_shared_layers() {
    let (_temp, _, location) = hello(&[]);
    let text = succeeded(&["inspect", &location]).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["registry.example/team/hello:1.4.2", "registry.example/team/hello:latest"]);
    assert!(lines[2].starts_with("index  sha256:"), "{text}");
    for (line, times) in [
        ("├─ linux/amd64  sha256:", 1),
        ("└─ linux/arm/v7  sha256:", 1),
        ("entrypoint  [\"/usr/local/bin/hello\"]", 3),
        ("label       org.opencontainers.image.title=hello", 3),
        ("  shared by 3  the greeting of the day", 3),
        ("  application", 3),
        ("3 manifests, 6 layers, 4 of them different; ", 1),
        ("missing", 0),
    ] {
        assert_eq!(text.matches(line).count(), times, "{line}\n{text}");
    }
    let one = succeeded(&["inspect", &location, "--platform", "linux/arm64"]).stdout;
    assert!(one.contains("\nlinux/arm64  sha256:") && one.contains("1 manifest, 2 layers; ") && !one.contains("amd64"), "{one}");
}

#[test]
fn the_json_has_everything_that_the_documents_say() {
    let (_temp, layout, location) = hello(&[]);
    let report = inspected(&format!("{location}:latest"));
    let document = &report["images"][0]["document"];
    assert_eq!((&report["location"], &document["digest"]), (&location.as_str().into(), &read_index(&layout)["manifests"][0]["digest"]));
    for told in document["manifests"].as_array().expect("a list") {
        let architecture = told["platform"].as_str().and_then(|platform| platform.split('/').nth(1)).expect("a platform");
        let manifest = manifest_of(&layout, "latest", architecture);
        let config = config_of(&layout, &manifest);
        assert_eq!((&told["type"], &told["config"]["digest"]), (&"manifest".into(), &manifest["config"]["digest"]));
        for (field, key) in [("entrypoint", "Entrypoint"), ("env", "Env"), ("labels", "Labels")] {
            assert_eq!(told["config"][field], config["config"][key], "{field}");
        }
        assert_eq!((&told["config"]["created"], &told["config"]["history"]), (&config["created"], &config["history"]));
        let layers = told["layers"].as_array().expect("a list");
        for (position, layer) in layers.iter().enumerate() {
            let own = &manifest["layers"][position];
            assert_eq!((&layer["digest"], &layer["size"], &layer["media_type"]), (&own["digest"], &own["size"], &own["mediaType"]));
            assert_eq!(layer["diff_id"], config["rootfs"]["diff_ids"][position]);
            assert_eq!(layer["used_by"], [3, 1][position]);
        }
        assert_eq!(layers.len(), 2);
    }
    let totals = &report["totals"];
    assert_eq!((&totals["manifests"], &totals["layers"], &totals["unique_layers"]), (&3.into(), &6.into(), &4.into()));
    let blobs = fs::read_dir(layout.join("blobs/sha256")).expect("there").map(|blob| blob.expect("an entry").metadata().expect("its size").len());
    assert_eq!(totals["unique_bytes"], blobs.sum::<u64>());
}

#[test]
fn documents_come_out_byte_for_byte_and_as_skopeo_prints_them() {
    let (_temp, layout, location) = hello(&[]);
    let image = format!("{location}:1.4.2");
    let printed = |arguments: &[&str]| succeeded(&[&["inspect", &image], arguments].concat()).stdout;
    let root = &read_index(&layout)["manifests"][0]["digest"];
    assert_eq!(printed(&["--raw"]).as_bytes(), file(&layout, root));
    let manifest = manifest_of(&layout, "1.4.2", "arm64");
    let config = printed(&["--config", "--platform", "linux/arm64"]);
    assert_eq!(config.as_bytes(), file(&layout, &manifest["config"]["digest"]));
    let arm64 = inspected(&image)["images"][0]["document"]["manifests"][1]["digest"].clone();
    assert_eq!(printed(&["--raw", "--platform", "arm64"]).as_bytes(), file(&layout, &arm64));
    assert_eq!(succeeded(&["inspect", &format!("{location}@{}", arm64.as_str().expect("a digest")), "--raw"]).stdout.as_bytes(), file(&layout, &arm64));
    if let Some(skopeo) = tool("skopeo") {
        let skopeo = |arguments: &[&str]| Command::new(&skopeo).arg("inspect").args(arguments).arg(&image).succeeds();
        assert_eq!(printed(&["--raw"]), skopeo(&["--raw"]));
    }
}

#[test]
fn an_archive_is_listed_and_shown_like_the_layout_it_comes_from() {
    let (temp, _, location) = hello(&[]);
    let archive = format!("oci-archive:{}", temp.path().join("hello.tar").display());
    succeeded(&["copy", "--all-names", &location, &archive, "--quiet"]);
    let (mut from, mut to) = (inspected(&location), inspected(&archive));
    assert_eq!([from["location"].take(), to["location"].take()], [location.as_str(), archive.as_str()]);
    assert_eq!(from, to);
    let listed = |location: &str| succeeded(&["list", location]).stdout;
    assert_eq!(listed(&location), listed(&archive));
    let config = |location: &str| succeeded(&["inspect", location, "--platform", "linux/arm64", "--config"]).stdout;
    assert_eq!(config(&location), config(&format!("{archive}:1.4.2")));
}

#[test]
fn several_platforms_or_images_need_a_choice_and_what_is_absent_is_not_found() {
    let (_temp, _, location) = hello(&[]);
    let (exit, told) = failure(&["inspect", &location, "--config"]);
    assert!(exit == 2 && told.contains("linux/amd64, linux/arm64, linux/arm/v7") && told.contains("--platform"), "{told}");
    let (exit, told) = failure(&["inspect", &location, "--platform", "linux/s390x"]);
    assert!(exit == 4 && told.contains("linux/arm/v7"), "{told}");
    assert_eq!(failure(&["inspect", &format!("{location}:absent")]).0, 4);
    assert_eq!(failure(&["inspect", &format!("{location}.absent")]).0, 4);
    assert_eq!(failure(&["inspect", &location, "--raw", "--config"]).0, 2);
    let copy = format!("{}=/x", checkout("testdata/hello/larder.toml").display());
    succeeded(&["build", "--copy", &copy, "--platform", "linux/amd64", "-t", "other:1", "-o", &location, "--no-cache", "--file", "/dev/null"]);
    assert_eq!(failure(&["inspect", &location, "--raw"]).0, 2);
    assert_eq!(inspected(&location)["images"].as_array().map(Vec::len), Some(2));
}

#[test]
fn lay_36_what_is_missing_is_marked_and_the_rest_is_shown() {
    let (_temp, layout, location) = hello(&[]);
    let manifest = manifest_of(&layout, "latest", "arm64");
    fs::remove_file(blob_path(&layout, &manifest["layers"][0]["digest"])).expect("removed");
    fs::remove_file(blob_path(&layout, &manifest["config"]["digest"])).expect("removed");
    let text = succeeded(&["inspect", &location]).stdout;
    assert_eq!(text.matches("  missing\n").count(), 4, "one config, and a layer that three platforms share\n{text}");
    let report = inspected(&location);
    assert_eq!(report["images"][0]["document"]["manifests"][1]["config"]["problem"]["code"], "blob-missing");
    fs::remove_file(blob_path(&layout, &report["images"][0]["document"]["digest"])).expect("removed");
    assert_eq!(failure(&["inspect", &location]).0, 4);
}

#[test]
fn lay_64_foreign_text_cannot_move_the_cursor() {
    let foreign = "a\x1b[2Jb\u{202e}c\nd";
    let label = format!("evil={foreign}");
    let (_temp, layout, location) = hello(&["--label", &label, "--annotation", &format!("index:{label}"), "--entrypoint", foreign, "--user", foreign]);
    let text = succeeded(&["inspect", &location]).stdout;
    assert!(!text.contains(['\x1b', '\u{202e}']) && text.contains(r"evil=a\u{1b}[2Jb\u{202e}c\nd"), "{text}");
    let told = &inspected(&location)["images"][0]["document"];
    assert_eq!((&told["annotations"]["evil"], &told["manifests"][0]["config"]["user"]), (&foreign.into(), &foreign.into()));
    assert_eq!(read_index(&layout)["manifests"][0]["digest"], told["digest"]);
}
