//! Connections that end when nobody wants them any more and when they are too slow.
//!
//! A wait for the other side is made of short ones, so that an interrupted run notices at once. A connection that carries nothing for a while, or over a while
//! less than it must, fails; the time in which nobody reads from it does not count.

use std::time::Duration;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use crate::error::Error;
use crate::exec::{Cancel, Clock};

/// How long to wait without looking whether anybody still wants the answer.
const SLICE: Duration = Duration::from_millis(250);

/// What is demanded of connections.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) cancel: Cancel,
    pub(super) clock: Clock,
    /// The longest time without a byte.
    pub(super) idle: Duration,
    /// Bytes per second over a time of `idle` of waiting.
    pub(super) slowest: u64,
}

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Watched<In>>, ureq::Error> {
        Ok(chained.map(|inner| Watched { inner, watch: self.clone(), pace: Pace::default() }))
    }
}

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    watch: Watch,
    pace: Pace,
}

/// What came in how much time of waiting.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Takes in a wait. False where too little came in a time that is long enough to tell.
    fn is_kept(&mut self, waited: Duration, bytes: u64, watch: &Watch) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < watch.idle {
            return true;
        }
        let past = std::mem::take(self);
        past.bytes >= watch.slowest.saturating_mul(past.waited.as_secs())
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.watch.cancel.check().map_err(carried)?;
        let per_write = Some(self.watch.idle.into());
        self.inner.transmit_output(amount, NextTimeout { per_write, ..timeout })
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let longest = (*timeout.after).min(self.watch.idle);
        let mut waited = Duration::ZERO;
        loop {
            self.watch.cancel.check().map_err(carried)?;
            let slice = SLICE.min(longest.saturating_sub(waited)).max(Duration::from_millis(1));
            let before = self.inner.buffers().input().len();
            let begun = self.watch.clock.now();
            let outcome = self.inner.await_input(NextTimeout { after: slice.into(), ..timeout });
            let came = self.inner.buffers().input().len().saturating_sub(before);
            if !self.pace.is_kept(self.watch.clock.now().saturating_sub(begun), came as u64, &self.watch) {
                return Err(ureq::Error::Timeout(ureq::Timeout::PerRead));
            }
            match outcome {
                Err(ureq::Error::Timeout(_)) => {
                    waited += slice;
                    if waited >= longest {
                        return Err(ureq::Error::Timeout(timeout.reason));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// An error of ours on its way through the client.
pub(super) fn carried(error: Error) -> ureq::Error {
    ureq::Error::Io(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_27_what_trickles_is_too_slow_and_what_flows_is_not() {
        let watch = Watch { cancel: Cancel::default(), clock: Clock::stopped(), idle: Duration::from_secs(10), slowest: 100 };
        let mut pace = Pace::default();
        assert!((0..9).all(|_| pace.is_kept(Duration::from_secs(1), 1, &watch)), "too early to tell");
        assert!(!pace.is_kept(Duration::from_secs(1), 1, &watch), "a byte in a second");
        assert!((0..100).all(|_| pace.is_kept(Duration::from_secs(1), 100, &watch)));
        assert!(pace.is_kept(Duration::from_secs(9), 0, &watch) && pace.is_kept(Duration::from_secs(1), 1000, &watch));
    }
}
