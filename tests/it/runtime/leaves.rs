//! What a step leaves: judged by a chroot in which the same was done, by the kernel that lays the directories over each other, and by unpacking the layer.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use larder::exec::{Run, Timestamps};
use larder::fsio::Dir;
use larder::layer::overlay::{self, changes};
use larder::layer::unpack::{self, Owner, Privileges};
use larder::layer::{Codec, builder, stack::Stack};
use larder::runtime::{Access, Content, Mount, Rootfs, Step};
use larder::spec::{Algorithm, Descriptor, DiffId};
use larder::store::layout::{Layout, Options};

use super::sample::{Sample, run, shell};
use crate::support::mount::{self, ON_OVERLAYFS};
use crate::support::process::{Runs as _, temp};
use crate::support::tools::{rootfs, skip, tool};
use crate::support::tree::{self, Kind, Tree};

/// Later than every time in the sample, and earlier than now.
const BEFORE: i64 = 1_500_000_000;

/// What steps do: each of these finds what the one before it left.
const SCRIPTS: [&str; 9] = [
    "echo new >/etc/new; echo more >>/etc/motd; mkdir -p /opt/a/b; echo x >/opt/a/b/x; ln -s b /opt/a/link; ln /opt/a/b/x /opt/a/hard; mkfifo /opt/pipe; mknod /opt/null c 1 3",
    "rm /etc/new; rm -r /var/lib/data/deep; chmod 4711 /usr/bin/capable; chown 33:4 /etc/motd; chmod 711 /var/empty; touch -d @1400000000 /var/lib/data/b",
    "mv /var/lib/data /srv; mkdir /var/lib/data; echo again >/var/lib/data/a",
    "rm -r /opt/a; echo 'a file' >/opt/a; rm /opt/pipe; mkdir /opt/pipe; rm -r /var/lib/data; ln -s /srv /var/lib/data; rm /data; mkdir /data",
    "rm /opt/a; mkdir -p /opt/a/b; echo y >/opt/a/b/y; cd /srv && ln a a3 && rm a2; mv b c",
    "for n in $(seq 100); do mkdir /tmp/$n; echo $n >/tmp/$n/$n; done; rm -r /tmp/[2-9]*; chmod 700 /tmp/1; cp -a /srv /srv2",
    "touch /tmp/x; rm /tmp/x; : >>/etc/motd; chmod 4711 /usr/bin/capable; cat /etc/passwd >/etc/passwd.new; mv /etc/passwd.new /etc/passwd",
    "rm -r /srv; mkdir /srv; rm -rf /srv2; echo z >'/opt/a name with spaces and \\ and : and ,'",
    "rm -rf /opt /srv /data /tmp/1* /var/lib; mkdir -m 1777 /opt",
];

/// The tree at `path`. All times of the steps are one: when something was done is not what is compared. So are link texts of the runtime's own.
fn seen(path: &Path) -> Tree {
    let mut tree = tree::read(path);
    for node in tree.values_mut() {
        node.mtime = node.mtime.min(BEFORE);
    }
    // No layer says it.
    tree.get_mut(Path::new("")).expect("the root").mtime = 0;
    for mounted in ["proc", "sys", "dev", "etc/hosts", "etc/resolv.conf"] {
        tree.remove(Path::new(mounted));
    }
    tree
}

/// What the kernel makes of lower directories.
#[track_caller]
fn laid(lowers: &[PathBuf]) -> Option<Tree> {
    let mount = mount::Mount::overlay(lowers)?;
    Some(seen(&mount.path()))
}

/// Does the same without anything of larder's, and returns what it writes.
fn by_chroot(copy: &Path, script: &str) -> String {
    Command::new("chroot").arg(copy).args(["/bin/sh", "-c", script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").succeeds()
}

/// Who says what lower directories make.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judge {
    /// The kernel.
    Kernel,
    /// A step: the kernel cannot lay directories over each other that it could not have made.
    Step,
}

/// Tells of everything that is there and not the runtime's.
const LIST: &str = r#"cd / && find . \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./etc/hosts -o -path ./etc/resolv.conf \) -prune -o -print | sort |
    while read -r path; do stat -c '%n %F %a %u:%g' "$path"; test ! -f "$path" || md5sum "$path"; done"#;

/// Turns directories into layers, and these into a root filesystem.
struct Layers {
    run: Run,
    layout: Layout,
    place: tempfile::TempDir,
    layers: Vec<(Descriptor, DiffId)>,
}

impl Layers {
    fn new() -> Layers {
        let place = temp();
        let layout = Layout::create(&place.path().join("layout"), Options::default()).expect("created");
        let mut run = Run::new(NonZeroUsize::MIN).expect("threads");
        run.timestamps = Timestamps::at(BEFORE.cast_unsigned()).expect("a time");
        Layers { run, layout, place, layers: Vec::new() }
    }

    /// Adds what the uppermost directory changed.
    #[track_caller]
    fn add(&mut self, directories: &[PathBuf]) {
        let (upper, lowers) = directories.split_last().expect("directories");
        let changes = changes(&self.run, upper, lowers).expect("a changeset");
        let writer = self.layout.blob_writer(Algorithm::Sha256).expect("a writer");
        let layer = builder::build(&self.run, "layer", &changes.items, Codec::default(), None, writer).expect("a layer");
        self.layers.push((layer.descriptor, layer.diff_id));
    }

    fn all(&self) -> impl Iterator<Item = (&Descriptor, &DiffId)> {
        self.layers.iter().map(|(descriptor, diff_id)| (descriptor, diff_id))
    }

    fn unpack(&self, name: &str) -> Tree {
        let parent = Arc::new(Dir::open(self.place.path()).expect("opened"));
        let options = unpack::Options { owner: Owner::Described, privileges: Privileges::Kept, max_size: None, cancel: self.run.cancel.clone() };
        let mut target = unpack::Target::create(parent.clone(), Path::new(name), options).expect("created");
        let stack = Stack::new(&self.run, &self.layout, self.all()).expect("layers");
        let read = stack.read(&self.run.events.start("", None), |_, entries| {
            target.begin_layer();
            while let Some(entry) = entries.next_entry()? {
                target.apply(&entry, entries)?;
            }
            Ok(ControlFlow::Continue(()))
        });
        read.and_then(|()| target.complete()).and_then(|complete| complete.appear(&parent, Path::new(name))).expect("unpacked");
        seen(&self.place.path().join(name))
    }
}

/// Runs all scripts, one after the other, each above what those before it changed, and compares after each.
#[track_caller]
fn assert_all_are_one(rootfs: Rootfs, judge: Judge) {
    let Some(sample) = Sample::new() else { return };
    let workspace = sample.workspace_of(rootfs);
    let copy = sample.path().join("copy");
    Command::new("cp").arg("-a").arg(sample.rootfs()).arg(&copy).succeeds();
    let mut lowers = vec![sample.rootfs()];
    let mut layers = Layers::new();
    layers.add(&lowers);
    for (index, script) in SCRIPTS.iter().enumerate() {
        let upper = run(&workspace, &shell(lowers.clone(), script)).upper();
        lowers.push(upper);
        layers.add(&lowers);
        by_chroot(&copy, script);
        let expected = seen(&copy);
        println!("{script}");
        if judge == Judge::Kernel {
            let Some(laid) = laid(&lowers) else { return };
            tree::assert_same(&laid, &expected);
        }
        tree::assert_same(&layers.unpack(&index.to_string()), &expected);
    }
    // All layers as one lower directory, and each as one of its own.
    let place = temp();
    let mut each = Vec::new();
    for (index, (descriptor, diff_id)) in layers.layers.iter().enumerate() {
        let into = place.path().join(index.to_string());
        fs::create_dir(&into).expect("created");
        overlay::lower(&layers.run, &layers.layout, [(descriptor, diff_id)], &each, &into).expect("unpacked");
        each.push(into);
    }
    let one = place.path().join("one");
    fs::create_dir(&one).expect("created");
    overlay::lower(&layers.run, &layers.layout, layers.all(), &[], &one).expect("unpacked");
    let expected = seen(&copy);
    tree::assert_same(&seen(&one), &expected);
    match judge {
        Judge::Kernel => tree::assert_same(&laid(&each).expect("as before"), &expected),
        Judge::Step => assert_eq!(run(&workspace, &shell(each, LIST)).said() + "\n", by_chroot(&copy, LIST)),
    }
    workspace.close().expect("removed");
    assert!(sample.left().is_empty());
}

#[test]
fn changes_are_those_of_a_chroot() {
    assert_all_are_one(Rootfs::Overlay, Judge::Kernel);
}

#[test]
fn changes_are_the_same_where_the_root_filesystem_is_copied() {
    assert_all_are_one(Rootfs::Copy, Judge::Kernel);
}

/// The variable that makes [`act_on_overlayfs`] more than nothing.
const ACT: &str = "LARDER_TEST_ON_OVERLAYFS";

/// Not a test: what [`changes_are_the_same_on_overlayfs`] starts where its temporary directories are on overlayfs.
#[test]
fn act_on_overlayfs() {
    if std::env::var_os(ACT).is_some() {
        assert_all_are_one(Rootfs::Overlay, Judge::Step);
    }
}

/// As inside a container, where the kernel refuses overlayfs, and whiteouts as well.
#[test]
fn changes_are_the_same_on_overlayfs() {
    let (Some(_), Some(unshare)) = (Sample::new(), tool("unshare")) else { return };
    let place = temp();
    let mut within = Command::new(unshare);
    within.args(["--mount", "--propagation", "private", "sh", "-c", &format!("{ON_OVERLAYFS} && export TMPDIR=$0 && exec \"$@\"")]).arg(place.path());
    within.arg(std::env::current_exe().expect("there")).args(["--exact", "runtime::leaves::act_on_overlayfs", "--nocapture"]).env(ACT, "");
    let output = within.output().expect("it runs");
    if output.status.code() == Some(mount::REFUSED) {
        return skip("this machine does not let us mount overlayfs");
    }
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

#[test]
fn what_did_not_change_is_in_no_layer() {
    let Some(sample) = Sample::new() else { return };
    for rootfs in [Rootfs::Overlay, Rootfs::Copy] {
        let workspace = sample.workspace_of(rootfs);
        let paths = |script: &str| {
            let upper = run(&workspace, &sample.step(script)).upper();
            let run = Run::new(NonZeroUsize::MIN).expect("threads");
            let changes = changes(&run, &upper, &[sample.rootfs()]).expect("a changeset");
            changes.items.iter().map(|item| String::from_utf8_lossy(&item.path).into_owned()).collect::<Vec<_>>()
        };
        assert!(paths("cat /etc/passwd /etc/hosts; ls -lR / >/dev/null").is_empty());
        // Opened for writing, changed and changed back: the kernel has copied them all.
        assert!(paths(": >>/var/lib/data/b; chmod 700 /var/lib/data/deep; chmod 755 /var/lib/data/deep").is_empty(), "{rootfs:?}");
        assert_eq!(paths("echo x >>/var/lib/data/deep/c"), ["var/lib/data/deep/c"]);
        assert_eq!(paths("chmod 700 /root/"), [""; 0]);
        assert_eq!(paths("chmod 750 /root/"), ["root"]);
        assert_eq!(paths("touch /etc/x; rm /etc/motd"), ["etc", "etc/.wh.motd", "etc/x"]);
        assert_eq!(paths("rm /etc/motd; echo same >/etc/motd; touch -d @1000000000 /etc /etc/motd"), ["etc/motd"]);
        assert_eq!(paths("chmod 711 /"), [""]);
        assert_eq!(
            paths("rm -r /var/lib/data/deep; mkdir /var/lib/data/deep; touch -d @1000000000 /var/lib/data")[..2],
            ["var/lib/data/deep", "var/lib/data/deep/.wh..wh..opq"]
        );
    }
}

#[test]
fn times_are_clamped_and_sockets_left_out() {
    let Some(sample) = Sample::new() else { return };
    let workspace = sample.workspace();
    let upper = run(&workspace, &sample.step("echo x >/etc/new; nc -l -p 1 -s local:/tmp/socket & sleep 0.2; touch -d @1400000000 /etc/old; exit 0")).upper();
    let socket = std::os::unix::net::UnixListener::bind(upper.join("etc/socket")).expect("bound");
    drop(socket);
    let mut run = Run::new(NonZeroUsize::MIN).expect("threads");
    run.timestamps = Timestamps::at(BEFORE.cast_unsigned()).expect("a time");
    let changes = changes(&run, &upper, &[sample.rootfs()]).expect("a changeset");
    assert_eq!(changes.sockets, [b"etc/socket"]);
    let entries: Vec<_> = changes.items.iter().map(|item| item.entry(run.timestamps).expect("an entry")).collect();
    let time = |path: &str| entries.iter().find(|entry| entry.path == path.as_bytes()).map(|entry| entry.mtime);
    assert_eq!((time("etc/new"), time("etc/old"), time("etc/socket")), (Some(BEFORE), Some(1_400_000_000), None));
}

#[test]
fn a_capability_that_a_step_sets_is_in_the_layer() {
    let (Some(sample), Some(debian), Some(setcap)) = (Sample::new(), rootfs("amd64"), tool("setcap")) else { return };
    let workspace = sample.workspace();
    let mut step: Step =
        shell(vec![debian.clone()], "cp /bin/true /usr/bin/capable && setcap cap_net_raw+ep /usr/bin/capable && cp -a /usr/bin/ping /usr/bin/ping2");
    let content = Content::Tree { lowers: vec![setcap.parent().expect("a directory").to_owned()], path: "/setcap".to_owned(), access: Access::Read };
    step.mounts = vec![Mount { target: "/usr/sbin/setcap".to_owned(), content }];
    let upper = run(&workspace, &step).upper();
    let mut layers = Layers::new();
    layers.add(&[debian, upper]);
    let tree = layers.unpack("tree");
    let names: Vec<_> = tree.iter().filter(|(_, node)| node.kind != Kind::Directory).map(|(path, _)| path.to_str().expect("UTF-8")).collect();
    assert_eq!(names, ["usr/bin/capable", "usr/bin/ping2"]);
    assert!(tree.values().filter(|node| node.kind != Kind::Directory).all(|node| node.xattrs.contains_key("security.capability")), "{tree:?}");
}

#[test]
fn a_hundred_layers_and_more_are_laid_over_each_other() {
    let Some(sample) = Sample::new() else { return };
    let place = temp();
    let mut lowers = vec![sample.rootfs()];
    for index in 0..490 {
        let lower = place.path().join(format!("a-directory-with-a-long-name-{index}"));
        fs::create_dir(&lower).expect("created");
        fs::write(lower.join(format!("file-{index}")), "").expect("written");
        lowers.push(lower);
    }
    let ran = sample.run(&shell(lowers.clone(), "ls / | grep -c '^file-'"));
    assert_eq!(ran.said(), "490");
    lowers.extend(std::iter::repeat_n(lowers[1].clone(), 20));
    let ran = sample.run(&shell(lowers, "ls / | grep -c '^file-'"));
    let Ok(larder::runtime::Outcome::Done(changes)) = &ran.outcome else { panic!("{ran:?}") };
    assert!(changes.copied.as_ref().is_some_and(|why| why.contains("511")), "{changes:?}");
    assert_eq!(ran.said(), "490");
}
