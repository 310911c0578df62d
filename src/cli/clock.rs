//! The clocks: the only file that asks what time it is.

use std::time::{Duration, Instant, SystemTime};

use crate::exec::Clock;

/// The calendar, for ages and leases. It never reaches output bytes.
pub(crate) fn calendar() -> Clock {
    Clock(SystemTime::now)
}

/// The time since now, never running backwards; progress is measured with it.
pub(crate) fn stopwatch() -> impl Fn() -> Duration + Send + Sync + 'static {
    let start = Instant::now();
    move || start.elapsed()
}
