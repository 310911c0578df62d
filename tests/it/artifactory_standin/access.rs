//! Who is let in.

use std::time::Duration;

use serde_json::json;

use super::{Client, basic, error};
use crate::support::artifactory::{
    ACCESS_TOKEN, API_KEY, Anonymous, Artifactory, PASSWORD, READER, READER_PASSWORD, REFERENCE_TOKEN, Setup, USER, WRITER, WRITER_PASSWORD,
};
use crate::support::http::{Ask, Reply};

fn ping(artifactory: &Artifactory, name: &str, value: &str) -> Reply {
    Ask::new(&artifactory.host(), "GET", "/v2/").header(name, value).send()
}

#[test]
fn everything_that_proves_who_asks_is_taken_and_nothing_else() {
    let artifactory = Artifactory::start(Setup::release());
    for (name, value) in [
        ("X-JFrog-Art-Api", API_KEY.to_owned()),
        ("X-JFrog-Art-Api", REFERENCE_TOKEN.to_owned()),
        ("Authorization", format!("Bearer {ACCESS_TOKEN}")),
        ("Authorization", format!("Bearer {REFERENCE_TOKEN}")),
        ("Authorization", basic(USER, PASSWORD)),
        ("Authorization", basic(USER, API_KEY)),
        ("Authorization", basic(USER, ACCESS_TOKEN)),
        ("Authorization", basic(READER, READER_PASSWORD)),
    ] {
        assert_eq!(ping(&artifactory, name, &value).status, 200, "{name}: {value}");
    }
    for (name, value) in [
        ("X-JFrog-Art-Api", PASSWORD.to_owned()),
        ("Authorization", format!("Bearer {API_KEY}")),
        ("Authorization", format!("Bearer {PASSWORD}")),
        ("Authorization", basic(READER, ACCESS_TOKEN)),
        ("Authorization", basic("nobody", PASSWORD)),
        ("Authorization", "Basic !".to_owned()),
        ("Accept", "*/*".to_owned()),
    ] {
        let refused = ping(&artifactory, name, &value);
        assert_eq!(error(&refused), (401, "UNAUTHORIZED".into(), "authentication required".into()), "{name}: {value}");
        let host = artifactory.host();
        assert_eq!(refused.header("WWW-Authenticate"), format!("Bearer realm=\"http://{host}/v2/token\",service=\"{host}\""));
        assert_eq!(refused.header("Docker-Distribution-Api-Version"), "registry/2.0");
    }
}

#[test]
fn a_token_is_good_for_its_scopes_and_for_its_time() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    client.image("app", Some("1"), "content");
    let token = |method: &str, target: &str, authorization: &str| Ask::new(&artifactory.host(), method, target).header("Authorization", authorization).send();
    let target = "/v2/token?service=x&scope=repository%3Adocker-local/app:pull&scope=repository:docker-local/other:pull,push";
    for (authorization, message) in [("None", "Bad Credentials"), (&basic(USER, "wrong"), "Bad Credentials")] {
        assert_eq!(error(&token("GET", target, authorization)), (401, "401".into(), message.into()));
    }
    let nobody = Ask::new(&artifactory.host(), "GET", target).send();
    assert_eq!(error(&nobody), (401, "401".into(), "Authentication is required".into()));
    assert_eq!(token("POST", target, &basic(USER, PASSWORD)).status, 401);
    let given = token("GET", target, &basic(USER, PASSWORD)).json();
    assert_eq!((given["expires_in"].as_u64(), given.as_object().map(serde_json::Map::len)), (Some(9000), Some(2)));
    let bearer = format!("Bearer {}", given["token"].as_str().expect("a token"));
    let with_token = |method: &str, path: &str| client.ask(method, path).header("Authorization", &bearer).send();
    let (pull, push) = (|| with_token("GET", "app/tags/list"), |image: &str| with_token("POST", &format!("{image}/blobs/uploads/")));
    assert_eq!((pull().status, push("other").status), (200, 202));
    let refused = push("app");
    assert_eq!(refused.status, 401);
    assert!(refused.header("WWW-Authenticate").ends_with(",scope=\"repository:docker-local/app:pull,push\""), "{refused:?}");
    artifactory.pass(Duration::from_secs(9001));
    assert_eq!(pull().status, 401);
    artifactory.switch(|switches| switches.token_post_401 = false);
    let form = format!("grant_type=password&service=x&username={USER}&password={PASSWORD}&scope=repository:docker-local/app:pull");
    let posted = Ask::new(&artifactory.host(), "POST", "/v2/token").body(form).send().json();
    let bearer = format!("Bearer {}", posted["token"].as_str().expect("a token"));
    assert_eq!(client.ask("GET", "app/tags/list").header("Authorization", &bearer).send().status, 200);
}

#[test]
fn rights_are_those_of_the_user_and_anonymous_ones_may_be_to_read() {
    let artifactory = Artifactory::start(Setup::release().anonymous(Anonymous::Read).switch(|switches| switches.challenge_without_scope = false));
    let local = || Client::new(&artifactory, "docker-local");
    local().image("app", Some("1"), "content");
    let begin = |client: Client| client.ask("POST", "app/blobs/uploads/").send();
    assert_eq!(error(&begin(local().user(READER, READER_PASSWORD))).1, "DENIED");
    assert_eq!(begin(local().user(WRITER, WRITER_PASSWORD)).status, 202);
    assert_eq!(error(&local().user(WRITER, WRITER_PASSWORD).ask("DELETE", "app/manifests/1").send()).0, 403);
    let anonymous = |method: &str, target: &str| Ask::new(&artifactory.host(), method, target).send();
    assert_eq!((anonymous("GET", "/v2/").status, anonymous("GET", "/v2/docker-local/app/tags/list").json()["tags"].clone()), (200, json!(["1"])));
    let refused = anonymous("POST", "/v2/docker-local/app/blobs/uploads/");
    assert_eq!(refused.status, 401);
    assert!(refused.header("WWW-Authenticate").contains("scope=\"repository:docker-local/app:pull,push\""), "{refused:?}");
}

#[test]
fn who_comes_with_something_wrong_too_often_stays_out() {
    let artifactory = Artifactory::start(Setup::release());
    for _ in 0..5 {
        assert_eq!(ping(&artifactory, "Authorization", &basic(USER, "wrong")).status, 401);
    }
    assert_eq!(artifactory.failed_logins(USER), 5);
    assert_eq!(ping(&artifactory, "Authorization", &basic(USER, PASSWORD)).status, 401);
    assert_eq!(ping(&artifactory, "Authorization", &basic(READER, READER_PASSWORD)).status, 200);
    artifactory.forget_failed_logins();
    assert_eq!(ping(&artifactory, "Authorization", &basic(USER, PASSWORD)).status, 200);
}
