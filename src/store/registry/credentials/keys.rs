//! The keys of a file of credentials: which of them is meant for a repository.
//!
//! `HOST[:PORT]` is what every tool writes; `HOST/PATH` is for the repositories below a path, the longest first (containers-auth.json(5)); URLs such as
//! `https://HOST/v1/` are what older clients of Docker wrote, and what they still write for Docker Hub. Hosts are compared as origins: without regard to
//! case, and with the port of https left out. What looks like a host and is another matches nothing.

use crate::spec::reference;

/// What Docker's tools call Docker Hub in files and to helpers.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// How far a key reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Keys of hosts only, as helpers have them.
    Hosts,
    /// Keys of paths only.
    Paths,
}

/// The key among `keys` that is meant for `repository` on `host`.
pub(super) fn best<'a>(keys: impl IntoIterator<Item = &'a str>, host: &str, repository: &str, reach: Reach) -> Option<&'a str> {
    let host = normal(host);
    let fitting = keys.into_iter().filter_map(|key| {
        let meant = Meant::by(key);
        let rank = match reach {
            Reach::Hosts if meant.path.is_empty() => meant.form as usize,
            Reach::Paths if meant.covers(repository) => meant.path.len(),
            _ => return None,
        };
        (normal(meant.host) == host).then_some((rank, key))
    });
    // Of equals the first in byte order, whatever the order of the file.
    fitting.max_by(|(rank, key), (other, second)| rank.cmp(other).then_with(|| second.cmp(key))).map(|(_, key)| key)
}

/// Whether `key` stands for all of `host`, in whatever form.
pub(super) fn is_of_host(key: &str, host: &str) -> bool {
    best([key], host, "", Reach::Hosts).is_some()
}

/// The host that `key` is for, or for a part of.
pub(super) fn host_of(key: &str) -> &str {
    Meant::by(key).host
}

/// The key that is written for all of `host`, and what helpers are told.
pub(super) fn of_host(host: &str) -> &str {
    match normal(host).as_str() {
        reference::DOCKER_HUB => DOCKER_HUB_KEY,
        _ => host,
    }
}

/// How a key for a host is written; a later form is preferred.
#[derive(Clone, Copy)]
enum Form {
    Url,
    Host,
}

struct Meant<'a> {
    host: &'a str,
    path: &'a str,
    form: Form,
}

impl<'a> Meant<'a> {
    fn by(key: &'a str) -> Self {
        let bare = strip_scheme(key);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let path = path.trim_end_matches('/');
        let is_url = bare.len() < key.len() || matches!(path, "v1" | "v2");
        match is_url {
            true => Meant { host, path: "", form: Form::Url },
            false => Meant { host, path, form: Form::Host },
        }
    }

    fn covers(&self, repository: &str) -> bool {
        !self.path.is_empty() && repository.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn strip_scheme(key: &str) -> &str {
    let schemes = ["https://", "http://"];
    let scheme = schemes.into_iter().find(|scheme| key.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    scheme.map_or(key, |scheme| &key[scheme.len()..])
}

/// A host in the one form that is compared.
pub(super) fn normal(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    match host {
        "index.docker.io" | "registry-1.docker.io" => reference::DOCKER_HUB.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host<'a>(keys: &[&'a str], host: &str) -> Option<&'a str> {
        best(keys.iter().copied(), host, "a/b", Reach::Hosts)
    }

    #[test]
    fn a_host_is_found_in_every_form_that_clients_have_written() {
        for key in [
            "r.example",
            "R.Example",
            "r.example:443",
            "https://r.example",
            "http://r.example/",
            "https://r.example/v1/",
            "r.example/v2/",
            "HTTPS://r.example/v2",
        ] {
            assert_eq!(host(&[key], "r.example"), Some(key), "{key}");
        }
        assert_eq!(host(&["r.example:5000"], "r.example:5000"), Some("r.example:5000"));
        assert_eq!(host(&["https://r.example/v1/", "r.example", "http://r.example"], "r.example"), Some("r.example"), "the plain form is preferred");
    }

    #[test]
    fn docker_hub_has_several_names() {
        for key in [DOCKER_HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io", "https://index.docker.io/v1"] {
            assert_eq!(host(&[key], "docker.io"), Some(key), "{key}");
        }
        assert_eq!((of_host("docker.io"), of_host("index.docker.io"), of_host("r.example")), (DOCKER_HUB_KEY, DOCKER_HUB_KEY, "r.example"));
    }

    #[test]
    fn reg_10_a_host_that_only_looks_alike_is_another() {
        for key in [
            "r.example.",
            "r.example:5000",
            "r.example:80",
            "user@r.example",
            "https://user@r.example/",
            "xr.example",
            "example",
            "r.examp1e",
            "",
            "/",
            "r.example@x",
        ] {
            assert_eq!(host(&[key], "r.example"), None, "{key}");
        }
        assert_eq!(host(&["r.example"], "r.example:5000"), None);
    }

    #[test]
    fn the_longest_path_wins_and_ends_at_a_slash() {
        let keys = ["r.example", "r.example/docker-local", "r.example/docker-local/team", "r.example/docker-local/team/", "r.example/docker"];
        let path = |repository: &str| best(keys, "r.example", repository, Reach::Paths);
        assert_eq!(path("docker-local/team/app"), Some("r.example/docker-local/team"));
        assert_eq!(path("docker-local/team"), Some("r.example/docker-local/team"));
        assert_eq!(path("docker-local/teams"), Some("r.example/docker-local"));
        assert_eq!(path("docker-remote/x"), None);
        assert_eq!(best(["other.example/docker-local"], "r.example", "docker-local/x", Reach::Paths), None);
    }
}
