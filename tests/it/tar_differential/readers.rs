//! How others read archives, in one form.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder::ErrorKind;
use larder::tar::{EntryKind, Reader};
use serde::Deserialize;

use super::super::support::forge::sha256;
use super::super::support::process::{Runs as _, checkout};
use super::super::support::tools::tool;

/// An entry as somebody reads it. Bytes are hexadecimal.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) size: i64,
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    /// None where the reader shows a time that nobody can count.
    pub(super) mtime: Option<i64>,
    pub(super) link: String,
    pub(super) device: Option<[i64; 2]>,
    /// The digest of the content, where the reader shows content.
    pub(super) content: Option<String>,
    /// Extended attributes, where the reader shows them.
    pub(super) xattrs: Option<BTreeMap<String, String>>,
}

/// An archive as somebody reads it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) entries: Option<Vec<Entry>>,
    /// Why it is refused.
    pub(super) refused: Option<String>,
}

/// What larder says of an archive: its entries, or the kind of the error and all its lines.
pub(super) fn larder(archive: &[u8]) -> Result<Vec<Entry>, (ErrorKind, String)> {
    let told = |error: larder::Error| (error.kind(), format!("{error}: {}", error.causes().join(": ")));
    let mut reader = Reader::new(archive);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(told)? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| told(larder::Error::io("cannot read the content", error)))?;
        let (kind, link, device) = match &entry.kind {
            EntryKind::File { .. } => ("file", &b""[..], None),
            EntryKind::Directory => ("dir", &b""[..], None),
            EntryKind::Symlink { target } => ("symlink", &target[..], None),
            EntryKind::Hardlink { target } => ("hardlink", &target[..], None),
            EntryKind::CharDevice { major, minor } => ("char", &b""[..], Some([i64::from(*major), i64::from(*minor)])),
            EntryKind::BlockDevice { major, minor } => ("block", &b""[..], Some([i64::from(*major), i64::from(*minor)])),
            EntryKind::Fifo => ("fifo", &b""[..], None),
        };
        entries.push(Entry {
            path: hex(&entry.path),
            kind: kind.to_owned(),
            size: entry.size().cast_signed(),
            mode: entry.mode.into(),
            uid: entry.uid.into(),
            gid: entry.gid.into(),
            mtime: Some(entry.mtime),
            link: hex(link),
            device,
            content: Some(sha256(&content)["sha256:".len()..].to_owned()),
            xattrs: Some(entry.xattrs.iter().map(|(name, value)| (hex(name), hex(value))).collect()),
        });
    }
    reader.finish().map_err(told)?;
    Ok(entries)
}

/// Reads each of these archives.
type Read = Box<dyn Fn(&[PathBuf]) -> Vec<Listing>>;

/// Somebody else who reads archives.
pub(super) struct Other {
    pub(super) name: &'static str,
    read: Read,
}

impl Other {
    /// How it reads each of these.
    pub(super) fn read(&self, archives: &[PathBuf]) -> Vec<Listing> {
        let mut listings = (self.read)(archives);
        assert_eq!(listings.len(), archives.len(), "{}", self.name);
        for entry in listings.iter_mut().filter_map(|listing| listing.entries.as_mut()).flatten() {
            // Names mean paths below the root; larder says them in the plainest way.
            entry.path = normal(&entry.path);
            if entry.kind == "hardlink" {
                entry.link = normal(&entry.link);
            }
            entry.mode &= 0o7777;
        }
        listings
    }
}

/// Everybody who is on this machine. Who is not is told as a skip. `place` is for what must be made first.
pub(super) fn others(place: &Path) -> Vec<Other> {
    [python(), go(place), gnu(), libarchive(place)].into_iter().flatten().collect()
}

fn lines(command: &mut Command, archives: &[PathBuf]) -> Vec<Listing> {
    let told = command.args(archives).succeeds();
    told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn python() -> Option<Other> {
    let python = tool("python3")?;
    let read = move |archives: &[PathBuf]| lines(Command::new(&python).arg("-B").arg(checkout("tests/it/tar_differential/read.py")), archives);
    Some(Other { name: "python", read: Box::new(read) })
}

fn go(place: &Path) -> Option<Other> {
    let (go, binary) = (tool("go")?, place.join("read"));
    let mut build = Command::new(go);
    build.arg("build").arg("-o").arg(&binary).arg(checkout("tests/it/tar_differential/read.go"));
    // Nothing of the person's settings, and nothing from the network.
    build.env("GO111MODULE", "off").env("GOFLAGS", "").env("GOTOOLCHAIN", "local").env("GOPROXY", "off");
    build.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go")).succeeds();
    Some(Other { name: "go", read: Box::new(move |archives| lines(&mut Command::new(&binary), archives)) })
}

/// bsdtar writes what it reads in a form that nobody misunderstands, and that is read.
fn libarchive(place: &Path) -> Option<Other> {
    let (bsdtar, python) = (tool("bsdtar")?, python()?);
    let place = place.to_owned();
    let read = move |archives: &[PathBuf]| {
        let again = |(number, archive): (usize, &PathBuf)| {
            let written = place.join(format!("{number}.again"));
            let mut command = Command::new(&bsdtar);
            command.args(["--create", "--format=pax", "--file"]).arg(&written).arg(format!("@{}", archive.display()));
            let output = command.env("LC_ALL", "C.UTF-8").output().expect("bsdtar starts");
            if output.status.success() { Ok(written) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        };
        let written: Vec<Result<PathBuf, String>> = archives.iter().enumerate().map(again).collect();
        let readable: Vec<PathBuf> = written.iter().filter_map(|written| written.as_ref().ok().cloned()).collect();
        let mut read = (python.read)(&readable);
        // It loses the sign of times that begin with `-0`, and rounds others before 1970 towards it.
        for entry in read.iter_mut().filter_map(|listing| listing.entries.as_mut()).flatten() {
            entry.mtime = entry.mtime.filter(|mtime| *mtime > 0);
        }
        let mut read = read.into_iter();
        let listing = |written: &Result<PathBuf, String>| match written {
            Ok(_) => read.next().expect("one for each"),
            Err(why) => Listing { entries: None, refused: Some(why.clone()) },
        };
        written.iter().map(listing).collect()
    };
    Some(Other { name: "libarchive", read: Box::new(read) })
}

fn gnu() -> Option<Other> {
    let tar = tool("tar")?;
    let read = move |archives: &[PathBuf]| {
        let list = |archive: &PathBuf| {
            let mut command = Command::new(&tar);
            command.args(["--list", "--verbose", "--numeric-owner", "--full-time", "--quoting-style=c", "--file"]).arg(archive);
            let output = command.env("TZ", "UTC").env("LC_ALL", "C").output().expect("tar starts");
            if !output.status.success() {
                return Listing { entries: None, refused: Some(String::from_utf8_lossy(&output.stderr).into_owned()) };
            }
            let text = String::from_utf8(output.stdout).expect("it is quoted");
            let entries: Option<Vec<Entry>> = text.lines().map(gnu_entry).collect();
            let refused = if entries.is_none() { Some(format!("a line that is unlike others in {text}")) } else { None };
            Listing { entries, refused }
        };
        archives.iter().map(list).collect()
    };
    Some(Other { name: "gnu", read: Box::new(read) })
}

/// `-rw-r--r-- 0/0  5 2001-09-09 01:46:40 "name"`, with ` -> "target"` or ` link to "target"`, or with `8,1` for a size.
fn gnu_entry(line: &str) -> Option<Entry> {
    let (mode, rest) = line.split_once(' ')?;
    let (owner, rest) = rest.split_once(' ')?;
    let (size, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.split_once('"')?;
    let (name, rest) = unquoted(rest)?;
    let link = rest.split_once('"').map(|(_, rest)| unquoted(rest).map(|(link, _)| link));
    let kind = match mode.as_bytes().first()? {
        b'-' | b'C' => "file",
        b'd' => "dir",
        b'l' => "symlink",
        b'h' => "hardlink",
        b'c' => "char",
        b'b' => "block",
        b'p' => "fifo",
        _ => mode,
    };
    let device = size.split_once(',').and_then(|(major, minor)| Some([major.parse().ok()?, minor.parse().ok()?]));
    let (uid, gid) = owner.split_once('/')?;
    Some(Entry {
        path: hex(&name),
        kind: kind.to_owned(),
        size: if device.is_some() { 0 } else { size.parse().ok()? },
        mode: permissions(mode.as_bytes().get(1..)?),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        mtime: seconds(time.trim()),
        link: link.map_or(Some(String::new()), |link| link.map(|link| hex(&link)))?,
        device,
        content: None,
        xattrs: None,
    })
}

/// Text up to its closing quote, and what follows.
fn unquoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [b'"', ..] => return Some((out, &text[text.len() - rest.len() + 1..])),
            [b'\\', a @ b'0'..=b'3', b, c, ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &rest[4..];
            }
            [b'\\', letter, ..] => {
                let known = [(b'n', b'\n'), (b't', b'\t'), (b'r', b'\r'), (b'a', 7), (b'b', 8), (b'f', 12), (b'v', 11)];
                out.push(known.iter().find(|(name, _)| name == letter).map_or(*letter, |(_, byte)| *byte));
                rest = &rest[2..];
            }
            [byte, ..] => {
                out.push(*byte);
                rest = &rest[1..];
            }
            [] => return None,
        }
    }
}

/// `rwxr-sr-t` and its like.
fn permissions(text: &[u8]) -> i64 {
    let mut mode = 0;
    for (at, letter) in text.iter().take(9).enumerate() {
        let special = 0o4000 >> (at / 3);
        mode |= match letter {
            b'-' => 0,
            b's' | b't' => 0o400 >> at | special,
            b'S' | b'T' => special,
            _ => 0o400 >> at,
        };
    }
    mode
}

/// The seconds of `2001-09-09 01:46:40.5`, rounded down. Before 1970 tar shows the digits of the number without its sign, as in `23:59:59.75` for -1.75.
fn seconds(time: &str) -> Option<i64> {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let time: jiff::civil::DateTime = whole.parse().ok()?;
    let whole = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    Some(if whole <= 0 && !fraction.is_empty() { whole - 1 } else { whole })
}

fn normal(path: &str) -> String {
    let components = unhex(path);
    let components: Vec<&[u8]> = components.split(|byte| *byte == b'/').filter(|component| !component.is_empty() && *component != b".").collect();
    hex(&components.join(&b'/'))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// The archives as files below `place`.
pub(super) fn files(place: &Path, archives: &[Vec<u8>]) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..archives.len()).map(|number| place.join(format!("{number}.tar"))).collect();
    for (path, archive) in paths.iter().zip(archives) {
        fs::write(path, archive).expect("writable");
    }
    paths
}
