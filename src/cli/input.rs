//! Standard input as a store, as a file, and for processes that larder starts. What people type is read in `prompt`.

use std::fs::File;
use std::io::Read as _;
#[cfg(feature = "run")]
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::error::{Error, Result};

/// Stdin for a process that larder starts for itself.
#[cfg(feature = "run")]
pub(crate) fn handle() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// Stdin as a store: an archive that comes through a pipe or from a file. None where a person types, or where there is none.
pub(crate) fn archive() -> Option<Arc<File>> {
    let stdin = rustix::stdio::stdin();
    let stat = rustix::fs::fstat(stdin).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Fifo | FileType::Socket => Some(Arc::new(File::from(rustix::io::fcntl_dupfd_cloexec(stdin, 3).ok()?))),
        _ => None,
    }
}

/// Everything that comes on stdin. Fails with kind `usage` where that is more than `most` bytes.
pub(crate) fn content(most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::io("cannot read stdin", error))?;
    match bytes.len() > most {
        true => Err(Error::usage(format!("what comes on stdin is more than {most} bytes, the limit for a specification"))),
        false => Ok(bytes),
    }
}
