//! Media types of OCI and of Docker.

use serde_json::json;

use super::sample::{Sample, annotations, run, spec};
use crate::build::spec::Level;
use crate::error::ErrorKind;
use crate::layer::Codec;
use crate::ops::edit::{self, AnnotationChange, Changes};
use crate::spec::{Descriptor, Family, Kind, MediaType, Platform, media_type};

fn converted(family: Family) -> Changes {
    Changes { media_types: Some(family), ..Changes::default() }
}

#[test]
fn lay_46_there_and_back_again_keeps_every_blob() {
    let sample = Sample::new();
    let layers = [sample.layer("a", "1"), sample.layer_with("b", "2", 0, Codec::None)];
    let images = ["linux/amd64", "linux/arm64"].map(|platform| sample.image(platform, &layers, |_, _| {}));
    let index = sample.index(images.to_vec());
    sample.name(&index, "1");
    let plan = edit::plan(&run(), &sample.request("1", converted(Family::Docker))).expect("planned");
    assert_eq!(
        (plan.images[0].changes.as_slice(), plan.around.as_slice()),
        (&["media types: docker".to_owned()][..], &["index becomes Docker's manifest list".to_owned()][..])
    );
    sample.edited(&sample.request("1", converted(Family::Docker)));
    let entry = sample.entry("1");
    assert_eq!(entry.media_type.as_ref(), media_type::DOCKER_MANIFEST_LIST);
    let list = sample.read_index(&entry);
    assert_eq!(list.media_type, Some(entry.media_type.clone()));
    for (child, image) in list.manifests.iter().zip(&images) {
        let (docker, oci) = (sample.read_manifest(child), sample.read_manifest(image));
        assert_eq!((child.media_type.as_ref(), &child.platform), (media_type::DOCKER_MANIFEST, &image.platform));
        assert_eq!((docker.config.media_type.as_ref(), &docker.config.digest), (media_type::DOCKER_CONFIG, &oci.config.digest));
        let types: Vec<&str> = docker.layers.iter().map(|layer| layer.media_type.as_ref()).collect();
        assert_eq!(types, [format!("{}.gzip", media_type::DOCKER_LAYER).as_str(), media_type::DOCKER_LAYER]);
        assert_eq!(docker.layers.iter().map(|layer| &layer.digest).collect::<Vec<_>>(), [&layers[0].0.digest, &layers[1].0.digest]);
    }
    let unchanged = sample.edited(&sample.request("1", converted(Family::Docker)));
    assert_eq!((unchanged.digest, unchanged.images[0].changes.len()), (entry.digest, 0));
    sample.edited(&sample.request("1", converted(Family::Oci)));
    assert_eq!(sample.entry("1").digest, index.digest);
}

#[test]
fn what_docker_cannot_say_is_left_out_or_refused() {
    let sample = Sample::new();
    let image = |codec: Codec| {
        let (mut layer, diff_id) = sample.layer_with("a", "1", 0, codec);
        layer.annotations.insert("k".into(), "v".into());
        sample.image("linux/amd64", &[(layer, diff_id)], |_, manifest| {
            manifest.annotations.insert("k".into(), "v".into());
        })
    };
    let mut pointer = image(Codec::default());
    pointer.annotations.insert("k".into(), "v".into());
    let index = sample.put(MediaType::ImageIndex.as_ref(), &json!({"schemaVersion": 2, "manifests": [pointer], "annotations": {"k": "v"}}));
    sample.name(&index, "1");
    let report = sample.edited(&sample.request("1", converted(Family::Docker)));
    assert_eq!(report.images[0].changes, ["media types: docker", "2 annotations of the manifest left out: Docker has none"]);
    assert_eq!(report.around, ["index becomes Docker's manifest list", "2 annotations of the index and its entries left out: Docker has none"]);
    let list = sample.read_index(&sample.entry("1"));
    let manifest = sample.read_manifest(&list.manifests[0]);
    assert!(
        list.annotations.is_empty() && list.manifests[0].annotations.is_empty() && manifest.annotations.is_empty() && manifest.layers[0].annotations.is_empty()
    );

    sample.name(&image(Codec::Zstd(3)), "1");
    let error = sample.edit(&sample.request("1", converted(Family::Docker))).expect_err("no media type");
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Unsupported, Some("compress it with gzip: --compression gzip")));
    // With that it is the same as an image of gzip.
    let mut both = converted(Family::Docker);
    both.layers.compression = Some(Codec::default());
    sample.edited(&sample.request("1", both));
    assert_eq!(sample.read_manifest(&sample.entry("1")).layers, manifest.layers);
    // The other way round everything has a counterpart.
    let mut both = converted(Family::Oci);
    both.layers.compression = Some(Codec::Zstd(3));
    sample.edited(&sample.request("1", both));
    assert_eq!(sample.read_manifest(&sample.entry("1")).layers[0].media_type, MediaType::ImageLayerZstd);

    let mut annotated = annotations([AnnotationChange::Set(spec(Level::Manifest, None, "k", "v"))]);
    annotated.media_types = Some(Family::Docker);
    assert_eq!(sample.edit(&sample.request("1", annotated.clone())).expect_err("no place").kind(), ErrorKind::Usage);
    annotated.media_types = Some(Family::Oci);
    sample.edited(&sample.request("1", annotated));
}

#[test]
fn documents_that_docker_does_not_know_are_refused() {
    let sample = Sample::new();
    let layer = sample.layer("a", "1");
    let image = |platform: &str| sample.image(platform, std::slice::from_ref(&layer), |_, _| {});
    let amd = image("linux/amd64");
    let attached = sample.image("linux/amd64", std::slice::from_ref(&layer), |_, manifest| manifest.subject = Some(amd.clone()));
    let artifact = sample.put(
        MediaType::ImageManifest.as_ref(),
        &json!({"schemaVersion": 2, "config": sample.put("application/vnd.oci.empty.v1+json", &json!({})), "layers": []}),
    );
    let about_other = sample.attestation(&image("linux/s390x"));
    for (root, words) in [
        (attached, "the manifest for linux/amd64 has `subject`"),
        (sample.index(vec![sample.index(vec![amd.clone()])]), "there is an index in the index"),
        (sample.index(vec![amd.clone(), artifact]), "in the index is no image (artifact)"),
        (sample.index(vec![amd.clone(), about_other]), "in the index is no image (attestation)"),
        (
            sample.put(MediaType::ImageIndex.as_ref(), &json!({"schemaVersion": 2, "manifests": [amd.clone()], "artifactType": "a/b"})),
            "the index is attached to something, or an artifact",
        ),
    ] {
        sample.name(&root, "1");
        let error = sample.edit(&sample.request("1", converted(Family::Docker))).expect_err(words);
        let all = format!("{error} {:?}", error.causes());
        assert!(error.kind() == ErrorKind::Unsupported && all.contains(words), "{all}");
        assert_eq!(sample.entry("1").digest, root.digest);
    }
    // What is about an image that becomes another goes with it.
    let proof = sample.attestation(&amd);
    sample.name(&sample.index(vec![amd, proof]), "1");
    let report = sample.edited(&sample.request("1", converted(Family::Docker)));
    assert_eq!((report.dropped.len(), sample.read_index(&sample.entry("1")).manifests.len()), (1, 1));
}

#[test]
fn some_platforms_can_become_oci_and_not_docker() {
    let sample = Sample::new();
    let layer = sample.layer("a", "1");
    let images = ["linux/amd64", "linux/arm64"].map(|platform| sample.image(platform, std::slice::from_ref(&layer), |_, _| {}));
    sample.name(&sample.index(images.to_vec()), "1");
    let one = |family: Family| {
        let mut request = sample.request("1", converted(family));
        request.platforms = vec![Platform::parse("linux/arm64").expect("a platform")];
        request
    };
    let error = sample.edit(&one(Family::Docker)).expect_err("a mixture");
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Usage, Some("leave --platform out to convert all platforms")));
    sample.edited(&sample.request("1", converted(Family::Docker)));
    sample.edited(&one(Family::Oci));
    let entry = sample.entry("1");
    let families: Vec<Family> = sample.read_index(&entry).manifests.iter().map(|child: &Descriptor| Family::of(&child.media_type)).collect();
    assert_eq!((Family::of(&entry.media_type), Kind::of(&entry.media_type), families), (Family::Oci, Kind::Index, vec![Family::Docker, Family::Oci]));
}
