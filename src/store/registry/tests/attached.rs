//! What is attached to manifests: by the API, and by the lists of clients.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::Reply;
use super::*;
use crate::error::ErrorKind;
use crate::spec::ImageIndex;

/// Pushes something that is attached to `subject`.
fn attach(registry: &Registry, subject: &Descriptor, what: &[u8]) -> crate::Result<Descriptor> {
    let (entry, bytes) = manifest(what, Some(subject));
    registry.put(&blob(what), &mut &what[..]).expect("stored");
    registry.put(&entry, &mut &bytes[..])?;
    Ok(entry)
}

fn list_tag(subject: &Descriptor) -> String {
    subject.digest.as_str().replace(':', "-")
}

#[test]
fn with_and_without_the_api_the_same_is_attached() {
    for referrers in [true, false] {
        let double = Double::start(Ways { referrers, ..Ways::default() });
        let registry = alone(&double.server);
        let image = push(&registry, b"layer", "1");
        let entries: Vec<Descriptor> = [&b"sbom"[..], b"provenance"].iter().map(|what| attach(&registry, &image, what).expect("attached")).collect();
        // The same again changes nothing.
        attach(&registry, &image, b"sbom").expect("attached");
        let mut found = alone(&double.server).referrers(&image).expect("asked").expect("an answer");
        found.sort_by_key(|entry| entries.iter().position(|other| other.digest == entry.digest));
        assert_eq!(
            found.iter().map(|entry| (&entry.digest, entry.size)).collect::<Vec<_>>(),
            entries.iter().map(|entry| (&entry.digest, entry.size)).collect::<Vec<_>>()
        );
        assert!(found.iter().all(|entry| ImageName::of(entry).is_none()), "a name in an annotation of a stranger is none");
        let tags = alone(&double.server).tags().expect("listed");
        assert_eq!(tags.contains(&list_tag(&image)), !referrers, "a host that keeps lists needs none of ours");
    }
}

#[test]
fn a_host_without_the_api_is_asked_for_it_once() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let images = [b"one", b"two"].map(|layer| push(&registry, layer, "1"));
    double.server.lines();
    let registry = alone(&double.server);
    for image in &images {
        assert_eq!(registry.referrers(image).expect("asked"), Some(Vec::new()));
    }
    assert_eq!(double.server.lines(), [format!("GET /v2/team/app/referrers/{}", images[0].digest), "GET /v2/team/app/tags/list".into()]);
}

#[test]
fn what_cosign_keeps_under_tags_is_attached_too() {
    let double = Double::start(Ways { referrers: true, ..Ways::default() });
    let registry = alone(&double.server);
    let image = push(&registry, b"layer", "1");
    let signature = push(&registry, b"signature", &format!("{}.sig", list_tag(&image)));
    let found = alone(&double.server).referrers(&image).expect("asked").expect("an answer");
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].digest, ImageName::of(&found[0]).expect("a name").tag()), (&signature.digest, Some(format!("{}.sig", list_tag(&image)))));
}

#[test]
fn reg_33_what_a_host_answers_instead_of_a_list() {
    for (status, body) in [(404, ""), (400, ""), (405, ""), (403, ""), (200, "<html>"), (200, "{}"), (200, r#"{"manifests":7}"#)] {
        let double = Double::with(Ways::default(), move |asked| asked.path().contains("/referrers/").then(|| Reply::new(status).body(body)));
        let registry = alone(&double.server);
        let image = push(&registry, b"layer", "1");
        let entry = attach(&registry, &image, b"sbom").expect("attached");
        let found = alone(&double.server).referrers(&image).expect("asked").expect("an answer");
        assert_eq!(found.iter().map(|found| &found.digest).collect::<Vec<_>>(), [&entry.digest], "{status} {body}");
    }
}

#[test]
fn reg_33_a_tag_that_is_no_list_is_left_as_it_is() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let image = push(&registry, b"layer", "1");
    let other = push(&registry, b"other", &list_tag(&image));
    let error = attach(&registry, &image, b"sbom").expect_err("something else is there");
    assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Conflict, Some(list_tag(&image).as_str())));
    assert_eq!(registry.manifest(super::super::Which::Tag(&list_tag(&image))).expect("asked").map(|found| found.digest), Some(other.digest));
}

#[test]
fn reg_34_another_client_that_writes_at_the_same_time_loses_nothing() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let image = push(&registry, b"layer", "1");
    let theirs = attach(&registry, &image, b"theirs").expect("attached");
    // Between our writing and our reading it writes its own list, in which ours is not.
    let state = double.state.clone();
    let (tag, count) = (list_tag(&image), AtomicUsize::new(0));
    let own_list = double.state.lock().expect("unpoisoned").tags[&("team/app".into(), list_tag(&image))].clone();
    let racing = Double::with(Ways::default(), {
        let tag = tag.clone();
        move |asked| {
            let reads = asked.method == "GET" && asked.path().ends_with(&tag);
            let mut state = state.lock().expect("unpoisoned");
            if reads && count.fetch_add(1, Ordering::SeqCst) == 1 {
                state.tags.insert(("team/app".into(), tag.clone()), own_list.clone());
            }
            Some(state.answer_for_tests(asked))
        }
    });
    attach(&alone(&racing.server), &image, b"ours").expect("attached");
    let found = alone(&double.server).referrers(&image).expect("asked").expect("an answer");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|entry| entry.digest == theirs.digest));
}

#[test]
fn reg_17_very_much_may_be_attached() {
    let descriptor = |number: usize| {
        let digest = Digest::sha256(&number.to_be_bytes());
        serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 7})
    };
    let list: Vec<_> = (0..100_000).map(descriptor).collect();
    let body = serde_json::json!({"schemaVersion": 2, "manifests": list}).to_string();
    let server = Server::start(move |_| Reply::new(200).body(body.clone()));
    let registry = alone(&server);
    assert_eq!(registry.listed_by_host(&Digest::sha256(b"x")).expect("listed").expect("a list").len(), 100_000);
}

#[test]
fn many_threads_attach_to_one_image() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let image = push(&registry, b"layer", "1");
    std::thread::scope(|scope| {
        for number in 0_u8..6 {
            let (registry, image) = (&registry, &image);
            scope.spawn(move || attach(registry, image, &[number; 10]).expect("attached"));
        }
    });
    assert_eq!(alone(&double.server).referrers(&image).expect("asked").expect("an answer").len(), 6);
}

#[test]
fn a_list_of_clients_has_types_and_annotations() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let image = push(&registry, b"layer", "1");
    attach(&registry, &image, b"sbom").expect("attached");
    let (_, bytes) = registry.get(super::super::Which::Tag(&list_tag(&image))).expect("read").expect("there");
    let list: ImageIndex = serde_json::from_slice(&bytes).expect("an index");
    assert_eq!(list.manifests[0].artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
}
