#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::File;
use std::num::NonZeroUsize;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::exec::Clock;
use crate::spec::{Descriptor, ImageConfig, ImageIndex, ImageManifest, ImageName, MediaType, Platform, json as documents};
use crate::store::Destination as _;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The year 2100, by which everything that a test writes is old.
const LATE: Duration = Duration::from_secs(4_102_444_800);

/// A layout in a directory of its own.
struct Bench {
    _temp: tempfile::TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("out");
        Layout::create(&path, Options::default()).unwrap();
        Bench { _temp: temp, path }
    }

    /// The layout, which must be closed again before garbage is collected.
    fn layout(&self) -> Layout {
        Layout::open(&self.path, Options::default()).unwrap()
    }

    fn put(&self, media_type: impl Into<MediaType>, bytes: &[u8]) -> Descriptor {
        self.layout().put_document(media_type.into(), bytes).unwrap()
    }

    fn put_json(&self, media_type: impl Into<MediaType>, value: &Value) -> Descriptor {
        self.put(media_type, &serde_json::to_vec(value).unwrap())
    }

    /// A manifest, its config and its layer.
    fn image(&self, layer: &str) -> [Descriptor; 3] {
        let config = self.put(MediaType::ImageConfig, &documents::canonical(&ImageConfig::new(&Platform::new("linux", layer, ""))).unwrap());
        let layer = self.put(LAYER, layer.as_bytes());
        let manifest = ImageManifest::new(config.clone(), vec![layer.clone()]);
        [self.put(MediaType::ImageManifest, &documents::canonical(&manifest).unwrap()), config, layer]
    }

    /// A manifest that is attached to `subject`, and what it has of its own.
    fn attached(&self, what: &str, subject: &Descriptor) -> [Descriptor; 2] {
        let content = self.put("text/plain", what.as_bytes());
        let manifest = json!({"schemaVersion": 2, "artifactType": "text/plain", "config": content, "layers": [], "subject": subject});
        [self.put_json(MediaType::ImageManifest, &manifest), content]
    }

    fn index(&self, manifests: &[&Descriptor]) -> Descriptor {
        let index = ImageIndex::new(manifests.iter().map(|manifest| (*manifest).clone()).collect());
        self.put(MediaType::ImageIndex, &documents::canonical(&index).unwrap())
    }

    fn name(&self, descriptor: &Descriptor, name: &str) {
        let mut entry = descriptor.clone();
        ImageName::tag_only(name).unwrap().apply(&mut entry);
        self.layout().commit(&[entry]).unwrap();
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Descriptor>)) {
        let change = |index: &mut ImageIndex| {
            change(&mut index.manifests);
            Ok(())
        };
        self.layout().update_index(change).unwrap();
    }

    fn blob(&self, descriptor: &Descriptor) -> PathBuf {
        self.path.join("blobs").join(descriptor.digest.algorithm().as_str()).join(descriptor.digest.encoded())
    }

    fn request(&self) -> GcRequest {
        let options = Options { lock_timeout: Duration::ZERO, ..Options::default() };
        GcRequest { layout: self.path.clone(), grace: GRACE, absent: Absent::Damage, options }
    }

    fn gc(&self) -> Result<GcReport> {
        execute(&late(), &self.request())
    }

    /// The digests of all content.
    fn there(&self) -> BTreeSet<Digest> {
        self.layout().stored().unwrap().blobs.into_iter().map(|blob| blob.digest).collect()
    }
}

/// A run in the year 2100.
fn late() -> Run {
    Run { clock: Clock(|| SystemTime::UNIX_EPOCH + LATE), ..Run::new(NonZeroUsize::new(2).unwrap()).unwrap() }
}

fn digests<'a>(descriptors: impl IntoIterator<Item = &'a Descriptor>) -> BTreeSet<Digest> {
    descriptors.into_iter().map(|descriptor| descriptor.digest.clone()).collect()
}

#[test]
fn lay_63_what_names_lead_to_stays_and_the_rest_goes() {
    let bench = Bench::new();
    let shared = bench.put(LAYER, b"shared");
    let (named, other) = (bench.image("amd64"), bench.image("arm64"));
    let index = bench.index(&[&named[0]]);
    (0..10).for_each(|name| bench.name(&index, &name.to_string()));
    let big = ImageManifest::new(other[1].clone(), vec![shared.clone(), named[2].clone()]);
    let big = bench.put(MediaType::ImageManifest, &documents::canonical(&big).unwrap());
    let lost = bench.index(&[&other[0], &big]);
    let above = bench.index(&[&lost]);
    bench.change(|entries| entries.retain(|entry| ImageName::of(entry).is_some_and(|name| name.as_str() != "3")));

    let planned = plan(&late(), &bench.request()).unwrap();
    let report = bench.gc().unwrap();
    assert_eq!((&report.plan, report.removed.blobs), (&planned, 7));
    assert_eq!(report.removed.bytes, [&shared, &other[0], &other[1], &other[2], &big, &lost, &above].iter().map(|lost| lost.size).sum::<u64>());
    assert_eq!(bench.there(), digests(named.iter().chain([&index])));
    assert_eq!((planned.named.blobs, planned.attached, planned.young), (4, Tally::default(), Tally::default()));
    let order: Vec<&Digest> = planned.garbage.iter().map(|garbage| &garbage.digest).collect();
    let position = |descriptor: &Descriptor| order.iter().position(|digest| **digest == descriptor.digest).unwrap();
    for (parent, child) in [(&above, &lost), (&lost, &big), (&lost, &other[0]), (&big, &shared), (&other[0], &other[1])] {
        assert!(position(parent) < position(child), "{order:?}");
    }
    assert_eq!(planned.garbage.iter().map(|garbage| garbage.form).max(), Some(GarbageForm::Blob));
    assert_eq!(bench.gc().unwrap().removed, Tally::default(), "nothing is left to do");
}

#[test]
fn lay_66_and_sig_14_what_is_attached_to_what_stays_stays_with_all_below_it() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    bench.name(&image[0], "1");
    let bill = bench.attached("bill of materials", &image[0]);
    let signature = bench.attached("signature of the bill", &bill[0]);
    // Found before and after what it is attached to, whatever the order of digests.
    let chain = bench.attached("signature of the signature", &signature[0]);
    let nested = bench.image("arm64");
    let list = json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": [nested[0]], "subject": chain[0]});
    let list = bench.put_json(MediaType::ImageIndex, &list);
    let gone = bench.image("riscv64");
    let of_gone = bench.attached("SIG-16: its subject has no name", &gone[0]);

    let report = bench.gc().unwrap();
    assert_eq!(
        digests(report.plan.garbage.iter().map(|garbage| Descriptor::new("", garbage.digest.clone(), 0)).collect::<Vec<_>>().iter()),
        digests(gone.iter().chain(&of_gone))
    );
    assert_eq!(bench.there(), digests(image.iter().chain(&bill).chain(&signature).chain(&chain).chain(&nested).chain([&list])));
    assert_eq!((report.plan.named.blobs, report.plan.attached.blobs), (3, 10));
}

#[test]
fn cra_22_where_a_document_that_stays_cannot_be_read_nothing_goes() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let inner = bench.index(&[&image[0]]);
    bench.name(&bench.index(&[&inner]), "1");
    let bill = bench.attached("bill of materials", &image[0]);
    let inside = bench.index(&[&bench.image("s390x")[0]]);
    let list = json!({"schemaVersion": 2, "manifests": [inside], "subject": bill[0]});
    bench.put_json(MediaType::ImageIndex, &list);
    bench.put(LAYER, b"garbage");
    let refused = |what: &str| {
        let there = bench.there();
        for outcome in [bench.gc().map(|_| ()), plan(&late(), &bench.request()).map(|_| ())] {
            let error = outcome.expect_err(what);
            assert_eq!((error.kind(), bench.there() == there), (ErrorKind::Corrupt, true), "{what}: {error}");
            assert!(error.message().starts_with("nothing was removed from oci:"), "{what}: {error}");
        }
    };
    for (document, what) in [(&image[0], "manifest"), (&inner, "index"), (&inside, "index below what is attached")] {
        let path = bench.blob(document);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![b' '; bytes.len()]).unwrap();
        refused(&format!("damaged {what}"));
        std::fs::remove_file(&path).unwrap();
        refused(&format!("missing {what}"));
        std::fs::create_dir(&path).unwrap();
        refused(&format!("directory in place of the {what}"));
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let twice = Descriptor { size: image[0].size + 1, ..image[0].clone() };
    bench.name(&twice, "another-size");
    refused("two sizes under one digest");
    bench.change(|entries| entries.truncate(1));
    assert_eq!(bench.gc().unwrap().removed.blobs, 1, "the bench itself is sound");
}

#[test]
fn lay_06_without_readable_names_nothing_goes() {
    let bench = Bench::new();
    bench.put(LAYER, b"content");
    for bytes in [&b""[..], b"{}", b"[]", b"{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[]}"] {
        std::fs::write(bench.path.join("index.json"), bytes).unwrap();
        assert_eq!(bench.gc().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    std::fs::remove_file(bench.path.join("index.json")).unwrap();
    assert_eq!(bench.gc().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(bench.there().len(), 1);
}

#[test]
fn lay_37_manifests_that_were_left_out_are_allowed_to_be_missing_on_request_only() {
    let bench = Bench::new();
    let (copied, left_out) = (bench.image("amd64"), bench.image("arm64"));
    let index = bench.index(&[&copied[0], &left_out[0]]);
    bench.name(&index, "1");
    let garbage = bench.put(LAYER, b"garbage");
    std::fs::remove_file(bench.blob(&left_out[0])).unwrap();
    let error = bench.gc().unwrap_err();
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--sparse")), "{error:?}");
    let sparse = GcRequest { absent: Absent::LeftOut, ..bench.request() };
    let report = execute(&late(), &sparse).unwrap();
    assert_eq!(digests([&garbage, &left_out[1], &left_out[2]]).len(), report.removed.blobs);
    assert_eq!(bench.there(), digests(copied.iter().chain([&index])));
    // An entry without its manifest is damage all the same, and so is a manifest that is there and wrong.
    std::fs::write(bench.blob(&copied[0]), vec![b' '; usize::try_from(copied[0].size).unwrap()]).unwrap();
    assert_eq!(execute(&late(), &sparse).unwrap_err().kind(), ErrorKind::Corrupt);
    std::fs::remove_file(bench.blob(&index)).unwrap();
    assert_eq!(execute(&late(), &sparse).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn cra_21_and_30_what_is_young_stays_with_what_it_leads_to_whatever_the_clock_says() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let old = bench.put(LAYER, b"old");
    // What another tool has written a moment ago, above a layer that lay there before.
    File::options().write(true).open(bench.blob(&image[0])).unwrap().set_modified(SystemTime::UNIX_EPOCH + LATE - Duration::from_secs(60)).unwrap();
    let report = bench.gc().unwrap();
    assert_eq!((report.plan.young.blobs, report.removed.blobs), (3, 1));
    assert_eq!(bench.there(), digests(&image));
    assert!(!bench.blob(&old).exists());

    // A time to come is that of another clock.
    let collected = |clock: fn() -> SystemTime, grace: Duration| {
        let run = Run { clock: Clock(clock), ..late() };
        plan(&run, &GcRequest { grace, ..bench.request() }).unwrap().garbage.len()
    };
    assert_eq!(collected(|| SystemTime::UNIX_EPOCH, GRACE), 0);
    assert_eq!(collected(|| SystemTime::UNIX_EPOCH + LATE - Duration::from_secs(120), Duration::from_secs(1)), 0);
    assert_eq!(collected(|| SystemTime::UNIX_EPOCH + LATE, Duration::MAX), 0);
    assert_eq!(collected(|| SystemTime::UNIX_EPOCH + LATE, Duration::from_secs(30)), 3);
    assert_eq!(collected(|| SystemTime::UNIX_EPOCH, Duration::ZERO), 3, "zero asks no clock");
}

#[test]
fn lay_05_47_and_74_what_is_not_content_is_left_and_told() {
    let bench = Bench::new();
    let opaque = bench.put("application/vnd.example", br#"{"layers":[]}"#);
    bench.name(&opaque, "opaque");
    for path in ["manifest.json", "oci-put-blob1", "blobs/README", "blobs/sha256/README", "blobs/sha256/0123"] {
        std::fs::write(bench.path.join(path), "foreign").unwrap();
    }
    let zeros = "0".repeat(64);
    for path in [".git", "ingest", "blobs/sha256/directory", "blobs/blake3", &format!("blobs/sha256/{zeros}")] {
        std::fs::create_dir(bench.path.join(path)).unwrap();
    }
    std::os::unix::fs::symlink("../README", bench.path.join("blobs/sha256").join("1".repeat(64))).unwrap();
    std::fs::write(bench.path.join("blobs/blake3").join(&zeros), "content of an algorithm that is not computed").unwrap();
    let before = listing(&bench.path);
    let report = bench.gc().unwrap();
    let ones = format!("blobs/sha256/{}", "1".repeat(64));
    let zeros = format!("blobs/sha256/{zeros}");
    let strays = ["blobs/README", "blobs/blake3", "blobs/sha256/0123", "blobs/sha256/README", "blobs/sha256/directory", &ones, &zeros];
    assert_eq!(report.plan.strays.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(strays));
    assert_eq!((report.removed, listing(&bench.path)), (Tally::default(), before));
}

/// Every path below `directory`.
fn listing(directory: &std::path::Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        found.insert(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found
}

#[test]
fn cra_25_a_link_in_place_of_a_directory_of_content_leads_nowhere() {
    let bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("0".repeat(64));
    std::fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(outside.path(), bench.path.join("blobs/sha512")).unwrap();
    assert_eq!(bench.gc().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(file.exists());
}

#[test]
fn cra_23_directories_of_dead_writers_go_and_a_plan_changes_nothing() {
    let bench = Bench::new();
    bench.put(LAYER, b"garbage");
    let dead = bench.path.join(".larder-staging-1-dead");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("0"), "rest").unwrap();
    let before = listing(&bench.path);
    let planned = plan(&late(), &bench.request()).unwrap();
    assert_eq!((&planned.staging[..], planned.garbage.len()), (&[".larder-staging-1-dead".to_owned()][..], 1));
    assert_eq!(listing(&bench.path), before);
    assert_eq!(bench.gc().unwrap().plan, planned);
    assert!(!dead.exists());
}

#[test]
fn a_layout_in_use_is_a_conflict_and_a_stop_is_obeyed() {
    let bench = Bench::new();
    bench.put(LAYER, b"garbage");
    let reader = bench.layout();
    assert_eq!(bench.gc().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(plan(&late(), &bench.request()).unwrap().garbage.len(), 1, "a plan keeps nobody out");
    drop(reader);
    let run = late();
    run.cancel.cancel();
    assert_eq!(execute(&run, &bench.request()).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(bench.there().len(), 1);
    assert_eq!(bench.gc().unwrap().removed.blobs, 1);
}
