//! Blobs in and out.

use std::time::Duration;

use super::{Client, error, view};
use crate::support::artifactory::{Artifactory, Drop, Listener, Mounting, RateLimit, Setup};
use crate::support::forge::sha256;
use crate::support::http::{Ask, Reply, exchange};

fn begin(client: &Client) -> String {
    let begun = client.ask("POST", "app/blobs/uploads/").send();
    assert_eq!((begun.status, begun.header("Range"), begun.header("Content-Length")), (202, "", "0"), "{begun:?}");
    assert!(begun.header("Location").contains(begun.header("Docker-Upload-Uuid")) && !begun.header("Docker-Upload-Uuid").is_empty());
    begun.header("Location").to_owned()
}

fn get(client: &Client, digest: &str) -> Reply {
    client.ask("GET", &format!("app/blobs/{digest}")).send()
}

#[test]
fn a_blob_comes_in_one_piece_in_chunks_or_with_the_first_request() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    client.blob("app", b"one piece");
    let first = begin(&client);
    let patched = client.follow("PATCH", &first).header("Content-Range", "0-4").body("01234").send();
    assert_eq!((patched.status, patched.header("Range")), (202, "0-4"), "{patched:?}");
    let second = patched.header("Location");
    let wrong = client.follow("PATCH", second).header("Content-Range", "6-9").body("6789").send();
    assert_eq!((wrong.status, wrong.body.len()), (416, 0));
    assert_eq!(error(&client.follow("PATCH", &first).body("again").send()).1, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(client.follow("GET", second).send().status, 404);
    assert_eq!(client.follow("DELETE", second).send().status, 405);
    let patched = client.follow("PATCH", second).body("567").send();
    assert_eq!(patched.header("Range"), "0-7");
    let digest = sha256(b"0123456789");
    let put = client.follow("PUT", &format!("{}?digest={digest}", patched.header("Location"))).body("89").send();
    assert_eq!((put.status, put.header("Docker-Content-Digest")), (201, digest.as_str()));
    assert_eq!(client.follow("GET", put.header("Location")).send().text(), "0123456789");
    let at_once = sha256(b"at once");
    assert_eq!(client.ask("POST", &format!("app/blobs/uploads/?digest={at_once}")).body("at once").send().status, 201);
    assert_eq!(get(&client, &at_once).text(), "at once");
    let uploads = view(&artifactory, "docker-local/app/_uploads");
    assert_eq!(uploads.len(), 3);
    assert!(uploads.contains(&at_once.replace(':', "__")), "{uploads:?}");
}

#[test]
fn what_is_not_what_it_is_said_to_be_is_refused() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let put = |digest: &str| client.follow("PUT", &format!("{}?digest={digest}", begin(&client))).body("content").send();
    assert_eq!(error(&put(&sha256(b"other"))).1, "BLOB_UPLOAD_INVALID");
    assert_eq!(error(&put("sha256:12")).1, "DIGEST_INVALID");
    assert_eq!(error(&get(&client, &sha256(b"other"))).1, "BLOB_UNKNOWN");
    assert_eq!(error(&client.ask("DELETE", &format!("app/blobs/{}", sha256(b"x"))).send()).0, 405);
    for (repository, message) in [
        ("docker-remote", "Unable to upload blobs to a remote repository."),
        ("docker-union", "No local repository is configured for deployment to this virtual repository."),
    ] {
        let refused = Client::new(&artifactory, repository).ask("POST", "app/blobs/uploads/").send();
        assert_eq!(error(&refused), (400, "400".into(), message.into()));
    }
}

#[test]
fn a_blob_is_described_and_given_in_parts() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let digest = client.blob("app", b"0123456789")["digest"].as_str().expect("a digest").to_owned();
    // Another image of the repository leads to it too.
    let head = client.ask("HEAD", &format!("other/blobs/{digest}")).send();
    assert_eq!((head.status, head.header("Content-Length"), head.header("Docker-Content-Digest")), (200, "10", digest.as_str()));
    assert_eq!((head.header("ETag"), head.header("X-Checksum-Md5")), ("87acec17cd9dcd20a716cc2cf67417b71c8a7016", "781e5e245d69b566979b86e28d23f2c7"));
    for (range, status, body, content_range) in [
        ("bytes=4-", 206, "456789", "bytes 4-9/10"),
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=8-100", 206, "89", "bytes 8-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let part = client.ask("GET", &format!("app/blobs/{digest}")).header("Range", range).send();
        assert_eq!((part.status, part.text().as_str(), part.header("Content-Range")), (status, body, content_range));
    }
    let empty_layer = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";
    assert_eq!(sha256(&get(&client, empty_layer).body), empty_layer);
}

#[test]
fn blobs_are_mounted_from_wherever_they_can_be_read() {
    let artifactory = Artifactory::start(Setup::release());
    let digest = Client::new(&artifactory, "docker-target").blob("elsewhere", b"content")["digest"].as_str().expect("a digest").to_owned();
    let client = Client::new(&artifactory, "docker-local");
    let mount = |digest: &str| client.ask("POST", &format!("app/blobs/uploads/?mount={digest}&from=docker-target/elsewhere")).send();
    artifactory.switch(|switches| switches.mount = Mounting::Off);
    assert_eq!(mount(&digest).status, 202);
    artifactory.switch(|switches| switches.mount = Mounting::Unauthorized);
    assert_eq!(mount(&digest).status, 401);
    artifactory.switch(|switches| switches.mount = Mounting::Works);
    assert_eq!(mount(&sha256(b"absent")).status, 202);
    assert_eq!(get(&client, &digest).status, 404);
    assert_eq!(mount(&digest).status, 201);
    assert_eq!(get(&client, &digest).text(), "content");
}

#[test]
fn content_that_no_manifest_asks_for_goes_after_a_day() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    client.image("app", Some("1"), "adopted");
    let lost = client.blob("app", b"lost")["digest"].as_str().expect("a digest").to_owned();
    artifactory.pass(Duration::from_secs(23 * 3600));
    assert_eq!(get(&client, &lost).status, 200);
    artifactory.pass(Duration::from_secs(2 * 3600));
    assert_eq!((get(&client, &lost).status, get(&client, &sha256(b"adopted")).status), (404, 200));
    assert!(!artifactory.storage().join("docker-local/app/_uploads").exists());
}

#[test]
fn old_and_clustered_servers_lose_uploads() {
    let artifactory = Artifactory::start(Setup::release().switch(|switches| switches.legacy_monolithic_404 = true));
    let client = Client::new(&artifactory, "docker-local");
    let digest = sha256(b"content");
    let at_once = |agent: &str| client.follow("PUT", &format!("{}?digest={digest}", begin(&client))).header("User-Agent", agent).body("content").send();
    assert_eq!(error(&at_once("larder/0.1")), (404, "BLOB_UNKNOWN".into(), "The named blob is not known to the registry.".into()));
    assert_eq!(at_once("docker/1.13.1 go/go1.7").status, 201);
    let stream = || {
        let patched = client.follow("PATCH", &begin(&client)).body("content").send();
        if patched.status == 404 { patched } else { client.follow("PUT", &format!("{}?digest={digest}", patched.header("Location"))).send() }
    };
    artifactory.switch(|switches| switches.flaky_patch_404 = 1);
    assert_eq!((error(&stream()).1.as_str(), stream().status), ("BLOB_UPLOAD_UNKNOWN", 201));
}

#[test]
fn blobs_can_be_in_an_object_store_that_wants_no_credentials() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let digest = client.blob("app", b"content")["digest"].as_str().expect("a digest").to_owned();
    for status in [302, 307] {
        artifactory.switch(|switches| switches.s3_redirect = Some(status));
        let sent_on = get(&client, &digest);
        assert_eq!(sent_on.status, status);
        assert_eq!(client.ask("HEAD", &format!("app/blobs/{digest}")).send().status, 200);
        let (host, target) = sent_on.header("Location").strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
        assert_ne!(host, artifactory.host());
        let fetch = |target: &str, headers: &[&str]| {
            let ask = Ask::new(host, "GET", &format!("/{target}"));
            headers.iter().fold(ask, |ask, name| ask.header(name, "x")).send()
        };
        assert_eq!(fetch(target, &[]).text(), "content");
        assert_eq!(fetch(target.split_once('?').expect("a signature").0, &[]).status, 403);
        for name in ["Authorization", "X-JFrog-Art-Api", "Cookie"] {
            let refused = fetch(target, &[name]);
            assert!(refused.status == 400 && refused.text().contains("Only one auth mechanism allowed"), "{refused:?}");
        }
    }
    assert_eq!(artifactory.log().iter().filter(|entry| entry.listener == Listener::Store && entry.status == 400).count(), 6);
}

#[test]
fn limits_are_kept_and_connections_break() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    artifactory.switch(|switches| switches.rate_limit = Some(RateLimit { path: "/manifests/".into(), times: 1, retry_after: "7".into() }));
    let limited = client.ask("GET", "app/manifests/1").send();
    assert_eq!((limited.status, limited.header("Retry-After")), (429, "7"));
    assert!(limited.text().contains("You reached the request rate limit set by the Artifactory registry."));
    assert_eq!(client.ask("GET", "app/manifests/1").send().status, 404);
    artifactory.switch(|switches| switches.body_limit = Some(4));
    let refused = client.follow("PUT", &format!("{}?digest={}", begin(&client), sha256(b"content"))).body("content").send();
    assert_eq!((refused.status, refused.header("Content-Type")), (413, "text/html"));
    artifactory.switch(|switches| {
        switches.body_limit = None;
        switches.drop_connection = Some(Drop { method: "PATCH".into(), path: "/blobs/".into(), after: 3, times: 1 });
    });
    let place = begin(&client);
    let target = place.split_once("127.0.0.1").and_then(|(_, rest)| rest.split_once('/')).expect("a URL").1;
    let request = format!("PATCH /{target} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 7\r\n\r\ncontent", client.authorization);
    assert_eq!(exchange(&artifactory.host(), request.as_bytes()), b"");
    assert_eq!(client.follow("PATCH", &place).body("content").send().status, 202);
    let digest = client.blob("app", b"0123456789")["digest"].as_str().expect("a digest").to_owned();
    artifactory.switch(|switches| switches.drop_connection = Some(Drop { method: "GET".into(), path: digest.clone(), after: 4, times: 1 }));
    let cut = get(&client, &digest);
    assert_eq!((cut.header("Content-Length"), cut.text().as_str()), ("10", "0123"));
    assert_eq!(get(&client, &digest).text(), "0123456789");
}
