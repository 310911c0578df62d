//! What a step knows of names of machines: the files that Docker provides, mounted so that they never are in a layer.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use super::Network;
use crate::error::{IoContext as _, Result};

/// The name of every machine that a step runs on: that of BuildKit, so that whoever writes it down writes the same.
pub(super) const HOSTNAME: &str = "buildkitsandbox";

/// The content of `/etc/hosts`.
pub(super) fn hosts(more: &[(String, IpAddr)]) -> String {
    let mut file = format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in more {
        let _ = writeln!(file, "{address}\t{name}");
    }
    file
}

/// The content of `/etc/resolv.conf`: that of the machine for who has its network. Without a network there is nobody to ask, and nothing of the machine to be seen.
pub(super) fn resolv_conf(network: Network) -> Result<String> {
    let path = Path::new("/etc/resolv.conf");
    match network {
        Network::None => Ok(String::new()),
        Network::Host => match std::fs::read(path) {
            Ok(file) => Ok(String::from_utf8_lossy(&file).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).at("read", path),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_every_step_and_those_that_were_given() {
        let more = [("a".to_owned(), "10.0.0.1".parse().expect("an address")), ("b".to_owned(), "::2".parse().expect("an address"))];
        let expected = "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1\ta\n::2\tb\n";
        assert_eq!(hosts(&more), expected);
        assert_eq!(resolv_conf(Network::None).expect("empty"), "");
    }
}
