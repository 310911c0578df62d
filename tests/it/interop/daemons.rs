//! Archives in the daemons that most people have: Docker's own store and containerd, which is also the store of newer ones of Docker's.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{build, entries, sample};
use crate::support::daemon::Daemon;
use crate::support::forge::Forge;
use crate::support::image::{blob_path, config_of, manifest_of, read_index, succeeded};
use crate::support::layers::{image, location, thirty};
use crate::support::sound::assert_layout_is_sound;

const REPOSITORY: &str = "registry.example/team/hello";

/// All content of a layout, by its digests.
fn content(layout: &Path) -> BTreeSet<String> {
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).expect("there");
    blobs.map(|blob| format!("sha256:{}", blob.expect("an entry").file_name().to_str().expect("UTF-8"))).collect()
}

/// Config digest and diff IDs of a manifest.
fn identity(layout: &Path, manifest: &Value) -> (String, Value) {
    let config = config_of(layout, manifest);
    (manifest["config"]["digest"].as_str().expect("a digest").to_owned(), config["rootfs"]["diff_ids"].clone())
}

/// The sample under its two names in the layout `hello`, and the archives that it is packed into.
fn packed(home: &Path) -> [String; 2] {
    build(&home.join("hello"), &[&sample()]);
    ["oci-archive", "docker-archive"].map(|scheme| {
        let file = home.join(scheme).display().to_string();
        succeeded(&["copy", "--quiet", "--all-names", &format!("oci:{}", home.join("hello").display()), &format!("{scheme}:{file}")]);
        file
    })
}

#[test]
fn arc_20_containerd_imports_both_archives_with_all_platforms_and_larder_reads_what_it_exports() {
    let Some(containerd) = Daemon::containerd() else { return };
    let hello = containerd.home().join("hello");
    let names = ["1.4.2", "latest"].map(|tag| format!("{REPOSITORY}:{tag}"));
    for (number, archive) in packed(containerd.home()).iter().enumerate() {
        let space = format!("space-{number}");
        let ctr = |arguments: &[&str]| containerd.told(&[&["--namespace", &space], arguments].concat());
        ctr(&["images", "import", "--all-platforms", "--no-unpack", archive]);
        let listed = ctr(&["images", "list"]);
        let images: BTreeSet<(&str, &str)> =
            listed.lines().skip(1).filter_map(|line| Some((line.split_whitespace().next()?, line.split_whitespace().nth(2)?))).collect();
        let digest = entries(&hello)[0].1.clone();
        assert_eq!(images, names.iter().map(|name| (name.as_str(), digest.as_str())).collect(), "{archive}: {listed}");
        assert!(listed.lines().skip(1).all(|line| ["linux/amd64", "linux/arm64", "linux/arm/v7"].iter().all(|platform| line.contains(platform))), "{listed}");
        // Beside the content it keeps the archive's own index.
        let kept: BTreeSet<String> = ctr(&["content", "list", "--quiet"]).lines().map(str::to_owned).collect();
        assert!(kept.is_superset(&content(&hello)), "{archive}: {kept:?}");

        let (exported, back) = (containerd.home().join(format!("exported-{number}")), containerd.home().join(format!("back-{number}")));
        ctr(&["images", "export", "--all-platforms", exported.to_str().expect("UTF-8"), &names[0], &names[1]]);
        succeeded(&["copy", "--quiet", "--all-names", &format!("oci-archive:{}", exported.display()), &format!("oci:{}", back.display())]);
        assert_eq!(assert_layout_is_sound(&back).names, ["1.4.2", "latest"]);
        assert_eq!((content(&back), entries(&back)), (content(&hello), entries(&hello)));
    }
}

#[test]
fn arc_20_containerd_unpacks_thirty_layers() {
    let Some(containerd) = Daemon::containerd() else { return };
    let forge: Forge = image(&thirty());
    for scheme in ["oci-archive", "docker-archive"] {
        let file = containerd.home().join(scheme).display().to_string();
        succeeded(&["copy", "--quiet", &location(&forge), &format!("{scheme}:{file}"), "-t", &format!("{REPOSITORY}:{scheme}")]);
        // It compares every layer with its diff ID.
        let ctr = |arguments: &[&str]| containerd.told(&[&["--namespace", scheme], arguments].concat());
        ctr(&["images", "import", "--platform", "linux/amd64", "--snapshotter", "native", &file]);
        assert_eq!(ctr(&["snapshots", "--snapshotter", "native", "list"]).lines().skip(1).count(), 30, "{scheme}");
    }
}

#[test]
fn arc_20_docker_loads_what_larder_packs_and_larder_reads_what_docker_saves() {
    let Some(docker) = Daemon::docker() else { return };
    let hello = docker.home().join("hello");
    let [_, archive] = packed(docker.home());
    let (id, diff_ids) = identity(&hello, &manifest_of(&hello, "1.4.2", "amd64"));
    let names = ["1.4.2", "latest"].map(|tag| format!("{REPOSITORY}:{tag}"));
    let loaded = docker.told(&["load", "--input", &archive]);
    assert!(names.iter().all(|name| loaded.lines().any(|line| line == format!("Loaded image: {name}"))), "{loaded}");
    for name in &names {
        let told: Value = serde_json::from_str(&docker.told(&["image", "inspect", "--format", "{{json .}}", name])).expect("JSON");
        assert_eq!((told["Id"].as_str(), &told["RootFS"]["Layers"]), (Some(&*id), &diff_ids), "{name}");
    }

    let forge: Forge = image(&thirty());
    let thirty = docker.home().join("thirty").display().to_string();
    succeeded(&["copy", "--quiet", &location(&forge), &format!("docker-archive:{thirty}"), "-t", "registry.example/team/thirty:1"]);
    docker.told(&["load", "--input", &thirty]);

    let (saved, back) = (docker.home().join("saved"), docker.home().join("back"));
    docker.told(&["save", "--output", saved.to_str().expect("UTF-8"), &names[0], &names[1], "registry.example/team/thirty:1"]);
    succeeded(&["copy", "--quiet", "--all-names", &format!("docker-archive:{}", saved.display()), &format!("oci:{}", back.display())]);
    assert_layout_is_sound(&back);
    succeeded(&["verify", "--deep", "--quiet", back.to_str().expect("UTF-8")]);
    let index = read_index(&back);
    let expected = identity(forge.path(), &manifest_of(forge.path(), "image", "amd64"));
    for entry in index["manifests"].as_array().expect("a list") {
        let manifest: Value = serde_json::from_slice(&std::fs::read(blob_path(&back, &entry["digest"])).expect("there")).expect("JSON");
        let name = entry["annotations"]["io.containerd.image.name"].as_str().expect("a name");
        let expected = if name.contains("thirty") { expected.clone() } else { (id.clone(), diff_ids.clone()) };
        assert_eq!(identity(&back, &manifest), expected, "{name}");
    }
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(3));
}
