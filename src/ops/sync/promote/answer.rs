//! What an Artifactory answers, and what it means for who asked. The texts are those that its versions send; what none of them explains is shown as it came.

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::text;
use crate::store::registry::Answer;

use super::server::{Base, Class, Described, Order};

/// How much of an answer is shown.
const SHOWN: usize = 300;

/// What became of a promotion.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// It is done, but not all of the source could be removed. In the words of the server.
    Partly(String),
    /// The server does not promote, at least not this. In its words.
    Absent(String),
    /// Somebody else has it under way.
    Locked(String),
}

/// What an answer to `order` means.
///
/// Kinds: `denied`, `not_found`, `conflict`, `usage` and `unavailable`, each with the remedy.
pub(super) fn outcome(answer: &Answer, source: &str, order: &Order<'_>) -> Result<Outcome> {
    let said = said(answer);
    let has = |words: &str| said.contains(words);
    let failed = |kind, hint: String| Err(Error::new(kind, format!("the server answers {}: {said}", answer.status)).hint(hint));
    let target = order.target_repo;
    match answer.status {
        200 => Ok(Outcome::Done),
        206 => Ok(Outcome::Partly(said)),
        400 if has("Failed to acquire lock") => Ok(Outcome::Locked(said)),
        400 if has("Unsupported V2 repository") => {
            failed(ErrorKind::Usage, format!("`{source}` and `{target}` must be local or federated repositories for images, on this server"))
        }
        400 if has("destination and source are the same") => failed(ErrorKind::Usage, "give another target repository, or tags".to_owned()),
        400 if has("You must provide") || has("cannot be empty") => failed(ErrorKind::Usage, "the server wants more than was given".to_owned()),
        // Versions that do not promote single tags of some repositories say nothing more.
        400 if has("available only in Artifactory Pro") || said == "Bad Request" || said.is_empty() => Ok(Outcome::Absent(said)),
        404 if has("Unable to find") => failed(ErrorKind::NotFound, format!("the image is a name without the key of the repository, and is in `{source}`")),
        404 | 405 | 501 => Ok(Outcome::Absent(if said.is_empty() { format!("status {}", answer.status) } else { said })),
        401 => failed(ErrorKind::Denied, "the server does not know these credentials; see --user and --access-token".to_owned()),
        403 if has("write to the target") => failed(ErrorKind::Denied, format!("the user needs the permission to deploy to `{target}`")),
        403 if has("read from the source") => failed(ErrorKind::Denied, format!("the user needs the permission to read `{source}`")),
        403 if has("annotate/write") => {
            failed(ErrorKind::Denied, format!("the user needs the permissions to deploy to `{target}`, to annotate, and to overwrite what is there"))
        }
        403 => {
            failed(ErrorKind::Denied, format!("the user needs to read `{source}` and to deploy to `{target}`, and to delete in it where a tag is overwritten"))
        }
        409 => failed(ErrorKind::Conflict, format!("look at what `{target}` has already")),
        429 | 500..=599 => failed(ErrorKind::Unavailable, "run the command again later".to_owned()),
        _ => failed(ErrorKind::Unsupported, "larder does not know this answer".to_owned()),
    }
}

/// What the server says that the repository `key` is.
pub(super) fn class(answer: &Answer, key: &str) -> Result<Option<Class>> {
    let Ok(described) = serde_json::from_slice::<Described>(&answer.body) else { return Ok(None) };
    if !described.package_type.is_empty() && !["docker", "oci"].iter().any(|package| described.package_type.eq_ignore_ascii_case(package)) {
        let package = text::shown(&described.package_type);
        return Err(Error::usage(format!("`{}` is a repository for {package}, not for images", text::shown(key))).subject(text::shown(key)));
    }
    Ok(Some(match described.rclass.to_ascii_lowercase().as_str() {
        "local" | "federated" => Class::Physical,
        "virtual" => Class::Virtual(described.default_deployment_repo.filter(|key| !key.is_empty())),
        "remote" => Class::Remote,
        _ => Class::Untold,
    }))
}

/// That the server does not accept the credentials.
pub(super) fn refused(answer: &Answer, base: &Base) -> Error {
    Error::new(ErrorKind::Denied, format!("{base} answers {}: {}", answer.status, said(answer)))
        .subject(base)
        .hint("see --user, --password-stdin and --access-token, or log in: larder sync login HOST")
}

/// The text of an answer, safe to show: what its errors say, else its body.
fn said(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        message: String,
    }
    let body = String::from_utf8_lossy(&answer.body);
    let text = match serde_json::from_str::<Errors>(&body) {
        Ok(Errors { errors }) => errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "),
        Err(_) => body.trim().to_owned(),
    };
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    text::shown(&short).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }

    fn order() -> Order<'static> {
        Order { target_repo: "docker-target", docker_repository: "app", target_docker_repository: "", tag: "1", target_tag: "", copy: true }
    }

    fn told(status: u16, body: &str) -> Result<Outcome> {
        outcome(&answer(status, body), "docker-local", &order())
    }

    #[test]
    fn success_is_200_and_with_a_warning_206() {
        assert_eq!(told(200, "Promotion ended successfully").expect("done"), Outcome::Done);
        assert_eq!(told(200, "").expect("done"), Outcome::Done);
        let words = "Promotion executed successfully; however, there were not enough permissions to delete all artifacts under 'x'.";
        assert_eq!(told(206, words).expect("done"), Outcome::Partly(words.into()));
    }

    #[test]
    fn every_known_failure_has_its_kind_and_a_remedy() {
        for (status, body, kind, hint) in [
            (400, "Unsupported V2 repository request for 'x'", ErrorKind::Usage, "local or federated"),
            (400, "Skipping promote since destination and source are the same", ErrorKind::Usage, "another target"),
            (400, "You must provide targetRepo", ErrorKind::Usage, "wants more"),
            (401, r#"{"errors":[{"status":401,"message":"Bad Credentials"}]}"#, ErrorKind::Denied, "--access-token"),
            (403, "No permission to write to the target repository 'docker-target'. Promotion aborted", ErrorKind::Denied, "deploy to `docker-target`"),
            (403, "No permission to read from the source repository 'docker-local'", ErrorKind::Denied, "read `docker-local`"),
            (403, "User doesn't have permissions to annotate/write in 'x'. Promotion aborted", ErrorKind::Denied, "annotate"),
            (403, r#"{"errors":[{"status":403,"message":"Forbidden"}]}"#, ErrorKind::Denied, "deploy to"),
            (404, "Unable to find docker image 'docker-local/docker-local/app', request aborted", ErrorKind::NotFound, "without the key"),
            (409, "x", ErrorKind::Conflict, "docker-target"),
            (503, "x", ErrorKind::Unavailable, "later"),
            (418, "x", ErrorKind::Unsupported, "does not know"),
        ] {
            let error = told(status, body).expect_err(body);
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert!(error.message().contains(&status.to_string()) && error.hint_text().is_some_and(|text| text.contains(hint)), "{error:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_promote_is_told_from_one_that_refuses() {
        for (status, body) in [
            (404, r#"{"errors":[{"status":404,"message":"Not Found"}]}"#),
            (404, "<html>404</html>"),
            (405, ""),
            (501, ""),
            (400, r#"{"errors":[{"status":400,"message":"Bad Request"}]}"#),
            (400, r#"{"errors":[{"status":400,"message":"This REST API is available only in Artifactory Pro (see: jfrog.com/artifactory/features)."}]}"#),
        ] {
            assert!(matches!(told(status, body), Ok(Outcome::Absent(_))), "{status} {body}");
        }
        assert!(matches!(told(400, "Failed to acquire lock for promotion of 'x' from 'a' to 'b'."), Ok(Outcome::Locked(_))));
    }

    #[test]
    fn reg_13_what_a_server_says_is_short_and_safe_to_show() {
        let error = told(403, &format!("\u{1b}[31m{}", "x".repeat(10_000))).expect_err("refused");
        assert!(error.message().len() < 500 && !error.message().contains('\u{1b}'), "{error}");
        assert!(told(403, r#"{"errors":[{"message":"a"},{"status":1,"message":"b"}]}"#).expect_err("refused").message().contains("a; b"));
    }

    #[test]
    fn repositories_say_what_they_are() {
        let class = |body: &str| class(&answer(200, body), "key");
        assert_eq!(class(r#"{"key":"x","rclass":"local","packageType":"docker"}"#).expect("told"), Some(Class::Physical));
        assert_eq!(class(r#"{"rclass":"federated","packageType":"OCI"}"#).expect("told"), Some(Class::Physical));
        assert_eq!(class(r#"{"rclass":"virtual","packageType":"docker","defaultDeploymentRepo":"x"}"#).expect("told"), Some(Class::Virtual(Some("x".into()))));
        assert_eq!(class(r#"{"rclass":"virtual","defaultDeploymentRepo":""}"#).expect("told"), Some(Class::Virtual(None)));
        assert_eq!(class(r#"{"rclass":"remote","packageType":"docker"}"#).expect("told"), Some(Class::Remote));
        assert_eq!(class(r#"{"key":"x"}"#).expect("told"), Some(Class::Untold));
        assert_eq!(class("<html>").expect("not an Artifactory"), None);
        assert_eq!(class(r#"{"rclass":"local","packageType":"maven"}"#).expect_err("no images").kind(), ErrorKind::Usage);
    }
}
