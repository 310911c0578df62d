//! The end of an archive: what stands behind the content, and how it becomes visible.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::dir::Created;
use crate::fsio::durable::{TempFile, sync_dir};
use crate::fsio::{Dir, Lock, Patience};
use crate::spec::text;
use crate::store::Options;

use super::extent::Extent;
use super::pen::Pen;
use super::{SUPERSEDED, frame};

/// Permissions of a new archive.
const FILE_MODE: u32 = 0o644;

/// A file that is or will be an archive.
pub(super) struct Place {
    pub(super) dir: Arc<Dir>,
    pub(super) name: OsString,
    pub(super) file: Arc<File>,
}

/// How an archive stands.
pub(super) enum Standing {
    /// Nobody sees it yet.
    New(TempFile, Replaces),
    /// It is there, and locked.
    There(Lock, Tail),
    /// Making something visible failed: nobody knows what others see.
    Broken,
}

/// What a new archive takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaces {
    Nothing,
    /// As `mktemp` makes one.
    EmptyFile,
}

/// The end of an archive that can be added to.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Where the first of the documents begins: the one block that changes.
    pub(super) begin: u64,
    /// Where new content begins.
    pub(super) end: u64,
    /// Files between the two that must be written again.
    pub(super) carried: Vec<(Vec<u8>, Extent)>,
}

impl Place {
    /// The path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// Writes `documents`, each with its name, and the mark of the end behind content that ends at `at`. Returns the new tail, which nobody sees yet.
    pub(super) fn write_tail(&self, at: u64, carried: &[(Vec<u8>, Extent)], documents: &[(&str, Vec<u8>)], cancel: &Cancel) -> Result<Tail> {
        let path = self.path();
        let mut pen = Pen::new(&self.file, &path, cancel, at);
        for (name, extent) in carried {
            let mut content = Vec::new();
            extent.read(&self.file).read_to_end(&mut content).at("read", &path)?;
            pen.write(&frame::whole(name, &content)?)?;
        }
        let begin = pen.at();
        for (name, content) in documents {
            pen.write(&frame::whole(name.as_bytes(), content)?)?;
        }
        pen.write(&[0; frame::END])?;
        let end = pen.at();
        // What an interrupted writer left behind the end goes.
        self.file.set_len(end).at("write", &path)?;
        Ok(Tail { begin, end, carried: Vec::new() })
    }

    /// Makes visible what was written up to the new `tail`.
    ///
    /// Fails with kind `conflict` where another process was faster to make the archive.
    pub(super) fn appear(&self, standing: Standing, tail: Tail, options: &Options) -> Result<Standing> {
        match standing {
            Standing::New(temp, replaces) => {
                let lock = self.name_it(temp, replaces, options)?;
                Ok(Standing::There(lock, tail))
            }
            Standing::There(lock, before) => {
                self.sync()?;
                // A file from the old documents up to the new content hides them and the mark of the old end.
                let header = frame::file(SUPERSEDED.as_bytes(), before.end - before.begin - frame::BLOCK)?;
                self.file.write_all_at(&header, before.begin).at("write", &self.path())?;
                self.sync()?;
                Ok(Standing::There(lock, tail))
            }
            Standing::Broken => {
                let path = self.path();
                Err(Error::new(ErrorKind::Io, format!("{} could not be written before", text::path(&path))).subject(text::path(&path)))
            }
        }
    }

    fn name_it(&self, temp: TempFile, replaces: Replaces, options: &Options) -> Result<Lock> {
        let path = self.path();
        temp.set_mode(FILE_MODE)?;
        // Locked before it has a name, so that nobody else adds to it first.
        let lock = Lock::exclusive(self.file.try_clone().at("lock", &path)?, &path, &mut Patience::new(options.lock_timeout, options.cancel.clone()))?;
        let name = Path::new(&self.name);
        match replaces {
            Replaces::EmptyFile => temp.persist(&self.dir, name)?,
            Replaces::Nothing => {
                if temp.persist_new(&self.dir, name)? == Created::Existed {
                    let shown = text::path(&path);
                    let error = Error::conflict(format!("{shown} was made by another process meanwhile")).subject(&shown);
                    return Err(error.hint("run the command again: the images are added to what is there now"));
                }
            }
        }
        sync_dir(&self.dir)?;
        Ok(lock)
    }

    fn sync(&self) -> Result<()> {
        rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.file)).at("bring to the disk", &self.path())
    }
}
