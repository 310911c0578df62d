//! Content that is only bytes: hashed in parallel, each file once, the largest first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::exec::{Task, Watched};
use crate::spec::{Compression, DiffId, Digest, Kind};

use super::config::Configured;
use super::document::ends;
use super::graph::{Form, Graph};
use super::{Code, Depth, Outcome, Severity, Verifier, finding, layer};

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// One file to read.
struct Work {
    /// What it was reached as, in order; at least one.
    positions: Vec<usize>,
    readings: Vec<Reading>,
}

/// One way to read a file as a layer.
pub(super) struct Reading {
    pub(super) position: usize,
    pub(super) compression: Compression,
    /// What manifests say, each with its diff ID.
    pub(super) expected: Vec<(usize, DiffId)>,
}

impl Verifier<'_> {
    /// Reads everything that was not read yet.
    pub(super) fn check_blobs(&mut self, configured: &Configured, depth: Depth) -> Result<()> {
        let work = self.work(configured, depth);
        let total = work.iter().fold(0, |sum: u64, work| sum.saturating_add(self.graph.descriptor(work.positions[0]).size));
        let task = self.run.events.start("verify", Some(total));
        for outcome in self.run.pool.try_map(work, |work| self.check_blob(&work, &task))? {
            self.take(outcome);
        }
        Ok(())
    }

    fn work(&self, configured: &Configured, depth: Depth) -> Vec<Work> {
        let mut files: HashMap<(&Digest, u64), usize> = HashMap::new();
        let mut all: Vec<Work> = Vec::new();
        for position in self.graph.positions() {
            if self.graph.form(position) == Form::Document || configured.configs.contains(&position) {
                continue;
            }
            let descriptor = self.graph.descriptor(position);
            let index = *files.entry((&descriptor.digest, descriptor.size)).or_insert(all.len());
            if index == all.len() {
                all.push(Work { positions: Vec::new(), readings: Vec::new() });
            }
            all[index].positions.push(position);
            if depth == Depth::Layers {
                all[index].readings.extend(self.reading(position, &configured.diff_ids));
            }
        }
        // The file that takes longest must not be begun last.
        all.sort_by_key(|work| Reverse(self.graph.descriptor(work.positions[0]).size));
        all
    }

    fn reading(&self, position: usize, diff_ids: &BTreeMap<usize, Vec<(usize, DiffId)>>) -> Option<Reading> {
        let Kind::Layer(media) = Kind::of(&self.graph.descriptor(position).media_type) else { return None };
        let expected = diff_ids.get(&position).cloned().unwrap_or_default();
        (!media.encrypted).then_some(Reading { position, compression: media.compression, expected })
    }

    fn check_blob(&self, work: &Work, task: &Task) -> Result<Outcome> {
        let mut untold = Untold { task, bytes: self.graph.descriptor(work.positions[0]).size };
        let mut pending = Outcome::default();
        for reading in &work.readings {
            let mut outcome = self.check_layer(reading, |bytes| untold.advance(bytes))?;
            pending.findings.append(&mut outcome.findings);
            pending.proved = pending.proved.or(outcome.proved);
        }
        if pending.proved.is_some() {
            return Ok(pending);
        }
        // A layer that cannot be read may be damaged content, and then that is what there is to tell.
        let hashed = self.prove(&work.positions, |bytes| untold.advance(bytes))?;
        Ok(match hashed.proved {
            Some(proved) => Outcome { proved: Some(proved), ..pending },
            None => hashed,
        })
    }

    fn check_layer(&self, reading: &Reading, mut progress: impl FnMut(u64) + Send) -> Result<Outcome> {
        let descriptor = self.graph.descriptor(reading.position);
        let mut seen = 0;
        let opened = self.store.open(descriptor);
        let examined = opened.and_then(|reader| {
            let both = |bytes| {
                seen += bytes;
                progress(bytes);
            };
            layer::examine(reading.compression, Watched::new(reader, self.run.cancel.clone(), both))
        });
        let mut outcome = Outcome::default();
        match examined {
            Err(error) if ends(&error) => return Err(error),
            Err(error) => outcome.error(&self.graph, reading.position, Code::of_layer(&error), finding::line(&error)),
            Ok(examined) => {
                layer::judge(&self.graph, reading, examined, &mut outcome);
                // The reader has compared the digest with the last byte.
                if seen == descriptor.size && seen > 0 {
                    outcome.proved = Some((descriptor.digest.clone(), descriptor.size));
                }
            }
        }
        Ok(outcome)
    }

    /// Hashes the content that was reached as `positions`.
    pub(super) fn prove(&self, positions: &[usize], progress: impl FnMut(u64)) -> Result<Outcome> {
        let descriptor = self.graph.descriptor(positions[0]);
        let read = self
            .store
            .open(descriptor)
            .and_then(|reader| drain(Watched::new(reader, self.run.cancel.clone(), progress)).map_err(|error| Error::io("cannot read it", error)));
        match read {
            Ok(()) => Ok(Outcome::proved(descriptor)),
            Err(error) => damaged(&self.graph, positions, error),
        }
    }
}

/// What is found where content that was reached as `positions` cannot be opened or read. Hands back errors that end the work.
pub(super) fn damaged(graph: &Graph, positions: &[usize], error: Error) -> Result<Outcome> {
    if ends(&error) {
        return Err(error);
    }
    let code = Code::of_content(&error);
    let mut message = finding::line(&error);
    let mut severity = Severity::Error;
    if code == Code::BlobMissing {
        message = "it is missing".to_owned();
        let foreign = |position: &usize| {
            let descriptor = graph.descriptor(*position);
            matches!(Kind::of(&descriptor.media_type), Kind::Layer(media) if media.non_distributable) && !descriptor.urls.is_empty()
        };
        if positions.iter().all(foreign) {
            severity = Severity::Warning;
            message.push_str("; its descriptor says that it may not be distributed and where it can be fetched");
        } else if positions.iter().any(|position| graph.descriptor(*position).data.is_some()) {
            message.push_str("; its descriptor has the content embedded");
        }
    }
    let mut outcome = Outcome::default();
    outcome.finding(graph, positions[0], code, severity, message);
    Ok(outcome)
}

/// What is left to tell of a file's progress: its size once, however often the file is read.
struct Untold<'a> {
    task: &'a Task,
    bytes: u64,
}

impl Untold<'_> {
    fn advance(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.task.advance(bytes);
    }
}

fn drain(mut reader: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}
