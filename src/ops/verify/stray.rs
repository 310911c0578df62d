//! What lies below `blobs` and is no content. Content that no entry leads to is not strange: it waits for its name or for garbage collection.

use std::path::Path;

use rustix::fs::FileType;

use crate::error::{Error, ErrorKind, Result};
use crate::fsio::Dir;
use crate::spec::{Digest, text};

use super::{Code, Finding, Severity, Verifier, finding};

const BLOBS: &str = "blobs";

impl Verifier<'_> {
    /// Lists `blobs` of a layout and warns of everything whose name and type are not those of content.
    pub(super) fn look_for_strays(&mut self) {
        let Some(directory) = self.directory else { return };
        let listed = Dir::open(directory).and_then(|root| self.strays(&root));
        let position = self.graph.positions().end;
        let found = listed.unwrap_or_else(|error| vec![unreadable(Path::new(BLOBS), &error)]);
        self.findings.extend(found.into_iter().map(|finding| (position, finding)));
    }

    fn strays(&self, root: &Dir) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        if root.kind(Path::new(BLOBS))?.is_none() {
            return Ok(found);
        }
        for (algorithm, kind) in root.open_below(Path::new(BLOBS))?.entries()? {
            let path = Path::new(BLOBS).join(&algorithm);
            let known = algorithm.to_str().filter(|algorithm| is_digest(algorithm, &"0".repeat(hex_digits(algorithm))));
            match (known, kind) {
                (Some(algorithm), FileType::Directory) => match root.open_below(&path).and_then(|dir| dir.entries()) {
                    Ok(entries) => self.stray_entries(algorithm, &path, entries, &mut found),
                    Err(error) => found.push(unreadable(&path, &error)),
                },
                _ => found.push(unexpected(&path, "it is not a directory named after a digest algorithm")),
            }
        }
        Ok(found)
    }

    fn stray_entries(&self, algorithm: &str, directory: &Path, entries: Vec<(std::ffi::OsString, FileType)>, found: &mut Vec<Finding>) {
        let digests = self.graph.digests();
        for (name, kind) in entries {
            let digest = name.to_str().and_then(|encoded| format!("{algorithm}:{encoded}").parse::<Digest>().ok());
            match digest {
                None => found.push(unexpected(&directory.join(name), "its name is not that of a digest")),
                // What is needed was reported when it was opened.
                Some(digest) if kind != FileType::RegularFile && !digests.contains(&digest) => {
                    found.push(unexpected(&directory.join(name), "it is not a regular file"));
                }
                Some(_) => {}
            }
        }
    }
}

fn is_digest(algorithm: &str, encoded: &str) -> bool {
    format!("{algorithm}:{encoded}").parse::<Digest>().is_ok()
}

fn hex_digits(algorithm: &str) -> usize {
    if algorithm == "sha512" { 128 } else { 64 }
}

fn unexpected(path: &Path, message: &str) -> Finding {
    Finding { code: Code::UnexpectedFile, severity: Severity::Warning, subject: shown(path), chain: Vec::new(), message: message.to_owned() }
}

fn unreadable(path: &Path, error: &Error) -> Finding {
    let code = if error.kind() == ErrorKind::Corrupt { Code::NotAFile } else { Code::Io };
    Finding { code, severity: Severity::Error, subject: shown(path), chain: Vec::new(), message: finding::line(error) }
}

fn shown(path: &Path) -> String {
    text::path(path).into_owned()
}
