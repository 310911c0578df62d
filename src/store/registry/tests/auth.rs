//! Proving who one is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::server::{Asked, Reply};
use super::*;
use crate::error::ErrorKind;
use crate::store::registry::{Credential, Credentials, Given, HostSettings, Secret};

const PASSWORD: &str = "hunter2-of-the-tests";

fn basic() -> Credential {
    Credential::Basic { user: "me".into(), password: Secret::new(PASSWORD) }
}

fn given(credential: Credential) -> Settings {
    Settings { credentials: Arc::new(Given(credential)), ..settings() }
}

/// `me` and the password, as a header has them.
fn basic_header() -> String {
    format!("Basic {}", crate::spec::base64::encode(format!("me:{PASSWORD}").as_bytes()))
}

/// A registry that wants tokens, and gives them out itself: `t0`, `t1` and so on.
struct Desk {
    server: Server,
}

/// What differs from desk to desk.
struct Rules {
    /// What follows the realm in the challenge.
    challenge: &'static str,
    /// Whether a token is good, given its number.
    good: fn(usize) -> bool,
    /// What is answered to who wants a token, given the number of the next.
    token: fn(&Asked, usize) -> Reply,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { challenge: r#",service="desk""#, good: |_| true, token: |_, number| Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#)) }
    }
}

fn desk(rules: Rules) -> Desk {
    let (port, next) = (Arc::new(AtomicU64::new(0)), AtomicUsize::new(0));
    let own = port.clone();
    let server = Server::start(move |asked| {
        if asked.path() == "/token" {
            return (rules.token)(asked, next.fetch_add(1, Ordering::SeqCst));
        }
        let token = asked.header("authorization").and_then(|header| header.strip_prefix("Bearer t")?.parse::<usize>().ok());
        match token.is_some_and(rules.good) {
            true => Reply::new(200).body(r#"{"tags":["1"]}"#),
            false => {
                let realm = format!("http://127.0.0.1:{}/token", own.load(Ordering::SeqCst));
                Reply::new(401).header("WWW-Authenticate", format!(r#"Bearer realm="{realm}"{}"#, rules.challenge))
            }
        }
    });
    port.store(server.host().rsplit(':').next().expect("a port").parse().expect("a number"), Ordering::SeqCst);
    Desk { server }
}

impl Desk {
    fn tokens(&self) -> Vec<Asked> {
        self.server.asked().into_iter().filter(|asked| asked.path() == "/token").collect()
    }
}

fn tags(network: &Network, server: &Server) -> crate::Result<Vec<String>> {
    repository(network, server, "team/app").tags()
}

#[test]
fn the_first_refusal_of_any_request_is_answered() {
    let desk = desk(Rules::default());
    assert_eq!(tags(&network(settings()), &desk.server).expect("let in"), ["1"]);
    let asked = desk.server.asked();
    assert_eq!(asked.iter().map(Asked::line).collect::<Vec<_>>(), ["GET /v2/team/app/tags/list", "GET /token", "GET /v2/team/app/tags/list"]);
    // Without a scope in the challenge it is ours; who has no credential sends none.
    assert_eq!((asked[1].parameter("scope").as_deref(), asked[1].parameter("service").as_deref()), (Some("repository:team/app:pull"), Some("desk")));
    assert_eq!((asked[1].header("authorization"), asked[2].header("authorization")), (None, Some("Bearer t0")));
}

#[test]
fn with_a_credential_one_ping_comes_first_and_the_password_goes_to_the_realm_only() {
    let desk = desk(Rules::default());
    let network = network(given(basic()));
    tags(&network, &desk.server).expect("let in");
    tags(&network, &desk.server).expect("let in");
    let asked = desk.server.asked();
    assert_eq!(asked.iter().map(Asked::line).collect::<Vec<_>>(), ["GET /v2/", "GET /token", "GET /v2/team/app/tags/list", "GET /v2/team/app/tags/list"]);
    let shown: Vec<Option<&str>> = asked.iter().map(|asked| asked.header("authorization")).collect();
    assert_eq!(shown, [None, Some(basic_header().as_str()), Some("Bearer t0"), Some("Bearer t0")]);
    assert_eq!(asked[1].parameter("account").as_deref(), Some("me"));
}

#[test]
fn a_host_that_lets_strangers_in_gets_the_password_anyway() {
    // It says 200 to a ping, and would show a stranger less.
    let server = Server::start(|_| Reply::new(200).body(r#"{"tags":["1"]}"#));
    tags(&network(given(basic())), &server).expect("let in");
    assert_eq!(server.asked()[1].header("authorization"), Some(basic_header().as_str()));
}

#[test]
fn a_host_that_wants_a_password_gets_it() {
    for challenges in [&["Basic realm=\"x\""][..], &["Negotiate", "Basic"], &["Bearer realm=\"\", Basic realm=\"x\""]] {
        let server = Server::start(move |asked| match asked.header("authorization") {
            Some(header) if *header == basic_header() => Reply::new(200).body(r#"{"tags":["1"]}"#),
            _ => challenges.iter().fold(Reply::new(401), |reply, challenge| reply.header("WWW-Authenticate", *challenge)),
        });
        tags(&network(given(basic())), &server).expect("let in");
        let error = tags(&network(settings()), &server).expect_err("a stranger");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--username")), "{error:?}");
    }
}

#[test]
fn where_there_is_no_token_the_password_does() {
    let server = Server::start(move |asked| match (asked.path(), asked.header("authorization")) {
        ("/token", _) => Reply::new(404),
        (_, Some(header)) if *header == basic_header() => Reply::new(200).body(r#"{"tags":["1"]}"#),
        (_, _) => {
            let host = asked.header("host").expect("a host");
            Reply::new(401).header("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token", Basic realm="x""#))
        }
    });
    // What is learnt from the ping is a token; the refusal of the token server is told.
    let error = tags(&network(given(basic())), &server).expect_err("no token");
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn reg_23_one_new_token_for_a_request_and_then_an_end() {
    // The first token has run out.
    let wanting = desk(Rules { good: |number| number > 0, ..Rules::default() });
    assert_eq!(tags(&network(settings()), &wanting.server).map_err(|error| error.kind()), Err(ErrorKind::Denied), "a new token that is refused is the end");
    let network_with = network(given(basic()));
    tags(&network_with, &wanting.server).expect("the second token is good");
    // None is ever good.
    for credential in [None, Some(basic())] {
        let desk = desk(Rules { good: |_| false, ..Rules::default() });
        let network = network(credential.map_or_else(settings, given));
        assert_eq!(tags(&network, &desk.server).expect_err("refused").kind(), ErrorKind::Denied);
        assert!(desk.server.lines().len() <= 5);
    }
    // Refused at first for another reason.
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| Reply::new(if count.fetch_add(1, Ordering::SeqCst) == 0 { 403 } else { 401 }));
    assert_eq!(tags(&network(settings()), &server).expect_err("refused").kind(), ErrorKind::Denied);
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn a_refusal_of_the_token_server_is_final_for_the_run() {
    let desk = desk(Rules { token: |_, _| Reply::new(401).body(r#"{"errors":[{"status":401,"message":"Bad Credentials"}]}"#), ..Rules::default() });
    let network = network(given(basic()));
    for _ in 0..5 {
        let error = tags(&network, &desk.server).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let told = format!("{error:?} {:?}", error.causes());
        assert!(told.contains("Bad Credentials") && !told.contains(PASSWORD), "{told}");
    }
    assert_eq!(desk.tokens().len(), 1, "asking again would lock the user out");
}

#[test]
fn many_threads_ask_for_one_token() {
    let desk =
        desk(Rules { token: |_, number| Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#)).after(Duration::from_millis(50)), ..Rules::default() });
    for credential in [None, Some(basic())] {
        let network = network(credential.map_or_else(settings, given));
        let before = desk.tokens().len();
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| tags(&network, &desk.server).expect("let in")))));
        assert_eq!(desk.tokens().len(), before + 1);
    }
}

#[test]
fn a_token_is_renewed_before_it_runs_out() {
    static NOW: AtomicU64 = AtomicU64::new(1_000_000);
    let desk = desk(Rules { token: |_, number| Reply::new(200).body(format!(r#"{{"token":"t{number}","expires_in":100}}"#)), ..Rules::default() });
    let mut run = run();
    run.clock = crate::exec::Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::SeqCst)));
    let network = Network::new(given(basic()), &run).expect("usable");
    for (seconds, tokens) in [(0, 1), (79, 1), (2, 2), (79, 2), (5, 3)] {
        NOW.fetch_add(seconds, Ordering::SeqCst);
        tags(&network, &desk.server).expect("let in");
        assert_eq!(desk.tokens().len(), tokens);
    }
}

#[test]
fn the_scope_is_what_is_done_in_our_words_or_in_those_of_the_host() {
    // Ours is more than the host asks for in the same words.
    let ours = desk(Rules { challenge: r#",scope="repository:team/app:pull""#, ..Rules::default() });
    let _ = repository(&network(settings()), &ours.server, "team/app").put(&blob(b"x"), &mut &b"x"[..]);
    assert_eq!(ours.tokens()[0].parameter("scope").as_deref(), Some("repository:team/app:pull%2Cpush"));
    // Theirs has another name, and is remembered.
    let theirs = desk(Rules { challenge: r#",scope="repository:other/name:pull""#, ..Rules::default() });
    let network = network(settings());
    for _ in 0..2 {
        tags(&network, &theirs.server).expect("let in");
    }
    assert_eq!(theirs.tokens().iter().map(|asked| asked.parameter("scope")).collect::<Vec<_>>(), [Some("repository:other/name:pull".into())]);
}

#[test]
fn a_mount_asks_for_both_repositories_in_one_token() {
    let desk = desk(Rules { good: |_| true, ..Rules::default() });
    let network = network(given(basic()));
    let registry = repository(&network, &desk.server, "b");
    registry.host.blobs.note(&blob(b"x"), "a");
    registry.lacking.lock().expect("unpoisoned").insert(blob(b"x").digest);
    let _ = registry.put(&blob(b"x"), &mut &b"x"[..]);
    let target = desk.tokens()[0].target.clone();
    assert!(target.contains("scope=repository:b:pull%2Cpush&scope=repository:a:pull&"), "{target}");
}

#[test]
fn an_identity_token_is_changed_into_tokens_by_post() {
    let desk = desk(Rules {
        token: |asked, number| match asked.method.as_str() {
            "POST" => Reply::new(200).body(format!(r#"{{"access_token":"t{number}"}}"#)),
            _ => Reply::new(401),
        },
        ..Rules::default()
    });
    tags(&network(given(Credential::IdentityToken(Secret::new("refresh me")))), &desk.server).expect("let in");
    let asked = &desk.tokens()[0];
    let form = String::from_utf8(asked.body.clone()).expect("text");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(form, "grant_type=refresh_token&service=desk&client_id=larder&scope=repository:team/app:pull&refresh_token=refresh%20me");
}

#[test]
fn a_ready_token_is_sent_as_it_is() {
    let desk = desk(Rules::default());
    tags(&network(given(Credential::Bearer(Secret::new("t7")))), &desk.server).expect("let in");
    assert_eq!(desk.server.lines(), ["GET /v2/team/app/tags/list"]);
    let desk = self::desk(Rules { good: |_| false, ..Rules::default() });
    assert_eq!(tags(&network(given(Credential::Bearer(Secret::new("t7")))), &desk.server).expect_err("refused").kind(), ErrorKind::Denied);
    assert_eq!(desk.server.lines().len(), 1);
}

#[test]
fn a_token_server_that_is_busy_is_asked_again() {
    let desk = desk(Rules {
        token: |_, number| match number {
            0 => Reply::new(503),
            1 => Reply::new(429),
            2 => Reply::raw(""),
            _ => Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#)),
        },
        ..Rules::default()
    });
    tags(&network(settings()), &desk.server).expect("let in");
    assert_eq!(desk.tokens().len(), 4);
}

#[test]
fn reg_24_an_answer_without_a_token_is_no_token() {
    for token in [
        |_: &Asked, _: usize| Reply::new(200).body("{}"),
        |_: &Asked, _: usize| Reply::new(200).body(vec![b'x'; 10 << 20]),
        |_: &Asked, _: usize| Reply::new(200).body(vec![0xff; 100]),
        |_: &Asked, _: usize| Reply::new(302).header("Location", "/elsewhere"),
        |_: &Asked, _: usize| Reply::new(200).body(r#"{"token":"a\nX-Evil: 1"}"#),
    ] {
        let desk = desk(Rules { token, ..Rules::default() });
        let error = tags(&network(given(basic())), &desk.server).expect_err("no token");
        assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Corrupt), "{error:?}");
        assert!(!format!("{error:?}").contains(PASSWORD));
    }
}

#[test]
fn reg_08_a_realm_that_is_not_the_registrys_gets_nothing() {
    for realm in ["http://registry.example/token", "http://169.254.169.254/token", "file:///etc/passwd", "", "http://me@127.0.0.1/token"] {
        let server = Server::start(move |_| Reply::new(401).header("WWW-Authenticate", format!(r#"Bearer realm="{realm}",service="x""#)));
        for settings in [settings(), given(basic())] {
            let error = tags(&network(settings), &server).expect_err(realm);
            assert_eq!(error.kind(), ErrorKind::Denied, "{realm}");
        }
    }
}

#[test]
fn credentials_are_asked_for_once_for_each_repository() {
    struct Counting(AtomicUsize);
    impl Credentials for Counting {
        fn find(&self, host: &str, repository: &str) -> crate::Result<Option<Credential>> {
            assert!(host.starts_with("127.0.0.1:") && ["a", "b"].contains(&repository), "{host} {repository}");
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Some(basic()))
        }
    }
    let server = Server::start(|_| Reply::new(200).body(r#"{"tags":["1"]}"#));
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let network = network(Settings { credentials: counting.clone(), ..settings() });
    for name in ["a", "b", "a", "b"] {
        repository(&network, &server, name).tags().expect("let in");
    }
    assert_eq!(counting.0.load(Ordering::SeqCst), 2);
}

#[test]
fn whoever_is_known_is_known_and_others_are_not() {
    let desk = desk(Rules {
        token: |asked, number| match asked.header("authorization") {
            Some(header) if *header == basic_header() => Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#)),
            _ => Reply::new(401),
        },
        ..Rules::default()
    });
    network(given(basic())).authenticate(&desk.server.host()).expect("known");
    assert_eq!(desk.tokens()[0].parameter("scope"), None);
    let wrong = Credential::Basic { user: "me".into(), password: Secret::new("wrong") };
    assert_eq!(network(given(wrong)).authenticate(&desk.server.host()).expect_err("unknown").kind(), ErrorKind::Denied);
}

#[test]
fn a_refusal_of_a_call_besides_the_registry_repeats_no_secret() {
    use crate::store::registry::{Authorization, Method, Repeat, Rest};
    let server = Server::start(|asked| Reply::new(403).body(format!("{PASSWORD} {}", asked.header("authorization").unwrap_or_default())));
    let url = format!("http://{}/api/repositories/x", server.host());
    let authorization = Authorization::Basic { user: "me".into(), password: Secret::new(PASSWORD) };
    let answer = network(settings()).rest(&Rest { method: Method::Get, url, authorization, body: None, repeat: Repeat::Safe }).expect("answered");
    assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).into_owned()), (403, "*** Basic ***".to_owned()));
}

#[test]
fn no_secret_is_in_what_can_be_shown() {
    let network = network(given(basic()));
    let mut settings = given(basic());
    settings.defaults = HostSettings::default();
    settings.proxies.https = Some(Secret::new("http://u:proxy-secret@p:1"));
    let shown = format!("{network:?} {settings:?} {:?} {:?}", settings.proxies, basic());
    assert!(!shown.contains(PASSWORD) && !shown.contains("proxy-secret"), "{shown}");
}

/// Repositories that are asked for at the same time, each with a scope of its own.
fn many_repositories(network: &Network, server: &Server) -> Vec<crate::Result<Vec<String>>> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16).map(|number| scope.spawn(move || repository(network, server, &format!("team/app-{number}")).tags())).collect();
        asking.into_iter().map(|asking| asking.join().expect("no panic")).collect()
    })
}

#[test]
fn a_wrong_login_is_shown_once_whatever_is_asked_for_at_the_same_time() {
    let tokens = desk(Rules { token: |_, _| Reply::new(401).after(Duration::from_millis(30)), ..Rules::default() });
    let passwords = Server::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").after(Duration::from_millis(30)));
    for server in [&tokens.server, &passwords] {
        let network = network(given(basic()));
        let mut told = Vec::new();
        for outcome in many_repositories(&network, server) {
            let error = outcome.expect_err("refused");
            assert!(
                error.kind() == ErrorKind::Denied && error.hint_text().is_some_and(|hint| hint.contains("password") && hint.contains("wrong")),
                "{error:?}"
            );
            told.push(format!("{error:?}"));
        }
        // Who did not ask is not told of what another one asked for as if it were his.
        assert_eq!(told.iter().filter(|told| told.contains("not shown again")).count(), told.len() - 1, "{told:?}");
        let shown = server.asked().iter().filter(|asked| asked.header("authorization") == Some(&basic_header())).count();
        assert_eq!(shown, 1, "more would lock the user out");
        let why = network.refused(&format!("{}/other", server.host()).parse().expect("a reference")).expect("refused");
        assert!(why.contains("`me`") && !why.contains(PASSWORD), "{why}");
    }
}

#[test]
fn what_a_user_may_not_do_in_one_repository_stops_nothing_in_others() {
    let by_token = desk(Rules {
        token: |asked, number| match asked.parameter("scope").is_some_and(|scope| scope.starts_with("repository:team/app-3:")) {
            true => Reply::new(403),
            false => Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#)),
        },
        ..Rules::default()
    });
    let by_password = Server::start(|asked| match (asked.header("authorization"), asked.path().contains("app-3/")) {
        (None, _) => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        (_, true) => Reply::new(403),
        (_, false) => Reply::new(200).body(r#"{"tags":["1"]}"#),
    });
    for server in [&by_token.server, &by_password] {
        let network = network(given(basic()));
        let refused: Vec<usize> = many_repositories(&network, server).iter().enumerate().filter(|(_, outcome)| outcome.is_err()).map(|(n, _)| n).collect();
        assert_eq!((refused, network.refused(&format!("{}/other", server.host()).parse().expect("a reference"))), (vec![3], None));
    }
}
