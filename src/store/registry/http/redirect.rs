//! Where a registry may send us.
//!
//! Reading follows to any host that is no less protected, without anything that proves who one is once the origin is another. Writing follows within the origin
//! only, and only where method and body stay what they are: a host that turns an upload into a GET is set up wrongly, and following would hide it.

use crate::error::{Error, ErrorKind, Result};
use crate::store::registry::rest::Method;

use super::url::{Scheme, Url};

/// How many redirects one request may go through.
pub(super) const MOST: usize = 5;

/// Where an answer sends us; none where it does not. Fails with kind `denied` or `unavailable` where we do not go.
pub(super) fn target(from: &Url, method: Method, status: u16, location: Option<&str>) -> Result<Option<Url>> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refused = |why: &str| Error::new(ErrorKind::Unavailable, format!("{} {from} was redirected with {status} {why}", method.as_str()));
    let Some(location) = location else { return Err(refused("to nowhere")) };
    let to = from.join(location).map_err(|error| refused("to what is no URL").because(error))?;
    if (from.origin.scheme, to.origin.scheme) == (Scheme::Https, Scheme::Http) {
        return Err(Error::new(ErrorKind::Denied, format!("{} {from} was redirected to {to}, which is not protected", method.as_str())));
    }
    if matches!(method, Method::Get | Method::Head) {
        return Ok(Some(to));
    }
    let hint = "this way only reading goes on: use the address that the registry points to, or make what stands before it send X-Forwarded-Proto";
    match (matches!(status, 307 | 308), to.origin == from.origin) {
        (true, true) => Ok(Some(to)),
        (true, false) => Err(refused(&format!("to another host, {}", to.origin)).hint(hint)),
        (false, _) => Err(refused(&format!("to {to}, which would make it a GET")).hint(hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_04_where_a_registry_may_send_us() {
        const HOME: &str = "https://registry.example/v2/a";
        const BLOB: &str = "https://store.example/blob?X-Signature=secret";
        for (method, from, status, location, to) in [
            (Method::Get, HOME, 200, Some(BLOB), Ok(None)),
            (Method::Get, HOME, 304, Some(BLOB), Ok(None)),
            (Method::Get, HOME, 302, Some(BLOB), Ok(Some(BLOB))),
            (Method::Head, HOME, 307, Some("/v2/b"), Ok(Some("https://registry.example/v2/b"))),
            (Method::Get, "http://registry.example/v2/a", 301, Some(HOME), Ok(Some(HOME))),
            (Method::Get, HOME, 302, Some("http://registry.example/v2/a"), Err(ErrorKind::Denied)),
            (Method::Get, HOME, 302, Some("http://store.example/blob"), Err(ErrorKind::Denied)),
            (Method::Get, HOME, 302, None, Err(ErrorKind::Unavailable)),
            (Method::Get, HOME, 302, Some("https://u:p@store.example/"), Err(ErrorKind::Unavailable)),
            (Method::Put, HOME, 307, Some("/v2/b"), Ok(Some("https://registry.example/v2/b"))),
            (Method::Put, HOME, 307, Some("https://registry.example:443/v2/b"), Ok(Some("https://registry.example/v2/b"))),
            (Method::Put, HOME, 308, Some("https://registry.example:8443/v2/b"), Err(ErrorKind::Unavailable)),
            (Method::Put, HOME, 302, Some("/v2/b"), Err(ErrorKind::Unavailable)),
            (Method::Post, "http://registry.example/v2/a", 301, Some(HOME), Err(ErrorKind::Unavailable)),
            (Method::Delete, HOME, 303, Some("/v2/b"), Err(ErrorKind::Unavailable)),
        ] {
            let outcome = target(&from.parse().expect(from), method, status, location);
            let outcome = outcome.map(|to| to.map(|url| url.in_full())).map_err(|error| error.kind());
            assert_eq!(outcome, to.map(|to| to.map(str::to_owned)), "{method:?} {from} {status} {location:?}");
        }
    }
}
