//! `larder build`: the fields of the platform in paths.

use std::fs;

use crate::support::image::{layer_entries, manifest_of, ran};
use crate::support::process::temp;
use crate::support::sound::assert_layout_is_sound;

const FIELDS: &str = r#"
platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
tags = ["1"]
[[layer]]
[[layer.copy]]
from = "data/"
to = "/usr/lib/{os}-{arch}{variant}/"
exclude = ["{arch}.txt"]
[[layer.file]]
to = "/etc/{arch}.conf"
content = "{arch}"
[[layer.symlink]]
to = "/usr/lib/native-{arch}"
target = "{os}-{arch}{variant}"
[[layer.directory]]
to = "/var/{{{arch}}}"
[[layer.remove]]
path = "/opt/{arch}"

[[layer]]
comment = "the same everywhere"
[[layer.file]]
to = "/{os}"
content = ""
"#;

#[test]
fn fields_of_the_platform_are_put_in_wherever_a_path_stands() {
    let context = temp();
    fs::create_dir(context.path().join("data")).expect("writable");
    for name in ["amd64.txt", "arm64.txt", "arm.txt"] {
        fs::write(context.path().join("data").join(name), name).expect("writable");
    }
    fs::write(context.path().join("larder.toml"), FIELDS).expect("writable");
    let out = context.path().join("out");
    let ran = ran(&["build", context.path().to_str().expect("UTF-8"), "-o", &format!("oci:{}", out.display()), "--no-cache", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&out);
    assert_eq!(ran.json()["layers"].as_array().map(Vec::len), Some(4), "three of their own and a shared one: {ran:?}");

    for (architecture, slug, left) in [("amd64", "linux-amd64", ["arm.txt", "arm64.txt"]), ("arm", "linux-armv7", ["amd64.txt", "arm64.txt"])] {
        let manifest = manifest_of(&out, "1", architecture);
        let entries = layer_entries(&out, &manifest["layers"][0]);
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let expected = [
            format!("etc/{architecture}.conf"),
            format!("opt/.wh.{architecture}"),
            format!("usr/lib/{slug}/{}", left[0]),
            format!("usr/lib/{slug}/{}", left[1]),
            format!("usr/lib/native-{architecture}"),
            format!("var/{{{architecture}}}/"),
        ];
        for name in &expected {
            assert!(names.contains(&name.as_str()), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("{arch}") || name.ends_with(&format!("/{architecture}.txt"))), "{names:?}");
        let link = entries.iter().find(|entry| entry.name.ends_with(&format!("native-{architecture}"))).expect("the link");
        assert_eq!(link.link, slug);
    }
    let shared = |architecture| manifest_of(&out, "1", architecture)["layers"][1]["digest"].clone();
    assert_eq!(shared("amd64"), shared("arm64"));
}

#[test]
fn an_unknown_field_in_a_destination_is_an_error() {
    let context = temp();
    for (step, place) in
        [("copy]]\nfrom = \".\"\nto = \"/{arhc}\"", "4:6"), ("remove]]\npath = \"/{arhc}\"", "3:8"), ("symlink]]\nto = \"/a\"\ntarget = \"{arhc}\"", "4:10")]
    {
        fs::write(context.path().join("larder.toml"), format!("[[layer]]\n[[layer.{step}\n")).expect("writable");
        let ran = ran(&["build", context.path().to_str().expect("UTF-8"), "--dry-run"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(&format!("larder.toml:{place}: unknown field `{{arhc}}`, did you mean {{arch}}?")), "{ran:?}");
    }
}
