//! Stopping early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// A flag that asks an operation to stop. Clones share it; operations look at it between pieces of work.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    /// That of the operation which this one is a part of.
    above: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// A flag for a part of the operation: it is set with this one, and setting it leaves this one alone. A part of a part hears of its nearest operation only.
    #[must_use]
    pub fn part(&self) -> Cancel {
        Cancel { own: Arc::default(), above: Some(self.own.clone()) }
    }

    /// Asks every holder to stop.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        let is_set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        is_set(&self.own) || self.above.as_ref().is_some_and(is_set)
    }

    /// An error of kind `interrupted` once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::interrupted()) } else { Ok(()) }
    }
}

impl From<Arc<AtomicBool>> for Cancel {
    /// Shares a flag that something else sets, such as a signal handler.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Cancel { own: flag, above: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_stopped_with_the_whole_and_not_the_other_way_round() {
        let (whole, other) = (Cancel::default(), Cancel::default());
        let part = whole.part();
        part.cancel();
        assert!(part.is_cancelled() && !whole.is_cancelled());
        let part = whole.part();
        whole.cancel();
        assert!(part.check().is_err() && part.clone().is_cancelled() && !other.part().is_cancelled());
    }
}
