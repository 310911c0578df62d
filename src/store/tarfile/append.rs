//! Opening the archive at the path of a destination: one to add to, or a place for a new one.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::durable::TempFile;
use crate::fsio::{Dir, Lock, Patience, beneath, lock};
use crate::spec::media_type::Compression;
use crate::spec::{ImageIndex, text};
use crate::store::{Options, header};

use super::form::Form;
use super::frame;
use super::input::Input;
use super::members::Links;
use super::reading::Reading;
use super::tail::{Place, Replaces, Standing, Tail};

/// How many bytes behind the old documents may be written again when something is added: 16 MiB. Archives that other tools make have a few hundred bytes there.
const MAX_CARRIED: u64 = 16 << 20;

/// What is at the path of a destination.
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) standing: Standing,
    /// The archive that is there, and its entries.
    pub(super) before: Option<(Reading, ImageIndex)>,
}

/// Opens `path`. Kinds: `conflict` where something else is there, or another process writes it past the timeout; `unsupported` for an archive that cannot be
/// added to; `not_found` without the directory it belongs in.
pub(super) fn open(path: &Path, form: &dyn Form, options: &Options) -> Result<Target> {
    let (dir, name) = resolve(path)?;
    let mut patience = Patience::new(options.lock_timeout, options.cancel.clone());
    loop {
        let replaces = match dir.kind(&name)? {
            None => Replaces::Nothing,
            Some(FileType::RegularFile) => match open_existing(&dir, &name, form, options, &mut patience)? {
                Existing::Archive(target) => return Ok(*target),
                Existing::Empty => Replaces::EmptyFile,
                Existing::Moved => continue,
            },
            Some(_) => {
                let shown = text::path(path);
                return Err(Error::conflict(format!("{shown} is not a regular file")).subject(&shown).hint("to write to a pipe, write `-` for stdout"));
            }
        };
        let temp = TempFile::beside(dir.clone(), name.as_os_str())?;
        let place = Place { dir, name: name.into_os_string(), file: temp.file().clone() };
        return Ok(Target { place, standing: Standing::New(temp, replaces), before: None });
    }
}

/// The directory and the name that `path` means. A symbolic link is followed: the person named it.
fn resolve(path: &Path) -> Result<(Arc<Dir>, PathBuf)> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let path = if is_link { std::fs::canonicalize(path).at("follow the link", path)? } else { path.to_owned() };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::usage(format!("{} does not name a file", text::path(&path))).subject(text::path(&path)));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok((Arc::new(Dir::open(parent)?), PathBuf::from(name)))
}

enum Existing {
    Archive(Box<Target>),
    Empty,
    /// The name means another file by now.
    Moved,
}

fn open_existing(dir: &Arc<Dir>, name: &Path, form: &dyn Form, options: &Options, patience: &mut Patience) -> Result<Existing> {
    let path = dir.path().join(name);
    let opened = beneath::open(dir.as_fd(), name, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty());
    let file = match opened.map(File::from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Existing::Moved),
        opened => opened.at("open", &path)?,
    };
    let lock = Lock::exclusive(file.try_clone().at("lock", &path)?, &path, patience)?;
    if !lock::is_named(&file, dir, name)? {
        return Ok(Existing::Moved);
    }
    let size = rustix::fs::fstat(&file).at("examine", &path)?.st_size.cast_unsigned();
    if size == 0 {
        return Ok(Existing::Empty);
    }
    let file = Arc::new(file);
    let reading = read(file.clone(), size, &path, form, options)?;
    let index = reading.layout()?;
    let tail = tail(&reading, form)?;
    let place = Place { dir: dir.clone(), name: name.as_os_str().to_owned(), file };
    Ok(Existing::Archive(Box::new(Target { place, standing: Standing::There(lock, tail), before: Some((reading, index)) })))
}

/// Reads what is there, and says why it cannot be added to.
fn read(file: Arc<File>, size: u64, path: &Path, form: &dyn Form, options: &Options) -> Result<Reading> {
    let shown = text::path(path);
    let input = Input::of(file, size, shown.clone().into_owned(), options).map_err(|error| error.with_kind(ErrorKind::Conflict))?;
    if input.compression != Compression::None {
        let error = Error::unsupported(format!("{shown} is compressed with {}, and nothing can be added to it", input.compression)).subject(&shown);
        return Err(error.hint("decompress it first, or write a new archive"));
    }
    let reading = Reading::of(input, Links::Refused, options)?;
    if !reading.has_member(header::NAME) {
        let error = Error::conflict(format!("{shown} is a tar without an image layout, and nothing can be added to it")).subject(&shown);
        return Err(error.hint("write a new archive"));
    }
    form.accept(&reading)?;
    Ok(reading)
}

/// Where the archive can be added to. Fails with kind `unsupported` where too much stands behind its documents.
fn tail(reading: &Reading, form: &dyn Form) -> Result<Tail> {
    let members = &reading.members;
    let end = members.end();
    let begin = form.documents().iter().filter_map(|name| members.begin(name)).min().unwrap_or(end);
    let carried = members.from(begin)?.into_iter().filter(|(name, _)| !form.documents().iter().any(|document| document.as_bytes() == name));
    let tail = Tail { begin, end: end + frame::END as u64, carried: carried.collect() };
    let size: u64 = tail.carried.iter().map(|(_, extent)| extent.size).sum();
    if size <= MAX_CARRIED {
        return Ok(tail);
    }
    let shown = &reading.input.shown;
    Err(Error::unsupported(format!("{shown} has too much behind its index.json, and nothing can be added to it"))
        .subject(shown)
        .hint("copy its images into a new archive, which can be added to"))
}
