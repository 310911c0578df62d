//! The servers that JFrog's CLI knows: `jfrog-cli.conf.v6`. Read, never written.
//!
//! A token proves who one is where it has one, else user and password do; what begins as API keys do is one, whatever field it stands in. Format and rules:
//! jfrog-cli-core `utils/config/config.go`, jfrog-client-go `http/httpclient/client.go`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::spec::{base64, text};

use super::super::credential::{Credential, Secret};
use super::super::rest::Authorization;
use super::{file, keys};

/// How API keys begin.
const API_KEY: &str = "AKCp8";

/// What carries an API key whose user is not known.
const API_KEY_HEADER: &str = "X-JFrog-Art-Api";

/// What proves to an Artifactory who one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: Option<String>,
    /// The password, or an API key in its place.
    pub password: Option<Secret>,
    /// An access token, a reference token, or an API key.
    pub access_token: Option<Secret>,
}

impl Login {
    /// For calls of the REST API.
    pub fn for_rest(&self) -> Authorization {
        match (&self.access_token, &self.user, self.password_or_key()) {
            (Some(token), ..) if !is_api_key(token) => Authorization::Bearer(token.clone()),
            (_, Some(user), Some(password)) => Authorization::Basic { user: user.clone(), password: password.clone() },
            (_, None, Some(key)) if is_api_key(key) => Authorization::Header { name: API_KEY_HEADER.to_owned(), value: key.clone() },
            _ => Authorization::None,
        }
    }

    /// For the API of registries, where a token takes the place of the password of its user.
    pub fn for_registry(&self) -> Option<Credential> {
        match &self.access_token {
            Some(token) if !is_api_key(token) => Some(match self.user.clone().or_else(|| user_of(token)) {
                Some(user) => Credential::Basic { user, password: token.clone() },
                // A reference token says nothing of its user.
                None => Credential::Bearer(token.clone()),
            }),
            _ => match (&self.user, self.password_or_key()?) {
                (Some(user), password) => Some(Credential::Basic { user: user.clone(), password: password.clone() }),
                (None, key) if is_api_key(key) => Some(Credential::Header { name: API_KEY_HEADER.to_owned(), value: key.clone() }),
                (None, _) => None,
            },
        }
    }

    /// Whether there is nothing at all to prove with.
    pub fn is_empty(&self) -> bool {
        self.password.is_none() && self.access_token.is_none()
    }

    fn password_or_key(&self) -> Option<&Secret> {
        self.access_token.as_ref().or(self.password.as_ref())
    }
}

fn is_api_key(secret: &Secret) -> bool {
    secret.reveal().starts_with(API_KEY)
}

/// The user that an access token is for: the `sub` of a JWT is `jfrt@…/users/NAME`, `jfac@…/users/NAME` or such.
fn user_of(token: &Secret) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let mut parts = token.reveal().split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let claims: Claims = serde_json::from_slice(&base64::decode_leniently(claims)?).ok()?;
    let user = claims.sub.split_once("/users/").map_or_else(|| claims.sub.rsplit('/').next().unwrap_or_default(), |(_, user)| user);
    (!user.is_empty()).then(|| user.to_owned())
}

/// One server of the file.
#[derive(Debug)]
pub struct Server {
    /// What it is called.
    pub id: String,
    /// The URL of its Artifactory, with a slash at the end.
    pub artifactory: String,
    /// With encrypted secrets, the file.
    login: Result<Login, PathBuf>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Default,
    Other,
}

impl Server {
    /// What the file has for it. Fails with kind `usage` where that is encrypted.
    pub fn login(&self) -> Result<&Login> {
        self.login.as_ref().map_err(|path| {
            file::wrong(path, &format!("those of server `{}` are encrypted, and larder does not have the key", text::shown(&self.id)))
                .hint("give them to larder itself (`larder sync login`), or write the file anew without JFROG_CLI_ENCRYPTION_KEY")
        })
    }
}

/// The servers of a file.
#[derive(Debug, Default)]
pub struct Servers {
    servers: Vec<Server>,
}

impl Servers {
    /// Reads the file at `path`; no servers where there is none. Fails with kind `usage` for a malformed one.
    pub fn read(path: &Path) -> Result<Self> {
        let Some(content) = file::read(path)? else { return Ok(Servers::default()) };
        let written: File = file::decode(&content.bytes, path)?;
        let servers = written.servers.into_iter().flatten().filter_map(|entry| {
            let login = entry.login();
            Some(Server {
                artifactory: entry.artifactory()?,
                login: if written.encrypted && !login.is_empty() { Err(path.to_owned()) } else { Ok(login) },
                standing: if entry.default { Standing::Default } else { Standing::Other },
                id: entry.id.unwrap_or_default(),
            })
        });
        Ok(Servers { servers: servers.collect() })
    }

    /// The server of this ID; without one the default. Fails with kind `usage` where a wanted one is missing.
    pub fn get(&self, id: Option<&str>) -> Result<Option<&Server>> {
        let Some(id) = id else {
            return Ok(self.servers.iter().find(|server| server.standing == Standing::Default));
        };
        let found = self.servers.iter().find(|server| server.id == id);
        found.map(Some).ok_or_else(|| {
            let known: Vec<_> = self.servers.iter().map(|server| text::shown(&server.id)).collect();
            let known = if known.is_empty() { "it knows none".to_owned() } else { format!("it knows {}", known.join(", ")) };
            Error::usage(format!("JFrog's CLI knows no server `{}`", text::shown(id))).subject(text::shown(id)).hint(known)
        })
    }

    /// The server of a host: the wanted one, else the default, else the first.
    pub fn of_host(&self, host: &str, id: Option<&str>) -> Option<&Server> {
        let fitting = self.servers.iter().filter(|server| keys::is_of_host(&server.artifactory, host));
        fitting.min_by_key(|server| (id != Some(server.id.as_str()), server.standing != Standing::Default))
    }
}

#[derive(Deserialize)]
struct File {
    servers: Option<Vec<Entry>>,
    #[serde(default, rename = "enc")]
    encrypted: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    url: Option<String>,
    artifactory_url: Option<String>,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
    #[serde(rename = "serverId")]
    id: Option<String>,
    #[serde(rename = "isDefault")]
    default: bool,
}

impl Entry {
    fn artifactory(&self) -> Option<String> {
        let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        let slashed = |url: String| if url.ends_with('/') { url } else { url + "/" };
        given(&self.artifactory_url).map(slashed).or_else(|| given(&self.url).map(|url| slashed(url) + "artifactory/"))
    }

    fn login(&self) -> Login {
        let secret = |field: &Option<Zeroizing<String>>| field.as_ref().filter(|text| !text.is_empty()).map(|text| Secret::new(text.as_str()));
        Login { user: self.user.clone().filter(|user| !user.is_empty()), password: secret(&self.password), access_token: secret(&self.access_token) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn servers(text: &str) -> Result<Servers> {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("jfrog-cli.conf.v6");
        std::fs::write(&path, text).expect("written");
        Servers::read(&path)
    }

    const TWO: &str = r#"{"servers":[
        {"url":"https://acme.example/","artifactoryUrl":"https://acme.example/artifactory/","user":"ci","password":"p","serverId":"acme","isDefault":false,"webLogin":false},
        {"url":"https://other.example","user":"me","accessToken":"t","serverId":"other","isDefault":true},
        {"artifactoryUrl":"http://acme.example:8082/artifactory","serverId":"port"},
        {"xrayUrl":"https://acme.example/xray/","serverId":"none"}],"version":"6","enc":ENC}"#;

    #[test]
    fn servers_are_found_by_id_by_host_and_by_default() {
        let servers = servers(&TWO.replace("ENC", "false")).expect("readable");
        let id = |server: Option<&Server>| server.map(|server| server.id.clone());
        assert_eq!(id(servers.get(None).expect("a default")).as_deref(), Some("other"));
        assert_eq!(id(servers.get(Some("acme")).expect("known")).as_deref(), Some("acme"));
        let error = servers.get(Some("absent")).expect_err("unknown");
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Usage, Some("it knows acme, other, port")));
        for (host, expected) in
            [("acme.example", Some("acme")), ("ACME.example:443", Some("acme")), ("acme.example:8082", Some("port")), ("docker.acme.example", None)]
        {
            assert_eq!(id(servers.of_host(host, None)).as_deref(), expected, "{host}");
        }
        let urls: Vec<&str> = servers.servers.iter().map(|server| server.artifactory.as_str()).collect();
        assert_eq!(urls, ["https://acme.example/artifactory/", "https://other.example/artifactory/", "http://acme.example:8082/artifactory/"]);
        assert_eq!(servers.servers[1].login().expect("plain").access_token, Some(Secret::new("t")));
    }

    #[test]
    fn of_several_servers_of_a_host_the_wanted_one_counts_then_the_default() {
        let text = r#"{"servers":[{"artifactoryUrl":"https://a.example/x","serverId":"1"},{"artifactoryUrl":"https://a.example/y","serverId":"2","isDefault":true},
            {"artifactoryUrl":"https://a.example/z","serverId":"3"}]}"#;
        let servers = servers(text).expect("readable");
        let id = |wanted| servers.of_host("a.example", wanted).map(|server| server.id.as_str());
        assert_eq!((id(None), id(Some("3")), id(Some("absent"))), (Some("2"), Some("3"), Some("2")));
    }

    #[test]
    fn encrypted_secrets_are_an_error_and_are_not_sent() {
        let servers = servers(&TWO.replace("ENC", "true").replace("\"p\"", "\"hunter2\"")).expect("readable");
        let error = servers.of_host("acme.example", None).expect("there").login().expect_err("encrypted");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains("encrypted") && !format!("{error:?}").contains("hunter2"), "{error}");
        assert!(servers.of_host("acme.example:8082", None).expect("there").login().expect("nothing to encrypt").is_empty());
    }

    #[test]
    fn a_malformed_file_and_an_absent_one() {
        let error = servers("{\"servers\":[{\"password\":1234567}]}").expect_err("a number");
        assert!(error.kind() == ErrorKind::Usage && !format!("{error:?}").contains("1234567"), "{error}");
        assert!(Servers::read(Path::new("/nonexistent/x")).expect("absent").servers.is_empty());
    }

    #[test]
    fn tokens_keys_and_passwords_have_their_order() {
        let secret = |text: &str| Secret::new(text);
        let basic = |user: &str, password: &str| Some(Credential::Basic { user: user.into(), password: secret(password) });
        let rest_basic = |user: &str, password: &str| Authorization::Basic { user: user.into(), password: secret(password) };
        let own = || Some(Credential::Header { name: "X-JFrog-Art-Api".into(), value: secret("AKCp8x") });
        let key = || Authorization::Header { name: "X-JFrog-Art-Api".into(), value: secret("AKCp8x") };
        let login = |user: &str, password: &str, token: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| secret(text));
            Login { user: Some(user.to_owned()).filter(|user| !user.is_empty()), password: given(password), access_token: given(token) }
        };
        // {"sub":"jfrt@01c3/users/ci"}
        let jwt = "e30.eyJzdWIiOiJqZnJ0QDAxYzMvdXNlcnMvY2kifQ.c2ln";
        for (login, rest, registry) in [
            (login("u", "p", ""), rest_basic("u", "p"), basic("u", "p")),
            (login("u", "p", "token"), Authorization::Bearer(secret("token")), basic("u", "token")),
            (login("", "", jwt), Authorization::Bearer(secret(jwt)), basic("ci", jwt)),
            (login("me", "", jwt), Authorization::Bearer(secret(jwt)), basic("me", jwt)),
            (login("", "", "reference"), Authorization::Bearer(secret("reference")), Some(Credential::Bearer(secret("reference")))),
            (login("u", "", "AKCp8x"), rest_basic("u", "AKCp8x"), basic("u", "AKCp8x")),
            (login("", "", "AKCp8x"), key(), own()),
            (login("u", "AKCp8x", ""), rest_basic("u", "AKCp8x"), basic("u", "AKCp8x")),
            (login("", "AKCp8x", ""), key(), own()),
            (login("", "p", ""), Authorization::None, None),
            (login("u", "", ""), Authorization::None, None),
        ] {
            assert_eq!((login.for_rest(), login.for_registry()), (rest, registry), "{login:?}");
        }
    }

    #[test]
    fn the_user_of_a_token_is_in_its_subject() {
        // {"sub":"jfac@01/users/a/b"}, {"sub":"ci"}, {"sub":"x/y"}, {"sub":""}, no JWT
        for (claims, expected) in [
            ("eyJzdWIiOiJqZmFjQDAxL3VzZXJzL2EvYiJ9", Some("a/b")),
            ("eyJzdWIiOiJjaSJ9", Some("ci")),
            ("eyJzdWIiOiJ4L3kifQ", Some("y")),
            ("eyJzdWIiOiIifQ", None),
            ("!!", None),
        ] {
            assert_eq!(user_of(&Secret::new(format!("e30.{claims}.x"))).as_deref(), expected, "{claims}");
        }
        assert_eq!(user_of(&Secret::new("no.jwt")), None);
    }
}
