//! The times that go into output bytes.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};

/// The one moment that a build writes down, in whole seconds since 1970, and the upper bound of file times in layers.
/// It is `SOURCE_DATE_EPOCH` as the reproducible-builds specification defines it; without it, 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    epoch: u64,
}

/// 9999-12-30T22:00:00Z: the last moment that RFC 3339 can write in every time zone.
const LAST: u64 = 253_402_207_200;

/// 0001-01-01T00:00:00Z, which is what Go programs write where they know no time.
const FIRST: i64 = -62_135_596_800;

impl Timestamps {
    /// Fails with kind `usage` when `epoch` lies after the year 9999, which RFC 3339 cannot write.
    pub fn at(epoch: u64) -> Result<Self> {
        if epoch > LAST {
            return Err(Error::usage(format!("SOURCE_DATE_EPOCH {epoch} lies after the year 9999")));
        }
        Ok(Timestamps { epoch })
    }

    /// Reads the text of `SOURCE_DATE_EPOCH`: decimal seconds since 1970, nothing else.
    pub fn parse(text: &str) -> Result<Self> {
        let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let epoch = if valid { text.parse().ok() } else { None };
        let epoch = epoch.ok_or_else(|| {
            Error::usage(format!("SOURCE_DATE_EPOCH is `{}`, not a number of seconds since 1970", crate::spec::text::shown(text)))
                .hint("set it to decimal digits, for example the output of `git log -1 --format=%ct`, or unset it")
        })?;
        Self::at(epoch)
    }

    /// Seconds since 1970.
    pub fn epoch(self) -> u64 {
        self.epoch
    }

    /// `created` as the documents write it: RFC 3339 in UTC, whole seconds.
    pub fn created(self) -> String {
        jiff::Timestamp::from_second(self.epoch.min(LAST).cast_signed()).map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |t| t.to_string())
    }

    /// Reads a moment as people write it: RFC 3339, decimal seconds since 1970, or `epoch` for the moment of this run. Returns it as the documents
    /// write it. Fails with kind `usage`.
    pub fn moment(self, text: &str) -> Result<String> {
        if text == "epoch" {
            return Ok(self.created());
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = text.parse().ok().and_then(|seconds| Timestamps::at(seconds).ok());
            return seconds.map(Timestamps::created).ok_or_else(|| Error::usage(format!("{text} seconds lie after the year 9999")));
        }
        let moment = text.parse::<jiff::Timestamp>().ok().filter(|moment| (FIRST..=LAST.cast_signed()).contains(&moment.as_second()));
        moment.map(|moment| moment.to_string()).ok_or_else(|| {
            Error::usage(format!("`{}` is no moment", crate::spec::text::shown(text)))
                .hint("write RFC 3339 such as 2026-01-31T12:00:00Z, seconds since 1970, or epoch for SOURCE_DATE_EPOCH")
        })
    }

    /// A file time as RFC 3339; beyond what that can write, as seconds since 1970.
    pub fn written(seconds: i64) -> String {
        let moment = jiff::Timestamp::from_second(seconds).ok().filter(|_| (FIRST..=LAST.cast_signed()).contains(&seconds));
        moment.map_or_else(|| seconds.to_string(), |moment| moment.to_string())
    }

    /// A file time in whole seconds, not later than the epoch. Fractions are cut off, not rounded.
    pub fn clamp(self, seconds: i64) -> i64 {
        seconds.min(self.epoch.cast_signed())
    }

    /// The moment of this run, as the documents write it, where `moment` is a later one in RFC 3339; else none.
    pub fn instead_of(self, moment: &str) -> Option<String> {
        let moment: jiff::Timestamp = moment.parse().ok()?;
        let is_later = (moment.as_second(), moment.subsec_nanosecond()) > (self.epoch.min(LAST).cast_signed(), 0);
        is_later.then(|| self.created())
    }
}

/// Tells the time. The library reads no clock; whoever calls it brings one, and tests bring their own.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub fn() -> SystemTime);

impl Clock {
    /// A clock that stands at 1970 for ever: caches that depend on time are then not trusted.
    pub fn stopped() -> Self {
        Clock(|| SystemTime::UNIX_EPOCH)
    }

    /// Time since 1970.
    pub fn now(self) -> Duration {
        (self.0)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_is_rfc_3339_in_whole_seconds() {
        assert_eq!(Timestamps::default().created(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamps::parse("1700000000").expect("valid").created(), "2023-11-14T22:13:20Z");
        assert_eq!(Timestamps::at(LAST).expect("valid").created(), "9999-12-30T22:00:00Z");
    }

    #[test]
    fn rep_12_garbage_is_refused() {
        for text in ["", "-1", "+1", " 1", "1.5", "0x10", "abc", "99999999999999999999", "253402300800"] {
            assert!(Timestamps::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_written_in_one_form() {
        let run = Timestamps::at(1_700_000_000).expect("valid");
        for (text, written) in [
            ("epoch", "2023-11-14T22:13:20Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z"),
            ("2023-11-14T23:13:20.5+01:00", "2023-11-14T22:13:20.5Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(run.moment(text).expect(text), written);
        }
        for text in ["", "now", "2023-11-14", "2023-11-14T22:13:20", "-1", "99999999999999", "-000001-01-01T00:00:00Z"] {
            assert_eq!(run.moment(text).expect_err(text).kind(), crate::error::ErrorKind::Usage);
        }
    }

    #[test]
    fn file_times_are_written_however_far_away_they_are() {
        for (seconds, written) in
            [(0, "1970-01-01T00:00:00Z"), (-5, "1969-12-31T23:59:55Z"), (LAST.cast_signed() + 1, "253402207201"), (i64::MIN, "-9223372036854775808")]
        {
            assert_eq!(Timestamps::written(seconds), written);
        }
    }

    #[test]
    fn clamps_only_later_times() {
        let stamps = Timestamps::at(100).expect("valid");
        assert_eq!((stamps.clamp(99), stamps.clamp(101), stamps.clamp(-5)), (99, 100, -5));
        let epoch = Some("1970-01-01T00:01:40Z");
        for later in ["1970-01-01T00:01:41Z", "1970-01-01T00:01:40.000000001Z", "1970-01-01T00:01:42+00:00", "2026-01-01T00:00:00+02:00"] {
            assert_eq!(stamps.instead_of(later).as_deref(), epoch, "{later}");
        }
        for kept in ["1970-01-01T00:01:40Z", "1970-01-01T00:01:40+00:00", "1970-01-01T01:01:40+01:00", "0001-01-01T00:00:00Z", "", "yesterday"] {
            assert_eq!(stamps.instead_of(kept), None, "{kept}");
        }
    }
}
