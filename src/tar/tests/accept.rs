//! What must be accepted: each has broken a real tool.

use super::*;

#[track_caller]
fn one(archive: &Archive) -> Entry {
    let listing = archive.read().unwrap();
    assert_eq!((listing.entries.len(), listing.warnings.len(), listing.hidden), (1, 0, 0), "{:?}", listing.warnings);
    listing.entries.into_iter().next().unwrap().0
}

#[test]
fn tar_02_and_tar_46_names_become_relative_to_the_root() {
    for (name, path) in [
        ("/etc/shadow", "etc/shadow"),
        ("//x", "x"),
        ("./x", "x"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("./..x/...", "..x/..."),
        (".hidden", ".hidden"),
        ("././/a", "a"),
    ] {
        assert_eq!(one(&archive().file(name.as_bytes(), b"x").end()).path, path.as_bytes());
        assert_eq!(one(&archive().pax(&[("path", name.as_bytes())]).file(b"y", b"").end()).path, path.as_bytes());
    }
    for name in ["./", "/", ".", "/.", "//"] {
        let root = one(&archive().entry(name.as_bytes(), b'5').end());
        assert_eq!((root.path, root.kind), (Vec::new(), EntryKind::Directory));
    }
    assert_eq!(one(&archive().raw(b"./", 0, b"", v7).end()).kind, EntryKind::Directory);
    assert_eq!(one(&archive().entry(b"dir", b'5').end()), one(&archive().entry(b"./dir//", b'5').end()));
}

#[test]
fn links_keep_their_text_and_hard_links_name_a_path() {
    for target in [&b"/run"[..], b"../../etc", b"a//b/", b".", b"gone \xff"] {
        assert_eq!(one(&archive().link(b"l", b'2', target).end()).kind, EntryKind::Symlink { target: target.to_vec() });
    }
    for target in [&b"/a/b"[..], b"./a/b", b"a//b"] {
        assert_eq!(one(&archive().link(b"l", b'1', target).end()).kind, EntryKind::Hardlink { target: b"a/b".to_vec() });
    }
}

#[test]
fn tar_21_and_tar_22_the_pax_size_counts() {
    let mut inner = archive().link(b"evil", b'2', b"/etc").0;
    inner.resize(2048, 7);
    for stored in [0, 8] {
        let archive =
            archive().pax(&[("size", b"2048")]).raw(b"a", b'0', b"", |block| block::put_octal(block, &block::SIZE, stored)).bytes(&inner).file(b"b", b"").end();
        let listing = archive.read().unwrap();
        assert_eq!(archive.names(), ["a", "b"]);
        assert!(listing.entries[0].1 == inner);
    }
}

#[test]
fn tar_24_the_pax_size_counts_for_the_entry_only() {
    let archive = archive().pax(&[("size", b"2048")]).gnu(b'L', b"long\0").raw(b"a", b'0', &[7; 2048], gnu).file(b"b", b"").end();
    assert_eq!(archive.names(), ["long", "b"]);
    assert_eq!(archive.read().unwrap().entries[0].1.len(), 2048);
}

#[test]
fn tar_28_xattr_values_may_hold_anything() {
    let values: [&[u8]; 4] = [b"", b"line\nline\n", b"\x01\0\0\x02\xff\0=", b"30 path=evil\n"];
    for value in values {
        let entry = one(&archive().pax(&[("SCHILY.xattr.security.capability", value), ("mtime", b"1")]).file(b"a", b"").end());
        assert_eq!(entry.xattrs, [(b"security.capability".to_vec(), value.to_vec())].into());
    }
}

#[test]
fn tar_33_global_headers_with_a_comment() {
    let mut content = Vec::new();
    pax::put(&mut content, &[b"comment"], b"52f41a7f0d0a6d8e5d0a7d3f5b8e1c2d3e4f5a6b");
    let archive = archive().raw(b"pax_global_header", b'g', &content, |_| {}).file(b"a", b"").end();
    assert_eq!(archive.names(), ["a"]);
}

#[test]
fn tar_34_base_256_in_range() {
    let large = [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    let header = archive().raw(b"a", b'0', b"", set(block::SIZE, &large)).0;
    let entry = Reader::new(&header[..]).next_entry().unwrap().unwrap();
    assert_eq!(entry.kind, EntryKind::File { size: 1 << 33 });
    let entry = one(&archive().raw(b"a", b'0', b"", set(block::UID, b"\x80\0\0\0\xff\xff\xff\xfe")).end());
    assert_eq!(entry.uid, u32::MAX - 1);
    assert_eq!(one(&archive().raw(b"a", b'0', b"", set(block::MTIME, &large)).end()).mtime, 1 << 33);
    assert_eq!(one(&archive().raw(b"a", b'0', b"", set(block::MTIME, &[0xff; 12])).end()).mtime, -1);
}

#[test]
fn tar_35_mixtures_that_are_seen_in_the_wild() {
    for (archive, name) in
        [(archive().pax(&[("path", b"long")]).raw(b"a", b'0', b"", gnu).end(), "long"), (archive().gnu(b'L', b"long\0").file(b"a", b"").end(), "long")]
    {
        assert_eq!(archive.names(), [name]);
        let warnings = archive.read().unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("`long` mixes"), "{warnings:?}");
    }
    let many = archive().gnu(b'L', b"long\0").file(b"a", b"").gnu(b'L', b"longer\0").file(b"a", b"").end();
    assert_eq!(many.read().unwrap().warnings.len(), 1);
}

#[test]
fn gnu_long_names_with_and_without_a_nul() {
    let (name, target) = ([b'n'; 300], [b't'; 300]);
    let archive = archive().gnu(b'K', &[&target[..], b"\0"].concat()).gnu(b'L', &name).raw(b"n", b'2', b"", gnu).end();
    let entry = one(&archive);
    assert_eq!((&entry.path[..], entry.kind), (&name[..], EntryKind::Symlink { target: target.to_vec() }));
}

#[test]
fn gnu_headers_with_times_and_no_prefix() {
    let entry = one(&archive()
        .raw(b"a", b'0', b"x", |block| {
            gnu(block);
            block::put_octal(block, &block::GNU_TIMES[0], 1_700_000_000);
            block::put_octal(block, &block::GNU_TIMES[1], 1_700_000_000);
        })
        .end());
    assert_eq!(entry.path, b"a");
}

#[test]
fn tar_47_long_names_by_prefix_and_by_record() {
    let prefix = [b'p'; 155];
    let name = [b'n'; 100];
    let entry = one(&archive().raw(&name, b'0', b"", set(block::PREFIX, &prefix)).end());
    assert_eq!(entry.path, [&prefix[..], b"/", &name].concat());
    for length in [101, 256, 4095] {
        let path = [&b"d/"[..], &vec![b'x'; length - 2]].concat();
        assert_eq!(one(&archive().pax(&[("path", &path)]).file(b"x", b"").end()).path, path);
    }
}

#[test]
fn tar_48_names_are_bytes() {
    for name in [&b"\xff\xfe"[..], "größe".as_bytes(), "\u{202e}txt.exe 😀".as_bytes(), b"a\nb\tc\x1b[2J", b" lead and trail "] {
        assert_eq!(one(&archive().file(name, b"").end()).path, name);
        assert_eq!(one(&archive().pax(&[("path", name), ("hdrcharset", b"BINARY")]).file(b"x", b"").end()).path, name);
    }
}

#[test]
fn tar_51_signed_checksums_and_sloppy_numbers() {
    let signed = archive().raw(b"gr\xc3\xb6sse", b'0', b"", |block| {
        let (unsigned, signed) = block::checksums(block);
        assert_ne!(i64::from(unsigned), i64::from(signed));
        block[block::CHECKSUM].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
    });
    assert_eq!(signed.end().names(), ["grösse"]);
    let entry = one(&archive()
        .raw(b"a", b'0', b"", |block| {
            block[block::MODE].copy_from_slice(b"   755 \0");
            block[block::UID].copy_from_slice(b"00001751");
            block[block::GID].fill(0);
            block[block::MTIME].copy_from_slice(b"         10 ");
            block[block::MAJOR].fill(b' ');
        })
        .end());
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o755, 0o1751, 0, 8));
}

#[test]
fn modes_with_bits_of_the_file_type() {
    assert_eq!(one(&archive().raw(b"a", b'0', b"", set(block::MODE, b"0104755\0")).end()).mode, 0o4755);
}

#[test]
fn tar_52_archives_without_a_whole_end() {
    let entries = archive().file(b"a", &[1; 700]).file(b"b", b"xyz");
    let whole = entries.0.len();
    let cases = [(whole, "no end mark"), (whole - 1, "no end mark"), (whole - 509, "no end mark"), (whole + 512, "half of an end mark")];
    for (length, warning) in cases {
        let cut = Archive(entries.clone().end().0[..length].to_vec());
        assert_eq!(cut.names(), ["a", "b"]);
        let warnings = cut.read().unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(warning), "{length}: {warnings:?}");
    }
}

#[test]
fn tar_53_hidden_data_is_counted_and_not_read_as_entries() {
    let whole = archive().file(b"a", b"x").end();
    assert_eq!(whole.clone().bytes(&[0; 10_240]).read().unwrap().hidden, 0);
    assert_eq!(whole.clone().bytes(&[7; 100_001]).read().unwrap().hidden, 100_001);
    let twice = whole.bytes(&archive().file(b"evil", b"x").end().0);
    assert_eq!(twice.names(), ["a"]);
    assert!(twice.read().unwrap().hidden > 0);
    let mut padded = archive().file(b"a", b"x").end();
    padded.0[BLOCK + 5] = 1;
    padded.0[2 * BLOCK - 1] = 1;
    assert_eq!(padded.read().unwrap().hidden, 2);
}

#[test]
fn tar_54_contiguous_files_and_old_types() {
    let listing = archive().raw(b"a", b'7', b"abc", |_| {}).raw(b"b", 0, b"def", v7).raw(b"dir/", 0, b"", v7).end().read().unwrap();
    assert_eq!(
        listing.entries.iter().map(|(entry, _)| entry.kind.clone()).collect::<Vec<_>>(),
        [EntryKind::File { size: 3 }, EntryKind::File { size: 3 }, EntryKind::Directory]
    );
    assert_eq!(listing.entries[1].1, b"def");
}

#[test]
fn tar_55_times_are_cut_off_not_rounded() {
    for (time, expected) in [("1.999999999", 1), ("-1", -1), ("-0.25", -1), ("8589934592.5", 1 << 33), ("0", 0)] {
        assert_eq!(one(&archive().pax(&[("mtime", time.as_bytes())]).file(b"a", b"").end()).mtime, expected);
    }
}

#[test]
fn tar_59_owners_are_numbers() {
    let entry = one(&archive()
        .pax(&[("uid", b"4294967295"), ("gid", b"2097152"), ("uname", b"root"), ("gname", b"")])
        .raw(b"a", b'0', b"", set(265..297, b"root"))
        .end());
    assert_eq!((entry.uid, entry.gid), (u32::MAX, 2_097_152));
}

#[test]
fn cmp_10_an_empty_archive_and_an_empty_stream() {
    let empty = archive().end().read().unwrap();
    assert_eq!((empty.entries.len(), empty.warnings.len()), (0, 0));
    let nothing = archive().read().unwrap();
    assert_eq!((nothing.entries.len(), nothing.warnings.len()), (0, 1));
}

#[test]
fn whiteouts_and_devices_are_entries() {
    let listing = archive()
        .file(b"a/.wh..wh..opq", b"")
        .raw(b"null", b'3', b"", |block| {
            block::put_octal(block, &block::MAJOR, 1);
            block::put_octal(block, &block::MINOR, 3);
        })
        .entry(b"pipe", b'6')
        .end()
        .read()
        .unwrap();
    let kinds: Vec<_> = listing.entries.into_iter().map(|(entry, _)| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::File { size: 0 }, EntryKind::CharDevice { major: 1, minor: 3 }, EntryKind::Fifo]);
}

#[test]
fn content_may_be_skipped_read_in_part_and_from_a_slow_source() {
    struct Slow<'a>(&'a [u8]);
    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let length = buf.len().min(1);
            self.0.read(&mut buf[..length])
        }
    }
    let bytes = archive().file(b"a", &[1; 1500]).file(b"b", b"xyz").pax(&[("path", b"long")]).file(b"c", b"end").end().0;
    let mut reader = Reader::new(Slow(&bytes));
    assert_eq!(reader.next_entry().unwrap().unwrap().path, b"a");
    reader.read_exact(&mut [0; 700]).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().path, b"b");
    assert_eq!(reader.position(), 512 + 1536 + 512);
    assert_eq!(reader.next_entry().unwrap().unwrap().path, b"long");
    let mut content = String::new();
    reader.read_to_string(&mut content).unwrap();
    assert_eq!(content, "end");
    assert_eq!(reader.next_entry().unwrap(), None);
    assert_eq!(reader.next_entry().unwrap(), None);
    assert_eq!(reader.finish().unwrap(), 0);
    assert_eq!(reader.position(), bytes.len() as u64);
}

#[test]
fn content_can_be_seeked_over_and_positions_are_those_of_the_file() {
    let long = "d/".repeat(80) + "f";
    let tar = archive().entry(b"./d/", b'5').file(b"/a", &[1; 700]).pax(&[("path", long.as_bytes())]).file(b"x", &[2; 100_000]).file(b"z", b"").end();
    for capacity in [1, 512, 1000, 1 << 20] {
        let mut reader = Reader::with_capacity(capacity, std::io::Cursor::new(&tar.0));
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            found.push((reader.begin(), reader.position(), entry.size(), String::from_utf8(reader.written_name().to_vec()).unwrap()));
            reader.seek_over_content(tar.0.len() as u64).unwrap();
        }
        let expected = [(0, 512, 0, "./d/"), (512, 1024, 700, "/a"), (2048, 3584, 100_000, &long), (103_936, 104_448, 0, "z")];
        assert_eq!(found, expected.map(|(begin, position, size, name)| (begin, position, size, name.to_owned())));
        assert_eq!((reader.begin(), reader.position()), (104_448, 105_472));
    }
}

#[test]
fn content_that_the_file_does_not_have_cannot_be_seeked_over() {
    let tar = archive().file(b"a", &[1; 700]);
    for length in [0, 512, 1000, 1211] {
        let mut reader = Reader::new(std::io::Cursor::new(&tar.0[..length.max(512)]));
        reader.next_entry().unwrap();
        let error = reader.seek_over_content(length as u64).unwrap_err();
        assert_eq!(error.message(), format!("the archive ends in the middle of `a`, {} bytes early", 1212 - length as u64));
        assert!(reader.next_entry().is_err());
    }
    let mut reader = Reader::new(std::io::Cursor::new(&tar.0[..1212]));
    reader.next_entry().unwrap();
    reader.seek_over_content(1212).unwrap();
    assert_eq!(reader.next_entry().unwrap(), None);
}
