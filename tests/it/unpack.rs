//! `larder unpack`: what comes out, for whom, and what never does.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bomb::{Codec, bomb};
use crate::support::bundle::Bundle;
use crate::support::everything;
use crate::support::forge::{Forge, GZIP_LAYER, LAYER, sha256};
use crate::support::image::{Ran, json as report, ran};
use crate::support::layers::{image, layers, location};
use crate::support::mount::Mount;
use crate::support::process::{Companion, NOBODY, Runs as _, checkout, larder, larder_as_nobody, temp};
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::tape::{self, Record, device, dir, file, symlink as link};
use crate::support::tools::{root, tool};
use crate::support::tree;

/// A directory to unpack to, which is not there yet.
fn place() -> (TempDir, PathBuf) {
    let home = temp();
    let target = home.path().join("rootfs");
    (home, target)
}

fn unpack(forge: &Forge, target: &Path, more: &[&str]) -> Ran {
    let image = location(forge);
    ran(&[&["unpack", &image, target.to_str().expect("UTF-8"), "--format", "json"], more].concat())
}

/// The kinds of what was left out, each with how often.
fn left_out(report: &Value) -> Vec<(String, u64)> {
    let kinds = report["left_out"].as_array().expect("a list").iter();
    kinds.map(|kind| (kind["what"].as_str().expect("a word").to_owned(), kind["count"].as_u64().expect("a number"))).collect()
}

#[test]
fn a_tree_of_everything_goes_in_and_comes_out_the_same() {
    let Some((source, expected)) = everything::made(&[everything::MAKE, everything::MAKE_MORE]) else { return };
    for compression in ["gzip", "zstd", "none"] {
        let (home, target) = place();
        let layout = format!("oci:{}", home.path().join("layout").display());
        let mut build = larder();
        build.env("SOURCE_DATE_EPOCH", "9000000000").args(["build", "--no-cache", "--quiet", "--platform", "linux/amd64", "-o", &layout, "--rootfs"]);
        build.arg(source.path()).args(["--compression", compression]).succeeds();
        let report = report(&["unpack", &layout, target.to_str().expect("UTF-8")]);
        tree::assert_same(&tree::read(&target), &expected);
        assert_eq!(left_out(&report), []);
        let files = expected.values().filter(|node| matches!(node.kind, tree::Kind::File(_))).count();
        assert_eq!(report["files"].as_u64(), Some(files as u64));
    }
}

#[test]
fn layers_come_out_as_umoci_has_them() {
    let forge = image(&layers());
    let Some(bundle) = Bundle::unpack(forge.path(), "image") else { return };
    let (_home, target) = place();
    assert_eq!(unpack(&forge, &target, &[]).code, Some(0));
    tree::assert_same(&tree::read(&target), &tree::read(&bundle.tree()));
}

/// What anybody may do is done, and what only root may do is told.
#[test]
fn an_ordinary_user_gets_a_tree_of_his_own_and_a_list_of_what_it_lacks() {
    let home = temp();
    let Some(mut larder) = larder_as_nobody(home.path()) else { return };
    let forge = image(&layers());
    // The layout of the test is root's, and everybody may read it.
    fs::set_permissions(forge.path().parent().expect("a directory"), fs::Permissions::from_mode(0o755)).expect("own directory");
    let place = home.path().join("place");
    fs::create_dir(&place).expect("writable");
    std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).expect("root may");
    let target = place.join("rootfs");
    let output = larder.args(["unpack", &location(&forge), target.to_str().expect("UTF-8"), "--format", "json"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for word in ["another owner", "1 extended attribute is left out: bin/ping (security.capability)"] {
        assert!(told.contains(word), "{told}");
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let kinds: Vec<String> = left_out(&report).into_iter().map(|(what, _)| what).collect();
    assert_eq!(kinds, ["attribute", "owner"], "the setuid program and the device are gone in upper layers");

    let actual = tree::read(&target);
    let rooted = place.join("as-root");
    assert_eq!(unpack(&forge, &rooted, &[]).code, Some(0));
    let mut expected = tree::read(&rooted);
    for node in expected.values_mut() {
        node.owner = (NOBODY, NOBODY);
        node.xattrs.retain(|name, _| name.starts_with("user."));
    }
    tree::assert_same(&actual, &expected);
}

#[test]
fn root_can_be_rootless_strict_and_somebody_else() {
    if !root() {
        return;
    }
    let su = file("su", "").owner(5, 6).mode(0o6755);
    let forge = image(&[vec![dir("d").owner(7, 7), su, device("null", 1, 3), file("f", "").xattr("trusted.note", b"x"), link("l", "f").owner(8, 8)]]);
    let (home, target) = place();
    let ran = unpack(&forge, &target, &["--rootless"]);
    let expected = [("attribute", 1), ("device", 1), ("owner", 3), ("setuid", 1)].map(|(what, count)| (what.to_owned(), count));
    assert_eq!(left_out(&ran.json()), expected);
    assert!(ran.stderr.contains("1 device is left out: null"), "{ran:?}");
    assert!(!target.join("null").exists());
    let metadata = fs::metadata(target.join("su")).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o755, 0, 0));

    let strict = home.path().join("strict");
    let ran = unpack(&forge, &strict, &["--rootless", "--strict"]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(6), Some("unsupported")), "{ran:?}");
    assert!(!strict.exists());
    assert_eq!(unpack(&forge, &strict, &["--strict"]).code, Some(0));

    let tame = home.path().join("tame");
    let ran = unpack(&forge, &tame, &["--no-suid"]);
    assert_eq!(left_out(&ran.json()), [("setuid".to_owned(), 1)]);
    assert!(ran.stderr.contains("1 entry is without its setuid or setgid bit: su"), "{ran:?}");
    let metadata = fs::metadata(tame.join("su")).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o755, 5, 6));
    assert_eq!(unpack(&forge, &home.path().join("neither"), &["--no-suid", "--strict"]).code, Some(6), "what is wanted is left out all the same");

    let other = home.path().join("other");
    let ran = unpack(&forge, &other, &["--owner", "5:9"]);
    assert_eq!(left_out(&ran.json()).last(), Some(&("setuid".to_owned(), 1)));
    let metadata = fs::metadata(other.join("su")).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o4755, 5, 9), "the user is the one that the layer means, the group is not");
    assert_eq!(unpack(&forge, &other, &["--owner", "5:9", "--rootless"]).code, Some(2));
}

#[test]
fn tar_19_and_20_only_what_is_absent_or_empty_is_unpacked_to() {
    let forge = image(&[vec![file("f", "x")]]);
    let home = temp();
    let at = |name: &str| home.path().join(name);
    fs::create_dir_all(at("full/x")).expect("writable");
    fs::write(at("file"), "").expect("writable");
    fs::create_dir(at("empty")).expect("writable");
    fs::create_dir(at("here")).expect("writable");
    symlink("empty", at("link")).expect("writable");
    symlink("nowhere", at("dangling")).expect("writable");
    let before = snapshot(home.path());
    for name in ["full", "file", "link", "dangling", "file/x"] {
        let ran = unpack(&forge, &at(name), &[]);
        let expected = if name == "file/x" { Some(1) } else { Some(5) };
        assert_eq!(ran.code, expected, "{name}: {ran:?}");
    }
    assert_eq!(unpack(&forge, &at("absent/x"), &[]).error()["code"], "not_found");
    assert_eq!(unpack(&forge, Path::new("/"), &[]).code, Some(5));
    assert_same(&before, &snapshot(home.path()), "what was refused");

    for name in ["empty", "new", "new-with-slash/"] {
        assert_eq!(unpack(&forge, &at(name), &[]).code, Some(0), "{name}");
        assert_eq!(fs::read(at(name).join("f")).expect("there"), b"x");
    }
    larder().args(["unpack", &location(&forge), ".", "--quiet"]).current_dir(at("here")).succeeds();
    assert_eq!(fs::read(at("here/f")).expect("there"), b"x");
    assert_eq!(unpack(&forge, &at("new"), &[]).code, Some(5), "it is there now");
}

/// Names that other file systems would take for each other: by their case, and by how a letter is composed.
#[test]
fn tar_50_names_that_are_alike_are_as_many_files() {
    let names = ["A", "a", "\u{e9}", "e\u{301}", "\u{212b}", "\u{c5}"];
    let forge = image(&[names.map(|name| file(name, name)).to_vec()]);
    let (_home, target) = place();
    report(&["unpack", &location(&forge), target.to_str().expect("UTF-8")]);
    for name in names {
        assert_eq!(fs::read_to_string(target.join(name)).expect("there"), name);
    }
    assert_eq!(fs::read_dir(&target).expect("there").count(), names.len());
}

#[test]
fn tar_20_a_mount_point_is_a_conflict_and_what_is_below_is_not() {
    let Some(mount) = Mount::memory("size=1M") else { return };
    let forge = image(&[vec![file("f", "x")]]);
    let ran = unpack(&forge, &mount.path(), &[]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(unpack(&forge, &mount.path().join("rootfs"), &[]).code, Some(0));
}

#[test]
fn cra_09_a_full_disk_is_an_io_error_and_leaves_nothing() {
    let Some(mount) = Mount::memory("size=256k") else { return };
    let forge = image(&[vec![dir("d"), file("d/f", &"x".repeat(600_000))]]);
    let ran = unpack(&forge, &mount.path().join("rootfs"), &[]);
    assert_eq!((ran.code, ran.error()["subject"].as_str()), (Some(1), Some("d/f")), "{ran:?}");
    assert_eq!(fs::read_dir(mount.path()).expect("there").count(), 0);
}

#[test]
fn tar_20_a_mount_that_knows_no_devices_has_them_all_the_same() {
    let Some(mount) = Mount::memory("size=1M,nodev,nosuid") else { return };
    let forge = image(&[vec![device("null", 1, 3), file("su", "x").mode(0o4755)]]);
    let target = mount.path().join("rootfs");
    assert_eq!(left_out(&unpack(&forge, &target, &[]).json()), []);
    let tree = tree::read(&target);
    assert_eq!(tree[Path::new("null")].kind, tree::Kind::CharDevice(rustix::fs::makedev(1, 3)));
    assert_eq!(tree[Path::new("su")].mode, "4755");
}

/// A layer cannot make the overlay of a container show or hide something.
#[test]
fn tar_38_attributes_of_an_overlay_are_left_out_and_told_of() {
    if !root() {
        return;
    }
    let forge = image(&[vec![dir("d").xattr("trusted.overlay.opaque", b"y").xattr("user.overlay.origin", b"x").xattr("user.note", b"x")]]);
    let (_home, target) = place();
    let ran = unpack(&forge, &target, &[]);
    assert_eq!(left_out(&ran.json()), [("attribute".to_owned(), 2)]);
    assert!(ran.stderr.contains("d (trusted.overlay.opaque), d (user.overlay.origin)"), "{ran:?}");
    assert_eq!(tree::read(&target)[Path::new("d")].xattrs.keys().collect::<Vec<_>>(), ["user.note"]);
}

#[test]
fn tar_38_a_file_system_without_attributes_is_told_of() {
    let Some(mount) = Mount::disk("ext4", 8 << 20) else { return };
    let nouser = Mount::memory("size=1M");
    let forge = image(&[vec![file("f", "x").xattr("user.note", b"x"), file("g", "").xattr("security.selinux", b"label")]]);
    let report = unpack(&forge, &mount.path().join("rootfs"), &[]).json();
    assert_eq!(left_out(&report), [("attribute".to_owned(), 1)], "labels belong to the machine");
    // Older kernels keep no attributes of users in memory.
    if let Some(mount) = nouser {
        let report = unpack(&forge, &mount.path().join("rootfs"), &[]).json();
        assert!(left_out(&report)[0].1 <= 2, "{report}");
    }
}

/// As on the disks of other systems, where nobody can set an owner.
#[test]
fn a_file_system_without_owners_does_for_who_wants_none() {
    let Some(strace) = tool("strace") else { return };
    let forge = image(&[vec![dir("d"), file("d/f", "f").owner(1, 2)]]);
    let (_home, target) = place();
    let mut unpack = Command::new(strace);
    unpack.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=?chown,?lchown,fchown,fchownat:error=EPERM", env!("CARGO_BIN_EXE_larder")]);
    unpack.args(["unpack", "--rootless", "--quiet", &location(&forge)]).arg(&target).succeeds();
    assert_eq!(fs::read_to_string(target.join("d/f")).expect("there"), "f");
}

/// Every kind of damage is an error of its own, and nothing of the image appears.
#[test]
fn lay_35_to_38_damage_is_found_and_nothing_appears() {
    let layer = tape::tar(&[file("f", &"content ".repeat(1000))]);
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut compressed, &layer).expect("in memory");
    let compressed = compressed.finish().expect("in memory");
    let damage = |bytes: &[u8], how: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        how(&mut bytes);
        bytes
    };
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().expect("not empty") ^= 1;
    for (media_type, bytes) in [(LAYER, &layer), (GZIP_LAYER, &compressed)] {
        for (how, stored) in [("flipped", damage(bytes, &flip)), ("shorter", bytes[..bytes.len() - 1].to_vec()), ("longer", [bytes, &b"x"[..]].concat())] {
            let forge = Forge::new();
            let descriptor = forge.put(media_type, bytes);
            forge.enter("image", &forge.image_of(std::slice::from_ref(&descriptor), &[&sha256(&layer)]).manifest);
            let digest = descriptor["digest"].as_str().expect("text");
            fs::write(forge.path().join("blobs/sha256").join(&digest[7..]), stored).expect("writable");
            assert_refused(&forge, 3, "corrupt", digest, how);
        }
    }
    let forge = Forge::new();
    let descriptor = forge.put(GZIP_LAYER, &compressed);
    forge.enter("image", &forge.image_of(std::slice::from_ref(&descriptor), &[&sha256(b"other")]).manifest);
    assert_refused(&forge, 3, "corrupt", descriptor["digest"].as_str().expect("text"), "another diff ID");
    let forge = Forge::new();
    let descriptor = forge.put(LAYER, &compressed);
    forge.enter("image", &forge.image_of(std::slice::from_ref(&descriptor), &[&sha256(&layer)]).manifest);
    assert_refused(&forge, 3, "corrupt", descriptor["digest"].as_str().expect("text"), "cmp_09: compressed, and said not to be");
    fs::remove_file(forge.path().join("blobs/sha256").join(&descriptor["digest"].as_str().expect("text")[7..])).expect("own file");
    assert_refused(&forge, 4, "not_found", descriptor["digest"].as_str().expect("text"), "missing");
}

#[track_caller]
fn assert_refused(forge: &Forge, exit: i32, code: &str, subject: &str, what: &str) {
    let (home, target) = place();
    let ran = unpack(forge, &target, &[]);
    let error = ran.error();
    assert_eq!((ran.code, error["code"].as_str(), error["subject"].as_str()), (Some(exit), Some(code), Some(subject)), "{what}: {ran:?}");
    assert_eq!(fs::read_dir(home.path()).expect("there").count(), 0, "{what}");
}

#[test]
fn the_platform_is_the_one_that_is_asked_for() {
    let (home, target) = place();
    let layout = format!("oci:{}", home.path().join("layout").display());
    larder().args(["build", checkout("testdata/hello").to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &layout]).succeeds();
    let image = format!("{layout}:1.4.2");
    for (platform, directory) in [("linux/arm64", "linux-arm64"), ("linux/arm/v7", "linux-armv7"), ("linux/amd64", "linux-amd64")] {
        let target = home.path().join(directory);
        let report = report(&["unpack", &image, target.to_str().expect("UTF-8"), "--platform", platform]);
        assert_eq!(report["platform"], platform);
        let program = checkout("testdata/hello/dist").join(directory).join("hello");
        assert_eq!(fs::read(target.join("usr/local/bin/hello")).expect("there"), fs::read(program).expect("there"));
    }
    let ran = ran(&["unpack", &image, target.to_str().expect("UTF-8"), "--platform", "linux/s390x", "--format", "json"]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(4), Some("not_found")));
    assert!(ran.error()["hint"].as_str().expect("a hint").contains("linux/arm/v7"), "{ran:?}");
    assert!(!target.exists());
}

#[test]
fn archives_are_unpacked_like_layouts() {
    let forge = image(&layers());
    let (home, target) = place();
    assert_eq!(unpack(&forge, &target, &[]).code, Some(0));
    let expected = tree::read(&target);
    for scheme in ["oci-archive", "docker-archive"] {
        let (archive, target) = (format!("{scheme}:{}", home.path().join(scheme).display()), home.path().join(format!("from-{scheme}")));
        larder().args(["copy", "--quiet", &location(&forge), &format!("{archive}:image:1")]).succeeds();
        larder().args(["unpack", "--quiet", &archive]).arg(&target).succeeds();
        tree::assert_same(&tree::read(&target), &expected);
    }
}

#[test]
fn lay_48_an_artifact_cannot_be_unpacked() {
    let forge = Forge::new();
    let config = forge.put("application/vnd.oci.empty.v1+json", b"{}");
    let layer = forge.put("text/plain", b"text");
    let manifest = json!({"schemaVersion": 2, "artifactType": "text/plain", "config": config, "layers": [layer]});
    let manifest = forge.document("application/vnd.oci.image.manifest.v1+json", &manifest);
    forge.enter("image", &manifest);
    assert_refused(&forge, 6, "unsupported", manifest["digest"].as_str().expect("text"), "an artifact");
}

#[test]
fn cmp_04_and_05_a_bomb_ends_at_the_limit() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        // Zeros, a thousandth of their length and less.
        let forge = bomb(codec, 256 << 20);
        let (home, target) = place();
        let ran = unpack(&forge, &target, &["--max-size", "100M"]);
        assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(6), Some("unsupported")), "{ran:?}");
        assert_eq!(fs::read_dir(home.path()).expect("there").count(), 0);
        assert_eq!(unpack(&forge, &target, &["--max-size", "256MiB", "--sync"]).code, Some(0));
        let metadata = fs::metadata(target.join("zeros")).expect("there");
        assert_eq!((metadata.len(), metadata.blocks()), (256 << 20, 0), "zeros take no space");
    }
}

#[test]
fn cra_04_and_27_whoever_is_stopped_leaves_no_rootfs() {
    let many: Vec<Record> = (0..6_000).map(|n| file(&format!("d{}/f{n}", n / 100), "content")).collect();
    let forge = image(&[many]);
    for (signal, leftovers) in [(Signal::TERM, 0), (Signal::INT, 0), (Signal::KILL, 1)] {
        let (home, target) = place();
        let mut command = larder();
        command.args(["unpack", &location(&forge), target.to_str().expect("UTF-8")]);
        let mut running = Companion::start(&mut command);
        let count = || fs::read_dir(home.path()).expect("there").count();
        running.wait_until("something temporary is there", |_| count() > 0);
        running.signal(signal);
        let (status, told) = running.ends();
        assert!(!status.success(), "{signal:?}: {told}");
        if signal != Signal::KILL {
            assert_eq!(status.code(), Some(130), "{told}");
        }
        assert!(!target.exists());
        assert_eq!(count(), leftovers, "{signal:?}: {told}");
        if leftovers > 0 {
            assert_eq!(unpack(&forge, &target, &[]).code, Some(0), "what was left over does not get in the way");
        }
    }
}
