//! The patterns of `${NAME#pattern}` and its like: `*` is any text, `?` any character, and a backslash takes their meaning away.

use std::ops::Range;

use super::expand::bounded;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

/// Which of several matches counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Shortest,
    Longest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Text,
    Any,
    Is(char),
}

impl Pattern {
    /// Reads a pattern. The error is one clause.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut chars = written.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' => Part::Text,
                '?' => Part::Any,
                // Those of `}` and `/` end nothing any more.
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Part::Is(c),
                    _ => return Err(format!("the pattern `{written}` escapes what needs no escape")),
                },
                c => Part::Is(c),
            });
        }
        Ok(Pattern(parts))
    }

    /// What is left without the shortest or the longest beginning that matches.
    pub(super) fn prefix(&self, text: &str, wanted: Match) -> Range<usize> {
        let begin = ends(&self.0, text.char_indices().map(|(at, c)| (at + c.len_utf8(), c)), 0, wanted).or(0);
        begin..text.len()
    }

    /// What is left without the shortest or the longest end that matches.
    pub(super) fn suffix(&self, text: &str, wanted: Match) -> Range<usize> {
        let backwards: Vec<Part> = self.0.iter().rev().copied().collect();
        let end = ends(&backwards, text.char_indices().rev(), text.len(), wanted).or(text.len());
        0..end
    }

    /// The text with `replacement` in the place of the first, longest match.
    pub(super) fn replace_first(&self, text: &str, replacement: &str) -> String {
        match self.find(text, 0) {
            Some(found) => [&text[..found.start], replacement, &text[found.end..]].concat(),
            None => text.to_owned(),
        }
    }

    /// The text with `replacement` in the place of every match.
    pub(super) fn replace_all(&self, text: &str, replacement: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut at = 0;
        while let Some(found) = self.find(text, at) {
            out.push_str(&text[at..found.start]);
            out.push_str(replacement);
            bounded(&out)?;
            at = found.end;
            if found.is_empty() {
                // A match of nothing moves on by a character.
                let Some(c) = text[at..].chars().next() else { return Ok(out) };
                out.push(c);
                at += c.len_utf8();
            }
        }
        out.push_str(&text[at..]);
        Ok(out)
    }

    /// The first match from `begin` on, the longest of those that begin there.
    fn find(&self, text: &str, begin: usize) -> Option<Range<usize>> {
        let starts = text[begin..].char_indices().map(|(at, _)| begin + at).chain([text.len()]);
        for start in starts {
            let rest = text[start..].char_indices().map(|(at, c)| (start + at + c.len_utf8(), c));
            match ends(&self.0, rest, start, Match::Longest) {
                Ends::At(end) => return Some(start..end),
                Ends::Nowhere => {}
                // What it looked for behind any text is nowhere behind this place, and a later one has less behind it.
                Ends::NeverAgain => return None,
            }
        }
        None
    }
}

/// Where a match ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    At(usize),
    Nowhere,
    /// Nowhere, and no match begins further on either.
    NeverAgain,
}

impl Ends {
    fn or(self, otherwise: usize) -> usize {
        if let Ends::At(end) = self { end } else { otherwise }
    }
}

/// Where the shortest or the longest match ends that begins before the first character. Each character comes with the place behind it; `begin` is the place
/// before the first.
fn ends(parts: &[Part], text: impl Iterator<Item = (usize, char)>, begin: usize, wanted: Match) -> Ends {
    // Which parts are done: all states of the match at once, so that no pattern takes more than its length for a character.
    let mut at = vec![false; parts.len() + 1];
    at[0] = true;
    skip_texts(parts, &mut at);
    let mut found = at[parts.len()].then_some(begin);
    let any_text = parts.iter().position(|part| *part == Part::Text);
    let mut reached = any_text == Some(0);
    for (behind, c) in text {
        if found.is_some() && wanted == Match::Shortest || !at.contains(&true) {
            break;
        }
        let mut next = vec![false; parts.len() + 1];
        for (state, part) in parts.iter().enumerate().filter(|(state, _)| at[*state]) {
            match part {
                Part::Text => next[state] = true,
                Part::Any => next[state + 1] = true,
                Part::Is(this) if *this == c => next[state + 1] = true,
                Part::Is(_) => {}
            }
        }
        at = next;
        skip_texts(parts, &mut at);
        if at[parts.len()] {
            found = Some(behind);
        }
        reached |= any_text.is_some_and(|state| at[state]);
    }
    match found {
        Some(end) => Ends::At(end),
        None if reached => Ends::NeverAgain,
        None => Ends::Nowhere,
    }
}

/// Any text may be none.
fn skip_texts(parts: &[Part], at: &mut [bool]) {
    for (state, part) in parts.iter().enumerate() {
        if at[state] && *part == Part::Text {
            at[state + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("valid")
    }

    #[test]
    fn ends_are_cut_at_the_shortest_or_the_longest_match() {
        let cut = |text: &str, written: &str| {
            let pattern = pattern(written);
            let (shortest, longest) = (Match::Shortest, Match::Longest);
            let left = [pattern.prefix(text, shortest), pattern.prefix(text, longest), pattern.suffix(text, shortest), pattern.suffix(text, longest)];
            left.map(|range| text[range].to_owned())
        };
        assert_eq!(cut("a.tar.gz", "*."), ["tar.gz", "gz", "a.tar.gz", "a.tar.gz"]);
        assert_eq!(cut("a.tar.gz", ".*"), ["a.tar.gz", "a.tar.gz", "a.tar", "a"]);
        assert_eq!(cut("äöü", "?"), ["öü", "öü", "äö", "äö"]);
        assert_eq!(cut("abc", ""), ["abc"; 4]);
        assert_eq!(cut("abc", "*"), ["abc", "", "abc", ""]);
        assert_eq!(cut("a*b", "a\\*"), ["b", "b", "a*b", "a*b"]);
    }

    #[test]
    fn matches_are_replaced_once_or_everywhere() {
        assert_eq!(pattern("a*b").replace_first("xaXbYbz", "-"), "x-z");
        assert_eq!(pattern("/?/").replace_all("/a/b/c/", "/").expect("short"), "/b/");
        assert_eq!(pattern("").replace_all("ab", "-").expect("short"), "-a-b-");
        assert_eq!(pattern("x").replace_all("ab", "-").expect("short"), "ab");
        assert!(Pattern::parse("\\").is_err() && Pattern::parse("\\a").is_err());
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let text = "a".repeat(20_000);
        let begin = std::time::Instant::now();
        assert_eq!(pattern(&"*a".repeat(30)).prefix(&text, Match::Longest), 20_000..20_000);
        assert_eq!(pattern(&("*a".repeat(30) + "b")).prefix(&text, Match::Longest), 0..20_000);
        for written in ["*b", "a*b", "a?*b", "??b", "*a*b*c"] {
            assert_eq!(pattern(written).replace_all(&text, "-").expect("short"), text, "{written}");
            assert_eq!(pattern(written).replace_first(&text, "-"), text, "{written}");
        }
        assert_eq!(pattern("a*b").replace_all("xxaaxb-ab", ".").expect("short"), "xx.");
        assert!(pattern("a").replace_all(&text, &text).is_err());
        assert!(begin.elapsed().as_secs() < 10);
    }

    proptest! {
        #[test]
        fn what_is_cut_is_never_in_the_middle_of_a_character(text in ".*", written in "[ab*?ä]*") {
            let pattern = pattern(&written);
            for wanted in [Match::Shortest, Match::Longest] {
                let _ = &text[pattern.prefix(&text, wanted)];
                let _ = &text[pattern.suffix(&text, wanted)];
            }
            let _ = pattern.replace_all(&text, "-");
        }
    }
}
