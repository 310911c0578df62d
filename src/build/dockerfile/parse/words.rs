//! The words of an instruction: its flags, and its arguments with their quotes.

use std::ops::Range;

use super::line::Span;
use crate::build::place::At;

/// Takes the words that begin with `--` off the front. Quotes and escapes in them mean what they mean in a shell; `--` alone ends them.
pub(super) fn flags<'a>(arguments: Span<'a>) -> (Vec<At<String>>, Span<'a>) {
    let text = arguments.text();
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (flags, arguments.from(at));
        }
        let begin = at;
        let word = unquoted(text, &mut at);
        if word == "--" {
            return (flags, arguments.from(at));
        }
        flags.push(At::new(word, arguments.from(begin).place()));
    }
}

/// One word without its quotes. `at` moves behind it.
fn unquoted(text: &str, at: &mut usize) -> String {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text[*at..].char_indices();
    let begin = *at;
    *at = text.len();
    while let Some((offset, c)) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                *at = begin + offset;
                return word;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            // Here it is always the backslash, whatever escapes elsewhere.
            (_, '\\') => word.extend(chars.next().map(|(_, c)| c)),
            (_, c) => word.push(c),
        }
    }
    word
}

/// Words with their quotes and escapes as they are written. What is quoted is one word.
pub(super) fn quoted<'a>(arguments: Span<'a>, escape: char) -> Vec<(String, Span<'a>)> {
    let text = arguments.text();
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if at == text.len() {
            return words;
        }
        let range = quoted_word(text, at, escape);
        at = range.end;
        let mut word = text[range.clone()].to_owned();
        // Alone at the end it escapes nothing.
        if at == text.len() && ends_open(&word, escape) {
            word.truncate(word.len() - escape.len_utf8());
        }
        if !word.is_empty() {
            words.push((word, arguments.part(range)));
        }
    }
}

fn quoted_word(text: &str, begin: usize, escape: char) -> Range<usize> {
    let mut quote = None;
    let mut chars = text[begin..].char_indices();
    while let Some((offset, c)) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => return begin..begin + offset,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None | Some('"'), c) if c == escape => drop(chars.next()),
            _ => {}
        }
    }
    begin..text.len()
}

/// Whether the last character is an escape that nothing follows.
fn ends_open(word: &str, escape: char) -> bool {
    let mut chars = word.chars();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), c) if c == escape => match chars.next() {
                Some(_) => {}
                None => return true,
            },
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;

    #[test]
    fn flags_come_first_and_lose_their_quotes() {
        let line = Line::alone("x", "--a=b  --c='d e' --f=\"g\\\"h\" -- --i j");
        let (found, rest) = flags(line.whole());
        assert_eq!(found.iter().map(|flag| flag.value.as_str()).collect::<Vec<_>>(), ["--a=b", "--c=d e", "--f=g\"h"]);
        assert_eq!((found[1].place.to_string(), rest.trim().text()), ("x:1:8".to_owned(), "--i j"));
        let line = Line::alone("x", "a --b");
        assert_eq!(flags(line.whole()).1.text(), "a --b");
        let line = Line::alone("x", "--a");
        assert!(flags(line.whole()).1.is_empty());
        let line = Line::alone("x", "--a=\\");
        assert_eq!(flags(line.whole()).0[0].value, "--a=");
    }

    #[test]
    fn quoted_words_stay_as_they_are_written() {
        let words = |text: &str| {
            let line = Line::alone("x", text);
            quoted(line.whole(), '\\').into_iter().map(|(word, _)| word).collect::<Vec<_>>()
        };
        assert_eq!(words("a='b c' d=\"e\\\" f\" g=h\\ i"), ["a='b c'", "d=\"e\\\" f\"", "g=h\\ i"]);
        assert_eq!(words("a=b\\"), ["a=b"]);
        assert_eq!(words("a='b\\' c"), ["a='b\\'", "c"]);
        assert_eq!(words("  "), [""; 0]);
        assert_eq!(words("'a b"), ["'a b"]);
        assert_eq!(words("ä=ö ü"), ["ä=ö", "ü"]);
    }
}
