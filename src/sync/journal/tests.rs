//! Journals that are read, torn, damaged, held and swept.

use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::exec::Cancel;

const DAY: Duration = Duration::from_secs(86_400);
const NOW: u64 = 1_800_000_000;

/// A clock that stands at so many seconds after [`NOW`].
fn clock<const SECONDS: i64>() -> Clock {
    Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.saturating_add_signed(SECONDS)))
}

fn open_with(path: &Path, clock: Clock) -> Result<Journal> {
    Journal::open(path, DAY, clock, &mut Patience::new(Duration::ZERO, Cancel::default()))
}

fn open(path: &Path) -> Result<Journal> {
    open_with(path, clock::<0>())
}

fn key(number: usize) -> Key {
    Key::of(["registry.example/team/hello:1", &number.to_string()])
}

fn finished(journal: &Journal) -> usize {
    journal.state().finished.len()
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path().join("nightly.toml.journal");
    (temp, path)
}

#[test]
fn what_was_noted_is_known_to_the_next_run() {
    let (_temp, path) = file();
    let journal = open(&path).expect("opened");
    (0..10).for_each(|n| journal.note(&key(n)).expect("noted"));
    drop(journal);
    let journal = open(&path).expect("opened");
    assert_eq!((0..12).filter(|n| journal.has(&key(*n))).count(), 10);
    journal.note(&key(11)).expect("noted");
    journal.note(&key(11)).expect("noted once");
    drop(journal);
    assert_eq!(finished(&open(&path).expect("opened")), 11);
}

#[test]
fn parts_cannot_pass_for_others() {
    assert_ne!(Key::of(["a", "b"]), Key::of(["ab"]));
    assert_ne!(Key::of(["1:a"]), Key::of(["1", "a"]));
    assert_ne!(Key::of(["a", ""]), Key::of(["a"]));
}

#[test]
fn what_was_noted_holds_for_a_time_and_never_for_the_past() {
    let (_temp, path) = file();
    open(&path).expect("opened").note(&key(1)).expect("noted");
    for (clock, known) in [(clock::<86_400>(), true), (clock::<0>(), true), (clock::<86_401>(), false)] {
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy).expect("copied");
        assert_eq!(open_with(&copy, clock).expect("opened").has(&key(1)), known);
    }
    // A clock that was set back makes nothing last longer.
    assert!(!open_with(&path, clock::<-1>()).expect("opened").has(&key(1)));
}

#[test]
fn cra_04_a_journal_torn_anywhere_tells_a_part_of_the_truth_and_goes_on() {
    let (temp, path) = file();
    let journal = open(&path).expect("opened");
    (0..3).for_each(|n| journal.note(&key(n)).expect("noted"));
    drop(journal);
    let whole = std::fs::read(&path).expect("there");
    for length in 0..=whole.len() {
        let torn = temp.path().join("torn");
        std::fs::write(&torn, &whole[..length]).expect("written");
        let journal = open(&torn).expect("opened");
        let known = (0..3).take_while(|n| journal.has(&key(*n))).count();
        assert_eq!((finished(&journal), known), (known, (length.saturating_sub(HEADER.len()) * 3) / (whole.len() - HEADER.len())), "{length}");
        journal.note(&key(7)).expect("noted");
        drop(journal);
        let journal = open(&torn).expect("opened");
        assert!(journal.has(&key(7)) && finished(&journal) == known + 1, "{length}");
    }
}

#[test]
fn lines_that_are_damaged_tell_nothing() {
    let (_temp, path) = file();
    let journal = open(&path).expect("opened");
    (0..3).for_each(|n| journal.note(&key(n)).expect("noted"));
    drop(journal);
    let whole = std::fs::read(&path).expect("there");
    for at in HEADER.len()..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).expect("written");
        let journal = open(&path).expect("opened");
        assert_eq!(finished(&journal), (0..3).filter(|n| journal.has(&key(*n))).count(), "{at}");
        assert!((1..3).contains(&finished(&journal)), "{at}: {}", finished(&journal));
    }
    std::fs::write(&path, [&whole[..], &[0; 500]].concat()).expect("written");
    assert_eq!(finished(&open(&path).expect("opened")), 3);
    std::fs::write(&path, [0; 500]).expect("written");
    assert!(finished(&open(&path).expect("opened")) == 0);
}

#[test]
fn two_runs_at_once_are_a_conflict() {
    let (_temp, path) = file();
    let first = open(&path).expect("opened");
    assert_eq!(open(&path).expect_err("locked").kind(), ErrorKind::Conflict);
    first.note(&key(1)).expect("noted");
    first.complete().expect("removed");
    let second = open(&path).expect("opened");
    drop(first);
    assert_eq!(open(&path).expect_err("locked").kind(), ErrorKind::Conflict, "the journal of the next run is not touched");
    drop(second);
    assert!(finished(&open(&path).expect("opened")) == 0);
}

#[test]
fn another_file_is_left_as_it_is() {
    let (_temp, path) = file();
    for content in ["precious\n", "larder sync journal 2\n", "larder sync job"] {
        std::fs::write(&path, content).expect("written");
        assert_eq!(open(&path).expect_err("something else").kind(), ErrorKind::Usage);
        assert_eq!(std::fs::read_to_string(&path).expect("nobody removes it"), content);
    }
}

#[test]
fn a_run_without_anything_to_tell_leaves_no_journal() {
    let (temp, path) = file();
    drop(open(&path).expect("opened"));
    assert_eq!(std::fs::read_dir(temp.path()).expect("listed").count(), 0);
}

#[test]
fn what_counts_no_more_goes() {
    let (_temp, path) = file();
    let journal = open(&path).expect("opened");
    (0..100).for_each(|n| journal.note(&key(n)).expect("noted"));
    drop(journal);
    let journal = open_with(&path, clock::<200_000>()).expect("opened");
    (0..3).for_each(|n| journal.note(&key(n)).expect("noted"));
    drop(journal);
    assert!(std::fs::metadata(&path).expect("there").len() < 400);
    assert_eq!(finished(&open_with(&path, clock::<200_000>()).expect("opened")), 3);
}

#[test]
fn reg_35_uploads_go_on_where_they_were_until_they_end() {
    let (_temp, path) = file();
    let journal = open(&path).expect("opened");
    journal.begun("registry.example", "a", "sha256:1", "https://registry.example/v2/a/blobs/uploads/1?_state=x");
    journal.begun("registry.example", "a", "sha256:1", "https://registry.example/v2/a/blobs/uploads/1?_state=y");
    journal.begun("registry.example", "b", "sha256:1", "https://registry.example/v2/b/blobs/uploads/2");
    journal.ended("registry.example", "b", "sha256:1");
    journal.begun("registry.example", "c", "sha256:1", "not a place");
    drop(journal);
    let journal = open(&path).expect("opened");
    let found = ["a", "b", "c"].map(|repository| journal.find("registry.example", repository, "sha256:1"));
    assert_eq!(found, [Some("https://registry.example/v2/a/blobs/uploads/1?_state=y".to_owned()), None, None]);
    assert_eq!(journal.find("other.example", "a", "sha256:1"), None);
    drop(journal);
    assert_eq!(open_with(&path, clock::<100_000>()).expect("opened").find("registry.example", "a", "sha256:1"), None);
}

#[test]
fn a_journal_does_not_grow_with_what_is_over() {
    let (_temp, path) = file();
    let journal = open(&path).expect("opened");
    for n in 0..20_000 {
        let digest = n.to_string();
        journal.begun("registry.example", "a", &digest, "https://registry.example/v2/a/blobs/uploads/1");
        journal.ended("registry.example", "a", &digest);
    }
    journal.note(&key(1)).expect("noted");
    drop(journal);
    assert!(std::fs::metadata(&path).expect("there").len() < 2 << 20);
    assert!(open(&path).expect("opened").has(&key(1)));
}

#[test]
fn journals_that_nobody_came_back_to_are_swept() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| temp.path().join(name);
    for name in ["old.journal", "held.journal", "new.journal", "other"] {
        std::fs::write(path(name), HEADER).expect("written");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(if name == "new.journal" { NOW - 10 } else { NOW - 100_000 });
        std::fs::File::options().append(true).open(path(name)).and_then(|file| file.set_modified(time)).expect("changed");
    }
    let held = Lock::of_file(&Dir::open(temp.path()).expect("opened"), Path::new("held.journal"), &mut Patience::new(Duration::ZERO, Cancel::default()));
    Journal::sweep(temp.path(), DAY, clock::<0>());
    let mut left: Vec<_> = std::fs::read_dir(temp.path()).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["held.journal", "new.journal", "other"]);
    drop(held);
    Journal::sweep(&path("missing"), DAY, clock::<0>());
}

#[test]
fn only_the_owner_reads_it() {
    let (_temp, path) = file();
    open(&path).expect("opened").note(&key(1)).expect("noted");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lines_read_back(parts in prop::collection::vec(".{0,40}", 0..4), time in any::<u64>(), place in "[!-~]{1,80}") {
        let key = Key::of(parts.iter().map(String::as_str));
        for line in [Line::Done(key.clone(), time), Line::Upload(key.clone(), time, place), Line::Ended(key, time)] {
            let text = line.text();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(Line::parse(text.as_bytes()), Some(line));
        }
    }
}
