//! `COPY` and `ADD` with every variable expanded.

use super::SourceId;
use super::scope::{Given, Scope};
use super::settings::Settings;
use crate::build::dockerfile::chmod::Chmod;
use crate::build::dockerfile::expand::{Lexer, Quotes};
use crate::build::dockerfile::instruction::{CopySpec, Document, Mode, Paths, Remark, Text, Verb};
use crate::build::place::At;
use crate::error::{ErrorKind, Result};
use crate::spec::text;

/// What to copy, from where, and to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyPlan {
    /// `COPY` or `ADD`.
    pub verb: Verb,
    /// Where the sources are.
    pub from: SourceId,
    /// Paths and patterns.
    pub sources: Vec<At<String>>,
    /// Files given in the instruction.
    pub documents: Vec<DocumentPlan>,
    /// Where it goes: absolute, with a `/` at the end where it is a directory to put things into.
    pub to: At<String>,
    /// Whom it belongs to, as written; without it everything from a context belongs to root, and what else is copied stays whose it is.
    pub chown: Option<At<String>>,
    /// Permission bits.
    pub chmod: Option<Chmod>,
    /// How it stands to what is there.
    pub mode: Mode,
    /// How much of the path of a source is kept.
    pub paths: Paths,
    /// Patterns of what is left out.
    pub exclude: Vec<At<String>>,
}

/// A file given in the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentPlan {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// The copy, and what history says of it.
pub(super) fn plan(settings: &Settings, given: &Given, spec: &CopySpec, from: SourceId, remarks: &mut Vec<Remark>) -> Result<(CopyPlan, String)> {
    let scope = &settings.scope;
    let mut expand = |written: &At<String>| Ok(At::new(scope.expand(given, written, remarks)?.text, written.place.clone()));
    let sources = spec.sources.iter().map(&mut expand).collect::<Result<Vec<_>>>()?;
    let exclude = spec.exclude.iter().map(&mut expand).collect::<Result<Vec<_>>>()?;
    let chown = spec.chown.as_ref().map(&mut expand).transpose()?.filter(|chown| !chown.value.is_empty());
    let chmod = spec.chmod.as_ref().map(&mut expand).transpose()?.filter(|chmod| !chmod.value.is_empty());
    let written_to = expand(&spec.to)?;
    sources.iter().try_for_each(|source| refuse_downloads(spec.verb, source))?;
    if let Some(place) = &spec.of_downloads {
        let error = place.error(ErrorKind::Unsupported, "this flag is for what is downloaded, and a build downloads nothing");
        return Err(error.hint(BEFOREHAND));
    }
    let documents = spec.documents.iter().map(|document| content(scope, document, remarks)).collect::<Result<Vec<_>>>()?;

    let mut said = spec.verb.name().to_owned();
    if spec.paths == Paths::Parents {
        said.push_str(" --parents");
    }
    for (flag, value) in [("chown", &chown), ("chmod", &chmod)] {
        if let Some(value) = value {
            said.push_str(&format!(" --{flag}={}", value.value));
        }
    }
    sources.iter().for_each(|source| said.push_str(&format!(" {}", source.value)));
    documents.iter().for_each(|document| said.push_str(&format!(" <<{}", document.name)));
    said.push_str(&format!(" {} # buildkit", written_to.value));

    let chmod = chmod.map(|chmod| Chmod::parse(&chmod)).transpose()?;
    // BuildKit takes `--chmod` for a copy that has to know what is there.
    let mode = if chmod.is_some() { Mode::Onto } else { spec.mode };
    let to = At::new(destination(settings, &written_to.value), written_to.place);
    Ok((CopyPlan { verb: spec.verb, from, sources, documents, to, chown, chmod, mode, paths: spec.paths, exclude }, said))
}

/// The destination from the root, with the `/` at its end.
fn destination(settings: &Settings, written: &str) -> String {
    let mut to = settings.absolute(written);
    let into = written.is_empty() || written.ends_with('/') || matches!(written.rsplit('/').next(), Some("." | ".."));
    if into && !to.ends_with('/') {
        to.push('/');
    }
    to
}

fn content(scope: &Scope, document: &Document, remarks: &mut Vec<Remark>) -> Result<DocumentPlan> {
    let content = match document.text {
        Text::Verbatim => document.content.value.clone(),
        Text::Expanded => scope.expand_with(&Lexer { quotes: Quotes::Ignored, ..Lexer::new('\\') }, &document.content, remarks)?.text,
    };
    Ok(DocumentPlan { name: document.name.clone(), content })
}

/// What to do in the place of a download.
const BEFOREHAND: &str = "download it beforehand, check it, put it into the context and ADD it from there";

/// Nothing is downloaded while an image is built.
fn refuse_downloads(verb: Verb, source: &At<String>) -> Result<()> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| source.value.starts_with(prefix));
    let shown = text::shown(&source.value);
    if starts(&["http://", "https://", "git://", "ssh://", "git@"]) {
        let error = source.place.error(ErrorKind::Unsupported, format!("`{shown}` would have to be downloaded, and a build downloads nothing"));
        return Err(match verb {
            Verb::Copy => error.hint("COPY takes files of the context, of stages and of images"),
            Verb::Add | Verb::AddAsIs => error.hint(BEFOREHAND),
        });
    }
    Ok(())
}
