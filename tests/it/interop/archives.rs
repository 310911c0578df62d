//! Archives: what larder packs others read, and the other way round, with the digests that there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Skopeo, build, entries, sample, skopeo};
use crate::support::bundle::oci;
use crate::support::image::{config_of, manifest_of, ran, read_index};
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tools::tool;

const REPOSITORY: &str = "registry.example/team/hello";

/// The sample in the layout `hello`.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(temp());
        build(&place.path("hello"), &[&sample()]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}", self.path(name).display())
    }
}

#[track_caller]
fn copy(arguments: &[&str]) {
    larder().args(["copy", "--quiet"]).args(arguments).succeeds();
}

/// The digest of the only image in a layout.
fn only(layout: &Path) -> String {
    let entries = entries(layout);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].1.clone()
}

/// Config digest and diff IDs of the image for amd64 under this name.
fn identity(layout: &Path, tag: &str) -> (Value, Value) {
    let manifest = manifest_of(layout, tag, "amd64");
    let config = config_of(layout, &manifest);
    (manifest["config"]["digest"].clone(), config["rootfs"]["diff_ids"].clone())
}

/// Every name in an archive of larder's, read by skopeo.
#[track_caller]
fn skopeo_reads(skopeo: &Skopeo, archive: &str, layout: &Path) {
    for entry in read_index(layout)["manifests"].as_array().expect("a list") {
        let name = entry["annotations"][super::REF_NAME].as_str().expect("a name");
        let raw = skopeo.run(&["inspect", "--raw", &format!("{archive}:{name}")]);
        assert_eq!(raw, fs::read(crate::support::image::blob_path(layout, &entry["digest"])).expect("there"), "{name}");
    }
}

#[test]
fn arc_20_oci_archives_go_both_ways_with_skopeo() {
    let Some(skopeo) = skopeo() else { return };
    let place = Place::new();
    let (hello, digest) = (place.path("hello"), entries(&place.path("hello"))[0].1.clone());
    let ours = place.at("oci-archive", "ours.tar");
    copy(&["--all-names", &place.at("oci", "hello"), &ours]);
    skopeo_reads(&skopeo, &ours, &hello);
    skopeo.copy(&["--all"], &format!("{ours}:1.4.2"), &oci(&place.path("from-ours"), "x"));
    assert_eq!(only(&place.path("from-ours")), digest);
    assert_layout_is_sound(&place.path("from-ours"));

    let theirs = place.at("oci-archive", "theirs.tar");
    skopeo.copy(&["--all"], &oci(&hello, "1.4.2"), &format!("{theirs}:x"));
    copy(&[&theirs, &place.at("oci", "from-theirs")]);
    assert_eq!(only(&place.path("from-theirs")), digest);
    assert_layout_is_sound(&place.path("from-theirs"));

    // An archive that skopeo wrote takes more images, and skopeo reads all of them.
    copy(&[&oci(&hello, "latest"), &format!("{theirs}:y")]);
    copy(&["--all-names", &theirs, &place.at("oci", "both")]);
    assert_eq!(assert_layout_is_sound(&place.path("both")).names, ["x", "y"]);
    skopeo_reads(&skopeo, &theirs, &place.path("both"));
}

#[test]
fn arc_20_docker_archives_go_both_ways_with_skopeo() {
    let Some(skopeo) = skopeo() else { return };
    let place = Place::new();
    let hello = place.path("hello");
    let expected = identity(&hello, "1.4.2");
    let ours = place.at("docker-archive", "ours.tar");
    copy(&["--all-names", &place.at("oci", "hello"), &ours]);
    for tag in ["1.4.2", "latest"] {
        skopeo.copy(&[], &format!("{ours}:{REPOSITORY}:{tag}"), &oci(&place.path(&format!("from-ours-{tag}")), "x"));
        let layout = place.path(&format!("from-ours-{tag}"));
        assert_eq!(identity(&layout, "x").1, expected.1);
    }
    let raw: Value = serde_json::from_slice(&skopeo.run(&["inspect", "--raw", &format!("{ours}:{REPOSITORY}:latest")])).expect("JSON");
    assert_eq!(raw["config"]["digest"], expected.0, "the image ID");

    let theirs = place.at("docker-archive", "theirs.tar");
    skopeo.copy(&[], &oci(&hello, "1.4.2"), &format!("{theirs}:{REPOSITORY}:x"));
    copy(&[&theirs, &place.at("oci", "from-theirs")]);
    assert_layout_is_sound(&place.path("from-theirs"));
    let manifest = manifest_of(&place.path("from-theirs"), "x", "amd64");
    let layers: Vec<&Value> = manifest["layers"].as_array().expect("a list").iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(identity(&place.path("from-theirs"), "x"), expected);
    assert_eq!(layers, expected.1.as_array().expect("a list").iter().collect::<Vec<_>>(), "layers as they are: uncompressed");
}

#[test]
fn arc_20_podman_loads_what_larder_packs_and_larder_reads_what_podman_saves() {
    let Some(storage) = Storage::new() else { return };
    let place = Place::new();
    let expected = identity(&place.path("hello"), "1.4.2");
    let policy = place.path("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("writable");
    let load = |archive: &str| {
        let (policy, archive) = (policy.display().to_string(), place.path(archive).display().to_string());
        storage.podman(&["load", "--quiet", "--signature-policy", &policy, "-i", &archive]).succeeds()
    };
    let id = |name: &str| storage.podman(&["image", "inspect", "--format", "{{.Id}}", name]).succeeds().trim().to_owned();
    let image_id = expected.0.as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
    for (scheme, arguments) in [("oci-archive", vec![place.at("oci", "hello:1.4.2")]), ("docker-archive", vec!["--all-names".into(), place.at("oci", "hello")])]
    {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        copy(&[&arguments[..], &[&place.at(scheme, scheme)]].concat());
        let loaded = load(scheme);
        assert!(loaded.contains(&format!("{REPOSITORY}:1.4.2")), "{scheme}: {loaded}");
        assert_eq!(id(&format!("{REPOSITORY}:1.4.2")), image_id, "{scheme}");
    }
    assert_eq!(id(&format!("{REPOSITORY}:latest")), image_id, "both names of a docker-archive");

    for (format, scheme, names) in [("docker-archive", "docker-archive", 2), ("oci-archive", "oci-archive", 1)] {
        let saved = place.path(&format!("saved-{scheme}"));
        let mut save = storage.podman(&["save", "--quiet", "--format", format]);
        if names > 1 {
            save.arg("--multi-image-archive");
        }
        save.arg("-o").arg(&saved).args([format!("{REPOSITORY}:1.4.2"), format!("{REPOSITORY}:latest")].iter().take(names)).succeeds();
        let layout = place.path(&format!("from-{scheme}"));
        copy(&["--all-names", &format!("{scheme}:{}", saved.display()), &format!("oci:{}", layout.display())]);
        assert_eq!(assert_layout_is_sound(&layout).names.len(), names);
        assert_eq!(ran(&["verify", "--deep", layout.to_str().expect("UTF-8")]).code, Some(0));
        // podman compresses again for an oci-archive, and changes the history then.
        assert_eq!(identity_of_first(&layout).1, expected.1, "{scheme}");
    }
    assert_eq!(identity_of_first(&place.path("from-docker-archive")).0, expected.0);
}

fn identity_of_first(layout: &Path) -> (Value, Value) {
    let manifest = fs::read(crate::support::image::blob_path(layout, &read_index(layout)["manifests"][0]["digest"])).expect("there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let config = config_of(layout, &manifest);
    (manifest["config"]["digest"].clone(), config["rootfs"]["diff_ids"].clone())
}

/// Lists an archive with Go's `archive/tar`, which is what Docker, containerd and podman read archives with.
const GO: &str = r#"package main

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(err)
		}
		count, err := io.Copy(io.Discard, reader)
		if err != nil || count != header.Size {
			panic(err)
		}
		fmt.Println(header.Name)
	}
}
"#;

#[test]
fn the_tar_of_go_sees_one_index_in_an_archive_that_was_added_to() {
    let Some(go) = tool("go") else { return };
    let place = Place::new();
    for name in ["x", "y", "z"] {
        copy(&[&place.at("oci", "hello:1.4.2"), &format!("{}:{name}", place.at("docker-archive", "x.tar"))]);
    }
    let source = place.path("list.go");
    fs::write(&source, GO).expect("writable");
    let mut list = Command::new(go);
    list.arg("run").arg(&source).arg(place.path("x.tar")).env("GOCACHE", place.path("cache")).env("GOFLAGS", "-mod=mod").env("HOME", place.0.path());
    let listed = list.succeeds();
    for document in ["index.json", "manifest.json", "oci-layout"] {
        assert_eq!(listed.lines().filter(|name| *name == document).count(), 1, "{listed}");
    }
}
