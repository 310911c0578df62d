//! A token server for the real registry: whoever has the password gets what is asked for, signed so that the registry believes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::authority::Identity;
use super::http::{Answer, Request, Server, Service};

/// Who gives tokens, and for whom.
pub(crate) const ISSUER: &str = "larder-tests";
pub(crate) const SERVICE: &str = "registry-of-the-tests";

/// How long a token is good, in seconds.
const LIFE: u64 = 300;

/// A running token server.
pub(crate) struct TokenServer {
    server: Server,
    desk: Arc<Desk>,
}

/// Where tokens are given out.
struct Desk {
    user: String,
    password: String,
    key: EcdsaKeyPair,
    /// The certificate of the key, as tokens carry it.
    chain: String,
    /// The same for the registry.
    certificate: String,
    random: SystemRandom,
    asked: Mutex<Vec<Request>>,
}

impl TokenServer {
    /// Knows this user. Who says nothing gets tokens that allow nothing.
    pub(crate) fn start(user: &str, password: &str) -> TokenServer {
        let desk = Arc::new(Desk::new(user, password));
        TokenServer { server: Server::start(Arc::clone(&desk) as _), desk }
    }

    /// The same over HTTPS.
    pub(crate) fn start_tls(user: &str, password: &str, identity: &Identity) -> TokenServer {
        let desk = Arc::new(Desk::new(user, password));
        TokenServer { server: Server::start_tls(Arc::clone(&desk) as _, identity), desk }
    }
    /// Where the registry sends those who come without a token.
    pub(crate) fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// Writes down in this directory whom the registry is to believe.
    pub(super) fn write_certificate(&self, directory: &Path) -> PathBuf {
        let place = directory.join("tokens.crt");
        std::fs::write(&place, &self.desk.certificate).expect("writable");
        place
    }

    /// The requests for tokens until now.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.desk.asked.lock().expect("no thread died with it").clone()
    }
}

impl Service for Desk {
    fn answer(&self, request: &Request) -> Answer {
        self.asked.lock().expect("no thread died with it").push(request.clone());
        if request.method != "GET" {
            return Answer::json(405, &json!({"errors": [{"code": "UNSUPPORTED", "message": "tokens are given by GET"}]}));
        }
        let right = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)));
        let user = match request.header("Authorization") {
            None => "",
            Some(shown) if shown == right => &self.user,
            Some(_) => return Answer::json(401, &json!({"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]})),
        };
        let scopes = request.parameters("scope");
        let scopes: BTreeSet<&str> = scopes.iter().flat_map(|scopes| scopes.split(' ')).collect();
        let access: Vec<Value> = scopes.into_iter().filter(|_| !user.is_empty()).filter_map(access).collect();
        Answer::json(200, &json!({"token": self.token(user, &access), "expires_in": LIFE}))
    }
}

impl Desk {
    fn new(user: &str, password: &str) -> Desk {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["tokens".to_owned()]).expect("a name").self_signed(&pair).expect("a certificate");
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.serialized_der(), &random).expect("a key of this kind");
        Desk {
            user: user.into(),
            password: password.into(),
            key,
            chain: STANDARD.encode(certificate.der()),
            certificate: certificate.pem(),
            random,
            asked: Mutex::default(),
        }
    }

    fn token(&self, user: &str, access: &[Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.chain]});
        let claims = json!({
            "iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + LIFE, "nbf": now - 10, "iat": now, "jti": format!("{now}"), "access": access,
        });
        let part = |document: &Value| URL_SAFE_NO_PAD.encode(document.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&self.random, signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// `repository:name:pull,push` as tokens have it.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
}
