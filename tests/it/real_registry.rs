//! The real registry, as tests start it, does what is expected of it.

use std::process::Command;

use base64::Engine as _;

use crate::support::authority::Authority;
use crate::support::forge::sha256;
use crate::support::http::{Ask, Reply};
use crate::support::image::read_index;
use crate::support::process::{Runs as _, temp};
use crate::support::registry::{Access, PASSWORD, Registry, USER};
use crate::support::token_server::TokenServer;
use crate::support::tools::tool;

fn basic(password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}")))
}

/// Pushes a blob, and gets it back.
#[track_caller]
fn keeps_a_blob(registry: &Registry, authorization: &str, bytes: &str) {
    let ask = |method: &str, target: &str| Ask::new(&registry.host(), method, target).header("Authorization", authorization);
    let begun = ask("POST", "/v2/team/app/blobs/uploads/").send();
    assert_eq!(begun.status, 202, "{begun:?}\n{}", registry.log());
    let place = begun.header("Location").strip_prefix(&registry.url()).expect("an absolute place").to_owned();
    let digest = sha256(bytes.as_bytes());
    let put = ask("PUT", &format!("{place}&digest={digest}")).header("Content-Type", "application/octet-stream").body(bytes).send();
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(ask("GET", &format!("/v2/team/app/blobs/{digest}")).send().text(), bytes);
}

#[test]
fn without_access_control_everybody_may_and_content_survives_a_restart() {
    let Some(mut registry) = Registry::start(Access::Everybody) else { return };
    keeps_a_blob(&registry, "none", "something");
    let (host, digest) = (registry.host(), sha256(b"something"));
    let head = |registry: &Registry| Ask::new(&registry.host(), "HEAD", &format!("/v2/team/app/blobs/{digest}")).send().status;
    registry.restart();
    assert_eq!((registry.host(), head(&registry)), (host, 200));
    assert_eq!((registry.requests("HEAD", "/blobs/"), registry.requests("PUT", "digest=")), (1, 1));
    assert!(registry.storage().join("docker/registry/v2/blobs").is_dir());
    registry.stop();
    assert!(std::net::TcpStream::connect(registry.host()).is_err());
}

#[test]
fn with_passwords_only_the_right_one_opens() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    let ping = |authorization: Option<&str>| {
        let ask = Ask::new(&registry.host(), "GET", "/v2/");
        authorization.map_or(ask.clone(), |value| ask.header("Authorization", value)).send()
    };
    let refused = ping(None);
    assert_eq!((refused.status, refused.header("WWW-Authenticate")), (401, "Basic realm=\"registry\""));
    assert_eq!(ping(Some(&basic("wrong"))).status, 401);
    assert_eq!(ping(Some(&basic(PASSWORD))).status, 200);
    keeps_a_blob(&registry, &basic(PASSWORD), "something");
}

#[test]
fn with_tokens_the_registry_believes_the_token_server_and_nobody_else() {
    let server = TokenServer::start(USER, PASSWORD);
    let Some(registry) = Registry::start(Access::Token(&server)) else { return };
    let challenge = Ask::new(&registry.host(), "POST", "/v2/team/app/blobs/uploads/").send();
    // The registry names the actions in whatever order a map of its has.
    let expected = ["pull,push", "push,pull"]
        .map(|actions| format!("Bearer realm=\"{}\",service=\"registry-of-the-tests\",scope=\"repository:team/app:{actions}\"", server.realm()));
    assert_eq!(challenge.status, 401);
    assert!(expected.iter().any(|expected| challenge.header("WWW-Authenticate") == expected), "{challenge:?}");
    let realm = server.realm();
    let (host, target) = realm.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let token = |password: Option<&str>, scope: &str| -> Reply {
        let ask = Ask::new(host, "GET", &format!("/{target}?service=registry-of-the-tests&scope={scope}"));
        password.map_or(ask.clone(), |password| ask.header("Authorization", &basic(password))).send()
    };
    let bearer = |reply: &Reply| format!("Bearer {}", reply.json()["token"].as_str().expect("a token"));
    assert_eq!(token(Some("wrong"), "x").status, 401);
    keeps_a_blob(&registry, &bearer(&token(Some(PASSWORD), "repository:team/app:pull,push")), "something");
    let begin = |authorization: &str| Ask::new(&registry.host(), "POST", "/v2/team/app/blobs/uploads/").header("Authorization", authorization).send().status;
    assert_eq!(begin(&bearer(&token(Some(PASSWORD), "repository:team/other:pull,push"))), 401);
    assert_eq!(begin(&bearer(&token(Some(PASSWORD), "repository:team/app:pull"))), 401);
    assert_eq!(begin(&bearer(&token(None, "repository:team/app:pull,push"))), 401);
    let stranger = TokenServer::start(USER, PASSWORD);
    let realm = stranger.realm();
    let (host, target) = realm.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let forged = Ask::new(host, "GET", &format!("/{target}?scope=repository:team/app:pull,push")).header("Authorization", &basic(PASSWORD)).send();
    assert_eq!(begin(&bearer(&forged)), 401);
    assert_eq!((server.asked().len(), stranger.asked().len()), (5, 1));
}

#[test]
fn with_tls_skopeo_trusts_the_authority_that_it_is_told_of() {
    let (Some(skopeo), authority, home) = (tool("skopeo"), Authority::new("a test"), temp()) else { return };
    let Some(registry) = Registry::start_tls(Access::Htpasswd, &authority.issue(&["127.0.0.1"])) else { return };
    std::fs::write(home.path().join("ca.crt"), authority.certificate()).expect("writable");
    let (_build, layout) = crate::support::context::layout();
    let copy = |options: &[&str]| {
        let mut copy = Command::new(&skopeo);
        copy.args(["--insecure-policy", "copy", "--quiet", "--dest-creds", &format!("{USER}:{PASSWORD}")]).args(options);
        copy.arg(format!("oci:{}:first", layout.display())).arg(format!("docker://{}/team/app:1", registry.host()));
        copy
    };
    copy(&[]).fails_with(1);
    copy(&["--dest-cert-dir", home.path().to_str().expect("UTF-8")]).succeeds();
    let mut inspect = Command::new(&skopeo);
    inspect.args(["inspect", "--raw", "--cert-dir", home.path().to_str().expect("UTF-8"), "--creds", &format!("{USER}:{PASSWORD}")]);
    let manifest = inspect.arg(format!("docker://{}/team/app:1", registry.host())).succeeds();
    assert_eq!(read_index(&layout)["manifests"][0]["digest"], sha256(manifest.as_bytes()));
}
