#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::layer::entry::path_order;

fn run(jobs: usize) -> Run {
    Run::new(NonZeroUsize::new(jobs).unwrap()).unwrap()
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn paths(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| std::str::from_utf8(&found.path).unwrap()).collect()
}

fn read_all(tree: &Tree, found: &Found) -> Result<Vec<u8>> {
    let mut file = tree.open_file(found)?;
    let mut content = vec![0; usize::try_from(found.stat.size).unwrap()];
    assert_eq!(file.read_into(&mut content)?, content.len());
    file.finish()?;
    Ok(content)
}

fn assert_changed<T>(result: Result<T>, name: &str) {
    let error = result.err().expect("the change is noticed");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.message().contains("changed while it was being read") && error.message().contains(name), "{error}");
}

#[test]
fn rep_03_the_order_is_that_of_paths_for_every_number_of_threads() {
    let dir = temp();
    let names = ["b/z", "b-a", "a/b/c", "a!/x", "a/b-c", "a/b/d/e", "c", "A"];
    for name in names.iter().rev() {
        write(dir.path(), name, b"");
    }
    let tree = Tree::open(dir.path()).unwrap();
    let one = tree.walk(&run(1), |_, _| Keep::Yes).unwrap();
    assert_eq!(paths(&one), ["", "A", "a", "a/b", "a/b/c", "a/b/d", "a/b/d/e", "a/b-c", "a!", "a!/x", "b", "b/z", "b-a", "c"]);
    assert!(one.is_sorted_by(|a, b| path_order(&a.path, &b.path).is_lt()));
    assert_eq!(tree.walk(&run(4), |_, _| Keep::Yes).unwrap(), one);
}

#[test]
fn many_directories_are_in_order() {
    let dir = temp();
    for outer in 0..40 {
        for inner in 0..5 {
            write(dir.path(), &format!("{outer}/{inner}/f"), b"x");
        }
    }
    let found = Tree::open(dir.path()).unwrap().walk(&run(3), |_, _| Keep::Yes).unwrap();
    assert_eq!(found.len(), 1 + 40 + 200 + 200);
    assert!(found.is_sorted_by(|a, b| path_order(&a.path, &b.path).is_lt()));
}

#[test]
fn the_filter_leaves_out_and_prunes() {
    let dir = temp();
    for name in ["keep/x", "no/x", "no/deep/y", "prune/x", "z"] {
        write(dir.path(), name, b"");
    }
    let asked = Mutex::new(Vec::new());
    let found = Tree::open(dir.path())
        .unwrap()
        .walk(&run(2), |path, is_dir| {
            asked.lock().unwrap().push((String::from_utf8(path.to_vec()).unwrap(), is_dir));
            match path {
                b"no" | b"z" => Keep::No,
                b"prune" => Keep::Prune,
                _ => Keep::Yes,
            }
        })
        .unwrap();
    assert_eq!(paths(&found), ["", "keep", "keep/x", "no/deep", "no/deep/y", "no/x"]);
    let mut asked = asked.into_inner().unwrap();
    asked.sort();
    let expected = [("keep", true), ("keep/x", false), ("no", true), ("no/deep", true), ("no/deep/y", false), ("no/x", false), ("prune", true), ("z", false)];
    assert_eq!(asked.iter().map(|(path, is_dir)| (path.as_str(), *is_dir)).collect::<Vec<_>>(), expected);
}

#[test]
fn every_kind_is_found_and_links_are_not_followed() {
    let dir = temp();
    write(dir.path(), "outside/secret", b"");
    let root = dir.path().join("tree");
    fs::create_dir(&root).unwrap();
    symlink("../outside", root.join("link")).unwrap();
    symlink("gone", root.join("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let tree = Tree::open(&root).unwrap();
    let found = tree.walk(&run(2), |_, _| Keep::Yes).unwrap();
    assert_eq!(paths(&found), ["", "dangling", "link", "pipe", "socket"]);
    assert!(found[1].stat.is_symlink() && found[2].stat.is_symlink() && found[3].stat.is_fifo() && found[4].stat.is_socket());
    assert_eq!(tree.read_link(&found[2]).unwrap(), b"../outside");
    assert_eq!(found[2].stat.file_size(), 0);
    assert_changed(tree.open_file(&found[3]), "pipe");
    assert_eq!(tree.find(b"link/secret").unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_link_as_the_root_is_followed_once() {
    let dir = temp();
    write(dir.path(), "real/x", b"");
    symlink("real", dir.path().join("link")).unwrap();
    let found = Tree::open(&dir.path().join("link")).unwrap().walk(&run(1), |_, _| Keep::Yes).unwrap();
    assert_eq!(paths(&found), ["", "x"]);
    assert_eq!(Tree::open(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Tree::open(&dir.path().join("real/x")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn tar_48_names_of_any_bytes() {
    let dir = temp();
    let name = std::ffi::OsStr::from_bytes(b"\xff\n\x1b \xe2\x80\xae");
    fs::write(dir.path().join(name), b"x").unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let found = tree.walk(&run(1), |_, _| Keep::Yes).unwrap();
    assert_eq!(found[1].path, name.as_bytes());
    assert_eq!(read_all(&tree, &found[1]).unwrap(), b"x");
    fs::remove_file(dir.path().join(name)).unwrap();
    let message = tree.open_file(&found[1]).unwrap_err().message().to_owned();
    assert!(message.contains("\\xff\\n\\u{1b} \\u{202e}"), "{message}");
}

#[test]
fn a_deep_tree_is_walked_and_a_too_deep_one_refused() {
    let dir = temp();
    let root = rustix::fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut deepest = root;
    let step = "d".repeat(63);
    let descend = |from: &OwnedFd| {
        rustix::fs::mkdirat(from, step.as_str(), Mode::from_raw_mode(0o755)).unwrap();
        rustix::fs::openat(from, step.as_str(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    };
    for _ in 0..64 {
        deepest = descend(&deepest);
    }
    let tree = Tree::open(dir.path()).unwrap();
    let found = tree.walk(&run(2), |_, _| Keep::Yes).unwrap();
    assert_eq!((found.len(), found[64].path.len()), (65, MAX_PATH));
    let access = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let slow = by_component(&tree.root, &found[64].path, access).unwrap();
    assert!(Stat::from(rustix::fs::fstat(slow).unwrap()).is_same_inode(&found[64].stat));
    descend(&deepest);
    assert_eq!(tree.walk(&run(2), |_, _| Keep::Yes).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn opening_by_component_follows_no_link_either() {
    let dir = temp();
    write(dir.path(), "a/b/c", b"");
    symlink("a", dir.path().join("link")).unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for open in [|tree: &Tree, path: &[u8], flags| by_component(&tree.root, path, flags), |tree: &Tree, path: &[u8], _| beneath(&tree.root, path, OFlags::PATH)]
    {
        assert!(open(&tree, b"a/b", flags).is_ok());
        assert!(matches!(open(&tree, b"link/b", flags), Err(Errno::LOOP | Errno::NOTDIR)));
        assert!(matches!(open(&tree, b"link", flags), Err(Errno::LOOP | Errno::NOTDIR)));
    }
    assert!(matches!(beneath(&tree.root, b"..", OFlags::PATH), Err(Errno::XDEV)));
}

#[test]
fn an_unreadable_directory_is_named() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let dir = temp();
    write(dir.path(), "closed/x", b"");
    fs::set_permissions(dir.path().join("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let error = Tree::open(dir.path()).unwrap().walk(&run(1), |_, _| Keep::Yes).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.message().ends_with("/closed"), "{error}");
}

#[test]
fn a_directory_that_vanishes_or_becomes_a_link_is_named() {
    for replace in [false, true] {
        let dir = temp();
        write(dir.path(), "a/gone/x", b"");
        write(dir.path(), "other/y", b"");
        let error = Tree::open(dir.path()).unwrap().walk(&run(1), |path, _| {
            // Asked in the generation after the one that found `a/gone`, and before that directory is scanned.
            if path == b"other/y" {
                fs::remove_dir_all(dir.path().join("a/gone")).unwrap();
                if replace {
                    symlink("../other", dir.path().join("a/gone")).unwrap();
                }
            }
            Keep::Yes
        });
        assert_changed(error, "a/gone");
    }
}

#[test]
fn a_cancelled_walk_is_interrupted() {
    let dir = temp();
    let run = run(1);
    run.cancel.cancel();
    assert_eq!(Tree::open(dir.path()).unwrap().walk(&run, |_, _| Keep::Yes).unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn files_are_read_in_pieces_of_any_size() {
    let dir = temp();
    let content: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
    write(dir.path(), "f", &content);
    let tree = Tree::open(dir.path()).unwrap();
    let found = tree.find(b"f").unwrap();
    for piece in [1, 7, 4096, 9_999, 10_000, 10_001, 70_000] {
        let mut file = tree.open_file(&found).unwrap();
        let (mut out, mut buf) = (Vec::new(), vec![0; piece]);
        while file.left() > 0 {
            let read = file.read_into(&mut buf).unwrap();
            out.extend_from_slice(&buf[..read]);
        }
        assert_eq!(file.read_into(&mut buf).unwrap(), 0);
        file.finish().unwrap();
        assert!(out == content, "pieces of {piece}");
    }
}

#[test]
fn a_file_that_was_not_read_to_its_end_does_not_finish() {
    let dir = temp();
    write(dir.path(), "f", b"abc");
    let tree = Tree::open(dir.path()).unwrap();
    let mut file = tree.open_file(&tree.find(b"f").unwrap()).unwrap();
    file.read_into(&mut [0; 2]).unwrap();
    assert!(file.finish().is_err());
}

#[test]
fn tar_57_a_file_that_changed_since_the_walk_is_refused() {
    let change: [fn(&Path); 6] = [
        |path| fs::write(path, b"longer content").unwrap(),
        |path| fs::write(path, b"no").unwrap(),
        |path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        },
        |path| {
            fs::write(path.with_extension("new"), b"content").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        },
    ];
    for change in change {
        let dir = temp();
        write(dir.path(), "d/f", b"content");
        let tree = Tree::open(dir.path()).unwrap();
        let found = tree.walk(&run(1), |_, _| Keep::Yes).unwrap();
        assert_eq!(read_all(&tree, &found[2]).unwrap(), b"content");
        change(&dir.path().join("d/f"));
        assert_changed(tree.open_file(&found[2]), "d/f");
    }
}

#[test]
fn tar_57_a_file_that_shrinks_while_it_is_read_is_refused() {
    let dir = temp();
    write(dir.path(), "f", &[1; 9000]);
    let tree = Tree::open(dir.path()).unwrap();
    let mut file = tree.open_file(&tree.find(b"f").unwrap()).unwrap();
    let mut buf = [0; 4096];
    file.read_into(&mut buf).unwrap();
    fs::File::options().write(true).open(dir.path().join("f")).unwrap().set_len(5000).unwrap();
    assert_changed(file.read_into(&mut buf), "f");
}

#[test]
fn tar_57_a_file_that_grows_while_it_is_read_is_refused() {
    let dir = temp();
    for (size, before) in [(9000, 4096), (9000, 9000), (0, 0)] {
        write(dir.path(), "f", &vec![1; size]);
        let tree = Tree::open(dir.path()).unwrap();
        let mut file = tree.open_file(&tree.find(b"f").unwrap()).unwrap();
        let mut buf = vec![0; before];
        file.read_into(&mut buf).unwrap();
        fs::File::options().append(true).open(dir.path().join("f")).unwrap().write_all(b"more").unwrap();
        let rest = usize::try_from(file.left()).unwrap();
        let outcome = file.read_into(&mut vec![0; rest]).and_then(|_| file.finish());
        assert_changed(outcome, "f");
    }
}

#[test]
fn tar_57_content_that_is_rewritten_while_it_is_read_is_refused() {
    let dir = temp();
    write(dir.path(), "f", &[1; 9000]);
    let tree = Tree::open(dir.path()).unwrap();
    // Times move with the kernel's tick: waits until it has ticked.
    let before = tree.find(b"f").unwrap().stat.mtime;
    while tree.find(b"probe").map_or(before, |probe| probe.stat.mtime) == before {
        write(dir.path(), "probe", b"x");
    }
    let mut file = tree.open_file(&tree.find(b"f").unwrap()).unwrap();
    file.read_into(&mut [0; 9000]).unwrap();
    fs::File::options().write(true).open(dir.path().join("f")).unwrap().write_all_at(b"other", 0).unwrap();
    assert_changed(file.finish(), "f");
}

#[test]
fn files_that_tell_no_size_are_refused() {
    let tree = Tree::open(Path::new("/proc/self")).unwrap();
    let found = tree.find(b"status").unwrap();
    assert_eq!(found.stat.size, 0);
    assert!(tree.open_file(&found).and_then(SourceFile::finish).is_err());
}

#[test]
fn xattrs_are_read_whole_and_are_empty_where_there_are_none() {
    let dir = temp();
    for name in ["d/f", "d/plain"] {
        write(dir.path(), name, b"x");
    }
    symlink("f", dir.path().join("d/link")).unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let large = vec![7; 2000];
    let values: [(&[u8], &[u8]); 3] = [(b"user.a", b""), (b"user.binary", b"\0\n\xff"), (b"user.large", &large)];
    for (name, value) in values {
        match rustix::fs::setxattr(dir.path().join("d/f"), name, value, rustix::fs::XattrFlags::empty()) {
            // Without attributes on this file system there is nothing to test.
            Err(Errno::OPNOTSUPP) => return,
            result => result.unwrap(),
        }
    }
    let expected: Xattrs = values.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let user = |xattrs: Xattrs| xattrs.into_iter().filter(|(name, _)| name.starts_with(b"user.")).collect::<Xattrs>();
    let found = tree.find(b"d/f").unwrap();
    assert_eq!(user(tree.xattrs(&found).unwrap()), expected);
    assert_eq!(user(tree.open_file(&found).unwrap().xattrs().unwrap()), expected);
    let (parent, name) = tree.parent_of(&found.path).unwrap();
    assert_eq!(user(xattr::by_path(&found, &parent, name).unwrap()), expected);
    for other in [&b"d/plain"[..], b"d/link", b"d", b""] {
        assert_eq!(user(tree.xattrs(&tree.find(other).unwrap()).unwrap()), Xattrs::new());
    }
    let link = tree.find(b"d/link").unwrap();
    assert_eq!(xattr::by_descriptor(&link, &parent, b"link"), Err(Errno::OPNOTSUPP));
}

#[test]
fn find_tells_of_one_path() {
    let dir = temp();
    write(dir.path(), "a/b", b"xyz");
    let tree = Tree::open(dir.path()).unwrap();
    let found = tree.find(b"a/b").unwrap();
    assert_eq!((found.stat.file_size(), found.stat.is_file()), (3, true));
    assert!(tree.find(b"").unwrap().stat.is_dir());
    assert_eq!(tree.find(b"a/none").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(tree.path_of(&found), dir.path().join("a/b"));
}
