//! `larder index`.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::image::{json, ran, read_index, succeeded};
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
