//! Rust sources as text: what remains when comments, literals and tests are taken away, and the paths that it names.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file of the crate.
pub(super) struct Source {
    /// Relative to `src/`, with slashes.
    pub(super) name: String,
    /// Without comments, contents of literals, and items under `#[cfg(test)]`.
    pub(super) code: String,
}

impl Source {
    /// A file as it would be at `name`.
    pub(super) fn new(name: &str, text: &str) -> Self {
        Source { name: name.to_owned(), code: without_tests(&without_comments_and_literals(text)).0 }
    }

    /// All sources below `src/`, except those that are modules of tests.
    pub(super) fn all() -> Vec<Source> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut tests = Vec::new();
        let mut sources = Vec::new();
        for path in rust_files(&root) {
            let text = fs::read_to_string(&path).expect("a source is text");
            let relative = path.strip_prefix(&root).expect("found below it").to_str().expect("ASCII");
            let (code, modules) = without_tests(&without_comments_and_literals(&text));
            tests.extend(modules.iter().map(|module| submodule(relative, module)));
            sources.push(Source { name: relative.to_owned(), code });
        }
        sources.retain(|source| !tests.iter().any(|test| source.name == format!("{test}.rs") || source.name.starts_with(&format!("{test}/"))));
        assert!(sources.len() > 20, "the sources are found");
        sources
    }

    /// The module this file is: `["store", "layout"]`.
    pub(super) fn module(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.name.trim_end_matches(".rs").split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
            parts.pop();
        }
        parts
    }

    /// The places inside the crate that the file names through `crate::` and `super::`, as paths from the root.
    pub(super) fn paths(&self) -> Vec<Vec<String>> {
        let tokens = tokens(&self.code);
        let module: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        let mut paths = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let inside_a_path = at > 0 && tokens[at - 1] == "::";
            if inside_a_path || !matches!(tokens[at], "crate" | "super") || tokens.get(at + 1) != Some(&"::") {
                at += 1;
                continue;
            }
            let mut prefix = if tokens[at] == "crate" { Vec::new() } else { parent(&module) };
            at += 2;
            while tokens.get(at) == Some(&"super") {
                prefix = parent(&prefix);
                at += 2;
            }
            at = tree(&tokens, at, prefix, &mut paths);
        }
        paths
    }
}

/// Every Rust file below `directory`, in order.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    entries.sort();
    let files = entries.into_iter().flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Where `mod name;` in the file `parent` leads to, without `.rs`.
fn submodule(parent: &str, name: &str) -> String {
    let stem = parent.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((directory, "mod")) => format!("{directory}/{name}"),
        None if matches!(stem, "lib" | "main" | "mod") => name.to_owned(),
        _ => format!("{stem}/{name}"),
    }
}

fn parent(module: &[String]) -> Vec<String> {
    module[..module.len().saturating_sub(1)].to_vec()
}

/// Reads the path or use tree at `at` behind `prefix`; returns where it ends.
fn tree(tokens: &[&str], mut at: usize, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = tree(tokens, at, path.clone(), paths);
                    // Renamings end in two words that are no path.
                    while at < tokens.len() && !matches!(tokens[at], "," | "}") {
                        at += 1;
                    }
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some(&"self") => {}
            Some(word) if word.starts_with(is_word) => path.push((*word).to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    paths.push(path);
    at
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Words, `::` and single other characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// `text` without comments; string and character literals are left empty.
fn without_comments_and_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = out.ends_with(is_word);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !after_word) {
            out.push_str("\"\"");
            length
        } else if first == '"' {
            out.push_str("\"\"");
            quoted(rest, '"')
        } else if let Some(length) = character(rest) {
            out.push_str("''");
            length
        } else {
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            match rest.chars().next() {
                Some(character) => at += character.len_utf8(),
                None => return at,
            }
        }
    }
}

/// The length of `r"…"`, `br#"…"#` and the like at the beginning of `text`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// The length of a literal between `quote`s at the beginning of `text`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal at the beginning of `text`; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let first = body.chars().next()?;
    (first == '\\' || body[first.len_utf8()..].starts_with('\'')).then(|| quoted(text, '\''))
}

/// `code` without what is under `#[cfg(test)]`, and the modules that stand there as `mod name;`.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut modules = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let length = item_length(item);
        let words = tokens(&item[..length]);
        if let [.., "mod", name, ";"] = words[..] {
            modules.push(name.to_owned());
        }
        rest = &item[length..];
    }
    out.push_str(rest);
    (out, modules)
}

/// The length of an item: up to a semicolon, or the end of its block.
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in item.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && character == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[test]
fn comments_literals_and_tests_are_taken_away() {
    let text = r##"
        //! rayon
        /* rayon /* rayon */ rayon */
        fn real<'a>(x: &'a str) -> char { let _ = ("rayon \" rayon", r#"rayon " rayon"#, b"rayon", '"', '\'', 'x'); kept() }
        #[cfg(test)]
        #[derive(Debug)]
        struct Gone([u8; 2]);
        #[cfg(test)]
        mod tests { fn rayon() { {} } }
        #[cfg(test)]
        mod elsewhere;
        fn last<'a>() {}
    "##;
    let (code, modules) = without_tests(&without_comments_and_literals(text));
    assert!(!code.contains("rayon") && !code.contains("Gone"), "{code}");
    assert!(code.contains("kept()") && code.contains("fn last<'a>() {}"), "{code}");
    assert_eq!(modules, ["elsewhere"]);
    assert_eq!(submodule("store/layout/mod.rs", "tests"), "store/layout/tests");
    assert_eq!(submodule("cli/progress.rs", "tests"), "cli/progress/tests");
    assert_eq!(submodule("lib.rs", "cli"), "cli");
}

#[test]
fn paths_are_read_from_uses_and_expressions() {
    let text = "
        use crate::spec::{self, digest::{Digest, Hasher as H}, text};
        use super::memory;
        use super::super::exec::Run;
        pub(crate) fn f() -> crate::error::Result<()> { self::g(); super::location::parse::<u8>() }
    ";
    let source = Source::new("store/layout.rs", text);
    let paths: Vec<String> = source.paths().iter().map(|path| path.join("::")).collect();
    assert_eq!(
        paths,
        ["spec", "spec::digest::Digest", "spec::digest::Hasher", "spec::text", "store::memory", "exec::Run", "error::Result", "store::location::parse"]
    );
}
