//! In which order stages are begun.
//!
//! A stage that waits for another one holds a thread, with which a third could go on: the same stages for another platform, above all. So those come first that
//! need nothing which is not finished, and the rest in the order of the plan. There, every stage stands behind those that it needs: what somebody waits for has
//! been begun.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Stages that nobody has begun.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// By position in the plan, with what each needs.
    waiting: Vec<Waiting<T>>,
    finished: HashSet<usize>,
}

struct Waiting<T> {
    position: usize,
    needs: Vec<usize>,
    with: T,
}

impl<T> Queue<T> {
    /// The stages of a plan in its order: the positions that each needs, and what it is begun with.
    pub(super) fn new(stages: impl IntoIterator<Item = (Vec<usize>, T)>) -> Self {
        let waiting = stages.into_iter().enumerate().map(|(position, (needs, with))| Waiting { position, needs, with });
        Queue { state: Mutex::new(State { waiting: waiting.collect(), finished: HashSet::new() }) }
    }

    /// The stage to begin now; none where all are.
    pub(super) fn next(&self) -> Option<(usize, T)> {
        let mut state = self.lock();
        let is_ready = |stage: &Waiting<T>| stage.needs.iter().all(|needed| state.finished.contains(needed));
        let first = state.waiting.iter().position(is_ready).unwrap_or(0);
        (!state.waiting.is_empty()).then(|| state.waiting.remove(first)).map(|stage| (stage.position, stage.with))
    }

    /// Says that a stage is finished, in whichever way.
    pub(super) fn finish(&self, position: usize) {
        self.lock().finished.insert(position);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_wait_for_nothing_is_begun_first_and_the_rest_in_order() {
        // Two platforms, each with tools and what is made with them, and one stage alone.
        let queue = Queue::new([(vec![], ()), (vec![0], ()), (vec![], ()), (vec![2], ()), (vec![], ())]);
        let next = || queue.next().map(|(position, ())| position);
        assert_eq!((next(), next()), (Some(0), Some(2)));
        queue.finish(2);
        assert_eq!((next(), next()), (Some(3), Some(4)));
        // Nothing else is there: it does what it can before it waits.
        assert_eq!((next(), next()), (Some(1), None));
    }
}
