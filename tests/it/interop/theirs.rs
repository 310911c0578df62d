//! What they write, larder reads; and larder builds into their layouts without harm to what is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{HOST, Skopeo, assert_clean, assert_clean_but, build, entries, listed, sample, skopeo};
use crate::support::bundle::{Bundle, oci};
use crate::support::image::{manifest_of, ran, read_index};
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tools::tool;

/// The platforms of the sample.
const ALL: &str = "linux/amd64,linux/arm64,linux/arm/v7";

/// The sample in a layout of larder's, to be copied by others.
fn hello() -> (TempDir, PathBuf) {
    let temp = temp();
    let layout = temp.path().join("hello");
    build(&layout, &[&sample()]);
    (temp, layout)
}

/// Builds two images into a layout of somebody else, one of them upon the image `base` there, and expects that nothing else has changed.
#[track_caller]
fn build_beside(skopeo: &Skopeo, layout: &Path, base: &str, platforms: &str) {
    let before = read_index(layout);
    let file = format!("{}/hello.c=/opt/larder/", sample());
    build(layout, &["--copy", &file, "--platform", ALL, "-t", "registry.example/larder/own:larder-own"]);
    let base_location = oci(layout, base);
    build(layout, &["--base", &base_location, "--copy", &file, "--platform", platforms, "-t", "registry.example/larder/based:larder-based"]);

    let after = read_index(layout);
    let (before, after) = (before["manifests"].as_array().expect("a list"), after["manifests"].as_array().expect("a list"));
    assert_eq!(after[..before.len()], before[..]);
    let added: Vec<_> = entries(layout).into_iter().skip(before.len()).filter_map(|(name, _)| name).collect();
    assert_eq!(added, ["larder-own", "larder-based"]);
    for platform in platforms.split(',') {
        let architecture = platform.split('/').nth(1).expect("an architecture");
        let (base, image) = (manifest_of(layout, base, architecture), manifest_of(layout, "larder-based", architecture));
        let digests = |manifest: &Value| {
            let layers = manifest["layers"].as_array().expect("a list").clone();
            layers.iter().map(|layer| layer["digest"].to_string()).collect::<Vec<_>>()
        };
        let (base, image) = (digests(&base), digests(&image));
        assert_eq!((&image[..base.len()], image.len()), (&base[..], base.len() + 1));
    }
    skopeo.reads_all_names(layout);
    assert_layout_is_sound(layout);
}

#[test]
fn layouts_of_skopeo_are_read_and_built_into_without_harm() {
    let Some(skopeo) = skopeo() else { return };
    let (temp, hello) = hello();
    let docker = format!("dir:{}", temp.path().join("docker").display());
    let from = oci(&hello, "1.4.2");
    skopeo.copy(&["--all", "--format", "v2s2"], &from, &docker);
    let cases: [(&str, &[&str], &str, &str); 5] = [
        ("one", &[], &from, HOST),
        ("all", &["--all"], &from, ALL),
        ("zstd", &["--all", "--dest-compress-format", "zstd"], &docker, ALL),
        ("arm64", &["--override-arch=arm64", "--dest-compress-format", "zstd"], &docker, "linux/arm64"),
        ("docker", &["--all"], &docker, ALL),
    ];
    for (name, options, from, platforms) in cases {
        let layout = temp.path().join(format!("out-{name}"));
        skopeo.copy(options, from, &oci(&layout, name));
        assert_clean(&layout);
        assert_eq!(listed(&layout), [name]);
        build_beside(&skopeo, &layout, name, platforms);
        assert_clean(&layout);
    }
}

#[test]
fn a_layout_without_names_gets_them_from_larder() {
    let Some(skopeo) = skopeo() else { return };
    let (temp, hello) = hello();
    let layout = temp.path().join("out");
    let place = format!("oci:{}", layout.display());
    skopeo.copy(&["--all"], &oci(&hello, "latest"), &place);
    assert_clean(&layout);
    assert_eq!(listed(&layout), ["-"]);
    larder().args(["tag", &place, "named"]).succeeds();
    assert_eq!(entries(&layout)[0].1, entries(&hello)[0].1);
    build_beside(&skopeo, &layout, "named", ALL);
}

#[test]
fn an_index_that_skopeo_copied_without_its_images_is_found_to_lack_them() {
    let Some(skopeo) = skopeo() else { return };
    let (temp, hello) = hello();
    let layout = temp.path().join("out");
    skopeo.copy(&["--multi-arch", "index-only"], &oci(&hello, "latest"), &oci(&layout, "sparse"));
    let verified = ran(&["verify", "--format", "json", layout.to_str().expect("UTF-8")]);
    assert_eq!(verified.code, Some(3), "{verified:?}");
    let codes: Vec<Value> = verified.json()["findings"].as_array().expect("a list").iter().map(|finding| finding["code"].clone()).collect();
    assert_eq!(codes, ["blob-missing"; 3]);
    let based = ["build", "--base", &oci(&layout, "sparse"), "--platform", HOST, "--env", "A=b", "-t", "x", "-o", &oci(&layout, "based"), "--no-cache"];
    let refused = ran(&based);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert_eq!(entries(&layout).len(), 1);
    build(&layout, &[&sample()]);
    assert_clean_image(&layout, "1.4.2");
}

/// Expects `verify --deep` to find nothing wrong with one image.
#[track_caller]
fn assert_clean_image(layout: &Path, name: &str) {
    larder().args(["verify", "--deep", "--quiet", &oci(layout, name)]).succeeds();
}

/// Makes images with all that umoci does to them; `$1` is an empty directory, and the layout `out` in it is new.
const UMOCI: &str = r#"
cd "$1"
umask 022
mkdir -p tree/etc tree/bin
echo one >tree/etc/one; echo two >tree/etc/two; ln tree/etc/two tree/bin/two; ln -s ../etc/one tree/bin/one
umoci init --layout out
umoci new --image out:empty
umoci insert --image out:empty --tag first tree /
rm tree/etc/two; echo three >tree/etc/three
umoci insert --image out:first --tag opaque --opaque tree/etc /etc
umoci insert --image out:opaque --tag whiteout --whiteout /etc/one
umoci config --image out:whiteout --tag config --config.cmd /bin/one --config.env A=b --config.label c=d --author nobody
umoci tag --image out:config tagged
umoci unpack --image out:config bundle
rm bundle/rootfs/etc/three; echo four >bundle/rootfs/etc/four
umoci repack --image out:repacked bundle
chmod -R go+rX out
"#;

#[test]
fn layouts_of_umoci_are_read_and_built_into_without_harm() {
    let (Some(skopeo), Some(umoci), true) = (skopeo(), tool("umoci"), crate::support::tools::root()) else { return };
    let temp = temp();
    let layout = temp.path().join("out");
    Command::new("bash").args(["-euc", UMOCI, "bash"]).arg(temp.path()).succeeds();
    let names = ["empty", "first", "opaque", "whiteout", "config", "tagged", "repacked"];
    assert_clean_but(&layout, &["`layers` is empty"]);
    assert_eq!(listed(&layout), names);
    build_beside(&skopeo, &layout, "repacked", HOST);
    let Some(bundle) = Bundle::unpack(&layout, "larder-based") else { return };
    let mut there: Vec<_> = fs::read_dir(bundle.tree().join("etc")).expect("there").map(|entry| entry.expect("an entry").file_name()).collect();
    there.sort();
    assert_eq!(there, ["four"]);
    assert_eq!(fs::read(bundle.tree().join("opt/larder/hello.c")).expect("there"), fs::read(checkout("testdata/hello/hello.c")).expect("there"));
    let process = bundle.process();
    assert_eq!(process["args"], serde_json::json!(["/bin/one"]));
    assert!(process["env"].as_array().is_some_and(|variables| variables.contains(&"A=b".into())));

    // umoci finds its own again, and takes away what nothing leads to without touching anything else.
    let place = layout.to_str().expect("UTF-8");
    assert_eq!(Command::new(&umoci).args(["list", "--layout", place]).succeeds(), names.join("\n") + "\nlarder-own\nlarder-based\n");
    Command::new(&umoci).args(["gc", "--layout", place]).succeeds();
    assert!(Bundle::unpack(&layout, "config").is_some());
    assert_clean_but(&layout, &["`layers` is empty"]);
    assert_layout_is_sound(&layout);
}

/// Changes the tree of a container: a file goes, a directory is replaced by another, one comes.
const CHANGE: &str = r#"cd "$1"; rm etc/motd; rm -r usr/local; mkdir -p usr/local/share opt; echo new >usr/local/share/new; chown 1000:1000 opt"#;

#[test]
fn layouts_of_buildah_and_podman_are_read_and_built_into_without_harm() {
    let (Some(skopeo), Some(storage)) = (skopeo(), Storage::new()) else { return };
    let (temp, hello) = hello();
    let layout = temp.path().join("out");
    let (container, tree) = storage.begin(&hello, "1.4.2");
    Command::new("bash").args(["-euc", CHANGE, "bash"]).arg(&tree).succeeds();
    storage.buildah(&["config", "--cmd", "/new", "--label", "a=b", "--annotation", "c=d", &container]).succeeds();
    storage.buildah(&["commit", "--quiet", &container, "changed"]).succeeds();
    storage.buildah(&["push", "--quiet", "changed", &oci(&layout, "registry.example/a/changed:1")]).succeeds();
    storage.buildah(&["push", "--quiet", "--format", "v2s2", "changed", &oci(&layout, "docker")]).succeeds();
    storage.podman(&["push", "--quiet", "localhost/changed", &oci(&layout, "pushed")]).succeeds();
    let names = ["registry.example/a/changed:1", "docker", "pushed"];
    assert_clean(&layout);
    assert_eq!(listed(&layout), names);
    build_beside(&skopeo, &layout, "docker", HOST);
    assert_clean(&layout);
    let (_, tree) = storage.begin(&layout, "larder-based");
    assert!(!tree.join("etc/motd").exists() && !tree.join("usr/local/bin").exists());
    assert!(tree.join("usr/local/share/new").exists() && tree.join("opt/larder/hello.c").exists());
    for name in [names[0], "pushed", "larder-own"] {
        storage.pull(&layout, name);
    }

    let saved = temp.path().join("saved");
    storage.podman(&["save", "--quiet", "--format", "oci-dir", "-o", saved.to_str().expect("UTF-8"), "localhost/changed"]).succeeds();
    assert_clean(&saved);
    assert_eq!(listed(&saved), ["localhost/changed:latest"]);
    build_beside(&skopeo, &saved, "localhost/changed:latest", HOST);
}

#[test]
fn larder_builds_upon_what_buildah_built_upon_larder() {
    let (Some(skopeo), Some(storage)) = (skopeo(), Storage::new()) else { return };
    let (temp, _) = hello();
    let layout = temp.path().join("out");
    let file = temp.path().join("Containerfile");
    fs::write(&file, "FROM oci:hello:1.4.2\nCOPY hello.c /opt/\nCMD [\"-v\"]\n").expect("writable");
    let mut bud = storage.buildah(&["bud", "--quiet", "--platform", ALL, "--manifest", "image", "-f"]);
    bud.arg(&file).arg(sample()).current_dir(temp.path()).succeeds();
    storage.buildah(&["manifest", "push", "--quiet", "--all", "image", &oci(&layout, "multi")]).succeeds();
    assert_clean(&layout);
    assert_eq!(listed(&layout), ["multi"]);
    build_beside(&skopeo, &layout, "multi", ALL);
    assert_clean(&layout);
    let (_, tree) = storage.begin(&layout, "larder-based");
    for path in ["usr/local/bin/hello", "opt/hello.c", "opt/larder/hello.c"] {
        assert!(tree.join(path).exists(), "{path}");
    }
}

#[test]
fn what_they_write_into_a_layout_of_larder_leaves_its_names() {
    let (Some(skopeo), Some(storage)) = (skopeo(), Storage::new()) else { return };
    let (temp, layout) = hello();
    let single = temp.path().join("single");
    build(&single, &[&sample(), "--platform", HOST, "--env", "ONE=1"]);
    let ours = ["registry.example/team/hello:1.4.2", "registry.example/team/hello:latest"];
    skopeo.copy(&["--all"], &oci(&single, "1.4.2"), &oci(&layout, "by-skopeo"));
    let (container, _) = storage.begin(&single, "1.4.2");
    storage.buildah(&["commit", "--quiet", &container, &oci(&layout, "by-buildah")]).succeeds();
    let mut names = vec![ours[0], ours[1], "by-skopeo", "by-buildah"];
    if let Some(umoci) = tool("umoci") {
        let place = layout.to_str().expect("UTF-8");
        Command::new(umoci).args(["tag", "--image", &format!("{place}:by-skopeo"), "by-umoci"]).succeeds();
        Command::new("chmod").arg("644").arg(layout.join("index.json")).succeeds();
        names.push("by-umoci");
    }
    assert_eq!(listed(&layout), names);
    assert_clean(&layout);
    // The same tag again: theirs takes the short name, and larder's image keeps the full one.
    skopeo.copy(&[], &oci(&single, "1.4.2"), &oci(&layout, "latest"));
    names.push("latest");
    assert_eq!(listed(&layout), names);
    assert_clean_image(&layout, ours[1]);
    assert_layout_is_sound(&layout);
}
