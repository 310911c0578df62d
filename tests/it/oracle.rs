//! Does the judge of layouts see what is wrong? A judge that accepts everything would make every other test worthless.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::foreign;
use crate::support::process::{Runs as _, temp};
use crate::support::sound::{assert_layout_is_sound, examine};
use crate::support::tools::{root, rootfs, tool};

/// Writes an image of one gzip layer with nothing but the shell and jq's like: coreutils, tar, gzip and printf.
const MAKE: &str = r#"
umask 022
cd "$1"
mkdir -p blobs/sha256 tree/etc
echo hello >tree/etc/motd
printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout
tar --sort=name --mtime=@0 --owner=0 --group=0 -C tree -cf layer.tar .
diff_id=$(sha256sum <layer.tar | cut -d' ' -f1)
gzip -n layer.tar
store() { size=$(stat -c %s "$1"); digest=$(sha256sum <"$1" | cut -d' ' -f1); mv "$1" "blobs/sha256/$digest"; }
describe() { printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s%s}' "$1" "$digest" "$size" "${2:-}"; }
store layer.tar.gz
layer=$(describe layer.v1.tar+gzip)
printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$diff_id" >config
store config
config=$(describe config.v1+json)
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' "$config" "$layer" >manifest
store manifest
name=',"platform":{"architecture":"amd64","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"1.0"}'
printf '{"schemaVersion":2,"manifests":[%s]}' "$(describe manifest.v1+json "$name")" >index.json
rm -r tree
"#;

fn handmade() -> tempfile::TempDir {
    let place = temp();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    Command::new("bash").args(["-euc", MAKE, "bash"]).arg(place.path()).succeeds();
    place
}

/// The blobs of a layout, smallest first: config, layer and manifest of the handmade image, in some order.
fn blobs(layout: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(layout.join("blobs/sha256")).expect("blobs").map(|entry| entry.expect("an entry").path()).collect();
    files.sort_by_key(|file| file.metadata().expect("metadata").len());
    files
}

/// The blob whose content begins with these bytes.
fn blob_that_begins(layout: &Path, with: &[u8]) -> PathBuf {
    blobs(layout).into_iter().find(|file| fs::read(file).expect("a blob").starts_with(with)).expect("such a blob")
}

#[test]
fn a_handmade_layout_is_sound() {
    let layout = handmade();
    let sound = assert_layout_is_sound(layout.path());
    assert_eq!(sound.names, ["1.0"]);
    assert_eq!((sound.blobs, sound.reachable), (3, 3));
}

#[test]
fn what_skopeo_writes_is_sound() {
    let (Some(skopeo), layout, copy) = (tool("skopeo"), handmade(), temp()) else { return };
    let copy = copy.path().join("copy");
    let source = format!("oci:{}:1.0", layout.path().display());
    Command::new(skopeo).args(["--insecure-policy", "copy", "--quiet", &source, &format!("oci:{}:2.0", copy.display())]).succeeds();
    assert_eq!(assert_layout_is_sound(&copy).names, ["2.0"]);
}

/// Makes a sound layout, damages it, and expects the one finding.
#[track_caller]
fn damaged(damage: impl FnOnce(&Path), expected: &str) {
    let layout = handmade();
    damage(layout.path());
    let findings = examine(layout.path()).expect_err("the damage is seen");
    assert!(findings.contains(expected), "expected `{expected}` in:\n{findings}");
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("text");
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replace(from, to)).expect("write");
}

#[test]
fn damage_to_files_is_seen() {
    damaged(|layout| fs::write(layout.join("left-over"), "").expect("write"), "does not belong");
    damaged(|layout| fs::create_dir(layout.join(".larder-staging-1")).expect("mkdir"), ".larder-staging-1: mode");
    damaged(|layout| fs::set_permissions(layout.join("index.json"), fs::Permissions::from_mode(0o600)).expect("chmod"), "mode 100600");
    damaged(|layout| fs::set_permissions(layout.join("blobs"), fs::Permissions::from_mode(0o700)).expect("chmod"), "mode 40700");
    damaged(|layout| fs::remove_file(blob_that_begins(layout, b"\x1f\x8b")).expect("unlink"), "which is absent");
    damaged(|layout| fs::write(blob_that_begins(layout, b"\x1f\x8b"), "other").expect("write"), "the content is sha256:");
    damaged(|layout| fs::write(layout.join("blobs/sha256/abc"), "").expect("write"), "blobs/sha256/abc: the content is");
    damaged(|layout| std::os::unix::fs::symlink("index.json", layout.join("index.json.lock")).expect("symlink"), "index.json.lock: mode 120777");
}

#[test]
fn damage_to_documents_is_seen() {
    let index = |layout: &Path| layout.join("index.json");
    damaged(|layout| edit(&layout.join("oci-layout"), "1.0.0", "1.1.0"), "unexpected content");
    damaged(|layout| edit(&index(layout), r#""schemaVersion":2"#, r#""schemaVersion":1"#), "schemaVersion is not 2");
    damaged(|layout| edit(&index(layout), r#"{"schema"#, r#"{"schemaVersion":2,"schema"#), "occurs twice");
    damaged(|layout| edit(&index(layout), r#""size":"#, r#""size":1"#), "bytes; it has");
    damaged(|layout| edit(&index(layout), "amd64", "arm64"), "its platform says architecture 'arm64'");
    damaged(|layout| edit(&index(layout), "manifest.v1", "index.v1"), "calls itself");
    damaged(|layout| fs::write(index(layout), "").expect("write"), "not JSON");
}

/// A config with another diff ID, under its right digest, so that only decompressing shows the lie.
#[test]
fn a_false_diff_id_is_seen() {
    const LIE: &str = r#"
    cd "$1/blobs/sha256"
    config=$(grep -l '"diff_ids"' *) manifest=$(grep -l '"layers":\[' *)
    sed 's/"sha256:....../"sha256:abcdef/' "$config" >new
    digest=$(sha256sum <new | cut -d' ' -f1)
    mv new "$digest"
    sed "s/$config/$digest/" "$manifest" >new
    digest=$(sha256sum <new | cut -d' ' -f1)
    mv new "$digest"
    sed -i "s/$manifest/$digest/" ../../index.json
    "#;
    damaged(|layout| drop(Command::new("bash").args(["-euc", LIE, "bash"]).arg(layout).succeeds()), "but its diff ID is sha256:abcdef");
}

#[test]
fn blobs_that_nothing_reaches_are_counted() {
    let layout = handmade();
    edit(&layout.path().join("index.json"), r#""manifests":["#, r#""manifests":[],"others":["#);
    let sound = assert_layout_is_sound(layout.path());
    assert_eq!((sound.blobs, sound.reachable), (3, 0));
}

#[test]
fn the_root_filesystems_are_what_tests_expect() {
    let (Some(amd64), Some(arm64), true) = (rootfs("amd64"), rootfs("arm64"), root()) else { return };
    let output = foreign::run(&foreign::ARM64, &arm64, &["/bin/sh", "-c", "uname -m; cat /etc/debian_version"]);
    if let Some(output) = output {
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("aarch64\n12."), "{output:?}");
    }
    for tree in [amd64, arm64] {
        let capability = rustix::fs::getxattr(tree.join("usr/bin/ping"), "security.capability", &mut [0; 64][..]).expect("a file capability");
        assert_eq!(capability, 20);
        assert_eq!(fs::metadata(tree.join("usr/bin/su")).expect("su").permissions().mode() & 0o7777, 0o4755);
        let perl = |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(tree.join("usr/bin").join(name)).expect("perl"));
        assert_eq!(perl("perl"), perl("perl5.36.0"));
    }
}
