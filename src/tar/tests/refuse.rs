//! What must be refused, by rows of the hostile-input catalogue.

use super::*;

#[test]
fn tar_01_names_with_two_dots() {
    for name in [&b"../x"[..], b"a/../../x", b"..", b"/../x", b"a/..", b"../../base/dest-evil"] {
        corrupt(&archive().file(name, b"x").end(), "could escape from the root");
        corrupt(&archive().pax(&[("path", name)]).file(b"x", b"").end(), "could escape from the root");
        corrupt(&archive().gnu(b'L', name).raw(b"x", b'0', b"", gnu).end(), "could escape from the root");
        corrupt(&archive().file(b"a", b"").link(b"b", b'1', name).end(), "could escape from the root");
    }
    corrupt(&archive().raw(b"x", b'0', b"", set(block::PREFIX, b"a/..")).end(), "could escape from the root");
}

#[test]
fn tar_11_hard_links_to_themselves_and_to_the_root() {
    corrupt(&archive().link(b"a", b'1', b"./a").end(), "itself or to the root");
    corrupt(&archive().link(b"a", b'1', b"/").end(), "itself or to the root");
    corrupt(&archive().entry(b"a", b'1').end(), "without a target");
    corrupt(&archive().entry(b"a", b'2').end(), "without a target");
}

#[test]
fn tar_14_the_root_as_anything_but_a_directory() {
    for name in [&b"."[..], b"./", b"/", b"/.", b"//"] {
        let slash = name.ends_with(b"/");
        corrupt(&archive().link(name, b'2', b"/etc").end(), "would replace the root");
        corrupt(&archive().link(name, b'1', b"x").end(), "would replace the root");
        corrupt(&archive().entry(name, b'6').end(), "would replace the root");
        corrupt(&archive().file(name, b"").end(), if slash { "name of a directory" } else { "would replace the root" });
    }
    for flag in *b"0125" {
        corrupt(&archive().link(b"", flag, b"x").end(), "its name is empty");
    }
    // A directory to most, by its slash, and a file to GNU tar.
    corrupt(&archive().raw(b"/", 0, b"", v7).end(), "would replace the root");
}

#[test]
fn tar_23_a_size_where_there_is_no_content() {
    for flag in *b"123456" {
        let header = |archive: Archive| archive.raw(b"d/", flag, b"content", set(block::LINK, b"target")).end();
        corrupt(&header(archive()), "its kind has no content");
        let records = archive().pax(&[("size", b"7")]).raw(b"d/", flag, b"", set(block::LINK, b"target")).end();
        corrupt(&records, "its kind has no content");
    }
    corrupt(&archive().raw(b"dir/", 0, b"content", v7).end(), "its kind has no content");
}

#[test]
fn a_file_with_the_name_of_a_directory() {
    for flag in *b"07" {
        corrupt(&archive().entry(b"dir/", flag).end(), "regular file with the name of a directory");
    }
    corrupt(&archive().pax(&[("path", b"dir/")]).entry(b"dir", 0).end(), "only one of its two names");
    corrupt(&archive().pax(&[("path", b"dir")]).entry(b"dir/", 0).end(), "only one of its two names");
}

#[test]
fn tar_25_one_name_from_two_extensions() {
    let name = |archive: Archive| archive.gnu(b'L', b"b\0");
    let link = |archive: Archive| archive.gnu(b'K', b"b\0");
    corrupt(&name(archive().pax(&[("path", b"a")])).file(b"c", b"").end(), "both give it a name");
    corrupt(&name(archive()).pax(&[("path", b"a")]).file(b"c", b"").end(), "both give it a name");
    corrupt(&link(archive().pax(&[("linkpath", b"a")])).link(b"c", b'2', b"d").end(), "both give it a link target");
    corrupt(&link(archive()).pax(&[("linkpath", b"a")]).link(b"c", b'1', b"d").end(), "both give it a link target");
}

#[test]
fn tar_26_one_thing_said_twice() {
    corrupt(&archive().pax(&[("path", b"a"), ("path", b"b")]).file(b"c", b"").end(), "more than one pax record `path`");
    corrupt(&archive().pax(&[("comment", b"a"), ("mtime", b"1"), ("comment", b"a")]).file(b"c", b"").end(), "more than one pax record `comment`");
    corrupt(&archive().pax(&[("path", b"a")]).pax(&[("mtime", b"1")]).file(b"c", b"").end(), "more than one pax header");
    corrupt(&archive().gnu(b'L', b"a").gnu(b'L', b"a").file(b"c", b"").end(), "more than one GNU long name");
    corrupt(&archive().gnu(b'K', b"a").gnu(b'K', b"a").link(b"c", b'2', b"d").end(), "more than one GNU long link target");
}

#[test]
fn tar_27_malformed_pax_records() {
    let records: [&[u8]; 7] = [b"8 path=a\n", b"11 path=a\n", b"09 path=a\n", b"0 path=a\n", b"9 path a\n", b"9 path=a\n\0", b"9 path=ab"];
    for content in records {
        corrupt(&archive().raw(b"x", b'x', content, |_| {}).file(b"c", b"").end(), "malformed pax record");
    }
    // What would be a second record inside the first must not be seen.
    let list = archive().pax(&[("comment", b"\n13 path=evil\n")]).file(b"good", b"").end();
    assert_eq!(list.names(), ["good"]);
}

#[test]
fn tar_28_empty_values_and_nul_bytes() {
    for key in ["path", "linkpath", "size", "uid", "gid", "mtime"] {
        corrupt(&archive().pax(&[(key, b"")]).link(b"c", b'2', b"d").end(), "its pax record");
    }
    for key in ["path", "linkpath"] {
        corrupt(&archive().pax(&[(key, b"a\0b")]).link(b"c", b'2', b"d").end(), "its pax record");
    }
    corrupt(&archive().pax(&[("SCHILY.xattr.user\0.a", b"v")]).file(b"c", b"").end(), "malformed pax record");
    corrupt(&archive().pax(&[("SCHILY.xattr.", b"v")]).file(b"c", b"").end(), "its pax record");
}

#[test]
fn tar_29_extensions_beyond_the_limit() {
    for flag in *b"xgLK" {
        for size in [&b"14000000000"[..], b"40000000000", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"] {
            // The size is refused before anything of it is there.
            let over = archive().raw(b"x", flag, b"", set(block::SIZE, size));
            unsupported(&over, "extended header");
        }
        let over = vec![b'a'; usize::try_from(MAX_EXTENSION).unwrap() + 1];
        unsupported(&archive().raw(b"x", flag, &over, |_| {}).file(b"a", b"").end(), "extended header");
    }
    let long = vec![b'a'; 5000];
    unsupported(&archive().gnu(b'L', &long).raw(b"a", b'0', b"", gnu).end(), "longer than 4095 bytes");
    unsupported(&archive().pax(&[("linkpath", &long)]).link(b"a", b'2', b"b").end(), "longer than 4095 bytes");
}

#[test]
fn tar_30_and_tar_31_sparse_files() {
    unsupported(&archive().raw(b"a", b'S', b"", gnu).end(), "sparse");
    let huge = archive().raw(b"a", b'S', b"", |block| {
        gnu(block);
        block[483..495].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    });
    unsupported(&huge.end(), "sparse");
    for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.numblocks", "GNU.sparse.name", "GNU.sparse.size", "SCHILY.realsize"] {
        unsupported(&archive().pax(&[(key, b"9999999999")]).file(b"a", b"9999999999\n").end(), "sparse");
    }
}

#[test]
fn tar_32_pax_sizes_that_are_no_numbers() {
    for size in ["+1", "-1", "0x200", " 12", "12 ", "18446744073709551615", "9223372036854775808", "1.0"] {
        corrupt(&archive().pax(&[("size", size.as_bytes())]).file(b"a", b"x").end(), "its pax record `size`");
    }
}

#[test]
fn tar_33_global_headers_that_change_entries() {
    for key in ["path", "linkpath", "size", "mtime", "uid", "SCHILY.xattr.user.a", "GNU.sparse.major", "hdrcharset"] {
        let mut content = Vec::new();
        pax::put(&mut content, &[key.as_bytes()], b"1");
        corrupt(&archive().raw(b"pax_global_header", b'g', &content, |_| {}).file(b"a", b"x").end(), "a global pax header sets");
    }
    corrupt(&archive().raw(b"g", b'g', b"12 path=a\n", |_| {}).file(b"a", b"x").end(), "malformed pax record");
    corrupt(&archive().pax(&[("path", b"a")]).raw(b"g", b'g', b"", |_| {}).file(b"b", b"").end(), "stands between an extended header and its entry");
}

#[test]
fn tar_34_base_256_out_of_range() {
    let negative = [0xff; 12];
    let huge = [0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
    corrupt(&archive().raw(b"a", b'0', b"", set(block::SIZE, &negative)).end(), "its size is out of range");
    corrupt(&archive().raw(b"a", b'0', b"", set(block::SIZE, &huge)).end(), "its size is out of range");
    corrupt(&archive().raw(b"a", b'0', b"", set(block::SIZE, &[0x81; 12])).end(), "its size is not a number");
    corrupt(&archive().raw(b"a", b'0', b"", set(block::MTIME, &huge)).end(), "its mtime is out of range");
    for field in [block::UID, block::GID] {
        corrupt(&archive().raw(b"a", b'0', b"", set(field.clone(), &negative[..8])).end(), "is out of range");
        corrupt(&archive().raw(b"a", b'0', b"", set(field, b"\x80\0\0\x01\0\0\0\0")).end(), "is out of range");
    }
    corrupt(&archive().raw(b"a", b'0', b"", set(block::MODE, &negative[..8])).end(), "its mode is out of range");
}

#[test]
fn tar_35_extensions_without_an_entry_or_in_an_old_tar() {
    for dangling in [archive().pax(&[("path", b"a")]), archive().gnu(b'L', b"a\0"), archive().gnu(b'K', b"a\0")] {
        corrupt(&dangling, "promised an entry");
        corrupt(&dangling.end(), "promised an entry");
    }
    for flag in *b"xgLK" {
        corrupt(&archive().raw(b"x", flag, b"", v7).file(b"a", b"").end(), "in a tar that has none");
    }
    corrupt(&archive().pax(&[("path", b"b")]).raw(b"a", b'0', b"", v7).end(), "in a tar that has none");
    corrupt(&archive().raw(b"a", b'0', b"", set(block::MAGIC, b"ustar\0\0\0")).end(), "no known kind of tar");
    corrupt(&archive().raw(b"a", b'0', b"", set(block::MAGIC, b"uszar\x0000")).end(), "no known kind of tar");
    unsupported(&archive().raw(b"a", b'0', b"", set(block::STAR_TRAILER, b"tar\0")).end(), "star");
}

#[test]
fn fields_that_some_readers_take_as_a_prefix() {
    let gnu_prefix = archive().raw(b"a", b'0', b"", |block| {
        gnu(block);
        block[block::PREFIX.start..][..4].copy_from_slice(b"evil");
    });
    corrupt(&gnu_prefix.end(), "where times belong");
    let v7_prefix = archive().raw(b"a", b'0', b"", |block| {
        v7(block);
        block[block::PREFIX.start..][..4].copy_from_slice(b"evil");
    });
    corrupt(&v7_prefix.end(), "has a prefix");
}

/// Found in an archive that a camera wrote: its times stand where a sparse file has its size.
#[test]
fn tar_61_fields_that_some_readers_take_as_the_size_of_a_sparse_file() {
    for (at, bytes) in [(476, &b"12130404200"[..]), (483, b"4200"), (386, b"00000000000"), (482, b"1"), (494, b"1")] {
        for flag in *b"05" {
            let header = archive().raw(b"a", flag, b"", |block| {
                gnu(block);
                block[at..][..bytes.len()].copy_from_slice(bytes);
            });
            corrupt(&header.end(), "belongs to sparse files");
        }
        let sparse = archive().raw(b"a", b'S', b"", |block| {
            gnu(block);
            block[at..][..bytes.len()].copy_from_slice(bytes);
        });
        unsupported(&sparse.end(), "it is a sparse file");
    }
}

#[test]
fn tar_36_device_numbers_out_of_range() {
    for flag in *b"34" {
        for number in [&b"7777777"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80\0\0\0\0\x10\0\0"] {
            corrupt(&archive().raw(b"a", flag, b"", set(block::MAJOR, number)).end(), "major device number is out of range");
            corrupt(&archive().raw(b"a", flag, b"", set(block::MINOR, number)).end(), "minor device number is out of range");
        }
        corrupt(&archive().pax(&[("SCHILY.devmajor", b"8")]).entry(b"a", flag).end(), "another device number");
    }
}

#[test]
fn tar_49_something_behind_the_nul_of_a_name() {
    for name in [&b"good\0evil"[..], b"\0evil"] {
        corrupt(&archive().file(name, b"").end(), "behind the end of its name");
        corrupt(&archive().raw(b"a", b'0', b"", set(block::PREFIX, name)).end(), "behind the end of its prefix");
        corrupt(&archive().link(b"a", b'2', name).end(), "behind the end of its link target");
        corrupt(&archive().gnu(b'L', name).raw(b"a", b'0', b"", gnu).end(), "behind the end of its GNU long name");
    }
}

/// Python and GNU tar read on to the end of the block, and find the rest of a name or more records there.
#[test]
fn tar_49_something_behind_an_extended_header() {
    for (flag, content) in [(b'L', &b"name"[..]), (b'K', b"target"), (b'x', b"12 comment=\n"), (b'g', b"12 comment=\n")] {
        let mut archive = archive().raw(b"x", flag, content, |_| {}).link(b"a", b'2', b"b").end();
        archive.0[BLOCK + content.len()] = b'p';
        corrupt(&archive, "behind the end of an extended header");
    }
}

#[test]
fn a_link_target_for_what_is_no_link() {
    corrupt(&archive().pax(&[("linkpath", b"x")]).file(b"a", b"").end(), "it is no link");
    corrupt(&archive().gnu(b'K', b"x").raw(b"a", b'5', b"", gnu).end(), "it is no link");
}

#[test]
fn tar_51_bad_checksums_and_numbers() {
    corrupt(&archive().raw(b"a", b'0', b"", set(block::CHECKSUM, b"000001\0 ")).end(), "checksum");
    corrupt(&archive().raw(b"a", b'0', b"", set(block::CHECKSUM, b"        ")).end(), "its checksum is blank");
    for (field, what) in [(block::SIZE, "size"), (block::MODE, "mode"), (block::UID, "uid"), (block::GID, "gid"), (block::MTIME, "mtime")] {
        for garbage in [&b"12x"[..], b"8", b"-1", b"+1", b"0x10", b"1 1", b"1\x001", b"\x001"] {
            corrupt(&archive().raw(b"a", b'0', b"", set(field.clone(), garbage)).end(), &format!("its {what} is not a number"));
        }
    }
    for blank in [&b""[..], b"           "] {
        corrupt(&archive().raw(b"a", b'0', b"", set(block::SIZE, blank)).end(), "its size is blank");
    }
}

#[test]
fn tar_51_numbers_that_nobody_needs_must_be_numbers_too() {
    for (field, what) in [(block::MODE, "mode"), (block::UID, "uid"), (block::GID, "gid"), (block::MTIME, "mtime"), (block::MINOR, "minor device number")] {
        let garbage = || set(field.clone(), b"12x");
        corrupt(&archive().pax(&[("uid", b"1"), ("gid", b"1"), ("mtime", b"1")]).raw(b"a", b'0', b"", garbage()).end(), &format!("its {what} is not a number"));
        for flag in *b"xgLK" {
            corrupt(&archive().raw(b"x", flag, b"", garbage()).file(b"a", b"").end(), &format!("its {what} is not a number"));
        }
    }
    // In the oldest tars other things may stand where later ones have device numbers.
    let old = archive().raw(b"a", b'0', b"", |block| {
        v7(block);
        block[block::MAJOR].copy_from_slice(b"whatever");
    });
    assert_eq!(old.end().names(), ["a"]);
}

#[test]
fn tar_52_truncation_and_a_single_block_of_zeros() {
    let whole = archive().file(b"a", &[1; 700]).file(b"b", b"x").end();
    for length in [1, 511, 512, 600, 512 + 699, 512 + 1024 + 1, 512 + 1024 + 511, 512 + 1024 + 512] {
        corrupt(&Archive(whole.0[..length].to_vec()), "the archive ends in the middle of");
    }
    // Of the end mark too: Go refuses it.
    for zeros in [1, 511, 513, 1023] {
        corrupt(&archive().file(b"a", b"x").bytes(&vec![0; zeros]), "the archive ends in the middle of a header");
    }
    let gap = archive().file(b"a", b"").bytes(&[0; BLOCK]).file(b"b", b"");
    corrupt(&gap.clone().end(), "a single block of zeros stands between entries");
    corrupt(&Archive(gap.0[..3 * BLOCK - 100].to_vec()), "a single block of zeros stands between entries");
    corrupt(&archive().raw(b"x", b'x', b"10 path=a\n", set(block::SIZE, b"00000002000")), "the middle of an extended header");
}

#[test]
fn tar_52_truncated_content_is_an_error_for_who_reads_it_too() {
    let bytes = archive().file(b"a", &[1; 700]).0;
    let mut reader = Reader::new(&bytes[..600]);
    reader.next_entry().unwrap();
    let error = Error::io("cannot copy", reader.read_to_end(&mut Vec::new()).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(reader.next_entry().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn tar_54_unknown_types() {
    for flag in [b'V', b'M', b'N', b'D', b'X', b'A', b'Z', b'I', b'8', b'9', 0x80, 0xff, b' '] {
        unsupported(&archive().raw(b"a", flag, b"content", |_| {}).end(), "type `");
    }
}

#[test]
fn tar_55_times_that_are_none() {
    for time in ["NaN", "1e400", "inf", "", " 1", "1.2.3", "99999999999999999999"] {
        corrupt(&archive().pax(&[("mtime", time.as_bytes())]).file(b"a", b"").end(), "its pax record `mtime`");
    }
}

#[test]
fn tar_59_owners_out_of_range() {
    for id in ["-1", "4294967296", "18446744073709551615", "0x0", " 0"] {
        corrupt(&archive().pax(&[("uid", id.as_bytes())]).file(b"a", b"").end(), "its pax record `uid`");
        corrupt(&archive().pax(&[("gid", id.as_bytes())]).file(b"a", b"").end(), "its pax record `gid`");
    }
}

#[test]
fn a_character_set_that_is_unknown() {
    unsupported(&archive().pax(&[("hdrcharset", b"ISO-IR 8859 1 1998")]).file(b"a", b"").end(), "character set");
}

#[test]
fn after_a_failure_every_call_fails() {
    let bytes = archive().file(b"../a", b"").file(b"b", b"").end().0;
    let mut reader = Reader::new(&bytes[..]);
    for _ in 0..3 {
        assert_eq!(reader.next_entry().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    assert!(reader.finish().is_err());
}

#[test]
fn an_error_of_the_source_stays_what_it_is() {
    struct Broken(fn() -> std::io::Error);
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(self.0())
        }
    }
    let start = archive().file(b"a", &[1; 700]).0;
    for length in [0, 100, 512, 600, 1212] {
        let kind = |error| Reader::new(start[..length].chain(Broken(error))).finish().unwrap_err().kind();
        assert_eq!(kind(|| std::io::Error::from_raw_os_error(5)), ErrorKind::Io);
        assert_eq!(kind(|| Error::corrupt("digest differs").into()), ErrorKind::Corrupt);
    }
}
