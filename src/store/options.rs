//! What every store is opened with.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::exec::{Cancel, Events, Silent};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for other processes, each time they are in the way.
    pub lock_timeout: Duration,
    /// Ends waiting and writing early.
    pub cancel: Cancel,
    /// Is told what deserves attention and what takes time before the store is open.
    pub events: Events,
    /// Directory for what is needed for a while and fits no memory: archives that are compressed or come through a pipe.
    pub temporary: PathBuf,
    /// What `-` means as a source. None where it may not be read.
    pub stdin: Option<Arc<File>>,
    /// What `-` means as a destination. None where it may not be written, as when a person would see the bytes.
    pub stdout: Option<Arc<File>>,
}

impl Default for Options {
    /// One minute: longer than any index update, shorter than a person's patience. Nobody is told anything, and `-` means nothing.
    fn default() -> Self {
        Options {
            lock_timeout: Duration::from_secs(60),
            cancel: Cancel::default(),
            events: Events::to(Arc::new(Silent)),
            // Unlike /tmp it is never in memory.
            temporary: PathBuf::from("/var/tmp"),
            stdin: None,
            stdout: None,
        }
    }
}
