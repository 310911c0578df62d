//! Promotion: every answer that is known, and what is where afterwards.

use serde_json::{Value, json};

use super::{Client, view};
use crate::support::artifactory::{Artifactory, Setup, USER, WRITER, WRITER_PASSWORD};
use crate::support::http::Reply;

fn promote(client: &Client, source: &str, body: &Value) -> Reply {
    let target = format!("/artifactory/api/docker/{source}/v2/promote");
    crate::support::http::Ask::new(&client.host, "POST", &target).header("Authorization", &client.authorization).body(body.to_string()).send()
}

/// What JFrog's own tool sends.
fn body(tag: &str, target_tag: &str, copy: bool) -> Value {
    json!({"targetRepo": "docker-target", "dockerRepository": "app", "targetDockerRepository": "", "tag": tag, "targetTag": target_tag, "copy": copy})
}

const DONE: (u16, &str) = (200, "Promotion ended successfully");

#[track_caller]
fn assert_says(reply: &Reply, expected: (u16, &str)) {
    assert_eq!((reply.status, reply.text().as_str()), expected);
}

#[test]
fn a_tag_is_copied_with_all_platforms_and_a_second_time_changes_nothing() {
    let artifactory = Artifactory::start(Setup::release());
    let (local, target) = (Client::new(&artifactory, "docker-local"), Client::new(&artifactory, "docker-target"));
    let (list, children) = local.list("app", "latest", "content");
    let (other, _) = local.list("app", "other", "other");
    let before = view(&artifactory, "docker-local");
    for _ in 0..2 {
        assert_says(&promote(&local, "docker-local", &body("latest", "", true)), DONE);
        assert_eq!((target.digest("app", "latest"), target.digest("app", "other")), (list.clone(), String::new()));
    }
    assert_says(&promote(&local, "docker-local", &body("latest", "latest-new", true)), DONE);
    assert_eq!(target.digest("app", "latest-new"), list);
    for child in &children {
        assert_eq!(target.digest("app", child), *child);
        assert_eq!(view(&artifactory, &format!("docker-target/app/{child}")), view(&artifactory, &format!("docker-local/app/{child}")));
    }
    assert_eq!(artifactory.property("docker-target/app/latest-new/list.manifest.json", "docker.manifest").as_deref(), Some("latest-new"));
    assert_eq!(artifactory.property("docker-local/app/latest/list.manifest.json", "docker.manifest").as_deref(), Some("latest"));
    assert_eq!((view(&artifactory, "docker-local"), local.digest("app", "other")), (before, other));
}

#[test]
fn without_copy_it_is_moved_but_for_what_others_need() {
    let artifactory = Artifactory::start(Setup::release());
    let (local, target) = (Client::new(&artifactory, "docker-local"), Client::new(&artifactory, "docker-target"));
    let (list, children) = local.list("app", "1", "content");
    local.list("app", "2", "content");
    let mut request = body("1", "", false);
    request.as_object_mut().expect("an object").remove("copy");
    assert_says(&promote(&local, "docker-local", &request), DONE);
    assert_eq!((local.digest("app", "1"), local.digest("app", "2"), target.digest("app", "1")), (String::new(), list.clone(), list));
    assert_eq!(local.digest("app", &children[0]), children[0]);
    assert_says(&promote(&local, "docker-local", &body("2", "", false)), DONE);
    assert_eq!((local.digest("app", &children[0]), target.digest("app", &children[0])), (String::new(), children[0].clone()));
    assert!(!artifactory.storage().join("docker-local/app/2").exists());
}

#[test]
fn without_a_tag_all_of_them_go() {
    let artifactory = Artifactory::start(Setup::release());
    let (local, target) = (Client::new(&artifactory, "docker-local"), Client::new(&artifactory, "docker-target"));
    let digests = ["1", "2"].map(|tag| local.list("app", tag, tag).0);
    assert_says(&promote(&local, "docker-local", &body("", "", true)), DONE);
    assert_eq!(["1", "2"].map(|tag| target.digest("app", tag)), digests);
    assert!(!artifactory.storage().join("docker-target/app/_uploads").exists());
    assert_says(&promote(&local, "docker-local", &json!({"targetRepo": "docker-target", "dockerRepository": "app", "copy": "false"})), DONE);
    assert_eq!(["1", "2"].map(|tag| local.digest("app", tag)), ["", ""]);
}

#[test]
fn within_a_repository_it_gives_another_name() {
    let artifactory = Artifactory::start(Setup::release());
    let local = Client::new(&artifactory, "docker-local");
    let (list, children) = local.list("app", "1", "content");
    let request = |image: &str, tag: &str, copy: bool| json!({"targetRepo": "docker-local", "dockerRepository": "app", "targetDockerRepository": image, "tag": "1", "targetTag": tag, "copy": copy});
    assert_says(&promote(&local, "docker-local", &request("", "2", true)), DONE);
    assert_eq!((local.digest("app", "1"), local.digest("app", "2")), (list.clone(), list.clone()));
    assert_says(&promote(&local, "docker-local", &request("team/app", "1", true)), DONE);
    assert_eq!((local.digest("team/app", "1"), local.digest("team/app", &children[1])), (list.clone(), children[1].clone()));
    assert_says(&promote(&local, "docker-local", &request("", "3", false)), DONE);
    assert_eq!((local.digest("app", "1"), local.digest("app", "3"), local.digest("app", &children[1])), (String::new(), list, children[1].clone()));
}

#[test]
fn names_of_platforms_follow_the_tag_on_old_servers_only() {
    for (version, renamed) in [("7.104.2", true), ("7.125.4", false)] {
        let artifactory = Artifactory::start(Setup::release().version(version).switch(|switches| switches.arch_tag_duplication = true));
        let (local, target) = (Client::new(&artifactory, "docker-local"), Client::new(&artifactory, "docker-target"));
        let (list, children) = local.list("app", "1", "content");
        assert_eq!(local.digest("app", "1-linux-arm64"), children[1]);
        assert_says(&promote(&local, "docker-local", &body("1", "2", true)), DONE);
        assert_eq!((target.digest("app", "2"), target.digest("app", &children[1])), (list, children[1].clone()));
        assert_eq!(
            (target.digest("app", "2-linux-arm64"), target.digest("app", "1-linux-arm64")),
            (if renamed { children[1].clone() } else { String::new() }, String::new())
        );
    }
}

#[test]
fn every_refusal_has_its_words() {
    let artifactory = Artifactory::start(Setup::release());
    let local = Client::new(&artifactory, "docker-local");
    local.list("app", "1", "content");
    let with = |name: &str, value: &str| {
        let mut body = body("1", "", true);
        body[name] = json!(value);
        body
    };
    let mut same = body("", "", true);
    same["targetRepo"] = json!("docker-local");
    let mut renamed = body("", "", true);
    renamed["targetDockerRepository"] = json!("other");
    let unsupported = |key: &str| format!("Unsupported V2 repository request for '{key}'");
    for (source, body, expected) in [
        ("docker-local", &with("dockerRepository", ""), (400, "You must provide dockerRepository name")),
        ("docker-local", &with("targetRepo", ""), (400, "You must provide targetRepo")),
        ("docker-local", &with("targetRepo", "generic-local"), (400, unsupported("generic-local").as_str())),
        ("docker-local", &with("targetRepo", "docker-virtual"), (400, unsupported("docker-virtual").as_str())),
        ("docker-local", &with("targetRepo", "absent"), (400, unsupported("absent").as_str())),
        ("docker-remote", &with("dockerRepository", "app"), (400, unsupported("docker-remote").as_str())),
        ("docker-local", &same, (400, "Skipping promote since destination and source are the same")),
        ("docker-local", &renamed, (400, "When 'targetTag' or 'targetDockerRepository' exists, 'tag' cannot be empty")),
        ("docker-local", &with("dockerRepository", "absent"), (404, "Unable to find docker image 'docker-local/absent', request aborted")),
        ("docker-local", &with("dockerRepository", "docker-local/app"), (404, "Unable to find docker image 'docker-local/docker-local/app', request aborted")),
        ("docker-local", &with("tag", "absent"), (404, "Unable to find 'docker-local/app/absent'. Promotion aborted")),
    ] {
        assert_says(&promote(&local, source, body), expected);
    }
    assert_eq!(promote(&local, "docker-local", &json!("text")).status, 400);
    let anonymous = Client { authorization: "none".into(), ..Client::new(&artifactory, "docker-local") };
    assert_eq!(promote(&anonymous, "docker-local", &body("1", "", true)).status, 401);
    assert!(!artifactory.storage().join("docker-target").exists());
}

#[test]
fn rights_are_needed_on_both_sides_and_to_take_away() {
    for (repository, letters, expected) in [
        ("docker-target", "r", (403, "No permission to write to the target repository 'docker-target'. Promotion aborted")),
        ("docker-local", "w", (403, "No permission to read from the source repository 'docker-local'. Promotion aborted")),
        ("docker-target", "rw", (403, "User doesn't have permissions to annotate/write in 'docker-target/app/1'. Promotion aborted")),
    ] {
        let artifactory = Artifactory::start(Setup::release().grant(WRITER, repository, letters));
        let client = Client::new(&artifactory, "docker-local");
        client.list("app", "1", "content");
        assert_says(&promote(&client.user(WRITER, WRITER_PASSWORD), "docker-local", &body("1", "", true)), expected);
    }
    let artifactory = Artifactory::start(Setup::release().grant(USER, "docker-local", "rw"));
    let local = Client::new(&artifactory, "docker-local");
    let (list, _) = local.list("app", "1", "content");
    let words = "Promotion executed successfully; however, there were not enough permissions to delete all artifacts under 'docker-local/app/1'.";
    assert_says(&promote(&local, "docker-local", &body("1", "", false)), (206, words));
    assert_eq!((local.digest("app", "1"), Client::new(&artifactory, "docker-target").digest("app", "1")), (list.clone(), list));
}

#[test]
fn servers_refuse_delay_or_pretend() {
    let artifactory = Artifactory::start(Setup::release());
    let local = Client::new(&artifactory, "docker-local");
    local.list("app", "1", "content");
    artifactory.switch(|switches| switches.promote_locked = 1);
    let locked = "Failed to acquire lock for promotion of 'docker-local/app/1' from 'docker-local' to 'docker-target'.";
    assert_says(&promote(&local, "docker-local", &body("1", "", true)), (400, locked));
    assert_says(&promote(&local, "docker-local", &body("1", "", true)), DONE);
    artifactory.switch(|switches| switches.promote_silent_virtual = true);
    let mut to_virtual = body("1", "", false);
    to_virtual["targetRepo"] = json!("docker-virtual");
    let before = view(&artifactory, "");
    assert_says(&promote(&local, "docker-local", &to_virtual), DONE);
    assert_eq!(view(&artifactory, ""), before);
    artifactory.switch(|switches| switches.promote_400_oci = true);
    let oci = Client::new(&artifactory, "oci-local");
    oci.list("app", "1", "content");
    assert_says(&promote(&local, "oci-local", &body("1", "", true)), (400, r#"{"errors":[{"message":"Bad Request","status":400}]}"#));
    assert_says(&promote(&local, "oci-local", &body("", "", true)), DONE);
    artifactory.switch(|switches| switches.promote_absent = true);
    assert_eq!(promote(&local, "docker-local", &body("1", "", true)).status, 404);
}
