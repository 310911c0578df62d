//! Pulling where it is difficult.

use serde_json::json;

use super::Scene;
use crate::support::artifactory::{Anonymous, Drop, Listener, Setup};
use crate::support::desk::Desk;
use crate::support::image::read_index;
use crate::support::image_set::ImageSet;
use crate::support::sound::assert_layout_is_sound;

/// Pulls a place into a new layout, which must be whole and have this digest.
#[track_caller]
fn pulls(scene: &Scene, place: &str, name: &str, digest: &str) {
    scene.desk.json(&["sync", "pull", &scene.at(place), &format!("{}:{name}", scene.desk.oci(name))]);
    let layout = scene.desk.home().join(name);
    assert_layout_is_sound(&layout);
    assert_eq!(read_index(&layout)["manifests"][0]["digest"], digest);
}

#[test]
fn an_object_store_is_followed_to_and_told_no_secrets() {
    for status in [302, 307] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.s3_redirect = Some(status)));
        scene.push("docker-local/app:1");
        pulls(&scene, "docker-local/app:1", "out", scene.digest(0));
        let store: Vec<_> = scene.artifactory.log().into_iter().filter(|entry| entry.listener == Listener::Store).collect();
        assert!(store.len() >= 5 && store.iter().all(|entry| entry.status == 200 && entry.header("Authorization").is_none()), "{store:?}");
    }
}

#[test]
fn digests_that_are_listed_as_tags_are_none() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.tags_with_digests = true));
    scene.push("docker-local/app:1");
    let tags = scene.desk.json(&["sync", "list", &scene.at("docker-local/app")]);
    assert_eq!(tags["tags"], json!(["1"]));
    let report = scene.desk.json(&["sync", "pull", "--all-tags", &scene.at("docker-local/app"), &scene.desk.oci("out")]);
    assert_eq!(report["counts"]["copied"], 1, "{report}");
}

#[test]
fn the_list_is_asked_for_so_that_the_digest_is_the_right_one() {
    for schema_1 in [true, false] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.no_accept_schema1 = schema_1));
        scene.push("docker-local/app:1");
        pulls(&scene, "docker-local/app:1", "tag", scene.digest(0));
        pulls(&scene, &format!("docker-local/app@{}", scene.digest(0)), "digest", scene.digest(0));
    }
}

#[test]
fn what_a_virtual_repository_does_not_have_is_denied_or_absent() {
    for (forbids, code) in [(true, "denied"), (false, "not_found")] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.virtual_403 = forbids));
        scene.push("docker-local/app:1");
        pulls(&scene, "docker-virtual/app:1", "out", scene.digest(0));
        scene.desk.fails(&["sync", "pull", &scene.at("docker-virtual/app:absent"), &scene.desk.oci("none")], code);
        assert!(!scene.desk.home().join("none").exists());
    }
}

#[test]
fn who_has_no_password_reads_where_everybody_may() {
    let scene = Scene::new(Setup::release().anonymous(Anonymous::Read));
    scene.push("docker-local/app:1");
    let stranger = Desk::new();
    stranger.json(&["sync", "pull", &scene.at("docker-local/app:1"), &stranger.oci("out")]);
    stranger.fails(&["sync", "push", &scene.image(0), &scene.at("docker-local/app:2")], "denied");
}

#[test]
fn downloads_that_break_go_on_where_they_were() {
    let scene = Scene::of(Setup::release(), ImageSet::new(1, 600_000));
    scene.push("docker-local/app:1");
    scene.artifactory.take_log();
    scene.artifactory.switch(|switches| switches.drop_connection = Some(Drop { method: "GET".into(), path: "/blobs/".into(), after: 200_000, times: 2 }));
    pulls(&scene, "docker-local/app:1", "out", scene.digest(0));
    let ranges: Vec<String> = scene.asked("GET", "/blobs/").iter().filter_map(|entry| entry.header("Range").map(str::to_owned)).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| range.starts_with("bytes=") && range.ends_with('-')), "{ranges:?}");
}

#[test]
fn only_some_platforms_and_only_some_tags() {
    let scene = Scene::of(Setup::release(), ImageSet::new(10, 1_000));
    scene.desk.json(&["sync", "push", &format!("oci:{}", scene.set.layout().display()), &scene.at("docker-local/")]);
    let report =
        scene.desk.json(&["sync", "pull", "--platform", "linux/arm64", "--tag-glob", "1.[02]", &scene.at("docker-local/team/app-001"), &scene.desk.oci("out")]);
    assert_eq!(report["counts"]["copied"], 2, "{report}");
    let sound = assert_layout_is_sound(&scene.desk.home().join("out"));
    assert_eq!(sound.names.len(), 2, "{sound:?}");
    let images = scene.desk.json(&["sync", "list", &scene.at("docker-local/team/app-001")]);
    assert_eq!(images["tags"], json!(["1.0", "1.1", "1.2", "1.3", "1.4"]));
}
