//! Registries that refused: they are asked no more.
//!
//! A wrong password that is sent again and again locks the account of whoever it belongs to, and the thousandth refusal tells no more than the first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Side};

/// The hosts that refused, each with what it was asked for.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<String, String>>);

impl Refused {
    /// Notes a failure that one of these hosts is the reason of.
    pub(super) fn learn(&self, error: &Error, from: Option<&str>, to: Option<&str>, image: &str) {
        if error.kind() != ErrorKind::Denied {
            return;
        }
        let host = match error.failed_side() {
            Some(Side::Source) => from,
            Some(Side::Destination) => to,
            None => to.or(from),
        };
        if let Some(host) = host {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(host.to_owned()).or_insert_with(|| image.to_owned());
        }
    }

    /// Why an image between these hosts is not tried.
    pub(super) fn reason<'h>(&self, hosts: impl IntoIterator<Item = &'h str>) -> Option<String> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.into_iter().find_map(|host| {
            let image = refused.get(host)?;
            Some(format!("{host} refused access for {image}, so it is asked no more"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_refused_is_asked_no_more() {
        let refused = Refused::default();
        let denied = |side: Option<Side>| side.into_iter().fold(Error::new(ErrorKind::Denied, "401"), Error::side);
        refused.learn(&Error::not_found("404"), Some("a"), Some("b"), "x");
        assert_eq!(refused.reason(["a", "b"]), None);
        refused.learn(&denied(Some(Side::Source)), Some("a"), Some("b"), "x");
        assert_eq!(refused.reason(["b"]), None);
        assert_eq!(refused.reason(["b", "a"]).as_deref(), Some("a refused access for x, so it is asked no more"));
        refused.learn(&denied(None), Some("c"), None, "y");
        refused.learn(&denied(Some(Side::Destination)), Some("c"), Some("d"), "z");
        assert!(refused.reason(["c"]).is_some() && refused.reason(["d"]).is_some());
    }
}
