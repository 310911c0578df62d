//! Pushing where it is difficult.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Scene;
use crate::support::artifactory::{Anonymous, Drop, Mounting, Overwriting, PASSWORD, RateLimit, Setup, USER, WRITER, WRITER_PASSWORD};
use crate::support::forge::{CONFIG, Forge, LAYER, MANIFEST, sha256};
use crate::support::image_set::ImageSet;

#[test]
fn servers_of_old_teach_once_how_blobs_are_sent() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.legacy_monolithic_404 = true));
    scene.push("docker-local/app:1");
    assert_eq!(scene.stored("docker-local/app/1"), scene.digest(0));
    let blobs = scene.asked("PUT", "/blobs/uploads/");
    let refused = blobs.iter().filter(|entry| entry.status == 404).count();
    // Those that were on their way when the first was refused.
    assert!((1..=8).contains(&refused), "{refused}");
    let scene = Scene::of(Setup::release().switch(|switches| switches.legacy_monolithic_404 = true), ImageSet::new(15, 1_000));
    let report = scene.desk.json(&["sync", "push", &format!("oci:{}", scene.set.layout().display()), &scene.at("docker-local/")]);
    assert_eq!(report["counts"]["copied"], 15, "{report}");
    let refused = scene.asked("PUT", "/blobs/uploads/").iter().filter(|entry| entry.status == 404).count();
    assert!((1..=8).contains(&refused), "{refused}");
}

#[test]
fn challenges_with_and_without_scopes_are_answered_and_tokens_come_by_get() {
    for (without_scope, no_post) in [(true, true), (false, true), (true, false)] {
        let scene = Scene::new(Setup::release().switch(|switches| {
            switches.challenge_without_scope = without_scope;
            switches.token_post_401 = no_post;
        }));
        scene.push("docker-local/app:1");
        assert!(scene.asked("POST", "/token").is_empty());
        let tokens = scene.asked("GET", "/token");
        assert!((1..=2).contains(&tokens.len()) && tokens.iter().all(|entry| entry.status == 200), "{tokens:?}");
        assert!(
            tokens.iter().any(|entry| entry
                .query
                .replace("%2F", "/")
                .replace("%3A", ":")
                .replace("%2C", ",")
                .contains("repository:docker-local/app:pull,push"))
        );
    }
}

#[test]
fn with_anonymous_access_a_push_still_says_who_it_is() {
    let scene = Scene::new(Setup::release().anonymous(Anonymous::Read));
    scene.push("docker-local/app:1");
}

#[test]
fn every_way_to_write_the_address_works() {
    let scene = Scene::new(Setup::release());
    scene.push("docker-local/team/app:1");
    let prefix = "/artifactory/api/docker/docker-local/v2";
    scene.artifactory.take_log();
    scene.push_with("team/app:2", &["--api-prefix", prefix]);
    assert!(scene.artifactory.log().iter().all(|entry| entry.path.starts_with("/artifactory/api/docker/docker-local/v2")), "{:?}", scene.artifactory.log());
    let port = scene.artifactory.port_of("docker-local");
    scene.desk.log_in(&port.host(), USER, PASSWORD);
    scene.desk.json(&["sync", "push", &scene.image(0), &format!("docker://{}/team/app:3", port.host())]);
    // A name that leads nowhere, for which the instance plays the proxy.
    scene.desk.log_in("docker-local.artifactory.example", USER, PASSWORD);
    let mut push = scene.desk.larder(&["sync", "push", "--plain-http", &scene.image(0), "docker://docker-local.artifactory.example/team/app:4"]);
    crate::support::process::Runs::succeeds(push.env("http_proxy", scene.artifactory.url()));
    for tag in 1..=4 {
        assert_eq!(scene.stored(&format!("docker-local/team/app/{tag}")), scene.digest(0), "{tag}");
    }
    let words = scene.refused("team/app:1", "not_found");
    assert!(words.contains("Unsupported docker v2 repository request for 'team'") && words.contains("the key of an Artifactory repository"), "{words}");
}

#[test]
fn virtual_repositories_may_keep_to_themselves_what_they_do_not_have() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.virtual_403 = true));
    scene.push("docker-virtual/app:1");
    assert_eq!(scene.stored("docker-local/app/1"), scene.digest(0));
    for place in ["docker-remote/app:1", "docker-union/other:1"] {
        let words = scene.refused(place, "unsupported");
        assert!(words.contains("remote") || words.contains("virtual"), "{words}");
    }
}

#[test]
fn configs_without_a_history_are_explained() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.history_check = true));
    scene.push("docker-local/app:1");
    let forge = Forge::new();
    let image = forge.image(LAYER, &crate::support::forge::tar(&[("file", b"content")]));
    forge.enter("short", &image.manifest);
    let said = scene.desk.fails(&["sync", "push", &format!("oci:{}:short", forge.path().display()), &scene.at("docker-local/app:2")], "unsupported");
    assert!(said.contains("history"), "{said}");
}

#[test]
fn only_manifests_are_asked_for_as_manifests() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.strict_accept_406 = true));
    scene.push("docker-local/app:1");
    scene.desk.json(&["sync", "list", &scene.at("docker-local/app")]);
    scene.desk.json(&["sync", "pull", &scene.at("docker-local/app:1"), &scene.desk.oci("out")]);
    assert!(scene.artifactory.log().iter().all(|entry| entry.status != 406));
    let accepts: Vec<String> = scene.asked("GET", "/manifests/").iter().filter_map(|entry| entry.header("Accept").map(str::to_owned)).collect();
    assert!(
        !accepts.is_empty() && accepts.iter().all(|accept| !accept.contains("manifest.v1+prettyjws") && !accept.contains("distribution.manifest.v1")),
        "{accepts:?}"
    );
}

#[test]
fn a_tag_that_may_not_change_is_a_conflict_and_put_once() {
    for overwriting in [Overwriting::BadRequest, Overwriting::Forbidden] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.no_overwrite = overwriting));
        scene.desk.log_in(&scene.artifactory.host(), WRITER, WRITER_PASSWORD);
        scene.push("docker-local/app:1");
        // The same again is nothing to do.
        scene.push("docker-local/app:1");
        assert_eq!(scene.asked("PUT", "/manifests/1").len(), 1);
        let said = scene.desk.fails(&["sync", "push", &scene.image(1), &scene.at("docker-local/app:1")], "conflict");
        assert!(said.contains("overwrite"), "{said}");
        let kept = scene.desk.json(&["sync", "push", "--skip-existing", &scene.image(1), &scene.at("docker-local/app:1")]);
        assert_eq!(kept["counts"]["kept"], 1, "{kept}");
        assert_eq!((scene.stored("docker-local/app/1").as_str(), scene.asked("PUT", "/manifests/1").len()), (scene.digest(0), 2));
    }
}

#[test]
fn a_server_that_knows_no_oci_is_named_with_its_version() {
    let scene = Scene::new(Setup::release().version("6.23.38"));
    let words = scene.refused("docker-local/app:1", "unsupported");
    assert!(words.contains("6.23.38") && words.contains("Docker's media types"), "{words}");
}

#[test]
fn uploads_that_get_lost_begin_again() {
    for way in ["stream", "chunked", "auto"] {
        let scene = Scene::new(Setup::release().switch(|switches| {
            switches.flaky_patch_404 = 2;
            switches.legacy_monolithic_404 = true;
        }));
        scene.push_with("docker-local/app:1", &["--upload", way]);
        assert_eq!(scene.stored("docker-local/app/1"), scene.digest(0), "{way}");
    }
}

#[test]
fn too_many_requests_are_waited_for_as_long_as_the_server_says() {
    let scene = Scene::new(Setup::release().switch(|switches| {
        switches.rate_limit = Some(RateLimit { path: "/manifests/".into(), times: 3, retry_after: "1".into() });
    }));
    let start = Instant::now();
    scene.push("docker-local/app:1");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(scene.artifactory.log().iter().filter(|entry| entry.status == 429).count(), 3);
}

#[test]
fn a_location_that_wrongly_says_https_is_followed_where_no_tls_is_wanted() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.https_location_on_http = true));
    for (tag, flags) in [("1", &["--plain-http"][..]), ("2", &["--insecure"])] {
        scene.push_with(&format!("docker-local/app:{tag}"), flags);
        assert_eq!(scene.stored(&format!("docker-local/app/{tag}")), scene.digest(0));
    }
}

#[test]
fn a_redirect_that_would_lose_the_body_is_explained() {
    let scene = Scene::new(Setup::release().switch(|switches| switches.redirect_http_to_https = Some(301)));
    let words = scene.desk.fails(&["sync", "push", "--plain-http", &scene.image(0), &scene.at("docker-local/app:1")], "unavailable");
    assert!(words.contains("X-Forwarded-Proto") || words.contains("https"), "{words}");
}

#[test]
fn blobs_of_the_same_server_are_mounted_and_sent_where_that_does_not_work() {
    for (mounting, sent_again) in [(Mounting::Works, false), (Mounting::Unauthorized, true), (Mounting::Off, true)] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.mount = mounting));
        // Two repositories in one run, with the same layers.
        let job = format!(
            "[[sync]]\nfrom = \"{0}\"\nto = \"{1}\"\n[[sync]]\nfrom = \"{0}\"\nto = \"{2}\"\n",
            scene.image(0),
            scene.at("docker-local/app:1"),
            scene.at("docker-target/other:1")
        );
        std::fs::write(scene.desk.home().join("both.toml"), job).expect("writable");
        let report = scene.desk.json(&["sync", "run", "both.toml"]);
        assert_eq!(report["counts"]["copied"], 2, "{report}");
        assert_eq!((scene.stored("docker-local/app/1"), scene.stored("docker-target/other/1")), (scene.digest(0).to_owned(), scene.digest(0).to_owned()));
        let received: u64 = scene.artifactory.log().iter().filter(|entry| entry.path.contains("/blobs/")).map(|entry| entry.received).sum();
        let once: u64 = blob_bytes(&scene);
        assert_eq!(received, if sent_again { 2 * once } else { once }, "{mounting:?}");
    }
}

/// The bytes of the blobs of the first image, each once.
fn blob_bytes(scene: &Scene) -> u64 {
    let blob = |digest: &str| std::fs::read(scene.set.layout().join("blobs/sha256").join(&digest["sha256:".len()..])).expect("there");
    let mut blobs = std::collections::BTreeMap::new();
    for manifest in &scene.set.images[0].manifests {
        let manifest: serde_json::Value = serde_json::from_slice(&blob(manifest)).expect("JSON");
        for descriptor in manifest["layers"].as_array().expect("a list").iter().chain([&manifest["config"]]) {
            blobs.insert(descriptor["digest"].to_string(), descriptor["size"].as_u64().expect("a size"));
        }
    }
    blobs.values().sum()
}

#[test]
fn what_is_attached_goes_along_by_the_api_or_by_a_tag() {
    for referrers in [true, false] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.referrers = referrers));
        let forge = Forge::new();
        let image = forge.image(LAYER, &crate::support::forge::tar(&[("file", b"content")]));
        forge.enter("signed", &image.manifest);
        let empty = forge.put("application/vnd.oci.empty.v1+json", b"{}");
        let signature = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-signature", "config": empty, "layers": [forge.put("text/plain", b"signed")], "subject": image.manifest});
        let signature = forge.document(MANIFEST, &signature);
        forge.enter_all(vec![(json!({}), signature.clone())]);
        assert_eq!(image.config["mediaType"], CONFIG);
        for _ in 0..2 {
            scene.desk.json(&["sync", "push", "--referrers", &format!("oci:{}:signed", forge.path().display()), &scene.at("docker-local/app:1")]);
        }
        let digest = signature["digest"].as_str().expect("a digest");
        assert!(scene.artifactory.storage().join(format!("docker-local/app/{digest}/manifest.json")).exists());
        let tag = image.manifest["digest"].as_str().expect("a digest").replacen(':', "-", 1);
        let fallback = std::fs::read(scene.artifactory.storage().join(format!("docker-local/app/{tag}/list.manifest.json")));
        assert_eq!(fallback.is_ok(), !referrers);
        if let Ok(fallback) = fallback {
            let fallback: serde_json::Value = serde_json::from_slice(&fallback).expect("JSON");
            assert_eq!(fallback["manifests"].as_array().map(Vec::len), Some(1), "{fallback}");
            assert_eq!((&fallback["manifests"][0]["digest"], &fallback["manifests"][0]["artifactType"]), (&json!(digest), &json!("application/x-signature")));
        }
        scene.desk.json(&["sync", "pull", "--referrers", &scene.at("docker-local/app:1"), &scene.desk.oci("out")]);
        assert!(scene.desk.home().join("out/blobs/sha256").join(&digest["sha256:".len()..]).exists(), "referrers: {referrers}");
    }
}

#[test]
fn a_list_that_stays_under_the_tag_is_noticed() {
    for kept in [true, false] {
        let scene = Scene::new(Setup::release().switch(|switches| switches.keep_list_on_single_push = kept));
        scene.push("docker-local/app:1");
        let forge = Forge::new();
        let image = forge.image(LAYER, &crate::support::forge::tar(&[("file", b"content")]));
        forge.enter("one", &image.manifest);
        let (from, to) = (format!("oci:{}:one", forge.path().display()), scene.at("docker-local/app:1"));
        if kept {
            let said = scene.desk.fails(&["sync", "push", &from, &to], "conflict");
            assert!(said.contains("index"), "{said}");
        } else {
            assert_eq!(scene.desk.json(&["sync", "push", &from, &to])["counts"]["copied"], 1);
        }
    }
}

#[test]
fn tags_that_a_server_makes_by_itself_do_not_disturb() {
    let scene = Scene::new(Setup::release().version("7.104.2"));
    scene.push("docker-local/app:1");
    scene.push("docker-local/app:1");
    let tags = scene.desk.json(&["sync", "list", &scene.at("docker-local/app")]);
    assert_eq!(tags["tags"], json!(["1", "1-linux-amd64", "1-linux-arm64"]));
}

#[test]
fn a_proxy_that_takes_no_long_bodies_is_named_and_chunks_go_through() {
    let scene = Scene::of(Setup::release().switch(|switches| switches.body_limit = Some(200_000)), ImageSet::new(1, 300_000));
    let words = scene.desk.fails(&["sync", "push", "--upload", "single", &scene.image(0), &scene.at("docker-local/app:1")], "denied");
    assert!(words.contains("413") && words.contains("client_max_body_size"), "{words}");
    scene.push_with("docker-local/app:1", &["--upload", "chunked=128KiB"]);
}

#[test]
fn connections_that_break_cost_nothing_but_time() {
    for (method, way) in [("PATCH", "stream"), ("PATCH", "chunked=64KiB"), ("PUT", "single")] {
        let scene = Scene::of(Setup::release(), ImageSet::new(1, 300_000));
        scene.artifactory.switch(|switches| switches.drop_connection = Some(Drop { method: method.into(), path: "/blobs/".into(), after: 20_000, times: 2 }));
        scene.push_with("docker-local/app:1", &["--upload", way]);
        assert_eq!(scene.stored("docker-local/app/1"), scene.digest(0));
        assert_eq!(scene.artifactory.log().iter().filter(|entry| entry.status == 0).count(), 2);
    }
}

#[test]
fn content_that_was_swept_meanwhile_is_sent_again() {
    let scene = Scene::new(Setup::release());
    // Blobs arrive, the manifest does not.
    scene.artifactory.switch(|switches| switches.reject_oci = true);
    scene.refused("docker-local/app:1", "unsupported");
    let blobs = scene.asked("PUT", "/blobs/uploads/").len();
    scene.artifactory.switch(|switches| switches.reject_oci = false);
    scene.artifactory.pass(Duration::from_secs(25 * 3600));
    scene.push("docker-local/app:1");
    assert_eq!((scene.asked("PUT", "/blobs/uploads/").len(), scene.stored("docker-local/app/1").as_str()), (2 * blobs, scene.digest(0)));
}

#[test]
fn a_wrong_password_is_tried_once_and_never_again() {
    let scene = Scene::of(Setup::release(), ImageSet::new(15, 1_000));
    scene.desk.log_in(&scene.artifactory.host(), USER, "mussel-of-nobody");
    let ran = scene.desk.ran(&["sync", "push", &format!("oci:{}", scene.set.layout().display()), &scene.at("docker-local/")]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    // Three repositories are asked for at the same time, each with a token of its own.
    assert_eq!(scene.artifactory.failed_logins(USER), 1);
    assert!(!ran.stderr.contains("mussel") && !ran.stdout.contains("mussel"), "{ran:?}");
}

#[test]
fn tokens_that_expire_in_the_middle_are_asked_for_again() {
    let scene = Scene::new(Setup::release());
    scene.push("docker-local/app:1");
    scene.artifactory.pass(Duration::from_secs(10_000));
    scene.push("docker-local/app:2");
    assert_eq!(scene.artifactory.failed_logins(USER), 0);
}

#[test]
fn children_come_before_lists_and_every_tag_is_put_once() {
    let scene = Scene::new(Setup::release());
    scene.push("docker-local/app:1");
    let puts = scene.asked("PUT", "/manifests/");
    let last = |entry: &crate::support::artifactory::Entry| entry.path.rsplit('/').next().expect("a reference").replace("%3A", ":");
    let references: Vec<String> = puts.iter().map(last).collect();
    assert_eq!(references.len(), 3, "{references:?}");
    assert_eq!(references[2], "1");
    let mut children = references[..2].to_vec();
    children.sort();
    let mut expected = scene.set.images[0].manifests.clone();
    expected.sort();
    assert_eq!(children, expected);
    for (put, media_type) in puts.iter().zip([MANIFEST, MANIFEST, crate::support::forge::INDEX]) {
        assert_eq!(put.header("Content-Type"), Some(media_type));
    }
    let last_blob = scene.artifactory.log().iter().rposition(|entry| entry.method == "PUT" && entry.path.contains("/blobs/"));
    let first_manifest = scene.artifactory.log().iter().position(|entry| entry.method == "PUT" && entry.path.contains("/manifests/"));
    assert!(last_blob < first_manifest);
    assert_eq!(sha256(b"").len(), 71);
}
