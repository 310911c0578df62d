use super::*;
use crate::copy::Reading;
use crate::error::ErrorKind;
use crate::exec::Run;
use crate::graph::Graph;
use crate::spec::{Document, ImageManifest, MediaType, annotation};
use crate::store::Destination as _;
use crate::store::layout::Layout;
use std::num::NonZeroUsize;
use std::path::Path;

fn run() -> Run {
    Run::new(NonZeroUsize::MIN).expect("a pool")
}

fn image(layout: &Layout, architecture: &str, what: &str) -> Descriptor {
    let put = |media_type: &str, bytes: &[u8]| {
        let descriptor = Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64);
        layout.put(&descriptor, &mut &bytes[..]).expect("stored");
        descriptor
    };
    let config = serde_json::json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}});
    let config = put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let layer = put("application/vnd.oci.image.layer.v1.tar", what.as_bytes());
    let manifest = Document::create(MediaType::ImageManifest, ImageManifest::new(config, vec![layer])).expect("created");
    put(manifest.descriptor.media_type.as_ref(), &manifest.bytes)
}

/// A layout for each of these, as build hosts make them.
fn hosts(temp: &Path, architectures: &[&str]) -> Vec<Location> {
    let host = |architecture: &&str| {
        let path = temp.join(format!("host-{architecture}"));
        let layout = Layout::create(&path, Options::default()).expect("created");
        layout.commit(&entries(&image(&layout, architecture, architecture), &[name("1")])).expect("committed");
        at(&path, "")
    };
    architectures.iter().map(host).collect()
}

fn name(tag: &str) -> ImageName {
    ImageName::tag_only(tag).expect("a tag")
}

fn at(path: &Path, rest: &str) -> Location {
    Location::parse(format!("oci:{}{rest}", path.display())).expect("a location")
}

const HOW: How = How { sharing: None, reading: Reading::Copied };

fn created(sources: &[Location], destination: &Path, tag: &str) -> Result<IndexReport> {
    create(
        &run(),
        &CreateRequest {
            sources: sources.to_vec(),
            destination: at(destination, ""),
            names: vec![name(tag)],
            nesting: Nesting::Flattened,
            clash: Clash::Refused,
            annotations: Annotations::new(),
            how: HOW,
            effect: Effect::Done,
            options: Options::default(),
        },
    )
}

fn changed(index: Location, change: Change, names: &[ImageName]) -> Result<IndexReport> {
    let options = Options::default();
    super::change(&run(), &ChangeRequest { index, names: names.to_vec(), change, how: HOW, effect: Effect::Done, options })
}

fn platforms(report: &IndexReport) -> Vec<&str> {
    report.members.iter().map(|member| member.platform.as_deref().unwrap_or("-")).collect()
}

/// Every name stands on something that is there with all it leads to.
fn whole(path: &Path) -> Vec<Descriptor> {
    let layout = Layout::open(path, Options::default()).expect("opened");
    let names = layout.index().expect("readable").manifests;
    for reached in Graph::walk(&run(), &layout, &names).expect("all documents are there").reached() {
        layout.read(&reached.descriptor, usize::MAX).expect("all content is there");
    }
    names
}

#[test]
fn images_of_several_hosts_become_one_index() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let out = temp.path().join("out");
    let sources = hosts(temp.path(), &["arm64", "amd64"]);
    let report = created(&sources, &out, "1").expect("created");
    assert_eq!(platforms(&report), ["linux/arm64", "linux/amd64"]);
    let names = whole(&out);
    assert_eq!((names.len(), &names[0].digest), (1, &report.digest));
    assert_eq!(created(&sources, &out, "1").expect("again").digest, report.digest);
    let twice = [sources[0].clone(), sources[0].clone()];
    assert_eq!(created(&twice, &out, "2").expect("collapsed").members.len(), 1);
}

#[test]
fn a_change_moves_the_name_or_makes_a_new_one() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let out = temp.path().join("out");
    let sources = hosts(temp.path(), &["arm64", "amd64", "riscv64"]);
    let first = created(&sources[..2], &out, "1").expect("created");
    let append = Change::Append { sources: sources[2..].to_vec(), nesting: Nesting::Flattened, clash: Clash::Refused };
    let second = changed(at(&out, ":1"), append, &[]).expect("appended");
    assert_eq!((platforms(&second), second.before.clone()), (vec!["linux/arm64", "linux/amd64", "linux/riscv64"], Some(first.digest.clone())));
    let target = Target::Platform(Platform::parse("linux/arm64").expect("a platform"));
    let third = changed(at(&out, ":1"), Change::Remove(vec![target.clone()]), &[name("small")]).expect("removed");
    assert_eq!((platforms(&third), third.removed.len()), (vec!["linux/amd64", "linux/riscv64"], 1));
    let entries = whole(&out);
    let tags: Vec<_> = entries.iter().map(|entry| (entry.annotation(annotation::REF_NAME), entry.digest.clone())).collect();
    assert_eq!(tags, [(Some("1"), second.digest), (Some("small"), third.digest)]);
    let error = changed(at(&out, ":small"), Change::Remove(vec![target]), &[]).expect_err("gone");
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::NotFound, Some("it has linux/amd64, linux/riscv64")));
    let filter = Change::Filter(vec![Platform::parse("linux/amd64").expect("a platform")]);
    let fourth = changed(at(&out, ":small"), filter, &[]).expect("filtered");
    assert_eq!(platforms(&fourth), ["linux/amd64"]);
    assert_eq!(whole(&out)[1].digest, fourth.digest);
    let all = Change::Remove(vec![Target::Digest(fourth.members[0].digest.clone())]);
    assert_eq!(changed(at(&out, ":small"), all, &[]).expect_err("nothing left").kind(), ErrorKind::Usage);
}

#[test]
fn annotations_and_platforms_change_where_they_are_meant_to() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let out = temp.path().join("out");
    let report = created(&hosts(temp.path(), &["arm64", "arm"]), &out, "1").expect("created");
    let annotate = |targets, key: &str, unset: &[&str], platform: Option<&str>| Change::Annotate {
        targets,
        set: [(key.to_owned(), "x".to_owned())].into(),
        unset: unset.iter().map(|key| (*key).to_owned()).collect(),
        platform: platform.map(|platform| Platform::parse(platform).expect("a platform")),
    };
    changed(at(&out, ":1"), annotate(Vec::new(), "whole", &[], None), &[]).expect("annotated");
    let second = vec![Target::Digest(report.members[1].digest.clone())];
    changed(at(&out, ":1"), annotate(second, "entry", &["whole"], Some("linux/arm/v6")), &[]).expect("annotated");
    let first = vec![Target::Digest(report.members[0].digest.clone())];
    let same = changed(at(&out, ":1"), annotate(first, "x", &[], Some("linux/arm/v6")), &[]).expect_err("two for one platform");
    assert_eq!(same.kind(), ErrorKind::Conflict);
    let layout = Layout::open(&out, Options::default()).expect("opened");
    let entry = whole(&out).remove(0);
    let index: ImageIndex = serde_json::from_slice(&layout.read(&entry, usize::MAX).expect("read")).expect("an index");
    assert_eq!(index.annotations, [("whole".to_owned(), "x".to_owned())].into());
    assert_eq!(index.manifests[1].annotations, [("entry".to_owned(), "x".to_owned())].into());
    assert_eq!((&index.manifests[0].annotations.len(), index.manifests[1].platform.clone()), (&0, Some(Platform::new("linux", "arm", "v6"))));
}

#[test]
fn a_single_image_becomes_an_index_and_two_for_a_platform_are_refused() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let [arm64, amd64] = &hosts(temp.path(), &["arm64", "amd64"])[..] else { panic!("two") };
    let append = |source: &Location, clash| Change::Append { sources: vec![source.clone()], nesting: Nesting::Flattened, clash };
    let error = changed(arm64.clone(), Change::Filter(vec![Platform::new("linux", "arm64", "")]), &[]).expect_err("no index");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let report = changed(arm64.clone(), append(amd64, Clash::Refused), &[]).expect("appended");
    assert_eq!(platforms(&report), ["linux/arm64", "linux/amd64"]);
    let other = Layout::open(amd64.path(), Options::default()).expect("opened");
    other.commit(&entries(&image(&other, "amd64", "newer"), &[name("1")])).expect("committed");
    assert_eq!(changed(arm64.clone(), append(amd64, Clash::Refused), &[]).expect_err("two").kind(), ErrorKind::Conflict);
    let report = changed(arm64.clone(), append(amd64, Clash::Replaces), &[]).expect("replaced");
    assert_eq!((platforms(&report), report.removed.len()), (vec!["linux/arm64", "linux/amd64"], 1));
    whole(arm64.path());
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let out = temp.path().join("out");
    let architectures = ["amd64", "arm64", "riscv64", "s390x", "ppc64le", "386"];
    let sources = hosts(temp.path(), &architectures);
    created(&sources[..1], &out, "1").expect("created");
    std::thread::scope(|scope| {
        for source in &sources[1..] {
            let append = Change::Append { sources: vec![source.clone()], nesting: Nesting::Flattened, clash: Clash::Refused };
            scope.spawn(|| changed(at(&out, ":1"), append, &[]).expect("appended"));
        }
    });
    let layout = Layout::open(&out, Options::default()).expect("opened");
    let index: ImageIndex = serde_json::from_slice(&layout.read(&whole(&out)[0], usize::MAX).expect("read")).expect("an index");
    let mut found: Vec<String> = index.manifests.iter().filter_map(|entry| entry.platform.clone()).map(|platform| platform.architecture).collect();
    found.sort();
    let mut wanted = architectures.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(found, wanted);
}
