//! The form of Docker's `config.json` and of containers-auth.json(5): both have `auths`, `credHelpers` and `credsStore`.
//!
//! For one repository, what answers first counts: the helper that `credHelpers` names for the host; the `auths` entry with the longest path above the
//! repository; the helper that `credsStore` names for everything; the `auths` entry of the host. So a file gives podman and Docker's tools the same answer
//! as larder, for what each of them understands. `HttpHeaders` are for the daemon of Docker and are not sent to registries.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::spec::{base64, text};

use super::super::credential::{Credential, Secret};
use super::keys::{self, Reach};

/// What is read of a file. Everything else in it is of no concern here.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Entries {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<Zeroizing<String>>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    identitytoken: Option<Zeroizing<String>>,
    registrytoken: Option<Zeroizing<String>>,
}

/// Credentials, and what they came from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) credential: Credential,
    pub(super) keeper: Keeper,
}

/// Who keeps credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The file itself.
    File,
    /// The helper of this name.
    Helper(String),
}

impl Entries {
    /// The credentials for `repository` on `host`. Asks helpers.
    ///
    /// Kinds: `usage` for an entry that is meant and cannot be understood; those of the helpers.
    pub(super) fn find(&self, host: &str, repository: &str, ask: &mut dyn FnMut(&str, &str) -> Result<Option<Credential>>) -> Result<Option<Found>> {
        if let Some(name) = self.named_helper(host)
            && let Some(found) = asked(name, host, ask)?
        {
            return Ok(Some(found));
        }
        if let Some(found) = self.entry(host, repository, Reach::Paths)? {
            return Ok(Some(found));
        }
        if let Some(name) = self.store()
            && let Some(found) = asked(name, host, ask)?
        {
            return Ok(Some(found));
        }
        self.entry(host, repository, Reach::Hosts)
    }

    /// The helper that keeps what is stored for `host`, where one does.
    pub(super) fn helper_of(&self, host: &str) -> Option<&str> {
        self.named_helper(host).or_else(|| self.store())
    }

    /// All keys of `auths`.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.auths.iter().flatten().map(|(key, _)| key.as_str())
    }

    /// The keys of `auths` that have something.
    pub(super) fn filled(&self) -> impl Iterator<Item = &str> + Clone {
        // An entry without content only says that a helper has it.
        self.auths.iter().flatten().filter(|(_, entry)| entry.as_ref().is_some_and(|entry| !entry.is_empty())).map(|(key, _)| key.as_str())
    }

    /// The keys of `credHelpers`.
    pub(super) fn helped(&self) -> impl Iterator<Item = &str> {
        self.helpers.iter().flatten().map(|(key, _)| key.as_str())
    }

    /// The helper that keeps what is stored for `host` and for no other, where one does.
    pub(super) fn named_helper(&self, host: &str) -> Option<&str> {
        let helpers = self.helpers.as_ref()?;
        let key = keys::best(helpers.keys().map(String::as_str), host, "", Reach::Hosts)?;
        helpers.get(key).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn store(&self) -> Option<&str> {
        self.store.as_deref().filter(|name| !name.is_empty())
    }

    fn entry(&self, host: &str, repository: &str, reach: Reach) -> Result<Option<Found>> {
        let Some(key) = keys::best(self.filled(), host, repository, reach) else { return Ok(None) };
        let Some(entry) = self.auths.as_ref().and_then(|auths| auths.get(key)?.as_ref()) else { return Ok(None) };
        let credential = entry.credential().map_err(|why| Error::usage(format!("the entry `{}` {why}", text::shown(key))))?;
        Ok(credential.map(|credential| Found { credential, keeper: Keeper::File }))
    }
}

fn asked(name: &str, host: &str, ask: &mut dyn FnMut(&str, &str) -> Result<Option<Credential>>) -> Result<Option<Found>> {
    let credential = ask(name, keys::of_host(host))?;
    Ok(credential.map(|credential| Found { credential, keeper: Keeper::Helper(name.to_owned()) }))
}

impl Entry {
    fn is_empty(&self) -> bool {
        let secrets = [&self.auth, &self.password, &self.identitytoken, &self.registrytoken];
        secrets.into_iter().all(|secret| secret.as_ref().is_none_or(|secret| secret.is_empty()))
    }

    /// What the entry says; the error is one clause, without anything of it.
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let given = |field: &Option<Zeroizing<String>>| field.as_ref().filter(|text| !text.is_empty()).map(|text| Secret::new(text.as_str()));
        if let Some(token) = given(&self.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        let (user, password) = match &self.auth {
            Some(auth) if !auth.is_empty() => user_and_password(auth)?,
            _ => (self.username.clone().unwrap_or_default(), given(&self.password).unwrap_or_else(|| Secret::new(""))),
        };
        match (user.is_empty(), password.reveal().is_empty()) {
            (false, false) => Ok(Some(Credential::Basic { user, password })),
            (true, false) => Err("has no user name"),
            (_, true) => Ok(None),
        }
    }
}

/// Reads `auth`: user and password with a colon between them, in base64.
fn user_and_password(auth: &str) -> Result<(String, Secret), &'static str> {
    const WRONG: &str = "has an `auth` that is not USER:PASSWORD in base64";
    let decoded = base64::decode_leniently(auth).map(Zeroizing::new).ok_or(WRONG)?;
    let decoded = std::str::from_utf8(&decoded).map_err(|_| WRONG)?;
    let (user, password) = decoded.split_once(':').ok_or(WRONG)?;
    // Old clients filled it up with zeros.
    Ok((user.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn entries(text: &str) -> Entries {
        serde_json::from_str(text).expect("valid")
    }

    /// What is found, in words, with a helper `full` that has everything and others that have nothing.
    fn found(text: &str, host: &str, repository: &str) -> Result<Option<String>> {
        let mut ask = |name: &str, server: &str| Ok((name == "full").then(|| Credential::Basic { user: "helped".into(), password: Secret::new(server) }));
        let found = entries(text).find(host, repository, &mut ask)?;
        Ok(found.map(|found| match found.credential {
            Credential::Basic { user, password } => format!("{user}:{}", password.reveal()),
            Credential::IdentityToken(token) => format!("identity {}", token.reveal()),
            Credential::Bearer(token) => format!("bearer {}", token.reveal()),
            Credential::Header { name, .. } => panic!("no file has a header: {name}"),
        }))
    }

    fn answer(text: &str, repository: &str) -> Option<String> {
        found(text, "r.example", repository).expect("readable")
    }

    #[test]
    fn an_entry_is_a_password_or_a_token() {
        for (entry, expected) in [
            // printf 'user:pass:word' | base64
            (r#"{"auth":"dXNlcjpwYXNzOndvcmQ="}"#, Some("user:pass:word")),
            (r#"{"auth":"dXNlcjpwYXNzOndvcmQ"}"#, Some("user:pass:word")),
            (r#"{"auth":"dXNlcjpwAAA="}"#, Some("user:p")),
            (r#"{"username":"u","password":"p","email":"x@y"}"#, Some("u:p")),
            (r#"{"auth":"dXNlcjo=","identitytoken":"t"}"#, Some("identity t")),
            (r#"{"registrytoken":"t"}"#, Some("bearer t")),
            (r#"{"auth":"dXNlcjo="}"#, None),
            (r#"{}"#, None),
            (r#"null"#, None),
            (r#"{"auth":"","username":"u"}"#, None),
        ] {
            assert_eq!(answer(&format!("{{\"auths\":{{\"r.example\":{entry}}}}}"), "a").as_deref(), expected, "{entry}");
        }
    }

    #[test]
    fn reg_38_an_entry_that_cannot_be_understood_is_an_error_without_its_text() {
        for entry in [r#"{"auth":"hunter2"}"#, r#"{"auth":"aHVudGVyMg=="}"#, r#"{"auth":"!!!!"}"#, r#"{"auth":"OmFodW50ZXIy"}"#, r#"{"password":"hunter2"}"#] {
            let error = found(&format!("{{\"auths\":{{\"r.example\":{entry}}}}}"), "r.example", "a").expect_err(entry);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!format!("{error:?}").contains("hunter2") && error.message().contains("r.example"), "{error}");
            assert_eq!(found(&format!("{{\"auths\":{{\"r.example\":{entry}}}}}"), "other.example", "a").expect("not meant"), None);
        }
    }

    #[test]
    fn a_named_helper_beats_a_path_which_beats_the_store_which_beats_the_host() {
        let parts = [
            (r#""credHelpers":{"r.example":"full"}"#, "helped:r.example"),
            (r#""auths":{"r.example/team":{"username":"path","password":"p"}}"#, "path:p"),
            (r#""credsStore":"full""#, "helped:r.example"),
        ];
        for (position, (part, expected)) in parts.iter().enumerate() {
            let rest: Vec<&str> = parts[position..].iter().map(|(part, _)| *part).collect();
            assert_eq!(answer(&format!("{{{}}}", rest.join(",")), "team/app").as_deref(), Some(*expected), "{part}");
        }
        let both = r#"{"credsStore":"empty","credHelpers":{"r.example":"empty"},"auths":{"r.example":{"username":"host","password":"p"}}}"#;
        assert_eq!(answer(both, "team/app").as_deref(), Some("host:p"), "a helper that has nothing is not the end");
        assert_eq!(found(r#"{"credsStore":"full"}"#, "docker.io", "library/x").expect("asked").as_deref(), Some("helped:https://index.docker.io/v1/"));
    }

    #[test]
    fn an_entry_without_content_hides_no_other() {
        let text = r#"{"auths":{"r.example":{},"https://r.example/v1/":{"username":"old","password":"p"}}}"#;
        assert_eq!(answer(text, "a").as_deref(), Some("old:p"));
    }
}
