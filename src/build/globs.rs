//! `include` and `exclude`.
//!
//! Patterns are relative to the source directory. `*` and `?` stay within a path component, `**` crosses them. A pattern without a `/`
//! is compared with the last component at any depth; a pattern that matches a directory means all that it contains.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::place::At;
use crate::error::Result;
use crate::spec::text;

/// Compiled patterns.
#[derive(Debug)]
pub(super) struct Globs {
    set: GlobSet,
}

impl Globs {
    /// Compiles patterns; one that cannot be read is a `usage` error. No patterns: none.
    pub(super) fn compile(patterns: &[At<String>]) -> Result<Option<Self>> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let mut set = GlobSetBuilder::new();
        let mut first = None;
        for pattern in patterns {
            let written = pattern.value.trim_start_matches("./").trim_end_matches('/');
            let anchored = if written.contains('/') { written.trim_start_matches('/').to_owned() } else { format!("**/{written}") };
            let glob = GlobBuilder::new(&anchored).literal_separator(true).backslash_escape(true).build();
            set.add(glob.map_err(|error| pattern.place.usage(format!("pattern `{}`: {}", text::shown(&pattern.value), error.kind())))?);
            first.get_or_insert(&pattern.place);
        }
        let set = set.build().map_err(|error| match first {
            Some(place) => place.usage(format!("these patterns are too large: {error}")),
            None => crate::Error::usage(error.to_string()),
        })?;
        Ok(Some(Globs { set }))
    }

    /// Whether the path itself matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.set.is_match(Path::new(OsStr::from_bytes(path)))
    }

    /// Whether the path or a directory above it matches.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        self.matches(path) || super::destination::parents(path).any(|parent| self.matches(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    fn globs(patterns: &[&str]) -> Globs {
        let patterns: Vec<_> = patterns.iter().map(|p| At::new((*p).to_owned(), Place::flag("x"))).collect();
        Globs::compile(&patterns).expect("valid").expect("some")
    }

    #[test]
    fn without_a_slash_any_depth_with_one_anchored() {
        let set = globs(&["*.map", "lib/*.so", "docs/"]);
        for (path, hit) in [("a.map", true), ("x/y/a.map", true), ("lib/a.so", true), ("x/lib/a.so", false), ("lib/x/a.so", false), ("docs/a/b", true)] {
            assert_eq!(set.covers(path.as_bytes()), hit, "{path}");
        }
        assert!(globs(&["**"]).covers(b"a/b/c"));
    }

    #[test]
    fn a_broken_pattern_is_a_usage_error() {
        let error = Globs::compile(&[At::new("[a".to_owned(), Place::flag("--exclude"))]).expect_err("broken");
        assert!(error.message().starts_with("--exclude: pattern `[a`"), "{error}");
    }
}
