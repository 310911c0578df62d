//! `larder cat`: one file of an image, as a container would see it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::bundle::Bundle;
use crate::support::everything;
use crate::support::forge::Forge;
use crate::support::image::{Ran, json, manifest_of, ran};
use crate::support::layers::{image, layers, location};
use crate::support::process::{Runs as _, larder, temp};
use crate::support::tape::{Record, device, dir, fifo, file, hardlink, symlink as link};
use crate::support::tree::{self, Kind, Tree};

/// What larder prints of these files, byte for byte.
#[track_caller]
fn cat(image: &str, paths: &[impl AsRef<OsStr>]) -> Vec<u8> {
    let output = larder().args(["cat", image]).args(paths).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Every regular file of a tree is what larder prints of its image: one by one where there are few, and all at once.
#[track_caller]
fn assert_files(image: &str, root: &Path, tree: &Tree) {
    let files: Vec<&Path> = tree.iter().filter(|(_, node)| matches!(node.kind, Kind::File(_))).map(|(path, _)| path.as_path()).collect();
    assert!(files.len() > 3, "{files:?}");
    let content = |path: &&Path| fs::read(root.join(path)).expect("readable");
    assert!(cat(image, &files) == files.iter().flat_map(content).collect::<Vec<u8>>(), "all of {files:?}");
    for path in files {
        assert!(cat(image, &[path]) == content(&path), "{}", path.display());
        assert!(cat(image, &[Path::new("/").join(path)]) == content(&path), "/{}", path.display());
    }
}

/// A run that fails: its exit code, the code of its error, and all that it says.
#[track_caller]
fn refused(image: &str, paths: &[&str]) -> (Option<i32>, String, String) {
    let ran = ran(&[&["cat", "--format", "json", image], paths].concat());
    assert_eq!(ran.stdout, "", "{ran:?}");
    let error = ran.error();
    (ran.code, error["code"].as_str().expect("a code").to_owned(), ran.stderr)
}

#[test]
fn files_of_everything_are_what_was_packed() {
    let Some((source, tree)) = everything::made(&[everything::MAKE]) else { return };
    let home = temp();
    for compression in ["gzip", "zstd", "none"] {
        let layout = format!("oci:{}", home.path().join(compression).display());
        let mut build = larder();
        build.args(["build", "--no-cache", "--quiet", "--platform", "linux/amd64", "-o", &layout, "--compression", compression, "--rootfs"]);
        build.arg(source.path()).succeeds();
        assert_files(&layout, source.path(), &tree);
    }
}

#[test]
fn files_are_those_that_umoci_unpacks() {
    let forge = image(&layers());
    let Some(bundle) = Bundle::unpack(forge.path(), "image") else { return };
    assert_files(&location(&forge), &bundle.tree(), &tree::read(&bundle.tree()));
}

#[test]
fn archives_are_read_like_layouts_also_through_a_pipe() {
    let forge = image(&[vec![dir("etc"), file("etc/a", "old"), link("l", "/etc/a"), hardlink("h", "etc/a")], vec![file("etc/a", "new")]]);
    let home = temp();
    for scheme in ["oci-archive", "docker-archive"] {
        let archive = home.path().join(scheme);
        let written = format!("{scheme}:{}", archive.display());
        larder().args(["copy", "--quiet", &location(&forge), &format!("{written}:image:1")]).succeeds();
        assert_eq!(cat(&written, &["l", "h", "/etc/../etc/a"]), b"newoldnew", "{scheme}");
        let piped = larder().args(["cat", &format!("{scheme}:-"), "l"]).stdin(File::open(&archive).expect("there")).output().expect("it starts");
        assert_eq!((piped.status.code(), piped.stdout.as_slice()), (Some(0), &b"new"[..]), "{scheme}: {}", String::from_utf8_lossy(&piped.stderr));
    }
}

#[test]
fn the_platform_is_the_one_that_is_asked_for() {
    let home = temp();
    let layout = format!("oci:{}", home.path().join("layout").display());
    let hello = crate::support::process::checkout("testdata/hello");
    larder().arg("build").arg(&hello).args(["--no-cache", "--quiet", "-o", &layout]).succeeds();
    for (platform, directory) in [("linux/arm64", "linux-arm64"), ("linux/arm/v7", "linux-armv7"), ("linux/amd64", "linux-amd64")] {
        let printed = larder().args(["cat", &format!("{layout}:1.4.2"), "/usr/local/bin/hello", "--platform", platform]).output().expect("it starts");
        assert!(printed.stdout == fs::read(hello.join("dist").join(directory).join("hello")).expect("there"), "{platform}");
    }
    let ran = ran(&["cat", &format!("{layout}:1.4.2"), "etc/motd", "--platform", "linux/s390x", "--format", "json"]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(4), Some("not_found")));
    // The digest of one manifest inside the index is that platform's image.
    let index: Value = serde_json::from_str(&larder().args(["inspect", "--raw", &format!("{layout}:1.4.2")]).succeeds()).expect("an index");
    let digest = index["manifests"][1]["digest"].as_str().expect("a digest");
    assert_eq!(cat(&format!("{layout}@{digest}"), &["etc/motd"]), cat(&format!("{layout}:1.4.2"), &["etc/motd"]));
}

#[test]
fn what_is_no_file_is_one_error_with_the_exit_code_of_its_kind_and_nothing_is_printed() {
    let forge = image(&[vec![dir("etc"), file("etc/os-release", "x"), fifo("pipe"), device("null", 1, 3), link("dangling", "/nowhere"), link("loop", "loop")]]);
    let image = location(&forge);
    for (path, exit, code, why) in [
        ("/etc/os-relase", 4, "not_found", "did you mean `/etc/os-release`?"),
        ("/etc/os-release/x", 4, "not_found", "`/etc/os-release` is no directory"),
        ("/dangling", 4, "not_found", "a symbolic link to `/nowhere`, where there is nothing"),
        ("/etc", 2, "usage", "`/etc` is a directory"),
        ("/", 2, "usage", "it has dangling, etc, loop, null, pipe"),
        ("/pipe", 2, "usage", "a named pipe"),
        ("/null", 2, "usage", "a character device"),
        ("/loop", 6, "unsupported", "more than 40 symbolic links"),
        ("", 2, "usage", "directory"),
    ] {
        let told = refused(&image, &[path]);
        assert!((told.0, told.1.as_str()) == (Some(exit), code) && told.2.contains(why), "{path}: {told:?}");
        // Also behind a file that is there.
        assert_eq!(refused(&image, &["etc/os-release", path]).0, Some(exit), "{path}");
        let text = ran(&["cat", &image, "etc/os-release", path]);
        assert_eq!((text.code, text.stdout.as_str()), (Some(exit), ""), "{text:?}");
    }
    assert_eq!(ran(&["cat", &image]).code, Some(2), "a path is needed");
}

#[test]
fn json_tells_whose_the_file_is_and_which_layer_has_it() {
    let forge = image(&[vec![file("bin/su", "\0binary").mode(0o4755).owner(1, 2)], vec![link("su", "bin/su"), file("é", "ü")]]);
    let report = json(&["cat", &location(&forge), "/su", "é"]);
    let [su, umlaut] = report["files"].as_array().expect("a list").as_slice() else { panic!("{report}") };
    assert_eq!((&report["platform"], &su["asked"], &su["path"]), (&"linux/amd64".into(), &"/su".into(), &"bin/su".into()));
    assert_eq!((&su["mode"], &su["uid"], &su["gid"], &su["size"], &su["content"]), (&"4755".into(), &1.into(), &2.into(), &7.into(), &"AGJpbmFyeQ==".into()));
    assert_eq!((&umlaut["path"], &umlaut["content"]), (&"é".into(), &"w7w=".into()));
    let manifest = manifest_of(forge.path(), "image", "amd64");
    assert_eq!([&su["layer"], &umlaut["layer"]], [&manifest["layers"][0]["digest"], &manifest["layers"][1]["digest"]]);
}

#[test]
fn ops_09_a_reader_that_goes_away_is_an_end_and_a_full_disk_is_not() {
    // Larger than what is kept in memory, so that it is passed through.
    let forge = image(&[vec![file("large", &"0123456789abcdef".repeat((40 << 20) / 16))]]);
    let image = location(&forge);
    let mut reading = larder().args(["cat", &image, "large"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut begin = [0; 16];
    std::io::Read::read_exact(&mut reading.stdout.take().expect("a pipe"), &mut begin).expect("content");
    assert_eq!((&begin, reading.wait().expect("it ends").code()), (b"0123456789abcdef", Some(0)));
    let full = larder().args(["cat", "--quiet", &image, "large"]).stdout(File::options().write(true).open("/dev/full").expect("Linux has it")).output();
    let full = full.expect("it starts");
    let told = String::from_utf8_lossy(&full.stderr);
    assert!(full.status.code() == Some(1) && told.contains("cannot write the result to stdout") && !told.contains("layer"), "{told}");
    let sum = Command::new("sh").args(["-c", r#""$0" cat "$1" large | sha256sum"#, env!("CARGO_BIN_EXE_larder"), &image]).succeeds();
    let expected = Command::new("sh").args(["-c", "yes 0123456789abcdef | tr -d '\\n' | head -c 41943040 | sha256sum"]).succeeds();
    assert_eq!(sum, expected);
    let ran = ran(&["cat", &image, "large", "--format", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.error()["code"].as_str()), (Some(6), "", Some("unsupported")), "{ran:?}");
}

/// Whatever layer is damaged, in whichever way, nothing of a file is shown, also where the file itself is in another layer.
#[test]
fn lay_35_and_38_no_byte_is_shown_of_an_image_that_is_not_whole() {
    let records: [Vec<Record>; 3] = [vec![file("a", "1")], vec![file("b", "2")], vec![file("c", "3")]];
    let damaged = |position: usize, how: &dyn Fn(&Path)| -> Ran {
        let forge: Forge = image(&records);
        let manifest = manifest_of(forge.path(), "image", "amd64");
        how(&crate::support::image::blob_path(forge.path(), &manifest["layers"][position]["digest"]));
        ran(&["cat", &location(&forge), "a", "c"])
    };
    for position in 0..3 {
        let flipped = damaged(position, &|blob| {
            let mut bytes = fs::read(blob).expect("there");
            bytes[512] ^= 1;
            fs::write(blob, bytes).expect("own file");
        });
        assert_eq!((flipped.code, flipped.stdout.as_str()), (Some(3), ""), "{flipped:?}");
        let missing = damaged(position, &|blob| fs::remove_file(blob).expect("own file"));
        assert_eq!((missing.code, missing.stdout.as_str()), (Some(4), ""), "{missing:?}");
    }
}
