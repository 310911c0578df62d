//! `larder edit --squash`: fewer layers and the same tree, judged by those who unpack it.

use std::path::Path;

use serde_json::Value;

use crate::support::bundle::{Bundle, oci};
use crate::support::forge::Forge;
use crate::support::image::{manifest_of, ran, read_index, succeeded};
use crate::support::layers::{image, layers, location, thirty};
use crate::support::mount::Mount;
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tape::file;
use crate::support::tools::root;
use crate::support::tree::{self, Kind, Tree};

/// Edits under a new name, and proves the layout.
#[track_caller]
fn edit(layout: &Path, from: &str, to: &str, more: &[&str]) {
    succeeded(&[&["edit", &oci(layout, from), "-t", to], more].concat());
    succeeded(&["verify", "--deep", "--quiet", &oci(layout, to)]);
    assert_layout_is_sound(layout);
}

/// The tree of an image as larder unpacks it, and as umoci does.
#[track_caller]
fn trees(layout: &Path, name: &str) -> Option<[Tree; 2]> {
    let home = temp();
    let target = home.path().join("rootfs");
    larder().args(["unpack", "--strict", "--quiet", &oci(layout, name)]).arg(&target).succeeds();
    let bundle = Bundle::unpack(layout, name)?;
    Some([tree::read(&target), tree::read(&bundle.tree())])
}

fn count(layout: &Path, name: &str) -> usize {
    manifest_of(layout, name, "amd64")["layers"].as_array().map_or(0, Vec::len)
}

#[test]
fn larder_and_umoci_unpack_the_same_tree_from_fewer_layers() {
    if !root() {
        return;
    }
    for (layers, from) in [(layers().to_vec(), ["1", "2", "3"]), (thirty(), ["2", "5", "29"])] {
        let forge = image(&layers);
        let layout = forge.path();
        let Some(before) = trees(layout, "image") else { return };
        tree::assert_same(&before[0], &before[1]);
        for from in from {
            let (name, lowest) = (format!("from-{from}"), from.parse::<usize>().expect("a number"));
            edit(layout, "image", &name, &[&format!("--squash={from}")]);
            assert_eq!(count(layout, &name), lowest);
            let Some(after) = trees(layout, &name) else { return };
            for (after, before) in after.iter().zip(&before) {
                tree::assert_same(after, before);
            }
        }
    }
}

#[test]
fn buildah_unpacks_the_same_tree_from_one_layer() {
    let Some(storage) = Storage::new() else { return };
    let forge = image(&thirty());
    edit(forge.path(), "image", "flat", &["--squash"]);
    let tree = |name: &str| {
        let (_, place) = storage.begin(forge.path(), name);
        let mut tree = tree::read(&place);
        // The root is also its place in the storage.
        tree.get_mut(Path::new("")).expect("the root").mtime = 0;
        tree
    };
    let (mut before, mut after) = (tree("image"), tree("flat"));
    // Deleting changes the times of directories there, and links have names of their own: the first to come out has the time.
    for tree in [&mut before, &mut after] {
        tree.values_mut().filter(|node| node.kind == Kind::Directory).for_each(|node| node.mtime = 0);
    }
    tree::assert_same(&after, &before);
}

#[test]
fn the_bytes_do_not_depend_on_threads_and_squashing_again_changes_nothing() {
    let forge = image(&thirty());
    let digest = |name: &str| {
        let index = read_index(forge.path());
        let entry =
            index["manifests"].as_array().expect("a list").iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == name).cloned();
        entry.expect("the name is there")["digest"].clone()
    };
    for (name, jobs) in [("one", "1"), ("two", "2"), ("many", "16")] {
        edit(forge.path(), "image", name, &["--squash=4", "--jobs", jobs]);
    }
    assert_eq!((digest("one"), digest("one")), (digest("two"), digest("many")));
    let again = ran(&["edit", &oci(forge.path(), "one"), "--squash=4", "--format", "json"]).json();
    assert_eq!((&again["digest"], &again["images"][0]["changes"]), (&digest("one"), &Value::Array(Vec::new())));
}

/// Content that nothing makes smaller.
fn noise(seed: u64, length: usize) -> String {
    crate::support::context::noise(length, seed).iter().map(|byte| char::from(byte % 64 + 48)).collect()
}

#[test]
fn it_takes_no_more_disk_than_what_it_makes() {
    const MIB: usize = 1 << 20;
    let layer = |n: u64| vec![file(&format!("f{n}"), &noise(n, 8 * MIB))];
    let forge = image(&[layer(1), layer(2), layer(3), vec![file(".wh.f1", ""), file(".wh.f2", "")]]);
    // The layers, the one that is left uncompressed as they are, and some room for documents.
    let Some(mount) = Mount::memory("size=33M") else { return };
    let layout = mount.path().join("layout");
    succeeded(&["copy", "--quiet", "--share", "none", &location(&forge), &oci(&layout, "image")]);
    let report = ran(&["edit", &oci(&layout, "image"), "--squash", "-t", "flat", "--format", "json"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    let size = report.json()["images"][0]["size"].as_u64().expect("a number");
    assert!((8 * MIB as u64..9 * MIB as u64).contains(&size), "{size}");
    assert_layout_is_sound(&layout);
}

/// An image with every sort of content is as whole as before after all changes of layers at once.
#[test]
fn all_changes_of_layers_go_together() {
    if !root() {
        return;
    }
    let forge: Forge = image(&layers());
    let layout = forge.path();
    let home = temp();
    std::fs::write(home.path().join("new"), "new").expect("writable");
    let copy = format!("{}=/etc/new", home.path().join("new").display());
    // Layer 3 makes nothing that layer 4 needs.
    edit(layout, "image", "all", &["--drop-layer", "3", "--copy", &copy, "--squash=2", "--normalise-timestamps", "--compression", "gzip:9"]);
    edit(layout, "image", "dropped", &["--drop-layer", "3"]);
    assert_eq!(count(layout, "all"), 2);
    let (Some([mut all, _]), Some([mut dropped, _])) = (trees(layout, "all"), trees(layout, "dropped")) else { return };
    assert!(all.values().all(|node| node.mtime == 0), "the epoch is 0");
    assert!(all.remove(Path::new("etc/new")).is_some());
    dropped.values_mut().for_each(|node| node.mtime = 0);
    tree::assert_same(&all, &dropped);
}
