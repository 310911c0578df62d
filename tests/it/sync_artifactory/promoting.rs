//! Promotion where it is difficult. Whatever the server does, larder looks afterwards.

use serde_json::{Value, json};

use super::Scene;
use crate::support::artifactory::{ACCESS_TOKEN, API_KEY, PASSWORD, Setup, USER, WRITER, WRITER_PASSWORD};
use crate::support::desk::Desk;

/// Promotes `app` from `docker-local`.
fn words<'a>(target: &'a str, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["sync", "promote", "app", "docker-local", target, "--url", url], more].concat()
}

#[track_caller]
fn promoted(scene: &Scene, more: &[&str]) -> Value {
    scene.desk.json(&words("docker-target", &scene.artifactory.rest_url(), more))
}

#[track_caller]
fn refused(scene: &Scene, target: &str, more: &[&str], code: &str) -> String {
    scene.desk.fails(&words(target, &scene.artifactory.rest_url(), more), code)
}

const COPY: &[&str] = &["--copy", "--source-tag", "1"];

#[test]
fn what_cannot_be_undone_is_asked_for_first() {
    let scene = Scene::new(Setup::release());
    scene.push("docker-local/app:1");
    for more in [&["--source-tag", "1"][..], &["--copy"], &[]] {
        let text = refused(&scene, "docker-target", more, "usage");
        assert!(text.contains("--yes"), "{text}");
    }
    let planned = promoted(&scene, &["--dry-run"]);
    assert_eq!(planned["tags"][0]["digest"], scene.digest(0));
    assert_eq!((scene.stored("docker-target/app/1"), scene.asked("POST", "/promote").len()), (String::new(), 0));
    promoted(&scene, &["--source-tag", "1", "--target-tag", "2", "--yes"]);
    assert_eq!((scene.stored("docker-local/app/1"), scene.stored("docker-target/app/2").as_str()), (String::new(), scene.digest(0)));
}

#[test]
fn a_move_that_may_not_take_away_is_done_with_a_warning() {
    let scene = Scene::new(Setup::release().grant(USER, "docker-local", "rw"));
    scene.push("docker-local/app:1");
    let ran = scene.desk.ran(&words("docker-target", &scene.artifactory.rest_url(), &["--source-tag", "1", "--yes"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning") && ran.stderr.contains("permissions"), "{ran:?}");
    assert_eq!((scene.stored("docker-local/app/1").as_str(), scene.stored("docker-target/app/1").as_str()), (scene.digest(0), scene.digest(0)));
}

#[test]
fn a_lock_is_waited_for() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.promote_locked = 1));
    scene.push("docker-local/app:1");
    promoted(&scene, COPY);
    let statuses: Vec<u16> = scene.asked("POST", "/promote").iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [400, 200]);
}

#[test]
fn where_the_server_cannot_larder_promotes_without_sending_content() {
    for switch in ["absent", "oci"] {
        let scene = Scene::new(Setup::release().switch(|switches| {
            switches.promote_absent = switch == "absent";
            switches.promote_400_oci = switch == "oci";
        }));
        let source = if switch == "oci" { "oci-local" } else { "docker-local" };
        scene.push(&format!("{source}/app:1"));
        scene.artifactory.take_log();
        let url = scene.artifactory.rest_url();
        let report = scene.desk.json(&["sync", "promote", "app", source, "docker-target", "--url", &url, "--copy", "--source-tag", "1"]);
        assert_eq!((&report["by"], scene.stored("docker-target/app/1").as_str()), (&json!("copy"), scene.digest(0)), "{report}");
        let sent: u64 = scene.artifactory.log().iter().filter(|entry| entry.path.contains("/blobs/")).map(|entry| entry.received).sum();
        assert_eq!(sent, 0, "{switch}");
    }
}

#[test]
fn a_server_that_pretends_is_found_out() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.promote_silent_virtual = true));
    scene.push("docker-local/app:1");
    for (target, why) in [("docker-union", "stands for several repositories"), ("docker-remote", "remote")] {
        let text = refused(&scene, target, COPY, "usage");
        assert!(text.contains(why), "{text}");
    }
    assert!(scene.asked("POST", "/promote").is_empty(), "it was known before");
    // A virtual repository that hands on what comes is as good as the one that gets it.
    scene.push("docker-federated/app:2");
    let url = scene.artifactory.rest_url();
    scene.desk.json(&["sync", "promote", "app", "docker-federated", "docker-virtual", "--url", &url, "--copy", "--source-tag", "2"]);
    assert_eq!(scene.stored("docker-local/app/2"), scene.digest(0));
}

#[test]
fn tags_of_architectures_are_made_by_larder_whatever_the_server_does() {
    for version in ["7.104.2", "7.125.4"] {
        let scene = Scene::new(Setup::release().version(version));
        scene.push("docker-local/app:1");
        promoted(&scene, &["--copy", "--source-tag", "1", "--target-tag", "2", "--arch-tags"]);
        let tags = scene.desk.json(&["sync", "list", &scene.at("docker-target/app")]);
        assert_eq!(tags["tags"], json!(["2", "2-linux-amd64", "2-linux-arm64"]), "{version}");
    }
}

#[test]
fn between_servers_the_content_is_carried() {
    let (here, there) = (Scene::new(Setup::release()), Scene::new(Setup::release()));
    here.push("docker-local/app:1");
    here.desk.log_in(&there.artifactory.host(), USER, PASSWORD);
    let report = here.desk.json(&["sync", "promote", "--copy", &here.at("docker-local/app:1"), &there.at("docker-target/app:2")]);
    assert_eq!((&report["by"], there.stored("docker-target/app/2").as_str()), (&json!("copy"), here.digest(0)), "{report}");
}

#[test]
fn refusals_of_the_server_are_told_with_their_kind() {
    let scene = Scene::new(Setup::release().grant(WRITER, "docker-target", "r"));
    scene.push("docker-local/app:1");
    refused(&scene, "docker-target", &["--copy", "--source-tag", "absent"], "not_found");
    refused(&scene, "docker-absent", COPY, "not_found");
    let desk = Desk::new();
    let url = scene.artifactory.rest_url();
    let mut promote = desk.larder(&words("docker-target", &url, COPY));
    let denied = promote.env("LARDER_USER", WRITER).env("LARDER_PASSWORD", WRITER_PASSWORD).output().expect("it starts");
    assert_eq!(denied.status.code(), Some(7), "{denied:?}");
    let text = String::from_utf8_lossy(&denied.stderr).into_owned();
    assert!(text.contains("docker-target") && !text.contains(WRITER_PASSWORD), "{text}");
}

#[test]
fn everything_that_logs_in_to_artifactory_promotes() {
    let scene = Scene::new(Setup::release());
    scene.push("docker-local/app:1");
    let url = scene.artifactory.rest_url();
    for (tag, variables) in [
        ("a", &[("LARDER_USER", USER), ("LARDER_PASSWORD", PASSWORD)][..]),
        ("b", &[("LARDER_USER", USER), ("LARDER_PASSWORD", API_KEY)]),
        ("c", &[("LARDER_ACCESS_TOKEN", ACCESS_TOKEN)]),
        ("d", &[("LARDER_USER", USER), ("LARDER_ACCESS_TOKEN", ACCESS_TOKEN)]),
    ] {
        let desk = Desk::new();
        let mut promote = desk.larder(&words("docker-target", &url, &["--copy", "--source-tag", "1", "--target-tag", tag]));
        let ran = promote.envs(variables.iter().copied()).output().expect("it starts");
        assert_eq!(ran.status.code(), Some(0), "{tag}: {}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(scene.stored(&format!("docker-target/app/{tag}")), scene.digest(0));
    }
    // What JFrog's own tool has kept.
    let desk = Desk::new();
    std::fs::create_dir(desk.home().join(".jfrog")).expect("writable");
    let server = json!({"url": scene.artifactory.url(), "artifactoryUrl": url, "user": USER, "password": PASSWORD, "serverId": "stand-in", "isDefault": true});
    std::fs::write(desk.home().join(".jfrog/jfrog-cli.conf.v6"), json!({"servers": [server], "version": "6"}).to_string()).expect("writable");
    for (tag, more) in [("e", &["--server-id", "stand-in"][..]), ("f", &[])] {
        desk.json(&[&["sync", "promote", "app", "docker-local", "docker-target", "--copy", "--source-tag", "1", "--target-tag", tag], more].concat());
        assert_eq!(scene.stored(&format!("docker-target/app/{tag}")), scene.digest(0));
    }
}
