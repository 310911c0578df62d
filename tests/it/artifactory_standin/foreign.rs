//! Tools that know nothing of the stand-in take it for a registry.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Client, view};
use crate::support::artifactory::{Artifactory, PASSWORD, Setup, USER};
use crate::support::bundle::oci;
use crate::support::image::read_index;
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tools::tool;

/// The sample, which is for three platforms, under this tag.
fn sample(layout: &Path) -> String {
    larder().arg("build").arg(checkout("testdata/hello")).args(["--no-cache", "--quiet", "-t", "1", "-o"]).arg(format!("oci:{}", layout.display())).succeeds();
    read_index(layout)["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
}

fn skopeo(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("--insecure-policy").args(arguments);
    command
}

#[test]
fn skopeo_pushes_copies_lists_and_pulls_all_platforms() {
    let (Some(program), home) = (tool("skopeo"), temp()) else { return };
    let (from, to) = (home.path().join("from"), home.path().join("to"));
    let digest = sample(&from);
    let name = oci(&from, read_index(&from)["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name"));
    for set_up in [
        Setup::release(),
        Setup::release().switch(|switches| switches.s3_redirect = Some(307)),
        Setup::release().switch(|switches| switches.legacy_monolithic_404 = true),
    ] {
        let artifactory = Artifactory::start(set_up);
        let image = |repository: &str, tag: &str| format!("docker://{}/{repository}/team/hello:{tag}", artifactory.host());
        let login = format!("{USER}:{PASSWORD}");
        let copy = |source: &str, target: &str| {
            let mut copy = skopeo(&program, &["copy", "--quiet", "--all", "--preserve-digests"]);
            copy.args(["--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", &login, "--dest-creds", &login, source, target]).succeeds()
        };
        copy(&name, &image("docker-local", "1"));
        let local = Client::new(&artifactory, "docker-local");
        assert_eq!(local.digest("team/hello", "1"), digest);
        let files = view(&artifactory, "docker-local/team/hello");
        assert!(files.contains(&"1/list.manifest.json".to_owned()), "{files:?}");
        assert_eq!(files.iter().filter(|file| file.starts_with("sha256:") && file.ends_with("/manifest.json")).count(), 3, "{files:?}");
        let sent = artifactory.take_log().iter().map(|entry| entry.received).sum::<u64>();
        copy(&image("docker-local", "1"), &image("docker-target", "2"));
        let again = artifactory.take_log().iter().map(|entry| entry.received).sum::<u64>();
        assert!(sent > 0 && again > 0, "{sent} {again}");
        let mut list = skopeo(&program, &["list-tags", "--tls-verify=false", "--creds", &login]);
        let list: Value = serde_json::from_str(&list.arg(format!("docker://{}/docker-target/team/hello", artifactory.host())).succeeds()).expect("JSON");
        assert_eq!(list["Tags"], serde_json::json!(["2"]));
        copy(&image("docker-target", "2"), &oci(&to, "back"));
        assert_eq!(read_index(&to)["manifests"][0]["digest"].as_str(), Some(digest.as_str()));
        assert_layout_is_sound(&to);
        std::fs::remove_dir_all(&to).expect("ours");
    }
}

#[test]
fn podman_pulls_what_skopeo_pushed_and_pushes_it_elsewhere() {
    let (Some(program), Some(storage), home) = (tool("skopeo"), Storage::new(), temp()) else { return };
    let layout = home.path().join("layout");
    sample(&layout);
    let name = oci(&layout, read_index(&layout)["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name"));
    let artifactory = Artifactory::start(Setup::release());
    let login = format!("{USER}:{PASSWORD}");
    let image = |repository: &str| format!("{}/{repository}/hello:1", artifactory.host());
    let mut push = skopeo(&program, &["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds", &login]);
    push.args([&name, &format!("docker://{}", image("docker-local"))]).succeeds();
    let id = storage.podman(&["pull", "--quiet", "--tls-verify=false", "--creds", &login, &image("docker-local")]).succeeds();
    storage.podman(&["tag", id.trim(), &image("docker-target")]).succeeds();
    storage.podman(&["push", "--quiet", "--tls-verify=false", "--creds", &login, &image("docker-target")]).succeeds();
    let files = view(&artifactory, "docker-target/hello/1");
    assert!(files.contains(&"manifest.json".to_owned()) && files.iter().filter(|file| file.starts_with("sha256__")).count() >= 2, "{files:?}");
}
