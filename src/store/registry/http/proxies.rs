//! Which way leads to a host: straight, or through a proxy.

use std::net::IpAddr;

use crate::error::{Error, Result};
use crate::store::registry::settings::Proxies;

use super::url::{Origin, Scheme};

impl Proxies {
    /// The proxy for an origin. Fails with kind `usage` where it is no proxy; the error does not show it, because it may have a password.
    pub(super) fn towards(&self, origin: &Origin) -> Result<Option<ureq::Proxy>> {
        let proxy = match origin.scheme {
            Scheme::Https => self.https.as_ref(),
            Scheme::Http => self.http.as_ref(),
        };
        let Some(proxy) = proxy.filter(|_| !self.spares(origin)) else { return Ok(None) };
        let bad = || Error::usage("the proxy is not a URL that can be used").hint("write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT");
        let proxy = ureq::Proxy::new(proxy.reveal()).map_err(|_| bad())?;
        match proxy.protocol() {
            ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https => Ok(Some(proxy)),
            _ => Err(bad()),
        }
    }

    /// Whether a host is reached without a proxy: this machine itself always is.
    fn spares(&self, origin: &Origin) -> bool {
        origin.is_loopback() || self.none.iter().any(|entry| covers(entry.trim(), origin))
    }
}

/// Whether an entry of `NO_PROXY` means an origin, as curl and Go read it.
fn covers(entry: &str, origin: &Origin) -> bool {
    if entry == "*" {
        return true;
    }
    if let (Some((network, length)), Some(address)) = (entry.split_once('/'), origin.address()) {
        return network.parse().is_ok_and(|network| length.parse().is_ok_and(|length| is_in(address, network, length)));
    }
    let entry = entry.to_ascii_lowercase();
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.parse::<u16>().is_ok() && (name.ends_with(']') || !name.contains(':')) => (name, port.parse().ok()),
        _ => (entry.as_str(), None),
    };
    if name.is_empty() || port.is_some_and(|port: u16| port != origin.port) {
        return false;
    }
    let host = origin.host.trim_matches(['[', ']']);
    let name = name.trim_matches(['[', ']']);
    if let (Ok(a), Ok(b)) = (name.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        return a == b;
    }
    let name = name.trim_start_matches('*').trim_start_matches('.');
    host == name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.'))
}

/// Whether the first bits of two addresses are the same.
fn is_in(address: IpAddr, network: IpAddr, length: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if length <= 32 => (address.to_bits() ^ network.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0,
        (IpAddr::V6(address), IpAddr::V6(network)) if length <= 128 => (address.to_bits() ^ network.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::registry::credential::Secret;

    fn origin(text: &str) -> Origin {
        text.parse::<super::super::url::Url>().expect(text).origin
    }

    #[test]
    fn reg_39_hosts_without_proxy() {
        for (entry, url, covered) in [
            ("*", "https://a.example", true),
            ("example", "https://a.example", true),
            (".example", "https://a.example", true),
            ("*.example", "https://a.example", true),
            ("a.example", "https://A.Example", true),
            ("a.example", "https://b.a.example", true),
            ("a.example", "https://ba.example", false),
            ("a.example:5000", "https://a.example:5000", true),
            ("a.example:5000", "https://a.example", false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("0.0.0.0/0", "https://11.1.2.3", true),
            ("fd00::/8", "https://[fd00::1]:5000", true),
            ("fd00::1", "https://[fd00::1]", true),
            ("10.1.2.3", "https://10.1.2.3:5000", true),
            ("", "https://a.example", false),
        ] {
            assert_eq!(covers(entry, &origin(url)), covered, "{entry} {url}");
        }
    }

    #[test]
    fn reg_39_the_password_of_a_proxy_is_never_shown() {
        let proxies = Proxies { https: Some(Secret::new("socks5://me:hunter2@proxy:1080")), ..Proxies::default() };
        let error = proxies.towards(&origin("https://a.example")).expect_err("not supported");
        assert!(!format!("{error:?} {proxies:?}").contains("hunter2"));
        let proxies = Proxies { https: Some(Secret::new("http://me:hunter2@proxy:1080")), none: vec!["b.example".into()], ..Proxies::default() };
        assert!(!format!("{:?}", proxies.towards(&origin("https://a.example")).expect("usable").expect("one")).contains("hunter2"));
        for direct in ["https://b.example", "https://localhost", "https://127.0.0.1:5000", "http://a.example"] {
            assert!(proxies.towards(&origin(direct)).expect("usable").is_none(), "{direct}");
        }
    }
}
