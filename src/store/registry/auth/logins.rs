//! What a host made of those who proved to it who they are.
//!
//! A host that gets a wrong password from many threads at once locks the account as surely as one that gets it again and again. So the first time that a login is
//! shown nobody else shows it, and what came of it holds for all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::store::registry::credential::Credential;

/// What helps where a login is refused.
pub(super) const WRONG: &str = "the user or the password that was given or is kept for it is wrong: log in again with `larder sync login HOST`, or give others with --username and --password-stdin";

/// The logins that a host was shown.
#[derive(Debug, Default)]
pub(super) struct Logins {
    judged: Mutex<Vec<(Credential, Verdict)>>,
    /// Held while a login is shown of which nothing is known.
    showing: Mutex<()>,
}

/// What came of a login.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// The host knows who that is.
    Believed,
    /// It does not, or does not want to.
    Refused(Why),
}

/// A refusal, to be told again.
#[derive(Clone, Debug)]
pub(super) struct Why {
    text: String,
    hint: Option<String>,
}

impl Why {
    pub(super) fn of(error: &Error) -> Why {
        let text = std::iter::once(error.message().to_owned()).chain(error.causes()).collect::<Vec<_>>().join(": ");
        Why { text, hint: error.hint_text().map(str::to_owned) }
    }

    /// The refusal of a login by `host`, for all that would show it again.
    pub(super) fn of_login(host: &str, error: &Error) -> Why {
        let Why { text, .. } = Why::of(error);
        Why { text: format!("{host} refused the login, which is not shown again: {text}"), hint: Some(WRONG.to_owned()) }
    }

    pub(super) fn error(&self) -> Error {
        let error = Error::new(ErrorKind::Denied, self.text.clone());
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl Logins {
    /// Waits until nobody else shows a login for the first time; what is returned is held while this one is shown. None where it was believed before.
    ///
    /// Fails with kind `denied` where it was refused.
    pub(super) fn alone(&self, credential: &Credential) -> Result<Option<MutexGuard<'_, ()>>> {
        if let Some(verdict) = self.verdict(credential) {
            return verdict.outcome();
        }
        let first = lock(&self.showing);
        match self.verdict(credential) {
            Some(verdict) => verdict.outcome(),
            None => Ok(Some(first)),
        }
    }

    /// Why a login was refused; none where it was not.
    pub(super) fn refusal(&self, credential: &Credential) -> Option<Why> {
        match self.verdict(credential)? {
            Verdict::Refused(why) => Some(why),
            Verdict::Believed => None,
        }
    }

    /// Whether every login that was shown was believed.
    pub(super) fn none_is_refused(&self) -> bool {
        !lock(&self.judged).iter().any(|(_, verdict)| matches!(verdict, Verdict::Refused(_)))
    }

    /// Takes in what came of a login. What was said last counts: a password may be taken back.
    pub(super) fn judge(&self, credential: &Credential, verdict: Verdict) {
        let mut judged = lock(&self.judged);
        match judged.iter_mut().find(|(known, _)| known == credential) {
            Some((_, known)) => *known = verdict,
            None => judged.push((credential.clone(), verdict)),
        }
    }

    /// Lets a login be shown once more.
    pub(super) fn forget(&self, credential: &Credential) {
        lock(&self.judged).retain(|(known, _)| known != credential);
    }

    fn verdict(&self, credential: &Credential) -> Option<Verdict> {
        lock(&self.judged).iter().find(|(known, _)| known == credential).map(|(_, verdict)| verdict.clone())
    }
}

impl Verdict {
    fn outcome(self) -> Result<Option<MutexGuard<'static, ()>>> {
        match self {
            Verdict::Believed => Ok(None),
            Verdict::Refused(why) => Err(why.error()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
