//! What a refusal means, and what helps.
//!
//! A registry says why in `errors[].code` and `.message`, Artifactory often in `errors[].status` and `.message`, and what stands before them in whatever it likes.
//! Of all that a line is shown, made safe, with the status, the URL without its query, and the version of Artifactory where it is one.

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::spec::text;
use crate::store::registry::rest::Method;

use super::header;
use super::told::Told;
use super::url::Url;
use super::wire::Response;

/// How much of an error is read: 64 KiB. Real ones have a few hundred bytes.
pub(crate) const ERROR_BYTES: usize = 64 << 10;

/// How much of what a registry says is shown.
const SHOWN: usize = 300;

/// What a registry said with a refusal.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The code of the first error, in upper case; empty where there is none.
    pub(crate) code: String,
    /// What it says, in one line.
    pub(crate) message: String,
    error: String,
    version: Option<String>,
    /// Whether a manifest was refused by an Artifactory that knows Docker's media types only.
    is_about_oci: bool,
}

/// Texts that are known, in lower case, what they mean, and what helps.
const KNOWN: &[(&str, ErrorKind, &str)] = &[
    (
        "unsupported docker",
        ErrorKind::NotFound,
        "the key of an Artifactory repository is missing in the path: write HOST/REPOSITORY-KEY/IMAGE, or give the direct path with --api-prefix",
    ),
    (
        "to a remote repository",
        ErrorKind::Unsupported,
        "a remote repository of Artifactory only mirrors: push to a local one, or to a virtual one with a default deployment repository",
    ),
    (
        "manifest v2 schema 1",
        ErrorKind::Unsupported,
        "the type of the manifest was lost on the way: look at what stands before the registry and changes Content-Type",
    ),
    ("circuit breaker threshold", ErrorKind::Unsupported, HISTORY),
    ("failed to copy blob", ErrorKind::NotFound, GONE),
    ("missing manifest digest", ErrorKind::NotFound, GONE),
    ("request rate limit", ErrorKind::Unavailable, SLOWER),
    (
        "http request to an https server",
        ErrorKind::Unavailable,
        "the host speaks TLS on this port: give its authority with --ca-file, or --insecure where that is acceptable",
    ),
    (
        "plain http request was sent to https port",
        ErrorKind::Unavailable,
        "the host speaks TLS on this port: give its authority with --ca-file, or --insecure where that is acceptable",
    ),
];

const HISTORY: &str = "Artifactory refuses images whose config has fewer steps of history than layers: build the image anew";
const NO_OCI: &str =
    "Artifactory takes images of OCI from version 7.11.1 on: give the image Docker's media types with `larder edit --media-types docker`, and push that";
const GONE: &str = "something the manifest refers to is gone, as after a cleanup of the registry: run the command again";
const SLOWER: &str = "lower --per-host or give --request-rate, or ask those who run the registry";

impl Refusal {
    /// Reads what came with a refusal.
    pub(crate) fn read(response: Response, method: Method, url: &Url) -> Refusal {
        let (status, told) = (response.status, response.told().clone());
        let version = response.header("x-jfrog-version").map(|version| text::shown(&told.hide(version)).into_owned());
        let is_html = response.header("content-type").is_some_and(|value| header::media_type(value).contains("html"));
        let body = response.beginning(ERROR_BYTES);
        let (code, message) = said(&body, is_html, &told);
        let said = [&code.to_ascii_lowercase(), &message].into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(": ");
        let mut error = format!("{} {url} was answered with {status} {}", method.as_str(), reason(status)).trim_end().to_owned();
        if !said.is_empty() {
            error = format!("{error}: {said}");
        }
        let is_manifest = method == Method::Put && url.to_string().contains("/manifests/");
        let is_about_oci = is_manifest && matches!(status, 400 | 406 | 415) && version.as_deref().is_some_and(knows_no_oci);
        Refusal { status, code, message, error, version, is_about_oci }
    }

    /// Whether it says that the digest of what was sent is another.
    pub(crate) fn is_about_digest(&self) -> bool {
        matches!(self.code.as_str(), "DIGEST_INVALID" | "SIZE_INVALID") || self.message.to_ascii_lowercase().contains("digest did not match")
    }

    /// Whether it says that something that was referred to is not there.
    pub(crate) fn is_about_absence(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        matches!(self.code.as_str(), "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN")
            || ["failed to copy blob", "missing manifest digest", "blob unknown"].iter().any(|text| message.contains(text))
    }

    /// Whether it may mean that something that is there must not be replaced.
    pub(crate) fn may_forbid_overwriting(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        matches!(self.status, 403 | 409) || (self.status == 400 && (message.contains("403") || message.contains("forbidden") || message.contains("immutable")))
    }

    /// The error for a person.
    pub(crate) fn into_error(self) -> Error {
        let text = format!("{} {}", self.code, self.message).to_ascii_lowercase();
        let known = KNOWN.iter().find(|(known, ..)| text.contains(known));
        let (kind, hint) = match known {
            Some((_, kind, hint)) => (*kind, Some(*hint)),
            None if self.is_about_oci => (ErrorKind::Unsupported, Some(NO_OCI)),
            None if self.code == "MANIFEST_INVALID" && matches!(self.message.as_str(), "" | "null") => (ErrorKind::Unsupported, Some(HISTORY)),
            None if self.is_about_absence() => (ErrorKind::NotFound, Some(GONE)),
            None if self.is_about_digest() => (ErrorKind::Corrupt, None),
            None => by_status(self.status),
        };
        let message = match &self.version {
            Some(version) => format!("{} ({version})", self.error),
            None => self.error,
        };
        let error = Error::new(kind, message);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Whether `Artifactory/7.10.2 71002900` is from before OCI.
fn knows_no_oci(version: &str) -> bool {
    let Some(numbers) = version.strip_prefix("Artifactory/").and_then(|rest| rest.split(' ').next()) else { return false };
    let mut numbers = numbers.split('.').map(|number| number.parse::<u32>());
    let [Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))] = [numbers.next(), numbers.next(), numbers.next()] else { return false };
    (major, minor, patch) < (7, 11, 1)
}

fn by_status(status: u16) -> (ErrorKind, Option<&'static str>) {
    match status {
        401 => (ErrorKind::Denied, Some("give the credential of a user who may do that: --username with --password-stdin")),
        403 => (ErrorKind::Denied, Some("this user may not do that, or a policy of the registry forbids it")),
        404 => (ErrorKind::NotFound, Some("look at the spelling of the repository; a registry also says this to those who may not see it")),
        405 | 501 => (ErrorKind::Unsupported, Some("the registry, or what stands before it, does not allow this")),
        407 => (ErrorKind::Denied, Some("the proxy wants a user and a password: http://USER:PASSWORD@HOST:PORT")),
        408 | 500 | 502 | 503 | 504 => (ErrorKind::Unavailable, None),
        409 => (ErrorKind::Conflict, None),
        413 => (
            ErrorKind::Denied,
            Some(
                "something before the registry limits what may be sent at once (nginx: client_max_body_size 0), or send blobs in pieces with --upload chunked",
            ),
        ),
        429 => (ErrorKind::Unavailable, Some(SLOWER)),
        300..=399 => (ErrorKind::Unavailable, Some("the registry is elsewhere: use the address that it points to")),
        500.. => (ErrorKind::Unavailable, None),
        _ => (ErrorKind::Unsupported, None),
    }
}

/// The code and the text of an error document of any kind.
fn said(body: &[u8], is_html: bool, told: &Told) -> (String, String) {
    let one_line = |text: &str| one_line(&told.hide(text));
    if let Ok(document) = serde_json::from_slice::<Value>(body) {
        let first = document.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&document);
        let field = |names: &[&str]| names.iter().find_map(|name| first.get(name).and_then(Value::as_str)).unwrap_or_default().to_owned();
        let message = match first.get("message") {
            Some(Value::Null) => "null".to_owned(),
            _ => field(&["message", "error", "error_description", "details"]),
        };
        let detail = first.get("detail").and_then(Value::as_str).unwrap_or_default();
        let message = if detail.is_empty() || message.contains(detail) { message } else { format!("{message} ({detail})") };
        return (one_line(&field(&["code"])).to_ascii_uppercase(), one_line(&message));
    }
    let text = String::from_utf8_lossy(body);
    let looks_like_html = is_html || text.trim_start().starts_with('<');
    (String::new(), one_line(if looks_like_html { title(&text) } else { &text }))
}

/// The title of a page.
fn title(page: &str) -> &str {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|begin| Some((begin + 7, lower[begin..].find("</title>")? + begin)));
    title.and_then(|(begin, end)| page.get(begin..end)).unwrap_or_default()
}

/// The beginning of a text, in one line that does nothing to a terminal.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = text::shown(&line).chars().take(SHOWN + 1).collect::<String>();
    if shown.chars().count() > SHOWN {
        shown = shown.chars().take(SHOWN).chain(['…']).collect();
    }
    shown
}

fn reason(status: u16) -> &'static str {
    ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_13_whatever_came_becomes_one_safe_line() {
        for (body, code, message) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access\nto the resource is denied"}]}"#,
                "DENIED",
                "requested access to the resource is denied",
            ),
            (r#"{"errors":[{"status":403,"message":"Bad \u001b[31mCredentials"}]}"#, "", "Bad \\u{1b}[31mCredentials"),
            (r#"{"errors":[{"code":"manifest_invalid","message":null}]}"#, "MANIFEST_INVALID", "null"),
            (r#"{"errors":[{"code":"UNKNOWN","message":"no","detail":"because"}]}"#, "UNKNOWN", "no (because)"),
            (r#"{"errors":[]}"#, "", ""),
            (r#"{"message":"gone"}"#, "", "gone"),
            (r#"{"error":"invalid_grant"}"#, "", "invalid_grant"),
            ("[1, 2]", "", ""),
            ("plain\r\ntext", "", "plain text"),
            ("<html><head><title>413 Request Entity Too Large</title></head>", "", "413 Request Entity Too Large"),
            ("<html>", "", ""),
            ("\u{1b}]0;evil\u{7}", "", "\\u{1b}]0;evil\\u{7}"),
            ("", "", ""),
        ] {
            assert_eq!(said(body.as_bytes(), false, &Told::default()), (code.to_owned(), message.to_owned()), "{body}");
        }
        assert_eq!(said(&[0xff; 10], false, &Told::default()).1.chars().count(), 10);
        assert_eq!(said("x".repeat(10_000).as_bytes(), false, &Told::default()).1.chars().count(), SHOWN + 1);
    }

    fn error(status: u16, code: &str, message: &str) -> Error {
        Refusal {
            status,
            code: code.into(),
            message: message.into(),
            error: format!("PUT https://a.example/v2/x was answered with {status}"),
            version: None,
            is_about_oci: false,
        }
        .into_error()
    }

    #[test]
    fn versions_of_artifactory_from_before_oci_are_known() {
        for (version, known) in [
            ("Artifactory/6.23.38 62338900", true),
            ("Artifactory/7.11.0 71100900", true),
            ("Artifactory/7.11.1 71101900", false),
            ("Artifactory/7.125.4 79999900", false),
            ("Artifactory/7", false),
            ("Artifactory", false),
            ("Nexus/3.1.0", false),
            ("", false),
        ] {
            assert_eq!(knows_no_oci(version), known, "{version}");
        }
    }

    #[test]
    fn known_refusals_come_with_their_remedy() {
        for (status, code, message, kind, remedy) in [
            (404, "", "Unsupported docker v2 repository request for 'app'", ErrorKind::NotFound, "REPOSITORY-KEY"),
            (400, "", "Unable to upload blobs to a remote repository.", ErrorKind::Unsupported, "local one"),
            (403, "UNAUTHORIZED", "Pushing Docker images with manifest v2 schema 1 to this repository is blocked", ErrorKind::Unsupported, "Content-Type"),
            (400, "MANIFEST_INVALID", "null", ErrorKind::Unsupported, "history"),
            (400, "MANIFEST_INVALID", "Circuit Breaker Threshold Reached, Breaking Operation", ErrorKind::Unsupported, "history"),
            (400, "MANIFEST_INVALID", "Failed to copy blob sha256__ab", ErrorKind::NotFound, "again"),
            (404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", ErrorKind::NotFound, "again"),
            (413, "", "413 Request Entity Too Large", ErrorKind::Denied, "client_max_body_size"),
            (429, "TOOMANYREQUESTS", "You reached the request rate limit set by the Artifactory registry.", ErrorKind::Unavailable, "--per-host"),
            (400, "", "Client sent an HTTP request to an HTTPS server.", ErrorKind::Unavailable, "TLS"),
            (401, "UNAUTHORIZED", "authentication required", ErrorKind::Denied, "--username"),
            (403, "DENIED", "requested access to the resource is denied", ErrorKind::Denied, "policy"),
            (405, "UNSUPPORTED", "The operation is unsupported.", ErrorKind::Unsupported, "allow"),
        ] {
            let error = error(status, code, message);
            assert_eq!(error.kind(), kind, "{message}");
            assert!(error.hint_text().is_some_and(|hint| hint.contains(remedy)), "{message}: {:?}", error.hint_text());
        }
        assert_eq!(error(400, "DIGEST_INVALID", "provided digest did not match").kind(), ErrorKind::Corrupt);
        assert_eq!(error(503, "", "").kind(), ErrorKind::Unavailable);
    }
}
