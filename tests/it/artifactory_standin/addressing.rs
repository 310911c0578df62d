//! The four ways to a repository, and the links that lead back.

use serde_json::json;

use super::{Client, error};
use crate::support::artifactory::{Artifactory, Setup};
use crate::support::authority::Authority;
use crate::support::http::Ask;
use crate::support::process::Runs as _;
use crate::support::tools::tool;

#[test]
fn every_way_leads_to_the_same_repository_and_links_stay_on_it() {
    let artifactory = Artifactory::start(Setup::release());
    let path = Client::new(&artifactory, "docker-local");
    path.image("team/app", Some("1"), "content");
    let port = artifactory.port_of("docker-local");
    let host = artifactory.host();
    for (connect, name, prefix, realm) in [
        (&host, "docker.example", "/v2/docker-local", "/v2/token"),
        (&host, "docker.example", "/artifactory/api/docker/docker-local/v2", "/artifactory/api/docker/docker-local/v2/token"),
        (&host, "docker-local.example", "/v2", "/artifactory/api/docker/docker-local/v2/token"),
        (&port.host(), "docker.example:5001", "/v2", "/artifactory/api/docker/docker-local/v2/token"),
    ] {
        let ask = |method: &str, rest: &str| Ask::new(connect, method, &format!("{prefix}/{rest}")).header("Host", name);
        assert_eq!(ask("GET", "team/app/tags/list").header("Authorization", &path.authorization).send().json()["tags"], json!(["1"]), "{name}{prefix}");
        let begun = ask("POST", "team/app/blobs/uploads/").header("Authorization", &path.authorization).send();
        assert!(begun.header("Location").starts_with(&format!("http://{name}{prefix}/team/app/blobs/uploads/")), "{begun:?}");
        let challenge = ask("GET", "team/app/manifests/1").send();
        assert_eq!(challenge.header("WWW-Authenticate"), format!("Bearer realm=\"http://{name}{realm}\",service=\"{name}\""));
        let forwarded = ask("GET", "team/app/manifests/1").header("X-Forwarded-Proto", "https").send();
        assert!(forwarded.header("WWW-Authenticate").starts_with("Bearer realm=\"https://"), "{forwarded:?}");
    }
    let proxied = Ask::new(&host, "GET", "http://docker-local.example/v2/team/app/tags/list").header("Authorization", &path.authorization).send();
    assert_eq!(proxied.json()["name"], "team/app");
}

#[test]
fn what_leads_nowhere_says_so() {
    let artifactory = Artifactory::start(Setup::release());
    let ask = |target: &str| Ask::new(&artifactory.host(), "GET", target).send();
    let unsupported = |name: &str| format!("Unsupported docker v2 repository request for '{name}'");
    assert_eq!(error(&ask("/v2/team/app/manifests/1")), (404, "404".into(), unsupported("team")));
    assert_eq!(error(&ask("/v2/generic-local/app/manifests/1")), (404, "404".into(), unsupported("generic-local")));
    assert_eq!(error(&ask("/artifactory/api/docker/absent/v2/app/manifests/1")), (404, "404".into(), unsupported("absent")));
    assert_eq!(error(&ask("/artifactory/api/docker/v2/app/manifests/1")), (400, "400".into(), "Unsupported docker repository request for 'v2'".into()));
    assert_eq!(ask("/v1/_ping").status, 404);
    assert_eq!(ask("/artifactory/api/system/ping").text(), "OK");
}

#[test]
fn behind_a_proxy_that_says_nothing_links_are_https_and_posts_are_sent_there() {
    let artifactory = Artifactory::start(Setup::release().switch(|switches| switches.https_location_on_http = true));
    let client = Client::new(&artifactory, "docker-local");
    let begin = || client.ask("POST", "app/blobs/uploads/");
    assert!(begin().send().header("Location").starts_with(&format!("https://{}/v2/docker-local/app/", artifactory.host())));
    assert!(begin().header("X-Forwarded-Proto", "http").send().header("Location").starts_with("http://"));
    artifactory.switch(|switches| switches.redirect_http_to_https = Some(301));
    let sent_on = begin().send();
    assert_eq!((sent_on.status, sent_on.header("Location")), (301, format!("https://{}/v2/docker-local/app/blobs/uploads/", artifactory.host()).as_str()));
    assert_eq!(client.ask("GET", "app/manifests/1").send().status, 404);
}

#[test]
fn it_speaks_https_too() {
    let (Some(curl), authority) = (tool("curl"), Authority::new("a test")) else { return };
    let artifactory = Artifactory::start(Setup::release().tls(authority.issue(&["127.0.0.1"])));
    let mut ping = std::process::Command::new(curl);
    ping.args(["--silent", "--insecure", "--noproxy", "*", "--include"]).arg(format!("{}/v2/", artifactory.url()));
    assert!(ping.succeeds().contains(&format!("realm=\"https://{}/v2/token\"", artifactory.host())));
}

#[test]
fn versions_differ_in_what_is_known_of_them() {
    for (version, promotes_names, refuses_oci) in [("6.23.38", true, true), ("7.104.2", true, false), ("7.125.4", false, false)] {
        let artifactory = Artifactory::start(Setup::release().version(version));
        let reply = Ask::new(&artifactory.host(), "GET", "/v2/").send();
        assert_eq!(reply.header("X-Jfrog-Version"), format!("Artifactory/{version} 79999900"));
        artifactory.switch(|switches| assert_eq!((switches.promote_rename_children, switches.reject_oci), (promotes_names, refuses_oci), "{version}"));
    }
}
