//! Reading what strangers packed.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::tar::forge;
use std::io::Write as _;
use std::sync::Arc;

/// The members of a good archive.
fn members() -> Vec<(String, Vec<u8>)> {
    let image = image(b"layer");
    let index = json::canonical(&ImageIndex::new(vec![named(&image, "1")])).unwrap();
    let mut members: Vec<_> = image.iter().map(|blob| (format!("blobs/sha256/{}", blob.0.digest.encoded()), blob.1.clone())).collect();
    members.insert(0, ("oci-layout".into(), header::BYTES.to_vec()));
    members.push(("index.json".into(), index));
    members
}

fn pack(members: &[(String, Vec<u8>)]) -> forge::Archive {
    members.iter().fold(forge::archive(), |archive, (name, content)| archive.file(name.as_bytes(), content))
}

fn good() -> forge::Archive {
    pack(&members())
}

fn open(bytes: &[u8]) -> Result<Archive> {
    let (_temp, path) = place();
    std::fs::write(&path, bytes).unwrap();
    Archive::open(&path, &Options::default())
}

/// Opens an archive and proves all of it.
#[track_caller]
fn accepted(archive: forge::Archive) -> Vec<String> {
    let (_temp, path) = place();
    std::fs::write(&path, archive.end().0).unwrap();
    assert_eq!(names(&path), ["1"]);
    Archive::open(&path, &Options::default()).unwrap().remarks().unwrap()
}

#[track_caller]
fn refused(archive: forge::Archive, kind: ErrorKind, why: &str) -> Error {
    let error = open(&archive.end().0).err().unwrap_or_else(|| panic!("must be refused: {why}"));
    let lines = [vec![error.message().to_owned()], error.causes()].concat();
    assert!(error.kind() == kind && lines.iter().any(|line| line.contains(why)), "{:?}: {lines:?}", error.kind());
    error
}

#[test]
fn arc_01_any_order_and_any_spelling_of_names() {
    let mut members = members();
    assert_eq!(accepted(pack(&members)), [""; 0]);
    members.reverse();
    accepted(pack(&members).entry(b"blobs/", b'5'));
    let dotted: Vec<_> = members.iter().map(|(name, content)| (format!("./{name}"), content.clone())).collect();
    accepted(forge::archive().entry(b"./", b'5').bytes(&pack(&dotted).0));
}

#[test]
fn arc_02_a_layout_in_a_directory_is_refused_with_a_hint() {
    let below: Vec<_> = members().into_iter().map(|(name, content)| (format!("sub/{name}"), content)).collect();
    let error = refused(pack(&below), ErrorKind::Corrupt, "holds no image layout");
    assert!(error.hint_text().unwrap().contains("tar -C sub -cf"), "{:?}", error.hint_text());
}

#[test]
fn arc_03_names_that_lead_elsewhere() {
    for name in ["../escape", "/etc/passwd", "a/../../b", ".."] {
        refused(good().file(name.as_bytes(), b""), ErrorKind::Corrupt, "escape");
    }
    refused(good().file(b".", b""), ErrorKind::Corrupt, "root");
    refused(good().pax(&[("path", b"/etc/passwd")]).file(b"x", b""), ErrorKind::Corrupt, "escape");
}

#[test]
fn arc_04_and_05_links_of_any_kind() {
    let (name, content) = members()[1].clone();
    for target in ["/etc/passwd", "../x", "oci-layout"] {
        refused(good().link(b"x", b'2', target.as_bytes()), ErrorKind::Corrupt, "link");
    }
    refused(good().link(b"x", b'1', b"oci-layout"), ErrorKind::Corrupt, "link");
    let rest: Vec<_> = members().into_iter().filter(|member| member.0 != name).collect();
    refused(pack(&rest).file(b"elsewhere", &content).link(name.as_bytes(), b'2', b"../../elsewhere"), ErrorKind::Corrupt, "link");
    refused(pack(&rest).file(b"elsewhere", &content).link(name.as_bytes(), b'1', b"elsewhere"), ErrorKind::Corrupt, "link");
}

#[test]
fn arc_07_the_same_twice_is_remarked_and_different_things_are_ambiguous() {
    for (name, content) in members() {
        let remarks = accepted(good().file(name.as_bytes(), &content));
        assert_eq!(remarks, [format!("`{name}` is in the archive more than once")]);
        for other in [[&content[..], b" "].concat(), content.to_ascii_uppercase()].into_iter().filter(|other| *other != content) {
            let archive = good().file(name.as_bytes(), &other).end();
            let outcome = open(&archive.0).and_then(|archive| {
                let index = archive.index()?;
                let manifest = archive.read(&index.manifests[0], 1 << 20)?;
                crate::spec::links::children(&index.manifests[0], &manifest)?.iter().try_for_each(|child| archive.read(&child.descriptor, 1000).map(drop))
            });
            let error = outcome.expect_err("ambiguous");
            let lines = [vec![error.message().to_owned()], error.causes()].concat();
            assert!(error.kind() == ErrorKind::Corrupt && lines.iter().any(|line| line.contains("ambiguous")), "{name}: {lines:?}");
        }
    }
}

#[test]
fn arc_08_other_files_are_nobody_s_business() {
    assert_eq!(accepted(good().file(b"Index.json", b"{}").file(b"INDEX.JSON", b"").file(b"README", b"1").file(b"README", b"2")), [""; 0]);
}

#[test]
fn arc_09_devices_and_fifos() {
    for (flag, what) in [(b'3', "device"), (b'4', "device"), (b'6', "FIFO")] {
        refused(good().entry(b"x", flag), ErrorKind::Corrupt, what);
    }
}

#[test]
fn arc_10_content_that_is_not_what_its_name_says() {
    let mut members = members();
    members[2].1 = b"LAYER".to_vec();
    let (_temp, path) = place();
    std::fs::write(&path, pack(&members).end().0).unwrap();
    let archive = Archive::open(&path, &Options::default()).unwrap();
    let layer = &image(b"layer")[1].0;
    assert_eq!(archive.read(layer, 100).unwrap_err().kind(), ErrorKind::Corrupt);
    let to = crate::store::MemoryStore::default();
    assert_eq!(to.put(layer, &mut archive.open(layer).unwrap()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn arc_11_what_is_cut_off_empty_or_nothing() {
    let bytes = good().end().0;
    for length in [0, 1, 511, 512, 600, bytes.len() / 2, bytes.len() - 3 * 512] {
        let error = open(&bytes[..length]).err().unwrap_or_else(|| panic!("cut off at {length}"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}: {error}");
    }
    assert_eq!(open(&[0; 10_240]).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(open(b"#!/bin/sh\nexec true\n").unwrap_err().kind(), ErrorKind::Corrupt);
    let without_end = good();
    let (_temp, path) = place();
    std::fs::write(&path, &without_end.0).unwrap();
    assert_eq!(names(&path), ["1"], "what is whole is read");
    assert_eq!(Archive::open(&path, &Options::default()).unwrap().remarks().unwrap().len(), 1);
}

#[test]
fn arc_11_something_behind_the_end_is_remarked() {
    let (_temp, path) = place();
    let remarks = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Archive::open(&path, &Options::default()).unwrap().remarks().unwrap()
    };
    let whole = good().end().bytes(&[0; 9000]);
    assert_eq!(remarks(&whole.0), [""; 0]);
    assert!(remarks(&whole.bytes(b"hidden").0)[0].contains("behind the end"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn arc_11_compressed_archives_are_read_and_other_compressions_named() {
    let (_temp, path) = place();
    let plain = good().end().0;
    for packed in [gzip(&plain), zstd::bulk::compress(&plain, 3).unwrap()] {
        std::fs::write(&path, &packed).unwrap();
        assert_eq!(names(&path), ["1"]);
        std::fs::write(&path, &packed[..packed.len() - 1]).unwrap();
        assert_eq!(Archive::open(&path, &Options::default()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    std::fs::write(&path, b"\xfd7zXZ\0 and so on").unwrap();
    let error = Archive::open(&path, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.causes().iter().any(|line| line.contains("xz")));
}

#[test]
fn arc_11_stdin_is_a_pipe_or_a_file() {
    let through = |stdin: Option<std::fs::File>| Archive::open(Path::new("-"), &Options { stdin: stdin.map(Arc::new), ..Options::default() });
    let plain = good().end().0;
    for bytes in [plain.clone(), gzip(&plain)] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let archive = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).unwrap());
            through(Some(std::os::fd::OwnedFd::from(reader).into()))
        });
        assert_eq!(archive.unwrap().read(&image(b"layer")[1].0, 100).unwrap(), b"layer");
    }
    let (temp, path) = place();
    std::fs::write(&path, &plain).unwrap();
    let nowhere = Options { temporary: temp.path().join("absent"), stdin: Some(Arc::new(std::fs::File::open(&path).unwrap())), ..Options::default() };
    let archive = Archive::open(Path::new("-"), &nowhere).expect("a file is read where it lies");
    assert_eq!(archive.location(), "oci-archive:stdin");
    assert_eq!(through(None).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn arc_11_no_room_for_a_copy_is_one_clear_error() {
    let (_temp, path) = place();
    std::fs::write(&path, gzip(&good().end().0)).unwrap();
    let error = Archive::open(&path, &Options { temporary: "/nonexistent".into(), ..Options::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint_text().unwrap().contains("TMPDIR"));
}

#[test]
fn arc_12_a_large_index_is_not_read() {
    let (_temp, path) = place();
    let file = std::fs::File::create(&path).unwrap();
    let mut header = Vec::new();
    let kind = crate::tar::EntryKind::File { size: 10 << 30 };
    let entry = crate::tar::Entry { path: b"index.json".to_vec(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: Default::default() };
    crate::tar::write::header(&entry, &mut header).unwrap();
    let head = [forge::archive().file(b"oci-layout", header::BYTES).0, header].concat();
    (&file).write_all(&head).unwrap();
    file.set_len(head.len() as u64 + (10 << 30) + 1024).unwrap();
    let error = Archive::open(&path, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("more than the limit"), "{error}");
}

#[test]
fn arc_12_a_hundred_thousand_blobs() {
    let blobs: Vec<_> = (0..100_000).map(|n: u32| (format!("blobs/sha256/{}", Digest::sha256(&n.to_le_bytes()).encoded()), n.to_le_bytes().to_vec())).collect();
    let (_temp, path) = place();
    std::fs::write(&path, good().bytes(&pack(&blobs).0).end().0).unwrap();
    let archive = Archive::open(&path, &Options::default()).unwrap();
    let last = Descriptor::new(MediaType::ImageLayer, Digest::sha256(&99_999_u32.to_le_bytes()), 4);
    assert_eq!(archive.read(&last, 4).unwrap(), 99_999_u32.to_le_bytes());
}

#[test]
fn lay_02_to_07_documents_of_a_layout_are_checked() {
    let with = |name: &str, content: Option<&[u8]>| {
        let members = members().into_iter().filter_map(|(own, bytes)| match (own == name, content) {
            (true, None) => None,
            (true, Some(content)) => Some((own, content.to_vec())),
            (false, _) => Some((own, bytes)),
        });
        pack(&members.collect::<Vec<_>>())
    };
    refused(with("oci-layout", None), ErrorKind::Corrupt, "holds no image layout");
    refused(with("oci-layout", Some(b"[]")), ErrorKind::Corrupt, "not a JSON object");
    refused(with("oci-layout", Some(br#"{"imageLayoutVersion":"9.0.0"}"#)), ErrorKind::Unsupported, "9.0.0");
    refused(with("index.json", None), ErrorKind::Corrupt, "has no `index.json`");
    for bad in [&b""[..], b"null", b"{}", b"\xef\xbb\xbf{}"] {
        refused(with("index.json", Some(bad)), ErrorKind::Corrupt, "cannot read index.json");
    }
    refused(good().entry(b"oci-layout/", b'5'), ErrorKind::Corrupt, "ambiguous");
}
