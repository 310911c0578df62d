//! `.dockerignore`: what of a context nobody sees.
//!
//! A pattern that matches a directory means all that it contains; `!` takes something back in; the last pattern that says something counts. As moby's
//! `patternmatcher` walks a tree, a pattern that had nothing to say of a directory is asked again only for what is in it, not for the directory.

use std::sync::{Arc, Mutex, PoisonError};

use super::bounds::PATTERNS;
use super::glob::{Glob, Reading};
use crate::build::place::{At, Place};
use crate::error::Result;

/// Patterns of what is left out.
#[derive(Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    /// What the patterns said of the directory that was asked for last: files come one directory after the other.
    last: Mutex<Option<Asked>>,
}

/// A directory, and what the patterns said of it.
#[derive(Debug)]
struct Asked {
    path: Vec<u8>,
    said: Arc<Vec<Said>>,
}

#[derive(Debug)]
struct Pattern {
    glob: Glob,
    verdict: Verdict,
    /// The path that it names, as far as it has no wildcards.
    root: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Out,
    /// With `!` before it.
    In,
}

/// Whether a pattern matched a path or a directory above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Match,
}

impl Ignore {
    /// Reads the text of an ignore file. `name` stands in messages.
    pub fn parse(name: &str, text: &str) -> Result<Ignore> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let written = line.trim();
            if line.starts_with('#') || written.is_empty() {
                continue;
            }
            if patterns.len() == PATTERNS {
                return Err(Place::line(name, number + 1, 1).usage(format!("the file has more than {PATTERNS} patterns")));
            }
            let column = 1 + line.chars().take_while(|c| c.is_whitespace()).count();
            patterns.push(Pattern::read(&At::new(written.to_owned(), Place::line(name, number + 1, column)))?);
        }
        Ok(Ignore { patterns, last: Mutex::default() })
    }

    /// Those of `--exclude`.
    pub fn of(patterns: &[At<String>]) -> Result<Ignore> {
        Ok(Ignore { patterns: patterns.iter().map(Pattern::read).collect::<Result<_>>()?, last: Mutex::default() })
    }

    /// Whether the path is left out.
    pub fn leaves_out(&self, path: &[u8]) -> bool {
        !self.patterns.is_empty() && self.outcome(&self.said(path)) == Verdict::Out
    }

    /// Whether something below a directory that is left out may be in again.
    pub fn may_take_back(&self, directory: &[u8]) -> bool {
        let below = [directory, b"/"].concat();
        let may = |pattern: &Pattern| pattern.root.starts_with(&below) || below.starts_with(&pattern.root);
        self.patterns.iter().any(|pattern| pattern.verdict == Verdict::In && may(pattern))
    }

    fn outcome(&self, said: &[Said]) -> Verdict {
        let mut matching = self.patterns.iter().zip(said).filter(|(_, said)| **said == Said::Match);
        matching.next_back().map_or(Verdict::In, |(pattern, _)| pattern.verdict)
    }

    /// What each pattern says of a path and of those above it.
    fn said(&self, path: &[u8]) -> Vec<Said> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return self.ask(path, None) };
        let parent = &path[..slash];
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref().filter(|last| last.path == parent).map(|last| last.said.clone());
        let above = known.unwrap_or_else(|| {
            let said = Arc::new(self.said(parent));
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Asked { path: parent.to_vec(), said: said.clone() });
            said
        });
        self.ask(path, Some(&above))
    }

    fn ask(&self, path: &[u8], above: Option<&[Said]>) -> Vec<Said> {
        let mut verdict = Verdict::In;
        let mut all = Vec::with_capacity(self.patterns.len());
        for (position, pattern) in self.patterns.iter().enumerate() {
            let inherited = above.map_or(Said::Nothing, |above| above[position]);
            // What would change nothing is not asked.
            let said = match inherited {
                Said::Match => Said::Match,
                Said::Nothing if pattern.verdict != verdict && pattern.glob.matches(path) => Said::Match,
                Said::Nothing => Said::Nothing,
            };
            if said == Said::Match {
                verdict = pattern.verdict;
            }
            all.push(said);
        }
        all
    }
}

impl Pattern {
    fn read(written: &At<String>) -> Result<Pattern> {
        let (text, verdict) = match written.value.strip_prefix('!') {
            Some(text) => (text.trim(), Verdict::In),
            None => (written.value.trim(), Verdict::Out),
        };
        if text.is_empty() {
            return Err(written.place.usage("`!` takes nothing back in").hint("write a pattern behind it"));
        }
        let cleaned = cleaned(text);
        let glob = Glob::parse(&cleaned, Reading::Ignored).map_err(|why| written.place.usage(why))?;
        let root = cleaned.split('/').take_while(|name| !super::glob::is_pattern(name)).collect::<Vec<_>>().join("/").into_bytes();
        Ok(Pattern { glob, verdict, root })
    }
}

/// A path without what changes nothing of it: `.`, doubled slashes, and `..` as far as there is something to go up from.
fn cleaned(text: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            ".." if text.starts_with('/') => {}
            name => names.push(name),
        }
    }
    if names.is_empty() { ".".to_owned() } else { names.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn left_out<'a>(text: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let ignore = Ignore::parse(".dockerignore", text).expect("valid");
        paths.iter().copied().filter(|path| ignore.leaves_out(path.as_bytes())).collect()
    }

    #[test]
    fn the_last_pattern_that_says_something_counts() {
        let paths = ["a", "a/b", "a/b/c", "a.md", "README.md", "d/README.md"];
        assert_eq!(left_out("a\n", &paths), ["a", "a/b", "a/b/c"]);
        assert_eq!(left_out("*.md\n!README.md\n", &paths), ["a.md"]);
        assert_eq!(left_out("*\n!a/b\n", &paths), ["a", "a.md", "README.md", "d/README.md"]);
        assert_eq!(left_out("*\n!a\na/b/c\n", &paths), ["a/b/c", "a.md", "README.md", "d/README.md"]);
        assert_eq!(left_out("**/README.md\n", &paths), ["README.md", "d/README.md"]);
        assert_eq!(left_out("# a\n\n  /a/ \n./d/../a.md\n", &paths), ["a", "a/b", "a/b/c", "a.md"]);
        assert_eq!(left_out("!a\n.\n/\n", &paths), [""; 0]);
        // The directory had nothing to be taken back from.
        assert_eq!(left_out("a/b\n!a\n", &paths), ["a/b", "a/b/c"]);
        assert_eq!(left_out("\u{feff}a\r\n", &paths), ["a", "a/b", "a/b/c"]);
    }

    #[test]
    fn directories_are_looked_into_where_something_may_be_taken_back() {
        let may = |text: &str, directory: &str| Ignore::parse("x", text).expect("valid").may_take_back(directory.as_bytes());
        assert!(may("*\n!a/b/c", "a") && may("*\n!a/b/c", "a/b") && !may("*\n!a/b/c", "d"));
        assert!(may("*\n!**/x", "d") && may("*\n!a/*/x", "a/y") && !may("*\n!a/*/x", "b") && !may("*", "a"));
    }

    #[test]
    fn bad_patterns_are_one_error_with_a_place() {
        let message = |text: &str| Ignore::parse(".dockerignore", text).expect_err(text).message().to_owned();
        assert_eq!(message("a\n  [b\n"), ".dockerignore:2:3: a bracket is not closed in the pattern `[b`");
        assert_eq!(message("!\n"), ".dockerignore:1:1: `!` takes nothing back in");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[!*/a-c.\n\\[\\] ]{0,24}", path in "[a-c/.]{0,12}") {
            if let Ok(ignore) = Ignore::parse("x", &text) {
                let _ = (ignore.leaves_out(path.as_bytes()), ignore.may_take_back(path.as_bytes()));
            }
        }
    }
}
