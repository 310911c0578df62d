//! Listing what a registry has: its repositories, or the tags of one.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Reference, text};
use crate::store::registry::{Network, Settings};

/// What to list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Where.
    pub place: Place,
    /// How registries are spoken to.
    pub settings: Settings,
}

/// A place in a registry that has something to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host, which has repositories.
    Host(String),
    /// A repository, which has tags.
    Repository(Reference),
}

impl Place {
    /// Reads `docker://HOST` or `docker://HOST/REPOSITORY`. Fails with kind `usage`.
    pub fn parse(written: &str) -> Result<Place> {
        let shown = text::shown(written);
        let bad = || Error::usage(format!("`{shown}` is no place in a registry")).subject(&shown).hint("write docker://HOST or docker://HOST/REPOSITORY");
        let rest = written.strip_prefix("docker://").ok_or_else(bad)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if !rest.contains('/') {
            // Only what has a dot or a port is a host, and not the first part of a name on Docker Hub.
            let filled: Reference = format!("{rest}/x/x").parse().map_err(|error| bad().because(error))?;
            return if filled.repository() == "x/x" { Ok(Place::Host(filled.host().to_owned())) } else { Err(bad()) };
        }
        let reference: Reference = rest.parse().map_err(|error| bad().because(error))?;
        match (reference.tag(), reference.digest()) {
            (None, None) => Ok(Place::Repository(reference)),
            _ => Err(Error::usage(format!("`{shown}` is one image, and a list is of all")).subject(&shown).hint("leave out the tag or digest")),
        }
    }

    /// The host, as references have it.
    pub fn host(&self) -> &str {
        match self {
            Place::Host(host) => host,
            Place::Repository(reference) => reference.host(),
        }
    }
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// The host, as references have it.
    pub host: String,
    /// Its repositories, sorted, where these were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// The repository whose tags were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Its tags, sorted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Lists what there is. Kinds: `not_found` where there is no such repository; `denied`; `unsupported` where the host lists nothing; `unavailable`; `interrupted`.
pub fn execute(run: &Run, request: &ListRequest) -> Result<ListReport> {
    let network = Network::new(request.settings.clone(), run)?;
    let host = request.place.host().to_owned();
    // Some hosts give another order each time.
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    Ok(match &request.place {
        Place::Host(name) => ListReport { repositories: Some(sorted(network.repositories(name)?)), host, repository: None, tags: None },
        Place::Repository(reference) => {
            let tags = sorted(network.repository(reference)?.tags()?);
            ListReport { host, repositories: None, repository: Some(reference.repository().to_owned()), tags: Some(tags) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_place_is_a_host_or_a_repository() {
        for (written, host, repository) in [
            ("docker://registry.example", "registry.example", None),
            ("docker://registry.example/", "registry.example", None),
            ("docker://localhost:5000", "localhost:5000", None),
            ("docker://docker.io", "docker.io", None),
            ("docker://registry.example/team/app", "registry.example", Some("team/app")),
            ("docker://registry.example/team/app/", "registry.example", Some("team/app")),
            ("docker://docker.io/alpine", "docker.io", Some("library/alpine")),
        ] {
            let place = Place::parse(written).expect(written);
            let found = match &place {
                Place::Host(_) => None,
                Place::Repository(reference) => Some(reference.repository()),
            };
            assert_eq!((place.host(), found), (host, repository), "{written}");
        }
        for written in ["", "registry.example", "docker://", "docker://alpine", "docker:///a", "docker://registry.example/a:1", "docker://registry.example/A"] {
            assert_eq!(Place::parse(written).expect_err(written).kind(), ErrorKind::Usage, "{written}");
        }
    }
}
