use super::*;
use crate::error::{ErrorKind, Result, Side};
use crate::exec::Run;
use crate::graph::Graph;
use crate::spec::{Descriptor, Digest, Document, ImageIndex, ImageManifest, ImageName, MediaType, Platform, Selector, annotation};
use crate::store::entries::Identity;
use crate::store::layout::{Layout, Options};
use crate::store::{Destination, MemoryStore, Presence, Sharing, Source};
use std::collections::HashSet;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Mutex;

const HOW: How = How { sharing: Some(Sharing::Files), reading: Reading::Copied };

fn run(jobs: usize) -> Run {
    Run::new(NonZeroUsize::new(jobs).expect("some")).expect("a pool")
}

fn leaf(store: &impl Destination, media_type: &str, content: &[u8]) -> Descriptor {
    let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
    store.put(&descriptor, &mut &content[..]).expect("stored");
    descriptor
}

fn document<T: serde::Serialize>(store: &impl Destination, media_type: MediaType, value: T) -> Descriptor {
    let document = Document::create(media_type, value).expect("created");
    store.put(&document.descriptor, &mut &document.bytes[..]).expect("stored");
    document.descriptor
}

fn image(store: &impl Destination, platform: &str, layers: &[&str]) -> Descriptor {
    let config = leaf(store, "application/vnd.oci.image.config.v1+json", platform.as_bytes());
    let layers = layers.iter().map(|content| leaf(store, "application/vnd.oci.image.layer.v1.tar", content.as_bytes())).collect();
    let mut manifest = document(store, MediaType::ImageManifest, ImageManifest::new(config, layers));
    manifest.platform = Some(Platform::parse(platform).expect("a platform"));
    manifest
}

fn named(mut entry: Descriptor, tag: &str) -> Descriptor {
    ImageName::tag_only(tag).expect("a tag").apply(&mut entry);
    entry
}

/// Two platforms that share a layer under `multi`, a single image under `single`.
fn sample(store: &impl Destination) -> [Descriptor; 2] {
    let images = vec![image(store, "linux/amd64", &["shared", "a"]), image(store, "linux/arm64", &["shared", "b"])];
    let multi = named(document(store, MediaType::ImageIndex, ImageIndex::new(images)), "multi");
    let mut single = image(store, "linux/amd64", &["shared", "c"]);
    single.platform = None;
    let single = named(single, "single");
    store.commit(&[multi.clone(), single.clone()]).expect("committed");
    [multi, single]
}

fn one(tag: &str) -> Wanted {
    Wanted::One(Selector::Name(tag.into()), Names::Kept)
}

fn planned<'a>(source: &'a dyn Source, wanted: &'a Wanted, platforms: &'a Platforms, referrers: Referrers) -> Result<CopyPlan<'a>> {
    CopyPlan::new(&run(2), &CopyRequest { source, wanted, platforms, referrers })
}

fn copy(source: &dyn Source, destination: &dyn Destination, wanted: &Wanted) -> Result<Carried> {
    execute(&run(4), &[planned(source, wanted, &Platforms::All, Referrers::Left)?], destination, HOW)
}

fn whole(store: &impl Source) -> usize {
    let entries = store.index().expect("readable").manifests;
    let graph = Graph::walk(&run(2), store, &entries).expect("all documents are there");
    for reached in graph.reached() {
        store.read(&reached.descriptor, usize::MAX).expect("all content is there");
    }
    graph.reached().len()
}

#[test]
fn a_copy_has_the_same_digests_and_a_second_one_carries_nothing() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let [multi, single] = sample(&from);
    let carried = copy(&from, &to, &one("multi")).expect("copied");
    assert_eq!((to.index().expect("readable").manifests, whole(&to)), (vec![multi.clone()], 8));
    assert_eq!((carried.copied.count, carried.present.count), (8, 0));
    let carried = copy(&from, &to, &Wanted::All).expect("copied");
    assert_eq!((to.index().expect("readable").manifests, whole(&to)), (vec![multi, single], 10));
    assert_eq!((carried.copied.count, carried.present.count), (2, 8), "the shared layer and the config are there");
    assert_eq!(copy(&from, &to, &Wanted::All).expect("copied").copied, Tally::default());
}

#[test]
fn new_names_take_the_place_of_the_old_one() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let [_, single] = sample(&from);
    let names = ["x", "y"].map(|name| ImageName::tag_only(name).expect("a tag")).to_vec();
    copy(&from, &to, &Wanted::One(Selector::Digest(single.digest.clone()), Names::New(names))).expect("copied");
    assert_eq!(to.index().expect("readable").manifests, [named(single.clone(), "x"), named(single, "y")]);
}

/// Refuses one digest, and demands that what a document references is there before it.
struct Strict<'a> {
    store: MemoryStore,
    refused: Option<Digest>,
    announced: Mutex<Vec<Digest>>,
    run: &'a Run,
}

impl Destination for Strict<'_> {
    fn location(&self) -> String {
        "strict:".into()
    }

    fn announce(&self, content: &[Descriptor], _: &[Descriptor]) -> Result<()> {
        *self.announced.lock().expect("unpoisoned") = content.iter().map(|descriptor| descriptor.digest.clone()).collect();
        Ok(())
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.store.has(descriptor)
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        if self.refused.as_ref() == Some(&descriptor.digest) {
            return Err(crate::Error::new(ErrorKind::Io, "the disk is full"));
        }
        self.store.put(descriptor, content)?;
        let graph = Graph::walk(self.run, &self.store, std::slice::from_ref(descriptor))?;
        graph.reached().iter().try_for_each(|reached| match self.store.has(&reached.descriptor)? {
            true => Ok(()),
            false => panic!("{} came before {}", descriptor.digest, reached.descriptor.digest),
        })
    }

    fn commit(&self, entries: &[Descriptor]) -> Result<()> {
        self.store.commit(entries)
    }
}

#[test]
fn children_come_before_parents_and_names_last_whatever_fails() {
    let from = MemoryStore::default();
    sample(&from);
    let run = run(1);
    let strict = |refused| Strict { store: MemoryStore::default(), refused, announced: Mutex::default(), run: &run };
    let plan = planned(&from, &Wanted::All, &Platforms::All, Referrers::Left).expect("planned");
    let to = strict(None);
    execute(&self::run(8), std::slice::from_ref(&plan), &to, HOW).expect("copied");
    let order = to.announced.lock().expect("unpoisoned").clone();
    assert_eq!(order, plan.content().map(|(_, content)| content.digest.clone()).collect::<Vec<_>>());
    for refused in order {
        let mut to = strict(Some(refused));
        let error = execute(&self::run(8), std::slice::from_ref(&plan), &to, HOW).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(to.store.index().expect("readable").manifests.is_empty(), "no name came");
        to.refused = None;
        execute(&self::run(8), std::slice::from_ref(&plan), &to, HOW).expect("it goes on where it was");
        assert_eq!(whole(&to.store), 10);
    }
}

#[test]
fn the_order_is_the_same_for_every_number_of_threads() {
    let from = MemoryStore::default();
    sample(&from);
    let content = |jobs| {
        let request = CopyRequest { source: &from, wanted: &Wanted::All, platforms: &Platforms::All, referrers: Referrers::Left };
        let plan = CopyPlan::new(&run(jobs), &request).expect("planned");
        plan.content().map(|(height, content)| (height, content.clone())).collect::<Vec<_>>()
    };
    let order = content(1);
    assert!(order.is_sorted_by_key(|(height, _)| *height));
    assert!((0..20).all(|_| content(8) == order));
}

#[test]
fn a_filtered_copy_has_a_new_index_and_a_sparse_one_the_old() {
    let from = MemoryStore::default();
    let [multi, single] = sample(&from);
    let amd64 = vec![Platform::parse("linux/amd64").expect("a platform")];
    let filtered = Platforms::Filtered(amd64.clone());
    let wanted = one("multi");
    let plan = planned(&from, &wanted, &filtered, Referrers::Left).expect("planned");
    let [Rewritten { from: old, to: new }] = &plan.rewritten[..] else { panic!("one: {:?}", plan.rewritten) };
    assert_eq!((old, new == old, plan.left_out.len()), (&multi.digest, false, 1));
    let to = MemoryStore::default();
    execute(&run(2), std::slice::from_ref(&plan), &to, HOW).expect("copied");
    assert_eq!(whole(&to), 5, "an index, a manifest, a config, two layers");
    let entry = to.index().expect("readable").manifests.remove(0);
    assert_eq!((&entry.digest, entry.annotation(annotation::REF_NAME)), (new, Some("multi")));

    let to = MemoryStore::default();
    let sparse = Platforms::Sparse(amd64.clone());
    let plan = planned(&from, &wanted, &sparse, Referrers::Left).expect("planned");
    execute(&run(2), &[plan], &to, HOW).expect("copied");
    assert_eq!(to.index().expect("readable").manifests, [multi]);
    assert!(to.has(&leaf(&from, "x", b"a")).expect("examined") && !to.has(&leaf(&from, "x", b"b")).expect("examined"));

    let wanted = one("single");
    let plan = planned(&from, &wanted, &filtered, Referrers::Left);
    assert_eq!(plan.expect_err("its config is no config").kind(), ErrorKind::Corrupt);
    let mut entry = single;
    entry.platform = Some(amd64[0].clone());
    from.commit(&[entry.clone()]).expect("committed");
    assert_eq!(planned(&from, &wanted, &filtered, Referrers::Left).expect("as it is").entries, [entry]);
}

#[test]
fn what_is_attached_to_an_index_that_lost_platforms_is_listed() {
    let from = MemoryStore::default();
    let [multi, _] = sample(&from);
    let config = leaf(&from, "application/vnd.oci.empty.v1+json", b"{}");
    let mut manifest = ImageManifest::new(config, Vec::new());
    manifest.subject = Some(multi.bare());
    let signature = document(&from, MediaType::ImageManifest, manifest);
    from.commit(std::slice::from_ref(&signature)).expect("committed");
    let (wanted, platforms) = (one("multi"), Platforms::Filtered(vec![Platform::parse("linux/amd64").expect("a platform")]));
    let plan = planned(&from, &wanted, &platforms, Referrers::Carried).expect("planned");
    assert!(plan.left_out.contains(&LeftOut { descriptor: signature, why: Why::Attached }), "{:?}", plan.left_out);
}

#[test]
fn a_manifest_below_an_index_can_be_chosen_by_its_digest() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let [multi, _] = sample(&from);
    let below = Graph::walk(&run(1), &from, &[multi]).expect("walked").reached()[1].descriptor.clone();
    copy(&from, &to, &Wanted::One(Selector::Digest(below.digest.clone()), Names::Kept)).expect("copied");
    assert_eq!((to.index().expect("readable").manifests[0].digest.clone(), whole(&to)), (below.digest, 4));
}

#[test]
fn damage_at_the_destination_is_replaced_in_documents_always_and_in_layers_where_that_is_asked_for() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let layout = |name: &str| Layout::create(&temp.path().join(name), Options::default()).expect("created");
    let (from, to) = (layout("from"), layout("to"));
    sample(&from);
    copy(&from, &to, &Wanted::All).expect("copied");
    let path = |content: &str| temp.path().join("to/blobs/sha256").join(Digest::sha256(content.as_bytes()).encoded());
    for (content, how) in [("linux/amd64", HOW), ("shared", How { reading: Reading::All, ..HOW })] {
        std::fs::remove_file(path(content)).expect("removed");
        std::fs::write(path(content), content.to_uppercase()).expect("written");
        let plan = planned(&from, &Wanted::All, &Platforms::All, Referrers::Left).expect("planned");
        execute(&run(2), &[plan], &to, how).expect("copied");
        assert_eq!(std::fs::read_to_string(path(content)).expect("readable"), content);
    }
}

#[test]
fn an_image_chosen_without_a_name_comes_with_all_its_names() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let image = image(&from, "linux/amd64", &["a"]);
    let entries = [named(image.clone(), "1"), named(image.clone(), "latest")];
    from.commit(&entries).expect("committed");
    for selector in [Selector::Only, Selector::Digest(image.digest)] {
        copy(&from, &to, &Wanted::One(selector, Names::Kept)).expect("copied");
        assert_eq!(to.index().expect("readable").manifests, entries);
    }
    let to = MemoryStore::default();
    copy(&from, &to, &one("latest")).expect("copied");
    assert_eq!(to.index().expect("readable").manifests, entries[1..]);
}

#[test]
fn a_sparse_copy_keeps_a_manifest_that_is_also_listed_for_another_platform() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let v7 = image(&from, "linux/arm/v7", &["a"]);
    let v6 = Descriptor { platform: Some(Platform::new("linux", "arm", "v6")), ..v7.clone() };
    let index = named(document(&from, MediaType::ImageIndex, ImageIndex::new(vec![v6, v7])), "1");
    from.commit(std::slice::from_ref(&index)).expect("committed");
    let (wanted, sparse) = (one("1"), Platforms::Sparse(vec![Platform::new("linux", "arm", "v6")]));
    let plan = planned(&from, &wanted, &sparse, Referrers::Left).expect("planned");
    execute(&run(1), &[plan], &to, HOW).expect("copied");
    assert_eq!(whole(&to), 4);
}

/// As for somebody who took the name after everybody looked.
#[test]
fn arc_17_a_claimed_name_that_stands_on_another_image_stays_and_changes_nothing() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let [multi, single] = sample(&from);
    let other = named(image(&to, "linux/amd64", &["other"]), "single");
    to.commit(std::slice::from_ref(&other)).expect("committed");
    let wanted = Wanted::All;
    let mut plan = planned(&from, &wanted, &Platforms::All, Referrers::Left).expect("planned");
    plan.claimed.extend([&multi, &single].into_iter().filter_map(Identity::of_entry));
    let error = execute(&run(2), &[plan.clone()], &to, HOW).expect_err("the name is another's");
    assert_eq!((error.kind(), error.subject_text(), error.failed_side()), (ErrorKind::Conflict, Some("single"), Some(Side::Destination)));
    assert_eq!(to.index().expect("readable").manifests, [other]);
    plan.claimed.remove(&Identity::of_entry(&single).expect("a name"));
    execute(&run(2), &[plan], &to, HOW).expect("copied");
    assert_eq!(to.index().expect("readable").manifests, [single, multi]);
}

#[test]
fn lay_66_attachments_come_along_or_are_listed() {
    let from = MemoryStore::default();
    let [_, single] = sample(&from);
    let attached = |what: &str, subject: Option<&Descriptor>| {
        let config = leaf(&from, "application/vnd.oci.empty.v1+json", b"{}");
        let mut manifest = ImageManifest::new(config, vec![leaf(&from, "text/plain", what.as_bytes())]);
        manifest.subject = subject.map(Descriptor::bare);
        document(&from, MediaType::ImageManifest, manifest)
    };
    let sbom = attached("sbom", Some(&single));
    let proof = attached("signature of the sbom", Some(&sbom));
    let signature = named(attached("signature", None), &format!("sha256-{}.sig", single.digest.encoded()));
    from.commit(&[sbom.clone(), proof.clone(), signature.clone()]).expect("committed");
    let wanted = one("single");
    let left = planned(&from, &wanted, &Platforms::All, Referrers::Left).expect("planned");
    let listed: Vec<_> = left.left_out.iter().map(|left| (&left.descriptor, left.why)).collect();
    assert_eq!((left.entries.len(), listed), (1, vec![(&sbom, Why::Attached), (&signature, Why::Attached)]));
    let carried = planned(&from, &wanted, &Platforms::All, Referrers::Carried).expect("planned");
    assert_eq!((carried.entries.clone(), carried.left_out.len()), (vec![single, sbom, signature, proof], 0));
    let to = MemoryStore::default();
    execute(&run(2), &[carried], &to, HOW).expect("copied");
    whole(&to);
}

#[test]
fn lay_67_a_layer_that_may_not_be_distributed_may_be_missing_and_no_other() {
    let from = MemoryStore::default();
    let with_layer = |media_type: &str, name: &str| {
        let config = leaf(&from, "application/vnd.oci.image.config.v1+json", b"{}");
        let layer = Descriptor::new(media_type, Digest::sha256(b"elsewhere"), 9);
        named(document(&from, MediaType::ImageManifest, ImageManifest::new(config, vec![layer])), name)
    };
    let foreign = with_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign");
    from.commit(&[foreign.clone(), with_layer("application/vnd.oci.image.layer.v1.tar", "lost")]).expect("committed");
    let to = MemoryStore::default();
    copy(&from, &to, &one("foreign")).expect("copied");
    assert_eq!(to.index().expect("readable").manifests, std::slice::from_ref(&foreign));
    let wanted = one("foreign");
    assert_eq!(planned(&from, &wanted, &Platforms::All, Referrers::Left).expect("planned").left_out[0].why, Why::NonDistributable);
    assert_eq!(copy(&from, &to, &one("lost")).expect_err("lost").kind(), ErrorKind::NotFound);
    assert_eq!(to.index().expect("readable").manifests, [foreign]);
}

#[test]
fn layouts_on_one_file_system_share_layers_and_verify_them_where_that_is_asked_for() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let layout = |name: &str| Layout::create(&temp.path().join(name), Options::default()).expect("created");
    let (from, to) = (layout("from"), layout("to"));
    sample(&from);
    let carried = copy(&from, &to, &Wanted::All).expect("copied");
    assert_eq!((carried.linked.count + carried.reflinked.count, carried.copied.count), (4, 6), "layers are shared, configs and documents read");
    whole(&to);
    let damaged = temp.path().join("from/blobs/sha256").join(Digest::sha256(b"shared").encoded());
    std::fs::remove_file(&damaged).expect("removed");
    std::fs::write(&damaged, "SHARED").expect("written");
    let wanted = Wanted::All;
    let plan = planned(&from, &wanted, &Platforms::All, Referrers::Left).expect("planned");
    for how in [How { reading: Reading::All, ..HOW }, How { sharing: None, ..HOW }] {
        let to = layout(&format!("{how:?}"));
        let error = execute(&run(2), std::slice::from_ref(&plan), &to, how).expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(to.index().expect("readable").manifests.is_empty());
    }
}

/// A store far away: its content was proved when it came, it is asked for single entries, and what is attached is asked for.
struct Remote {
    store: MemoryStore,
    attached: Vec<(Digest, Descriptor)>,
    asked: Mutex<Vec<Digest>>,
    put: Mutex<Vec<Digest>>,
}

impl Remote {
    fn new(store: MemoryStore) -> Remote {
        Remote { store, attached: Vec::new(), asked: Mutex::default(), put: Mutex::default() }
    }

    /// What was asked for and what was put since the last time.
    fn traffic(&self) -> (Vec<Digest>, Vec<Digest>) {
        (std::mem::take(&mut *self.asked.lock().expect("unpoisoned")), std::mem::take(&mut *self.put.lock().expect("unpoisoned")))
    }
}

impl Source for Remote {
    fn location(&self) -> String {
        "remote:".into()
    }

    fn index(&self) -> Result<ImageIndex> {
        panic!("it has too many entries")
    }

    fn entries_for(&self, selector: &Selector) -> Result<ImageIndex> {
        Ok(ImageIndex::new(selector.entries(&self.store.index()?).into_iter().cloned().collect()))
    }

    fn referrers(&self, subject: &Descriptor) -> Result<Option<Vec<Descriptor>>> {
        Ok(Some(self.attached.iter().filter(|(digest, _)| *digest == subject.digest).map(|(_, entry)| entry.clone()).collect()))
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.store.open(descriptor)
    }
}

impl Destination for Remote {
    fn location(&self) -> String {
        "remote:".into()
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.asked.lock().expect("unpoisoned").push(descriptor.digest.clone());
        self.store.has(descriptor)
    }

    fn presence(&self) -> Presence {
        Presence::Proved
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        self.put.lock().expect("unpoisoned").push(descriptor.digest.clone());
        self.store.put(descriptor, content)
    }

    fn commit(&self, entries: &[Descriptor]) -> Result<()> {
        self.store.commit(entries)
    }
}

#[test]
fn below_what_was_proved_nothing_is_asked_for_and_only_what_gets_a_name_is_put_again() {
    let from = MemoryStore::default();
    sample(&from);
    let to = Remote::new(MemoryStore::default());
    let plan = planned(&from, &Wanted::All, &Platforms::All, Referrers::Left).expect("planned");
    let all: Vec<Digest> = plan.content().map(|(_, content)| content.digest.clone()).collect();
    let roots: HashSet<Digest> = plan.entries.iter().map(|entry| entry.digest.clone()).collect();
    let execute = || execute(&run(4), std::slice::from_ref(&plan), &to, HOW).expect("copied");
    execute();
    let (asked, put) = to.traffic();
    assert_eq!((asked.len(), put.len()), (all.len(), all.len()));
    let carried = execute();
    let (asked, put) = to.traffic();
    assert_eq!((asked.into_iter().collect::<HashSet<_>>(), put.into_iter().collect::<HashSet<_>>()), (roots.clone(), roots));
    assert_eq!((carried.present.count, carried.copied.count), (all.len(), 0));
}

#[test]
fn a_store_that_can_be_asked_is_asked_for_one_entry_and_for_what_is_attached() {
    let store = MemoryStore::default();
    let [_, single] = sample(&store);
    let config = leaf(&store, "application/vnd.oci.empty.v1+json", b"{}");
    let attach = |subject: &Descriptor| {
        let mut manifest = ImageManifest::new(config.clone(), Vec::new());
        manifest.subject = Some(subject.bare());
        document(&store, MediaType::ImageManifest, manifest)
    };
    let signature = attach(&single);
    let countersignature = attach(&signature);
    let mut from = Remote::new(store);
    from.attached = vec![(single.digest.clone(), signature.clone()), (signature.digest.clone(), countersignature.clone())];
    let wanted = Wanted::One(Selector::Digest(single.digest.clone()), Names::Kept);
    let plan = planned(&from, &wanted, &Platforms::All, Referrers::Carried).expect("planned");
    assert_eq!(plan.entries[plan.entries.len() - 2..], [signature, countersignature]);
    let plan = planned(&from, &wanted, &Platforms::All, Referrers::Left).expect("planned");
    assert!(plan.entries.iter().all(|entry| entry.digest == single.digest));
}
