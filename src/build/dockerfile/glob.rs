//! Patterns of paths, in the two readings that Dockerfiles have: Go's `filepath.Match` for the sources of a copy, and that of moby's `patternmatcher` for what
//! is ignored and excluded.
//!
//! `*` and `?` stay within a component, `[a-z]` and `[^a-z]` are one character, a backslash takes the meaning away. In the second reading `**` crosses
//! components. All states of a match are followed at once, so no pattern takes longer than its length for each character.

use super::bounds::GLOB_BYTES;

/// How a pattern is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As `filepath.Match` does.
    Sources,
    /// As `patternmatcher` does.
    Ignored,
}

/// A pattern of whole paths.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    parts: Vec<Part>,
    /// What the path may end with, where that is all that the pattern says.
    end: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Is(char),
    /// Any character but a slash.
    Any,
    /// Any number of them.
    Name,
    /// Any text.
    All,
    /// The begin of directories, or nothing: the next part is within them, and the one after it behind them.
    Directories,
    /// Anything up to a slash.
    ToSlash,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// Reads a pattern. The error is one clause.
    pub(super) fn parse(written: &str, reading: Reading) -> Result<Glob, String> {
        if written.len() > GLOB_BYTES {
            return Err(format!("a pattern has {GLOB_BYTES} bytes at most"));
        }
        let mut parts = Vec::new();
        let mut chars = written.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' if reading == Reading::Ignored && chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    match chars.peek() {
                        None => parts.push(Part::All),
                        Some(_) => parts.extend([Part::Directories, Part::ToSlash]),
                    }
                }
                '*' => parts.push(Part::Name),
                '?' => parts.push(Part::Any),
                '[' => parts.push(class(written, &mut chars)?),
                '\\' => parts.push(Part::Is(chars.next().ok_or_else(|| format!("the pattern `{written}` ends with a backslash"))?)),
                c => parts.push(Part::Is(c)),
            }
        }
        // `**name` is what ends so, whatever comes before.
        let end = written.strip_prefix("**").filter(|rest| reading == Reading::Ignored && !is_pattern(rest));
        Ok(Glob { parts, end: end.map(str::to_owned) })
    }

    /// Whether it is the path.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        if let Some(end) = &self.end {
            return path.ends_with(end.as_bytes()) || end.strip_prefix('/').is_some_and(|name| path == name.as_bytes());
        }
        let mut at = vec![false; self.parts.len() + 1];
        at[0] = true;
        self.skip(&mut at);
        for chunk in path.utf8_chunks() {
            let invalid = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
            for c in chunk.valid().chars().chain(invalid) {
                if !at.contains(&true) {
                    return false;
                }
                at = self.step(&at, c);
            }
        }
        at[self.parts.len()]
    }

    fn step(&self, at: &[bool], c: char) -> Vec<bool> {
        let mut next = vec![false; at.len()];
        for (state, part) in self.parts.iter().enumerate().filter(|(state, _)| at[*state]) {
            match part {
                Part::Is(wanted) => next[state + 1] |= *wanted == c,
                Part::Any => next[state + 1] |= c != '/',
                Part::Name => next[state] |= c != '/',
                Part::All => next[state] = true,
                Part::Directories => {}
                Part::ToSlash => {
                    next[state] = true;
                    next[state + 1] |= c == '/';
                }
                Part::Class { negated, ranges } => next[state + 1] |= ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
            }
        }
        self.skip(&mut next);
        next
    }

    /// What may be nothing is passed over.
    fn skip(&self, at: &mut [bool]) {
        for (state, part) in self.parts.iter().enumerate() {
            if at[state] {
                match part {
                    Part::Name | Part::All => at[state + 1] = true,
                    Part::Directories => (at[state + 1], at[state + 2]) = (true, true),
                    _ => {}
                }
            }
        }
    }
}

/// Whether text has anything that makes it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Text that is no pattern but for its backslashes, without them.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// Text as a pattern that means it and nothing else.
#[cfg(feature = "run")]
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_pattern(c.encode_utf8(&mut [0; 4])) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether text has wildcards, so that it may mean several paths.
pub(super) fn has_wildcards(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// What stands between brackets.
fn class(written: &str, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, String> {
    let open = || format!("a bracket is not closed in the pattern `{written}`");
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Ok(Part::Class { negated, ranges });
        }
        let from = member(written, chars)?.ok_or_else(open)?;
        let to = if chars.next_if_eq(&'-').is_some() { member(written, chars)?.ok_or_else(open)? } else { from };
        ranges.push((from, to));
    }
}

fn member(written: &str, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<char>, String> {
    match chars.next() {
        Some('\\') => Ok(chars.next()),
        Some('-' | ']') => Err(format!("a bracket of the pattern `{written}` has a `-` or a `]` where a character is needed")),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(written: &str, reading: Reading, path: &str) -> bool {
        Glob::parse(written, reading).expect("valid").matches(path.as_bytes())
    }

    #[test]
    fn sources_match_as_filepath_match_does() {
        for (written, path, expected) in [
            ("*.go", "a.go", true),
            ("*.go", "d/a.go", false),
            ("*/a?", "d/ab", true),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("a[^b-d]e", "afe", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[]a]", "]", false),
            ("**", "a/b", false),
            ("h?m*", "ham.txt", true),
            ("ä?", "äö", true),
        ] {
            if Glob::parse(written, Reading::Sources).is_err() {
                assert_eq!(written, "[]a]");
                continue;
            }
            assert_eq!(matches(written, Reading::Sources, path), expected, "{written} {path}");
        }
        assert!(Glob::parse("[a", Reading::Sources).is_err() && Glob::parse("a\\", Reading::Sources).is_err() && Glob::parse("[a-", Reading::Sources).is_err());
    }

    #[test]
    fn ignored_paths_match_as_patternmatcher_does() {
        for (written, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir", "dir", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir3/file", true),
            ("**file", "file", true),
            ("**file", "dir/xfile", true),
            ("**/file", "xfile", false),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("a**", "abc/d", true),
            ("a**/*.txt", "a/x/y.txt", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "axb", false),
            ("a[b-d]e", "ace", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcdef", false),
            ("a\\**", "a*b", true),
            ("?", "/", false),
        ] {
            assert_eq!(matches(written, Reading::Ignored, path), expected, "{written} {path}");
        }
    }

    #[test]
    fn wildcards_are_told_from_escaped_characters() {
        assert!(has_wildcards("a*") && has_wildcards("[a]") && !has_wildcards("a\\*\\[") && !has_wildcards("ab"));
        assert_eq!(literal("a\\*\\\\"), "a*\\");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(written in "[\\[\\]^*?\\\\/a-c-]{0,12}", path in ".*") {
            for reading in [Reading::Sources, Reading::Ignored] {
                if let Ok(glob) = Glob::parse(&written, reading) {
                    let _ = glob.matches(path.as_bytes());
                }
            }
        }
    }
}
