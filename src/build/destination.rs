//! Where things go inside the image.

use super::place::At;
use super::template::Template;
use crate::error::Result;
use crate::spec::{Platform, text};

/// A path inside the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// In the form of [`Entry::path`](crate::layer::Entry::path); empty for the root.
    pub path: Vec<u8>,
    /// It was written with a `/` at the end: a directory to put things into.
    pub into: bool,
}

/// A destination as it was written: the fields of the platform may stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSpec {
    written: At<Template>,
    root: Root,
}

/// Whether the root of the image can be a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Allowed,
    Refused,
}

/// Names that begin so mean deletion in a layer; image-spec, layer.md "Whiteouts".
const WHITEOUT_PREFIX: &str = ".wh.";

impl DestinationSpec {
    /// Reads a destination; what no platform could make one of is a `usage` error.
    pub fn parse(source: &At<String>) -> Result<Self> {
        Self::checked(source, Root::Allowed)
    }

    /// Reads a destination that must not be the root.
    pub fn parse_below_root(source: &At<String>) -> Result<Self> {
        Self::checked(source, Root::Refused)
    }

    /// The destination on a platform. Fails with kind `usage` where the platform's fields make it none.
    pub fn resolve(&self, platform: &Platform) -> Result<Destination> {
        let destination = Destination::parse(&At::new(self.written.value.expand(platform), self.written.place.clone()))?;
        if self.root == Root::Refused && destination.path.is_empty() {
            return Err(self.written.place.usage("the root of the image cannot be the destination here"));
        }
        Ok(destination)
    }

    /// The path as it was written.
    pub(super) fn template(&self) -> &Template {
        &self.written.value
    }

    fn checked(source: &At<String>, root: Root) -> Result<Self> {
        let spec = DestinationSpec { written: At::new(Template::parse(source)?, source.place.clone()), root };
        // A platform whose fields read as they are written, so that errors show what a person wrote.
        spec.resolve(&Platform::new("{os}", "{arch}", "{variant}"))?;
        Ok(spec)
    }
}

impl Destination {
    /// Reads a destination, which begins with `/` and has no `..`; anything else is a `usage` error.
    pub fn parse(source: &At<String>) -> Result<Self> {
        let written = source.value.as_str();
        let bad = |why: &str| source.place.usage(format!("destination `{}` {why}", text::shown(written)));
        if written.contains('\0') {
            return Err(bad("has a NUL byte"));
        }
        let Some(relative) = written.strip_prefix('/') else {
            return Err(bad("does not begin with `/`").hint(format!("write `/{}`: destinations are paths from the root of the image", text::shown(written))));
        };
        let mut components = Vec::new();
        for component in relative.split('/') {
            match component {
                "" | "." => {}
                ".." => return Err(bad("has a `..`").hint("write the path that it stands for")),
                name if name.starts_with(WHITEOUT_PREFIX) => {
                    return Err(bad("has a name that means deletion in a layer").hint("use [[layer.remove]] to delete a path of a lower layer"));
                }
                name => components.push(name),
            }
        }
        Ok(Destination { path: components.join("/").into_bytes(), into: written.ends_with('/') })
    }

    /// `name`, which may have several components, below this path.
    pub fn join(&self, name: &[u8]) -> Vec<u8> {
        join(&self.path, name)
    }
}

/// `name` below `path`, both in the form of entry paths.
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => path.to_vec(),
        _ => [path, b"/", name].concat(),
    }
}

/// The directories above `path`, outermost first, without the root.
pub fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    fn parse(text: &str) -> Result<Destination> {
        Destination::parse(&At::new(text.to_owned(), Place::flag("--copy")))
    }

    #[test]
    fn normalises() {
        assert_eq!(parse("/usr//local/./bin/").expect("valid"), Destination { path: b"usr/local/bin".to_vec(), into: true });
        assert_eq!(parse("/").expect("valid"), Destination { path: Vec::new(), into: true });
        assert_eq!(parents(b"usr/local/bin").collect::<Vec<_>>(), [b"usr" as &[u8], b"usr/local"]);
    }

    #[test]
    fn fields_of_the_platform_stand_in_any_part() {
        let written = |text: &str| At::new(text.to_owned(), Place::line("larder.toml", 1, 6));
        let platform = |text: &str| Platform::parse(text).expect("valid");
        let spec = DestinationSpec::parse_below_root(&written("/usr/lib/{os}-{arch}/{variant}/")).expect("valid");
        assert_eq!(spec.resolve(&platform("linux/arm/v7")).expect("valid").path, b"usr/lib/linux-arm/v7");
        assert_eq!(spec.resolve(&platform("linux/amd64")).expect("valid").path, b"usr/lib/linux-amd64");
        let braces = DestinationSpec::parse(&written("/a{{b}}")).expect("valid");
        assert_eq!(braces.resolve(&platform("linux/amd64")).expect("valid").path, b"a{b}");

        let error = DestinationSpec::parse(&written("usr/{arch}")).expect_err("relative");
        assert_eq!(error.message(), "larder.toml:1:6: destination `usr/{arch}` does not begin with `/`");
        assert!(DestinationSpec::parse(&written("/{arhc}")).is_err());
        let error = DestinationSpec::parse_below_root(&written("/{variant}")).expect("valid").resolve(&platform("linux/amd64")).expect_err("the root");
        assert_eq!(error.message(), "larder.toml:1:6: the root of the image cannot be the destination here");
    }

    #[test]
    fn refuses_what_leaves_the_image_or_deletes() {
        for text in ["usr/bin", "", "../x", "/a/../b", "/..", "/a\0b", "/a/.wh.b", "/.wh..wh..opq"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
