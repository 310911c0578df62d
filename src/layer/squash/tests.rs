use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::exec::Timestamps;
use crate::layer::apply::{Kind, Rootfs};
use crate::layer::changeset::{Item, Node};
use crate::layer::entry::Xattrs;
use crate::layer::tar::{self, Reader, decode};
use crate::layer::{Entry, EntryKind, Stored};
use crate::spec::{Algorithm, Descriptor, DiffId, Digest, MediaType};
use crate::store::layout::{Layout, Options};
use crate::store::{Destination as _, MemoryStore};

/// An entry with its content.
type Said = (Entry, Vec<u8>);

fn entry(path: &str, kind: EntryKind) -> Said {
    // Attributes that tell entries apart, so that a mixture shows.
    let number = path.bytes().map(u32::from).sum::<u32>();
    (Entry { path: path.into(), kind, mode: 0o600 + number % 8, uid: number, gid: 7, mtime: i64::from(number), xattrs: Xattrs::new() }, Vec::new())
}

fn file(path: &str, content: &str) -> Said {
    (entry(path, EntryKind::File { size: content.len() as u64 }).0, content.into())
}

fn dir(path: &str) -> Said {
    entry(path, EntryKind::Directory)
}

fn symlink(path: &str, target: &str) -> Said {
    entry(path, EntryKind::Symlink { target: target.into() })
}

fn hardlink(path: &str, target: &str) -> Said {
    entry(path, EntryKind::Hardlink { target: target.into() })
}

/// The same with another mode.
fn changed(said: Said, mode: u32) -> Said {
    (Entry { mode, ..said.0 }, said.1)
}

fn archive(layer: &[Said]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, content) in layer {
        tar::write::header(entry, &mut bytes).expect("an entry");
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + tar::write::padding(content.len() as u64), 0);
    }
    bytes.resize(bytes.len() + tar::write::END, 0);
    bytes
}

/// Layers in memory, and a layout for what is made of them.
struct Bench {
    store: MemoryStore,
    temp: tempfile::TempDir,
    layout: Layout,
    run: Run,
}

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("layout"), Options::default()).expect("created");
        let run = Run { timestamps: Timestamps::at(50).expect("a moment"), ..Run::new(NonZeroUsize::MIN).expect("threads start") };
        Bench { store: MemoryStore::default(), temp, layout, run }
    }

    fn put(&self, layer: &[Said]) -> Stored {
        let bytes = archive(layer);
        let descriptor = Descriptor::new(MediaType::ImageLayer, Digest::sha256(&bytes), bytes.len() as u64);
        self.store.put(&descriptor, &mut &bytes[..]).expect("stored");
        Stored { diff_id: DiffId(descriptor.digest.clone()), descriptor }
    }

    fn squash(&self, layers: &[Stored], first: usize, times: Times) -> Result<Vec<Said>> {
        let stack = Stack::new(&self.run, &self.store, layers.iter().map(|layer| (&layer.descriptor, &layer.diff_id)))?;
        let layer = squash(&self.run, "one", &stack, first, times, Codec::None, self.layout.blob_writer(Algorithm::Sha256)?)?;
        let mut entries = Reader::new(decode::sniffing_decoder(self.layout.open_blob(&layer.descriptor)?)?.1);
        let mut said = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entries, &mut content).expect("readable");
            said.push((entry, content));
        }
        Ok(said)
    }

    /// What the layers from `first` on become, as `path` and what is told of it.
    fn squashed(&self, layers: &[&[Said]], first: usize) -> Vec<Said> {
        let stored: Vec<Stored> = layers.iter().map(|layer| self.put(layer)).collect();
        self.squash(&stored, first, Times::Kept).unwrap_or_else(|error| panic!("{error}: {:?}", error.causes()))
    }

    /// Squashes, and proves that the tree stays. Returns the paths of what is said.
    #[track_caller]
    fn assert_same_tree(&self, layers: &[&[Said]], first: usize) -> Vec<String> {
        let one = self.squashed(layers, first);
        let before = tree(layers);
        let after = tree(&[&layers[..first], &[&one]].concat());
        assert_eq!(after, before, "{one:?}");
        one.iter().map(|(entry, _)| shown(entry)).collect()
    }
}

fn shown(entry: &Entry) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match &entry.kind {
        EntryKind::Directory => text(&entry.path) + "/",
        EntryKind::Symlink { target } => format!("{} -> {}", text(&entry.path), text(target)),
        EntryKind::Hardlink { target } => format!("{} = {}", text(&entry.path), text(target)),
        EntryKind::File { .. } => text(&entry.path),
        _ => text(&entry.path) + "!",
    }
}

/// All there is to know of each path: what it is with all its attributes, its content, and the first name of what it names.
fn tree(layers: &[&[Said]]) -> BTreeMap<String, String> {
    let mut rootfs: Rootfs<Option<(usize, Said)>> = Rootfs::default();
    let mut number = 0;
    for layer in layers {
        rootfs.begin_layer();
        for (entry, content) in *layer {
            number += 1;
            rootfs.apply(entry, Some((number, (entry.clone(), content.clone())))).expect("applied");
        }
    }
    let mut first_names = BTreeMap::new();
    let mut tree = BTreeMap::new();
    for id in rootfs.walk() {
        let node = rootfs.node(id);
        let path = String::from_utf8(rootfs.path(id)).expect("text");
        let told = match node.payload() {
            Some((number, (entry, content))) => {
                let first = match node.kind() {
                    Kind::Directory(_) => path.clone(),
                    _ => first_names.entry(*number).or_insert_with(|| path.clone()).clone(),
                };
                let Entry { kind, mode, uid, gid, mtime, xattrs, .. } = entry;
                format!("{kind:?} {mode:o} {uid}:{gid} {mtime} {xattrs:?} {content:?} {first}")
            }
            // What nobody describes is the same as this.
            None => format!("{:?} {:o} 0:0 0 {:?} {:?} {path}", EntryKind::Directory, 0o755, Xattrs::new(), [0_u8; 0]),
        };
        tree.insert(path, told);
    }
    tree
}

#[test]
fn all_layers_become_one_without_whiteouts_and_what_nobody_sees() {
    let bench = Bench::new();
    let lower = [dir("etc"), file("etc/a", "1"), file("etc/b", "2"), dir("gone"), file("gone/x", "3"), symlink("l", "etc")];
    let upper = [file(".wh.gone", ""), file("l/a", "one"), hardlink("c", "etc/b"), file("etc/.wh.b", "")];
    let said = bench.assert_same_tree(&[&lower, &upper], 0);
    assert_eq!(said, ["etc/", "c", "l -> etc", "etc/a"], "through the link of the lower layer, and the content that has another name");
}

#[test]
fn names_of_one_file_stay_together_across_layers() {
    let bench = Bench::new();
    let layers: [&[Said]; 3] = [&[file("a", "x")], &[hardlink("d/b", "a"), symlink("s", "a")], &[hardlink("c", "d/b"), hardlink("t", "s")]];
    assert_eq!(bench.assert_same_tree(&layers, 0), ["a", "c = a", "d/b = a", "s -> a", "t = s"]);
    // Those that a lower layer has are linked to and not carried again, unless their last name there goes.
    assert_eq!(bench.assert_same_tree(&layers, 1), ["c = a", "d/b = a", "s -> a", "t = s"]);
    let gone: [&[Said]; 3] = [&[file("a", "x"), file("z", "y")], &[hardlink("b", "a"), hardlink("c", "a")], &[file(".wh.a", "")]];
    assert_eq!(bench.assert_same_tree(&gone, 1), [".wh.a", "b", "c = b"]);
}

#[test]
fn what_layers_below_have_is_hidden_and_what_they_never_had_is_not() {
    let bench = Bench::new();
    let below = [dir("d"), file("d/a", ""), file("d/b", ""), file("d/c", ""), file("f", "")];
    let (adds, removes) = ([file("d/new", ""), file("e", "")], [file("d/.wh.new", ""), file(".wh.e", ""), file("d/.wh.a", ""), file(".wh.f", "")]);
    assert_eq!(bench.assert_same_tree(&[&below, &adds, &removes], 1), [".wh.f", "d/.wh.a"]);
    assert_eq!(bench.assert_same_tree(&[&below, &adds, &removes], 0), ["d/", "d/b", "d/c"]);
}

#[test]
fn tar_39_a_directory_that_loses_all_becomes_opaque() {
    let bench = Bench::new();
    let below = [dir("d"), file("d/a", ""), file("d/b", ""), dir("e"), file("e/a", "")];
    let opaque = [file("d/.wh..wh..opq", ""), file("d/b", "new"), dir("e"), file("e/.wh..wh..opq", "")];
    assert_eq!(bench.assert_same_tree(&[&below, &[file("x", "")], &opaque], 1), ["d/.wh.a", "e/", "e/.wh.a", "x", "d/b"]);
    let all = [file("d/.wh..wh..opq", ""), file("d/c", "")];
    assert_eq!(bench.assert_same_tree(&[&below, &[], &all], 1), ["d/.wh..wh..opq", "d/c"]);
}

#[test]
fn a_directory_that_was_removed_and_made_again_has_nothing_of_before() {
    let bench = Bench::new();
    let below = [changed(dir("d"), 0o700), file("d/a", "")];
    for again in [&[dir("d"), file("d/b", "")] as &[Said], &[file("d/b", "")]] {
        let said = bench.assert_same_tree(&[&below, &[file(".wh.d", "")], again], 1);
        assert_eq!(said, ["d/", "d/.wh..wh..opq", "d/b"], "also where nobody describes it");
    }
    // In one and the same layer.
    assert_eq!(bench.assert_same_tree(&[&below, &[], &[file("d/b", ""), file(".wh.d", "")]], 1), ["d/", "d/.wh.a", "d/b"]);
}

#[test]
fn kinds_change_places() {
    let bench = Bench::new();
    let below = [file("f", "1"), dir("d"), file("d/x", "2"), symlink("s", "d")];
    let upper: [&[Said]; 5] = [
        &[dir("f"), file("f/y", ""), file("d", ""), file("s", "")],
        &[file("f/y/z", ""), symlink("d", "f"), dir("s")],
        &[entry("f", EntryKind::Fifo), entry("d", EntryKind::CharDevice { major: 1, minor: 3 })],
        &[file("s/.wh.x", ""), file("s/y", "through the link")],
        &[file(".wh.s", ""), file("s/y", "in a directory of that name")],
    ];
    for layer in upper {
        for first in 0..3 {
            bench.assert_same_tree(&[&below, layer, &[dir("other")]], first);
            bench.assert_same_tree(&[&below, &[file("x", "")], layer], first);
        }
    }
}

#[test]
fn times_and_attributes_are_those_of_the_entry_that_counts() {
    let bench = Bench::new();
    let attributed = |mut said: Said, mtime: i64| {
        said.0.xattrs = Xattrs::from([(b"user.x".to_vec(), mtime.to_string().into_bytes())]);
        said.0.mtime = mtime;
        said
    };
    let lower = [attributed(dir(""), 1), attributed(dir("d"), 2), attributed(file("d/a", "x"), 40), attributed(hardlink("b", "d/a"), 3)];
    let upper = [attributed(dir("d"), -5), file(".wh.c", "")];
    bench.assert_same_tree(&[&lower, &upper], 0);
    let stored = [&lower[..], &upper[..]].map(|layer| bench.put(layer));
    let late = bench.put(&[attributed(file("late", ""), 1_000)]);
    let said = bench.squash(&[stored[0].clone(), stored[1].clone(), late], 0, Times::Clamped).expect("squashed");
    let times: Vec<(String, i64)> = said.iter().map(|(entry, _)| (shown(entry), entry.mtime)).collect();
    assert_eq!(times, [("/".into(), 1), ("d/".into(), -5), ("b".into(), 40), ("d/a = b".into(), 40), ("late".into(), 50)]);
}

#[test]
fn layers_that_are_yet_to_be_made_count_like_others() {
    let bench = Bench::new();
    let lower = [dir("d"), file("d/a", "1"), file("b", "2")];
    let upper = [file("b", "two"), file("d/.wh.a", ""), file("late", "x")];
    let items: Vec<Item> =
        upper.iter().map(|(entry, content)| Item { path: entry.path.clone(), node: Node::Made(Box::new(entry.clone()), content.as_slice().into()) }).collect();
    let stored = bench.put(&lower);
    let mut stack = Stack::new(&bench.run, &bench.store, [(&stored.descriptor, &stored.diff_id)]).expect("layers");
    stack.push_new(&items);
    let writer = || bench.layout.blob_writer(Algorithm::Sha256).expect("writable");
    let one = squash(&bench.run, "one", &stack, 0, Times::Kept, Codec::default(), writer()).expect("squashed");
    // As a layer that was made before.
    let made = builder::build(&bench.run, "made", &items, Codec::None, None, writer()).expect("built");
    bench.store.put(&made.descriptor, &mut bench.layout.open_blob(&made.descriptor).expect("there")).expect("stored");
    let stored = [stored, Stored { descriptor: made.descriptor, diff_id: made.diff_id }];
    let stack = Stack::new(&bench.run, &bench.store, stored.iter().map(|layer| (&layer.descriptor, &layer.diff_id))).expect("layers");
    let same = squash(&bench.run, "one", &stack, 0, Times::Kept, Codec::default(), writer()).expect("squashed");
    assert_eq!(one.descriptor, same.descriptor);
    assert!(bench.temp.path().exists());
}

#[test]
fn lay_35_and_38_damage_and_layers_that_make_no_sense_are_refused() {
    let bench = Bench::new();
    let good = bench.put(&[file("a", "1")]);
    let other = Stored { diff_id: DiffId(Digest::sha256(b"other")), ..good.clone() };
    let senseless = bench.put(&[hardlink("b", "absent")]);
    let absent = Stored { descriptor: Descriptor { digest: Digest::sha256(b"absent"), ..good.descriptor.clone() }, ..good.clone() };
    for (layer, kind) in [(other, ErrorKind::Corrupt), (senseless, ErrorKind::Corrupt), (absent, ErrorKind::NotFound)] {
        for first in 0..2 {
            let error = bench.squash(&[layer.clone(), good.clone()], first, Times::Kept).expect_err("refused");
            assert_eq!((error.kind(), error.subject_text()), (kind, Some(layer.descriptor.digest.as_str())));
        }
    }
}

#[test]
fn the_bytes_are_a_contract() {
    let bench = Bench::new();
    let lower = [dir("a"), file("a/1", "one"), dir("gone"), file("gone/x", ""), file("gone/y", ""), symlink("s", "a")];
    let upper = [hardlink("b", "a/1"), file("s/2", "two"), file(".wh.gone", ""), dir("gone"), entry("a/p", EntryKind::Fifo)];
    let stored = [&lower[..], &upper[..]].map(|layer| bench.put(layer));
    let stack = Stack::new(&bench.run, &bench.store, stored.iter().map(|layer| (&layer.descriptor, &layer.diff_id))).expect("layers");
    let digest = |first: usize, codec: Codec| {
        let writer = bench.layout.blob_writer(Algorithm::Sha256).expect("writable");
        squash(&bench.run, "one", &stack, first, Times::Clamped, codec, writer).expect("squashed").descriptor.digest.to_string()
    };
    let found = [digest(0, Codec::None), digest(1, Codec::None), digest(0, Codec::default())];
    let expected = [
        "sha256:09b493a05516036a46448d99c4cc7635c803f75b39ea9837052817ee00a54b10",
        "sha256:acd2a73de39825a16950b81b80f0190da413d4d11fd76977f931fc5fd7dc5a57",
        "sha256:f65a0f62d3920e3b33ca42a23dca7a49f66903bdb8fcb7e24e90b36fa1c5e366",
    ];
    assert_eq!(found, expected, "whatever changes these is listed under Changed bytes in the change log");
}

/// Entries in a very small world, so that they meet.
fn any_entry() -> impl Strategy<Value = Said> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let content = "[xy]{0,3}";
    (path.clone(), path, content, 0..12_u8, 0..8_u32).prop_map(|(path, target, content, kind, mode)| {
        let (directory, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(directory, name)| (directory, name));
        let beside = |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        let said = match kind {
            0..3 => file(&path, &content),
            3..6 => dir(&path),
            6 => symlink(&path, &target),
            7 => symlink(&path, &format!("/{target}")),
            8 => hardlink(&path, &target),
            9 => entry(&path, EntryKind::Fifo),
            10 => file(&beside(&format!(".wh.{name}")), ""),
            _ => file(&beside(".wh..wh..opq"), ""),
        };
        changed(said, mode)
    })
}

/// Layers of which every entry makes sense.
fn sensible(layers: Vec<Vec<Said>>) -> Vec<Vec<Said>> {
    let mut rootfs: Rootfs<()> = Rootfs::default();
    let mut kept = Vec::new();
    for layer in layers {
        rootfs.begin_layer();
        let mut entries = Vec::new();
        for said in layer {
            let mut next = rootfs.clone();
            if next.apply(&said.0, ()).is_ok() {
                rootfs = next;
                entries.push(said);
            }
        }
        kept.push(entries);
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_the_layers_say_the_tree_stays(layers in prop::collection::vec(prop::collection::vec(any_entry(), 0..8), 1..5), first in 0..4_usize) {
        let layers = sensible(layers);
        let layers: Vec<&[Said]> = layers.iter().map(Vec::as_slice).collect();
        let first = first % layers.len();
        Bench::new().assert_same_tree(&layers, first);
    }
}
