//! Standard input as a store, and for processes that larder starts. What people type is read in `prompt`.

use std::fs::File;
#[cfg(feature = "run")]
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::FileType;

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
