//! How a client came to a repository: the four ways to write an address, and what each makes of links that lead back.

use crate::support::http::{Request, decoded};

/// The interface of a registry as one client sees it.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The repository, unless the address names none, as `/v2/` does.
    pub(super) repository: String,
    /// `https://host:port` as the client knows it.
    base: String,
    /// What links begin with: the same, or https where this server believes that there is a proxy before it.
    told: String,
    /// What stands before `/v2/`.
    prefix: String,
    /// What stands before the image in names.
    name_prefix: String,
}

/// What is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Ping,
    Token,
    Promote,
    Catalog,
    Tags { image: String },
    Referrers { image: String, digest: String },
    Manifest { image: String, reference: String },
    Blob { image: String, digest: String },
    Uploads { image: String },
    Upload { image: String, id: String },
    Unknown,
}

impl Site {
    /// `/artifactory/api/docker/<repository>/v2/…`
    pub(super) fn api(base: &str, repository: &str) -> Site {
        Site {
            repository: repository.into(),
            told: base.into(),
            base: base.into(),
            prefix: format!("/artifactory/api/docker/{repository}"),
            name_prefix: String::new(),
        }
    }

    /// `/v2/<repository>/<image>/…`
    pub(super) fn path(base: &str, repository: &str) -> Site {
        let name_prefix = if repository.is_empty() { String::new() } else { format!("{repository}/") };
        Site { repository: repository.into(), told: base.into(), base: base.into(), prefix: String::new(), name_prefix }
    }

    /// `/v2/<image>/…` on a host or a port of the repository's own.
    pub(super) fn host(base: &str, repository: &str) -> Site {
        Site { repository: repository.into(), told: base.into(), base: base.into(), prefix: String::new(), name_prefix: String::new() }
    }

    /// The same with links that begin with https.
    pub(super) fn believing_in_tls(mut self) -> Site {
        self.told = self.base.replacen("http://", "https://", 1);
        self
    }

    /// The name of an image as the client knows it.
    pub(super) fn name(&self, image: &str) -> String {
        format!("{}{image}", self.name_prefix)
    }

    /// The link to something of an image.
    pub(super) fn link(&self, image: &str, rest: &str) -> String {
        format!("{}{}/v2/{}/{rest}", self.told, self.prefix, self.name(image))
    }

    /// The same without an image and without a host.
    pub(super) fn relative_link(&self, rest: &str) -> String {
        format!("{}/v2/{rest}", self.prefix)
    }

    /// Where tokens are given.
    pub(super) fn realm(&self) -> String {
        let in_path = self.repository.is_empty() || !self.name_prefix.is_empty();
        if in_path { format!("{}/v2/token", self.base) } else { format!("{}/artifactory/api/docker/{}/v2/token", self.base, self.repository) }
    }

    /// The name of the service in challenges.
    pub(super) fn service(&self) -> &str {
        self.base.split_once("://").map_or(&self.base, |(_, host)| host)
    }
}

/// What is called by a path behind `/v2/`.
pub(super) fn endpoint(rest: &str) -> Endpoint {
    let rest = decoded(rest);
    let segments: Vec<&str> = rest.split('/').collect();
    let joined = |end: usize| segments[..end].join("/");
    match segments[..] {
        [""] => Endpoint::Ping,
        ["token"] => Endpoint::Token,
        ["promote"] => Endpoint::Promote,
        ["_catalog"] => Endpoint::Catalog,
        [_, .., "tags", "list"] => Endpoint::Tags { image: joined(segments.len() - 2) },
        [_, .., "blobs", "uploads"] | [_, .., "blobs", "uploads", ""] => {
            Endpoint::Uploads { image: joined(segments.len() - 2 - usize::from(segments.last() == Some(&""))) }
        }
        [_, .., "blobs", "uploads", id] => Endpoint::Upload { image: joined(segments.len() - 3), id: id.to_owned() },
        [_, .., "blobs", digest] => Endpoint::Blob { image: joined(segments.len() - 2), digest: digest.to_owned() },
        [_, .., "manifests", reference] => Endpoint::Manifest { image: joined(segments.len() - 2), reference: reference.to_owned() },
        [_, .., "referrers", digest] => Endpoint::Referrers { image: joined(segments.len() - 2), digest: digest.to_owned() },
        _ => Endpoint::Unknown,
    }
}

/// What a client calls this server, with the scheme that a reverse proxy names or else that of the listener.
pub(super) fn base(request: &Request) -> String {
    let scheme = request.header("X-Forwarded-Proto").unwrap_or(request.scheme);
    let host = request.header("X-Forwarded-Host").or_else(|| request.header("Host")).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

/// Whether all segments are names that can be in a tree.
pub(super) fn is_tidy(path: &str) -> bool {
    path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}
