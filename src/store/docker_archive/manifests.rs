//! `manifest.json`: where Docker and podman look for the images of an archive. Docker's image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::spec::json;
use crate::store::tarfile::{MANIFESTS, Reading};

/// The largest `manifest.json`: 64 MiB. A thousand images with a hundred layers each take 10 MB.
const MAX_BYTES: usize = 64 << 20;

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    /// The file of the config.
    pub(super) config: String,
    /// The files of the layers, bottom first.
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
    /// `REPOSITORY:TAG`, in the short form that people use or in full.
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
}

/// Reads `manifest.json`; none where there is none. Kind `corrupt`.
pub(super) fn read(archive: &Reading) -> Result<Option<Vec<Item>>> {
    let Some(bytes) = archive.document(MANIFESTS, MAX_BYTES)? else { return Ok(None) };
    let shown = &archive.input.shown;
    let cannot = |error: Error| error.context(format!("cannot read {MANIFESTS} of archive {shown}")).subject(shown);
    match json::decode::<Option<Vec<Item>>>(&bytes, MAX_BYTES).map_err(cannot)? {
        Some(items) => Ok(Some(items)),
        None => Err(cannot(Error::corrupt("it is null and not a list"))),
    }
}

/// That an archive has no `manifest.json`. Kind `corrupt`.
pub(super) fn missing(archive: &Reading) -> Error {
    let shown = &archive.input.shown;
    let error = Error::corrupt(format!("archive {shown} has no `{MANIFESTS}`")).subject(shown);
    match archive.has_member("repositories") {
        true => error.hint("it was written by Docker before 1.10: load it there and save it again"),
        false => error,
    }
}
