//! Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`, and the lines that follow the instruction.

use super::line::{Line, Lines, without_end};
use crate::build::dockerfile::bounds::DOCUMENTS;
use crate::build::dockerfile::expand::{Lexer, Quotes, Unset};
use crate::build::dockerfile::instruction::{Document, Text};
use crate::build::place::{At, Place};
use crate::error::Result;
use crate::spec::text;

/// What a word announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// The line that ends the document.
    pub(super) name: String,
    /// Whether variables in it are expanded, which quotes around the name prevent.
    text: Text,
    /// Whether tabs before its lines are taken away.
    tabs: Tabs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tabs {
    Kept,
    Stripped,
}

/// The document that a word announces, if it does: `<<NAME`, with a number of a file descriptor before it at most.
pub(super) fn announced(word: &str) -> Option<Announced> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (Tabs::Stripped, name),
        None => (Tabs::Kept, rest),
    };
    if name.is_empty() || name.contains('<') {
        return None;
    }
    let words = |quotes| Lexer { escape: '\\', quotes, unset: Unset::Kept }.expand(name, &()).ok().map(|expanded| expanded.words);
    let (plain, written) = (words(Quotes::Removed)?, words(Quotes::Kept)?);
    match (plain.as_slice(), written.as_slice()) {
        ([plain], [written]) => {
            let text = if plain == written { Text::Expanded } else { Text::Verbatim };
            Some(Announced { name: plain.clone(), text, tabs })
        }
        _ => None,
    }
}

/// Reads the documents that an instruction announces.
pub(super) fn read(line: &Line, lines: &mut Lines<'_>, file: &str) -> Result<Vec<Document>> {
    let lexer = Lexer { escape: '\\', quotes: Quotes::Kept, unset: Unset::Kept };
    // Text that no shell can read has no documents; what is wrong with it is for others to say.
    let Ok(expanded) = lexer.expand(&line.text, &()) else { return Ok(Vec::new()) };
    let mut documents = Vec::new();
    for word in expanded.words {
        let Some(announced) = announced(&word) else { continue };
        if documents.len() == DOCUMENTS {
            return Err(line.place(0).usage(format!("an instruction has {DOCUMENTS} here-documents at most")));
        }
        documents.push(body(announced, &word, line, lines, file)?);
    }
    Ok(documents)
}

fn body(announced: Announced, word: &str, line: &Line, lines: &mut Lines<'_>, file: &str) -> Result<Document> {
    let place = Place::line(file, lines.number() + 1, 1);
    let mut content = String::new();
    while let Some(raw) = lines.raw() {
        let own = without_end(raw);
        let end = if announced.tabs == Tabs::Stripped { own.trim_start_matches('\t') } else { own };
        if end == announced.name {
            return Ok(Document { name: announced.name, text: announced.text, content: At::new(content, place) });
        }
        content.push_str(if announced.tabs == Tabs::Stripped { raw.trim_start_matches('\t') } else { raw });
    }
    let at = line.place(line.text.find(word).unwrap_or_default());
    let name = text::shown(&announced.name);
    Err(at.usage(format!("the here-document `{name}` does not end")).hint(format!("end it with a line that is `{name}` and nothing else")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_announce_documents() {
        let is = |word: &str| announced(word).map(|announced| (announced.name, announced.text, announced.tabs));
        assert_eq!(is("<<EOF"), Some(("EOF".into(), Text::Expanded, Tabs::Kept)));
        assert_eq!(is("3<<-'E F'"), Some(("E F".into(), Text::Verbatim, Tabs::Stripped)));
        assert_eq!(is("<<\"EOF\""), Some(("EOF".into(), Text::Verbatim, Tabs::Kept)));
        assert_eq!(is("<<E\\OF"), Some(("EOF".into(), Text::Verbatim, Tabs::Kept)));
        for word in ["<<", "<<-", "<<<EOF", "a<<EOF", "EOF", "<<'", "<<''"] {
            assert_eq!(is(word), None, "{word}");
        }
    }
}
