//! Whom a registry may send us to for a token.
//!
//! A token server receives the user and the password. It must be on the host of the registry, or on one of the same organisation, or one that a person trusts;
//! never is it in a private network that the registry is not in itself, and never is it unprotected where the registry is protected.

use crate::error::{Error, ErrorKind, Result};
use crate::store::registry::http::url::{Origin, Scheme, Url, is_private};

/// Whether a realm receives a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// It does.
    Credential,
    /// It is asked for a token that everybody may have.
    Nothing,
}

/// The realm of a challenge as a URL, where we go there. Fails with kind `denied`.
pub(crate) fn check(realm: &str, registry: &Origin, trusted: &[String], carries: Carries) -> Result<Url> {
    let denied = |why: String| Error::new(ErrorKind::Denied, format!("{registry} {why}")).subject(registry.authority());
    if realm.is_empty() {
        return Err(denied("wants a token and does not say where from".into()));
    }
    let realm: Url = realm.parse().map_err(|error: Error| denied("wants a token from what is no URL".into()).because(error))?;
    // A registry that thinks that there is a proxy before it says https of a port that speaks no TLS: the one where it was found.
    let is_same_port = realm.origin.host == registry.host && realm.origin.port == registry.port;
    let realm = if registry.scheme == Scheme::Http && is_same_port { realm.at(registry) } else { realm };
    let origin = &realm.origin;
    let is_same_host = origin.host == registry.host;
    let is_trusted = trusted.iter().any(|host| host.eq_ignore_ascii_case(&origin.authority()) || host.eq_ignore_ascii_case(&origin.host));
    if origin.scheme == Scheme::Http && !(registry.scheme == Scheme::Http && (is_same_host || (origin.is_loopback() && registry.is_loopback()))) {
        return Err(denied(format!("wants a token from {origin}, which is not protected")));
    }
    let is_inside = origin.is_loopback() || origin.address().is_some_and(is_private);
    let both_loopback = origin.is_loopback() && registry.is_loopback();
    if is_inside && !is_same_host && !both_loopback && !is_trusted {
        return Err(denied(format!("wants a token from {origin}, which is in a private network")).hint(trust(origin)));
    }
    let is_ours = is_same_host || both_loopback || is_trusted || (origin.address().is_none() && organisation(&origin.host) == organisation(&registry.host));
    match carries == Carries::Nothing || is_ours {
        true => Ok(realm),
        false => Err(denied(format!("wants the credential to be sent to {origin}")).hint(trust(origin))),
    }
}

fn trust(origin: &Origin) -> String {
    format!("if that host issues the tokens of this registry, give --trust-realm {}", origin.authority())
}

/// The part of a name that one organisation has: the last two labels, or three below countries that sell under `co.`, `com.` and the like.
fn organisation(host: &str) -> &str {
    let labels: Vec<&str> = host.rsplit('.').collect();
    let count = match &labels[..] {
        [country, second, ..] if country.len() == 2 && matches!(*second, "co" | "com" | "net" | "org" | "gov" | "edu" | "ac" | "or" | "ne" | "go") => 3,
        _ => 2,
    };
    let length: usize = labels.iter().take(count).map(|label| label.len() + 1).sum::<usize>().saturating_sub(1);
    if labels.len() < count { host } else { &host[host.len() - length..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        url.parse::<Url>().expect(url).origin
    }

    #[test]
    fn a_realm_on_the_port_of_a_registry_without_tls_has_none_either() {
        for (registry, realm, asked) in [
            ("http://registry.example:5000", "https://registry.example:5000/token", "http://registry.example:5000/token"),
            ("http://registry.example:5000", "https://registry.example/token", "https://registry.example/token"),
            ("http://127.0.0.1:5000", "https://127.0.0.1:5001/token", "https://127.0.0.1:5001/token"),
        ] {
            let checked = check(realm, &origin(registry), &[], Carries::Credential).expect(realm);
            assert_eq!(checked.to_string(), asked);
        }
    }

    #[test]
    fn reg_08_credentials_go_to_the_registry_and_its_own_only() {
        let trusted = ["login.elsewhere.example".to_owned()];
        for (registry, realm, credential, nothing) in [
            ("https://registry.example", "https://registry.example/token", true, true),
            ("https://registry.example", "https://registry.example:8443/token", true, true),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true, true),
            ("https://registry.team.example", "https://gitlab.team.example/jwt/auth", true, true),
            ("https://registry.team.co.uk", "https://auth.team.co.uk/token", true, true),
            ("https://registry.team.co.uk", "https://other.co.uk/token", false, true),
            ("https://registry.example", "https://login.elsewhere.example/token", true, true),
            ("https://registry.a.example", "https://token.b.example/", false, true),
            ("https://a.example", "https://example.evil.test/", false, true),
            ("https://registry.example", "http://registry.example/token", false, false),
            ("http://registry.example", "http://registry.example/token", true, true),
            ("http://registry.example", "http://token.example/", false, false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true, true),
            ("http://localhost:5000", "http://127.0.0.1:5001/token", true, true),
            ("https://registry.example", "https://169.254.169.254/latest", false, false),
            ("https://registry.example", "https://127.0.0.1/", false, false),
            ("https://registry.example", "https://localhost/", false, false),
            ("https://registry.example", "https://[::1]/", false, false),
            ("https://10.0.0.5:5000", "https://10.0.0.5/token", true, true),
            ("https://10.0.0.5:5000", "https://10.0.0.6/token", false, false),
            ("https://registry.example", "https://2130706433/", false, false),
            ("https://registry.example", "file:///etc/passwd", false, false),
            ("https://registry.example", "https://user@registry.example/", false, false),
            ("https://registry.example", "", false, false),
        ] {
            for (carries, allowed) in [(Carries::Credential, credential), (Carries::Nothing, nothing)] {
                let outcome = check(realm, &origin(registry), &trusted, carries);
                assert_eq!(outcome.is_ok(), allowed, "{registry} {realm} {carries:?}");
                assert!(outcome.is_ok_and(|_| true) || !allowed);
            }
        }
        let error = check("https://token.b.example/?x=secret", &origin("https://registry.a.example"), &[], Carries::Credential).expect_err("a stranger");
        assert_eq!(
            (error.kind(), error.hint_text()),
            (ErrorKind::Denied, Some("if that host issues the tokens of this registry, give --trust-realm token.b.example"))
        );
        assert!(!error.message().contains("secret"));
    }
}
