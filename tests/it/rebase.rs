//! `larder edit --rebase`: an image on another base is what building it there would have made.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bundle::{Bundle, oci};
use crate::support::image::{blob_path, config_of, manifest_of, ran, succeeded};
use crate::support::process::{Runs as _, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tree;

const ALL: &str = "linux/amd64,linux/arm64";

/// Two bases in one layout, and an image on the first of them in another.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(temp());
        for version in ["12", "13"] {
            let tree = place.0.path().join(version);
            fs::create_dir_all(tree.join("etc")).expect("writable");
            fs::write(tree.join("etc/version"), version).expect("writable");
            fs::write(tree.join(format!("only-in-{version}")), version).expect("writable");
            let tree = tree.to_str().expect("UTF-8");
            let mut build = vec!["build", "--no-cache", "--quiet", "--platform", ALL, "--rootfs", tree, "--env", "PATH=/usr/bin", "--cmd"];
            let command = format!("[\"sh-{version}\"]");
            let (env, name, layout) = (format!("VERSION={version}"), format!("registry.example/debian:{version}"), place.at("bases", ""));
            build.extend([command.as_str(), "--env", &env, "-t", &name, "-o", &layout]);
            if version == "13" {
                build.extend(["--env", "NEW=1"]);
            }
            succeeded(&build);
        }
        fs::write(place.0.path().join("program"), "program").expect("writable");
        place
    }

    fn path(&self, layout: &str) -> PathBuf {
        self.0.path().join(layout)
    }

    fn at(&self, layout: &str, name: &str) -> String {
        match name {
            "" => format!("oci:{}", self.path(layout).display()),
            name => oci(&self.path(layout), name),
        }
    }

    /// The image on a base.
    fn build(&self, layout: &str, base: &str) {
        let copy = format!("{}=/usr/bin/program", self.0.path().join("program").display());
        let (base, layout) = (self.at("bases", base), self.at(layout, ""));
        let build = ["build", "--no-cache", "--quiet", "--platform", ALL, "--base", &base, "--copy", &copy, "--entrypoint", "/usr/bin/program"];
        succeeded(&[&build[..], &["--label", "own=1", "-t", "registry.example/app:app", "-o", &layout]].concat());
    }
}

fn diff_ids(layout: &Path, architecture: &str) -> Value {
    config_of(layout, &manifest_of(layout, "app", architecture))["rootfs"]["diff_ids"].clone()
}

#[test]
fn a_rebased_image_is_the_one_that_building_it_there_makes() {
    let place = Place::new();
    place.build("apps", "12");
    place.build("expected", "13");
    let plan = ran(&["edit", &place.at("apps", "app"), "--rebase", &place.at("bases", "13"), "--dry-run", "--format", "json"]).json();
    assert_eq!(plan["brought"].as_array().map(Vec::len), Some(1), "the same on both platforms: {plan}");
    let text = succeeded(&["edit", &place.at("apps", "app"), "--rebase", &place.at("bases", "13")]).stdout;
    assert!(text.contains("brought 1 layer of the new base, "), "{text}");
    succeeded(&["verify", "--deep", "--quiet", &place.at("apps", "")]);
    assert_layout_is_sound(&place.path("apps"));
    for architecture in ["amd64", "arm64"] {
        let [apps, expected] = ["apps", "expected"].map(|layout| manifest_of(&place.path(layout), "app", architecture));
        assert_eq!((&apps["layers"], &apps["annotations"]), (&expected["layers"], &expected["annotations"]));
        let [apps, expected] = [("apps", &apps), ("expected", &expected)].map(|(layout, manifest)| config_of(&place.path(layout), manifest));
        assert_eq!((&apps["config"], &apps["rootfs"]), (&expected["config"], &expected["rootfs"]));
        assert_eq!(apps["config"]["Env"], json!(["PATH=/usr/bin", "VERSION=13", "NEW=1"]));
        let (history, last) = (apps["history"].as_array().expect("a list"), expected["history"].as_array().expect("a list"));
        assert_eq!(history[..last.len()], last[..], "steps of the new base, then its own");
        assert!(history[last.len()]["created_by"].as_str().is_some_and(|text| text.starts_with("larder edit: rebase from sha256:")), "{history:?}");
    }
    let base = &manifest_of(&place.path("apps"), "app", "amd64")["layers"][0]["digest"];
    let inode = |layout: &str| fs::metadata(blob_path(&place.path(layout), base)).expect("there").ino();
    assert_eq!(inode("apps"), inode("bases"), "on one file system it is one file");

    let single = place.path("single");
    succeeded(&["copy", "--quiet", "--platform", "linux/amd64", &place.at("apps", "app"), &oci(&single, "app")]);
    let Some(bundle) = Bundle::unpack(&single, "app") else { return };
    let tree = tree::read(&bundle.tree());
    let has = |path: &str| tree.contains_key(Path::new(path));
    assert!(has("only-in-13") && has("usr/bin/program") && !has("only-in-12"), "{:?}", tree.keys());
}

#[test]
fn a_base_from_an_archive_is_copied_and_a_wrong_one_refused() {
    let place = Place::new();
    place.build("apps", "12");
    let archive = format!("oci-archive:{}", place.path("new.tar").display());
    succeeded(&["copy", "--quiet", &place.at("bases", "13"), &format!("{archive}:registry.example/debian:13")]);
    let before = fs::read(place.path("apps").join("index.json")).expect("there");
    let app = place.at("apps", "app");
    let (wrong, right) = (place.at("bases", "13"), place.at("bases", "12"));
    for (more, exit, words) in [
        (vec!["--rebase", &archive], 4, "which the annotations say, is not in oci:"),
        (vec!["--rebase", &archive, "--old-base", &wrong], 2, "does not stand on the base"),
        (vec!["--rebase", &archive, "--old-base", &right, "--drop-layer", "1"], 2, "layer 1 is of the old base"),
        (vec!["--rebase", "oci:absent:x"], 4, "absent"),
        (vec!["--env", "A=1", "--old-base", &right], 2, "needs the old base"),
    ] {
        let ran = ran(&[&["edit", &app], &more[..], &["--format", "json"]].concat());
        let all = format!("{} {}", ran.error()["message"], ran.error()["causes"]);
        assert!(ran.code == Some(exit) && all.contains(words), "{words:?} in {ran:?}");
        assert_eq!(fs::read(place.path("apps").join("index.json")).expect("there"), before);
    }
    succeeded(&["edit", &app, "--rebase", &archive, "--old-base", &right, "--squash=base", "--normalise-timestamps"]);
    place.build("expected", "13");
    for architecture in ["amd64", "arm64"] {
        assert_eq!(diff_ids(&place.path("apps"), architecture), diff_ids(&place.path("expected"), architecture));
    }
    succeeded(&["verify", "--deep", "--quiet", &place.at("apps", "")]);
    assert_layout_is_sound(&place.path("apps"));
}

#[test]
fn what_buildah_built_says_itself_what_it_stands_on() {
    let Some(storage) = Storage::new() else { return };
    let place = Place::new();
    let file = place.path("Containerfile");
    fs::write(&file, "FROM oci:bases:12\nCOPY program /program\nENV OWN=1\n").expect("writable");
    storage.buildah(&["bud", "--quiet", "--platform", "linux/amd64", "-t", "app", "-f"]).arg(&file).arg(".").current_dir(place.path("")).succeeds();
    storage.buildah(&["push", "--quiet", "app", &place.at("apps", "app")]).succeeds();
    succeeded(&["edit", &place.at("apps", "app"), "--rebase", &place.at("bases", "13")]);
    succeeded(&["verify", "--deep", "--quiet", &place.at("apps", "app")]);
    let manifest = manifest_of(&place.path("apps"), "app", "amd64");
    assert_eq!(manifest["layers"][0]["digest"], manifest_of(&place.path("bases"), "13", "amd64")["layers"][0]["digest"]);
    let config = config_of(&place.path("apps"), &manifest);
    assert_eq!(config["config"]["Cmd"], json!(["sh-13"]));
    let (_, tree) = storage.begin(&place.path("apps"), "app");
    assert_eq!((fs::read_to_string(tree.join("etc/version")).ok().as_deref(), tree.join("program").exists()), (Some("13"), true));
}
