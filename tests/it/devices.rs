//! `larder build`: devices, named pipes, sockets, and names that mean deletion.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::context::oci;
use crate::support::image::{Ran, layer_entries, manifest_of, ran, read_index};
use crate::support::process::{Runs as _, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::root;

/// A tree `tree`, made by a shell, and an archive `tree.tar` of it.
fn sources(script: &str) -> TempDir {
    let home = temp();
    fs::create_dir(home.path().join("tree")).expect("writable");
    Command::new("sh").args(["-euc", script]).current_dir(home.path().join("tree")).succeeds();
    Command::new("tar").args(["-cf", "tree.tar", "--sort=name", "-C", "tree", "."]).current_dir(home.path()).succeeds();
    home
}

/// What came of a build of a layer, and where to.
fn built(home: &Path, layer: &str) -> (Ran, PathBuf) {
    fs::write(home.join("larder.toml"), format!("tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n{layer}\n")).expect("writable");
    let out = home.join("out");
    let _ = fs::remove_dir_all(&out);
    (ran(&["build", home.to_str().expect("UTF-8"), "--no-cache", "-o", &oci(&out)]), out)
}

/// The paths in the layer that is built; the root apart.
#[track_caller]
fn names(home: &Path, layer: &str) -> Vec<String> {
    let (ran, out) = built(home, layer);
    assert_eq!(ran.code, Some(0), "{layer}: {ran:?}");
    assert_layout_is_sound(&out);
    let entries = layer_entries(&out, &manifest_of(&out, "1", "amd64")["layers"][0]);
    entries.into_iter().filter(|entry| !["./", "/", "."].contains(&entry.name.as_str())).map(|entry| entry.name).collect()
}

/// The build fails as wrong usage, saying these words, and gives no name.
#[track_caller]
fn refused(home: &Path, layer: &str, words: &[&str]) {
    let (ran, out) = built(home, layer);
    assert!(ran.code == Some(2) && words.iter().all(|words| ran.stderr.contains(words)), "{layer}: {words:?} in {ran:?}");
    assert!(!names_anything(&out), "{layer}");
}

/// An archive is read when its layout is there already.
fn names_anything(layout: &Path) -> bool {
    layout.exists() && read_index(layout)["manifests"] != serde_json::json!([])
}

const COPY: &str = "[[layer.copy]]\nfrom = \"tree/\"\nto = \"/\"";

#[test]
fn tar_58_devices_and_pipes_are_kept_left_out_or_refused() {
    let pipe = ("mkfifo dev-pipe; ln dev-pipe dev-second; echo x >file", vec!["dev-pipe", "dev-second", "file"]);
    let nodes = ("mknod dev-null c 1 3; mknod dev-loop b 7 0; ln dev-null dev-second; echo x >file", vec!["dev-loop", "dev-null", "dev-second", "file"]);
    for (script, all) in [Some(pipe), root().then_some(nodes)].into_iter().flatten() {
        let home = sources(script);
        for source in ["rootfs = \"tree\"", "tar = \"tree.tar\""] {
            let with = |devices: &str| format!("{source}\ndevices = \"{devices}\"");
            assert_eq!(names(home.path(), &with("keep")), all, "{source}");
            assert_eq!(names(home.path(), &with("skip")), ["file"], "{source}");
            refused(home.path(), &with("refuse"), &["is a device or a named pipe", "dev-", "devices = "]);
            assert_eq!(names(home.path(), source), all, "{source}");
            refused(home.path(), &with("some"), &["`devices` is one of"]);
        }
        refused(home.path(), COPY, &["larder.toml:5:8", "is a device or a named pipe", "leave it out with `exclude`"]);
        refused(home.path(), &format!("{COPY}\ninclude = [\"dev-*\"]"), &["is a device or a named pipe"]);
        assert_eq!(names(home.path(), &format!("{COPY}\nexclude = [\"dev-*\"]")), ["file"]);
        let (single, _) = built(home.path(), &format!("[[layer.copy]]\nfrom = \"tree/{}\"\nto = \"/x\"", all[0]));
        assert!(single.code == Some(6) && single.stderr.contains("is neither a file nor a directory"), "{single:?}");
    }
}

#[test]
fn tar_58_sockets_are_left_out_and_told_of() {
    let home = sources("mkdir run; echo x >run/file");
    let _socket = UnixListener::bind(home.path().join("tree/run/socket")).expect("a short path");
    for layer in ["rootfs = \"tree\"", "rootfs = \"tree\"\ndevices = \"refuse\"", COPY] {
        assert_eq!(names(home.path(), layer), ["run/", "run/file"], "{layer}");
        let told = built(home.path(), layer).0.stderr;
        let warnings: Vec<&str> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(matches!(warnings[..], [one] if one.contains("run/socket is a socket and is left out")), "{told}");
    }
}

#[test]
fn tar_41_and_58_names_that_mean_deletion_are_refused() {
    for script in ["echo x >.wh.etc", "mkdir .wh.etc", "mkdir -p usr/.wh.etc/below", "ln -s x .wh.etc", "mkdir usr; echo x >usr/.wh..wh..opq", "echo x >.wh."] {
        let home = sources(script);
        for layer in ["rootfs = \"tree\"", COPY] {
            refused(home.path(), layer, &["means deletion in a layer", ".wh.", "rename it, or leave it out"]);
        }
        assert_eq!(names(home.path(), &format!("{COPY}\nexclude = [\".wh.*\"]")).iter().filter(|name| name.contains(".wh.")).count(), 0);
    }
    let home = sources("echo x >file");
    refused(home.path(), "[[layer.copy]]\nfrom = \"tree/file\"\nto = \"/.wh.file\"", &["means deletion in a layer"]);
    for made in ["file]]\ncontent = \"\"\nto", "directory]]\nto", "symlink]]\ntarget = \"x\"\nto"] {
        refused(home.path(), &format!("[[layer.{made} = \"/usr/.wh.etc\""), &["means deletion"]);
    }
}

/// A layer that comes as an archive may have whiteouts, if they are such.
#[test]
fn tar_41_whiteouts_of_an_archive_are_whiteouts_or_refused() {
    let home = sources(": >.wh.etc; mkdir usr; : >usr/.wh..wh..opq; ln .wh.etc usr/.wh.lib");
    assert_eq!(names(home.path(), "tar = \"tree.tar\""), [".wh.etc", "usr/", "usr/.wh..wh..opq", "usr/.wh.lib"]);
    for script in [
        "echo x >.wh.etc",
        "mkdir .wh.etc",
        "mkdir -p usr/.wh.etc; : >usr/.wh.etc/x",
        "mkdir .wh.a; : >.wh.a/.wh.b",
        "ln -s x .wh.etc",
        ": >.wh.",
        ": >.wh..wh.x",
    ] {
        let home = sources(script);
        let (ran, out) = built(home.path(), "tar = \"tree.tar\"");
        assert!(ran.code == Some(3) && ran.stderr.contains("larder.toml:4:7") && ran.stderr.contains("whiteout"), "{script}: {ran:?}");
        assert!(!names_anything(&out), "{script}");
    }
}
