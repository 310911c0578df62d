//! An image that umoci has unpacked, and that runc can run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Runs as _, temp};
use super::tools::{root, tool};

/// A bundle of the runtime specification.
#[derive(Debug)]
pub(crate) struct Bundle {
    directory: TempDir,
}

impl Bundle {
    /// Lets umoci unpack an image of one platform. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn unpack(layout: &Path, name: &str) -> Option<Bundle> {
        let umoci = tool("umoci")?;
        if !root() {
            return None;
        }
        let bundle = Bundle { directory: temp() };
        Command::new(umoci).args(["unpack", "--image"]).arg(format!("{}:{name}", layout.display())).arg(bundle.path()).succeeds();
        Some(bundle)
    }

    /// The same for an image of several platforms. For umoci that is several images of one name, so skopeo gives it the one.
    #[track_caller]
    pub(crate) fn unpack_for(platform: &str, layout: &Path, name: &str) -> Option<Bundle> {
        let skopeo = tool("skopeo")?;
        let one = temp();
        let mut copy = Command::new(skopeo);
        copy.arg("--insecure-policy");
        for (option, value) in ["--override-os", "--override-arch", "--override-variant"].iter().zip(platform.split('/')) {
            copy.args([option, value]);
        }
        copy.args(["copy", "--quiet", &oci(layout, name), &oci(one.path(), "one")]).succeeds();
        Bundle::unpack(one.path(), "one")
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("bundle")
    }

    /// Where the tree of the image begins.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// What the image's configuration says to run, as the runtime is told.
    pub(crate) fn process(&self) -> Value {
        self.config()["process"].take()
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path().join("config.json")).expect("umoci wrote it")).expect("JSON")
    }

    /// Runs the image under runc, with other words than its own if there are any. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Option<Output> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let runc = tool("runc")?;
        let mut config = self.config();
        config["process"]["terminal"] = false.into();
        if !words.is_empty() {
            config["process"]["args"] = words.into();
        }
        fs::write(self.path().join("config.json"), config.to_string()).expect("writable");
        // Names of containers are names of cgroups, and those are the machine's.
        let name = format!("larder-test-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(runc);
        command.arg("--root").arg(self.directory.path().join("runc")).args(["run", "--bundle"]).arg(self.path()).arg(name);
        Some(command.output().expect("runc starts"))
    }
}

/// Standard output of what ran and ended well.
#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The location of an image as all tools write it.
pub(crate) fn oci(layout: &Path, name: &str) -> String {
    format!("oci:{}:{name}", layout.display())
}
