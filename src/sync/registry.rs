//! How a sync file says that a registry is spoken to.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::specfile::{At, Place};

/// What a file says of one registry. What it does not say stays as it is without a file.
#[derive(Clone, Debug)]
pub struct RegistrySpec {
    /// Where it stands.
    pub place: Place,
    /// The host as references have it, with the port where it has one.
    pub host: String,
    /// What protects the connection.
    pub security: Option<Security>,
    /// Files with authorities that are trusted, in PEM.
    pub authorities: Vec<At<PathBuf>>,
    /// Files with a certificate and its key, in PEM, that prove who one is.
    pub client: Option<(At<PathBuf>, At<PathBuf>)>,
    /// What takes the place of `/v2`.
    pub api_prefix: Option<String>,
    /// How blobs are sent.
    pub upload: Option<Upload>,
    /// How many transfers run at once.
    pub transfers: Option<NonZeroUsize>,
    /// How many requests may begin in a second.
    pub requests_per_second: Option<NonZeroUsize>,
    /// What proves who one is.
    pub credential: Option<CredentialSpec>,
}

/// What protects a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS with a certificate that is verified.
    Verified,
    /// TLS with any certificate, and none where the host speaks none.
    Insecure,
    /// No TLS.
    Plain,
}

/// How blobs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// As the registry turns out to like it.
    Auto,
    /// In one request.
    Single,
    /// In one request after another one that begins.
    Stream,
    /// In pieces of so many bytes.
    Chunked(NonZeroUsize),
}

impl Upload {
    /// The size of pieces where nobody says another: 16 MiB, which proxies with usual limits let pass.
    pub const CHUNK: NonZeroUsize = NonZeroUsize::new(16 << 20).unwrap();
}

/// Where a credential is. The secret itself never stands in a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSpec {
    /// A user and a password, or a token in its place.
    Password {
        /// The user.
        user: UserSource,
        /// The password.
        password: SecretSource,
    },
    /// A token that is sent as it is.
    Token(SecretSource),
    /// A token that the registry changes into others.
    IdentityToken(SecretSource),
}

/// Who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSource {
    /// This user.
    Named(String),
    /// The one that a variable or a file names.
    Elsewhere(SecretSource),
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the environment variable of this name.
    Variable(At<String>),
    /// In this file, without the end of its last line.
    File(At<PathBuf>),
}
