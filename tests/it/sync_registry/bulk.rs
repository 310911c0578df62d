//! A whole set of images goes to a registry, from there to another, and back, and nothing changes on its way.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{Kind, Shop};
use crate::support::forge::sha256;
use crate::support::image::read_index;
use crate::support::image_set::ImageSet;
use crate::support::process::Runs as _;
use crate::support::registry::{PASSWORD, USER};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;

/// The names of a layout without their host, and what they stand on.
fn names(layout: &Path) -> BTreeMap<String, String> {
    let index = read_index(layout);
    let entries = index["manifests"].as_array().expect("a list").iter().map(|entry| {
        let name = entry["annotations"]["io.containerd.image.name"].as_str().expect("a full name");
        (name.split_once('/').expect("a host").1.to_owned(), entry["digest"].as_str().expect("a digest").to_owned())
    });
    entries.collect()
}

fn expected(set: &ImageSet) -> BTreeMap<String, String> {
    set.images.iter().map(|image| (format!("{}:{}", image.repository, image.tag), image.digest.clone())).collect()
}

/// How many requests of these methods a registry has had.
fn requests(shop: &Shop, methods: &[&str]) -> usize {
    methods.iter().map(|method| shop.registry.requests(method, "/v2/")).sum()
}

/// Pushes the set, and pushes it again, mirrors it, and pulls it.
#[track_caller]
fn there_and_back(set: &ImageSet, kind: Kind) {
    let (Some(shop), Some(mirror)) = (Shop::open(kind), Shop::open(Kind::Open)) else { return };
    let layout = format!("oci:{}", set.layout().display());
    let count = set.images.len();
    let report = shop.sync(&["push", &layout, &shop.at("")]);
    assert_eq!(report["counts"]["copied"], count, "{report}");
    // Each blob is sent once, wherever it is needed, and each manifest once: the index under its tag alone.
    let sent = shop.registry.requests("PUT", "/blobs/uploads/");
    assert_eq!((sent, shop.registry.requests("PUT", "/manifests/")), (set.blobs(), 3 * count));
    let before = requests(&shop, &["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"]);
    let report = shop.sync(&["push", &layout, &shop.at("")]);
    assert_eq!(report["counts"]["unchanged"], count, "{report}");
    let after = requests(&shop, &["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"]);
    // One for each tag, and a few to be let in.
    assert!(after - before <= count + 10 + 2 * set.repositories().len(), "{} requests", after - before);
    assert_eq!(shop.registry.requests("PUT", "/manifests/"), 3 * count);
    // They take longer than all the rest.
    if !matches!(kind, Kind::Token | Kind::HtpasswdAndTls) {
        foreign_tools_read(&shop, set);
    }

    // To another registry, which knows other people.
    if kind != Kind::Open {
        shop.desk.json(&[&["sync", "plan"], mirror_job(&shop, &mirror).as_slice()].concat());
        assert_eq!(requests(&mirror, &["PUT", "POST", "PATCH"]), 0, "a plan changes nothing");
    }
    let report = shop.desk.json(&[&["sync", "run"], mirror_job(&shop, &mirror).as_slice()].concat());
    assert_eq!(report["counts"]["copied"], count, "{report}");
    assert_eq!(mirror.registry.requests("PUT", "/blobs/uploads/"), set.blobs());

    let report = mirror.sync(&["pull", &mirror.at(""), &mirror.desk.oci("back")]);
    assert_eq!(report["counts"]["copied"], count, "{report}");
    let back = mirror.desk.home().join("back");
    assert_eq!(names(&back), expected(set));
    assert_layout_is_sound(&back);
    let report = mirror.sync(&["pull", &mirror.at(""), &mirror.desk.oci("back")]);
    assert_eq!(report["counts"]["unchanged"], count, "{report}");
}

/// The words that mirror everything, of a file that is written for it.
fn mirror_job<'a>(shop: &Shop, mirror: &Shop) -> Vec<&'a str> {
    let mut job = format!("[[sync]]\nfrom = \"{}\"\nto = \"{}\"\n", shop.at(""), mirror.at(""));
    if let Some(file) = &shop.authority {
        job += &format!("[registry.\"{}\"]\nca = [\"{}\"]\n", shop.registry.host(), file.display());
    }
    std::fs::write(shop.desk.home().join("mirror.toml"), job).expect("writable");
    vec!["mirror.toml"]
}

/// skopeo sees the same digests, and podman can pull every platform.
#[track_caller]
fn foreign_tools_read(shop: &Shop, set: &ImageSet) {
    let image = &set.images[set.images.len() / 2];
    let name = format!("{}:{}", image.repository, image.tag);
    let Some(mut inspect) = shop.skopeo("inspect") else { return };
    let raw = inspect.arg("--raw").arg(shop.at(&name)).succeeds();
    assert_eq!(sha256(raw.as_bytes()), image.digest);
    let Some(mut list) = shop.skopeo("list-tags") else { return };
    let mut tags: Value = serde_json::from_str(&list.arg(shop.at(&image.repository)).succeeds()).expect("JSON");
    // This registry has them in no order.
    tags["Tags"].as_array_mut().expect("a list").sort_by_key(|tag| tag.to_string());
    let own: Vec<&str> = set.images.iter().filter(|other| other.repository == image.repository).map(|other| other.tag.as_str()).collect();
    assert_eq!(tags["Tags"], serde_json::json!(own));
    let Some(storage) = Storage::new() else { return };
    for architecture in crate::support::image_set::PLATFORMS {
        let mut pull = storage.podman(&["pull", "--quiet", "--arch", architecture, "--creds", &format!("{USER}:{PASSWORD}")]);
        match &shop.authority {
            Some(file) => pull.arg("--cert-dir").arg(file.parent().expect("below")),
            None => pull.arg("--tls-verify=false"),
        };
        let id = pull.arg(format!("{}/{name}", shop.registry.host())).succeeds();
        assert_eq!(storage.podman(&["image", "inspect", "--format", "{{.Architecture}}", id.trim()]).succeeds().trim(), architecture);
    }
}

#[test]
fn a_set_of_200_images_goes_and_comes_back_with_the_digests_it_had() {
    let set = ImageSet::new(200, 2_000);
    for kind in [Kind::Open, Kind::Htpasswd, Kind::TokenAndTls] {
        there_and_back(&set, kind);
    }
}

#[test]
fn so_it_does_where_tokens_come_in_plain_and_passwords_over_tls() {
    let set = ImageSet::new(12, 20_000);
    for kind in [Kind::Token, Kind::HtpasswdAndTls] {
        there_and_back(&set, kind);
    }
}

#[test]
fn a_token_is_asked_for_once_for_each_repository() {
    let Some(shop) = Shop::open(Kind::Token) else { return };
    let set = ImageSet::new(20, 1_000);
    shop.sync(&["push", &format!("oci:{}", set.layout().display()), &shop.at("")]);
    let asked = shop.tokens.as_ref().expect("a token server").asked();
    let mut scopes: Vec<Vec<String>> = asked.iter().map(|request| request.parameters("scope")).collect();
    let all = scopes.len();
    scopes.sort();
    scopes.dedup();
    assert_eq!(scopes.len(), all, "asked twice: {scopes:?}");
    assert!(asked.iter().all(|request| request.method == "GET" && request.header("Authorization").is_some()));
}

#[test]
fn ways_in_that_are_wrong_are_refused_and_named() {
    let Some(shop) = Shop::open(Kind::HtpasswdAndTls) else { return };
    let (set, host) = (ImageSet::new(1, 1_000), shop.registry.host());
    let layout = format!("oci:{}:registry.example/team/app-000:1.0", set.layout().display());
    let place = shop.at("team/app:1");
    // On this machine TLS is not spoken unless somebody says so.
    let said = shop.desk.fails(&["sync", "push", &layout, &place], "unavailable");
    assert!(said.contains("--ca-file"), "{said}");
    let flags = shop.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    shop.desk.log_in(&host, USER, "wrong");
    let before = requests(&shop, &["HEAD", "GET", "POST", "PUT", "PATCH"]);
    shop.desk.fails(&[&["sync", "push", &layout, &place], flags.as_slice()].concat(), "denied");
    assert!(requests(&shop, &["HEAD", "GET", "POST", "PUT", "PATCH"]) - before <= 4, "{}", shop.registry.log());
    shop.desk.log_in(&host, USER, PASSWORD);
    shop.desk.json(&["sync", "push", "--insecure", &layout, &place]);
    shop.desk.fails(&[&["sync", "pull", &shop.at("team/app:2"), &shop.desk.oci("out")], flags.as_slice()].concat(), "not_found");
    assert!(!shop.desk.home().join("out").exists());
}
