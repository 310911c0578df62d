//! Content: the files below `blobs/`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::dir::Created;
use crate::fsio::durable::{TempFile, sync_dir};
use crate::fsio::{Dir, Mismatch, VerifyingReader, WriteBack, regular};
use crate::spec::{Algorithm, Descriptor, Digest, Hasher, Kind, MediaType, text};

use super::{BLOBS, DIRECTORY_MODE, FILE_MODE, Layout, Shared, blob_path};

/// Small writes are gathered until they are worth a system call.
const BUFFER: usize = 1 << 20;

/// Writes of this size and more go to the file as they are.
const DIRECT: usize = 256 << 10;

/// What is hashed and then written at once: it is still in the processor's cache when the kernel copies it.
const PIECE: usize = 128 << 10;

impl Layout {
    /// Whether there is a regular file of the right size under the descriptor's digest. Its bytes are not looked at.
    pub fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        match regular::size(&self.shared.root, &blob_path(&descriptor.digest)) {
            Ok(size) if size == Some(descriptor.size) => {
                // Another process may have made it a moment ago; whoever relies on it makes it durable.
                self.shared.barrier.mark_found(&descriptor.digest);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens content for verified reading.
    ///
    /// Kinds: `not_found` where it is absent; `corrupt` where it is no regular file or of another size; `unsupported` for a digest that cannot be computed.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<VerifyingReader<File>> {
        let file = self.open_file(descriptor)?;
        VerifyingReader::new(file, descriptor.digest.clone(), descriptor.size)
    }

    /// Reads content of at most `limit` bytes and verifies it. Errors as [`open_blob`](Self::open_blob), and `corrupt` above the limit.
    pub fn read(&self, descriptor: &Descriptor, limit: usize) -> Result<Vec<u8>> {
        self.open_blob(descriptor)?.read_to_vec(limit)
    }

    /// Opens the file of a blob and checks its size; what is read from it is not verified.
    pub(super) fn open_file(&self, descriptor: &Descriptor) -> Result<File> {
        let digest = &descriptor.digest;
        let regular = regular::open(&self.shared.root, &blob_path(digest)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found(format!("blob {digest} is missing in {}", text::path(self.path()))).subject(digest),
            _ => error.subject(digest),
        })?;
        if regular.size != descriptor.size {
            return Err(Mismatch::Size { actual: regular.size, expected: descriptor.size }.of(digest));
        }
        Ok(regular.file)
    }

    /// Begins new content whose digest is not yet known. Fails with kind `unsupported` for an algorithm that cannot be computed.
    pub fn blob_writer(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        let hasher = algorithm.hasher()?;
        let temp = self.shared.staging()?.file()?;
        Ok(BlobWriter {
            temp,
            hasher,
            algorithm,
            buffer: Vec::new(),
            size: 0,
            write_back: WriteBack::default(),
            state: State::Whole,
            shared: self.shared.clone(),
        })
    }

    /// A file without a name, for bytes that are needed for a while and fit no memory. It goes when the last handle goes.
    pub fn scratch_file(&self) -> Result<Arc<File>> {
        Ok(self.shared.staging()?.file()?.file().clone())
    }

    /// Stores a document. Where there are other bytes under its digest already, they are replaced.
    /// Everything that a manifest references must be stored before; it is brought to the disk first.
    pub fn put_document(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        if is_manifest(&media_type) {
            self.sync_blobs()?;
        }
        let mut writer = self.blob_writer(Algorithm::Sha256)?;
        writer.write_all(bytes).at("write a document to", self.path())?;
        let (digest, size) = writer.finish()?;
        Ok(Descriptor::new(media_type, digest, size))
    }

    /// Brings the names of all content that was stored or found through this layout to the disk.
    pub fn sync_blobs(&self) -> Result<()> {
        self.shared.barrier.sync(&self.shared.root)
    }
}

/// Content on its way into a layout. Dropped, it leaves nothing behind.
#[must_use]
pub struct BlobWriter {
    temp: TempFile,
    hasher: Hasher,
    algorithm: Algorithm,
    buffer: Vec<u8>,
    /// Bytes in the file.
    size: u64,
    write_back: WriteBack,
    state: State,
    shared: Arc<Shared>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// A write failed: nobody knows what is in the file.
    Broken,
}

impl BlobWriter {
    /// Completes the content: verified, on the disk, and visible under its digest. Its name is durable after [`Layout::sync_blobs`].
    ///
    /// Content that is there already with the same bytes is kept; other bytes under that digest are replaced.
    pub fn finish(mut self) -> Result<(Digest, u64)> {
        self.complete()?;
        let (digest, size) = (self.digest(), self.size);
        self.commit(&digest)?;
        Ok((digest, size))
    }

    /// Completes the content like [`finish`](Self::finish) if it is what `descriptor` says; fails with kind `corrupt` and leaves nothing behind if not.
    pub fn finish_as(mut self, descriptor: &Descriptor) -> Result<()> {
        self.complete()?;
        let expected = &descriptor.digest;
        if self.size != descriptor.size {
            return Err(Mismatch::Size { actual: self.size, expected: descriptor.size }.of(expected));
        }
        let actual = self.digest();
        if actual != *expected {
            return Err(Mismatch::Digest { actual }.of(expected));
        }
        self.commit(expected)
    }

    /// The layout that gets the content.
    pub fn layout(&self) -> &Path {
        self.shared.root.path()
    }

    /// The file that is written. It may be read at any offset that was flushed, and stays readable after the writer is gone.
    pub fn file(&self) -> Arc<File> {
        self.temp.file().clone()
    }

    fn complete(&mut self) -> Result<()> {
        let path = self.shared.root.path().to_owned();
        self.flush().at("write content to", &path)?;
        match self.state {
            State::Whole => Ok(()),
            State::Broken => Err(Error::new(ErrorKind::Io, format!("a write to {} failed before", text::path(&path)))),
        }
    }

    fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    fn commit(self, digest: &Digest) -> Result<()> {
        let dir = self.shared.blob_dir(&self.algorithm)?;
        let name = Path::new(digest.encoded());
        if holds_same(&dir, name, self.temp.file(), self.size).at("compare content in", dir.path())? {
            self.shared.barrier.mark_found(digest);
            return Ok(());
        }
        self.temp.set_mode(FILE_MODE)?;
        self.temp.persist(&dir, name)?;
        self.shared.barrier.mark(&self.algorithm);
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.try_pass(bytes);
        if outcome.is_err() {
            self.state = State::Broken;
        }
        outcome
    }

    /// Hashes and writes `bytes` without a copy.
    fn try_pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shared.options.cancel.check()?;
        let mut file: &File = self.temp.file();
        for piece in bytes.chunks(PIECE) {
            self.hasher.update(piece);
            file.write_all(piece)?;
        }
        self.size += bytes.len() as u64;
        self.write_back.written(file, self.size);
        Ok(())
    }
}

impl std::fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobWriter").field("size", &self.size).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && bytes.len() >= DIRECT {
            self.pass(bytes)?;
            return Ok(bytes.len());
        }
        let count = bytes.len().min(BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == BUFFER {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.pass(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }
}

impl Shared {
    /// The directory of an algorithm's content, created where it is missing.
    pub(super) fn blob_dir(&self, algorithm: &Algorithm) -> Result<Dir> {
        let path = Path::new(BLOBS).join(algorithm.as_str());
        match self.root.open_below(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(dir) => return Ok(dir),
            Err(error) => return Err(error),
        }
        if self.root.create(Path::new(BLOBS), DIRECTORY_MODE)? == Created::New {
            sync_dir(&self.root)?;
        }
        let blobs = self.root.open_below(Path::new(BLOBS))?;
        if blobs.create(Path::new(algorithm.as_str()), DIRECTORY_MODE)? == Created::New {
            sync_dir(&blobs)?;
        }
        self.root.open_below(&path)
    }
}

/// Whether the regular file `name` in `dir` has the same `size` bytes as `ours`.
fn holds_same(dir: &Dir, name: &Path, ours: &File, size: u64) -> io::Result<bool> {
    match regular::open(dir, name) {
        Ok(existing) if existing.size == size => regular::same_content(&existing.file, ours),
        _ => Ok(false),
    }
}

/// Whether content of this type references other content, which must be durable before it.
pub(super) fn is_manifest(media_type: &MediaType) -> bool {
    matches!(Kind::of(media_type), Kind::Index | Kind::Manifest)
}
