//! References: `host/repository:tag@digest`, with the parts that Docker's tools let people leave out.
//!
//! The first component is a host when it has a `.` or a `:` or is `localhost`; else the host is `docker.io`, where a repository of one
//! component is in `library/`. Grammar: distribution-spec, "Pulling manifests"; the left-out parts: Docker's `distribution/reference`.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;
use super::text;
use crate::error::{Error, Result};

/// The host of references that name none.
pub const DOCKER_HUB: &str = "docker.io";

/// The tag of references that name none.
pub const DEFAULT_TAG: &str = "latest";

/// The longest host and repository together, in bytes, that registries accept.
const NAME_BYTES: usize = 255;

/// The longest tag in bytes.
const TAG_BYTES: usize = 128;

/// A name of an image in a registry, with host and repository in full.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry, with its port where it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where the reference has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where the reference has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The form that Docker's tools show: without what they fill in themselves.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(short) = full.strip_prefix(DOCKER_HUB).and_then(|rest| rest.strip_prefix('/')) else { return full };
        let official = short.strip_prefix("library/").filter(|name| !name.contains('/'));
        // A repository whose first part looks like a host needs its host.
        [official, Some(short)]
            .into_iter()
            .flatten()
            .find(|text| text.parse::<Reference>().is_ok_and(|again| again == *self))
            .map_or(full.clone(), str::to_owned)
    }

    /// The same repository with this tag and no digest. Fails with kind `usage` when `tag` is outside the grammar.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        validate_tag(tag)?;
        Ok(Reference { host: self.host.clone(), repository: self.repository.clone(), tag: Some(tag.into()), digest: None })
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { host: self.host.clone(), repository: self.repository.clone(), tag: None, digest: Some(digest) }
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads a reference and fills in host and `library/`, never a tag. Fails with kind `usage`.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::usage(format!("invalid reference `{}`: {why}", text::shown(text)));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|error| bad(error.message()))?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad(TAG_RULE));
        }
        let (host, repository) = match name.split_once('/') {
            Some(("index.docker.io", repository)) => (DOCKER_HUB, repository),
            Some((first, repository)) if first.contains(['.', ':']) || first == "localhost" => (first, repository),
            _ => (DOCKER_HUB, name),
        };
        let repository = if host == DOCKER_HUB && !repository.contains('/') { format!("library/{repository}") } else { repository.to_owned() };
        if !is_host(host) {
            return Err(bad("the host is not a host name or address with an optional port"));
        }
        if !repository.split('/').all(is_component) {
            return Err(bad("a repository is made of lower-case letters and digits, separated by `/`, `.`, `_`, `__` or `-`"));
        }
        if host.len() + 1 + repository.len() > NAME_BYTES {
            return Err(bad(&format!("host and repository are longer than {NAME_BYTES} bytes")));
        }
        Ok(Reference { host: host.into(), repository, tag: tag.map(Into::into), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

const TAG_RULE: &str = "a tag has at most 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two";

/// Whether `text` is a tag by the grammar of the distribution specification.
pub fn is_tag(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.len() <= TAG_BYTES && text.as_bytes().first().is_some_and(word) && text.bytes().all(|byte| word(&byte) || matches!(byte, b'.' | b'-'))
}

/// Fails with kind `usage` unless `tag` [is a tag](is_tag).
pub(super) fn validate_tag(tag: &str) -> Result<()> {
    match is_tag(tag) {
        true => Ok(()),
        false => Err(Error::usage(format!("invalid tag `{}`: {TAG_RULE}", text::shown(tag)))),
    }
}

/// `[a-z0-9]+` parts between `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = component.split(|c: char| c.is_ascii() && letter(c as u8)).filter(|separator| !separator.is_empty());
    let ends = [component.as_bytes().first(), component.as_bytes().last()];
    ends.into_iter().all(|byte| byte.is_some_and(|byte| letter(*byte)))
        && separators.into_iter().all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

/// A host name, an IPv4 address or an IPv6 address in brackets, with an optional port.
fn is_host(host: &str) -> bool {
    let port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(port));
    }
    let (name, valid_port) = match host.split_once(':') {
        Some((name, text)) => (name, port(text)),
        None => (host, true),
    };
    let label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    valid_port && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().expect(text).to_string()
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let digest = Digest::sha256(b"");
        for (text, expected) in [
            ("hello", "docker.io/library/hello"),
            ("hello:1", "docker.io/library/hello:1"),
            ("team/hello:1", "docker.io/team/hello:1"),
            ("docker.io/hello", "docker.io/library/hello"),
            ("index.docker.io/hello", "docker.io/library/hello"),
            ("localhost/hello", "localhost/hello"),
            ("localhost:5000/a/b:2", "localhost:5000/a/b:2"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("registry.example/team/hello:1.4.2", "registry.example/team/hello:1.4.2"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            ("x.y/a", "x.y/a"),
            ("a", "docker.io/library/a"),
            ("a--b/c__d.e_f", "docker.io/a--b/c__d.e_f"),
        ] {
            assert_eq!(full(text), expected, "{text}");
        }
        assert_eq!(full(&format!("hello@{digest}")), format!("docker.io/library/hello@{digest}"));
        assert_eq!(full(&format!("r.example:1/a:2@{digest}")), format!("r.example:1/a:2@{digest}"));
    }

    #[test]
    fn the_familiar_form_is_short_and_reads_back() {
        for (text, familiar) in [
            ("hello:1", "hello:1"),
            ("docker.io/library/hello:1", "hello:1"),
            ("docker.io/team/hello:1", "team/hello:1"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("docker.io/localhost/hello:1", "docker.io/localhost/hello:1"),
            ("docker.io/a.b/hello:1", "docker.io/a.b/hello:1"),
            ("x.y/library/hello:1", "x.y/library/hello:1"),
        ] {
            assert_eq!(text.parse::<Reference>().expect(text).familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_outside_the_grammar() {
        let long = format!("x.y/{}", "a".repeat(252));
        for text in [
            "",
            ":",
            ":1",
            "/",
            "/a",
            "a/",
            "a//b",
            "A",
            "Team/hello",
            "a:",
            "a:-1",
            "a:.1",
            "a:b:c",
            "a@",
            "a@sha256:0",
            "a b",
            "a\n",
            "../../etc/x",
            "a/../b",
            "a.",
            "_a",
            "a___b",
            "a._b",
            "-a.b/c",
            "a..b/c",
            "x.y:/a",
            "x.y:99999/a",
            "[::1/a",
            "[zz]/a",
            "é/a",
            &long,
        ] {
            assert_eq!(text.parse::<Reference>().expect_err(text).kind(), crate::error::ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn lay_64_tags() {
        for tag in ["1", "_", "a.b-c_D", "latest", "0.1.20", &"x".repeat(128)] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", ".a", "-a", "a/b", "../../etc/x", "a:b", "a b", "a\n", "a\u{1b}[31m", "\u{202e}a", "a\0", "é", &"x".repeat(129)] {
            assert!(!is_tag(tag), "{tag:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_full_reference_reads_back(
            host in "|[a-z]{1,3}(\\.[a-z]{1,3}|:[0-9]{1,4})/",
            // A first component with a dot would be the host.
            first in "[a-z0-9]{1,4}([_-][a-z0-9]{1,4})?",
            rest in "(/[a-z0-9]{1,4}([._-][a-z0-9]{1,4}){0,2}){0,2}",
            tag in "|:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,5}",
        ) {
            let text = format!("{host}{first}{rest}{tag}");
            let reference: Reference = text.parse().expect("valid");
            prop_assert_eq!(&reference.to_string().parse::<Reference>().expect("valid"), &reference);
        }
    }
}
