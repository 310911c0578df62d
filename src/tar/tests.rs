#![allow(clippy::unwrap_used)]

mod accept;
mod refuse;
mod round_trip;

use std::io::Read;

use super::block;
use super::forge::{Archive, archive, gnu, set, v7};
use super::*;
use crate::error::{Error, ErrorKind, Result};

impl Archive {
    /// Every entry with its content, the number of hidden bytes and the warnings.
    fn read(&self) -> Result<Listing> {
        read(&self.0[..])
    }

    fn names(&self) -> Vec<String> {
        self.read().unwrap().entries.iter().map(|(entry, _)| String::from_utf8(entry.path.clone()).unwrap()).collect()
    }
}

struct Listing {
    entries: Vec<(Entry, Vec<u8>)>,
    hidden: u64,
    warnings: Vec<String>,
}

fn read(source: impl Read) -> Result<Listing> {
    let mut reader = Reader::new(source);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| Error::io("cannot read the content", error))?;
        entries.push((entry, content));
    }
    let hidden = reader.finish()?;
    Ok(Listing { entries, hidden, warnings: reader.warnings().map(str::to_owned).collect() })
}

#[track_caller]
fn refused(archive: &Archive, kind: ErrorKind, why: &str) {
    let error = archive.read().err().unwrap_or_else(|| panic!("must be refused: {why}"));
    let mut lines = error.causes();
    lines.insert(0, error.message().to_owned());
    assert!(error.kind() == kind && lines.iter().any(|line| line.contains(why)), "{:?}: {lines:?}", error.kind());
}

#[track_caller]
fn corrupt(archive: &Archive, why: &str) {
    refused(archive, ErrorKind::Corrupt, why);
}

#[track_caller]
fn unsupported(archive: &Archive, why: &str) {
    refused(archive, ErrorKind::Unsupported, why);
}
