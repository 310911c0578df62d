//! Who asks, and what they may.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::clock::Moment;
use super::errors;
use super::setup::{Anonymous, Class, TokenKind, User};
use super::site::Site;
use super::world::World;
use crate::support::http::{Answer, Request};

/// After so many failures a user is locked out, so that a test can see who tries again blindly. The number is ours.
const FAILURES: u32 = 5;

/// How long a token is good.
const TOKEN_LIFE: Duration = Duration::from_secs(9000);

/// What an instance knows about those who came.
#[derive(Debug, Default)]
pub(super) struct Access {
    failures: BTreeMap<String, u32>,
    given: BTreeMap<String, Given>,
}

/// A token of the token endpoint.
#[derive(Clone, Debug)]
struct Given {
    user: String,
    scopes: Vec<String>,
    expires: Moment,
}

/// Somebody who is known, or nobody.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Nobody's name is empty.
    pub(super) user: String,
    scopes: Scopes,
}

/// How far what they showed reaches.
#[derive(Clone, Debug)]
enum Scopes {
    All,
    /// `repository:name:pull,push`
    Only(Vec<String>),
}

/// What is asked of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Write,
    Delete,
    Annotate,
}

/// What was shown is wrong, or not good any more.
#[derive(Debug)]
pub(super) struct BadCredentials;

impl Right {
    fn letter(self) -> char {
        match self {
            Right::Read => 'r',
            Right::Write => 'w',
            Right::Delete => 'd',
            Right::Annotate => 'n',
        }
    }

    /// What scopes call it.
    fn action(self) -> &'static str {
        match self {
            Right::Read => "pull",
            _ => "push",
        }
    }
}

impl Scopes {
    fn have(&self, name: &str, action: &str) -> bool {
        let Scopes::Only(scopes) = self else { return true };
        scopes.iter().any(|scope| match scope.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["repository", own, actions] => own == name && actions.split(',').any(|own| own == action || own == "*"),
            _ => false,
        })
    }
}

impl World {
    /// Who asks: an API key, else a bearer token, else a name with a password or with any of the tokens in its place.
    pub(super) fn caller(&mut self, request: &Request) -> Result<Caller, BadCredentials> {
        if let Some(key) = request.header("X-JFrog-Art-Api") {
            return self.by_token(key, &[TokenKind::ApiKey, TokenKind::Reference]);
        }
        let Some(shown) = request.header("Authorization") else { return Ok(Caller { user: String::new(), scopes: Scopes::All }) };
        match shown.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => match self.access.given.get(token).cloned() {
                Some(given) if given.expires > self.now => self.known(&given.user, Scopes::Only(given.scopes)),
                Some(given) => Err(self.failed(&given.user)),
                None => self.by_token(token, &[TokenKind::Access, TokenKind::Reference]),
            },
            Some((scheme, both)) if scheme.eq_ignore_ascii_case("basic") => self.by_name(both),
            _ => Err(BadCredentials),
        }
    }

    fn by_token(&mut self, value: &str, kinds: &[TokenKind]) -> Result<Caller, BadCredentials> {
        let owns = |user: &&User| user.tokens.iter().any(|token| token.value == value && kinds.contains(&token.kind));
        let name = self.users.iter().find(owns).map(|user| user.name.clone());
        self.known(&name.ok_or(BadCredentials)?, Scopes::All)
    }

    fn by_name(&mut self, both: &str) -> Result<Caller, BadCredentials> {
        let both = base64::engine::general_purpose::STANDARD.decode(both).map_err(|_| BadCredentials)?;
        let both = String::from_utf8(both).map_err(|_| BadCredentials)?;
        let (name, password) = both.split_once(':').ok_or(BadCredentials)?;
        let user = self.users.iter().find(|user| user.name == name).ok_or(BadCredentials)?;
        let right = user.password == password || user.tokens.iter().any(|token| token.value == password);
        if right { self.known(name, Scopes::All) } else { Err(self.failed(name)) }
    }

    /// A user who showed what is right, unless that comes too late.
    fn known(&mut self, user: &str, scopes: Scopes) -> Result<Caller, BadCredentials> {
        let locked = self.access.failures.get(user).is_some_and(|failures| *failures >= FAILURES);
        if locked { Err(BadCredentials) } else { Ok(Caller { user: user.to_owned(), scopes }) }
    }

    fn failed(&mut self, user: &str) -> BadCredentials {
        *self.access.failures.entry(user.to_owned()).or_default() += 1;
        BadCredentials
    }

    /// How often a user has failed.
    pub(super) fn failures(&self, user: &str) -> u32 {
        self.access.failures.get(user).copied().unwrap_or(0)
    }

    /// Lets everybody in again.
    pub(super) fn forget_failures(&mut self) {
        self.access.failures.clear();
    }

    /// Whether a user has a right in a repository, or in any of the members of a virtual one.
    pub(super) fn may(&self, user: &str, repository: &str, right: Right) -> bool {
        let Some(repository) = self.repository(repository) else { return false };
        if repository.class == Class::Virtual {
            return match (right, &repository.default_deploy) {
                (Right::Read, _) => repository.members.iter().any(|member| self.may(user, member, right)),
                (_, Some(key)) => self.may(user, key, right),
                // It fails later, for the reason that counts.
                (_, None) => !user.is_empty(),
            };
        }
        if user.is_empty() {
            return self.anonymous == Anonymous::Read && right == Right::Read;
        }
        let user = self.users.iter().find(|own| own.name == user);
        user.and_then(|user| user.rights.get(&repository.key)).is_some_and(|letters| letters.contains(right.letter()))
    }

    /// Lets somebody go on to an image, or says why not.
    pub(super) fn admit(&mut self, request: &Request, site: &Site, image: &str, right: Right) -> Result<Caller, Answer> {
        let Ok(caller) = self.caller(request) else { return Err(self.challenge(site, None)) };
        let name = site.name(image);
        if self.may(&caller.user, &site.repository, right) {
            let in_scope = caller.scopes.have(&name, right.action());
            return if in_scope { Ok(caller) } else { Err(self.challenge(site, Some(&scope(&name, right)))) };
        }
        if caller.user.is_empty() {
            let scope = scope(&name, right);
            return Err(self.challenge(site, (!self.switches.challenge_without_scope).then_some(&scope)));
        }
        Err(errors::denied(right.action(), &name))
    }

    /// Asks for a token.
    pub(super) fn challenge(&self, site: &Site, scope: Option<&str>) -> Answer {
        let scope = scope.map(|scope| format!(",scope=\"{scope}\"")).unwrap_or_default();
        let challenge = format!("Bearer realm=\"{}\",service=\"{}\"{scope}", site.realm(), site.service());
        errors::registry(401, "UNAUTHORIZED", "authentication required", &Value::Null).header("WWW-Authenticate", &challenge)
    }

    /// The ping of a registry.
    pub(super) fn ping(&mut self, request: &Request, site: &Site) -> Answer {
        match self.caller(request) {
            Ok(caller) if !caller.user.is_empty() || self.anonymous == Anonymous::Read => Answer::json(200, &json!({})),
            _ => self.challenge(site, None),
        }
    }

    /// Gives a token for the scopes that are asked for. What they are worth is seen when it is used.
    pub(super) fn give_token(&mut self, request: &Request) -> Answer {
        if request.method != "GET" && (self.switches.token_post_401 || request.method != "POST") {
            return errors::generic(401, "Authentication is required");
        }
        let request = &if request.method == "POST" { as_query(request) } else { request.clone() };
        let Ok(caller) = self.caller(request) else { return errors::generic(401, "Bad Credentials") };
        if caller.user.is_empty() && self.anonymous == Anonymous::Nothing {
            return errors::generic(401, "Authentication is required");
        }
        let scopes = request.parameters("scope").iter().flat_map(|scopes| scopes.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
        let token = format!("given-{}-{}", self.access.given.len() + 1, self.secret);
        self.access.given.insert(token.clone(), Given { user: caller.user, scopes, expires: self.now.after(TOKEN_LIFE) });
        Answer::json(200, &json!({"token": token, "expires_in": TOKEN_LIFE.as_secs()}))
    }
}

/// A form as the request that asks for the same with GET.
fn as_query(form: &Request) -> Request {
    let mut request = Request { query: String::from_utf8_lossy(&form.body).into_owned(), ..form.clone() };
    if let (Some(name), Some(password)) = (request.parameter("username"), request.parameter("password")) {
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        request.headers.push(("Authorization".into(), format!("Basic {both}")));
    }
    request
}

fn scope(name: &str, right: Right) -> String {
    let actions = if right == Right::Read { "pull" } else { "pull,push" };
    format!("repository:{name}:{actions}")
}
