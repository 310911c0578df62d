//! The `oci-layout` file: what says that a directory or an archive is an image layout. image-spec, image-layout.md "oci-layout file".

use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::{json, limits, text};

/// Its name.
pub(super) const NAME: &str = "oci-layout";

/// What larder writes into it.
pub(super) const BYTES: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

const VERSION: &str = "1.0.0";

/// Checks the content of the file at `path`. Kinds: `corrupt`, and `unsupported` for other versions than 1.0.0.
pub(super) fn check(bytes: &[u8], path: &Path) -> Result<()> {
    let shown = text::path(path);
    let header = json::parse(bytes, limits::LAYOUT_HEADER_BYTES).map_err(|error| error.context(format!("cannot read {shown}")).subject(&shown))?;
    let Some(fields) = header.as_object() else {
        return Err(Error::corrupt(format!("{shown} is not a JSON object")).subject(&shown));
    };
    match fields.get("imageLayoutVersion") {
        Some(serde_json::Value::String(version)) if version == VERSION => Ok(()),
        Some(other) => {
            let other = other.to_string();
            let other = text::shown(other.get(..40).unwrap_or(&other)).into_owned();
            Err(Error::unsupported(format!("{shown}: imageLayoutVersion is {other}; this version of larder reads \"{VERSION}\"")).subject(&shown))
        }
        None => Err(Error::unsupported(format!("{shown}: imageLayoutVersion is missing")).subject(&shown)),
    }
}
