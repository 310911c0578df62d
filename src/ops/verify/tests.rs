#![allow(clippy::unwrap_used)]

mod archive;
mod damage;
mod deep;

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::layer::tar::write as tar;
use crate::layer::{Entry, EntryKind};
use crate::spec::{DiffId, ImageConfig, ImageIndex, ImageManifest, ImageName, MediaType, Platform, json as documents};
use crate::store::Destination as _;

/// A layout in a directory of its own.
struct Bench {
    _temp: tempfile::TempDir,
    layout: Layout,
}

/// An image in a layout, with all that it is made of.
struct Image {
    layers: Vec<Descriptor>,
    config: Descriptor,
    manifest: Descriptor,
}

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(&temp.path().join("out"), Options::default()).unwrap();
        Bench { _temp: temp, layout }
    }

    /// An index of two images, which share a layer, under the name `hello:1`.
    fn with_index() -> (Bench, Descriptor, [Image; 2]) {
        let bench = Bench::new();
        let shared = archive(&[("etc/motd", b"hello\n")]);
        let images = ["amd64", "arm64"].map(|architecture| bench.image(architecture, &[shared.clone(), archive(&[("bin/hello", architecture.as_bytes())])]));
        let index = bench.put(MediaType::ImageIndex, &documents::canonical(&ImageIndex::new(images.iter().map(|i| i.manifest.clone()).collect())).unwrap());
        bench.name(&index, "hello:1");
        (bench, index, images)
    }

    fn put(&self, media_type: impl Into<MediaType>, bytes: &[u8]) -> Descriptor {
        self.layout.put_document(media_type.into(), bytes).unwrap()
    }

    fn put_json(&self, media_type: impl Into<MediaType>, value: &Value) -> Descriptor {
        self.put(media_type, &serde_json::to_vec(value).unwrap())
    }

    fn image(&self, architecture: &str, tars: &[Vec<u8>]) -> Image {
        let layers: Vec<Descriptor> = tars.iter().map(|tar| self.put(MediaType::ImageLayerGzip, &gzip(tar))).collect();
        let diff_ids: Vec<DiffId> = tars.iter().map(|tar| DiffId(Digest::sha256(tar))).collect();
        self.image_of(architecture, layers, &diff_ids)
    }

    fn image_of(&self, architecture: &str, layers: Vec<Descriptor>, diff_ids: &[DiffId]) -> Image {
        let mut config = ImageConfig::new(&Platform::new("linux", architecture, ""));
        config.set_layers(diff_ids, &[]);
        let config = self.put(MediaType::ImageConfig, &documents::canonical(&config).unwrap());
        let manifest = self.put(MediaType::ImageManifest, &documents::canonical(&ImageManifest::new(config.clone(), layers.clone())).unwrap());
        Image { layers, config, manifest }
    }

    fn name(&self, descriptor: &Descriptor, name: &str) {
        let mut entry = descriptor.clone();
        ImageName::parse_reference(name).unwrap().apply(&mut entry);
        self.layout.commit(&[entry]).unwrap();
    }

    fn path(&self, descriptor: &Descriptor) -> PathBuf {
        self.layout.path().join("blobs").join(descriptor.digest.algorithm().as_str()).join(descriptor.digest.encoded())
    }

    /// Changes the file of a blob behind the back of the layout.
    fn damage(&self, descriptor: &Descriptor, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(descriptor);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    fn request(&self, selector: Selector, depth: Depth) -> VerifyRequest {
        let rest = match selector {
            Selector::Only => String::new(),
            Selector::Name(name) => format!(":{name}"),
            Selector::Digest(digest) => format!("@{digest}"),
        };
        let location = Location::parse(format!("oci:{}{rest}", self.layout.path().display())).unwrap();
        VerifyRequest { location, depth, absent: Absent::Damage, options: Options::default() }
    }

    fn verify(&self, depth: Depth) -> VerifyReport {
        execute(&run(), &self.request(Selector::Only, depth)).unwrap()
    }

    fn findings(&self) -> Vec<Finding> {
        self.verify(Depth::Content).findings
    }

    fn deep(&self) -> Vec<Finding> {
        self.verify(Depth::Layers).findings
    }
}

fn run() -> Run {
    Run::new(NonZeroUsize::new(3).unwrap()).unwrap()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, content) in files {
        let kind = EntryKind::File { size: content.len() as u64 };
        let entry = Entry { path: path.as_bytes().to_vec(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: Default::default() };
        tar::header(&entry, &mut out).unwrap();
        out.extend_from_slice(content);
        out.resize(out.len() + tar::padding(content.len() as u64), 0);
    }
    out.resize(out.len() + tar::END, 0);
    out
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The one finding there is.
#[track_caller]
fn only(findings: Vec<Finding>) -> Finding {
    let [finding] = <[Finding; 1]>::try_from(findings).unwrap_or_else(|findings| panic!("not one finding: {findings:#?}"));
    finding
}

/// That the one finding is an error with this code about `subject`.
#[track_caller]
fn expect(findings: Vec<Finding>, code: Code, subject: &Descriptor) -> Finding {
    let finding = only(findings);
    assert_eq!((finding.code, finding.severity, finding.subject.as_str()), (code, Severity::Error, subject.digest.as_str()), "{}", finding.message);
    finding
}

#[test]
fn lay_01_a_whole_layout_has_no_findings_and_every_byte_counts_once() {
    let (bench, index, images) = Bench::with_index();
    let mut all: BTreeMap<Digest, u64> = BTreeMap::from([(index.digest.clone(), index.size)]);
    for image in &images {
        all.extend(image.layers.iter().chain([&image.config, &image.manifest]).map(|d| (d.digest.clone(), d.size)));
    }
    for depth in [Depth::Content, Depth::Layers] {
        let report = bench.verify(depth);
        assert_eq!(report.findings, []);
        assert_eq!((report.blobs, report.bytes), (8, all.values().sum()));
        assert_eq!((report.verdict(), report.deep), (None, depth == Depth::Layers));
    }
    // Reading leaves nothing behind.
    let names: Vec<_> = fs::read_dir(bench.layout.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with(".larder") || bench.layout.path().join(name).is_dir()), "{names:?}");
}

#[test]
fn the_report_is_the_agreed_json() {
    let bench = Bench::new();
    let image = bench.image("amd64", &[archive(&[("a", b"a")])]);
    bench.name(&image.manifest, "x:1");
    fs::remove_file(bench.path(&image.layers[0])).unwrap();
    let report = serde_json::to_value(bench.verify(Depth::Content)).unwrap();
    let expected = json!({
        "location": format!("oci:{}", bench.layout.path().display()),
        "blobs": 3,
        "bytes": image.config.size + image.manifest.size,
        "left_out": 0,
        "findings": [{
            "code": "blob-missing",
            "severity": "error",
            "subject": image.layers[0].digest,
            "chain": ["docker.io/library/x:1", image.manifest.digest],
            "message": "it is missing",
        }],
        "damaged": ["docker.io/library/x:1"],
        "deep": false,
    });
    assert_eq!(report, expected);
}

#[test]
fn one_image_can_be_verified_alone() {
    let bench = Bench::new();
    let [good, bad] = ["amd64", "arm64"].map(|architecture| bench.image(architecture, &[archive(&[("a", architecture.as_bytes())])]));
    bench.name(&good.manifest, "good:1");
    bench.name(&bad.manifest, "bad:1");
    bench.damage(&bad.layers[0], |bytes| bytes[20] ^= 1);
    fs::write(bench.layout.path().join("blobs/README"), "x").unwrap();
    let verify = |selector| execute(&run(), &bench.request(selector, Depth::Content));
    assert_eq!(verify(Selector::Name("good:1".into())).unwrap().findings, []);
    expect(verify(Selector::Name("bad:1".into())).unwrap().findings, Code::DigestMismatch, &bad.layers[0]);
    expect(verify(Selector::Digest(bad.manifest.digest.clone())).unwrap().findings, Code::DigestMismatch, &bad.layers[0]);
    assert_eq!(verify(Selector::Name("none:1".into())).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bench.findings().len(), 2);
}

#[test]
fn a_request_to_stop_ends_the_work() {
    let (bench, ..) = Bench::with_index();
    let run = run();
    run.cancel.cancel();
    assert_eq!(execute(&run, &bench.request(Selector::Only, Depth::Layers)).unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn the_worst_kind_is_the_verdict() {
    let finding = |code, severity| Finding { code, severity, subject: String::new(), chain: Vec::new(), message: String::new() };
    let verdict = |codes: &[Code]| {
        let findings = codes.iter().map(|code| finding(*code, Severity::Error)).chain([finding(Code::BlobMissing, Severity::Warning)]).collect();
        VerifyReport { location: String::new(), blobs: 0, bytes: 0, left_out: 0, damaged: Vec::new(), findings, deep: false }.verdict()
    };
    assert_eq!(verdict(&[]), None);
    assert_eq!(verdict(&[Code::UnsupportedDigest]), Some(ErrorKind::Unsupported));
    assert_eq!(verdict(&[Code::UnsupportedDigest, Code::Io]), Some(ErrorKind::Io));
    assert_eq!(verdict(&[Code::Io, Code::UnsupportedDigest, Code::LayerCorrupt]), Some(ErrorKind::Corrupt));
}
