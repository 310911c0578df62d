use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::build::dockerfile::parse::parse;
use crate::build::dockerfile::plan::{self, Action, CopyPlan};
use crate::build::dockerfile::spec::{DockerfileSpec, MachineSpec};
use crate::spec::Platform;
use crate::store::layout::Options;

/// A context, and a stage to copy into.
struct Case {
    context: tempfile::TempDir,
    ignore: String,
    stage: Files,
}

impl Case {
    /// `d/` is a directory, `a -> b` a link, `a` a file with its path as content, `a!755` one with a mode.
    fn new(context: &[&str], stage: &[&str]) -> Case {
        let temp = tempfile::tempdir().expect("temporary directory");
        for written in context {
            write(temp.path(), written);
        }
        let mut files = Files::default();
        files.begin_layer();
        for written in stage {
            let (path, kind) = match (written.split_once(" -> "), written.strip_suffix('/')) {
                (Some((path, target)), _) => (path, EntryKind::Symlink { target: target.into() }),
                (None, Some(path)) => (path, EntryKind::Directory),
                (None, None) => (*written, EntryKind::File { size: 1 }),
            };
            let entry = Entry { path: path.into(), kind, mode: 0o755, uid: 3, gid: 4, mtime: 0, xattrs: Xattrs::new() };
            let info = crate::build::dockerfile::files::FileInfo { entry: entry.clone(), at: ContentAt { layer: 0, entry: files.walk().len() } };
            files.apply(&entry, Some(Arc::new(info))).expect("applied");
        }
        Case { context: temp, ignore: String::new(), stage: files }
    }

    fn ignoring(mut self, ignore: &str) -> Case {
        self.ignore = ignore.to_owned();
        self
    }

    /// What an instruction puts into the stage, path by path.
    #[track_caller]
    fn copied(&self, instruction: &str) -> Vec<String> {
        self.try_copied(instruction).unwrap_or_else(|error| panic!("{instruction}: {error} {:?}", error.causes()))
    }

    /// Why it puts nothing there: the last cause.
    #[track_caller]
    fn refused(&self, instruction: &str) -> String {
        let error = self.try_copied(instruction).expect_err(instruction);
        error.causes().pop().unwrap_or_else(|| error.message().to_owned())
    }

    fn try_copied(&self, instruction: &str) -> Result<Vec<String>> {
        let ignore = Ignore::parse(".dockerignore", &self.ignore)?;
        self.collect(instruction, &Context { tree: Arc::new(Tree::open(self.context.path())?), ignore: &ignore })
    }

    /// The same from the stage itself.
    #[track_caller]
    fn out_of_stage(&self, instruction: &str) -> Vec<String> {
        self.collect(instruction, &self.stage).unwrap_or_else(|error| panic!("{instruction}: {error} {:?}", error.causes()))
    }

    fn collect(&self, instruction: &str, source: &dyn Source) -> Result<Vec<String>> {
        let run = Run::new(NonZeroUsize::MIN).expect("threads start");
        let plan = planned(&run, instruction);
        let tree = Arc::new(Tree::open(self.context.path())?);
        let work = Work { run: &run, plan: &plan, source, tree: Some(&tree), owner: plan.chown.as_ref().map(|_| (7, 8)) };
        let spool = || Ok(Arc::new(tempfile::tempfile().expect("temporary file")));
        let copied = collect(&work, Some(&self.stage), Archives::Read(&spool))?;
        copied.items.iter().map(|item| Ok(shown(&item.entry(run.timestamps)?))).collect()
    }
}

fn write(root: &Path, written: &str) {
    let parent = |path: &str| std::fs::create_dir_all(root.join(path).parent().expect("a parent")).expect("writable");
    if let Some((path, target)) = written.split_once(" -> ") {
        parent(path);
        return symlink(target, root.join(path)).expect("writable");
    }
    if let Some(path) = written.strip_suffix('/') {
        return std::fs::create_dir_all(root.join(path)).expect("writable");
    }
    let (path, mode) = written.split_once('!').map_or((written, 0o644), |(path, mode)| (path, u32::from_str_radix(mode, 8).expect("octal")));
    parent(path);
    std::fs::write(root.join(path), path).expect("writable");
    std::fs::set_permissions(root.join(path), PermissionsExt::from_mode(mode)).expect("own file");
}

fn planned(run: &Run, instruction: &str) -> CopyPlan {
    let spec = DockerfileSpec {
        name: "Dockerfile".into(),
        file: parse("Dockerfile", &format!("FROM scratch\nFROM scratch\nWORKDIR /work\n{instruction}")).expect("valid"),
        text: String::new(),
        context: ".".into(),
        ignore: Ignore::default(),
        target: None,
        build_args: Vec::new(),
        bases: Vec::new(),
        contexts: Vec::new(),
        host: Platform::new("linux", "amd64", ""),
        machine: MachineSpec::default(),
        cache_from: Vec::new(),
        cache_to: Vec::new(),
    };
    let plan = plan::plan(run, &spec, std::slice::from_ref(&spec.host), &Options::default()).expect("planned");
    match plan.stages.last().and_then(|stage| stage.steps.last()).map(|step| step.action.clone()) {
        Some(Action::Copy(plan)) => *plan,
        other => panic!("{other:?}"),
    }
}

fn shown(entry: &Entry) -> String {
    let kind = match &entry.kind {
        EntryKind::File { size } => format!("{size}"),
        EntryKind::Directory => "/".to_owned(),
        EntryKind::Symlink { target } => format!("-> {}", text::bytes(target)),
        EntryKind::Hardlink { target } => format!("= {}", text::bytes(target)),
        other => format!("{other:?}"),
    };
    let owner = if (entry.uid, entry.gid) == (0, 0) { String::new() } else { format!(" {}:{}", entry.uid, entry.gid) };
    format!("{} {kind} {:o}{owner}", text::bytes(&entry.path), entry.mode)
}

/// The paths alone.
fn paths(copied: &[String]) -> Vec<&str> {
    copied.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect()
}

#[test]
fn a_file_takes_the_name_of_the_destination_or_goes_into_it() {
    let case = Case::new(&["a", "d/b!755"], &["there/", "taken"]);
    assert_eq!(case.copied("COPY a /x/y"), ["x / 755", "x/y 1 644"]);
    assert_eq!(case.copied("COPY a /x/"), ["x / 755", "x/a 1 644"]);
    assert_eq!(case.copied("COPY a /there"), ["there/a 1 644"]);
    assert_eq!(case.copied("COPY a /taken"), ["taken 1 644"]);
    assert_eq!(case.copied("COPY a ."), ["work / 755", "work/a 1 644"]);
    assert_eq!(case.copied("COPY d/b ./c"), ["work / 755", "work/c 3 755"]);
    assert_eq!(case.copied("COPY a d/b /"), ["a 1 644", "b 3 755"]);
    assert!(case.refused("COPY a /taken/x").contains("`/taken` of the stage is not a directory"));
    assert!(case.refused("COPY a d/b /x").contains("is to take 2 files, but is no directory"));
    assert_eq!(paths(&case.copied("COPY a d/b /there")), ["there/a", "there/b"]);
}

#[test]
fn a_directory_means_its_content() {
    let case = Case::new(&["d/a", "d/s/b", "d/s/l -> b", "e/c"], &["there/", "there/s/", "block/", "block/s", "full/", "full/a/"]);
    let modes = std::fs::Permissions::from_mode(0o750);
    std::fs::set_permissions(case.context.path().join("d/s"), modes.clone()).expect("own directory");
    std::fs::set_permissions(case.context.path().join("d"), modes).expect("own directory");
    assert_eq!(case.copied("COPY d /x"), ["x / 755", "x/a 3 644", "x/s / 750", "x/s/b 5 644", "x/s/l -> b 777"]);
    assert_eq!(case.copied("COPY d/ /there"), ["there/a 3 644", "there/s / 750", "there/s/b 5 644", "there/s/l -> b 777"]);
    assert_eq!(paths(&case.copied("COPY d e /x")), ["x", "x/a", "x/c", "x/s", "x/s/b", "x/s/l"]);
    assert_eq!(paths(&case.copied("COPY . /x")), ["x", "x/d", "x/d/a", "x/d/s", "x/d/s/b", "x/d/s/l", "x/e", "x/e/c"]);
    assert!(case.refused("COPY d /block").contains("`/block/s` of the stage is not a directory"));
    assert!(case.refused("COPY d /full").contains("`/full/a` of the stage is a directory"));
}

#[test]
fn links_in_destinations_lead_nowhere_but_into_the_stage() {
    let case = Case::new(
        &["a", "d/lib/x"],
        &["usr/", "usr/lib/", "lib -> usr/lib", "run/", "var/run -> /run", "out -> ../../../../etc", "file -> run/target", "far -> /no/away"],
    );
    assert_eq!(paths(&case.copied("COPY a /lib/")), ["usr/lib/a"]);
    assert_eq!(paths(&case.copied("COPY a /var/run/x/")), ["run/x", "run/x/a"]);
    assert_eq!(paths(&case.copied("COPY a /out/passwd")), ["etc", "etc/passwd"]);
    assert_eq!(paths(&case.copied("COPY a /file")), ["run/target"]);
    assert_eq!(paths(&case.copied("COPY a /far/x")), ["no", "no/away", "no/away/x"]);
    // Below the destination nothing is followed.
    assert!(case.refused("COPY d /").contains("`/lib` of the stage is not a directory"));
    // A layer of its own knows nothing of links.
    assert_eq!(case.copied("COPY --link a /lib/"), ["lib / 755", "lib/a 1 644"]);
}

#[test]
fn links_in_sources_lead_nowhere_but_into_the_context() {
    let case = Case::new(
        &["a", "d/x", "l -> a", "k -> d", "abs -> /d", "up -> ../../../../d", "host -> /etc/passwd", "deep/l -> ../a", "loop -> loop", "d/self -> ../.."],
        &[],
    );
    assert_eq!(case.copied("COPY l /x"), ["x 1 644"]);
    assert_eq!(paths(&case.copied("COPY l /x/")), ["x", "x/l"]);
    for source in ["k", "abs", "up", "k/", "d/self/d"] {
        assert_eq!(case.copied(&format!("COPY {source} /x")), ["x / 755", "x/self -> ../.. 777", "x/x 3 644"], "{source}");
    }
    assert_eq!(case.copied("COPY k/x abs/x deep/l /y/"), ["y / 755", "y/l 1 644", "y/x 3 644"]);
    assert!(case.refused("COPY host /x").contains("there is no `host` to copy"));
    assert!(case.refused("COPY loop /x").contains("more than 40 symbolic links"));
    assert_eq!(case.copied("COPY ../../a /x"), ["x 1 644"]);
    assert!(case.refused("COPY ../../etc/passwd /x").contains("there is no `../../etc/passwd`"));
    // A link inside of a directory is copied as what it is.
    assert!(case.copied("COPY . /x").contains(&"x/host -> /etc/passwd 777".to_owned()));
}

#[test]
fn patterns_match_within_components() {
    let case = Case::new(&["a.txt", "b.txt", "c.md", "d/a.txt", "d/e/f.txt", "l.txt -> c.md", "[0].txt"], &["there/"]);
    assert_eq!(paths(&case.copied("COPY *.txt /x/")), ["x", "x/[0].txt", "x/a.txt", "x/b.txt", "x/l.txt"]);
    assert!(case.copied("COPY *.txt /x/").contains(&"x/l.txt 4 644".to_owned()));
    assert_eq!(paths(&case.copied("COPY */*.txt /x/")), ["x", "x/a.txt"]);
    assert_eq!(paths(&case.copied("COPY ?.md /x/")), ["x", "x/c.md"]);
    assert_eq!(paths(&case.copied("COPY [[]0].txt /x/")), ["x", "x/[0].txt"]);
    assert_eq!(paths(&case.copied("COPY d* /there")), ["there/a.txt", "there/e", "there/e/f.txt"]);
    assert_eq!(case.copied("COPY no* /x/"), [""; 0]);
    assert!(case.refused("COPY *.txt /x").contains("files, but is no directory"));
}

#[test]
fn ignored_files_are_not_there() {
    let case = Case::new(&["a", "secret", "d/keep", "d/drop", "d/e/keep", "l -> secret"], &[]).ignoring("secret\nd\n!d/keep\n!d/e/keep\n");
    assert_eq!(paths(&case.copied("COPY . /x")), ["x", "x/a", "x/d", "x/d/e", "x/d/e/keep", "x/d/keep", "x/l"]);
    assert!(case.refused("COPY secret /x").contains("there is no `secret` to copy"));
    assert!(case.refused("COPY l /x").contains("there is no `l` to copy"));
    assert!(case.refused("COPY d/drop /x").contains("there is no `d/drop` to copy"));
    assert_eq!(paths(&case.copied("COPY d /x")), ["x", "x/e", "x/e/keep", "x/keep"]);
    assert_eq!(paths(&case.copied("COPY s* /x/")), [""; 0]);
    let error = case.try_copied("COPY secret /x").expect_err("ignored");
    assert_eq!(error.hint_text(), Some("the ignore file leaves it out of the context"));
}

#[test]
fn owners_and_modes_are_what_the_flags_say() {
    let case = Case::new(&["a!600", "d/b!755"], &[]);
    assert_eq!(case.copied("COPY --chown=app a d /x/"), ["x / 755 7:8", "x/a 1 600 7:8", "x/b 3 755 7:8"]);
    assert_eq!(case.copied("COPY --chmod=640 d /x"), ["x / 755", "x/b 3 640"]);
    assert_eq!(case.copied("COPY --chmod=a+rX a /x"), ["x 1 644"]);
    assert_eq!(case.copied("COPY --chmod=u=rwX,go= . /x"), ["x / 755", "x/a 1 600", "x/d / 700", "x/d/b 3 700"]);
    assert_eq!(case.copied("COPY --chown=app --chmod=700 <<EOF /f\nhi\nEOF"), ["f 3 700 7:8"]);
    // From a stage everything stays whose it is.
    let case = Case::new(&[], &["s/", "s/a", "s/l -> a"]);
    assert_eq!(case.out_of_stage("COPY --from=0 /s /x"), ["x / 755", "x/a 1 755 3:4", "x/l -> a 755 3:4"]);
    assert_eq!(case.out_of_stage("COPY --from=0 --chown=app /s/l /x"), ["x 1 755 7:8"]);
}

#[test]
fn what_is_excluded_is_left_out() {
    let case = Case::new(&["a.o", "a.c", "d/b.o", "d/b.c", "d/e/c.o"], &[]);
    assert_eq!(paths(&case.copied("COPY --exclude=*.o . /x")), ["x", "x/a.c", "x/d", "x/d/b.c", "x/d/b.o", "x/d/e", "x/d/e/c.o"]);
    assert_eq!(paths(&case.copied("COPY --exclude=**/*.o . /x")), ["x", "x/a.c", "x/d", "x/d/b.c", "x/d/e"]);
    assert_eq!(paths(&case.copied("COPY --exclude=d --exclude=!d/e . /x")), ["x", "x/a.c", "x/a.o", "x/d", "x/d/e", "x/d/e/c.o"]);
    assert_eq!(paths(&case.copied("COPY --exclude=*.o a.* /x/")), ["x", "x/a.c"]);
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    let case = Case::new(&["x/a.txt", "x/y/b.txt", "x/y/z/c.md"], &[]);
    assert_eq!(paths(&case.copied("COPY --parents x/a.txt x/y/b.txt /p/")), ["p", "p/x", "p/x/a.txt", "p/x/y", "p/x/y/b.txt"]);
    assert_eq!(paths(&case.copied("COPY --parents ./x/./y /p/")), ["p", "p/y", "p/y/b.txt", "p/y/z", "p/y/z/c.md"]);
    assert_eq!(paths(&case.copied("COPY --parents x/**/*.txt /p/")), ["p", "p/x", "p/x/a.txt", "p/x/y", "p/x/y/b.txt"]);
    assert_eq!(paths(&case.copied("COPY --parents --exclude=**/b.txt x/./** /p")), ["p", "p/a.txt", "p/y", "p/y/z", "p/y/z/c.md"]);
    assert!(case.refused("COPY --parents x/no /p/").contains("there is no `x/no` to copy"));
}

#[test]
fn names_of_one_file_stay_one_file() {
    let case = Case::new(&["d/a"], &["s/", "s/a"]);
    std::fs::hard_link(case.context.path().join("d/a"), case.context.path().join("d/b")).expect("linked");
    assert_eq!(case.copied("COPY d /x"), ["x / 755", "x/a 3 644", "x/b = x/a 644"]);
    assert_eq!(case.out_of_stage("COPY --from=0 /s /s/a /x/"), ["x / 755", "x/a 1 755 3:4"]);
}

#[test]
fn what_a_layer_cannot_hold_is_refused() {
    let case = Case::new(&["d/.wh.x", "ok"], &[]);
    assert!(case.refused("COPY d /x").contains("means deletion in a layer"));
    assert!(case.refused("COPY ok /.wh.y").contains("means deletion in a layer"));
    assert!(case.refused("COPY ok /.wh.y/x").contains("means deletion in a layer"));
    rustix::fs::mknodat(rustix::fs::CWD, case.context.path().join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("made");
    assert!(case.refused("COPY pipe /x").contains("is a device or a named pipe"));
}

/// A tar of entries, each a path with what it is: `d/`, `a -> b`, `a = b`, `a`.
fn tar(entries: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for written in entries {
        let file = |path: &str| (path.to_owned(), EntryKind::File { size: path.len() as u64 });
        let (path, kind) = if let Some((path, target)) = written.split_once(" -> ") {
            (path.to_owned(), EntryKind::Symlink { target: target.into() })
        } else if let Some((path, target)) = written.split_once(" = ") {
            (path.to_owned(), EntryKind::Hardlink { target: target.into() })
        } else if let Some(path) = written.strip_suffix('/') {
            (path.to_owned(), EntryKind::Directory)
        } else {
            file(written)
        };
        let entry = Entry { path: path.clone().into(), kind, mode: 0o750, uid: 5, gid: 6, mtime: 0, xattrs: Xattrs::new() };
        crate::layer::tar::write::header(&entry, &mut out).expect("valid");
        if entry.size() > 0 {
            out.extend_from_slice(path.as_bytes());
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn archives_are_extracted_by_add_alone() {
    let case = Case::new(&["plain"], &["lib -> usr/lib", "usr/", "usr/lib/", "blocked -> /nowhere"]);
    let archive = tar(&["etc/", "etc/a", "etc/b = etc/a", "lib/x", "l -> etc"]);
    std::fs::write(case.context.path().join("a.tar"), &archive).expect("writable");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &archive).expect("in memory");
    std::fs::write(case.context.path().join("a.tar.gz"), gzip.finish().expect("in memory")).expect("writable");
    std::fs::write(case.context.path().join("a.tar.zst"), zstd::encode_all(&archive[..], 1).expect("in memory")).expect("writable");
    for name in ["a.tar", "a.tar.gz", "a.tar.zst"] {
        let extracted = case.copied(&format!("ADD {name} /"));
        assert_eq!(extracted, ["etc / 750 5:6", "etc/a 5 750 5:6", "etc/b = etc/a 750 5:6", "l -> etc 750 5:6", "usr/lib/x 5 750 5:6"], "{name}");
        assert_eq!(paths(&case.copied(&format!("COPY {name} /x/"))), ["x", &format!("x/{name}")]);
        assert_eq!(paths(&case.copied(&format!("ADD --unpack=false {name} /x/"))), ["x", &format!("x/{name}")]);
    }
    assert_eq!(case.copied("ADD --chown=app a.tar plain /x/")[..3], ["x / 755 7:8", "x/etc / 750 7:8", "x/etc/a 5 750 7:8"]);
    // What is in the archive replaces links of the stage, as tar does.
    std::fs::write(case.context.path().join("b.tar"), tar(&["lib/", "lib/y", "blocked/", "blocked/z"])).expect("writable");
    assert_eq!(paths(&case.copied("ADD b.tar /")), ["blocked", "blocked/z", "lib", "lib/y"]);
    // No archive is in it.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"text").expect("in memory");
    std::fs::write(case.context.path().join("text.gz"), gzip.finish().expect("in memory")).expect("writable");
    assert_eq!(paths(&case.copied("ADD text.gz plain /x/")), ["x", "x/plain", "x/text.gz"]);
}

#[test]
fn archives_lead_nowhere_but_into_the_stage() {
    let case = Case::new(&[], &["out -> /../../host"]);
    std::fs::write(case.context.path().join("a.tar"), tar(&["out/x"])).expect("writable");
    assert_eq!(paths(&case.copied("ADD a.tar /")), ["host", "host/x"]);
    std::fs::write(case.context.path().join("w.tar"), tar(&[".wh.x"])).expect("writable");
    assert!(case.refused("ADD w.tar /").contains("means deletion in a layer"));
    std::fs::write(case.context.path().join("e.tar"), tar(&["evil -> /etc", "evil/passwd"])).expect("writable");
    assert!(case.try_copied("ADD e.tar /").is_err());
}
