//! The REST API of an Artifactory, as far as promotion needs it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::{Reference, text};
use crate::store::registry::{Answer, Authorization, Method, Network, Repeat, Rest};

use super::answer::{self, Outcome};

/// How long to wait for a promotion of the same image that somebody else has under way, before each further attempt.
const LOCK_WAITS: [Duration; 4] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Where an Artifactory is, as its URL says: `https://HOST[:PORT]/artifactory/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    scheme: Scheme,
    host: String,
    /// Begins with a slash and does not end with one; empty where it is at the root.
    path: String,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// With TLS.
    Https,
    /// Without.
    Http,
}

impl Base {
    /// Reads a URL. Without a path it is that of the platform, whose Artifactory is at `/artifactory`. Fails with kind `usage`; the text is not repeated where it
    /// may have a password in it.
    pub fn parse(url: &str) -> Result<Base> {
        let bad = |why: &str| Error::usage(format!("the URL of the Artifactory {why}")).hint("it is the one of JFrog's CLI: https://HOST/artifactory/");
        let (scheme, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (Scheme::Https, rest),
            (_, Some(rest)) => (Scheme::Http, rest),
            _ => return Err(bad("begins with neither https:// nor http://")),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.contains('@') {
            return Err(bad("has a user in it").hint("give it with --user, and the password with --password-stdin"));
        }
        let graphic = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>' | b'\\');
        if !path.bytes().all(graphic) || path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(bad(&format!("has a path that cannot be: `{}`", text::shown(path))));
        }
        // A host of one word needs its port, or it would be taken for a repository of Docker Hub.
        let host = if host.contains(['.', ':']) || host == "localhost" { host.to_owned() } else { format!("{host}:{}", scheme.port()) };
        let is_host = format!("{host}/x").parse::<Reference>().is_ok_and(|reference| reference.host() == host);
        if !is_host {
            return Err(bad(&format!("has no host: `{}`", text::shown(&host))));
        }
        let path = path.trim_end_matches('/');
        Ok(Base { scheme, host, path: if path.is_empty() { "/artifactory".to_owned() } else { path.to_owned() } })
    }

    /// The host, with its port where the URL has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where the API of a registry for one repository is.
    pub fn registry(&self, repository: &str) -> String {
        format!("{}/api/docker/{repository}/v2", self.path)
    }

    fn url(&self, call: &str) -> String {
        format!("{self}{call}")
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}/", self.scheme.word(), self.host, self.path)
    }
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Http => "http",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Https => 443,
            Scheme::Http => 80,
        }
    }
}

/// An Artifactory, and what proves to it who one is.
#[derive(Clone)]
pub struct Server {
    /// Where it is.
    pub base: Base,
    /// What calls carry.
    pub authorization: Authorization,
}

/// What a repository of an Artifactory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It holds images itself: local or federated.
    Physical,
    /// It stands for others; what is put into it goes into this one.
    Virtual(Option<String>),
    /// It shows what another server has.
    Remote,
    /// The server does not say.
    Untold,
}

/// What is asked for, as JFrog's CLI writes it: every field is there, and what is not given is empty.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order<'a> {
    pub(super) target_repo: &'a str,
    pub(super) docker_repository: &'a str,
    pub(super) target_docker_repository: &'a str,
    pub(super) tag: &'a str,
    pub(super) target_tag: &'a str,
    pub(super) copy: bool,
}

impl Server {
    /// What the repository `key` is. None where nothing answers that is an Artifactory.
    ///
    /// Kinds: `not_found` where there is no such repository; `usage` where it holds no images; `denied`; `unavailable`.
    pub(super) fn class(&self, network: &Network, key: &str) -> Result<Option<Class>> {
        // It becomes part of URLs.
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if key.is_empty() || !key.bytes().all(valid) || key.starts_with('.') {
            return Err(Error::usage(format!("`{}` cannot be the key of a repository", text::shown(key))).subject(text::shown(key)));
        }
        let answer = self.get(network, &format!("api/repositories/{key}"))?;
        match answer.status {
            200 => answer::class(&answer, key),
            // Artifactory says 400 for a repository that is not there.
            400 | 404 | 405 if !self.is_artifactory(network)? => Ok(None),
            400 | 404 => Err(Error::not_found(format!("{} has no repository `{}`, or does not show it", self.base, text::shown(key)))
                .subject(text::shown(key))
                .hint("write the key of the repository alone; the image is a name of its own")),
            401 => Err(answer::refused(&answer, &self.base)),
            _ => Ok(Some(Class::Untold)),
        }
    }

    fn is_artifactory(&self, network: &Network) -> Result<bool> {
        let answer = self.get(network, "api/system/ping")?;
        Ok(answer.status == 200 && answer.body.trim_ascii() == b"OK" || answer.header("x-artifactory-id").is_some())
    }

    fn get(&self, network: &Network, call: &str) -> Result<Answer> {
        network.rest(&Rest { method: Method::Get, url: self.base.url(call), authorization: self.authorization.clone(), body: None, repeat: Repeat::Safe })
    }

    /// Promotes. While somebody else has the same image under way it waits a little.
    ///
    /// Kinds: those of [`answer::outcome`], and `unavailable` where there is no answer at all; then it may have been done or not.
    pub(super) fn promote(&self, run: &Run, network: &Network, source: &str, order: &Order<'_>) -> Result<Outcome> {
        let body = serde_json::to_vec(order).map_err(|error| Error::usage(format!("cannot write the request: {error}")))?;
        let rest = Rest {
            method: Method::Post,
            url: self.base.url(&format!("api/docker/{source}/v2/promote")),
            authorization: self.authorization.clone(),
            body: Some(("application/json".to_owned(), body)),
            // A copy that is done twice is one copy; what was moved is no longer there.
            repeat: if order.copy { Repeat::Safe } else { Repeat::Never },
        };
        let mut waits = LOCK_WAITS.into_iter();
        loop {
            match answer::outcome(&network.rest(&rest)?, source, order) {
                Ok(Outcome::Locked(why)) => match waits.next() {
                    Some(wait) => pause(run, wait)?,
                    None => return Err(Error::conflict(why).hint("somebody else promotes the same image; run the command again")),
                },
                outcome => return outcome,
            }
        }
    }
}

/// Waits, and stops waiting when somebody asks to stop.
pub(super) fn pause(run: &Run, time: Duration) -> Result<()> {
    const STEP: Duration = Duration::from_millis(50);
    let mut left = time;
    while !left.is_zero() {
        run.cancel.check()?;
        let step = left.min(STEP);
        std::thread::sleep(step);
        left -= step;
    }
    run.cancel.check()
}

/// What Artifactory says of a repository.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    #[serde(default)]
    pub(super) rclass: String,
    #[serde(default)]
    pub(super) package_type: String,
    pub(super) default_deployment_repo: Option<String>,
}

/// Whether an error leaves open what was done.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_that_of_jfrogs_cli_or_of_the_platform() {
        for (url, expected, registry) in [
            ("https://acme.example/artifactory/", "https://acme.example/artifactory/", "/artifactory/api/docker/r/v2"),
            ("https://acme.example/artifactory", "https://acme.example/artifactory/", "/artifactory/api/docker/r/v2"),
            ("https://acme.example", "https://acme.example/artifactory/", "/artifactory/api/docker/r/v2"),
            ("https://acme.example/", "https://acme.example/artifactory/", "/artifactory/api/docker/r/v2"),
            ("http://127.0.0.1:8082/x/y/", "http://127.0.0.1:8082/x/y/", "/x/y/api/docker/r/v2"),
            ("http://artifactory/artifactory", "http://artifactory:80/artifactory/", "/artifactory/api/docker/r/v2"),
            ("https://localhost/a", "https://localhost/a/", "/a/api/docker/r/v2"),
            ("https://[::1]:8082", "https://[::1]:8082/artifactory/", "/artifactory/api/docker/r/v2"),
        ] {
            let base = Base::parse(url).expect(url);
            assert_eq!((base.to_string().as_str(), base.registry("r").as_str()), (expected, registry));
        }
    }

    #[test]
    fn a_url_that_cannot_be_is_refused_and_its_password_not_repeated() {
        for url in [
            "",
            "acme.example",
            "ftp://acme.example",
            "https://",
            "https:///x",
            "https://acme.example/a?b",
            "https://acme.example/a#b",
            "https://acme.example/a b",
            "https://a_b.example",
            "https://acme.example/../x",
            "https://acme.example/a//b",
            "https://acme.example:x/",
            "https://me:hunter2@acme.example/artifactory",
        ] {
            let error = Base::parse(url).expect_err(url);
            assert!(error.kind() == ErrorKind::Usage && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn an_order_has_its_six_fields_in_their_order() {
        let order = Order { target_repo: "docker-target", docker_repository: "team/app", target_docker_repository: "", tag: "1", target_tag: "", copy: true };
        let text = serde_json::to_string(&order).expect("plain");
        assert_eq!(text, r#"{"targetRepo":"docker-target","dockerRepository":"team/app","targetDockerRepository":"","tag":"1","targetTag":"","copy":true}"#);
    }
}
