//! What every store is opened with.

use std::time::Duration;

use crate::exec::Cancel;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for other processes, each time they are in the way.
    pub lock_timeout: Duration,
    /// Ends waiting and writing early.
    pub cancel: Cancel,
}

impl Default for Options {
    /// One minute: longer than any index update, shorter than a person's patience.
    fn default() -> Self {
        Options { lock_timeout: Duration::from_secs(60), cancel: Cancel::default() }
    }
}
