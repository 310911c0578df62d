//! `larder cache`: what builds remember, listed and removed.

use serde_json::Value;

use crate::support::dockerfile::Kitchen;
use crate::support::image::{json, ran, succeeded};

const TEXT: &str = "FROM scratch\nCOPY a /a\nWORKDIR /w\nCOPY b /b\n";

fn kitchen() -> Kitchen {
    let kitchen = Kitchen::new(TEXT);
    kitchen.file("a", vec![b'a'; 5000]);
    kitchen.file("b", "b");
    kitchen
}

fn cache(kitchen: &Kitchen, arguments: &[&str]) -> Value {
    let place = kitchen.path("cache");
    json(&[&["cache"], arguments, &["--cache-dir", place.to_str().expect("UTF-8")]].concat())
}

fn labels(entries: &Value) -> Vec<&str> {
    entries.as_array().expect("a list").iter().map(|entry| entry["label"].as_str().expect("a label")).collect()
}

#[test]
fn steps_are_listed_and_removed_and_nothing_is_lost_but_time() {
    let kitchen = kitchen();
    assert_eq!(cache(&kitchen, &["list"])["bytes"], 0);
    let first = kitchen.image(&[]);
    assert_eq!(first.cached_and_made(), (0, 3));
    let mode = std::fs::metadata(kitchen.path("cache/v1")).expect("there").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
    let listed = cache(&kitchen, &["list"]);
    let mut seen = labels(&listed["entries"]);
    seen.sort_unstable();
    assert_eq!(seen, ["[1/3] COPY a /a", "[2/3] WORKDIR /w", "[3/3] COPY b /b"]);
    for entry in listed["entries"].as_array().expect("a list") {
        assert_eq!(entry["type"], "step");
        assert!(entry["size"].as_u64().expect("bytes") > 100 && entry["age"].as_u64().expect("seconds") < 600, "{entry}");
        assert!(first.layers().iter().any(|layer| layer["digest"] == entry["digest"]), "{entry}");
    }
    assert_eq!(listed["bound"], 20_000_000_000_u64);

    // Everything was used within the hour and is within the bound.
    for arguments in [&["prune", "--older-than", "1h"][..], &["prune"], &["prune", "--max-used-space", "1GB"]] {
        assert_eq!(labels(&cache(&kitchen, arguments)["removed"]), [""; 0], "{arguments:?}");
    }
    assert_eq!(kitchen.image(&[]).cached_and_made(), (3, 0));
    let planned = cache(&kitchen, &["prune", "--all", "--dry-run"]);
    assert_eq!(planned["removed"].as_array().expect("a list").len(), 3);
    assert_eq!(cache(&kitchen, &["list"])["bytes"], listed["bytes"]);
    let removed = cache(&kitchen, &["prune", "--keep-storage", "0"]);
    assert_eq!((&removed["removed_bytes"], &removed["kept_bytes"]), (&listed["bytes"], &0.into()));
    assert_eq!(cache(&kitchen, &["list"])["entries"], Value::Array(Vec::new()));
    let again = kitchen.image(&[]);
    assert_eq!((again.cached_and_made(), &again.report["digest"]), ((0, 3), &first.report["digest"]));
}

#[test]
fn what_was_used_the_longest_ago_goes_first_and_only_its_step_is_done_again() {
    let kitchen = kitchen();
    kitchen.image(&[]);
    // Another version of the last step: the first two are used again.
    kitchen.file("b", "changed");
    kitchen.image(&[]);
    let bytes = cache(&kitchen, &["list"])["bytes"].as_u64().expect("bytes");
    let pruned = cache(&kitchen, &["prune", "--max-used-space", &(bytes - 1).to_string()]);
    assert_eq!(labels(&pruned["removed"]), ["[3/3] COPY b /b"]);
    assert_eq!(kitchen.image(&[]).cached_and_made(), (3, 0));
}

#[test]
fn layers_that_lie_in_layouts_are_known_but_take_no_space() {
    let kitchen = kitchen();
    let (place, out) = (kitchen.path("cache"), kitchen.path("toml"));
    let copy = format!("{}=/a", kitchen.context().join("a").display());
    let arguments = ["build", "-f", "/dev/null", "--copy", &copy, "--platform", "linux/amd64", "--cache-dir"];
    let output = format!("oci:{}", out.display());
    succeeded(&[&arguments[..], &[place.to_str().expect("UTF-8"), "-o", &output]].concat());
    let listed = cache(&kitchen, &["list"]);
    assert_eq!((&listed["entries"][0]["type"], listed["entries"].as_array().expect("a list").len()), (&"layer".into(), 1));
    assert!(listed["entries"][0]["size"].as_u64().expect("bytes") < 4000 && listed["notes"]["count"] == 1, "{listed}");
    let shown = succeeded(&["cache", "prune", "--all", "--cache-dir", place.to_str().expect("UTF-8")]);
    assert!(shown.stdout.contains("layer") && shown.stdout.contains("kept     0 B"), "{}", shown.stdout);
    crate::support::sound::assert_layout_is_sound(&out);
}

#[test]
fn a_cache_that_cannot_be_is_one_error() {
    for arguments in [&["--all", "--older-than", "1h"][..], &["--max-used-space", "much"]] {
        assert_eq!(ran(&[&["cache", "prune"], arguments].concat()).code, Some(2), "{arguments:?}");
    }
}
