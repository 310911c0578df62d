//! podman and buildah with a storage of their own, so that a test neither sees nor leaves images of the machine. Only their cache of what they know of
//! blobs is the machine's: there is no way to move it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{Runs as _, temp};
use super::tools::{root, tool};

/// Their storage.
#[derive(Debug)]
pub(crate) struct Storage {
    directory: TempDir,
}

impl Storage {
    /// An empty storage. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn new() -> Option<Storage> {
        if !root() || tool("podman").is_none() || tool("buildah").is_none() {
            return None;
        }
        let directory = temp();
        let place = directory.path().display();
        // Locks in shared memory and the folder for networks would be the machine's.
        let settings = format!("[engine]\nlock_type = \"file\"\ntmp_dir = \"{place}/tmp\"\n[network]\nnetwork_config_dir = \"{place}/networks\"\n");
        fs::write(directory.path().join("containers.conf"), settings).expect("writable");
        Some(Storage { directory })
    }

    fn command(&self, program: &str) -> Command {
        let place = self.directory.path();
        let mut command = Command::new(program);
        command.env("CONTAINERS_CONF", place.join("containers.conf")).env("HOME", place).env("TMPDIR", place);
        command.arg("--root").arg(place.join("root")).arg("--runroot").arg(place.join("runroot")).args(["--storage-driver", "vfs"]);
        command
    }

    /// Lets podman pull an image of a layout; the ID that it has in the storage.
    #[track_caller]
    pub(crate) fn pull(&self, layout: &Path, name: &str) -> String {
        let (place, image) = nearby(layout, name);
        self.podman(&["pull", "--quiet", &image]).current_dir(place).succeeds().trim().to_owned()
    }

    /// Lets buildah begin a container from an image of a layout; the container, and where its tree is.
    #[track_caller]
    pub(crate) fn begin(&self, layout: &Path, name: &str) -> (String, PathBuf) {
        let (place, image) = nearby(layout, name);
        let container = self.buildah(&["from", "--quiet", &image]).current_dir(place).succeeds().trim().to_owned();
        let tree = self.buildah(&["mount", &container]).succeeds();
        (container, tree.trim().into())
    }

    /// podman with these arguments.
    pub(crate) fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("podman");
        command.args(["--events-backend", "none", "--cgroup-manager", "cgroupfs"]).args(arguments);
        command
    }

    /// buildah with these arguments.
    pub(crate) fn buildah(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("buildah");
        command.args(arguments);
        command
    }
}

/// They make a name of the path that is given to them, and want it in small letters, which a temporary directory does not have.
fn nearby<'a>(layout: &'a Path, name: &str) -> (&'a Path, String) {
    let last = layout.file_name().expect("a name").to_str().expect("UTF-8");
    (layout.parent().expect("a parent"), format!("oci:{last}:{name}"))
}
