//! Waiting, trying again, and not asking for too much.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::server::Reply;
use super::*;
use crate::error::ErrorKind;
use crate::exec::{Event, Events, Observer};
use crate::store::registry::{Authorization, HostSettings, Method, Repeat, Rest, Which};

const TAGS: &str = r#"{"tags":["1"]}"#;

/// A server whose nth answer is `answers[n]`, and then a list of tags.
fn answering(answers: Vec<Reply>) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| answers.get(count.fetch_add(1, Ordering::SeqCst)).cloned().unwrap_or_else(|| Reply::new(200).body(TAGS)))
}

/// What answers hold is given back before more is asked for.
#[test]
fn one_request_at_a_time_is_enough() {
    let double = Double::start(Ways::default());
    let entry = push(&alone(&double.server), b"layer", "1");
    let state = double.state.clone();
    // It says of nothing what digest it has, so that it has to be read.
    let server = Server::start(move |asked| match (asked.method.as_str(), asked.path().contains("/manifests/")) {
        ("HEAD", true) => Reply::new(200),
        _ => state.lock().expect("unpoisoned").answer_for_tests(asked),
    });
    let defaults = HostSettings { transfers: NonZeroUsize::MIN, ..HostSettings::default() };
    let registry = repository(&network(Settings { defaults, ..settings() }), &server, "team/app");
    let (sender, found) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(registry.manifest(Which::Tag("1")).map(|found| found.map(|found| found.digest))));
    let found = found.recv_timeout(Duration::from_secs(10)).expect("it does not wait for itself").expect("answered");
    assert_eq!(found, Some(entry.digest));
}

#[test]
fn reg_26_what_may_pass_is_tried_again_and_else_it_is_told() {
    let passing = [408, 429, 500, 502, 503, 504].map(Reply::new);
    for reply in passing {
        let server = answering(vec![reply.clone(), reply]);
        alone(&server).tags().expect("the third time");
        assert_eq!(server.lines().len(), 3);
    }
    for status in [400, 403, 404, 405, 409, 410, 418, 501, 505] {
        let server = answering(vec![Reply::new(status); 9]);
        alone(&server).tags().expect_err("final");
        assert_eq!(server.lines().len(), 1, "{status}");
    }
    let server = answering(vec![Reply::new(503); 99]);
    let error = alone(&server).tags().expect_err("it stays so");
    assert_eq!((error.kind(), server.lines().len()), (ErrorKind::Unavailable, 4));
    assert!(error.causes().iter().any(|cause| cause.contains("503")), "{error:?}");
}

#[test]
fn reg_26_broken_connections_are_made_anew() {
    for broken in [Reply::raw(""), Reply::raw("HTTP/1.1 200"), Reply::new(200).body(TAGS).cut(3)] {
        let server = answering(vec![broken]);
        match alone(&server).tags() {
            Ok(tags) => assert_eq!(tags, ["1"]),
            // A list that broke in the middle is asked for again by whoever wants it.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
    }
    let gone = Server::start(|_| Reply::new(200));
    let host = gone.host();
    drop(gone);
    let network = network(settings());
    let error = network.repository(&format!("{host}/a").parse().expect("a reference")).expect("usable").tags().expect_err("nobody listens");
    assert_eq!((error.kind(), network.traffic().requests), (ErrorKind::Unavailable, 4));
    assert!(error.causes().iter().any(|cause| cause.contains("4 times")), "{error:?}");
    let error = network.repository(&"no-such-host.invalid/a".parse().expect("a reference")).expect("usable").tags().expect_err("no such name");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn reg_25_a_host_that_asks_for_patience_gets_it_from_all() {
    // Seconds, which are more than we wait; a date of the past; nonsense.
    for (asked, least, most) in [("1", 200, 900), ("1000000000", 200, 900), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 400), ("soon", 0, 400)] {
        let server = answering(vec![Reply::new(429).header("Retry-After", asked)]);
        let begun = Instant::now();
        alone(&server).tags().expect("after a while");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(least) && took < Duration::from_millis(most + 1000), "{asked}: {took:?}");
    }
    let network = network(settings());
    let server = answering(vec![Reply::new(429).header("Retry-After", "1")]);
    let registry = repository(&network, &server, "team/app");
    let times = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| registry.tags().expect("after a while"));
        while server.asked().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(30));
        for _ in 0..8 {
            scope.spawn(|| {
                registry.tags().expect("after a while");
                times.lock().expect("unpoisoned").push(begun.elapsed());
            });
        }
    });
    assert!(times.into_inner().expect("unpoisoned").iter().all(|time| *time >= Duration::from_millis(190)), "nobody asks meanwhile");
}

#[test]
fn there_is_an_end_to_all_patience() {
    let mut settings = settings();
    settings.patience.attempts = NonZeroUsize::new(1000).expect("not zero");
    settings.patience.first_wait = Duration::from_millis(100);
    settings.patience.deadline = Duration::from_millis(300);
    let server = answering(vec![Reply::new(503); 999]);
    let begun = Instant::now();
    repository(&network(settings), &server, "a").tags().expect_err("it stays so");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn who_waits_stops_at_once_when_asked_to() {
    let mut settings = settings();
    settings.patience.first_wait = Duration::from_secs(60);
    settings.patience.longest_wait = Duration::from_secs(60);
    settings.patience.answer = Duration::from_secs(60);
    settings.patience.idle = Duration::from_secs(60);
    settings.patience.deadline = Duration::from_secs(600);
    for reply in [Reply::new(503), Reply::new(200).body(TAGS).after(Duration::from_secs(10)), Reply::new(200).body(TAGS).stalling(2)] {
        let server = answering(vec![reply; 9]);
        let run = run();
        let network = Network::new(settings.clone(), &run).expect("usable");
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(100));
                run.cancel.cancel();
            });
            let error = repository(&network, &server, "a").tags().expect_err("nobody wants it");
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error:?}");
        });
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

fn call(server: &Server, repeat: Repeat) -> Rest {
    Rest {
        method: Method::Post,
        url: format!("http://{}/api/promote?x=1", server.host()),
        authorization: Authorization::Bearer(crate::store::registry::Secret::new("secret-token")),
        body: Some(("application/json".into(), b"{}".to_vec())),
        repeat,
    }
}

#[test]
fn what_must_not_be_done_twice_is_repeated_only_where_nothing_was_done() {
    for (reply, repeat, requests, ends_well) in [
        (Reply::new(503), Repeat::Never, 1, false),
        (Reply::new(503), Repeat::Safe, 2, true),
        (Reply::new(429), Repeat::Never, 2, true),
        (Reply::raw(""), Repeat::Never, 1, false),
        (Reply::raw(""), Repeat::Safe, 2, true),
    ] {
        let server = answering(vec![reply]);
        let outcome = network(settings()).rest(&call(&server, repeat));
        assert_eq!((outcome.is_ok(), server.asked().len()), (ends_well, requests), "{repeat:?} {outcome:?}");
        let asked = &server.asked()[0];
        assert_eq!(
            (asked.target.as_str(), asked.header("authorization"), asked.body.as_slice()),
            ("/api/promote?x=1", Some("Bearer secret-token"), &b"{}"[..])
        );
    }
}

#[test]
fn a_call_gets_every_answer_and_its_headers() {
    let server = answering(vec![Reply::new(404).header("X-Jfrog-Version", "Artifactory/7.77.3").body("no such thing")]);
    let answer = network(settings()).rest(&call(&server, Repeat::Never)).expect("an answer");
    assert_eq!((answer.status, answer.header("x-jfrog-version"), answer.body.as_slice()), (404, Some("Artifactory/7.77.3"), &b"no such thing"[..]));
    let mut elsewhere = call(&server, Repeat::Never);
    for (url, kind) in [("http://registry.example/x", ErrorKind::Usage), ("https://u:p@registry.example/x", ErrorKind::Usage), ("nonsense", ErrorKind::Usage)] {
        elsewhere.url = url.into();
        assert_eq!(network(settings()).rest(&elsewhere).expect_err(url).kind(), kind);
    }
    let keyed = Rest {
        authorization: Authorization::Header { name: "X-JFrog-Art-Api".into(), value: crate::store::registry::Secret::new("key") },
        ..call(&server, Repeat::Safe)
    };
    network(settings()).rest(&keyed).expect("an answer");
    assert_eq!(server.asked().last().expect("asked").header("x-jfrog-art-api"), Some("key"));
}

#[test]
fn connections_are_used_again() {
    let server = answering(Vec::new());
    let registry = alone(&server);
    (0..20).for_each(|_| drop(registry.tags().expect("listed")));
    assert_eq!(server.connections(), 1);
}

#[test]
fn no_more_runs_at_once_than_a_host_is_to_bear() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (now.clone(), most.clone());
    let server = Server::start(move |_| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        running.fetch_sub(1, Ordering::SeqCst);
        Reply::new(200).body(TAGS)
    });
    let mut settings = settings();
    settings.defaults = HostSettings { transfers: NonZeroUsize::new(3).expect("not zero"), ..HostSettings::default() };
    let registry = repository(&network(settings), &server, "a");
    std::thread::scope(|scope| (0..20).for_each(|_| drop(scope.spawn(|| registry.tags().expect("listed")))));
    assert!(most.load(Ordering::SeqCst) <= 3 && now.load(Ordering::SeqCst) == 0);
}

#[test]
fn a_copy_within_a_host_that_bears_one_thing_at_once_ends() {
    let double = Double::start(Ways { no_mounts: true, ..Ways::default() });
    let mut settings = settings();
    settings.defaults = HostSettings { transfers: NonZeroUsize::MIN, ..HostSettings::default() };
    push(&alone(&double.server), &noise(500_000), "1");
    let network = network(settings);
    let [from, to] = ["team/app", "b"].map(|name| repository(&network, &double.server, name));
    let descriptor = blob(&noise(500_000));
    to.put(&descriptor, &mut *from.open(&descriptor).expect("opened")).expect("copied");
    assert_eq!(to.read(&descriptor, 500_000).expect("read"), noise(500_000));
}

#[test]
fn requests_and_bytes_come_no_faster_than_they_may() {
    let server = answering(Vec::new());
    let mut slow = settings();
    slow.defaults = HostSettings { requests_per_second: NonZeroUsize::new(50), ..HostSettings::default() };
    let registry = repository(&network(slow), &server, "a");
    let begun = Instant::now();
    (0..11).for_each(|_| drop(registry.tags().expect("listed")));
    assert!(begun.elapsed() >= Duration::from_millis(190), "ten turns of 20 ms: {:?}", begun.elapsed());
    let double = Double::start(Ways::default());
    let mut narrow = settings();
    narrow.bandwidth = NonZeroUsize::new(2 << 20);
    let registry = repository(&network(narrow), &double.server, "a");
    let content = noise(1 << 20);
    let begun = Instant::now();
    registry.put(&blob(&content), &mut &content[..]).expect("stored");
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    let begun = Instant::now();
    registry.read(&blob(&content), content.len()).expect("read");
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[test]
fn what_was_sent_and_received_is_counted() {
    let double = Double::start(Ways::default());
    let network = network(settings());
    let registry = repository(&network, &double.server, "team/app");
    let entry = push(&registry, &noise(1000), "1");
    let traffic = network.traffic();
    assert_eq!((traffic.requests, traffic.uploads, traffic.sent), (2 * 3 + 1 + 3, 2, 1000 + 2 + 2 * entry.size));
    registry.read(&blob(&noise(1000)), 1000).expect("read");
    assert_eq!(network.traffic().received, 1000);
}

#[test]
fn warnings_of_a_host_are_told_once() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);
    impl Observer for Heard {
        fn observe(&self, event: Event) {
            if let Event::Warning { message } = event {
                self.0.lock().expect("unpoisoned").push(message);
            }
        }
    }
    let server = Server::start(|_| {
        let reply = Reply::new(200).header("Warning", "299 - \"moves soon\"").header("Warning", "199 - \"something else\"");
        reply.header("Warning", "299 without a text").body(TAGS)
    });
    let heard = Arc::new(Heard::default());
    let mut run = run();
    run.events = Events::to(heard.clone());
    let network = Network::new(settings(), &run).expect("usable");
    for _ in 0..3 {
        repository(&network, &server, "a").tags().expect("listed");
    }
    assert_eq!(*heard.0.lock().expect("unpoisoned"), [format!("{} says: moves soon", server.host())]);
}
