//! Globs for names of repositories and tags: `*` and `?` stay within what stands between two slashes, `**` crosses them, `[a-z]` is one of several characters
//! and `{a,b}` one of several words.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::Result;
use crate::spec::text;
use crate::specfile::At;

/// Compiled globs.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    written: Vec<At<String>>,
    set: GlobSet,
}

impl Globs {
    /// Compiles globs; one that cannot be read is of kind `usage`.
    pub fn compile(written: Vec<At<String>>) -> Result<Globs> {
        let mut set = GlobSetBuilder::new();
        for glob in &written {
            let compiled = GlobBuilder::new(&glob.value).literal_separator(true).backslash_escape(true).build();
            set.add(compiled.map_err(|error| glob.place.usage(format!("`{}` is not a pattern: {}", text::shown(&glob.value), error.kind())))?);
        }
        let set = set.build().map_err(|error| match written.first() {
            Some(first) => first.place.usage(format!("these patterns are too large: {error}")),
            None => crate::Error::usage(error.to_string()),
        })?;
        Ok(Globs { written, set })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Whether one of them is for this name.
    pub fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }

    /// The names, where all of them are whole names and no patterns.
    pub fn names(&self) -> Option<&[At<String>]> {
        let is_name = |glob: &At<String>| !glob.value.contains(['*', '?', '[', ']', '{', '}', '\\', '!']);
        (!self.is_empty() && self.written.iter().all(is_name)).then_some(&self.written)
    }

    /// The globs as they were written.
    pub fn written(&self) -> &[At<String>] {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specfile::Place;

    fn globs(written: &[&str]) -> Result<Globs> {
        Globs::compile(written.iter().map(|glob| At::new((*glob).to_owned(), Place::line("sync.toml", 3, 9))).collect())
    }

    #[test]
    fn stars_stay_between_slashes_and_two_of_them_do_not() {
        let globs = globs(&["team/*", "base/**", "v[0-9]?", "{a,b}-c"]).expect("valid");
        for (name, hit) in [
            ("team/hello", true),
            ("team/a/b", false),
            ("other/team/a", false),
            ("base/a/b", true),
            ("v1x", true),
            ("vax", false),
            ("b-c", true),
            ("c-c", false),
        ] {
            assert_eq!(globs.matches(name), hit, "{name}");
        }
    }

    #[test]
    fn whole_names_are_known_as_such() {
        assert_eq!(globs(&["a", "b/c"]).expect("valid").names().map(<[_]>::len), Some(2));
        assert!(globs(&["a", "b/*"]).expect("valid").names().is_none() && Globs::default().names().is_none());
    }

    #[test]
    fn a_broken_glob_is_told_where_it_stands() {
        let error = globs(&["a", "[b"]).expect_err("broken");
        assert!(error.message().starts_with("sync.toml:3:9: `[b` is not a pattern"), "{error}");
    }
}
