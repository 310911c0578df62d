//! `larder copy` between layouts.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::bundle::oci;
use crate::support::forge::{Forge, INDEX};
use crate::support::image::{blob_path, json, manifest_of, ran, read_index, succeeded};
use crate::support::process::{Runs as _, checkout, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// The sample under its two names, in `from`.
fn sample() -> TempDir {
    let temp = temp();
    let context = checkout("testdata/hello");
    succeeded(&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &at(&temp, "from")]);
    temp
}

fn at(temp: &TempDir, rest: &str) -> String {
    format!("oci:{}/{rest}", temp.path().display())
}

fn digests(layout: &Path) -> Vec<String> {
    let index = read_index(layout);
    index["manifests"].as_array().expect("a list").iter().map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect()
}

#[test]
fn one_name_all_names_and_a_second_time() {
    let temp = sample();
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    let report = json(&["copy", &at(&temp, "from:1.4.2"), &at(&temp, "to")]);
    assert_eq!(report["names"][0]["digest"], digests(&from)[0].as_str());
    assert_eq!(assert_layout_is_sound(&to).names, ["1.4.2"]);
    let text = succeeded(&["copy", "--all-names", &at(&temp, "from"), &at(&temp, "to")]).stdout;
    assert!(text.lines().last().expect("a line").contains("there already"), "{text}");
    assert_eq!(read_index(&to)["manifests"], read_index(&from)["manifests"]);
    let before = std::fs::read(to.join("index.json")).expect("readable");
    let report = json(&["copy", "--all-names", &at(&temp, "from"), &at(&temp, "to")]);
    assert_eq!((&report["content"]["copied"]["count"], std::fs::read(to.join("index.json")).expect("readable")), (&Value::from(0), before));
    assert_layout_is_sound(&to);
}

#[test]
fn a_copy_is_independent_of_its_source_where_that_is_wanted() {
    let temp = sample();
    let layer = manifest_of(&temp.path().join("from"), "1.4.2", "amd64")["layers"][0]["digest"].clone();
    let inode = |layout: &str| std::fs::metadata(blob_path(&temp.path().join(layout), &layer)).expect("there").ino();
    let report = json(&["copy", &at(&temp, "from:1.4.2"), &at(&temp, "shared")]);
    let linked = report["content"]["linked"]["count"].as_u64().expect("a number") > 0;
    assert_eq!(inode("shared") == inode("from"), linked);
    json(&["copy", "--share", "none", &at(&temp, "from:1.4.2"), &at(&temp, "own")]);
    assert_ne!(inode("own"), inode("from"));
    json(&["copy", "--verify", &at(&temp, "from:1.4.2"), &at(&temp, "proved")]);
    for layout in ["shared", "own", "proved"] {
        assert_layout_is_sound(&temp.path().join(layout));
    }
}

#[test]
fn new_names_replace_the_old_and_a_dry_run_writes_nothing() {
    let temp = sample();
    let planned = json(&["copy", "--dry-run", &at(&temp, "from:1.4.2"), &at(&temp, "to:stable"), "-t", "registry.example/other:2"]);
    assert!(!temp.path().join("to").exists());
    let report = json(&["copy", &at(&temp, "from:1.4.2"), &at(&temp, "to:stable"), "-t", "registry.example/other:2"]);
    assert_eq!(planned["names"], report["names"]);
    let bytes = |tally: &Value| tally["bytes"].as_u64().expect("a number");
    let content = &report["content"];
    assert_eq!(bytes(&planned["missing"]), bytes(&content["copied"]) + bytes(&content["linked"]) + bytes(&content["reflinked"]));
    assert_eq!(assert_layout_is_sound(&temp.path().join("to")).names, ["stable", "2"]);
}

#[test]
fn a_platform_alone_is_an_index_of_its_own_and_a_sparse_copy_keeps_the_digest() {
    let temp = sample();
    let from = temp.path().join("from");
    let report = json(&["copy", "--platform", "linux/arm64", &at(&temp, "from:1.4.2"), &at(&temp, "arm")]);
    let arm = temp.path().join("arm");
    assert_layout_is_sound(&arm);
    assert_eq!((&report["rewritten"][0]["from"], report["left_out"].as_array().map(Vec::len)), (&Value::from(digests(&from)[0].as_str()), Some(2)));
    assert_eq!(report["rewritten"][0]["to"], digests(&arm)[0].as_str());
    assert_eq!(manifest_of(&arm, "1.4.2", "arm64"), manifest_of(&from, "1.4.2", "arm64"));
    let sparse = json(&["copy", "--platform", "linux/arm64", "--sparse", &at(&temp, "from:1.4.2"), &at(&temp, "sparse")]);
    assert_eq!((digests(&temp.path().join("sparse")), sparse["rewritten"].as_array().map(Vec::len)), (vec![digests(&from)[0].clone()], Some(0)));
    let found = ran(&["verify", &at(&temp, "sparse")]);
    assert!(found.code == Some(3) && found.stdout.contains("blob-missing") && found.stdout.contains("allow that with --sparse"), "{found:?}");
    let allowed = json(&["verify", "--deep", "--sparse", &at(&temp, "sparse")]);
    assert_eq!((&allowed["findings"], &allowed["left_out"]), (&Value::from(Vec::<Value>::new()), &Value::from(2)), "{allowed:#}");
    assert!(succeeded(&["verify", "--sparse", &at(&temp, "sparse")]).stdout.contains(" verified, 2 manifests left out, no damage found\n"));
    let absent = ran(&["copy", "--platform", "linux/s390x", "--format", "json", &at(&temp, "from:1.4.2"), &at(&temp, "none")]);
    assert_eq!((absent.code, absent.error()["hint"].as_str()), (Some(4), Some("it has linux/amd64, linux/arm64, linux/arm/v7")));
    assert!(!temp.path().join("none").exists());
}

#[test]
fn an_index_of_fewer_platforms_keeps_all_else_that_it_says() {
    let (forge, image) = Forge::with_image();
    let entry = |architecture: &str| {
        let mut entry = image.manifest.clone();
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        entry
    };
    let [amd64, arm64] = ["amd64", "arm64"].map(entry);
    let mut index = serde_json::json!({
        "schemaVersion": 2, "mediaType": INDEX, "artifactType": "application/vnd.example.set", "annotations": {"a": "b"},
        "subject": image.manifest, "manifests": [amd64, arm64],
    });
    forge.enter("set", &forge.document(INDEX, &index));
    let temp = temp();
    let report = json(&["copy", "--platform", "linux/amd64", &oci(forge.path(), "set"), &at(&temp, "to:set")]);
    assert_eq!(report["rewritten"].as_array().map(Vec::len), Some(1));
    let written = std::fs::read(blob_path(&temp.path().join("to"), &report["rewritten"][0]["to"])).expect("there");
    index["manifests"] = serde_json::json!([amd64]);
    index["annotations"]["larder.filtered-from"] = report["rewritten"][0]["from"].clone();
    assert_eq!(serde_json::from_slice::<Value>(&written).expect("JSON"), index);
}

#[test]
fn options_may_stand_between_the_places() {
    let temp = sample();
    let report = json(&["copy", &at(&temp, "from:1.4.2"), "--tag", "other", &at(&temp, "to")]);
    assert_eq!(report["names"][0]["name"], "other");
    let alone = ran(&["copy", &at(&temp, "from:1.4.2")]);
    assert!(alone.code == Some(2) && alone.stderr.contains("two places"), "{alone:?}");
}

#[test]
fn what_is_not_clear_is_refused_before_anything_is_written() {
    let temp = sample();
    succeeded(&["build", "--quiet", "--copy", "Cargo.toml=/x", "--platform", "linux/amd64", "-t", "other:1", "-o", &at(&temp, "from")]);
    let digest = format!("{}@{}", at(&temp, "to"), digests(&temp.path().join("from"))[0]);
    for (arguments, code) in [
        (vec![at(&temp, "from"), at(&temp, "to")], 2),
        (vec![at(&temp, "from:absent"), at(&temp, "to")], 4),
        (vec![at(&temp, "absent:1"), at(&temp, "to")], 4),
        (vec!["--all-names".into(), at(&temp, "from:1.4.2"), at(&temp, "to")], 2),
        (vec!["--all-names".into(), at(&temp, "from"), at(&temp, "to:x")], 2),
        (vec!["--sparse".into(), at(&temp, "from:1.4.2"), at(&temp, "to")], 2),
        (vec![at(&temp, "from:1.4.2"), digest], 2),
        (vec![at(&temp, "from:1.4.2"), temp.path().join("to").display().to_string()], 4),
        (vec![at(&temp, "from:1.4.2")], 2),
    ] {
        let arguments: Vec<&str> = ["copy", "--format", "json"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let ran = ran(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{arguments:?} {ran:?}");
        assert!(!temp.path().join("to").exists(), "{arguments:?}");
    }
}

#[test]
fn skopeo_reads_what_was_copied_and_larder_copies_what_skopeo_wrote() {
    let (Some(skopeo), temp) = (tool("skopeo"), sample()) else { return };
    let skopeo = |arguments: &[&str]| Command::new(&skopeo).arg("--insecure-policy").args(arguments).succeeds();
    json(&["copy", &at(&temp, "from:1.4.2"), &at(&temp, "to")]);
    skopeo(&["copy", "--quiet", "--all", "--preserve-digests", &at(&temp, "to:1.4.2"), &at(&temp, "foreign:theirs")]);
    json(&["copy", &at(&temp, "foreign:theirs"), &at(&temp, "back:1.4.2")]);
    assert_layout_is_sound(&temp.path().join("back"));
    assert_eq!(digests(&temp.path().join("back")), digests(&temp.path().join("to")));
}
