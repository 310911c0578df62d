#![allow(clippy::unwrap_used)]

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::ops::verify::Code;
use crate::spec::{DiffId, Digest, History, ImageConfig, ImageIndex, ImageManifest, ImageName, MediaType, annotation, json as documents};
use crate::store::{Destination as _, Layout};

/// A layout in a directory of its own.
struct Bench {
    _temp: tempfile::TempDir,
    layout: Layout,
}

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(&temp.path().join("out"), Options::default()).unwrap();
        Bench { _temp: temp, layout }
    }

    fn put(&self, media_type: impl Into<MediaType>, bytes: &[u8]) -> Descriptor {
        self.layout.put_document(media_type.into(), bytes).unwrap()
    }

    fn put_json(&self, media_type: impl Into<MediaType>, value: &Value) -> Descriptor {
        self.put(media_type, &serde_json::to_vec(value).unwrap())
    }

    fn layer(&self, content: &str) -> Descriptor {
        self.put(MediaType::ImageLayerGzip, content.as_bytes())
    }

    fn config(&self, architecture: &str, layers: &[Descriptor]) -> Descriptor {
        let mut config = ImageConfig::new(&Platform::new("linux", architecture, ""));
        config.set_entrypoint(&["/hello"]);
        for layer in layers {
            let comment = Some(format!("layer of {}", layer.size));
            config.push_layer(&DiffId(layer.digest.clone()), History { comment, ..History::default() });
            config.push_empty(History { comment: Some("nothing".into()), ..History::default() });
        }
        self.put(MediaType::ImageConfig, &documents::canonical(&config).unwrap())
    }

    fn manifest(&self, config: &Descriptor, layers: &[Descriptor]) -> Descriptor {
        self.put(MediaType::ImageManifest, &documents::canonical(&ImageManifest::new(config.clone(), layers.to_vec())).unwrap())
    }

    /// An image for an architecture, as an index would list it.
    fn image(&self, architecture: &str, layers: &[Descriptor]) -> Descriptor {
        let mut manifest = self.manifest(&self.config(architecture, layers), layers);
        manifest.platform = Some(Platform::new("linux", architecture, ""));
        manifest
    }

    fn index(&self, manifests: Vec<Descriptor>) -> Descriptor {
        self.put(MediaType::ImageIndex, &documents::canonical(&ImageIndex::new(manifests)).unwrap())
    }

    fn name(&self, descriptor: &Descriptor, name: &str) {
        let mut entry = descriptor.clone();
        ImageName::tag_only(name).unwrap().apply(&mut entry);
        self.layout.commit(&[entry]).unwrap();
    }

    fn blob(&self, descriptor: &Descriptor) -> PathBuf {
        self.layout.path().join("blobs").join(descriptor.digest.algorithm().as_str()).join(descriptor.digest.encoded())
    }

    fn remove(&self, descriptor: &Descriptor) {
        std::fs::remove_file(self.blob(descriptor)).unwrap();
    }

    /// A request for what stands behind the path: nothing, `:NAME` or `@DIGEST`.
    fn request(&self, rest: &str) -> InspectRequest {
        let location = Location::parse(format!("oci:{}{rest}", self.layout.path().display())).unwrap();
        InspectRequest { location, platform: None, options: Options::default() }
    }

    fn try_inspect(&self, rest: &str) -> Result<InspectReport> {
        execute(&Run::new(NonZeroUsize::new(2).unwrap()).unwrap(), &self.request(rest))
    }

    fn inspect(&self, rest: &str) -> InspectReport {
        self.try_inspect(rest).unwrap()
    }
}

fn parts(document: &DocumentReport) -> &[DocumentReport] {
    match &document.body {
        Body::Index { manifests } => manifests,
        other => panic!("no index: {other:?}"),
    }
}

fn layers(document: &DocumentReport) -> (&ConfigReport, &[LayerReport]) {
    match &document.body {
        Body::Manifest { config, layers } => (config, layers),
        other => panic!("no manifest: {other:?}"),
    }
}

fn code(content: &Content) -> Option<Code> {
    content.problem.as_ref().map(|problem| problem.code)
}

fn attestation(of: &Descriptor, manifest: Descriptor) -> Descriptor {
    let mut manifest = manifest;
    manifest.platform = Some(Platform::new("unknown", "unknown", ""));
    manifest.annotations.insert(annotation::DOCKER_REFERENCE_TYPE.into(), annotation::ATTESTATION_MANIFEST.into());
    manifest.annotations.insert(annotation::DOCKER_REFERENCE_DIGEST.into(), of.digest.to_string());
    manifest
}

#[test]
fn an_image_is_told_with_its_names_platforms_layers_and_what_they_share() {
    let bench = Bench::new();
    let shared = bench.layer("shared by both");
    let images = ["amd64", "arm64"].map(|architecture| bench.image(architecture, &[shared.clone(), bench.layer(architecture)]));
    let statement = bench.put("application/vnd.in-toto+json", b"{}");
    let attestation = attestation(&images[0], bench.image("amd64", std::slice::from_ref(&statement)));
    let index = bench.index(vec![images[0].clone(), images[1].clone(), attestation]);
    bench.name(&index, "1");
    bench.name(&index, "latest");

    let report = bench.inspect(":latest");
    let [image] = report.images.as_slice() else { panic!("{report:?}") };
    assert_eq!(image.entries.iter().map(|entry| entry.name.as_deref()).collect::<Vec<_>>(), [Some("1"), Some("latest")]);
    assert_eq!((image.document.form, &image.document.content.digest), (Form::Index, &index.digest));
    let [amd64, arm64, attested] = parts(&image.document) else { panic!("{image:?}") };
    assert_eq!((amd64.form, amd64.platform.as_deref()), (Form::Manifest, Some("linux/amd64")));
    assert_eq!((arm64.form, arm64.platform.as_deref()), (Form::Manifest, Some("linux/arm64")));
    assert_eq!((attested.form, &attested.about), (Form::Attestation, &Some(images[0].digest.clone())));
    let (config, told) = layers(arm64);
    let settings = config.settings.as_ref().unwrap();
    assert_eq!((settings.platform.as_deref(), &settings.entrypoint[..]), (Some("linux/arm64"), &["/hello".to_owned()][..]));
    assert_eq!((told[0].used_by, told[0].comment.as_deref(), &told[0].diff_id), (2, Some("layer of 14"), &Some(DiffId(shared.digest.clone()))));
    assert_eq!((told[1].used_by, told[1].comment.as_deref()), (1, Some("layer of 5")));

    let documents = report.documents();
    assert_eq!(documents.len(), 4);
    let all: u64 = report.totals.bytes;
    assert_eq!(report.totals, Totals { manifests: 2, layers: 4, unique_layers: 3, bytes: all, unique_bytes: all - shared.size });
    let on_disk: u64 = std::fs::read_dir(bench.layout.path().join("blobs/sha256")).unwrap().map(|blob| blob.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(report.totals.unique_bytes, on_disk);

    let json = serde_json::to_value(&report).unwrap();
    let manifest = &json["images"][0]["document"]["manifests"][0];
    assert_eq!((&manifest["type"], &manifest["digest"], &manifest["platform"]), (&"manifest".into(), &images[0].digest.as_str().into(), &"linux/amd64".into()));
    assert_eq!((&manifest["config"]["entrypoint"], &manifest["layers"][0]["used_by"]), (&json!(["/hello"]), &json!(2)));
}

#[test]
fn lay_36_what_is_missing_below_is_marked_and_what_was_asked_for_is_an_error() {
    let bench = Bench::new();
    let layer = bench.layer("gone");
    let with_layer = bench.image("amd64", std::slice::from_ref(&layer));
    let config = bench.config("arm64", &[]);
    let with_config = bench.manifest(&config, &[]);
    let gone = bench.image("riscv64", &[]);
    let index = bench.index(vec![with_layer.clone(), with_config, gone.clone()]);
    bench.name(&index, "1");
    for descriptor in [&layer, &config, &gone] {
        bench.remove(descriptor);
    }

    let report = bench.inspect(":1");
    let [with_layer, with_config, absent] = parts(&report.images[0].document) else { panic!("{report:?}") };
    assert_eq!(code(&layers(with_layer).1[0].content), Some(Code::BlobMissing));
    assert_eq!(code(&layers(with_config).0.content), Some(Code::BlobMissing));
    assert_eq!((absent.platform.as_deref(), code(&absent.content)), (Some("linux/riscv64"), Some(Code::BlobMissing)));

    let request = |platform: &str, part| document(&InspectRequest { platform: Some(Platform::parse(platform).unwrap()), ..bench.request(":1") }, part);
    assert_eq!(request("linux/riscv64", Part::Manifest).unwrap_err().kind(), ErrorKind::NotFound);
    bench.remove(&index);
    assert_eq!(bench.try_inspect(":1").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bench.try_inspect("").unwrap_err().kind(), ErrorKind::NotFound, "the only image is asked for itself");
    bench.name(&bench.image("amd64", &[]), "2");
    let report = bench.inspect("");
    assert_eq!(report.images.iter().map(|image| code(&image.document.content)).collect::<Vec<_>>(), [Some(Code::BlobMissing), None]);
}

#[test]
fn lay_32_and_35_damage_is_marked_by_its_kind() {
    let bench = Bench::new();
    let layer = bench.layer("layer");
    let image = bench.image("amd64", std::slice::from_ref(&layer));
    let other = bench.image("arm64", &[]);
    bench.name(&bench.index(vec![image, other.clone()]), "1");
    std::fs::write(bench.blob(&layer), "longer than before").unwrap();
    let bytes = std::fs::read(bench.blob(&other)).unwrap();
    std::fs::write(bench.blob(&other), vec![b' '; bytes.len()]).unwrap();
    let report = bench.inspect(":1");
    let [image, other] = parts(&report.images[0].document) else { panic!("{report:?}") };
    assert_eq!(code(&layers(image).1[0].content), Some(Code::SizeMismatch));
    assert_eq!(code(&other.content), Some(Code::DigestMismatch));
    assert_eq!(other.body, Body::Leaf {});
}

#[test]
fn lay_39_a_config_that_does_not_fit_its_manifest_gives_no_diff_ids() {
    let bench = Bench::new();
    let found = [bench.layer("a"), bench.layer("b")];
    bench.name(&bench.manifest(&bench.config("amd64", &found[..1]), &found), "1");
    let report = bench.inspect(":1");
    let (config, told) = layers(&report.images[0].document);
    assert_eq!(code(&config.content), Some(Code::DiffIdCount));
    assert!(told.iter().all(|layer| layer.diff_id.is_none() && layer.comment.is_none()), "{told:?}");
}

#[test]
fn lay_50_a_diamond_of_indexes_is_told_once() {
    let bench = Bench::new();
    let mut below = bench.image("amd64", &[]);
    for _ in 0..limits::INDEX_DEPTH {
        // The same child twice, by descriptors that differ.
        let again = Descriptor { platform: None, ..below.clone() };
        below = bench.index(vec![below, again]);
    }
    bench.name(&below, "1");
    let report = bench.inspect(":1");
    let documents = report.documents();
    assert_eq!(documents.len(), 2 * limits::INDEX_DEPTH + 1);
    assert_eq!(documents.iter().filter(|document| document.repeated).count(), limits::INDEX_DEPTH);
    assert!(documents.iter().all(|document| document.content.problem.is_none()));
    assert_eq!((report.totals.manifests, report.totals.layers), (1, 0));
    let config = document(&bench.request(":1"), Part::Config).unwrap();
    assert!(config.starts_with(b"{\"architecture\":\"amd64\""), "one manifest, however many ways lead to it");
}

#[test]
fn lay_52_deep_nesting_is_marked_where_it_ends() {
    let bench = Bench::new();
    let mut below = bench.image("amd64", &[]);
    for _ in 0..=limits::INDEX_DEPTH {
        below = bench.index(vec![below]);
    }
    bench.name(&below, "1");
    let report = bench.inspect(":1");
    let last = *report.documents().last().unwrap();
    assert_eq!((last.form, code(&last.content)), (Form::Index, Some(Code::NestingTooDeep)));
    assert_eq!(document(&bench.request(":1"), Part::Config).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn lay_45_47_and_48_what_is_no_image_is_a_leaf_or_an_artifact() {
    let bench = Bench::new();
    let opaque = bench.put("application/vnd.example", b"opaque");
    let empty = bench.put("application/vnd.oci.empty.v1+json", b"{}");
    let chart = bench.put("application/vnd.cncf.helm.config.v1+json", b"{\"name\":\"chart\"}");
    let typed = json!({"schemaVersion": 2, "artifactType": "text/spdx", "config": empty, "layers": [empty]});
    let typed = bench.put_json(MediaType::ImageManifest, &typed);
    let by_config = bench.manifest(&chart, &[]);
    let old = bench.put("application/vnd.docker.distribution.manifest.v1+json", b"{}");
    bench.name(&bench.index(vec![opaque.clone(), typed, by_config, old]), "1");
    let report = bench.inspect(":1");
    let told: Vec<_> = parts(&report.images[0].document).iter().map(|part| (part.form, part.artifact_type.as_deref(), code(&part.content))).collect();
    assert_eq!(
        told,
        [
            (Form::Other, None, None),
            (Form::Artifact, Some("text/spdx"), None),
            (Form::Artifact, Some("application/vnd.cncf.helm.config.v1+json"), None),
            (Form::Other, None, Some(Code::DocumentUnsupported)),
        ]
    );
    assert_eq!(report.totals.manifests, 0);
    bench.name(&opaque, "opaque");
    assert_eq!(bench.inspect(":opaque").images[0].document.form, Form::Other);
    assert_eq!(document(&bench.request(":opaque"), Part::Manifest).unwrap(), b"opaque");
    assert_eq!(document(&bench.request(":opaque"), Part::Config).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn lay_66_what_is_attached_is_told_with_how_it_is_known() {
    let bench = Bench::new();
    let image = bench.image("amd64", &[]);
    let empty = bench.put("application/vnd.oci.empty.v1+json", b"{}");
    let attached = |kind: &str| {
        let value = json!({"schemaVersion": 2, "artifactType": kind, "config": empty, "layers": [empty], "subject": image, "annotations": {"k": kind}});
        bench.put_json(MediaType::ImageManifest, &value)
    };
    let (by_subject, listed) = (attached("by/subject"), attached("by/list"));
    let signature = bench.manifest(&bench.config("", &[]), &[bench.put("application/vnd.dev.cosign.simplesigning.v1+json", b"signature")]);
    let list = bench.index(vec![Descriptor { artifact_type: Some("by/list".into()), ..listed.clone() }]);
    bench.name(&image, "1");
    bench.layout.commit(std::slice::from_ref(&by_subject)).unwrap();
    bench.name(&list, &format!("sha256-{}", image.digest.encoded()));
    bench.name(&signature, &format!("sha256-{}.sig", image.digest.encoded()));
    bench.name(&bench.image("arm64", &[]), "unrelated");

    let report = bench.inspect(":1");
    let referrers = &report.images[0].document.referrers;
    let told: Vec<_> = referrers.iter().map(|referrer| (referrer.via, &referrer.digest, referrer.artifact_type.as_deref())).collect();
    let expected = [(Via::Subject, &by_subject.digest, Some("by/subject")), (Via::Tag, &listed.digest, Some("by/list")), (Via::Tag, &signature.digest, None)];
    assert_eq!(told, expected);
    assert_eq!(referrers[0].annotations.get("k"), Some("by/subject"));
    assert_eq!(referrers[2].names, [format!("sha256-{}.sig", image.digest.encoded())]);
    let artifact = &bench.inspect(&format!("@{}", by_subject.digest)).images[0].document;
    assert_eq!((artifact.form, artifact.subject.as_ref().map(|subject| &subject.digest)), (Form::Artifact, Some(&image.digest)));
    bench.remove(&image);
    let artifact = bench.inspect(&format!("@{}", by_subject.digest));
    assert_eq!(artifact.images[0].document.subject.as_ref().and_then(code), Some(Code::BlobMissing), "LAY-49: no error");
}

#[test]
fn a_config_under_many_manifests_is_told_once() {
    let bench = Bench::new();
    let layer = bench.layer("a");
    let config = bench.config("amd64", std::slice::from_ref(&layer));
    let again = Descriptor { media_type: MediaType::ImageLayer, ..layer.clone() };
    bench.name(&bench.index(vec![bench.manifest(&config, std::slice::from_ref(&layer)), bench.manifest(&config, &[again])]), "1");
    let report = bench.inspect(":1");
    let [first, second] = parts(&report.images[0].document) else { panic!("{report:?}") };
    assert!(layers(first).0.settings.is_some() && !layers(first).0.repeated);
    let (config, told) = layers(second);
    assert!(config.settings.is_none() && config.repeated);
    assert_eq!((&told[0].diff_id, told[0].comment.as_deref(), second.platform.as_deref()), (&Some(DiffId(layer.digest)), None, Some("linux/amd64")));
}

#[test]
fn documents_come_out_byte_for_byte() {
    let bench = Bench::new();
    // No encoder would write it like this.
    let config = bench.put(MediaType::ImageConfig, b"{ \"os\":\"linux\",\"architecture\": \"arm64\",\n\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]} } ");
    let odd = format!("{{ \"layers\":[ ],\n\"config\":{},\"schemaVersion\":2}}\n", serde_json::to_string(&config).unwrap());
    let manifest = bench.put(MediaType::ImageManifest, odd.as_bytes());
    let index = bench.index(vec![manifest.clone(), bench.image("amd64", &[])]);
    bench.name(&index, "1");

    let get = |rest: &str, platform: Option<&str>, part| {
        document(&InspectRequest { platform: platform.map(|platform| Platform::parse(platform).unwrap()), ..bench.request(rest) }, part)
    };
    assert_eq!(get(":1", None, Part::Manifest).unwrap(), std::fs::read(bench.blob(&index)).unwrap());
    // The index does not say its platform; its config does.
    assert_eq!(get(":1", Some("linux/arm64"), Part::Manifest).unwrap(), odd.as_bytes());
    assert_eq!(get(":1", Some("linux/arm64"), Part::Config).unwrap(), std::fs::read(bench.blob(&config)).unwrap());
    assert_eq!(get(&format!("@{}", manifest.digest), None, Part::Config).unwrap(), std::fs::read(bench.blob(&config)).unwrap());
    let error = get(":1", None, Part::Config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("linux/arm64, linux/amd64"), "{error}");
    let error = get(":1", Some("linux/s390x"), Part::Manifest).unwrap_err();
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::NotFound, Some("it has linux/arm64, linux/amd64")));
    assert_eq!(get("@sha256:0000000000000000000000000000000000000000000000000000000000000000", None, Part::Manifest).unwrap_err().kind(), ErrorKind::NotFound);
    bench.name(&manifest, "2");
    assert_eq!(get("", None, Part::Manifest).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(bench.inspect("").images.len(), 2);
}

#[test]
fn one_platform_of_an_image_is_told_alone() {
    let bench = Bench::new();
    let images = ["amd64", "arm64"].map(|architecture| bench.image(architecture, &[bench.layer(architecture)]));
    let attested = attestation(&images[1], bench.image("amd64", &[bench.layer("statement")]));
    bench.name(&bench.index(vec![attested, images[0].clone(), images[1].clone()]), "1");
    let run = Run::new(NonZeroUsize::new(1).unwrap()).unwrap();
    let inspect = |platform: &str| execute(&run, &InspectRequest { platform: Some(Platform::parse(platform).unwrap()), ..bench.request("") });
    let report = inspect("linux/arm64").unwrap();
    assert_eq!((&report.images[0].document.content.digest, report.totals.manifests), (&images[1].digest, 1));
    assert_eq!(report.images[0].entries[0].name.as_deref(), Some("1"));
    for absent in ["windows/amd64", "linux/386", "linux/arm/v7"] {
        assert_eq!(inspect(absent).unwrap_err().kind(), ErrorKind::NotFound, "{absent}");
    }
    bench.name(&bench.image("386", &[]), "2");
    let only_386 = InspectRequest { platform: Some(Platform::parse("linux/amd64").unwrap()), ..bench.request(":2") };
    assert_eq!(execute(&run, &only_386).unwrap_err().kind(), ErrorKind::NotFound, "amd64 runs it, but it is not what was asked for");
}

#[test]
fn the_entries_of_nothing_are_not_found_and_a_digest_needs_no_entry() {
    let bench = Bench::new();
    assert_eq!(bench.try_inspect("").unwrap_err().kind(), ErrorKind::NotFound);
    let image = bench.image("amd64", &[]);
    bench.name(&bench.index(vec![bench.index(vec![image.clone()])]), "1");
    let report = bench.inspect(&format!("@{}", image.digest));
    assert_eq!((report.images[0].entries.len(), &report.images[0].document.content.digest), (0, &image.digest));
    assert_eq!(bench.try_inspect(&format!("@{}", Digest::sha256(b"nothing"))).unwrap_err().kind(), ErrorKind::NotFound);
}
