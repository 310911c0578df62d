//! Layers that try to get out, or that mean nothing: unpacked, read from, and compared.
//!
//! The first table follows what has been tried on other tools: `TestBreakouts` of containerd, and the advisories of moby, umoci, tar-rs, oras and boxlite.

use std::fs;
use std::path::Path;

use crate::support::forge::{Forge, LAYER, sha256};
use crate::support::image::{Ran, ran};
use crate::support::layers::{image, location};
use crate::support::process::temp;
use crate::support::snapshot::{assert_same, snapshot};
use crate::support::tape::{self, Record, device, dir, fifo, file, hardlink, symlink as link};
use crate::support::tools::root;
use crate::support::tree;

/// What must come of it.
enum Outcome {
    /// These files, with this content.
    Files(&'static [(&'static str, &'static str)]),
    /// This exit code, from every command.
    Refused(i32),
    /// This exit code, where it is to be brought to a disk.
    RefusedByDisk(i32),
}

use Outcome::{Files, Refused, RefusedByDisk};

/// Every path in the names and targets begins with `OUT` where the path of something outside is meant.
fn with_outside(records: &[Record], outside: &Path) -> Vec<Record> {
    let outside = outside.to_str().expect("UTF-8");
    let replaced = |text: &[u8]| String::from_utf8_lossy(text).replace("OUT", outside).into_bytes();
    records.iter().map(|record| Record { name: replaced(&record.name), link: replaced(&record.link), ..record.clone() }).collect()
}

fn unpack(forge: &Forge, target: &Path, more: &[&str]) -> Ran {
    ran(&[&["unpack", &location(forge), target.to_str().expect("UTF-8"), "--format", "json"], more].concat())
}

/// Unpacks to a place between things that must not change, prints files, and compares with an image that has none.
#[track_caller]
fn attempt(what: &str, layers: &[Vec<Record>], outcome: &Outcome) {
    for jobs in ["1", "2", "64"] {
        let home = temp();
        let outside = home.path().join("base/outside");
        fs::create_dir_all(outside.join("d")).expect("writable");
        fs::create_dir_all(home.path().join("base/rootfs-evil")).expect("writable");
        fs::write(outside.join("secret"), "secret").expect("writable");
        fs::write(outside.join("d/f"), "f").expect("writable");
        let before = snapshot(home.path());
        let layers: Vec<Vec<Record>> = layers.iter().map(|layer| with_outside(layer, &outside)).collect();
        let forge = image(&layers);
        let target = home.path().join("base/rootfs");
        let ran = unpack(&forge, &target, &["--jobs", jobs]);
        match outcome {
            Files(files) => {
                assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
                for (path, content) in *files {
                    assert_eq!(fs::read_to_string(target.join(path)).unwrap_or_else(|error| panic!("{what}: {path}: {error}")), *content, "{what}: {path}");
                }
                assert_cat(what, &forge, files, jobs);
                assert_names(what, &forge, snapshot(&target).len(), jobs);
                fs::remove_dir_all(&target).expect("own directory");
            }
            Refused(code) | RefusedByDisk(code) => {
                assert_eq!(ran.code, Some(*code), "{what}: {ran:?}");
                assert!(!target.exists(), "{what}");
            }
        }
        if let Refused(code) = outcome {
            let empty = image(&[]);
            for arguments in [vec!["cat", &*location(&forge), "x"], vec!["diff", &*location(&empty), &*location(&forge)]] {
                let ran = self::ran(&[&arguments[..], &["--jobs", jobs]].concat());
                assert_eq!((ran.code, ran.stdout.as_str()), (Some(*code), ""), "{what}: {ran:?}");
            }
        }
        assert_same(&before, &snapshot(home.path()), what);
    }
}

/// Paths that lead outside in one or another of the images, if something does.
const OUTSIDE: &[&str] = &["l", "esc/secret", "b/secret", "out/secret", "d/secret", "../secret", "../outside/secret", "/proc/self/environ"];

/// Prints these files, which are inside, and never one that is outside.
#[track_caller]
fn assert_cat(what: &str, forge: &Forge, files: &[(&str, &str)], jobs: &str) {
    let cat = |paths: &[&str]| ran(&[&["cat", &location(forge), "--jobs", jobs], paths].concat());
    if !files.is_empty() {
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        let content: String = files.iter().map(|(_, content)| *content).collect();
        let ran = cat(&paths);
        assert_eq!((ran.code, ran.stdout), (Some(0), content), "{what}: {}", ran.stderr);
    }
    // What is outside does not depend on the number of threads.
    let outside = if jobs == "1" { OUTSIDE } else { &[] };
    for path in outside {
        let ran = cat(&[path]);
        assert!(!ran.stdout.contains("secret") && !ran.stdout.contains("PATH="), "{what}: {path}: {ran:?}");
    }
}

/// The comparison with an image that has no files finds as many names.
#[track_caller]
fn assert_names(what: &str, forge: &Forge, names: usize, jobs: &str) {
    let empty = image(&[]);
    let ran = ran(&["diff", &location(&empty), &location(forge), "--jobs", jobs, "--format", "json"]);
    assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
    let files = &ran.json()["images"][0]["files"];
    assert_eq!((files["added"].as_u64(), files["removed"].as_u64()), (Some(names as u64), Some(0)), "{what}: {files}");
}

#[test]
fn tar_60_links_lead_nowhere_but_inside() {
    let etc = || dir("etc");
    let cases: &[(&str, Vec<Vec<Record>>, Outcome)] = &[
        ("SymlinkAbsolute", vec![vec![etc(), link("localetc", "/etc"), file("/localetc/unbroken", "x")]], Files(&[("etc/unbroken", "x")])),
        (
            "SymlinkUpAndOut",
            vec![vec![etc(), dir("dummy"), link("localetc", "/dummy/../etc"), file("/localetc/unbroken", "x")]],
            Files(&[("etc/unbroken", "x")]),
        ),
        (
            "SymlinkMultipleAbsolute",
            vec![vec![etc(), dir("dummy"), link("/dummy/etc", "/etc"), link("localetc", "/dummy/etc"), file("/localetc/unbroken", "x")]],
            Files(&[("etc/unbroken", "x")]),
        ),
        (
            "SymlinkMultipleRelative",
            vec![vec![etc(), dir("dummy"), link("/dummy/etc", "../etc"), link("localetc", "dummy/etc"), file("localetc/unbroken", "x")]],
            Files(&[("etc/unbroken", "x")]),
        ),
        (
            "SymlinkEmptyFile",
            vec![vec![etc(), file("etc/emptied", "notempty"), link("localetc", "/etc"), file("/localetc/emptied", "")]],
            Files(&[("etc/emptied", "")]),
        ),
        (
            "SymlinkParentDirectory",
            vec![vec![etc(), link("localetc", "etc"), file("localetc/a", "a")], vec![link("localetc", "../../../etc"), file("localetc/b", "b")]],
            Files(&[("etc/a", "a"), ("etc/b", "b")]),
        ),
        ("SymlinkEmptyFilename", vec![vec![etc(), link("", "/etc/bad")]], Refused(3)),
        ("SymlinkTopDirectory", vec![vec![etc(), link("/", "/etc/bad")]], Refused(3)),
        ("SymlinkDot (umoci, CVE-2021-29136)", vec![vec![link(".", "OUT")], vec![file("pwned", "x")]], Refused(3)),
        ("SymlinkDotSlash", vec![vec![link("./", "OUT"), file("pwned", "x")]], Refused(3)),
        ("SymlinkSlashDot", vec![vec![hardlink("/.", "etc")]], Refused(3)),
        ("SymlinkParentRelative", vec![vec![etc(), link("l", "etc/deep/er"), file("l/f", "f")]], Files(&[("etc/deep/er/f", "f")])),
        ("SymlinkSlashEnding", vec![vec![etc(), link("localetc", "/etc/"), file("/localetc/unbroken", "x")]], Files(&[("etc/unbroken", "x")])),
        ("tar_03: a link out of it, then a file below", vec![vec![link("esc", "OUT"), file("esc/p", "x"), file("esc/secret", "x")]], Files(&[])),
        ("tar_03: in another layer", vec![vec![link("esc", "OUT")], vec![file("esc/p", "x")], vec![dir("esc/d"), file("esc/d/f", "x")]], Files(&[])),
        ("tar_03: one through another", vec![vec![link("a", "OUT/.."), link("b", "a/outside"), file("b/secret", "x")]], Files(&[])),
        ("tar_04: a link, then a file of its name", vec![vec![link("l", "OUT/secret"), file("l", "mine")]], Files(&[("l", "mine")])),
        (
            "tar_05: directories through a link upwards",
            vec![vec![link("s", ".."), dir("s/outside/made"), file("s/exploit/foo", "x")]],
            Files(&[("exploit/foo", "x")]),
        ),
        ("tar_12: a sibling whose name begins alike", vec![vec![link("l", "../rootfs-evil"), file("l/x", "x")]], Files(&[("rootfs-evil/x", "x")])),
        ("tar_15: a link, then a directory of its name", vec![vec![link("l", "OUT/d"), dir("l").mode(0o777), file("l/f", "x")]], Files(&[("l/f", "x")])),
        ("tar_16: attributes of a link", vec![vec![link("l", "OUT/secret").mode(0o777).owner(1, 1)]], Files(&[])),
        (
            "a directory that becomes a link",
            vec![vec![dir("d"), file("d/a", "a")], vec![link("d", "OUT"), file("d/b", "b"), file("d/.wh.secret", "")]],
            Files(&[]),
        ),
        ("a link that becomes a directory", vec![vec![link("d", "OUT")], vec![dir("d"), file("d/f", "f"), file("d/.wh.secret", "")]], Files(&[("d/f", "f")])),
        ("a pipe through a link", vec![vec![link("l", "OUT"), fifo("l/pipe"), fifo("l/secret")]], Files(&[])),
    ];
    for (what, layers, outcome) in cases {
        attempt(what, layers, outcome);
    }
}

/// More of the same table of containerd, with a lower layer for what is there already; and cases of zarf, go-containerregistry and go-archive.
#[test]
fn tar_60_what_takes_the_place_of_what_is_inside() {
    let etc = || vec![dir("etc"), file("etc/passwd", "inside")];
    let lower = |records: &[Record]| [etc(), records.to_vec()].concat();
    let cases: &[(&str, Vec<Vec<Record>>, Outcome)] = &[
        ("SymlinkParentDirectory", vec![lower(&[link("..", "/etc/")])], Refused(3)),
        ("SymlinkParentRelative", vec![lower(&[link("localetc/sub/..", "/etc/")])], Refused(3)),
        (
            "SymlinkSlashEnded",
            vec![lower(&[dir("localetc/"), hardlink("/localetc/localpasswd", "/etc/passwd")])],
            Files(&[("localetc/localpasswd", "inside"), ("etc/passwd", "inside")]),
        ),
        ("WhiteoutRelativePath", vec![etc(), vec![file("dne/../.wh.etc", "")]], Refused(3)),
        ("HardlinkRelativeLong", vec![lower(&[link("localetc", "../../../../../../../etc"), hardlink("l", "/localetc/passwd")])], Files(&[("l", "inside")])),
        // What the link leads through is not there, to the kernel neither.
        ("HardlinkRelativeUpAndOut", vec![lower(&[link("localetc", "upandout/../../../etc"), hardlink("l", "/localetc/passwd")])], Refused(3)),
        (
            "HardlinkSymlinkBeforeCreateTarget",
            vec![vec![dir("etc"), link("l", "/etc/passwd"), hardlink("dup", "l"), file("/etc/passwd", "after")]],
            Files(&[("etc/passwd", "after")]),
        ),
        (
            "SymlinkOverrideDirectory",
            vec![lower(&[dir("localetc")]), vec![link("localetc", "/etc"), hardlink("/localetc/l", "/etc/passwd")]],
            Files(&[("etc/l", "inside")]),
        ),
        (
            "SymlinkOverrideDirectoryRelative",
            vec![lower(&[dir("localetc")]), vec![link("localetc", "../../etc"), hardlink("/localetc/l", "/etc/passwd")]],
            Files(&[("etc/l", "inside")]),
        ),
        (
            "DirectoryOverrideSymlink",
            vec![lower(&[link("localetc", "/etc")]), vec![dir("/localetc/"), hardlink("/localetc/l", "/etc/passwd")]],
            Files(&[("localetc/l", "inside"), ("etc/passwd", "inside")]),
        ),
        (
            "DirectoryOverrideSymlinkAndHardlink",
            vec![lower(&[link("localetc", "etc"), hardlink("/localetc/l", "/etc/passwd")]), vec![dir("/localetc/"), file("/localetc/l", "different")]],
            Files(&[("localetc/l", "different"), ("etc/l", "inside"), ("etc/passwd", "inside")]),
        ),
        (
            "a chain of hard links whose middle is replaced",
            vec![vec![file("t2", "123")], vec![hardlink("t1", "t2"), hardlink("t3", "t1")], vec![file("t1", "456")]],
            Files(&[("t1", "456"), ("t2", "123"), ("t3", "123")]),
        ),
        (
            "a target beside the link means one at the root",
            vec![vec![dir("d"), file("d/f", "beside"), file("f", "root"), hardlink("d/l", "f")]],
            Files(&[("d/l", "root")]),
        ),
        ("a link upwards, then a file through it", vec![vec![link("evil", ".."), file("evil/escape", "x")]], Files(&[("escape", "x")])),
        (
            "links that stay inside",
            vec![vec![file("deep/file", "content"), link("deep/nested/link", "../file"), link("safe", "deep/file"), link("abs", "/deep")]],
            Files(&[("deep/nested/link", "content"), ("safe", "content"), ("deep/file", "content")]),
        ),
        (
            "names that mean something elsewhere",
            vec![vec![file("CON", "1"), file("C:file", "2"), file("a:b", "3")]],
            Files(&[("CON", "1"), ("C:file", "2"), ("a:b", "3")]),
        ),
    ];
    for (what, layers, outcome) in cases {
        attempt(what, layers, outcome);
    }
}

#[test]
fn tar_43_what_hides_something_in_an_overlay_is_a_device_in_a_layer() {
    if !root() {
        return;
    }
    let forge = image(&[vec![file("a", "1")], vec![device("a", 0, 0)]]);
    let home = temp();
    let target = home.path().join("rootfs");
    assert_eq!(unpack(&forge, &target, &[]).code, Some(0));
    assert_eq!(tree::read(&target)[Path::new("a")].kind, tree::Kind::CharDevice(0));
    assert_eq!(ran(&["cat", &location(&forge), "a"]).code, Some(2));
    let plain = image(&[vec![file("a", "1")]]);
    let ran = ran(&["diff", &location(&plain), &location(&forge), "--format", "json"]);
    assert_eq!(ran.json()["images"][0]["files"]["differences"][0]["aspects"], serde_json::json!(["type"]));
}

#[test]
fn tar_01_and_02_names_are_below_the_root_or_refused() {
    for name in ["../x", "a/../../x", "..", "/../x", "a/..", "a/../b"] {
        attempt(name, &[vec![file(name, "x")]], &Refused(3));
        attempt(name, &[vec![dir(name)]], &Refused(3));
    }
    attempt(
        "absolute",
        &[vec![dir("/"), file("/etc/shadow", "x"), file("//y", "y"), file("./z//w", "w")]],
        &Files(&[("etc/shadow", "x"), ("y", "y"), ("z/w", "w")]),
    );
}

#[test]
fn tar_06_to_11_hard_links_name_what_is_inside() {
    let etc = || vec![dir("etc"), file("etc/passwd", "inside")];
    let and = |records: &[Record]| vec![[etc(), records.to_vec()].concat()];
    let cases: &[(&str, Vec<Vec<Record>>, Outcome)] = &[
        ("HardlinkRelative", and(&[dir("breakouts"), link("breakouts/d", "../etc"), hardlink("l", "breakouts/d/passwd")]), Files(&[("l", "inside")])),
        ("HardlinkAbsolute", and(&[link("localetc", "/etc"), hardlink("l", "/localetc/passwd")]), Files(&[("l", "inside")])),
        ("HardlinkDownAndOut", and(&[dir("dummy"), link("dummy/d", "../../../etc"), hardlink("l", "dummy/d/passwd")]), Files(&[("l", "inside")])),
        ("HardlinkDirectAbsolute (tar_08)", and(&[hardlink("l", "/etc/passwd")]), Files(&[("l", "inside")])),
        ("HardlinkDirectRelative", and(&[hardlink("l", "../../../etc/passwd")]), Refused(3)),
        ("HardlinkSymlinkRelative (tar_07)", and(&[link("s", "../etc/passwd"), hardlink("l", "s")]), Files(&[])),
        ("HardlinkSymlinkAbsolute, then written to", and(&[link("s", "OUT/secret"), hardlink("l", "s"), file("l", "mine")]), Files(&[("l", "mine")])),
        ("HardlinkSymlinkChmod", and(&[link("s", "OUT/secret"), hardlink("l", "s").mode(0o777)]), Files(&[])),
        ("HardlinkSymlinkBeforeCreateTarget", vec![vec![hardlink("l", "later"), file("later", "x")]], Refused(3)),
        ("tar_06: outside", and(&[hardlink("l", "OUT/secret")]), Refused(3)),
        ("tar_10: what the working directory has", and(&[hardlink("l", "Cargo.toml")]), Refused(3)),
        (
            "tar_11: an earlier layer",
            vec![etc(), vec![hardlink("l", "etc/passwd"), file("etc/passwd", "new")]],
            Files(&[("l", "inside"), ("etc/passwd", "new")]),
        ),
        ("tar_11: itself", and(&[hardlink("l", "l")]), Refused(3)),
        ("tar_11: a directory", and(&[hardlink("l", "etc")]), Refused(3)),
        ("a replaced hard link leaves its twin alone", and(&[hardlink("l", "etc/passwd"), file("l", "new")]), Files(&[("l", "new"), ("etc/passwd", "inside")])),
    ];
    for (what, layers, outcome) in cases {
        attempt(what, layers, outcome);
    }
}

#[test]
fn tar_39_to_42_whiteouts_hide_nothing_outside() {
    let lower = || vec![dir("etc"), file("etc/passwd", "inside"), file("etc/other", "other"), link("out", "OUT"), link("localetc", "/etc")];
    let over = |upper: &[Record]| vec![lower(), upper.to_vec()];
    let wh = |name: &str| file(name, "");
    let cases: &[(&str, Vec<Vec<Record>>, Outcome)] = &[
        ("WhiteoutSimple", over(&[wh("etc/.wh.passwd")]), Files(&[("etc/other", "other")])),
        ("WhiteoutHardlink", over(&[wh("etc/.wh.passwd"), hardlink("etc/.wh.other", "etc/.wh.passwd")]), Files(&[])),
        ("WhiteoutSymlink", over(&[wh(".wh.out")]), Files(&[("etc/passwd", "inside")])),
        ("WhiteoutSymlinkPath (tar_42)", over(&[wh("localetc/.wh.passwd")]), Files(&[("etc/other", "other")])),
        ("WhiteoutDeadSymlinkParent", over(&[link("dead", "/nowhere"), wh("dead/.wh.x")]), Files(&[("etc/passwd", "inside")])),
        ("WhiteoutRelativePath", over(&[file("dead/.wh.../etc/passwd", "x")]), Files(&[("etc/passwd", "inside"), ("dead/.wh.../etc/passwd", "x")])),
        ("WhiteoutSymlinkOut", over(&[wh("out/.wh.secret"), wh("out/.wh..wh..opq"), wh("out/d/.wh.f")]), Files(&[("etc/passwd", "inside")])),
        ("WhiteoutRootDirectory", over(&[wh(".wh.")]), Refused(3)),
        ("WhiteoutCurrentDirectory", over(&[wh("etc/.wh..")]), Refused(3)),
        ("WhiteoutCurrentRootDirectory", over(&[wh(".wh..")]), Refused(3)),
        ("WhiteoutParentDirectory", over(&[wh("etc/.wh...")]), Refused(3)),
        ("WhiteoutOfAWhiteout", over(&[wh(".wh..wh.plnk")]), Refused(3)),
        ("WhiteoutWithContent", over(&[file("etc/.wh.passwd", "x")]), Refused(3)),
        ("WhiteoutAsLink", over(&[link("etc/.wh.passwd", "/dev/null")]), Refused(3)),
        ("WhiteoutMissing", over(&[wh(".wh.absent"), wh("absent/.wh.x"), wh("etc/passwd/.wh.x")]), Files(&[("etc/passwd", "inside")])),
        ("tar_40: its own layer, before", over(&[file("etc/passwd", "new"), wh("etc/.wh.passwd")]), Files(&[("etc/passwd", "new")])),
        ("tar_40: its own layer, after", over(&[wh("etc/.wh.passwd"), file("etc/passwd", "new")]), Files(&[("etc/passwd", "new")])),
        ("tar_39: opaque in the middle", over(&[file("etc/a", "a"), wh("etc/.wh..wh..opq"), file("etc/b", "b")]), Files(&[("etc/a", "a"), ("etc/b", "b")])),
        ("tar_41: a directory with such a name", over(&[dir(".wh.etc"), file(".wh.etc/x", "x")]), Files(&[("etc/passwd", "inside"), (".wh.etc/x", "x")])),
    ];
    for (what, layers, outcome) in cases {
        attempt(what, layers, outcome);
    }
}

#[test]
fn tar_44_and_45_and_46_what_is_said_twice_or_not_at_all() {
    let cases: &[(&str, Vec<Vec<Record>>, Outcome)] = &[
        ("twice a file", vec![vec![file("a", "1"), file("a", "2"), file("./a", "3")]], Files(&[("a", "3")])),
        ("a file, then a directory", vec![vec![file("a", "1"), dir("a/"), file("a/b", "b")]], Files(&[("a/b", "b")])),
        ("a directory, then a file", vec![vec![dir("a"), file("a/b", "b"), file("a", "1")]], Files(&[("a", "1")])),
        ("children first", vec![vec![file("a/b/c", "c"), dir("a/b"), dir("a")]], Files(&[("a/b/c", "c")])),
        ("a file on the way", vec![vec![file("a", "1")], vec![file("a/b", "b")]], Files(&[("a/b", "b")])),
        ("no parents", vec![vec![file("a//b/./c", "c")]], Files(&[("a/b/c", "c")])),
    ];
    for (what, layers, outcome) in cases {
        attempt(what, layers, outcome);
    }
    let home = temp();
    let ran = unpack(&image(&[vec![file("a", "1"), file("a", "2"), dir(".wh.x")]]), &home.path().join("rootfs"), &[]);
    assert!(ran.stderr.contains("entry `a` with the path of an earlier one") && ran.stderr.contains("named like whiteouts"), "{ran:?}");
}

#[test]
fn tar_13_ways_without_end_are_refused() {
    let chain: Vec<Record> = (0..200).map(|n| link(&format!("l{n}"), &format!("l{}/x", n + 1))).chain([file("l0/f", "")]).collect();
    attempt("200 links", &[chain], &Refused(6));
    attempt("a loop", &[vec![link("a", "b"), link("b", "a"), file("a/x", "")]], &Refused(6));
    let long = "d/".repeat(1500);
    attempt("a long way", &[vec![dir(&long), link("a", &long), file(&format!("a/{long}f"), "")]], &Refused(6));
    attempt("a long name", &[vec![file(&"n".repeat(256), "")]], &RefusedByDisk(1));
    attempt("the longest name", &[vec![file(&"n".repeat(255), "")]], &Files(&[]));
}

#[test]
fn tar_36_and_59_numbers_that_cannot_be_are_refused() {
    attempt("a user who is nobody", &[vec![Record { pax: vec![("uid".into(), b"4294967295".to_vec())], ..file("f", "") }]], &RefusedByDisk(3));
    attempt("a user beyond numbers", &[vec![Record { pax: vec![("uid".into(), b"4294967296".to_vec())], ..file("f", "") }]], &Refused(3));
    attempt("a device beyond numbers", &[vec![device("d", 0o10000, 0)]], &Refused(3));
}

#[test]
fn tar_52_and_53_what_stands_behind_the_end_is_ignored_and_a_missing_half_is_not() {
    let records = [file("a", "1"), file("b", &"2".repeat(2000))];
    let (plain, whole) = (image(&[records.to_vec()]), tape::tar(&records));
    let end = whole.len() - 1024;
    for (what, layer, code, verified) in [
        ("entries behind the end", [whole.clone(), tape::tar(&[file("hidden", "x")])].concat(), 0, 3),
        ("much behind the end", [whole.clone(), vec![7; 32 << 20]].concat(), 0, 3),
        ("no end", whole[..end].to_vec(), 0, 0),
        ("half an end", whole[..end + 512].to_vec(), 0, 0),
        ("cut in a header", whole[..1100].to_vec(), 3, 3),
        ("cut in content", whole[..2048].to_vec(), 3, 3),
        ("zeros, and then entries", [&whole[..1024], &[0; 512], &whole[1024..]].concat(), 3, 3),
    ] {
        let forge = Forge::new();
        let descriptor = forge.put(LAYER, &layer);
        forge.enter("image", &forge.image_of(&[descriptor], &[&sha256(&layer)]).manifest);
        let home = temp();
        let unpacked = unpack(&forge, &home.path().join("rootfs"), &[]);
        assert_eq!(unpacked.code, Some(code), "{what}: {unpacked:?}");
        assert_eq!(fs::read_dir(home.path()).expect("there").count(), usize::from(code == 0));
        assert!(!home.path().join("rootfs/hidden").exists());
        let printed = ran(&["cat", &location(&forge), "a"]);
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(code), if code == 0 { "1" } else { "" }), "{what}: {printed:?}");
        let compared = ran(&["diff", "--semantic", &location(&plain), &location(&forge)]);
        assert_eq!(compared.code, Some(code), "{what}: {compared:?}");
        for told in [&unpacked, &printed, &compared] {
            assert_eq!(
                told.stderr.contains("warning: layer") && told.stderr.contains("it may be incomplete"),
                what.ends_with(" end") && !what.contains("behind"),
                "{what}: {told:?}"
            );
        }
        let verified_with = ran(&["verify", "--deep", &location(&forge)]);
        assert_eq!(verified_with.code, Some(verified), "{what}: {verified_with:?}");
    }
}
