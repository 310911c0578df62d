use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::exec::Cancel;
use crate::fsio::Mismatch;
use crate::spec::{Algorithm, Descriptor, MediaType};

const LAYER: MediaType = MediaType::ImageLayer;

fn quick() -> Options {
    Options { lock_timeout: Duration::from_millis(20), ..Options::default() }
}

fn layout() -> (tempfile::TempDir, Layout) {
    let temp = tempfile::tempdir().expect("temporary directory");
    let layout = Layout::create(&temp.path().join("out"), quick()).expect("created");
    (temp, layout)
}

fn put(layout: &Layout, bytes: &[u8]) -> Descriptor {
    let mut writer = layout.blob_writer(Algorithm::Sha256).expect("begun");
    writer.write_all(bytes).expect("written");
    let (digest, size) = writer.finish().expect("finished");
    Descriptor::new(LAYER, digest, size)
}

fn blob(layout: &Layout, descriptor: &Descriptor) -> PathBuf {
    layout.path().join(blob_path(&descriptor.digest))
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path).expect("listed").map(|entry| entry.expect("listed").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

fn kind_of_open(path: &Path) -> ErrorKind {
    Layout::open(path, quick()).expect_err("must be refused").kind()
}

#[test]
fn lay_01_a_new_layout_has_the_files_of_the_specification() {
    let (_temp, layout) = layout();
    assert_eq!(names(layout.path()), ["blobs", "index.json", "index.json.lock", "oci-layout"]);
    assert_eq!(fs::read(layout.path().join("oci-layout")).expect("read"), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = layout.index().expect("readable");
    assert_eq!(index, crate::spec::ImageIndex::new(vec![]));
    assert_eq!(fs::read(layout.path().join("index.json")).expect("read"), crate::spec::json::canonical(&index).expect("writable"));
    assert_eq!(mode(layout.path()), 0o755);
    assert_eq!(mode(&layout.path().join("blobs/sha256")), 0o755);
    assert_eq!(mode(&layout.path().join("index.json")), 0o644);
}

#[test]
fn lay_02_without_oci_layout_it_is_no_layout_and_the_hint_says_how_to_recreate_it() {
    let (_temp, layout) = layout();
    put(&layout, b"content");
    fs::remove_file(layout.path().join("oci-layout")).expect("removed");
    let error = Layout::open(layout.path(), quick()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("imageLayoutVersion")));
    assert_eq!(Layout::ensure(layout.path(), quick()).expect_err("not started anew").kind(), ErrorKind::Corrupt);
}

#[test]
fn lay_03_to_05_oci_layout_is_strict_json_of_version_1() {
    let (_temp, layout) = layout();
    let write = |text: &[u8]| fs::write(layout.path().join("oci-layout"), text).expect("written");
    for text in [&b""[..], b"[]", b"x", b"\xef\xbb\xbf{\"imageLayoutVersion\":\"1.0.0\"}", b"{} x"] {
        write(text);
        assert_eq!(kind_of_open(layout.path()), ErrorKind::Corrupt, "{text:?}");
    }
    for text in [&br#"{"imageLayoutVersion":"9.0.0"}"#[..], b"{}", br#"{"imageLayoutVersion":1}"#] {
        write(text);
        assert_eq!(kind_of_open(layout.path()), ErrorKind::Unsupported, "{text:?}");
    }
    write(br#" {"imageLayoutVersion":"1.0.0","more":{"x":[1]}} "#);
    fs::write(layout.path().join("manifest.json"), "[]").expect("written");
    Layout::open(layout.path(), quick()).expect("accepted");
}

#[test]
fn lay_06_and_07_index_json_must_be_an_index() {
    let (_temp, layout) = layout();
    let path = layout.path().join("index.json");
    for text in ["", "null", "[]", "\"x\"", "{}", "{\"manifests\":[]} x", "{\"manifests\":[],\"manifests\":[]}"] {
        fs::write(&path, text).expect("written");
        for error in [layout.index().expect_err("refused"), layout.update_index(|_| Ok(())).expect_err("refused")] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
            assert!(error.subject_text().is_some_and(|subject| subject.ends_with("index.json")), "{text}");
        }
        assert_eq!(fs::read_to_string(&path).expect("read"), text, "it is left as it was");
    }
    fs::remove_file(&path).expect("removed");
    assert_eq!(layout.index().expect_err("missing").kind(), ErrorKind::Corrupt);
    assert_eq!(layout.update_index(|_| Ok(())).expect_err("missing").kind(), ErrorKind::Corrupt);
    assert!(!path.exists(), "it is never started anew");
}

#[test]
fn lay_18_to_20_a_wrong_size_is_corrupt_and_both_are_named() {
    let (_temp, layout) = layout();
    let good = put(&layout, b"content");
    for size in [6, 8, 1 << 62, i64::MAX as u64, u64::MAX] {
        let wrong = Descriptor { size, ..good.clone() };
        let error = layout.read(&wrong, usize::MAX).expect_err("wrong size");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(Mismatch::in_error(&error), Some(&Mismatch::Size { actual: 7, expected: size }));
        assert!(!layout.has(&wrong).expect("examined"));
    }
}

#[test]
fn lay_22_and_29_empty_content_and_sha512_are_stored_and_verified() {
    let (_temp, layout) = layout();
    let empty = put(&layout, b"");
    assert_eq!(layout.read(&empty, 10).expect("read"), b"");
    let mut writer = layout.blob_writer(Algorithm::Sha512).expect("begun");
    writer.write_all(b"long").expect("written");
    let (digest, size) = writer.finish().expect("finished");
    let long = Descriptor::new(LAYER, digest, size);
    assert!(blob(&layout, &long).starts_with(layout.path().join("blobs/sha512")));
    assert_eq!(layout.read(&long, 10).expect("read"), b"long");
    fs::write(blob(&layout, &long), "lomg").expect("written");
    assert_eq!(layout.read(&long, 10).expect_err("damaged").kind(), ErrorKind::Corrupt);
}

#[test]
fn lay_32_to_36_damage_and_absence_are_found() {
    let (_temp, layout) = layout();
    let descriptor = put(&layout, b"content");
    let path = blob(&layout, &descriptor);
    for (bytes, words) in [("cOntent", "its digest is"), ("conten", "has 6 bytes"), ("content+", "has 8 bytes")] {
        fs::write(&path, bytes).expect("written");
        let error = layout.read(&descriptor, 100).expect_err("damaged");
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some(descriptor.digest.as_str())));
        assert!(format!("{error} {:?}", error.causes()).contains(words));
    }
    fs::remove_file(&path).expect("removed");
    let error = layout.open_blob(&descriptor).expect_err("missing");
    assert_eq!((error.kind(), error.subject_text()), (ErrorKind::NotFound, Some(descriptor.digest.as_str())));
    assert!(!layout.has(&descriptor).expect("examined"));
}

#[test]
fn lay_57_and_60_a_blob_that_is_no_regular_file_is_refused_without_blocking() {
    let (_temp, layout) = layout();
    let descriptor = put(&layout, b"content");
    let path = blob(&layout, &descriptor);
    let place: [&dyn Fn(); 3] =
        [&|| symlink("/etc/passwd", &path).expect("linked"), &|| rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).expect("made"), &|| {
            fs::create_dir(&path).expect("created")
        }];
    for place in place {
        fs::remove_file(&path).expect("removed");
        place();
        assert_eq!(layout.open_blob(&descriptor).expect_err("refused").kind(), ErrorKind::Corrupt);
        assert!(!layout.has(&descriptor).expect("examined"));
    }
    // What can be replaced is replaced; the directory stays and is an error.
    let mut writer = layout.blob_writer(Algorithm::Sha256).expect("begun");
    writer.write_all(b"content").expect("written");
    assert_eq!(writer.finish().expect_err("in the way").kind(), ErrorKind::Io);
    fs::remove_dir(&path).expect("removed");
    symlink("/etc/passwd", &path).expect("linked");
    put(&layout, b"content");
    assert_eq!(layout.read(&descriptor, 100).expect("repaired"), b"content");
}

#[test]
fn lay_58_linked_blob_directories_are_refused() {
    for which in ["blobs", "blobs/sha256"] {
        let (temp, layout) = layout();
        let descriptor = put(&layout, b"content");
        let (path, moved) = (layout.path().join(which), temp.path().join("elsewhere"));
        fs::rename(&path, &moved).expect("moved");
        symlink(&moved, &path).expect("linked");
        let error = layout.open_blob(&descriptor).expect_err("refused");
        assert!(error.message().contains("symbolic link"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let mut writer = layout.blob_writer(Algorithm::Sha256).expect("begun");
        writer.write_all(b"more").expect("written");
        assert_eq!(writer.finish().expect_err("refused").kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn lay_59_index_and_header_may_be_hard_links_but_nothing_else() {
    for file in ["index.json", "oci-layout"] {
        let (temp, layout) = layout();
        let (path, other) = (layout.path().join(file), temp.path().join("other"));
        fs::hard_link(&path, &other).expect("linked");
        let before = fs::read(&other).expect("read");
        let reopened = Layout::open(layout.path(), quick()).expect("accepted");
        let entry = reopened.put_document(MediaType::ImageManifest, b"{}").expect("stored");
        reopened
            .update_index(|index| {
                index.manifests.push(entry.clone());
                Ok(())
            })
            .expect("updated");
        assert_eq!(fs::read(&other).expect("read"), before, "never written in place");

        fs::remove_file(&path).expect("removed");
        symlink(&other, &path).expect("linked");
        let refused = |layout: &Path| Layout::open(layout, quick()).and_then(|layout| layout.index()).expect_err("refused").kind();
        assert_eq!(refused(layout.path()), ErrorKind::Corrupt);
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("created");
        assert_eq!(refused(layout.path()), ErrorKind::Corrupt);
    }
}

#[test]
fn lay_61_content_that_grows_while_it_is_read_is_refused() {
    let (_temp, layout) = layout();
    let descriptor = put(&layout, &[7; 300_000]);
    let mut reader = layout.open_blob(&descriptor).expect("opened");
    let mut buffer = vec![0; 300_000];
    reader.read_exact(&mut buffer[..1000]).expect("read");
    fs::OpenOptions::new().append(true).open(blob(&layout, &descriptor)).expect("opened").write_all(b"+").expect("appended");
    assert_eq!(reader.drain().expect_err("grown").kind(), ErrorKind::Corrupt);
}

#[test]
fn lay_71_reading_creates_nothing() {
    let (_temp, layout) = layout();
    let descriptor = put(&layout, b"content");
    let path = layout.path().to_owned();
    drop(layout);
    fs::remove_file(path.join("index.json.lock")).expect("removed");
    let before = names(&path);
    let layout = Layout::open(&path, quick()).expect("opened");
    layout.read(&descriptor, 100).expect("read");
    layout.index().expect("read");
    assert_eq!(names(&path), before);
}

#[test]
fn lay_72_paths_of_any_bytes_work() {
    use std::os::unix::ffi::OsStrExt as _;
    let temp = tempfile::tempdir().expect("temporary directory");
    for name in [&b"a b"[..], b"-x", b"new\nline", b"\xff\xfe"] {
        let path = temp.path().join("deep/er").join(std::ffi::OsStr::from_bytes(name));
        let layout = Layout::ensure(&path, quick()).expect("created");
        let descriptor = put(&layout, b"content");
        assert_eq!(Layout::open(&path, quick()).expect("opened").read(&descriptor, 10).expect("read"), b"content");
    }
    let long = temp.path().join("x".repeat(5000));
    assert_eq!(Layout::ensure(&long, quick()).expect_err("too long").kind(), ErrorKind::Io);
}

#[test]
fn lay_73_foreign_files_are_left_alone() {
    let (_temp, layout) = layout();
    for name in ["index-123.json", ".umoci-1", "x.tmp-1"] {
        fs::write(layout.path().join(name), "").expect("written");
        fs::write(layout.path().join("blobs/sha256").join(name), "").expect("written");
    }
    put(&layout, b"content");
    layout.update_index(|index| Ok(index.annotations.insert("a".into(), "b".into()))).expect("updated");
    assert!(names(layout.path()).contains(&"index-123.json".to_owned()));
    assert_eq!(names(&layout.path().join("blobs/sha256")).len(), 4);
}

#[test]
fn create_wants_a_new_or_empty_directory() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path().join("out");
    fs::create_dir(&path).expect("created");
    Layout::create(&path, quick()).expect("empty");
    assert_eq!(Layout::create(&path, quick()).expect_err("there").kind(), ErrorKind::Conflict);
    Layout::ensure(&path, quick()).expect("there");
    fs::write(temp.path().join("file"), "").expect("written");
    for occupied in [temp.path().to_owned(), temp.path().join("file")] {
        assert_eq!(Layout::create(&occupied, quick()).expect_err("occupied").kind(), ErrorKind::Conflict);
        assert_eq!(Layout::ensure(&occupied, quick()).expect_err("occupied").kind(), ErrorKind::Conflict);
        assert_eq!(Layout::open(&occupied, quick()).expect_err("no layout").kind(), ErrorKind::Corrupt);
    }
    assert!(Layout::open(&temp.path().join("file"), quick()).expect_err("a file").message().ends_with("it is not a directory"));
    assert!(!temp.path().join("index.json.lock").exists(), "a refused directory is not touched");
}

#[test]
fn cra_01_an_interrupted_creation_is_completed() {
    let (_temp, layout) = layout();
    let path = layout.path().to_owned();
    drop(layout);
    for removed in ["oci-layout", "index.json", "blobs/sha256", "blobs", "index.json.lock"] {
        for name in ["oci-layout", removed] {
            let _ = fs::remove_file(path.join(name)).or_else(|_| fs::remove_dir(path.join(name)));
        }
        Layout::ensure(&path, quick()).expect("completed");
        Layout::open(&path, quick()).and_then(|layout| layout.index()).expect("sound");
        for name in ["oci-layout", removed] {
            let _ = fs::remove_file(path.join(name)).or_else(|_| fs::remove_dir_all(path.join(name)));
        }
    }
}

#[test]
fn an_aborted_or_failed_writer_leaves_nothing() {
    let (_temp, layout) = layout();
    let before = names(layout.path());
    let mut dropped = layout.blob_writer(Algorithm::Sha256).expect("begun");
    dropped.write_all(b"content").expect("written");
    drop(dropped);
    let other = Descriptor::new(LAYER, Digest::sha256(b"other"), 5);
    for (bytes, words) in [(&b"content"[..], "has 7 bytes"), (b"OTHER", "its digest is")] {
        let mut wrong = layout.blob_writer(Algorithm::Sha256).expect("begun");
        wrong.write_all(bytes).expect("written");
        let error = wrong.finish_as(&other).expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.causes()[0].contains(words));
    }
    assert!(names(&layout.path().join("blobs/sha256")).is_empty());
    let path = layout.path().to_owned();
    drop(layout);
    assert_eq!(names(&path), before, "the staging directory goes with its owner");
}

#[test]
fn a_cancelled_write_fails_as_interrupted() {
    let (_temp, layout) = layout();
    let cancel = Cancel::default();
    let layout = Layout::open(layout.path(), Options { cancel: cancel.clone(), ..quick() }).expect("opened");
    let mut writer = layout.blob_writer(Algorithm::Sha256).expect("begun");
    writer.write_all(b"content").expect("buffered");
    cancel.cancel();
    assert_eq!(writer.finish().expect_err("cancelled").kind(), ErrorKind::Interrupted);
}

#[test]
fn what_is_written_can_be_read_through_the_handle_before_and_after_finishing() {
    let (_temp, layout) = layout();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    for piece in [1000, 70_000, 1 << 20, 3_000_000] {
        let mut writer = layout.blob_writer(Algorithm::Sha256).expect("begun");
        for chunk in bytes.chunks(piece) {
            writer.write_all(chunk).expect("written");
        }
        writer.flush().expect("flushed");
        let file = writer.file();
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 0).expect("read");
        assert_eq!(read, bytes);
        assert_eq!(writer.finish().expect("finished"), (Digest::sha256(&bytes), bytes.len() as u64));
        file.read_exact_at(&mut read, 0).expect("read");
        assert_eq!(read, bytes);
    }
    let descriptor = Descriptor::new(LAYER, Digest::sha256(&bytes), bytes.len() as u64);
    assert_eq!(mode(&blob(&layout, &descriptor)), 0o644);
}

#[test]
fn cra_18_wrong_bytes_under_a_digest_are_replaced_and_right_ones_kept() {
    use std::os::unix::fs::MetadataExt as _;
    let (_temp, layout) = layout();
    let document = layout.put_document(MediaType::ImageConfig, b"{\"a\":1}").expect("stored");
    let path = blob(&layout, &document);
    let inode = || fs::metadata(&path).expect("there").ino();
    let first = inode();
    layout.put_document(MediaType::ImageConfig, b"{\"a\":1}").expect("stored");
    assert_eq!(inode(), first, "the same bytes are kept");
    for damage in ["{\"a\":2}", "{", ""] {
        fs::write(&path, damage).expect("damaged");
        layout.put_document(MediaType::ImageConfig, b"{\"a\":1}").expect("stored");
        assert_eq!(fs::read(&path).expect("read"), b"{\"a\":1}");
        fs::write(&path, damage).expect("damaged");
        put(&layout, b"{\"a\":1}");
        assert_eq!(fs::read(&path).expect("read"), b"{\"a\":1}");
    }
}

#[test]
fn cra_17_the_same_content_from_sixteen_threads_is_one_file() {
    let (_temp, layout) = layout();
    let bytes = vec![42; 2_000_000];
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| put(&layout, &bytes));
        }
    });
    assert_eq!(names(&layout.path().join("blobs/sha256")).len(), 1);
    let descriptor = Descriptor::new(LAYER, Digest::sha256(&bytes), bytes.len() as u64);
    assert_eq!(layout.read(&descriptor, bytes.len()).expect("read"), bytes);
}

#[test]
fn cra_23_no_thread_writes_before_what_the_dead_left_is_gone() {
    for _ in 0..50 {
        let (_temp, layout) = layout();
        let dead = [1, 2].map(|n| layout.path().join(format!("{}{n}-dead", staging::PREFIX)));
        for dead in &dead {
            fs::create_dir(dead).expect("own directory");
            (0..50).for_each(|n| fs::write(dead.join(n.to_string()), "").expect("own directory"));
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _writer = layout.blob_writer(Algorithm::Sha256).expect("begun");
                    let left = names(layout.path()).into_iter().filter(|name| name.starts_with(staging::PREFIX));
                    assert_eq!(left.count(), 1, "that of this layout");
                });
            }
        });
    }
}

#[test]
fn cra_15_and_16_no_update_is_lost_and_no_reader_sees_half() {
    let (_temp, layout) = layout();
    let patient = Options { lock_timeout: Duration::from_secs(60), ..Options::default() };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            // Every other one has its own handle, like another process.
            let own = if thread % 2 == 0 { Layout::open(layout.path(), patient.clone()).expect("opened") } else { layout.clone() };
            scope.spawn(move || {
                for n in 0..10 {
                    // The shared handle has little patience: a conflict is tried again.
                    while let Err(error) = own.update_index(|index| Ok(index.annotations.insert(format!("{thread}-{n}"), String::new()))) {
                        assert_eq!(error.kind(), ErrorKind::Conflict);
                    }
                }
            });
        }
        scope.spawn(|| (0..200).for_each(|_| drop(layout.index().expect("whole"))));
    });
    assert_eq!(layout.index().expect("read").annotations.len(), 80);
}

#[test]
fn an_update_keeps_what_it_does_not_know_and_writes_nothing_when_nothing_changed() {
    use std::os::unix::fs::MetadataExt as _;
    let (_temp, layout) = layout();
    let path = layout.path().join("index.json");
    let entry = json!({"mediaType": "application/x.unknown", "digest": "foo256:abc", "size": 3, "futureField": {"x": [1, null]}, "annotations": {"k": "v"}});
    let before = json!({"schemaVersion": 2, "manifests": [entry], "vendor": {"deep": true}});
    fs::write(&path, before.to_string()).expect("written");
    let inode = fs::metadata(&path).expect("there").ino();
    layout.update_index(|_| Ok(())).expect("nothing changed");
    assert_eq!(fs::metadata(&path).expect("there").ino(), inode);
    layout.update_index(|index| Ok(index.annotations.insert("a".into(), "b".into()))).expect("updated");
    let after: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    assert_eq!(after["manifests"], before["manifests"]);
    assert_eq!(after["vendor"], before["vendor"]);
    assert_eq!(after["annotations"]["a"], "b");
}

#[test]
fn a_failed_change_leaves_the_index_alone() {
    let (_temp, layout) = layout();
    let before = fs::read(layout.path().join("index.json")).expect("read");
    let error = layout
        .update_index(|index| {
            index.annotations.insert("a".into(), "b".into());
            Err::<(), _>(crate::error::Error::not_found("no such name"))
        })
        .expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(fs::read(layout.path().join("index.json")).expect("read"), before);
}

#[test]
fn cra_19_a_held_index_lock_is_a_conflict_and_readers_do_not_care() {
    let (_temp, layout) = layout();
    let root = Dir::open(layout.path()).expect("opened");
    let held = Lock::of_file(&root, Path::new(INDEX_LOCK), &mut Patience::new(Duration::ZERO, Cancel::default())).expect("free");
    assert_eq!(layout.update_index(|_| Ok(())).expect_err("held").kind(), ErrorKind::Conflict);
    layout.index().expect("readers take no lock");
    drop(held);
    layout.update_index(|_| Ok(())).expect("free");
}

#[test]
fn the_presence_lock_keeps_an_exclusive_holder_away() {
    let (_temp, layout) = layout();
    let path = layout.path().join(HEADER);
    let open = || fs::File::open(&path).expect("opened");
    assert!(Lock::try_exclusive(open(), &path).expect("asked").is_none());
    let directory = layout.path().to_owned();
    drop(layout);
    let _held = Lock::try_exclusive(open(), &path).expect("asked").expect("free");
    assert_eq!(kind_of_open(&directory), ErrorKind::Conflict);
}

#[test]
fn a_sweep_is_alone_and_removes_only_what_is_as_it_was_listed() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path();
    let options = quick();
    let layout = Layout::create(path, options.clone()).expect("created");
    let [first, second] = ["first", "second"].map(|content| layout.put_document("text/plain".into(), content.as_bytes()).expect("stored"));
    assert_eq!(Layout::open_for_sweep(path, options.clone()).expect_err("in use").kind(), ErrorKind::Conflict);
    drop(layout);

    let sweep = Layout::open_for_sweep(path, options.clone()).expect("alone");
    assert_eq!(Layout::open(path, options.clone()).expect_err("swept").kind(), ErrorKind::Conflict);
    assert_eq!(Layout::open_for_sweep(path, options.clone()).expect_err("swept").kind(), ErrorKind::Conflict);
    let listed = |descriptor: &Descriptor| {
        let stored = sweep.layout().stored().expect("listed");
        stored.blobs.into_iter().find(|blob| blob.digest == descriptor.digest).expect("there")
    };
    let [old_first, old_second] = [listed(&first), listed(&second)];
    // What another tool writes meanwhile, even the same bytes, is no longer what was listed.
    std::fs::remove_file(path.join(blob_path(&first.digest))).expect("removed");
    std::fs::write(path.join(blob_path(&first.digest)), "first").expect("written");
    assert_eq!(sweep.remove(&old_first).expect("looked"), Removal::Changed);
    let index = std::fs::read(path.join(INDEX)).expect("there");
    std::fs::write(path.join(INDEX), &index).expect("written");
    assert_eq!(sweep.remove(&old_second).expect_err("names may have changed").kind(), ErrorKind::Conflict);
    drop(sweep);

    let sweep = Layout::open_for_sweep(path, options.clone()).expect("alone");
    assert_eq!(sweep.remove(&old_second).expect("removed"), Removal::Removed);
    assert_eq!(sweep.remove(&old_second).expect("gone"), Removal::Changed);
    sweep.finish().expect("brought to the disk");
    drop(sweep);
    let layout = Layout::open(path, options).expect("nobody is in the way");
    assert!(layout.has(&first).expect("looked") && !layout.has(&second).expect("looked"));
}

#[test]
fn cra_19_a_replaced_header_does_not_let_two_be_alone() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path();
    let options = quick();
    drop(Layout::create(path, options.clone()).expect("created"));
    let header = path.join(HEADER);
    let before = std::fs::File::open(&header).expect("there");
    std::fs::copy(&header, path.join("copy")).expect("copied");
    std::fs::rename(path.join("copy"), &header).expect("replaced");
    // Whoever holds the file that has lost its name excludes nobody, and nobody asks.
    let _stale = Lock::exclusive(before, &header, &mut Patience::new(Duration::ZERO, Default::default())).expect("held");
    let sweep = Layout::open_for_sweep(path, options.clone()).expect("alone");
    assert_eq!(Layout::open(path, options).expect_err("swept").kind(), ErrorKind::Conflict);
    drop(sweep);
}
