//! Blobs and manifests on their way to us, whole and broken.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::double::part;
use super::server::Reply;
use super::*;
use crate::error::ErrorKind;
use crate::store::registry::Which;

/// A server with one blob, which answers the nth request for it as `answer` says.
fn with_blob(content: &[u8], answer: impl Fn(usize, &super::server::Asked, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let (content, count) = (content.to_vec(), AtomicUsize::new(0));
    Server::start(move |asked| {
        let usual = part(asked, Reply::new(200).header("ETag", "\"v1\""), &content);
        answer(count.fetch_add(1, Ordering::SeqCst), asked, usual)
    })
}

fn read(server: &Server, content: &[u8]) -> crate::Result<Vec<u8>> {
    alone(server).read(&blob(content), content.len())
}

#[test]
fn reg_02_a_download_that_breaks_goes_on_where_it_was() {
    let content = noise(2_000_000);
    let server = with_blob(&content, |count, _, usual| match count {
        0 => usual.cut(700_001),
        1 => usual.cut(3),
        2 => Reply::new(503),
        _ => usual,
    });
    assert_eq!(read(&server, &content).expect("read"), content);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=700001-"), Some("bytes=700004-"), Some("bytes=700004-")].map(|range| range.map(str::to_owned)));
    assert_eq!(server.asked()[1].header("if-range"), Some("\"v1\""));
    let server = with_blob(&content, |_, _, usual| usual.cut(10));
    let error = read(&server, &content).expect_err("patience ends");
    assert_eq!((error.kind(), server.lines().len()), (ErrorKind::Unavailable, 4));
}

#[test]
fn reg_28_what_comes_instead_of_the_part_that_was_asked_for() {
    let content = noise(500_000);
    let whole = content.clone();
    let length = content.len();
    type Answer = Box<dyn Fn(Reply) -> Reply + Send + Sync>;
    let answers: Vec<(&str, Answer, bool)> = vec![
        ("all of it", Box::new(move |_| Reply::new(200).body(whole.clone())), true),
        ("no range", Box::new(|_| Reply::new(206).body("x")), false),
        ("another part", Box::new(move |_| Reply::new(206).header("Content-Range", format!("bytes 400001-{}/{length}", length - 1)).body(noise(1))), false),
        ("of something else", Box::new(|_| Reply::new(206).header("Content-Range", "bytes 0-1/2").body("xy")), false),
        ("nothing", Box::new(|_| Reply::new(416)), false),
    ];
    for (what, answer, whole) in answers {
        let server = with_blob(&content, move |count, _, usual| match count {
            0 => usual.cut(300_000),
            _ => answer(usual),
        });
        let outcome = read(&server, &content);
        assert_eq!(outcome.as_ref().is_ok_and(|bytes| *bytes == content), whole, "{what}: {:?}", outcome.map(|bytes| bytes.len()));
    }
    // Earlier than was asked for is more than enough.
    let all = content.clone();
    let server = with_blob(&content, move |count, _, usual| match count {
        0 => usual.cut(300_000),
        _ => Reply::new(206).header("Content-Range", format!("bytes 100000-{}/{}", all.len() - 1, all.len())).body(&all[100_000..]),
    });
    assert_eq!(read(&server, &content).expect("read"), content);
}

#[test]
fn reg_01_wrong_bytes_of_the_right_length_are_refused() {
    let content = noise(100_000);
    let server = with_blob(&content, |_, _, _| Reply::new(200).body(vec![0; 100_000]));
    assert_eq!(read(&server, &content).expect_err("damaged").kind(), ErrorKind::Corrupt);
}

#[test]
fn reg_01_content_that_came_damaged_is_asked_for_once_more() {
    use crate::copy::{self, CopyPlan, How, Reading};
    for (damaged, whole) in [(1, true), (9, false)] {
        let double = Double::start(Ways::default());
        let entry = push(&alone(&double.server), &noise(1000), "1");
        let count = AtomicUsize::new(0);
        let state = double.state.clone();
        let server = Double::with(Ways::default(), move |asked| {
            let state = state.lock().expect("unpoisoned");
            if let Some((_, digest)) = asked.path().split_once("/blobs/") {
                let content = state.blobs[&("team/app".into(), digest.into())].clone();
                let is_layer = content.len() > 2;
                let damages = is_layer && count.fetch_add(1, Ordering::SeqCst) < damaged;
                return Some(Reply::new(200).body(if damages { vec![0; content.len()] } else { content }));
            }
            let (_, which) = asked.path().split_once("/manifests/")?;
            let (media_type, bytes) = state.manifests.get(&("team/app".into(), which.into()))?;
            Some(Reply::new(200).header("Content-Type", media_type.clone()).body(bytes.clone()))
        });
        let (run, from, to) = (run(), alone(&server.server), crate::store::MemoryStore::default());
        let plan = CopyPlan::of_content(&run, &from, &[entry]).expect("planned");
        let outcome = copy::execute(&run, &[plan], &to, How { sharing: None, reading: Reading::Copied });
        assert_eq!(outcome.is_ok(), whole, "{outcome:?}");
        assert!(outcome.is_ok() || !to.has(&blob(&noise(1000))).expect("examined"), "nothing damaged stays");
    }
}

#[test]
fn reg_02_and_03_lengths_that_do_not_fit_are_refused() {
    let content = noise(1000);
    for length in [999, 1001, 1_u64 << 40] {
        let server = with_blob(&content, move |_, _, _| Reply::new(200).header("Content-Length", length.to_string()).body(noise(999)).cut(999));
        assert_eq!(read(&server, &content).expect_err("another size").kind(), ErrorKind::Corrupt, "{length}");
    }
    // Without a length, and without an end.
    let endless = with_blob(&content, |_, _, _| {
        let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..200 {
            raw.extend_from_slice(b"1000\r\n");
            raw.extend_from_slice(&[7; 0x1000]);
            raw.extend_from_slice(b"\r\n");
        }
        Reply::raw(raw)
    });
    assert_eq!(read(&endless, &content).expect_err("it does not end").kind(), ErrorKind::Corrupt);
}

#[test]
fn reg_22_what_comes_compressed_is_what_it_decodes_to() {
    let content = noise(200_000);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let encoded = gzip(&content);
    let server = with_blob(&content, move |_, asked, _| {
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
        Reply::new(200).header("Content-Encoding", "gzip").body(encoded.clone())
    });
    assert_eq!(read(&server, &content).expect("decoded"), content);
    // A part of the encoded form is no part of the content.
    let encoded = gzip(&content);
    let server = with_blob(&content, move |count, asked, usual| match count {
        0 => Reply::new(200).header("Content-Encoding", "gzip").body(encoded.clone()).cut(encoded.len() / 2),
        _ if asked.header("range").is_some() => usual.header("Content-Encoding", "gzip"),
        _ => Reply::new(200).header("Content-Encoding", "gzip").body(encoded.clone()),
    });
    assert_eq!(read(&server, &content).expect("read anew"), content);
    let (entry, bytes) = manifest(b"layer", None);
    let encoded = gzip(&bytes);
    let server = Server::start(move |_| {
        Reply::new(200).header("Content-Encoding", "gzip").header("Content-Type", MediaType::ImageManifest.to_string()).body(encoded.clone())
    });
    assert_eq!(alone(&server).read(&entry, bytes.len()).expect("decoded"), bytes);
    let bomb = gzip(&vec![0; 64 << 20]);
    let server = Server::start(move |_| Reply::new(200).header("Content-Encoding", "gzip").body(bomb.clone()));
    assert_eq!(alone(&server).manifest(Which::Tag("1")).expect_err("too long").kind(), ErrorKind::Corrupt);
    let server = with_blob(&content, |_, _, usual| usual.header("Content-Encoding", "br"));
    assert_eq!(read(&server, &content).expect_err("unknown").kind(), ErrorKind::Unsupported);
}

#[test]
fn reg_11_and_12_the_body_decides_what_a_manifest_is() {
    let (entry, bytes) = manifest(b"layer", None);
    let media_type = MediaType::ImageManifest.to_string();
    // What is said of the digest, how it was asked for, and what comes of it.
    let wrong = Digest::sha256(b"x").to_string();
    for (said, by_digest, expected) in [
        (None, true, Ok(())),
        (None, false, Ok(())),
        (Some("not a digest"), true, Ok(())),
        (Some("../../etc/passwd"), false, Ok(())),
        (Some("foo256:abc"), false, Ok(())),
        (Some(wrong.as_str()), false, Err(ErrorKind::Corrupt)),
    ] {
        let (body, media_type, said) = (bytes.clone(), media_type.clone(), said.map(str::to_owned));
        let server = Server::start(move |_| {
            let reply = Reply::new(200).header("Content-Type", media_type.clone()).body(body.clone());
            match &said {
                Some(said) => reply.header("Docker-Content-Digest", said.clone()),
                None => reply,
            }
        });
        let registry = alone(&server);
        let outcome = match by_digest {
            true => registry.get(Which::Digest(&entry.digest)),
            false => registry.get(Which::Tag("1")),
        };
        assert_eq!(outcome.map(|found| assert_eq!(found.expect("there").0.digest, entry.digest)).map_err(|error| error.kind()), expected);
    }
    let (_, other) = manifest(b"other", None);
    let server = Server::start(move |_| Reply::new(200).header("Content-Type", MediaType::ImageManifest.to_string()).body(other.clone()));
    assert_eq!(alone(&server).read(&entry, bytes.len()).expect_err("another manifest").kind(), ErrorKind::Corrupt);
}

#[test]
fn reg_14_and_20_a_type_is_one_type() {
    let (entry, bytes) = manifest(b"layer", None);
    let mut nameless = serde_json::from_slice::<serde_json::Value>(&bytes).expect("JSON");
    nameless.as_object_mut().expect("an object").remove("mediaType");
    let nameless = nameless.to_string().into_bytes();
    let of = |content_type: Option<&'static str>, body: &[u8]| {
        let body = body.to_vec();
        let server = Server::start(move |_| match content_type {
            Some(content_type) => Reply::new(200).header("Content-Type", content_type).body(body.clone()),
            None => Reply::new(200).body(body.clone()),
        });
        alone(&server).manifest(Which::Tag("1")).map(|found| found.expect("there").media_type)
    };
    let (manifest, index) = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json");
    for content_type in [Some(manifest), Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), Some("text/plain"), Some("application/json"), None]
    {
        assert_eq!(of(content_type, &bytes).expect("one type"), entry.media_type, "{content_type:?}");
        assert_eq!(of(content_type, &nameless).expect("one type"), entry.media_type, "{content_type:?}");
    }
    assert_eq!(of(None, b"{}").expect_err("nobody knows").kind(), ErrorKind::Unsupported);
    assert_eq!(of(None, b"not JSON").expect_err("nothing").kind(), ErrorKind::Corrupt);
    let body = bytes.clone();
    let server = Server::start(move |_| Reply::new(200).header("Content-Type", index).body(body.clone()));
    assert_eq!(alone(&server).get(Which::Tag("1")).expect_err("two types").kind(), ErrorKind::Corrupt);
}

#[test]
fn reg_21_a_length_that_only_the_question_had_does_not_matter() {
    let (entry, bytes) = manifest(b"layer", None);
    let digest = entry.digest.to_string();
    let body = bytes.clone();
    let server = Server::start(move |asked| {
        let reply = Reply::new(200).header("Content-Type", MediaType::ImageManifest.to_string()).header("Docker-Content-Digest", digest.clone());
        if asked.method == "HEAD" { reply.header("Content-Length", "12345") } else { reply.body(body.clone()) }
    });
    let registry = alone(&server);
    let found = registry.entries_for(&crate::spec::Selector::Name("1".into())).expect("found").manifests;
    assert_eq!((found[0].size, registry.read(&found[0], bytes.len()).expect("read")), (entry.size, bytes));
}

#[test]
fn reg_18_and_19_a_digest_wins_and_a_tag_is_asked_once() {
    let double = Double::start(Ways::default());
    let old = push(&alone(&double.server), b"old", "1");
    push(&alone(&double.server), b"new", "1");
    let registry = alone(&double.server);
    let found = registry.resolve(&crate::spec::Selector::Digest(old.digest.clone())).expect("found");
    assert_eq!(found.digest, old.digest, "the tag moved, the digest did not");
    double.server.lines();
    let index = registry.entries_for(&crate::spec::Selector::Name("1".into())).expect("found");
    push(&alone(&double.server), b"newer", "1");
    double.server.lines();
    registry.read(&index.manifests[0], 1 << 20).expect("what was found at first");
    assert!(!double.server.lines().iter().any(|line| line.ends_with("/manifests/1")));
}

#[test]
fn what_is_absent_says_so_with_its_remedy() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    let error = registry.entries_for(&crate::spec::Selector::Name("1".into())).expect_err("absent");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().ends_with("/team/app:1") && error.hint_text().is_some(), "{error}");
}

#[test]
fn reg_27_who_is_too_slow_is_given_up() {
    let content = noise(100_000);
    // Headers that do not come; a body that stalls; one that trickles.
    let server = with_blob(&content, |_, _, usual| usual.after(Duration::from_secs(4)));
    let begun = std::time::Instant::now();
    let error = read(&server, &content).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let server = with_blob(&content, |count, _, usual| if count == 0 { usual.stalling(5000) } else { usual });
    let begun = std::time::Instant::now();
    assert_eq!(read(&server, &content).expect("the second time"), content);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn who_stops_reading_leaves_the_rest() {
    let content = noise(3_000_000);
    let server = with_blob(&content, |_, _, usual| usual);
    let registry = alone(&server);
    let mut reader = registry.open(&blob(&content)).expect("opened");
    reader.read_exact(&mut [0; 10]).expect("some of it");
    drop(reader);
    assert_eq!(registry.read(&blob(&content), content.len()).expect("read"), content);
}
