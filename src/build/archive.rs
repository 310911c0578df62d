//! A layer from an archive: every entry described again and sorted, contents taken from the archive itself.
//!
//! A plain tar is read in place; a compressed one is unpacked once to an unnamed temporary file beside the layout. What the archive says in an
//! ambiguous way is refused, because two readers could see two layers in it.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::destination::{join, parents};
use super::names::{Added, Names};
use super::plan::TarSource;
use super::spec::Devices;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::exec::Run;
use crate::fsio::regular;
use crate::layer::EntryKind;
use crate::layer::changeset::{Item, Node};
use crate::layer::decode::{self, packed};
use crate::layer::tar::Reader;
use crate::layer::tree::Stat;
use crate::layer::whiteout::{self, Whiteout};
use crate::spec::{limits, text};

/// What the archive is at the moment. It must be a regular file.
pub(super) fn stat(path: &Path) -> Result<Stat> {
    Stat::of(&regular::open_path(path)?.file, path)
}

/// Reads the archive's entries and returns them as the items of a changeset, in order.
///
/// Fails with kind `corrupt` when the archive is damaged or ambiguous or has whiteouts that are none, with kind `io` when it changes while it is read.
pub(super) fn items(run: &Run, source: &TarSource, spool: impl FnOnce() -> Result<Arc<File>>) -> Result<Vec<Item>> {
    let wrap = |error: Error| source.place.wrap(error, format!("cannot read the archive {}", text::path(&source.path)));
    let file = regular::open_path(&source.path).map_err(wrap)?.file;
    check_unchanged(&file, source).map_err(wrap)?;
    let items = items_of(run, file, &source.path, source.devices, spool).and_then(|items| {
        items.iter().try_for_each(check_whiteout)?;
        Ok(items)
    });
    items.map_err(wrap)
}

/// An entry that has the name of a whiteout must be one: larder would not unpack the layer, and others would see different things in it.
fn check_whiteout(item: &Item) -> Result<()> {
    if !whiteout::is_reserved(&item.path) {
        return Ok(());
    }
    let (Node::Stored(entry, ..) | Node::Made(entry, _)) = &item.node else { return Ok(()) };
    match (Whiteout::of(entry)?, parents(&item.path).any(whiteout::is_reserved)) {
        (Some(_), false) => Ok(()),
        _ => Err(Error::corrupt(format!("{} has the name of a whiteout on a directory, which some readers take for one", text::bytes(&item.path)))),
    }
}

/// The same for an archive that is open already; `path` names it in errors.
pub(super) fn items_of(run: &Run, file: File, path: &Path, devices: Devices, spool: impl FnOnce() -> Result<Arc<File>>) -> Result<Vec<Item>> {
    let file = unpacked(run, file, path, spool)?;
    read(run, &file, devices)
}

/// The items of a plain tar that larder made, below a directory; what it says of its root is said of that directory.
pub fn items_below(run: &Run, path: &Path, directory: &[u8]) -> Result<Vec<Item>> {
    let file = Arc::new(regular::open_path(path)?.file);
    let mut items = read(run, &file, Devices::Keep)?;
    for item in &mut items {
        item.path = join(directory, &item.path);
        if let Node::Stored(entry, ..) | Node::Made(entry, _) = &mut item.node {
            entry.path.clone_from(&item.path);
            if let EntryKind::Hardlink { target } = &mut entry.kind {
                *target = join(directory, target);
            }
        }
    }
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
    let mut head = [0; decode::HEAD];
    let length = {
        use std::os::unix::fs::FileExt;
        file.read_at(&mut head, 0).at("read", path)?
    };
    let file = Arc::new(file);
    let Some(mut reader) = packed::decoder(&head[..length], FromStart { file: file.clone(), at: 0 })? else { return Ok(file) };
    let most = limits::unpacked_bytes(Stat::of(&file, path)?.size);
    let spool = spool()?;
    let mut buffer = vec![0; 1 << 18];
    let mut total: u64 = 0;
    loop {
        run.cancel.check()?;
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("cannot unpack the archive", error)),
        };
        total += read as u64;
        if total > most {
            return Err(Error::corrupt(format!("it unpacks to more than {most} bytes, {} times its size", limits::EXPANSION))
                .hint("if that is right, unpack it and give the tar itself"));
        }
        spool.as_ref().write_all(&buffer[..read]).map_err(|error| Error::io("cannot write the unpacked archive to temporary space", error))?;
    }
    Ok(spool)
}

fn read(run: &Run, file: &Arc<File>, devices: Devices) -> Result<Vec<Item>> {
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, FromStart { file: file.clone(), at: 0 }));
    let mut names = Names::default();
    while let Some(entry) = reader.next_entry()? {
        run.cancel.check()?;
        if matches!(entry.kind, EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } | EntryKind::Fifo) {
            match devices {
                Devices::Keep => {}
                Devices::Skip => {
                    names.skip(entry.path);
                    continue;
                }
                Devices::Refuse => {
                    return Err(Error::usage(format!("{} is a device or a named pipe", text::bytes(&entry.path))).hint("set devices = \"keep\" or \"skip\""));
                }
            }
        }
        let path = entry.path.clone();
        if names.add(entry, reader.position())? == Added::Again {
            run.events.warn(format!("the archive has {} more than once; the last one counts", text::bytes(&path)));
        }
    }
    for warning in reader.warnings() {
        run.events.warn(warning.to_string());
    }
    names.items(run, file)
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
