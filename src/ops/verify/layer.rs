//! Layers: decompressed, hashed as tar, and read as tar to the end.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use crate::error::{ErrorKind, Result};
use crate::layer::diff_id::DiffIdReader;
use crate::layer::{EntryKind, decode, tar};
use crate::spec::{Algorithm, Compression, DiffId, text};

use super::blob::Reading;
use super::graph::Graph;
use super::{Code, Finding, Outcome, Severity, finding};

/// What a layer is.
pub(super) struct Examined {
    diff_id: DiffId,
    /// Fails where the tar cannot be read.
    archive: Result<Archive>,
}

/// What a tar has that it should not have.
struct Archive {
    hidden: u64,
    /// Paths that stand there twice.
    duplicates: Seen,
    /// Paths that are no directory and have something below them.
    conflicts: Seen,
}

/// How often something was seen, and where first.
#[derive(Default)]
struct Seen {
    count: usize,
    first: Option<Vec<u8>>,
}

impl Seen {
    fn add(&mut self, path: &[u8]) {
        self.count += 1;
        self.first.get_or_insert_with(|| path.to_vec());
    }

    /// The first path, and how many more there are. None where there is none.
    fn line(&self) -> Option<String> {
        let first = text::bytes(self.first.as_ref()?);
        let more = if self.count > 1 { format!(", and {} more", self.count - 1) } else { String::new() };
        Some(format!("`{first}`{more}"))
    }
}

/// Reads a layer to its end. Fails where the stream ends it: damage of the compression, or what `reader` fails with.
pub(super) fn examine(compression: Compression, reader: impl Read + Send) -> Result<Examined> {
    let mut tar = tar::Reader::new(DiffIdReader::new(decode::decoder(compression, reader)?));
    let archive = read(&mut tar);
    let archive = match archive {
        Err(error) if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => return Err(error),
        archive => archive,
    };
    // A tar that cannot be read may still be the tar that the config means.
    match (tar.into_source().finish(), archive) {
        (Ok((diff_id, _)), archive) => Ok(Examined { diff_id, archive }),
        (Err(_), Err(error)) | (Err(error), Ok(_)) => Err(error),
    }
}

fn read(tar: &mut tar::Reader<impl Read>) -> Result<Archive> {
    let mut paths = Paths::default();
    let mut archive = Archive { hidden: 0, duplicates: Seen::default(), conflicts: Seen::default() };
    while let Some(entry) = tar.next_entry()? {
        if !paths.insert(&entry.path, entry.kind == EntryKind::Directory, &mut archive.conflicts) {
            archive.duplicates.add(&entry.path);
        }
    }
    archive.hidden = tar.finish()?;
    Ok(archive)
}

/// Paths as hashes of 128 bits under a secret key: 16 bytes each, whatever their length, and no two that an author could make collide.
#[derive(Default)]
struct Paths {
    keys: [RandomState; 2],
    seen: HashSet<Key>,
    directories: HashSet<Key>,
    /// What something is below.
    parents: HashSet<Key>,
}

type Key = [u64; 2];

impl Paths {
    /// Whether `path` is new. Adds to `conflicts` each path that is both a parent and no directory, when the second of the two is seen.
    fn insert(&mut self, path: &[u8], is_directory: bool, conflicts: &mut Seen) -> bool {
        let key = self.key(path);
        if is_directory {
            self.directories.insert(key);
        } else if self.parents.contains(&key) {
            conflicts.add(path);
        }
        for (end, _) in path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/') {
            let parent = self.key(&path[..end]);
            // What is above a known parent is known too.
            if !self.parents.insert(parent) {
                break;
            }
            if self.seen.contains(&parent) && !self.directories.contains(&parent) {
                conflicts.add(&path[..end]);
            }
        }
        self.seen.insert(key)
    }

    fn key(&self, path: &[u8]) -> Key {
        [self.keys[0].hash_one(path), self.keys[1].hash_one(path)]
    }
}

/// Turns what a layer is into findings.
pub(super) fn judge(graph: &Graph, reading: &Reading, examined: Examined, outcome: &mut Outcome) {
    for (manifest, expected) in &reading.expected {
        let found = if *expected.0.algorithm() != Algorithm::Sha256 {
            (Code::UnsupportedDigest, format!("its diff ID is said to be {expected}, and larder computes only those of sha256"))
        } else if *expected != examined.diff_id {
            (Code::DiffIdMismatch, format!("its diff ID is {}, the image config says {expected}", examined.diff_id))
        } else {
            continue;
        };
        let (subject, chain) = (graph.descriptor(reading.position).digest.to_string(), graph.chain_below(*manifest));
        outcome.findings.push((reading.position, Finding { code: found.0, severity: Severity::Error, subject, chain, message: found.1 }));
    }
    let mut error = |code, message| outcome.error(graph, reading.position, code, message);
    match examined.archive {
        Err(why) => error(Code::of_layer(&why), finding::line(&why)),
        Ok(archive) => {
            if archive.hidden > 0 {
                error(Code::LayerHiddenData, format!("{} bytes that are not zero stand where no reader of the tar looks", archive.hidden));
            }
            if let Some(paths) = archive.duplicates.line() {
                error(Code::LayerDuplicateEntry, format!("more than one entry has the path {paths}"));
            }
            if let Some(paths) = archive.conflicts.line() {
                error(Code::LayerPathConflict, format!("it has something below a path that is no directory: {paths}"));
            }
        }
    }
}
