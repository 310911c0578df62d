//! One image of everything on the way through all tools: thirty layers with whiteouts and hard links across them, two platforms, gzip and zstd, an attestation, and an index in
//! an index.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{REF_NAME, assert_clean, skopeo};
use crate::support::bundle::{Bundle, oci};
use crate::support::forge::{Forge, INDEX, MANIFEST};
use crate::support::image::{blob_path, config_of, manifest_of, read_index, succeeded};
use crate::support::layers::{image, thirty};
use crate::support::process::{Runs as _, temp};
use crate::support::storage::Storage;
use crate::support::tools::root;
use crate::support::tree::{self, Kind, Tree};

/// The layout, and a place for others.
struct Rich {
    forge: Forge,
    home: TempDir,
}

fn entry_of(layout: &Path, name: &str) -> Value {
    let index = read_index(layout);
    let entries = index["manifests"].as_array().expect("a list");
    entries.iter().find(|entry| entry["annotations"][REF_NAME] == name).unwrap_or_else(|| panic!("{name} is there: {index}")).clone()
}

fn digest_of(layout: &Path, name: &str) -> String {
    entry_of(layout, name)["digest"].as_str().expect("a digest").to_owned()
}

impl Rich {
    /// `amd64` is the image of thirty layers, `rich` the index with everything and `nested` an index around that.
    fn new() -> Rich {
        let rich = Rich { forge: image(&thirty()), home: temp() };
        let (forge, layout) = (&rich.forge, rich.forge.path());
        let tree = rich.path("tree");
        fs::create_dir_all(tree.join("etc")).expect("writable");
        fs::write(tree.join("etc/file"), "of another machine\n".repeat(1000)).expect("writable");
        let out = format!("oci:{}", layout.display());
        succeeded(&["edit", &oci(layout, "image"), "-t", "amd64", "--compression", "gzip"]);
        let tree = tree.to_str().expect("UTF-8");
        succeeded(&["build", "--no-cache", "--quiet", "--platform", "linux/arm64", "--rootfs", tree, "--compression", "zstd", "-t", "x.y/z:arm64", "-o", &out]);
        let child = |name: &str, architecture: &str| {
            let entry = entry_of(layout, name);
            json!({"mediaType": MANIFEST, "digest": entry["digest"], "size": entry["size"], "platform": {"os": "linux", "architecture": architecture}})
        };
        let (amd64, arm64) = (child("amd64", "amd64"), child("arm64", "arm64"));
        let statement = forge.put("application/vnd.in-toto+json", br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#);
        let config = forge.document(
            "application/vnd.oci.image.config.v1+json",
            &json!({"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]}}),
        );
        let mut proof = forge.document(MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement]}));
        proof["platform"] = json!({"architecture": "unknown", "os": "unknown"});
        proof["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd64["digest"]});
        let index = forge.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64, arm64, proof], "annotations": {"k": "v"}}));
        forge.enter("rich", &index);
        forge.enter("nested", &forge.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64, index]})));
        rich
    }

    fn layout(&self) -> &Path {
        self.forge.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn archive(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}", self.path(name).display())
    }

    /// Config digest and diff IDs of the image of thirty layers.
    fn identity(&self) -> (Value, Value) {
        identity(self.layout(), "amd64")
    }
}

fn identity(layout: &Path, name: &str) -> (Value, Value) {
    let manifest = manifest_of(layout, name, "amd64");
    let config = config_of(layout, &manifest);
    (manifest["config"]["digest"].clone(), config["rootfs"]["diff_ids"].clone())
}

#[track_caller]
fn copy(from: &str, to: &str) {
    succeeded(&["copy", "--quiet", from, to]);
}

#[test]
fn arc_20_skopeo_and_larder_hand_an_index_of_everything_to_each_other_with_its_digest() {
    let Some(skopeo) = skopeo() else { return };
    let rich = Rich::new();
    let expected = digest_of(rich.layout(), "rich");
    let ours = oci(rich.layout(), "rich");
    // Layouts.
    skopeo.copy(&["--all", "--preserve-digests"], &ours, &oci(&rich.path("theirs"), "x"));
    copy(&oci(&rich.path("theirs"), "x"), &oci(&rich.path("back"), "x"));
    assert_eq!((digest_of(&rich.path("theirs"), "x"), digest_of(&rich.path("back"), "x")), (expected.clone(), expected.clone()));
    assert_clean(&rich.path("back"));
    // Archives that larder packs.
    let packed = rich.archive("oci-archive", "packed.tar");
    copy(&ours, &format!("{packed}:x"));
    skopeo.copy(&["--all", "--preserve-digests"], &format!("{packed}:x"), &oci(&rich.path("unpacked"), "x"));
    assert_eq!(digest_of(&rich.path("unpacked"), "x"), expected);
    // Archives that skopeo packs.
    let theirs = rich.archive("oci-archive", "theirs.tar");
    skopeo.copy(&["--all", "--preserve-digests"], &ours, &format!("{theirs}:x"));
    copy(&theirs, &oci(&rich.path("from-theirs"), "x"));
    assert_eq!(digest_of(&rich.path("from-theirs"), "x"), expected);
    for layout in ["unpacked", "from-theirs"] {
        assert_clean(&rich.path(layout));
    }
}

#[test]
fn arc_20_thirty_layers_go_through_docker_archives_of_skopeo_and_podman() {
    let (Some(skopeo), Some(storage)) = (skopeo(), Storage::new()) else { return };
    let rich = Rich::new();
    let expected = rich.identity();
    let ours = rich.archive("docker-archive", "ours.tar");
    copy(&oci(rich.layout(), "amd64"), &format!("{ours}:x.y/z:1"));
    skopeo.copy(&[], &format!("{ours}:x.y/z:1"), &oci(&rich.path("from-ours"), "x"));
    assert_eq!(identity(&rich.path("from-ours"), "x").1, expected.1);
    let theirs = rich.archive("docker-archive", "theirs.tar");
    skopeo.copy(&[], &oci(rich.layout(), "amd64"), &format!("{theirs}:x.y/z:1"));
    copy(&theirs, &oci(&rich.path("from-theirs"), "x"));
    assert_eq!(identity(&rich.path("from-theirs"), "x"), expected);

    let policy = rich.path("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("writable");
    let (policy, file) = (policy.display().to_string(), rich.path("ours.tar").display().to_string());
    storage.podman(&["load", "--quiet", "--signature-policy", &policy, "-i", &file]).succeeds();
    let id = storage.podman(&["image", "inspect", "--format", "{{.Id}}", "x.y/z:1"]).succeeds();
    assert_eq!(format!("sha256:{}", id.trim()), expected.0);
    let saved = rich.path("saved.tar");
    storage.podman(&["save", "--quiet", "--format", "docker-archive", "-o", saved.to_str().expect("UTF-8"), "x.y/z:1"]).succeeds();
    copy(&rich.archive("docker-archive", "saved.tar"), &oci(&rich.path("from-saved"), "x"));
    assert_eq!(identity(&rich.path("from-saved"), "x"), expected);
    for layout in ["from-theirs", "from-saved"] {
        assert_clean(&rich.path(layout));
    }
}

#[test]
fn umoci_buildah_and_larder_unpack_the_thirty_layers_to_one_tree() {
    let (true, Some(storage)) = (root(), Storage::new()) else { return };
    let rich = Rich::new();
    let own = rich.path("own");
    succeeded(&["unpack", "--strict", "--quiet", &oci(rich.layout(), "amd64"), own.to_str().expect("UTF-8")]);
    let expected = tree::read(&own);
    assert!(expected.len() > 40 && expected.contains_key(Path::new("many/link-25")), "{:?}", expected.keys());
    let Some(bundle) = Bundle::unpack(rich.layout(), "amd64") else { return };
    tree::assert_same(&tree::read(&bundle.tree()), &expected);
    // buildah takes it out of an archive, and gives it back.
    copy(&oci(rich.layout(), "amd64"), &format!("{}:x", rich.archive("oci-archive", "x.tar")));
    copy(&rich.archive("oci-archive", "x.tar"), &oci(&rich.path("again"), "x"));
    let (container, place) = storage.begin(&rich.path("again"), "x");
    // Deleting changes the times of directories there.
    let timeless = |mut tree: Tree| {
        tree.values_mut().filter(|node| node.kind == Kind::Directory).for_each(|node| node.mtime = 0);
        tree
    };
    tree::assert_same(&timeless(tree::read(&place)), &timeless(expected));
    storage.buildah(&["commit", "--quiet", "--disable-compression=false", &container, &oci(&rich.path("committed"), "x")]).succeeds();
    assert_clean(&rich.path("committed"));
    let diff_ids = identity(&rich.path("committed"), "x").1;
    assert_eq!(diff_ids.as_array().expect("a list")[..30], rich.identity().1.as_array().expect("a list")[..]);
}

#[test]
fn lay_52_an_index_in_an_index_stays_one_and_podman_finds_its_platform() {
    let Some(storage) = Storage::new() else { return };
    let rich = Rich::new();
    let expected = digest_of(rich.layout(), "nested");
    let archive = rich.archive("oci-archive", "nested.tar");
    copy(&oci(rich.layout(), "nested"), &format!("{archive}:x"));
    copy(&archive, &oci(&rich.path("back"), "x"));
    assert_eq!(digest_of(&rich.path("back"), "x"), expected);
    assert_clean(&rich.path("back"));
    if cfg!(target_arch = "x86_64") {
        let id = storage.pull(&rich.path("back"), "x");
        assert_eq!(json!(format!("sha256:{id}")), rich.identity().0);
    }
    // Everything that it led to has come along.
    let proof = manifest_of(&rich.path("back"), "x", "amd64");
    assert!(blob_path(&rich.path("back"), &proof["config"]["digest"]).exists());
    let blobs = |layout: &Path| fs::read_dir(layout.join("blobs/sha256")).expect("there").count();
    // The source has its uncompressed image too: thirty layers, its manifest; the config is the same.
    assert_eq!(blobs(&rich.path("back")) + 31, blobs(rich.layout()));
}
