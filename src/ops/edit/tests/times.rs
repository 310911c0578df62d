//! No time later than the moment of the run.

use super::sample::{Sample, run};
use crate::error::ErrorKind;
use crate::layer::{Codec, Times};
use crate::ops::edit::{self, Changes};
use crate::spec::{Descriptor, History, MediaType};

fn clamped() -> Changes {
    let mut changes = Changes::default();
    changes.layers.times = Times::Clamped;
    changes
}

#[test]
fn files_history_and_created_are_of_the_epoch_and_layers_without_later_times_stay() {
    let sample = Sample::new();
    let layers = [sample.layer("early", "1"), sample.layer_with("late", "2", 1_000, Codec::Zstd(3))];
    let image = sample.image("linux/amd64", &layers, |config, _| {
        let step = |created: &str| History { created: Some(created.into()), ..History::default() };
        let diff_ids = config.diff_ids().expect("there");
        config.set_layers(&diff_ids, &[step("2020-01-01T00:00:00Z"), step("1969-12-31T00:00:00Z")]);
        config.set_created("2026-01-01T00:00:00.5Z");
    });
    sample.name(&image, "1");
    let plan = edit::plan(&run(), &sample.request("1", clamped())).expect("planned");
    assert_eq!(plan.images[0].changes, ["created 1970-01-01T00:00:00Z", "times in 2 layers at most 1970-01-01T00:00:00Z"]);
    let report = sample.edited(&sample.request("1", clamped()));
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!(manifest.layers[0], layers[0].0);
    let expected = sample.layer_with("late", "2", 0, Codec::Zstd(3));
    assert_eq!(manifest.layers[1], expected.0, "as if it had been built so");
    let config = sample.read_config(&manifest);
    assert_eq!((config.created(), config.diff_ids().expect("there")), (Some("1970-01-01T00:00:00Z"), vec![layers[0].1.clone(), expected.1]));
    let created: Vec<_> = config.history().into_iter().map(|step| step.created.unwrap_or_default()).collect();
    assert_eq!(created, ["1970-01-01T00:00:00Z", "1969-12-31T00:00:00Z"]);

    let again = sample.edited(&sample.request("1", clamped()));
    assert_eq!((again.digest, again.images[0].changes.len()), (report.digest, 0));
}

#[test]
fn the_layers_and_steps_of_a_base_that_is_named_stay() {
    let sample = Sample::new();
    let layers = [sample.layer_with("a", "1", 1_000, Codec::default()), sample.layer_with("b", "2", 1_000, Codec::default())];
    let steps = |config: &mut crate::spec::ImageConfig, count: usize| {
        let step = History { created: Some("2020-01-01T00:00:00Z".into()), ..History::default() };
        let diff_ids = config.diff_ids().expect("there");
        config.set_layers(&diff_ids, &vec![step; count]);
    };
    sample.name(&sample.image("linux/amd64", &layers[..1], |config, _| steps(config, 1)), "base");
    sample.name(&sample.image("linux/amd64", &layers, |config, _| steps(config, 2)), "1");
    let mut changes = clamped();
    changes.layers.old_base = Some(sample.location("base"));
    sample.edited(&sample.request("1", changes));
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert!(manifest.layers[0] == layers[0].0 && manifest.layers[1] != layers[1].0);
    let created: Vec<_> = sample.read_config(&manifest).history().into_iter().map(|step| step.created.unwrap_or_default()).collect();
    assert_eq!(created, ["2020-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]);
    // Without it nothing is known to be of a base.
    sample.edited(&sample.request("1", clamped()));
    assert_ne!(sample.read_manifest(&sample.entry("1")).layers[0], layers[0].0);
}

#[test]
fn compression_and_squashing_go_with_it() {
    let sample = Sample::new();
    let layers = [sample.layer("a", "1"), sample.layer_with("b", "2", 1_000, Codec::default())];
    sample.name(&sample.image("linux/amd64", &layers, |_, _| {}), "1");
    let mut changes = clamped();
    changes.layers.compression = Some(Codec::Zstd(1));
    sample.edited(&sample.request("1", changes.clone()));
    let expected = [sample.layer_with("a", "1", 0, Codec::Zstd(1)).0, sample.layer_with("b", "2", 0, Codec::Zstd(1)).0];
    assert_eq!(sample.read_manifest(&sample.entry("1")).layers, expected);

    sample.name(&sample.image("linux/amd64", &layers, |_, _| {}), "1");
    changes.layers.squash = Some("all".parse().expect("layers"));
    let first = sample.edited(&sample.request("1", changes));
    assert_eq!(first.images[0].layers, 1);
    let again = sample.edited(&sample.request("1", clamped()));
    assert_eq!((again.digest, again.images[0].changes.len()), (first.digest, 0), "nothing later was left");
}

#[test]
fn lay_67_what_must_not_be_distributed_keeps_its_times_and_damage_is_refused() {
    let sample = Sample::new();
    let (mut foreign, diff_id) = sample.layer_with("a", "1", 1_000, Codec::default());
    foreign.media_type = MediaType::ImageLayerNonDistributableGzip;
    let own = sample.layer_with("b", "2", 1_000, Codec::default());
    sample.name(&sample.image("windows/amd64", &[(foreign.clone(), diff_id.clone()), own.clone()], |_, _| {}), "1");
    let report = sample.edited(&sample.request("1", clamped()));
    assert_eq!(report.images[0].changes[1], "1 layer kept that must not be distributed");
    assert_eq!(sample.read_manifest(&sample.entry("1")).layers[0], foreign);
    let wrong = Descriptor { media_type: MediaType::ImageLayer, ..own.0 };
    sample.name(&sample.image("linux/amd64", &[(wrong, own.1)], |_, _| {}), "1");
    assert_eq!(sample.edit(&sample.request("1", clamped())).expect_err("no tar").kind(), ErrorKind::Corrupt);
}
