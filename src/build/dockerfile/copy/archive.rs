//! Archives that `ADD` extracts.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::build::archive;
use crate::build::spec::Devices;
use crate::error::{IoContext, Result};
use crate::exec::Run;
use crate::layer::changeset::Item;
use crate::layer::decode::{self, packed};
use crate::layer::tree::{Found, Tree};
use crate::spec::media_type::Compression;

/// What is done with archives.
#[derive(Clone, Copy)]
pub(in crate::build::dockerfile) enum Archives<'a> {
    /// It is enough to know that there are some.
    Noted,
    /// They are read; what is compressed is unpacked to such a file.
    Read(&'a (dyn Fn() -> Result<Arc<File>> + Sync)),
}

/// A file that is an archive.
pub(super) struct Archive {
    file: File,
    path: PathBuf,
}

impl Archive {
    /// Whether a file of a context is an archive, by its content: a tar, plain or compressed.
    pub(super) fn recognise(tree: &Tree, found: &Found) -> Result<Option<Archive>> {
        if found.stat.size == 0 {
            return Ok(None);
        }
        let path = tree.path_of(found);
        let file = tree.open_file(found)?.into_file();
        let mut head = [0; decode::HEAD];
        let length = read_at(&file, &mut head).at("read", &path)?;
        let is_archive = decode::sniff(&head[..length]) == Some(Compression::None) || is_tar_inside(&head[..length], &file);
        Ok(is_archive.then_some(Archive { file, path }))
    }

    /// Its entries as items, in order.
    pub(super) fn items(self, run: &Run, spool: &(dyn Fn() -> Result<Arc<File>> + Sync)) -> Result<Vec<Item>> {
        archive::items_of(run, self.file, &self.path, Devices::Keep, spool)
    }
}

/// A compressed file that is no tar, or is damaged, is a file like others.
fn is_tar_inside(head: &[u8], file: &File) -> bool {
    let Ok(Some(reader)) = packed::decoder(head, At { file, offset: 0 }) else { return false };
    let mut head = Vec::new();
    let read = reader.take(decode::HEAD as u64).read_to_end(&mut head);
    read.is_ok() && decode::sniff(&head) == Some(Compression::None)
}

fn read_at(file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Reads a file from its beginning without moving its position.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
