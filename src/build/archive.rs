//! A layer from an archive: every entry described again and sorted, contents taken from the archive itself.
//!
//! A plain tar is read in place; a compressed one is unpacked once to an unnamed temporary file beside the layout. What the archive says in an
//! ambiguous way is refused, because two readers could see two layers in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::plan::TarSource;
use super::spec::Devices;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::exec::Run;
use crate::fsio::regular;
use crate::layer::changeset::{Item, Node};
use crate::layer::entry::path_order;
use crate::layer::tar::Reader;
use crate::layer::tree::Stat;
use crate::layer::{Entry, EntryKind, decode};
use crate::spec::media_type::Compression;
use crate::spec::text;

/// What the archive is at the moment. It must be a regular file.
pub(super) fn stat(path: &Path) -> Result<Stat> {
    Stat::of(&regular::open_path(path)?.file, path)
}

/// Reads the archive's entries and returns them as the items of a changeset, in order.
///
/// Fails with kind `corrupt` when the archive is damaged or ambiguous, with kind `io` when it changes while it is read.
pub(super) fn items(run: &Run, source: &TarSource, spool: impl FnOnce() -> Result<Arc<File>>) -> Result<Vec<Item>> {
    let wrap = |error: Error| source.place.wrap(error, format!("cannot read the archive {}", text::path(&source.path)));
    let file = regular::open_path(&source.path).map_err(wrap)?.file;
    check_unchanged(&file, source).map_err(wrap)?;
    let file = unpacked(run, file, &source.path, spool).map_err(wrap)?;
    let items = read(run, &file, source.devices).map_err(wrap)?;
    Ok(items)
}

/// Whether the archive still is what the plan saw, after the last byte was read.
pub(super) fn check_still(source: &TarSource) -> Result<()> {
    let wrap = |error: Error| source.place.wrap(error, format!("cannot read the archive {}", text::path(&source.path)));
    regular::open_path(&source.path).and_then(|regular| check_unchanged(&regular.file, source)).map_err(wrap)
}

fn check_unchanged(file: &File, source: &TarSource) -> Result<()> {
    if Stat::of(file, &source.path)? == source.stat {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "the archive changed while it was being read").subject(text::path(&source.path)))
}

/// The archive without its compression.
fn unpacked(run: &Run, file: File, path: &Path, spool: impl FnOnce() -> Result<Arc<File>>) -> Result<Arc<File>> {
    let mut begin = [0; 8];
    let length = {
        use std::os::unix::fs::FileExt;
        file.read_at(&mut begin, 0).at("read", path)?
    };
    let compression = decode::sniff(&begin[..length]).unwrap_or(Compression::None);
    if compression == Compression::None {
        return Ok(Arc::new(file));
    }
    let mut reader = decode::decoder(compression, file)?;
    let spool = spool()?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        run.cancel.check()?;
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("cannot unpack the archive", error)),
        };
        spool.as_ref().write_all(&buffer[..read]).map_err(|error| Error::io("cannot write the unpacked archive to temporary space", error))?;
    }
    Ok(spool)
}

fn read(run: &Run, file: &Arc<File>, devices: Devices) -> Result<Vec<Item>> {
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, FromStart { file: file.clone(), at: 0 }));
    let mut items: Vec<Item> = Vec::new();
    let mut position: HashMap<Vec<u8>, usize> = HashMap::new();
    while let Some(entry) = reader.next_entry()? {
        run.cancel.check()?;
        if matches!(entry.kind, EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } | EntryKind::Fifo) {
            match devices {
                Devices::Keep => {}
                Devices::Skip => continue,
                Devices::Refuse => {
                    return Err(Error::usage(format!("{} is a device or a named pipe", text::bytes(&entry.path))).hint("set devices = \"keep\" or \"skip\""));
                }
            }
        }
        let item = Item { path: entry.path.clone(), node: Node::Stored(Box::new(entry), file.clone(), reader.position()) };
        match position.get(&item.path) {
            // The last entry of a path is the one that counts when an archive is unpacked.
            Some(index) => {
                run.events.warn(format!("the archive has {} more than once; the last one counts", text::bytes(&item.path)));
                items[*index] = item;
            }
            None => {
                position.insert(item.path.clone(), items.len());
                items.push(item);
            }
        }
    }
    for warning in reader.warnings() {
        run.events.warn(warning.to_string());
    }
    relink(&mut items, &position)?;
    items.sort_by(|a, b| path_order(&a.path, &b.path));
    Ok(items)
}

/// Sorting may bring a hard link before the file it names. The first name in order becomes the file, the others link to it.
fn relink(items: &mut [Item], position: &HashMap<Vec<u8>, usize>) -> Result<()> {
    let target = |item: &Item| match &item.node {
        Node::Stored(entry, ..) => match &entry.kind {
            EntryKind::Hardlink { target } => Some(target.clone()),
            _ => None,
        },
        _ => None,
    };
    let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
    for index in 0..items.len() {
        let mut at = index;
        // Links to links are followed; a chain longer than the archive is a circle.
        for _ in 0..=items.len() {
            let Some(name) = target(&items[at]) else { break };
            // A link to a file of a lower layer stays as it is.
            let Some(next) = position.get(&name) else { break };
            at = *next;
        }
        if target(&items[at]).is_some_and(|name| position.contains_key(&name)) {
            return Err(Error::corrupt(format!("hard link {} leads to itself", text::bytes(&items[index].path))));
        }
        if at != index {
            groups.entry(at).or_default().push(index);
        }
    }
    for (file, links) in groups {
        let Node::Stored(entry, data, offset) = items[file].node.clone() else { continue };
        let first = links.iter().copied().chain([file]).min_by(|a, b| path_order(&items[*a].path, &items[*b].path)).unwrap_or(file);
        let first_path = items[first].path.clone();
        for index in links.into_iter().chain([file]) {
            let path = items[index].path.clone();
            let described = if index == first {
                Entry { path, ..(*entry).clone() }
            } else {
                let kind = EntryKind::Hardlink { target: first_path.clone() };
                Entry { path, kind, xattrs: Default::default(), ..(*entry).clone() }
            };
            items[index].node = Node::Stored(Box::new(described), data.clone(), offset);
        }
    }
    Ok(())
}

/// Reads a shared file from its beginning without moving anybody's position.
struct FromStart {
    file: Arc<File>,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
