//! `larder build`: what it must not destroy, wait for, or leave for others to guess.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FileType, Mode};

use crate::support::image::{Ran, blob_path, config_of, layer_entries, manifest_of, ran, read_index};
use crate::support::process::{larder, output_within, temp};
use crate::support::sound::assert_layout_is_sound;

const FILE: &str = "tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n[[layer.file]]\nto = \"/a\"\ncontent = \"1\"\n";

fn build(home: &Path, toml: &str, more: &[&str]) -> Ran {
    fs::write(home.join("larder.toml"), toml).expect("writable");
    let out = format!("oci:{}", home.join("out").display());
    ran(&[&["build", home.to_str().expect("UTF-8"), "--no-cache", "--format", "json", "-o", &out], more].concat())
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
}

fn all(ran: &Ran) -> String {
    let error = ran.error();
    format!("{} {} {}", error["message"], error["causes"], error["hint"])
}

#[test]
fn a_metadata_file_that_is_a_link_or_no_file_stays_what_it_is() {
    let home = temp();
    fs::write(home.path().join("file"), "old").expect("writable");
    symlink("file", home.path().join("link")).expect("writable");
    let link = home.path().join("link");
    let ran = build(home.path(), FILE, &["--metadata-file", link.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(link.is_symlink() && fs::read_to_string(home.path().join("file")).expect("there").contains("containerimage.digest"));

    let null = home.path().join("null");
    symlink("/dev/null", &null).expect("writable");
    let ran = build(home.path(), FILE, &["--metadata-file", null.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(null.is_symlink() && fs::metadata("/dev/null").expect("there").file_type().is_char_device());

    let ran = build(home.path(), FILE, &["--metadata-file", "/dev/stdout"]);
    assert_eq!((ran.code, ran.stdout.matches("containerimage.digest").count(), ran.stdout.lines().count()), (Some(0), 1, 1), "{ran:?}");
    assert_layout_is_sound(&home.path().join("out"));
}

#[test]
fn a_metadata_file_that_cannot_be_written_fails_before_names_move() {
    let home = temp();
    fifo(&home.path().join("pipe"));
    for (path, code) in [("pipe", 1), ("larder.toml/x", 1), (".", 2)] {
        let path = home.path().join(path);
        let ran = build(home.path(), FILE, &["--metadata-file", path.to_str().expect("UTF-8")]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(!home.path().join("out").exists());
    }
}

#[test]
fn a_file_with_something_below_it_in_one_layer_is_refused() {
    let home = temp();
    let file = |to: &str| format!("[[layer.file]]\nto = \"{to}\"\ncontent = \"1\"\n");
    let link = "[[layer.symlink]]\nto = \"/l\"\ntarget = \"/etc\"\n".to_owned();
    for steps in [file("/a") + &file("/a/b"), file("/a/b/c") + &file("/a"), link.clone() + &file("/l/passwd")] {
        let ran = build(home.path(), &format!("platforms = [\"linux/amd64\"]\n[[layer]]\n{steps}"), &[]);
        assert_eq!(ran.code, Some(2), "{steps}\n{ran:?}");
        assert!(all(&ran).contains("which is not a directory in this layer") && all(&ran).contains("larder.toml:"), "{ran:?}");
        assert!(!home.path().join("out").exists());
    }
    // In layers of their own each says clearly what it does.
    let ran = build(home.path(), &format!("tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n{}[[layer]]\n{}", file("/a"), file("/a/b")), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_layout_is_sound(&home.path().join("out"));
}

#[test]
fn a_hard_link_in_an_archive_is_what_gnu_tar_makes_of_it() {
    let home = temp();
    let script = "echo old >a && ln a b && tar cf x.tar a b && rm a b && echo new >a && tar rf x.tar a && mkdir tree && tar xf x.tar -C tree && cat tree/b";
    let output = Command::new("sh").current_dir(home.path()).args(["-c", script]).output().expect("sh starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "old\n", "{output:?}");
    let ran = build(home.path(), "tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\ncompression = \"none\"\n[[layer]]\ntar = \"x.tar\"\n", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let out = home.path().join("out");
    assert_layout_is_sound(&out);
    let layer = &manifest_of(&out, "1", "amd64")["layers"][0];
    let kinds: Vec<_> = layer_entries(&out, layer).into_iter().map(|entry| (entry.name, entry.kind)).collect();
    assert_eq!(kinds, [("a".to_owned(), "file".to_owned()), ("b".to_owned(), "file".to_owned())]);
    let output = Command::new("tar").arg("xOf").arg(blob_path(&out, &layer["digest"])).output().expect("tar starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "new\nold\n");
}

#[test]
fn an_archive_that_unpacks_without_end_is_refused() {
    let home = temp();
    // 2 GiB of zeros, which zstd writes in some 64 KiB.
    let mut encoder = zstd::stream::write::Encoder::new(fs::File::create(home.path().join("x.tar.zst")).expect("writable"), 1).expect("an encoder");
    let zeros = vec![0; 1 << 20];
    for _ in 0..1100 {
        std::io::Write::write_all(&mut encoder, &zeros).expect("written");
    }
    encoder.finish().expect("written");
    let ran = build(home.path(), "platforms = [\"linux/amd64\"]\n[[layer]]\ntar = \"x.tar.zst\"\n", &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(all(&ran).contains("unpacks to more than"), "{ran:?}");
}

#[test]
fn a_specification_that_is_no_file_is_refused_without_waiting() {
    let home = temp();
    fifo(&home.path().join("larder.toml"));
    let out = format!("oci:{}", home.path().join("out").display());
    let arguments = |file: &[&str]| {
        let mut command = larder();
        command.arg("build").arg(home.path()).args(["--no-cache", "--format", "json", "-o", &out]).args(file);
        Ran::from(output_within(Duration::from_secs(60), &mut command))
    };
    let ran = arguments(&[]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(arguments(&["-f", "/dev/zero"]).code, Some(2));
    let large = home.path().join("large.toml");
    fs::File::create(&large).and_then(|file| file.set_len(1 << 30)).expect("writable");
    let ran = arguments(&["-f", large.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(all(&ran).contains("the limit for a specification"), "{ran:?}");
}

#[test]
fn what_a_base_says_of_its_platform_stays() {
    let home = temp();
    assert_eq!(build(home.path(), &FILE.replace("linux/amd64", "windows(10.0.1)/amd64/v2"), &[]).code, Some(0));
    let toml = "tags = [\"2\"]\nplatforms = [\"windows/amd64/v2\"]\n[base]\nfrom = \"oci:out:1\"\n";
    let ran = build(home.path(), toml, &["--index"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let out = home.path().join("out");
    assert_layout_is_sound(&out);
    let manifest = manifest_of(&out, "2", "amd64");
    let config = config_of(&out, &manifest);
    assert_eq!((&config["os.version"], &config["variant"]), (&"10.0.1".into(), &"v2".into()));
    let index = read_index(&out);
    let entry = index["manifests"].as_array().expect("a list").iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == "2");
    let document: serde_json::Value = serde_json::from_slice(&fs::read(blob_path(&out, &entry.expect("named")["digest"])).expect("there")).expect("JSON");
    assert_eq!(document["manifests"][0]["platform"]["os.version"], "10.0.1");
}

#[test]
fn what_would_be_ignored_is_refused() {
    let home = temp();
    let digest = format!("oci:{}@sha256:{}", home.path().join("out").display(), "0".repeat(64));
    assert_eq!(build(home.path(), FILE, &["-o", &digest]).code, Some(2));
    assert_eq!(build(home.path(), FILE, &["--index", "--annotation", "index[linux/amd64]:k=v"]).code, Some(2));
}

#[test]
fn a_dry_run_knows_that_the_layer_is_gone() {
    let home = temp();
    fs::write(home.path().join("larder.toml"), FILE).expect("writable");
    let run = |more: &[&str]| {
        let mut command = larder();
        command.arg("build").arg(home.path()).arg("--cache-dir").arg(home.path().join("cache")).args(["--format", "json"]);
        command.arg("-o").arg(format!("oci:{}", home.path().join("out").display())).args(more);
        Ran::from(command.output().expect("the binary starts")).json()
    };
    run(&[]);
    assert_eq!(run(&["--dry-run"])["layers"][0]["cached"], true);
    fs::remove_dir_all(home.path().join("out")).expect("own layout");
    assert_eq!(run(&["--dry-run"])["layers"][0]["cached"], false);
}
