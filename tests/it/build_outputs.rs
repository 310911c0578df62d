//! `larder build --output` in the words of buildx.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::image::{Ran, ran, read_index};
use crate::support::process::{Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tree;

const TOML: &str = r#"
tags = ["1"]
platforms = ["linux/amd64", "linux/arm/v7"]
[[layer]]
[[layer.file]]
to = "/etc/motd"
content = "below"
[[layer.file]]
to = "/etc/gone"
content = "gone"
[[layer]]
[[layer.file]]
to = "/etc/motd"
content = "above"
[[layer.symlink]]
to = "/etc/link"
target = "motd"
[[layer.remove]]
path = "/etc/gone"
"#;

fn context() -> TempDir {
    let home = temp();
    fs::write(home.path().join("larder.toml"), TOML).expect("writable");
    home
}

fn build(home: &Path, arguments: &[&str]) -> Ran {
    let mut command = larder();
    command.args(["build", ".", "--no-cache", "--format", "json"]).args(arguments).current_dir(home);
    Ran::from(command.output().expect("the binary starts"))
}

#[track_caller]
fn built(home: &Path, arguments: &[&str]) -> Ran {
    let ran = build(home, arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

/// Everything below a directory, with the text of files and links.
fn listing(directory: &Path) -> Vec<String> {
    let text = |path: &Path| fs::read_link(path).map(|link| link.display().to_string()).or_else(|_| fs::read_to_string(path)).unwrap_or_default();
    tree::read(directory).keys().filter(|path| !path.as_os_str().is_empty()).map(|path| format!("{} {}", path.display(), text(&directory.join(path)))).collect()
}

#[test]
fn one_call_writes_all_forms_of_several_platforms() {
    let home = context();
    let place = home.path();
    let report = built(
        place,
        &[
            "-o",
            "type=oci,dest=layout,tar=false",
            "-o",
            "type=oci,dest=oci.tar,name=x/y:2",
            "-o",
            "type=docker,dest=docker.tar",
            "-o",
            "type=local,dest=new/tree",
            "-o",
            "type=tar,dest=files.tar",
        ],
    )
    .json();
    assert_eq!(report["outputs"][3], "type=local,dest=new/tree");
    assert_layout_is_sound(&place.join("layout"));
    assert_eq!(read_index(&place.join("layout"))["manifests"].as_array().expect("a list").len(), 1);
    for (archive, name) in [("oci-archive:oci.tar", "x/y:2"), ("docker-archive:docker.tar", "1")] {
        let listed = larder().args(["list", archive, "--format", "json"]).current_dir(place).succeeds();
        assert!(listed.contains(&format!("\"{name}\"")), "{archive}: {listed}");
        larder().args(["verify", "--deep", "--quiet", archive]).current_dir(place).succeeds();
    }
    let expected = [
        "linux_amd64 ",
        "linux_amd64/etc ",
        "linux_amd64/etc/link motd",
        "linux_amd64/etc/motd above",
        "linux_arm_v7 ",
        "linux_arm_v7/etc ",
        "linux_arm_v7/etc/link motd",
        "linux_arm_v7/etc/motd above",
    ];
    assert_eq!(listing(&place.join("new/tree")), expected);
    fs::create_dir(place.join("extracted")).expect("writable");
    Command::new("tar").args(["-xf", "../files.tar"]).current_dir(place.join("extracted")).succeeds();
    assert_eq!(listing(&place.join("extracted")), expected);
    assert!(fs::read_dir(place).expect("listed").all(|entry| !entry.expect("an entry").file_name().to_string_lossy().starts_with(".larder")));
}

#[test]
fn one_platform_is_at_the_top_and_the_bytes_of_a_tar_are_always_the_same() {
    let home = context();
    let place = home.path();
    let one = ["--platform", "linux/amd64"];
    built(place, &[&one[..], &["-o", "type=local,dest=tree", "-o", "type=tar,dest=one.tar"]].concat());
    let expected = ["etc ", "etc/link motd", "etc/motd above"];
    assert_eq!(listing(&place.join("tree")), expected);
    let stdout = larder().args(["build", ".", "--quiet", "--jobs", "1", "-o", "type=tar,dest=-"]).args(one).current_dir(place).output().expect("larder starts");
    assert!(stdout.status.success() && stdout.stdout == fs::read(place.join("one.tar")).expect("there"));
    built(place, &[&one[..], &["-o", "type=local,dest=split,platform-split=true"]].concat());
    assert_eq!(listing(&place.join("split"))[0], "linux_amd64 ");
    // An existing file is replaced as a whole, an empty directory filled.
    fs::create_dir(place.join("empty")).expect("writable");
    built(place, &[&one[..], &["-o", "type=local,dest=empty", "-o", "type=tar,dest=one.tar"]].concat());
    assert_eq!((listing(&place.join("empty")), stdout.stdout), (listing(&place.join("tree")), fs::read(place.join("one.tar")).expect("there")));
}

#[test]
fn what_cannot_be_written_is_known_before_anything_is_built() {
    let home = context();
    let place = home.path();
    fs::create_dir(place.join("full")).expect("writable");
    fs::write(place.join("full/file"), "x").expect("writable");
    for (output, code) in [
        ("type=local,dest=full", 5),
        ("type=tar,dest=full", 2),
        ("type=local,dest=new,platform-split=false", 2),
        ("type=image,push=true", 6),
        ("type=oci,dest=x,compression=zstd", 2),
    ] {
        let ran = build(place, &["-o", "oci:layout", "-o", output]);
        assert_eq!(ran.code, Some(code), "{output}: {ran:?}");
        assert!(!place.join("layout").exists() && !place.join("new").exists(), "{output}");
    }
    assert_eq!(ran(&["build", place.to_str().expect("UTF-8")]).code, Some(2));
}
