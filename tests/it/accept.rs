//! Images that are unusual and good: each has broken a real tool. All commands that read layers take them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::bomb::{Codec, bomb, compressed, endless};
use crate::support::forge::{CONFIG, Forge, GZIP_LAYER, INDEX, LAYER, MANIFEST, ZSTD_LAYER, sha256};
use crate::support::image::ran;
use crate::support::layers::{image, location};
use crate::support::process::{Companion, larder, output_within, temp};
use crate::support::tape::{self, Record, dir, file, symlink as link};
use crate::support::tools::tool;

/// The files of every image here.
fn records() -> Vec<Record> {
    vec![dir("etc"), file("etc/motd", "hello"), link("motd", "etc/motd")]
}

/// Verifies, unpacks, prints a file and compares. The image is called `image` and has [`records`].
#[track_caller]
fn assert_accepted(what: &str, forge: &Forge) {
    let image_here = location(forge);
    let verified = ran(&["verify", "--deep", &image_here, "--format", "json"]);
    assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
    let home = temp();
    let target = home.path().join("rootfs");
    let unpacked = ran(&["unpack", &image_here, target.to_str().expect("UTF-8")]);
    assert_eq!(unpacked.code, Some(0), "{what}: {unpacked:?}");
    assert_eq!(fs::read_to_string(target.join("motd")).expect("there"), "hello", "{what}");
    let printed = ran(&["cat", &image_here, "/motd"]);
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), "hello"), "{what}: {printed:?}");
    let plain = image(&[records()]);
    let compared = ran(&["diff", "--semantic", &location(&plain), &image_here]);
    assert_eq!(compared.code, Some(0), "{what}: {compared:?}");
}

/// An image of one layer, stored as it is said; its tar is that of [`records`].
fn with_layer(media_type: &str, blob: &[u8], annotations: &Value) -> Forge {
    let forge = Forge::new();
    let mut layer = forge.put(media_type, blob);
    layer["annotations"] = annotations.clone();
    forge.enter("image", &forge.image_of(&[layer], &[&sha256(&tape::tar(&records()))]).manifest);
    forge
}

#[test]
fn cmp_01_and_07_streams_of_several_parts() {
    let tar = tape::tar(&records());
    let (begin, end) = tar.split_at(700);
    let parts = |codec, parts: &[&[u8]]| parts.iter().flat_map(|part| compressed(codec, part)).collect::<Vec<u8>>();
    assert_accepted("members of gzip", &with_layer(GZIP_LAYER, &parts(Codec::Gzip, &[b"", begin, b"", end, b""]), &json!({})));
    let skippable = [&[0x5e, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"table"].concat();
    let frames = [&skippable[..], &parts(Codec::Zstd, &[begin, b"", end]), &skippable].concat();
    assert_accepted("frames of Zstandard", &with_layer(ZSTD_LAYER, &frames, &json!({})));
}

#[test]
fn cmp_11_tables_of_contents_are_not_believed() {
    let digest = sha256(b"something else");
    let estargz = json!({"containerd.io/snapshot/stargz/toc.digest": digest, "io.containers.estargz.uncompressed-size": "1"});
    assert_accepted("eStargz", &with_layer(GZIP_LAYER, &compressed(Codec::Gzip, &tape::tar(&records())), &estargz));
    let chunked = json!({"io.github.containers.zstd-chunked.manifest-checksum": digest, "io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"});
    assert_accepted("zstd:chunked", &with_layer(ZSTD_LAYER, &compressed(Codec::Zstd, &tape::tar(&records())), &chunked));
}

#[test]
fn cmp_10_layers_without_anything_in_them() {
    for (media_type, blob, tar) in [
        (LAYER, vec![0; 1024], vec![0; 1024]),
        (LAYER, Vec::new(), Vec::new()),
        (GZIP_LAYER, compressed(Codec::Gzip, b""), Vec::new()),
        (GZIP_LAYER, compressed(Codec::Gzip, &[0; 1024]), vec![0; 1024]),
        (ZSTD_LAYER, compressed(Codec::Zstd, b""), Vec::new()),
    ] {
        let forge = Forge::new();
        let full = tape::tar(&records());
        let layers = [forge.put(LAYER, &full), forge.put(media_type, &blob)];
        forge.enter("image", &forge.image_of(&layers, &[&sha256(&full), &sha256(&tar)]).manifest);
        assert_accepted(&format!("{media_type}, {} bytes", blob.len()), &forge);
    }
    for media_type in [GZIP_LAYER, ZSTD_LAYER] {
        let forge = Forge::new();
        let layer = forge.put(media_type, b"");
        forge.enter("image", &forge.image_of(&[layer], &[&sha256(b"")]).manifest);
        let ran = ran(&["cat", &location(&forge), "x"]);
        assert_eq!(ran.code, Some(3), "nothing is no {media_type}: {ran:?}");
    }
}

#[test]
fn lay_44_and_68_documents_with_less_and_with_more_than_usual() {
    let tar = tape::tar(&records());
    let forge = Forge::new();
    let (layer, diff_id) = (forge.put(LAYER, &tar), sha256(&tar));
    let config = format!(r#"{{"x-own":{{"deep":[1,2]}},"rootfs":{{"diff_ids":["{diff_id}"],"type":"layers"}},"os":"linux", "architecture":"amd64"}}"#);
    let config = forge.put(CONFIG, config.as_bytes());
    // No media type of its own, fields in another order, spaces, and a field that nobody knows.
    let manifest = format!("{{ \"layers\": [{layer}],\n \"config\": {config}, \"x-own\": null, \"schemaVersion\": 2 }}");
    let manifest = forge.put(MANIFEST, manifest.as_bytes());
    let mut attestation = forge.put(MANIFEST, b"never looked at");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest["digest"]});
    forge.enter("image", &manifest);
    let reading = |arguments: &[&str]| ran(arguments).code;
    assert_eq!(reading(&["cat", &location(&forge), "motd"]), Some(0));
    let with_attestation = Forge::new();
    for blob in fs::read_dir(forge.path().join("blobs/sha256")).expect("there") {
        let blob = blob.expect("an entry");
        fs::copy(blob.path(), with_attestation.path().join("blobs/sha256").join(blob.file_name())).expect("writable");
    }
    let mut image_entry = manifest.clone();
    image_entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let index = with_attestation.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, image_entry]}));
    with_attestation.enter("image", &index);
    for forge in [&forge, &with_attestation] {
        let image_here = location(forge);
        assert_eq!(reading(&["cat", &image_here, "motd"]), Some(0));
        let home = temp();
        assert_eq!(reading(&["unpack", &image_here, home.path().join("rootfs").to_str().expect("UTF-8")]), Some(0));
    }
    assert_eq!(reading(&["diff", "--semantic", &location(&forge), &location(&with_attestation)]), Some(0));
    assert_eq!(reading(&["verify", "--deep", &location(&forge)]), Some(0));
}

#[test]
fn tar_28_and_37_attributes_of_any_bytes_and_every_mode() {
    let odd = |name: &str| file(name, "x").xattr("user.note", b"1\n2\n30 path=evil\n").xattr("user.bytes", &[0, 255, 1]);
    let forge = image(&[[records(), vec![odd("a").mode(0o6755), odd("b").mode(0)]].concat()]);
    let other = image(&[[records(), vec![odd("a").mode(0o6755), odd("b").mode(0).xattr("user.more", b"")]].concat()]);
    let report = ran(&["diff", &location(&forge), &location(&other), "--format", "json"]).json();
    let differences = &report["images"][0]["files"]["differences"];
    assert_eq!((differences.as_array().map(Vec::len), &differences[0]["path"], &differences[0]["aspects"]), (Some(1), &json!("b"), &json!(["xattrs"])));
    let xattrs = &differences[0]["b"]["xattrs"];
    assert_eq!(*xattrs, json!({"user.bytes": "0sAP8B", "user.more": "", "user.note": "0sMQoyCjMwIHBhdGg9ZXZpbAo="}));
}

/// What cannot be read as a layer is an error of every command that has to, and none where nobody has to.
#[test]
fn cmp_06_and_08_and_12_layers_that_cannot_be_read() {
    let tar = tape::tar(&records());
    // A frame that says to need 256 MiB of window.
    let window = [&[0x28, 0xb5, 0x2f, 0xfd, 0, (28 - 10) << 3][..], &[1, 0, 0]].concat();
    let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    for (what, media_type, blob, code, why) in [
        ("gzip that is none", GZIP_LAYER, tar.clone(), 3, "should be gzip but is an uncompressed tar"),
        ("gzip that is zstd", GZIP_LAYER, compressed(Codec::Zstd, &tar), 3, "should be gzip but is Zstandard"),
        ("a tar that is compressed", LAYER, compressed(Codec::Gzip, &tar), 3, "should be an uncompressed tar but is gzip"),
        ("bzip2", GZIP_LAYER, b"BZh91AY&SY".to_vec(), 3, "is bzip2"),
        ("a large window", ZSTD_LAYER, window, 6, "--long=27"),
        ("encrypted", encrypted, b"secret".to_vec(), 6, "is encrypted"),
        ("no layer", "text/plain", b"text".to_vec(), 6, "no layer"),
    ] {
        let forge = with_layer(media_type, &blob, &json!({}));
        let image_here = location(&forge);
        let home = temp();
        let target = home.path().join("rootfs");
        let other = image(&[vec![file("other", "")]]);
        let other = location(&other);
        for arguments in [vec!["unpack", &image_here, target.to_str().expect("UTF-8")], vec!["cat", &image_here, "motd"], vec!["diff", &other, &image_here]] {
            let ran = ran(&arguments);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{what}: {arguments:?}: {ran:?}");
            assert!(ran.stderr.contains(why), "{what}: {arguments:?}: {ran:?}");
        }
        // Only what differs has to be read, and what is copied is not.
        let copied = format!("oci:{}", home.path().join("copied").display());
        assert_eq!(ran(&["copy", "--quiet", &image_here, &format!("{copied}:image")]).code, Some(0), "{what}");
        assert_eq!(ran(&["diff", &image_here, &format!("{copied}:image")]).code, Some(0), "{what}");
    }
}

/// Every command that decompresses, with the arguments that make it do so. `FILE` is one that is there.
fn reading<'a>(image: &'a str, other: &'a str, target: &'a str, file: &'a str) -> [Vec<&'a str>; 4] {
    [vec!["unpack", image, target], vec!["cat", image, file], vec!["diff", other, image], vec!["verify", "--deep", image]]
}

#[test]
fn cmp_13_whatever_decompresses_without_end_is_stopped_by_a_signal() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let forge = endless(codec);
        let other = image(&[records()]);
        let (image_here, other) = (location(&forge), location(&other));
        let home = temp();
        let target = home.path().join("rootfs");
        for (arguments, jobs) in reading(&image_here, &other, target.to_str().expect("UTF-8"), "zeros").iter().zip(["1", "2", "64", "2"]) {
            let mut command = larder();
            let mut running = Companion::start(command.args(arguments).args(["--jobs", jobs, "--quiet"]));
            running.wait_until("it works", |process| cpu_time(process) > Duration::from_millis(300));
            running.signal(Signal::TERM);
            let (status, told) = running.ends();
            assert_eq!(status.code(), Some(130), "{arguments:?}: {told}");
            assert_eq!(fs::read_dir(home.path()).expect("there").count(), 0, "{arguments:?}");
        }
    }
}

/// How long a process has worked.
fn cpu_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let ticks = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

#[test]
fn cmp_15_and_reg_45_nothing_is_executed_and_nothing_connects() {
    let Some(strace) = tool("strace") else { return };
    for (codec, suffix) in [(Codec::Gzip, "gzip"), (Codec::Zstd, "zstd")] {
        let forge = bomb(codec, 64 << 20);
        let other = image(&[records()]);
        let (image_here, other) = (location(&forge), location(&other));
        let home = temp();
        let (target, trace) = (home.path().join("rootfs"), home.path().join("trace"));
        for arguments in reading(&image_here, &other, target.to_str().expect("UTF-8"), "zeros") {
            let mut command = Command::new(&strace);
            command.args(["-f", "-qq", "-o"]).arg(&trace).args(["-e", "trace=%network,execve,execveat"]).arg(env!("CARGO_BIN_EXE_larder"));
            let output = output_within(Duration::from_secs(60), command.args(&arguments));
            assert_eq!(output.status.code(), Some(i32::from(arguments[0] == "diff")), "{suffix}: {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            let calls = fs::read_to_string(&trace).expect("strace wrote it");
            assert_eq!(calls.lines().filter(|line| line.contains('(')).count(), 1, "{calls}");
        }
    }
}
