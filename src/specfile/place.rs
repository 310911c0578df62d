//! Where something was asked for, so that an error can point there.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// A place in a specification file (`larder.toml:3:1`) or a flag (`--copy a=/b`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    text: Arc<str>,
    origin: Origin,
}

/// What kind of place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A specification file, which serves many builds.
    File,
    /// A flag, which means this build.
    Flag,
}

impl Place {
    /// A line and column of a file, both counted from 1; columns count characters.
    pub fn line(file: &str, line: usize, column: usize) -> Self {
        Place { text: format!("{file}:{line}:{column}").into(), origin: Origin::File }
    }

    /// A flag as it was given.
    pub fn flag(text: impl AsRef<str>) -> Self {
        Place { text: text.as_ref().into(), origin: Origin::Flag }
    }

    /// What kind of place it is.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// An error about what stands here.
    pub fn error(&self, kind: ErrorKind, message: impl fmt::Display) -> Error {
        Error::new(kind, format!("{self}: {message}")).subject(self)
    }

    /// An error of kind `usage` about what stands here.
    pub fn usage(&self, message: impl fmt::Display) -> Error {
        self.error(ErrorKind::Usage, message)
    }

    /// A level above `error` that points here.
    pub fn wrap(&self, error: Error, message: impl fmt::Display) -> Error {
        error.context(format!("{self}: {message}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::spec::text::shown(&self.text))
    }
}

/// A value and where it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> At<T> {
    /// `value`, asked for at `place`.
    pub fn new(value: T, place: Place) -> Self {
        At { value, place }
    }
}
