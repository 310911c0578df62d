//! The names of an archive that is being read, and what they stand for.
//!
//! An archive is unpacked from its beginning to its end: a later entry takes the place of an earlier one of the same path, and a hard link is another name of
//! what its target is at that moment, whatever becomes of the target's own name later. So each name leads to a position among the entries.

use std::collections::hash_map::{self, HashMap};
use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::changeset::{Clash, Item, Node};
use crate::layer::entry::path_order;
use crate::layer::{Entry, EntryKind};
use crate::spec::text;

/// The names that an archive has so far.
#[derive(Default)]
pub(super) struct Names {
    /// What a name leads to.
    names: HashMap<Vec<u8>, Named>,
    /// Entries that are no hard links to others of them, and where their content begins.
    entries: Vec<(Entry, u64)>,
}

#[derive(Clone, Copy)]
enum Named {
    /// The entry at this position.
    Entry(usize),
    /// Something that is left out.
    Skipped,
}

/// Whether a name is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Again,
}

impl Names {
    /// Leaves out what has this name, and so all hard links to it.
    pub(super) fn skip(&mut self, path: Vec<u8>) {
        self.names.insert(path, Named::Skipped);
    }

    /// Takes the next entry. Fails with kind `corrupt` for a hard link to a directory.
    pub(super) fn add(&mut self, entry: Entry, offset: u64) -> Result<Added> {
        let path = entry.path.clone();
        let linked = match &entry.kind {
            EntryKind::Hardlink { target } => self.names.get(target).copied(),
            _ => None,
        };
        let named = match linked {
            Some(named) => named,
            // A hard link to a file of a lower layer stays as it is.
            None => {
                self.entries.push((entry, offset));
                Named::Entry(self.entries.len() - 1)
            }
        };
        if let (Some(_), Named::Entry(at)) = (linked, named)
            && self.entries[at].0.kind == EntryKind::Directory
        {
            return Err(Error::corrupt(format!("{} is a hard link to a directory", text::bytes(&path))));
        }
        Ok(match self.names.insert(path, named) {
            Some(Named::Entry(_)) => Added::Again,
            Some(Named::Skipped) | None => Added::New,
        })
    }

    /// The items of a changeset, in order. Of several names of one file the first becomes the file, and the others link to it.
    ///
    /// Fails with kind `corrupt` where readers could see two layers.
    pub(super) fn items(self, run: &Run, file: &Arc<File>) -> Result<Vec<Item>> {
        self.check_targets()?;
        let named = self.names.into_iter().filter_map(|(path, named)| match named {
            Named::Entry(at) => Some((path, at)),
            Named::Skipped => None,
        });
        let mut named: Vec<(Vec<u8>, usize)> = named.collect();
        named.sort_by(|(a, _), (b, _)| path_order(a, b));
        let mut first: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut items: Vec<Item> = Vec::with_capacity(named.len());
        for (path, at) in named {
            run.cancel.check()?;
            let (entry, offset) = &self.entries[at];
            let described = match first.entry(at) {
                hash_map::Entry::Vacant(slot) => {
                    slot.insert(path.clone());
                    Entry { path: path.clone(), ..entry.clone() }
                }
                hash_map::Entry::Occupied(slot) => {
                    let kind = EntryKind::Hardlink { target: slot.get().clone() };
                    Entry { path: path.clone(), kind, xattrs: Default::default(), ..entry.clone() }
                }
            };
            let item = Item { path, node: Node::Stored(Box::new(described), file.clone(), *offset) };
            if let Some(above) = items.last().filter(|above| Clash::of(above, &item).is_some()) {
                let (below, above) = (text::bytes(&item.path), text::bytes(&above.path));
                return Err(Error::corrupt(format!("the archive has {below}, which is below {above}, and that is not a directory")));
            }
            items.push(item);
        }
        Ok(items)
    }

    /// A hard link that leads out of the archive must not lead to a name that comes later: whether it means that, or what a lower layer has there, depends on
    /// who reads.
    fn check_targets(&self) -> Result<()> {
        for named in self.names.values() {
            let Named::Entry(at) = named else { continue };
            let entry = &self.entries[*at].0;
            if let EntryKind::Hardlink { target } = &entry.kind
                && self.names.contains_key(target)
            {
                let (link, target) = (text::bytes(&entry.path), text::bytes(target));
                return Err(Error::corrupt(format!("hard link {link} stands before {target}, which it leads to")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::num::NonZeroUsize;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { path: path.into(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: Default::default() }
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, EntryKind::Hardlink { target: target.into() })
    }

    fn file(path: &str) -> Entry {
        entry(path, EntryKind::File { size: 1 })
    }

    /// What each path is, in order: its content, or what it links to. The content of an entry is its position.
    fn read(entries: Vec<Entry>) -> Result<Vec<String>> {
        let mut names = Names::default();
        for (position, entry) in entries.into_iter().enumerate() {
            match entry.kind {
                EntryKind::Fifo => names.skip(entry.path),
                _ => drop(names.add(entry, position as u64)?),
            }
        }
        let nothing = Arc::new(File::open("/dev/null").expect("opened"));
        let items = names.items(&Run::new(NonZeroUsize::MIN).expect("a pool"), &nothing)?;
        let shown = items.iter().map(|item| match &item.node {
            Node::Stored(entry, _, offset) => match &entry.kind {
                EntryKind::Hardlink { target } => format!("{} -> {}", text::bytes(&item.path), text::bytes(target)),
                _ => format!("{} {offset}", text::bytes(&item.path)),
            },
            _ => panic!("not from an archive"),
        });
        Ok(shown.collect())
    }

    #[test]
    fn a_hard_link_is_what_its_target_was_when_it_was_read() {
        assert_eq!(read(vec![file("a"), link("b", "a"), file("a")]).expect("read"), ["a 2", "b 0"]);
        assert_eq!(read(vec![file("a"), link("b", "a"), file("a"), link("c", "a"), link("d", "b")]).expect("read"), ["a 2", "b 0", "c -> a", "d -> b"]);
    }

    #[test]
    fn the_first_of_several_names_is_the_file() {
        assert_eq!(read(vec![file("b"), link("c", "b"), link("a", "c")]).expect("read"), ["a 0", "b -> a", "c -> a"]);
        // One that a lower layer has.
        assert_eq!(read(vec![link("b", "below"), link("c", "b")]).expect("read"), ["b -> below", "c -> b"]);
    }

    #[test]
    fn links_to_what_is_left_out_are_left_out() {
        let names = vec![entry("pipe", EntryKind::Fifo), link("a", "pipe"), link("b", "a"), file("c")];
        assert_eq!(read(names).expect("read"), ["c 3"]);
        assert_eq!(read(vec![entry("x", EntryKind::Fifo), link("a", "x"), file("a"), file("x")]).expect("read"), ["a 2", "x 3"]);
    }

    #[test]
    fn what_readers_could_see_as_two_layers_is_refused() {
        for names in [
            vec![link("a", "b"), file("b")],
            vec![link("a", "b"), link("b", "a")],
            vec![entry("d", EntryKind::Directory), link("a", "d")],
            vec![file("a"), file("a/b")],
            vec![entry("a", EntryKind::Directory), file("a/b"), entry("a", EntryKind::Symlink { target: "etc".into() })],
        ] {
            assert_eq!(read(names.clone()).expect_err("two layers").kind(), ErrorKind::Corrupt, "{names:?}");
        }
    }

    #[test]
    fn long_chains_of_hard_links_take_no_longer_than_other_entries() {
        const LINKS: usize = 100_000;
        let names = std::iter::once(file("0")).chain((1..LINKS).map(|n| link(&n.to_string(), &(n - 1).to_string())));
        let begin = std::time::Instant::now();
        assert_eq!(read(names.collect()).expect("read").len(), LINKS);
        // Following each chain to its end takes five thousand million steps.
        assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
    }
}
