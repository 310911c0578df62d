//! What header blocks and extended headers mean together. No reading happens here.

use super::block::{self, BadNumber, Block};
use super::entry::{MAX_PATH, Xattrs};
use super::{Entry, EntryKind};
use super::{MAX_MAJOR, MAX_MINOR, pax};
use crate::error::{Error, Result};
use crate::spec::text;

/// Which tar a header is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    V7,
    Ustar,
    Gnu,
}

/// A header block with a good checksum.
pub(super) struct Header<'a> {
    block: &'a Block,
    format: Format,
}

/// What a header block is.
pub(super) enum Item {
    /// An entry, with its name as it was written and what deserves attention.
    Entry { entry: Entry, written: Vec<u8>, warnings: Vec<Warning> },
    /// Says something about the next entry, in this many bytes behind it.
    Extension(Extension, u64),
}

/// A header that says something about the next entry, or about all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// pax records for the next entry.
    Pax,
    /// pax records for all entries that follow.
    Global,
    /// GNU: the name of the next entry.
    Name,
    /// GNU: the link target of the next entry.
    Link,
}

/// What is accepted although it should not be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warning {
    NoEnd,
    HalfEnd,
    PaxOnGnu,
    LongNameOnUstar,
}

impl Warning {
    pub(super) fn message(self, name: &[u8]) -> String {
        let name = text::bytes(name);
        match self {
            Warning::NoEnd => "the archive has no end mark; it may be incomplete".to_owned(),
            Warning::HalfEnd => "the archive has only half of an end mark; it may be incomplete".to_owned(),
            Warning::PaxOnGnu => format!("archive entry `{name}` mixes pax records with a GNU header"),
            Warning::LongNameOnUstar => format!("archive entry `{name}` mixes a GNU long name with a ustar header"),
        }
    }
}

/// What extended headers said of the entry that is still to come.
#[derive(Default)]
pub(super) struct Extensions {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// The records that mean something to larder.
#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    linkpath: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    xattrs: Xattrs,
    device: bool,
}

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a Block) -> Result<Header<'a>> {
        let stored = block::octal(&block[block::CHECKSUM]).map_err(|why| number_error("checksum", why))?;
        let (unsigned, signed) = block::checksums(block);
        if stored != u64::from(unsigned) && i64::try_from(stored) != Ok(signed.into()) {
            return Err(Error::corrupt("its header does not match its checksum"));
        }
        let format = match &block[block::MAGIC] {
            magic if magic == block::USTAR => Format::Ustar,
            magic if magic == block::GNU => Format::Gnu,
            magic if magic == block::V7 => Format::V7,
            _ => return Err(Error::corrupt("its header is of no known kind of tar")),
        };
        if format == Format::Ustar && &block[block::STAR_TRAILER] == b"tar\0" {
            return Err(Error::unsupported("its header is of the star kind of tar"));
        }
        if format == Format::V7 && block[block::PREFIX].iter().any(|byte| *byte != 0) {
            return Err(Error::corrupt("its header has a prefix but no mark of a tar that has prefixes"));
        }
        // Readers take what is no time there as a prefix of the name, as ustar has it.
        if format == Format::Gnu && block::GNU_TIMES.into_iter().any(|field| block[field.start] != 0 && block::number(&block[field]).is_err()) {
            return Err(Error::corrupt("its GNU header has something else where times belong"));
        }
        // libarchive believes it whatever the type says, and takes other content for the file's.
        if format == Format::Gnu && !matches!(block[block::TYPE], b'S' | b'M') && block[block::GNU_SPARSE].iter().any(|byte| *byte != 0) {
            return Err(Error::corrupt("its GNU header has what belongs to sparse files, and it is none"));
        }
        let header = Header { block, format };
        header.check_numbers()?;
        Ok(header)
    }

    /// Refuses numbers that are none, also where a record says another one or the kind of entry has no use for them: to other readers the whole
    /// header is invalid then.
    fn check_numbers(&self) -> Result<()> {
        let always = [("mode", block::MODE), ("uid", block::UID), ("gid", block::GID), ("mtime", block::MTIME)];
        let devices = [("major device number", block::MAJOR), ("minor device number", block::MINOR)];
        let devices = devices.into_iter().filter(|_| self.format != Format::V7);
        for (what, field) in always.into_iter().chain(devices) {
            self.number(what, field)?;
        }
        Ok(())
    }

    pub(super) fn item(&self, extensions: &Extensions) -> Result<Item> {
        let extension = match self.block[block::TYPE] {
            b'x' => Extension::Pax,
            b'g' => Extension::Global,
            b'L' => Extension::Name,
            b'K' => Extension::Link,
            _ => return self.entry(extensions),
        };
        if self.format == Format::V7 {
            return Err(Error::corrupt("it is an extended header in a tar that has none"));
        }
        Ok(Item::Extension(extension, self.size()?))
    }

    fn entry(&self, extensions: &Extensions) -> Result<Item> {
        let default = Pax::default();
        let pax = extensions.pax.as_ref().unwrap_or(&default);
        let in_header = self.name()?;
        let name = one_of(pax.path.as_deref(), extensions.name.as_deref(), "name")?.unwrap_or(&in_header);
        let path = normal(name).map_err(|why| why.error("name"))?;
        let kind = self.kind(extensions, pax, name, &in_header, &path)?;
        if path.is_empty() && kind != EntryKind::Directory {
            return Err(Error::corrupt("it would replace the root by something that is no directory"));
        }
        let entry = Entry {
            kind,
            mode: self.mode()?,
            uid: pax.uid.map_or_else(|| self.id("uid", block::UID), Ok)?,
            gid: pax.gid.map_or_else(|| self.id("gid", block::GID), Ok)?,
            mtime: pax.mtime.map_or_else(|| self.mtime(), Ok)?,
            xattrs: pax.xattrs.clone(),
            path,
        };
        let mut warnings = Vec::new();
        if extensions.pax.is_some() && self.format == Format::Gnu {
            warnings.push(Warning::PaxOnGnu);
        }
        if (extensions.name.is_some() || extensions.link.is_some()) && self.format == Format::Ustar {
            warnings.push(Warning::LongNameOnUstar);
        }
        if !extensions.is_empty() && self.format == Format::V7 {
            return Err(Error::corrupt("an extended header stands before it in a tar that has none"));
        }
        Ok(Item::Entry { entry, written: name.to_vec(), warnings })
    }

    fn kind(&self, extensions: &Extensions, pax: &Pax, name: &[u8], in_header: &[u8], path: &[u8]) -> Result<EntryKind> {
        let flag = self.block[block::TYPE];
        let is_link = matches!(flag, b'1' | b'2');
        let in_extensions = one_of(pax.linkpath.as_deref(), extensions.link.as_deref(), "link target")?;
        if in_extensions.is_some() && !is_link {
            return Err(Error::corrupt("an extended header gives it a link target, but it is no link"));
        }
        let kind = match flag {
            b'1' | b'2' => self.link(flag, in_extensions, path)?,
            b'3' | b'4' => self.device(flag, pax)?,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            0 if in_header.ends_with(b"/") != name.ends_with(b"/") => return Err(Error::corrupt("only one of its two names is that of a directory")),
            // GNU tar takes the one slash of the root for its name, and the root for a file.
            0 if name.ends_with(b"/") && name != b"/" => EntryKind::Directory,
            b'0' | b'7' if name.ends_with(b"/") => return Err(Error::corrupt("it is a regular file with the name of a directory")),
            0 | b'0' | b'7' => return Ok(EntryKind::File { size: pax.size.map_or_else(|| self.size(), |size| self.size().and(Ok(size)))? }),
            b'S' => return Err(Error::unsupported("it is a sparse file").hint("write the archive without --sparse")),
            b'V' | b'M' | b'N' | b'D' => return Err(Error::unsupported(format!("it is of the GNU type `{}`", char::from(flag)))),
            other => return Err(Error::unsupported(format!("it is of the unknown type `{}`", other.escape_ascii()))),
        };
        // Some readers skip content here, others take it as the next header.
        if self.size()? != 0 || pax.size.is_some_and(|size| size != 0) {
            return Err(Error::corrupt("it has a size, but its kind has no content"));
        }
        Ok(kind)
    }

    fn link(&self, flag: u8, in_extensions: Option<&[u8]>, path: &[u8]) -> Result<EntryKind> {
        let in_header = self.text(block::LINK, "link target")?;
        let target = in_extensions.unwrap_or(in_header);
        if target.is_empty() {
            return Err(Error::corrupt("it is a link without a target"));
        }
        if target.len() > MAX_PATH {
            return Err(Refused::Long.error("link target"));
        }
        if flag == b'2' {
            return Ok(EntryKind::Symlink { target: target.to_vec() });
        }
        let target = normal(target).map_err(|why| why.error("link target"))?;
        if target.is_empty() || target == path {
            return Err(Error::corrupt("it is a hard link to itself or to the root"));
        }
        Ok(EntryKind::Hardlink { target })
    }

    fn device(&self, flag: u8, pax: &Pax) -> Result<EntryKind> {
        if pax.device {
            return Err(Error::corrupt("pax records, which only some readers know, give it another device number"));
        }
        let part = |what, field, max| match self.number(what, field)? {
            value if u64::try_from(value).is_ok_and(|value| value <= max) => u32::try_from(value).map_err(|_| out_of_range(what)),
            _ => Err(out_of_range(what)),
        };
        let major = part("major device number", block::MAJOR, MAX_MAJOR)?;
        let minor = part("minor device number", block::MINOR, MAX_MINOR)?;
        Ok(if flag == b'3' { EntryKind::CharDevice { major, minor } } else { EntryKind::BlockDevice { major, minor } })
    }

    /// The name in the block itself.
    fn name(&self) -> Result<Vec<u8>> {
        let name = self.text(block::NAME, "name")?;
        match self.format {
            Format::Ustar => match self.text(block::PREFIX, "prefix")? {
                b"" => Ok(name.to_vec()),
                prefix => Ok([prefix, b"/", name].concat()),
            },
            Format::V7 | Format::Gnu => Ok(name.to_vec()),
        }
    }

    fn text(&self, field: std::ops::Range<usize>, what: &str) -> Result<&'a [u8]> {
        block::text(&self.block[field]).ok_or_else(|| Error::corrupt(format!("something stands behind the end of its {what}")))
    }

    fn size(&self) -> Result<u64> {
        let size = block::number(&self.block[block::SIZE]).map_err(|why| number_error("size", why))?;
        u64::try_from(size).map_err(|_| out_of_range("size"))
    }

    fn mode(&self) -> Result<u32> {
        // Some writers add the bits of the file's type.
        match u32::try_from(self.number("mode", block::MODE)?) {
            Ok(mode) if mode <= 0o177_777 => Ok(mode & 0o7777),
            _ => Err(out_of_range("mode")),
        }
    }

    fn id(&self, what: &str, field: std::ops::Range<usize>) -> Result<u32> {
        u32::try_from(self.number(what, field)?).map_err(|_| out_of_range(what))
    }

    fn mtime(&self) -> Result<i64> {
        self.number("mtime", block::MTIME)
    }

    /// A number that is zero where the field is blank, as all readers have it.
    fn number(&self, what: &str, field: std::ops::Range<usize>) -> Result<i64> {
        match block::number(&self.block[field]) {
            Err(BadNumber::Blank) => Ok(0),
            result => result.map_err(|why| number_error(what, why)),
        }
    }
}

impl Extensions {
    pub(super) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }

    pub(super) fn add(&mut self, extension: Extension, content: &[u8]) -> Result<()> {
        match extension {
            Extension::Pax if self.pax.is_some() => Err(twice("pax header")),
            Extension::Name if self.name.is_some() => Err(twice("GNU long name")),
            Extension::Link if self.link.is_some() => Err(twice("GNU long link target")),
            Extension::Pax => {
                self.pax = Some(Pax::parse(content)?);
                Ok(())
            }
            Extension::Name => {
                self.name = Some(long_text(content)?);
                Ok(())
            }
            Extension::Link => {
                self.link = Some(long_text(content)?);
                Ok(())
            }
            // Some readers forget the extended header then, others keep it.
            Extension::Global if !self.is_empty() => Err(Error::corrupt("a global pax header stands between an extended header and its entry")),
            Extension::Global => check_global(content),
        }
    }

    /// The best name for an error about the entry that `block` describes.
    pub(super) fn shown_name(&self, block: &Block) -> Vec<u8> {
        let field = &block[block::NAME];
        let in_header = &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())];
        self.pax.as_ref().and_then(|pax| pax.path.as_ref()).or(self.name.as_ref()).map_or_else(|| in_header.to_vec(), Clone::clone)
    }
}

impl Pax {
    fn parse(mut records: &[u8]) -> Result<Pax> {
        let mut pax = Pax::default();
        let mut keys = std::collections::BTreeSet::new();
        while !records.is_empty() {
            let (key, value, rest) = pax::take(records).ok_or_else(malformed)?;
            if !keys.insert(key) {
                return Err(twice(&format!("pax record `{}`", text::bytes(key))));
            }
            pax.set(key, value)?;
            records = rest;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let bad = || Error::corrupt(format!("its pax record `{}` is `{}`", text::bytes(key), text::bytes(value)));
        let name = || if value.is_empty() || value.contains(&0) { Err(bad()) } else { Ok(Some(value.to_vec())) };
        let id = || pax::decimal(value).and_then(|id| u32::try_from(id).ok()).ok_or_else(bad);
        match key {
            b"path" => self.path = name()?,
            b"linkpath" => self.linkpath = name()?,
            b"size" => self.size = Some(pax::decimal(value).ok_or_else(bad)?),
            b"uid" => self.uid = Some(id()?),
            b"gid" => self.gid = Some(id()?),
            b"mtime" => self.mtime = Some(pax::seconds(value).ok_or_else(bad)?),
            // Names are bytes to larder, whatever their encoding.
            b"hdrcharset" if matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {}
            b"hdrcharset" => return Err(Error::unsupported(format!("its pax records are in the character set `{}`", text::bytes(value)))),
            b"SCHILY.devmajor" | b"SCHILY.devminor" => self.device = true,
            b"SCHILY.realsize" => return Err(sparse()),
            _ if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
            _ if key.starts_with(b"GNU.") => return Err(Error::unsupported(format!("it has the pax record `{}`", text::bytes(key)))),
            _ => {
                if let Some(xattr) = key.strip_prefix(pax::XATTR) {
                    if xattr.is_empty() {
                        return Err(bad());
                    }
                    self.xattrs.insert(xattr.to_vec(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// Refuses records for all entries that readers may or may not apply; a comment, as `git archive` writes it, means nothing.
fn check_global(mut records: &[u8]) -> Result<()> {
    const APPLIED: [&[u8]; 9] = [b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"hdrcharset", b"uname", b"gname"];
    while !records.is_empty() {
        let (key, _, rest) = pax::take(records).ok_or_else(malformed)?;
        if APPLIED.contains(&key) || key.starts_with(b"SCHILY.") || key.starts_with(b"GNU.") {
            return Err(Error::corrupt(format!("a global pax header sets `{}`, which some readers apply and others ignore", text::bytes(key))));
        }
        records = rest;
    }
    Ok(())
}

/// A GNU long name: text up to a NUL with nothing but NULs behind it.
fn long_text(content: &[u8]) -> Result<Vec<u8>> {
    match block::text(content) {
        Some(b"") => Err(Error::corrupt("its GNU long name is empty")),
        Some(text) => Ok(text.to_vec()),
        None => Err(Error::corrupt("something stands behind the end of its GNU long name")),
    }
}

fn one_of<'a>(pax: Option<&'a [u8]>, gnu: Option<&'a [u8]>, what: &str) -> Result<Option<&'a [u8]>> {
    if pax.is_some() && gnu.is_some() {
        return Err(Error::corrupt(format!("a pax record and a GNU header both give it a {what}")));
    }
    Ok(pax.or(gnu))
}

/// Why a name in an archive is no path below the root.
enum Refused {
    Empty,
    Escape,
    Long,
}

impl Refused {
    fn error(&self, what: &str) -> Error {
        match self {
            Refused::Empty => Error::corrupt(format!("its {what} is empty")),
            Refused::Escape => Error::corrupt(format!("its {what} has a `..`, which could escape from the root")),
            Refused::Long => Error::unsupported(format!("its {what} is longer than {MAX_PATH} bytes")),
        }
    }
}

/// The form of [`Entry::path`]: relative to the root, without `.` and repeated `/`.
fn normal(name: &[u8]) -> Result<Vec<u8>, Refused> {
    if name.is_empty() {
        return Err(Refused::Empty);
    }
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Refused::Escape),
            component => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    if path.len() > MAX_PATH { Err(Refused::Long) } else { Ok(path) }
}

fn number_error(what: &str, why: BadNumber) -> Error {
    match why {
        BadNumber::Blank => Error::corrupt(format!("its {what} is blank")),
        BadNumber::Garbage => Error::corrupt(format!("its {what} is not a number")),
        BadNumber::Large => out_of_range(what),
    }
}

fn out_of_range(what: &str) -> Error {
    Error::corrupt(format!("its {what} is out of range"))
}

fn twice(what: &str) -> Error {
    Error::corrupt(format!("it has more than one {what}"))
}

fn malformed() -> Error {
    Error::corrupt("it has a malformed pax record")
}

fn sparse() -> Error {
    Error::unsupported("it is a sparse file").hint("write the archive without --sparse")
}
