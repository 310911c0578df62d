//! Standard input: the only file that knows it.

use std::fs::File;
#[cfg(feature = "sync")]
use std::io::Read as _;
#[cfg(feature = "run")]
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::FileType;

#[cfg(feature = "sync")]
use crate::error::{Error, Result};
#[cfg(feature = "sync")]
use crate::store::registry::Secret;

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

/// The longest secret: 64 KiB. Tokens with many rights have a few KiB.
#[cfg(feature = "sync")]
const SECRET_BYTES: u64 = 64 << 10;

/// A secret that comes on stdin, without the end of its line. Fails with kind `usage` where there is none, or something else.
#[cfg(feature = "sync")]
pub(crate) fn secret() -> Result<Secret> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(SECRET_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| Error::io("cannot read the password from stdin", error))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret.is_empty() || secret.contains(['\r', '\n']) || text.len() as u64 > SECRET_BYTES {
        true => Err(Error::usage("there is no password on stdin, or more than one line").hint("for example: larder sync … --password-stdin < password.txt")),
        false => Ok(Secret::new(secret)),
    }
}
