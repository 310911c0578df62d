//! `larder build`: layers that come from other layouts are proved, and damage does not travel.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::context::{self, oci, write};
use crate::support::image::{Ran, blob_path, manifest_of, ran, read_index};
use crate::support::mount::Mount;
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;

/// A context, and a layout `first` into which it was built with a cache.
fn built() -> (TempDir, PathBuf) {
    let home = temp();
    write(&home.path().join("context"), "first");
    let first = home.path().join("first");
    let ran = build(home.path(), &["-o", &oci(&first)]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    (home, first)
}

fn build(home: &Path, arguments: &[&str]) -> Ran {
    let mut command: Command = larder();
    command.arg("build").arg(home.join("context")).arg("--cache-dir").arg(home.join("cache")).args(["--format", "json"]).args(arguments);
    Ran::from(command.output().expect("the binary starts"))
}

/// Changes a byte in the middle of the first layer, in this layout alone; its size stays.
fn damage(layout: &Path) -> String {
    let digest = manifest_of(layout, "first", "amd64")["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let blob = layout.join("blobs/sha256").join(&digest[7..]);
    let mut bytes = fs::read(&blob).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::remove_file(&blob).expect("own file");
    fs::write(&blob, bytes).expect("writable");
    digest
}

#[test]
fn a_damaged_layer_of_another_layout_is_built_anew() {
    let (home, first) = built();
    let second = home.path().join("second");
    let report = build(home.path(), &["-o", &oci(&second)]).json();
    assert_eq!(report["layers"][0]["cached"], true, "what is whole is taken over: {report}");
    assert_layout_is_sound(&second);

    damage(&first);
    fs::remove_dir_all(&second).expect("own layout");
    let third = home.path().join("third");
    let ran = build(home.path(), &["-o", &oci(&third)]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&third);
    assert_eq!((&ran.json()["layers"][0]["cached"], &ran.json()["layers"][1]["cached"]), (&false.into(), &true.into()), "{ran:?}");
    assert!(ran.stderr.contains("is damaged there") && ran.stderr.contains("first"), "{ran:?}");
}

#[test]
fn a_damaged_layer_of_a_base_in_another_layout_is_an_error_that_names_it() {
    let (home, first) = built();
    let digest = damage(&first);
    let child = home.path().join("child");
    let base = format!("{}:first", oci(&first));
    // A context without layers: any that are the base's own would heal it.
    let empty = temp();
    let ran = ran(&["build", empty.path().to_str().expect("UTF-8"), "--base", &base, "-t", "child", "-o", &oci(&child), "--format", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let message = ran.error()["message"].as_str().expect("a message").to_owned();
    assert!(message.contains(&digest) && message.contains(&base), "{message}");
    assert_eq!(read_index(&child)["manifests"], serde_json::json!([]), "nothing has a name");
    assert_layout_is_sound(&child);
}

#[test]
fn a_layer_that_was_not_read_is_proved_before_another_output_gets_it() {
    let (home, first) = built();
    damage(&first);
    let second = home.path().join("second");
    let ran = build(home.path(), &["-o", &oci(&first), "-o", &oci(&second)]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(read_index(&second)["manifests"], serde_json::json!([]), "nothing has a name");
    let ran = build(home.path(), &["-o", &oci(&first)]);
    assert_eq!(ran.code, Some(0), "what lies there already is not read: {ran:?}");
}

/// Where the blocks of a file are shared with another one, as the file system says.
fn is_shared(file: &Path) -> bool {
    let told = Command::new("filefrag").arg("-sv").arg(file).succeeds();
    let extents: Vec<&str> = told.lines().filter(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit())).collect();
    !extents.is_empty() && extents.iter().all(|extent| extent.contains("shared"))
}

#[test]
fn the_layers_of_a_base_are_linked_or_share_their_blocks_and_are_not_copied() {
    let mounts = [("ext4", 64 << 20), ("xfs", 320 << 20), ("btrfs", 256 << 20)].map(|(kind, bytes)| (kind, Mount::disk(kind, bytes)));
    for (kind, mount) in mounts {
        let Some(mount) = mount else { continue };
        let place = |name: &str| mount.path().join(name);
        let home = temp();
        write(&home.path().join("context"), "first");
        context::build(&home.path().join("context"), &place("bases")).succeeds();
        let base = format!("{}:first", oci(&place("bases")));
        let mut upon = larder();
        upon.arg("build").arg(home.path()).args(["--base", &base, "--copy", "context=/more", "--platform", "linux/amd64", "--no-cache"]);
        upon.args(["-t", "x:second", "-o", &oci(&place("out"))]).succeeds();
        assert_layout_is_sound(&place("out"));
        // The layer of a few bytes is too small to share its blocks on btrfs, which keeps it beside its name.
        let layer = &manifest_of(&place("bases"), "first", "amd64")["layers"][0]["digest"];
        let inodes = ["bases", "out"].map(|layout| fs::metadata(blob_path(&place(layout), layer)).expect("there").ino());
        match kind {
            "ext4" => assert_eq!(inodes[0], inodes[1], "linked"),
            _ => assert!(inodes[0] != inodes[1] && is_shared(&blob_path(&place("out"), layer)), "{kind} shares blocks"),
        }
        let own = &manifest_of(&place("out"), "second", "amd64")["layers"][2]["digest"];
        assert!(!is_shared(&blob_path(&place("out"), own)));
    }
}
