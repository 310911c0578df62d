//! What copies of large images through archives take: a bounded part of the memory, and no disk but what their output is.

use std::path::Path;

use crate::support::bundle::oci;
use crate::support::forge::Forge;
use crate::support::large::Large;
use crate::support::memory::{measured, peak_unseen};
use crate::support::mount::Mount;
use crate::support::process::temp;

const LARDER: &str = env!("CARGO_BIN_EXE_larder");
/// In MiB.
const MOST: u64 = 256;
const CONTENT: u64 = 1 << 30;

/// A file system with room for the large image once, and for some documents.
#[track_caller]
fn room() -> Option<Mount> {
    Mount::memory(&format!("size={}", CONTENT + (2 << 20)))
}

#[test]
fn archives_of_a_large_image_are_made_and_read_in_little_memory_and_no_more_disk_than_their_output() {
    let (Some(nothing), forge) = (Mount::memory("size=64k"), Forge::new()) else { return };
    Large::new(CONTENT).store(&forge);
    let image = oci(forge.path(), "large");
    // No help from the directory for temporary files.
    let elsewhere = format!("TMPDIR={}", nothing.path().display());
    let layout = |place: &Path| oci(&place.join("layout"), "large");
    for scheme in ["oci-archive", "docker-archive"] {
        let (Some(packed), Some(back), Some(piped)) = (room(), room(), room()) else { return };
        let archive = format!("{scheme}:{}", packed.path().join("x.tar").display());
        let used = measured(&["/usr/bin/env", &elsewhere, LARDER, "copy", "--quiet", &image, &archive]);
        assert!(used < MOST, "{used} MiB to make {scheme}");
        let used = measured(&["/usr/bin/env", &elsewhere, LARDER, "copy", "--quiet", &archive, &layout(&back.path())]);
        assert!(used < MOST, "{used} MiB to read {scheme}");
        // The index is the last of an archive, so what comes through a pipe is kept once before it is read.
        std::fs::remove_file(packed.path().join("x.tar")).expect("there");
        let spool = packed.path().display().to_string();
        let pipeline = r#""$1" copy --quiet "$2" "$3" | TMPDIR=$5 "$1" copy --quiet "$3" "$4""#;
        let words = ["bash", "-o", "pipefail", "-c", pipeline, "bash", LARDER, &image, &format!("{scheme}:-"), &layout(&piped.path()), &spool];
        let used = measured(&[&["/usr/bin/env", &elsewhere], &words[..]].concat());
        assert!(used < MOST, "{used} MiB for {scheme} through a pipe");
        assert_eq!(std::fs::read_dir(packed.path()).expect("there").count(), 0, "nothing is left of it");
    }
}

#[test]
fn a_large_image_is_unpacked_in_little_memory() {
    let (forge, home) = (Forge::new(), temp());
    Large::new(CONTENT).store(&forge);
    let target = home.path().join("rootfs");
    let used = peak_unseen(0, &["unpack", "--quiet", &oci(forge.path(), "large"), target.to_str().expect("UTF-8")]);
    assert!(used < MOST, "{used} MiB");
    assert_eq!(std::fs::metadata(target.join("zeros")).expect("there").len(), CONTENT);
}
