//! Entries of a changeset: what one path of a layer becomes. image-spec, layer.md.

use std::collections::BTreeMap;

/// Extended attributes by full name (`security.capability`), in name order.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The length of extended attributes, names and values, in bytes.
pub fn xattrs_size(xattrs: &Xattrs) -> usize {
    xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// The longest path of an entry in bytes: one less than `PATH_MAX`, so that the kernel takes it in one call.
pub const MAX_PATH: usize = 4095;

/// One path of a changeset with everything that a layer says of it, except the bytes of a regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root of the file system, components separated by one `/`, no `.` or `..`, no leading or trailing `/`.
    /// Empty for the root itself. Any bytes except NUL.
    pub path: Vec<u8>,
    /// What kind of file it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in whole seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// What kind of file an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of `size` bytes.
    File {
        /// Length of the content in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link; the target is any text and never interpreted here.
    Symlink {
        /// The text of the link.
        target: Vec<u8>,
    },
    /// Another name of an earlier entry.
    Hardlink {
        /// The path of that entry, in the form of [`Entry::path`].
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Entry {
    /// The length of the content that follows the entry's header, in bytes.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            _ => 0,
        }
    }
}

/// The order of changesets: component by component, so that a directory comes directly before what it contains.
pub fn path_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    // `/` must sort before every other byte: `a/b` before `a-b`.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    a.iter().map(key).cmp(b.iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_directly_before_its_content() {
        let mut paths: Vec<&[u8]> = vec![b"a-b", b"a/b", b"a", b"a/b/c", b"", b"a!"];
        paths.sort_by(|a, b| path_order(a, b));
        assert_eq!(paths, [b"" as &[u8], b"a", b"a/b", b"a/b/c", b"a!", b"a-b"]);
    }
}
