//! Dockerfiles, built by larder and by Debian's `buildah bud` from the same context upon the same base: the same tree, the same effective config.
//!
//! Debian 12's buildah does not know everything that is in the language today; such a case has a second Dockerfile that says the same in older words.

mod cases;
mod flags;
mod vocabulary;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::support::process::{Runs as _, larder, temp};
use crate::support::storage::Storage;
use crate::support::tools::tool;
use crate::support::tree::{self, Node, Tree};

use cases::{CASES, Case};
use flags::FLAGS;

/// The base of all cases: busybox and a few files that instructions trip over.
const BASE: &str = r#"
mkdir -p bin etc tmp home/app data/deep usr/share var dev proc sys root
cp "$BUSYBOX" bin/busybox
for name in sh cat cp mkdir rm ln chmod chown touch echo ls id env pwd mv printf test true false grep sed tr wc sleep sort head tail stat; do ln bin/busybox "bin/$name"; done
chmod 1777 tmp
printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002:App:/home/app:/bin/sh\n' >etc/passwd
printf 'root:x:0:\napp:x:1002:\nstaff:x:50:app\n' >etc/group
chown 1001:1002 home/app
echo base >data/base.txt
echo deep >data/deep/file
ln -s ../data var/link
ln -s /data abs
"#;

/// Settings of the base, as flags of `larder build`.
const SETTINGS: &[&str] = &["--env", "PATH=/bin:/usr/bin", "--env", "FROM_BASE=yes", "--cmd", "/bin/sh", "--label", "of=base"];

/// Variables of both tools.
const VARIABLES: [(&str, &str); 1] = [("CASE_SECRET", "from the environment")];

/// What a runtime or buildah itself leaves in a tree.
const NOT_COMPARED: &[&str] = &["proc", "sys", "dev", "run", "etc/hosts", "etc/resolv.conf", "etc/hostname"];

struct Bases {
    home: tempfile::TempDir,
    storage: Storage,
}

impl Bases {
    /// The base in a layout and in buildah's storage. `None` after saying that the test is skipped.
    fn make() -> Option<Bases> {
        let (Some(busybox), Some(storage)) = (tool("busybox"), Storage::new()) else { return None };
        let home = temp();
        let tree = home.path().join("base");
        fs::create_dir(&tree).expect("writable");
        Command::new("bash").args(["-euc", BASE]).env("BUSYBOX", busybox).current_dir(&tree).succeeds();
        let layout = format!("oci:{}", home.path().join("bases").display());
        let mut build = larder();
        build.args(["build", "--no-cache", "--quiet", "--platform", "linux/amd64", "-t", "localhost/base:1", "-o", &layout, "--rootfs"]).arg(&tree);
        build.args(["--file", "/dev/null"]).args(SETTINGS).succeeds();
        let id = storage.pull(&home.path().join("bases"), "1");
        storage.buildah(&["tag", &id, "localhost/base:1"]).succeeds();
        Some(Bases { home, storage })
    }

    fn layout(&self) -> String {
        format!("oci:{}", self.home.path().join("bases").display())
    }

    /// What larder makes of a case, or what it complains about.
    fn larder(&self, case: &Case, context: &Path) -> Result<Image, String> {
        let out = context.with_extension("oci");
        let mut build = larder();
        build.args(["build", "--no-cache", "--quiet", "--platform", case.platform, "--base", &self.layout(), "-t", "case:1"]);
        build.args(["-o", &format!("oci:{}", out.display())]).args(case.arguments).arg(context).current_dir(context).envs(VARIABLES);
        let built = build.output().expect("larder starts");
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let (image, tree) = (format!("oci:{}:case:1", out.display()), context.with_extension("rootfs"));
        larder().args(["unpack", "--quiet", &image]).arg(&tree).succeeds();
        let config = larder().args(["inspect", "--config", &image]).succeeds();
        larder().args(["verify", "--deep", "--quiet", &format!("oci:{}", out.display())]).succeeds();
        Ok(Image::new(tree::read(&tree), &serde_json::from_str(&config).expect("a config")))
    }

    /// What buildah makes of it, or what it complains about.
    fn buildah(&self, case: &Case, context: &Path) -> Result<Image, String> {
        let name = format!("localhost/case-{}", case.name);
        if let Some(older) = case.older {
            fs::write(context.join(case.file), older).expect("writable");
        }
        let mut bud =
            self.storage.buildah(&["bud", "--quiet", "--isolation", "chroot", "--format", "docker", "--pull-never", "--platform", case.platform, "-t", &name]);
        bud.args(case.older_arguments.unwrap_or(case.arguments)).arg(context).current_dir(context).envs(VARIABLES);
        let built = bud.output().expect("buildah starts");
        if !built.status.success() {
            return Err(format!("  buildah: {}", String::from_utf8_lossy(&built.stderr)));
        }
        let container = self.storage.buildah(&["from", "--quiet", "--pull-never", &name]).succeeds();
        let mounted = self.storage.buildah(&["mount", container.trim()]).succeeds();
        let tree = tree::read(Path::new(mounted.trim()));
        let config = self.storage.buildah(&["inspect", "--type", "image", &name]).succeeds();
        let config: Value = serde_json::from_str(&config).expect("JSON");
        Ok(Image::new(tree, &config["Docker"]))
    }
}

/// What is compared.
#[derive(Debug)]
struct Image {
    tree: BTreeMap<PathBuf, Node>,
    config: Map<String, Value>,
}

impl Image {
    fn new(mut tree: Tree, config: &Value) -> Image {
        tree.retain(|path, _| !path.as_os_str().is_empty() && !NOT_COMPARED.iter().any(|left_out| path.starts_with(left_out)));
        for node in tree.values_mut() {
            // Steps run at another time, and a link is not the same file for both.
            node.mtime = 0;
            node.first = PathBuf::new();
        }
        let mut seen = effective(&config["config"]);
        let author = config["author"].as_str().filter(|author| !author.is_empty());
        seen.extend(author.map(|author| ("author".to_owned(), author.into())));
        Image { tree, config: seen }
    }
}

/// What of a config a container sees, in one form.
fn effective(config: &Value) -> Map<String, Value> {
    const KEYS: &[&str] =
        &["Cmd", "Entrypoint", "Env", "ExposedPorts", "Labels", "OnBuild", "Shell", "StopSignal", "User", "Volumes", "WorkingDir", "Healthcheck"];
    let mut seen = Map::new();
    for key in KEYS {
        let mut value = config[key].clone();
        if let Some(labels) = value.as_object_mut() {
            labels.remove("io.buildah.version");
        }
        if let (&"Env", Some(variables)) = (key, value.as_array_mut()) {
            // A variable that is set again keeps its place, or goes to the end.
            variables.sort_by_key(ToString::to_string);
        }
        let is_nothing = match &value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(table) => table.is_empty(),
            Value::String(text) => text.is_empty() || (*key == "WorkingDir" && text == "/"),
            _ => false,
        };
        if !is_nothing {
            seen.insert((*key).to_owned(), value);
        }
    }
    seen
}

/// How an image of larder differs from buildah's; empty where it does not.
fn differences(ours: &Image, theirs: &Image) -> Vec<String> {
    let mut lines = Vec::new();
    for path in ours.tree.keys().chain(theirs.tree.keys().filter(|path| !ours.tree.contains_key(*path))) {
        let (ours, theirs) = (ours.tree.get(path), theirs.tree.get(path));
        if ours != theirs {
            lines.push(format!("  /{}:\n    larder  {ours:?}\n    buildah {theirs:?}", path.display()));
        }
    }
    if ours.config != theirs.config {
        lines.push(format!("  config:\n    larder  {:?}\n    buildah {:?}", ours.config, theirs.config));
    }
    lines
}

/// All cases.
fn all() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(FLAGS)
}

/// Builds the cases by both.
fn compare(cases: impl Iterator<Item = &'static Case>) {
    let Some(bases) = Bases::make() else { return };
    let mut failures = Vec::new();
    for case in cases {
        let context = bases.home.path().join(case.name);
        fs::create_dir(&context).expect("writable");
        Command::new("bash").args(["-euc", &format!("umask 022\n{}", case.context)]).current_dir(&context).succeeds();
        fs::write(context.join(case.file), case.dockerfile).expect("writable");
        let ours = bases.larder(case, &context);
        let differences = match ours.and_then(|ours| Ok((ours, bases.buildah(case, &context)?))) {
            Ok((ours, theirs)) => differences(&ours, &theirs),
            Err(complaint) => vec![complaint],
        };
        if !differences.is_empty() {
            failures.push(format!("{}:\n{}", case.name, differences.join("\n")));
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn without_run_the_tree_and_the_config_are_those_of_buildah() {
    compare(all().filter(|case| !case.runs()));
}

#[test]
fn with_run_the_tree_and_the_config_are_those_of_buildah() {
    if tool("runc").is_some() {
        compare(all().filter(|case| case.runs()));
    }
}

#[test]
fn there_are_enough_cases_and_each_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = all().map(|case| case.name).collect();
    assert_eq!(names.len(), all().count());
    assert!(names.len() >= 40, "{}", names.len());
}
