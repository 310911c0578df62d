//! Opening and creating layouts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::durable::{replace_file, sync_dir};
use crate::fsio::{Dir, Lock, Patience, Regular, regular};
use crate::spec::{limits, text};
use crate::store::header;

use super::staging::{self, Staging};
use super::{BLOBS, Barrier, DIRECTORY_MODE, FILE_MODE, HEADER, INDEX, INDEX_LOCK, Layout, Options, Shared};

const EMPTY_INDEX: &[u8] = br#"{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}"#;

impl Layout {
    /// Opens the layout in the directory `path`. Creates and changes nothing.
    ///
    /// Kinds: `not_found` without such a directory; `corrupt` where it is no layout; `unsupported` for another version of the layout;
    /// `conflict` where garbage collection holds it past the timeout.
    pub fn open(path: &Path, options: Options) -> Result<Layout> {
        Layout::open_as(path, options, Presence::Shared)
    }

    pub(super) fn open_as(path: &Path, options: Options, presence: Presence) -> Result<Layout> {
        let root = Arc::new(Dir::open(path).map_err(|error| if is_something_else(path) { no_directory(path).with_kind(ErrorKind::Corrupt) } else { error })?);
        let header_path = path.join(HEADER);
        let mut patience = Patience::new(options.lock_timeout, options.cancel.clone());
        loop {
            let header = open_header(&root)?;
            let bytes = read_bounded(&header, limits::LAYOUT_HEADER_BYTES, &header_path)?;
            header::check(&bytes, &header_path)?;
            let presence = match presence {
                Presence::Shared => Lock::shared(header.file, &header_path, &mut patience)?,
                Presence::Alone => Lock::exclusive(header.file, &header_path, &mut patience)?,
            };
            // Other tools replace the file, and the lock of one that has no name any more excludes nobody.
            if presence.is_of(&root, Path::new(HEADER))? {
                return Ok(Layout {
                    shared: Arc::new(Shared {
                        root,
                        options,
                        barrier: Barrier::default(),
                        staging: OnceLock::new(),
                        staging_begins: Mutex::new(()),
                        remark: OnceLock::new(),
                        _presence: presence,
                    }),
                });
            }
            options.cancel.check()?;
        }
    }

    /// Creates an empty layout in `path`, a new or empty directory; missing parents are created.
    ///
    /// Kinds: `conflict` where there is a layout or anything else already.
    pub fn create(path: &Path, options: Options) -> Result<Layout> {
        make_directories(path)?;
        let root = Arc::new(open_vacant(path).map_err(|error| error.with_kind(ErrorKind::Conflict))?);
        match initialise(&root, &options)? {
            Initialised::Now => Layout::open(path, options),
            Initialised::Before => Err(Error::conflict(format!("{} is an image layout already", text::path(path))).subject(text::path(path))),
        }
    }

    /// Opens the layout in `path`, or creates it in a new or empty directory. Many processes may do so at once.
    ///
    /// Kinds: those of [`open`](Self::open), and `conflict` where there is anything else already.
    pub fn ensure(path: &Path, options: Options) -> Result<Layout> {
        make_directories(path)?;
        initialise(&Arc::new(open_vacant(path)?), &options)?;
        Layout::open(path, options)
    }
}

/// Opens the directory that is to become a layout.
fn open_vacant(path: &Path) -> Result<Dir> {
    Dir::open(path).map_err(|error| if is_something_else(path) { no_directory(path).hint("give a new or an empty directory") } else { error })
}

/// Whether there is something that is no directory.
fn is_something_else(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_dir())
}

fn no_directory(path: &Path) -> Error {
    Error::conflict(format!("{} is not an image layout: it is not a directory", text::path(path))).subject(text::path(path))
}

/// Who else may have a layout open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Everybody who shares it.
    Shared,
    /// Nobody.
    Alone,
}

/// The content of a file of at most `limit` bytes.
pub(super) fn read_bounded(regular: &Regular, limit: usize, path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    (&regular.file).take(limit as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() > limit {
        return Err(Error::corrupt(format!("{} is larger than the limit of {limit} bytes", text::path(path))).subject(text::path(path)));
    }
    Ok(bytes)
}

fn open_header(root: &Dir) -> Result<Regular> {
    regular::open(root, Path::new(HEADER)).map_err(|error| if error.kind() == ErrorKind::NotFound { not_a_layout(root) } else { error })
}

fn not_a_layout(root: &Dir) -> Error {
    let path = text::path(root.path());
    Error::corrupt(format!("{path} is not an image layout: it has no `{HEADER}` file"))
        .subject(&path)
        .hint(format!("if only that file was lost, put it back: echo '{}' > {path}/{HEADER}", String::from_utf8_lossy(header::BYTES)))
}

enum Initialised {
    Now,
    Before,
}

/// Makes `root` a layout unless it is one. The `oci-layout` file comes last: without it there is no layout, and the next call goes on where this one was killed.
fn initialise(root: &Arc<Dir>, options: &Options) -> Result<Initialised> {
    if root.kind(Path::new(HEADER))?.is_some() {
        return Ok(Initialised::Before);
    }
    check_vacant(root)?;
    let mut patience = Patience::new(options.lock_timeout, options.cancel.clone());
    let _lock = Lock::of_file(root, Path::new(INDEX_LOCK), &mut patience)?;
    if root.kind(Path::new(HEADER))?.is_some() {
        return Ok(Initialised::Before);
    }
    check_vacant(root)?;
    root.create(Path::new(BLOBS), DIRECTORY_MODE)?;
    let blobs = root.open_below(Path::new(BLOBS))?;
    blobs.create(Path::new("sha256"), DIRECTORY_MODE)?;
    sync_dir(&blobs)?;
    let staging = Staging::create(root)?;
    replace_file(staging.file()?, root, Path::new(INDEX), EMPTY_INDEX, FILE_MODE)?;
    replace_file(staging.file()?, root, Path::new(HEADER), header::BYTES, FILE_MODE)?;
    Ok(Initialised::Now)
}

/// Fails unless `root` has nothing but what an interrupted [`initialise`] leaves behind, and what every file system has.
fn check_vacant(root: &Dir) -> Result<()> {
    for (name, kind) in root.entries()? {
        let ours = match name.to_str() {
            // Another process has just finished; the caller looks again under the lock.
            Some(HEADER) => return Ok(()),
            Some(BLOBS) if kind == FileType::Directory => has_no_blobs(root)?,
            Some(INDEX) if kind == FileType::RegularFile => has_no_names(root)?,
            Some(INDEX_LOCK | "lost+found") => true,
            Some(name) => name.starts_with(staging::PREFIX),
            None => false,
        };
        if !ours {
            return Err(occupied(root, Path::new(&name)));
        }
    }
    Ok(())
}

fn occupied(root: &Dir, name: &Path) -> Error {
    if name == Path::new(BLOBS) || name == Path::new(INDEX) {
        return not_a_layout(root);
    }
    let path = text::path(root.path());
    Error::conflict(format!("{path} is neither an image layout nor empty: it has `{}`", text::path(name)))
        .subject(&path)
        .hint("give a new or an empty directory")
}

fn has_no_names(root: &Dir) -> Result<bool> {
    let index = regular::open(root, Path::new(INDEX))?;
    Ok(read_bounded(&index, EMPTY_INDEX.len(), &root.path().join(INDEX)).is_ok_and(|bytes| bytes == EMPTY_INDEX))
}

fn has_no_blobs(root: &Dir) -> Result<bool> {
    for (algorithm, kind) in root.open_below(Path::new(BLOBS))?.entries()? {
        if kind != FileType::Directory || !root.open_below(&Path::new(BLOBS).join(algorithm))?.entries()?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Creates the directory `path` and its missing parents, with the usual permissions whatever the umask, and brings their names to the disk.
fn make_directories(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
    for path in missing.into_iter().rev() {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => rustix::fs::chmod(path, Mode::from_raw_mode(DIRECTORY_MODE)).at("set the permissions of", path)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error).at("create directory", path),
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
        sync_dir(&Dir::open(&parent)?)?;
    }
    Ok(())
}
