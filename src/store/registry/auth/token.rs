//! Asking a token server. Distribution, token authentication and OAuth2.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::store::registry::credential::{Credential, Secret};
use crate::store::registry::host::Host;
use crate::store::registry::http::client::Client;
use crate::store::registry::http::failure::Refusal;
use crate::store::registry::http::retry;
use crate::store::registry::http::url::{Url, encoded};
use crate::store::registry::http::wire::TroubleKind;
use crate::store::registry::rest::Method;

/// How large the answer of a token server may be: 1 MiB. Tokens with many rights have a few KiB.
const TOKEN_BYTES: usize = 1 << 20;

/// How long a token holds at least, whatever is said: what the specification takes for granted.
const SHORTEST: Duration = Duration::from_secs(60);

/// How long a token is used at most before a new one is asked for.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// A token, and for how long it is good.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) token: Secret,
    pub(crate) life: Duration,
}

/// What is asked for.
pub(crate) struct Wish<'a> {
    pub(crate) realm: &'a Url,
    pub(crate) service: &'a str,
    /// Separated by blanks.
    pub(crate) scope: &'a str,
    pub(crate) credential: Option<&'a Credential>,
}

/// That there is no token.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) reason: Reason,
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Who asks is not known there, whatever he asks for.
    Login,
    /// Anything else.
    Other,
}

impl Failed {
    /// A failure that says nothing of the login.
    pub(crate) fn otherwise(error: Error) -> Failed {
        Failed { error, reason: Reason::Other }
    }
}

/// Gets a token. Kinds: `denied` where there is none to be had, `unavailable` after the last attempt, `interrupted`.
pub(crate) fn fetch(client: &Client, host: &Host, wish: &Wish<'_>) -> Result<Token, Failed> {
    let patience = &client.settings.patience;
    for attempt in 1.. {
        let is_last = attempt as usize >= patience.attempts.get();
        let error = match ask(client, host, wish) {
            Ok(token) => return Ok(token),
            Err((error, Again::Never(reason))) => return Err(Failed { error, reason }),
            Err((error, Again::Perhaps)) => error,
        };
        if is_last {
            return Err(Failed::otherwise(error));
        }
        client.pause(attempt).map_err(Failed::otherwise)?;
    }
    Err(Failed::otherwise(Error::interrupted()))
}

enum Again {
    Never(Reason),
    Perhaps,
}

fn ask(client: &Client, host: &Host, wish: &Wish<'_>) -> Result<Token, (Error, Again)> {
    let shown = wish.realm.to_string();
    let (response, method) = match wish.credential {
        Some(Credential::IdentityToken(token)) => {
            let form = Secret::new(form(wish, token));
            let headers = [("Content-Type", "application/x-www-form-urlencoded".to_owned()), ("Accept", "application/json".to_owned())];
            (client.ask(host, Method::Post, wish.realm, &headers, None, Some(form.reveal().as_bytes())), Method::Post)
        }
        credential => {
            let authorization = match credential {
                Some(Credential::Basic { user, password }) => Some(super::basic(user, password)),
                _ => None,
            };
            let headers = [("Accept", "application/json".to_owned())];
            (client.ask(host, Method::Get, &query(wish), &headers, authorization.as_ref(), None), Method::Get)
        }
    };
    let response = match wish.credential {
        Some(Credential::IdentityToken(token)) => response.map(|response| response.knowing(token)),
        _ => response,
    };
    let response = response.map_err(|trouble| {
        let again = if matches!(trouble.kind, TroubleKind::Unreached | TroubleKind::Broken) { Again::Perhaps } else { Again::Never(Reason::Other) };
        (trouble.error.context(format!("cannot get a token from {shown}")), again)
    })?;
    let status = response.status;
    if status == 200 {
        return parse(&response.bytes(TOKEN_BYTES).map_err(|trouble| (no_token(&shown).because(trouble.error), Again::Perhaps))?)
            .map_err(|why| (no_token(&shown).because(why), Again::Never(Reason::Other)));
    }
    let refusal = Refusal::read(response, method, wish.realm).into_error();
    match status {
        _ if retry::is_passing(status) => Err((refusal.context("cannot get a token"), Again::Perhaps)),
        // Whatever else it says, it gives none. A user who is known and may not do this is told so with another status, or gets a token that is good for little.
        _ => {
            let error = refusal.with_kind(ErrorKind::Denied).context(format!("{} gives no token", wish.realm.origin));
            match status == 401 && wish.credential.is_some() {
                true => Err((error.hint(super::logins::WRONG), Again::Never(Reason::Login))),
                false => Err((error, Again::Never(Reason::Other))),
            }
        }
    }
}

fn no_token(realm: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("the answer of {realm} has no token"))
}

fn query(wish: &Wish<'_>) -> Url {
    let mut url = wish.realm.clone();
    if !wish.service.is_empty() {
        url = url.with("service", wish.service);
    }
    for scope in wish.scope.split_ascii_whitespace() {
        url = url.with("scope", scope);
    }
    if let Some(Credential::Basic { user, .. }) = wish.credential {
        url = url.with("account", user);
    }
    url.with("client_id", "larder")
}

fn form(wish: &Wish<'_>, token: &Secret) -> String {
    let fields =
        [("grant_type", "refresh_token"), ("service", wish.service), ("client_id", "larder"), ("scope", wish.scope), ("refresh_token", token.reveal())];
    fields.map(|(name, value)| format!("{name}={}", encoded(value))).join("&")
}

/// Reads an answer. What is said about its life is believed within bounds; when it was issued is not, because clocks differ.
fn parse(bytes: &[u8]) -> Result<Token, Error> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| Error::corrupt("it is not JSON").because(error))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|token| !token.is_empty());
    let token = text("token").or_else(|| text("access_token")).ok_or_else(|| Error::corrupt("it has neither `token` nor `access_token`"))?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::corrupt("the token has characters that cannot be sent"));
    }
    let seconds = document.get("expires_in").and_then(Value::as_f64).unwrap_or(0.0);
    let life = Duration::try_from_secs_f64(seconds).unwrap_or(if seconds > 0.0 { LONGEST } else { SHORTEST });
    Ok(Token { token: Secret::new(token), life: life.clamp(SHORTEST, LONGEST) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_24_only_what_has_a_token_is_an_answer() {
        for body in ["", "{}", "[]", "null", r#"{"token":""}"#, r#"{"token":7}"#, r#"{"token":"a b"}"#, r#"{"token":"a\nb"}"#, "<html>"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
        for (body, token) in [(r#"{"token":"a"}"#, "a"), (r#"{"access_token":"b"}"#, "b"), (r#"{"access_token":"b","token":"a"}"#, "a")] {
            assert_eq!(parse(body.as_bytes()).expect(body).token.reveal(), token);
        }
    }

    #[test]
    fn reg_23_a_life_is_believed_within_bounds() {
        for (said, seconds) in
            [("0", 60), ("-5", 60), ("59", 60), ("300", 300), ("1e300", 43_200), ("99999999999", 43_200), (r#""300""#, 60), ("null", 60), ("90.5", 90)]
        {
            let body = format!(r#"{{"token":"a","expires_in":{said},"issued_at":"2999-01-01T00:00:00Z"}}"#);
            assert_eq!(parse(body.as_bytes()).expect(said).life.as_secs(), seconds, "{said}");
        }
    }

    #[test]
    fn a_wish_is_written_into_a_query_or_a_form() {
        let realm: Url = "https://a.example/token?x=1".parse().expect("a URL");
        let credential = Credential::Basic { user: "me@x".into(), password: Secret::new("p") };
        let wish = Wish { realm: &realm, service: "a b", scope: "repository:a:pull repository:b:pull,push", credential: Some(&credential) };
        assert_eq!(
            query(&wish).in_full(),
            "https://a.example/token?x=1&service=a%20b&scope=repository:a:pull&scope=repository:b:pull%2Cpush&account=me%40x&client_id=larder"
        );
        assert_eq!(
            form(&wish, &Secret::new("t+t")),
            "grant_type=refresh_token&service=a%20b&client_id=larder&scope=repository:a:pull%20repository:b:pull%2Cpush&refresh_token=t%2Bt"
        );
    }
}
