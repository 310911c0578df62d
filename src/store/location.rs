//! Locations, as containers-transports(5) writes them: `oci:PATH[:NAME]`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::spec::name::Selector;
use crate::spec::text;

/// A layout, and what is meant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
    /// What stood after the path, as it was written.
    rest: Option<String>,
    selector: Selector,
}

/// Schemes of other transports, so that they are not taken for paths.
const OTHERS: &[(&str, &str)] = &[
    ("oci-archive:", "unpack the archive and use oci:DIRECTORY"),
    ("docker-archive:", "convert it with another tool and use oci:DIRECTORY"),
    ("docker://", "registries are reached by another tool; larder works on oci:DIRECTORY"),
    ("docker-daemon:", "save the image from the daemon and use oci:DIRECTORY"),
    ("containers-storage:", "export the image from there and use oci:DIRECTORY"),
    ("dir:", "convert it with another tool and use oci:DIRECTORY"),
];

impl Location {
    /// Reads `oci:PATH`, `oci:PATH:NAME`, `oci:PATH@DIGEST`, or the same without `oci:` where that is plain. The path ends at the first colon or `@`
    /// followed by a digest.
    ///
    /// Fails with kind `usage`, or `unsupported` for the other transports, which the error tells how to do without.
    pub fn parse(written: &str) -> Result<Self> {
        if let Some((scheme, remedy)) = OTHERS.iter().find(|(scheme, _)| written.starts_with(scheme)) {
            return Err(Error::unsupported(format!("`{scheme}` is not a location for this command")).subject(text::shown(written)).hint(*remedy));
        }
        let bad = |why: &str| {
            Error::usage(format!("location `{}` {why}", text::shown(written))).subject(text::shown(written)).hint("write oci:PATH or oci:PATH:NAME")
        };
        let body = written.strip_prefix("oci:").unwrap_or(written);
        let (path, rest) = match (body.split_once(':'), body.find("@sha")) {
            (Some((path, _)), Some(at)) if at < path.len() => (&body[..at], Some(&body[at..])),
            (Some((path, name)), _) => (path, Some(name)),
            (None, Some(at)) => (&body[..at], Some(&body[at..])),
            (None, None) => (body, None),
        };
        if path.is_empty() {
            return Err(bad("has no path"));
        }
        if rest == Some("") {
            return Err(bad("has a colon at its end but no name"));
        }
        let selector = Selector::parse(rest.unwrap_or(""))?;
        Ok(Location { path: PathBuf::from(path), rest: rest.map(str::to_owned), selector })
    }

    /// The directory of the layout.
    pub fn path(&self) -> &Path {
        &self.path
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_path_ends_at_the_first_colon() {
        let location = Location::parse("oci:a/b:registry.example:5000/x:1").expect("valid");
        assert_eq!((location.path(), location.name()), (Path::new("a/b"), Some("registry.example:5000/x:1")));
        let location = Location::parse("out").expect("valid");
        assert_eq!((location.path(), location.selector()), (Path::new("out"), &Selector::Only));
    }

    #[test]
    fn a_digest_selects_with_and_without_a_colon() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for written in [format!("oci:out@{digest}"), format!("oci:out:@{digest}"), format!("out@{digest}")] {
            let location = Location::parse(&written).expect("valid");
            assert_eq!((location.path(), location.name()), (Path::new("out"), None));
            assert!(matches!(location.selector(), Selector::Digest(found) if found.as_str() == digest), "{written}");
        }
    }

    #[test]
    fn other_transports_are_unsupported_with_a_remedy_and_nonsense_is_usage() {
        for written in ["docker://x/y", "oci-archive:x.tar", "docker-archive:x.tar"] {
            let error = Location::parse(written).expect_err(written);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint_text().is_some());
        }
        for written in ["", "oci:", "oci::x", "oci:out:"] {
            assert_eq!(Location::parse(written).expect_err(written).kind(), ErrorKind::Usage, "{written}");
        }
    }
}
