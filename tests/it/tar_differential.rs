//! larder's reader of archives against those of others: what larder accepts, all of them read alike; everything else it refuses.
//!
//! The dice in `generate` make archives of every form that writers are known to use, and of many that nobody should. What was found with them is in the
//! unit tests of the reader; to look for more, raise the numbers of [`SEEDS`] for a while.

mod generate;
mod readers;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder::ErrorKind;

use crate::support::process::{Runs as _, temp};
use crate::support::tools::{skip, tool};

use readers::{Entry, Listing, Other, files, larder, others};

/// Each makes one archive.
const SEEDS: Range<u64> = 0..400;

/// Where `other` reads something else than larder, or refuses what larder accepts.
fn difference(ours: &[Entry], theirs: &Listing) -> Option<String> {
    let Some(entries) = &theirs.entries else { return Some(format!("refuses it: {:?}", theirs.refused)) };
    for (number, (ours, theirs)) in ours.iter().zip(entries).enumerate() {
        let comparable = Entry {
            content: theirs.content.as_ref().and(ours.content.clone()),
            xattrs: theirs.xattrs.as_ref().and(ours.xattrs.clone()),
            mtime: theirs.mtime.and(ours.mtime),
            ..ours.clone()
        };
        if comparable != *theirs {
            return Some(format!("reads entry {number} as\n{theirs:?}\nnot as\n{comparable:?}"));
        }
    }
    (ours.len() != entries.len()).then(|| format!("sees {} entries, not {}", entries.len(), ours.len()))
}

/// Whether it is known that `other` does not read such an archive as it should.
fn is_excused(other: &Other, archive: &[u8], theirs: &Listing) -> bool {
    let refused = theirs.refused.as_deref().unwrap_or_default();
    // Takes the times of a GNU header for the beginning of the name.
    let gnu_times = archive.chunks_exact(512).any(|block| block[257..].starts_with(b"ustar  \0") && block[345] != 0);
    // Nothing at all, or no zeros behind the last content: not an archive to most, and an empty or a whole one to Go.
    let no_last_block = archive.is_empty() || !archive.len().is_multiple_of(512);
    match other.name {
        "python" => gnu_times || no_last_block,
        // A number that is all spaces is zero to everybody else.
        "gnu" => no_last_block || refused.contains("Blanks in header"),
        // It refuses names in a pax record that are not UTF-8.
        "libarchive" => no_last_block || refused.contains("can't be converted from UTF-8"),
        _ => false,
    }
}

/// Lets everybody read the archives, and larder. Returns how many larder accepts, and how often it refused for each kind.
#[track_caller]
fn compare(place: &Path, archives: &[PathBuf], names: &[String]) -> (usize, BTreeMap<&'static str, usize>) {
    let all: Vec<(Other, Vec<Listing>)> =
        others(place).into_iter().map(|other| (other.read(archives), other)).map(|(listings, other)| (other, listings)).collect();
    let (mut accepted, mut refused, mut wrong) = (0, BTreeMap::new(), Vec::new());
    for (number, (path, name)) in archives.iter().zip(names).enumerate() {
        let archive = fs::read(path).expect("there");
        match larder(&archive) {
            Err((kind, why)) => {
                assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "{name}: {kind:?}: {why}");
                *refused.entry(kind.code()).or_default() += 1;
            }
            Ok(ours) => {
                accepted += 1;
                let different = |(other, listings): &(Other, Vec<Listing>)| {
                    let theirs = &listings[number];
                    let difference = if is_excused(other, &archive, theirs) { None } else { difference(&ours, theirs) };
                    difference.map(|difference| format!("{name}: {} {difference}", other.name))
                };
                wrong.extend(all.iter().filter_map(different));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n\n"));
    (accepted, refused)
}

#[test]
fn tar_61_what_larder_accepts_everybody_reads_alike() {
    let home = temp();
    let archives: Vec<Vec<u8>> = SEEDS.map(generate::archive).collect();
    let names: Vec<String> = SEEDS.map(|seed| format!("seed {seed}")).collect();
    let (accepted, refused) = compare(home.path(), &files(home.path(), &archives), &names);
    // Neither everything nor nothing, or the dice are loaded.
    assert!(accepted * 4 > archives.len(), "{accepted} of {} accepted", archives.len());
    assert!(refused["corrupt"] * 10 > archives.len() && refused["unsupported"] > 0, "{refused:?}");
}

/// A tree that needs everything which formats do in different ways.
const TREE: &str = r#"
mkdir -p dir/deep "$(printf 'n%.0s' $(seq 120))/$(printf 'm%.0s' $(seq 120))"
echo content >dir/file && ln dir/file dir/hard && ln -s ../dir/file dir/deep/soft && ln -s "$(printf 't%.0s' $(seq 150))" long-link
: >empty && truncate -s 2M sparse && printf x >>sparse
printf y >"$(printf 'n%.0s' $(seq 120))/$(printf 'm%.0s' $(seq 120))/file" && printf z >"$(printf 'odd\n\344\303\244"')"
mkfifo pipe && mknod null c 1 3 2>/dev/null || true
touch -d @-1000 old && touch -d @99999999999 late && touch -d '2001-09-09 01:46:40.75' fraction
setfattr -n user.test -v value dir/file 2>/dev/null || true
chown -h 3000000:4294967294 long-link empty 2>/dev/null || true
chmod 6755 dir/file && chmod 1777 dir
"#;

/// How larder reads what somebody writes to `$1` of that tree.
const WRITERS: &[(&str, &str)] = &[
    ("whole", "tar -cf $1 --format=v7 --exclude='./n*' --exclude=./old --exclude=./late --exclude=./long-link --exclude=./empty --exclude=./pipe ."),
    ("whole", "tar -cf $1 --format=ustar --exclude=./old --exclude=./late --exclude=./long-link --exclude=./empty ."),
    ("whole", "tar -cf $1 --format=oldgnu ."),
    ("whole", "tar -cf $1 --format=gnu ."),
    ("unsupported", "tar -cf $1 --format=gnu --listed-incremental=/dev/null ."),
    ("whole", "tar -cf $1 --format=posix --xattrs ."),
    ("unsupported", "tar -cf $1 --format=posix --sparse ."),
    ("unsupported", "tar -cf $1 --format=gnu --sparse ."),
    ("whole", "tar -cf $1 --format=posix -b 1 --owner=someone:1234567890 --numeric-owner ."),
    ("unsupported", "tar -cf $1 --format=gnu --label=volume ."),
    ("whole", "tar -cf $1 --format=posix --pax-option=globexthdr.name=x,comment=hello ."),
    ("whole", "tar -cf $1 -T /dev/null"),
    ("whole", "tar -cf $1 dir && tar -rf $1 empty"),
    ("whole", "bsdtar -cf $1 --format=ustar --exclude=./old --exclude=./late --exclude=./long-link ."),
    ("whole", "bsdtar -cf $1 --format=gnutar ."),
    ("unsupported", "bsdtar -cf $1 --format=pax ."),
    ("whole", "bsdtar -cf $1 --format=pax --no-read-sparse ."),
    ("whole", "python3 -m tarfile -c $1 dir empty"),
    ("whole", "python3 -c 'import sys, tarfile; tar = tarfile.open(sys.argv[1], \"w\", format=tarfile.GNU_FORMAT); tar.add(\".\"); tar.close()' $1"),
    ("whole", "python3 -c 'import sys, tarfile; tar = tarfile.open(sys.argv[1], \"w\", pax_headers={\"comment\": \"x\"}); tar.add(\".\"); tar.close()' $1"),
    (
        "whole",
        "$LARDER build --rootfs . --platform linux/amd64 --compression none --no-cache -o oci:$1.layout && mv $(ls -S $1.layout/blobs/sha256/* | head -1) $1",
    ),
];

#[test]
fn tar_61_archives_of_real_writers_are_read_alike() {
    let home = temp();
    let tree = home.path().join("tree");
    fs::create_dir(&tree).expect("writable");
    Command::new("bash").args(["-euc", TREE]).current_dir(&tree).succeeds();
    let (mut archives, mut names) = (Vec::new(), Vec::new());
    for (number, (expected, writer)) in WRITERS.iter().enumerate() {
        let program = writer.split_whitespace().next().expect("a program");
        if !program.starts_with('$') && tool(program).is_none() {
            continue;
        }
        let archive = home.path().join(format!("{number}.tar"));
        let mut command = Command::new("bash");
        command.args(["-c", writer, "bash"]).arg(&archive).current_dir(&tree).env("LARDER", env!("CARGO_BIN_EXE_larder"));
        // Some complain of what they leave out; what counts is what they wrote.
        let output = command.output().expect("bash starts");
        let ours = larder(&fs::read(&archive).unwrap_or_else(|error| panic!("{writer}: {error}: {output:?}")));
        let told = ours.as_ref().map_or_else(|(kind, _)| kind.code(), |_| "whole");
        assert_eq!(told, *expected, "{writer}: {ours:?}");
        archives.push(archive);
        names.push((*writer).to_owned());
    }
    let (accepted, _) = compare(home.path(), &archives, &names);
    assert!(accepted > 5, "{names:?}");
}

/// What larder makes of archives that Go's own tests read and that are installed with it: plain ones, forms of other writers, and what was found to break readers.
const OF_GO: [(&str, &str); 3] = [
    (
        "whole",
        "file-and-dir gnu gnu-not-utf8 gnu-utf8 hardlink pax pax-pos-size-file pax-records trailing-slash ustar ustar-file-devs ustar-file-reg v7 writer xattrs",
    ),
    (
        "unsupported",
        "gnu-incremental gnu-nil-sparse-data gnu-nil-sparse-hole gnu-sparse-big pax-nil-sparse-data pax-nil-sparse-hole pax-sparse-big sparse-formats star",
    ),
    (
        "corrupt",
        "gnu-long-nul gnu-multi-hdrs hdr-only invalid-go17 issue10968 issue11169 issue12435 neg-size nil-uid pax-bad-hdr-file pax-bad-mtime-file pax-global-records pax-multi-hdrs pax-nul-path pax-nul-xattrs pax-path-hdr writer-big writer-big-long",
    ),
];

#[test]
fn tar_61_archives_of_another_implementations_tests_are_read_alike() {
    let Some(go) = tool("go") else { return };
    let root = Command::new(go).args(["env", "GOROOT"]).succeeds();
    let place = Path::new(root.trim()).join("src/archive/tar/testdata");
    let expected: BTreeMap<&str, &str> = OF_GO.into_iter().flat_map(|(told, names)| names.split(' ').map(move |name| (name, told))).collect();
    let (mut archives, mut names, mut known) = (Vec::new(), Vec::new(), 0);
    let Ok(entries) = fs::read_dir(&place) else { return skip(&place.display().to_string()) };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".tar")) else { continue };
        let ours = larder(&fs::read(&path).expect("readable"));
        let told = ours.as_ref().map_or_else(|(kind, _)| kind.code(), |_| "whole");
        // Some of the others take minutes for terabytes of holes.
        if ours.is_ok() {
            names.push(name.to_owned());
            archives.push(path.clone());
        }
        // Another version of Go may have more of them.
        if let Some(expected) = expected.get(name) {
            assert_eq!(told, *expected, "{name}: {ours:?}");
            known += 1;
        }
    }
    assert!(known > 30, "{names:?}");
    let home = temp();
    compare(home.path(), &archives, &names);
}
