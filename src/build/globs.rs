//! `include` and `exclude`.
//!
//! Patterns are relative to the source directory. `*` and `?` stay within a path component, `**` crosses them. A pattern without a `/`
//! is compared with the last component at any depth; a pattern that matches a directory means all that it contains. `{a,b}` is one of several
//! words; `{os}`, `{arch}` and `{variant}` are those of the platform, as in paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::place::At;
use super::template::Template;
use crate::error::Result;
use crate::spec::{Platform, text};

/// Compiled patterns.
#[derive(Debug)]
pub(super) struct Globs {
    set: GlobSet,
}

impl Globs {
    /// Compiles patterns for a platform; one that cannot be read is a `usage` error. No patterns: none.
    pub(super) fn compile(patterns: &[At<String>], platform: &Platform) -> Result<Option<Self>> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let mut set = GlobSetBuilder::new();
        let mut first = None;
        for pattern in patterns {
            let expanded = expand(pattern, platform)?;
            let written = expanded.trim_start_matches("./").trim_end_matches('/');
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

/// The patterns that differ between platforms, as they are on one.
pub(super) fn varying(patterns: &[At<String>], platform: &Platform) -> Vec<String> {
    let expanded = patterns.iter().filter_map(|pattern| Some((expand(pattern, platform).ok()?, &pattern.value)));
    expanded.filter(|(expanded, written)| expanded != *written).map(|(expanded, _)| expanded).collect()
}

/// Puts in the fields of the platform. One word in braces is nothing that a pattern needs, so it is a field or a mistake.
fn expand(pattern: &At<String>, platform: &Platform) -> Result<String> {
    let mut out = String::new();
    let mut rest = pattern.value.as_str();
    while let Some(at) = rest.find(['{', '\\']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        // What a backslash stands before is itself; what is not closed is left for the matcher to refuse.
        let length = match tail.strip_prefix('\\') {
            Some(escaped) => 1 + escaped.chars().next().map_or(0, char::len_utf8),
            None => tail.find('}').map_or(1, |end| end + 1),
        };
        let (part, after) = tail.split_at(length);
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(field) if !field.contains([',', '{', '*', '?', '[']) => {
                let template = Template::parse(&At::new(part.to_owned(), pattern.place.clone()))?;
                out.push_str(&template.expand(platform));
            }
            _ => out.push_str(part),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    fn arm() -> Platform {
        Platform::parse("linux/arm/v7").expect("valid")
    }

    fn globs(patterns: &[&str]) -> Globs {
        let patterns: Vec<_> = patterns.iter().map(|p| At::new((*p).to_owned(), Place::flag("x"))).collect();
        Globs::compile(&patterns, &arm()).expect("valid").expect("some")
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
    fn braces_hold_alternatives_or_a_field() {
        let set = globs(&["lib-{arch}{variant}/*.{so,a}", "{x,{y,z}}", r"\{arch\}"]);
        for (path, hit) in [("lib-armv7/x.so", true), ("lib-armv7/x.a", true), ("lib-arch/x.so", false), ("z", true), ("{arch}", true), ("arm", false)] {
            assert_eq!(set.covers(path.as_bytes()), hit, "{path}");
        }
        let pattern = |text: &str| [At::new(text.to_owned(), Place::line("larder.toml", 2, 3))];
        let error = Globs::compile(&pattern("{arhc}/*"), &arm()).expect_err("no field");
        assert_eq!(error.message(), "larder.toml:2:3: unknown field `{arhc}`, did you mean {arch}?");
        assert!(Globs::compile(&pattern("{so,a"), &arm()).is_err());
        assert_eq!(varying(&pattern("*.so"), &arm()), Vec::<String>::new());
        assert_eq!(varying(&pattern("{arch}"), &arm()), ["arm"]);
    }

    #[test]
    fn a_broken_pattern_is_a_usage_error() {
        let error = Globs::compile(&[At::new("[a".to_owned(), Place::flag("--exclude"))], &arm()).expect_err("broken");
        assert!(error.message().starts_with("--exclude: pattern `[a`"), "{error}");
    }
}
