//! What becomes of indexes and of what is in them beside images.

use serde_json::json;

use super::sample::{Sample, env, run};
use crate::error::ErrorKind;
use crate::ops::edit;
use crate::spec::{Descriptor, Digest, ImageManifest, MediaType, Platform, limits};

fn platform(text: &str) -> Platform {
    Platform::parse(text).expect("a platform")
}

#[test]
fn platforms_that_are_not_selected_keep_their_manifests_and_need_not_be_there() {
    let sample = Sample::new();
    let amd = sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {});
    let absent = |platform: &str| Descriptor {
        platform: Some(self::platform(platform)),
        ..Descriptor::new(MediaType::ImageManifest, Digest::sha256(platform.as_bytes()), 7)
    };
    let index = sample.index(vec![absent("linux/arm64"), amd.clone(), absent("windows/amd64")]);
    sample.name(&index, "1");
    let mut request = sample.request("1", env("A", "1"));
    assert_eq!(sample.edit(&request).expect_err("one is missing").kind(), ErrorKind::NotFound);
    request.platforms = vec![platform("linux/amd64"), platform("linux/s390x")];
    let error = sample.edit(&request).expect_err("no such image");
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::NotFound, Some("there is linux/amd64, linux/arm64, windows/amd64")));
    assert_eq!(sample.entry("1").digest, index.digest);
    request.platforms.pop();
    let report = sample.edit(&request).expect("edited");
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    assert_eq!((&manifests[0], &manifests[2]), (&absent("linux/arm64"), &absent("windows/amd64")));
    assert_eq!((&manifests[1].digest, &manifests[1].platform), (&report.images[0].digest, &amd.platform));
    assert_eq!(report.untouched.iter().map(|entry| entry.platform.as_deref()).collect::<Vec<_>>(), [Some("linux/arm64"), Some("windows/amd64")]);
}

#[test]
fn lay_70_every_image_of_a_platform_is_meant_and_versions_only_where_they_are_said() {
    let sample = Sample::new();
    let image = |version: &str, content: &str| {
        let image = sample.image("windows/amd64", &[sample.layer(content, content)], |_, _| {});
        Descriptor { platform: Some(Platform { os_version: Some(version.into()), ..platform("windows/amd64") }), ..image }
    };
    let (a, b) = (image("10.0.17763.1", "a"), image("10.0.20348.1", "b"));
    sample.name(&sample.index(vec![a.clone(), b.clone()]), "1");
    let mut request = sample.request("1", env("A", "1"));
    request.platforms = vec![platform("windows(10.0.20348.1)/amd64")];
    sample.edit(&request).expect("edited");
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    assert!(manifests[0] == a && manifests[1].digest != b.digest);
    request.platforms = vec![platform("windows/amd64")];
    assert_eq!(sample.edit(&request).expect("edited").images.len(), 2);
}

#[test]
fn an_attestation_of_other_content_goes_and_one_of_the_same_content_stays() {
    let sample = Sample::new();
    let layer = sample.layer("a", "1");
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| sample.image(platform, std::slice::from_ref(&layer), |_, _| {}));
    let (of_amd, of_arm) = (sample.attestation(&amd), sample.attestation(&arm));
    // The form that newer BuildKits write, and what signs images without Docker's annotations.
    let signature = {
        let empty = sample.layout.put_document(MediaType::EmptyJSON, b"{}").expect("stored");
        let mut manifest = ImageManifest::new(empty.clone(), vec![empty]);
        manifest.artifact_type = Some("application/vnd.example.signature".into());
        manifest.subject = Some(amd.bare());
        sample.put(MediaType::ImageManifest.as_ref(), &serde_json::to_value(manifest).expect("JSON"))
    };
    let opaque = sample.put("application/vnd.example+json", &json!({"manifests": []}));
    let index = sample.index(vec![of_amd.clone(), amd, arm.clone(), of_arm.clone(), signature.clone(), opaque.clone()]);
    sample.name(&index, "1");
    let mut request = sample.request("1", env("A", "1"));
    request.platforms = vec![platform("linux/amd64")];
    let plan = edit::plan(&run(), &request).expect("planned");
    assert_eq!(
        plan.untouched.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>(),
        ["attestation", "another platform", "attestation", "artifact", "unknown media type"]
    );
    let report = sample.edited(&request);
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    assert_eq!(manifests[1..], [arm, of_arm, opaque]);
    assert_eq!(
        report.dropped.iter().map(|entry| (&entry.digest, entry.kind.as_str())).collect::<Vec<_>>(),
        [(&of_amd.digest, "attestation"), (&signature.digest, "artifact")]
    );
    assert_eq!(report.untouched.len(), 3);

    // Nothing changes, so all of them still tell the truth.
    let again = sample.edited(&request);
    assert_eq!((again.before, again.dropped.len()), (again.digest, 0));
}

#[test]
fn lay_48_what_is_no_image_is_not_edited() {
    let sample = Sample::new();
    let empty = sample.layout.put_document(MediaType::EmptyJSON, b"{}").expect("stored");
    let artifact = sample.put(MediaType::ImageManifest.as_ref(), &serde_json::to_value(ImageManifest::new(empty.clone(), vec![empty])).expect("JSON"));
    let image = sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {});
    for root in [&artifact, &sample.index(vec![artifact.clone(), sample.attestation(&image)]), &sample.put("application/vnd.example", &json!({}))] {
        sample.name(root, "1");
        let error = sample.edit(&sample.request("1", env("A", "1"))).expect_err("no image");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(sample.entry("1").digest, root.digest);
    }
    let old = sample.put("application/vnd.docker.distribution.manifest.v1+prettyjws", &json!({"schemaVersion": 1, "fsLayers": []}));
    sample.name(&old, "1");
    assert_eq!(sample.edit(&sample.request("1", env("A", "1"))).expect_err("schema 1").kind(), ErrorKind::Unsupported);
}

#[test]
fn nested_indexes_are_new_only_above_what_changed() {
    let sample = Sample::new();
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| sample.image(platform, &[sample.layer("a", platform)], |_, _| {}));
    let (left, right) = (sample.index(vec![amd.clone()]), sample.index(vec![arm]));
    // The attestation stands in another index than what it attests.
    let root = sample.index(vec![sample.attestation(&amd), left.clone(), right.clone()]);
    sample.name(&root, "1");
    let mut request = sample.request("1", env("A", "1"));
    request.platforms = vec![platform("linux/amd64")];
    let report = sample.edited(&request);
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    assert_eq!((manifests.len(), report.dropped.len()), (2, 1));
    assert!(manifests[0].digest != left.digest && manifests[1] == right);
    assert_eq!(sample.read_index(&manifests[0]).manifests[0].digest, report.images[0].digest);
}

#[test]
fn lay_50_many_ways_to_one_image_are_one_edit() {
    let sample = Sample::new();
    let image = sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {});
    let mut top = sample.index(vec![image.clone(), image.clone()]);
    for _ in 1..limits::INDEX_DEPTH {
        top = sample.index(vec![top.clone(), top]);
    }
    sample.name(&top, "1");
    let report = sample.edited(&sample.request("1", env("A", "1")));
    assert_eq!(report.images.len(), 1);
    let mut entry = sample.entry("1");
    for _ in 0..limits::INDEX_DEPTH {
        let manifests = sample.read_index(&entry).manifests;
        assert!(manifests.len() == 2 && manifests[0] == manifests[1]);
        entry = manifests[0].clone();
    }
    assert_eq!(entry.digest, report.images[0].digest);
}

#[test]
fn lay_52_deeper_nesting_is_refused() {
    let sample = Sample::new();
    let image = sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {});
    let (mut deep, mut wide) = (image.clone(), image.clone());
    for _ in 0..=limits::INDEX_DEPTH {
        deep = sample.index(vec![deep]);
        // The short way is read first, the long one leads to what is known by then.
        wide = sample.index(vec![image.clone(), wide]);
    }
    for root in [deep, wide] {
        sample.name(&root, "1");
        assert_eq!(sample.edit(&sample.request("1", env("A", "1"))).expect_err("too deep").kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn lay_39_layers_and_diff_ids_that_do_not_fit_are_refused() {
    let sample = Sample::new();
    let layers = [sample.layer("a", "1"), sample.layer("b", "2")];
    let image = sample.image("linux/amd64", &layers, |_, manifest| drop(manifest.layers.pop()));
    sample.name(&image, "1");
    assert_eq!(sample.edit(&sample.request("1", env("A", "1"))).expect_err("one layer, two diff IDs").kind(), ErrorKind::Corrupt);
    assert_eq!(sample.entry("1").digest, image.digest);
}
