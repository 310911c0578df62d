//! Stopping early.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::error::{Error, Result};

/// The number of nobody who asked.
const NOBODY: usize = 0;

/// A flag that asks an operation to stop. Clones share it; operations look at it between pieces of work.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    /// The number of the signal that asked, or [`NOBODY`].
    own: Arc<AtomicUsize>,
    /// That of the operation which this one is a part of.
    above: Option<Arc<AtomicUsize>>,
}

impl Cancel {
    /// A flag for a part of the operation: it is set with this one, and setting it leaves this one alone. A part of a part hears of its nearest operation only.
    #[must_use]
    pub fn part(&self) -> Cancel {
        Cancel { own: Arc::default(), above: Some(self.own.clone()) }
    }

    /// Asks every holder to stop, as SIGTERM does.
    pub fn cancel(&self) {
        self.own.store(Signal::TERM.as_raw().unsigned_abs() as usize, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.asked() != NOBODY
    }

    /// The number of the signal that asked to stop: what other programs are to be asked with that work for this operation.
    pub fn signal(&self) -> Option<i32> {
        Some(self.asked()).filter(|asked| *asked != NOBODY).and_then(|signal| i32::try_from(signal).ok())
    }

    fn asked(&self) -> usize {
        let asked = |flag: &Arc<AtomicUsize>| flag.load(Ordering::Relaxed);
        match asked(&self.own) {
            NOBODY => self.above.as_ref().map_or(NOBODY, asked),
            signal => signal,
        }
    }

    /// An error of kind `interrupted` once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::interrupted()) } else { Ok(()) }
    }
}

impl From<Arc<AtomicUsize>> for Cancel {
    /// Shares a flag that something else sets, such as a signal handler: to the number of the signal, from 0.
    fn from(flag: Arc<AtomicUsize>) -> Self {
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

    #[test]
    fn the_signal_that_asked_is_told() {
        let flag = Arc::new(AtomicUsize::new(0));
        let whole = Cancel::from(flag.clone());
        let part = whole.part();
        assert_eq!((whole.signal(), part.signal()), (None, None));
        flag.store(2, Ordering::SeqCst);
        assert_eq!((whole.signal(), part.signal()), (Some(2), Some(2)));
        // What this one was asked with first.
        part.cancel();
        assert_eq!((whole.signal(), part.signal()), (Some(2), Some(15)));
    }
}
