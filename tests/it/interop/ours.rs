//! What larder writes, they read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{HOST, assert_clean, build, entries, sample, skopeo};
use crate::support::bundle::{Bundle, oci};
use crate::support::everything;
use crate::support::image::{config_of, manifest_of};
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tools::tool;
use crate::support::tree::{self, Kind, Tree};

/// A layout of every kind that `build` and `tag` make.
fn layouts() -> (TempDir, Vec<PathBuf>) {
    let temp = temp();
    let sample = sample();
    let all = "linux/amd64,linux/arm64,linux/arm/v7";
    // podman makes a name of the last word of the path, and wants it in small letters.
    let place = |name: &str| temp.path().join(name);
    build(&place("plain"), &[&sample]);
    build(&place("zstd"), &[&sample, "--compression", "zstd"]);
    build(&place("single"), &[&sample, "--platform", HOST]);
    let base = oci(&place("plain"), "1.4.2");
    build(&place("based"), &["--base", &base, "--copy", &format!("{sample}/hello.c=/etc/motd"), "--platform", all, "-t", "registry.example/team/child:1"]);
    build(&place("names"), &[&sample]);
    build(&place("names"), &[&sample, "--platform", HOST, "--env", "OTHER=1", "-t", "other/image:v1.0_2", "-t", "short"]);
    larder().args(["tag", &oci(&place("names"), "short"), "registry.example:5000/a/b:deep", "stable"]).succeeds();
    let layouts = ["plain", "zstd", "single", "based", "names"].map(place);
    layouts.iter().for_each(|layout| drop(assert_layout_is_sound(layout)));
    (temp, layouts.into())
}

fn blobs(layout: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(layout.join("blobs/sha256")).expect("there");
    files.map(|file| file.expect("an entry").file_name().into_string().expect("a digest")).collect()
}

#[test]
fn skopeo_copies_every_layout_to_the_same_digests() {
    let Some(skopeo) = skopeo() else { return };
    let (temp, layouts) = layouts();
    for layout in layouts {
        skopeo.reads_all_names(&layout);
        let place = |kind: &str| temp.path().join(format!("{kind}-{}", layout.file_name().expect("a name").to_string_lossy()));
        let copy = place("copy");
        for (name, _) in entries(&layout) {
            let name = name.expect("larder gives every image a name");
            skopeo.copy(&["--all", "--preserve-digests"], &oci(&layout, &name), &oci(&copy, &name));
        }
        assert_eq!(entries(&copy), entries(&layout));
        assert_eq!(blobs(&copy), blobs(&layout));
        assert_clean(&copy);

        let (name, top) = entries(&layout).remove(0);
        let files = place("files");
        skopeo.copy(&["--all", "--preserve-digests"], &oci(&layout, &name.expect("a name")), &format!("dir:{}", files.display()));
        let copied = copied_files(&files, &layout, &top);
        // The other image in that layout was not copied.
        assert!(copied == blobs(&layout) || layout.ends_with("names"), "{copied:?}");
    }
}

/// The digests of what is in a directory of skopeo's, which must be that of `top` in the layout.
fn copied_files(files: &Path, layout: &Path, top: &str) -> BTreeSet<String> {
    let mut copied = BTreeSet::new();
    for file in fs::read_dir(files).expect("there") {
        let file = file.expect("an entry");
        let name = file.file_name().into_string().expect("UTF-8");
        let encoded = match name.as_str() {
            "version" => continue,
            "manifest.json" => top.trim_start_matches("sha256:"),
            name => name.trim_end_matches(".manifest.json"),
        };
        assert_eq!(fs::read(file.path()).expect("there"), fs::read(layout.join("blobs/sha256").join(encoded)).expect("there"), "{name}");
        copied.insert(encoded.to_owned());
    }
    copied
}

#[test]
fn podman_and_buildah_take_every_layout_for_what_it_is() {
    let (_temp, layouts) = layouts();
    for layout in layouts {
        // A storage for each: layers that are there already would not be read.
        let Some(storage) = Storage::new() else { return };
        let (name, digest) = entries(&layout).remove(0);
        let name = name.expect("larder gives every image a name");
        let manifest = manifest_of(&layout, &name, HOST.trim_start_matches("linux/"));
        let config = config_of(&layout, &manifest);

        let id = storage.pull(&layout, &name);
        assert_eq!(format!("sha256:{id}"), manifest["config"]["digest"]);
        let inspected: Value = serde_json::from_str(&storage.podman(&["image", "inspect", &id]).succeeds()).expect("JSON");
        let inspected = &inspected[0];
        assert_eq!(inspected["Digest"], digest);
        assert_eq!(inspected["RootFS"]["Layers"], config["rootfs"]["diff_ids"]);
        assert_eq!(inspected["History"].as_array().map(Vec::len), config["history"].as_array().map(Vec::len));
        for key in ["Entrypoint", "Env", "Labels"] {
            assert_eq!(inspected["Config"][key], config["config"][key], "{key}");
        }

        let (_, tree) = storage.begin(&layout, &name);
        let read = |path: &str| fs::read(tree.join(path)).expect("there");
        let dist = checkout("testdata/hello/dist").join(HOST.replace('/', "-"));
        assert_eq!(read("usr/local/bin/hello"), fs::read(dist.join("hello")).expect("there"));
        let replaced = layout.ends_with("based").then(|| fs::read(checkout("testdata/hello/hello.c")).expect("there"));
        assert_eq!(read("etc/motd"), replaced.unwrap_or_else(|| b"Kept on your own shelf, ready when nothing can be fetched.\n".to_vec()));
    }
}

/// A layout with the tree as the image `tree`; times are those of the files, because the epoch comes after all of them.
fn packed(tree: &Path, compression: &str) -> (TempDir, PathBuf) {
    let temp = temp();
    let layout = temp.path().join("out");
    let image = oci(&layout, "tree");
    let mut build = larder();
    build.env("SOURCE_DATE_EPOCH", "9000000000").args(["build", "--no-cache", "--quiet", "--platform", HOST, "--compression", compression]);
    build.args(["-o", &image, "--rootfs"]).arg(tree).succeeds();
    assert_clean(&layout);
    assert_layout_is_sound(&layout);
    (temp, layout)
}

#[test]
fn umoci_unpacks_a_tree_as_it_was_packed() {
    let Some((tree, expected)) = everything::made(&[everything::MAKE, everything::MAKE_MORE]) else { return };
    let (_temp, layout) = packed(tree.path(), "gzip");
    let Some(bundle) = Bundle::unpack(&layout, "tree") else { return };
    tree::assert_same(&tree::read(&bundle.tree()), &expected);
}

#[test]
fn buildah_unpacks_a_tree_of_zstd_as_it_was_packed() {
    let (Some(storage), Some((tree, mut expected))) = (Storage::new(), everything::made(&[everything::MAKE])) else { return };
    let (_temp, layout) = packed(tree.path(), "zstd");
    let (_, place) = storage.begin(&layout, "tree");
    let mut actual = tree::read(&place);
    // The root is also its place in the storage, made when it was unpacked.
    let time_of_root = |tree: &mut Tree| tree.get_mut(Path::new("")).expect("the root").mtime = 0;
    time_of_root(&mut expected);
    time_of_root(&mut actual);
    tree::assert_same(&actual, &expected);
}

#[test]
fn umoci_applies_the_layers_that_larder_puts_on_a_base() {
    let Some((tree, mut expected)) = everything::made(&[everything::MAKE]) else { return };
    let (temp, layout) = packed(tree.path(), "gzip");
    let spec = format!(
        "platforms = [\"{HOST}\"]\ntags = [\"changed\"]\n[base]\nfrom = \"oci:{}:tree\"\n[[layer]]\n\
         [[layer.remove]]\npath = \"/a/b/one\"\n[[layer.remove]]\npath = \"/srv\"\n[[layer.file]]\nto = \"/large\"\ncontent = \"small\"\n\
         [[layer]]\n[[layer.symlink]]\nto = \"/srv\"\ntarget = \"tmp\"\n",
        layout.display()
    );
    fs::write(temp.path().join("larder.toml"), spec).expect("writable");
    build(&layout, &[temp.path().to_str().expect("UTF-8")]);
    let Some(bundle) = Bundle::unpack(&layout, "changed") else { return };

    expected.retain(|path, _| path != Path::new("a/b/one") && !path.starts_with("srv"));
    let of = |bytes: &[u8]| tree::Node {
        kind: Kind::File(blake3::hash(bytes)),
        mode: "644".to_owned(),
        owner: (0, 0),
        mtime: 0,
        xattrs: std::collections::BTreeMap::new(),
        first: PathBuf::from("large"),
    };
    expected.insert("large".into(), of(b"small"));
    let link = tree::Node { kind: Kind::Symlink("tmp".into()), mode: "777".to_owned(), first: "srv".into(), ..of(b"") };
    expected.insert("srv".into(), link);
    let mut actual = tree::read(&bundle.tree());
    // Deleting changes the times of directories, and no layer says what they should be.
    for tree in [&mut actual, &mut expected] {
        tree.values_mut().filter(|node| node.kind == Kind::Directory).for_each(|node| node.mtime = 0);
    }
    tree::assert_same(&actual, &expected);
    assert!(expected.keys().any(|path| !path.as_os_str().as_bytes().is_ascii()), "names of any bytes were compared");
    assert_layout_is_sound(&layout);
}

#[test]
fn umoci_knows_the_names_and_the_history() {
    let Some(umoci) = tool("umoci") else { return };
    let temp = temp();
    let layout = temp.path().join("out");
    build(&layout, &[&sample(), "--platform", HOST]);
    larder().args(["tag", &oci(&layout, "latest"), "stable"]).succeeds();
    let run = |arguments: &[&str]| Command::new(&umoci).args(arguments).succeeds();
    let place = layout.to_str().expect("UTF-8");
    assert_eq!(run(&["list", "--layout", place]), "1.4.2\nlatest\nstable\n");
    let stat: Value = serde_json::from_str(&run(&["stat", "--json", "--image", &format!("{place}:stable")])).expect("JSON");
    let comments: Vec<_> = stat["history"].as_array().expect("a list").iter().map(|step| step["comment"].as_str().expect("text")).collect();
    assert_eq!(comments, ["the greeting of the day", "application"]);
    assert_layout_is_sound(&layout);
}
