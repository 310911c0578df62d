//! Whole images: the order of things, tags, and how few requests it takes.

use std::sync::Mutex;

use super::*;
use crate::copy::{self, CopyPlan, CopyRequest, How, Names, Platforms, Reading, Referrers, Wanted};
use crate::error::{ErrorKind, Side};
use crate::spec::{ImageIndex, Selector};
use crate::store::MemoryStore;
use crate::store::registry::Which;
use crate::store::registry::tests::server::Reply;

const HOW: How = How { sharing: None, reading: Reading::Copied };

/// An index of two images that share a layer, and one image, in memory.
fn sample() -> (MemoryStore, [Descriptor; 2]) {
    let store = MemoryStore::default();
    let image = |layers: &[&[u8]]| {
        let leaf = |media_type: MediaType, content: &[u8]| {
            let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
            store.put(&descriptor, &mut &content[..]).expect("stored");
            descriptor
        };
        let config = leaf(MediaType::ImageConfig, format!("{{\"x\":{}}}", layers.len()).as_bytes());
        let layers = layers.iter().map(|layer| leaf(MediaType::ImageLayerGzip, layer)).collect();
        put(&store, MediaType::ImageManifest, &ImageManifest::new(config, layers))
    };
    let images = vec![image(&[b"shared", b"a"]), image(&[b"shared", b"b", b"c"])];
    let index = named(put(&store, MediaType::ImageIndex, &ImageIndex::new(images)), "multi");
    let single = named(image(&[b"shared"]), "single");
    store.commit(&[index.clone(), single.clone()]).expect("committed");
    (store, [index, single])
}

fn put(store: &impl Destination, media_type: MediaType, value: &impl serde::Serialize) -> Descriptor {
    let bytes = json::canonical(value).expect("writable");
    let descriptor = Descriptor::new(media_type, Digest::sha256(&bytes), bytes.len() as u64);
    store.put(&descriptor, &mut &bytes[..]).expect("stored");
    descriptor
}

fn copied(from: &dyn Source, to: &dyn Destination, tag: &str) -> crate::Result<copy::Carried> {
    let wanted = Wanted::One(Selector::Name(tag.into()), Names::Kept);
    let run = run();
    let plan = CopyPlan::new(&run, &CopyRequest { source: from, wanted: &wanted, platforms: &Platforms::All, referrers: Referrers::Left })?;
    copy::execute(&run, &[plan], to, HOW)
}

#[test]
fn an_image_goes_in_this_order_and_no_request_is_made_twice() {
    let double = Double::start(Ways::default());
    let (from, [index, _]) = sample();
    copied(&from, &alone(&double.server), "multi").expect("pushed");
    let lines = double.server.lines();
    let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    // Six blobs: two configs and four layers, of which one is shared.
    assert_eq!(lines.len(), 3 + 6 + 2 * 6 + 2 + 3, "{lines:#?}");
    assert_eq!([count("HEAD /v2/team/app/blobs/"), count("POST "), count("PUT /v2/team/app/blobs/")], [6, 6, 6]);
    assert_eq!(
        lines[lines.len() - 3..],
        ["HEAD /v2/team/app/manifests/multi", "PUT /v2/team/app/manifests/multi", "HEAD /v2/team/app/manifests/multi"].map(str::to_owned)
    );
    let first = |what: &str| lines.iter().position(|line| line.starts_with(what)).expect(what);
    let last = |what: &str| lines.iter().rposition(|line| line.starts_with(what)).expect(what);
    assert!(last("PUT /v2/team/app/blobs/") < first("PUT /v2/team/app/manifests/sha256:"), "content before manifests");
    assert!(!lines.contains(&format!("PUT /v2/team/app/manifests/{}", index.digest)), "what gets a tag is put once");
    let state = double.state.lock().expect("unpoisoned");
    for asked in double.server.asked().iter().filter(|asked| asked.method == "PUT" && asked.path().contains("/manifests/")) {
        assert_eq!(asked.header("content-type"), Some(MediaType::ImageManifest.to_string().as_str()));
    }
    for digest in from.index().expect("readable").manifests.iter().take(1).map(|entry| &entry.digest) {
        let (media_type, bytes) = &state.manifests[&("team/app".into(), digest.to_string())];
        assert_eq!((media_type.as_str(), Digest::sha256(bytes)), ("application/vnd.oci.image.index.v1+json", digest.clone()), "byte for byte");
    }
}

#[test]
fn a_member_of_an_index_that_has_a_tag_of_its_own_comes_before_the_index() {
    let (from, [index, _]) = sample();
    let document: ImageIndex = serde_json::from_slice(&from.read(&index, 1 << 20).expect("read")).expect("an index");
    let members: Vec<Descriptor> = document.manifests.iter().zip(["amd64", "arm64"]).map(|(member, tag)| named(member.clone(), tag)).collect();
    from.commit(&members).expect("committed");
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let run = run();
    let plan =
        CopyPlan::new(&run, &CopyRequest { source: &from, wanted: &Wanted::All, platforms: &Platforms::All, referrers: Referrers::Left }).expect("planned");
    copy::execute(&run, &[plan], &registry, HOW).expect("pushed");
    for (tag, entry) in [("multi", &index), ("amd64", &members[0]), ("arm64", &members[1])] {
        assert_eq!(alone(&double.server).manifest(Which::Tag(tag)).expect("asked").map(|found| found.digest), Some(entry.digest.clone()));
    }
}

#[test]
fn the_same_again_is_two_requests_and_one_for_whoever_asked_before() {
    let double = Double::start(Ways::default());
    let (from, [index, _]) = sample();
    copied(&from, &alone(&double.server), "multi").expect("pushed");
    double.server.lines();
    let carried = copied(&from, &alone(&double.server), "multi").expect("pushed");
    assert_eq!((carried.present.count, carried.copied.count), (9, 0));
    assert_eq!(double.server.lines(), [format!("HEAD /v2/team/app/manifests/{}", index.digest), "HEAD /v2/team/app/manifests/multi".into()]);
    let registry = alone(&double.server);
    let found = registry.manifest_before_push(Which::Tag("multi")).expect("asked").expect("there");
    assert_eq!((found.digest, found.size), (index.digest, index.size));
    assert_eq!(double.server.lines(), ["HEAD /v2/team/app/manifests/multi"]);
}

#[test]
fn reg_35_a_push_that_ended_early_goes_on_where_it_was() {
    let fail = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let failing = fail.clone();
    let double = Double::with(Ways::default(), move |asked| {
        let refused = asked.method == "PUT" && asked.path().contains("/manifests/multi") && failing.load(std::sync::atomic::Ordering::SeqCst);
        refused.then(|| Reply::new(400).body("no"))
    });
    let (from, _) = sample();
    let error = copied(&from, &alone(&double.server), "multi").expect_err("refused");
    assert_eq!(error.failed_side(), Some(Side::Destination));
    assert!(double.state.lock().expect("unpoisoned").tags.is_empty(), "no tag came");
    fail.store(false, std::sync::atomic::Ordering::SeqCst);
    double.server.lines();
    copied(&from, &alone(&double.server), "multi").expect("it goes on");
    let lines = double.server.lines();
    assert!(!lines.iter().any(|line| line.starts_with("POST") || line.contains("/blobs/")), "below a manifest that is there nothing is asked for: {lines:?}");
}

#[test]
fn pulled_is_what_was_pushed_and_each_document_is_read_once() {
    let double = Double::start(Ways::default());
    let (from, [index, single]) = sample();
    let registry = alone(&double.server);
    for tag in ["multi", "single"] {
        copied(&from, &registry, tag).expect("pushed");
    }
    for (tag, root) in [("multi", &index), ("single", &single)] {
        double.server.lines();
        let to = MemoryStore::default();
        copied(&alone(&double.server), &to, tag).expect("pulled");
        let entries = to.index().expect("readable").manifests;
        assert_eq!((entries.len(), &entries[0].digest), (1, &root.digest));
        assert_eq!(ImageName::of(&entries[0]).expect("a name").image(), Some(format!("{}/team/app:{tag}", double.server.host()).as_str()));
        let mut lines = double.server.lines();
        let all = lines.len();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), all, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("GET ")), "{lines:?}");
    }
}

#[test]
fn a_blob_goes_to_a_host_once_and_is_taken_from_there() {
    for (ways, uploads, mounts) in [(Ways::default(), 1, 3), (Ways { no_mounts: true, ..Ways::default() }, 4, 0)] {
        let double = Double::start(ways);
        let network = network(settings());
        let content = noise(300_000);
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let (network, double, content) = (&network, &double, &content);
                scope.spawn(move || repository(network, &double.server, name).put(&blob(content), &mut &content[..]).expect("stored"));
            }
        });
        let traffic = network.traffic();
        assert_eq!((traffic.uploads, traffic.mounts), (uploads, mounts));
        assert_eq!(double.state.lock().expect("unpoisoned").blobs.len(), 4);
        assert!(ways.no_mounts || traffic.sent < 2 * content.len() as u64);
    }
}

#[test]
fn reg_30_a_mount_that_did_not_happen_is_an_upload() {
    // Said to be mounted, and not there; refused; not allowed.
    for status in [201, 404, 400, 405, 403] {
        let double = Double::with(Ways::default(), move |asked| asked.parameter("mount").map(|_| Reply::new(status).header("Location", "/v2/x")));
        let network = network(settings());
        for name in ["a", "b"] {
            repository(&network, &double.server, name).put(&blob(b"content"), &mut &b"content"[..]).expect("stored");
        }
        assert_eq!(network.traffic().uploads, 2, "{status}");
        let state = double.state.lock().expect("unpoisoned");
        assert!(state.blobs.contains_key(&("b".into(), blob(b"content").digest.to_string())), "{status}");
    }
}

#[test]
fn a_copy_within_a_host_moves_no_blob() {
    let double = Double::start(Ways::default());
    let (from, [index, _]) = sample();
    copied(&from, &alone(&double.server), "multi").expect("pushed");
    let network = network(settings());
    let [from, to] = ["team/app", "other/app"].map(|name| repository(&network, &double.server, name));
    let carried = copied(&from, &to, "multi").expect("copied");
    assert_eq!((carried.taken.count, network.traffic().uploads), (6, 0));
    assert_eq!(to.manifest(Which::Tag("multi")).expect("asked").map(|found| found.digest), Some(index.digest));
}

#[test]
fn reg_31_a_manifest_whose_blob_went_away_is_an_error_that_says_so() {
    let double = Double::start(Ways::default());
    let (entry, bytes) = manifest(b"layer", None);
    let registry = alone(&double.server);
    let error = registry.put(&entry, &mut &bytes[..]).expect_err("a blob is missing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("again")), "{:?}", error.hint_text());
}

#[test]
fn reg_31_what_the_host_lost_while_we_pushed_is_brought_again() {
    // Cleaned up between the question and the manifest, as Artifactory does with what has no manifest for a day.
    let shared = Digest::sha256(b"shared").to_string();
    let state = std::sync::Arc::new(Mutex::new(None::<std::sync::Arc<Mutex<double::State>>>));
    let (cleaning, gone) = (state.clone(), shared.clone());
    let double = Double::with(Ways::default(), move |asked| {
        // The last thing before the manifest.
        if asked.method == "HEAD"
            && asked.path().ends_with("/manifests/single")
            && let Some(state) = cleaning.lock().expect("unpoisoned").take()
        {
            assert!(state.lock().expect("unpoisoned").blobs.remove(&("team/app".into(), gone.clone())).is_some());
        }
        None
    });
    let (from, [_, single]) = sample();
    let registry = alone(&double.server);
    copied(&from, &registry, "multi").expect("pushed");
    *state.lock().expect("unpoisoned") = Some(double.state.clone());
    copied(&from, &registry, "single").expect("brought again");
    assert_eq!(registry.manifest(Which::Tag("single")).expect("asked").map(|found| found.digest), Some(single.digest));
    assert!(double.state.lock().expect("unpoisoned").blobs.contains_key(&("team/app".into(), shared)));
}

#[test]
fn a_host_that_reads_what_others_write_gets_the_manifest_again_but_not_for_ever() {
    for (misreadings, fails) in [(2, false), (1000, true)] {
        let left = Mutex::new(misreadings);
        let double = Double::with(Ways::default(), move |asked| {
            let mut left = left.lock().expect("unpoisoned");
            let misread = asked.method == "PUT" && asked.path().contains("/manifests/") && *left > 0;
            *left -= u32::from(misread);
            misread.then(|| Reply::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#))
        });
        let (from, _) = sample();
        let outcome = copied(&from, &alone(&double.server), "single");
        assert_eq!(outcome.err().map(|error| error.kind()), fails.then_some(ErrorKind::Corrupt));
        assert_eq!(double.server.lines().iter().filter(|line| line.starts_with("PUT /v2/team/app/manifests/")).count(), 3);
    }
}

#[test]
fn reg_31_a_manifest_that_is_too_large_for_a_host_says_what_limits() {
    let double = Double::with(Ways::default(), |asked| (asked.method == "PUT" && asked.path().contains("/manifests/")).then(|| Reply::new(413)));
    let (entry, bytes) = manifest(b"layer", None);
    let error = alone(&double.server).put(&entry, &mut &bytes[..]).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("client_max_body_size")), "{error:?}");
}

#[test]
fn reg_36_a_tag_that_must_not_be_replaced_is_a_conflict() {
    for (status, body) in [(403, ""), (409, ""), (400, r#"{"errors":[{"code":"MANIFEST_INVALID","message":"HTTP 403 Forbidden"}]}"#)] {
        let double = Double::with(Ways::default(), move |asked| {
            let overwrites = asked.method == "PUT" && asked.path().ends_with("/manifests/1") && !asked.body.windows(5).any(|window| window == b"first");
            overwrites.then(|| Reply::new(status).body(body))
        });
        let registry = alone(&double.server);
        let first = manifest_with_note(&registry, "first");
        registry.commit(&[named(first.clone(), "1")]).expect("a new tag");
        let second = manifest_with_note(&registry, "second");
        let error = registry.commit(&[named(second, "1")]).expect_err("refused");
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Conflict, Some("1")), "{status}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("overwrite")));
        assert_eq!(registry.manifest(Which::Tag("1")).expect("asked").map(|found| found.digest), Some(first.digest), "the old one stays");
    }
}

fn manifest_with_note(registry: &Registry, note: &str) -> Descriptor {
    registry.put(&Descriptor::new(MediaType::ImageConfig, Digest::sha256(b"{}"), 2), &mut &b"{}"[..]).expect("stored");
    let mut manifest = ImageManifest::new(Descriptor::new(MediaType::ImageConfig, Digest::sha256(b"{}"), 2), Vec::new());
    manifest.annotations.insert("note".into(), note.into());
    put(registry, MediaType::ImageManifest, &manifest)
}

#[test]
fn reg_32_a_host_that_makes_something_else_of_a_manifest_is_found_out() {
    // At once, and when it is read back.
    let other = Digest::sha256(b"other").to_string();
    let digest = other.clone();
    let double = Double::with(Ways::default(), move |asked| {
        (asked.method == "PUT" && asked.path().contains("/manifests/")).then(|| Reply::new(201).header("Docker-Content-Digest", digest.clone()))
    });
    let registry = alone(&double.server);
    let (entry, bytes) = manifest(b"layer", None);
    assert_eq!(registry.put(&entry, &mut &bytes[..]).expect_err("found out").kind(), ErrorKind::Corrupt);
    let double = Double::with(Ways::default(), move |asked| {
        let is_tag = asked.method == "HEAD" && asked.path().ends_with("/manifests/1");
        is_tag.then(|| {
            Reply::new(200)
                .header("Docker-Content-Digest", other.clone())
                .header("Content-Type", MediaType::ImageIndex.to_string())
                .header("Content-Length", "7")
        })
    });
    let registry = alone(&double.server);
    let (entry, bytes) = manifest(b"layer", None);
    registry.put(&Descriptor::new(MediaType::ImageConfig, Digest::sha256(b"{}"), 2), &mut &b"{}"[..]).expect("stored");
    registry.put(&blob(b"layer"), &mut &b"layer"[..]).expect("stored");
    registry.put(&entry, &mut &bytes[..]).expect("stored");
    let error = registry.commit(&[named(entry, "1")]).expect_err("found out");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("remove the tag")));
}

#[test]
fn one_tag_for_two_images_and_names_that_are_no_tags_are_refused_before_anything_is_put() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let [one, two] = [b"one", b"two"].map(|layer| manifest(layer, None).0);
    let error = registry.announce(&[], &[named(one.clone(), "1"), named(two, "1")]).expect_err("two images");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let mut nonsense = one;
    nonsense.annotations.insert("org.opencontainers.image.ref.name".into(), "not a tag".into());
    assert_eq!(registry.announce(&[], &[nonsense]).expect_err("no tag").kind(), ErrorKind::Usage);
    assert_eq!(registry.announce(&[], &[named(blob(b"x"), "1")]).expect_err("no manifest").kind(), ErrorKind::Unsupported);
    assert!(double.server.lines().is_empty());
}

#[test]
fn what_is_removed_is_gone() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let entry = push(&registry, b"layer", "1");
    registry.remove(Which::Tag("1")).expect("removed");
    assert_eq!(registry.manifest(Which::Tag("1")).expect("asked"), None);
    assert_eq!(registry.remove(Which::Tag("1")).expect_err("gone").kind(), ErrorKind::NotFound);
    registry.remove(Which::Digest(&entry.digest)).expect("removed");
    assert_eq!(registry.manifest_before_push(Which::Digest(&entry.digest)).expect("asked"), None);
    let refusing = Server::start(|_| Reply::new(405));
    assert_eq!(alone(&refusing).remove(Which::Tag("1")).expect_err("refused").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_virtual_repository_that_will_not_tell_is_pushed_to_and_not_pulled_from() {
    let server = Server::start(|_| Reply::new(403).body(r#"{"errors":[{"status":403,"message":"no"}]}"#));
    assert_eq!(alone(&server).manifest_before_push(Which::Tag("1")).expect("unknown"), None);
    let error = alone(&server).manifest(Which::Tag("1")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().ends_with("403 Forbidden: no"), "{error}");
}

#[test]
fn what_is_known_of_a_host_is_not_asked_for() {
    let double = Double::start(Ways::default());
    let (from, _) = sample();
    let network = network(settings());
    let [one, other] = ["team/app", "other/app"].map(|name| repository(&network, &double.server, name));
    copied(&from, &one, "multi").expect("pushed");
    double.server.lines();
    // The layer that both have is known to be here; its own config is not.
    copied(&from, &one, "single").expect("pushed");
    assert_eq!(double.server.lines().iter().filter(|line| line.starts_with("HEAD /v2/team/app/blobs/")).count(), 1);
    // Elsewhere each blob is one request: it is taken from where it is.
    copied(&from, &other, "multi").expect("pushed");
    let lines = double.server.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("/blobs/")).count(), 6, "{lines:?}");
    assert!(lines.iter().all(|line| !line.starts_with("PUT /v2/other/app/blobs/")), "{lines:?}");
}
