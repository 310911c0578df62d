//! A share of a job: many machines do one job together and never talk to each other.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::spec::text;

/// One of so many shares. Who does what follows from the names of the targets alone, so every machine comes to the same answer, also when a name is added
/// meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    number: NonZeroU32,
    of: NonZeroU32,
}

impl Shard {
    /// The share of who does everything.
    pub const WHOLE: Shard = Shard { number: NonZeroU32::MIN, of: NonZeroU32::MIN };

    /// Share `number`, counted from 1, of so many. Fails with kind `usage` where there is none of that number.
    pub fn new(number: u32, of: u32) -> Result<Shard> {
        let bad = || Error::usage(format!("there is no share {number} of {of}")).hint("shares are counted from 1: of three there are 1/3, 2/3 and 3/3");
        match (NonZeroU32::new(number), NonZeroU32::new(of)) {
            (Some(number), Some(of)) if number <= of => Ok(Shard { number, of }),
            _ => Err(bad()),
        }
    }

    /// How many shares there are.
    pub fn of(self) -> u32 {
        self.of.get()
    }

    /// Whether the share has the target of this name. Each name is in exactly one of the shares.
    pub fn has(self, name: &str) -> bool {
        let hash = blake3::hash(name.as_bytes());
        // The first bytes of a cryptographic hash are as even as all of them.
        let bytes = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        u64::from_be_bytes(bytes) % u64::from(self.of.get()) == u64::from(self.number.get() - 1)
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `K/N`. Fails with kind `usage`.
    fn from_str(written: &str) -> Result<Self> {
        let bad = || Error::usage(format!("`{}` is no share", text::shown(written))).hint("write K/N, such as 1/3 for the first of three");
        let (number, of) = written.split_once('/').ok_or_else(bad)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten().ok_or_else(bad);
        Shard::new(digits(number)?, digits(of)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn shares_are_counted_from_one() {
        assert_eq!("2/3".parse::<Shard>().expect("valid").to_string(), "2/3");
        for written in ["0/3", "4/3", "1/0", "", "/", "1", "a/b", "1/3/5", "-1/3", "+1/3", "1/99999999999"] {
            assert_eq!(written.parse::<Shard>().expect_err(written).kind(), ErrorKind::Usage);
        }
    }

    #[test]
    fn who_does_what_never_changes() {
        // Machines of different releases may do one job together.
        let first = |name: &str| (1..=5).find(|number| Shard::new(*number, 5).expect("valid").has(name));
        assert_eq!(["registry.example/team/hello:1.4.2", "registry.example/team/hello:latest", ""].map(first), [Some(2), Some(1), Some(4)]);
    }

    proptest! {
        #[test]
        fn shares_partition_a_job(of in 1u32..40, names in prop::collection::hash_set("[a-z./:]{0,20}", 0..200)) {
            for name in names {
                let owners = (1..=of).filter(|number| Shard::new(*number, of).expect("valid").has(&name)).count();
                prop_assert_eq!(owners, 1);
            }
        }
    }

    #[test]
    fn shares_are_about_even() {
        let count = |number| (0..1000).filter(|n| Shard::new(number, 4).expect("valid").has(&format!("registry.example/team/{n}:1"))).count();
        for share in (1..=4).map(count) {
            assert!((200..300).contains(&share), "{share}");
        }
    }
}
