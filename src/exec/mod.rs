//! How an operation runs: its threads, how it is stopped, what it tells, and the times it may write.
//!
//! Relies on nothing but the error type. Everything above receives one [`Run`] and takes no thread, clock or terminal from elsewhere.

mod ahead;
pub mod cancel;
pub mod events;
pub mod pool;
pub mod promise;
pub mod timestamps;
pub mod watched;

pub use cancel::Cancel;
pub use events::{Event, Events, Observer, Silent, Task};
pub use pool::Pool;
pub use promise::{Duty, Once, Promise};
pub use timestamps::{Clock, Timestamps};
pub use watched::Watched;

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::error::Result;

/// What every operation receives.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where work in parallel happens.
    pub pool: Arc<Pool>,
    /// Asks to stop.
    pub cancel: Cancel,
    /// Tells what happens.
    pub events: Events,
    /// The times that may be written.
    pub timestamps: Timestamps,
    /// The time now; it never reaches output bytes.
    pub clock: Clock,
}

impl Run {
    /// The same run, which writes other times.
    pub fn at(&self, timestamps: Timestamps) -> Run {
        Run { pool: self.pool.clone(), cancel: self.cancel.clone(), events: self.events.clone(), timestamps, clock: self.clock }
    }

    /// The same run for a part of it, which can be stopped alone.
    pub fn part(&self) -> Run {
        Run { cancel: self.cancel.part(), ..self.at(self.timestamps) }
    }

    /// A run with `jobs` threads that tells nobody and writes 1970 everywhere.
    ///
    /// Fails with kind `io` when the threads cannot be started.
    pub fn new(jobs: NonZeroUsize) -> Result<Self> {
        Ok(Run {
            pool: Arc::new(Pool::new(jobs)?),
            cancel: Cancel::default(),
            events: Events::to(Arc::new(Silent)),
            timestamps: Timestamps::default(),
            clock: Clock::stopped(),
        })
    }
}
