//! The transport for registries, against the real one of Debian. What has no command of its own yet goes through the library.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use larder::copy::{self, Carried, CopyPlan, CopyRequest, How, Names, Platforms, Reading, Referrers, Wanted};
use larder::exec::{Clock, Run};
use larder::spec::{ImageName, Reference, Selector};
use larder::store::layout::{Layout, Options};
use larder::store::registry::{Certificates, ClientCertificate, Credential, Given, HostSettings, Network, Secret, Security, Settings, Upload, Which};
use larder::{Error, ErrorKind};

use crate::support::authority::Authority;
use crate::support::http::Answer;
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::registry::{Access, PASSWORD, Registry, USER};
use crate::support::scripted::{Scripted, Step};
use crate::support::sound::assert_layout_is_sound;
use crate::support::token_server::TokenServer;
use crate::support::tools::tool;

fn run() -> Run {
    let mut run = Run::new(NonZeroUsize::new(4).expect("not zero")).expect("a pool");
    run.clock = Clock(SystemTime::now);
    run
}

/// A layout with an image for three platforms under two tags.
fn hello(place: &Path) -> Layout {
    let layout = place.join("hello.oci");
    larder().args(["build", "-q"]).arg(checkout("testdata/hello")).args(["-o", &format!("oci:{}", layout.display())]).succeeds();
    Layout::open(&layout, Options::default()).expect("a layout")
}

fn with_password(user: &str, password: &str) -> Settings {
    Settings { credentials: Arc::new(Given(Credential::Basic { user: user.into(), password: Secret::new(password) })), ..Settings::default() }
}

fn secure(security: Security) -> Settings {
    Settings { defaults: HostSettings { security, ..HostSettings::default() }, ..Settings::default() }
}

fn reference(host: &str, rest: &str) -> Reference {
    format!("{host}/{rest}").parse().expect("a reference")
}

/// Pushes one image.
fn push(network: &Network, layout: &Layout, image: &str, to: &Reference) -> Result<Carried, Error> {
    let name = ImageName::with_repository(&format!("{}/{}", to.host(), to.repository()), to.tag().expect("a tag")).expect("a name");
    let wanted = Wanted::One(Selector::Name(image.into()), Names::New(vec![name]));
    let (run, destination) = (run(), network.repository(to)?);
    let plan = CopyPlan::new(&run, &CopyRequest { source: layout, wanted: &wanted, platforms: &Platforms::All, referrers: Referrers::Carried })?;
    copy::execute(&run, &[plan], &destination, How { sharing: None, reading: Reading::Copied })
}

/// Pulls one image into a layout.
fn pull(network: &Network, from: &Reference, to: &Path) -> Result<Carried, Error> {
    let wanted = Wanted::One(Selector::Name(from.tag().expect("a tag").into()), Names::Kept);
    let (run, source) = (run(), network.repository(from)?);
    let plan = CopyPlan::new(&run, &CopyRequest { source: &source, wanted: &wanted, platforms: &Platforms::All, referrers: Referrers::Carried })?;
    let layout = Layout::ensure(to, Options::default())?;
    copy::execute(&run, &[plan], &layout, How { sharing: None, reading: Reading::Copied })
}

/// The digests of all blobs.
fn blobs(layout: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(layout.join("blobs/sha256")).expect("there").map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"));
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn what_is_pushed_is_pulled_and_skopeo_reads_it() {
    let (Some(registry), Some(skopeo)) = (Registry::start(Access::Everybody), tool("skopeo")) else { return };
    let temp = temp();
    let layout = hello(temp.path());
    for (way, upload) in [("single", Upload::Single), ("stream", Upload::Stream), ("chunked", Upload::Chunked(NonZeroUsize::new(100).expect("not zero")))] {
        let settings = Settings { defaults: HostSettings { upload, ..HostSettings::default() }, ..Settings::default() };
        let network = Network::new(settings, &run()).expect("usable");
        let to = reference(&registry.host(), &format!("{way}/hello:1"));
        let carried = push(&network, &layout, "1.4.2", &to).expect(way);
        assert_eq!((carried.copied.count, network.traffic().uploads), (11, 7), "{way}");
        let out = temp.path().join(way);
        pull(&Network::new(Settings::default(), &run()).expect("usable"), &to, &out).expect(way);
        assert_eq!(blobs(&out), blobs(layout.path()));
        assert_layout_is_sound(&out);
        let image = format!("docker://{to}");
        let raw = Command::new(&skopeo).args(["inspect", "--raw", "--tls-verify=false", &image]).succeeds();
        assert!(raw.contains("application/vnd.oci.image.index.v1+json"), "{raw}");
        let copied = format!("oci:{}", temp.path().join(format!("{way}-skopeo")).display());
        Command::new(&skopeo).args(["--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false", &image, &copied]).succeeds();
        assert_eq!(blobs(&temp.path().join(format!("{way}-skopeo"))), blobs(layout.path()));
    }
}

#[test]
fn what_skopeo_pushed_is_pulled() {
    let (Some(registry), Some(skopeo)) = (Registry::start(Access::Everybody), tool("skopeo")) else { return };
    let temp = temp();
    let layout = hello(temp.path());
    let to = reference(&registry.host(), "theirs/hello:1");
    let from = format!("oci:{}:latest", layout.path().display());
    Command::new(&skopeo).args(["--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false", &from, &format!("docker://{to}")]).succeeds();
    let network = Network::new(Settings::default(), &run()).expect("usable");
    pull(&network, &to, &temp.path().join("out")).expect("pulled");
    assert_eq!(blobs(&temp.path().join("out")), blobs(layout.path()));
    assert_eq!(network.traffic().requests, 11 + 2, "each document and each blob once, and two questions for what is attached");
}

#[test]
fn an_unchanged_image_costs_two_requests_and_another_repository_no_upload() {
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    let temp = temp();
    let layout = hello(temp.path());
    let network = |()| Network::new(Settings::default(), &run()).expect("usable");
    let to = reference(&registry.host(), "team/hello:1");
    let first = network(());
    push(&first, &layout, "1.4.2", &to).expect("pushed");
    push(&first, &layout, "1.4.2", &reference(&registry.host(), "other/hello:1")).expect("pushed");
    assert_eq!((first.traffic().uploads, first.traffic().mounts), (7, 7));
    let again = network(());
    push(&again, &layout, "1.4.2", &to).expect("there already");
    assert_eq!(again.traffic().requests, 2);
    let asked = network(());
    assert!(asked.repository(&to).expect("usable").manifest_before_push(Which::Tag("1")).expect("asked").is_some());
    assert_eq!(asked.traffic().requests, 1, "whoever knows the digest needs one");
}

#[test]
fn passwords_and_tokens_open_and_others_do_not() {
    let temp = temp();
    let layout = hello(temp.path());
    let tokens = TokenServer::start(USER, PASSWORD);
    for access in [Access::Htpasswd, Access::Token(&tokens)] {
        let Some(registry) = Registry::start(access) else { return };
        let to = reference(&registry.host(), "team/hello:1");
        let network = Network::new(with_password(USER, PASSWORD), &run()).expect("usable");
        push(&network, &layout, "1.4.2", &to).expect("pushed");
        push(&network, &layout, "1.4.2", &reference(&registry.host(), "other/hello:1")).expect("mounted");
        assert_eq!((network.traffic().uploads, network.traffic().mounts), (7, 7));
        assert_eq!(network.repositories(&registry.host()).expect("listed"), ["other/hello", "team/hello"]);
        network.authenticate(&registry.host()).expect("known");
        pull(&Network::new(with_password(USER, PASSWORD), &run()).expect("usable"), &to, &temp.path().join("out")).expect("pulled");
        for settings in [Settings::default(), with_password(USER, "wrong-password")] {
            let network = Network::new(settings, &run()).expect("usable");
            let error = push(&network, &layout, "1.4.2", &to).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(!format!("{error:?}").contains("wrong-password"));
            assert!(network.traffic().requests < 30, "a wrong password is not tried again and again: {:?}", network.traffic());
        }
    }
}

#[test]
fn one_token_serves_all_threads() {
    let tokens = TokenServer::start(USER, PASSWORD);
    let Some(registry) = Registry::start(Access::Token(&tokens)) else { return };
    let temp = temp();
    let network = Network::new(with_password(USER, PASSWORD), &run()).expect("usable");
    push(&network, &hello(temp.path()), "1.4.2", &reference(&registry.host(), "team/hello:1")).expect("pushed");
    assert_eq!(tokens.asked().len(), 1);
}

#[test]
fn reg_40_certificates_decide_whom_larder_speaks_to() {
    let temp = temp();
    let layout = hello(temp.path());
    let (authority, stranger) = (Authority::new("registry"), Authority::new("stranger"));
    let trusting = |authority: &Authority| Security::Verified(Certificates { authorities: vec![authority.certificate().into_bytes()], client: None });
    let good = authority.issue(&["127.0.0.1", "localhost"]);
    let Some(registry) = Registry::start_tls(Access::Everybody, &good) else { return };
    let attempt = |host: &str, security: Security| {
        let network = Network::new(secure(security), &run()).expect("usable");
        push(&network, &layout, "1.4.2", &reference(host, "team/hello:1"))
    };
    attempt(&registry.host(), trusting(&authority)).expect("trusted");
    attempt(&registry.host(), Security::Insecure(Certificates::default())).expect("whatever it has");
    let error = attempt(&registry.host(), trusting(&stranger)).expect_err("an unknown authority");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--ca-file")), "{error:?}");
    // Plain HTTP is what this machine is spoken to with where nobody gave certificates; the server says what is wrong.
    let error = attempt(&registry.host(), Security::default()).expect_err("it wants TLS");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("TLS")), "{error:?}");
    for identity in [authority.issue_expired(&["127.0.0.1"]), authority.issue(&["registry.example"])] {
        let Some(registry) = Registry::start_tls(Access::Everybody, &identity) else { return };
        assert_eq!(attempt(&registry.host(), trusting(&authority)).expect_err("refused").kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn reg_40_a_certificate_of_ones_own_opens() {
    let authority = Authority::new("registry");
    let server = Scripted::start_tls(&authority.issue(&["127.0.0.1"]).only_for(&authority));
    server.expect(Step::new("GET", "/v2/team/hello/tags/list?n=1000").answers(Answer::json(200, &serde_json::json!({"tags": ["1"]}))));
    let own = authority.issue(&["me"]);
    let client = ClientCertificate { chain: own.certificate.clone().into_bytes(), key: Secret::new(own.key.clone()) };
    for (client, opens) in [(None, false), (Some(client), true)] {
        let security = Security::Verified(Certificates { authorities: vec![authority.certificate().into_bytes()], client });
        let network = Network::new(secure(security), &run()).expect("usable");
        let tags = network.repository(&reference(&server.host(), "team/hello")).expect("usable").tags();
        assert_eq!(tags.is_ok(), opens, "{tags:?}");
        assert!(opens || tags.is_err_and(|error| error.hint_text().is_some_and(|hint| hint.contains("--client-cert"))));
    }
    server.finish();
}

#[test]
fn reg_43_without_tls_only_where_that_is_wanted() {
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    let temp = temp();
    let layout = hello(temp.path());
    let authority = Authority::new("registry");
    let verified = Security::Verified(Certificates { authorities: vec![authority.certificate().into_bytes()], client: None });
    for (security, opens) in [(Security::Plain, true), (Security::Insecure(Certificates::default()), true), (verified, false)] {
        let network = Network::new(secure(security), &run()).expect("usable");
        let outcome = push(&network, &layout, "1.4.2", &reference(&registry.host(), "team/hello:1"));
        assert_eq!(outcome.is_ok(), opens, "{outcome:?}");
    }
}

#[test]
fn a_registry_that_comes_back_is_gone_on_with() {
    let Some(mut registry) = Registry::start(Access::Everybody) else { return };
    let temp = temp();
    let layout = hello(temp.path());
    let network = Network::new(Settings::default(), &run()).expect("usable");
    let to = reference(&registry.host(), "team/hello:1");
    push(&network, &layout, "1.4.2", &to).expect("pushed");
    // Connections that were kept open are dead now.
    registry.restart();
    assert_eq!(network.repository(&to).expect("usable").tags().expect("listed"), ["1"]);
    registry.stop();
    let error = network.repository(&to).expect("usable").tags().expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.causes().iter().any(|cause| cause.contains("5 times")), "{error:?}");
}

#[test]
fn sync_list_shows_repositories_and_tags() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    let temp = temp();
    let network = Network::new(with_password(USER, PASSWORD), &run()).expect("usable");
    let layout = hello(temp.path());
    for tag in ["1", "2"] {
        push(&network, &layout, "1.4.2", &reference(&registry.host(), &format!("team/hello:{tag}"))).expect("pushed");
    }
    let password = temp.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).expect("writable");
    let list = |place: &str| {
        let mut command = larder();
        command.args(["sync", "list", place, "--username", USER, "--password-stdin"]).stdin(std::fs::File::open(&password).expect("there"));
        command
    };
    let host = format!("docker://{}", registry.host());
    assert_eq!(list(&host).succeeds(), "team/hello\n");
    assert_eq!(list(&format!("{host}/team/hello")).succeeds(), "1\n2\n");
    let report: serde_json::Value = serde_json::from_str(&list(&format!("{host}/team/hello")).args(["--format", "json"]).succeeds()).expect("JSON");
    assert_eq!(report, serde_json::json!({"host": registry.host(), "repository": "team/hello", "tags": ["1", "2"]}));
    assert!(list(&format!("{host}/no/such")).fails_with(4).contains("there is no repository"));
    let refused = larder().args(["sync", "list", &host]).fails_with(7);
    assert!(refused.contains("401") && refused.contains("--username"), "{refused}");
    let help = larder().args(["list", &host]).fails_with(6);
    assert!(help.contains("larder sync"), "{help}");
}

#[test]
fn certificates_are_found_where_podman_keeps_them() {
    let temp = temp();
    let authority = Authority::new("registry");
    let server = Scripted::start_tls(&authority.issue(&["127.0.0.1"]).only_for(&authority));
    server.expect(Step::new("GET", "/v2/team/app/tags/list?n=1000").answers(Answer::json(200, &serde_json::json!({"tags": ["1"]}))));
    let place = temp.path().join(".config/containers/certs.d").join(server.host());
    let list = || {
        let mut command = larder();
        command.args(["sync", "list", &format!("docker://{}/team/app", server.host()), "--attempts", "1"]).env("HOME", temp.path());
        command
    };
    std::fs::create_dir_all(&place).expect("writable");
    std::fs::write(place.join("ca.crt"), authority.certificate()).expect("writable");
    list().fails_with(8);
    let own = authority.issue(&["me"]);
    std::fs::write(place.join("client.cert"), &own.certificate).expect("writable");
    std::fs::write(place.join("client.key"), &own.key).expect("writable");
    assert_eq!(list().succeeds(), "1\n");
    server.finish();
}

#[test]
fn reg_39_the_environment_names_the_proxy_and_its_password_is_not_shown() {
    let proxy = Scripted::start();
    proxy.expect(Step::new("CONNECT", "*").with("Proxy-Authorization", "Basic *").answers(Answer::new(407)).times(1));
    let told = larder()
        .args(["sync", "list", "docker://registry.example:5000/x", "--plain-http"])
        .env("http_proxy", format!("http://me:hunter2@{}", proxy.host()))
        .env("NO_PROXY", "other.example")
        .fails_with(8);
    assert!(told.contains("NO_PROXY") && !told.contains("hunter2"), "{told}");
    proxy.finish();
}

#[test]
fn sync_list_of_nobody_says_so() {
    let error = larder().args(["sync", "list", "docker://127.0.0.1:1/x", "--attempts", "2", "--timeout", "1s", "--format", "json"]).fails_with(8);
    let error: serde_json::Value = serde_json::from_str(error.lines().last().expect("a line")).expect("JSON");
    assert_eq!((error["code"].as_str(), error["subject"].as_str()), (Some("unavailable"), Some("127.0.0.1:1")));
}
