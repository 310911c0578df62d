//! `larder edit`: new images from old ones, judged by other tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bundle::oci;
use crate::support::everything;
use crate::support::image::{Ran, config_of, layer_entries, manifest_of, ran, read_index};
use crate::support::layers::{image, location};
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::storage::Storage;
use crate::support::tape::file;
use crate::support::tools::tool;
use crate::support::tree;

/// A layout with the sample under its two names.
struct Hello {
    temp: TempDir,
}

impl Hello {
    fn new() -> Hello {
        let hello = Hello { temp: temp() };
        let context = checkout("testdata/hello");
        succeeded(&["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &hello.at("")]);
        hello
    }

    fn path(&self) -> PathBuf {
        self.temp.path().join("out")
    }

    /// The location of the layout with `rest` behind it.
    fn at(&self, rest: &str) -> String {
        format!("oci:{}{rest}", self.path().display())
    }

    fn digest(&self, tag: &str) -> String {
        let index = read_index(&self.path());
        let entries = index["manifests"].as_array().expect("a list");
        let entry = entries.iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag).expect("the tag is there");
        entry["digest"].as_str().expect("a digest").to_owned()
    }

    fn edit(&self, image: &str, more: &[&str]) -> Ran {
        let image = self.at(image);
        ran(&[&["edit", &image], more, &["--format", "json"]].concat())
    }

    /// Edits, and proves the layout by other means and by larder's own.
    #[track_caller]
    fn edited(&self, image: &str, more: &[&str]) -> Value {
        let ran = self.edit(image, more);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_layout_is_sound(&self.path());
        succeeded(&["verify", "--deep", "--quiet", &self.at("")]);
        ran.json()
    }
}

#[track_caller]
fn succeeded(arguments: &[&str]) -> Ran {
    let ran = ran(arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

#[test]
fn settings_and_annotations_are_what_skopeo_and_umoci_read() {
    let hello = Hello::new();
    let before = hello.digest("1.4.2");
    let report = hello.edited(
        ":1.4.2",
        &[
            "-t",
            "1.4.3",
            "--env",
            "GREETING=hallo",
            "--unset-env",
            "NONE",
            "--label",
            "a=b",
            "--user",
            "1000:1000",
            "--workdir",
            "/tmp",
            "--expose",
            "80",
            "--volume",
            "/data",
            "--stop-signal",
            "SIGINT",
            "--cmd",
            r#"["-v", "x"]"#,
            "--created",
            "1700000000",
            "--annotation",
            "manifest[linux/arm64]:k=v",
            "--annotation",
            "index:i=j",
        ],
    );
    assert_eq!((hello.digest("1.4.2"), report["before"].as_str()), (before.clone(), Some(before.as_str())));
    assert_eq!(report["digest"].as_str(), Some(hello.digest("1.4.3").as_str()));
    assert_eq!(report["names"], json!([{"name": "registry.example/team/hello:1.4.3", "added": true}]));
    assert_eq!(report["images"].as_array().map(Vec::len), Some(3));

    let (Some(skopeo), Some(umoci)) = (tool("skopeo"), tool("umoci")) else { return };
    let config = |architecture: &str| -> Value {
        let options = ["--override-os", "linux", "--override-arch", architecture, "inspect", "--config", &hello.at(":1.4.3")];
        serde_json::from_str(&Command::new(&skopeo).args(options).succeeds()).expect("JSON")
    };
    for architecture in ["amd64", "arm64"] {
        let config = config(architecture);
        let settings = &config["config"];
        assert_eq!((&settings["User"], &settings["WorkingDir"], &settings["StopSignal"]), (&json!("1000:1000"), &json!("/tmp"), &json!("SIGINT")));
        assert_eq!((&settings["Cmd"], &settings["Labels"]["a"]), (&json!(["-v", "x"]), &json!("b")));
        assert!(settings["Env"].as_array().is_some_and(|env| env.contains(&json!("GREETING=hallo"))));
        assert_eq!(
            (&config["created"], &settings["ExposedPorts"], &settings["Volumes"]),
            (&json!("2023-11-14T22:13:20Z"), &json!({"80/tcp": {}}), &json!({"/data": {}}))
        );
    }
    let index: Value = serde_json::from_str(&Command::new(&skopeo).args(["inspect", "--raw", &hello.at(":1.4.3")]).succeeds()).expect("JSON");
    assert_eq!(index["annotations"]["i"], "j");
    assert_eq!(manifest_of(&hello.path(), "1.4.3", "arm64")["annotations"]["k"], "v");
    assert_eq!(manifest_of(&hello.path(), "1.4.3", "amd64")["annotations"]["k"], Value::Null);
    // umoci does not choose a platform, so it gets an image of one.
    let one = hello.temp.path().join("one");
    succeeded(&["copy", "--platform", "linux/amd64", &hello.at(":1.4.3"), &format!("oci:{}", one.display())]);
    let stat: Value =
        serde_json::from_str(&Command::new(umoci).args(["stat", "--json", "--image", &format!("{}:1.4.3", one.display())]).succeeds()).expect("JSON");
    let history = stat["history"].as_array().expect("a list");
    let last = history.last().expect("a step");
    assert_eq!((&last["empty_layer"], &last["layer"]), (&json!(true), &Value::Null));
    assert!(last["created_by"].as_str().is_some_and(|text| text.starts_with("larder edit: ")), "{last}");
}

#[test]
fn without_a_new_name_the_old_one_moves_and_the_report_says_so() {
    let hello = Hello::new();
    let before = hello.digest("latest");
    let image = hello.at(":latest");
    let text = succeeded(&["edit", &image, "--env", "A=1", "--platform", "linux/arm64"]).stdout;
    let after = hello.digest("latest");
    assert!(before != after && text.contains(&format!("(moved from {before})")) && text.contains(&format!("digest  {after}  (was {before})")), "{text}");
    assert_eq!(hello.digest("1.4.2"), before);
    assert_eq!(assert_layout_is_sound(&hello.path()).names, ["1.4.2", "latest"]);
    for architecture in ["amd64", "arm"] {
        assert_eq!(manifest_of(&hello.path(), "latest", architecture), manifest_of(&hello.path(), "1.4.2", architecture));
    }
    let config = config_of(&hello.path(), &manifest_of(&hello.path(), "latest", "arm64"));
    assert!(config["config"]["Env"].as_array().is_some_and(|env| env.contains(&json!("A=1"))));

    let again = hello.edited(":latest", &["--env", "A=1", "--platform", "linux/arm64"]);
    assert_eq!((again["digest"].as_str(), again["before"].as_str()), (Some(after.as_str()), Some(after.as_str())), "what changes nothing keeps the digest");
}

/// The diff IDs of an image's platform.
fn diff_ids(layout: &Path, tag: &str, architecture: &str) -> Value {
    config_of(layout, &manifest_of(layout, tag, architecture))["rootfs"]["diff_ids"].clone()
}

#[test]
fn compressing_there_and_back_keeps_diff_ids_and_gives_the_old_digests() {
    let hello = Hello::new();
    let before = (hello.digest("1.4.2"), diff_ids(&hello.path(), "1.4.2", "arm"));
    let report = hello.edited(":1.4.2", &["--compression", "zstd:19"]);
    assert_eq!(report["layers"].as_array().map(Vec::len), Some(4), "one layer is the same on all platforms: {report}");
    assert_ne!(hello.digest("1.4.2"), before.0);
    hello.edited(":1.4.2", &["--compression", "none", "--jobs", "1"]);
    assert_eq!(diff_ids(&hello.path(), "1.4.2", "arm"), before.1);
    hello.edited(":1.4.2", &["--compression", "gzip", "--jobs", "16"]);
    assert_eq!((hello.digest("1.4.2"), diff_ids(&hello.path(), "1.4.2", "arm")), before);
}

/// An image whose layers umoci wrote, with its own tar and its own gzip.
fn foreign(directory: &Path) -> Option<PathBuf> {
    let umoci = tool("umoci")?;
    let layout = directory.join("foreign");
    let image = format!("{}:1", layout.display());
    let tree = directory.join("tree");
    std::fs::create_dir_all(tree.join("etc")).expect("writable");
    std::fs::write(tree.join("etc/motd"), "hello\n".repeat(10_000)).expect("writable");
    Command::new(&umoci).args(["init", "--layout"]).arg(&layout).succeeds();
    Command::new(&umoci).args(["new", "--image", &image]).succeeds();
    for to in ["/opt", "/srv"] {
        Command::new(&umoci).args(["insert", "--image", &image]).arg(&tree).arg(to).succeeds();
    }
    Some(layout)
}

#[test]
fn layers_of_other_tools_keep_their_tar_whatever_they_are_compressed_with() {
    let temp = temp();
    let Some(layout) = foreign(temp.path()) else { return };
    let at = format!("oci:{}:1", layout.display());
    // An image without an index is an image of any architecture.
    let before = diff_ids(&layout, "1", "any");
    for codec in ["zstd", "none", "gzip:1"] {
        succeeded(&["edit", &at, "--compression", codec]);
        assert_eq!(diff_ids(&layout, "1", "any"), before, "{codec}");
        succeeded(&["verify", "--deep", &at]);
    }
}

#[test]
fn layers_are_added_for_each_platform_and_dropped_again() {
    let hello = Hello::new();
    let before = (hello.digest("1.4.2"), diff_ids(&hello.path(), "1.4.2", "arm64"));
    let program = format!("{}=/opt/", checkout("testdata/hello/dist/linux-{arch}{variant}/hello").display());
    let report = hello.edited(":1.4.2", &["--copy", &program, "--copy", &format!("{}=/etc/", checkout("Cargo.toml").display()), "-t", "more"]);
    assert_eq!(report["layers"].as_array().map(Vec::len), Some(3));
    for architecture in ["amd64", "arm64", "arm"] {
        let manifest = manifest_of(&hello.path(), "more", architecture);
        let names: Vec<String> = layer_entries(&hello.path(), &manifest["layers"][2]).into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["etc/Cargo.toml", "opt/hello"]);
    }
    let added = manifest_of(&hello.path(), "more", "arm64")["layers"][2]["digest"].as_str().expect("a digest").to_owned();
    let report = hello.edited(":more", &["--drop-layer", &added, "--platform", "linux/arm64"]);
    assert_eq!(report["images"][0]["changes"], json!(["layer 3 dropped"]));
    assert_eq!(diff_ids(&hello.path(), "more", "arm64"), before.1);
    assert_eq!(manifest_of(&hello.path(), "more", "amd64")["layers"].as_array().map(Vec::len), Some(3));
    let history = config_of(&hello.path(), &manifest_of(&hello.path(), "more", "arm64"))["history"].clone();
    assert_eq!(history[2], json!({"created": "1970-01-01T00:00:00Z", "created_by": format!("larder edit: drop layer {added}"), "empty_layer": true}));
    assert_eq!(hello.digest("1.4.2"), before.0);
}

#[test]
fn trees_and_archives_become_layers_as_they_are() {
    let (Some((source, tree)), Some(tar)) = (everything::made(&[everything::MAKE]), tool("tar")) else { return };
    let home = temp();
    let archive = home.path().join("tree.tar");
    let mut pack = Command::new(tar);
    pack.args(["--format=posix", "--xattrs", "--xattrs-include=*", "-C"]).arg(source.path()).arg("-cf").arg(&archive).arg(".").succeeds();
    let forge = image(&[vec![file("below", "below")]]);
    let below = manifest_of(forge.path(), "image", "amd64")["layers"].clone();
    for (flag, from) in [("--rootfs", source.path()), ("--tar", archive.as_path())] {
        let (name, flags) = (&flag[2..], [flag, from.to_str().expect("UTF-8")]);
        // Later than every file, so that each keeps its time.
        let epoch = "9000000000";
        larder().env("SOURCE_DATE_EPOCH", epoch).args(["edit", "--quiet", &location(&forge), "-t", name]).args(flags).succeeds();
        assert_layout_is_sound(forge.path());
        succeeded(&["verify", "--deep", "--quiet", &oci(forge.path(), name)]);
        let manifest = manifest_of(forge.path(), name, "amd64");
        assert_eq!((manifest["layers"].as_array().map(Vec::len), &manifest["layers"][0]), (Some(2), &below[0]), "{flag}");
        let rootfs = home.path().join(name);
        larder().args(["unpack", "--strict", "--quiet", &oci(forge.path(), name)]).arg(&rootfs).succeeds();
        let mut unpacked = tree::read(&rootfs);
        assert!(unpacked.remove(Path::new("below")).is_some(), "{flag}");
        tree::assert_same(&unpacked, &tree);
    }
}

#[test]
fn lay_46_images_become_dockers_and_come_back_with_the_same_blobs() {
    let hello = Hello::new();
    let before = manifest_of(&hello.path(), "1.4.2", "arm64");
    hello.edited(":1.4.2", &["--media-types", "docker", "-t", "docker"]);
    let docker = manifest_of(&hello.path(), "docker", "arm64");
    assert_eq!(docker["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(docker["config"]["digest"], before["config"]["digest"]);
    let digests = |manifest: &Value| manifest["layers"].as_array().expect("a list").iter().map(|layer| layer["digest"].clone()).collect::<Vec<_>>();
    assert_eq!(digests(&docker), digests(&before));
    hello.edited(":docker", &["--media-types", "oci"]);
    assert_eq!(manifest_of(&hello.path(), "docker", "arm64"), before, "only annotations of the index are lost");
    let zstd = hello.edit(":1.4.2", &["--media-types", "docker", "--compression", "zstd"]);
    assert_eq!((zstd.code, zstd.error()["hint"].as_str()), (Some(6), Some("compress them with gzip: --compression gzip")));
    assert_eq!(hello.edit(":1.4.2", &["--media-types", "v2s2"]).code, Some(2));
}

#[test]
fn lay_46_an_image_of_dockers_becomes_one_that_skopeo_finds_in_a_layout() {
    let (Some(skopeo), Some(storage)) = (tool("skopeo"), Storage::new()) else { return };
    let hello = Hello::new();
    let single = hello.temp.path().join("single");
    succeeded(&["copy", "--platform", "linux/amd64", &hello.at(":1.4.2"), &format!("oci:{}", single.display())]);
    let theirs = hello.temp.path().join("theirs");
    let image = storage.pull(&single, "1.4.2");
    let at = format!("oci:{}:docker", theirs.display());
    storage.buildah(&["push", "--quiet", "--format", "v2s2", &image, &at]).succeeds();
    let before = manifest_of(&theirs, "docker", "amd64");
    assert_eq!(before["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    succeeded(&["edit", &at, "--media-types", "oci"]);
    succeeded(&["verify", "--deep", "--quiet", &at]);
    let raw: Value = serde_json::from_str(&Command::new(skopeo).args(["inspect", "--raw", &at]).succeeds()).expect("JSON");
    assert_eq!(raw["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(raw["config"]["digest"], before["config"]["digest"]);
    assert_eq!(storage.pull(&theirs, "docker"), image, "it is the same image");
}

#[test]
fn times_are_those_of_the_epoch_and_layers_without_later_ones_keep_their_digests() {
    let hello = Hello::new();
    let temp = temp();
    std::fs::write(temp.path().join("late"), "x").expect("writable");
    let late = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_000);
    std::fs::File::options().write(true).open(temp.path().join("late")).and_then(|file| file.set_modified(late)).expect("own file");
    let copy = format!("{}=/late", temp.path().join("late").display());
    larder().env("SOURCE_DATE_EPOCH", "2000000000").args(["edit", &hello.at(":1.4.2"), "-t", "late", "--copy", &copy]).succeeds();
    let before = manifest_of(&hello.path(), "late", "arm");
    for (flag, name) in [("--normalise-timestamps", "one"), ("--normalize-timestamps", "other")] {
        larder().env("SOURCE_DATE_EPOCH", "1000000000").args(["edit", &hello.at(":late"), "-t", name, flag]).succeeds();
    }
    assert_eq!(hello.digest("one"), hello.digest("other"));
    let after = manifest_of(&hello.path(), "one", "arm");
    let layers = |manifest: &Value| manifest["layers"].as_array().expect("a list").clone();
    assert_eq!(layers(&after)[..2], layers(&before)[..2]);
    assert_eq!(layer_entries(&hello.path(), &layers(&after)[2])[0].mtime, 1_000_000_000);
    let config = config_of(&hello.path(), &after);
    assert_eq!(config["history"][2]["created"], "2001-09-09T01:46:40Z");
    succeeded(&["verify", "--deep", "--quiet", &hello.at("")]);
    assert_layout_is_sound(&hello.path());
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let hello = Hello::new();
    let files = |directory: &Path| std::fs::read_dir(directory).expect("listed").count();
    let before = (hello.digest("1.4.2"), files(&hello.path().join("blobs/sha256")));
    let plan = hello.edit(":1.4.2", &["--user", "x", "--dry-run"]).json();
    assert_eq!((&plan["images"][0]["platform"], &plan["images"][0]["changes"]), (&json!("linux/amd64"), &json!(["user"])));
    assert_eq!((hello.digest("1.4.2"), files(&hello.path().join("blobs/sha256"))), before);
}

#[test]
fn bad_calls_are_one_clear_error_and_the_layout_stays_as_it_was() {
    let hello = Hello::new();
    let before = std::fs::read(hello.path().join("index.json")).expect("readable");
    for (image, more, exit, words) in [
        (":1.4.2", &[] as &[&str], 2, "nothing to change"),
        (":1.4.2", &["--env", "novalue"], 2, "is not KEY=VALUE"),
        (":1.4.2", &["--env", "A=1", "--platform", "linux/s390x"], 4, "no image for linux/s390x"),
        (":1.4.2", &["--created", "yesterday"], 2, "`yesterday` is no moment"),
        (":1.4.2", &["--expose", "http"], 2, "invalid port"),
        (":1.4.2", &["--annotation", "manifest[linux/s390x]:a=b"], 2, "no image for linux/s390x is edited"),
        (":1.4.2", &["--env", "A=1", "-t", "bad tag"], 2, "bad tag"),
        (":1.4.2", &["--drop-layer", "9"], 2, "there is no layer 9"),
        (":1.4.2", &["--drop-layer", "top"], 2, "`top` is no layer"),
        (":1.4.2", &["--drop-layer", "1", "--drop-layer", "2"], 2, "no layer would be left"),
        (":1.4.2", &["--copy", "absent=/x"], 4, "source `absent`"),
        (":1.4.2", &["--squash=9"], 2, "there is no layer 9"),
        (":1.4.2", &["--squash=top"], 2, "`top` is no layer"),
        (":1.4.2", &["--squash=base"], 2, "no annotation says what the image is based on"),
        (":1.4.2", &["--rebase", "oci:absent"], 4, "absent"),
        (":1.4.2", &["--media-types", "docker", "--platform", "linux/arm64"], 2, "stays an OCI manifest"),
        (":absent", &["--env", "A=1"], 4, "no image named `absent`"),
    ] {
        let ran = hello.edit(image, more);
        let error = ran.error();
        let all = format!("{} {}", error["message"], error["causes"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(exit), ""), "{ran:?}");
        assert!(all.contains(words), "{words:?} in {all}");
        assert_eq!(std::fs::read(hello.path().join("index.json")).expect("readable"), before);
    }
    assert_layout_is_sound(&hello.path());
}
