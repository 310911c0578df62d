//! What is told of two images, and what counts.

use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::layer::inventory::sample::{dir, file};
use crate::ops::sample::{Draft, Layer, Sample, run};
use crate::spec::annotation::{CREATED, DOCKER_REFERENCE_DIGEST, DOCKER_REFERENCE_TYPE, REF_NAME};
use crate::spec::{Descriptor, History, ImageConfig, ImageIndex, MediaType, Platform};
use crate::store::Options;

fn request(sample: &Sample, strictness: Strictness) -> DiffRequest {
    DiffRequest { a: sample.location("a"), b: sample.location("b"), platform: None, strictness, options: Options::default() }
}

fn diff(sample: &Sample, strictness: Strictness) -> DiffReport {
    execute(&run(), &request(sample, strictness)).expect("compared")
}

/// Names the images `a` and `b`.
fn named(sample: &Sample, a: &Descriptor, b: &Descriptor) {
    sample.name("a", a);
    sample.name("b", b);
}

/// What is told of fields: `NAME: A -> B`, with `-` for what is missing.
fn lines(fields: &[FieldDifference]) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
    fields.iter().map(|found| format!("{}: {} -> {}", found.field, text(&found.a), text(&found.b))).collect()
}

/// Compares an image with what `change` makes of it: fields of the manifest, then of the config, exactly and by their meaning.
#[track_caller]
fn assert_change(change: impl Fn(&mut Draft), exact: &[&str], semantic: &[&str]) {
    let sample = Sample::new();
    let mut base = sample.draft(&[vec![file("f", "x")]]);
    base.config.set_env("PATH", "/bin").expect("a variable");
    base.config.set_env("LANG", "C").expect("a variable");
    base.manifest.annotations.insert("org.example/x".into(), "1".into());
    let mut changed = base.clone();
    change(&mut changed);
    named(&sample, &sample.image(base), &sample.image(changed));
    for (strictness, expected) in [(Strictness::Exact, exact), (Strictness::Semantic, semantic)] {
        let report = diff(&sample, strictness);
        let [image] = report.images.as_slice() else { panic!("{report:?}") };
        assert_eq!([lines(&image.manifest), lines(&image.config)].concat(), expected, "{strictness:?}");
        assert_eq!((report.equal, image.change == Change::Same), (expected.is_empty(), expected.is_empty()), "{strictness:?}");
        assert!(image.layers.is_empty() && image.files.differences.is_empty(), "{report:?}");
    }
}

fn set(config: &mut ImageConfig, key: &str, value: Value) {
    let mut document = serde_json::to_value(&*config).expect("JSON");
    document[key] = value;
    *config = ImageConfig::parse(document.to_string().as_bytes(), 1 << 20).expect("a config");
}

#[test]
fn every_field_of_a_config_counts() {
    let same = |change: fn(&mut ImageConfig), told: &str| assert_change(|draft| change(&mut draft.config), &[told], &[told]);
    same(|config| config.set_user("5"), r#"config.User: - -> "5""#);
    same(|config| config.set_entrypoint(&["/a"]), r#"config.Entrypoint: - -> ["/a"]"#);
    same(|config| config.set_label("a.b", "1"), r#"config.Labels.a.b: - -> "1""#);
    same(|config| config.set_author("somebody"), r#"author: - -> "somebody""#);
    same(|config| config.set_setting("Healthcheck", json!({"Test": ["NONE"]})), r#"config.Healthcheck.Test: - -> ["NONE"]"#);
    same(|config| set(config, "larder.example", json!({"deep": [1]})), "larder.example.deep: - -> [1]");
    assert_change(
        |draft| draft.config.push_empty(History { created_by: Some("no layer".to_owned()), ..History::default() }),
        &[r#"history[1]: - -> {"created_by":"no layer","empty_layer":true}"#],
        &[r#"history: - -> {"created_by":"no layer","empty_layer":true}"#],
    );
}

#[test]
fn times_order_and_names_mean_nothing() {
    assert_change(|draft| draft.config.set_created("2001-01-01T00:00:00Z"), &[r#"created: - -> "2001-01-01T00:00:00Z""#], &[]);
    assert_change(
        |draft| {
            draft.config.remove_env("PATH");
            draft.config.set_env("PATH", "/bin").expect("a variable");
        },
        &[r#"config.Env: ["PATH=/bin","LANG=C"] -> ["LANG=C","PATH=/bin"]"#],
        &[],
    );
    let made = || CREATED.to_owned();
    assert_change(|draft| drop(draft.manifest.annotations.insert(made(), "now".into())), &[r#"annotations.org.opencontainers.image.created: - -> "now""#], &[]);
    assert_change(
        |draft| drop(draft.manifest.annotations.insert(REF_NAME.into(), "x".into())),
        &[r#"annotations.org.opencontainers.image.ref.name: - -> "x""#],
        &[],
    );
    assert_change(|draft| draft.config.set_label(CREATED, "now"), &[r#"config.Labels.org.opencontainers.image.created: - -> "now""#], &[]);
    assert_change(|draft| set(&mut draft.config, "os.version", json!("")), &[r#"os.version: - -> """#], &[]);
    assert_change(|draft| draft.config.set_setting("Cmd", json!([])), &["config.Cmd: - -> []"], &[]);
    assert_change(
        |draft| draft.manifest.config.media_type = "application/vnd.docker.container.image.v1+json".into(),
        &[r#"config.mediaType: "application/vnd.oci.image.config.v1+json" -> "application/vnd.docker.container.image.v1+json""#],
        &[],
    );
    let other = r#"annotations.org.example/x: "1" -> "2""#;
    assert_change(|draft| drop(draft.manifest.annotations.insert("org.example/x".into(), "2".into())), &[other], &[other]);
}

#[test]
fn history_has_an_order_only_where_all_counts() {
    let step = |text: &str, created: &str| History { created_by: Some(text.to_owned()), created: Some(created.to_owned()), ..History::default() };
    let sample = Sample::new();
    let with = |steps: &[History]| {
        let mut draft = sample.draft(&[]);
        steps.iter().for_each(|step| draft.config.push_empty(step.clone()));
        sample.image(draft)
    };
    let first = with(&[step("a", "1"), step("b", "1"), step("c", "1")]);
    named(&sample, &first, &with(&[step("a", "1"), step("c", "2"), step("b", "2"), step("d", "2")]));
    let exact = diff(&sample, Strictness::Exact);
    let fields: Vec<&str> = exact.images[0].config.iter().map(|found| found.field.as_str()).collect();
    assert_eq!(fields, ["history[1]", "history[2]", "history[3]"]);
    let semantic = diff(&sample, Strictness::Semantic);
    assert_eq!(lines(&semantic.images[0].config), [r#"history: - -> {"created_by":"d","empty_layer":true}"#]);
    sample.name("b", &with(&[step("c", "3"), step("b", "3"), step("a", "3")]));
    assert!(diff(&sample, Strictness::Semantic).equal);
}

#[test]
fn layers_are_told_from_the_bottom_and_files_as_they_are_in_the_end() {
    let sample = Sample::new();
    let base: Layer<'_> = vec![dir("etc"), file("etc/a", "1"), file("etc/b", "1")];
    let a = sample.draft(&[base.clone(), vec![file("etc/a", "2")], vec![file("top", "")]]);
    let b = sample.draft(&[base, vec![file("etc/.wh.b", "")], vec![file("etc/a", "2")], vec![file("top", "")]]);
    named(&sample, &sample.image(a.clone()), &sample.image(b.clone()));
    let report = diff(&sample, Strictness::Exact);
    let image = &report.images[0];
    let [layer] = image.layers.as_slice() else { panic!("{report:?}") };
    assert_eq!((layer.change, layer.a.is_none()), (Change::Added, true));
    let side = layer.b.as_ref().expect("it was added");
    assert_eq!((side.position, &side.digest), (2, &b.manifest.layers[1].digest));
    assert_eq!((image.files.added, image.files.removed, image.files.changed), (0, 1, 0));
    assert_eq!((image.files.differences[0].path.as_str(), image.files.differences[0].change), ("etc/b", Change::Removed));
    let report = diff(&sample, Strictness::Semantic);
    assert!(report.images[0].layers.is_empty() && !report.equal, "{report:?}");

    // The same tar under another media type, and another tar with the same files.
    let mut again = a.clone();
    again.manifest.layers[2].media_type = "application/vnd.docker.image.rootfs.diff.tar".into();
    named(&sample, &sample.image(a.clone()), &sample.image(again));
    let report = diff(&sample, Strictness::Exact);
    let [layer] = report.images[0].layers.as_slice() else { panic!("{report:?}") };
    assert_eq!((layer.change, lines(&layer.fields).len()), (Change::Changed, 1));
    assert!(diff(&sample, Strictness::Semantic).equal);

    let (x, y) = (sample.draft(&[vec![file("x", "1"), file("y", "2")]]), sample.draft(&[vec![file("y", "2"), file("x", "1")]]));
    named(&sample, &sample.image(x), &sample.image(y));
    let report = diff(&sample, Strictness::Exact);
    assert_eq!((report.equal, report.images[0].layers.len(), report.images[0].files.differences.len()), (false, 1, 0));
    assert!(diff(&sample, Strictness::Semantic).equal);
}

#[test]
fn what_both_have_is_not_read_twice_or_not_at_all() {
    let sample = Sample::new();
    let other = Sample::new();
    let (base, top): (Layer<'_>, Layer<'_>) = (vec![file("a", "1")], vec![file("b", "1")]);
    let a = sample.draft(std::slice::from_ref(&base));
    sample.name("a", &sample.image(a.clone()));
    let b = other.draft(&[base, top]);
    other.name("b", &other.image(b.clone()));
    let mut labelled = a.clone();
    labelled.config.set_label("x", "1");
    other.name("labelled", &other.image(labelled));
    other.name("a", &other.image(a.clone()));

    std::fs::remove_file(other.blob(&b.manifest.layers[0])).expect("there");
    let across = |tag: &str| execute(&run(), &DiffRequest { a: sample.location("a"), b: other.location(tag), ..request(&sample, Strictness::Exact) });
    assert_eq!(across("b").expect("the other has it").images[0].files.added, 1);
    std::fs::remove_file(sample.blob(&a.manifest.layers[0])).expect("there");
    assert_eq!(across("labelled").expect("no file is needed").images[0].config.len(), 1);
    assert!(across("a").expect("the same digest").equal);
    let error = across("b").expect_err("nobody has it");
    assert_eq!((error.kind(), error.subject_text()), (ErrorKind::NotFound, Some(a.manifest.layers[0].digest.as_str())));
}

#[test]
fn lay_35_damage_of_either_side_is_an_error_that_says_which() {
    let sample = Sample::new();
    let (a, b) = (sample.draft(&[vec![file("a", "1")]]), sample.draft(&[vec![file("a", "2")]]));
    named(&sample, &sample.image(a), &sample.image(b.clone()));
    let blob = sample.blob(&b.manifest.layers[0]);
    let mut bytes = std::fs::read(&blob).expect("there");
    bytes[512] ^= 1;
    std::fs::remove_file(&blob).and_then(|()| std::fs::write(&blob, bytes)).expect("writable");
    for strictness in [Strictness::Exact, Strictness::Semantic] {
        let error = execute(&run(), &request(&sample, strictness)).expect_err("damaged");
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some(b.manifest.layers[0].digest.as_str())));
    }
}

#[test]
fn indexes_are_compared_platform_by_platform() {
    let sample = Sample::new();
    let image = |architecture: &str, content: &'static str| {
        let mut draft = sample.draft(&[vec![file("f", content)]]);
        draft.config.set_platform(&Platform::new("linux", architecture, ""));
        sample.image(draft)
    };
    let [amd64, arm64, other, s390x] =
        [("amd64", "1"), ("arm64", "1"), ("arm64", "2"), ("s390x", "1")].map(|(architecture, content)| image(architecture, content));
    let mut index = ImageIndex::new(vec![amd64.clone(), arm64.clone()]);
    let of_a = sample.index(&index);
    index.manifests = vec![s390x, other.clone(), amd64.clone()];
    index.annotations.insert("x".into(), "1".into());
    named(&sample, &of_a, &sample.index(&index));
    let report = diff(&sample, Strictness::Exact);
    assert_eq!(lines(&report.index), [r#"annotations.x: - -> "1""#]);
    let changes: Vec<_> = report.images.iter().map(|image| (image.platform.as_str(), image.change, image.files.changed)).collect();
    assert_eq!(changes, [("linux/amd64", Change::Same, 0), ("linux/arm64", Change::Changed, 1), ("linux/s390x", Change::Added, 0)]);

    let only = |platform: &str| DiffRequest { platform: Some(Platform::parse(platform).expect("a platform")), ..request(&sample, Strictness::Exact) };
    assert!(execute(&run(), &only("linux/amd64")).expect("compared").equal);
    let report = execute(&run(), &only("linux/arm64")).expect("compared");
    assert_eq!((report.equal, report.index.len(), report.images.len(), &report.b.digest), (false, 0, 1, &other.digest));
    assert_eq!(execute(&run(), &only("linux/s390x")).expect_err("one has none").kind(), ErrorKind::NotFound);

    // The same in another order, and a single image with its index.
    let turned = sample.index(&ImageIndex::new(vec![arm64.clone(), amd64.clone()]));
    named(&sample, &of_a, &turned);
    assert_eq!(lines(&diff(&sample, Strictness::Exact).index), [r#"manifests: ["linux/amd64","linux/arm64"] -> ["linux/arm64","linux/amd64"]"#]);
    assert!(diff(&sample, Strictness::Semantic).equal);
    named(&sample, &amd64, &sample.index(&ImageIndex::new(vec![amd64.clone()])));
    let report = diff(&sample, Strictness::Exact);
    assert_eq!((report.equal, report.index[0].field.as_str(), report.images[0].change), (false, "mediaType", Change::Same));
    assert!(diff(&sample, Strictness::Semantic).equal);
    // Two single images are compared, whatever they run on.
    named(&sample, &amd64, &arm64);
    let report = diff(&sample, Strictness::Semantic);
    assert_eq!(report.images[0].platform, "linux/amd64, linux/arm64");
    assert_eq!(lines(&report.images[0].config), [r#"architecture: "amd64" -> "arm64""#]);
}

#[test]
fn lay_70_attestations_are_of_bytes_and_not_of_meaning() {
    let sample = Sample::new();
    let image = sample.image(sample.draft(&[vec![file("f", "x")]]));
    let attestation = |text: &[u8]| {
        let mut entry = sample.put(MediaType::ImageManifest, text);
        entry.annotations.insert(DOCKER_REFERENCE_TYPE.into(), "attestation-manifest".into());
        entry.annotations.insert(DOCKER_REFERENCE_DIGEST.into(), image.digest.to_string());
        entry
    };
    let index = |attestation: Descriptor| sample.index(&ImageIndex::new(vec![image.clone(), attestation]));
    named(&sample, &index(attestation(b"one")), &index(attestation(b"other")));
    let report = diff(&sample, Strictness::Exact);
    assert_eq!(report.index.iter().map(|found| (found.field.as_str(), found.a.is_some())).collect::<Vec<_>>(), [("manifests", true), ("manifests", false)]);
    assert!(diff(&sample, Strictness::Semantic).equal);
}

#[test]
fn documents_that_say_the_same_in_other_bytes_are_not_equal_but_mean_the_same() {
    let sample = Sample::new();
    let image = sample.image(sample.draft(&[vec![file("f", "x")]]));
    let mut bytes = std::fs::read(sample.blob(&image)).expect("there");
    bytes.push(b'\n');
    let spaced = Descriptor { platform: image.platform.clone(), ..sample.put(MediaType::ImageManifest, &bytes) };
    named(&sample, &image, &spaced);
    let report = diff(&sample, Strictness::Exact);
    assert!(!report.equal && report.images[0].change == Change::Changed && report.images[0].is_empty(), "{report:?}");
    assert!(diff(&sample, Strictness::Semantic).equal);
}

#[test]
fn a_report_is_json_without_what_is_not_there() {
    let sample = Sample::new();
    let mut program = file("p", "ab");
    program.0.mode = 0o4755;
    program.0.xattrs.insert(b"user.x".to_vec(), b"text".to_vec());
    program.0.xattrs.insert(b"security.capability".to_vec(), vec![1, 0]);
    named(&sample, &sample.image(sample.draft(&[])), &sample.image(sample.draft(&[vec![program]])));
    let report = serde_json::to_value(diff(&sample, Strictness::Exact)).expect("JSON");
    assert_eq!((&report["equal"], &report["semantic"], &report["a"]["location"]), (&json!(false), &json!(false), &json!(sample.location("a").to_string())));
    let files = &report["images"][0]["files"];
    assert_eq!(files["added"], 1);
    let sum = "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603";
    assert_eq!(
        files["differences"][0],
        json!({"path": "p", "change": "added", "aspects": [], "a": null, "b": {
            "type": "file", "mode": "4755", "uid": 0, "gid": 0, "mtime": 1_000_000_000, "size": 2, "sha256": format!("sha256:{sum}"),
            "xattrs": {"security.capability": "0sAQA=", "user.x": "text"},
        }})
    );
}

#[test]
fn lay_48_an_artifact_is_no_image() {
    let sample = Sample::new();
    let image = sample.image(sample.draft(&[]));
    let config = sample.put("application/vnd.oci.empty.v1+json".into(), b"{}");
    let artifact = sample.put(MediaType::ImageManifest, &crate::spec::json::canonical(&crate::spec::ImageManifest::new(config, Vec::new())).expect("JSON"));
    named(&sample, &image, &artifact);
    assert_eq!(execute(&run(), &request(&sample, Strictness::Exact)).expect_err("no image").kind(), ErrorKind::Unsupported);
}
