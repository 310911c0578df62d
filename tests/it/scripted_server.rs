//! The server that follows a script does so, and notices when a client does not.

use std::time::{Duration, Instant};

use crate::support::authority::Authority;
use crate::support::http::{Answer, Ask, Fault, exchange};
use crate::support::process::{Runs as _, temp};
use crate::support::scripted::{Scripted, Step};
use crate::support::tools::tool;

#[test]
fn steps_are_taken_in_turn_by_what_they_ask_for() {
    let server = Scripted::start();
    server.expect(Step::new("GET", "/v2/").without("Authorization").answers(Answer::new(401).header("WWW-Authenticate", "Basic")));
    server.expect(Step::new("GET", "/v2/").with("Authorization", "Basic *").answers(Answer::text(200, "hello")));
    server.expect(Step::new("HEAD", "/v2/*/blobs/*").answers_in_turn(vec![Answer::new(503), Answer::new(200).body("twelve bytes")]));
    server.expect(Step::new("PUT", "/*?*digest=*").answers_by(|request, turn| Answer::text(201, &format!("{turn} {}", request.body.len()))).times(2));
    server.expect(Step::new("GET", "/anything").always());
    let ask = |method: &str, target: &str| Ask::new(&server.host(), method, target);
    let challenge = ask("GET", "/v2/").send();
    assert_eq!((challenge.status, challenge.header("www-authenticate")), (401, "Basic"));
    assert_eq!(ask("GET", "/v2/").header("Authorization", "Basic x").send().text(), "hello");
    assert_eq!(ask("HEAD", "/v2/a/b/blobs/c").send().status, 503);
    let head = ask("HEAD", "/v2/a/b/blobs/c").send();
    assert_eq!((head.status, head.header("Content-Length"), head.body.len()), (200, "12", 0));
    assert_eq!(ask("PUT", "/u?digest=x").body("123").send().text(), "0 3");
    assert_eq!(ask("PUT", "/u?y&digest=x").body("12345").send().text(), "1 5");
    assert_eq!(server.finish().len(), 6);
}

#[test]
fn what_is_not_in_the_script_and_what_does_not_come_is_a_failure() {
    let finish = |server: Scripted| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.finish()));
    let server = Scripted::start();
    server.expect(Step::new("GET", "/known"));
    assert_eq!(Ask::new(&server.host(), "GET", "/unknown").send().status, 501);
    assert_eq!(Ask::new(&server.host(), "GET", "/known").send().status, 200);
    assert!(!server.seen()[0].expected && server.seen()[1].expected);
    assert!(finish(server).is_err(), "it came and was not expected");
    let server = Scripted::start();
    server.expect(Step::new("GET", "/known").with("Range", "bytes=5-"));
    assert_eq!(Ask::new(&server.host(), "GET", "/known").header("Range", "bytes=6-").send().status, 501);
    assert!(finish(server).is_err(), "it came otherwise");
    let server = Scripted::start();
    server.expect(Step::new("GET", "/known").times(2));
    Ask::new(&server.host(), "GET", "/known").send();
    assert!(finish(server).is_err(), "it came once");
}

#[test]
fn answers_go_wrong_as_they_are_told_to() {
    let get = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answered = |answer: Answer| {
        let server = Scripted::start();
        server.expect(Step::new("GET", "/x").answers(answer));
        let bytes = exchange(&server.host(), get);
        server.finish();
        String::from_utf8(bytes).expect("UTF-8")
    };
    let ten = || Answer::new(200).body("0123456789");
    assert!(answered(ten()).ends_with("Content-Length: 10\r\nConnection: close\r\n\r\n0123456789"));
    assert!(answered(ten().fault(Fault::CutAt(3))).ends_with("Content-Length: 10\r\nConnection: close\r\n\r\n012"));
    assert!(answered(ten().fault(Fault::Declares(1 << 40))).contains("Content-Length: 1099511627776\r\n"));
    assert_eq!(answered(Answer::raw("no HTTP at all")), "no HTTP at all");
    let start = Instant::now();
    assert!(answered(ten().after(Duration::from_millis(100)).fault(Fault::Dribbles(20, Duration::from_millis(10)))).ends_with("0123456789"));
    assert!(start.elapsed() > Duration::from_millis(140));
    assert_eq!(exchange(&Scripted::greets(Answer::raw("SSH-2.0-x\r\n")).host(), get), b"SSH-2.0-x\r\n");
}

#[test]
fn an_endless_and_a_silent_answer_end_with_the_server() {
    for fault in [Fault::Endless, Fault::Silent] {
        let server = Scripted::start();
        server.expect(Step::new("GET", "/x").always().answers(Answer::new(200).body("more ").fault(fault)));
        let host = server.host();
        let client = std::thread::spawn(move || exchange(&host, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").len());
        while server.seen().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        server.finish();
        assert!(start.elapsed() < Duration::from_secs(10));
        client.join().expect("it got an end");
    }
}

#[test]
fn requests_come_as_clients_send_them() {
    let server = Scripted::start();
    server.expect(Step::new("PUT", "/a").with("Host", "registry.example").times(2).answers_by(|request, _| Answer::new(200).body(request.body.clone())));
    let both = "PUT http://registry.example/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nfirst\
        PUT /a HTTP/1.1\r\nHost: registry.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=y\r\nond\r\n0\r\n\r\n";
    let answer = String::from_utf8(exchange(&server.host(), both.as_bytes())).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\n\r\nfirstHTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nsecond"), "{answer}");
    server.finish();
}

#[test]
fn tls_is_believed_by_those_who_know_the_authority_and_only_then() {
    let Some(curl) = tool("curl") else { return };
    let (home, authority) = (temp(), Authority::new("a test"));
    let file = |name: &str, text: &str| {
        let place = home.path().join(name);
        std::fs::write(&place, text).expect("writable");
        place
    };
    let known = file("known.pem", &authority.certificate());
    let other = file("other.pem", &Authority::new("another").certificate());
    let (certificate, key) = authority.issue(&["client"]).write(home.path(), "client");
    let here = || authority.issue(&["127.0.0.1"]);
    for (identity, authority_file, trusted) in [
        (here(), &known, true),
        (here(), &other, false),
        (authority.issue(&["elsewhere.example"]), &known, false),
        (authority.issue_expired(&["127.0.0.1"]), &known, false),
        (here().only_for(&Authority::new("another")), &known, false),
        (here().only_for(&authority), &known, true),
    ] {
        let server = Scripted::start_tls(&identity);
        server.expect(Step::new("GET", "/x").always().answers(Answer::text(200, "private")));
        let mut command = std::process::Command::new(&curl);
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--cacert"]).arg(authority_file);
        command.arg("--cert").arg(&certificate).arg("--key").arg(&key).arg(format!("{}/x", server.url()));
        if trusted {
            assert_eq!(command.succeeds(), "private");
        } else {
            let status = command.output().expect("curl starts").status;
            assert!(!status.success() && server.seen().is_empty(), "{status}");
        }
        server.finish();
    }
}
