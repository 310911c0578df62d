//! Answers that are too long, too short, too slow, or none.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Image, assert_fails, endless, pull};
use crate::support::desk::Desk;
use crate::support::forge::{MANIFEST, sha256};
use crate::support::http::{Answer, Fault};
use crate::support::scripted::{Scripted, Step};

/// Pulls with the answer to requests for this in place of the right one.
fn pull_with(target: &str, answer: Answer, flags: &[&str]) -> crate::support::image::Ran {
    let (image, server) = (Image::new(), Scripted::start());
    let target = target.replace("LAYER", &sha256(&image.layer)).replace("CONFIG", &sha256(&image.config));
    server.expect(Step::new("GET", &target).always().answers(answer));
    image.serve(&server, Answer::new(200).body(image.layer.clone()));
    pull(&server.host(), &[&["--attempts", "2"], flags].concat())
}

const PLACES: [&str; 3] = ["/v2/app/manifests/*", "/v2/app/blobs/CONFIG", "/v2/app/blobs/LAYER"];

#[test]
fn reg_03_what_never_ends_is_not_read_to_its_end() {
    for place in PLACES {
        let start = Instant::now();
        let ran = pull_with(place, endless(), &[]);
        assert_ne!(ran.code, Some(0), "{place}: {ran:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{place}: {:?}", start.elapsed());
    }
    let server = Scripted::start();
    for target in ["/v2/_catalog*", "/v2/app/tags/list*", "/v2/error/tags/list*"] {
        let answer = if target.contains("error") { Answer { status: 400, ..endless() } } else { endless() };
        server.expect(Step::new("GET", target).always().answers(answer));
    }
    for place in ["", "/app", "/error"] {
        let start = Instant::now();
        let ran = Desk::new().ran(&["sync", "list", "--attempts", "2", &format!("docker://{}{place}", server.host())]);
        assert!(ran.code != Some(0) && ran.stderr.len() < 10_000, "{place}: {ran:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{place}: {:?}", start.elapsed());
    }
}

/// What stands before a registry may answer a question with the length of another form.
#[test]
fn reg_21_a_length_that_only_the_question_had_does_not_matter() {
    let (image, server) = (Image::new(), Scripted::start());
    server.expect(Step::new("HEAD", "/v2/app/manifests/*").always().answers(image.manifest_answer().fault(Fault::Declares(12_345))));
    image.serve(&server, Answer::new(200).body(image.layer.clone()));
    for flags in [&[][..], &["--platform", "linux/amd64"]] {
        let ran = pull(&server.host(), flags);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let planned = Desk::new().json(&["sync", "pull", "--dry-run", &format!("docker://{}/app:1", server.host()), "oci:out"]);
    assert_eq!((&planned["images"][0]["state"], &planned["images"][0]["digest"]), (&json!("new"), &json!(sha256(&image.manifest))), "{planned}");
}

#[test]
fn reg_26_a_host_that_fails_for_a_while_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (image, server) = (Image::new(), Scripted::start());
        server.expect(Step::new("GET", "/v2/app/blobs/*").times(2).answers(Answer::new(status)));
        image.serve(&server, Answer::new(200).body(image.layer.clone()));
        let ran = pull(&server.host(), &[]);
        assert_eq!(ran.code, Some(0), "{status}: {ran:?}");
        server.finish();
    }
    for status in [400, 403, 404, 410, 501] {
        let (image, server) = (Image::new(), Scripted::start());
        server.expect(Step::new("GET", &format!("/v2/app/blobs/{}", sha256(&image.layer))).answers(Answer::new(status)));
        image.serve(&server, Answer::new(200).body(image.layer.clone()));
        let ran = pull(&server.host(), &[]);
        assert_ne!(ran.code, Some(0), "{status}: {ran:?}");
        server.finish();
    }
}

#[test]
fn reg_26_a_host_that_is_not_there_is_unavailable_soon() {
    let host = Scripted::start().host();
    let start = Instant::now();
    assert_fails(&pull(&host, &["--attempts", "2"]), "unavailable");
    assert!(start.elapsed() < Duration::from_secs(20));
    let ran = Desk::new().ran(&["sync", "list", "--attempts", "2", "docker://registry.invalid/app", "--format", "json"]);
    assert_fails(&ran, "unavailable");
}

#[test]
fn reg_26_and_27_connections_that_hang_or_break_are_given_up_in_time() {
    let greetings = [
        Answer::raw(""),
        Answer::raw("HTTP/1.1 200"),
        Answer::raw("SSH-2.0-OpenSSH_9.2\r\n"),
        Answer::raw("").fault(Fault::Silent),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").fault(Fault::Dribbles(1, Duration::from_millis(700))),
    ];
    for greeting in greetings {
        let server = Scripted::greets(greeting.clone());
        let start = Instant::now();
        let ran = pull(&server.host(), &["--attempts", "2", "--timeout", "2s"]);
        assert_ne!(ran.code, Some(0), "{greeting:?}: {ran:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{greeting:?}: {:?}", start.elapsed());
    }
}

#[test]
fn reg_42_heads_that_are_no_heads_are_refused() {
    let image = Image::new();
    let head = "HTTP/1.1 200 OK\r\n";
    let end = format!("Content-Type: {MANIFEST}\r\nContent-Length: {}\r\n\r\n{}", image.manifest.len(), String::from_utf8_lossy(&image.manifest));
    for (what, bytes) in [
        ("a long header", format!("{head}X-Long: {}\r\n{end}", "x".repeat(1 << 20))),
        ("many headers", format!("{head}{}{end}", "X-Many: 1\r\n".repeat(10_000))),
        ("no HTTP", String::from_utf8_lossy(&image.manifest).into_owned()),
        ("informing without end", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000)),
        ("two lengths", format!("{head}Content-Length: 5\r\n{end}")),
        ("a length and chunks", format!("{head}Transfer-Encoding: chunked\r\n{end}")),
        ("no number", format!("{head}Content-Length: -1\r\n\r\n")),
        ("a length beyond all numbers", format!("{head}Content-Length: 99999999999999999999999\r\n\r\n{{}}")),
        ("a line feed in a name", format!("{head}X\u{b}Y: 1\r\nZ\0: 1\r\n{end}")),
    ] {
        let start = Instant::now();
        let ran = pull_with("/v2/app/manifests/*", Answer::raw(bytes), &["--timeout", "3s"]);
        assert_ne!(ran.code, Some(0), "{what}: {ran:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: {:?}", start.elapsed());
    }
}

#[test]
fn reg_12_names_that_come_are_never_paths_nor_commands() {
    let server = Scripted::start();
    let tags = json!({"name": "app", "tags": ["1", "../../../etc/passwd", "\u{1b}[31mred", "a b", "-flag", "", "x".repeat(200)]});
    server.expect(Step::new("GET", "/v2/app/tags/list*").always().answers(Answer::json(200, &tags)));
    let desk = Desk::new();
    let ran = desk.ran(&["sync", "list", &format!("docker://{}/app", server.host()), "--format", "json"]);
    assert_eq!((ran.code, &ran.json()["tags"]), (Some(0), &json!(["1"])), "{ran:?}");
}
