//! What does it: the server, or larder where the server does not.

use serde_json::{Value, json};

use super::{Sample, digest, push};
use crate::support::artifactory::{API_KEY, PASSWORD, Setup, USER};
use crate::support::forge::sha256;
use crate::support::http::{Answer, Ask};
use crate::support::process::{Runs as _, larder, temp};
use crate::support::registry::{Access, Registry};
use crate::support::scripted::{Scripted, Step};

const WORDS: [&str; 6] = ["--copy", "--source-tag", "1", "app", "docker-local", "docker-target"];

#[test]
fn a_server_that_does_not_promote_has_it_copied_by_mounting() {
    let Some(sample) = Sample::new(Setup::release().switch(|switches| switches.promote_absent = true)) else { return };
    let report = sample.report(&WORDS);
    assert_eq!(report["by"], "copy");
    assert!(report["warnings"][0].as_str().is_some_and(|warning| warning.contains("does not promote this itself")), "{report}");
    assert_eq!(sample.digest("docker-target/app:1"), sample.digest("docker-local/app:1"));
    sample.assert_pullable("docker-target/app:1");
    let log = sample.artifactory.log();
    let sent: u64 = log.iter().filter(|entry| entry.path.contains("/blobs/")).map(|entry| entry.received).sum();
    assert_eq!(sent, 0, "blobs are mounted");
    let report = sample.report(&["--yes", "--source-tag", "1", "--target-tag", "moved", "app", "docker-local", "docker-target"]);
    assert_eq!((&report["by"], sample.digest("docker-local/app:1")), (&"copy".into(), None));
    sample.assert_pullable("docker-target/app:moved");
}

#[test]
fn a_tag_that_a_server_refuses_without_a_word_is_copied() {
    let Some(sample) = Sample::new(Setup::release().switch(|switches| switches.promote_400_oci = true)) else { return };
    sample.push("oci-local/app:1");
    let report = sample.report(&["--copy", "--source-tag", "1", "app", "oci-local", "docker-target"]);
    assert_eq!((&report["by"], sample.digest("docker-target/app:1")), (&"copy".into(), sample.digest("oci-local/app:1")));
    sample.assert_pullable("docker-target/app:1");
}

#[test]
fn what_is_attached_comes_along_when_that_is_asked_for() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let (subject, host) = (sample.digest("docker-local/app:1").expect("pushed"), sample.artifactory.host());
    let ask = |method: &str, target: &str| Ask::new(&host, method, target).header("X-JFrog-Art-Api", API_KEY);
    let empty = sha256(b"{}");
    let begun = ask("POST", "/v2/docker-local/app/blobs/uploads/").send();
    let place = begun.header("Location").strip_prefix(&sample.artifactory.url()).expect("a place").to_owned();
    assert_eq!(ask("PUT", &format!("{place}?digest={empty}")).body("{}").send().status, 201);
    let blob = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2});
    let index = "application/vnd.oci.image.index.v1+json";
    let size = ask("GET", "/v2/docker-local/app/manifests/1").header("Accept", index).send().body.len();
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/x-signature",
        "config": blob, "layers": [blob], "subject": {"mediaType": index, "digest": subject, "size": size}})
    .to_string();
    let digest = sha256(manifest.as_bytes());
    let put = ask("PUT", &format!("/v2/docker-local/app/manifests/{digest}")).header("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(put.body(manifest).send().status, 201);
    let attached = || ask("HEAD", &format!("/v2/docker-target/app/manifests/{digest}")).send().status;
    sample.report(&WORDS);
    assert_eq!(attached(), 404);
    sample.report(&[&["--referrers"][..], &WORDS[..]].concat());
    assert_eq!((attached(), sample.asked()), (200, 1));
    let listed = ask("GET", &format!("/v2/docker-target/app/referrers/{subject}")).send().json();
    assert_eq!(listed["manifests"][0]["digest"], digest);
}

#[test]
fn a_source_tag_that_changes_while_larder_moves_it_stays() {
    let prefix = "/v2/staging/app";
    let server = Scripted::start();
    let (config, manifest) = documents();
    let digest = sha256(manifest.as_bytes());
    let other = manifest.replace("\"layers\":[]", "\"layers\":[], \"annotations\":{}");
    let answers = [document(&manifest), document(&other)];
    // Asked for at the beginning and before it would be removed.
    server.expect(Step::new("HEAD", &format!("{prefix}/manifests/1")).always().answers_by(move |_, turn| answers[turn.min(1)].clone()));
    server.expect(Step::new("GET", &format!("{prefix}/manifests/{digest}")).always().answers(document(&manifest)));
    server.expect(Step::new("HEAD", &format!("{prefix}/manifests/{digest}")).always().answers(document(&manifest)));
    server.expect(Step::new("GET", &format!("{prefix}/blobs/{}", sha256(config.as_bytes()))).always().answers(Answer::new(200).body(config)));
    server.expect(Step::new("GET", "/v2/").always());
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    let (from, to) = (format!("docker://{}/staging/app:1", server.host()), format!("docker://{}/released/app", registry.host()));
    let report = larder().args(["sync", "promote", "--yes", "--format", "json", &from, &to]).succeeds();
    let report: Value = serde_json::from_str(&report).expect("one document");
    assert!(report["warnings"][0].as_str().is_some_and(|warning| warning.contains("by now")), "{report}");
    server.finish();
}

#[test]
fn somebody_else_who_promotes_the_same_is_waited_for() {
    let Some(sample) = Sample::new(Setup::release().switch(|switches| switches.promote_locked = 2)) else { return };
    assert_eq!((&sample.report(&WORDS)["by"], sample.asked()), (&"artifactory".into(), 3));
}

#[test]
fn servers_that_rename_what_is_below_or_ask_for_tokens_differently_are_the_same_to_people() {
    for setup in [
        Setup::release().switch(|switches| switches.promote_rename_children = true),
        Setup::release().switch(|switches| switches.arch_tag_duplication = true),
        Setup::release().switch(|switches| switches.challenge_without_scope = false),
        Setup::release().switch(|switches| switches.token_post_401 = false),
        Setup::release().switch(|switches| switches.virtual_403 = true),
        Setup::release().switch(|switches| switches.tags_with_digests = true),
        Setup::release().switch(|switches| switches.referrers = false),
        Setup::release().version("7.104.1"),
    ] {
        let Some(sample) = Sample::new(setup) else { return };
        sample.report(&["--copy", "--yes", "app", "docker-local", "docker-target"]);
        assert_eq!(sample.digest("docker-target/app:1"), sample.digest("docker-local/app:1"));
        sample.assert_pullable("docker-target/app:1");
    }
}

#[test]
fn reg_25_too_many_requests_are_asked_again() {
    let limit = crate::support::artifactory::RateLimit { path: "/promote".into(), times: 2, retry_after: "0".into() };
    let Some(sample) = Sample::new(Setup::release().switch(|switches| switches.rate_limit = Some(limit))) else { return };
    assert_eq!((&sample.report(&WORDS)["by"], sample.asked()), (&"artifactory".into(), 3));
}

#[test]
fn between_servers_larder_copies() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    let home = temp();
    let config = json!({"auths": {sample.artifactory.host(): {"username": USER, "password": PASSWORD}}});
    super::write(home.path(), ".docker/config.json", &config.to_string());
    let (from, to) = (format!("docker://{}/docker-local/app:1", sample.artifactory.host()), format!("docker://{}/released/app", registry.host()));
    let promote = |arguments: &[&str]| {
        let mut command = larder();
        command.args(["sync", "promote", "--format", "json"]).args(arguments).env("HOME", home.path());
        serde_json::from_str::<Value>(&command.succeeds()).expect("one document")
    };
    let report = promote(&["--copy", &from, &to, "--arch-tags"]);
    assert_eq!((&report["by"], &report["tags"][0]["target_tag"]), (&"copy".into(), &"1".into()));
    assert_eq!(digest(&registry.host(), "released/app:1"), sample.digest("docker-local/app:1"));
    assert_eq!(report["source"], format!("{}/docker-local/app", sample.artifactory.host()));
    let (suffix, child) = &super::children()[0];
    assert_eq!(report["tags"][0]["arch_tags"][0], format!("1-{suffix}"));
    assert_eq!(digest(&registry.host(), &format!("released/app:1-{suffix}")).as_ref(), Some(child));
    let report = promote(&["--copy", &from, &format!("{to}:renamed")]);
    assert_eq!(report["tags"][0]["target_tag"], "renamed");
    let pinned = format!("{from}@{}", super::children()[0].1);
    larder().args(["sync", "promote", "--copy", &pinned, &to]).env("HOME", home.path()).fails_with(5);
    let uploads = registry.requests("PUT", "digest=");
    promote(&["--copy", &from, &to]);
    assert_eq!(registry.requests("PUT", "digest="), uploads, "what is there is not sent again");
}

#[test]
fn a_registry_that_removes_no_tags_keeps_them_with_a_warning() {
    let Some(registry) = Registry::start(Access::Everybody) else { return };
    if crate::support::tools::tool("skopeo").is_none() {
        return;
    }
    push(&registry.host(), "staging/app:1");
    let place = |repository: &str| format!("docker://{}/{repository}:1", registry.host());
    let report = larder().args(["sync", "promote", "--yes", "--format", "json", &place("staging/app"), &place("released/app")]).succeeds();
    let report: Value = serde_json::from_str(&report).expect("one document");
    assert!(report["warnings"][0].as_str().is_some_and(|warning| warning.contains("still at the source")), "{report}");
    assert_eq!(digest(&registry.host(), "released/app:1"), digest(&registry.host(), "staging/app:1"));
}

/// What a server has to say besides promotions: two repositories, and one image without a platform in the first until it has moved.
struct Script {
    server: Scripted,
}

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:CONFIG","size":SIZE},"layers":[]}"#;
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;

/// A config, and a manifest of it that is no image of any platform but one.
fn documents() -> (&'static str, String) {
    (CONFIG, MANIFEST.replace("sha256:CONFIG", &sha256(CONFIG.as_bytes())).replace("SIZE", &CONFIG.len().to_string()))
}

/// The answer that has a manifest.
fn document(manifest: &str) -> Answer {
    let answer = Answer::new(200).header("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    answer.header("Docker-Content-Digest", &sha256(manifest.as_bytes())).body(manifest)
}

impl Script {
    /// `source` and `target` say, for the turn of the question, whether the tag is there.
    fn new(source: impl Fn(usize) -> bool + Send + Sync + 'static, target: impl Fn(usize) -> bool + Send + Sync + 'static) -> Script {
        let server = Scripted::start();
        let (config, manifest) = documents();
        let config = sha256(config.as_bytes());
        for key in ["docker-local", "docker-target"] {
            let class = json!({"key": key, "rclass": "local", "packageType": "docker"});
            server.expect(Step::new("GET", &format!("/artifactory/api/repositories/{key}")).always().answers(Answer::json(200, &class)));
        }
        server.expect(Step::new("GET", "/artifactory/api/docker/*/v2/").always());
        let answer = move |there: bool| match there {
            true => document(&manifest),
            false => Answer::json(404, &json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]})),
        };
        let there = answer.clone();
        let prefix = |key: &str| format!("/artifactory/api/docker/{key}/v2/app");
        server.expect(Step::new("HEAD", &format!("{}/manifests/1", prefix("docker-local"))).always().answers_by(move |_, turn| there(source(turn))));
        let there = answer.clone();
        server.expect(Step::new("HEAD", &format!("{}/manifests/1", prefix("docker-target"))).always().answers_by(move |_, turn| there(target(turn))));
        server.expect(Step::new("GET", &format!("{}/manifests/*", prefix("docker-target"))).always().answers_by(move |_, _| answer(true)));
        for method in ["HEAD", "GET"] {
            let blob = Answer::new(200).header("Docker-Content-Digest", &config).header("Content-Type", "application/octet-stream").body(CONFIG);
            server.expect(Step::new(method, &format!("{}/blobs/{config}", prefix("docker-target"))).always().answers(blob));
        }
        Script { server }
    }

    fn promotions(&self, answers: Vec<Answer>) {
        self.server.expect(Step::new("POST", "/artifactory/api/docker/docker-local/v2/promote").answers_in_turn(answers));
    }

    fn promote(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = larder();
        command.args(["sync", "promote", "--url", &format!("{}/artifactory/", self.server.url())]).args(arguments).args([
            "app",
            "docker-local",
            "docker-target",
        ]);
        command.env("LARDER_USER", USER).env("LARDER_PASSWORD", PASSWORD);
        command
    }
}

#[test]
fn the_order_is_the_one_of_jfrogs_cli() {
    let script = Script::new(|_| true, |turn| turn > 0);
    script.promotions(vec![Answer::text(200, "Promotion ended successfully")]);
    script.promote(&["--copy", "--source-tag", "1"]).succeeds();
    let seen = script.server.finish();
    let order = seen.iter().find(|request| request.method == "POST").expect("it came");
    assert_eq!(order.header("Content-Type"), Some("application/json"));
    let body = String::from_utf8_lossy(&order.body).into_owned();
    assert_eq!(body, r#"{"targetRepo":"docker-target","dockerRepository":"app","targetDockerRepository":"","tag":"1","targetTag":"","copy":true}"#);
}

#[test]
fn a_move_whose_answer_got_lost_is_found_done() {
    // Asked once before the move, and afterwards.
    let script = Script::new(|turn| turn == 0, |turn| turn > 0);
    script.promotions(vec![Answer::text(200, "Promotion ended successfully").fault(crate::support::http::Fault::CutAt(0))]);
    script.promote(&["--yes", "--source-tag", "1"]).succeeds();
    script.server.finish();
}

#[test]
fn a_move_that_was_not_done_is_asked_for_again_and_then_missing_at_the_source_is_no_failure() {
    // Nothing has happened when it is looked at for the first time; then it is done, and the answer says that there is nothing to move.
    let script = Script::new(|turn| turn < 1, |turn| turn > 1);
    let lost = Answer::text(200, "Promotion ended successfully").fault(crate::support::http::Fault::CutAt(0));
    script.promotions(vec![lost, Answer::text(404, "Unable to find 'docker-local/app/1'. Promotion aborted")]);
    script.promote(&["--yes", "--source-tag", "1"]).succeeds();
    script.server.finish();
}

#[test]
fn a_server_that_says_done_and_has_not_done_it_is_found_out() {
    let script = Script::new(|_| true, |_| false);
    script.promotions(vec![Answer::text(200, "Promotion ended successfully")]);
    let told = script.promote(&["--copy", "--source-tag", "1"]).fails_with(4);
    assert!(told.contains("the tag is not there") && told.contains("local"), "{told}");
    script.server.finish();
}

#[test]
fn content_that_a_promotion_left_behind_is_missed() {
    let script = Script::new(|_| true, |turn| turn > 0);
    script.promotions(vec![Answer::text(200, "Promotion ended successfully")]);
    let config = sha256(CONFIG.as_bytes());
    script.server.expect_first(Step::new("HEAD", &format!("/artifactory/api/docker/docker-target/v2/app/blobs/{config}")).always().answers(Answer::new(404)));
    let told = script.promote(&["--copy", "--source-tag", "1"]).fails_with(4);
    assert!(told.contains(&format!("the content {config} is not there")), "{told}");
    script.server.finish();
}

#[test]
fn reg_21_a_length_that_only_the_question_had_does_not_matter() {
    let script = Script::new(|_| true, |turn| turn > 0);
    script.promotions(vec![Answer::text(200, "Promotion ended successfully")]);
    let answer = document(&documents().1).fault(crate::support::http::Fault::Declares(12_345));
    for (key, absent) in [("docker-local", 0), ("docker-target", 1)] {
        let answer = answer.clone();
        let step = Step::new("HEAD", &format!("/artifactory/api/docker/{key}/v2/app/manifests/1")).always();
        script.server.expect_first(step.answers_by(move |_, turn| if turn < absent { Answer::new(404) } else { answer.clone() }));
    }
    script.promote(&["--copy", "--source-tag", "1"]).succeeds();
    script.server.finish();
}

#[test]
fn what_a_server_says_of_a_refusal_is_shown_with_the_remedy() {
    let script = Script::new(|_| true, |_| false);
    script.promotions(vec![Answer::text(403, "No permission to write to the target repository 'docker-target'. Promotion aborted")]);
    let told = script.promote(&["--copy", "--source-tag", "1"]).fails_with(7);
    assert!(told.contains("Promotion aborted") && told.contains("deploy to `docker-target`"), "{told}");
    script.server.finish();
}
