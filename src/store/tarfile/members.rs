//! What an archive has, by name.
//!
//! The headers are read once, from one to the next without what lies between; content is read at its offset when somebody wants it. Guarantees that every
//! name leads to one file of the archive, and to nothing else.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::path::Path;

use crate::error::{Error, IoContext, Result};
use crate::exec::Cancel;
use crate::spec::{Digest, text};
use crate::tar::{Entry, EntryKind, Reader};

use super::extent::{self, Extent, ExtentReader};
use super::input::Input;

/// The most members of an archive: half a million. Their names and places take about 100 MB then; the largest known archives have some ten thousand.
const MAX_MEMBERS: usize = 1 << 19;

/// The most bytes that the names of all members take: 64 MiB, a hundred times the length of a blob's name for each of [`MAX_MEMBERS`].
const MAX_NAMES: usize = 64 << 20;

/// How much is read for one header: enough for the header and the small content behind it.
const HEADERS: usize = 4096;

/// How deep links may lead to links.
const MAX_LINKS: usize = 16;

/// What an archive may hold besides files and directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Links {
    /// Nothing.
    Refused,
    /// Links to files of the archive.
    Inside,
}

/// The members of an archive.
#[derive(Debug)]
pub(in crate::store) struct Members {
    by_name: HashMap<Box<[u8]>, Member>,
    /// Where the mark of the end stands, or should.
    end: u64,
    remarks: Vec<String>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    /// Where its first header begins.
    begin: u64,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    File(Extent),
    Directory,
    /// Another name for a member, by its whole name.
    Link(Box<[u8]>),
    /// Several files with different content.
    Several,
}

impl Members {
    /// Finds the members of an archive.
    ///
    /// Kinds: `corrupt` for damage, for names that lead elsewhere and for what is neither file nor directory nor allowed link; `unsupported` beyond the limits.
    pub(in crate::store) fn scan(input: &Input, links: Links, cancel: &Cancel) -> Result<Members> {
        Members::scan_within(input, links, cancel, MAX_MEMBERS)
            .map_err(|error| error.context(format!("cannot read archive {}", input.shown)).subject(&input.shown))
    }

    fn scan_within(input: &Input, links: Links, cancel: &Cancel, most: usize) -> Result<Members> {
        let mut reader = Reader::with_capacity(HEADERS, input.extent().read(&input.file));
        let mut members = Members { by_name: HashMap::new(), end: 0, remarks: Vec::new() };
        let (mut count, mut names) = (0, 0);
        while let Some(entry) = reader.next_entry()? {
            cancel.check()?;
            count += 1;
            names += entry.path.len();
            if count > most || names > MAX_NAMES {
                return Err(Error::unsupported(format!("it has more than {most} members, or names of more than {MAX_NAMES} bytes")));
            }
            let member = member(&reader, &entry, links).map_err(|error| error.context(format!("cannot accept member `{}`", text::bytes(&entry.path))))?;
            reader.seek_over_content(input.size)?;
            members.add(input, entry.path, member)?;
        }
        members.end = reader.begin();
        members.remarks.extend(reader.warnings().map(str::to_owned));
        if links == Links::Inside {
            members.check_links()?;
        }
        Ok(members)
    }

    fn add(&mut self, input: &Input, path: Vec<u8>, member: Member) -> Result<()> {
        match self.by_name.entry(path.into()) {
            Slot::Vacant(slot) => {
                slot.insert(member);
            }
            Slot::Occupied(mut slot) => {
                let same = match (&slot.get().kind, &member.kind) {
                    (Kind::File(a), Kind::File(b)) => extent::same(&input.file, *a, *b).at("read", Path::new(&input.shown))?,
                    (a, b) => a == b,
                };
                if !same {
                    slot.get_mut().kind = Kind::Several;
                } else if member.kind != Kind::Directory {
                    self.remarks.push(format!("`{}` is in the archive more than once", text::bytes(slot.key())));
                }
            }
        }
        Ok(())
    }

    /// Links lead to members, and no member stands behind one: who unpacks the archive would put it elsewhere.
    fn check_links(&self) -> Result<()> {
        if !self.by_name.values().any(|member| matches!(member.kind, Kind::Link(_))) {
            return Ok(());
        }
        for path in self.by_name.keys() {
            let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
            for parent in parents {
                if matches!(self.by_name.get(parent).map(|member| &member.kind), Some(Kind::Link(_))) {
                    let (path, parent) = (text::bytes(path), text::bytes(parent));
                    return Err(Error::corrupt(format!("member `{path}` would escape through the link `{parent}`")));
                }
            }
        }
        Ok(())
    }

    /// Where the content of the file `name` lies; none where there is no such member. Links are followed.
    ///
    /// Fails with kind `corrupt` where the name is that of something else or of several different files.
    pub(in crate::store) fn file(&self, name: &[u8]) -> Result<Option<Extent>> {
        let mut at = name;
        for _ in 0..MAX_LINKS {
            let shown = || text::bytes(name);
            match self.by_name.get(at).map(|member| &member.kind) {
                None => return Ok(None),
                Some(Kind::File(extent)) => return Ok(Some(*extent)),
                Some(Kind::Link(target)) => at = target,
                Some(Kind::Directory) => return Err(Error::corrupt(format!("`{}` in the archive is a directory", shown())).subject(shown())),
                Some(Kind::Several) => {
                    let message = format!("ambiguous: `{}` is in the archive more than once, with different content", shown());
                    return Err(Error::corrupt(message).subject(shown()));
                }
            }
        }
        Err(Error::corrupt(format!("the link `{}` in the archive leads to more than {MAX_LINKS} links", text::bytes(name))).subject(text::bytes(name)))
    }

    /// Where the content with this digest lies. Errors as [`file`](Self::file).
    pub(in crate::store) fn blob(&self, digest: &Digest) -> Result<Option<Extent>> {
        self.file(super::blob_name(digest).as_bytes()).map_err(|error| error.subject(digest))
    }

    /// The directories below which blobs are, and the one above them.
    pub(in crate::store) fn directories(&self) -> impl Iterator<Item = String> {
        let directories = self.by_name.iter().filter(|(_, member)| member.kind == Kind::Directory);
        directories.filter_map(|(name, _)| std::str::from_utf8(name).ok()).filter(|name| name.starts_with(super::BLOBS)).map(str::to_owned)
    }

    /// A directory that holds a file `name`.
    pub(in crate::store) fn directory_with(&self, name: &str) -> Option<String> {
        let ending = format!("/{name}").into_bytes();
        self.by_name.keys().find_map(|path| path.strip_suffix(&ending[..])).map(|directory| text::bytes(directory).into_owned())
    }

    /// Where the member `name` begins, with its headers.
    pub(in crate::store) fn begin(&self, name: &str) -> Option<u64> {
        self.by_name.get(name.as_bytes()).map(|member| member.begin)
    }

    /// The members that begin at `offset` or behind it, as they lie, without directories.
    ///
    /// Fails with kind `corrupt` for several files of one name.
    pub(in crate::store) fn from(&self, offset: u64) -> Result<Vec<(Vec<u8>, Extent)>> {
        let mut members: Vec<_> = self.by_name.iter().filter(|(_, member)| member.begin >= offset && member.kind != Kind::Directory).collect();
        members.sort_by_key(|(_, member)| member.begin);
        let files = members.into_iter().map(|(name, _)| Ok(self.file(name)?.map(|extent| (name.to_vec(), extent))));
        files.filter_map(Result::transpose).collect()
    }

    /// Where the mark of the end stands, or should.
    pub(in crate::store) fn end(&self) -> u64 {
        self.end
    }

    /// What deserves attention, one line each.
    pub(in crate::store) fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

/// What an entry is as a member.
fn member(reader: &Reader<ExtentReader>, entry: &Entry, links: Links) -> Result<Member> {
    if reader.written_name().starts_with(b"/") {
        return Err(Error::corrupt("its name begins with a `/`, which would escape from the archive"));
    }
    let kind = match &entry.kind {
        EntryKind::File { size } => Kind::File(Extent { offset: reader.position(), size: *size }),
        EntryKind::Directory => Kind::Directory,
        EntryKind::Symlink { .. } | EntryKind::Hardlink { .. } if links == Links::Refused => {
            return Err(Error::corrupt("it is a link, which could escape from the archive"));
        }
        EntryKind::Symlink { target } => Kind::Link(inside(&entry.path, target)?),
        EntryKind::Hardlink { target } => Kind::Link(target.as_slice().into()),
        EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } => return Err(Error::corrupt("it is a device")),
        EntryKind::Fifo => return Err(Error::corrupt("it is a FIFO")),
    };
    Ok(Member { begin: reader.begin(), kind })
}

/// The name that the symbolic link `path` leads to with this target. Fails with kind `corrupt` where that is outside.
fn inside(path: &[u8], target: &[u8]) -> Result<Box<[u8]>> {
    let directory = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
    resolve(directory, target).ok_or_else(|| Error::corrupt(format!("its target `{}` would escape from the archive", text::bytes(target))))
}

/// The name of `path` seen from `directory`; none where it leads outside.
pub(in crate::store) fn resolve(directory: &[u8], path: &[u8]) -> Option<Box<[u8]>> {
    if path.starts_with(b"/") {
        return None;
    }
    let mut names: Vec<&[u8]> = directory.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join(&b'/').into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::store::Options;
    use crate::tar::forge::{Archive, archive};
    use std::io::Write as _;
    use std::sync::Arc;

    fn scan(archive: &Archive, links: Links, most: usize) -> Result<Members> {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(&archive.0).expect("written");
        let input = Input::of(Arc::new(file), archive.0.len() as u64, "x".into(), &Options::default()).expect("a tar");
        Members::scan_within(&input, links, &Cancel::default(), most)
    }

    #[test]
    fn arc_12_the_number_of_members_is_limited() {
        let many = (0..100).fold(archive(), |archive, n| archive.file(n.to_string().as_bytes(), b"")).end();
        assert_eq!(scan(&many, Links::Refused, 100).expect("at the limit").by_name.len(), 100);
        assert_eq!(scan(&many, Links::Refused, 99).expect_err("beyond").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn arc_05_links_lead_to_files_of_the_archive() {
        let links = archive().file(b"a/file", b"content").link(b"b/link", b'2', b"../a/file").link(b"b/hard", b'1', b"b/link").link(b"gone", b'2', b"x").end();
        let members = scan(&links, Links::Inside, 100).expect("readable");
        let file = members.file(b"a/file").expect("a file");
        assert_eq!(file, Some(Extent { offset: 512, size: 7 }));
        assert_eq!(members.file(b"b/link").expect("a file"), file);
        assert_eq!(members.file(b"b/hard").expect("a file"), file);
        assert_eq!(members.file(b"gone").expect("nothing"), None);
        assert!(scan(&links, Links::Refused, 100).is_err());
    }

    #[test]
    fn arc_06_a_cycle_of_links_ends() {
        let cycle = archive().link(b"a", b'2', b"b").link(b"b", b'2', b"a").end();
        assert_eq!(scan(&cycle, Links::Inside, 100).expect("readable").file(b"a").expect_err("a cycle").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn arc_04_nothing_escapes_through_links() {
        for links in [
            archive().link(b"a", b'2', b"/etc/passwd"),
            archive().link(b"d/a", b'2', b"../../x"),
            archive().link(b"d", b'2', b"e").file(b"d/f", b""),
            archive().file(b"d/f", b"").link(b"d", b'2', b"e"),
        ] {
            assert_eq!(scan(&links.end(), Links::Inside, 100).expect_err("refused").kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn paths_are_resolved_inside() {
        for (directory, path, resolved) in
            [("a/b", "../c", Some("a/c")), ("", "./x//y", Some("x/y")), ("a", "..", Some("")), ("a", "../..", None), ("a", "/x", None)]
        {
            assert_eq!(resolve(directory.as_bytes(), path.as_bytes()).as_deref(), resolved.map(str::as_bytes), "{directory} {path}");
        }
    }
}
