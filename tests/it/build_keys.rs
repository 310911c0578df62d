//! `larder build`: each key of a larder.toml does what the README says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::context::oci;
use crate::support::image::{blob_path, config_of, layer_entries, manifest_of, read_index, succeeded};
use crate::support::process::temp;
use crate::support::sound::assert_layout_is_sound;

/// An image of this larder.toml beside a tree `src`.
struct Image {
    home: TempDir,
}

impl Image {
    #[track_caller]
    fn of(toml: &str, arguments: &[&str]) -> Image {
        let home = temp();
        for (path, mode) in [("a.txt", 0o640), ("run", 0o751), ("sub/b.txt", 0o600), ("sub/c.map", 0o644), ("other/d.txt", 0o644), ("for-amd64", 0o644)] {
            let path = home.path().join("src").join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
            fs::write(&path, "").expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("own file");
        }
        fs::set_permissions(home.path().join("src/sub"), fs::Permissions::from_mode(0o711)).expect("own directory");
        fs::write(home.path().join("larder.toml"), toml).expect("writable");
        let (context, out) = (home.path().to_str().expect("UTF-8"), oci(&home.path().join("out")));
        succeeded(&[&["build", context, "--no-cache", "--quiet", "-t", "x:1", "-o", &out], arguments].concat());
        assert_layout_is_sound(&home.path().join("out"));
        Image { home }
    }

    fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    fn document(&self, descriptor: &Value) -> Value {
        let bytes = fs::read(blob_path(&self.out(), &descriptor["digest"])).expect("there");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

/// What is in a layer: path, mode and owner.
fn listed(out: &Path, layer: &Value) -> Vec<String> {
    layer_entries(out, layer).iter().map(|entry| format!("{} {:o} {}:{}", entry.name, entry.mode, entry.uid, entry.gid)).collect()
}

#[test]
fn what_a_copy_takes_and_as_what() {
    let all = "d/ 755 0:0, d/a.txt 644 0:0, d/for-amd64 644 0:0, d/other/ 755 0:0, d/other/d.txt 644 0:0, d/run 755 0:0, d/sub/ 755 0:0, d/sub/b.txt 644 0:0, d/sub/c.map 644 0:0";
    let me = fs::metadata(temp().path()).map(|me| (std::os::unix::fs::MetadataExt::uid(&me), std::os::unix::fs::MetadataExt::gid(&me))).expect("there");
    let cases = [
        ("", all.to_owned()),
        ("include = [\"**\"]", all.to_owned()),
        // Without a slash at any depth, with one from the top; a directory is all that it has.
        ("include = [\"b.txt\"]", "d/ 755 0:0, d/sub/ 755 0:0, d/sub/b.txt 644 0:0".to_owned()),
        (
            "include = [\"./*.txt\", \"for-{arch}\"]",
            "d/ 755 0:0, d/a.txt 644 0:0, d/for-amd64 644 0:0, d/other/ 755 0:0, d/other/d.txt 644 0:0, d/sub/ 755 0:0, d/sub/b.txt 644 0:0".to_owned(),
        ),
        ("include = [\"sub/*.txt\"]", "d/ 755 0:0, d/sub/ 755 0:0, d/sub/b.txt 644 0:0".to_owned()),
        ("include = [\"sub\"]", "d/ 755 0:0, d/sub/ 755 0:0, d/sub/b.txt 644 0:0, d/sub/c.map 644 0:0".to_owned()),
        ("include = [\"sub\", \"run\"]\nexclude = [\"*.map\"]", "d/ 755 0:0, d/run 755 0:0, d/sub/ 755 0:0, d/sub/b.txt 644 0:0".to_owned()),
        ("include = [\"sub\"]\nmode = \"keep\"", "d/ 755 0:0, d/sub/ 711 0:0, d/sub/b.txt 600 0:0, d/sub/c.map 644 0:0".to_owned()),
        // A mode is that of files: one for files would shut directories.
        ("include = [\"sub\", \"run\"]\nmode = \"0604\"", "d/ 755 0:0, d/run 604 0:0, d/sub/ 755 0:0, d/sub/b.txt 604 0:0, d/sub/c.map 604 0:0".to_owned()),
        // An owner is that of what is copied; the way there belongs to nobody in particular.
        ("include = [\"sub\"]\nowner = \"1000:2000\"", "d/ 755 0:0, d/sub/ 755 1000:2000, d/sub/b.txt 644 1000:2000, d/sub/c.map 644 1000:2000".to_owned()),
        ("include = [\"a.txt\"]\nowner = \"keep\"", format!("d/ 755 0:0, d/a.txt 644 {}:{}", me.0, me.1)),
    ];
    let layer = |keys: &str| format!("[[layer]]\n[[layer.copy]]\nfrom = \"src/\"\nto = \"/d/\"\n{keys}\n");
    // A directory on the way is described by the first layer that has it only, so each has its own.
    let toml: String = cases.iter().enumerate().map(|(index, (keys, _))| layer(keys).replace("/d/", &format!("/d{index}/"))).collect();
    // A single file has the same keys.
    let single = "[[layer]]\n[[layer.copy]]\nfrom = \"src/run\"\nto = \"/d/\"\nmode = \"0604\"\nowner = \"1:2\"\n[[layer]]\n[[layer.copy]]\nfrom = \"src/run\"\nto = \"/e/\"\nmode = \"keep\"\n[[layer]]\n[[layer.copy]]\nfrom = \"src/run\"\nto = \"/f/g/\"\n[[layer.directory]]\nto = \"/f\"\nmode = \"0700\"\nowner = \"3:4\"\n";
    let image = Image::of(&format!("{toml}{single}"), &["--platform", "linux/amd64"]);
    let manifest = manifest_of(&image.out(), "1", "amd64");
    for (index, (keys, expected)) in cases.iter().enumerate() {
        let listed = listed(&image.out(), &manifest["layers"][index]).join(", ");
        assert_eq!(listed.replace(&format!("d{index}/"), "d/"), *expected, "{keys}");
    }
    let single = |index: usize| listed(&image.out(), &manifest["layers"][cases.len() + index]);
    assert_eq!(single(0), ["d/ 755 0:0", "d/run 604 1:2"]);
    assert_eq!(single(1), ["e/ 755 0:0", "e/run 751 0:0"]);
    assert_eq!(single(2), ["f/ 700 3:4", "f/g/ 755 0:0", "f/g/run 755 0:0"]);
}

#[test]
fn what_a_rootfs_leaves_out_and_whose_it_is() {
    let toml =
        "[[layer]]\nrootfs = \"src\"\nexclude = [\"*.map\", \"other\", \"for-{arch}\"]\nowner = \"7:8\"\n[[layer]]\nrootfs = \"src/sub\"\nowner = \"keep\"\n";
    let image = Image::of(toml, &["--platform", "linux/amd64"]);
    let manifest = manifest_of(&image.out(), "1", "amd64");
    let mut entries = listed(&image.out(), &manifest["layers"][0]);
    // The root has whatever mode the tree has.
    let root = entries.remove(0);
    assert!(root.ends_with(" 7:8"), "{root}");
    assert_eq!(entries, ["a.txt 640 7:8", "run 751 7:8", "sub/ 711 7:8", "sub/b.txt 600 7:8"]);
    use std::os::unix::fs::MetadataExt as _;
    let me = fs::metadata(image.home.path().join("src/sub")).expect("there");
    let of = format!("{}:{}", me.uid(), me.gid());
    assert_eq!(listed(&image.out(), &manifest["layers"][1])[1..], [format!("b.txt 600 {of}"), format!("c.map 644 {of}")]);
}

#[test]
fn a_layer_is_where_its_platforms_are() {
    let file = |name: &str| format!("[[layer.file]]\nto = \"/{name}\"\ncontent = \"\"\n");
    let toml = format!(
        "platforms = [\"linux/amd64\", \"linux/arm64\", \"linux/arm/v7\"]\n[[layer]]\n{}[[layer]]\nplatforms = [\"linux/arm/v7\", \"linux/amd64\"]\n{}[[layer]]\nplatforms = [\"arm64\"]\n{}",
        file("all"),
        file("some"),
        file("one")
    );
    let image = Image::of(&toml, &[]);
    for (architecture, expected) in [("amd64", ["all", "some"]), ("arm64", ["all", "one"]), ("arm", ["all", "some"])] {
        let manifest = manifest_of(&image.out(), "1", architecture);
        let names: Vec<_> = manifest["layers"].as_array().expect("a list").iter().map(|layer| layer_entries(&image.out(), layer).remove(0).name).collect();
        assert_eq!(names, expected, "{architecture}");
        assert_eq!(config_of(&image.out(), &manifest)["history"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn every_setting_of_the_file_is_in_the_config() {
    let toml = r#"
[[layer]]
comment = "what it is"
[[layer.file]]
to = "/a"
content = ""
[config]
entrypoint = ["/a", "b c"]
cmd = ["d"]
env = { A = "1", PATH = "/bin" }
labels = { l = "m" }
user = "1000:1000"
workdir = "/w"
ports = ["80", "53/udp"]
volumes = ["/data", "/logs"]
stop-signal = "SIGINT"
author = "A Person <a@example.com>"
"#;
    let image = Image::of(toml, &["--platform", "linux/amd64"]);
    let config = config_of(&image.out(), &manifest_of(&image.out(), "1", "amd64"));
    assert_eq!(config["author"], "A Person <a@example.com>");
    assert_eq!(config["history"][0]["comment"], "what it is");
    let expected = json!({
        "Entrypoint": ["/a", "b c"],
        "Cmd": ["d"],
        "Env": ["A=1", "PATH=/bin"],
        "Labels": {"l": "m"},
        "User": "1000:1000",
        "WorkingDir": "/w",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}, "/logs": {}},
        "StopSignal": "SIGINT",
    });
    assert_eq!(config["config"], expected);
}

#[test]
fn annotations_of_each_level_are_in_their_document() {
    let toml = "platforms = [\"linux/amd64\", \"linux/arm64\"]\n[[layer]]\n[[layer.file]]\nto = \"/a\"\ncontent = \"\"\n[annotations.index]\nwhere = \"index\"\n[annotations.index-descriptor]\nwhere = \"index-descriptor\"\n[annotations.manifest]\nwhere = \"manifest\"\n[annotations.manifest-descriptor]\nwhere = \"manifest-descriptor\"\n[annotations.\"manifest-descriptor[linux/arm64]\"]\nwhere = \"arm64\"\n";
    let image = Image::of(toml, &[]);
    let entry = &read_index(&image.out())["manifests"][0];
    assert_eq!(entry["annotations"]["where"], "index-descriptor");
    let index = image.document(entry);
    assert_eq!(index["annotations"], json!({"where": "index"}));
    for (position, expected) in ["manifest-descriptor", "arm64"].into_iter().enumerate() {
        let child = &index["manifests"][position];
        assert_eq!(child["annotations"], json!({"where": expected}));
        assert_eq!(image.document(child)["annotations"], json!({"where": "manifest"}));
    }
}

#[test]
fn an_index_is_in_the_order_that_was_asked_for() {
    let layer = "[[layer]]\n[[layer.file]]\nto = \"/{arch}\"\ncontent = \"\"\n";
    let order = |platforms: &str, arguments: &[&str]| {
        let image = Image::of(&format!("{platforms}\n{layer}"), arguments);
        let index = image.document(&read_index(&image.out())["manifests"][0]);
        let platforms = index["manifests"].as_array().expect("a list").iter().map(|child| child["platform"].clone());
        platforms
            .map(|platform| [&platform["architecture"], &platform["variant"]].map(|word| word.as_str().unwrap_or("").to_owned()).concat())
            .collect::<Vec<_>>()
    };
    let (forth, back) = (["amd64", "arm64", "armv7", "s390x"], ["s390x", "armv7", "arm64", "amd64"]);
    assert_eq!(order("", &["--platform", "linux/amd64,linux/arm64,linux/arm/v7,linux/s390x"]), forth);
    assert_eq!(order("", &["--platform", "linux/s390x,linux/arm/v7,linux/arm64,linux/amd64"]), back);
    assert_eq!(order("", &["--platform", "linux/s390x", "--platform", "linux/arm/v7,arm64", "--platform", "amd64"]), back);
    let written = "platforms = [\"linux/s390x\", \"linux/arm/v7\", \"linux/arm64\", \"linux/amd64\"]";
    assert_eq!(order(written, &[]), back);
    // The call decides, also about the order.
    assert_eq!(order(written, &["--platform", "linux/amd64,linux/arm64,linux/arm/v7,linux/s390x"]), forth);
}
