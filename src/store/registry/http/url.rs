//! URLs, as far as registries use them: `http` and `https`, without user, password and fragment. RFC 3986.
//!
//! Two URLs have the same origin where scheme, host and port are equal after hosts are in lower case and ports are written out; nothing else is equal. What is
//! shown of a URL has no query: registries put the state of uploads there, and object stores put signatures there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::spec::text;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Who is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// In lower case; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Reads `HOST[:PORT]`. Fails with kind `usage`.
    pub(crate) fn new(scheme: Scheme, authority: &str) -> Result<Origin> {
        let bad = || Error::usage(format!("`{}` is not a host", text::shown(authority))).subject(text::shown(authority));
        let (host, port) = split_port(authority).ok_or_else(bad)?;
        let host = normal_host(host).ok_or_else(bad)?;
        Ok(Origin { scheme, host, port: port.unwrap_or(scheme.port()) })
    }

    /// The host as an address, where it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// Whether it is this machine, by its name.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// `HOST[:PORT]`, the port only where it is not that of the scheme.
    pub(crate) fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// A URL there.
    pub(crate) fn url(&self, path: &str, query: Option<String>) -> Url {
        Url { origin: self.clone(), path: path.to_owned(), query }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// Something at an origin.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    /// Begins with a slash.
    path: String,
    query: Option<String>,
}

impl Url {
    /// Where `location` leads, seen from here. Fails with kind `corrupt` where it is no URL.
    pub(crate) fn join(&self, location: &str) -> Result<Url> {
        let location = location.split('#').next().unwrap_or_default();
        if location.contains("://") && location.split(['/', '?']).next().is_some_and(|first| first.ends_with(':')) {
            return location.parse();
        }
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{}://{rest}", self.origin.scheme.as_str()).parse();
        }
        let (path, query) = match location.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (location, None),
        };
        let path = match (path.is_empty(), path.starts_with('/')) {
            (true, _) => self.path.clone(),
            (false, true) => without_dots(path),
            (false, false) => without_dots(&format!("{}/{path}", self.path.rsplit_once('/').map_or("", |(directory, _)| directory))),
        };
        let joined = Url { origin: self.origin.clone(), path, query };
        joined.check(location)?;
        Ok(joined)
    }

    /// The same with one more parameter in the query, which keeps what it has byte for byte.
    #[must_use]
    pub(crate) fn with(&self, name: &str, value: &str) -> Url {
        let parameter = format!("{name}={}", encoded(value));
        let query = match &self.query {
            Some(query) if !query.is_empty() => format!("{query}&{parameter}"),
            _ => parameter,
        };
        Url { query: Some(query), ..self.clone() }
    }

    /// A parameter of the query, as it is written.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.as_deref()?.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }

    /// The same at another origin.
    #[must_use]
    pub(crate) fn at(&self, origin: &Origin) -> Url {
        Url { origin: origin.clone(), ..self.clone() }
    }

    /// All of it, for the request itself and for what must find it again; not for showing.
    pub(crate) fn in_full(&self) -> String {
        match &self.query {
            Some(query) => format!("{}{}?{query}", self.origin, self.path),
            None => format!("{}{}", self.origin, self.path),
        }
    }

    fn check(&self, written: &str) -> Result<()> {
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'<' | b'>' | b'"' | b'`' | b'{' | b'}' | b'|' | b'^'));
        match plain(&self.path) && self.query.as_deref().is_none_or(plain) {
            true => Ok(()),
            false => Err(bad(written, "it has characters that URLs have not")),
        }
    }
}

impl FromStr for Url {
    type Err = Error;

    /// Reads an absolute URL. Fails with kind `corrupt`, because URLs come from registries.
    fn from_str(written: &str) -> Result<Url> {
        let written = written.split('#').next().unwrap_or_default();
        let (scheme, rest) = written.split_once("://").ok_or_else(|| bad(written, "it has no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(bad(written, "its scheme is neither http nor https")),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad(written, "it has a user"));
        }
        let origin = Origin::new(scheme, authority).map_err(|_| bad(written, "its host is none"))?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let url = Url { origin, path: if path.is_empty() { "/".to_owned() } else { path.to_owned() }, query };
        url.check(written)?;
        Ok(url)
    }
}

impl fmt::Display for Url {
    /// Without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, text::shown(&self.path))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn bad(written: &str, why: &str) -> Error {
    // Neither user nor query.
    let shown = written.split('?').next().unwrap_or_default();
    let shown = shown.rsplit_once('@').map_or(shown, |(_, rest)| rest);
    Error::corrupt(format!("`{}` is not a URL that can be used: {why}", text::shown(shown)))
}

/// Host and port of `HOST[:PORT]`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = match authority.strip_prefix('[') {
        Some(_) => {
            let end = authority.find(']')? + 1;
            (end < authority.len()).then_some(end)
        }
        None => authority.find(':'),
    };
    let Some(colon) = colon else { return Some((authority, None)) };
    let port = authority[colon..].strip_prefix(':')?;
    match port.is_empty() {
        true => Some((&authority[..colon], None)),
        false if port.bytes().all(|byte| byte.is_ascii_digit()) => Some((&authority[..colon], Some(port.parse().ok()?))),
        false => None,
    }
}

/// The one way to write a host; none where it is none, or is an address in a form that only some read as one.
fn normal_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let looks_like_a_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x");
    if !host.split('.').all(label) {
        return None;
    }
    // `2130706433`, `0x7f.1` and `127.1` are this machine for some and a name for others.
    let is_numeric = host.rsplit('.').next().is_some_and(looks_like_a_number);
    (!is_numeric || host.parse::<Ipv4Addr>().is_ok()).then_some(host)
}

/// A path in which `.` and `..` are followed.
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for part in path.split('/').skip(1) {
        ends_open = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if ends_open {
        parts.push("");
    }
    format!("/{}", parts.join("/"))
}

/// A value for a query: everything but letters, digits and `-._~:/` as `%NN`.
pub(crate) fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether an address is not one of the whole internet: of this machine, of a private network, of one cable.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || a == 0
                // Carriers' networks.
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_private(IpAddr::V4(mapped)),
            None => {
                let first = address.segments()[0];
                address.is_loopback() || address.is_unspecified() || (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfe80
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn reg_10_an_origin_has_one_form() {
        for (text, origin) in [
            ("https://Registry.Example/v2/", "https://registry.example"),
            ("HTTPS://registry.example:443/v2/", "https://registry.example"),
            ("https://registry.example./v2/", "https://registry.example"),
            ("http://registry.example:80", "http://registry.example"),
            ("http://registry.example:443/", "http://registry.example:443"),
            ("https://[::0001]:5000/", "https://[::1]:5000"),
            ("https://xn--rgistry-bya.example/", "https://xn--rgistry-bya.example"),
        ] {
            assert_eq!(url(text).origin.to_string(), origin, "{text}");
        }
        for text in [
            "https://user@registry.example/",
            "https://user:secret@registry.example/",
            "https://registry.example@evil.example/",
            "https://rægistry.example/",
            "https://registry%2eexample/",
            "https:///v2/",
            "https://a..b/",
            "https://a:99999/",
            "https://a:b/",
            "https://[::1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://a\\b/",
            "https://a/\nb",
            "https://a/ b",
            "file:///etc/passwd",
            "/v2/",
            "",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_location_is_seen_from_where_it_was_said() {
        let here = url("https://registry.example/v2/a/blobs/uploads/?x=1");
        for (location, expected) in [
            ("https://other.example:8443/u?_state=a%3D%3D", "https://other.example:8443/u?_state=a%3D%3D"),
            ("//other.example/u", "https://other.example/u"),
            ("/v2/a/blobs/uploads/1?_state=b==", "https://registry.example/v2/a/blobs/uploads/1?_state=b=="),
            ("uploads/2", "https://registry.example/v2/a/blobs/uploads/uploads/2"),
            ("../../c/./d/..", "https://registry.example/v2/a/c/"),
            ("?y=2", "https://registry.example/v2/a/blobs/uploads/?y=2"),
            ("/u#fragment", "https://registry.example/u"),
        ] {
            assert_eq!(here.join(location).expect(location).in_full(), expected, "{location}");
        }
        for location in ["ftp://a/b", "https://u:p@a/b", "/a b", "/a\r\nX: y"] {
            assert!(here.join(location).is_err(), "{location:?}");
        }
    }

    #[test]
    fn a_parameter_is_added_to_what_is_there() {
        assert_eq!(url("https://a/u").with("digest", "sha256:00").in_full(), "https://a/u?digest=sha256:00");
        assert_eq!(url("https://a/u?").with("digest", "x").in_full(), "https://a/u?digest=x");
        assert_eq!(url("https://a/u?_state=a%2B==").with("from", "b/c d").in_full(), "https://a/u?_state=a%2B==&from=b/c%20d");
        assert_eq!(url("https://a/u?n=10&last=b").parameter("last"), Some("b"));
    }

    #[test]
    fn no_query_and_no_user_is_shown() {
        let signed = url("https://store.example/blob?X-Amz-Signature=secret");
        assert_eq!((signed.to_string(), format!("{signed:?}")), ("https://store.example/blob".into(), "https://store.example/blob".into()));
        let error = "https://me:hunter2@a.example/?token=secret".parse::<Url>().expect_err("a user");
        assert!(!error.message().contains("hunter2") && !error.message().contains("secret"), "{error}");
    }

    #[test]
    fn reg_09_private_addresses_are_known_in_every_form() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(text.parse().expect(text)), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(!is_private(text.parse().expect(text)), "{text}");
        }
    }
}
