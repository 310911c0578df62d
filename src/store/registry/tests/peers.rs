//! What stands on the other side of a connection, or in between: proxies, and peers that do not speak TLS as they should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::server::Reply;
use super::*;
use crate::error::ErrorKind;
use crate::store::registry::{Certificates, HostSettings, Proxies, Secret, Security};

/// A proxy that answers `answer` to CONNECT, and on 200 lets everything through to `to`. What it was asked for is noted.
fn proxy(to: String, answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (to, noted) = (to.clone(), noted.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
                noted.lock().expect("unpoisoned").push(head);
                let mut stream = stream;
                if stream.write_all(answer.as_bytes()).is_err() || !answer.starts_with("HTTP/1.1 200") {
                    return;
                }
                let mut onward = TcpStream::connect(to).expect("the server");
                let mut back = onward.try_clone().expect("a handle");
                let mut out = stream.try_clone().expect("a handle");
                std::thread::spawn(move || std::io::copy(&mut back, &mut out));
                let _ = std::io::copy(&mut reader, &mut onward);
            });
        }
    });
    (address, asked)
}

/// Settings for a host that is reached through a proxy, without TLS.
fn through(proxy: &str) -> Settings {
    let mut settings = settings();
    settings.defaults = HostSettings { security: Security::Plain, ..HostSettings::default() };
    settings.proxies = Proxies { http: Some(Secret::new(format!("http://me:hunter2@{proxy}"))), ..Proxies::default() };
    settings
}

#[test]
fn reg_39_a_proxy_leads_to_the_registry() {
    let server = Server::start(|_| Reply::new(200).body(r#"{"tags":["1"]}"#));
    let (address, asked) = proxy(server.host(), "HTTP/1.1 200 Connection established\r\n\r\n");
    let registry = network(through(&address)).repository(&"registry.example:5000/a".parse().expect("a reference")).expect("usable");
    assert_eq!(registry.tags().expect("listed"), ["1"]);
    let head = asked.lock().expect("unpoisoned")[0].to_ascii_lowercase();
    assert!(head.starts_with("connect registry.example:5000 http/1.1\r\n"), "{head}");
    let expected = format!("proxy-authorization: basic {}", crate::spec::base64::encode(b"me:hunter2")).to_ascii_lowercase();
    assert!(head.contains(&expected), "{head}");
    assert_eq!(server.asked()[0].header("host"), Some("registry.example:5000"));
    assert!(server.asked()[0].header("proxy-authorization").is_none());
}

#[test]
fn reg_39_a_proxy_that_refuses_says_so_and_its_password_is_not_shown() {
    for answer in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n", "nonsense\r\n\r\n"] {
        let (address, _) = proxy(String::new(), answer);
        let error = network(through(&address)).repository(&"registry.example/a".parse().expect("a reference")).expect("usable").tags().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{answer}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let (address, asked) = proxy(String::new(), "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let error = network(through(&address)).repository(&"registry.example/a".parse().expect("a reference")).expect("usable").tags().expect_err("refused");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("HTTP_PROXY")), "{error:?}");
    assert_eq!(asked.lock().expect("unpoisoned").len(), 1, "once is enough to know");
}

/// Somebody who sends `greeting` to whoever connects, and then nothing.
fn peer(greeting: &'static [u8], stays: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(greeting);
                std::thread::sleep(stays);
            });
        }
    });
    address
}

fn insisting_on_tls() -> Settings {
    let mut settings = settings();
    let authorities = vec![include_bytes!("authority.pem").to_vec()];
    settings.defaults = HostSettings { security: Security::Verified(Certificates { authorities, client: None }), ..HostSettings::default() };
    settings.patience.connect = Duration::from_millis(400);
    settings.patience.attempts = std::num::NonZeroUsize::new(2).expect("not zero");
    settings
}

#[test]
fn reg_41_and_27_a_handshake_that_comes_to_nothing_ends() {
    for (what, greeting, stays) in [
        ("another protocol", &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Duration::ZERO),
        ("the end", &[21, 3, 3, 0, 2, 1, 0], Duration::from_secs(20)),
        ("an alert", &[21, 3, 3, 0, 2, 2, 40], Duration::from_secs(20)),
        ("half a record", &[22, 3, 3, 0x40, 0], Duration::from_secs(20)),
        ("nothing", &[], Duration::from_secs(20)),
        ("nothing at all", &[], Duration::ZERO),
    ] {
        let address = peer(greeting, stays);
        let begun = Instant::now();
        let registry = network(insisting_on_tls()).repository(&format!("{address}/a").parse().expect("a reference")).expect("usable");
        let error = registry.tags().expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn reg_43_what_speaks_no_tls_is_not_spoken_to_without_it() {
    let server = Server::start(|_| Reply::new(200).body(r#"{"tags":["1"]}"#));
    let registry = repository(&network(insisting_on_tls()), &server, "a");
    let error = registry.tags().expect_err("no TLS");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--plain-http")), "{error:?}");
    assert!(server.asked().is_empty());
    let mut settings = settings();
    settings.defaults = HostSettings { security: Security::Insecure(Certificates::default()), ..HostSettings::default() };
    assert_eq!(repository(&network(settings), &server, "a").tags().expect("as it was wanted"), ["1"]);
}

#[test]
fn where_tls_need_not_be_silence_is_no_tls() {
    // It waits for the end of a line that never comes.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if reader.read_until(b'\n', &mut head).map_or(true, |count| count == 0) {
                        return;
                    }
                }
                let mut stream = stream;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"tags\":[\"1\"]}");
            });
        }
    });
    let mut settings = insisting_on_tls();
    settings.defaults = HostSettings { security: Security::Insecure(Certificates::default()), ..HostSettings::default() };
    let registry = network(settings).repository(&format!("{address}/a").parse().expect("a reference")).expect("usable");
    assert_eq!(registry.tags().expect("without TLS"), ["1"]);
}

#[test]
fn reg_40_insecure_is_one_host_and_nobody_it_points_to() {
    // The host may have any certificate; the one that it points to must have a good one, and does not even speak TLS.
    let other = Server::start(|_| Reply::new(200).body(r#"{"tags":["evil"]}"#));
    let place = format!("https://{}/x", other.host());
    let server = Server::start(move |_| Reply::new(302).header("Location", place.clone()));
    let mut settings = settings();
    settings.hosts.insert(server.host(), HostSettings { security: Security::Insecure(Certificates::default()), ..HostSettings::default() });
    let error = repository(&network(settings), &server, "a").tags().expect_err("no TLS there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(other.asked().is_empty());
}

#[test]
fn settings_that_cannot_be_used_are_refused_where_they_are_first_needed() {
    let server = Server::start(|_| Reply::new(200));
    for certificates in [
        Certificates { authorities: vec![b"nothing".to_vec()], client: None },
        Certificates {
            authorities: vec![include_bytes!("authority.pem").to_vec()],
            client: Some(crate::store::registry::ClientCertificate { chain: b"nothing".to_vec(), key: Secret::new("the secret key") }),
        },
    ] {
        let mut settings = settings();
        settings.defaults = HostSettings { security: Security::Verified(certificates), ..HostSettings::default() };
        let error = repository(&network(settings), &server, "a").tags().expect_err("no certificate");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!format!("{error:?}").contains("the secret key"));
    }
}
