//! The platform of this machine, as images name it.

use crate::error::Result;
use crate::graph::image::Choice;
use crate::spec::Platform;

/// The image that `--platform` means: without it the only one, or of several the one for this machine. Fails with kind `usage`.
pub(crate) fn choice(platform: Option<&str>) -> Result<Choice> {
    let host = self::platform();
    match platform {
        Some(text) => Platform::parse_with(text, &host).map(Choice::For),
        None => Ok(Choice::OnlyOr(host)),
    }
}

/// What an image must be for to run here without help.
pub(crate) fn platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "x86" => ("386", ""),
        "aarch64" => ("arm64", ""),
        "arm" => ("arm", "v7"),
        "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
        "powerpc64" => ("ppc64", ""),
        "loongarch64" => ("loong64", ""),
        other => (other, ""),
    };
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    Platform::new(os, architecture, variant)
}
