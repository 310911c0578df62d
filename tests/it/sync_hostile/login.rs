//! Being asked who one is, in bad faith.

use serde_json::json;

use super::{Image, PASSWORD, assert_fails, basic, endless, pull};
use crate::support::http::{Answer, Fault};
use crate::support::image::Ran;
use crate::support::scripted::{Scripted, Step};

/// Pulls from a registry that asks in this way, and lets only those in who have the token `good`.
fn asked_with(challenges: &[&str], flags: &[&str]) -> (Ran, Scripted) {
    let (image, server) = (Image::new(), Scripted::start());
    let mut challenge = Answer::new(401);
    for value in challenges {
        challenge = challenge.header("WWW-Authenticate", &value.replace("HERE", &server.url()));
    }
    for method in ["GET", "HEAD"] {
        server.expect(Step::new(method, "/v2/*").without("Authorization").always().answers(challenge.clone()));
        server.expect(Step::new(method, "/v2/*").with("Authorization", "Bearer bad*").always().answers(challenge.clone()));
    }
    image.serve(&server, Answer::new(200).body(image.layer.clone()));
    server.expect(Step::new("GET", "/token*").always().answers(Answer::json(200, &json!({"token": "good"}))));
    server.expect(Step::new("GET", "/junk*").always().answers(Answer::json(200, &json!({"token": "bad"}))));
    (pull(&server.host(), &[&["--attempts", "2"], flags].concat()), server)
}

#[test]
fn reg_08_passwords_are_not_taken_where_a_registry_says() {
    let elsewhere = Scripted::start_elsewhere();
    elsewhere.expect(Step::new("GET", "/*").always().answers(Answer::json(200, &json!({"token": "good"}))));
    let by_name = elsewhere.url().replace("127.0.0.2", "evil.example");
    for realm in [
        "http://169.254.169.254/latest/meta-data/iam",
        "http://10.0.0.1/token",
        "http://[fd00::1]/token",
        &by_name,
        "https://evil.example/token",
        "file:///etc/passwd",
        "//evil.example/token",
        "",
    ] {
        let (ran, _server) = asked_with(&[&format!("Bearer realm=\"{realm}\",service=\"x\"")], &["--timeout", "2s"]);
        // Who does not say where tokens are is shown the password, for whom it is.
        assert!(ran.code != Some(0) || realm.is_empty(), "{realm}: {ran:?}");
    }
    assert!(elsewhere.seen().is_empty(), "{:?}", elsewhere.seen());
    // Whom we trust ourselves is another thing.
    let trusted = elsewhere.host();
    let challenge = format!("Bearer realm=\"{}/token\",service=\"x\"", elsewhere.url());
    let (ran, _server) = asked_with(&[&challenge], &["--trust-realm", &trusted]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn reg_08_of_several_challenges_one_that_works_is_answered() {
    for challenges in [
        &["Bearer realm=\"HERE/token\",service=\"x\""][..],
        &["Negotiate", "Bearer realm=\"HERE/token\",service=\"x\""],
        &["Negotiate, Bearer service=\"x, y\", realm=\"HERE/token\""],
        &["bearer Realm=\"HERE/token\" , error=\"insufficient_scope\""],
    ] {
        let (ran, server) = asked_with(challenges, &[]);
        assert_eq!(ran.code, Some(0), "{challenges:?}: {ran:?}");
        let tokens: Vec<_> = server.seen().into_iter().filter(|seen| seen.request.path == "/token").collect();
        assert_eq!(tokens.len(), 1, "{challenges:?}");
        assert_eq!(tokens[0].request.header("Authorization"), Some(basic().as_str()));
        assert!(tokens[0].request.parameters("scope").iter().any(|scope| scope == "repository:app:pull"), "{tokens:?}");
    }
    // What cannot be answered is no reason to ask again and again.
    for challenges in [&["Negotiate"][..], &["Bearer"], &["Bearer realm="], &["Digest realm=\"x\", nonce=\"y\""], &[""], &["\u{e4}"], &[]] {
        let (ran, server) = asked_with(challenges, &[]);
        assert!(matches!(ran.code, Some(0 | 7)) && server.seen().len() <= 8, "{challenges:?}: {ran:?}");
    }
}

#[test]
fn reg_23_a_registry_that_never_believes_is_asked_a_few_times() {
    for challenge in ["Bearer realm=\"HERE/junk\",service=\"x\"", "Bearer realm=\"HERE/junk\",error=\"invalid_token\"", "Basic realm=\"x\""] {
        let (image, server) = (Image::new(), Scripted::start());
        let refused = Answer::new(401).header("WWW-Authenticate", &challenge.replace("HERE", &server.url()));
        for method in ["GET", "HEAD"] {
            server.expect(Step::new(method, "/v2/*").always().answers(refused.clone()));
        }
        server.expect(Step::new("GET", "/junk*").always().answers(Answer::json(200, &json!({"token": "bad", "expires_in": 0}))));
        let ran = pull(&server.host(), &[]);
        assert_fails(&ran, "denied");
        let seen = server.seen();
        assert!(seen.len() <= 8, "{} requests: {seen:?}", seen.len());
        assert!(seen.iter().filter(|seen| seen.request.header("Authorization") == Some(&basic())).count() <= 2, "{seen:?}");
        drop(image);
    }
}

#[test]
fn reg_24_what_is_no_token_is_none() {
    let ten_megabytes = format!("{{\"token\":\"{}\"}}", "x".repeat(10 << 20));
    for answer in [
        Answer::json(200, &json!({})),
        Answer::json(200, &json!({"token": ""})),
        Answer::json(200, &json!({"token": 7})),
        Answer::json(200, &json!({"token": "two\r\nX-Injected: lines"})),
        Answer::new(200).body([0xff, 0xfe, 0x00]),
        Answer::new(200).body(ten_megabytes),
        Answer::text(200, "<html>log in</html>"),
        endless(),
        Answer::new(200).body("{\"token\":\"good\"}").fault(Fault::CutAt(9)),
    ] {
        let (image, server) = (Image::new(), Scripted::start());
        let challenge = Answer::new(401).header("WWW-Authenticate", &format!("Bearer realm=\"{}/token\"", server.url()));
        for method in ["GET", "HEAD"] {
            server.expect(Step::new(method, "/v2/*").without("Authorization").always().answers(challenge.clone()));
        }
        image.serve(&server, Answer::new(200).body(image.layer.clone()));
        server.expect(Step::new("GET", "/token*").always().answers(answer.clone()));
        let ran = pull(&server.host(), &["--attempts", "2"]);
        assert_ne!(ran.code, Some(0), "{:?}", answer.body.get(..40));
        assert!(!server.seen().iter().any(|seen| seen.request.header("X-Injected").is_some()));
    }
    // Both names for the same thing.
    let (image, server) = (Image::new(), Scripted::start());
    let challenge = Answer::new(401).header("WWW-Authenticate", &format!("Bearer realm=\"{}/token\"", server.url()));
    for method in ["GET", "HEAD"] {
        server.expect(Step::new(method, "/v2/*").without("Authorization").always().answers(challenge.clone()));
    }
    image.serve(&server, Answer::new(200).body(image.layer.clone()));
    server.expect(Step::new("GET", "/token*").always().answers(Answer::json(200, &json!({"access_token": "good", "token": "good"}))));
    assert_eq!(pull(&server.host(), &[]).code, Some(0));
}

#[test]
fn reg_10_a_password_is_for_the_host_it_was_kept_for() {
    let server = Scripted::start();
    for method in ["GET", "HEAD"] {
        server.expect(Step::new(method, "/*").always().answers(Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")));
    }
    let (host, port) = (server.host(), server.host().rsplit(':').next().expect("a port").to_owned());
    for kept in [format!("127.0.0.1:{}", port.parse::<u32>().expect("a number") / 2), "127.0.0.1".to_owned(), format!("x{host}"), format!("{host}.example")] {
        let desk = crate::support::desk::Desk::new();
        desk.log_in(&kept, super::USER, PASSWORD);
        let ran = desk.ran(&["sync", "list", &format!("docker://{host}/app"), "--format", "json"]);
        assert_fails(&ran, "denied");
    }
    assert!(server.seen().iter().all(|seen| seen.request.header("Authorization").is_none()), "{:?}", server.seen());
    for place in [format!("docker://user@{host}/app"), format!("docker://user:{PASSWORD}@{host}/app")] {
        let ran = crate::support::desk::Desk::new().ran(&["sync", "list", &place]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}
