//! What names from elsewhere are brought under.

use std::fmt;

use super::ImageName;
use crate::error::{Error, Result};
use crate::spec::reference::Reference;
use crate::spec::text;

/// A host, with or without the beginning of a repository: `registry.example/imports` makes `registry.example/imports/library/hello:1` of
/// `docker.io/library/hello:1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Without a slash at its end.
    written: String,
    /// Whether it has nothing of a repository.
    is_host: bool,
}

impl Prefix {
    /// Reads one. Fails with kind `usage`, also for one without a host: nobody means a repository of Docker Hub.
    pub fn parse(written: &str) -> Result<Prefix> {
        let bare = written.strip_suffix('/').unwrap_or(written);
        let bad = |why: &str| {
            let error = Error::usage(format!("invalid prefix `{}`: {why}", text::shown(written))).subject(text::shown(written));
            error.hint("write a host, and below it the beginning of a repository if you like: registry.example/imports")
        };
        let (host, repository) = bare.split_once('/').map_or((bare, None), |(host, repository)| (host, Some(repository)));
        if repository.is_some_and(|repository| repository.contains([':', '@'])) {
            return Err(bad("it has a tag or a digest"));
        }
        // What it is the beginning of.
        let whole: Reference = format!("{bare}/x").parse().map_err(|_| bad("it is not the beginning of a reference"))?;
        // Docker's second name for its host is read as the first.
        if whole.host() != host && host != "index.docker.io" {
            return Err(bad("it does not begin with a host"));
        }
        Ok(Prefix { written: bare.to_owned(), is_host: repository.is_none() })
    }

    /// The name below this prefix: the repository without its host, and the tag. A tag alone comes into the repository that the prefix is. None for a name that
    /// has no tag.
    ///
    /// Fails with kind `usage` for a tag alone where the prefix is only a host, and for what would be too long.
    pub fn apply(&self, name: &ImageName) -> Result<Option<ImageName>> {
        let reference = name.reference();
        let tag = reference.as_ref().and_then(Reference::tag).map(str::to_owned);
        match (reference, tag.or_else(|| name.tag())) {
            (Some(reference), Some(tag)) => ImageName::with_repository(&format!("{}/{}", self.written, reference.repository()), &tag).map(Some),
            (None, Some(tag)) if name.image().is_none() => match self.is_host {
                true => Err(Error::usage(format!("the name `{name}` is a tag alone, and the prefix `{self}` has no repository for it"))
                    .subject(name)
                    .hint(format!("add one to the prefix: {self}/REPOSITORY"))),
                false => ImageName::with_repository(&self.written, &tag).map(Some),
            },
            _ => Ok(None),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::{Descriptor, Digest, annotation};

    fn name(image: &str, ref_name: &str) -> ImageName {
        let mut entry = Descriptor::new("text/plain", Digest::sha256(b""), 0);
        for (key, value) in [(annotation::IMAGE_NAME, image), (annotation::REF_NAME, ref_name)] {
            if !value.is_empty() {
                entry.annotations.insert(key.into(), value.into());
            }
        }
        ImageName::of(&entry).expect("a name")
    }

    fn under(prefix: &str, image: &str, ref_name: &str) -> Option<String> {
        let applied = Prefix::parse(prefix).expect(prefix).apply(&name(image, ref_name)).expect(image)?;
        assert_eq!(applied.ref_name(), applied.reference().expect("full").tag(), "both annotations");
        applied.image().map(str::to_owned)
    }

    #[test]
    fn names_lose_their_host_and_come_below() {
        for (prefix, image, ref_name, expected) in [
            ("a.example/in", "docker.io/library/hello:1", "1", "a.example/in/library/hello:1"),
            ("a.example/in/", "hello", "", "a.example/in/library/hello:latest"),
            ("a.example", "localhost:5000/x/y:2", "", "a.example/x/y:2"),
            ("localhost:5000/in", "b.example/x:2", "other", "localhost:5000/in/x:2"),
            ("docker.io", "hello:1", "", "docker.io/library/hello:1"),
            ("index.docker.io", "hello:1", "", "docker.io/library/hello:1"),
            ("docker.io/in/team", "", "1", "docker.io/in/team:1"),
            ("a.example/in", "", "b.example/x:2", "a.example/in/x:2"),
            ("a.example/in", "", "1.4.2", "a.example/in:1.4.2"),
        ] {
            assert_eq!(under(prefix, image, ref_name).as_deref(), Some(expected), "{prefix} {image} {ref_name}");
        }
    }

    #[test]
    fn what_is_no_tag_has_no_place_below() {
        let digest = format!("b.example/x@{}", Digest::sha256(b""));
        for (image, ref_name) in [("???", ""), ("", "a b"), (digest.as_str(), ""), ("UPPER/x:1", "1")] {
            assert_eq!(under("a.example/in", image, ref_name), None, "{image} {ref_name}");
        }
        for host in ["a.example", "docker.io", "localhost:5000/"] {
            let error = Prefix::parse(host).expect("a host").apply(&name("", "1")).expect_err("no repository");
            assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Usage, Some("1")));
        }
        let long = format!("b.example/{}:1", ["x"; 120].join("/"));
        assert_eq!(Prefix::parse("a.example/imports").expect("a prefix").apply(&name(&long, "1")).expect_err("too long").kind(), ErrorKind::Usage);
    }

    #[test]
    fn prefixes_that_are_none_are_refused() {
        for (written, why) in [
            ("", "it is not the beginning"),
            ("/", "it is not the beginning"),
            ("a.example//", "it is not the beginning"),
            ("A.example/X", "it is not the beginning"),
            ("-/x", "it is not the beginning"),
            ("a b", "it is not the beginning"),
            ("a.example/in:1", "a tag or a digest"),
            ("a.example/in@sha256:00", "a tag or a digest"),
            ("in", "it does not begin with a host"),
            ("library/in", "it does not begin with a host"),
        ] {
            let error = Prefix::parse(written).expect_err(written);
            assert!(error.kind() == ErrorKind::Usage && error.message().contains(why) && error.hint_text().is_some(), "{written}: {error}");
        }
    }
}
