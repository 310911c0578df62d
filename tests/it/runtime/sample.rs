//! A small root filesystem, and steps in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use larder::exec::Cancel;
use larder::runtime::{Options, Outcome, Program, Rootfs, Step, Stream, Workspace};
use tempfile::TempDir;

use crate::support::process::{Runs as _, temp};
use crate::support::tools::{root, tool};

/// A place to run steps in.
pub(crate) struct Sample {
    home: TempDir,
    runtime: Program,
}

/// What came of a step, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: larder::Result<Outcome>,
    pub(crate) output: Vec<String>,
    pub(crate) error: Vec<String>,
}

impl Sample {
    /// `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn new() -> Option<Sample> {
        if !root() {
            return None;
        }
        let sample = Sample { runtime: Program::at(&tool("runc")?).expect("a runtime"), home: temp() };
        make_rootfs(&sample.rootfs(), &tool("busybox")?);
        Some(sample)
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    /// The root filesystem: a shell with all that belongs to it, and some files to change.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.home.path().join("rootfs")
    }

    pub(crate) fn workspace(&self) -> Workspace {
        self.workspace_of(Rootfs::Overlay)
    }

    pub(crate) fn workspace_of(&self, rootfs: Rootfs) -> Workspace {
        Workspace::open(self.home.path(), self.options(rootfs)).expect("a workspace")
    }

    pub(crate) fn options(&self, rootfs: Rootfs) -> Options {
        Options { larder: env!("CARGO_BIN_EXE_larder").into(), runtime: self.runtime.clone(), rootfs }
    }

    /// A step that runs a script of the shell in the root filesystem.
    pub(crate) fn step(&self, script: &str) -> Step {
        shell(vec![self.rootfs()], script)
    }

    /// Runs a script of the shell in a workspace of its own.
    #[track_caller]
    pub(crate) fn run(&self, step: &Step) -> Ran {
        run(&self.workspace(), step)
    }

    /// What is left of workspaces.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        left(self.home.path())
    }
}

/// The workspaces in a directory.
pub(crate) fn left(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".larder-run-"))).collect()
}

pub(crate) fn shell(lowers: Vec<PathBuf>, script: &str) -> Step {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
    Step { lowers, command, environment, directory: "/".to_owned(), ..Step::default() }
}

#[track_caller]
pub(crate) fn run(workspace: &Workspace, step: &Step) -> Ran {
    let (mut output, mut error) = (Vec::new(), Vec::new());
    let outcome = workspace.step(step, &Cancel::default(), &mut |stream, line| match stream {
        Stream::Output => output.push(String::from_utf8_lossy(line).into_owned()),
        Stream::Error => error.push(String::from_utf8_lossy(line).into_owned()),
    });
    Ran { outcome, output, error }
}

impl Ran {
    /// The upper directory of a step that succeeded.
    #[track_caller]
    pub(crate) fn upper(self) -> PathBuf {
        match self.outcome {
            Ok(Outcome::Done(changes)) => changes.upper,
            _ => panic!("{self:?}"),
        }
    }

    /// What a step that succeeded wrote.
    #[track_caller]
    pub(crate) fn said(self) -> String {
        assert!(matches!(self.outcome, Ok(Outcome::Done(_))), "{self:?}");
        self.output.join("\n")
    }

    /// The error of a step that could not run.
    #[track_caller]
    pub(crate) fn failed(self) -> larder::Error {
        match self.outcome {
            Err(error) => error,
            Ok(_) => panic!("{self:?}"),
        }
    }
}

fn make_rootfs(root: &Path, busybox: &Path) {
    for directory in ["bin", "etc", "lib", "root", "tmp", "usr/bin", "var/lib/data/deep", "var/empty"] {
        fs::create_dir_all(root.join(directory)).expect("writable");
    }
    let mode = |path: &str, mode| fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).expect("own file");
    mode("tmp", 0o1777);
    mode("root", 0o700);
    fs::copy(busybox, root.join("bin/busybox")).expect("a copy");
    for applet in Command::new(busybox).arg("--list").succeeds().lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("linked");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/sh\n";
    let group = "root:x:0:\nwww:x:33:\nadm:x:4:www\nstaff:x:50:\n";
    for (path, content) in [("etc/passwd", passwd), ("etc/group", group), ("etc/motd", "hello\n"), ("var/lib/data/a", "a\n"), ("var/lib/data/b", "b\n")] {
        fs::write(root.join(path), content).expect("written");
    }
    fs::write(root.join("var/lib/data/deep/c"), "c\n").expect("written");
    fs::hard_link(root.join("var/lib/data/a"), root.join("var/lib/data/a2")).expect("linked");
    symlink("/var/lib/data", root.join("data")).expect("linked");
    std::os::unix::fs::chown(root.join("var/lib/data/b"), Some(33), Some(4)).expect("root may");
    for (path, name, value) in [("etc/motd", "user.note", &b"kept"[..]), ("var/empty", "user.note", b"of a directory")] {
        rustix::fs::lsetxattr(root.join(path), name, value, rustix::fs::XattrFlags::empty()).expect("the file system has attributes");
    }
    // cap_net_raw+ep
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fs::write(root.join("usr/bin/capable"), "#!/bin/sh\n").expect("written");
    mode("usr/bin/capable", 0o755);
    rustix::fs::lsetxattr(root.join("usr/bin/capable"), "security.capability", &capability, rustix::fs::XattrFlags::empty()).expect("root may");
    // Long ago, so that every change of a time is seen.
    Command::new("find").arg(root).args(["-exec", "touch", "-h", "-d", "@1000000000", "{}", "+"]).succeeds();
}
