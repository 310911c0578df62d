//! The names: `index.json`.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::fsio::durable::replace_file;
use crate::fsio::{Lock, regular};
use crate::spec::{ImageIndex, json, limits, shape, text};

use super::open::read_bounded;
use super::{FILE_MODE, INDEX, INDEX_LOCK, Layout};

impl Layout {
    /// Reads `index.json`. Takes no lock: larder replaces it whole. BuildKit writes it in place under its lock, so a file that
    /// cannot be understood is read once more while nobody writes.
    ///
    /// Fails with kind `corrupt` where it is missing or no index.
    pub fn index(&self) -> Result<ImageIndex> {
        let error = match self.read_index() {
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            outcome => return outcome,
        };
        let root = &self.shared.root;
        let Ok(lock) = regular::open(root, Path::new(INDEX_LOCK)) else { return Err(error) };
        match Lock::shared(lock.file, &root.path().join(INDEX_LOCK), &mut self.shared.patience()) {
            Ok(_held) => self.read_index(),
            Err(interrupted) if interrupted.kind() == ErrorKind::Interrupted => Err(interrupted),
            Err(_) => Err(error),
        }
    }

    /// Changes `index.json`: reads it under the lock, lets `change` edit it, and replaces it durably unless nothing changed.
    /// All content that was stored through this layout is brought to the disk before.
    ///
    /// Kinds: those of [`index`](Self::index) and of `change`, which leave it as it was; `conflict` where another process holds the lock past the timeout.
    pub fn update_index<R>(&self, change: impl FnOnce(&mut ImageIndex) -> Result<R>) -> Result<R> {
        self.sync_blobs()?;
        let root = &self.shared.root;
        let _lock = Lock::of_file(root, Path::new(INDEX_LOCK), &mut self.shared.patience())?;
        let mut index = self.read_index()?;
        let before = fingerprint(&index)?;
        let result = change(&mut index)?;
        if fingerprint(&index)? != before {
            let manifests = std::mem::take(&mut index.manifests);
            let bytes = json::canonical_with_list(&index, "manifests", &manifests)?;
            replace_file(self.shared.staging()?.file()?, root, Path::new(INDEX), &bytes, FILE_MODE)?;
        }
        Ok(result)
    }

    pub(super) fn read_index(&self) -> Result<ImageIndex> {
        let path = self.path().join(INDEX);
        let shown = text::path(&path);
        let file = regular::open(&self.shared.root, Path::new(INDEX)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::corrupt(format!("{shown} is missing")).subject(&shown).hint(LOST),
            _ => error,
        })?;
        let bytes = read_bounded(&file, limits::LAYOUT_INDEX_BYTES, &path)?;
        if bytes.is_empty() {
            return Err(Error::corrupt(format!("{shown} is empty")).subject(&shown).hint(LOST));
        }
        let index = shape::layout_index(&bytes, &shown)?;
        if let Some(warning) = shape::layout_index_warning(&index, &bytes) {
            self.warn_of_index(warning);
        }
        Ok(index)
    }

    /// Warns of what is strange about `index.json`, once.
    fn warn_of_index(&self, warning: &'static str) {
        if self.shared.remark.set(warning).is_ok() {
            self.shared.options.events.warn(format!("{}: {warning}, so there are no names", text::path(&self.path().join(INDEX))));
        }
    }
}

/// Equal for equal indexes. A copy to compare with would take as much memory again, and an index may have many names.
fn fingerprint(index: &ImageIndex) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    serde_json::to_writer(std::io::BufWriter::with_capacity(64 << 10, &mut hasher), index)
        .map_err(|error| Error::usage(format!("cannot write a document: {error}")))?;
    Ok(hasher.finalize())
}

const LOST: &str = "a tool that writes it in place was probably killed, and the names are lost; the content is still in `blobs`: `larder verify` lists the images, and once it \
                    holds `{\"schemaVersion\":2,\"manifests\":[]}` `larder tag LAYOUT@DIGEST NAME` gives them names again";
