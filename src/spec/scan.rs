//! The grammar of documents: one pass over JSON text that accepts exactly what every reader understands the same way.
//!
//! Beyond RFC 8259 it refuses what RFC 7493 (I-JSON) warns of: duplicate keys, lone surrogates, numbers that are not exact integers. It
//! also refuses keys that some readers take for the same: Go's `encoding/json` matches the fields of a struct without regard to case.
//! The stack is a vector bounded by [`limits::JSON_DEPTH`]; nothing recurses, and nothing is built but the keys of open objects.

use std::borrow::Cow;

use super::limits;

/// What is wrong with a text, and where.
pub(super) struct Fault {
    /// Offset of the first wrong byte.
    pub(super) at: usize,
    /// The rule that is broken.
    pub(super) rule: String,
    /// Where in the document that is, like `manifests[3].digest`; empty for the document itself.
    pub(super) path: String,
}

/// What a document is at its top.
pub(super) enum Outline {
    /// An object with these keys.
    Object(Vec<String>),
    /// Anything else.
    Other,
}

/// Whether the keys of an object are names of fields or free text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Fields: two that differ only in case are the same to some readers.
    Fields,
    /// Free text, as in `annotations`: case tells them apart.
    Free,
}

enum Frame {
    Array { index: usize },
    Object { first: usize, keys: Keys },
}

struct Key<'a> {
    text: Cow<'a, [u8]>,
    at: usize,
}

/// Checks that `bytes` are one strict JSON value.
pub(super) fn scan(bytes: &[u8]) -> Result<Outline, Fault> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Fault { at: 0, rule: "it begins with a byte order mark".into(), path: String::new() });
    }
    let mut scanner = Scanner::new(bytes);
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Fault { at: error.valid_up_to(), rule: "it is not UTF-8".into(), path: path_at(bytes, error.valid_up_to()) });
    }
    scanner.document()
}

/// Where in the document the byte at offset `at` stands.
pub(super) fn path_at(bytes: &[u8], at: usize) -> String {
    let mut scanner = Scanner::new(&bytes[..at.min(bytes.len())]);
    match scanner.document() {
        Ok(_) => String::new(),
        Err(fault) => fault.path,
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
    /// The keys of all open objects, outermost first; the last one of each is the current one.
    keys: Vec<Key<'a>>,
    outline: Outline,
}

type Step<T = ()> = Result<T, Fault>;

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Scanner { bytes, at: 0, frames: Vec::with_capacity(limits::JSON_DEPTH), keys: Vec::new(), outline: Outline::Other }
    }

    fn document(&mut self) -> Step<Outline> {
        loop {
            self.space();
            let opened = match self.peek() {
                Some(b'{') => self.open_object()?,
                Some(b'[') => self.open_array()?,
                _ => {
                    self.scalar()?;
                    false
                }
            };
            if !opened && !self.after_value()? {
                break;
            }
        }
        if self.at < self.bytes.len() {
            return Err(self.fault("there is more text after the end of the document"));
        }
        Ok(std::mem::replace(&mut self.outline, Outline::Other))
    }

    /// Enters an object up to its first value; false when it is empty and so already complete.
    fn open_object(&mut self) -> Step<bool> {
        let keys = self.kind_of_keys();
        self.push(Frame::Object { first: self.keys.len(), keys })?;
        self.space();
        if self.peek() == Some(b'}') {
            self.close()?;
            return Ok(false);
        }
        self.key()?;
        Ok(true)
    }

    /// Enters an array up to its first value; false when it is empty and so already complete.
    fn open_array(&mut self) -> Step<bool> {
        self.push(Frame::Array { index: 0 })?;
        self.space();
        if self.peek() == Some(b']') {
            self.close()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Goes on after a complete value: true at the next value, false at the end of the document.
    fn after_value(&mut self) -> Step<bool> {
        loop {
            self.space();
            let byte = self.peek();
            match (self.frames.last_mut(), byte) {
                (None, _) => return Ok(false),
                (Some(Frame::Array { index }), Some(b',')) => {
                    *index += 1;
                    self.at += 1;
                    return Ok(true);
                }
                (Some(Frame::Object { .. }), Some(b',')) => {
                    self.at += 1;
                    self.space();
                    self.key()?;
                    return Ok(true);
                }
                (Some(Frame::Array { .. }), Some(b']')) | (Some(Frame::Object { .. }), Some(b'}')) => self.close()?,
                (Some(Frame::Array { .. }), _) => return Err(self.expected("`,` or `]`")),
                (Some(Frame::Object { .. }), _) => return Err(self.expected("`,` or `}`")),
            }
        }
    }

    fn push(&mut self, frame: Frame) -> Step {
        if self.frames.len() == limits::JSON_DEPTH {
            return Err(self.fault(format!("it is nested deeper than the limit of {} levels", limits::JSON_DEPTH)));
        }
        self.at += 1;
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Step {
        if let Some(Frame::Object { first, keys }) = self.frames.last() {
            let first = *first;
            self.distinct(first, *keys)?;
            if self.frames.len() == 1 {
                self.outline = Outline::Object(self.keys.iter().map(|key| String::from_utf8_lossy(&key.text).into_owned()).collect());
            }
            self.keys.truncate(first);
        }
        self.frames.pop();
        self.at += 1;
        Ok(())
    }

    /// The keys from `first` on are all different.
    fn distinct(&mut self, first: usize, keys: Keys) -> Step {
        let own = &mut self.keys[first..];
        own.sort_by(|a, b| folded(&a.text).cmp(folded(&b.text)).then_with(|| a.text.cmp(&b.text)).then(a.at.cmp(&b.at)));
        let twins = own.windows(2).find(|pair| pair[0].text == pair[1].text || (keys == Keys::Fields && folded(&pair[0].text).eq(folded(&pair[1].text))));
        let Some([one, other]) = twins else { return Ok(()) };
        let at = one.at.max(other.at);
        let rule = if one.text == other.text {
            format!("ambiguous: key {} occurs twice", quoted(&one.text))
        } else {
            format!("ambiguous: keys {} and {} differ only in case", quoted(&one.text), quoted(&other.text))
        };
        self.keys.truncate(first);
        Err(Fault { at, rule, path: self.path() })
    }

    fn key(&mut self) -> Step {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let at = self.at;
        let text = match self.string()? {
            Escapes::None => Cow::Borrowed(&self.bytes[at + 1..self.at - 1]),
            Escapes::Some => match serde_json::from_slice::<String>(&self.bytes[at..self.at]) {
                Ok(text) => Cow::Owned(text.into_bytes()),
                Err(error) => return Err(self.fault(error.to_string())),
            },
        };
        if let Some(Frame::Object { first, .. }) = self.frames.last()
            && self.keys.len() - first == limits::JSON_MEMBERS
        {
            return Err(self.fault(format!("an object has more than the limit of {} members", limits::JSON_MEMBERS)));
        }
        self.keys.push(Key { text, at });
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self) -> Step {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            None if self.at == 0 => Err(self.fault("it is empty")),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Step {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        let end = self.bytes[start..].iter().position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).map_or(self.bytes.len(), |n| start + n);
        // Only ASCII bytes were taken.
        let text = std::str::from_utf8(&self.bytes[start..end]).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let rule = if digits.contains(['.', 'e', 'E']) {
            "has a fraction or an exponent; documents have integers"
        } else if text == "-0" || digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            "is not an integer in its plain form"
        } else if text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
            "does not fit into 64 bits"
        } else {
            self.at = end;
            return Ok(());
        };
        Err(self.fault(format!("number {} {rule}", quoted(text.as_bytes()))))
    }

    fn string(&mut self) -> Step<Escapes> {
        let mut escapes = Escapes::None;
        self.at += 1;
        loop {
            let Some(length) = self.bytes[self.at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) else {
                self.at = self.bytes.len();
                return Err(self.fault("it ends inside a string"));
            };
            self.at += length;
            match self.bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(escapes);
                }
                b'\\' => {
                    self.escape()?;
                    escapes = Escapes::Some;
                }
                byte => return Err(self.fault(format!("control character 0x{byte:02x} stands in a string without an escape"))),
            }
        }
    }

    fn escape(&mut self) -> Step {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                return Ok(());
            }
            Some(b'u') => {}
            None => return Err(self.fault("it ends inside a string")),
            Some(_) => return Err(self.fault("a string has an unknown escape")),
        }
        let Some(unit) = self.unit(self.at) else { return Err(self.fault("a \\u escape lacks its four hexadecimal digits")) };
        let length = match unit {
            0xd800..=0xdbff if matches!(self.unit(self.at + 6), Some(0xdc00..=0xdfff)) => 12,
            0xd800..=0xdfff => return Err(self.fault(format!("\\u{unit:04x} is half of a surrogate pair"))),
            _ => 6,
        };
        self.at += length;
        Ok(())
    }

    /// The value of the `\uXXXX` at offset `at`.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, byte| Some(unit * 16 + char::from(*byte).to_digit(16)?))
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// What the keys of an object that begins here are.
    fn kind_of_keys(&self) -> Keys {
        let name = match (self.frames.last(), self.keys.last()) {
            (Some(Frame::Object { .. }), Some(key)) => &key.text,
            _ => return Keys::Fields,
        };
        // The maps of strings of the specifications: annotations, and the labels, volumes and ports of a config.
        match ["annotations", "Labels", "Volumes", "ExposedPorts"].iter().any(|free| free.as_bytes().eq_ignore_ascii_case(name)) {
            true => Keys::Free,
            false => Keys::Fields,
        }
    }

    fn expected(&self, what: &str) -> Fault {
        match self.peek() {
            None => self.fault("it ends too early"),
            Some(_) => self.fault(format!("expected {what}")),
        }
    }

    fn fault(&self, rule: impl Into<String>) -> Fault {
        Fault { at: self.at, rule: rule.into(), path: self.path() }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for (position, frame) in self.frames.iter().enumerate() {
            match frame {
                Frame::Array { index } => path.push_str(&format!("[{index}]")),
                Frame::Object { first, .. } => {
                    let above = self.frames[position + 1..].iter().find_map(|frame| if let Frame::Object { first, .. } = frame { Some(*first) } else { None });
                    let end = above.unwrap_or(self.keys.len());
                    if end > *first {
                        push_key(&mut path, &self.keys[end - 1].text);
                    }
                }
            }
        }
        path
    }
}

enum Escapes {
    None,
    Some,
}

fn push_key(path: &mut String, key: &[u8]) {
    let plain = !key.is_empty() && key.len() <= 64 && key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
    if plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&String::from_utf8_lossy(key));
    } else {
        path.push_str(&format!("[{}]", quoted(key)));
    }
}

/// Text of the document for an error message: safe to show and of a length that leaves the message readable.
fn quoted(text: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(text);
    let mut short: String = lossy.chars().take(64).collect();
    if short.len() < lossy.len() {
        short.push('…');
    }
    format!("`{}`", super::text::shown(&short))
}

/// `key` as readers that ignore case compare it: ASCII letters in lower case, and the two other characters that fold to ASCII letters.
fn folded(key: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = key;
    std::iter::from_fn(move || {
        let (byte, length) = match rest {
            [] => return None,
            [0xc5, 0xbf, ..] => (b's', 2),
            [0xe2, 0x84, 0xaa, ..] => (b'k', 3),
            [byte, ..] => (byte.to_ascii_lowercase(), 1),
        };
        rest = &rest[length..];
        Some(byte)
    })
}

/// Whether `a` and `b` are the same key to a reader that ignores case.
pub(super) fn same_but_for_case(a: &str, b: &str) -> bool {
    folded(a.as_bytes()).eq(folded(b.as_bytes()))
}
