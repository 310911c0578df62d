//! Writing anew.

use super::*;
use crate::error::ErrorKind;
use crate::store::conformance;
use std::cell::Cell;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

#[test]
fn keeps_the_contracts() {
    let temp = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    conformance::check(|| {
        count.set(count.get() + 1);
        create(&temp.path().join(count.get().to_string()))
    });
}

/// Blobs of sizes around the block, one of them under SHA-512.
pub(super) fn content() -> Vec<Blob> {
    let mut blobs: Vec<Blob> = [0, 1, 511, 512, 513, 3_000_000].iter().map(|size| Blob::new(MediaType::ImageLayer, &vec![7; *size])).collect();
    let mut hasher = crate::spec::Algorithm::Sha512.hasher().unwrap();
    hasher.update(b"long name");
    blobs.push(Blob(Descriptor::new(MediaType::ImageLayer, hasher.finish(), 9), b"long name".to_vec()));
    blobs.extend(image(b"layer"));
    blobs
}

fn write(path: &Path, order: impl Fn(&[Blob]) -> Vec<Vec<Blob>>) {
    let archive = create(path);
    let content = content();
    archive.announce(&content.iter().map(|blob| blob.0.clone()).collect::<Vec<_>>(), &[]).unwrap();
    std::thread::scope(|scope| {
        for part in order(&content) {
            let archive = &archive;
            scope.spawn(move || part.iter().for_each(|blob| blob.put(archive)));
        }
    });
    archive.commit(&[named(&image(b"layer"), "1")]).unwrap();
}

#[test]
fn arc_19_the_bytes_are_a_contract() {
    let (_temp, path) = place();
    write(&path, |content| vec![content.to_vec()]);
    let bytes = std::fs::read(&path).unwrap();
    let golden = "sha256:91a25931c43097c54f226955807db9baad81102e2cd4f37c2f8a9f600b45ba30";
    assert_eq!(Digest::sha256(&bytes).as_str(), golden, "changing the bytes of archives breaks a promise");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    let names = listing(&path);
    assert_eq!(names[..3], ["oci-layout", "blobs/", "blobs/sha256/"]);
    assert_eq!((names[names.len() - 6].as_str(), names.last().unwrap().as_str()), ("blobs/sha512/", "index.json"));
    assert_eq!(names.len(), 15);
}

#[test]
fn arc_19_neither_order_nor_threads_show() {
    let (temp, path) = place();
    write(&path, |content| vec![content.to_vec()]);
    let expected = std::fs::read(&path).unwrap();
    type Order = fn(&[Blob]) -> Vec<Vec<Blob>>;
    let orders: [Order; 3] = [
        |content| vec![content.iter().rev().cloned().collect()],
        |content| content.iter().map(|blob| vec![blob.clone()]).collect(),
        |content| vec![content.to_vec(), content.iter().rev().cloned().collect(), content.to_vec()],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        let other = temp.path().join(number.to_string());
        write(&other, order);
        assert!(std::fs::read(&other).unwrap() == expected, "order {number}");
    }
}

#[test]
fn arc_19_a_member_beyond_8_gib_has_its_size_in_a_record() {
    // Only its place: writing it takes long.
    let mut plan = crate::store::tarfile::Plan::from(0, std::iter::empty());
    let descriptor = |size| Descriptor::new(MediaType::ImageLayer, Digest::sha256(b""), size);
    let propose = |size| plan.propose(&descriptor(size));
    assert_eq!(propose((8 << 30) - 1).unwrap().content.offset, 3 * 512);
    assert_eq!(propose(8 << 30).unwrap().content.offset, 5 * 512);
    for size in [u64::MAX, i64::MAX as u64] {
        assert_eq!(propose(size).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let slot = propose(5).unwrap();
    plan.take(&descriptor(5).digest, slot);
    assert_eq!(plan.next(), 4 * 512);
}

#[test]
fn arc_18_what_fails_leaves_no_file() {
    let (temp, path) = place();
    let archive = create(&path);
    let [config, layer, manifest] = image(b"layer");
    archive.announce(&[config.0.clone(), layer.0.clone(), manifest.0.clone()], &[]).unwrap();
    config.put(&archive);
    assert_eq!(archive.put(&layer.0, &mut &b"wrong"[..]).unwrap_err().kind(), ErrorKind::Corrupt);
    let error = archive.commit(&[]).unwrap_err();
    assert_eq!((error.kind(), error.subject_text()), (ErrorKind::NotFound, Some(layer.0.digest.as_str())));
    drop(archive);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn what_failed_once_can_be_put_again() {
    let (_temp, path) = place();
    let archive = create(&path);
    let image = image(b"layer");
    archive.announce(&image.iter().map(|blob| blob.0.clone()).collect::<Vec<_>>(), &[]).unwrap();
    for wrong in [&b"longer than the layer"[..], b"short", b"LAYER"] {
        assert!(archive.put(&image[1].0, &mut &wrong[..]).is_err());
    }
    image.iter().for_each(|blob| blob.put(&archive));
    archive.commit(&[named(&image, "1")]).unwrap();
    drop(archive);
    assert_eq!(names(&path), ["1"]);
}

#[test]
fn nobody_sees_an_archive_before_it_is_committed_and_nobody_loses_one() {
    let (temp, path) = place();
    let (one, other) = (create(&path), create(&path));
    copy(&one, &image(b"one"), "1");
    assert_eq!(names(&path), ["1"]);
    let content: Vec<_> = image(b"other").iter().map(|blob| blob.0.clone()).collect();
    other.announce(&content, &[]).unwrap();
    image(b"other").iter().for_each(|blob| blob.put(&other));
    assert_eq!(other.commit(&[]).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(other.commit(&[]).unwrap_err().kind(), ErrorKind::Io, "after a failure nothing is tried");
    assert_eq!(names(&path), ["1"]);
    drop((one, other));
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_file_becomes_the_archive_and_anything_else_is_a_conflict() {
    let (temp, path) = place();
    std::fs::write(&path, "").unwrap();
    copy(&create(&path), &image(b"one"), "1");
    assert_eq!(names(&path), ["1"]);
    let refused = |path: &Path| FileArchive::ensure(path, &Layout, &quick()).err().unwrap().kind();
    let other = temp.path().join("other");
    std::fs::write(&other, "not an archive").unwrap();
    assert_eq!(refused(&other), ErrorKind::Conflict);
    std::fs::write(&other, crate::tar::forge::archive().file(b"a", b"").end().0).unwrap();
    assert_eq!(refused(&other), ErrorKind::Conflict);
    assert_eq!(refused(temp.path()), ErrorKind::Conflict);
    assert_eq!(refused(Path::new("/dev/null")), ErrorKind::Conflict);
    assert_eq!(refused(&temp.path().join("absent/x")), ErrorKind::NotFound);
    std::os::unix::fs::symlink("nowhere", temp.path().join("dangling")).unwrap();
    assert_eq!(refused(&temp.path().join("dangling")), ErrorKind::NotFound);
}

#[test]
fn a_full_disk_shows_before_anything_is_read() {
    let (_temp, path) = place();
    let archive = create(&path);
    let mut large = Descriptor::new(MediaType::ImageLayer, Digest::sha256(b""), 1 << 60);
    let error = archive.announce(&[large.clone()], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("bytes more"), "{error}");
    large.size = 0;
    archive.announce(&[large.clone()], &[]).unwrap();
    archive.put(&large, &mut &b""[..]).unwrap();
    archive.commit(&[]).unwrap();
    assert!(std::fs::metadata(&path).unwrap().blocks() < 100, "nothing is kept of what was reserved");
}

#[test]
fn an_archive_is_told_by_what_lies_there() {
    let (temp, path) = place();
    let of = |path: &Path| transport::of(&crate::store::Location::parse(path).unwrap()).map(|transport| transport.scheme());
    assert_eq!(of(&path).unwrap_err().kind(), ErrorKind::NotFound);
    copy(&create(&path), &image(b"one"), "1");
    assert_eq!(of(&path).unwrap(), SCHEME);
    let other = temp.path().join("other");
    std::fs::write(&other, crate::tar::forge::archive().file(b"a", b"").end().0).unwrap();
    assert_eq!(of(&other).unwrap_err().kind(), ErrorKind::Usage);
}
