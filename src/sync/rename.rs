//! Renaming by patterns: `team/*` to `mirror/*`.
//!
//! Both sides have the same stars in the same order, and what a star stands for on the left stands in its place on the right. `*` is any text without a slash,
//! `**` any text. Where a name fits in several ways, stars on the left take as much as they can.

use regex_lite::Regex;

use crate::error::Result;
use crate::spec::text;
use crate::specfile::At;

/// One renaming.
#[derive(Clone, Debug)]
pub struct Rename {
    from: Pattern,
    to: Pattern,
}

/// A pattern in parts: text, and the stars between.
#[derive(Clone, Debug)]
struct Pattern {
    /// One more than stars.
    texts: Vec<String>,
    stars: Vec<Star>,
    matcher: Regex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Star {
    /// Within a component.
    One,
    /// Across components.
    Two,
}

impl Rename {
    /// Compiles a renaming. Fails with kind `usage`, where it stands, if the two sides do not have the same stars.
    pub fn compile(from: &At<String>, to: &At<String>) -> Result<Rename> {
        let rename = Rename { from: Pattern::compile(from)?, to: Pattern::compile(to)? };
        if rename.from.stars != rename.to.stars {
            let message = format!("`{}` and `{}` do not have the same stars", text::shown(&from.value), text::shown(&to.value));
            return Err(to
                .place
                .usage(message)
                .hint("what a star stands for on the left comes to the same star on the right, such as \"team/*\" = \"mirror/*\""));
        }
        Ok(rename)
    }

    /// The new name; none where the old one is not meant.
    pub fn apply(&self, name: &str) -> Option<String> {
        Some(self.to.fill(&self.from.captures(name)?))
    }

    /// A name that becomes this one; none where there is none that is certain to.
    pub fn invert(&self, name: &str) -> Option<String> {
        let old = self.from.fill(&self.to.captures(name)?);
        // Two stars side by side can be filled in many ways.
        (self.apply(&old).as_deref() == Some(name)).then_some(old)
    }
}

impl Pattern {
    fn compile(written: &At<String>) -> Result<Pattern> {
        let (mut texts, mut stars) = (vec![String::new()], Vec::new());
        let mut rest = written.value.as_str();
        while let Some(at) = rest.find('*') {
            let (before, tail) = rest.split_at(at);
            if let Some(text) = texts.last_mut() {
                text.push_str(before);
            }
            let (star, length) = if tail.starts_with("**") { (Star::Two, 2) } else { (Star::One, 1) };
            stars.push(star);
            texts.push(String::new());
            rest = &tail[length..];
        }
        if let Some(text) = texts.last_mut() {
            text.push_str(rest);
        }
        let mut expression = format!("^{}", regex_lite::escape(&texts[0]));
        for (star, text) in stars.iter().zip(&texts[1..]) {
            expression.push_str(match star {
                Star::One => "([^/]*)",
                Star::Two => "(.*)",
            });
            expression.push_str(&regex_lite::escape(text));
        }
        expression.push('$');
        let matcher = Regex::new(&expression).map_err(|error| written.place.usage(format!("`{}` is not a pattern: {error}", text::shown(&written.value))))?;
        Ok(Pattern { texts, stars, matcher })
    }

    /// What the stars stand for.
    fn captures<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        let captures = self.matcher.captures(name)?;
        Some(captures.iter().skip(1).map(|part| part.map_or("", |part| part.as_str())).collect())
    }

    fn fill(&self, parts: &[&str]) -> String {
        let mut name = self.texts[0].clone();
        for (part, text) in parts.iter().zip(&self.texts[1..]) {
            name.push_str(part);
            name.push_str(text);
        }
        name
    }
}

/// Renamings of which the first counts that is for a name. Without any, names stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Renames(Vec<Rename>);

impl Renames {
    /// These, in this order.
    pub fn new(renames: Vec<Rename>) -> Self {
        Renames(renames)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The new name; none where no renaming is for the old one.
    pub fn apply(&self, name: &str) -> Option<String> {
        if self.is_empty() {
            return Some(name.to_owned());
        }
        self.apply_to_one_of(&[name])
    }

    /// The new name of something that has several; none where no renaming is for any of them.
    pub fn apply_to_one_of(&self, names: &[&str]) -> Option<String> {
        self.0.iter().find_map(|rename| names.iter().find_map(|name| rename.apply(name)))
    }

    /// A name that becomes this one; none where there is none that is certain to.
    pub fn invert(&self, name: &str) -> Option<String> {
        if self.is_empty() {
            return Some(name.to_owned());
        }
        let mut old = self.0.iter().filter_map(|rename| rename.invert(name));
        // An earlier renaming may be for the same name.
        old.find(|old| self.apply(old).as_deref() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::specfile::Place;

    fn at(text: &str) -> At<String> {
        At::new(text.to_owned(), Place::line("sync.toml", 5, 7))
    }

    fn renames(pairs: &[(&str, &str)]) -> Renames {
        Renames::new(pairs.iter().map(|(from, to)| Rename::compile(&at(from), &at(to)).expect("valid")).collect())
    }

    #[test]
    fn what_a_star_stands_for_moves_along() {
        for (from, to, name, new) in [
            ("team/*", "mirror/*", "team/hello", Some("mirror/hello")),
            ("team/*", "mirror/*", "team/a/b", None),
            ("team/**", "mirror/team-**", "team/a/b", Some("mirror/team-a/b")),
            ("*/*", "*/x/*", "a/b", Some("a/x/b")),
            ("v*", "*", "v1.4", Some("1.4")),
            ("v*", "*", "1.4", None),
            ("*", "*-mirror", "a.b+c", Some("a.b+c-mirror")),
            ("hello", "greeter", "hello", Some("greeter")),
            ("hello", "greeter", "hello2", None),
        ] {
            assert_eq!(renames(&[(from, to)]).apply(name).as_deref(), new, "{from} {to} {name}");
        }
    }

    #[test]
    fn the_first_renaming_that_is_for_a_name_counts() {
        let all = renames(&[("team/hello", "special"), ("team/*", "mirror/*"), ("**", "other/**")]);
        assert_eq!(["team/hello", "team/x", "x/y/z"].map(|name| all.apply(name).expect("one")), ["special", "mirror/x", "other/x/y/z"]);
        assert_eq!(all.invert("special").as_deref(), Some("team/hello"));
        assert_eq!(all.invert("mirror/hello"), None, "that name goes elsewhere");
        assert_eq!(all.invert("mirror/x").as_deref(), Some("team/x"));
        assert_eq!(Renames::default().apply("a").as_deref(), Some("a"));
    }

    #[test]
    fn sides_with_other_stars_are_refused() {
        for (from, to) in [("team/*", "mirror"), ("team/**", "mirror/*"), ("a", "*"), ("*/**", "**/*")] {
            let error = Rename::compile(&at(from), &at(to)).expect_err("other stars");
            assert!(error.message().starts_with("sync.toml:5:7: "), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_is_inverted_becomes_the_same_again(
            from in "[ab/]{0,3}(\\*{1,2}[ab/]{0,3}){0,2}",
            texts in prop::collection::vec("[cd/]{0,3}", 3),
            name in "[abcd/]{0,8}",
        ) {
            // The right side with the stars of the left.
            let mut to = texts[0].clone();
            let pattern = Pattern::compile(&at(&from)).expect("a pattern");
            for (star, text) in pattern.stars.iter().zip(&texts[1..]) {
                to.push_str(match star { Star::One => "*", Star::Two => "**" });
                to.push_str(text);
            }
            let Ok(rename) = Rename::compile(&at(&from), &at(&to)) else { return Ok(()) };
            if let Some(old) = rename.invert(&name) {
                prop_assert_eq!(rename.apply(&old), Some(name.clone()));
            }
            if let Some(new) = rename.apply(&name) && texts.iter().take(pattern.stars.len()).skip(1).all(|text| text.contains('/')) && !from.contains("**") {
                // A slash between two stars leaves no choice.
                prop_assert_eq!(rename.invert(&new).and_then(|old| rename.apply(&old)), Some(new));
            }
        }
    }
}
