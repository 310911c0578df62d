//! The one error type of larder.
//!
//! An [`Error`] is a chain of levels. Each level says in one line what could not be done and on what; the innermost says why.
//! The [`ErrorKind`] decides what a script should do about it and is the only place that knows codes and exit codes.
//! A level never repeats the text of its cause: whoever prints the chain prints every level.

use std::fmt;

/// The result of everything in larder that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is, seen from the person or script that must react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The machine failed: disk full, permission, a device error.
    Io,
    /// The call is wrong: arguments or a specification file.
    Usage,
    /// Content does not match its digest or breaks its specification.
    Corrupt,
    /// A name, a blob or a file is absent.
    NotFound,
    /// It exists already with other content, or another process holds it.
    Conflict,
    /// Valid, but not something larder does.
    Unsupported,
    /// A registry refused the credentials.
    Denied,
    /// A registry cannot be reached or keeps failing.
    Unavailable,
    /// A signal or a caller asked to stop.
    Interrupted,
}

impl ErrorKind {
    /// Every kind, in the order of the exit codes.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Io,
        ErrorKind::Usage,
        ErrorKind::Corrupt,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Unsupported,
        ErrorKind::Denied,
        ErrorKind::Unavailable,
        ErrorKind::Interrupted,
    ];

    /// The stable code of this kind, as JSON output prints it.
    pub fn code(self) -> &'static str {
        self.entry().0
    }

    /// The exit status of a process that ends with this kind.
    pub fn exit_code(self) -> u8 {
        self.entry().1
    }

    fn entry(self) -> (&'static str, u8) {
        match self {
            ErrorKind::Io => ("io", 1),
            ErrorKind::Usage => ("usage", 2),
            ErrorKind::Corrupt => ("corrupt", 3),
            ErrorKind::NotFound => ("not_found", 4),
            ErrorKind::Conflict => ("conflict", 5),
            ErrorKind::Unsupported => ("unsupported", 6),
            ErrorKind::Denied => ("denied", 7),
            ErrorKind::Unavailable => ("unavailable", 8),
            ErrorKind::Interrupted => ("interrupted", 130),
        }
    }
}

/// Which end of a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that is read.
    Source,
    /// The side that is written.
    Destination,
}

impl Side {
    /// The word for this side in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Destination => "destination",
        }
    }
}

/// What could not be done, on what, why, and what would help.
#[derive(Debug)]
pub struct Error(Box<Level>);

#[derive(Debug)]
struct Level {
    kind: ErrorKind,
    message: String,
    subject: Option<String>,
    side: Option<Side>,
    hint: Option<String>,
    excerpt: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An innermost error: `message` is one line, lower case, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Level { kind, message: message.into(), subject: None, side: None, hint: None, excerpt: Vec::new(), source: None }))
    }

    /// [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Interrupted`].
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted")
    }

    /// The machine failed while doing `message`. A missing file becomes [`ErrorKind::NotFound`]; all else is [`ErrorKind::Io`],
    /// except that an error of larder that travelled through [`std::io::Read`] or [`std::io::Write`] keeps what it was.
    pub fn io(message: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        let source = match source.into().downcast::<Error>() {
            Ok(own) => return own.context(message),
            Err(source) => source,
        };
        let (kind, hint) = match source.kind() {
            std::io::ErrorKind::NotFound => (ErrorKind::NotFound, None),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => (ErrorKind::Io, Some("make room there, and run the command again")),
            _ => (ErrorKind::Io, None),
        };
        let mut error = Self::new(kind, message).because(source);
        error.0.hint = hint.map(str::to_owned);
        error
    }

    /// Adds the cause below this level.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Wraps this error into a level that says what was being done. Kind, subject, side and hint stay those of the cause.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        Error(Box::new(Level {
            kind: self.0.kind,
            message: message.into(),
            subject: self.0.subject.clone(),
            side: self.0.side,
            hint: None,
            excerpt: Vec::new(),
            source: Some(Box::new(self)),
        }))
    }

    /// Names what the error is about: a location, a digest, a place in a file.
    #[must_use]
    pub fn subject(mut self, subject: impl fmt::Display) -> Self {
        self.0.subject = Some(subject.to_string());
        self
    }

    /// Says which end of a transfer failed.
    #[must_use]
    pub fn side(mut self, side: Side) -> Self {
        self.0.side = Some(side);
        self
    }

    /// Says what the reader can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Shows lines of the file that the error is about, as compilers do.
    #[must_use]
    pub fn excerpt(mut self, lines: Vec<String>) -> Self {
        self.0.excerpt = lines;
        self
    }

    /// Changes the kind, where a caller knows better what an error means.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The line of the outermost level.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the error is about, where it is one thing.
    pub fn subject_text(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Which end of a transfer failed, where that is known.
    pub fn failed_side(&self) -> Option<Side> {
        self.0.side
    }

    /// Lines of the file that the error is about.
    pub fn excerpt_lines(&self) -> &[String] {
        &self.0.excerpt
    }

    /// The lines of the causes below the outermost level, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            causes.push(error.to_string());
            next = error.source();
        }
        causes
    }

    /// The remedy: the outermost hint of the chain.
    pub fn hint_text(&self) -> Option<&str> {
        let mut level = self;
        loop {
            if let Some(hint) = &level.0.hint {
                return Some(hint);
            }
            level = level.0.source.as_ref()?.downcast_ref::<Error>()?;
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// Lets an error of larder travel through [`std::io::Read`] and [`std::io::Write`]; [`Error::io`] takes it out again.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}

/// Turns the I/O errors of a call into an [`Error`] that says what was done to which path.
pub trait IoContext<T> {
    /// `doing` is a verb phrase such as "read"; the message becomes "cannot read PATH".
    fn at(self, doing: &str, path: &std::path::Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn at(self, doing: &str, path: &std::path::Path) -> Result<T> {
        self.map_err(|error| Error::io(format!("cannot {doing} {}", crate::spec::text::path(path)), error).subject(crate::spec::text::path(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_exit_codes_are_distinct() {
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            for other in &ErrorKind::ALL[index + 1..] {
                assert_ne!(kind.code(), other.code());
                assert_ne!(kind.exit_code(), other.exit_code());
            }
        }
    }

    #[test]
    fn context_keeps_kind_subject_and_hint() {
        let error = Error::corrupt("digest differs").subject("sha256:ab").hint("copy it again").context("cannot verify oci:x");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.to_string(), "cannot verify oci:x");
        assert_eq!(error.causes(), ["digest differs"]);
        assert_eq!(error.subject_text(), Some("sha256:ab"));
        assert_eq!(error.hint_text(), Some("copy it again"));
    }

    #[test]
    fn an_error_that_travels_through_a_reader_stays_what_it_is() {
        let error = Error::io("cannot copy a", std::io::Error::from(Error::corrupt("digest differs").subject("sha256:ab")));
        assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some("sha256:ab")));
        assert_eq!(error.causes(), ["digest differs"]);
    }

    #[test]
    fn a_missing_file_is_not_found_and_names_the_path() {
        let error = std::fs::read("/nonexistent/x").at("read", std::path::Path::new("/nonexistent/x")).expect_err("absent");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "cannot read /nonexistent/x");
    }

    #[test]
    fn a_full_disk_has_a_remedy() {
        let error = Error::io("cannot write x", std::io::Error::from_raw_os_error(28)).context("cannot make layer 1");
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Io, Some("make room there, and run the command again")));
        assert_eq!(Error::io("cannot write x", std::io::Error::from_raw_os_error(5)).hint_text(), None);
    }
}
