//! Layers: decompressed, hashed as tar, and read as tar to the end.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use crate::error::{ErrorKind, Result};
use crate::layer::diff_id::DiffIdReader;
use crate::layer::{decode, tar};
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
    duplicates: usize,
    /// The first path that stands there twice.
    first: Option<Vec<u8>>,
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
    let mut archive = Archive { hidden: 0, duplicates: 0, first: None };
    while let Some(entry) = tar.next_entry()? {
        if !paths.insert(&entry.path) {
            archive.duplicates += 1;
            archive.first.get_or_insert(entry.path);
        }
    }
    archive.hidden = tar.finish()?;
    Ok(archive)
}

/// Paths as hashes of 128 bits under a secret key: 16 bytes each, whatever their length, and no two that an author could make collide.
#[derive(Default)]
struct Paths {
    keys: [RandomState; 2],
    seen: HashSet<[u64; 2]>,
}

impl Paths {
    /// Whether `path` is new.
    fn insert(&mut self, path: &[u8]) -> bool {
        self.seen.insert([self.keys[0].hash_one(path), self.keys[1].hash_one(path)])
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
            if let Some(first) = &archive.first {
                let more = if archive.duplicates > 1 { format!(", and {} more", archive.duplicates - 1) } else { String::new() };
                error(Code::LayerDuplicateEntry, format!("more than one entry has the path `{}`{more}", text::bytes(first)));
            }
        }
    }
}
