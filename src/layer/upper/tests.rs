use proptest::prelude::*;

use super::*;
use crate::layer::Entry;
use crate::layer::inventory::InodeKind;
use crate::layer::inventory::sample::{dir, file, hardlink, inventory, keep_text, layer, link};

type Layers = Vec<Vec<(Entry, &'static str)>>;

/// The uppermost `count` of these layers.
fn upper(layers: &[Vec<(Entry, &'static str)>], count: usize) -> Upper<String> {
    let mut upper = Upper::default();
    for (position, entries) in layers.iter().enumerate().rev().take(count) {
        let room = upper.read(position, &mut tar::Reader::new(&layer(entries)[..]), &mut keep_text).expect("a good layer");
        assert_eq!(room, Room::Enough);
    }
    upper
}

/// Which entry of which layer describes the regular file at `path`.
fn origin<C>(inventory: &Inventory<C>, path: &str) -> Option<Origin> {
    let id = inventory.find(path.as_bytes(), Follow::Yes).ok()??;
    let inode = inventory.inode(id);
    matches!(inode.kind, InodeKind::File { .. }).then_some(inode.origin).flatten()
}

/// What the topmost layer makes of `path`, on whatever lies below.
fn alone(top: Vec<(Entry, &'static str)>, path: &str) -> Option<u64> {
    origin(&upper(&[top], 1).alone()?.inventory, path).map(|origin| origin.entry)
}

#[test]
fn what_has_its_directories_beside_it_is_certain() {
    let usr = || vec![dir("usr"), dir("usr/bin"), file("usr/bin/x", "1")];
    assert_eq!(alone(usr(), "/usr/bin/x"), Some(2));
    assert_eq!(alone(vec![file("x", "1")], "x"), Some(0));
    assert_eq!(alone([usr(), vec![link("bin", "usr/bin"), hardlink("bin/y", "bin/x"), file("bin/x", "2")]].concat(), "bin/x"), Some(5));
    assert_eq!(alone([usr(), vec![link("bin", "usr/bin"), hardlink("bin/y", "bin/x")]].concat(), "usr/bin/y"), Some(2));
    assert_eq!(alone([usr(), vec![file("usr/.wh.other", ""), file("usr/.wh..wh..opq", "")]].concat(), "usr/bin/x"), Some(2));
}

#[test]
fn what_depends_on_lower_layers_is_not() {
    let usr = || vec![dir("usr"), file("usr/x", "1")];
    for uncertain in [
        // The way leads through something that lies below, if it is there: perhaps a link to `usr`.
        file("lib/x", "2"),
        hardlink("usr/y", "lib/x"),
        file("lib/.wh.x", ""),
        file("lib/.wh..wh..opq", ""),
    ] {
        assert_eq!(alone([usr(), vec![uncertain.clone()]].concat(), "usr/x"), None, "{uncertain:?}");
    }
    for absent in ["usr/y", "usr", "y", "usr/x/y", "usr/../y"] {
        assert_eq!(alone(usr(), absent), None, "{absent}");
    }
    assert_eq!(alone(vec![link("l", "below"), dir("d")], "l"), None);
    assert_eq!(alone(vec![file("d/x", "child first"), dir("d")], "d/x"), None);
}

#[test]
fn upper_layers_on_lower_ones_are_all_of_them() {
    let layers: Layers = vec![
        vec![dir("a"), file("a/x", "1"), file("y", "1")],
        vec![file("a/x", "2"), file("a/x", "3"), link("l", "a")],
        vec![file("l/.wh.x", ""), dir(".wh.d")],
    ];
    for count in 0..=layers.len() {
        let (lower, _) = layers.split_at(layers.len() - count);
        let applied = upper(&layers, count).on(inventory(lower)).expect("good layers");
        assert_eq!((origin(&applied.inventory, "a/x"), origin(&applied.inventory, "y")), (None, Some(Origin { layer: 0, entry: 2 })), "{count}");
        assert_eq!(applied.remarks.iter().map(|(position, _)| *position).collect::<Vec<_>>(), (layers.len() - count..layers.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_layer_that_is_too_large_is_not_kept() {
    let many: Vec<(Entry, &str)> = (0..=ENTRIES).map(|n| file(&n.to_string(), "")).collect();
    let mut upper = Upper::default();
    for (entries, room) in [(&many[..5], Room::Enough), (&many[..], Room::TooLittle), (&many[..ENTRIES - 5], Room::Enough), (&many[..1], Room::TooLittle)] {
        assert_eq!(upper.read(0, &mut tar::Reader::new(&layer(entries)[..]), &mut keep_text).expect("a good layer"), room);
    }
    assert_eq!(upper.count(), 2);
    let wordy: Vec<(Entry, &str)> = (0..5000).map(|n| link(&n.to_string(), &"t".repeat(4000))).collect();
    assert_eq!(Upper::default().read(0, &mut tar::Reader::new(&layer(&wordy)[..]), &mut keep_text).expect("a good layer"), Room::TooLittle);
}

/// Names that meet each other often.
const NAMES: [&str; 5] = ["a", "b", "a/a", "b/a", "a/a/a"];

fn any_entry() -> impl Strategy<Value = (Entry, &'static str)> {
    let targets = prop_oneof![Just("a"), Just("b"), Just("/a"), Just("../b"), Just(".."), Just("a/a")];
    let name = || proptest::sample::select(&NAMES[..]);
    (0..10u8, name(), name(), targets).prop_map(|(kind, name, other, target)| {
        let (directory, last) = name.rsplit_once('/').map_or(("", name), |(directory, last)| (directory, last));
        let beside = |last: &str| if directory.is_empty() { last.to_owned() } else { format!("{directory}/{last}") };
        match kind {
            0..2 => dir(name),
            2..4 => link(name, target),
            // One to itself is refused before anything is applied.
            4 if other != name => hardlink(name, other),
            5 => file(&beside(&format!(".wh.{last}")), ""),
            6 => file(&beside(".wh..wh..opq"), ""),
            _ => file(name, "x"),
        }
    })
}

/// A layer that mostly begins with the directories that the rest needs.
fn any_layer() -> impl Strategy<Value = Vec<(Entry, &'static str)>> {
    (0..4usize, proptest::collection::vec(any_entry(), 1..4))
        .prop_map(|(count, entries)| ["a", "b", "a/a"].into_iter().take(count).map(dir).chain(entries).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What upper layers tell alone is what all of them tell together.
    #[test]
    fn what_is_certain_is_true(layers in proptest::collection::vec(any_layer(), 1..4), count in 1..3usize) {
        let count = count.min(layers.len());
        let upper = upper(&layers, count);
        let Some(alone) = upper.alone() else { return Ok(()) };
        let mut all = Inventory::default();
        for (position, entries) in layers.iter().enumerate() {
            // Lower layers that make no sense are refused where they are read.
            if all.apply(position, &mut tar::Reader::new(&layer(entries)[..]), &mut keep_text).is_err() {
                prop_assert!(position < layers.len() - count, "upper layers that are certain make sense on everything");
                return Ok(());
            }
        }
        for path in NAMES.iter().copied().chain(["b/b", "a/b", "b/a/a", "a/b/a", "b/b/a"]) {
            let certain = origin(&alone.inventory, path);
            prop_assert!(certain.is_none() || certain == origin(&all, path), "{path}: {certain:?} and not {:?}", origin(&all, path));
        }
    }
}
