//! Recognising a layer without reading its files.
//!
//! A recipe is a hash over everything that decides a layer's bytes, with the file system's word (device, inode, size, times) in the place of
//! file contents. Equal recipes mean equal layers, as long as the file system gives a changed file another time. It may not when a file
//! changes twice within one tick of its clock, so a recipe whose newest file is younger than that tick is not yet safe to remember.

use std::time::Duration;

use crate::exec::Timestamps;
use crate::layer::Codec;
use crate::layer::changeset::{Item, Modes, Node, Owner, Rules, SourceTree, XattrRule};
use crate::layer::tree::Stat;

/// The coarsest tick of a kernel clock, with room to spare.
const TICK: Duration = Duration::from_millis(20);

/// What file systems that store whole seconds, or two (FAT), need.
const COARSE_TICK: Duration = Duration::from_millis(2500);

/// Names a layer by what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// The hash.
    pub key: [u8; 32],
    /// From this time on, in time since 1970, a file that changes shows it. None where no file is involved.
    pub settled: Option<Duration>,
}

/// Collects what decides a layer.
pub(super) struct Recorder {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    settled: Option<Duration>,
}

impl Recorder {
    pub(super) fn new(codec: Codec, timestamps: Timestamps) -> Self {
        let mut recorder = Recorder { hasher: blake3::Hasher::new_derive_key("larder layer recipe 1"), buffer: Vec::new(), settled: None };
        recorder.bytes(codec.contract().as_bytes());
        recorder.number(timestamps.epoch());
        recorder
    }

    pub(super) fn finish(mut self) -> Recipe {
        self.flush();
        Recipe { key: *self.hasher.finalize().as_bytes(), settled: self.settled }
    }

    /// The items of a changeset, in order.
    pub(super) fn items(&mut self, items: &[Item]) {
        let mut rules = None;
        for item in items {
            self.item(&item.path, &item.node, &mut rules);
        }
    }

    /// One of them, with the rules of the one before it.
    pub(super) fn item(&mut self, path: &[u8], node: &Node, last: &mut Option<Rules>) {
        self.bytes(path);
        match node {
            Node::Made(entry, content) => {
                self.number(1);
                // The debug form spells out every field, and it is compared with nothing but itself.
                self.bytes(format!("{entry:?}").as_bytes());
                self.bytes(content);
            }
            Node::Found(source, found) => {
                self.number(2);
                self.rules(source, last);
                self.stat(&found.stat);
            }
            Node::Hardlink(source, found, target) => {
                self.number(3);
                self.rules(source, last);
                self.stat(&found.stat);
                self.bytes(target);
            }
            Node::Stored(entry, _, offset) => {
                self.number(4);
                self.bytes(format!("{entry:?}").as_bytes());
                self.number(*offset);
            }
        }
    }

    /// Any other choice that decides bytes.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// The identity of one file.
    pub(super) fn stat(&mut self, stat: &Stat) {
        for number in [stat.dev, stat.ino, u64::from(stat.mode), u64::from(stat.uid), u64::from(stat.gid), stat.size, stat.rdev] {
            self.number(number);
        }
        for (seconds, nanoseconds) in [stat.mtime, stat.ctime] {
            self.number(seconds.cast_unsigned());
            self.number(u64::from(nanoseconds));
        }
        // Whatever sets a modification time back moves the change time on.
        let tick = if stat.ctime.1 == 0 { COARSE_TICK } else { TICK };
        let settled = Duration::new(u64::try_from(stat.ctime.0).unwrap_or(0), stat.ctime.1) + tick;
        self.settled = self.settled.max(Some(settled));
    }

    fn rules(&mut self, source: &SourceTree, last: &mut Option<Rules>) {
        if *last == Some(source.rules) {
            return;
        }
        *last = Some(source.rules);
        let (modes, fixed) = match source.rules.modes {
            Modes::Normal => (1, 0),
            Modes::Keep => (2, 0),
            Modes::Fixed(mode) => (3, mode),
            Modes::Exactly(mode) => (4, mode),
        };
        let (owner, uid, gid) = match source.rules.owner {
            Owner::Keep => (1, 0, 0),
            Owner::Fixed(uid, gid) => (2, uid, gid),
        };
        let xattrs = match source.rules.xattrs {
            XattrRule::Drop => 1,
            // 2 was a rule that kept more.
            XattrRule::Keep => 3,
        };
        for number in [99, modes, fixed, owner, uid, gid, xattrs] {
            self.number(u64::from(number));
        }
    }

    fn number(&mut self, number: u64) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > 1 << 16 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hasher.update(&self.buffer);
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat =
        Stat { mode: 0o100_644, uid: 0, gid: 0, size: 7, mtime: (1_000_000_000, 0), ctime: (1_000_000_000, 5), dev: 1, ino: 2, nlink: 1, rdev: 0 };

    fn recipe(stats: &[Stat]) -> Recipe {
        let mut recorder = Recorder::new(Codec::default(), Timestamps::default());
        stats.iter().for_each(|stat| recorder.stat(stat));
        recorder.finish()
    }

    #[test]
    fn whatever_a_file_system_says_of_a_changed_file_makes_another_recipe() {
        let changed = [
            Stat { mode: 0o100_755, ..STAT },
            Stat { uid: 1, ..STAT },
            Stat { gid: 1, ..STAT },
            Stat { size: 8, ..STAT },
            Stat { mtime: (1_000_000_001, 0), ..STAT },
            Stat { mtime: (1_000_000_000, 1), ..STAT },
            // A modification time can be set back; this one cannot.
            Stat { ctime: (1_000_000_001, 5), ..STAT },
            Stat { ctime: (1_000_000_000, 6), ..STAT },
            Stat { dev: 2, ..STAT },
            Stat { ino: 3, ..STAT },
            Stat { rdev: 1, ..STAT },
        ];
        let before = recipe(&[STAT]).key;
        assert_eq!(recipe(&[STAT]).key, before);
        for stat in changed {
            assert_ne!(recipe(&[stat]).key, before, "{stat:?}");
        }
        // Another name for the file changes nothing in it.
        assert_eq!(recipe(&[Stat { nlink: 2, ..STAT }]).key, before);
    }

    #[test]
    fn the_file_that_changed_last_decides_from_when_on_changes_show() {
        assert_eq!(recipe(&[]).settled, None);
        let newer = Stat { ctime: (1_000_000_009, 900_000_000), ..STAT };
        let settled = Duration::new(1_000_000_009, 920_000_000);
        assert_eq!((recipe(&[STAT, newer]).settled, recipe(&[newer, STAT]).settled), (Some(settled), Some(settled)));
        // A time without a fraction is that of a file system which knows none.
        let whole = Stat { ctime: (1_000_000_009, 0), ..STAT };
        assert_eq!(recipe(&[whole, STAT]).settled, Some(Duration::new(1_000_000_011, 500_000_000)));
        assert_eq!(recipe(&[Stat { ctime: (-5, 1), ..STAT }]).settled, Some(Duration::new(0, 1) + TICK));
    }
}
