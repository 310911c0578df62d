//! Being sent elsewhere.

use super::{Image, PASSWORD, assert_fails, basic, pull, trap};
use crate::support::authority::Authority;
use crate::support::desk::Desk;
use crate::support::forge::sha256;
use crate::support::http::Answer;
use crate::support::image_set::ImageSet;
use crate::support::scripted::{Scripted, Step};

/// A registry that lets nobody in without the password, and then sends everybody who wants the layer elsewhere.
fn registry(image: &Image, location: &str, status: u16) -> Scripted {
    let server = Scripted::start();
    for method in ["GET", "HEAD"] {
        let challenge = Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        server.expect(Step::new(method, "/*").without("Authorization").always().answers(challenge));
    }
    let sent_on = Answer::new(status).header("Location", location).header("Set-Cookie", "session=of-the-registry; Path=/");
    image.serve(&server, sent_on);
    server
}

#[test]
fn reg_04_and_06_another_host_or_port_gets_the_request_and_no_credential() {
    let image = Image::new();
    for status in [301, 302, 303, 307, 308] {
        for elsewhere in [Scripted::start(), Scripted::start_elsewhere()] {
            let step = Step::new("GET", "/bucket/layer?X-Amz-Signature=*").without("Authorization").without("Cookie").always();
            elsewhere.expect(step.answers(Answer::new(200).body(image.layer.clone())));
            let server = registry(&image, &format!("{}/bucket/layer?X-Amz-Signature=x", elsewhere.url()), status);
            let ran = pull(&server.host(), &[]);
            assert_eq!(ran.code, Some(0), "{status}: {ran:?}");
            server.finish();
            assert_eq!(elsewhere.finish().len(), 1);
        }
    }
}

#[test]
fn reg_04_urls_with_names_in_them_circles_and_other_schemes_are_not_followed() {
    let (image, elsewhere) = (Image::new(), trap());
    let host = elsewhere.host();
    for location in [
        format!("http://user:{PASSWORD}@{host}/x"),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/x".to_owned(),
        "http://".to_owned(),
        "http://[::1".to_owned(),
        "/v2/app/loop".to_owned(),
    ] {
        let server = registry(&image, &location, 307);
        server.expect(Step::new("GET", "/v2/app/loop").always().answers(Answer::new(307).header("Location", "/v2/app/loop")));
        let ran = pull(&server.host(), &["--attempts", "2"]);
        assert_ne!(ran.code, Some(0), "{location}: {ran:?}");
        assert!(server.seen().len() < 100, "{location}");
    }
    assert!(elsewhere.seen().iter().all(|seen| seen.request.header("Authorization").is_none()));
}

#[test]
fn reg_04_what_came_by_tls_is_not_followed_without() {
    let (image, elsewhere, authority) = (Image::new(), trap(), Authority::new("a test"));
    let server = Scripted::start_tls(&authority.issue(&["127.0.0.1"]));
    image.serve(&server, Answer::new(307).header("Location", &format!("{}/layer", elsewhere.url())));
    let file = tempfile::NamedTempFile::new().expect("writable");
    std::fs::write(file.path(), authority.certificate()).expect("writable");
    let ran = pull(&server.host(), &["--attempts", "2", "--ca-file", file.path().to_str().expect("UTF-8")]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(elsewhere.finish().is_empty());
}

#[test]
fn reg_05_who_is_sent_elsewhere_logs_in_there_as_nobody() {
    let (image, elsewhere) = (Image::new(), Scripted::start_elsewhere());
    let realm = Scripted::start_elsewhere();
    realm.expect(Step::new("GET", "/token*").always().answers(Answer::new(200).header("Content-Type", "application/json").body("{\"token\":\"for-nobody\"}")));
    let challenge = Answer::new(401).header("WWW-Authenticate", &format!("Bearer realm=\"{}/token\",service=\"x\"", realm.url()));
    elsewhere.expect(Step::new("GET", "/layer").without("Authorization").always().answers(challenge));
    elsewhere.expect(Step::new("GET", "/layer").with("Authorization", "Bearer for-nobody").always().answers(Answer::new(200).body(image.layer.clone())));
    let server = registry(&image, &format!("{}/layer", elsewhere.url()), 307);
    let ran = pull(&server.host(), &["--attempts", "2"]);
    // It may give up or ask as nobody; what it never does is bring what it has for the registry.
    assert!(matches!(ran.code, Some(0 | 7)), "{ran:?}");
    for seen in elsewhere.seen().iter().chain(&realm.seen()) {
        assert!(seen.request.header("Authorization").is_none_or(|value| value == "Bearer for-nobody"), "{seen:?}");
    }
}

/// Pushes an image to a server that takes it, but says that uploads go on at this place.
fn push(server: &Scripted, location: &str, flags: &[&str]) -> crate::support::image::Ran {
    let set = ImageSet::new(1, 1_000);
    let desk = Desk::new();
    desk.log_in(&server.host(), super::USER, PASSWORD);
    server.expect(Step::new("GET", "/v2/").without("Authorization").always().answers(Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")));
    for method in ["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"] {
        server.expect(Step::new(method, "/*").without("Authorization").always().answers(Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")));
    }
    server.expect(Step::new("HEAD", "/*").always().answers(Answer::new(404)));
    server.expect(Step::new("POST", "/v2/app/blobs/uploads/").always().answers(Answer::new(202).header("Location", location)));
    server.expect(Step::new("PUT", "/v2/app/blobs/uploads/session?keep=this&digest=*").always().answers_by(|request, _| {
        let digest = sha256(&request.body);
        Answer::new(201).header("Docker-Content-Digest", &digest).header("Location", &format!("/v2/app/blobs/{digest}"))
    }));
    server.expect(
        Step::new("PUT", "/v2/app/manifests/*").always().answers_by(|request, _| Answer::new(201).header("Docker-Content-Digest", &sha256(&request.body))),
    );
    let from = format!("oci:{}:registry.example/team/app-000:1.0", set.layout().display());
    let to = format!("docker://{}/app:1", server.host());
    desk.ran(&[&["sync", "push", &from, &to, "--upload", "single", "--attempts", "2", "--format", "json"], flags].concat())
}

#[test]
fn reg_07_uploads_go_on_at_the_host_where_they_began() {
    for relative in [true, false] {
        let server = Scripted::start();
        let place = "/v2/app/blobs/uploads/session?keep=this";
        let location = if relative { place.to_owned() } else { format!("{}{place}", server.url()) };
        push(&server, &location, &[]);
        let puts: Vec<_> = server.seen().into_iter().filter(|seen| seen.request.method == "PUT" && seen.request.path.contains("/uploads/")).collect();
        assert_eq!(puts.len(), 5, "{puts:?}");
        assert!(puts.iter().all(|seen| seen.request.header("Authorization") == Some(&basic())));
    }
}

#[test]
fn reg_07_uploads_that_are_to_go_on_elsewhere_do_not() {
    let elsewhere = trap();
    let other_port = Scripted::start();
    for location in [
        format!("{}/v2/app/blobs/uploads/session", elsewhere.url()),
        format!("{}/v2/app/blobs/uploads/session", other_port.url()),
        format!("http://user:password@{}/session", elsewhere.host()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        String::new(),
    ] {
        let server = Scripted::start();
        let ran = push(&server, &location, &[]);
        assert_ne!(ran.code, Some(0), "{location}: {ran:?}");
        assert!(!server.seen().iter().any(|seen| seen.request.path.contains("/manifests/") && seen.request.method == "PUT"), "{location}");
    }
    for server in [elsewhere, other_port] {
        for request in server.finish() {
            assert_eq!((request.header("Authorization"), request.body.len()), (None, 0), "{request:?}");
        }
    }
}

/// Behind a proxy a name can be anybody's: this one is a registry of the world.
#[test]
fn reg_09_a_registry_of_the_world_does_not_send_us_into_our_own_network() {
    let (image, inside) = (Image::new(), Scripted::start_elsewhere());
    inside.expect(Step::new("GET", "/*").always().answers(Answer::new(200).body(image.layer.clone())));
    for target in [format!("{}/layer", inside.url()), inside.url().replace("127.0.0.2", "2130706434"), inside.url().replace("127.0.0.2", "localhost")] {
        let proxy = Scripted::start();
        // What comes behind it on the same connection is for the registry, which this one is too.
        proxy.expect(Step::new("CONNECT", "registry.example:80").always());
        image.serve(&proxy, Answer::new(307).header("Location", &target));
        let desk = Desk::new();
        let mut pull = desk.larder(&["sync", "pull", "--plain-http", "--attempts", "2", "docker://registry.example/app:1", "oci:out"]);
        let ran = pull.env("http_proxy", proxy.url()).output().expect("it starts");
        assert!(!ran.status.success(), "{target}: {ran:?}");
        assert!(proxy.seen().iter().any(|seen| seen.request.path.contains("/blobs/")), "{:?}", String::from_utf8_lossy(&ran.stderr));
    }
    assert!(inside.seen().is_empty(), "{:?}", inside.seen());
}

#[test]
fn reg_15_lists_go_on_at_the_same_host_only() {
    let elsewhere = trap();
    let server = Scripted::start();
    let page = Answer::new(200).header("Content-Type", "application/json").body("{\"name\":\"app\",\"tags\":[\"1\"]}");
    let link = format!("<{}/v2/app/tags/list?last=1>; rel=\"next\"", elsewhere.url());
    server.expect(Step::new("GET", "/v2/app/tags/list").always().answers(page.header("Link", &link)));
    let desk = Desk::new();
    let ran = desk.ran(&["sync", "list", &format!("docker://{}/app", server.host()), "--format", "json"]);
    assert_fails(&ran, "denied");
    assert!(elsewhere.finish().is_empty());
}
