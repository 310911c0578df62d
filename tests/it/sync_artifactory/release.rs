//! The way of a release: built for two platforms, pushed to the local repository, looked at, promoted twice, and there for both platforms.

use std::process::Command;

use serde_json::Value;

use crate::support::artifactory::{Artifactory, PASSWORD, Setup, USER};
use crate::support::desk::Desk;
use crate::support::forge::sha256;
use crate::support::image::{manifest_of, read_index};
use crate::support::process::{Runs as _, checkout};
use crate::support::snapshot::snapshot;
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

#[test]
fn a_release_is_built_pushed_promoted_and_there_for_both_platforms() {
    let (artifactory, desk) = (Artifactory::start(Setup::release()), Desk::new());
    let (host, url) = (artifactory.host(), artifactory.rest_url());
    let layout = desk.oci("layout");
    let context = checkout("testdata/hello");
    desk.larder(&["build", context.to_str().expect("UTF-8"), "--platform", "linux/amd64,linux/arm64", "--no-cache", "--quiet", "-o", &layout]).succeeds();
    let digest = read_index(&desk.home().join("layout"))["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let password = desk.home().join("password");
    std::fs::write(&password, PASSWORD).expect("writable");
    let stdin = std::fs::File::open(&password).expect("readable");
    desk.larder(&["sync", "login", &host, "-u", USER, "--password-stdin"]).stdin(stdin).succeeds();

    let report = desk.json(&["sync", "push", &format!("{layout}:latest"), &format!("docker://{host}/docker-local/multiarch-image:latest")]);
    assert_eq!(report["images"][0]["digest"], digest.as_str(), "{report}");
    // The storage view: the list under its tag, and a folder for each architecture under its digest.
    let storage = artifactory.storage();
    let list = std::fs::read(storage.join("docker-local/multiarch-image/latest/list.manifest.json")).expect("the list");
    assert_eq!(sha256(&list), digest);
    let children: Vec<Value> = serde_json::from_slice::<Value>(&list).expect("JSON")["manifests"].as_array().expect("a list").clone();
    let architectures: Vec<&str> = children.iter().filter_map(|child| child["platform"]["architecture"].as_str()).collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    for child in &children {
        let folder = storage.join("docker-local/multiarch-image").join(child["digest"].as_str().expect("a digest"));
        let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).expect("its manifest")).expect("JSON");
        for blob in manifest["layers"].as_array().expect("a list").iter().chain([&manifest["config"]]) {
            let name = blob["digest"].as_str().expect("a digest").replacen(':', "__", 1);
            assert_eq!(std::fs::metadata(folder.join(&name)).map(|file| file.len()).ok(), blob["size"].as_u64(), "{name}");
        }
    }

    let before = snapshot(&storage.join("docker-local"));
    let promote = |more: &[&str]| {
        let words = ["sync", "promote", "--copy", "multiarch-image", "docker-local", "docker-target", "--url", &url];
        desk.json(&[&words, more].concat())
    };
    let all = promote(&["--yes"]);
    assert_eq!((&all["by"], &all["tags"][0]["target_tag"]), (&"artifactory".into(), &"latest".into()), "{all}");
    let renamed = promote(&["--source-tag", "latest", "--target-tag", "latest-new"]);
    assert_eq!((&renamed["by"], &renamed["tags"][0]["target_tag"]), (&"artifactory".into(), &"latest-new".into()), "{renamed}");
    crate::support::snapshot::assert_same(&before, &snapshot(&storage.join("docker-local")), "a promotion with --copy");

    for tag in ["latest", "latest-new"] {
        let list = std::fs::read(storage.join(format!("docker-target/multiarch-image/{tag}/list.manifest.json"))).expect("the list");
        assert_eq!(sha256(&list), digest, "{tag}");
        let place = format!("docker://{host}/docker-target/multiarch-image:{tag}");
        desk.json(&["sync", "pull", &place, &desk.oci(tag)]);
        let pulled = desk.home().join(tag);
        assert_layout_is_sound(&pulled);
        assert_eq!(read_index(&pulled)["manifests"][0]["digest"], digest.as_str());
        for architecture in ["amd64", "arm64"] {
            assert_eq!(manifest_of(&pulled, tag, architecture), manifest_of(&desk.home().join("layout"), "latest", architecture));
            skopeo_takes(&desk, &place, architecture);
        }
    }
    let list = desk.json(&["sync", "list", &format!("docker://{host}/docker-target/multiarch-image")]);
    assert_eq!(list["tags"], serde_json::json!(["latest", "latest-new"]));
}

/// Whether skopeo gets the image for this architecture, whole.
#[track_caller]
fn skopeo_takes(desk: &Desk, place: &str, architecture: &str) {
    let Some(skopeo) = tool("skopeo") else { return };
    let out = desk.home().join(format!("skopeo-{architecture}"));
    let mut copy = Command::new(skopeo);
    copy.args(["--insecure-policy", "--override-arch", architecture, "copy", "--quiet", "--src-tls-verify=false"]);
    copy.args(["--src-creds", &format!("{USER}:{PASSWORD}"), place, &format!("dir:{}", out.display())]).succeeds();
    let manifest: Value = serde_json::from_slice(&std::fs::read(out.join("manifest.json")).expect("there")).expect("JSON");
    let config = manifest["config"]["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest").to_owned();
    let config: Value = serde_json::from_slice(&std::fs::read(out.join(config)).expect("there")).expect("JSON");
    assert_eq!(config["architecture"], architecture);
    std::fs::remove_dir_all(out).expect("ours");
}
