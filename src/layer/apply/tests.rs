use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::entry::Xattrs;
use crate::layer::{Entry, EntryKind};

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: path.into(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() }
}

fn file(path: &str) -> Entry {
    entry(path, EntryKind::File { size: 0 })
}

fn dir(path: &str) -> Entry {
    entry(path, EntryKind::Directory)
}

fn symlink(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::Symlink { target: target.into() })
}

fn hardlink(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::Hardlink { target: target.into() })
}

fn opaque(directory: &str) -> Entry {
    file(&format!("{directory}/.wh..wh..opq"))
}

/// Applies layers; the payload of a node says which entry of which layer it comes from: `2:1` is the first of the second layer.
fn apply(layers: &[&[Entry]]) -> Result<Rootfs<String>> {
    let mut rootfs = Rootfs::default();
    for (layer, entries) in layers.iter().enumerate() {
        rootfs.begin_layer();
        for (position, entry) in entries.iter().enumerate() {
            rootfs.apply(entry, format!("{}:{}", layer + 1, position + 1))?;
        }
    }
    Ok(rootfs)
}

/// What there is below the root: `path=payload`, with `/` behind directories and `-> text` behind links.
fn listing(rootfs: &Rootfs<String>) -> Vec<String> {
    let shown = |id: &NodeId| {
        let node = rootfs.node(*id);
        let kind = match node.kind() {
            Kind::Directory(_) => "/".to_owned(),
            Kind::Symlink(target) => format!(" -> {}", String::from_utf8_lossy(target)),
            Kind::File => String::new(),
            Kind::Special => "!".to_owned(),
        };
        let origin = if node.payload().is_empty() { "implied" } else { node.payload() };
        format!("{}{kind} {origin}", String::from_utf8_lossy(&rootfs.path(*id)))
    };
    rootfs.walk().iter().skip(1).map(shown).collect()
}

#[track_caller]
fn assert_made(layers: &[&[Entry]], expected: &[&str]) {
    assert_eq!(listing(&apply(layers).expect("applied")), expected);
}

#[track_caller]
fn failure(layers: &[&[Entry]]) -> Error {
    apply(layers).expect_err("refused")
}

/// The same entries in every order give the same.
#[track_caller]
fn assert_in_any_order(lower: &[Entry], upper: &[Entry], expected: &[&str]) {
    for first in 0..upper.len() {
        let mut order: Vec<Entry> = upper.to_vec();
        order.rotate_left(first);
        let names = |rootfs: Rootfs<String>| listing(&rootfs).iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(apply(&[lower, &order]).expect("applied")), expected, "{order:?}");
    }
}

#[test]
fn entries_replace_what_has_their_name() {
    assert_made(&[&[file("a"), dir("b"), file("b/x")], &[dir("a"), file("b")]], &["a/ 2:1", "b 2:2"]);
    assert_made(&[&[dir("d"), file("d/x")], &[dir("d")]], &["d/ 2:1", "d/x 1:2"]);
    assert_made(&[&[file("a")], &[symlink("a", "b")], &[entry("a", EntryKind::Fifo)]], &["a! 3:1"]);
}

#[test]
fn tar_04_and_15_a_link_is_replaced_and_what_it_leads_to_is_not() {
    assert_made(&[&[dir("t"), symlink("a", "t")], &[dir("a"), file("a/x")]], &["a/ 2:1", "a/x 2:2", "t/ 1:1"]);
    assert_made(&[&[file("t"), symlink("a", "t"), file("a")]], &["a 1:3", "t 1:1"]);
}

#[test]
fn tar_03_and_09_links_on_the_way_stay_inside() {
    for target in ["/run", "../run", "../../../run", "/../run/", "./../run"] {
        assert_made(
            &[&[dir("run"), dir("var"), symlink("var/run", target)], &[file("var/run/x")]],
            &["run/ 1:1", "run/x 2:1", "var/ 1:2", &format!("var/run -> {target} 1:3")],
        );
    }
    // A dangling one leads to what is made inside.
    assert_made(&[&[symlink("esc", "/host/etc"), file("esc/p")]], &["esc -> /host/etc 1:1", "host/ implied", "host/etc/ implied", "host/etc/p 1:2"]);
    // One link through another, in another layer.
    assert_made(
        &[&[symlink("a", "b")], &[symlink("b", "/c/./d")], &[file("a/x")]],
        &["a -> b 1:1", "b -> /c/./d 2:1", "c/ implied", "c/d/ implied", "c/d/x 3:1"],
    );
}

#[test]
fn tar_05_parents_of_the_root_are_the_root() {
    assert_made(&[&[symlink("s", ".."), file("s/exploit/foo")]], &["exploit/ implied", "exploit/foo 1:2", "s -> .. 1:1"]);
}

#[test]
fn tar_13_loops_and_long_ways_end() {
    assert_eq!(failure(&[&[symlink("a", "b"), symlink("b", "a"), file("a/x")]]).kind(), ErrorKind::Unsupported);
    let many: Vec<Entry> = (0..200).map(|n| symlink(&format!("l{n}"), &format!("l{}/x", n + 1))).chain([file("l0/f")]).collect();
    assert_eq!(failure(&[&many]).kind(), ErrorKind::Unsupported);
    // Each link doubles the way.
    let doubling: Vec<Entry> = (0..39).map(|n| symlink(&format!("l{n}"), &format!("l{}/../l{}", n + 1, n + 1))).chain([dir("l39"), file("l0/f")]).collect();
    assert_eq!(failure(&[&doubling]).kind(), ErrorKind::Unsupported);
    // Few links with much to say.
    let wordy: Vec<Entry> = (0..6).map(|n| symlink(&format!("l{n}"), &format!("{}l{}", "d/../".repeat(700), n + 1))).chain([dir("d"), dir("l6")]).collect();
    assert_eq!(failure(&[&wordy, &[file("l0/f")]]).kind(), ErrorKind::Unsupported);
    // Each part is short enough.
    let long = vec!["d"; 1500].join("/");
    let error = failure(&[&[dir(&long), symlink("a", &long), file(&format!("a/{long}"))]]);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn tar_45_parents_are_implied_and_files_give_way_to_them() {
    assert_made(&[&[file("a/b/c"), dir("a")]], &["a/ 1:2", "a/b/ implied", "a/b/c 1:1"]);
    assert_made(&[&[file("a")], &[file("a/b")]], &["a/ implied", "a/b 2:1"]);
    assert_made(&[&[symlink("l", "f/x"), file("f")], &[file("l/y")]], &["f/ implied", "f/x/ implied", "f/x/y 2:1", "l -> f/x 1:1"]);
}

#[test]
fn tar_40_whiteouts_hide_lower_layers_and_nothing_of_their_own() {
    assert_made(&[&[file("a"), dir("d"), file("d/x"), symlink("l", "a")], &[file(".wh.a"), file(".wh.d"), file(".wh.l"), file(".wh.absent")]], &[]);
    assert_in_any_order(&[file("a"), file("b")], &[file(".wh.a"), file("a")], &["a", "b"]);
    assert_in_any_order(&[dir("d"), file("d/old"), dir("d/e"), file("d/e/old")], &[file(".wh.d"), file("d/e/new")], &["d/", "d/e/", "d/e/new"]);
    assert_in_any_order(&[dir("d"), file("d/old")], &[file(".wh.d"), dir("d"), file("d/new")], &["d/", "d/new"]);
    assert_made(&[&[], &[file("absent/.wh.x"), file("f"), file("f/.wh.x")]], &["f 2:2"]);
}

#[test]
fn tar_40_a_directory_whose_lower_self_is_hidden_has_its_own_attributes_or_none() {
    for whiteout in [0, 1] {
        let mut upper = vec![file("d/new")];
        upper.insert(whiteout, file(".wh.d"));
        let rootfs = apply(&[&[dir("d")], &upper]).expect("applied");
        assert!(listing(&rootfs).contains(&"d/ implied".to_owned()), "{:?}", listing(&rootfs));
    }
    assert_made(&[&[dir("d")], &[dir("d"), file("d/new"), file(".wh.d")]], &["d/ 2:1", "d/new 2:2"]);
}

#[test]
fn tar_39_opaque_directories_hide_lower_content_wherever_that_is_said() {
    let lower = [dir("d"), file("d/old"), dir("d/e"), file("d/e/old"), dir("d/f"), file("d/f/old"), file("other")];
    assert_in_any_order(&lower, &[opaque("d"), dir("d"), file("d/new"), file("d/e/new")], &["d/", "d/e/", "d/e/new", "d/new", "other"]);
    assert_in_any_order(&lower, &[opaque("d"), opaque("d/e"), file("d/e/old")], &["d/", "d/e/", "d/e/old", "other"]);
    assert_made(&[&lower, &[file(".wh..wh..opq"), file("x")]], &["x 2:2"]);
    assert_made(
        &[&lower, &[opaque("absent")], &[opaque("other")]],
        &listing(&apply(&[&lower]).expect("applied")).iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

#[test]
fn tar_39_lower_layers_are_hidden_again_in_each_layer() {
    assert_made(&[&[dir("d"), file("d/1")], &[opaque("d"), file("d/2")], &[opaque("d"), file("d/3")]], &["d/ 1:1", "d/3 3:2"]);
}

#[test]
fn tar_42_whiteouts_go_through_linked_directories() {
    assert_made(
        &[&[dir("etc"), file("etc/x"), file("etc/y"), symlink("localetc", "/etc")], &[file("localetc/.wh.x")]],
        &["etc/ 1:1", "etc/y 1:3", "localetc -> /etc 1:4"],
    );
    assert_made(&[&[dir("etc"), file("etc/x"), symlink("l", "etc")], &[opaque("l")]], &["etc/ 1:1", "l -> etc 1:3"]);
}

#[test]
fn tar_41_whiteouts_that_mean_nothing_are_refused_and_directories_are_no_whiteouts() {
    for name in [".wh.", ".wh..", "d/.wh...", ".wh..wh.x"] {
        assert_eq!(failure(&[&[file(name)]]).kind(), ErrorKind::Corrupt);
    }
    assert_made(&[&[dir("etc")], &[dir(".wh.etc")]], &[".wh.etc/ 2:1", "etc/ 1:1"]);
}

#[test]
fn tar_43_an_overlayfs_whiteout_is_a_device() {
    assert_made(&[&[file("a")], &[entry("a", EntryKind::CharDevice { major: 0, minor: 0 })]], &["a! 2:1"]);
}

#[test]
fn tar_11_hard_links_name_what_is_there() {
    assert_made(&[&[file("a")], &[hardlink("b", "a")], &[file("a")]], &["a 3:1", "b 1:1"]);
    for links in [[hardlink("b", "absent"), dir("x")], [dir("d"), hardlink("b", "d")], [hardlink("b", "a"), file("a")]] {
        assert_eq!(failure(&[&links]).kind(), ErrorKind::Corrupt, "{links:?}");
    }
}

#[test]
fn tar_06_and_07_and_08_targets_of_hard_links_are_found_inside() {
    assert_made(&[&[dir("etc"), file("etc/x"), symlink("l", "/etc"), hardlink("b", "l/x")]], &["b 1:2", "etc/ 1:1", "etc/x 1:2", "l -> /etc 1:3"]);
    assert_made(&[&[file("x"), symlink("s", "/etc/passwd"), hardlink("b", "s")]], &["b -> /etc/passwd 1:2", "s -> /etc/passwd 1:2", "x 1:1"]);
}

#[test]
fn a_hard_link_to_itself_or_to_what_it_replaces_is_refused() {
    assert_eq!(failure(&[&[dir("d"), file("d/x"), symlink("l", "d"), hardlink("l/x", "d/x")]]).kind(), ErrorKind::Corrupt);
    assert_eq!(failure(&[&[dir("d"), file("d/x"), hardlink("d", "d/x")]]).kind(), ErrorKind::Corrupt);
    assert_eq!(failure(&[&[file("f"), hardlink("f/x", "f")]]).kind(), ErrorKind::Corrupt);
}

#[test]
fn tar_44_of_two_entries_with_one_path_the_last_counts() {
    let mut rootfs = Rootfs::default();
    rootfs.begin_layer();
    let mut repeated = |entry: Entry| rootfs.apply(&entry, ()).expect("applied").repeated;
    assert!(!repeated(file("a/x")) && !repeated(dir("a")) && repeated(dir("a")) && repeated(file("a/x")) && repeated(file("a")));
    assert!(!repeated(dir("")) && repeated(dir("")));
    rootfs.begin_layer();
    assert!(!rootfs.apply(&file("a"), ()).expect("applied").repeated);
    assert_made(&[&[dir("a"), file("a/x"), file("a")]], &["a 1:3"]);
    assert_made(&[&[file("a"), dir("a"), file("a/x")]], &["a/ 1:2", "a/x 1:3"]);
}

#[test]
fn changes_tell_what_to_do_elsewhere() {
    let mut rootfs = Rootfs::default();
    rootfs.begin_layer();
    for entry in [dir("d"), dir("d/e"), file("d/e/x"), file("d/y"), file("f")] {
        rootfs.apply(&entry, ()).expect("applied");
    }
    rootfs.begin_layer();
    let paths = |rootfs: &Rootfs<()>, ids: &[NodeId]| ids.iter().map(|id| String::from_utf8(rootfs.path(*id)).expect("UTF-8")).collect::<Vec<_>>();
    let change = rootfs.apply(&file("d"), ()).expect("applied");
    let gone = paths(&rootfs, &change.gone);
    assert_eq!(gone.len(), 4);
    let position = |path: &str| gone.iter().position(|gone| gone == path).expect("it has gone");
    assert!(position("d/e/x") < position("d/e") && position("d/e") < position("d") && position("d/y") < position("d"));
    let change = rootfs.apply(&file("f/g/h"), ()).expect("applied");
    assert_eq!((paths(&rootfs, &change.gone), paths(&rootfs, &change.implied)), (vec!["f".to_owned()], vec!["f".to_owned(), "f/g".to_owned()]));
    rootfs.begin_layer();
    rootfs.apply(&file("f/new"), ()).expect("applied");
    let change = rootfs.apply(&file(".wh.f"), ()).expect("applied");
    assert_eq!((paths(&rootfs, &change.gone), paths(&rootfs, &change.forgotten)), (vec!["f/g/h".to_owned(), "f/g".to_owned()], vec!["f".to_owned()]));
}

#[test]
fn text_beyond_the_limit_is_refused_also_of_what_is_gone() {
    let target = "t".repeat(4000);
    let mut rootfs = Rootfs::default();
    rootfs.begin_layer();
    // Each takes the place of the one before.
    let outcome = (0..40_000).find_map(|_| rootfs.apply(&symlink("l", &target), ()).err());
    assert_eq!(outcome.expect("160 MB are too much").kind(), ErrorKind::Unsupported);
    let mut rootfs = Rootfs::<()>::default();
    rootfs.charge(128 << 20).expect("just within");
    assert_eq!(rootfs.charge(1).expect_err("too much").kind(), ErrorKind::Unsupported);
}

#[test]
fn hiding_again_and_again_looks_once() {
    // Looking through the directory each time takes most of a minute.
    let begin = std::time::Instant::now();
    let mut rootfs = Rootfs::default();
    rootfs.begin_layer();
    for n in 0..60_000 {
        rootfs.apply(&file(&format!("d/{n}")), ()).expect("applied");
        rootfs.apply(&opaque("d"), ()).expect("applied");
    }
    assert_eq!(rootfs.walk().len(), 60_002);
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn paths_are_found_as_a_process_inside_would() {
    let rootfs = apply(&[&[dir("usr/bin"), file("usr/bin/sh"), symlink("bin", "usr/bin"), symlink("sh", "/bin/../bin/sh"), symlink("up", "../../usr")]])
        .expect("applied");
    let find = |path: &str, follow| rootfs.find(path.as_bytes(), follow).expect("no loop").map(|id| String::from_utf8(rootfs.path(id)).expect("UTF-8"));
    for path in ["/bin/sh", "bin/sh", "sh", "up/bin/sh", "usr/./bin//sh", "../bin/sh"] {
        assert_eq!(find(path, Follow::Yes).as_deref(), Some("usr/bin/sh"), "{path}");
    }
    assert_eq!(find("sh", Follow::No).as_deref(), Some("sh"));
    assert_eq!(find("", Follow::Yes).as_deref(), Some(""));
    for path in ["absent", "bin/absent", "sh/x", "usr/bin/sh/.."] {
        assert_eq!(find(path, Follow::Yes), None, "{path}");
    }
}
