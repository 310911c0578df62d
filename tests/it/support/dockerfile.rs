//! Building from Dockerfiles, and looking into what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::context::oci;
use super::image::{LayerEntry, Ran, blob_path, config_of, layer_entries, manifest_of};
use super::process::{Runs as _, larder, temp};
use super::sound::assert_layout_is_sound;
use super::tools::{root, tool};

/// A place with a context, layouts and a cache.
pub(crate) struct Kitchen {
    home: TempDir,
}

impl Kitchen {
    /// A context with this Dockerfile.
    pub(crate) fn new(dockerfile: &str) -> Kitchen {
        let kitchen = Kitchen { home: temp() };
        fs::create_dir(kitchen.context()).expect("writable");
        kitchen.file("Dockerfile", dockerfile);
        kitchen
    }

    /// The same with a base `shell:1`, which has a shell and a user, for steps that run programs. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn with_shell(dockerfile: &str) -> Option<Kitchen> {
        if !root() {
            return None;
        }
        tool("runc")?;
        let busybox = tool("busybox")?;
        let kitchen = Kitchen::new(dockerfile);
        let rootfs = kitchen.path("rootfs");
        for directory in ["bin", "etc", "tmp", "data/deep", "home/app"] {
            fs::create_dir_all(rootfs.join(directory)).expect("writable");
        }
        fs::set_permissions(rootfs.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).expect("own directory");
        fs::copy(&busybox, rootfs.join("bin/busybox")).expect("a copy");
        for name in Command::new(&busybox).arg("--list").succeeds().lines().filter(|name| *name != "busybox") {
            symlink("busybox", rootfs.join("bin").join(name)).expect("writable");
        }
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n").expect("writable");
        fs::write(rootfs.join("etc/group"), "root:x:0:\napp:x:1001:\n").expect("writable");
        fs::write(rootfs.join("data/gone"), "gone").expect("writable");
        fs::write(rootfs.join("data/deep/kept"), "kept").expect("writable");
        kitchen.base("shell:1", &["--rootfs", "rootfs", "--env", "PATH=/bin"]);
        Some(kitchen)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.path("context")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Writes a file of the context, 0644.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        fs::write(&path, content).expect("writable");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("own file");
    }

    /// Makes a symbolic link in the context.
    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        symlink(target, path).expect("writable");
    }

    /// Adds an image for amd64 and arm64 to the layout `bases`: what `larder build` makes with these arguments.
    #[track_caller]
    pub(crate) fn base(&self, name: &str, arguments: &[&str]) {
        let mut command = larder();
        command.arg("build").arg(self.home.path()).args(["-f", "/dev/null", "--platform", "linux/amd64,linux/arm64", "--no-cache", "--quiet", "-t", name]);
        let ran = Ran::from(command.args(arguments).arg("-o").arg(oci(&self.path("bases"))).output().expect("the binary starts"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// The location of the layout that [`Kitchen::base`] fills.
    pub(crate) fn bases(&self) -> String {
        oci(&self.path("bases"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = larder();
        command.arg("build").arg(self.context()).arg("--cache-dir").arg(self.path("cache")).args(arguments).args(["--format", "json"]);
        command
    }

    /// Builds `app:1` for amd64, or for the platforms among the arguments, into the layout `out`.
    pub(crate) fn build(&self, arguments: &[&str]) -> Ran {
        let platform: &[&str] = if arguments.contains(&"--platform") { &[] } else { &["--platform", "linux/amd64"] };
        let output = oci(&self.out());
        let arguments = [arguments, platform, &["-t", "app:1", "-o", &output]].concat();
        Ran::from(self.command(&arguments).output().expect("the binary starts"))
    }

    /// The same, which must succeed, and the image for amd64.
    #[track_caller]
    pub(crate) fn image(&self, arguments: &[&str]) -> Image {
        let ran = self.build(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_layout_is_sound(&self.out());
        Image { report: ran.json(), warnings: ran.stderr, ..self.built("amd64") }
    }

    /// The image that was built for an architecture.
    #[track_caller]
    pub(crate) fn built(&self, architecture: &str) -> Image {
        Image::of(&self.out(), "1", architecture)
    }

    /// Why the build cannot be: the line that a program reads.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, arguments: &[&str]) -> Value {
        let ran = self.build(arguments);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        ran.error()
    }
}

/// An image in a layout.
pub(crate) struct Image {
    layout: PathBuf,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    pub(crate) report: Value,
    pub(crate) warnings: String,
}

impl Image {
    #[track_caller]
    pub(crate) fn of(layout: &Path, tag: &str, architecture: &str) -> Image {
        let manifest = manifest_of(layout, tag, architecture);
        let config = config_of(layout, &manifest);
        Image { layout: layout.to_owned(), manifest, config, report: Value::Null, warnings: String::new() }
    }

    pub(crate) fn layers(&self) -> &[Value] {
        self.manifest["layers"].as_array().expect("layers")
    }

    /// The entries of all layers, those of later ones in place of those before.
    pub(crate) fn entries(&self) -> BTreeMap<String, LayerEntry> {
        let all = self.layers().iter().flat_map(|layer| layer_entries(&self.layout, layer));
        all.map(|entry| (entry.name.trim_end_matches('/').to_owned(), entry)).collect()
    }

    /// Each path with its mode and owner, as in `usr/bin/app 755 0:0`.
    pub(crate) fn listing(&self) -> Vec<String> {
        self.entries().values().map(|entry| format!("{} {:o} {}:{}", entry.name, entry.mode, entry.uid, entry.gid)).collect()
    }

    /// The names of the entries of one layer.
    #[track_caller]
    pub(crate) fn layer(&self, number: usize) -> Vec<String> {
        layer_entries(&self.layout, &self.layers()[number]).into_iter().map(|entry| entry.name).collect()
    }

    /// The content of a file of the topmost layer that has it.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let has_it = |layer: &&Value| layer_entries(&self.layout, layer).iter().any(|entry| entry.name == path);
        let layer = self.layers().iter().rev().find(has_it).unwrap_or_else(|| panic!("{path} in {:?}", self.listing()));
        let output = Command::new("tar").arg("-xzOf").arg(blob_path(&self.layout, &layer["digest"])).arg(path).output().expect("tar starts");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Whether some layer has this text anywhere.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let has_it = |layer: &Value| {
            let output = Command::new("gzip").arg("-dc").arg(blob_path(&self.layout, &layer["digest"])).output().expect("gzip starts");
            assert!(output.status.success());
            output.stdout.windows(text.len()).any(|window| window == text.as_bytes())
        };
        self.layers().iter().any(has_it)
    }

    /// What history says of how each step came about, with a `-` before those without a layer.
    pub(crate) fn history(&self) -> Vec<String> {
        let said = |entry: &Value| {
            let sign = if entry["empty_layer"] == true { "- " } else { "" };
            format!("{sign}{}", entry["created_by"].as_str().unwrap_or_default())
        };
        self.config["history"].as_array().expect("history").iter().map(said).collect()
    }

    /// How many of the layers that the report lists were in the cache, and how many were made.
    pub(crate) fn cached_and_made(&self) -> (usize, usize) {
        let layers = self.report["layers"].as_array().expect("layers");
        let cached = layers.iter().filter(|layer| layer["cached"] == true).count();
        (cached, layers.len() - cached)
    }
}
