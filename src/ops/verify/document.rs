//! Manifests and indexes: read once each, level by level, so that one level is read in parallel and the shortest way to everything is found first.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Descriptor, Digest, Kind, Node, limits, links, shape};

use super::graph::Form;
use super::{Absent, Code, Finding, Graph, Outcome, Severity, Verifier, blob, finding};

/// A manifest that was read: positions in the graph.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) manifest: usize,
    pub(super) config: usize,
    /// Bottom first.
    pub(super) layers: Vec<usize>,
}

/// What a document says.
struct Contents {
    children: Vec<Node>,
    subject: Option<Descriptor>,
}

impl Verifier<'_> {
    /// Reads the documents at `level` and all that they lead to. Returns the manifests.
    pub(super) fn walk(&mut self, mut level: Vec<usize>) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        while !level.is_empty() {
            self.run.cancel.check()?;
            let read = self.run.pool.try_map(level, |position| self.read_document(position).map(|(contents, outcome)| (position, contents, outcome)))?;
            let mut next = Vec::new();
            for (position, contents, outcome) in read {
                self.take(outcome);
                if let Some(mut contents) = contents {
                    self.leave_out(position, &mut contents.children);
                    self.follow(position, contents, &mut next, &mut images);
                }
            }
            level = next;
        }
        Ok(images)
    }

    fn read_document(&self, position: usize) -> Result<(Option<Contents>, Outcome)> {
        let descriptor = self.graph.descriptor(position);
        if self.graph.nesting(position) > limits::INDEX_DEPTH {
            let mut outcome = Outcome::default();
            let message = format!("indexes are nested more than {} deep; what lies below is not looked at", limits::INDEX_DEPTH);
            outcome.error(&self.graph, position, Code::NestingTooDeep, message);
            return Ok((None, outcome));
        }
        let (bytes, mut outcome) = self.read_verified(position, limits::MANIFEST_BYTES)?;
        let Some(bytes) = bytes else { return Ok((None, outcome)) };
        let read = links::children(descriptor, &bytes).and_then(|children| links::subject(descriptor, &bytes).map(|subject| Contents { children, subject }));
        match read {
            Ok(contents) => {
                for warning in shape::warnings(&bytes) {
                    outcome.finding(&self.graph, position, Code::DocumentInvalid, Severity::Warning, warning.to_owned());
                }
                Ok((Some(contents), outcome))
            }
            Err(error) => {
                outcome.error(&self.graph, position, Code::of_document(&error), finding::line(&error));
                Ok((None, outcome))
            }
        }
    }

    /// The content at `position` where it is what its digest says and at most `limit` bytes.
    pub(super) fn read_verified(&self, position: usize, limit: usize) -> Result<(Option<Vec<u8>>, Outcome)> {
        let descriptor = self.graph.descriptor(position);
        if descriptor.size > limit as u64 {
            let mut outcome = self.prove(&[position], |_| {})?;
            if outcome.proved.is_some() {
                outcome.error(&self.graph, position, Code::DocumentInvalid, format!("it has {} bytes, more than the limit of {limit} bytes", descriptor.size));
            }
            return Ok((None, outcome));
        }
        match self.store.read(descriptor, limit) {
            Ok(bytes) => Ok((Some(bytes), Outcome::proved(descriptor))),
            Err(error) => Ok((None, blob::damaged(&self.graph, &[position], error)?)),
        }
    }

    /// Takes from the children of an index those that are not there, where that is allowed and others are.
    fn leave_out(&mut self, parent: usize, children: &mut Vec<Node>) {
        if self.absent == Absent::Damage || Kind::of(&self.graph.descriptor(parent).media_type) != Kind::Index {
            return;
        }
        // Every other error of looking is found again by reading.
        let is_there = |child: &Node| !self.store.open(&child.descriptor).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let (there, absent): (Vec<Node>, Vec<Node>) = children.iter().cloned().partition(is_there);
        if !there.is_empty() {
            *children = there;
            self.left_out.extend(absent.into_iter().map(|child| child.descriptor.digest));
        }
    }

    fn follow(&mut self, parent: usize, contents: Contents, documents: &mut Vec<usize>, images: &mut Vec<Image>) {
        let mut positions = Vec::with_capacity(contents.children.len());
        for child in contents.children {
            let (position, new) = self.graph.follow(child, parent);
            if new && self.graph.form(position) == Form::Document {
                documents.push(position);
            }
            positions.push(position);
        }
        // The first child of a manifest is its config.
        if Kind::of(&self.graph.descriptor(parent).media_type) == Kind::Manifest
            && let Some((config, layers)) = positions.split_first()
        {
            images.push(Image { manifest: parent, config: *config, layers: layers.to_vec() });
        }
        if let Some(subject) = contents.subject {
            self.check_subject(parent, &subject);
        }
    }

    /// What a document is attached to may lie elsewhere; it is no part of the image.
    fn check_subject(&mut self, parent: usize, subject: &Descriptor) {
        let warn = |graph: &Graph, digest: &Digest, code, message| {
            let finding = Finding { code, severity: Severity::Warning, subject: digest.to_string(), chain: graph.chain_below(parent), message };
            (parent, finding)
        };
        let found = match self.store.open(subject) {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                warn(&self.graph, &subject.digest, Code::BlobMissing, "what the document is attached to is not there".to_owned())
            }
            Err(error) => warn(&self.graph, &subject.digest, Code::of_content(&error), finding::line(&error)),
        };
        self.findings.push(found);
    }
}

/// Errors that end the work rather than become findings.
pub(super) fn ends(error: &Error) -> bool {
    error.kind() == ErrorKind::Interrupted
}
