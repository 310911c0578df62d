//! Hosts that mean no good, or are not what they should be.

use std::sync::Arc;

use super::server::Reply;
use super::*;
use crate::error::ErrorKind;
use crate::store::registry::{Authorization, Credential, Given, Method, Repeat, Rest, Secret, Which};

const TAGS: &str = r#"{"tags":["1"]}"#;

fn with_password() -> Settings {
    let credential = Credential::Basic { user: "me".into(), password: Secret::new("hunter2") };
    Settings { credentials: Arc::new(Given(credential)), ..settings() }
}

#[test]
fn reg_04_and_06_a_redirect_to_another_origin_carries_no_credential() {
    for status in [301, 302, 303, 307, 308] {
        let store = Server::start(|asked| match asked.header("authorization") {
            // As object stores do.
            Some(_) => Reply::new(400).body("Only one auth mechanism allowed"),
            None => Reply::new(200).body("content"),
        });
        let place = format!("http://{}/bucket/blob?X-Signature=secret", store.host());
        let server = Server::start(move |asked| match asked.path() {
            "/v2/" => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
            _ if asked.header("authorization").is_none() => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
            _ => Reply::new(status).header("Location", place.clone()),
        });
        let registry = repository(&network(with_password()), &server, "a");
        assert_eq!(registry.read(&blob(b"content"), 7).expect("read"), b"content", "{status}");
        assert_eq!(store.asked()[0].target, "/bucket/blob?X-Signature=secret");
        assert!(["authorization", "cookie", "x-jfrog-art-api"].iter().all(|name| store.asked()[0].header(name).is_none()));
    }
}

#[test]
fn reg_04_a_redirect_within_the_host_keeps_the_credential() {
    let server = Server::start(|asked| match (asked.path(), asked.header("authorization").is_some()) {
        ("/v2/" | "/v2/a/tags/list", false) => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        ("/v2/a/tags/list", true) => Reply::new(307).header("Location", "/elsewhere"),
        ("/elsewhere", true) => Reply::new(200).body(TAGS),
        _ => Reply::new(403),
    });
    assert_eq!(repository(&network(with_password()), &server, "a").tags().expect("listed"), ["1"]);
}

#[test]
fn reg_05_another_host_that_wants_a_credential_gets_none() {
    let other =
        Server::start(|asked| Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{}/token\"", asked.header("host").expect("a host"))));
    let place = format!("http://{}/x", other.host());
    let server = Server::start(move |asked| match asked.header("authorization") {
        None => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => Reply::new(302).header("Location", place.clone()),
    });
    let error = repository(&network(with_password()), &server, "a").tags().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(other.asked().len(), 1);
    assert_eq!(other.asked()[0].header("authorization"), None);
}

#[test]
fn reg_04_and_09_redirects_that_are_not_followed() {
    for (location, kind) in [
        (Some("ftp://127.0.0.1/x"), ErrorKind::Unavailable),
        (Some("http://me:hunter2@127.0.0.1/x"), ErrorKind::Unavailable),
        (Some("http://2130706433/x"), ErrorKind::Unavailable),
        (Some(""), ErrorKind::Unavailable),
        (None, ErrorKind::Unavailable),
    ] {
        let server = Server::start(move |_| location.map_or(Reply::new(302), |location| Reply::new(302).header("Location", location)));
        let error = alone(&server).tags().expect_err("not followed");
        assert_eq!(error.kind(), kind, "{location:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    let server = Server::start(|asked| Reply::new(302).header("Location", asked.target.clone()));
    alone(&server).tags().expect_err("it leads nowhere");
    assert!(server.lines().len() <= 6);
}

#[test]
fn a_signature_that_ran_out_is_made_anew() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let store = Server::start(move |_| match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::new(403).body("Request has expired"),
        _ => Reply::new(200).body("content"),
    });
    let place = format!("http://{}/blob", store.host());
    let server = Server::start(move |_| Reply::new(307).header("Location", place.clone()));
    assert_eq!(alone(&server).read(&blob(b"content"), 7).expect("read"), b"content");
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn writing_follows_no_redirect_that_would_change_it() {
    let other = Server::start(|_| Reply::new(200));
    let elsewhere = format!("http://{}/x", other.host());
    for (status, location, followed) in [
        (307, "/there".to_owned(), true),
        (308, "/there".to_owned(), true),
        (301, "/there".to_owned(), false),
        (302, "/there".to_owned(), false),
        (303, "/there".to_owned(), false),
        (307, elsewhere.clone(), false),
    ] {
        let server = Server::start(move |asked| match asked.path() {
            "/there" => Reply::new(200).body(asked.body.clone()),
            _ => Reply::new(status).header("Location", location.clone()),
        });
        let rest = Rest {
            method: Method::Post,
            url: format!("http://{}/here", server.host()),
            authorization: Authorization::None,
            body: Some(("text/plain".into(), b"body".to_vec())),
            repeat: Repeat::Safe,
        };
        let outcome = network(settings()).rest(&rest);
        assert_eq!(outcome.is_ok(), followed, "{status} {outcome:?}");
        match outcome {
            Ok(answer) => assert_eq!(answer.body, b"body"),
            Err(error) => assert!(error.hint_text().is_some_and(|hint| hint.contains("X-Forwarded-Proto")), "{error:?}"),
        }
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn reg_07_an_upload_that_is_to_go_on_elsewhere_does_not() {
    let other = Server::start(|_| Reply::new(201));
    let elsewhere = format!("http://{}/u", other.host());
    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" => Reply::new(202).header("Location", elsewhere.clone()),
        _ => Reply::new(404),
    });
    let error = alone(&server).put(&blob(b"x"), &mut &b"x"[..]).expect_err("refused");
    assert_eq!((error.kind(), other.connections()), (ErrorKind::Denied, 0));
}

#[test]
fn a_host_behind_a_proxy_that_takes_itself_for_one_with_tls_is_reached_as_before() {
    let double = Double::start(Ways::default());
    let state = double.state.clone();
    let server = Server::start(move |asked| {
        let reply = state.lock().expect("unpoisoned").answer_for_tests(asked);
        let host = asked.header("host").expect("a host");
        // As Artifactory does where X-Forwarded-Proto is missing.
        if asked.method == "POST" { Reply::new(202).header("Location", format!("https://{host}/v2/team/app/blobs/uploads/u1?_state=x")) } else { reply }
    });
    alone(&server).put(&blob(b"content"), &mut &b"content"[..]).expect("stored");
    assert_eq!(server.asked().last().map(|asked| asked.parameter("_state")), Some(Some("x".into())));
}

#[test]
fn reg_13_and_03_errors_without_end_are_cut() {
    let server = Server::start(|_| Reply::new(403).body(vec![b'x'; 8 << 20]));
    let network = network(settings());
    let error = repository(&network, &server, "a").tags().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.causes().iter().all(|cause| cause.len() < 1000), "{error:?}");
    let server = Server::start(|_| Reply::new(403).body("\u{1b}]0;evil\u{7}\r\n\u{202e}x"));
    let error = alone(&server).tags().expect_err("refused");
    assert!(error.causes().iter().all(|cause| !cause.chars().any(|c| c.is_control() || c == '\u{202e}')), "{:?}", error.causes());
    let server = Server::start(|_| Reply::new(200).header("Content-Type", MediaType::ImageIndex.to_string()).body(vec![b' '; 5 << 20]));
    assert_eq!(alone(&server).get(Which::Tag("1")).expect_err("too long").kind(), ErrorKind::Corrupt);
}

#[test]
fn reg_42_what_is_no_http_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let flood = format!("{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n".repeat(100_000));
    for (what, raw) in [
        ("a long header", long.into_bytes()),
        ("many headers", many.into_bytes()),
        ("characters that no header has", b"HTTP/1.1 200 OK\r\nX\x00Y: z\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"hello".to_vec()),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".to_vec()),
        ("a length and chunks", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
        ("a flood", flood.into_bytes()),
    ] {
        let server = Server::start(move |_| Reply::raw(raw.clone()));
        let begun = std::time::Instant::now();
        let outcome = alone(&server).tags();
        assert!(outcome.is_err(), "{what}: {outcome:?}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{what}");
    }
}

#[test]
fn reg_44_documents_of_every_kind_go_and_come_byte_for_byte() {
    use sha2::Digest as _;
    let double = Double::start(Ways::default());
    let registry = alone(&double.server);
    // Fields that nobody knows, blanks, an order of its own.
    let config = Descriptor::new("application/vnd.oci.empty.v1+json", Digest::sha256(b"{}"), 2);
    registry.put(&config, &mut &b"{}"[..]).expect("stored");
    let bytes = format!(
        "{{ \"layers\":[], \"custom\" : {{\"b\":1,\"a\":[null]}},\n\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"size\":2,\"digest\":\"{}\",\"mediaType\":\"application/vnd.oci.empty.v1+json\"}}}}",
        config.digest
    );
    let manifest = Descriptor::new(MediaType::ImageManifest, Digest::sha256(bytes.as_bytes()), bytes.len() as u64);
    registry.put(&manifest, &mut bytes.as_bytes()).expect("stored");
    let nested = |children: &[&Descriptor]| {
        let index = crate::spec::ImageIndex::new(children.iter().map(|child| (*child).clone()).collect());
        let bytes = json::canonical(&index).expect("writable");
        let descriptor = Descriptor::new(MediaType::ImageIndex, Digest::sha256(&bytes), bytes.len() as u64);
        registry.put(&descriptor, &mut &bytes[..]).expect("stored");
        descriptor
    };
    let outer = nested(&[&nested(&[&manifest])]);
    registry.commit(&[named(outer.clone(), "1")]).expect("committed");
    let fresh = alone(&double.server);
    assert_eq!(fresh.read(&manifest, bytes.len()).expect("read"), bytes.as_bytes());
    assert_eq!(fresh.resolve(&crate::spec::Selector::Name("1".into())).expect("found").digest, outer.digest);
    // A blob under another algorithm.
    let hash: String = sha2::Sha512::digest(b"content").iter().map(|byte| format!("{byte:02x}")).collect();
    let sha512 = Descriptor::new(MediaType::ImageLayer, format!("sha512:{hash}").parse().expect("a digest"), 7);
    let server = Server::start(|asked| if asked.path().contains("sha512:") { Reply::new(200).body("content") } else { Reply::new(404) });
    assert_eq!(alone(&server).read(&sha512, 7).expect("proved"), b"content");
    let server = Server::start(|_| Reply::new(200).body("CONTENT"));
    assert_eq!(alone(&server).read(&sha512, 7).expect_err("damaged").kind(), ErrorKind::Corrupt);
}
