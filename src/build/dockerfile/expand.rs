//! Expansion of variables in the words of a Dockerfile, with the quotes and escapes of a shell.
//!
//! `$NAME`, `${NAME}` and the modifiers `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`, as BuildKit has them: where it and a POSIX shell differ, what
//! BuildKit makes of a file is what its author saw.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use super::bounds::{EXPANDED_BYTES, PATTERN_WORK};
use super::pattern::{Match, Pattern};

/// How deep `${a:-${b:-…}}` may be nested: deeper than anybody writes, and no danger to the stack.
const DEPTH: usize = 64;

/// Variables by name.
pub trait Variables {
    /// The value of a variable that is set.
    fn value(&self, name: &str) -> Option<&str>;
}

impl Variables for () {
    fn value(&self, _: &str) -> Option<&str> {
        None
    }
}

impl<S: std::hash::BuildHasher> Variables for std::collections::HashMap<String, String, S> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// How words are read.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    /// What takes their meaning from quotes and dollars.
    pub escape: char,
    /// What becomes of quotes.
    pub quotes: Quotes,
    /// What becomes of variables that are not set.
    pub unset: Unset,
}

/// What becomes of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// They group, and are taken away.
    Removed,
    /// They group, and stay, and so do escapes.
    Kept,
    /// They are characters like others.
    Ignored,
}

/// What becomes of variables that are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// They are empty.
    Empty,
    /// They stay as they are written.
    Kept,
}

/// What became of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// All of it.
    pub text: String,
    /// Its words: what white space separates that is in no quotes, also inside the values of variables.
    pub words: Vec<String>,
    /// Variables that are not set and that it has nothing in the place of.
    pub unset: BTreeSet<String>,
}

impl Lexer {
    /// The reading of instructions in a file with this escape character.
    pub fn new(escape: char) -> Self {
        Lexer { escape, quotes: Quotes::Removed, unset: Unset::Empty }
    }

    /// Expands `text`. The error is one clause that says what is wrong with it.
    pub fn expand(&self, text: &str, variables: &dyn Variables) -> Result<Expanded, String> {
        let mut reader = Reader { lexer: *self, chars: text.chars().peekable(), variables, unset: BTreeSet::new(), depth: 0 };
        let (text, words) = reader.until(None, self.escapes())?;
        Ok(Expanded { text, words, unset: reader.unset })
    }

    fn escapes(&self) -> Escapes {
        if self.quotes == Quotes::Kept { Escapes::Kept } else { Escapes::Removed }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Removed,
    Kept,
}

struct Reader<'a> {
    lexer: Lexer,
    chars: Peekable<Chars<'a>>,
    variables: &'a dyn Variables,
    unset: BTreeSet<String>,
    depth: usize,
}

impl Reader<'_> {
    /// Reads to `end`, which is taken too, or to the end of the text.
    fn until(&mut self, end: Option<char>, escapes: Escapes) -> Result<(String, Vec<String>), String> {
        let mut text = String::new();
        let mut words = Words::default();
        let quotes = self.lexer.quotes != Quotes::Ignored;
        while let Some(&c) = self.chars.peek() {
            bounded(&text)?;
            if Some(c) == end {
                self.chars.next();
                return Ok((text, words.finish()));
            }
            match c {
                '$' => {
                    let value = self.dollar(escapes)?;
                    value.chars().for_each(|c| words.add(c));
                    text.push_str(&value);
                }
                '\'' | '"' if quotes => {
                    let inside = if c == '"' { self.double_quoted(escapes)? } else { self.single_quoted()? };
                    words.add_whole(&inside);
                    text.push_str(&inside);
                }
                c if c == self.lexer.escape => {
                    self.chars.next();
                    if escapes == Escapes::Kept {
                        words.add_whole(c.encode_utf8(&mut [0; 4]));
                        text.push(c);
                    }
                    // At the end it escapes nothing.
                    if let Some(escaped) = self.chars.next() {
                        words.add_whole(escaped.encode_utf8(&mut [0; 4]));
                        text.push(escaped);
                    }
                }
                c => {
                    self.chars.next();
                    words.add(c);
                    text.push(c);
                }
            }
        }
        bounded(&text)?;
        match end {
            Some(end) => Err(format!("`{end}` is missing at the end of a `${{…}}`")),
            None => Ok((text, words.finish())),
        }
    }

    fn quote(&self, text: &mut String, quote: char) {
        if self.lexer.quotes == Quotes::Kept {
            text.push(quote);
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.chars.next();
        self.quote(&mut text, '\'');
        for c in self.chars.by_ref() {
            if c == '\'' {
                self.quote(&mut text, '\'');
                return Ok(text);
            }
            text.push(c);
        }
        Err("a single quote is not closed".to_owned())
    }

    fn double_quoted(&mut self, escapes: Escapes) -> Result<String, String> {
        let mut text = String::new();
        self.chars.next();
        self.quote(&mut text, '"');
        while let Some(&c) = self.chars.peek() {
            bounded(&text)?;
            if c == '$' {
                text.push_str(&self.dollar(escapes)?);
                continue;
            }
            self.chars.next();
            if c == '"' {
                self.quote(&mut text, '"');
                return Ok(text);
            }
            if c != self.lexer.escape {
                text.push(c);
                continue;
            }
            if escapes == Escapes::Kept {
                text.push(c);
            }
            match self.chars.peek() {
                Some(&next) if matches!(next, '"' | '$') || next == self.lexer.escape => {
                    self.chars.next();
                    text.push(next);
                }
                Some(_) => text.push(c),
                None => {}
            }
        }
        Err("a double quote is not closed".to_owned())
    }

    fn dollar(&mut self, escapes: Escapes) -> Result<String, String> {
        self.chars.next();
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            return Ok(match self.wanted(&name) {
                _ if name.is_empty() => "$".to_owned(),
                None if self.lexer.unset == Unset::Kept => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        self.chars.next();
        if self.depth == DEPTH {
            return Err(format!("`${{…}}` is nested more than {DEPTH} deep"));
        }
        self.depth += 1;
        let outcome = self.braced(escapes);
        self.depth -= 1;
        outcome
    }

    /// What stands between `${` and `}`.
    fn braced(&mut self, escapes: Escapes) -> Result<String, String> {
        let name = match self.chars.peek() {
            None => return Err("`}` is missing at the end of a `${…}`".to_owned()),
            Some('{' | '}' | ':') => return Err("`${…}` has no name of a variable".to_owned()),
            Some(_) => self.name(),
        };
        let next = self.chars.next();
        let (modifier, missing) = match next {
            Some(':') => (self.chars.next(), Missing::UnsetOrEmpty),
            other => (other, Missing::Unset),
        };
        let kept = format!("${{{name}");
        let written: String = next.into_iter().chain(modifier.filter(|_| missing == Missing::UnsetOrEmpty)).collect();
        match modifier {
            Some('}') if missing == Missing::Unset => match self.wanted(&name) {
                None if self.lexer.unset == Unset::Kept => Ok(kept + "}"),
                value => Ok(value.unwrap_or_default()),
            },
            Some(modifier @ ('-' | '+' | '?' | '#' | '%')) => {
                let escapes = if matches!(modifier, '#' | '%') { Escapes::Kept } else { escapes };
                let (word, _) = self.until(Some('}'), escapes)?;
                let value = if matches!(modifier, '#' | '%') { self.wanted(&name) } else { self.value(&name) };
                match value {
                    None if self.lexer.unset == Unset::Kept => Ok(format!("{kept}{written}{word}}}")),
                    value => modified(&name, value, modifier, missing, word),
                }
            }
            Some('/') if missing == Missing::Unset => self.replaced(&name, &kept),
            None => Err("`}` is missing at the end of a `${…}`".to_owned()),
            Some(_) => Err(format!("`${{{name}{written}…}}` has no modifier that is known")),
        }
    }

    fn replaced(&mut self, name: &str, kept: &str) -> Result<String, String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let (pattern, _) = self.until(Some('/'), Escapes::Kept)?;
        let (replacement, _) = self.until(Some('}'), Escapes::Kept)?;
        let Some(value) = self.wanted(name) else {
            return Ok(if self.lexer.unset == Unset::Kept { format!("{kept}/{pattern}/{replacement}}}") } else { String::new() });
        };
        let pattern = looked_for(&pattern, &value)?;
        match all {
            true => pattern.replace_all(&value, &replacement),
            false => Ok(pattern.replace_first(&value, &replacement)),
        }
    }

    /// A name, a number or one of the shell's own parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.chars.next_if(|c| c.is_numeric()) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }

    fn value(&self, name: &str) -> Option<String> {
        self.variables.value(name).map(str::to_owned)
    }

    /// The value of a variable that the text has nothing in the place of.
    fn wanted(&mut self, name: &str) -> Option<String> {
        let value = self.value(name);
        if value.is_none() && !name.is_empty() {
            self.unset.insert(name.to_owned());
        }
        value
    }
}

/// Refuses what has grown beyond all use.
pub(super) fn bounded(text: &str) -> Result<(), String> {
    match text.len() > EXPANDED_BYTES {
        true => Err(format!("variables make it longer than {EXPANDED_BYTES} bytes")),
        false => Ok(()),
    }
}

/// A pattern that is looked for in `value`.
fn looked_for(written: &str, value: &str) -> Result<Pattern, String> {
    match written.len().saturating_mul(value.len()) > PATTERN_WORK {
        true => Err("a pattern is too long for a value that long".to_owned()),
        false => Pattern::parse(written),
    }
}

/// Which variables a modifier takes for missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Unset,
    /// With a colon before the modifier.
    UnsetOrEmpty,
}

/// What a modifier makes of a value.
fn modified(name: &str, value: Option<String>, modifier: char, missing: Missing, word: String) -> Result<String, String> {
    let given = value.clone().filter(|value| missing == Missing::Unset || !value.is_empty());
    match modifier {
        '-' => Ok(given.unwrap_or(word)),
        '+' => Ok(given.map(|_| word).unwrap_or_default()),
        '?' => given.ok_or_else(|| {
            let why = if value.is_some() { "is not allowed to be empty" } else { "is not allowed to be unset" };
            format!("{name}: {}", if word.is_empty() { why } else { &word })
        }),
        _ => {
            let (wanted, pattern) = match word.strip_prefix(modifier) {
                Some(pattern) => (Match::Longest, pattern),
                None => (Match::Shortest, word.as_str()),
            };
            let value = value.unwrap_or_default();
            let pattern = looked_for(pattern, &value)?;
            let cut = if modifier == '#' { pattern.prefix(&value, wanted) } else { pattern.suffix(&value, wanted) };
            Ok(value[cut].to_owned())
        }
    }
}

/// Words as they come.
#[derive(Default)]
struct Words {
    words: Vec<String>,
    word: String,
}

impl Words {
    /// A character that is in no quotes.
    fn add(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Text that white space does not split.
    fn add_whole(&mut self, text: &str) {
        self.word.push_str(text);
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn variables(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn known() -> HashMap<String, String> {
        variables(&[("PWD", "/home"), ("NULL", ""), ("FOO", "xxyy"), ("BAR", "x"), ("TWO", "a  b"), ("PATTERN", "()[]{}^$.*?|\\x"), ("STARS", "a***yy*")])
    }

    fn expand(text: &str) -> Result<String, String> {
        Lexer::new('\\').expand(text, &known()).map(|expanded| expanded.text)
    }

    #[test]
    fn words_expand_as_they_do_in_buildkit() {
        for (text, expected) in [
            ("at'll'o", "atllo"),
            ("at\\'llo", "at'llo"),
            ("at\\\\'llo'", "at\\llo"),
            ("abc\\tdef", "abctdef"),
            ("\"abc\\tdef\"", "abc\\tdef"),
            ("\"abc\\\\tdef\"", "abc\\tdef"),
            ("'abc\\tdef'", "abc\\tdef"),
            ("hello\\", "hello"),
            ("\"''\"", "''"),
            ("$.", "$."),
            ("at$1x", "atx"),
            ("at$.x", "at$.x"),
            ("at$PWD.", "at/home."),
            ("at\\$PWD", "at$PWD"),
            ("'at$PWD'", "at$PWD"),
            ("\"at$PWD\"", "at/home"),
            ("\"at\\$PWD\"", "at$PWD"),
            ("at${PWD}x", "at/homex"),
            ("at${GONE}", "at"),
            ("at${GONE:-000}xx", "at000xx"),
            ("at${NULL:-000}${NULL-000}xx", "at000xx"),
            ("at${PWD:-000}xx", "at/homexx"),
            ("at${GONE:-$PWD}xx", "at/homexx"),
            ("at${GONE:-${PWD:-yyy}}xx", "at/homexx"),
            ("at${GONE:-${YYY:-yyy}}xx", "atyyyxx"),
            ("at${GONE:+${PWD}}xx", "atxx"),
            ("at${PWD:+${GONE}}xx", "atxx"),
            ("at${PWD:+${PWD}}xx", "at/homexx"),
            ("at${NULL+a}${NULL:+b}", "ata"),
            ("${PWD?no}${NULL?no}${PWD:?no}", "/home/home"),
            ("'$PWD'\"$PWD\"$PWD", "$PWD/home/home"),
            ("${FOO#*x}|${FOO##*x}|${FOO%y*}|${FOO%%y*}", "xyy|yy|xxy|xx"),
            ("${FOO#$BAR}${FOO#}${FOO%}${FOO%%$NULL}", "xyyxxyyxxyyxxyy"),
            ("${PATTERN#()[]{\\}^$.\\*\\?|\\\\}", "x"),
            ("${STARS%%\\**\\*}", "a"),
            ("${FOO/x/ww} ${FOO//x/ww} ${FOO/$NULL/ww} ${FOO///}", "wwxyy wwwwyy wwxxyy xxyy"),
            ("${PWD//\\//\\/}", "\\/home"),
            ("${GONE/a/b}", ""),
            ("né$PWDé", "né"),
            ("né${PWD}é", "né/homeé"),
            ("$$x$?x", "xx"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_one_clause() {
        for (text, message) in [
            ("'a", "a single quote is not closed"),
            ("\"a$PWD", "a double quote is not closed"),
            ("${", "`}` is missing at the end of a `${…}`"),
            ("${PWD", "`}` is missing at the end of a `${…}`"),
            ("${PWD:", "`}` is missing at the end of a `${…}`"),
            ("${PWD:-a", "`}` is missing at the end of a `${…}`"),
            ("${}", "`${…}` has no name of a variable"),
            ("${:-a}", "`${…}` has no name of a variable"),
            ("${PWD=a}", "`${PWD=…}` has no modifier that is known"),
            ("${PWD:=a}", "`${PWD:=…}` has no modifier that is known"),
            ("${PWD:}", "`${PWD:}…}` has no modifier that is known"),
            ("${GONE:?give one}", "GONE: give one"),
            ("${GONE?}", "GONE: is not allowed to be unset"),
            ("${NULL:?}", "NULL: is not allowed to be empty"),
            ("${FOO//ww}", "`/` is missing at the end of a `${…}`"),
            ("${FOO#\\x}", "the pattern `\\x` escapes what needs no escape"),
        ] {
            assert_eq!(expand(text), Err(message.to_owned()), "{text}");
        }
        let deep = "${a:-".repeat(10_000);
        assert_eq!(expand(&deep), Err(format!("`${{…}}` is nested more than {DEPTH} deep")));
    }

    #[test]
    fn words_are_split_after_expansion_and_not_in_quotes() {
        let words = |text: &str| Lexer::new('\\').expand(text, &known()).expect("valid").words;
        assert_eq!(words("a $TWO 'c  d' \"$TWO\""), ["a", "a", "b", "c  d", "a  b"]);
        assert_eq!(words("a\\ b c'd'e"), ["a b", "cde"]);
        assert_eq!(words("  $NULL ''  "), [""; 0]);
    }

    #[test]
    fn kept_quotes_and_unset_variables_stay() {
        let lexer = Lexer { escape: '\\', quotes: Quotes::Kept, unset: Unset::Kept };
        for text in ["a 'b c' \"d\\\"e\" \\f", "$GONE ${GONE:-a} ${GONE} ${GONE/a/b} ${GONE##a}", "<<'EOF' <<\"E\"OF"] {
            assert_eq!(lexer.expand(text, &known()).expect("valid").text, text);
        }
        let lexer = Lexer { quotes: Quotes::Ignored, ..Lexer::new('\\') };
        assert_eq!(lexer.expand("it's \"$PWD\" \\$PWD", &known()).expect("valid").text, "it's \"/home\" $PWD");
        let unset = Lexer::new('`').expand("`$a $b ${c:-d} ${e#f}", &()).expect("valid").unset;
        assert_eq!(unset.into_iter().collect::<Vec<_>>(), ["b", "e"]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".*", escape in prop::sample::select(vec!['\\', '`'])) {
            let _ = Lexer::new(escape).expand(&text, &known());
        }

        #[test]
        fn what_looks_like_expansion_makes_nothing_panic(parts in prop::collection::vec(prop::sample::select(
            vec!["$", "{", "}", ":", "-", "+", "?", "#", "%", "/", "*", "\\", "'", "\"", "FOO", "TWO", "GONE", " ", "ä", "[", "`"]), 0..24)) {
            let _ = Lexer::new('\\').expand(&parts.concat(), &known());
        }
    }
}
