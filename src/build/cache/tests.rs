use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::exec::{Clock, Run};
use crate::layer::Layer;
use crate::spec::{DiffId, MediaType};

/// A cache, and a run at 2001-09-09.
struct Sample {
    home: tempfile::TempDir,
    cache: Cache,
    run: Run,
}

const NOW: u64 = 1_000_000_000;

impl Sample {
    fn new() -> Sample {
        let home = tempfile::tempdir().expect("temporary directory");
        let cache = Cache::at(home.path());
        let clock = Clock(|| std::time::UNIX_EPOCH + Duration::from_secs(NOW));
        Sample { home, cache, run: Run { clock, ..Run::new(NonZeroUsize::MIN).expect("a pool") } }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join("v1").join(name)
    }

    fn content(&self) -> Layout {
        Layout::ensure(&self.cache.content(), Options::default()).expect("a layout")
    }

    /// A layer of the cache that was used so many seconds ago.
    fn layer(&self, number: u8, label: &str, age: u64) -> Layer {
        let content = vec![number; 1000];
        let descriptor = self.content().put_document(MediaType::ImageLayerGzip, &content).expect("stored");
        let diff_id = DiffId(descriptor.digest.clone());
        let layer = Layer { descriptor, diff_id, uncompressed: 1, reused: 0, chunks: Vec::new() };
        let recipe = Recipe { key: [number; 32], settled: None };
        self.cache.keep_layer(&recipe, label, &layer, &self.cache.content()).expect("kept");
        aged(&self.cache.layer_path(&recipe), age);
        layer
    }

    fn labels(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.label.as_str()).collect()
    }

    fn prune(&self, wanted: Wanted) -> Pruned {
        let planned = self.cache.would_prune(&self.run, wanted, &Options::default()).expect("planned");
        let pruned = self.cache.prune(&self.run, wanted, &Options::default()).expect("pruned");
        if pruned.busy.is_empty() {
            assert_eq!(Sample::labels(&planned.removed), Sample::labels(&pruned.removed));
        }
        pruned
    }
}

fn aged(path: &Path, age: u64) {
    let file = File::options().append(true).open(path).expect("there");
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(NOW - age)).expect("own file");
}

#[test]
fn the_layer_that_was_used_the_longest_ago_goes_first() {
    let sample = Sample::new();
    let old = sample.layer(1, "old", 500);
    sample.layer(2, "older", 600);
    let young = sample.layer(3, "young", 5);
    sample.cache.touch(&sample.run, &Recipe { key: [1; 32], settled: None });
    let kept = sample.cache.kept(&Options::default()).expect("listed");
    assert_eq!(Sample::labels(&kept.entries), ["older", "young", "old"]);
    let per_entry = kept.bytes() / 3;
    assert!((1000..2000).contains(&per_entry));
    let pruned = sample.prune(Wanted::Beyond { unused: None, most: Some(kept.bytes() - 1) });
    assert_eq!((Sample::labels(&pruned.removed), Sample::labels(&pruned.kept)), (vec!["older"], vec!["young", "old"]));
    let content = sample.content();
    assert!(content.has(&old.descriptor).expect("read") && content.has(&young.descriptor).expect("read"));
    assert_eq!(content.stored().expect("listed").blobs.len(), 2);
    assert!(sample.cache.layer(&Recipe { key: [2; 32], settled: None }).is_none());
}

#[test]
fn age_and_size_are_asked_one_after_the_other_and_all_is_all() {
    let sample = Sample::new();
    for (number, label, age) in [(1, "a", 1000), (2, "b", 100), (3, "c", 10), (4, "d", 1)] {
        sample.layer(number, label, age);
    }
    sample.cache.keep("listings", "x", b"note").expect("kept");
    let pruned = sample.prune(Wanted::Beyond { unused: Some(Duration::from_secs(1000)), most: Some(3000) });
    assert_eq!(Sample::labels(&pruned.removed), ["a", "b"]);
    assert!(sample.path("listings/x").exists());
    assert!(sample.prune(Wanted::Beyond { unused: Some(Duration::from_secs(1000)), most: None }).removed.is_empty());
    let pruned = sample.prune(Wanted::All);
    assert_eq!((pruned.removed.len(), pruned.kept.len()), (3, 0));
    assert_eq!(sample.cache.kept(&Options::default()).expect("listed").bytes(), 0);
    assert_eq!(Cache::at(Path::new("/no/such/cache")).kept(&Options::default()).expect("empty").entries.len(), 0);
}

#[test]
fn what_a_build_that_runs_has_open_stays() {
    let sample = Sample::new();
    let layer = sample.layer(1, "used", 1000);
    let open = sample.content();
    let impatient = Options { lock_timeout: Duration::ZERO, ..Options::default() };
    let error = sample.cache.prune(&sample.run, Wanted::All, &impatient).expect_err("a build runs");
    assert_eq!((error.kind(), error.message()), (crate::error::ErrorKind::Conflict, "builds are using the cache"));
    assert!(open.has(&layer.descriptor).expect("read") && sample.cache.layer(&Recipe { key: [1; 32], settled: None }).is_some());
    sample.cache.bound(&sample.run, &Options::default());
    drop(open);
    assert_eq!(sample.prune(Wanted::All).removed.len(), 1);
}

#[test]
fn layers_that_several_recipes_make_and_layers_that_nothing_tells_of_are_one_entry_each() {
    let sample = Sample::new();
    let layer = sample.layer(1, "first", 100);
    let second = Recipe { key: [9; 32], settled: None };
    sample.cache.keep_layer(&second, "second", &layer, &sample.cache.content()).expect("kept");
    aged(&sample.cache.layer_path(&second), 50);
    sample.content().put_document(MediaType::ImageLayerGzip, b"stray").expect("stored");
    let elsewhere =
        Layer { descriptor: Descriptor::new(MediaType::ImageLayerGzip, format!("sha256:{}", "e".repeat(64)).parse().expect("a digest"), 9), ..layer };
    sample.cache.keep_layer(&Recipe { key: [7; 32], settled: None }, "elsewhere", &elsewhere, Path::new("/a/layout")).expect("kept");
    fs::write(sample.path("layers/damaged"), "{").expect("written");
    let kept = sample.cache.kept(&Options::default()).expect("listed");
    let mut seen: Vec<_> = kept.entries.iter().map(|entry| (entry.form, entry.label.as_str())).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [(EntryForm::Step, "second"), (EntryForm::Layer, "elsewhere"), (EntryForm::Layer, "unreadable"), (EntryForm::Stray, "a layer that nothing tells of"),]
    );
    sample.prune(Wanted::All);
    assert_eq!(fs::read_dir(sample.path("layers")).expect("listed").count(), 0);
}

#[test]
fn directories_of_commands_go_unless_they_are_in_use() {
    let sample = Sample::new();
    for name in ["aa-0", "bb-0"] {
        fs::create_dir_all(sample.path("mounts").join(name).join("deep")).expect("writable");
        fs::write(sample.path("mounts").join(name).join("deep/file"), vec![0; 9000]).expect("writable");
        fs::write(sample.path("mounts").join(format!("{name}.lock")), format!("/{name}")).expect("writable");
    }
    fs::create_dir(sample.path("mounts/cc-0.new")).expect("writable");
    let lock = sample.path("mounts/bb-0.lock");
    let used = crate::fsio::lock::Lock::try_exclusive(File::open(&lock).expect("there"), &lock).expect("locked").expect("free");
    let pruned = sample.prune(Wanted::All);
    let mut removed: Vec<_> = pruned.removed.iter().map(|entry| (entry.label.as_str(), entry.size >= 9000)).collect();
    removed.sort_unstable();
    assert_eq!((removed, Sample::labels(&pruned.busy)), (vec![("", false), ("/aa-0", true)], vec!["/bb-0"]));
    assert!(!sample.path("mounts/aa-0").exists() && !sample.path("mounts/aa-0.lock").exists() && !sample.path("mounts/cc-0.new").exists());
    assert!(sample.path("mounts/bb-0/deep/file").exists());
    drop(used);
    sample.prune(Wanted::All);
    assert_eq!(fs::read_dir(sample.path("mounts")).expect("listed").count(), 0);
}

#[test]
fn notes_beyond_the_bound_go_the_oldest_first_and_nothing_else_does() {
    const LARGE: u64 = MAX_BYTES / 4;
    let sample = Sample::new();
    let layer = sample.layer(1, "kept", 1_000_000);
    let note = |name: &str, age: u64| {
        let path = sample.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        File::create(&path).and_then(|file| file.set_len(LARGE)).expect("a sparse file");
        aged(&path, age);
        path
    };
    let notes = [note("chunks/a", 50), note("listings/b", 40), note("layers/c", 30)];
    let others = [note("mounts/x", 900), note("content/y", 900)];
    let there = || notes.each_ref().map(|path| path.exists());
    sample.cache.trim();
    assert_eq!(there(), [true; 3], "three quarters and a note");
    let newest = note("chunks/d", 1);
    sample.cache.trim();
    // The layer's note was the oldest; down to three quarters, so that not every build has to look again.
    assert!(!sample.cache.layer_path(&Recipe { key: [1; 32], settled: None }).exists());
    assert_eq!(there(), [false, true, true]);
    assert!(newest.exists() && others.iter().all(|path| path.exists()));
    assert!(sample.content().has(&layer.descriptor).expect("read"));
}
