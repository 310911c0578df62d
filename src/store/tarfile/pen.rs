//! Writing one run of bytes behind the other, at an offset of its own: any number of threads write to one file at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::error::{Error, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::{VerifyingReader, WriteBack};
use crate::spec::Descriptor;

/// What is read at once while content is written.
const CHUNK: usize = 1 << 20;

/// A place in a file where writing goes on.
pub(in crate::store) struct Pen<'a> {
    file: &'a File,
    path: &'a Path,
    cancel: &'a Cancel,
    at: u64,
    write_back: WriteBack,
}

impl<'a> Pen<'a> {
    /// Begins at `at` in `file`, which has the name `path` in messages.
    pub(in crate::store) fn new(file: &'a File, path: &'a Path, cancel: &'a Cancel, at: u64) -> Self {
        Pen { file, path, cancel, at, write_back: WriteBack::from(at) }
    }

    /// Where the next byte goes.
    pub(in crate::store) fn at(&self) -> u64 {
        self.at
    }

    /// Writes `bytes`.
    pub(in crate::store) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.cancel.check()?;
        self.file.write_all_at(bytes, self.at).at("write", self.path)?;
        self.at += bytes.len() as u64;
        self.write_back.written(self.file, self.at);
        Ok(())
    }
}

/// Hands the content that `descriptor` names to `write`, piece by piece, and proves it on the way. Kinds: `corrupt` where it is something else; `unsupported`
/// for a digest that cannot be computed; those of `content` and of `write`.
pub(in crate::store) fn copy_verified(descriptor: &Descriptor, content: &mut dyn Read, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut content = VerifyingReader::new(content, descriptor.digest.clone(), descriptor.size)?;
    let mut buffer = vec![0; usize::try_from(descriptor.size).unwrap_or(CHUNK).clamp(1, CHUNK)];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => write(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(format!("cannot read {}", descriptor.digest), error)),
        }
    }
}
