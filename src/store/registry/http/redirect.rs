//! Where a registry may send us.
//!
//! Reading follows to any host that is no less protected, without anything that proves who one is once the origin is another. Writing follows within the origin
//! only, and only where method and body stay what they are: a host that turns an upload into a GET is set up wrongly, and following would hide it.

use crate::error::{Error, ErrorKind, Result};
use crate::store::registry::rest::Method;

use super::url::{Scheme, Url};
use super::wire::Response;

/// How many redirects one request may go through.
pub(super) const MOST: usize = 5;

/// Where an answer sends us; none where it does not. Fails with kind `denied` or `unavailable` where we do not go.
pub(super) fn target(from: &Url, method: Method, response: &Response) -> Result<Option<Url>> {
    let status = response.status;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refused = |why: &str| Error::new(ErrorKind::Unavailable, format!("{} {from} was redirected with {status} {why}", method.as_str()));
    let Some(location) = response.header("location") else { return Err(refused("to nowhere")) };
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
