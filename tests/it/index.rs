//! `larder index`.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::forge::INDEX;
use crate::support::image::{blob_path, json, ran, read_index, succeeded};
use crate::support::process::{Runs as _, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

fn at(temp: &TempDir, rest: &str) -> String {
    format!("oci:{}/{rest}", temp.path().display())
}

/// A layout for each architecture, as separate build hosts make them.
fn hosts(architectures: &[&str]) -> TempDir {
    let temp = temp();
    for architecture in architectures {
        let platform = format!("linux/{architecture}");
        succeeded(&["build", "--quiet", "--copy", "Cargo.toml=/x", "--platform", &platform, "-t", "hello:1", "-o", &at(&temp, architecture)]);
    }
    temp
}

fn platforms(report: &Value) -> Vec<&str> {
    report["members"].as_array().expect("a list").iter().map(|member| member["platform"].as_str().expect("a platform")).collect()
}

#[test]
fn the_layouts_of_build_hosts_are_merged_in_one_command() {
    let temp = hosts(&["amd64", "arm64", "s390x"]);
    let out = at(&temp, "out:1.4.2");
    let report = json(&["index", "create", &out, &at(&temp, "amd64"), &at(&temp, "arm64:1"), "--annotation", "a=b"]);
    assert_eq!(platforms(&report), ["linux/amd64", "linux/arm64"]);
    assert_layout_is_sound(&temp.path().join("out"));
    let planned = json(&["index", "append", "--dry-run", &out, &at(&temp, "s390x")]);
    let before = read_index(&temp.path().join("out"));
    let appended = json(&["index", "append", &out, &at(&temp, "s390x")]);
    assert_eq!((&planned, &before["manifests"][0]["digest"]), (&appended, &appended["before"]));
    assert_eq!(platforms(&appended).len(), 3);
    let text = succeeded(&["index", "remove", &out, "--platform", "linux/arm64", "-t", "small"]).stdout;
    assert!(text.contains("removed") && text.contains("index small in"), "{text}");
    json(&["index", "annotate", &out, "--platform", "linux/s390x", "--annotation", "c=d"]);
    json(&["index", "filter", &out, "--platform", "linux/s390x", "-t", "mainframe"]);
    assert_eq!(assert_layout_is_sound(&temp.path().join("out")).names, ["1.4.2", "small", "mainframe"]);
}

/// The index that a name in `out` stands on, and its digest.
fn index(temp: &TempDir, tag: &str) -> (Value, String) {
    let layout = temp.path().join("out");
    let entries = read_index(&layout)["manifests"].clone();
    let entry =
        entries.as_array().expect("a list").iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag).expect("the tag is there");
    let bytes = std::fs::read(blob_path(&layout, &entry["digest"])).expect("there");
    (serde_json::from_slice(&bytes).expect("JSON"), entry["digest"].as_str().expect("a digest").to_owned())
}

#[test]
fn archives_of_build_hosts_are_merged_like_their_layouts() {
    let temp = hosts(&["amd64", "arm64", "s390x"]);
    let packed = |scheme: &str, architecture: &str| {
        let archive = format!("{scheme}:{}/{architecture}.{scheme}", temp.path().display());
        succeeded(&["copy", "--quiet", &at(&temp, architecture), &archive]);
        archive
    };
    json(&["index", "create", &at(&temp, "out:layouts"), &at(&temp, "amd64"), &at(&temp, "arm64"), &at(&temp, "s390x")]);
    for (name, [first, second, third]) in
        [("archives", ["oci-archive", "docker-archive", "oci-archive"]), ("others", ["docker-archive", "oci-archive", "docker-archive"])]
    {
        let out = at(&temp, &format!("out-{name}:1"));
        json(&["index", "create", &out, &packed(first, "amd64"), &format!("{}:hello:1", packed(second, "arm64"))]);
        let appended = json(&["index", "append", &out, &packed(third, "s390x"), "-t", "all"]);
        assert_eq!(appended["digest"], *index(&temp, "layouts").1, "{appended:#}");
        assert_eq!(assert_layout_is_sound(&temp.path().join(format!("out-{name}"))).names, ["1", "all"]);
    }
}

#[test]
fn nested_indexes_are_entries_where_that_is_wanted() {
    let temp = hosts(&["amd64", "arm64", "s390x"]);
    let inner = at(&temp, "out:inner");
    json(&["index", "create", &inner, &at(&temp, "amd64"), &at(&temp, "arm64")]);
    json(&["index", "create", "--nested", &at(&temp, "out:created"), &inner, &at(&temp, "s390x")]);
    json(&["index", "create", &at(&temp, "out:one"), &at(&temp, "s390x")]);
    json(&["index", "append", "--nested", &at(&temp, "out:one"), &inner, "-t", "appended"]);
    json(&["index", "append", &at(&temp, "out:one"), &inner, "-t", "flat"]);
    let members = |tag: &str| {
        let (document, _) = index(&temp, tag);
        assert_eq!((&document["schemaVersion"], document["mediaType"].as_str()), (&Value::from(2), Some(INDEX)));
        document["manifests"].as_array().expect("a list").clone()
    };
    let (inner, size) = (index(&temp, "inner").1, index(&temp, "inner").0.to_string().len());
    let nested = serde_json::json!({"mediaType": INDEX, "digest": inner, "size": size});
    let mainframe = members("one")[0].clone();
    assert_eq!(mainframe["platform"], serde_json::json!({"os": "linux", "architecture": "s390x"}));
    assert_eq!(members("created"), [nested.clone(), mainframe.clone()]);
    assert_eq!(members("appended"), [mainframe.clone(), nested]);
    assert_eq!(members("flat"), [&[mainframe][..], &members("inner")].concat());
    assert_eq!(assert_layout_is_sound(&temp.path().join("out")).names, ["inner", "created", "one", "appended", "flat"]);
    succeeded(&["verify", "--deep", "--quiet", &at(&temp, "out")]);
}

#[test]
fn skopeo_reads_the_merged_index() {
    let (Some(skopeo), temp) = (tool("skopeo"), hosts(&["amd64", "arm64"])) else { return };
    let report = json(&["index", "create", &at(&temp, "out:1"), &at(&temp, "amd64"), &at(&temp, "arm64")]);
    let raw = Command::new(&skopeo).args(["inspect", "--raw", &at(&temp, "out:1")]).succeeds();
    let seen: Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(seen["manifests"].as_array().map(Vec::len), Some(2));
    assert_eq!(seen["manifests"][1]["digest"], report["members"][1]["digest"]);
    Command::new(&skopeo).args(["--insecure-policy", "copy", "--quiet", "--all", &at(&temp, "out:1"), &at(&temp, "theirs:1")]).succeeds();
}

#[test]
fn what_is_not_clear_is_refused_and_nothing_changes() {
    let temp = hosts(&["amd64", "arm64"]);
    let out = at(&temp, "out:1");
    json(&["index", "create", &out, &at(&temp, "amd64"), &at(&temp, "arm64")]);
    succeeded(&["build", "--quiet", "--copy", "README.md=/x", "--platform", "linux/arm64", "-t", "other:1", "-o", &at(&temp, "other")]);
    let index = || std::fs::read(temp.path().join("out/index.json")).expect("readable");
    let before = index();
    for (arguments, code) in [
        (vec!["create", &at(&temp, "new"), &at(&temp, "amd64")], 2),
        (vec!["create", &at(&temp, "new:1"), &at(&temp, "arm64"), &at(&temp, "other")], 5),
        (vec!["append", &out, &at(&temp, "other")], 5),
        (vec!["append", &out, &at(&temp, "absent")], 4),
        (vec!["append", &at(&temp, "out:absent"), &at(&temp, "other")], 4),
        (vec!["remove", &out], 2),
        (vec!["remove", &out, "--platform", "linux/s390x"], 4),
        (vec!["remove", &out, "--platform", "linux/amd64,linux/arm64"], 2),
        (vec!["annotate", &out], 2),
        (vec!["annotate", &out, "--set-platform", "linux/arm"], 2),
        (vec!["annotate", &out, "--annotation", "x"], 2),
        (vec!["filter", &out, "--platform", "linux/s390x"], 4),
        (vec!["filter", &at(&temp, "amd64"), "--platform", "linux/amd64"], 6),
    ] {
        let ran = ran(&[&["index"], &arguments[..], &["--format", "json"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{arguments:?} {ran:?}");
        assert!(index() == before && !temp.path().join("new").exists(), "{arguments:?}");
    }
}
