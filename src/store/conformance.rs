//! What every store must do, as tests that any of them can be put through.

use std::io::Read as _;

use crate::error::{Error, ErrorKind};
use crate::spec::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType, json};

use super::{Destination, Sharing, Source};

/// Runs the whole suite; `make` gives a new, empty store each time.
pub(crate) fn check<S: Source + Destination>(make: impl Fn() -> S) {
    check_named(&make);
    enters_what_has_no_name_once(&make());
    changes_names_only_on_the_condition(&make());
}

/// The suite for stores whose entries all have names.
pub(crate) fn check_named<S: Source + Destination>(make: impl Fn() -> S) {
    begins_empty(&make());
    gives_back_what_it_was_given(&make());
    refuses_what_is_not_what_it_should_be(&make());
    says_what_is_missing(&make());
    bounds_what_it_reads(&make());
    takes_the_same_content_many_times_at_once(&make());
    replaces_names_and_keeps_the_rest(&make());
    refuses_to_reuse_what_is_not_there(&make(), &make());
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::new(MediaType::ImageLayer, Digest::sha256(bytes), bytes.len() as u64)
}

fn manifest(store: &impl Destination, content: &[u8]) -> Descriptor {
    let layer = descriptor(content);
    store.put(&layer, &mut &content[..]).expect("stored");
    let bytes = json::canonical(&ImageManifest::new(layer, Vec::new())).expect("writable");
    let manifest = Descriptor::new(MediaType::ImageManifest, Digest::sha256(&bytes), bytes.len() as u64);
    store.put(&manifest, &mut &bytes[..]).expect("stored");
    manifest
}

fn named(mut entry: Descriptor, name: &str) -> Descriptor {
    entry.annotations.insert(REF_NAME.into(), name.into());
    entry
}

fn begins_empty(store: &(impl Source + Destination)) {
    assert!(store.index().expect("readable").manifests.is_empty());
    assert!(!store.has(&descriptor(b"content")).expect("examined"));
    assert!(!Source::location(store).is_empty());
    assert_eq!(Source::location(store), Destination::location(store));
}

fn gives_back_what_it_was_given(store: &(impl Source + Destination)) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    for bytes in [&b""[..], b"content", &large] {
        let descriptor = descriptor(bytes);
        store.put(&descriptor, &mut &bytes[..]).expect("stored");
        assert!(store.has(&descriptor).expect("examined"));
        assert_eq!(store.read(&descriptor, bytes.len()).expect("read"), bytes);
        if let Some(mut file) = store.local_file(&descriptor).expect("opened") {
            let mut read = Vec::new();
            file.read_to_end(&mut read).expect("read");
            assert_eq!(read, bytes);
        }
    }
}

fn refuses_what_is_not_what_it_should_be(store: &(impl Source + Destination)) {
    let right = descriptor(b"content");
    for wrong in [&b"CONTENT"[..], b"conten", b"content+", b""] {
        let error = store.put(&right, &mut &wrong[..]).expect_err("refused");
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some(right.digest.as_str())));
        assert!(!store.has(&right).expect("examined"), "what fails leaves nothing behind");
    }
    let endless = store.put(&right, &mut std::io::repeat(0)).expect_err("refused");
    assert_eq!(endless.kind(), ErrorKind::Corrupt);
    let unknown = Descriptor { digest: "foo256:abc".parse().expect("valid"), ..right.clone() };
    assert_eq!(store.put(&unknown, &mut &b"content"[..]).expect_err("unknown").kind(), ErrorKind::Unsupported);
}

fn says_what_is_missing(store: &(impl Source + Destination)) {
    let absent = descriptor(b"absent");
    for error in [store.open(&absent).err().expect("absent"), store.read(&absent, 100).expect_err("absent")] {
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::NotFound, Some(absent.digest.as_str())));
    }
}

fn bounds_what_it_reads(store: &(impl Source + Destination)) {
    let right = descriptor(b"content");
    store.put(&right, &mut &b"content"[..]).expect("stored");
    assert_eq!(store.read(&right, 6).expect_err("above the limit").kind(), ErrorKind::Corrupt);
    for size in [6, 8, u64::MAX] {
        let wrong = Descriptor { size, ..right.clone() };
        assert!(!store.has(&wrong).expect("examined"));
        assert_eq!(store.read(&wrong, usize::MAX).expect_err("wrong size").kind(), ErrorKind::Corrupt);
    }
}

fn takes_the_same_content_many_times_at_once(store: &(impl Source + Destination)) {
    let bytes = vec![7; 500_000];
    let descriptor = descriptor(&bytes);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.put(&descriptor, &mut &bytes[..]).expect("stored"));
        }
    });
    assert_eq!(store.read(&descriptor, bytes.len()).expect("read"), bytes);
}

fn replaces_names_and_keeps_the_rest(store: &(impl Source + Destination)) {
    let (one, two) = (manifest(store, b"one"), manifest(store, b"two"));
    store.commit(&[named(one.clone(), "a"), named(one.clone(), "b"), named(two.clone(), "a-b")]).expect("committed");
    store.commit(&[named(two.clone(), "a")]).expect("committed");
    store.commit(&[two.clone(), one.clone()]).expect("there already");
    let mut entries: Vec<_> =
        store.index().expect("readable").manifests.into_iter().map(|entry| (entry.annotation(REF_NAME).map(str::to_owned), entry.digest)).collect();
    entries.sort();
    let expected = [("a", &two), ("a-b", &two), ("b", &one)].map(|(name, entry)| (Some(name.to_owned()), entry.digest.clone()));
    assert_eq!(entries, expected);
}

fn changes_names_only_on_the_condition(store: &(impl Source + Destination)) {
    let (one, two) = (manifest(store, b"one"), manifest(store, b"two"));
    store.commit(&[named(one.clone(), "a")]).expect("committed");
    let seen = |index: &ImageIndex| index.manifests.iter().map(|entry| entry.digest.clone()).collect::<Vec<_>>();
    let refused = store.commit_if(&[named(two.clone(), "a"), named(two.clone(), "b")], &|index| Err(Error::conflict(format!("{:?}", seen(index)))));
    assert_eq!(refused.expect_err("refused").message(), format!("{:?}", [&one.digest]));
    assert_eq!(seen(&store.index().expect("readable")), [one.digest]);
    store.commit_if(&[named(two.clone(), "a")], &|_| Ok(())).expect("committed");
    assert_eq!(seen(&store.index().expect("readable")), [two.digest]);
}

fn enters_what_has_no_name_once(store: &(impl Source + Destination)) {
    let (one, two) = (manifest(store, b"one"), manifest(store, b"two"));
    store.commit(&[named(one.clone(), "a"), two.clone(), two.clone()]).expect("committed");
    store.commit(&[one, two]).expect("there already");
    assert_eq!(store.index().expect("readable").manifests.len(), 2);
}

fn refuses_to_reuse_what_is_not_there(from: &impl Source, to: &(impl Source + Destination)) {
    let absent = descriptor(b"absent");
    for sharing in [Sharing::Blocks, Sharing::Files] {
        match to.reuse(from, &absent, sharing) {
            Ok(placed) => assert_eq!(placed, None),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
        assert!(!to.has(&absent).expect("examined"));
    }
}
