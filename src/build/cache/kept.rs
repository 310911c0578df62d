//! What a cache has in it, and removing it.
//!
//! Layers are removed only while no build has the layout of the cache open, and a directory of a command only while no command uses it: a build that runs keeps
//! what it saw. What is known of a layer goes before the layer.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Cache, Remembered};
use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::exec::Run;
use crate::fsio::lock::Lock;
use crate::fsio::{Dir, remove};
use crate::spec::Digest;
use crate::store::layout::{Layout, Options, Removal, StoredBlob};

/// The most bytes that builds leave in a cache. BuildKit leaves about as much by itself.
pub const BUILDS_KEEP: u64 = 20_000_000_000;

/// What the directory of a command has beside it, see [`Cache::mounts`]: its lock, and itself as long as it is not whole.
const BESIDE: [&str; 2] = [".lock", ".new"];

/// What is in a cache.
#[derive(Debug, Default)]
pub struct Kept {
    /// All of it; what was used last comes last.
    pub entries: Vec<Entry>,
}

/// Something in a cache that is used, and goes, as a whole.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is.
    pub form: EntryForm,
    /// What a person knows it by.
    pub label: String,
    /// The layer.
    pub digest: Option<Digest>,
    /// The bytes that it takes.
    pub size: u64,
    /// When a build used it last, in time since 1970.
    pub used: Duration,
    /// What tells of it.
    files: Vec<PathBuf>,
    content: Content,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryForm {
    /// The layer that a step of a Dockerfile made.
    Step,
    /// What is known of a layer that lies in a layout that was built into.
    Layer,
    /// The directory of a `RUN --mount=type=cache`.
    Mount,
    /// A layer that nothing tells of any more.
    Stray,
    /// Lists of what is in layers, and where the pieces of layers are.
    Note,
}

/// What of an entry is no file that tells of it.
#[derive(Clone, Debug)]
enum Content {
    None,
    Blob(StoredBlob),
    /// The name of a directory of a command.
    Mount(String),
}

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    All,
    /// What was not used for `unused`, and then what was used the longest ago until no more than `most` bytes are left.
    Beyond {
        /// The age from which on an entry goes, where age counts.
        unused: Option<Duration>,
        /// How much may stay, where that counts.
        most: Option<u64>,
    },
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What is gone, or would be.
    pub removed: Vec<Entry>,
    /// What stays because a command uses it right now.
    pub busy: Vec<Entry>,
    /// What else stays.
    pub kept: Vec<Entry>,
}

impl Kept {
    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// What goes and what stays, both in their order.
    fn part(self, wanted: Wanted, now: Duration) -> (Vec<Entry>, Vec<Entry>) {
        let (unused, most) = match wanted {
            Wanted::All => return (self.entries, Vec::new()),
            Wanted::Beyond { unused, most } => (unused, most),
        };
        let is_old = |entry: &Entry| unused.is_some_and(|unused| now.saturating_sub(entry.used) >= unused);
        let (mut going, mut staying): (Vec<_>, Vec<_>) = self.entries.into_iter().partition(is_old);
        let mut left: u64 = staying.iter().map(|entry| entry.size).sum();
        // Notes take next to nothing and make much of the rest faster.
        staying.sort_by_key(|entry| (entry.form == EntryForm::Note, entry.used));
        let fits = staying.iter().position(|entry| {
            let fits = most.is_none_or(|most| left <= most);
            left -= if fits { 0 } else { entry.size };
            fits
        });
        let stays = staying.split_off(fits.unwrap_or(staying.len()));
        going.append(&mut staying);
        (going, stays)
    }
}

impl Cache {
    /// What is in the cache. A cache that is not there is empty.
    pub fn kept(&self, options: &Options) -> Result<Kept> {
        let content = absent_is_none(Layout::open(&self.content(), options.clone()))?;
        self.read_all(content.as_ref())
    }

    /// What [`Self::prune`] would remove, as far as nothing is in use.
    pub fn would_prune(&self, run: &Run, wanted: Wanted, options: &Options) -> Result<Pruned> {
        let (removed, kept) = self.kept(options)?.part(wanted, run.clock.now());
        Ok(Pruned { removed, busy: Vec::new(), kept })
    }

    /// Removes what is not wanted any more. Waits for builds that run.
    ///
    /// Kinds: `conflict` where builds run for longer than the timeout; `io`.
    pub fn prune(&self, run: &Run, wanted: Wanted, options: &Options) -> Result<Pruned> {
        let sweep = absent_is_none(Layout::open_for_sweep(&self.content(), options.clone())).map_err(|error| match error.kind() {
            ErrorKind::Conflict => error.context("builds are using the cache"),
            _ => error,
        })?;
        let (going, kept) = self.read_all(sweep.as_ref().map(|sweep| sweep.layout()))?.part(wanted, run.clock.now());
        let mut pruned = Pruned { kept, ..Pruned::default() };
        for entry in going {
            run.cancel.check()?;
            for file in &entry.files {
                remove_file(file)?;
            }
            let gone = match (&entry.content, &sweep) {
                (Content::Mount(name), _) => self.remove_mount(name)?,
                (Content::Blob(blob), Some(sweep)) => sweep.remove(blob)? == Removal::Removed,
                (Content::Blob(_), None) | (Content::None, _) => true,
            };
            let to = if gone { &mut pruned.removed } else { &mut pruned.busy };
            to.push(entry);
        }
        if let Some(sweep) = sweep {
            sweep.finish()?;
            // What is left of a build that was killed stays until the next time.
            let _ = sweep.layout().sweep_staging();
        }
        Ok(pruned)
    }

    /// What builds do after they added something: keeps the cache within [`BUILDS_KEEP`], unless other builds run, the last of which does it.
    pub fn bound(&self, run: &Run, options: &Options) {
        let bound = || -> Result<()> {
            if self.kept(options)?.bytes() > BUILDS_KEEP {
                let wanted = Wanted::Beyond { unused: None, most: Some(BUILDS_KEEP) };
                self.prune(run, wanted, &Options { lock_timeout: Duration::ZERO, ..options.clone() })?;
            }
            Ok(())
        };
        match bound() {
            Err(error) if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Interrupted) => {
                run.events.warn(format!("cannot keep the build cache small: {error}"));
            }
            _ => {}
        }
    }

    fn read_all(&self, content: Option<&Layout>) -> Result<Kept> {
        let mut blobs: HashMap<Digest, StoredBlob> = HashMap::new();
        if let Some(content) = content {
            blobs.extend(content.stored()?.blobs.into_iter().map(|blob| (blob.digest.clone(), blob)));
        }
        let mut entries = self.remembered(&mut blobs)?;
        entries.extend(blobs.into_values().map(|blob| Entry {
            form: EntryForm::Stray,
            label: "a layer that nothing tells of".to_owned(),
            digest: Some(blob.digest.clone()),
            size: blob.size(),
            used: blob.changed(),
            files: Vec::new(),
            content: Content::Blob(blob),
        }));
        entries.extend(self.notes()?);
        entries.extend(self.mounted()?);
        entries.sort_by(|a, b| (a.used, a.form, &a.label, &a.digest).cmp(&(b.used, b.form, &b.label, &b.digest)));
        Ok(Kept { entries })
    }

    /// What is known of layers; those that lie here are taken out of `blobs`.
    fn remembered(&self, blobs: &mut HashMap<Digest, StoredBlob>) -> Result<Vec<Entry>> {
        let mut by_digest: HashMap<Digest, Entry> = HashMap::new();
        let mut entries = Vec::new();
        for (path, metadata) in files(&self.root.join("layers"))? {
            let known = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
            let (label, digest) = known.map_or_else(|| ("unreadable".to_owned(), None), |known| (known.label, Some(known.descriptor.digest)));
            let used = used(&metadata);
            // Several recipes may come to one layer.
            if let Some(entry) = digest.as_ref().and_then(|digest| by_digest.get_mut(digest)) {
                if used >= entry.used {
                    (entry.used, entry.label) = (used, label);
                }
                entry.size += metadata.len();
                entry.files.push(path);
                continue;
            }
            let blob = digest.as_ref().and_then(|digest| blobs.remove(digest));
            let (form, size) = blob.as_ref().map_or((EntryForm::Layer, 0), |blob| (EntryForm::Step, blob.size()));
            let content = blob.map_or(Content::None, Content::Blob);
            let entry = Entry { form, label, digest: digest.clone(), size: size + metadata.len(), used, files: vec![path], content };
            match digest {
                Some(digest) => drop(by_digest.insert(digest, entry)),
                None => entries.push(entry),
            }
        }
        entries.extend(by_digest.into_values());
        Ok(entries)
    }

    fn notes(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for folder in ["chunks", "listings"] {
            let notes = files(&self.root.join(folder))?.into_iter().map(|(path, metadata)| Entry {
                form: EntryForm::Note,
                label: folder.to_owned(),
                digest: None,
                size: metadata.len(),
                used: used(&metadata),
                files: vec![path],
                content: Content::None,
            });
            entries.extend(notes);
        }
        Ok(entries)
    }

    fn mounted(&self) -> Result<Vec<Entry>> {
        let all = self.mounts();
        let listing = match fs::read_dir(&all) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).at("list", &all),
        };
        let names = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let names: BTreeSet<String> = names.map(|name| BESIDE.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned()).collect();
        let entry = |name: String| {
            let lock = all.join(format!("{name}.lock"));
            let when = [&lock, &all.join(&name)].into_iter().find_map(|path| fs::symlink_metadata(path).ok());
            Entry {
                form: EntryForm::Mount,
                label: fs::read(&lock).map(|id| String::from_utf8_lossy(&id).into_owned()).unwrap_or_default(),
                digest: None,
                size: space(&all.join(&name)) + space(&all.join(format!("{name}.new"))),
                used: when.map(|metadata| used(&metadata)).unwrap_or_default(),
                files: Vec::new(),
                content: Content::Mount(name),
            }
        };
        Ok(names.into_iter().map(entry).collect())
    }

    /// Removes the directory of a command. False where a command uses it.
    fn remove_mount(&self, name: &str) -> Result<bool> {
        let dir = Dir::open(&self.mounts())?;
        let lock = dir.path().join(format!("{name}.lock"));
        let file = fs::OpenOptions::new().read(true).append(true).create(true).open(&lock).at("open", &lock)?;
        // Whoever comes later makes another file of this name, and whoever waits for this one looks whether it still has it.
        let Some(_held) = Lock::try_exclusive(file, &lock)? else { return Ok(false) };
        for name in [name.to_owned(), format!("{name}.new")] {
            let cannot = |error: Error| error.hint("remove it as the user whose builds made it");
            remove::tree(&dir, Path::new(&name)).map_err(cannot)?;
        }
        remove_file(&lock)?;
        Ok(true)
    }
}

fn absent_is_none<T>(opened: Result<T>) -> Result<Option<T>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The regular files of a directory that may be missing.
fn files(directory: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("list", directory),
    };
    // What vanished since it was listed is not there.
    let all = listing.flatten().filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    Ok(all.filter(|(_, metadata)| metadata.is_file()).collect())
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

fn used(metadata: &fs::Metadata) -> Duration {
    metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default()
}

/// The space that a directory takes on the disk, as far as it can be looked into. Links in it are not followed.
fn space(directory: &Path) -> u64 {
    let mut bytes = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}
