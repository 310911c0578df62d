//! Which tags of a repository are meant.
//!
//! A tag must pass every kind of test that there is: one of the globs, one of the regular expressions, one of the ranges of versions, and none of the
//! exceptions. Of those that pass, the newest may be taken only; see [`super::version`] for what is newer.

use std::num::NonZeroUsize;

use regex_lite::Regex;
use semver::VersionReq;

use crate::error::Result;
use crate::spec::text;
use crate::specfile::At;

use super::glob::Globs;
use super::version;

/// What is asked of tags, as it was written. Nothing is asked where all of it is empty.
#[derive(Clone, Debug, Default)]
pub struct TagSpec {
    /// Globs. Whole names among them must exist.
    pub globs: Vec<At<String>>,
    /// Regular expressions for the whole tag.
    pub regexes: Vec<At<String>>,
    /// Ranges of versions, such as `>=1.4, <2`.
    pub versions: Vec<At<String>>,
    /// Globs of tags that are not meant.
    pub except: Vec<At<String>>,
    /// How many are taken, the newest first.
    pub newest: Option<NonZeroUsize>,
}

/// Chooses tags.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    globs: Globs,
    regexes: Vec<Regex>,
    versions: Vec<VersionReq>,
    except: Globs,
    newest: Option<NonZeroUsize>,
}

impl Tags {
    /// Compiles what is asked. Fails with kind `usage`, where it stands.
    pub fn compile(spec: TagSpec) -> Result<Tags> {
        let regexes = spec.regexes.iter().map(|written| {
            // The group keeps alternatives together; alone, an expression must be one too.
            let whole = Regex::new(&written.value).and_then(|_| Regex::new(&format!("^(?:{})$", written.value)));
            whole.map_err(|error| written.place.usage(format!("`{}` is not a regular expression: {error}", text::shown(&written.value))))
        });
        let versions = spec.versions.iter().map(|written| {
            VersionReq::parse(&written.value).map_err(|error| {
                let message = format!("`{}` is not a range of versions: {error}", text::shown(&written.value));
                written.place.usage(message).hint("write it such as \">=1.4, <2\" or \"1.4.*\"")
            })
        });
        Ok(Tags {
            regexes: regexes.collect::<Result<_>>()?,
            versions: versions.collect::<Result<_>>()?,
            globs: Globs::compile(spec.globs)?,
            except: Globs::compile(spec.except)?,
            newest: spec.newest,
        })
    }

    /// Whether every tag is meant.
    pub fn is_all(&self) -> bool {
        self.globs.is_empty() && self.regexes.is_empty() && self.versions.is_empty() && self.except.is_empty() && self.newest.is_none()
    }

    /// The tags, where they are written out, so that nobody needs to be asked which there are. Each must exist.
    pub fn names(&self) -> Option<&[At<String>]> {
        let only_names = self.regexes.is_empty() && self.versions.is_empty() && self.except.is_empty() && self.newest.is_none();
        self.globs.names().filter(|_| only_names)
    }

    /// Whether a tag passes, were it the only one.
    pub fn matches(&self, tag: &str) -> bool {
        (self.globs.is_empty() || self.globs.matches(tag))
            && (self.regexes.is_empty() || self.regexes.iter().any(|regex| regex.is_match(tag)))
            && (self.versions.is_empty() || version::semantic(tag).is_some_and(|version| self.versions.iter().any(|range| range.matches(&version))))
            && !self.except.matches(tag)
    }

    /// Those of `tags` that are meant, the older before the newer, each once.
    pub fn choose(&self, tags: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut chosen: Vec<String> = tags.into_iter().filter(|tag| self.matches(tag)).collect();
        chosen.sort_by(|a, b| version::compare(a, b));
        chosen.dedup();
        if let Some(newest) = self.newest {
            chosen.drain(..chosen.len().saturating_sub(newest.get()));
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::specfile::Place;

    fn at(written: &[&str]) -> Vec<At<String>> {
        written.iter().map(|text| At::new((*text).to_owned(), Place::flag(format!("--tag-glob {text}")))).collect()
    }

    fn chosen(spec: TagSpec) -> String {
        let tags = ["latest", "1.9.0", "1.10.0", "v1.4.2", "1.4.2-rc1", "2.0.0", "nightly", "1.9.0"];
        Tags::compile(spec).expect("valid").choose(tags.map(str::to_owned)).join(" ")
    }

    #[test]
    fn every_kind_of_test_must_be_passed() {
        let spec = TagSpec::default;
        assert_eq!(chosen(spec()), "latest nightly 1.4.2-rc1 v1.4.2 1.9.0 1.10.0 2.0.0");
        assert_eq!(chosen(TagSpec { globs: at(&["1.*", "latest"]), ..spec() }), "latest 1.4.2-rc1 1.9.0 1.10.0");
        assert_eq!(chosen(TagSpec { regexes: at(&[r"\d+\.\d+\.0", "night"]), ..spec() }), "1.9.0 1.10.0 2.0.0", "an expression is for the whole tag");
        assert_eq!(chosen(TagSpec { regexes: at(&["latest|1.9.0"]), ..spec() }), "latest 1.9.0");
        assert_eq!(chosen(TagSpec { versions: at(&[">=1.4, <2"]), ..spec() }), "v1.4.2 1.9.0 1.10.0");
        assert_eq!(chosen(TagSpec { globs: at(&["1.*"]), versions: at(&[">=1.5"]), ..spec() }), "1.9.0 1.10.0");
        assert_eq!(chosen(TagSpec { except: at(&["*-rc*", "[a-z]*"]), ..spec() }), "1.9.0 1.10.0 2.0.0");
    }

    #[test]
    fn the_newest_are_those_of_the_rest() {
        let newest = NonZeroUsize::new(2);
        assert_eq!(chosen(TagSpec { newest, ..TagSpec::default() }), "1.10.0 2.0.0");
        assert_eq!(chosen(TagSpec { versions: at(&["<2"]), newest, ..TagSpec::default() }), "1.9.0 1.10.0");
        assert_eq!(chosen(TagSpec { globs: at(&["n*"]), newest, ..TagSpec::default() }), "nightly");
    }

    #[test]
    fn written_out_tags_need_no_list() {
        let tags = Tags::compile(TagSpec { globs: at(&["1.4.2", "latest"]), ..TagSpec::default() }).expect("valid");
        assert_eq!(tags.names().map(<[_]>::len), Some(2));
        let tags = Tags::compile(TagSpec { globs: at(&["1.4.2"]), newest: NonZeroUsize::new(1), ..TagSpec::default() }).expect("valid");
        assert!(tags.names().is_none());
        assert!(Tags::default().is_all() && !tags.is_all() && Tags::default().names().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_told_where_it_stands() {
        for spec in [
            TagSpec { globs: at(&["[a"]), ..TagSpec::default() },
            TagSpec { regexes: at(&["(a"]), ..TagSpec::default() },
            TagSpec { regexes: at(&["a)|(b"]), ..TagSpec::default() },
            TagSpec { versions: at(&["1.x.y.z"]), ..TagSpec::default() },
        ] {
            let error = Tags::compile(spec).expect_err("broken");
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().starts_with("--tag-glob "), "{error}");
        }
    }
}
