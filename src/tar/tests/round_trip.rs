//! What is written is read again as it was, and is written plainly.

use proptest::prelude::*;

use super::*;
use crate::tar::entry::Xattrs;

fn written(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    write::header(entry, &mut out).unwrap();
    out
}

fn file(path: &[u8]) -> Entry {
    Entry { path: path.to_vec(), kind: EntryKind::File { size: 0 }, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() }
}

fn read_header(bytes: &[u8]) -> Entry {
    let mut reader = Reader::new(bytes);
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!((reader.position(), reader.warnings().count()), (bytes.len() as u64, 0));
    entry
}

fn component() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>().prop_filter("no separator", |byte| !matches!(byte, 0 | b'/')), 1..20),
        (1..256usize).prop_map(|length| vec![b'x'; length]),
        Just(b"...".to_vec()),
    ]
    .prop_filter("a name", |name| !matches!(&name[..], b"." | b".."))
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(component(), 1..6).prop_map(|components| components.join(&b'/'))
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(2_097_151), Just(2_097_152), Just(u32::MAX), any::<u32>()]
}

fn kind() -> impl Strategy<Value = EntryKind> {
    let target = proptest::collection::vec(1..=255u8, 1..300);
    prop_oneof![
        prop_oneof![Just(0), Just((1 << 33) - 1), Just(1 << 33), 0..i64::MAX.cast_unsigned()].prop_map(|size| EntryKind::File { size }),
        Just(EntryKind::Directory),
        Just(EntryKind::Fifo),
        target.prop_map(|target| EntryKind::Symlink { target }),
        path().prop_map(|path| EntryKind::Hardlink { target: [&b"other/"[..], &path].concat() }),
        (0..4096u32, 0..1_048_576u32).prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
        (0..4096u32, 0..1_048_576u32).prop_map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
    ]
}

fn xattrs() -> impl Strategy<Value = Xattrs> {
    let name = "[a-z]{1,8}\\.[a-zA-Z0-9._ %-]{0,20}".prop_map(String::into_bytes);
    proptest::collection::btree_map(name, proptest::collection::vec(any::<u8>(), 0..200), 0..3)
}

fn entry() -> impl Strategy<Value = Entry> {
    let mtime = prop_oneof![Just(0), Just(-1), Just(1 << 33), any::<i64>().prop_filter("has a negation", |time| *time != i64::MIN)];
    (path(), kind(), 0..=0o7777u32, number(), number(), mtime, xattrs()).prop_map(|(path, kind, mode, uid, gid, mtime, xattrs)| Entry {
        path,
        kind,
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_entry_is_read_as_it_was_written(entry in entry()) {
        prop_assert_eq!(read_header(&written(&entry)), entry);
    }

    #[test]
    fn noise_is_refused_or_read_but_never_panics(position in 0..3000usize, noise in proptest::collection::vec(any::<u8>(), 1..20)) {
        let mut archive = archive().pax(&[("path", b"a"), ("size", b"3")]).file(b"a", b"abc").gnu(b'L', b"b").raw(b"b", b'0', b"x", gnu).end();
        for (index, byte) in noise.iter().enumerate() {
            if let Some(slot) = archive.0.get_mut(position + index) {
                *slot = *byte;
            }
        }
        let _ = archive.read();
    }

    #[test]
    fn noise_in_a_header_with_a_good_checksum_never_panics(noise in proptest::collection::vec((0..BLOCK, any::<u8>()), 1..10)) {
        let archive = archive().raw(b"name", b'0', b"x", |block| noise.iter().for_each(|(at, byte)| block[*at] = *byte)).file(b"b", b"").end();
        let _ = archive.read();
    }
}

#[test]
fn padding_fills_the_block() {
    for (size, expected) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (u64::MAX, 1)] {
        assert_eq!(write::padding(size), expected);
    }
}

#[test]
fn the_plainest_header_that_fits() {
    let long = |length: usize| vec![b'x'; length];
    let one_block = [
        file(&long(100)),
        file(&[long(155), b"/".to_vec(), long(100)].concat()),
        Entry { kind: EntryKind::Directory, ..file(&[long(155), b"/".to_vec(), long(99)].concat()) },
        Entry { kind: EntryKind::Directory, ..file(&long(99)) },
        Entry { kind: EntryKind::Symlink { target: long(100) }, ..file(b"a") },
        Entry { kind: EntryKind::File { size: (1 << 33) - 1 }, uid: 2_097_151, gid: 2_097_151, mtime: (1 << 33) - 1, mode: 0o7777, ..file(b"a") },
        Entry { kind: EntryKind::Directory, ..file(b"") },
        file(b"\xff"),
    ];
    for entry in one_block {
        assert_eq!(written(&entry).len(), BLOCK);
        assert_eq!(read_header(&written(&entry)), entry);
    }
    let extended = [
        file(&long(101)),
        file(&[long(156), b"/".to_vec(), long(100)].concat()),
        file(&[long(155), b"/".to_vec(), long(101)].concat()),
        Entry { kind: EntryKind::Directory, ..file(&long(100)) },
        Entry { kind: EntryKind::Directory, ..file(&[long(155), b"/".to_vec(), long(100)].concat()) },
        Entry { kind: EntryKind::Symlink { target: long(101) }, ..file(b"a") },
        Entry { kind: EntryKind::File { size: 1 << 33 }, ..file(b"a") },
        Entry { uid: 2_097_152, ..file(b"a") },
        Entry { mtime: -1, ..file(b"a") },
    ];
    for entry in extended {
        assert_eq!(written(&entry).len(), 3 * BLOCK);
        assert_eq!(read_header(&written(&entry)), entry);
    }
}

#[test]
fn the_bytes_are_a_contract() {
    let entry = Entry {
        path: [&b"dir/"[..], &[b'n'; 120]].concat(),
        kind: EntryKind::File { size: 5 },
        mode: 0o4755,
        uid: 3_000_000,
        gid: 10,
        mtime: 1_700_000_000,
        xattrs: [(b"user.b".to_vec(), b"\0\n".to_vec()), (b"user.a".to_vec(), Vec::new())].into(),
    };
    let bytes = written(&entry);
    let records = format!("134 path=dir/{}\n15 uid=3000000\n24 SCHILY.xattr.user.a=\n26 SCHILY.xattr.user.b=\0\n\n", "n".repeat(120));
    assert_eq!(&bytes[BLOCK..BLOCK + records.len()], records.as_bytes());
    let digest = crate::spec::Digest::sha256(&bytes);
    assert_eq!(digest.encoded(), "b3e698a09270781efba4b3040a6fd520ffd3656974400768e45f3a6cb0b8ccd5");
}

#[test]
fn entries_that_break_the_rules_are_not_written() {
    let corrupt = [
        file(b""),
        file(b"/a"),
        file(b"a/"),
        file(b"a//b"),
        file(b"./a"),
        file(b"a/../b"),
        file(b"a\0b"),
        Entry { kind: EntryKind::Symlink { target: Vec::new() }, ..file(b"a") },
        Entry { kind: EntryKind::Symlink { target: b"a\0b".to_vec() }, ..file(b"a") },
        Entry { kind: EntryKind::Hardlink { target: b"/b".to_vec() }, ..file(b"a") },
        Entry { xattrs: [(Vec::new(), Vec::new())].into(), ..file(b"a") },
    ];
    let unsupported = [
        file(&vec![b'x'; 4096]),
        Entry { mode: 0o10000, ..file(b"a") },
        Entry { kind: EntryKind::CharDevice { major: 4096, minor: 0 }, ..file(b"a") },
        Entry { kind: EntryKind::BlockDevice { major: 0, minor: 1 << 20 }, ..file(b"a") },
        Entry { kind: EntryKind::Symlink { target: vec![b'x'; 4096] }, ..file(b"a") },
        Entry { xattrs: [(b"user.a=b".to_vec(), Vec::new())].into(), ..file(b"a") },
        Entry { xattrs: (0..20u8).map(|n| (vec![b'a' + n], vec![0; 60_000])).collect(), ..file(b"a") },
    ];
    for (entries, kind) in [(&corrupt[..], ErrorKind::Corrupt), (&unsupported[..], ErrorKind::Unsupported)] {
        for entry in entries {
            let mut out = b"before".to_vec();
            assert_eq!(write::header(entry, &mut out).map_err(|error| error.kind()), Err(kind), "{entry:?}");
            // TAR-56: nothing half-written.
            assert_eq!(out, b"before");
        }
    }
}
