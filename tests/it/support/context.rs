//! Small contexts to build images from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{Runs as _, larder, temp};

/// Writes a context to the new directory `at`: an image for amd64 under `tag`, with a layer that every such image has and one with the tag in it.
pub(crate) fn write(at: &Path, tag: &str) {
    fs::create_dir(at).expect("a new directory");
    fs::write(at.join("shared"), noise(200_000, 1)).expect("writable");
    fs::write(at.join("own"), tag).expect("writable");
    let layers = "[[layer]]\n[[layer.copy]]\nfrom = \"shared\"\nto = \"/shared\"\n[[layer]]\n[[layer.copy]]\nfrom = \"own\"\nto = \"/own\"\n";
    fs::write(at.join("larder.toml"), format!("tags = [\"{tag}\"]\nplatforms = [\"linux/amd64\"]\n{layers}")).expect("writable");
}

/// Bytes that no encoder makes much smaller, the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| byte()).collect()
}

/// A build of this context into this layout that asks no cache.
pub(crate) fn build(context: &Path, layout: &Path) -> Command {
    let mut command = larder();
    command.arg("build").arg(context).args(["--no-cache", "--quiet", "-o"]).arg(oci(layout));
    command
}

/// The location of a layout.
pub(crate) fn oci(layout: &Path) -> String {
    format!("oci:{}", layout.display())
}

/// A new layout with one image, under the tag `first`.
pub(crate) fn layout() -> (TempDir, PathBuf) {
    let home = temp();
    let (context, layout) = (home.path().join("first"), home.path().join("layout"));
    write(&context, "first");
    build(&context, &layout).succeeds();
    (home, layout)
}

/// The staging directories in a layout: what writers work in, and leave when they are killed.
pub(crate) fn stagings(layout: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(layout).expect("there").map(|entry| entry.expect("readable").path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".larder"))).collect()
}
