//! The mounts that this process sees. proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where it is.
    pub(super) point: PathBuf,
    /// Its file system.
    pub(super) kind: String,
    /// The options of the file system, the first of which is `ro` or `rw`.
    pub(super) options: String,
}

/// All mounts, in the order in which they were made. None where they cannot be known.
pub(super) fn all() -> Option<Vec<Mounted>> {
    Some(std::fs::read("/proc/self/mountinfo").ok()?.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Unmounts what is mounted at `directory` or below, the last first, and says whether nothing is left. Nothing else is touched: the links in a path of a mount have
/// been followed, and `directory` is to be such a path.
pub(super) fn clear(directory: &Path) -> bool {
    let below = || all().map(|mounts| mounts.into_iter().map(|mount| mount.point).filter(|point| point.starts_with(directory)).collect::<Vec<_>>());
    let Some(points) = below() else { return false };
    for point in points.iter().rev() {
        // Who may not unmount finds out by looking again.
        let _ = rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    points.is_empty() || below().is_some_and(|points| points.is_empty())
}

fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = unescape(fields.nth(4)?);
    // Any number of fields, and a dash behind them.
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8(rest.next()?.to_vec()).ok()?;
    let options = String::from_utf8_lossy(rest.nth(1).unwrap_or_default()).into_owned();
    Some(Mounted { point: OsString::from_vec(point).into(), kind, options })
}

/// Space, tab, newline and backslash are three octal digits behind a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<3>().filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 shared:7 - ext3 /dev/root\040x rw,errors=continue";
        let expected = Mounted { point: r"/mnt 2\x".into(), kind: "ext3".into(), options: "rw,errors=continue".into() };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse(b"22 1 0:20 / /proc rw - proc proc ro").map(|mount| (mount.kind, mount.options)), Some(("proc".into(), "ro".into())));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"22 1 0:20 / /proc rw"), None);
    }

    #[test]
    fn where_nothing_is_mounted_there_is_nothing_to_do() {
        let temp = tempfile::tempdir().expect("temporary directory");
        assert!(clear(temp.path()));
        assert!(all().expect("readable").iter().any(|mount| mount.point == Path::new("/")));
    }
}
