//! Many images of which a few are bad, and images of every kind that the specifications allow.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::forge::{CONFIG, Forge, INDEX, LAYER, MANIFEST, sha256, tar};
use crate::support::image::read_index;
use crate::support::image_set::ImageSet;
use crate::support::registry::{Access, Registry};
use crate::support::snapshot::snapshot;
use crate::support::sound::assert_layout_is_sound;

#[test]
fn reg_37_one_image_in_a_hundred_is_damaged_and_all_others_arrive() {
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    let set = ImageSet::new(100, 200);
    let blob = |digest: &str| set.layout().join("blobs/sha256").join(&digest["sha256:".len()..]);
    let image = &set.images[57];
    let manifest: Value = serde_json::from_slice(&std::fs::read(blob(&image.manifests[1])).expect("there")).expect("JSON");
    let layer = blob(manifest["layers"][1]["digest"].as_str().expect("a digest"));
    let whole = std::fs::read(&layer).expect("there");
    std::fs::write(&layer, whole.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).expect("writable");
    let (desk, from, to) = (Desk::new(), format!("oci:{}", set.layout().display()), format!("docker://{}/", registry.host()));
    let words = ["sync", "push", &from, &to, "--format", "json"];
    let ran = desk.ran(&words);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let report: Value = serde_json::from_str(ran.stdout.trim()).expect("one document");
    assert_eq!((&report["counts"]["copied"], &report["counts"]["failed"]), (&json!(99), &json!(1)));
    let failed: Vec<&str> = report["images"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|image| image["state"] == "failed")
        .map(|image| image["target"].as_str().expect("a name"))
        .collect();
    assert_eq!(failed, [format!("{}/{}:{}", registry.host(), image.repository, image.tag)]);
    std::fs::write(&layer, whole).expect("writable");
    let before = registry.requests("PUT", "/manifests/");
    let report = desk.json(&words[..4]);
    assert_eq!((&report["counts"]["copied"], &report["counts"]["unchanged"]), (&json!(1), &json!(99)), "{}", report["counts"]);
    assert!(registry.requests("PUT", "/manifests/") - before <= 3);
}

/// What the conformance suite of the distribution specification pushes, and what the image specification allows besides.
fn everything() -> Forge {
    let forge = Forge::new();
    let layer = tar(&[("file", b"content")]);
    let image = forge.image(LAYER, &layer);
    let empty = forge.put("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = |fields: Value| {
        let mut document = json!({"schemaVersion": 2, "mediaType": MANIFEST});
        document.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        document
    };
    let index = |children: &[&Value]| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
    let no_layers = forge.document(CONFIG, &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}));
    let mut child = image.manifest.clone();
    child["platform"] = json!({"os": "linux", "architecture": "amd64"});
    child["x-own"] = json!(true);
    let inner = forge.document(INDEX, &index(&[&child]));
    let mut with_data = empty.clone();
    with_data["data"] = json!("e30=");
    // Spaces and the order of fields belong to the bytes.
    let spaced = format!("{{\n  \"layers\": [],\n  \"config\": {no_layers},\n  \"mediaType\": \"{MANIFEST}\",\n  \"schemaVersion\": 2\n}}\n");
    for (tag, descriptor) in [
        ("image", image.manifest.clone()),
        ("no-layers", forge.document(MANIFEST, &manifest(json!({"config": no_layers, "layers": []})))),
        ("spaces", forge.put(MANIFEST, spaced.as_bytes())),
        ("own-fields", forge.document(MANIFEST, &manifest(json!({"config": image.config, "layers": [image.layer], "x-own": {"a": [1, null]}, "annotations": {"é": "\u{1f980}"}})))),
        ("artifact", forge.document(MANIFEST, &manifest(json!({"artifactType": "application/x-thing", "config": with_data, "layers": [forge.put("text/plain", b"thing")]})))),
        ("artifact-config", forge.document(MANIFEST, &manifest(json!({"config": forge.put("application/x-config", b"[]"), "layers": [empty]})))),
        ("same-layer-twice", forge.document(MANIFEST, &manifest(json!({"config": forge.document(CONFIG, &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(&layer), sha256(&layer)]}})), "layers": [image.layer, image.layer]})))),
        ("index", inner.clone()),
        ("nested", forge.document(INDEX, &index(&[&inner, &child]))),
        ("empty-index", forge.document(INDEX, &index(&[]))),
        ("same-child-twice", forge.document(INDEX, &index(&[&child, &child]))),
    ] {
        forge.enter(tag, &descriptor);
    }
    forge
}

#[test]
fn reg_44_everything_that_the_specifications_allow_comes_back_as_it_was() {
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    let (forge, desk) = (everything(), Desk::new());
    let place = format!("docker://{}/conformance", registry.host());
    let report = desk.json(&["sync", "push", &format!("oci:{}", forge.path().display()), &place]);
    assert_eq!(report["counts"]["failed"], 0, "{report}");
    desk.json(&["sync", "pull", "--all-tags", &place, "oci:back"]);
    let back = desk.home().join("back");
    assert_layout_is_sound(&back);
    let sorted = |layout: &std::path::Path| {
        let index = read_index(layout);
        let entries = index["manifests"].as_array().expect("a list").iter();
        entries.map(|entry| (entry["digest"].to_string(), entry["mediaType"].to_string(), entry["size"].to_string())).collect::<BTreeSet<_>>()
    };
    assert_eq!(sorted(&back), sorted(forge.path()));
    let blobs = |layout: &std::path::Path| snapshot(&layout.join("blobs/sha256")).into_iter().map(|(name, (_, bytes))| (name, bytes)).collect::<Vec<_>>();
    assert_eq!(blobs(&back), blobs(forge.path()));
}
