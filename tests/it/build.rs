//! `larder build`: what it makes of good input, and what it says to bad input.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::support::image::{Ran, blob_path, config_of, layer_entries, manifest_of, ran, read_index};
use crate::support::sound::assert_layout_is_sound;

/// A context with one program per architecture and the given `larder.toml`.
fn context(toml: &str) -> TempDir {
    let context = tempfile::tempdir().expect("temporary directory");
    for (architecture, content) in [("amd64", "amd64 program"), ("arm64", "arm64 program")] {
        let directory = context.path().join("dist").join(architecture);
        fs::create_dir_all(directory.join("lib")).expect("writable");
        fs::write(directory.join("app"), content).expect("writable");
        fs::set_permissions(directory.join("app"), fs::Permissions::from_mode(0o700)).expect("own file");
        fs::write(directory.join("lib/data.txt"), "shared data").expect("writable");
        fs::write(directory.join("lib/data.map"), "left out").expect("writable");
        symlink("data.txt", directory.join("lib/link")).expect("writable");
    }
    fs::write(context.path().join("larder.toml"), toml).expect("writable");
    context
}

fn build(context: &Path, output: &Path, more: &[&str]) -> Ran {
    let output = format!("oci:{}", output.display());
    let mut arguments = vec!["build", context.to_str().expect("UTF-8"), "-o", &output];
    arguments.extend_from_slice(more);
    ran(&arguments)
}

const TWO: &str = r#"
platforms = ["linux/amd64", "linux/arm64"]
tags = ["1"]
[[layer]]
[[layer.copy]]
from = "dist/{arch}/"
to = "/opt/app/"
exclude = ["*.map"]
[[layer]]
comment = "shared"
[[layer.file]]
to = "/etc/motd"
content = "hello\n"
mode = "0640"
owner = "1:2"
[[layer.symlink]]
to = "/usr/bin/app"
target = "../../opt/app/app"
[[layer.directory]]
to = "/var/tmp"
mode = "1777"
[config]
entrypoint = ["/opt/app/app"]
env = { LANG = "C.UTF-8" }
[annotations.index]
"org.opencontainers.image.version" = "1"
"#;

#[test]
fn two_platforms_make_an_index_with_shared_layers_stored_once() {
    let context = context(TWO);
    let out = context.path().join("out");
    let ran = build(context.path(), &out, &["--no-cache", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&out);
    let report = ran.json();
    assert_eq!(report["images"][0]["platform"], "linux/amd64");
    assert_eq!(report["images"][1]["platform"], "linux/arm64");
    assert_eq!(report["layers"].as_array().map(Vec::len), Some(3), "two own layers and a shared one: {report}");
    let index = read_index(&out);
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], report["digest"]);
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
    let (amd, arm) = (manifest_of(&out, "1", "amd64"), manifest_of(&out, "1", "arm64"));
    assert_eq!(amd["layers"][1]["digest"], arm["layers"][1]["digest"]);
    assert_ne!(amd["layers"][0]["digest"], arm["layers"][0]["digest"]);
    let config = config_of(&out, &amd);
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    assert_eq!(config["history"].as_array().map(Vec::len), Some(2));
    assert_eq!(config["config"]["Entrypoint"][0], "/opt/app/app");
}

#[test]
fn layers_hold_normalised_sorted_entries_with_their_parents() {
    let context = context(TWO);
    let out = context.path().join("out");
    build(context.path(), &out, &["--no-cache"]);
    let amd = manifest_of(&out, "1", "amd64");
    let entries = layer_entries(&out, &amd["layers"][0]);
    let listed: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind.as_str(), e.mode, e.uid, e.gid, e.mtime)).collect();
    assert_eq!(
        listed,
        [
            ("opt/", "dir", 0o755, 0, 0, 0),
            ("opt/app/", "dir", 0o755, 0, 0, 0),
            ("opt/app/app", "file", 0o755, 0, 0, 0),
            ("opt/app/lib/", "dir", 0o755, 0, 0, 0),
            ("opt/app/lib/data.txt", "file", 0o644, 0, 0, 0),
            ("opt/app/lib/link", "symlink", 0o777, 0, 0, 0),
        ]
    );
    let entries = layer_entries(&out, &amd["layers"][1]);
    let find = |name: &str| entries.iter().find(|e| e.name == name).unwrap_or_else(|| panic!("{name} in {entries:?}"));
    assert_eq!((find("etc/motd").mode, find("etc/motd").uid, find("etc/motd").gid), (0o640, 1, 2));
    assert_eq!(find("usr/bin/app").link, "../../opt/app/app");
    assert_eq!(find("var/tmp/").mode, 0o1777);
}

#[test]
fn a_single_platform_is_a_manifest_unless_an_index_is_asked_for() {
    let context = context(TWO);
    let out = context.path().join("out");
    let ran = build(context.path(), &out, &["--platform", "linux/arm64", "--format", "json", "--no-cache"]);
    assert_eq!(ran.json()["media_type"], "application/vnd.oci.image.manifest.v1+json");
    assert!(ran.stderr.contains("left out: a single platform has no index to annotate; --index writes one"), "{ran:?}");
    let ran = build(context.path(), &out, &["--platform", "linux/arm64", "--index", "--format", "json", "--no-cache"]);
    assert_eq!(ran.json()["media_type"], "application/vnd.oci.image.index.v1+json");
    let ran = build(context.path(), &out, &["--platform", "linux/arm64", "--annotation", "index:a=b", "--no-cache"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_layout_is_sound(&out);
}

#[test]
fn flags_alone_say_what_a_file_would() {
    let context = context("");
    fs::remove_file(context.path().join("larder.toml")).expect("own file");
    let out = context.path().join("out");
    let metadata = context.path().join("metadata.json");
    let ran = build(
        context.path(),
        &out,
        &[
            "--copy",
            "dist/{arch}/=/usr/local/bin/",
            "--entrypoint",
            "/usr/local/bin/app",
            "--cmd",
            r#"["-v"]"#,
            "--env",
            "A=b",
            "--label",
            "l=m",
            "--user",
            "1000:1000",
            "--workdir",
            "/tmp",
            "--expose",
            "80/tcp",
            "--volume",
            "/data",
            "--stop-signal",
            "SIGINT",
            "--platform",
            "linux/amd64,arm64",
            "-t",
            "hello:1",
            "-t",
            "registry.example/team/hello:2",
            "--annotation",
            "manifest[linux/amd64]:k=v",
            "--annotation",
            "index:i=j",
            "--compression",
            "zstd:1",
            "--metadata-file",
            metadata.to_str().expect("UTF-8"),
            "--no-cache",
            "--format",
            "json",
        ],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&out);
    let amd = manifest_of(&out, "1", "amd64");
    assert_eq!(amd["annotations"]["k"], "v");
    assert_eq!(amd["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    assert!(manifest_of(&out, "1", "arm64")["annotations"].is_null());
    let config = &config_of(&out, &amd)["config"];
    assert_eq!(config["Cmd"][0], "-v");
    assert_eq!(config["Env"][0], "A=b");
    assert_eq!(config["Labels"]["l"], "m");
    assert_eq!(config["User"], "1000:1000");
    assert_eq!(config["WorkingDir"], "/tmp");
    assert!(config["ExposedPorts"]["80/tcp"].is_object() && config["Volumes"]["/data"].is_object());
    assert_eq!(config["StopSignal"], "SIGINT");
    let index = read_index(&out);
    let names: Vec<_> =
        index["manifests"].as_array().expect("list").iter().map(|m| m["annotations"]["io.containerd.image.name"].as_str().unwrap_or("")).collect();
    assert_eq!(names, ["docker.io/library/hello:1", "registry.example/team/hello:2"]);
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(&metadata).expect("written")).expect("JSON");
    assert_eq!(metadata["containerimage.digest"], ran.json()["digest"]);
    assert_eq!(metadata["image.name"], "docker.io/library/hello:1,registry.example/team/hello:2");
    assert_eq!(metadata["containerimage.descriptor"], bare(&index["manifests"][0]));
    assert!(metadata["containerimage.config.digest"].is_null(), "each platform has its own: {metadata}");
}

/// What a descriptor says of the document itself.
fn bare(descriptor: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({"mediaType": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"]})
}

#[test]
fn what_is_said_of_a_single_image_is_what_buildx_says() {
    let context = context(TWO);
    let (out, metadata) = (context.path().join("out"), context.path().join("metadata.json"));
    let ran = build(context.path(), &out, &["--platform", "linux/arm64", "--no-cache", "--metadata-file", metadata.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&metadata).expect("written")).expect("JSON");
    let entry = read_index(&out)["manifests"][0].clone();
    let expected = serde_json::json!({
        "containerimage.digest": entry["digest"],
        "containerimage.descriptor": bare(&entry),
        "containerimage.config.digest": manifest_of(&out, "1", "arm64")["config"]["digest"],
        "image.name": "1",
    });
    assert_eq!(told, expected);
}

#[test]
fn a_base_gives_its_layers_its_config_and_its_digest() {
    let below = context(TWO);
    let bases = below.path().join("bases");
    build(below.path(), &bases, &["--no-cache"]);
    let above = context(
        "platforms = [\"linux/amd64\", \"linux/arm64\"]\ntags = [\"2\"]\n[base]\nfrom = \"oci:bases:1\"\n[[layer]]\n[[layer.file]]\nto = \"/opt/app/more\"\ncontent = \"x\"\n[[layer.remove]]\npath = \"/etc/motd\"\n[config]\nenv = { MORE = \"1\" }\n",
    );
    fs::rename(&bases, above.path().join("bases")).expect("same file system");
    let out = above.path().join("out");
    let ran = build(above.path(), &out, &["--no-cache"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&out);
    let base = manifest_of(&above.path().join("bases"), "1", "arm64");
    let image = manifest_of(&out, "2", "arm64");
    assert_eq!(image["layers"][0], base["layers"][0]);
    assert_eq!(image["layers"].as_array().map(Vec::len), Some(3));
    assert_eq!(image["annotations"]["org.opencontainers.image.base.name"], "1");
    let digest = image["annotations"]["org.opencontainers.image.base.digest"].as_str().expect("recorded");
    let index = fs::read(blob_path(&above.path().join("bases"), &read_index(&above.path().join("bases"))["manifests"][0]["digest"])).expect("there");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let of_base = index["manifests"].as_array().expect("a list").iter().find(|entry| entry["platform"]["architecture"] == "arm64").expect("there");
    assert_eq!(of_base["digest"], digest, "the manifest of the base for this platform");
    let config = config_of(&out, &image);
    assert_eq!(config["config"]["Env"], serde_json::json!(["LANG=C.UTF-8", "MORE=1"]));
    assert_eq!(config["config"]["Entrypoint"][0], "/opt/app/app");
    assert_eq!(config["history"].as_array().map(Vec::len), Some(3));
    // Above a base nobody knows which directories exist, so none is described that was not asked for.
    let names: Vec<_> = layer_entries(&out, &image["layers"][2]).into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["etc/.wh.motd", "opt/app/more"]);
}

#[test]
fn bad_input_is_one_clear_error_and_the_layout_stays_as_it_was() {
    let good = context(TWO);
    let out = good.path().join("out");
    build(good.path(), &out, &["--no-cache"]);
    let before = fs::read(out.join("index.json")).expect("there");
    let layer = |body: &str| format!("platforms = [\"linux/amd64\", \"linux/arm64\"]\n[[layer]]\n{body}");
    let cases: Vec<(String, &[&str], i32, &str)> = vec![
        ("platfroms = [\"linux/amd64\"]\n".into(), &[], 2, "larder.toml:1:1: unknown key `platfroms` at the top level"),
        (
            layer("[[layer.copy]]\nfrom = \"dist/{arch}{variant}/\"\nto = \"/a\"\n"),
            &["--platform", "linux/amd64,linux/arm/v7"],
            4,
            "source `dist/armv7/` for platform linux/arm/v7",
        ),
        (layer("[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n[[layer.file]]\nto = \"/x/../a\"\ncontent = \"2\"\n"), &[], 2, "has a `..`"),
        (layer("[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n[[layer.file]]\nto = \"//a\"\ncontent = \"2\"\n"), &[], 2, "`/a` is made twice in this layer"),
        (layer("[[layer.file]]\nto = \"a\"\ncontent = \"1\"\n"), &[], 2, "does not begin with `/`"),
        (layer("[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n"), &["-t", "bad tag"], 2, "bad tag"),
        (layer("[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n"), &["--compression", "lzma"], 2, "unknown compression `lzma`"),
        (layer("[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n"), &["--platform", "linux/nope/x/y"], 2, "linux/nope/x/y"),
        (layer("[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n"), &["--base", "oci:/nonexistent"], 4, "/nonexistent"),
        (layer("rootfs = \"dist/none\"\n"), &[], 4, "source `dist/none`"),
        ("not toml".into(), &[], 2, "larder.toml:1:"),
        ("platforms = []\n".into(), &[], 2, "larder.toml:1:13: `platforms` is empty"),
        ("platforms = [\"linux/amd46\"]\n".into(), &[], 2, "larder.toml:1:14: platform linux/amd46 is not known"),
        (FILE.into(), &["--platform", "linux/amd46"], 2, "--platform linux/amd46: platform linux/amd46 is not known"),
        (format!("{FILE}[annotations.manifets]\na = \"b\"\n"), &[], 2, "larder.toml:5:14: `manifets` is not a document that can be annotated"),
        (format!("{FILE}[annotations.manifest]\n\"[linux/amd64]a\" = \"b\"\n"), &[], 2, "larder.toml:6:20: `[linux/amd64]a` is not a key"),
        (format!("{FILE}[annotations.\"index[linux/amd64]\"]\na = \"b\"\n"), &[], 2, "an index is for all platforms"),
        (String::new(), &[], 2, "there is nothing to build"),
    ];
    for (toml, more, code, words) in cases {
        let bad = context(&toml);
        let ran = build(bad.path(), &out, &[more, &["--no-cache", "--format", "json"]].concat());
        assert_eq!(ran.code, Some(code), "{toml}\n{ran:?}");
        let error = ran.error();
        let all = format!("{} {}", error["message"], error["causes"]);
        assert!(all.contains(words), "{words:?} in {all}");
        assert_eq!(fs::read(out.join("index.json")).expect("there"), before, "{toml}");
    }
    assert_layout_is_sound(&out);
}

#[test]
fn what_is_not_a_layout_is_not_written_to() {
    let good = context(TWO);
    let out = good.path().join("out");
    fs::create_dir(&out).expect("writable");
    fs::write(out.join("precious"), "x").expect("writable");
    let ran = build(good.path(), &out, &["--no-cache"]);
    assert_ne!(ran.code, Some(0));
    assert_eq!(fs::read_dir(&out).expect("there").count(), 1, "nothing was added: {ran:?}");
    let file = good.path().join("file");
    fs::write(&file, "x").expect("writable");
    assert_ne!(build(good.path(), &file, &["--no-cache"]).code, Some(0));
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let good = context(TWO);
    let out = good.path().join("out");
    let ran = build(good.path(), &out, &["--dry-run", "--format", "json", "--no-cache"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()["layers"].as_array().map(Vec::len), Some(3));
    assert!(!out.exists());
    let ran = build(good.path(), &out, &["--dry-run", "--no-cache"]);
    assert!(ran.stdout.contains("to build") && ran.stdout.contains("linux/arm64"), "{ran:?}");
}

#[test]
fn several_outputs_get_the_same_image() {
    let good = context(TWO);
    let (a, b) = (good.path().join("a"), format!("oci:{}:other", good.path().join("b").display()));
    let ran = build(good.path(), &a, &["--no-cache", "-o", &b, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let other = good.path().join("b");
    assert_layout_is_sound(&a);
    assert_layout_is_sound(&other);
    assert_eq!(read_index(&a)["manifests"][0]["digest"], read_index(&other)["manifests"][0]["digest"]);
    assert_eq!(read_index(&other)["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "other");
}

/// What a build without output says of this file, with these flags.
fn warnings(toml: &str, more: &[&str]) -> Vec<String> {
    let context = context(toml);
    let ran = ran(&[&["build", context.path().to_str().expect("UTF-8"), "--dry-run", "--no-cache"], more].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stderr.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_warns(toml: &str, more: &[&str], expected: &[&str]) {
    let warnings = warnings(toml, more);
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, words) in warnings.iter().zip(expected) {
        assert!(warning.starts_with("warning: ") && warning.contains(words), "{words:?} in {warning:?}");
    }
}

const FILE: &str = "[[layer]]\n[[layer.file]]\nto = \"/a\"\ncontent = \"\"\n";

#[test]
fn without_platforms_the_image_is_for_the_machine_and_that_is_said_once() {
    assert_warns(FILE, &[], &["no platform is given, so the image is for that of this machine, linux/"]);
    assert_warns(FILE, &["--platform", "amd64"], &[]);
    assert_warns(&format!("platforms = [\"amd64\"]\n{FILE}"), &[], &[]);
    assert_warns(FILE, &["--platform", "linux/e2k"], &["platform linux/e2k is not known: there is no `e2k`"]);
}

#[test]
fn a_layer_for_platforms_that_are_not_built_is_told_of_unless_the_call_chose_others() {
    let toml = format!("platforms = [\"linux/amd64\", \"linux/arm64\"]\n{FILE}[[layer]]\nplatforms = [\"linux/s390x\"]\nrootfs = \"dist\"\n");
    let left_out = "larder.toml:6:1: this layer is left out: it is for linux/s390x only, which is not built";
    assert_warns(&toml, &[], &[left_out]);
    assert_warns(&toml, &["--platform", "linux/arm64"], &[left_out]);
    assert_warns(&toml.replace("s390x", "arm64"), &["--platform", "linux/amd64"], &[]);
}

#[test]
fn removing_what_is_not_there_is_told_of() {
    let remove = |path: &str| format!("platforms = [\"linux/amd64\", \"linux/arm64\"]\n{FILE}[[layer]]\n[[layer.remove]]\npath = \"{path}\"\n");
    assert_warns(&remove("/a"), &[], &[]);
    assert_warns(&remove("/b"), &[], &["larder.toml:7:1: there is no `/b` to remove"]);
}

#[test]
fn annotations_left_out_are_told_of_once() {
    let toml = format!("platforms = [\"linux/amd64\"]\n{FILE}[annotations.index]\na = \"1\"\nb = \"2\"\n");
    assert_warns(&toml, &[], &["larder.toml:7:5: `a` and 1 more are left out: a single platform has no index to annotate; --index writes one"]);
    assert_warns(&toml, &["--index"], &[]);
}

#[test]
fn annotations_of_one_platform_stand_in_the_file_as_in_the_flag() {
    let toml = format!(
        "platforms = [\"linux/amd64\", \"linux/arm64\"]\ntags = [\"1\"]\n{FILE}[annotations.\"manifest[linux/arm64]\"]\nk = \"arm\"\n[annotations.manifest]\nk = \"all\"\n"
    );
    let good = context(&toml);
    let out = good.path().join("out");
    let ran = build(good.path(), &out, &["--no-cache"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&out);
    assert_eq!(manifest_of(&out, "1", "amd64")["annotations"]["k"], "all");
    assert_eq!(manifest_of(&out, "1", "arm64")["annotations"]["k"], "arm");
    assert_warns(&toml, &["--platform", "linux/amd64"], &[]);
}

#[test]
fn a_name_in_the_output_replaces_the_tags_of_the_file_and_not_those_of_the_call() {
    let good = context(TWO);
    let names = |output: &str, more: &[&str]| {
        let out = good.path().join(output);
        let ran = build(good.path(), &out.with_file_name(format!("{output}:own")), &[more, &["--no-cache", "--format", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_layout_is_sound(&out);
        let index = read_index(&out);
        let entries = index["manifests"].as_array().expect("a list");
        let mut names: Vec<String> = entries.iter().map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].to_string()).collect();
        names.sort();
        (names, ran.json()["names"].clone())
    };
    assert_eq!(names("a", &[]), (vec!["\"own\"".to_owned()], serde_json::json!(["own"])));
    let (tags, reported) = names("b", &["-t", "hello:2"]);
    assert_eq!(tags, ["\"2\"", "\"own\""]);
    assert_eq!(reported, serde_json::json!(["docker.io/library/hello:2", "own"]));
}
