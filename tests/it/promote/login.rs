//! Who may promote, and how that is proved.

use std::io::Write as _;
use std::process::Stdio;

use super::{Sample, write};
use crate::support::artifactory::{ACCESS_TOKEN, API_KEY, PASSWORD, READER, READER_PASSWORD, REFERENCE_TOKEN, Setup, USER};
use crate::support::process::{Runs as _, larder, temp};

const WORDS: [&str; 6] = ["--copy", "--source-tag", "1", "app", "docker-local", "docker-target"];

#[test]
fn every_kind_of_proof_is_taken() {
    for (arguments, environment, header) in [
        (&["--user", USER][..], &[("LARDER_PASSWORD", PASSWORD)][..], "Authorization"),
        (&["--user", USER, "--password", PASSWORD], &[], "Authorization"),
        (&["--access-token", ACCESS_TOKEN], &[], "Authorization"),
        (&[], &[("LARDER_ACCESS_TOKEN", ACCESS_TOKEN)], "Authorization"),
        (&["--access-token", REFERENCE_TOKEN], &[], "Authorization"),
        (&["--user", USER, "--access-token", API_KEY], &[], "Authorization"),
        (&[], &[("LARDER_ACCESS_TOKEN", API_KEY)], "X-JFrog-Art-Api"),
    ] {
        let Some(sample) = Sample::new(Setup::release()) else { return };
        let mut command = larder();
        command.args(["sync", "promote", "--url", &sample.artifactory.rest_url()]).args(WORDS).args(arguments).envs(environment.iter().copied());
        let output = command.output().expect("larder runs");
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {told}");
        let log = sample.artifactory.log();
        let promotion = log.iter().find(|entry| entry.path.ends_with("/promote")).expect("it was asked for");
        assert!(promotion.header(header).is_some(), "{arguments:?}: {promotion:?}");
        for secret in [PASSWORD, ACCESS_TOKEN, REFERENCE_TOKEN, API_KEY] {
            assert!(!told.contains(secret), "{told}");
        }
        let visible = arguments.iter().any(|argument| matches!(*argument, "--password" | "--access-token"));
        assert_eq!(told.contains("every user of this machine can see"), visible, "{told}");
    }
}

#[test]
fn a_password_or_a_token_comes_through_stdin() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    for (arguments, secret) in [(&["--user", USER, "--password-stdin"][..], PASSWORD), (&["--access-token-stdin"], ACCESS_TOKEN)] {
        let mut command = larder();
        command.args(["sync", "promote", "--url", &sample.artifactory.rest_url()]).args(WORDS).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("larder runs");
        writeln!(child.stdin.take().expect("a pipe"), "{secret}").expect("it reads");
        assert!(child.wait().expect("ended").success(), "{arguments:?}");
    }
}

#[test]
fn the_servers_of_jfrogs_cli_are_known() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let home = temp();
    let server = |id: &str, default: bool, url: &str| serde_json::json!({"serverId": id, "isDefault": default, "artifactoryUrl": url, "user": USER, "password": PASSWORD, "xrayUrl": ""});
    let file = |encrypted: bool| serde_json::json!({"version": "6", "enc": encrypted, "servers": [server("dead", false, "http://127.0.0.1:1/artifactory/"), server("acme", true, &sample.artifactory.rest_url())]});
    let promote = || {
        let mut command = larder();
        command.args(["sync", "promote"]).args(WORDS).env("HOME", home.path());
        command
    };
    let told = promote().fails_with(2);
    assert!(told.contains("--url"), "{told}");
    write(home.path(), ".jfrog/jfrog-cli.conf.v6", &file(false).to_string());
    promote().succeeds();
    promote().args(["--server-id", "acme"]).succeeds();
    promote().env("JFROG_CLI_SERVER_ID", "acme").succeeds();
    let told = promote().args(["--server-id", "absent"]).fails_with(2);
    assert!(told.contains("it knows dead, acme"), "{told}");
    write(home.path(), "elsewhere/jfrog-cli.conf.v6", &file(false).to_string());
    promote().env("HOME", "/nonexistent").env("JFROG_CLI_HOME_DIR", home.path().join("elsewhere")).succeeds();
    sample.artifactory.take_log();
    write(home.path(), ".jfrog/jfrog-cli.conf.v6", &file(true).to_string());
    let told = promote().fails_with(2);
    assert!(told.contains("encrypted") && !told.contains(PASSWORD) && sample.artifactory.log().is_empty(), "{told}");
}

#[test]
fn what_docker_and_podman_know_is_good_for_the_server_too() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let home = temp();
    let host = sample.artifactory.host();
    let entry = |user: &str, password: &str| serde_json::json!({"username": user, "password": password});
    let promote = || {
        let mut command = larder();
        command.args(["sync", "promote", "--url", &sample.artifactory.rest_url()]).args(WORDS).env("HOME", home.path());
        command
    };
    write(home.path(), ".docker/config.json", &serde_json::json!({"auths": {&host: entry(USER, PASSWORD)}}).to_string());
    promote().succeeds();
    let auths = serde_json::json!({"auths": {&host: entry("nobody", "x"), format!("{host}/docker-local"): entry(USER, PASSWORD)}});
    write(home.path(), "auth.json", &auths.to_string());
    promote().arg("--authfile").arg(home.path().join("auth.json")).args(["--target-tag", "2"]).fails_with(7);
    assert!(sample.artifactory.failed_logins("nobody") <= 2);
}

#[test]
fn reg_23_a_wrong_password_is_final() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let told = sample.promote(&WORDS).env("LARDER_PASSWORD", "wrong-and-secret").fails_with(7);
    assert!(told.contains("hint:") && !told.contains("wrong-and-secret"), "{told}");
    assert!(sample.artifactory.failed_logins(USER) <= 2, "{}", sample.artifactory.failed_logins(USER));
    let told = larder().args(["sync", "promote", "--url", &sample.artifactory.rest_url()]).args(WORDS).fails_with(7);
    assert!(told.contains("--password-stdin") || told.contains("sync login"), "{told}");
}

#[test]
fn who_may_not_write_is_told_what_is_missing() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let told = sample.promote(&WORDS).env("LARDER_USER", READER).env("LARDER_PASSWORD", READER_PASSWORD).fails_with(7);
    assert!(told.contains("deploy to `docker-target`"), "{told}");
}

#[test]
fn who_may_not_delete_moves_with_a_warning() {
    let Some(sample) = Sample::new(Setup::release().grant(USER, "docker-local", "rwn")) else { return };
    let digest = sample.digest("docker-local/app:1");
    let report = sample.report(&["--yes", "--source-tag", "1", "app", "docker-local", "docker-target"]);
    assert!(report["warnings"][0].as_str().is_some_and(|warning| warning.contains("permissions to delete")), "{report}");
    assert_eq!((sample.digest("docker-local/app:1"), sample.digest("docker-target/app:1")), (digest.clone(), digest));
}
