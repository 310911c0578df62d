//! The names in a layout: `larder list`, `tag` and `untag`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::image::{json, ran, read_index, succeeded};
use crate::support::process::{checkout, temp};
use crate::support::sound::assert_layout_is_sound;

const REPOSITORY: &str = "registry.example/team/hello";

/// A layout with the sample under its two names.
fn hello() -> (TempDir, String) {
    let temp = temp();
    let layout = format!("oci:{}", temp.path().join("out").display());
    let context = checkout("testdata/hello");
    succeeded(&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &layout]);
    (temp, layout)
}

/// Exit code, code and message of a failure.
#[track_caller]
fn failure(arguments: &[&str]) -> (i64, String, String) {
    let ran = ran(&[arguments, &["--format", "json"]].concat());
    assert_eq!(ran.stdout, "");
    let error = ran.error();
    (error["exit"].as_i64().expect("a number"), error["code"].as_str().expect("a word").to_owned(), error.to_string())
}

fn names(layout: &str) -> Vec<String> {
    let report = json(&["list", layout]);
    report["names"].as_array().expect("a list").iter().map(|entry| entry["name"].as_str().unwrap_or("-").to_owned()).collect()
}

fn full(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

#[test]
fn names_are_listed_for_people_and_for_programs() {
    let (_temp, layout) = hello();
    let table = succeeded(&["list", &layout]).stdout;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NAME", "TYPE", "DIGEST", "SIZE", "PLATFORM"]);
    assert_eq!((words.len(), words[1][0], words[1][1]), (3, full("1.4.2").as_str(), "index"));
    let report = json(&["list", &layout]);
    let entry = &read_index(Path::new(layout.trim_start_matches("oci:")))["manifests"][0];
    assert_eq!((&report["names"][0]["digest"], &report["names"][0]["size"]), (&entry["digest"], &entry["size"]));
    assert_eq!((&report["names"][1]["ref_name"], &report["names"][1]["image_name"]), (&"latest".into(), &full("latest").into()));
    assert_eq!(failure(&["list", &format!("{layout}:latest")]).1, "usage");
    assert_eq!(failure(&["list", &format!("{layout}.absent")]).1, "not_found");
}

#[test]
fn a_tag_moves_and_comes_and_goes_without_touching_content() {
    let (temp, layout) = hello();
    let blobs = || fs::read_dir(temp.path().join("out/blobs/sha256")).expect("there").count();
    let before = blobs();
    let first = json(&["list", &layout])["names"][0]["digest"].clone();
    succeeded(&[
        "build",
        "--copy",
        checkout("testdata/hello/larder.toml=/x").to_str().expect("UTF-8"),
        "--platform",
        "linux/amd64",
        "-t",
        "other:1",
        "-o",
        &layout,
        "--file",
        "/dev/null",
        "--no-cache",
    ]);
    let between = blobs();
    assert!(between > before);

    let other = format!("{layout}:docker.io/library/other:1");
    let report = json(&["tag", &other, "2", &full("latest"), "x.y/z:1"]);
    assert_eq!(report["names"][0]["name"], "docker.io/library/other:2");
    assert_eq!((&report["names"][1]["moved_from"], &report["names"][2]["moved_from"]), (&first, &Value::Null));
    let expected = [&full("1.4.2"), &full("latest"), "docker.io/library/other:1", "docker.io/library/other:2", "x.y/z:1"];
    assert_eq!(names(&layout), expected);

    let (exit, code, error) = failure(&["untag", &format!("{layout}:x.y/z:1"), "absent"]);
    assert_eq!((exit, code.as_str()), (4, "not_found"));
    assert!(error.contains("absent") && error.contains(&full("1.4.2")), "{error}");
    assert_eq!(names(&layout), expected, "all or none");

    let report = json(&["untag", &layout, "x.y/z:1", &format!("{layout}:docker.io/library/other:2"), &full("1.4.2")]);
    let last: Vec<&Value> = report["removed"].as_array().expect("a list").iter().map(|name| &name["was_last"]).collect();
    assert_eq!(last, [false, false, true]);
    assert_eq!(names(&layout), [&full("latest"), "docker.io/library/other:1"]);
    assert_eq!(blobs(), between);
}

#[test]
fn a_tagged_layout_is_sound() {
    let (temp, layout) = hello();
    succeeded(&["tag", &format!("{layout}:latest"), "stable"]);
    succeeded(&["untag", &layout, "latest"]);
    assert_eq!(assert_layout_is_sound(&temp.path().join("out")).names, ["1.4.2", "stable"]);
}
