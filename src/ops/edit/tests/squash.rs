//! Several layers as one.

use super::sample::{Layer, Sample, run};
use crate::build::destination::DestinationSpec;
use crate::build::place::At;
use crate::build::place::Place;
use crate::build::spec::{LayerSource, LayerSpec, Step};
use crate::error::ErrorKind;
use crate::layer::Codec;
use crate::ops::edit::{self, Changes};
use crate::spec::{Descriptor, History, MediaType, annotation, media_type};

fn squashed(from: &str) -> Changes {
    let mut changes = Changes::default();
    changes.layers.squash = Some(from.parse().expect("layers"));
    changes
}

/// The same with a layer on top that has this file.
fn with_file(mut changes: Changes, path: &str, content: &str) -> Changes {
    let place = Place::flag("--copy");
    let to = DestinationSpec::parse(&At::new(path.to_owned(), place.clone())).expect("a destination");
    let file = Step::File { place: place.clone(), to, content: content.into(), mode: 0o644, owner: (0, 0) };
    changes.layers.append.push(LayerSpec { place, comment: None, platforms: Vec::new(), source: LayerSource::Steps(vec![file]) });
    changes
}

fn layers(sample: &Sample) -> [Layer; 3] {
    [sample.layer("a", "1"), sample.layer("b", "2"), sample.layer(".wh.a", "")]
}

#[test]
fn all_layers_become_one_with_one_step_that_says_so() {
    let sample = Sample::new();
    let layers = layers(&sample);
    let image = sample.image("linux/amd64", &layers, |config, manifest| {
        let mut steps = config.history();
        steps.insert(1, History { created_by: Some("ENV A=1".into()), empty_layer: true, ..History::default() });
        let diff_ids = config.diff_ids().expect("there");
        config.set_layers(&diff_ids, &steps);
        manifest.annotations.insert(annotation::BASE_DIGEST.into(), "sha256:x".into());
    });
    sample.name(&image, "1");
    let report = sample.edited(&sample.request("1", squashed("all")));
    assert_eq!(report.images[0].changes[0], "3 layers squashed into one");
    assert_eq!(report.layers[0].from, layers.each_ref().map(|layer| layer.0.digest.clone()));
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!((manifest.layers.len(), manifest.annotations.len()), (1, 0), "it stands on no base any more");
    assert_eq!(sample.paths(&manifest.layers[0]), ["b"]);
    let steps: Vec<_> = sample.read_config(&manifest).history();
    assert_eq!(steps.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [true, false], "what made no layer stays");
    let of = layers.each_ref().map(|layer| layer.0.digest.to_string()).join(", ");
    assert_eq!(steps[1].created_by.as_deref(), Some(format!("larder edit: squash 3 layers: {of}").as_str()));
    assert_eq!(steps[1].comment.as_deref(), Some("step 0\nstep 1\nstep 2"));

    let again = sample.edited(&sample.request("1", squashed("all")));
    assert_eq!((again.digest, again.images[0].changes.len()), (report.digest, 0), "a single layer is one already");
}

#[test]
fn layers_below_stay_and_what_is_to_be_gone_of_them_is_hidden() {
    let sample = Sample::new();
    let below = [sample.layer("a", "1"), sample.layer("b", "2")];
    let above = [sample.layer("c", "3"), sample.layer(".wh.a", ""), sample.layer("c", "4")];
    let all = [&below[..], &above].concat();
    let digest = above[0].1.0.to_string();
    let mut found = Vec::new();
    for from in ["3", digest.as_str(), above[0].0.digest.as_str()] {
        let image = sample.image("linux/amd64", &all, |_, manifest| {
            manifest.annotations.insert(annotation::BASE_NAME.into(), "base".into());
        });
        sample.name(&image, "1");
        sample.edited(&sample.request("1", squashed(from)));
        let manifest = sample.read_manifest(&sample.entry("1"));
        assert_eq!((&manifest.layers[..2], manifest.layers.len()), (&below.each_ref().map(|layer| layer.0.clone())[..], 3));
        assert_eq!(sample.paths(&manifest.layers[2]), [".wh.a", "c"]);
        assert_eq!(manifest.annotations.len(), 1, "what is at the bottom is what it was");
        found.push(sample.entry("1").digest);
    }
    assert!(found.iter().all(|digest| *digest == found[0]));
}

#[test]
fn a_layer_of_several_platforms_is_made_once_and_others_stay() {
    let sample = Sample::new();
    let layers = layers(&sample);
    let images = ["linux/amd64", "linux/arm64", "linux/s390x"].map(|platform| sample.image(platform, &layers, |_, _| {}));
    sample.name(&sample.index(images.to_vec()), "1");
    let mut request = sample.request("1", squashed("2"));
    request.platforms = ["linux/amd64", "linux/arm64"].map(|platform| crate::spec::Platform::parse(platform).expect("a platform")).to_vec();
    let report = sample.edited(&request);
    assert_eq!(report.layers.len(), 1);
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    let counts: Vec<usize> = manifests.iter().map(|entry| sample.read_manifest(entry).layers.len()).collect();
    assert_eq!((counts, &manifests[2]), (vec![2, 2, 3], &images[2]));
}

#[test]
fn new_layers_become_part_of_it_without_being_layers_and_dropped_ones_do_not() {
    let sample = Sample::new();
    let layers = layers(&sample);
    sample.name(&sample.image("linux/amd64", &layers, |_, _| {}), "1");
    let before = sample.blobs();
    let mut changes = with_file(with_file(squashed("all"), "/a", "new"), "/d", "4");
    changes.layers.drop.push("2".parse().expect("a layer"));
    let report = sample.edited(&sample.request("1", changes));
    assert_eq!(sample.blobs(), before + 3, "the layer, the config and the manifest");
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!((report.layers.len(), sample.paths(&manifest.layers[0])), (1, vec!["a".to_owned(), "d".to_owned()]));
    let steps: Vec<_> = sample.read_config(&manifest).history().into_iter().map(|step| step.created_by.unwrap_or_default()).collect();
    assert!(steps[0].starts_with("larder edit: drop layer sha256:") && steps[1].ends_with("larder edit: file /a, larder edit: file /d"), "{steps:?}");
    // Two new ones above those that stay.
    sample.name(&sample.image("linux/amd64", &layers, |_, _| {}), "1");
    let changes = with_file(with_file(squashed("3"), "/a", "new"), "/d", "4");
    sample.edited(&sample.request("1", changes));
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!((manifest.layers.len(), sample.paths(&manifest.layers[2])), (3, vec!["a".to_owned(), "d".to_owned()]));
}

#[test]
fn it_is_compressed_as_its_parts_or_as_is_asked() {
    let sample = Sample::new();
    let of = |path: &str, codec| sample.layer_with(path, "x", 0, codec);
    let squash = |layers: &[Layer], changes: Changes| {
        sample.name(&sample.image("linux/amd64", layers, |_, _| {}), "1");
        sample.edited(&sample.request("1", changes));
        sample.read_manifest(&sample.entry("1")).layers[0].media_type.clone()
    };
    assert_eq!(squash(&[of("a", Codec::Zstd(3)), of("b", Codec::Zstd(9))], squashed("all")), MediaType::ImageLayerZstd);
    assert_eq!(squash(&[of("a", Codec::None), of("b", Codec::None)], squashed("all")), MediaType::ImageLayer);
    assert_eq!(squash(&[of("a", Codec::Zstd(3)), of("b", Codec::None)], squashed("all")), MediaType::ImageLayerGzip);
    let mut changes = squashed("all");
    changes.layers.compression = Some(Codec::Zstd(1));
    assert_eq!(squash(&[of("a", Codec::None), of("b", Codec::None)], changes), MediaType::ImageLayerZstd);
}

#[test]
fn above_the_base_is_above_the_one_that_annotations_say_or_that_is_named() {
    let sample = Sample::new();
    let layers = [sample.layer("a", "1"), sample.layer("b", "2"), sample.layer("c", "3"), sample.layer("d", "4")];
    let base = sample.image("linux/amd64", &layers[..2], |_, _| {});
    let image = |annotation: Option<(&str, &str)>| {
        sample.image("linux/amd64", &layers, |_, manifest| {
            manifest.annotations.extend(annotation.map(|(key, value)| (key.to_owned(), value.to_owned())));
        })
    };
    let squash = |image: &Descriptor, changes: Changes| {
        sample.name(image, "1");
        sample.edit(&sample.request("1", changes)).map(|_| sample.read_manifest(&sample.entry("1")).layers)
    };
    // No name leads to the base, but it is there.
    let found = squash(&image(Some((annotation::BASE_DIGEST, base.digest.as_str()))), squashed("base")).expect("squashed");
    assert_eq!((&found[..2], found.len()), (&layers[..2].iter().map(|layer| layer.0.clone()).collect::<Vec<_>>()[..], 3));
    assert_eq!(sample.paths(&found[2]), ["c", "d"]);
    sample.name(&base, "x.y/base:1");
    assert_eq!(squash(&image(Some((annotation::BASE_NAME, "x.y/base:1"))), squashed("base")).expect("squashed"), found);
    let mut named = squashed("base");
    named.layers.old_base = Some(sample.location("x.y/base:1"));
    assert_eq!(squash(&image(Some((annotation::BASE_NAME, "elsewhere:1"))), named.clone()).expect("squashed"), found);

    for (annotated, kind, words) in [
        (None, ErrorKind::Usage, "no annotation says what the image is based on"),
        (Some((annotation::BASE_DIGEST, layers[0].0.digest.as_str())), ErrorKind::NotFound, "which the annotations say, is not in oci:"),
        (Some((annotation::BASE_NAME, "gone:1")), ErrorKind::NotFound, "which the annotations say, is not in oci:"),
        (Some((annotation::BASE_DIGEST, "sha256:x")), ErrorKind::Corrupt, "cannot use the annotation of the base"),
    ] {
        let error = squash(&image(annotated), squashed("base")).expect_err(words);
        let all = format!("{error} {:?}", error.causes());
        assert!(error.kind() == kind && all.contains(words) && error.hint_text().is_some_and(|hint| hint.contains("--old-base")), "{all}");
    }
    // It must be what the image stands on.
    sample.name(&sample.image("linux/amd64", &layers[1..], |_, _| {}), "1");
    let error = sample.edit(&sample.request("1", named)).expect_err("another base");
    let all = format!("{error} {:?}", error.causes());
    assert!(error.kind() == ErrorKind::Usage && all.contains("does not stand on the base") && all.contains("layer 1 of the image is"), "{all}");
    let mut pointless = squashed("all");
    pointless.layers.old_base = Some(sample.location("x.y/base:1"));
    assert_eq!(sample.edit(&sample.request("1", pointless)).expect_err("not needed").kind(), ErrorKind::Usage);
}

#[test]
fn what_cannot_be_squashed_is_refused_before_anything_is_written() {
    let sample = Sample::new();
    let (own, mut foreign) = (sample.layer("a", "1"), sample.layer("b", "2"));
    foreign.0.media_type = MediaType::ImageLayerNonDistributableGzip;
    let squash = |platform: &str, layers: &[Layer], from: &str| {
        let image = sample.image(platform, layers, |_, _| {});
        sample.name(&image, "1");
        let before = sample.blobs();
        let error = sample.edit(&sample.request("1", squashed(from))).expect_err("refused");
        assert_eq!((sample.blobs(), sample.entry("1").digest), (before, image.digest));
        error.kind()
    };
    let two = [own.clone(), sample.layer("c", "3")];
    assert_eq!(squash("windows/amd64", &two, "all"), ErrorKind::Unsupported);
    assert_eq!(squash("linux/amd64", &[own.clone(), foreign], "all"), ErrorKind::Unsupported);
    assert_eq!(squash("linux/amd64", &two, "3"), ErrorKind::Usage);
    assert_eq!(squash("linux/amd64", &two, media_digest().as_str()), ErrorKind::NotFound);
    let senseless = sample.layer("d/.wh..wh.x", "");
    assert_eq!(squash("linux/amd64", &[own, senseless], "all"), ErrorKind::Corrupt);
}

fn media_digest() -> String {
    crate::spec::Digest::sha256(media_type::DOCKER_LAYER.as_bytes()).to_string()
}

#[test]
fn a_plan_tells_what_becomes_one() {
    let sample = Sample::new();
    let layers = layers(&sample);
    sample.name(&sample.image("linux/amd64", &layers, |_, _| {}), "1");
    let before = sample.blobs();
    let plan = edit::plan(&run(), &sample.request("1", squashed("2"))).expect("planned");
    assert_eq!(plan.images[0].changes, ["2 layers squashed into one"]);
    assert_eq!((plan.layers.len(), plan.layers[0].label.as_str()), (1, "2 layers as one"));
    assert_eq!(plan.layers[0].from, [layers[1].0.digest.clone(), layers[2].0.digest.clone()]);
    assert_eq!(sample.blobs(), before);
}
