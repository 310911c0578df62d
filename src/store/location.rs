//! Locations, as containers-transports(5) writes them: `SCHEME:PATH[:NAME]`.
//!
//! Reading one looks at no file system, so it means the same for a layout that is yet to be made. The path ends at the first colon, as it does for skopeo
//! and podman, or at an `@` with a digest behind it; it may be of any bytes.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::spec::{Digest, Selector, text};

use super::transport::{LAYOUT, TRANSPORTS};

/// A store, and what is meant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// None where it was not written, so that only looking tells.
    scheme: Option<&'static str>,
    path: PathBuf,
    /// What stood after the path, as it was written.
    rest: Option<String>,
    selector: Selector,
}

/// Schemes of transports that are not ours, so that they are not taken for paths.
const OTHERS: &[(&str, &str)] = &[
    ("oci-layout:", "write oci:PATH or oci:PATH:NAME"),
    ("docker://", "registries are spoken to by `larder sync` only; this command works on oci:DIRECTORY"),
    ("docker-daemon:", "save the image from the daemon and use oci:DIRECTORY"),
    ("containers-storage:", "export the image from there and use oci:DIRECTORY"),
    ("dir:", "convert it with another tool and use oci:DIRECTORY"),
];

impl Location {
    /// Reads `SCHEME:PATH`, `SCHEME:PATH:NAME`, `SCHEME:PATH@DIGEST`, or the same without a scheme.
    ///
    /// Fails with kind `usage`, or `unsupported` for the other transports, which the error tells how to do without.
    pub fn parse(written: impl AsRef<OsStr>) -> Result<Self> {
        let written = written.as_ref().as_bytes();
        let shown = text::bytes(written);
        if let Some((scheme, remedy)) = OTHERS.iter().find(|(scheme, _)| written.starts_with(scheme.as_bytes())) {
            return Err(Error::unsupported(format!("`{scheme}` is not a location for this command")).subject(shown).hint(*remedy));
        }
        let bad = |why: &str| Error::usage(format!("location `{shown}` {why}")).subject(&shown).hint("write oci:PATH or oci:PATH:NAME");
        let schemes = TRANSPORTS.iter().map(|transport| transport.scheme());
        let found = schemes.filter_map(|scheme| Some((scheme, written.strip_prefix(scheme.as_bytes())?.strip_prefix(b":")?))).next();
        let body = found.map_or(written, |(_, body)| body);
        if let Some(digest) = broken_digest(body) {
            return Err(bad(&format!("has `{}`, which is not a whole digest", text::bytes(digest)))
                .hint("write all of it; `larder list --format json` shows whole digests"));
        }
        let (path, rest) = split(body);
        if path.is_empty() {
            return Err(bad("has no path"));
        }
        let rest = rest.map(|rest| std::str::from_utf8(rest).map_err(|_| bad("has a name that is not UTF-8"))).transpose()?;
        if rest == Some("") {
            return Err(bad("has a colon at its end but no name"));
        }
        let selector = Selector::parse(rest.unwrap_or(""))?;
        let scheme = found.map(|(scheme, _)| scheme);
        Ok(Location { scheme, path: PathBuf::from(OsStr::from_bytes(path)), rest: rest.map(str::to_owned), selector })
    }

    /// The scheme, where it was written.
    pub fn scheme(&self) -> Option<&'static str> {
        self.scheme
    }

    /// The directory, for what works on layouts only. Fails with kind `unsupported` for a location that says to be something else.
    pub fn layout(&self) -> Result<&Path> {
        match self.scheme {
            None | Some(LAYOUT) => Ok(&self.path),
            Some(scheme) => Err(Error::unsupported(format!("`{scheme}:` is not a location for this command, which works on image layouts"))
                .subject(self)
                .hint(format!("copy it into a layout first: larder copy {self} oci:DIRECTORY"))),
        }
    }

    /// The path of the directory or file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same store, with nothing in it meant.
    #[must_use]
    pub fn store(&self) -> Location {
        Location { rest: None, selector: Selector::Only, ..self.clone() }
    }

    /// The same, where a path that is not absolute begins at `directory`. Stdin and stdout begin nowhere.
    #[must_use]
    pub fn relative_to(self, directory: &Path) -> Location {
        if self.is_stream() {
            return self;
        }
        Location { path: directory.join(&self.path), ..self }
    }

    /// Whether it is stdin or stdout, as archives can be.
    pub fn is_stream(&self) -> bool {
        self.scheme.is_some_and(|scheme| scheme != LAYOUT) && self.path == Path::new("-")
    }

    /// What is meant in it.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The name as it was written, where there is one and it is not a digest.
    pub fn name(&self) -> Option<&str> {
        self.rest.as_deref().filter(|_| matches!(self.selector, Selector::Name(_)))
    }
}

impl fmt::Display for Location {
    /// The form that [`Location::parse`] reads, made safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.unwrap_or(LAYOUT), text::path(&self.path))?;
        match &self.rest {
            Some(rest) if rest.starts_with('@') => f.write_str(&text::shown(rest)),
            Some(rest) => write!(f, ":{}", text::shown(rest)),
            None => Ok(()),
        }
    }
}

/// What looks like the digest of an image but is none: taken for a path, it would make a directory of that name.
fn broken_digest(body: &[u8]) -> Option<&[u8]> {
    let at = body.windows(8).rposition(|window| matches!(window, b"@sha256:" | b"@sha512:"))?;
    let digest = &body[at + 1..];
    let whole = std::str::from_utf8(digest).is_ok_and(|digest| digest.parse::<Digest>().is_ok());
    (!whole).then_some(digest)
}

/// The path, and what follows it without the colon; a digest keeps its `@`.
fn split(body: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(colon) = body.iter().position(|byte| *byte == b':') else { return (body, None) };
    // The first colon of `PATH@sha256:…` is that of the digest.
    if let Some(at) = body[..colon].iter().rposition(|byte| *byte == b'@') {
        let digest = std::str::from_utf8(&body[at + 1..]).ok().and_then(|text| text.parse::<Digest>().ok());
        if digest.is_some_and(|digest| digest.algorithm().hasher().is_ok()) {
            return (&body[..at], Some(&body[at..]));
        }
    }
    (&body[..colon], Some(&body[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_path_ends_at_the_first_colon() {
        for (written, path, name) in [
            ("out", "out", None),
            ("oci:out", "out", None),
            ("oci:/a/b:1.2", "/a/b", Some("1.2")),
            ("a/b:registry.example:5000/x:1", "a/b", Some("registry.example:5000/x:1")),
            ("oci:a b@c:x", "a b@c", Some("x")),
            ("oci:a@sha", "a@sha", None),
        ] {
            let location = Location::parse(written).expect(written);
            assert_eq!((location.path(), location.name()), (Path::new(path), name), "{written}");
            assert_eq!(location.selector(), &name.map_or(Selector::Only, |name| Selector::Name(name.to_owned())));
            let again = Location::parse(location.to_string()).expect(written);
            assert_eq!((again.path(), again.name()), (location.path(), location.name()));
            assert_eq!(again.layout().expect("a layout"), location.path());
        }
    }

    #[test]
    fn a_path_begins_where_it_is_said() {
        for (written, shown) in [("oci:a/b:1", "oci:/jobs/a/b:1"), ("oci:/a", "oci:/a"), ("oci-archive:-", "oci-archive:-"), ("oci:-", "oci:/jobs/-")] {
            assert_eq!(Location::parse(written).expect(written).relative_to(Path::new("/jobs")).to_string(), shown);
        }
    }

    #[test]
    fn a_digest_selects_with_and_without_a_colon() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for written in [format!("oci:out@{digest}"), format!("oci:out:@{digest}"), format!("out@{digest}")] {
            let location = Location::parse(&written).expect("valid");
            assert_eq!((location.path(), location.name()), (Path::new("out"), None));
            assert!(matches!(location.selector(), Selector::Digest(found) if found.as_str() == digest), "{written}");
            assert_eq!(location.to_string(), format!("oci:out@{digest}"));
        }
        assert_eq!(Location::parse("oci:out:@3").expect_err("a position").kind(), ErrorKind::Usage);
    }

    #[test]
    fn other_transports_are_unsupported_with_a_remedy_and_nonsense_is_usage() {
        for written in ["docker://x/y", "oci-layout://out", "dir:x"] {
            let error = Location::parse(written).expect_err(written);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint_text().is_some());
        }
        for written in ["", "oci:", "oci::x", "oci:out:", "oci:out@sha256:00", "out:1@sha256:abc", "oci-archive:x@sha512:"] {
            assert_eq!(Location::parse(written).expect_err(written).kind(), ErrorKind::Usage, "{written}");
        }
    }

    #[test]
    fn lay_72_paths_of_any_bytes() {
        let location = Location::parse(OsStr::from_bytes(b"oci:a\xff\n:1")).expect("a location");
        assert_eq!((location.path(), location.name()), (Path::new(OsStr::from_bytes(b"a\xff\n")), Some("1")));
        assert_eq!(location.to_string(), "oci:a\\xff\\n:1");
        assert_eq!(Location::parse(OsStr::from_bytes(b"oci:a:\xff")).expect_err("no name").kind(), ErrorKind::Usage);
    }
}
