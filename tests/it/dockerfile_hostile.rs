//! Dockerfiles and contexts that somebody wrote to do harm.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::context::oci;
use crate::support::dockerfile::Kitchen;
use crate::support::image::Ran;
use crate::support::process::larder;

/// How long any of these may take, with room for a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Builds with 2 GiB of memory.
fn build(kitchen: &Kitchen) -> Ran {
    let built = larder();
    let mut bounded = Command::new("bash");
    bounded.arg0("bash").args(["-c", "ulimit -v 2097152; exec \"$@\"", "bash"]).arg(built.get_program());
    bounded.args(["build", "--format", "json", "--no-cache", "--jobs", "1", "--platform", "linux/amd64", "-o", &oci(&kitchen.out())]).arg(kitchen.context());
    let begin = Instant::now();
    let ran = Ran::from(bounded.output().expect("bash starts"));
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    ran
}

#[track_caller]
fn refused(dockerfile: &str, why: &str) {
    let ran = build(&Kitchen::new(dockerfile));
    assert_eq!(ran.code, Some(2), "{why}: {}", &ran.stderr[..ran.stderr.len().min(2000)]);
    assert!(ran.stderr.contains(why), "{why}: {}", &ran.stderr[..ran.stderr.len().min(2000)]);
}

#[test]
fn variables_that_multiply_each_other_are_an_error_and_not_all_memory() {
    let ten = |name: &str| format!("${{{name}}}").repeat(10);
    let mut text = "FROM scratch\nENV A0=0123456789\n".to_owned();
    (0..12).for_each(|number| text += &format!("ENV A{}={}\n", number + 1, ten(&format!("A{number}"))));
    refused(&text, "variables make it longer than");
    // Each of them is short enough.
    let mut text = "FROM scratch\nARG A=aaaaaaaaaaaaaaaaaaaa\n".to_owned();
    (0..5).for_each(|number| text += &format!("ENV B{number}={}\n", ten(&if number == 0 { "A".to_owned() } else { format!("B{}", number - 1) })));
    text += &"LABEL x=$B4\n".repeat(100);
    refused(&text, "environments and history of this build have more than");
    let long = "a".repeat(60_000);
    refused(&format!("FROM scratch\nARG A={long}\nARG B={long}\nENV C=${{A//a/$B}}\n"), "variables make it longer than");
    refused(&format!("FROM scratch\nARG A={long}\nENV C=${{A#{}}}\n", "*b".repeat(2000)), "a pattern is too long");
}

#[test]
fn files_that_go_on_for_ever_end_at_a_bound() {
    refused(&format!("FROM scratch\nENV A={}\n", "a".repeat(70_000)), "a line has 65535 bytes at most");
    refused(&format!("FROM scratch\nLABEL {}a=1\n", "abcdefghij=1 \\\n".repeat(100_000)), "an instruction has 1048576 bytes at most");
    refused(&format!("FROM scratch\n{}", "USER a\n".repeat(10_000)), "more than 10000 instructions");
    let variables = (0..10_001).map(|number| format!("V{number}=1 \\\n")).collect::<String>();
    refused(&format!("FROM scratch\nENV {variables} W=1\n"), "10000 variables at most");
    refused(&format!("FROM scratch\nEXPOSE {}\n", "1-65535 ".repeat(1000)), "ports at most");
    let documents: String = (0..200).map(|number| format!("<<E{number} ")).collect();
    let ends: String = (0..200).map(|number| format!("E{number}\n")).collect();
    refused(&format!("FROM scratch\nCOPY {documents}/d/\n{ends}"), "100 here-documents at most");
    let fields: String = (0..50_000).map(|number| format!(",f{number}=1\\\n")).collect();
    refused(&format!("FROM scratch\nRUN --mount=type=bind{fields} true\n"), "more fields than there are");
}

#[test]
fn what_is_only_large_is_read_in_time() {
    // Every key has a place, and every variable that is not set a remark.
    let labels: String = (0..60_000).map(|number| format!("k{number}=$U{number} \\\n")).collect();
    let ran = build(&Kitchen::new(&format!("FROM scratch\nLABEL {labels} last=1\n")));
    assert_eq!(ran.code, Some(0), "{}", &ran.stderr[..ran.stderr.len().min(2000)]);
    let value = "a".repeat(60_000);
    let ran = build(&Kitchen::new(&format!("FROM scratch\nARG A={value}\nLABEL b=${{#A}}x\n").replace("${#A}x", "${A//a*b/x}")));
    assert_eq!(ran.code, Some(0), "{}", &ran.stderr[..ran.stderr.len().min(2000)]);
}

#[test]
fn a_base_with_more_variables_than_anybody_has_is_refused() {
    let kitchen = Kitchen::new("FROM many:1\nENV A=1\n");
    std::fs::write(kitchen.path("file"), "x").expect("writable");
    let variables: Vec<String> = (0..10_001).map(|number| format!("--env=V{number}=1")).collect();
    kitchen.base("many:1", &[&["--copy", "file=/file"], variables.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
    let error = kitchen.refused(6, &["--base", &kitchen.bases()]);
    assert!(error.to_string().contains("more than 10000 variables"), "{error}");
}

#[test]
fn ignore_files_have_bounds() {
    for (text, why) in [("a\n".repeat(10_001), "more than 10000 patterns"), ("*a".repeat(4000), "a pattern has 4096 bytes at most")] {
        let kitchen = Kitchen::new("FROM scratch\nCOPY . /\n");
        kitchen.file(".dockerignore", text);
        let ran = build(&kitchen);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    }
}

#[test]
fn an_archive_that_replaces_a_directory_takes_away_what_it_put_there() {
    let kitchen = Kitchen::new("FROM tree:1\nADD a.tar /x/\n");
    let rootfs = kitchen.path("rootfs");
    std::fs::create_dir_all(rootfs.join("x")).expect("writable");
    std::os::unix::fs::symlink("e", rootfs.join("x/d")).expect("writable");
    kitchen.base("tree:1", &["--rootfs", "rootfs"]);
    // `d` leads to `e` in the stage, and the archive makes a link of `e`.
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(4);
    archive.append_data(&mut header, "d/passwd", &b"evil"[..]).expect("an entry");
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "e", "../etc").expect("an entry");
    kitchen.file("a.tar", archive.into_inner().expect("an archive"));
    let image = kitchen.image(&["--base", &kitchen.bases()]);
    assert_eq!(image.layer(image.layers().len() - 1), ["x/e"]);
}

#[test]
fn what_is_excluded_and_taken_back_goes_through_no_link_of_the_stage() {
    let kitchen = Kitchen::new("FROM tree:1\nCOPY --exclude=link --exclude=!link/passwd d /dst/\n");
    let rootfs = kitchen.path("rootfs");
    std::fs::create_dir_all(rootfs.join("dst")).expect("writable");
    std::os::unix::fs::symlink("../etc", rootfs.join("dst/link")).expect("writable");
    kitchen.base("tree:1", &["--rootfs", "rootfs"]);
    kitchen.file("d/link/passwd", "evil");
    let error = kitchen.refused(2, &["--base", &kitchen.bases()]);
    assert!(error.to_string().contains("`/dst/link` of the stage is not a directory"), "{error}");
    kitchen.file("Dockerfile", "FROM tree:1\nCOPY --exclude=link --exclude=!link/passwd d /other/\n");
    let image = kitchen.image(&["--base", &kitchen.bases()]);
    assert_eq!(image.layer(image.layers().len() - 1), ["other/", "other/link/", "other/link/passwd"]);
}

#[test]
fn destinations_end_at_the_root_of_the_image() {
    let kitchen = Kitchen::new(
        "FROM scratch\nCOPY mine ../../../one\nCOPY mine /a/../../../two\nWORKDIR ../../w\nCOPY mine dir ../../../three/\nADD t.tar ../../../../four/\n\
        COPY <<EOF ../five\ntext\nEOF\nCOPY --link mine ../six/../../seven\nCOPY --parents dir/./deep/f ../../eight/\nWORKDIR /../../../ninth/..\nCOPY mine ..\n",
    );
    kitchen.file("mine", "mine");
    kitchen.file("dir/deep/f", "f");
    kitchen.file("t.tar", crate::support::forge::tar(&[("in", b"inside")]));
    let names = |at: &std::path::Path| {
        let mut names: Vec<_> = std::fs::read_dir(at).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names(&kitchen.context());
    let image = kitchen.image(&[]);
    let paths: Vec<String> = image.entries().into_keys().collect();
    assert_eq!(
        paths,
        [
            "eight",
            "eight/deep",
            "eight/deep/f",
            "five",
            "four",
            "four/in",
            "mine",
            "one",
            "seven",
            "three",
            "three/deep",
            "three/deep/f",
            "three/mine",
            "two",
            "w"
        ]
    );
    assert_eq!(image.config["config"]["WorkingDir"], "/");
    assert_eq!((names(&kitchen.context()), names(&kitchen.path(""))), (before, ["cache", "context", "out"].map(Into::into).to_vec()));
}
