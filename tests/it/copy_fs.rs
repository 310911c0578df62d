//! `larder copy` on the file systems that layouts lie on: what is on one already is shared.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::support::bundle::oci;
use crate::support::forge::Forge;
use crate::support::image::json;
use crate::support::large::{END, Large};
use crate::support::mount::Mount;

/// The bytes of all blocks that are in use where this is.
fn used(place: &Path) -> u64 {
    // Some take blocks only when they write.
    rustix::fs::syncfs(File::open(place).expect("there")).expect("written");
    let disk = rustix::fs::statvfs(place).expect("mounted");
    (disk.f_blocks - disk.f_bfree) * disk.f_frsize
}

#[test]
fn several_gib_on_one_file_system_move_no_data() {
    const CONTENT: u64 = 3 << 30;
    // It has no room for a second layer.
    const DISK: u64 = 4 << 30;
    const DOCUMENTS: u64 = 8 << 20;
    let large = Large::new(CONTENT);
    for (kind, how) in [("ext4", "linked"), ("btrfs", "reflinked"), ("xfs", "reflinked")] {
        let Some(mount) = Mount::disk(kind, DISK) else { continue };
        let forge = Forge::on(&mount);
        let from = large.store(&forge);
        let size = large.size;
        let file = File::options().write(true).open(&from).expect("there");
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size).expect("room for one");
        let before = used(&mount.path());
        assert!(before > CONTENT, "{kind}: {before}");
        let copy = mount.path().join("copy");
        let report = json(&["copy", &oci(forge.path(), "large"), &oci(&copy, "large")]);
        let content = &report["content"];
        assert_eq!((&content[how]["count"], &content[how]["bytes"]), (&1.into(), &size.into()), "{kind}: {report:#}");
        assert!(content["copied"]["bytes"].as_u64().is_some_and(|bytes| bytes < 4096), "{kind}: {report:#}");
        let after = used(&mount.path());
        assert!(after < before + DOCUMENTS, "{kind}: {before} bytes are in use before, and {after} after");
        let to = copy.join(from.strip_prefix(forge.path()).expect("inside"));
        let inode = |path| fs::metadata(path).expect("there").ino();
        assert_eq!(inode(&from) == inode(&to), how == "linked", "{kind}");
        let copied = File::open(to).expect("there");
        assert_eq!(copied.metadata().expect("there").len(), size, "{kind}");
        let mut end = [0; END.len()];
        copied.read_exact_at(&mut end, 512 + CONTENT - END.len() as u64).expect("as long");
        assert_eq!(end, END, "{kind}");
    }
}
