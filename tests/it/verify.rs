//! `larder verify`: what it says of sound layouts and of every sort of damage.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use crate::support::context::{self, oci};
use crate::support::forge::{CONFIG, Forge, GZIP_LAYER, INDEX, Image, LAYER, MANIFEST, sha256, tar};
use crate::support::image::{Ran, blob_path, ran};
use crate::support::process::{larder, larder_as_nobody, output_within, temp};
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::tools::root;

/// Time enough for any layout here, and little for one that waits.
const LIMIT: Duration = Duration::from_secs(30);

fn verify(layout: &Path, flags: &[&str]) -> Ran {
    Ran::from(output_within(LIMIT, larder().arg("verify").args(flags).arg(oci(layout))))
}

/// What verification found, worst first: code and subject.
type Findings = Vec<(String, String)>;

/// Verifies for programs and for people, and expects both to tell these findings and to end with this exit code; the layout stays as it was.
#[track_caller]
fn expect(layout: &Path, flags: &[&str], exit: i32, expected: &Findings) -> Value {
    let before = snapshot(layout);
    let json = verify(layout, &[flags, &["--format", "json"]].concat());
    let text = verify(layout, flags);
    assert_same(&before, &snapshot(layout), "verify");
    assert_eq!((json.code, text.code), (Some(exit), Some(exit)), "{json:?}\n{text:?}");
    let report = json.json();
    let word = |finding: &Value, key: &str| finding[key].as_str().expect("a word").to_owned();
    let findings: Findings = report["findings"].as_array().expect("a list").iter().map(|finding| (word(finding, "code"), word(finding, "subject"))).collect();
    assert_eq!(&findings, expected, "{report:#}");
    for (code, subject) in expected {
        let told = text.stdout.lines().any(|line| line.contains(code.as_str()) && line.contains(subject.as_str()));
        assert!(told, "{code} {subject} in {}", text.stdout);
    }
    if exit == 0 {
        assert_eq!((json.stderr.as_str(), text.stderr.as_str()), ("", ""));
        assert!(text.stdout.contains("no damage found"), "{text:?}");
    } else {
        let error = json.error();
        assert_eq!((error["exit"].as_i64(), &error["subject"]), (Some(exit.into()), &oci(layout).into()), "{error}");
        assert!(text.stderr.starts_with("error: ") && text.stderr.contains(&oci(layout)), "{text:?}");
    }
    report
}

/// One finding.
fn one(code: &str, subject: &str) -> Findings {
    vec![(code.to_owned(), subject.to_owned())]
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

#[test]
fn all_names_that_are_not_whole_are_told() {
    let temp = crate::support::process::temp();
    let layout = format!("oci:{}", temp.path().join("out").display());
    let context = crate::support::process::checkout("testdata/hello");
    assert_eq!(ran(&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &layout]).code, Some(0));
    let other = ["build", "--quiet", "--copy", "Cargo.toml=/x", "--platform", "linux/amd64", "-t", "whole:1", "-o", &layout];
    assert_eq!(ran(&other).code, Some(0));
    let layer = crate::support::image::manifest_of(&temp.path().join("out"), "1.4.2", "arm64")["layers"][0]["digest"].clone();
    std::fs::remove_file(crate::support::image::blob_path(&temp.path().join("out"), &layer)).expect("removed");
    let report = ran(&["verify", &layout, "--format", "json"]).json();
    assert_eq!(report["damaged"], json!(["registry.example/team/hello:1.4.2", "registry.example/team/hello:latest"]));
    let text = ran(&["verify", &layout]).stdout;
    assert!(text.contains("not whole: registry.example/team/hello:1.4.2, registry.example/team/hello:latest"), "{text}");
}

#[test]
fn a_sound_layout_is_found_sound() {
    let (_home, layout) = context::layout();
    let report = expect(&layout, &[], 0, &Vec::new());
    assert_eq!((report["location"].as_str(), report["blobs"].as_u64(), report["deep"].as_bool()), (Some(oci(&layout).as_str()), Some(4), Some(false)));
    let bytes: u64 = fs::read_dir(layout.join("blobs/sha256")).expect("there").map(|entry| entry.expect("there").metadata().expect("there").len()).sum();
    assert_eq!(report["bytes"], bytes);
    assert_eq!(expect(&layout, &["--deep"], 0, &Vec::new())["deep"], true);
}

/// What somebody does to an image, and what verification calls it.
type Damage = (&'static str, fn(&Path, &Value), &'static str);

/// What can stand in the place of a file, and what can be wrong with its bytes.
const DAMAGE: &[Damage] = &[
    ("another byte", |blob, _| change(blob, |bytes| bytes[9] ^= 0x20), "digest-mismatch"),
    ("one byte less", |blob, _| change(blob, |bytes| bytes.truncate(bytes.len() - 1)), "size-mismatch"),
    ("one byte more", |blob, _| change(blob, |bytes| bytes.push(b' ')), "size-mismatch"),
    ("nothing in it", |blob, _| change(blob, Vec::clear), "size-mismatch"),
    ("gone", |blob, _| fs::remove_file(blob).expect("there"), "blob-missing"),
    ("a FIFO", |blob, _| replace(blob, |place| mknodat(CWD, place, FileType::Fifo, Mode::RWXU, 0).expect("made")), "not-a-file"),
    ("a directory", |blob, _| replace(blob, |place| fs::create_dir(place).expect("made")), "not-a-file"),
    ("a socket", |blob, _| replace(blob, |place| drop(UnixListener::bind(place).expect("made"))), "not-a-file"),
    ("a link to the same bytes", |blob, _| linked(blob), "not-a-file"),
    ("a link to endless bytes", |blob, _| replace(blob, |place| symlink("/dev/zero", place).expect("made")), "not-a-file"),
    ("a link to nowhere", |blob, _| replace(blob, |place| symlink("nowhere", place).expect("made")), "not-a-file"),
];

fn change(blob: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(blob).expect("there");
    edit(&mut bytes);
    fs::write(blob, bytes).expect("writable");
}

fn replace(blob: &Path, make: impl FnOnce(&Path)) {
    fs::remove_file(blob).expect("there");
    // The name of a socket must be short, and that of a blob is not.
    let short = blob.ancestors().nth(4).expect("four levels up").join("s");
    make(&short);
    fs::rename(short, blob).expect("one file system");
}

fn linked(blob: &Path) {
    let outside = blob.ancestors().nth(4).expect("four levels up").join("outside");
    fs::rename(blob, &outside).expect("one file system");
    symlink(&outside, blob).expect("made");
}

#[test]
fn lay_32_to_36_and_57_to_60_damaged_content_has_a_code_for_each_sort_and_blocks_nobody() {
    for (what, damage, code) in DAMAGE {
        for part in [|image: &Image| &image.layer, |image: &Image| &image.config, |image: &Image| &image.manifest] as [fn(&Image) -> &Value; 3] {
            let (forge, image) = Forge::with_image();
            let victim = part(&image);
            damage(&blob_path(forge.path(), &victim["digest"]), victim);
            eprintln!("{what}: {victim}");
            let report = expect(forge.path(), &[], 3, &one(code, digest(victim)));
            let chain = report["findings"][0]["chain"].as_array().expect("a list");
            assert_eq!((chain.first(), report["findings"][0]["severity"].as_str()), (Some(&json!("image")), Some("error")));
            expect(forge.path(), &["--deep"], 3, &one(code, digest(victim)));
        }
    }
}

#[test]
fn lay_60_a_device_is_read_by_nobody() {
    if !root() {
        return;
    }
    // Neither has an end.
    for (kind, major, minor) in [(FileType::CharacterDevice, 1, 5), (FileType::BlockDevice, 7, 0)] {
        let device = |place: &Path| mknodat(CWD, place, kind, Mode::RUSR, makedev(major, minor)).expect("made");
        let (forge, image) = Forge::with_image();
        let home = temp();
        replace(&blob_path(forge.path(), &image.layer["digest"]), device);
        for flags in [&[][..], &["--deep"]] {
            expect(forge.path(), flags, 3, &one("not-a-file", digest(&image.layer)));
        }
        let mut copy = larder();
        copy.args(["copy", "--all-names", &oci(forge.path()), &oci(&home.path().join("copy"))]);
        assert_eq!(output_within(LIMIT, &mut copy).status.code(), Some(3));
        let (forge, image) = Forge::with_image();
        let index = forge.path().join("index.json");
        fs::remove_file(&index).expect("there");
        device(&index);
        expect(forge.path(), &[], 3, &[one("not-a-file", "index.json"), one("nameless", digest(&image.manifest))].concat());
    }
}

#[test]
fn damaged_documents_have_a_code_for_each_sort() {
    type Make = fn(&Forge, &Image) -> Value;
    let cases: [(&str, i32, Make); 9] = [
        ("document-invalid", 3, |forge, _| forge.put(MANIFEST, b"{\"schemaVersion\":2")),
        ("document-invalid", 3, |forge, image| forge.document(MANIFEST, &json!({"schemaVersion": 2, "config": image.config, "layers": null}))),
        ("document-ambiguous", 3, |forge, image| forge.document(MANIFEST, &json!({"schemaVersion": 2, "config": image.config, "layers": [], "manifests": []}))),
        ("document-ambiguous", 3, |forge, image| {
            let text = json!({"schemaVersion": 2, "config": image.config, "layers": []}).to_string();
            forge.put(MANIFEST, text.replacen('{', "{\"schemaVersion\":2,", 1).as_bytes())
        }),
        ("document-ambiguous", 3, |_, image| json!({"mediaType": INDEX, "digest": image.manifest["digest"], "size": image.manifest["size"]})),
        ("document-unsupported", 6, |forge, _| {
            forge.document("application/vnd.docker.distribution.manifest.v1+json", &json!({"schemaVersion": 1, "fsLayers": []}))
        }),
        ("unsupported-digest", 6, |forge, _| {
            fs::create_dir(forge.path().join("blobs/blake3")).expect("writable");
            fs::write(forge.path().join("blobs/blake3/abc"), "abc").expect("writable");
            json!({"mediaType": "application/vnd.example", "digest": "blake3:abc", "size": 3})
        }),
        ("diff-id-count", 3, |forge, image| forge.image_of(std::slice::from_ref(&image.layer), &[]).manifest),
        ("nesting-too-deep", 3, |forge, image| {
            (0..17).fold(image.manifest.clone(), |below, _| forge.document(INDEX, &json!({"schemaVersion": 2, "manifests": [below]})))
        }),
    ];
    for (code, exit, make) in cases {
        let (forge, image) = Forge::with_image();
        let damaged = make(&forge, &image);
        forge.enter("damaged", &damaged);
        // The innermost of the indexes is the one that lies too deep.
        let innermost = forge.document(INDEX, &json!({"schemaVersion": 2, "manifests": [image.manifest]}));
        let subject = if code == "nesting-too-deep" { &innermost } else { &damaged };
        let report = expect(forge.path(), &[], exit, &one(code, digest(subject)));
        assert_eq!(report["findings"][0]["chain"][0], "damaged", "{report:#}");
        // The other image is whole, and can be verified alone.
        assert_eq!(larder().args(["verify", &format!("{}:image", oci(forge.path()))]).output().expect("it starts").status.code(), Some(0));
    }
}

#[test]
fn a_config_that_is_none_is_found() {
    let forge = Forge::new();
    let config = forge.document(CONFIG, &json!({"os": 1}));
    forge.enter("x", &forge.document(MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": [forge.put(LAYER, &tar(&[]))]})));
    expect(forge.path(), &[], 3, &one("document-invalid", digest(&config)));
}

#[test]
fn lay_06_and_59_a_lost_or_broken_index_is_found() {
    type Break = fn(&Path);
    let cases: [(&str, Break); 5] = [
        ("document-invalid", |index| fs::write(index, "").expect("writable")),
        ("document-invalid", |index| fs::remove_file(index).expect("there")),
        ("document-ambiguous", |index| fs::write(index, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#).expect("writable")),
        ("not-a-file", |index| {
            fs::rename(index, index.with_extension("old")).expect("there");
            symlink("index.old", index).expect("made");
        }),
        ("not-a-file", |index| {
            fs::remove_file(index).expect("there");
            mknodat(CWD, index, FileType::Fifo, Mode::RWXU, 0).expect("made");
        }),
    ];
    for (code, damage) in cases {
        let (forge, image) = Forge::with_image();
        damage(&forge.path().join("index.json"));
        // What there is to name is told too.
        expect(forge.path(), &[], 3, &[one(code, "index.json"), one("nameless", digest(&image.manifest))].concat());
    }
}

#[test]
fn deep_verification_finds_what_digests_cannot_tell() {
    let whole = tar(&[("a/file", b"content")]);
    let mut sparse = whole.clone();
    set_type(&mut sparse, b'S');
    let hidden = [whole.clone(), b"hidden".to_vec()].concat();
    let cases: [(&str, i32, &str, &[u8]); 7] = [
        ("diff-id-mismatch", 3, LAYER, &whole),
        ("layer-corrupt", 3, LAYER, &whole[..515]),
        ("layer-corrupt", 3, LAYER, &b"no tar at all".repeat(100)),
        ("layer-corrupt", 3, GZIP_LAYER, &whole),
        ("layer-unsupported", 6, LAYER, &sparse),
        ("layer-hidden-data", 3, LAYER, &hidden),
        ("layer-duplicate-entry", 3, LAYER, &tar(&[("a", b"1"), ("b", b""), ("a", b"2")])),
    ];
    for (code, exit, media_type, content) in cases {
        let forge = Forge::new();
        let diff_id = if code == "diff-id-mismatch" { sha256(b"something else") } else { sha256(content) };
        let layer = forge.put(media_type, content);
        forge.enter("x", &forge.image_of(std::slice::from_ref(&layer), &[&diff_id]).manifest);
        expect(forge.path(), &[], 0, &Vec::new());
        expect(forge.path(), &["--deep"], exit, &one(code, digest(&layer)));
    }
}

/// Turns the first entry into one of another type.
fn set_type(tar: &mut [u8], flag: u8) {
    tar[156] = flag;
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let forge = Forge::new();
    let images: Vec<Image> = (0..4).map(|n: u8| forge.image(LAYER, &tar(&[("file", &[n])]))).collect();
    for (number, image) in images.iter().enumerate() {
        forge.enter(&format!("v{number}"), &image.manifest);
    }
    let path = |descriptor: &Value| blob_path(forge.path(), &descriptor["digest"]);
    fs::remove_file(path(&images[0].layer)).expect("there");
    change(&path(&images[1].layer), |bytes| bytes[0] ^= 1);
    change(&path(&images[2].manifest), |bytes| bytes.push(b'\n'));
    fs::write(forge.path().join("blobs/README"), "x").expect("writable");
    let expected: Findings = [
        ("size-mismatch", digest(&images[2].manifest)),
        ("blob-missing", digest(&images[0].layer)),
        ("digest-mismatch", digest(&images[1].layer)),
        ("unexpected-file", "blobs/README"),
    ]
    .map(|(code, subject)| (code.to_owned(), subject.to_owned()))
    .into();
    expect(forge.path(), &[], 3, &expected);
    for jobs in ["1", "2", "16"] {
        expect(forge.path(), &["--deep", "--jobs", jobs], 3, &expected);
    }
    assert!(verify(forge.path(), &[]).stderr.contains("4 findings"));
}

#[test]
fn lay_74_what_is_only_strange_is_a_warning_and_no_failure() {
    let (forge, _) = Forge::with_image();
    fs::write(forge.path().join("blobs/sha256/README"), "x").expect("writable");
    fs::write(forge.path().join("manifest.json"), "[]").expect("writable");
    fs::create_dir(forge.path().join("ingest")).expect("writable");
    let report = expect(forge.path(), &[], 0, &one("unexpected-file", "blobs/sha256/README"));
    assert_eq!(report["findings"][0]["severity"], "warning");
}

#[test]
fn lay_71_what_cannot_be_read_is_not_called_damage() {
    let home = temp();
    let Some(mut nobody) = larder_as_nobody(home.path()) else { return };
    let (forge, image) = Forge::with_image();
    nobody.args(["verify", "--format", "json"]).arg(oci(forge.path()));
    let permit = |place: &Path, mode| fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("own file");
    let blob = blob_path(forge.path(), &image.layer["digest"]);
    // A directory whose names can be read and nothing else.
    for (place, mode, there) in [(&*blob, 0o0, 0o644), (blob.parent().expect("a directory"), 0o744, 0o755), (&forge.path().join("blobs"), 0o744, 0o755)] {
        permit(place, mode);
        let ran = Ran::from(nobody.output().expect("setpriv starts"));
        assert_eq!((ran.code, &ran.json()["findings"][0]["code"]), (Some(1), &json!("io")), "{place:?}: {ran:?}");
        assert_eq!(ran.error()["code"], "io");
        permit(place, there);
    }
    permit(forge.path(), 0o744);
    let ran = Ran::from(nobody.output().expect("setpriv starts"));
    assert_eq!((ran.code, ran.stdout.as_str(), &ran.error()["code"]), (Some(1), "", &json!("io")), "{ran:?}");
}

#[test]
fn what_cannot_be_verified_at_all_is_an_error() {
    let (forge, image) = Forge::with_image();
    let layout = oci(forge.path());
    let cases = [
        (4, format!("{layout}.absent")),
        (4, format!("{layout}:absent")),
        (4, format!("{layout}@{}", sha256(b"absent"))),
        (6, "docker://x".to_owned()),
        (3, oci(&forge.path().join("blobs"))),
    ];
    for (exit, location) in cases {
        let ran = ran(&["verify", "--format", "json", &location]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(exit), ""), "{ran:?}");
        assert_eq!(ran.error()["exit"], exit);
    }
    assert_eq!(ran(&["verify", &format!("{layout}@{}", digest(&image.manifest))]).code, Some(0));
}
