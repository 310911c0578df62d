//! File systems of a test's own: mounted where nobody else sees them, and gone with the test, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Companion, Runs as _, temp};
use super::tools::{root, skip, tool};

/// Mounts what its arguments say, tells so, and lives on: the file system is in a name space that ends with this process.
const SCRIPT: &str = r#"mount "$@" && echo mounted >"$TOLD" && exec sleep infinity"#;

/// Mounts an empty overlayfs upon the directory `$0`, as every container has one for its files.
pub(crate) const ON_OVERLAYFS: &str =
    r#"mkdir "$0/lower" "$0/upper" "$0/work" && { mount -t overlay -o "lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work" overlay "$0" || exit 99; }"#;

/// The exit status of what could not be mounted.
pub(crate) const REFUSED: i32 = 99;

/// A mounted file system.
pub(crate) struct Mount {
    /// Dropped first, which unmounts.
    holder: Companion,
    home: TempDir,
    /// The arguments of mount(8).
    what: Vec<String>,
}

impl Mount {
    /// A file system in memory with these options of mount(8). `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn memory(options: &str) -> Option<Mount> {
        Mount::with(&["-t", "tmpfs", "-o", &format!("mode=755,{options}"), "tmpfs"], temp())
    }

    /// A file system of this type on a disk of its own, which is a sparse file of this many bytes. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn disk(kind: &str, bytes: u64) -> Option<Mount> {
        Mount::disk_made_with(kind, bytes, &[])
    }

    /// The same, made with these options of its mkfs.
    #[track_caller]
    pub(crate) fn disk_made_with(kind: &str, bytes: u64, options: &[&str]) -> Option<Mount> {
        let make = tool(&format!("mkfs.{kind}"))?;
        let home = temp();
        let disk = home.path().join("disk");
        fs::File::create(&disk).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        Command::new(make).arg(if kind == "btrfs" || kind == "xfs" { "-f" } else { "-F" }).arg("-q").args(options).arg(&disk).succeeds();
        Mount::with(&["-o", "loop", "-t", kind, disk.to_str().expect("UTF-8")], home)
    }

    /// What the kernel makes of directories in the form of overlayfs, the lowest first. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn overlay(lowers: &[PathBuf]) -> Option<Mount> {
        let home = temp();
        let link = |(index, lower): (usize, &PathBuf)| {
            std::os::unix::fs::symlink(lower, home.path().join(index.to_string())).expect("writable");
            index.to_string()
        };
        let names: Vec<String> = lowers.iter().enumerate().map(link).rev().collect();
        // Without an upper directory the kernel wants two.
        fs::create_dir(home.path().join("empty")).expect("writable");
        let options = format!("lowerdir={}:empty", names.join(":"));
        Mount::with(&["-t", "overlay", "-o", &options, "overlay"], home)
    }

    /// Unmounts it and mounts it again, as after the machine was off.
    #[track_caller]
    pub(crate) fn again(self) -> Mount {
        let Mount { holder, home, what } = self;
        Mount::within(&holder, &["umount"]).arg(home.path().join("mount")).succeeds();
        drop(holder);
        fs::remove_file(home.path().join("told")).expect("ours");
        Mount::with(&what.iter().map(String::as_str).collect::<Vec<_>>(), home).expect("it was mounted before")
    }

    #[track_caller]
    fn with(what: &[&str], home: TempDir) -> Option<Mount> {
        let (Some(unshare), Some(setpriv), true) = (tool("unshare"), tool("setpriv"), root()) else { return None };
        let (place, told) = (home.path().join("mount"), home.path().join("told"));
        fs::create_dir_all(&place).expect("writable");
        let mut command = Command::new(setpriv);
        command.current_dir(home.path()).args(["--pdeathsig", "KILL"]).arg(unshare).args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        let mut holder = Companion::start(command.args(what).arg(place).env("TOLD", &told));
        while !told.exists() {
            if holder.try_wait().expect("it is ours").is_some() {
                skip(&format!("this machine does not let us mount: {}", holder.ends().1.trim()));
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(Mount { holder, home, what: what.iter().map(|word| (*word).to_owned()).collect() })
    }

    /// Where it is. Everybody who may look into the process that holds it can go there.
    pub(crate) fn path(&self) -> PathBuf {
        let inside = self.home.path().join("mount");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside.strip_prefix("/").expect("absolute"))
    }

    /// Lets nobody write any more.
    #[track_caller]
    pub(crate) fn make_read_only(&self) {
        Mount::within(&self.holder, &["mount", "-o", "remount,ro"]).arg(self.home.path().join("mount")).succeeds();
    }

    /// A command that sees what only its holder sees.
    fn within(holder: &Companion, command: &[&str]) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", holder.id())).args(command);
        inside
    }
}
