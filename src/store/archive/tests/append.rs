//! Adding to archives.

use super::*;
use crate::error::ErrorKind;
use crate::tar::forge;

/// An archive with one image.
fn archive_of(layer: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let (temp, path) = place();
    copy(&create(&path), &image(layer), "1");
    (temp, path)
}

#[test]
fn images_are_added_behind_and_names_move() {
    let (_temp, path) = archive_of(b"one");
    let before = std::fs::read(&path).unwrap();
    copy(&create(&path), &image(b"two"), "2");
    assert_eq!(names(&path), ["1", "2"]);
    let after = std::fs::read(&path).unwrap();
    let changed: Vec<usize> = before.iter().zip(&after).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at / 512).collect();
    assert!(!changed.is_empty() && changed.iter().all(|block| *block == changed[0]), "one block of the old archive changes: {changed:?}");
    copy(&create(&path), &image(b"three"), "1");
    assert_eq!(names(&path), ["1", "2"]);
    let archive = Archive::open(&path, &Options::default()).unwrap();
    assert_eq!(archive.index().unwrap().manifests[0].digest, image(b"three")[2].0.digest);
    assert_eq!(listing(&path).iter().filter(|name| *name == "index.json").count(), 1);
    assert_eq!(archive.remarks().unwrap(), [""; 0]);
}

#[test]
fn one_that_is_open_goes_on() {
    let (_temp, path) = place();
    let archive = create(&path);
    for tag in ["1", "2", "3"] {
        copy(&archive, &image(tag.as_bytes()), tag);
        assert_eq!(names(&path).last().unwrap(), tag);
    }
    assert_eq!(names(&path), ["1", "2", "3"]);
}

#[test]
fn the_same_again_changes_nothing() {
    let (_temp, path) = archive_of(b"one");
    let before = std::fs::read(&path).unwrap();
    copy(&create(&path), &image(b"one"), "1");
    assert!(std::fs::read(&path).unwrap() == before);
    let archive = create(&path);
    archive.commit(&[named(&image(b"one"), "2")]).unwrap();
    assert_eq!(names(&path), ["1", "2"], "a name alone takes no content");
    assert_eq!(listing(&path).iter().filter(|name| name.starts_with("blobs/sha256/")).count(), 4);
}

#[test]
fn cra_01_whoever_is_killed_leaves_the_old_archive() {
    let (_temp, path) = archive_of(b"one");
    let old = std::fs::read(&path).unwrap();
    copy(&create(&path), &image(b"two"), "2");
    let new = std::fs::read(&path).unwrap();
    let changed = old.iter().zip(&new).position(|(a, b)| a != b).unwrap() / 512 * 512;
    // Everything behind the old end comes first, in any order and half of it or all; then the one block.
    for reached in [old.len(), old.len() + 1, old.len() + 700, old.len() + 2000, new.len()] {
        let mut bytes = old.clone();
        bytes.extend_from_slice(&new[old.len()..reached]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(names(&path), ["1"], "{reached}");
        let index: serde_json::Value = serde_json::from_slice(&unpacked(&path, "index.json")).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        let remarks = Archive::open(&path, &Options::default()).unwrap().remarks().unwrap();
        assert_eq!(remarks.len(), usize::from(reached > old.len()));
        copy(&create(&path), &image(b"two"), "2");
        assert!(std::fs::read(&path).unwrap() == new, "who comes next does it all, whatever was left behind");
    }
    let mut bytes = new.clone();
    bytes[changed..changed + 512].copy_from_slice(&old[changed..changed + 512]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(names(&path), ["1"]);
    std::fs::write(&path, &new).unwrap();
    assert_eq!(names(&path), ["1", "2"]);
}

#[test]
fn cra_19_who_writes_excludes_others_but_no_readers() {
    let (_temp, path) = archive_of(b"one");
    let archive = create(&path);
    let error = FileArchive::ensure(&path, &Layout, &quick()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint_text().unwrap().contains("--lock-timeout"));
    assert_eq!(names(&path), ["1"]);
    let reader = Archive::open(&path, &Options::default()).unwrap();
    copy(&archive, &image(b"two"), "2");
    let layer = &image(b"one")[1];
    assert_eq!(reader.read(&layer.0, 100).unwrap(), layer.1, "what a reader knows stays where it is");
    drop(archive);
    copy(&create(&path), &image(b"three"), "3");
    assert_eq!(names(&path), ["1", "2", "3"]);
}

#[test]
fn many_processes_lose_no_name() {
    let (_temp, path) = archive_of(b"one");
    std::thread::scope(|scope| {
        for number in 0..20 {
            let path = &path;
            scope.spawn(move || {
                let archive = FileArchive::ensure(path, &Layout, &Options::default()).unwrap();
                copy(&archive, &image(&[number]), &format!("n{number}"));
            });
        }
    });
    assert_eq!(names(&path).len(), 21);
}

/// An archive of another tool: `tail` stands behind the content.
fn foreign(tail: impl FnOnce(forge::Archive, &[u8]) -> forge::Archive) -> (tempfile::TempDir, PathBuf) {
    let image = image(b"one");
    let index = json::canonical(&ImageIndex::new(vec![named(&image, "1")])).unwrap();
    let content = image
        .iter()
        .fold(forge::archive().entry(b"blobs/", b'5'), |archive, blob| archive.file(format!("blobs/sha256/{}", blob.0.digest.encoded()).as_bytes(), &blob.1));
    let (temp, path) = place();
    std::fs::write(&path, tail(content, &index).end().bytes(&[0; 7168]).0).unwrap();
    (temp, path)
}

#[test]
fn what_other_tools_put_behind_the_index_stays() {
    let tails: [fn(forge::Archive, &[u8]) -> forge::Archive; 3] = [
        // As skopeo and BuildKit sort.
        |archive, index| archive.file(b"index.json", index).file(b"oci-layout", header::BYTES),
        |archive, index| archive.pax(&[("mtime", b"1.5")]).file(b"index.json", index).file(b"README", b"read me").file(b"oci-layout", header::BYTES),
        |archive, index| archive.file(b"oci-layout", header::BYTES).file(b"index.json", index).entry(b"empty/", b'5'),
    ];
    for tail in tails {
        let (_temp, path) = foreign(tail);
        let readme = listing(&path).contains(&"README".to_owned());
        copy(&create(&path), &image(b"two"), "2");
        copy(&create(&path), &image(b"three"), "3");
        assert_eq!(names(&path), ["1", "2", "3"]);
        assert_eq!(unpacked(&path, "README"), if readme { &b"read me"[..] } else { b"" });
        assert_eq!(unpacked(&path, "oci-layout"), header::BYTES);
    }
}

#[test]
fn too_much_behind_the_index_is_said() {
    let large = vec![1; (16 << 20) + 1];
    let (_temp, path) = foreign(|archive, index| archive.file(b"oci-layout", header::BYTES).file(b"index.json", index).file(b"large", &large));
    let error = FileArchive::ensure(&path, &Layout, &quick()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint_text().unwrap().contains("new archive"));
}

#[test]
fn archives_of_docker_and_compressed_ones_are_not_added_to() {
    let (_temp, path) = foreign(|archive, index| archive.file(b"oci-layout", header::BYTES).file(b"index.json", index).file(b"manifest.json", b"[]"));
    assert_eq!(FileArchive::ensure(&path, &Layout, &quick()).err().unwrap().kind(), ErrorKind::Conflict);
    let (_temp, path) = archive_of(b"one");
    let packed = zstd::bulk::compress(&std::fs::read(&path).unwrap(), 3).unwrap();
    std::fs::write(&path, packed).unwrap();
    assert_eq!(FileArchive::ensure(&path, &Layout, &quick()).err().unwrap().kind(), ErrorKind::Unsupported);
    assert_eq!(names(&path), ["1"], "it can be read all the same");
}

#[test]
fn cra_18_damaged_content_is_noticed_and_not_doubled() {
    let (_temp, path) = archive_of(b"one");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|window| window == b"one").unwrap();
    bytes[at] = b'O';
    std::fs::write(&path, &bytes).unwrap();
    let archive = create(&path);
    let layer = &image(b"one")[1];
    let error = archive.put(&layer.0, &mut &layer.1[..]).unwrap_err();
    assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some(layer.0.digest.as_str())));
    assert!(error.hint_text().unwrap().contains("new archive"));
    let longer = Descriptor { size: 4, ..layer.0.clone() };
    assert_eq!(archive.put(&longer, &mut &b"one!"[..]).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_link_to_an_archive_is_followed() {
    let (temp, path) = archive_of(b"one");
    let link = temp.path().join("link");
    std::os::unix::fs::symlink("x.tar", &link).unwrap();
    copy(&create(&link), &image(b"two"), "2");
    assert_eq!(names(&path), ["1", "2"]);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
}
