//! Certificates that prove nothing, and peers that do not speak TLS.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Image, assert_fails, pull};
use crate::support::authority::{Authority, Identity};
use crate::support::desk::Desk;
use crate::support::http::{Answer, Fault};
use crate::support::process::{Companion, temp};
use crate::support::scripted::{Scripted, Step};
use crate::support::tools::tool;

/// A registry that has the image.
fn registry(identity: &Identity) -> Scripted {
    let (image, server) = (Image::new(), Scripted::start_tls(identity));
    image.serve(&server, Answer::new(200).body(image.layer.clone()));
    server
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    std::fs::write(&file, text).expect("writable");
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn reg_40_only_a_certificate_that_proves_it_is_believed() {
    let (home, authority, other) = (temp(), Authority::new("a test"), Authority::new("another"));
    let known = write(home.path(), "ca.crt", &authority.certificate());
    let here = || authority.issue(&["127.0.0.1"]);
    let trusting = ["--ca-file", known.as_str(), "--attempts", "2"];
    assert_eq!(pull(&registry(&here()).host(), &trusting).code, Some(0));
    for (what, identity) in [
        ("another authority", other.issue(&["127.0.0.1"])),
        ("another host", authority.issue(&["registry.example"])),
        ("expired", authority.issue_expired(&["127.0.0.1"])),
    ] {
        let server = registry(&identity);
        let ran = pull(&server.host(), &trusting);
        assert_fails(&ran, "unavailable");
        assert!(format!("{ran:?}").contains("certificate"), "{what}: {ran:?}");
        assert!(server.seen().is_empty(), "{what}");
        // Who says so takes any.
        assert_eq!(pull(&server.host(), &["--insecure"]).code, Some(0), "{what}");
    }
    // Where the system keeps its authorities counts too.
    let desk = Desk::new();
    let server = registry(&here());
    let place = format!("docker://{}/app:1", server.host());
    let ours = write(home.path(), "system.crt", &other.certificate());
    let ran = desk.larder(&["sync", "pull", "--ca-file", &known, &place, "oci:out"]).env("SSL_CERT_FILE", ours).output().expect("it starts");
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn reg_40_a_registry_that_wants_a_certificate_gets_the_one_that_was_given() {
    let (home, authority) = (temp(), Authority::new("a test"));
    let known = write(home.path(), "ca.crt", &authority.certificate());
    let (certificate, key) = authority.issue(&["client"]).write(home.path(), "client");
    let (stranger, stranger_key) = Authority::new("another").issue(&["client"]).write(home.path(), "stranger");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let server = registry(&authority.issue(&["127.0.0.1"]).only_for(&authority));
    let with = |certificate: &Path, key: &Path| {
        pull(&server.host(), &["--attempts", "2", "--ca-file", &known, "--client-cert", &text(certificate), "--client-key", &text(key)])
    };
    assert_eq!(with(&certificate, &key).code, Some(0));
    assert_ne!(with(&stranger, &stranger_key).code, Some(0));
    assert_ne!(pull(&server.host(), &["--attempts", "2", "--ca-file", &known]).code, Some(0));
}

#[test]
fn reg_40_insecure_is_for_the_registry_that_is_named_and_for_no_other() {
    let (image, authority) = (Image::new(), Authority::new("nobody knows it"));
    let elsewhere = Scripted::start_tls(&authority.issue(&["127.0.0.1"]));
    elsewhere.expect(Step::new("GET", "/layer").always().answers(Answer::new(200).body(image.layer.clone())));
    let server = Scripted::start_tls(&authority.issue(&["127.0.0.1"]));
    image.serve(&server, Answer::new(307).header("Location", &format!("{}/layer", elsewhere.url())));
    let ran = pull(&server.host(), &["--attempts", "2", "--insecure"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(elsewhere.finish().is_empty());
}

#[test]
fn reg_40_protocols_of_old_are_not_spoken() {
    let (Some(openssl), home, authority) = (tool("openssl"), temp(), Authority::new("a test")) else { return };
    let (certificate, key) = authority.issue(&["127.0.0.1"]).write(home.path(), "server");
    let known = write(home.path(), "ca.crt", &authority.certificate());
    let port = { Scripted::start().host().rsplit(':').next().expect("a port").to_owned() };
    let mut command = Command::new(openssl);
    command.args(["s_server", "-quiet", "-www", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-accept", &format!("127.0.0.1:{port}"), "-cert"]);
    let mut server = Companion::start(command.arg(certificate).arg("-key").arg(key));
    server.wait_until("it listens", |_| std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    let ran = pull(&format!("127.0.0.1:{port}"), &["--attempts", "2", "--timeout", "5s", "--ca-file", &known]);
    assert_fails(&ran, "unavailable");
}

#[test]
fn reg_41_handshakes_that_go_wrong_end() {
    let home = temp();
    let known = write(home.path(), "ca.crt", &Authority::new("a test").certificate());
    // An alert that all is over, records of no length, one that never ends, and the answer of one who does not speak TLS at all.
    let alert = [0x15, 3, 3, 0, 2, 1, 0];
    let empty = [0x16, 3, 3, 0, 0].repeat(10_000);
    let slow = [0x16, 3, 3, 0x40, 0].iter().chain([2; 2000].iter()).copied().collect::<Vec<u8>>();
    for (what, greeting) in [
        ("an alert", Answer::raw(alert)),
        ("empty records", Answer::raw(empty)),
        ("a byte at a time", Answer::raw([]).body(slow).fault(Fault::Dribbles(1, Duration::from_millis(300)))),
        ("nothing", Answer::raw([]).fault(Fault::Silent)),
        ("no TLS", Answer::raw("HTTP/1.1 400 Bad Request\r\n\r\n")),
    ] {
        let server = Scripted::greets(greeting);
        let start = Instant::now();
        let ran = pull(&server.host(), &["--attempts", "2", "--timeout", "2s", "--ca-file", &known]);
        assert_fails(&ran, "unavailable");
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: {:?}", start.elapsed());
    }
}

#[test]
fn reg_43_nothing_is_said_in_the_clear_that_was_to_be_hidden() {
    let home = temp();
    let known = write(home.path(), "ca.crt", &Authority::new("a test").certificate());
    let (image, server) = (Image::new(), Scripted::start());
    image.serve(&server, Answer::new(200).body(image.layer.clone()));
    assert_fails(&pull(&server.host(), &["--attempts", "2", "--ca-file", &known]), "unavailable");
    assert!(server.seen().is_empty(), "{:?}", server.seen());
    // A host of the world is asked by TLS alone, which a proxy has to let through.
    let proxy = Scripted::start();
    proxy.expect(Step::new("CONNECT", "*").always().answers(Answer::new(403)));
    let desk = Desk::new();
    desk.log_in("registry.example", super::USER, super::PASSWORD);
    let mut list = desk.larder(&["sync", "list", "--attempts", "2", "docker://registry.example/app"]);
    let ran = list.env("http_proxy", proxy.url()).env("https_proxy", proxy.url()).output().expect("it starts");
    assert!(!ran.status.success(), "{ran:?}");
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.request.method == "CONNECT" && seen.request.header("Authorization").is_none()), "{seen:?}");
}
