//! The time that a command has to end once it was told to.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_gettime, timerfd_settime};

use crate::error::{Error, Result};

/// How long a command has to clean up. Those who stop larder themselves wait 10 seconds before they kill it (`docker stop`), so that it ends in order before that.
pub const GRACE: Duration = Duration::from_secs(8);

const NOTHING: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// [`GRACE`], from its beginning on.
#[derive(Debug)]
pub(super) struct Grace {
    timer: OwnedFd,
}

impl Grace {
    pub(super) fn begin() -> Result<Grace> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).map_err(failed)?;
        let value = Timespec { tv_sec: GRACE.as_secs().cast_signed(), tv_nsec: GRACE.subsec_nanos().into() };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: NOTHING, it_value: value }).map_err(failed)?;
        Ok(Grace { timer })
    }

    pub(super) fn is_over(&self) -> Result<bool> {
        Ok(timerfd_gettime(&self.timer).map_err(failed)?.it_value == NOTHING)
    }
}

fn failed(error: rustix::io::Errno) -> Error {
    Error::io("cannot measure how long the step takes to end", error)
}
