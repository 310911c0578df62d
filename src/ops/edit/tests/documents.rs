//! What becomes of configs, manifests and annotations.

use serde_json::{Value, json};

use super::sample::{Sample, annotations, env, odd, run, spec};
use crate::build::spec::Level;
use crate::error::ErrorKind;
use crate::ops::edit::{self, AnnotationChange, Changes};
use crate::spec::{Digest, ImageConfig, MediaType, media_type};

#[test]
fn settings_change_with_a_step_of_history_and_all_else_stays() {
    let sample = Sample::new();
    let layers = [sample.layer("a", "1"), sample.layer("b", "2")];
    let health = json!({"Test": ["CMD", "true"]});
    let image = sample.image("linux/amd64", &layers, |config, manifest| {
        config.set_setting("Healthcheck", health.clone());
        config.set_env("OLD", "1").expect("a variable");
        config.set_env("PATH", "/bin").expect("a variable");
        config.set_label("gone", "x");
        config.set_cmd(&["old"]);
        manifest.annotations.insert("k".into(), "v".into());
        manifest.other.insert("x".into(), json!([1]));
    });
    sample.name(&image, "1");
    let mut changes = env("NEW", "secret");
    changes.settings.unset_env.push("OLD".into());
    changes.settings.unset_labels.push("gone".into());
    changes.settings.set.user = Some("1000".into());
    changes.settings.set.entrypoint = Some(vec!["/new".into()]);
    changes.settings.created = Some("2026-01-01T00:00:00Z".into());
    let report = sample.edited(&sample.request("1", changes));

    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!(manifest.layers, [layers[0].0.clone(), layers[1].0.clone()]);
    assert_eq!((manifest.annotations.get("k"), &manifest.other["x"]), (Some("v"), &json!([1])));
    let config = sample.read_config(&manifest);
    assert_eq!((config.env(), config.user(), config.entrypoint()), (vec!["PATH=/bin".to_owned(), "NEW=secret".to_owned()], "1000", vec!["/new".to_owned()]));
    assert!(config.cmd().is_empty() && config.labels().is_empty(), "arguments of the old program go with it");
    assert_eq!((config.setting("Healthcheck"), config.created()), (Some(&health), Some("2026-01-01T00:00:00Z")));
    let history = config.history();
    assert_eq!(history.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(history[2].created_by.as_deref(), Some("larder edit: cmd, entrypoint, env NEW, env OLD, label gone, user"), "no values, which may be secret");
    assert_eq!(history[2].created.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!((&report.before, &report.digest), (&image.digest, &sample.entry("1").digest));
    assert_eq!(report.images[0].changes.last().map(String::as_str), Some("created 2026-01-01T00:00:00Z"));
}

#[test]
fn lay_68_an_edit_that_changes_nothing_keeps_every_byte() {
    let sample = Sample::new();
    let layer = sample.layer("a", "1");
    // Written by somebody else: other spaces, another order, fields with nothing in them, no media type.
    let config = odd(&json!({"architecture": "amd64", "os": "linux", "config": {"Env": ["A=1"], "Cmd": null, "Labels": {}, "X": 1},
        "rootfs": {"type": "layers", "diff_ids": [layer.1]}, "history": [{"created_by": "x"}]}));
    let config = sample.layout.put_document(MediaType::ImageConfig, &config).expect("stored");
    let manifest = odd(&json!({"schemaVersion": 2, "config": config, "layers": [layer.0], "x": {"y": []}}));
    let manifest = sample.layout.put_document(MediaType::ImageManifest, &manifest).expect("stored");
    let index = odd(&json!({"schemaVersion": 2, "manifests": [manifest]}));
    let index = sample.layout.put_document(MediaType::ImageIndex, &index).expect("stored");
    sample.name(&index, "1");
    let before = sample.layout.index().expect("readable");
    let mut changes = env("A", "1");
    changes.settings.unset_env.push("none".into());
    changes.settings.unset_labels.push("none".into());
    changes.settings.set.cmd = Some(Vec::new());
    changes.settings.set.user = Some(String::new());
    changes.annotations.push(AnnotationChange::Unset(spec(Level::Manifest, None, "none", "")));
    let report = sample.edited(&sample.request("1", changes));
    assert_eq!((&report.digest, &report.before), (&index.digest, &index.digest));
    assert_eq!((&report.images[0].digest, report.images[0].changes.len()), (&manifest.digest, 0));
    assert_eq!(sample.layout.index().expect("readable"), before);
    assert_eq!(report.names[0].moved_from, None);

    let report = sample.edited(&sample.request("1", env("A", "2")));
    assert_ne!(report.digest, index.digest);
    let manifest = sample.read_manifest(&sample.read_index(&sample.entry("1")).manifests[0]);
    assert_eq!((manifest.other["x"].clone(), manifest.media_type), (json!({"y": []}), None), "what is not known stays, what was left out stays out");
}

#[test]
fn created_alone_is_no_step() {
    let sample = Sample::new();
    sample.name(&sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {}), "1");
    let mut changes = Changes::default();
    changes.settings.created = Some("2026-01-01T00:00:00Z".into());
    sample.edited(&sample.request("1", changes));
    let config = sample.read_config(&sample.read_manifest(&sample.entry("1")));
    assert_eq!((config.created(), config.history().len()), (Some("2026-01-01T00:00:00Z"), 1));
}

#[test]
fn a_history_that_does_not_fit_the_layers_is_made_to_fit_once_something_is_added() {
    for (steps, expected) in [
        (json!(null), vec![(Some("not recorded"), false), (Some("not recorded"), false), (None, true)]),
        (json!([{"comment": "a"}]), vec![(Some("a"), false), (Some("not recorded"), false), (None, true)]),
        (
            json!([{"comment": "a"}, {"comment": "e", "empty_layer": true}, {"comment": "b"}, {"comment": "c"}]),
            vec![(Some("a"), false), (Some("e"), true), (Some("b"), false), (Some("c"), true), (None, true)],
        ),
    ] {
        let sample = Sample::new();
        let layers = [sample.layer("a", "1"), sample.layer("b", "2")];
        let image = sample.image("linux/amd64", &layers, |config, _| {
            let mut value = serde_json::to_value(&*config).expect("JSON");
            value["history"] = steps.clone();
            *config = ImageConfig::parse(&crate::spec::json::canonical(&value).expect("JSON"), 10_000).expect("a config");
        });
        sample.name(&image, "1");
        sample.edited(&sample.request("1", env("A", "1")));
        let history = sample.read_config(&sample.read_manifest(&sample.entry("1"))).history();
        let found: Vec<_> = history.iter().map(|step| (step.comment.as_deref(), step.empty_layer)).collect();
        assert_eq!(found, expected, "{steps}");
    }
}

#[test]
fn lay_46_dockers_types_stay_dockers() {
    let sample = Sample::new();
    let (mut layer, diff_id) = sample.layer("a", "1");
    layer.media_type = format!("{}.gzip", media_type::DOCKER_LAYER).as_str().into();
    let image = sample.image("linux/amd64", &[(layer.clone(), diff_id)], |_, manifest| {
        manifest.media_type = Some(media_type::DOCKER_MANIFEST.into());
        manifest.config.media_type = media_type::DOCKER_CONFIG.into();
    });
    let list = sample.put(media_type::DOCKER_MANIFEST_LIST, &json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST_LIST, "manifests": [image]}));
    sample.name(&list, "1");
    sample.edited(&sample.request("1", env("A", "1")));
    let entry = sample.entry("1");
    assert_eq!(entry.media_type.as_ref(), media_type::DOCKER_MANIFEST_LIST);
    let child = &sample.read_index(&entry).manifests[0];
    let manifest = sample.read_manifest(child);
    assert_eq!((child.media_type.as_ref(), manifest.config.media_type.as_ref()), (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG));
    assert_eq!(manifest.layers, [layer]);
    for level in [Level::Manifest, Level::ManifestDescriptor, Level::Index] {
        let error = sample.edit(&sample.request("1", annotations([AnnotationChange::Set(spec(level, None, "k", "v"))]))).expect_err("no place for it");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    sample.edited(&sample.request("1", annotations([AnnotationChange::Set(spec(Level::IndexDescriptor, None, "k", "v"))])));
    assert_eq!(sample.entry("1").annotation("k"), Some("v"), "the entry of the layout is not Docker's");
}

#[test]
fn annotations_go_where_they_are_meant_and_nowhere_else() {
    let sample = Sample::new();
    let layer = sample.layer("a", "1");
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| {
        sample.image(platform, std::slice::from_ref(&layer), |_, manifest| {
            manifest.annotations.insert("old".into(), "1".into());
        })
    });
    let before = [&amd, &arm].map(|image| sample.read_manifest(image).config.digest);
    sample.name(&sample.index(vec![amd, arm]), "1");
    let set = |level, platform, key| AnnotationChange::Set(spec(level, platform, key, "v"));
    let report = sample.edited(&sample.request(
        "1",
        annotations([
            set(Level::Manifest, None, "m"),
            AnnotationChange::Unset(spec(Level::Manifest, Some("linux/amd64"), "old", "")),
            set(Level::ManifestDescriptor, Some("linux/arm64"), "d"),
            set(Level::Index, None, "i"),
            set(Level::IndexDescriptor, None, "e"),
            // One that is taken away and given is given.
            AnnotationChange::Unset(spec(Level::Index, None, "i", "")),
        ]),
    ));
    let entry = sample.entry("1");
    assert_eq!((entry.annotation("e"), entry.annotation("i")), (Some("v"), None));
    let index = sample.read_index(&entry);
    assert_eq!(index.annotations.get("i"), Some("v"));
    assert_eq!(index.manifests.iter().map(|child| child.annotation("d")).collect::<Vec<_>>(), [None, Some("v")]);
    let found: Vec<Vec<String>> = index.manifests.iter().map(|child| sample.read_manifest(child).annotations.keys().map(str::to_owned).collect()).collect();
    assert_eq!(found, [vec!["m".to_owned()], vec!["m".to_owned(), "old".to_owned()]]);
    assert_eq!(report.images[0].changes, ["annotation m", "annotation old"]);
    assert_eq!(report.around, ["entry annotation e", "index annotation i", "descriptor annotation d"]);
    let configs: Vec<Digest> = index.manifests.iter().map(|child| sample.read_manifest(child).config.digest).collect();
    assert_eq!(configs, before, "annotations are no matter of configs");
}

#[test]
fn an_annotation_without_a_place_is_an_error() {
    let sample = Sample::new();
    sample.name(&sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {}), "1");
    for change in [spec(Level::Index, None, "k", "v"), spec(Level::IndexDescriptor, None, "k", "v"), spec(Level::Manifest, Some("linux/arm64"), "k", "v")] {
        let error = sample.edit(&sample.request("1", annotations([AnnotationChange::Set(change)]))).expect_err("nowhere to go");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    sample.edited(&sample.request("1", annotations([AnnotationChange::Set(spec(Level::ManifestDescriptor, None, "k", "v"))])));
    assert_eq!(sample.entry("1").annotation("k"), Some("v"), "the entry points to the manifest");
}

#[test]
fn a_plan_says_what_would_be_done_and_writes_nothing() {
    let sample = Sample::new();
    let image = sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {});
    sample.name(&image, "x.y/a:1");
    let blobs = || std::fs::read_dir(sample.layout.path().join("blobs/sha256")).expect("listed").count();
    let before = (blobs(), sample.layout.index().expect("readable"));
    let mut request = sample.request("1", env("A", "1"));
    request.names.push("2".into());
    let plan = edit::plan(&run(), &request).expect("planned");
    assert_eq!((plan.images[0].changes.as_slice(), plan.names.as_slice()), (&["env A".to_owned()][..], &["x.y/a:2".to_owned()][..]));
    assert_eq!((blobs(), sample.layout.index().expect("readable")), before);
    request.changes = env("=", "1");
    assert_eq!(edit::plan(&run(), &request).expect_err("no variable").kind(), ErrorKind::Usage);
    assert_eq!(serde_json::to_value(&plan).expect("plain data")["images"][0]["platform"], Value::from("linux/amd64"));
}
