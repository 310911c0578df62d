use super::*;
use crate::error::ErrorKind;
use crate::layer::Entry;
use crate::layer::inventory::sample::{device, dir, fifo, file, hardlink, link};
use crate::ops::sample::{Layer, Sample, run};
use crate::spec::{Descriptor, Platform};

/// A layout with one image.
struct Cat {
    sample: Sample,
    layers: Vec<Descriptor>,
}

impl Cat {
    fn new(layers: &[Layer<'_>]) -> Cat {
        let sample = Sample::new();
        let draft = sample.draft(layers);
        sample.name("image", &sample.image(draft.clone()));
        Cat { sample, layers: draft.manifest.layers }
    }

    fn find(&self, paths: &[&str]) -> Result<Files> {
        let choice = Choice::OnlyOr(Platform::new("linux", "amd64", ""));
        let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        find(&run(), &CatRequest { image: self.sample.location("image"), choice, paths, options: Options::default() })
    }

    fn cat(&self, paths: &[&str]) -> Result<String> {
        let mut shown = Vec::new();
        self.find(paths)?.write(&run(), &mut |bytes| {
            shown.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(String::from_utf8(shown).expect("text"))
    }

    #[track_caller]
    fn refused(&self, path: &str) -> (ErrorKind, String, Option<String>) {
        let error = self.find(&[path]).expect_err("refused");
        assert_eq!(error.subject_text(), Some(path));
        (error.kind(), error.message().to_owned(), error.hint_text().map(str::to_owned))
    }
}

#[test]
fn the_upper_layer_tells_what_a_path_is() {
    let image = Cat::new(&[
        vec![file("a", "old"), file("b", "b"), dir("d"), file("d/x", "x"), link("l", "/d/../a")],
        vec![file("a", "new"), file(".wh.b", ""), hardlink("same", "d/x")],
        vec![file("d/.wh..wh..opq", ""), file("d/y", "y")],
    ]);
    for (path, content) in [("a", "new"), ("/a", "new"), ("l", "new"), ("./d//y", "y"), ("../same", "x"), ("d/../l", "new")] {
        assert_eq!(image.cat(&[path]).expect(path), content, "{path}");
    }
    assert_eq!(image.cat(&["d/y", "a", "d/y"]).expect("there"), "ynewy");
    for path in ["b", "d/x", "a/x", "a/"] {
        assert_eq!(image.find(&[path]).expect_err(path).kind(), ErrorKind::NotFound, "{path}");
    }
}

#[test]
fn layers_below_what_tells_all_are_not_read() {
    let image = Cat::new(&[
        vec![dir("usr"), file("usr/base", "base"), link("lib", "usr")],
        vec![dir("usr"), file("usr/middle", "middle")],
        vec![dir("usr"), dir("usr/bin"), file("usr/bin/app", "app"), link("app", "usr/bin/app")],
    ]);
    let blobs: Vec<_> = image.layers.iter().map(|layer| image.sample.blob(layer)).collect();
    std::fs::remove_file(&blobs[0]).expect("there");
    assert_eq!(image.cat(&["usr/bin/app", "/app"]).expect("the top is enough"), "appapp");
    assert_eq!(image.cat(&["usr/middle"]).expect("so are the two"), "middle");
    // The way leads through a link of the lowest, nobody knows what the lowest has, and one of two files is in it.
    for paths in [&["lib/middle"][..], &["usr/other"], &["usr/bin"], &["usr/bin/app", "usr/base"]] {
        assert_eq!(image.find(paths).expect_err("it takes all").subject_text(), Some(image.layers[0].digest.as_str()), "{paths:?}");
    }
    // What was read is proved, also where the file is in a higher layer.
    std::fs::remove_file(&blobs[1]).expect("there");
    assert_eq!(image.cat(&["usr/bin/app"]).expect("the top is enough"), "app");
    std::fs::write(&blobs[2], b"another").expect("writable");
    assert_eq!(image.find(&["usr/bin/app"]).expect_err("damaged").kind(), ErrorKind::Corrupt);
}

#[test]
fn what_is_missing_is_told_with_what_is_there() {
    let image = Cat::new(&[vec![
        file("etc/os-release", ""),
        file("etc/passwd", ""),
        dir("empty"),
        link("etc/dangling", "../nowhere/x"),
        link("etc/loop", "loop"),
        link("l", "etc"),
    ]]);
    let missing = |message: &str, hint: Option<&str>| (ErrorKind::NotFound, format!("`{message}"), hint.map(str::to_owned));
    for (path, message, hint) in [
        ("/etc/os-relaese", "/etc/os-relaese` is not there", Some("did you mean `/etc/os-release`?")),
        ("etc/os-relaese", "etc/os-relaese` is not there", Some("did you mean `/etc/os-release`?")),
        ("/ect/passwd", "/ect/passwd` is not there", Some("did you mean `/etc`?")),
        ("/l/passwt", "/l/passwt` is not there", Some("did you mean `/l/passwd`?")),
        ("/etc/zzz", "/etc/zzz` is not there", Some("`/etc` has dangling, loop, os-release, passwd")),
        ("/usr/bin", "/usr/bin` is not there", Some("the root of the image has empty, etc, l")),
        ("/empty/x", "/empty/x` is not there", Some("`/empty` is empty")),
        ("/etc/passwd/x", "/etc/passwd/x` is not there: `/etc/passwd` is no directory", None),
        ("/etc/passwd/", "/etc/passwd/` is not there: without the slash it is a file", None),
        ("/etc/dangling", "/etc/dangling` is not there: `/etc/dangling` is a symbolic link to `../nowhere/x`, where there is nothing", None),
        ("/etc/dangling/y", "/etc/dangling/y` is not there: `/etc/dangling` is a symbolic link to `../nowhere/x`, where there is nothing", None),
    ] {
        assert_eq!(image.refused(path), missing(message, hint));
    }
    assert_eq!(image.find(&["etc/loop"]).expect_err("a loop").kind(), ErrorKind::Unsupported);
}

#[test]
fn what_has_no_content_is_told_for_what_it_is() {
    let many: Vec<(Entry, &str)> = (0..15).map(|n| file(&format!("many/{n:02}"), "")).collect();
    let image = Cat::new(&[vec![dir("d"), file("d/x", ""), dir("empty"), fifo("pipe"), device("null", 1, 3), link("to", "d")], many]);
    let usage = |message: &str, hint: Option<&str>| (ErrorKind::Usage, message.to_owned(), hint.map(str::to_owned));
    assert_eq!(image.refused("/d"), usage("`/d` is a directory", Some("it has x")));
    assert_eq!(image.refused("to"), usage("`to` is a directory", Some("it has x")));
    assert_eq!(image.refused("empty/"), usage("`empty/` is a directory", Some("it is empty")));
    assert_eq!(image.refused("/many"), usage("`/many` is a directory", Some("it has 00, 01, 02, 03, 04, 05, 06, 07, 08, 09 and 5 more")));
    assert_eq!(image.refused("pipe"), usage("`pipe` is a named pipe, which has no content in an image", None));
    assert_eq!(image.refused("null"), usage("`null` is a character device, which has no content in an image", None));
}

#[test]
fn a_report_tells_where_the_file_is_and_whose() {
    let mut program = file("usr/bin/program", "\0\u{1}content");
    (program.0.mode, program.0.uid, program.0.gid) = (0o4755, 5, 6);
    let image = Cat::new(&[vec![program], vec![link("bin", "usr/bin"), link("other", "bin/program")]]);
    // Kept, because the names are the same, and read again.
    for asked in ["/bin/program", "/other"] {
        let report = image.find(&[asked]).and_then(|files| files.report(&run())).expect("there");
        let found = &report.files[0];
        assert_eq!((report.platform.as_str(), found.asked.as_str(), found.path.as_str()), ("linux/amd64", asked, "usr/bin/program"));
        assert_eq!((&found.layer, &*found.mode, found.uid, found.gid, found.mtime), (&image.layers[0].digest, "4755", 5, 6, 1_000_000_000));
        assert_eq!((found.size, &found.sha256, &*found.content), (9, &Digest::sha256(b"\0\x01content"), "AAFjb250ZW50"));
    }
}

#[test]
fn lay_61_content_that_changes_between_two_looks_is_corrupt() {
    let image = Cat::new(&[vec![file("name", "content"), link("other", "name")]]);
    let files = image.find(&["other"]).expect("there");
    let blob = image.sample.blob(&image.layers[0]);
    let mut bytes = std::fs::read(&blob).expect("there");
    bytes[512] = b'C';
    std::fs::remove_file(&blob).and_then(|()| std::fs::write(&blob, bytes)).expect("writable");
    let mut shown = Vec::new();
    let outcome = files.write(&run(), &mut |bytes| {
        shown.extend_from_slice(bytes);
        Ok(())
    });
    assert_eq!(outcome.expect_err("another content").kind(), ErrorKind::Corrupt);
    assert_eq!(image.find(&["name"]).expect_err("damaged").kind(), ErrorKind::Corrupt);
}

#[test]
fn a_failure_of_the_reader_is_the_failure() {
    let image = Cat::new(&[vec![file("name", "content"), link("other", "name")]]);
    for path in ["name", "other"] {
        let outcome = image.find(&[path]).expect("there").write(&run(), &mut |_| Err(Error::new(ErrorKind::Io, "full")));
        let error = outcome.expect_err("full");
        assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "full"));
    }
}
