//! Proving every byte of a store: what `verify` finds.
//!
//! Everything that can be reached from the chosen entries is read and hashed, documents are held against their rules, and configs against the
//! manifests that name them; on request layers are decompressed and read as tar to their ends. What is wrong becomes a [`Finding`], never the
//! end of the work: only a store that cannot be opened, a name that does not exist and a request to stop are errors. Nothing is changed.
//!
//! Memory grows with the number of descriptors, not with the size of blobs; with [`Depth::Layers`] also with the number of entries in the layers
//! that are read at the same time. image-spec, image-layout.md, and the rules of [`crate::spec`] and [`crate::layer::tar`].

mod blob;
mod config;
mod document;
mod finding;
mod graph;
mod layer;
mod stray;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::fs::FileType;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::fsio::Dir;
use crate::graph::{find, lost};
use crate::spec::{Descriptor, Digest, Kind, Selector, shape};
use crate::store::{Layout, Location, Options, Source, transport};

pub use super::absent::Absent;
pub(super) use finding::line;
pub use finding::{Code, Finding, Severity};

use graph::Graph;

/// What to verify.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// The layout or archive, and the entry in it that is meant; without one all of them, and what lies beside their content.
    pub location: Location,
    /// How closely to look.
    pub depth: Depth,
    /// What it means where an index lists manifests that are not there. An index of which nothing is there is damage all the same.
    pub absent: Absent,
    /// How it is opened.
    pub options: Options,
}

/// How closely content is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Sizes, digests and documents.
    #[default]
    Content,
    /// Layers are also decompressed, compared with their diff IDs and read as tar.
    Layers,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The layout or archive.
    pub location: String,
    /// How many digests the entries lead to.
    pub blobs: usize,
    /// How many bytes are what their digests say.
    pub bytes: u64,
    /// How many manifests that an index lists are not there, where that is allowed.
    pub left_out: usize,
    /// The names of images that are not whole, in the order of the entries. Foreign text.
    pub damaged: Vec<String>,
    /// What is wrong: errors first, then in the order of the entries and of what they lead to.
    pub findings: Vec<Finding>,
    /// Whether layers were decompressed and read.
    pub deep: bool,
}

impl VerifyReport {
    /// The kind of error that the findings amount to: `corrupt` before `io` before `unsupported`; none where there are warnings at most.
    pub fn verdict(&self) -> Option<ErrorKind> {
        let kinds: Vec<ErrorKind> = self.errors().map(|finding| finding.code.kind()).collect();
        [ErrorKind::Corrupt, ErrorKind::Io, ErrorKind::Unsupported].into_iter().find(|kind| kinds.contains(kind))
    }

    /// The findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// What all steps work with.
struct Verifier<'a> {
    run: &'a Run,
    store: Box<dyn Source>,
    /// Where the store is a layout: its directory, to look at files.
    directory: Option<&'a Path>,
    graph: Graph,
    absent: Absent,
    /// What indexes list and is not there, as is allowed.
    left_out: BTreeSet<Digest>,
    /// Each with the position in the graph of what it is about, so that the order does not depend on threads.
    findings: Vec<(usize, Finding)>,
    proved: BTreeMap<Digest, u64>,
}

/// What became of one piece of work: what it found, and what it proved.
#[derive(Debug, Default)]
struct Outcome {
    findings: Vec<(usize, Finding)>,
    proved: Option<(Digest, u64)>,
}

/// Verifies a layout, an archive, or one of its entries.
///
/// Kinds: those of [`Transport::source`](crate::store::transport::Transport::source) and [`Selector::select`], and `interrupted`. All else is a finding.
pub fn execute(run: &Run, request: &VerifyRequest) -> Result<VerifyReport> {
    let VerifyRequest { location, absent, .. } = request;
    let absent = *absent;
    // A directory without its `oci-layout` is a damaged layout, and says how it is mended.
    let directory = location.layout().ok().filter(|path| location.scheme().is_some() || path.is_dir());
    let layout = directory.map(|path| Layout::open(path, request.options.clone())).transpose()?;
    let store: Box<dyn Source> = match &layout {
        Some(layout) => Box::new(layout.clone()),
        None => transport::source(location, &request.options)?,
    };
    let mut verifier =
        Verifier { run, store, directory, graph: Graph::default(), absent, left_out: BTreeSet::new(), findings: Vec::new(), proved: BTreeMap::new() };
    if let Some(entries) = verifier.entries(location.selector())? {
        let documents = verifier.graph.enter(entries);
        let images = verifier.walk(documents)?;
        let images = verifier.check_configs(images)?;
        verifier.check_blobs(&images, request.depth)?;
    } else if let Some(layout) = &layout {
        verifier.look_for_lost(layout)?;
    }
    if *location.selector() == Selector::Only {
        verifier.look_for_strays();
        verifier.look_beside();
    }
    Ok(verifier.report(request))
}

impl Verifier<'_> {
    /// The entries that are meant; none where `index.json` cannot be read, which is a finding.
    fn entries(&mut self, selector: &Selector) -> Result<Option<Vec<Descriptor>>> {
        let index = match self.store.index() {
            Ok(index) => index,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let code = self.code_of_index(&error);
                self.add(0, code, Severity::Error, INDEX, Vec::new(), finding::line(&error));
                return Ok(None);
            }
        };
        match selector {
            Selector::Only => Ok(Some(index.manifests)),
            selector => match find::select(&*self.store, &index, selector) {
                Ok(entry) => Ok(Some(vec![entry])),
                Err(error) => Err(error.context(format!("cannot find what to verify in {}", self.store.location()))),
            },
        }
    }

    /// Tells which images there are where no name can be read: what there is to give names to.
    fn look_for_lost(&mut self, layout: &Layout) -> Result<()> {
        for document in lost::topmost(self.run, layout)? {
            let what = if Kind::of(&document.media_type) == Kind::Index { "an index" } else { "a manifest" };
            self.add(0, Code::Nameless, Severity::Warning, document.digest.as_str(), Vec::new(), format!("{what} that nothing leads to"));
        }
        Ok(())
    }

    fn code_of_index(&self, error: &Error) -> Code {
        let kind = |directory| Dir::open(directory).and_then(|root| root.kind(Path::new(INDEX))).ok().flatten();
        match error.kind() {
            ErrorKind::Corrupt => match self.directory.and_then(kind) {
                Some(kind) if kind != FileType::RegularFile => Code::NotAFile,
                _ if shape::is_ambiguous(error) => Code::DocumentAmbiguous,
                _ => Code::DocumentInvalid,
            },
            ErrorKind::Unsupported => Code::DocumentUnsupported,
            _ => Code::Io,
        }
    }

    fn add(&mut self, position: usize, code: Code, severity: Severity, subject: &str, chain: Vec<String>, message: String) {
        self.findings.push((position, Finding { code, severity, subject: subject.to_owned(), chain, message }));
    }

    /// Warns of what the store itself has to remark.
    fn look_beside(&mut self) {
        let position = self.graph.positions().end;
        let location = self.store.location();
        match self.store.remarks() {
            Ok(remarks) => remarks.into_iter().for_each(|remark| self.add(position, Code::Remark, Severity::Warning, &location, Vec::new(), remark)),
            Err(error) => self.add(position, Code::Io, Severity::Error, &location, Vec::new(), finding::line(&error)),
        }
    }

    fn take(&mut self, outcome: Outcome) {
        self.findings.extend(outcome.findings);
        self.proved.extend(outcome.proved);
    }

    fn report(mut self, request: &VerifyRequest) -> VerifyReport {
        self.findings.sort_by_key(|(position, finding)| (finding.severity, *position));
        let wrong = self.findings.iter().filter(|(_, finding)| finding.severity == Severity::Error).map(|(position, _)| *position);
        let damaged = self.graph.names_above(wrong);
        // Content can be reached as several things, and is then the same damage each time.
        let mut seen = BTreeSet::new();
        let findings = self.findings.into_iter().map(|(_, finding)| finding);
        let findings = findings.filter(|finding| seen.insert((finding.code, finding.subject.clone(), finding.message.clone()))).collect();
        VerifyReport {
            location: self.store.location(),
            blobs: self.graph.digests().len(),
            bytes: self.proved.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
            left_out: self.left_out.len(),
            damaged,
            findings,
            deep: request.depth == Depth::Layers,
        }
    }
}

impl Outcome {
    /// Content that is what its digest says.
    fn proved(descriptor: &Descriptor) -> Self {
        Outcome { findings: Vec::new(), proved: Some((descriptor.digest.clone(), descriptor.size)) }
    }

    /// Adds an error about the content at `position`.
    fn error(&mut self, graph: &Graph, position: usize, code: Code, message: String) {
        self.finding(graph, position, code, Severity::Error, message);
    }

    /// Adds a finding about the content at `position`.
    fn finding(&mut self, graph: &Graph, position: usize, code: Code, severity: Severity, message: String) {
        let subject = graph.descriptor(position).digest.to_string();
        self.findings.push((position, Finding { code, severity, subject, chain: graph.chain(position), message }));
    }
}

const INDEX: &str = "index.json";
