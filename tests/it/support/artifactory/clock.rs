//! The time of an instance, which only tests let pass.

use std::time::Duration;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    /// When every instance begins: 2025-10-07.
    pub(super) const START: Moment = Moment(1_759_800_000);

    pub(super) fn after(self, time: Duration) -> Moment {
        Moment(self.0 + time.as_secs())
    }

    /// How long after `earlier`.
    pub(super) fn since(self, earlier: Moment) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// As documents of Artifactory have it.
    pub(super) fn text(self) -> String {
        let seconds = i64::try_from(self.0).expect("a time of this age");
        jiff::Timestamp::from_second(seconds).expect("a time of this age").to_string()
    }
}
