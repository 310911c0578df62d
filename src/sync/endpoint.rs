//! The two ends of a sync: a location of this machine, or a place in a registry.
//!
//! `docker://HOST/REPOSITORY[:TAG|@DIGEST]` is one repository, or one image in it. With a slash at its end, `docker://HOST/PATH/` and `docker://HOST/` are all
//! repositories below a path: those that are there, or those that come there.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::{Digest, Reference, text};
use crate::store::Location;

/// What stands before a place in a registry.
pub const REGISTRY: &str = "docker://";

/// One end of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A layout or an archive, or one image in it.
    Local(Location),
    /// One repository, or one image in it.
    Repository(Reference),
    /// All repositories below a path.
    Below(Below),
}

/// A path in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below {
    /// The registry, with its port where it has one.
    pub host: String,
    /// Ends with a slash, unless it is empty.
    pub path: String,
}

impl Below {
    /// The repository that a relative name means here. Fails with kind `usage` for one that is no name.
    pub fn repository(&self, name: &str) -> Result<Reference> {
        // Written in full, a name is that of no other host.
        format!("{}/{}{name}", self.host, self.path).parse()
    }
}

impl Endpoint {
    /// Reads an end as it is written. A path that is not absolute begins at `relative_to`. Fails with kind `usage`, or as [`Location::parse`].
    pub fn parse(written: impl AsRef<OsStr>, relative_to: &Path) -> Result<Endpoint> {
        // A path may be of any bytes, and what a registry has is text.
        let Some((written, rest)) = written.as_ref().to_str().and_then(|text| Some((text, text.strip_prefix(REGISTRY)?))) else {
            return Ok(Endpoint::Local(Location::parse(written)?.relative_to(relative_to)));
        };
        let bad = |error: Error| error.context(format!("`{}` is no place in a registry", text::shown(written)));
        match rest.strip_suffix('/') {
            // One component alone would be completed by `library/`.
            Some(path) => {
                let filled: Reference = format!("{path}/x/x").parse().map_err(bad)?;
                let path = filled.repository().strip_suffix("x/x").unwrap_or_default();
                Ok(Endpoint::Below(Below { host: filled.host().to_owned(), path: path.to_owned() }))
            }
            None => rest.parse().map(Endpoint::Repository).map_err(|error: Error| {
                let hint = format!("write {REGISTRY}HOST/REPOSITORY:TAG, or with a slash at its end {REGISTRY}HOST/PATH/");
                bad(error).hint(hint)
            }),
        }
    }

    /// The registry; none for a location of this machine.
    pub fn host(&self) -> Option<&str> {
        match self {
            Endpoint::Local(_) => None,
            Endpoint::Repository(reference) => Some(reference.host()),
            Endpoint::Below(below) => Some(&below.host),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Local(location) => location.fmt(f),
            Endpoint::Repository(reference) => write!(f, "{REGISTRY}{reference}"),
            Endpoint::Below(Below { host, path }) => write!(f, "{REGISTRY}{host}/{path}"),
        }
    }
}

/// An image of a repository by tag, by digest, or by both; then the digest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// The whole repository.
    All,
    /// One tag.
    Tag(&'a str),
    /// One digest, under this tag where it has one.
    Digest(&'a Digest, Option<&'a str>),
}

impl<'a> Chosen<'a> {
    /// What a reference means in its repository.
    pub fn of(reference: &'a Reference) -> Chosen<'a> {
        match (reference.digest(), reference.tag()) {
            (Some(digest), tag) => Chosen::Digest(digest, tag),
            (None, Some(tag)) => Chosen::Tag(tag),
            (None, None) => Chosen::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(written: &str) -> Endpoint {
        Endpoint::parse(written, Path::new("/jobs")).expect(written)
    }

    #[test]
    fn a_slash_at_the_end_means_what_is_below() {
        for (written, host, path) in [
            ("docker://registry.example/", "registry.example", ""),
            ("docker://registry.example:5000/docker-local/", "registry.example:5000", "docker-local/"),
            ("docker://registry.example/a/b/", "registry.example", "a/b/"),
            ("docker://docker.io/", "docker.io", ""),
            ("docker://team/", "docker.io", "team/"),
            ("docker://[::1]:5000/", "[::1]:5000", ""),
        ] {
            let Endpoint::Below(below) = parse(written) else { panic!("{written}") };
            assert_eq!((below.host.as_str(), below.path.as_str()), (host, path), "{written}");
            assert_eq!(parse(&Endpoint::Below(below.clone()).to_string()), Endpoint::Below(below));
        }
        let Endpoint::Below(below) = parse("docker://registry.example/a/") else { panic!("below") };
        assert_eq!(below.repository("team/hello").expect("a name").to_string(), "registry.example/a/team/hello");
        assert_eq!(below.repository("Team").expect_err("no name").kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_repository_and_an_image_in_it() {
        let digest = Digest::sha256(b"");
        for (written, tag) in [("docker://registry.example/a/b", None), ("docker://registry.example/a/b:1", Some("1"))] {
            let Endpoint::Repository(reference) = parse(written) else { panic!("{written}") };
            assert_eq!((reference.repository(), reference.tag()), ("a/b", tag));
            assert_eq!(Endpoint::Repository(reference).to_string(), written);
        }
        let Endpoint::Repository(reference) = parse(&format!("docker://hello:1@{digest}")) else { panic!("a repository") };
        assert_eq!((reference.host(), Chosen::of(&reference)), ("docker.io", Chosen::Digest(&digest, Some("1"))));
    }

    #[test]
    fn paths_begin_at_the_job() {
        for (written, path) in [("oci:images:1", "/jobs/images"), ("oci-archive:/a.tar", "/a.tar"), ("oci-archive:-", "-")] {
            let Endpoint::Local(location) = parse(written) else { panic!("{written}") };
            assert_eq!(location.path(), Path::new(path));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for written in ["docker://", "docker:///", "docker://registry.example//", "docker://Registry/A", "docker://a:b:c", "docker://x.y/a@sha256:0", ""] {
            assert_eq!(Endpoint::parse(written, Path::new("")).expect_err(written).kind(), ErrorKind::Usage, "{written}");
        }
    }
}
