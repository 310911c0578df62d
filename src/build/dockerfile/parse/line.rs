//! From the lines of a file to logical lines: one for each instruction, with comments left out and continuations joined.
//!
//! A logical line knows where each piece of its text stands in the file, so that whatever is found in it can be pointed to.

use std::ops::Range;
use std::sync::Arc;

use crate::build::place::{At, Place};

/// A logical line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    file: Arc<str>,
    /// The instruction with its arguments, without line ends.
    pub(super) text: String,
    /// Where the pieces of the text stand, in order.
    marks: Vec<Mark>,
    /// The lines of the file that it takes, counted from 1; those of here-documents not among them.
    pub(super) lines: Range<usize>,
    /// Whether an empty line stands between its continuations.
    pub(super) gap: Option<usize>,
}

/// The text from `offset` on stands at `line` and `column` of the file.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: usize,
    line: usize,
    column: usize,
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) line: &'a Line,
    begin: usize,
    end: usize,
}

impl Line {
    /// All of it.
    pub(super) fn whole(&self) -> Span<'_> {
        Span { line: self, begin: 0, end: self.text.len() }
    }

    /// Where the byte at `offset` stands.
    pub(super) fn place(&self, offset: usize) -> Place {
        let behind = self.marks.partition_point(|mark| mark.offset <= offset);
        let Some(mark) = self.marks.get(behind.saturating_sub(1)) else { return Place::line(&self.file, self.lines.start, 1) };
        let end = self.text.floor_char_boundary(offset);
        let before = self.text.get(mark.offset..end).unwrap_or_default();
        Place::line(&self.file, mark.line, mark.column + before.chars().count())
    }

    fn push(&mut self, piece: &str, line: usize, column: usize) {
        self.marks.push(Mark { offset: self.text.len(), line, column });
        self.text.push_str(piece);
    }
}

impl<'a> Span<'a> {
    pub(super) fn text(self) -> &'a str {
        &self.line.text[self.begin..self.end]
    }

    pub(super) fn place(self) -> Place {
        self.line.place(self.begin)
    }

    /// The text and its place.
    pub(super) fn at(self) -> At<String> {
        At::new(self.text().to_owned(), self.place())
    }

    pub(super) fn is_empty(self) -> bool {
        self.begin == self.end
    }

    /// A part of it.
    pub(super) fn part(self, range: Range<usize>) -> Span<'a> {
        Span { begin: self.begin + range.start, end: self.begin + range.end, ..self }
    }

    /// From `offset` on.
    pub(super) fn from(self, offset: usize) -> Span<'a> {
        Span { begin: self.begin + offset, ..self }
    }

    /// Without white space around it.
    pub(super) fn trim(self) -> Span<'a> {
        let text = self.text();
        let begin = text.len() - text.trim_start().len();
        self.part(begin..begin.max(text.trim_end().len()))
    }

    /// The first word, and what follows the white space behind it.
    pub(super) fn split_word(self) -> (Span<'a>, Span<'a>) {
        let text = self.text();
        let end = text.find(is_blank).unwrap_or(text.len());
        let rest = text[end..].trim_start_matches(is_blank).len();
        (self.part(0..end), self.from(text.len() - rest))
    }

    /// Words between white space.
    pub(super) fn words(self) -> Vec<Span<'a>> {
        let mut words = Vec::new();
        let mut rest = self.trim();
        while !rest.is_empty() {
            let (word, behind) = rest.split_word();
            words.push(word);
            rest = behind;
        }
        words
    }
}

/// What separates an instruction from its arguments, and those from each other.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// The lines of a file, read one after the other.
pub(super) struct Lines<'a> {
    file: Arc<str>,
    rest: std::iter::Peekable<std::str::SplitInclusive<'a, char>>,
    /// How many were read.
    read: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn of(file: &str, text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lines { file: file.into(), rest: text.split_inclusive('\n').peekable(), read: 0 }
    }

    /// The number of the line that was read last, counted from 1.
    pub(super) fn number(&self) -> usize {
        self.read
    }

    /// The next line as it stands there, with its end.
    pub(super) fn raw(&mut self) -> Option<&'a str> {
        let line = self.rest.next()?;
        self.read += 1;
        Some(line)
    }

    /// The next line, if it is not read yet.
    pub(super) fn peek(&mut self) -> Option<&'a str> {
        self.rest.peek().copied()
    }

    /// The next logical line.
    pub(super) fn next(&mut self, escape: char) -> Option<Line> {
        loop {
            let raw = without_end(self.raw()?);
            let text = raw.trim_start();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let column = 1 + raw[..raw.len() - text.len()].chars().count();
            let mut line = Line { file: self.file.clone(), text: String::new(), marks: Vec::new(), lines: self.read..self.read + 1, gap: None };
            let continued = continues(text, escape);
            line.push(continued.unwrap_or(text), self.read, column);
            if continued.is_some() {
                self.join(&mut line, escape);
            }
            if !line.text.is_empty() {
                line.lines.end = self.read + 1;
                return Some(line);
            }
        }
    }

    /// Adds the lines that a continuation asks for.
    fn join(&mut self, line: &mut Line, escape: char) {
        while let Some(raw) = self.raw() {
            let text = without_end(raw);
            let trimmed = text.trim_start();
            if trimmed.is_empty() {
                line.gap.get_or_insert(self.read);
            }
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let continued = continues(text, escape);
            line.push(continued.unwrap_or(text), self.read, 1);
            if continued.is_none() {
                return;
            }
        }
    }
}

/// A line without what ends it.
pub(super) fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// The text before the mark of a continuation: one escape character at the end, which no other escapes. White space may follow it.
fn continues(text: &str, escape: char) -> Option<&str> {
    let before = text.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

#[cfg(test)]
impl Line {
    /// Text that stands in no file.
    pub(super) fn alone(name: &str, text: &str) -> Line {
        Line { file: name.into(), text: text.to_owned(), marks: vec![Mark { offset: 0, line: 1, column: 1 }], lines: 1..2, gap: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        let mut lines = Lines::of("Dockerfile", text);
        std::iter::from_fn(|| lines.next('\\')).collect()
    }

    fn texts(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn continuations_are_joined_and_comments_left_out() {
        assert_eq!(texts("# one\n\nRUN a \\\n  # two\n  b \\\t \n\n  c\r\nRUN d"), ["RUN a   b   c", "RUN d"]);
        assert_eq!(texts("  RUN a\\\\\nRUN b\\\\ \n"), ["RUN a\\\\", "RUN b\\\\ "]);
        assert_eq!(texts("\\\n\\\nRUN a\n"), ["RUN a"]);
        assert_eq!(texts("RUN a \\"), ["RUN a "]);
        assert_eq!(texts("RUN a \\\n"), ["RUN a "]);
        assert_eq!(texts("\u{feff}FROM x"), ["FROM x"]);
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(lines("RUN a \\\n\n b\n")[0].gap, Some(2));
    }

    #[test]
    fn every_byte_has_its_line_and_column() {
        let line = &lines("\n  RUN ä \\\n# c\n\tb c\n")[0];
        let place = |what: &str| line.place(line.text.find(what).expect("there")).to_string();
        assert_eq!(
            (place("RUN"), place("ä"), place("b"), place("c")),
            ("Dockerfile:2:3".into(), "Dockerfile:2:7".into(), "Dockerfile:4:2".into(), "Dockerfile:4:4".into())
        );
        assert_eq!(line.lines, 2..5);
        assert_eq!(line.place(10_000).to_string(), "Dockerfile:4:5");
    }

    #[test]
    fn words_are_between_white_space() {
        let line = Line::alone("x", "  a\t b  c ");
        assert_eq!(line.whole().words().iter().map(|word| word.text()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let (first, rest) = line.whole().trim().split_word();
        assert_eq!((first.text(), rest.text()), ("a", "b  c"));
        assert!(line.whole().from(10).trim().is_empty());
    }
}
