//! What becomes of layers.

use super::sample::{Sample, compressed};
use crate::error::ErrorKind;
use crate::layer::Codec;
use crate::spec::{Descriptor, DiffId, Digest, MediaType, media_type};

#[test]
fn there_and_back_again_is_the_same_image() {
    let sample = Sample::new();
    let layers = [sample.layer("a", &"some content ".repeat(1000)), sample.layer("b", "2")];
    let image = sample.image("linux/amd64", &layers, |_, _| {});
    sample.name(&image, "1");
    let mut digests = Vec::new();
    for (codec, suffix) in [(Codec::Zstd(3), "tar+zstd"), (Codec::None, "tar"), (Codec::Gzip(9), "tar+gzip"), (Codec::Gzip(6), "tar+gzip")] {
        let report = sample.edited(&sample.request("1", compressed(codec)));
        assert_eq!(report.images[0].changes, [format!("2 layers compressed with {codec}")]);
        let manifest = sample.read_manifest(&sample.entry("1"));
        assert!(manifest.layers.iter().all(|layer| layer.media_type.as_ref().ends_with(suffix)), "{codec}");
        let config = sample.read_config(&manifest);
        assert_eq!((config.diff_ids().expect("there"), config.history().len()), (layers.iter().map(|layer| layer.1.clone()).collect(), 2));
        digests.push(report.digest);
    }
    assert_eq!(digests[3], image.digest, "what building makes is what compressing again makes");
    assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}

#[test]
fn a_layer_of_several_platforms_is_made_once() {
    let sample = Sample::new();
    let shared = sample.layer("shared", "1");
    let images = ["linux/amd64", "linux/arm64"].map(|platform| sample.image(platform, &[shared.clone(), sample.layer("own", platform)], |_, _| {}));
    sample.name(&sample.index(images.to_vec()), "1");
    let report = sample.edited(&sample.request("1", compressed(Codec::Zstd(1))));
    assert_eq!(report.layers.len(), 3);
    assert_eq!(report.layers[0].from, [shared.0.digest]);
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    let layers: Vec<Descriptor> = manifests.iter().map(|entry| sample.read_manifest(entry).layers[0].clone()).collect();
    assert_eq!(layers[0], layers[1]);
}

#[test]
fn cmp_11_a_pointer_keeps_what_is_still_true() {
    let sample = Sample::new();
    let (mut layer, diff_id) = sample.layer("a", "1");
    let content = sample.layout.read(&layer, 10_000).expect("there");
    layer.annotations.insert("containerd.io/snapshot/stargz/toc.digest".into(), "sha256:x".into());
    layer.annotations.insert("org.opencontainers.image.title".into(), "base".into());
    layer.urls = vec!["https://example.invalid/layer".into()];
    let same = layer.clone();
    layer.data = Some(base64(&content));
    let image = sample.image("linux/amd64", &[(layer.clone(), diff_id.clone()), (same, diff_id)], |_, _| {});
    sample.name(&image, "1");
    let unchanged = sample.edited(&sample.request("1", compressed(Codec::default())));
    assert_eq!(unchanged.digest, image.digest, "the same bytes are described as before");
    sample.edited(&sample.request("1", compressed(Codec::Zstd(3))));
    for layer in sample.read_manifest(&sample.entry("1")).layers {
        assert_eq!(layer.annotations.into_keys().collect::<Vec<_>>(), ["org.opencontainers.image.title"]);
        assert_eq!((layer.data, layer.urls.len()), (None, 0));
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        (0..4).map(|at| if at <= chunk.len() { char::from(ALPHABET[bits >> (18 - 6 * at) & 63]) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn dockers_manifests_keep_dockers_layers_and_have_none_for_zstandard() {
    let sample = Sample::new();
    let (mut layer, diff_id) = sample.layer("a", "1");
    layer.media_type = format!("{}.gzip", media_type::DOCKER_LAYER).as_str().into();
    let image = sample.image("linux/amd64", &[(layer, diff_id)], |_, manifest| {
        manifest.media_type = Some(media_type::DOCKER_MANIFEST.into());
        manifest.config.media_type = media_type::DOCKER_CONFIG.into();
    });
    sample.name(&image, "1");
    let error = sample.edit(&sample.request("1", compressed(Codec::Zstd(3)))).expect_err("no media type");
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Unsupported, Some("compress them with gzip: --compression gzip")));
    assert_eq!(sample.entry("1").digest, image.digest);
    sample.edited(&sample.request("1", compressed(Codec::None)));
    assert_eq!(sample.read_manifest(&sample.entry("1")).layers[0].media_type.as_ref(), media_type::DOCKER_LAYER);
}

#[test]
fn lay_67_and_cmp_12_layers_that_must_not_be_distributed_stay_and_encrypted_ones_are_refused() {
    let sample = Sample::new();
    let (mut foreign, diff_id) = sample.layer("a", "1");
    foreign.media_type = MediaType::ImageLayerNonDistributableGzip;
    // Not there, as usual.
    foreign.digest = Digest::sha256(b"elsewhere");
    foreign.urls = vec!["https://example.invalid/layer".into()];
    let own = sample.layer("b", "2");
    let image = sample.image("windows/amd64", &[(foreign.clone(), diff_id.clone()), own], |_, _| {});
    sample.name(&image, "1");
    let report = sample.edit(&sample.request("1", compressed(Codec::Zstd(3)))).expect("edited");
    assert_eq!(report.images[0].changes[1], "1 layer kept that must not be distributed");
    assert_eq!(sample.read_manifest(&sample.entry("1")).layers[0], foreign);

    let encrypted = Descriptor { media_type: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted".into(), ..foreign };
    let image = sample.image("linux/amd64", &[(encrypted, diff_id)], |_, _| {});
    sample.name(&image, "1");
    assert_eq!(sample.edit(&sample.request("1", compressed(Codec::None))).expect_err("encrypted").kind(), ErrorKind::Unsupported);
}

#[test]
fn lay_35_lay_38_and_cmp_08_a_layer_that_is_not_what_it_should_be_changes_nothing() {
    let sample = Sample::new();
    let (good, diff_id) = sample.layer("a", "1");
    let plain = Descriptor { media_type: MediaType::ImageLayer, ..good.clone() };
    let wrong = DiffId(Digest::sha256(b"another tar"));
    let absent = Descriptor { digest: Digest::sha256(b"absent"), ..good.clone() };
    for (layer, diff_id, kind) in [(good, wrong, ErrorKind::Corrupt), (plain, diff_id.clone(), ErrorKind::Corrupt), (absent, diff_id, ErrorKind::NotFound)] {
        let image = sample.image("linux/amd64", &[(layer.clone(), diff_id)], |_, _| {});
        sample.name(&image, "1");
        let blobs = || std::fs::read_dir(sample.layout.path().join("blobs/sha256")).expect("listed").count();
        let before = blobs();
        let error = sample.edit(&sample.request("1", compressed(Codec::Zstd(3)))).expect_err("damaged");
        assert_eq!((error.kind(), error.subject_text()), (kind, Some(layer.digest.as_str())));
        assert_eq!((blobs(), sample.entry("1").digest), (before, image.digest), "nothing appears that is not proved");
    }
}
