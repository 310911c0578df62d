//! Layouts that are odd and right, or wrong in a way that a reader might not see: what the commands that move, name, change and collect make of them.
//! What is damaged is the subject of `verify`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bundle::oci;
use crate::support::forge::{CONFIG, Forge, INDEX, Image, LAYER, MANIFEST, sha256, tar};
use crate::support::image::{Ran, ran, read_index};
use crate::support::process::temp;

const MANIFEST_OF_DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A layout that has the image `image` and something else under the name `odd`.
struct Odd {
    forge: Forge,
    home: TempDir,
}

impl Odd {
    /// `make` describes what gets the name.
    fn new(make: impl FnOnce(&Forge, &Image) -> Value) -> Odd {
        let (forge, image) = Forge::with_image();
        let odd = make(&forge, &image);
        forge.enter("odd", &odd);
        Odd { forge, home: temp() }
    }

    fn image(&self, name: &str) -> String {
        oci(self.forge.path(), name)
    }

    fn copied(&self) -> PathBuf {
        self.home.path().join("copied")
    }

    fn copy(&self, more: &[&str]) -> Ran {
        ran(&[&["copy", &self.image("odd"), &oci(&self.copied(), "odd"), "--format", "json"], more].concat())
    }

    /// Nothing of it is new for the commands: it is listed, verified, named, copied with all its blobs, kept by a collection, and never changed.
    #[track_caller]
    fn is_accepted(&self, warnings: usize) {
        let layout = self.forge.path();
        let before = blobs(layout);
        for arguments in [
            vec!["list", &self.image("odd")[.."oci:".len() + layout.as_os_str().len()]],
            vec!["tag", &self.image("odd"), "same"],
            vec!["inspect", &self.image("same")],
        ] {
            let ran = ran(&arguments);
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        let verified = ran(&["verify", "--deep", &self.image("odd"), "--format", "json"]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let findings = verified.json()["findings"].as_array().cloned().expect("a list");
        assert_eq!(findings.len(), warnings, "{findings:?}");
        assert!(findings.iter().all(|finding| finding["severity"] == "warning"), "{findings:?}");
        let copied = self.copy(&[]);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        assert!(blobs(&self.copied()).is_subset(&before), "nothing is written anew");
        assert_eq!(ran(&["verify", "--quiet", &oci(&self.copied(), "odd")]).code, Some(0));
        let collected = ran(&["gc", &format!("oci:{}", layout.display()), "--grace", "0"]);
        assert_eq!((collected.code, blobs(layout)), (Some(0), before), "{collected:?}");
    }

    /// What there is of it cannot be carried: the exit code, and words of the error. Nothing appears, and the names stay.
    #[track_caller]
    fn is_not_copied(&self, exit: i32, words: &str) {
        let copied = self.copy(&[]);
        let error = copied.error();
        let all = format!("{} {}", error["message"], error["causes"]);
        assert!(copied.code == Some(exit) && all.contains(words), "{words:?} in {copied:?}");
        let named = self.copied().join("index.json").exists() && !read_index(&self.copied())["manifests"].as_array().expect("a list").is_empty();
        assert!(!named, "nothing has the name");
    }
}

fn blobs(layout: &Path) -> BTreeSet<PathBuf> {
    let algorithms = fs::read_dir(layout.join("blobs")).expect("there").map(|entry| entry.expect("an entry").path());
    let files = algorithms.flat_map(|directory| fs::read_dir(directory).expect("there").map(|entry| entry.expect("an entry").path()));
    files.map(|file| file.strip_prefix(layout).expect("inside").to_owned()).collect()
}

/// Stores content under its SHA-512.
fn sha512(forge: &Forge, media_type: &str, bytes: &[u8]) -> Value {
    let hex: String = <sha2::Sha512 as sha2::Digest>::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = forge.path().join("blobs/sha512");
    fs::create_dir_all(&directory).expect("writable");
    fs::write(directory.join(&hex), bytes).expect("writable");
    json!({"mediaType": media_type, "digest": format!("sha512:{hex}"), "size": bytes.len()})
}

fn manifest(image: &Image, more: &Value) -> Value {
    let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": image.config, "layers": [image.layer]});
    manifest.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    manifest
}

#[test]
fn lay_29_content_named_by_its_sha512_is_carried_and_kept() {
    let odd = Odd::new(|forge, _| {
        let archive = tar(&[("file", b"of sha512")]);
        let layer = sha512(forge, LAYER, &archive);
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(&archive)]}});
        let config = sha512(forge, CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        sha512(forge, MANIFEST, manifest.to_string().as_bytes())
    });
    odd.is_accepted(0);
    assert_eq!(fs::read_dir(odd.copied().join("blobs/sha512")).expect("there").count(), 3);
}

#[test]
fn lay_44_46_and_68_bytes_of_documents_are_nobodys_business() {
    // Without a media type, with one of Docker's, and with spaces, another order and fields that nobody knows.
    Odd::new(|forge, image| forge.document(MANIFEST, &json!({"schemaVersion": 2, "config": image.config, "layers": [image.layer]}))).is_accepted(0);
    Odd::new(|forge, image| {
        let config = json!({"mediaType": "application/vnd.docker.container.image.v1+json", "digest": image.config["digest"], "size": image.config["size"]});
        let layer = json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": image.layer["digest"], "size": image.layer["size"]});
        let docker = json!({"schemaVersion": 2, "mediaType": MANIFEST_OF_DOCKER, "config": config, "layers": [layer]});
        let docker = forge.document(MANIFEST_OF_DOCKER, &docker);
        let list = "application/vnd.docker.distribution.manifest.list.v2+json";
        forge.document(list, &json!({"schemaVersion": 2, "mediaType": list, "manifests": [docker]}))
    })
    .is_accepted(0);
    Odd::new(|forge, image| {
        let odd = format!("{{\n\t\"x\": {{\"y\": []}},\n \"layers\": [ {} ],\"config\" :{},\n\n \"schemaVersion\":2}}\n ", image.layer, image.config);
        forge.put(MANIFEST, odd.as_bytes())
    })
    .is_accepted(0);
}

#[test]
fn lay_47_and_48_artifacts_and_content_of_unknown_types_are_carried_and_kept() {
    Odd::new(|forge, _| forge.put("application/vnd.example.thing", b"opaque")).is_accepted(0);
    let artifact = |forge: &Forge, _: &Image| {
        let (config, layer) = (forge.put(EMPTY, b"{}"), forge.put("application/vnd.example.thing", b"opaque"));
        forge.document(MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "a/b", "config": config, "layers": [layer]}))
    };
    let odd = Odd::new(artifact);
    odd.is_accepted(0);
    for arguments in [vec!["edit", "--env", "A=1"], vec!["unpack"]] {
        let target = odd.home.path().join("target").into_os_string().into_string().expect("UTF-8");
        let image = odd.image("odd");
        let (command, more) = arguments.split_first().expect("a command");
        let target = if *command == "unpack" { vec![target.as_str()] } else { Vec::new() };
        let ran = ran(&[&[*command, &image], &target[..], more].concat());
        assert_eq!(ran.code, Some(6), "{ran:?}");
    }
}

#[test]
fn lay_49_what_is_attached_to_something_that_is_not_there_is_no_damage() {
    let odd = Odd::new(|forge, image| {
        let absent = json!({"mediaType": MANIFEST, "digest": sha256(b"absent"), "size": 7});
        forge.document(MANIFEST, &manifest(image, &json!({"subject": absent})))
    });
    odd.is_accepted(1);
}

#[test]
fn lay_69_an_image_without_layers_is_one_and_a_list_that_is_none_is_not() {
    let odd = Odd::new(|forge, _| forge.image_of(&[], &[]).manifest);
    odd.is_accepted(1);
    Odd::new(|forge, image| forge.document(MANIFEST, &manifest(image, &json!({"layers": null})))).is_not_copied(3, "layers");
    Odd::new(|forge, image| forge.document(MANIFEST, &json!({"schemaVersion": 2, "layers": [image.layer]}))).is_not_copied(3, "config");
}

#[test]
fn lay_75_and_76_many_long_annotations_are_carried_up_to_the_limit() {
    let long = "x".repeat(1 << 20);
    Odd::new(|forge, image| {
        let many: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), "v".into())).chain([("long".to_owned(), Value::from(long))]).collect();
        forge.document(MANIFEST, &manifest(image, &json!({"annotations": many})))
    })
    .is_accepted(0);
    let sized = |bytes: usize| {
        move |forge: &Forge, image: &Image| {
            let document = |padding: usize| manifest(image, &json!({"annotations": {"k": "v".repeat(padding)}})).to_string();
            let rest = document(0).len();
            forge.put(MANIFEST, document(bytes - rest).as_bytes())
        }
    };
    Odd::new(sized(4 << 20)).is_accepted(0);
    Odd::new(sized((4 << 20) + 1)).is_not_copied(3, "more than the limit of 4194304 bytes");
    Odd::new(|forge, image| forge.document(MANIFEST, &manifest(image, &json!({"annotations": {"k": 1}})))).is_not_copied(3, "annotations");
}

#[test]
fn lay_40_to_45_what_readers_could_take_for_two_things_is_not_carried() {
    for (words, make) in [
        (
            "both `layers` and `manifests`",
            (|forge, image| forge.document(MANIFEST, &manifest(image, &json!({"manifests": []})))) as fn(&Forge, &Image) -> Value,
        ),
        ("ambiguous", |forge, image| forge.document(MANIFEST, &manifest(image, &json!({"fsLayers": []})))),
        ("ambiguous", |_, image| json!({"mediaType": INDEX, "digest": image.manifest["digest"], "size": image.manifest["size"]})),
        ("ambiguous: its `mediaType` is", |forge, image| forge.document(MANIFEST, &manifest(image, &json!({"mediaType": MANIFEST_OF_DOCKER})))),
        ("ambiguous", |forge, image| {
            let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": INDEX, "digest": image.manifest["digest"], "size": image.manifest["size"]}]});
            forge.document(INDEX, &index)
        }),
    ] {
        let odd = Odd::new(make);
        odd.is_not_copied(3, words);
        // A collection does not guess either.
        let before = blobs(odd.forge.path());
        let collected = ran(&["gc", &format!("oci:{}", odd.forge.path().display()), "--grace", "0"]);
        assert_eq!((collected.code, blobs(odd.forge.path())), (Some(3), before), "{collected:?}");
    }
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    Odd::new(|forge, _| forge.document(schema_1, &json!({"schemaVersion": 1, "fsLayers": [], "history": []}))).is_not_copied(6, "schema 1");
}

#[test]
fn lay_30_and_31_content_that_cannot_be_proved_is_not_carried() {
    for (digest, name) in
        [("blake3:abc", "blake3"), ("foo256:0123456789abcdef", "foo256"), ("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564", "sha256+b64u")]
    {
        let odd = Odd::new(|forge, image| {
            let (algorithm, encoded) = digest.split_once(':').expect("a digest");
            fs::create_dir(forge.path().join("blobs").join(algorithm)).expect("writable");
            fs::write(forge.path().join("blobs").join(algorithm).join(encoded), "abc").expect("writable");
            let layer = json!({"mediaType": LAYER, "digest": digest, "size": 3});
            forge.document(MANIFEST, &json!({"schemaVersion": 2, "config": image.config, "layers": [layer]}))
        });
        odd.is_not_copied(6, &format!("algorithm `{name}`"));
        let verified = ran(&["verify", &odd.image("odd"), "--format", "json"]);
        assert_eq!((verified.code, &verified.json()["findings"][0]["code"]), (Some(6), &json!("unsupported-digest")), "{verified:?}");
    }
}

#[test]
fn lay_17_to_20_and_54_to_56_sizes_and_embedded_content_that_are_wrong_are_not_carried() {
    let with = |more: Value| {
        move |forge: &Forge, image: &Image| {
            let mut layer = image.layer.clone();
            layer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            forge.document(MANIFEST, &manifest(image, &json!({"layers": [layer]})))
        }
    };
    for (more, words) in [
        (json!({"size": 2049}), "2049"),
        (json!({"size": 2047}), "2047"),
        (json!({"size": -1}), "size"),
        (json!({"size": 9_007_199_254_740_993_u64}), "9007199254740993"),
        (json!({"size": 1_u64 << 62}), "4611686018427387904"),
        (json!({"size": u64::MAX}), "largest size"),
        (json!({"data": "AAAA"}), "data"),
        (json!({"data": "not base64!"}), "data"),
    ] {
        Odd::new(with(more)).is_not_copied(3, words);
    }
    // Content that is embedded is no content of a layout.
    let odd = Odd::new(|forge, image| {
        let config = json!({"mediaType": EMPTY, "digest": sha256(b"{}"), "size": 2, "data": "e30="});
        forge.document(MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": [image.layer]}))
    });
    odd.is_not_copied(4, "is missing");
}

#[test]
fn lay_37_the_platforms_that_a_sparse_index_has_can_be_taken_from_it() {
    let odd = Odd::new(|forge, image| {
        let entry = |descriptor: &Value, architecture: &str| {
            let mut entry = descriptor.clone();
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        };
        let absent = json!({"mediaType": MANIFEST, "digest": sha256(b"absent"), "size": 7});
        forge.document(INDEX, &json!({"schemaVersion": 2, "manifests": [entry(&image.manifest, "amd64"), entry(&absent, "arm64")]}))
    });
    odd.is_not_copied(4, "is missing");
    let copied = odd.copy(&["--platform", "linux/amd64"]);
    assert_eq!(copied.code, Some(0), "{copied:?}");
    assert_eq!(ran(&["verify", "--deep", &oci(&odd.copied(), "odd")]).code, Some(0));
    let edited = ran(&["edit", &odd.image("odd"), "--platform", "linux/amd64", "--env", "A=1"]);
    assert_eq!(edited.code, Some(0), "{edited:?}");
    assert_eq!(ran(&["edit", &odd.image("odd"), "--env", "A=2"]).code, Some(4));
}

#[test]
fn lay_08_a_list_of_names_that_is_null_is_empty_and_warned_of() {
    let (forge, _) = Forge::with_image();
    let index = forge.path().join("index.json");
    let null = r#"{"schemaVersion":2,"manifests":null}"#;
    fs::write(&index, null).expect("writable");
    let layout = format!("oci:{}", forge.path().display());
    let home = temp();
    let archive = format!("{}", home.path().join("x.tar").display());
    assert!(std::process::Command::new("tar").args(["-cf", &archive, "-C"]).arg(forge.path()).arg(".").status().expect("tar starts").success());
    let (archive, other) = (format!("oci-archive:{archive}"), format!("oci:{}", home.path().join("other").display()));
    for arguments in [
        vec!["list", &layout],
        vec!["verify", &layout],
        vec!["copy", "--all-names", &layout, &other],
        vec!["gc", &layout, "--dry-run"],
        vec!["list", &archive],
        vec!["verify", &archive],
        vec!["copy", "--all-names", &archive, &other],
    ] {
        let ran = ran(&arguments);
        assert_eq!((ran.code, ran.stderr.matches("`manifests` is null and not a list, so there are no names").count()), (Some(0), 1), "{ran:?}");
    }
    let findings = ran(&["verify", &layout, "--format", "json"]).json()["findings"].clone();
    assert_eq!((findings.as_array().map(Vec::len), &findings[0]["severity"]), (Some(1), &json!("warning")));
    assert_eq!(ran(&["tag", &layout, "x"]).code, Some(4));
    assert_eq!(fs::read_to_string(&index).expect("there"), null, "nothing had to be written");
    // What is written is a list.
    let (source, _) = Forge::with_image();
    assert_eq!(ran(&["copy", &oci(source.path(), "image"), &layout]).code, Some(0));
    assert_eq!(read_index(forge.path())["manifests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn lay_06_images_whose_names_are_lost_are_listed_and_get_names_again() {
    let (forge, image) = Forge::with_image();
    let list = forge.document(INDEX, &json!({"schemaVersion": 2, "manifests": [image.manifest]}));
    let absent = json!({"mediaType": LAYER, "digest": sha256(b"absent"), "size": 6});
    let broken = forge.document(MANIFEST, &manifest(&image, &json!({"layers": [absent]})));
    let layout = format!("oci:{}", forge.path().display());
    let index = forge.path().join("index.json");
    let named = |descriptor: &Value, name: &str| ran(&["tag", &format!("{layout}@{}", descriptor["digest"].as_str().expect("a digest")), name]);
    for lose in [|index: &Path| fs::write(index, "").expect("writable"), |index: &Path| fs::remove_file(index).expect("there")] {
        lose(&index);
        let verified = ran(&["verify", &layout, "--format", "json"]);
        assert_eq!(verified.code, Some(3));
        let findings = verified.json()["findings"].as_array().cloned().expect("a list");
        let nameless: BTreeSet<&str> =
            findings.iter().filter(|finding| finding["code"] == "nameless").map(|finding| finding["subject"].as_str().expect("text")).collect();
        assert_eq!(nameless, [&list, &broken].map(|descriptor| descriptor["digest"].as_str().expect("a digest")).into(), "{findings:?}");
        let refused = named(&list, "again");
        assert!(refused.code == Some(3) && refused.stderr.contains("`larder verify` lists the images"), "{refused:?}");
    }
    fs::write(&index, r#"{"schemaVersion":2,"manifests":[]}"#).expect("writable");
    assert_eq!(named(&list, "again").code, Some(0));
    let refused = named(&broken, "broken");
    assert!(refused.code == Some(4) && refused.stderr.contains("is not whole"), "{refused:?}");
    assert_eq!(ran(&["verify", "--deep", &layout]).code, Some(0));
    assert_eq!(ran(&["gc", &layout, "--grace", "0"]).code, Some(0));
    assert_eq!(ran(&["verify", "--deep", &layout]).code, Some(0));
}

#[test]
fn lay_53_a_hundred_thousand_names_are_no_obstacle() {
    const NAMES: usize = 100_000;
    const MOST: std::time::Duration = std::time::Duration::from_secs(60);
    let (forge, image) = Forge::with_image();
    let entry = |n: usize| {
        let mut entry = image.manifest.clone();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": format!("tag-{n}")});
        entry
    };
    let index = json!({"schemaVersion": 2, "manifests": (0..NAMES).map(entry).collect::<Vec<_>>()});
    fs::write(forge.path().join("index.json"), index.to_string()).expect("writable");
    let layout = format!("oci:{}", forge.path().display());
    let last = oci(forge.path(), &format!("tag-{}", NAMES - 1));
    for arguments in [vec!["list", &layout], vec!["tag", &last, "one-more"], vec!["gc", &layout]] {
        let begin = std::time::Instant::now();
        let ran = ran(&[&arguments[..], &["--quiet"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        // As a debug build on a busy machine; what a release build takes is measured elsewhere.
        assert!(begin.elapsed() < MOST, "{arguments:?}: {:?}", begin.elapsed());
    }
    assert_eq!(read_index(forge.path())["manifests"].as_array().map(Vec::len), Some(NAMES + 1));
}
