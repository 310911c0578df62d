//! `larder diff`: what two images differ in, down to their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::bundle::Bundle;
use crate::support::context;
use crate::support::everything;
use crate::support::image::{Ran, ran};
use crate::support::layers::{image, layers, location};
use crate::support::process::{Runs as _, larder, temp};
use crate::support::tape::{Record, file};
use crate::support::tree::{self, Kind, Node, Tree};

/// Compares for programs. The exit code must be that of the report.
#[track_caller]
fn diff(a: &str, b: &str, more: &[&str]) -> Value {
    let ran = ran(&[&["diff", a, b, "--format", "json"], more].concat());
    assert_eq!(ran.stderr, "", "{ran:?}");
    let report = ran.json();
    assert_eq!(ran.code, Some(i32::from(report["equal"] != true)), "{ran:?}");
    report
}

/// What differs at each path: `added`, `removed`, or the aspects.
type Told = BTreeMap<String, Vec<String>>;

/// What larder tells of files. That sizes differ is told with the content here.
fn told(report: &Value) -> Told {
    let images = report["images"].as_array().expect("a list");
    let files = images.iter().flat_map(|image| image["files"]["differences"].as_array().expect("a list"));
    let line = |file: &Value| {
        let aspects = match file["change"].as_str().expect("a word") {
            "changed" => file["aspects"].as_array().expect("a list").iter().map(|aspect| aspect.as_str().expect("a word").to_owned()).collect(),
            change => vec![change.to_owned()],
        };
        (file["path"].as_str().expect("text").to_owned(), aspects.into_iter().filter(|aspect| aspect != "size").collect())
    };
    files.map(line).collect()
}

/// The same, found by looking at two trees on a disk.
fn expected(a: &Tree, b: &Tree) -> Told {
    let paths = a.keys().chain(b.keys().filter(|path| !a.contains_key(*path)));
    let differs = |path: &std::path::PathBuf| {
        let aspects = match (a.get(path), b.get(path)) {
            (Some(a), Some(b)) => aspects(a, b),
            (Some(_), None) => vec!["removed".to_owned()],
            _ => vec!["added".to_owned()],
        };
        (!aspects.is_empty()).then(|| (shown(path), aspects))
    };
    paths.filter_map(differs).collect()
}

/// Names that are not UTF-8 are told with their bytes escaped.
fn shown(path: &Path) -> String {
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.utf8_chunks().map(|chunk| chunk.valid().to_owned() + &escaped(chunk.invalid())).collect())
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// In the order in which larder tells them.
fn aspects(a: &Node, b: &Node) -> Vec<String> {
    let kind = match (&a.kind, &b.kind) {
        (Kind::File(a), Kind::File(b)) => (a != b).then_some("content"),
        (Kind::Symlink(a), Kind::Symlink(b)) => (a != b).then_some("target"),
        (Kind::CharDevice(a), Kind::CharDevice(b)) | (Kind::BlockDevice(a), Kind::BlockDevice(b)) => (a != b).then_some("device"),
        (a, b) => (std::mem::discriminant(a) != std::mem::discriminant(b)).then_some("type"),
    };
    let is_link = |node: &Node| matches!(node.kind, Kind::Symlink(_));
    let all = [
        (kind == Some("type"), "type"),
        (a.mode != b.mode && !is_link(a) && !is_link(b), "mode"),
        (a.owner.0 != b.owner.0, "uid"),
        (a.owner.1 != b.owner.1, "gid"),
        (a.mtime != b.mtime, "mtime"),
        (kind == Some("content"), "content"),
        (kind == Some("target"), "target"),
        (kind == Some("device"), "device"),
        (a.xattrs != b.xattrs, "xattrs"),
        (a.first != b.first, "links"),
    ];
    all.iter().filter(|(differs, _)| *differs).map(|(_, name)| (*name).to_owned()).collect()
}

/// Changes about everything in the tree that [`everything::MAKE`] makes.
const CHANGE: &str = r#"
cd "$1"
printf y >a/b/one; touch -d @7 a/b/one
rm a/again; cp -a zz a/again
ln -sfn /elsewhere dangling
rm a/pipe a/null; mkfifo a/null; mkdir a/pipe; printf n >a/pipe/new
rm a/loop; mknod a/loop b 7 1
chmod 700 srv; chown 4:5 tmp; chown -h 6:7 directory
setfattr -n user.text -v other srv; setfattr -x user.bytes a/b/one
setcap -r ping
rm -r var; printf f >var
: >"$(printf 'new\377')"; rm "$(printf 'bad\377')"
touch -d @8 a; touch -d @9 large
chmod 755 .
"#;

#[test]
fn every_change_of_a_tree_is_told_and_nothing_else() {
    let Some((one, before)) = everything::made(&[everything::MAKE]) else { return };
    let Some((other, after)) = everything::made(&[]) else { return };
    Command::new("cp").args(["-a", "--"]).arg(one.path().join(".")).arg(other.path()).succeeds();
    assert_eq!(after.len(), 1);
    tree::assert_same(&tree::read(other.path()), &before);
    Command::new("bash").args(["-euc", CHANGE, "bash"]).arg(other.path()).succeeds();
    let after = tree::read(other.path());

    let home = temp();
    let build = |name: &str, tree: &Path, compression: &str| {
        let layout = format!("oci:{}", home.path().join(name).display());
        let mut build = larder();
        build.env("SOURCE_DATE_EPOCH", "9000000000").args(["build", "--no-cache", "--quiet", "--platform", "linux/amd64", "-o", &layout, "--rootfs"]);
        build.arg(tree).args(["--compression", compression]).succeeds();
        layout
    };
    let (a, b, again) = (build("a", one.path(), "gzip"), build("b", other.path(), "zstd"), build("again", one.path(), "zstd"));
    let expected = expected(&before, &after);
    assert!(expected.len() > 15, "{expected:?}");
    assert_eq!(told(&diff(&a, &b, &[])), expected);
    // Without times there is less, and what is only stored in another way is the same.
    let without_times = expected.iter().map(|(path, aspects)| (path.clone(), aspects.iter().filter(|aspect| *aspect != "mtime").cloned().collect::<Vec<_>>()));
    assert_eq!(told(&diff(&a, &b, &["--semantic"])), without_times.filter(|(_, aspects)| !aspects.is_empty()).collect());
    assert_eq!((told(&diff(&a, &again, &[])), diff(&a, &again, &["--semantic"])["equal"].as_bool()), (Told::new(), Some(true)));
    // What a person reads has every path, and nothing that could move the cursor.
    let text = larder().args(["diff", &a, &b]).output().expect("it starts");
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    for path in expected.keys() {
        let line = format!("/{}", path.replace('\n', "\\n"));
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().all(|c| !c.is_control())), "{text}");
}

/// What stands between any two stages of a build is what stands between the trees that umoci makes of them.
#[test]
fn layers_that_hide_and_replace_are_compared_as_umoci_unpacks_them() {
    let all = layers();
    let stages: Vec<_> = (1..=all.len()).map(|count| image(&all[..count])).collect();
    let mut trees = Vec::new();
    for forge in &stages {
        let Some(bundle) = Bundle::unpack(forge.path(), "image") else { return };
        trees.push(tree::read(&bundle.tree()));
    }
    for (position, (a, tree_of_a)) in stages.iter().zip(&trees).enumerate() {
        for (b, tree_of_b) in stages[position..].iter().zip(&trees[position..]) {
            let report = diff(&location(a), &location(b), &[]);
            assert_eq!(told(&report), expected(tree_of_a, tree_of_b), "{report}");
        }
    }
}

#[test]
fn a_rebuild_at_another_time_means_the_same() {
    let home = temp();
    let context = home.path().join("context");
    context::write(&context, "first");
    let build = |name: &str, epoch: &str| {
        let layout = format!("oci:{}", home.path().join(name).display());
        larder().env("SOURCE_DATE_EPOCH", epoch).arg("build").arg(&context).args(["--no-cache", "--quiet", "-o", &layout]).succeeds();
        layout
    };
    let (a, b) = (build("a", "0"), build("b", "1000000000"));
    let exact = diff(&a, &b, &[]);
    assert_eq!(exact["equal"], false);
    assert!(exact["images"][0]["config"].as_array().expect("a list").iter().any(|field| field["field"] == "created"), "{exact}");
    assert_eq!(diff(&a, &b, &["--semantic"])["equal"], true);
    assert_eq!(diff(&a, &a, &[])["equal"], true);
    let text = larder().args(["diff", &a, &a]).succeeds();
    assert!(text.ends_with("\nthe same\n"), "{text}");
}

#[test]
fn archives_are_compared_with_layouts() {
    let forge = image(&[vec![file("f", "1")]]);
    let other = image(&[vec![file("f", "1")], vec![file("f", "2"), file("g", "")]]);
    let home = temp();
    for scheme in ["oci-archive", "docker-archive"] {
        let archive = format!("{scheme}:{}", home.path().join(scheme).display());
        larder().args(["copy", "--quiet", &location(&forge), &format!("{archive}:image:1")]).succeeds();
        assert_eq!(diff(&location(&forge), &archive, &[])["equal"], true);
        let report = diff(&archive, &location(&other), &[]);
        assert_eq!(told(&report), BTreeMap::from([("f".to_owned(), vec!["content".to_owned()]), ("g".to_owned(), vec!["added".to_owned()])]));
        assert_eq!(report["images"][0]["layers"][0]["change"], "added");
    }
    let ran = ran(&["diff", "oci-archive:-", "oci-archive:-", "--format", "json"]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(2), Some("usage")));
}

/// Exit code 1 is also that of a machine that failed; then there is an error, and no report.
#[test]
fn what_cannot_be_compared_is_an_error_and_no_difference() {
    let forge = image(&[vec![file("f", "1")]]);
    let image = location(&forge);
    let refused = |arguments: &[&str]| -> Ran { ran(&[&["diff", "--format", "json"], arguments].concat()) };
    let absent = format!("oci:{}:absent", forge.path().display());
    for (arguments, exit) in [(vec![&*image, &*absent], 4), (vec![&*absent, &*image], 4), (vec![&*image, "oci:nowhere"], 4), (vec![&*image], 2)] {
        let ran = refused(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.error()["exit"].as_i64()), (Some(exit), "", Some(exit.into())), "{ran:?}");
    }
    let ran = refused(&[&image, &image, "--platform", "linux/s390x"]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(4), Some("not_found")), "{ran:?}");
    fs::write(forge.path().join("index.json"), "{").expect("own file");
    assert_eq!(refused(&[&image, &image]).code, Some(3));
}

#[test]
fn help_tells_the_exit_codes() {
    let help = larder().args(["diff", "--help"]).succeeds();
    assert!(help.contains("0 the same, 1 different"), "{help}");
    let help = larder().arg("--help").succeeds();
    assert!(help.contains("1  the images differ"), "{help}");
}

/// Names and values of strangers.
#[test]
fn lay_64_and_tar_48_foreign_text_cannot_move_the_cursor() {
    let plain = image(&[vec![file("f", "1")]]);
    let nasty: Vec<Record> = ["\u{1b}[2Jesc", "new\nline", "\u{202e}rtl", "tab\t"].iter().map(|name| file(name, "x")).collect();
    let forge = image(&[nasty]);
    let home = temp();
    let layout = format!("oci:{}", home.path().join("layout").display());
    larder().args(["copy", "--quiet", &location(&forge), &format!("{layout}:x")]).succeeds();
    larder().args(["edit", "--quiet", &format!("{layout}:x"), "--label", "\u{1b}[31mlabel=\u{1b}[2J\u{202e}", "--env", "X=\u{1b}c"]).succeeds();
    let ran = ran(&["diff", &location(&plain), &format!("{layout}:x")]);
    assert_eq!(ran.code, Some(1));
    for wanted in ["/\\u{1b}[2Jesc", "/new\\nline", "/\\u{202e}rtl", "\\u{1b}[31mlabel"] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
    }
    assert!(ran.stdout.lines().all(|line| line.chars().all(|c| !c.is_control() && c != '\u{202e}')), "{ran:?}");
}
