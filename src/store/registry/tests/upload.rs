//! Ways to send a blob, and what happens when one breaks.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::Reply;
use super::*;
use crate::error::{ErrorKind, Side};
use crate::store::registry::{HostSettings, Sessions, Upload};
use crate::store::{Content, Put};

/// Content that notes from where it was read.
struct Noted<'a> {
    content: &'a [u8],
    opened: Mutex<Vec<u64>>,
}

impl Content for Noted<'_> {
    fn open(&self, start: u64) -> crate::Result<Box<dyn std::io::Read + '_>> {
        self.opened.lock().expect("unpoisoned").push(start);
        Ok(Box::new(&self.content[usize::try_from(start).expect("small")..]))
    }
}

fn noted(content: &[u8]) -> Noted<'_> {
    Noted { content, opened: Mutex::default() }
}

fn way(upload: Upload) -> Settings {
    let mut settings = settings();
    settings.defaults = HostSettings { upload, ..HostSettings::default() };
    settings
}

fn chunked(size: usize) -> Upload {
    Upload::Chunked(NonZeroUsize::new(size).expect("not zero"))
}

/// The methods of requests for blobs.
fn methods(server: &Server) -> String {
    server.lines().iter().map(|line| line.split(' ').next().expect("a method").to_owned()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_blob_goes_in_the_way_that_is_wanted() {
    let content = noise(1_000_000);
    for (upload, expected) in [
        (Upload::Auto, "HEAD POST PUT"),
        (Upload::Single, "HEAD POST PUT"),
        (Upload::Stream, "HEAD POST PATCH PUT"),
        (chunked(400_000), "HEAD POST PATCH PATCH PATCH PUT"),
    ] {
        let double = Double::start(Ways::default());
        let registry = repository(&network(way(upload)), &double.server, "team/app");
        assert_eq!(registry.put_from(&blob(&content), &noted(&content)).expect("stored"), Put::Written);
        let asked = double.server.asked();
        assert_eq!(methods(&double.server), expected);
        let ranges: Vec<_> = asked.iter().filter_map(|asked| asked.header("content-range")).collect();
        let wanted: &[&str] = if upload == chunked(400_000) { &["0-399999", "400000-799999", "800000-999999"] } else { &[] };
        assert_eq!(ranges, wanted);
        assert!(asked.iter().all(|asked| asked.method != "PATCH" || asked.header("content-type") == Some("application/octet-stream")));
        assert_eq!(registry.read(&blob(&content), content.len()).expect("read"), content);
    }
}

#[test]
fn an_empty_blob_is_a_blob() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    registry.put(&blob(b""), &mut &b""[..]).expect("stored");
    assert_eq!(registry.read(&blob(b""), 0).expect("read"), b"");
}

#[test]
fn a_host_that_wants_another_way_gets_it_and_is_remembered() {
    let content = noise(100_000);
    let small = noise(10);
    for (ways, first, second) in [
        (Ways { no_single: true, ..Ways::default() }, "HEAD POST PUT DELETE POST PATCH PUT", "HEAD POST PATCH PUT"),
        (Ways { no_single: true, no_stream: true, ..Ways::default() }, "HEAD POST PUT DELETE POST PATCH DELETE POST PATCH PUT", "HEAD POST PATCH PUT"),
    ] {
        let double = Double::start(ways);
        let network = network(settings());
        repository(&network, &double.server, "a").put_from(&blob(&content), &noted(&content)).expect("stored");
        assert_eq!(methods(&double.server), first);
        repository(&network, &double.server, "b").put_from(&blob(&small), &noted(&small)).expect("stored");
        assert_eq!(methods(&double.server), second);
    }
}

#[test]
fn reg_31_a_host_that_limits_requests_gets_chunks_and_else_says_what_limits() {
    let content = noise(17 << 20);
    let double = Double::start(Ways { limit: Some(5 << 20), ..Ways::default() });
    alone(&double.server).put_from(&blob(&content), &noted(&content)).expect("stored");
    let sizes: Vec<usize> = double.server.asked().iter().filter(|asked| asked.method == "PATCH").map(|asked| asked.body.len() >> 20).collect();
    assert_eq!(sizes, [16, 4, 4, 4, 4, 1]);
    let double = Double::start(Ways { limit: Some(5), ..Ways::default() });
    let error = alone(&double.server).put_from(&blob(&content), &noted(&content)).expect_err("hopeless");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("client_max_body_size")));
}

#[test]
fn reg_31_the_smallest_chunk_is_obeyed() {
    let content = noise(250_000);
    let double = Double::start(Ways { least: 100_000, ..Ways::default() });
    repository(&network(way(chunked(65_536))), &double.server, "a").put_from(&blob(&content), &noted(&content)).expect("stored");
    let sizes: Vec<usize> = double.server.asked().iter().filter(|asked| asked.method == "PATCH").map(|asked| asked.body.len()).collect();
    assert_eq!(sizes, [100_000, 100_000, 50_000]);
}

#[test]
fn an_upload_that_broke_goes_on_where_it_was() {
    let content = noise(300_000);
    for upload in [Upload::Stream, chunked(100_000)] {
        let broken = AtomicUsize::new(0);
        // The second chunk, or the stream, fails after all of it arrived, and the third failure is the end of patience.
        let double = Double::with(Ways::default(), move |asked| {
            let fails = asked.method == "PUT" && asked.target.contains("digest=") && broken.fetch_add(1, Ordering::SeqCst) == 0;
            fails.then(|| Reply::new(503))
        });
        let source = noted(&content);
        repository(&network(way(upload)), &double.server, "a").put_from(&blob(&content), &source).expect("stored");
        let starts = source.opened.into_inner().expect("unpoisoned");
        let sent: u64 = u64::try_from(content.len()).expect("small");
        assert!(starts.iter().filter(|start| **start == 0).count() == 1 && starts.iter().all(|start| *start < sent), "{starts:?}");
    }
}

#[test]
fn reg_29_a_session_that_is_gone_begins_anew() {
    let content = noise(100_000);
    for (upload, method) in [(Upload::Single, "PUT"), (Upload::Stream, "PATCH"), (chunked(60_000), "PATCH")] {
        for status in [404, 416] {
            let lost = AtomicUsize::new(0);
            let double = Double::with(Ways::default(), move |asked| {
                (asked.method == method && asked.path().contains("/uploads/") && lost.fetch_add(1, Ordering::SeqCst) == 0).then(|| Reply::new(status))
            });
            let registry = repository(&network(way(upload)), &double.server, "a");
            registry.put_from(&blob(&content), &noted(&content)).unwrap_or_else(|error| panic!("{upload:?} {status}: {error:?}"));
            assert_eq!(registry.read(&blob(&content), content.len()).expect("read"), content);
        }
    }
}

#[test]
fn reg_29_what_a_host_says_of_an_upload_must_fit() {
    // No location; a range that lies; an answer that means nothing, with and without the blob.
    let server = Server::start(|asked| if asked.method == "POST" { Reply::new(202) } else { Reply::new(404) });
    assert_eq!(alone(&server).put(&blob(b"x"), &mut &b"x"[..]).expect_err("nowhere").kind(), ErrorKind::Corrupt);
    let lies = AtomicUsize::new(0);
    let double = Double::with(Ways::default(), move |asked| {
        (asked.method == "PATCH" && lies.fetch_add(1, Ordering::SeqCst) == 0)
            .then(|| Reply::new(202).header("Location", asked.target.clone()).header("Range", "0-5"))
    });
    let content = noise(1000);
    let registry = repository(&network(way(Upload::Stream)), &double.server, "a");
    registry.put_from(&blob(&content), &noted(&content)).expect("asked again");
    assert_eq!(registry.read(&blob(&content), content.len()).expect("read"), content);
    for has in [true, false] {
        let server = Server::start(move |asked| match (asked.method.as_str(), has) {
            ("POST", _) => Reply::new(202).header("Location", "/v2/u"),
            ("HEAD", true) if asked.path().contains("/blobs/") => Reply::new(200).header("Content-Length", "1"),
            ("HEAD", _) => Reply::new(404),
            _ => Reply::new(202).header("Location", "/v2/u"),
        });
        let registry = alone(&server);
        registry.lacking.lock().expect("unpoisoned").insert(blob(b"x").digest);
        let outcome = registry.put(&blob(b"x"), &mut &b"x"[..]);
        assert_eq!(outcome.is_ok(), has, "{outcome:?}");
    }
}

#[test]
fn a_host_that_got_other_bytes_refuses_them_and_the_fault_is_found() {
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    // The source is damaged.
    let error = registry.put_from(&blob(b"content"), &noted(b"CONTENT")).expect_err("refused");
    assert_eq!((error.kind(), error.failed_side()), (ErrorKind::Corrupt, Some(Side::Source)));
    // It is too short.
    let error = registry.put_from(&blob(b"content"), &noted(b"conten")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // It is whole, and something arrives damaged once, or for ever.
    for (times, stored) in [(1, true), (9, false)] {
        let damaged = AtomicUsize::new(0);
        let double = Double::with(Ways::default(), move |asked| {
            let damages = asked.method == "PUT" && asked.path().contains("/uploads/") && damaged.fetch_add(1, Ordering::SeqCst) < times;
            damages.then(|| Reply::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#))
        });
        let outcome = alone(&double.server).put_from(&blob(b"content"), &noted(b"content"));
        assert_eq!(outcome.is_ok(), stored, "{outcome:?}");
        assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::Corrupt && error.failed_side() == Some(Side::Destination)));
    }
}

#[test]
fn content_that_can_be_read_once_is_sent_once() {
    let content = noise(9 << 20);
    let double = Double::start(Ways::default());
    alone(&double.server).put(&blob(&content), &mut &content[..]).expect("stored");
    let double = Double::start(Ways { no_single: true, ..Ways::default() });
    assert_eq!(alone(&double.server).put(&blob(&content), &mut &content[..]).expect_err("read already").kind(), ErrorKind::Io);
}

/// Sessions in memory.
#[derive(Default)]
struct Kept(Mutex<std::collections::HashMap<String, String>>);

impl Sessions for Kept {
    fn find(&self, _: &str, _: &str, digest: &str) -> Option<String> {
        self.0.lock().expect("unpoisoned").get(digest).cloned()
    }

    fn begun(&self, _: &str, _: &str, digest: &str, location: &str) {
        self.0.lock().expect("unpoisoned").insert(digest.into(), location.into());
    }

    fn ended(&self, _: &str, _: &str, digest: &str) {
        self.0.lock().expect("unpoisoned").remove(digest);
    }
}

#[test]
fn a_later_run_goes_on_with_an_upload_that_was_begun() {
    let content = noise(300_000);
    let fails = std::sync::Arc::new(AtomicUsize::new(0));
    let failing = fails.clone();
    let double = Double::with(Ways::default(), move |asked| {
        // From the third chunk on, the host is down.
        let chunk = asked.method == "PATCH" && failing.fetch_add(1, Ordering::SeqCst) >= 2;
        (chunk || (failing.load(Ordering::SeqCst) > 2 && asked.method != "HEAD")).then(|| Reply::new(503))
    });
    let kept = std::sync::Arc::new(Kept::default());
    let mut settings = way(chunked(100_000));
    settings.sessions = kept.clone();
    let error = repository(&network(settings.clone()), &double.server, "a").put_from(&blob(&content), &noted(&content)).expect_err("down");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!double.server.lines().iter().any(|line| line.starts_with("DELETE")), "it is left for later");
    assert!(kept.find("", "", blob(&content).digest.as_str()).is_some());
    fails.store(0, Ordering::SeqCst);
    let source = noted(&content);
    repository(&network(settings), &double.server, "a").put_from(&blob(&content), &source).expect("stored");
    assert_eq!(source.opened.into_inner().expect("unpoisoned"), [200_000]);
    assert!(kept.find("", "", blob(&content).digest.as_str()).is_none());
}

#[test]
fn what_is_given_up_is_told_to_the_host_once() {
    let double = Double::with(Ways::default(), |asked| (asked.method == "PUT" && asked.path().contains("/uploads/")).then(|| Reply::new(403)));
    alone(&double.server).put(&blob(b"content"), &mut &b"content"[..]).expect_err("refused");
    assert_eq!(double.server.lines().iter().filter(|line| line.starts_with("DELETE")).count(), 1);
}

#[test]
fn who_is_interrupted_tells_the_host_once() {
    let run = run();
    let cancel = run.cancel.clone();
    let double = Double::with(Ways::default(), move |asked| {
        let is_sent = asked.method == "PATCH" && asked.path().contains("/uploads/");
        if is_sent {
            cancel.cancel();
        }
        None
    });
    let network = Network::new(way(chunked(65_536)), &run).expect("usable");
    let content = noise(300_000);
    let error = repository(&network, &double.server, "a").put_from(&blob(&content), &noted(&content)).expect_err("interrupted");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(double.server.lines().iter().filter(|line| line.starts_with("DELETE /v2/a/blobs/uploads/")).count(), 1);
}

#[test]
fn an_upload_stays_on_the_machine_on_which_it_began() {
    // A host that is several machines, of which one has the session.
    let double = Double::start(Ways::default());
    let state = double.state.clone();
    let server = Server::start(move |asked| {
        let reply = state.lock().expect("unpoisoned").answer_for_tests(asked);
        match asked.method.as_str() {
            "POST" => reply.header("Set-Cookie", "node=7; Path=/; HttpOnly").header("Set-Cookie", "x=y"),
            "PATCH" | "PUT" if asked.header("cookie") != Some("node=7; x=y") => Reply::new(404),
            _ => reply,
        }
    });
    let content = noise(1000);
    for upload in [Upload::Single, Upload::Stream] {
        repository(&network(way(upload)), &server, "a").put_from(&blob(&content), &noted(&content)).expect("stored");
    }
}
