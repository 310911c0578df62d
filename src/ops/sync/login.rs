//! Logging in to a registry and out of it: credentials are written where Docker's tools and podman find them, and only after the registry took them.

use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::text;
use crate::store::registry::credentials::{Keeper, Scope, Sources, Store};
use crate::store::registry::{Credential, Given, Network, Secret, Settings};

/// Who logs in where.
#[derive(Debug)]
pub struct LoginRequest {
    /// To what.
    pub scope: Scope,
    /// Who.
    pub user: String,
    /// What proves it.
    pub password: Secret,
    /// Where it is kept.
    pub store: Store,
    /// Everywhere that credentials are looked for later.
    pub sources: Sources,
    /// How the registry is spoken to.
    pub settings: Settings,
}

/// Who logged in where.
#[derive(Clone, Debug, Serialize)]
pub struct LoginReport {
    /// To what.
    pub registry: String,
    /// Who.
    pub user: String,
    /// The file.
    pub file: String,
    /// The helper that keeps the password instead of the file. Foreign text.
    pub helper: Option<String>,
}

/// Proves the credentials and keeps them.
///
/// Kinds: `denied` where the registry does not take them; `unavailable`; those of [`Store::save`].
pub fn login(run: &Run, request: LoginRequest) -> Result<LoginReport> {
    let LoginRequest { scope, user, password, store, sources, settings } = request;
    let credential = Credential::Basic { user: user.clone(), password: password.clone() };
    let settings = Settings { credentials: Arc::new(Given(credential.clone())), ..settings };
    Network::new(settings, run)?.authenticate(&scope.host).map_err(|error| error.context(format!("cannot log in to {scope}")))?;
    let keeper = store.save(&scope, &user, &password)?;
    // What cannot be read there is told when it is needed.
    if let Ok(Some((found, origin))) = sources.locate(&scope.host, &scope.path)
        && found != credential
    {
        run.events.warn(format!("other credentials for {scope} come first: those of {origin}"));
    }
    let helper = match keeper {
        Keeper::File => None,
        Keeper::Helper(name) => Some(name),
    };
    Ok(LoginReport { registry: scope.to_string(), user, file: store.path().to_string_lossy().into_owned(), helper })
}

/// Who logs out of what.
#[derive(Debug)]
pub struct LogoutRequest {
    /// Of what.
    pub what: What,
    /// Where it is kept.
    pub store: Store,
    /// Everywhere that credentials are looked for.
    pub sources: Sources,
}

/// Which credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Those of one registry.
    One(Scope),
    /// All that the file leads to.
    All,
}

/// What was forgotten.
#[derive(Clone, Debug, Serialize)]
pub struct LogoutReport {
    /// The file.
    pub file: String,
    /// The keys, and who had kept what they are for.
    pub removed: Vec<Removed>,
}

/// Credentials that were forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The key in the file, or what the helper knew it by. Foreign text.
    pub registry: String,
    /// The helper that kept them instead of the file. Foreign text.
    pub helper: Option<String>,
}

/// Forgets credentials.
///
/// Kinds: `not_found` where there are none for the registry; those of [`Store::forget`].
pub fn logout(run: &Run, request: &LogoutRequest) -> Result<LogoutReport> {
    let LogoutRequest { what, store, sources } = request;
    let forgotten = match what {
        What::One(scope) => store.forget(scope)?,
        What::All => store.forget_all()?,
    };
    if let What::One(scope) = what {
        let elsewhere = sources.locate(&scope.host, &scope.path).ok().flatten().map(|(_, origin)| origin);
        match (forgotten.is_empty(), elsewhere) {
            (true, elsewhere) => {
                let file = text::path(store.path());
                let error = Error::not_found(format!("there are no credentials for {scope} in {file}")).subject(scope);
                return Err(match elsewhere {
                    Some(origin) => error.hint(format!("there are some in {origin}")),
                    None => error,
                });
            }
            (false, Some(origin)) => run.events.warn(format!("there are still credentials for {scope}: those of {origin}")),
            (false, None) => {}
        }
    }
    let removed = forgotten.into_iter().map(|forgotten| Removed {
        registry: forgotten.key,
        helper: match forgotten.keeper {
            Keeper::File => None,
            Keeper::Helper(name) => Some(name),
        },
    });
    Ok(LogoutReport { file: store.path().to_string_lossy().into_owned(), removed: removed.collect() })
}
