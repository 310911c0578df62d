//! What a step comes to, as a hash that is the same on every machine: of what its layer is made of, by content.

use std::io::Write;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::StageLayer;
use super::copy::{Copied, PlannedNode};
use crate::build::recipe::{Recipe, Recorder};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::changeset::{Item, Node};
use crate::layer::tree::Tree;
use crate::layer::{Codec, Entry, EntryKind};
use crate::spec::text;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// What a step is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// Of a step whose recipe says nothing of files of this machine.
    #[cfg(feature = "run")]
    pub(super) fn of(recipe: &Recipe) -> Key {
        Key(recipe.key)
    }

    /// The same, where that is so.
    pub(super) fn of_recipe(recipe: &Recipe) -> Option<Key> {
        recipe.settled.is_none().then_some(Key(recipe.key))
    }

    /// Of a copy of files of a context, which are read for it. `from` are the layers of a stage that it copies from; `rest` tells what else decides.
    pub(super) fn of_copy(run: &Run, codec: Codec, copied: &Copied, (from, tree): (&[StageLayer], Option<&Tree>), rest: &str) -> Result<Key> {
        let mut hasher = blake3::Hasher::new_derive_key("larder step key 1");
        let mut recorder = Recorder::new(codec, run.timestamps);
        recorder.text(rest);
        hasher.update(&recorder.finish().key);
        for item in &copied.items {
            run.cancel.check()?;
            match &item.node {
                PlannedNode::Ready(node) => hash_item(run, &Item { path: item.path.clone(), node: node.clone() }, &mut hasher)?,
                PlannedNode::Content(entry, at) => {
                    let entry = Entry { path: item.path.clone(), ..(**entry).clone() };
                    hash_text(&mut hasher, &format!("{entry:?} {} {}", from[at.layer].diff_id, at.entry));
                }
            }
        }
        for found in &copied.archives {
            let Some(tree) = tree else { continue };
            hash_text(&mut hasher, "archive");
            let mut file = tree.open_file(found)?;
            let mut buffer = vec![0; BUFFER];
            hasher.update(&found.stat.size.to_le_bytes());
            loop {
                run.cancel.check()?;
                match file.read_into(&mut buffer)? {
                    0 => break file.finish()?,
                    read => drop(hasher.update(&buffer[..read])),
                }
            }
        }
        Ok(Key(*hasher.finalize().as_bytes()))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(&written).map(|hash| Key(*hash.as_bytes())).map_err(|_| serde::de::Error::custom("a key has 64 hexadecimal digits"))
    }
}

/// A hash of what items are: paths, attributes and contents.
#[cfg(feature = "run")]
pub(super) fn digest_of(run: &Run, items: &[Item]) -> Result<String> {
    let mut hasher = blake3::Hasher::new_derive_key("larder files 1");
    for item in items {
        run.cancel.check()?;
        hash_item(run, item, &mut hasher)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn hash_item(run: &Run, item: &Item, hasher: &mut blake3::Hasher) -> Result<()> {
    let entry = item.entry(run.timestamps)?;
    // The debug form spells out every field, and it is compared with nothing but itself.
    hash_text(hasher, &format!("{entry:?}"));
    match entry.kind {
        EntryKind::File { .. } => copy(item, &entry, hasher),
        _ => Ok(()),
    }
}

fn hash_text(hasher: &mut blake3::Hasher, said: &str) {
    hasher.update(&(said.len() as u64).to_le_bytes()).update(said.as_bytes());
}

/// Writes the content of a file, which must be what the plan saw.
pub(super) fn copy(item: &Item, entry: &Entry, to: &mut impl Write) -> Result<()> {
    let cannot = |error: std::io::Error| Error::io(format!("cannot copy `{}`", text::bytes(&item.path)), error);
    let mut buffer = vec![0; BUFFER];
    match &item.node {
        Node::Made(_, content) => to.write_all(content).map_err(cannot),
        Node::Found(source, found) => {
            let mut file = source.tree.open_file(found)?;
            loop {
                match file.read_into(&mut buffer)? {
                    0 => return file.finish(),
                    read => to.write_all(&buffer[..read]).map_err(cannot)?,
                }
            }
        }
        Node::Stored(_, file, offset) => {
            let mut done = 0;
            while done < entry.size() {
                let wanted = usize::try_from(entry.size() - done).map_or(BUFFER, |left| left.min(BUFFER));
                file.read_exact_at(&mut buffer[..wanted], offset + done).map_err(cannot)?;
                to.write_all(&buffer[..wanted]).map_err(cannot)?;
                done += wanted as u64;
            }
            Ok(())
        }
        Node::Hardlink(..) => Ok(()),
    }
}
