//! Foreign text made safe to show, and words that were meant.
//!
//! Tags, annotations and file names come from strangers. What is shown of them must not move the cursor, change colours, reorder
//! the line or break it. Machine output (JSON) escapes by itself and does not pass through here.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `text` with control characters, line and bidirectional controls replaced by visible escapes.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unsafe(character) {
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// A file name of any bytes, made safe to show: what is not UTF-8 becomes `\xNN`.
pub fn bytes(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) => shown(text),
        Err(_) => {
            let mut out = String::with_capacity(name.len() + 8);
            for chunk in name.utf8_chunks() {
                out.push_str(&shown(chunk.valid()));
                for byte in chunk.invalid() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            Cow::Owned(out)
        }
    }
}

/// A file name of any bytes as programs are told it: unchanged where it is UTF-8, else as [`bytes`] shows it.
pub fn name(name: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(name).map_or_else(|_| bytes(name), Cow::Borrowed)
}

/// A path made safe to show.
pub fn path(path: &Path) -> Cow<'_, str> {
    bytes(path.as_os_str().as_bytes())
}

/// The known word that a person most likely meant.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    /// Nobody slips in a longer word, and comparing takes the square of its length.
    const LONGEST: usize = 100;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let allowed = |known: &str| 1 + known.len() / 4;
    // Slips change the length by one each; comparing what is far away would take long where much is known.
    let near = known.into_iter().filter(|known| known.len().abs_diff(word.len()) <= allowed(known));
    let distances = near.map(|known| (strsim::damerau_levenshtein(&word, &known.to_lowercase()), known));
    distances
        .filter(|(distance, known)| *distance <= allowed(known) && *distance < known.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn is_unsafe(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        for (word, near) in [("platfroms", Some("platforms")), ("NAME", Some("name")), ("tgas", Some("tags")), ("zzz", None), ("x", None), ("", None)] {
            assert_eq!(nearest(word, ["f", "name", "tags", "platforms"]), near, "{word}");
        }
    }

    #[test]
    fn escapes_what_moves_the_cursor_and_keeps_the_rest() {
        assert_eq!(shown("größe-1"), "größe-1");
        assert_eq!(shown("a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(bytes(b"a\xffb"), "a\\xffb");
        assert_eq!([name(b"a\n"), name(b"a\n\xff")], ["a\n", "a\\n\\xff"]);
    }
}
