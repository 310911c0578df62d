//! Promotion, on a stand-in for Artifactory and between registries, looked at with skopeo and in what the server stored.

mod login;
mod refused;
mod way;

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::artifactory::{API_KEY, Artifactory, PASSWORD, Setup, USER};
use crate::support::http::Ask;
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::tools::tool;

/// An image for three platforms, in a layout that every test reads.
static LAYOUT: LazyLock<TempDir> = LazyLock::new(|| {
    let layout = temp();
    larder().arg("build").arg(checkout("testdata/hello")).arg("-o").arg(format!("oci:{}", layout.path().join("hello").display())).succeeds();
    layout
});

/// The platforms of that image, as larder and as skopeo want them.
const PLATFORMS: [(&str, &[&str]); 3] = [
    ("linux/amd64", &["--override-arch", "amd64"]),
    ("linux/arm64", &["--override-arch", "arm64"]),
    ("linux/arm/v7", &["--override-arch", "arm", "--override-variant", "v7"]),
];

/// An Artifactory, and tools that look at it.
struct Sample {
    artifactory: Artifactory,
}

impl Sample {
    /// With the image as `docker-local/app:1`. `None` after saying that the test is skipped.
    #[track_caller]
    fn new(setup: Setup) -> Option<Sample> {
        tool("skopeo")?;
        let sample = Sample { artifactory: Artifactory::start(setup) };
        sample.push("docker-local/app:1");
        Some(sample)
    }

    /// Pushes the image.
    #[track_caller]
    fn push(&self, image: &str) {
        push(&self.artifactory.host(), image);
        self.artifactory.take_log();
    }

    /// The digest that a tag stands on, or nothing.
    fn digest(&self, image: &str) -> Option<String> {
        digest(&self.artifactory.host(), image)
    }

    /// larder with the password in the environment.
    fn promote(&self, arguments: &[&str]) -> Command {
        let mut command = larder();
        command.args(["sync", "promote", "--url", &self.artifactory.rest_url()]).args(arguments);
        command.env("LARDER_USER", USER).env("LARDER_PASSWORD", PASSWORD);
        command
    }

    /// What larder reports of a promotion that succeeds.
    #[track_caller]
    fn report(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.promote(arguments).args(["--format", "json"]).succeeds()).expect("one document")
    }

    /// How many promotions were asked for.
    fn asked(&self) -> usize {
        self.artifactory.log().iter().filter(|entry| entry.method == "POST" && entry.path.ends_with("/promote")).count()
    }

    /// Proves that every platform can be pulled, by skopeo, down to its layers.
    #[track_caller]
    fn assert_pullable(&self, image: &str) {
        let place = temp();
        for (platform, choice) in PLATFORMS {
            let to = format!("dir:{}", place.path().join(platform.replace('/', "-")).display());
            let mut skopeo = Command::new("skopeo");
            skopeo.args(choice).args(["copy", "--src-tls-verify=false", "--src-creds", &format!("{USER}:{PASSWORD}")]);
            skopeo.arg(format!("docker://{}/{image}", self.artifactory.host())).arg(to).succeeds();
        }
    }
}

#[track_caller]
fn push(host: &str, image: &str) {
    let from = format!("oci:{}:1.4.2", LAYOUT.path().join("hello").display());
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--all", "--quiet", "--dest-tls-verify=false", "--dest-creds", &format!("{USER}:{PASSWORD}")]);
    skopeo.arg(from).arg(format!("docker://{host}/{image}")).succeeds();
}

fn digest(host: &str, image: &str) -> Option<String> {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--raw", "--tls-verify=false", "--creds", &format!("{USER}:{PASSWORD}")]).arg(format!("docker://{host}/{image}"));
    let output = skopeo.output().expect("skopeo runs");
    output.status.success().then(|| crate::support::forge::sha256(&output.stdout))
}

/// The digests of the images in an index of the layout, by the platform as Artifactory writes it behind a tag.
fn children() -> Vec<(String, String)> {
    let raw = larder().args(["inspect", "--raw"]).arg(format!("oci:{}:1.4.2", LAYOUT.path().join("hello").display())).succeeds();
    let index: Value = serde_json::from_str(&raw).expect("an index");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let children = index["manifests"].as_array().expect("a list").iter();
    let children = children.filter(|child| child["platform"]["os"] == "linux");
    children
        .map(|child| (format!("linux-{}{}", text(&child["platform"]["architecture"]), text(&child["platform"]["variant"])), text(&child["digest"])))
        .collect()
}

#[test]
fn a_copy_arrives_as_it_was_with_every_platform() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let digest = sample.digest("docker-local/app:1").expect("pushed");
    let report = sample.report(&["app", "--copy", "docker-local", "--source-tag", "1", "docker-target"]);
    assert_eq!(
        (&report["by"], &report["manner"], &report["source"], &report["target"]),
        (&"artifactory".into(), &"copy".into(), &"docker-local/app".into(), &"docker-target/app".into())
    );
    let tag = &report["tags"][0];
    assert_eq!((&tag["source_tag"], &tag["target_tag"], &tag["digest"], &tag["unchanged"]), (&"1".into(), &"1".into(), &digest.as_str().into(), &false.into()));
    assert_eq!(tag["platforms"], serde_json::json!(PLATFORMS.map(|(platform, _)| platform)));
    assert_eq!(report["warnings"], serde_json::json!([]));
    assert_eq!(sample.digest("docker-target/app:1"), Some(digest.clone()));
    assert_eq!(sample.digest("docker-local/app:1"), Some(digest));
    sample.assert_pullable("docker-target/app:1");
    let stored = sample.artifactory.storage().join("docker-target/app");
    assert!(stored.join("1/list.manifest.json").is_file());
    for (_, child) in children() {
        assert!(stored.join(&child).join("manifest.json").is_file(), "{child}");
    }
}

#[test]
fn the_journey_of_a_release_keeps_its_digest_under_every_name() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    sample.push("docker-local/multiarch-image:latest");
    let digest = sample.digest("docker-local/multiarch-image:latest");
    let words = ["multiarch-image", "docker-local", "docker-target"];
    sample.promote(&["--copy", "--source-tag", "latest"]).args(words).succeeds();
    let told =
        sample.promote(&["--copy", "--source-tag", "latest", "--target-tag", "latest-new", "--target-docker-image", "team/other"]).args(words).succeeds();
    assert!(told.contains("latest-new") && told.contains("linux/amd64, linux/arm64, linux/arm/v7") && told.contains("by the server"), "{told}");
    assert_eq!(sample.digest("docker-target/multiarch-image:latest"), digest);
    assert_eq!(sample.digest("docker-target/team/other:latest-new"), digest);
    assert_eq!(sample.digest("docker-target/team/other:latest"), None);
    sample.assert_pullable("docker-target/team/other:latest-new");
}

#[test]
fn what_is_there_already_is_not_promoted_again_and_proved_all_the_same() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let arguments = ["--copy", "--source-tag", "1", "app", "docker-local", "docker-target"];
    sample.report(&arguments);
    let report = sample.report(&arguments);
    assert_eq!((&report["tags"][0]["unchanged"], sample.asked()), (&true.into(), 1));
    // An index alone is not an image.
    let folder = format!("/artifactory/docker-target/app/{}", children()[0].1.replace(':', "%3A"));
    let key = Ask::new(&sample.artifactory.host(), "DELETE", &folder).header("X-JFrog-Art-Api", API_KEY);
    assert_eq!(key.send().status, 204);
    sample.report(&arguments);
    assert_eq!(sample.asked(), 2);
    sample.assert_pullable("docker-target/app:1");
}

#[test]
fn a_tag_that_stood_on_something_else_is_told() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let arm = format!("docker-target/app@{}", children()[0].1);
    sample.report(&["--copy", "--source-tag", "1", "--target-tag", "old", "app", "docker-local", "docker-target"]);
    let mut skopeo = Command::new("skopeo");
    let creds = format!("{USER}:{PASSWORD}");
    skopeo.args(["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", &creds, "--dest-creds", &creds]);
    let host = sample.artifactory.host();
    skopeo.arg(format!("docker://{host}/{arm}")).arg(format!("docker://{host}/docker-target/app:1")).succeeds();
    let plan = sample.report(&["--dry-run", "--copy", "--source-tag", "1", "app", "docker-local", "docker-target"]);
    assert_eq!((&plan["tags"][0]["moved_from"], sample.asked()), (&children()[0].1.as_str().into(), 1));
    let report = sample.report(&["--copy", "--source-tag", "1", "app", "docker-local", "docker-target"]);
    assert_eq!(report["tags"][0]["moved_from"], children()[0].1);
    assert_eq!(sample.digest("docker-target/app:1"), sample.digest("docker-local/app:1"));
}

#[test]
fn a_move_and_all_tags_want_a_confirmation() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let words = ["app", "docker-local", "docker-target"];
    for arguments in [&["--source-tag", "1"][..], &["--copy"], &[]] {
        let told = sample.promote(arguments).args(words).fails_with(2);
        assert!(told.contains("add --yes"), "{told}");
    }
    assert!(sample.artifactory.log().is_empty(), "nothing is asked before it is clear that it is wanted");
    let plan = sample.report(&["--dry-run", "--source-tag", "1", "app", "docker-local", "docker-target"]);
    assert_eq!((&plan["manner"], sample.asked()), (&"move".into(), 0));
}

#[test]
fn a_move_leaves_nothing_behind() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let digest = sample.digest("docker-local/app:1");
    let report = sample.report(&["--yes", "--source-tag", "1", "app", "docker-local", "docker-target"]);
    assert_eq!((&report["manner"], &report["warnings"]), (&"move".into(), &serde_json::json!([])));
    assert_eq!((sample.digest("docker-local/app:1"), sample.digest("docker-target/app:1")), (None, digest));
    sample.assert_pullable("docker-target/app:1");
    let told = sample.promote(&["--yes", "--source-tag", "1", "app", "docker-local", "docker-target"]).fails_with(4);
    assert!(told.contains("docker-local/app:1"), "{told}");
}

#[test]
fn all_tags_go_and_each_is_proved() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    sample.push("docker-local/app:2");
    let report = sample.report(&["--copy", "--yes", "app", "docker-local", "docker-target"]);
    let tags: Vec<&str> = report["tags"].as_array().expect("a list").iter().filter_map(|tag| tag["target_tag"].as_str()).collect();
    assert_eq!((tags, sample.asked()), (vec!["1", "2"], 1));
    assert!(sample.digest("docker-target/app:2").is_some());
}

#[test]
fn an_architecture_gets_a_tag_of_its_own_when_that_is_asked_for() {
    for version in ["7.104.1", "7.125.4"] {
        let Some(sample) = Sample::new(Setup::release().version(version)) else { return };
        let report = sample.report(&["--copy", "--arch-tags", "--source-tag", "1", "--target-tag", "2", "app", "docker-local", "docker-target"]);
        let expected: Vec<String> = children().iter().map(|(suffix, _)| format!("2-{suffix}")).collect();
        assert_eq!(report["tags"][0]["arch_tags"], serde_json::json!(expected), "{version}");
        for (suffix, child) in children() {
            assert_eq!(sample.digest(&format!("docker-target/app:2-{suffix}")), Some(child), "{version}");
        }
        sample.assert_pullable("docker-target/app:2");
    }
}

#[test]
fn a_move_takes_the_tags_of_architectures_along() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    sample.report(&["--copy", "--arch-tags", "--source-tag", "1", "--target-docker-image", "moved", "app", "docker-local", "docker-local"]);
    sample.report(&["--yes", "--arch-tags", "--source-tag", "1", "--target-tag", "2", "moved", "docker-local", "docker-target"]);
    for (suffix, child) in children() {
        assert_eq!(sample.digest(&format!("docker-target/moved:2-{suffix}")), Some(child));
        assert_eq!(sample.digest(&format!("docker-local/moved:1-{suffix}")), None);
    }
}

/// A file of a person's home for the larder that is run.
fn write(home: &Path, name: &str, text: &str) {
    let path = home.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    std::fs::write(&path, text).expect("writable");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
}
