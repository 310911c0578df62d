//! What a registry wants to see before it serves: secrets that cannot be shown, and who is asked for them.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::Result;

/// A text that is sent to a registry and shown nowhere: not in `Debug`, not in errors, and it is never serialised. Dropped, it is gone from memory too.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What proves who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, or an access token in its place.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which the token server of the registry changes into tokens.
    IdentityToken(Secret),
    /// A token that is sent as it is.
    Bearer(Secret),
    /// Something that is sent as it is, in a header of its own such as `X-JFrog-Art-Api`.
    Header {
        /// The name of the header.
        name: String,
        /// What it says.
        value: Secret,
    },
}

/// Knows credentials.
pub trait Credentials: Send + Sync {
    /// The credential for a repository on a host, or for the host as a whole where `repository` is empty; none means to go without. `host` is as references have
    /// it, with the port where there is one: `docker.io`, `registry.example:5000`. Asked once for each repository, possibly by several threads, and may take its
    /// time.
    ///
    /// Fails where there should be one and it cannot be had.
    fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>>;
}

/// No credentials for anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl Credentials for Anonymous {
    fn find(&self, _: &str, _: &str) -> Result<Option<Credential>> {
        Ok(None)
    }
}

/// One credential for every host that is asked for.
#[derive(Clone, Debug)]
pub struct Given(pub Credential);

impl Credentials for Given {
    fn find(&self, _: &str, _: &str) -> Result<Option<Credential>> {
        Ok(Some(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let credential = Credential::Basic { user: "me".into(), password: Secret::new("hunter2") };
        assert_eq!(format!("{credential:?}"), r#"Basic { user: "me", password: Secret }"#);
        assert!(!format!("{:?}", Given(Credential::Bearer(Secret::new("hunter2")))).contains("hunter2"));
    }
}
