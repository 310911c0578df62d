//! How an instance behaves where versions and set-ups of Artifactory differ, or where it fails.

use crate::support::http::Request;

/// Every behaviour that can be switched. By default a modern server in good health.
#[derive(Clone, Debug)]
pub(crate) struct Switches {
    /// A blob in one PUT, without a PATCH before it, is unknown, unless a docker of old sends it.
    pub(crate) legacy_monolithic_404: bool,
    /// Challenges do not say for which scope.
    pub(crate) challenge_without_scope: bool,
    /// Tokens are not given by POST.
    pub(crate) token_post_401: bool,
    /// What a virtual repository does not have is forbidden.
    pub(crate) virtual_403: bool,
    /// Digests are listed as tags.
    pub(crate) tags_with_digests: bool,
    /// The history of a config must have an entry for every layer.
    pub(crate) history_check: bool,
    /// Media types of manifests are accepted only where manifests are.
    pub(crate) strict_accept_406: bool,
    /// Who does not say what is accepted gets a manifest of schema 1, whose digest is another.
    pub(crate) no_accept_schema1: bool,
    /// A tag is not overwritten without the right to delete.
    pub(crate) no_overwrite: Overwriting,
    /// Documents of OCI are refused.
    pub(crate) reject_oci: bool,
    /// So many PATCH lose their session.
    pub(crate) flaky_patch_404: u32,
    /// With this status blobs are to be fetched from an object store.
    pub(crate) s3_redirect: Option<u16>,
    pub(crate) rate_limit: Option<RateLimit>,
    /// A `Location` is https although the request came by http, unless `X-Forwarded-Proto` says so.
    pub(crate) https_location_on_http: bool,
    /// With this status POST and PATCH are sent to https.
    pub(crate) redirect_http_to_https: Option<u16>,
    pub(crate) mount: Mounting,
    /// Whether what is attached to a manifest is listed.
    pub(crate) referrers: bool,
    /// A list stays where a manifest of one platform is pushed under its tag.
    pub(crate) keep_list_on_single_push: bool,
    /// Promotion renames the tags of the architectures.
    pub(crate) promote_rename_children: bool,
    /// Every architecture of a list gets a tag of its own.
    pub(crate) arch_tag_duplication: bool,
    /// A promotion of one tag between repositories of package type `oci` is a bad request.
    pub(crate) promote_400_oci: bool,
    /// A promotion from or to what is not local succeeds and does nothing.
    pub(crate) promote_silent_virtual: bool,
    /// So many promotions do not get their lock.
    pub(crate) promote_locked: u32,
    /// Nothing is promoted here, as without a licence.
    pub(crate) promote_absent: bool,
    /// A body of more bytes is refused.
    pub(crate) body_limit: Option<u64>,
    pub(crate) drop_connection: Option<Drop>,
}

/// What becomes of a tag that is overwritten by who may not delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwriting {
    Allowed,
    /// 400, with 403 in its words.
    BadRequest,
    Forbidden,
}

/// What becomes of a blob that is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounting {
    Works,
    /// 401
    Unauthorized,
    /// An upload begins in its place.
    Off,
}

/// The first requests whose path has this in it are too many.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    pub(crate) path: String,
    pub(crate) times: u32,
    /// `Retry-After`
    pub(crate) retry_after: String,
}

/// The connection ends in the middle of requests or answers.
#[derive(Clone, Debug)]
pub(crate) struct Drop {
    pub(crate) method: String,
    /// What the path has in it.
    pub(crate) path: String,
    /// Behind so many bytes of the body of a request that has one, or of its answer. What is shorter comes whole.
    pub(crate) after: u64,
    pub(crate) times: u32,
}

impl Drop {
    /// Whether it is the turn of this request.
    pub(super) fn hits(&self, request: &Request) -> bool {
        self.times > 0 && self.method == request.method && request.path.contains(&self.path)
    }
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            legacy_monolithic_404: false,
            challenge_without_scope: true,
            token_post_401: true,
            virtual_403: false,
            tags_with_digests: false,
            history_check: false,
            strict_accept_406: false,
            no_accept_schema1: true,
            no_overwrite: Overwriting::Allowed,
            reject_oci: false,
            flaky_patch_404: 0,
            s3_redirect: None,
            rate_limit: None,
            https_location_on_http: false,
            redirect_http_to_https: None,
            mount: Mounting::Works,
            referrers: true,
            keep_list_on_single_push: true,
            promote_rename_children: false,
            arch_tag_duplication: false,
            promote_400_oci: false,
            promote_silent_virtual: false,
            promote_locked: 0,
            promote_absent: false,
            body_limit: None,
            drop_connection: None,
        }
    }
}

impl Switches {
    /// What is known to differ between versions.
    pub(super) fn of_version(version: &str) -> Switches {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().expect("a version"));
        let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
        Switches {
            legacy_monolithic_404: version < [7, 0, 0],
            reject_oci: version < [7, 11, 1],
            referrers: version >= [7, 90, 1],
            promote_rename_children: version < [7, 111, 0],
            arch_tag_duplication: ([7, 21, 2]..[7, 111, 0]).contains(&version),
            ..Switches::default()
        }
    }
}
