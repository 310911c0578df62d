//! How much a host is asked for at once.
//!
//! Requests and downloads have slots of their own: whoever copies within one host holds a download while he asks for more, and would wait for himself. A host that
//! asks for patience gets it from all threads. Times come from the clock of the run; where it stands still, only the first wait of each kind is kept.

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::exec::{Cancel, Clock};

/// How long to sleep without looking whether anybody still wants what comes after it.
const SLICE: Duration = Duration::from_millis(100);

/// A number of things that may happen at once. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<(Mutex<usize>, Condvar)>);

/// One of them; dropping it lets the next one begin.
#[derive(Debug)]
pub(crate) struct Slot(Slots);

impl Slots {
    pub(crate) fn new(number: NonZeroUsize) -> Self {
        Slots(Arc::new((Mutex::new(number.get()), Condvar::new())))
    }

    /// Waits for a slot. Fails with kind `interrupted`.
    pub(crate) fn take(&self, cancel: &Cancel) -> Result<Slot> {
        let (free, returned) = &*self.0;
        let mut free = lock(free);
        while *free == 0 {
            cancel.check()?;
            free = returned.wait_timeout(free, SLICE).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Ok(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (free, returned) = &*self.0.0;
        *lock(free) += 1;
        returned.notify_one();
    }
}

/// A moment before which nothing begins, and the moment at which the next thing may.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next: Mutex<Duration>,
    paused_until: Mutex<Duration>,
}

impl Turns {
    /// Waits for the turn of something of which `per_second` may begin. Fails with kind `interrupted`.
    pub(crate) fn wait(&self, clock: Clock, cancel: &Cancel, per_second: Option<NonZeroUsize>) -> Result<()> {
        let now = clock.now();
        let mut until = *lock(&self.paused_until);
        if let Some(per_second) = per_second {
            let mut next = lock(&self.next);
            *next = (*next).max(now);
            until = until.max(*next);
            *next += Duration::from_secs(1) / u32::try_from(per_second.get()).unwrap_or(u32::MAX);
        }
        sleep(until.saturating_sub(now), cancel)
    }

    /// Lets nothing begin for a while.
    pub(crate) fn pause(&self, clock: Clock, time: Duration) {
        let mut until = lock(&self.paused_until);
        *until = (*until).max(clock.now() + time);
    }
}

/// Lets so many bytes through in a second.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: NonZeroUsize,
    next: Mutex<Duration>,
}

impl Throttle {
    pub(crate) fn new(per_second: NonZeroUsize) -> Self {
        Throttle { per_second, next: Mutex::default() }
    }

    /// How much to move at once so that it flows evenly.
    pub(crate) fn portion(&self) -> usize {
        (self.per_second.get() / 20).clamp(1 << 10, 1 << 20)
    }

    /// Waits until `bytes` more may have moved. Fails with kind `interrupted`.
    pub(crate) fn wait(&self, clock: Clock, cancel: &Cancel, bytes: usize) -> Result<()> {
        let now = clock.now();
        let wait = {
            let mut next = lock(&self.next);
            let wait = next.saturating_sub(now);
            *next = (*next).max(now) + Duration::from_secs_f64(bytes as f64 / self.per_second.get() as f64);
            wait
        };
        sleep(wait, cancel)
    }
}

/// Sleeps. Fails with kind `interrupted`.
pub(crate) fn sleep(mut time: Duration, cancel: &Cancel) -> Result<()> {
    while !time.is_zero() {
        cancel.check()?;
        let slice = time.min(SLICE);
        std::thread::sleep(slice);
        time -= slice;
    }
    cancel.check()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Instant, SystemTime};

    fn number(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).expect("not zero")
    }

    #[test]
    fn no_more_than_the_slots_run_at_once() {
        let slots = Slots::new(number(3));
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let _slot = slots.take(&Cancel::default()).expect("a slot");
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 3);
    }

    #[test]
    fn who_waits_for_a_slot_notices_that_nobody_wants_it() {
        let slots = Slots::new(number(1));
        let _slot = slots.take(&Cancel::default()).expect("free");
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(slots.take(&cancel).expect_err("cancelled").kind(), crate::error::ErrorKind::Interrupted);
    }

    #[test]
    fn turns_come_in_time_and_a_pause_holds_for_all() {
        let (clock, cancel, turns) = (Clock(SystemTime::now), Cancel::default(), Turns::default());
        let begun = Instant::now();
        (0..6).for_each(|_| turns.wait(clock, &cancel, Some(number(50))).expect("a turn"));
        assert!(begun.elapsed() >= Duration::from_millis(95), "five turns of 20 ms");
        turns.pause(clock, Duration::from_millis(100));
        let begun = Instant::now();
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| turns.wait(clock, &cancel, None).expect("a turn")))));
        assert!(begun.elapsed() >= Duration::from_millis(90));
    }

    #[test]
    fn bytes_flow_no_faster_than_they_may() {
        let (clock, cancel, throttle) = (Clock(SystemTime::now), Cancel::default(), Throttle::new(number(1 << 20)));
        let begun = Instant::now();
        (0..5).for_each(|_| throttle.wait(clock, &cancel, throttle.portion()).expect("a turn"));
        assert!(begun.elapsed() >= Duration::from_millis(180), "four portions of 50 ms");
    }
}
