//! Where things go inside the image.

use super::place::At;
use crate::error::Result;
use crate::spec::text;

/// A path inside the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// In the form of [`Entry::path`](crate::layer::Entry::path); empty for the root.
    pub path: Vec<u8>,
    /// It was written with a `/` at the end: a directory to put things into.
    pub into: bool,
}

/// Names that begin so mean deletion in a layer; image-spec, layer.md "Whiteouts".
const WHITEOUT_PREFIX: &str = ".wh.";

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

    /// Reads a destination that must not be the root.
    pub fn parse_below_root(source: &At<String>) -> Result<Self> {
        let destination = Self::parse(source)?;
        if destination.path.is_empty() {
            return Err(source.place.usage("the root of the image cannot be the destination here"));
        }
        Ok(destination)
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
    fn refuses_what_leaves_the_image_or_deletes() {
        for text in ["usr/bin", "", "../x", "/a/../b", "/..", "/a\0b", "/a/.wh.b", "/.wh..wh..opq"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
