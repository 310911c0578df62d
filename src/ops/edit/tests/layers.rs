//! What becomes of layers.

use super::sample::{Sample, compressed};
use crate::build::destination::DestinationSpec;
use crate::build::place::{At, Place};
use crate::build::spec::{CopySpec, LayerSource, LayerSpec, Step};
use crate::build::template::Template;
use crate::error::ErrorKind;
use crate::layer::Codec;
use crate::ops::edit::Changes;
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
        assert_eq!(layer.annotations.keys().collect::<Vec<_>>(), ["org.opencontainers.image.title"]);
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

/// A change that puts a layer with these files on top.
fn appended(sample: &Sample, from: &str) -> Changes {
    let place = Place::flag("--copy");
    let from = At::new(Template::parse(&At::new(from.into(), place.clone())).expect("a template"), place.clone());
    let to = DestinationSpec::parse(&At::new("/opt/".into(), place.clone())).expect("a destination");
    let source = LayerSource::Steps(vec![Step::Copy(CopySpec::new(from, to))]);
    let mut changes = Changes::default();
    changes.layers.append.push(LayerSpec { place, comment: None, platforms: Vec::new(), source });
    changes.layers.context = sample.context();
    changes
}

#[test]
fn a_new_layer_goes_on_top_with_its_step_and_is_what_each_platform_wants() {
    let sample = Sample::new();
    for (name, content) in [("amd64", "a"), ("arm64", "b"), ("both", "c")] {
        std::fs::write(sample.context().join(name), content).expect("writable");
    }
    let base = sample.layer("a", "1");
    let images = ["linux/amd64", "linux/arm64"].map(|platform| sample.image(platform, std::slice::from_ref(&base), |_, _| {}));
    sample.name(&sample.index(images.to_vec()), "1");
    let mut changes = appended(&sample, "{arch}");
    changes.layers.append.extend(appended(&sample, "both").layers.append);
    changes.settings.set.user = Some("x".into());
    let report = sample.edited(&sample.request("1", changes));
    assert_eq!(report.layers.len(), 3, "what is the same on both platforms is made once");
    assert_eq!(report.images[0].changes, ["layer added: copy to /opt", "layer added: copy to /opt", "user"]);
    let manifests: Vec<_> = sample.read_index(&sample.entry("1")).manifests.iter().map(|entry| sample.read_manifest(entry)).collect();
    for manifest in &manifests {
        assert_eq!((manifest.layers.len(), &manifest.layers[0]), (3, &base.0));
        let history = sample.read_config(manifest).history();
        assert_eq!(history.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(history[1].created_by.as_deref(), Some("larder edit: copy to /opt"));
    }
    assert!(manifests[0].layers[1] != manifests[1].layers[1] && manifests[0].layers[2] == manifests[1].layers[2]);
    // Which directories there are below nobody knows, so none is described that was not asked for.
    assert_eq!(sample.paths(&manifests[1].layers[1]), ["opt/arm64"]);
    let missing = appended(&sample, "none");
    assert_eq!(sample.edit(&sample.request("1", missing)).expect_err("no such file").kind(), ErrorKind::NotFound);
}

fn dropped(ids: &[&str]) -> Changes {
    let mut changes = Changes::default();
    changes.layers.drop = ids.iter().map(|id| id.parse().expect("a layer")).collect();
    changes
}

#[test]
fn a_dropped_layer_takes_its_step_along_and_history_says_so() {
    let sample = Sample::new();
    let layers = [sample.layer("a", "1"), sample.layer("b", "2"), sample.layer("c", "3"), sample.layer("d", "4")];
    let image = sample.image("linux/amd64", &layers, |_, manifest| {
        manifest.annotations.insert("org.opencontainers.image.base.digest".into(), "sha256:x".into());
        manifest.annotations.insert("org.opencontainers.image.base.name".into(), "base".into());
    });
    sample.name(&image, "1");
    // Numbers are those before the edit, and naming a layer twice drops it once.
    let report = sample.edited(&sample.request("1", dropped(&["2", layers[2].1.0.as_str(), layers[1].0.digest.as_str()])));
    assert_eq!(report.images[0].changes, ["layer 2 dropped", "layer 3 dropped"]);
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!((manifest.layers.clone(), manifest.annotations.len()), (vec![layers[0].0.clone(), layers[3].0.clone()], 2));
    let config = sample.read_config(&manifest);
    assert_eq!(config.diff_ids().expect("there"), [layers[0].1.clone(), layers[3].1.clone()]);
    let steps: Vec<_> = config.history().into_iter().map(|step| (step.created_by.unwrap_or_default(), step.empty_layer)).collect();
    let note = |layer: &Descriptor| (format!("larder edit: drop layer {}", layer.digest), true);
    assert_eq!(steps, [("step 0".into(), false), ("step 3".into(), false), note(&layers[1].0), note(&layers[2].0)]);

    let report = sample.edited(&sample.request("1", dropped(&["1"])));
    assert!(report.images[0].changes[1].starts_with("annotations of the base removed"), "{:?}", report.images[0].changes);
    assert!(sample.read_manifest(&sample.entry("1")).annotations.is_empty(), "it stands on no base any more");
}

#[test]
fn a_layer_that_cannot_be_dropped_is_refused() {
    let sample = Sample::new();
    let (one, two) = (sample.layer("a", "1"), sample.layer("b", "2"));
    let absent = Digest::sha256(b"absent");
    sample.name(
        &sample.index(vec![
            sample.image("linux/amd64", &[one.clone(), two.clone()], |_, _| {}),
            sample.image("linux/arm64", std::slice::from_ref(&one), |_, _| {}),
        ]),
        "1",
    );
    let before = sample.entry("1");
    for (ids, kind, words) in [
        (&["2"] as &[&str], ErrorKind::Usage, "there is no layer 2: the image for linux/arm64 has 1"),
        (&["1"], ErrorKind::Usage, "no layer would be left"),
        (&[absent.as_str()], ErrorKind::NotFound, "has a layer sha256:"),
    ] {
        let error = sample.edit(&sample.request("1", dropped(ids))).expect_err(words);
        let all = format!("{error} {:?}", error.causes());
        assert!(error.kind() == kind && all.contains(words), "{all}");
    }
    assert_eq!(sample.entry("1"), before);
    // A digest drops the layer where it is.
    let report = sample.edited(&sample.request("1", dropped(&[two.1.0.as_str()])));
    assert_eq!(report.images.iter().map(|image| image.layers).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(report.images[1].before, report.images[1].digest);
}
