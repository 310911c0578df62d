//! What an operation tells while it runs.
//!
//! The library never prints. It tells an [`Observer`] what begins, how far it is and what deserves a warning; drawing is the caller's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A task began. `total` is its size in bytes where that is known beforehand.
    Started {
        /// Names the task in later events.
        task: u64,
        /// What it does, for people: `layer 1 linux/amd64`.
        label: String,
        /// Bytes to go, where known.
        total: Option<u64>,
    },
    /// A task took in `bytes` more bytes.
    Advanced {
        /// The task.
        task: u64,
        /// Bytes since the last event.
        bytes: u64,
    },
    /// A task ended, successfully or not.
    Finished {
        /// The task.
        task: u64,
    },
    /// A program that an operation runs wrote a line.
    Output {
        /// What runs it: `[linux/amd64 build 2/5]`.
        label: String,
        /// The line, without its end and without what moves the cursor of a terminal.
        line: String,
    },
    /// Something the person should know, though the operation goes on.
    Warning {
        /// One line.
        message: String,
    },
}

/// Receives events, from any thread.
pub trait Observer: Send + Sync {
    /// Must return quickly: workers wait for it.
    fn observe(&self, event: Event);
}

/// An observer that does not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: Event) {}
}

/// The sending end that operations hold.
#[derive(Clone)]
pub struct Events {
    observer: Arc<dyn Observer>,
    next: Arc<AtomicU64>,
}

impl Events {
    /// Sends everything to `observer`.
    pub fn to(observer: Arc<dyn Observer>) -> Self {
        Events { observer, next: Arc::new(AtomicU64::new(1)) }
    }

    /// Begins a task; dropping it ends it.
    pub fn start(&self, label: impl Into<String>, total: Option<u64>) -> Task {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.observer.observe(Event::Started { task: id, label: label.into(), total });
        Task { id, observer: self.observer.clone() }
    }

    /// Passes on a line that a program wrote.
    pub fn output(&self, label: &str, line: String) {
        self.observer.observe(Event::Output { label: label.to_owned(), line });
    }

    /// Tells the person something in one line.
    pub fn warn(&self, message: impl Into<String>) {
        self.observer.observe(Event::Warning { message: message.into() });
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// A task in progress.
pub struct Task {
    id: u64,
    observer: Arc<dyn Observer>,
}

impl Task {
    /// Tells that `bytes` more bytes are done.
    pub fn advance(&self, bytes: u64) {
        if bytes > 0 {
            self.observer.observe(Event::Advanced { task: self.id, bytes });
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.observer.observe(Event::Finished { task: self.id });
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id).finish_non_exhaustive()
    }
}
