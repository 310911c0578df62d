//! Real root filesystems: Debian, for two machines in one image.

use std::path::Path;

use crate::support::bundle::{Bundle, oci, said};
use crate::support::foreign::{self, ARM64};
use crate::support::image::ran;
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::{root, rootfs};
use crate::support::tree::{self, Tree};

/// Builds both trees into one image.
fn build(layout: &Path, trees: [&Path; 2], epoch: i64) {
    let parent = trees[0].parent().expect("a parent").join("rootfs-{arch}");
    let mut build = larder();
    build.env("SOURCE_DATE_EPOCH", epoch.to_string()).args(["build", "--no-cache", "--quiet", "--platform", "linux/amd64,linux/arm64", "--rootfs"]).arg(parent);
    build.args(["--cmd", "/bin/bash", "-o", &oci(layout, "debian")]).succeeds();
}

#[test]
fn debian_comes_out_of_an_image_as_it_went_in_and_runs() {
    let (Some(amd64), Some(arm64), true) = (rootfs("amd64"), rootfs("arm64"), root()) else { return };
    let sources = [tree::read(&amd64), tree::read(&arm64)];
    // Later than every file, so that each keeps its time.
    let newest = sources.iter().flat_map(Tree::values).map(|node| node.mtime).max().expect("there are files");
    let temp = temp();
    let layout = temp.path().join("out");
    build(&layout, [&amd64, &arm64], newest);
    let verified = ran(&["verify", "--deep", "--format", "json", &oci(&layout, "debian")]);
    assert_eq!((verified.code, verified.json()["findings"].as_array().map(Vec::len)), (Some(0), Some(0)), "{verified:?}");
    let sound = assert_layout_is_sound(&layout);
    assert_eq!((sound.blobs, sound.reachable), (7, 7), "an index, and manifest, config and layer of two images");

    for (platform, source) in [("linux/amd64", &sources[0]), ("linux/arm64", &sources[1])] {
        let Some(bundle) = Bundle::unpack_for(platform, &layout, "debian") else { return };
        tree::assert_same(&tree::read(&bundle.tree()), source);
        let own = temp.path().join("own");
        larder().args(["unpack", "--strict", "--quiet", "--platform", platform, &oci(&layout, "debian")]).arg(&own).succeeds();
        tree::assert_same(&tree::read(&own), source);
        std::fs::remove_dir_all(own).expect("own directory");
        let run = |words: &[&str]| if platform == "linux/arm64" { foreign::run(&ARM64, &bundle.tree(), words) } else { bundle.run(words) };
        let Some(output) = run(&["/bin/true"]) else { return };
        assert_eq!(said(&output), "");
        let Some(output) = run(&["/usr/bin/dpkg", "--print-architecture"]) else { return };
        assert_eq!(said(&output), platform.replace("linux/", "") + "\n");
    }
}
