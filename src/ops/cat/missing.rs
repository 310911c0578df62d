//! Why a path is no file that can be shown, and what the person may have meant.

use super::Kept;
use crate::error::{Error, Result};
use crate::layer::apply::{Follow, Kind, NodeId};
use crate::layer::inventory::{InodeKind, Inventory};
use crate::spec::text;

/// How many names of a directory are listed.
const LISTED: usize = 10;

/// Looking for a similar name among more than this many would be noticed.
const COMPARED: usize = 10_000;

/// The error for a path that leads to something else than a regular file.
pub(super) fn refuse(inventory: &Inventory<Kept>, asked: &[u8], id: NodeId) -> Error {
    let what = match inventory.inode(id).kind {
        InodeKind::Directory => {
            let error = Error::usage(format!("`{}` is a directory", text::bytes(asked))).subject(text::bytes(asked));
            return error.hint(content(inventory, id).map_or_else(|| "it is empty".to_owned(), |content| format!("it has {content}")));
        }
        InodeKind::File { .. } => {
            let error = Error::not_found(format!("`{}` is not there: without the slash it is a file", text::bytes(asked)));
            return error.subject(text::bytes(asked));
        }
        InodeKind::Symlink => "a symbolic link",
        InodeKind::CharDevice { .. } => "a character device",
        InodeKind::BlockDevice { .. } => "a block device",
        InodeKind::Fifo => "a named pipe",
    };
    Error::usage(format!("`{}` is {what}, which has no content in an image", text::bytes(asked))).subject(text::bytes(asked))
}

/// The error for a path at which there is nothing. Says how far it leads, and what is there instead.
pub(super) fn explain(inventory: &Inventory<Kept>, asked: &[u8]) -> Error {
    let error = look(inventory, asked).unwrap_or_else(|error| error);
    error.subject(text::bytes(asked))
}

fn look(inventory: &Inventory<Kept>, asked: &[u8]) -> Result<Error> {
    let shown = text::bytes(asked);
    let mut reached = b"/".to_vec();
    for name in asked.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let directory = inventory.find(&reached, Follow::Yes)?;
        let parent = reached.clone();
        if !reached.ends_with(b"/") {
            reached.push(b'/');
        }
        reached.extend_from_slice(name);
        if inventory.find(&reached, Follow::Yes)?.is_some() {
            continue;
        }
        let here = text::bytes(&reached);
        if let Some(link) = inventory.find(&reached, Follow::No)?
            && let Kind::Symlink(target) = inventory.rootfs().node(link).kind()
        {
            return Ok(Error::not_found(format!("`{shown}` is not there: `{here}` is a symbolic link to `{}`, where there is nothing", text::bytes(target))));
        }
        let Some(directory) = directory.filter(|id| inventory.rootfs().node(*id).is_directory()) else {
            return Ok(Error::not_found(format!("`{shown}` is not there: `{}` is no directory", text::bytes(&parent))));
        };
        let missing = Error::not_found(format!("`{shown}` is not there"));
        return Ok(match similar(inventory, directory, name) {
            Some(similar) => missing.hint(format!("did you mean `{}`?", text::bytes(&[below(&parent).as_slice(), similar.as_bytes()].concat()))),
            None => match content(inventory, directory) {
                Some(content) if parent == b"/" => missing.hint(format!("the root of the image has {content}")),
                Some(content) => missing.hint(format!("`{}` has {content}", text::bytes(&parent))),
                None => missing.hint(format!("`{}` is empty", text::bytes(&parent))),
            },
        });
    }
    Ok(Error::not_found(format!("`{shown}` is not there")))
}

/// A name in the directory that somebody may have meant.
fn similar(inventory: &Inventory<Kept>, directory: NodeId, name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let names = names(inventory, directory).take(COMPARED).filter_map(|name| std::str::from_utf8(name).ok());
    text::nearest(name, names).map(str::to_owned)
}

/// What is in the directory, in one line; none where it is empty.
fn content(inventory: &Inventory<Kept>, directory: NodeId) -> Option<String> {
    let listed: Vec<_> = names(inventory, directory).take(LISTED).map(text::bytes).collect();
    let more = names(inventory, directory).count() - listed.len();
    match (listed.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(listed.join(", ")),
        (false, more) => Some(format!("{} and {more} more", listed.join(", "))),
    }
}

fn names(inventory: &Inventory<Kept>, directory: NodeId) -> impl Iterator<Item = &[u8]> {
    let children = match inventory.rootfs().node(directory).kind() {
        Kind::Directory(children) => Some(children),
        _ => None,
    };
    children.into_iter().flat_map(|children| children.keys()).map(|name| &**name)
}

fn below(directory: &[u8]) -> Vec<u8> {
    if directory.ends_with(b"/") { directory.to_vec() } else { [directory, b"/"].concat() }
}
