//! Archives without an image layout, as Docker before 25, podman and skopeo write them: manifests are made for what is there.
//!
//! A config is the file it is, and a layer too. The digest of a layer that is not compressed is its diff ID, which the config says and reading proves, so no
//! layer is read beforehand; only of compressed ones, which few tools write, the digest must be computed. Manifests are OCI manifests in canonical form: the
//! same archive gives the same digests everywhere.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::exec::Cancel;
use crate::spec::media_type::{Compression, layer_media_type};
use crate::spec::{Descriptor, DiffId, Digest, Document, Hasher, ImageConfig, ImageIndex, ImageManifest, ImageName, MediaType, limits, text};
use crate::store::tarfile::{Extent, MANIFESTS, Reading, resolve};
use crate::tar::decode;

use super::manifests::Item;

/// Where content is that no name of the archive tells, and manifests that are nowhere.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Manifests.
    pub(super) documents: HashMap<Digest, Vec<u8>>,
    /// Configs and layers.
    pub(super) content: HashMap<Digest, Extent>,
    /// What deserves attention.
    pub(super) remarks: Vec<String>,
    layers: HashMap<(Extent, DiffId), Descriptor>,
}

impl Made {
    /// Makes manifests for what `items` say is in the archive, and the entries that name them. Kinds: `corrupt`, `unsupported`, `io`.
    pub(super) fn of(archive: &Reading, items: &[Item], cancel: &Cancel) -> Result<(Made, ImageIndex)> {
        let mut made = Made::default();
        let mut entries = Vec::new();
        if items.is_empty() {
            return Err(Error::corrupt(format!("{MANIFESTS} of archive {} lists no image", archive.input.shown)).subject(&archive.input.shown));
        }
        for (position, item) in items.iter().enumerate() {
            let manifest = made.image(archive, item, cancel).map_err(|error| {
                let shown = &archive.input.shown;
                error.context(format!("cannot read image {position} of {MANIFESTS} in archive {shown}"))
            })?;
            let names: Vec<ImageName> = item.repo_tags.iter().flatten().filter_map(|tag| made.name(tag)).collect();
            if names.is_empty() {
                entries.push(manifest.clone());
            }
            entries.extend(names.iter().map(|name| {
                let mut entry = manifest.clone();
                name.apply(&mut entry);
                entry
            }));
        }
        Ok((made, ImageIndex::new(entries)))
    }

    /// The name that a tag in `manifest.json` is; none, with a remark, for one outside the grammar.
    fn name(&mut self, tag: &str) -> Option<ImageName> {
        let name = ImageName::parse_reference(tag).ok();
        if name.is_none() {
            self.remarks.push(format!("`{}` in {MANIFESTS} is not the name of an image", text::shown(tag)));
        }
        name
    }

    fn image(&mut self, archive: &Reading, item: &Item, cancel: &Cancel) -> Result<Descriptor> {
        let (descriptor, config) = self.config(archive, &item.config)?;
        let paths = item.layers.as_deref().unwrap_or_default();
        let diff_ids = config.diff_ids()?;
        if paths.len() != diff_ids.len() {
            let (layers, config, ids) = (paths.len(), text::shown(&item.config), diff_ids.len());
            return Err(Error::corrupt(format!("it has {layers} layers, but its config `{config}` has {ids} diff IDs")));
        }
        let layers = paths.iter().zip(diff_ids).map(|(path, diff_id)| self.layer(archive, path, diff_id, cancel)).collect::<Result<_>>()?;
        let manifest = Document::create(MediaType::ImageManifest, ImageManifest::new(descriptor, layers))?;
        self.documents.insert(manifest.descriptor.digest.clone(), manifest.bytes);
        Ok(Descriptor { platform: config.platform().ok(), ..manifest.descriptor })
    }

    fn config(&mut self, archive: &Reading, path: &str) -> Result<(Descriptor, ImageConfig)> {
        let (name, extent) = file(archive, path)?;
        let cannot = |error: Error| error.context(format!("cannot read config `{}`", text::shown(path)));
        if extent.size > limits::CONFIG_BYTES as u64 {
            return Err(cannot(Error::corrupt(format!("it has {} bytes, more than the limit of {} bytes", extent.size, limits::CONFIG_BYTES))));
        }
        let mut bytes = Vec::new();
        extent.read(&archive.input.file).read_to_end(&mut bytes).map_err(|error| cannot(Error::io("the file cannot be read", error)))?;
        let digest = Digest::sha256(&bytes);
        if named_digest(&name).is_some_and(|named| named != digest.encoded()) {
            return Err(cannot(Error::corrupt(format!("its digest is {digest}"))));
        }
        let config = ImageConfig::parse(&bytes, limits::CONFIG_BYTES).map_err(cannot)?;
        self.content.insert(digest.clone(), extent);
        Ok((Descriptor::new(MediaType::ImageConfig, digest, extent.size), config))
    }

    fn layer(&mut self, archive: &Reading, path: &str, diff_id: DiffId, cancel: &Cancel) -> Result<Descriptor> {
        let (_, extent) = file(archive, path)?;
        let key = (extent, diff_id);
        if let Some(known) = self.layers.get(&key) {
            return Ok(known.clone());
        }
        let cannot = |error: Error| error.context(format!("cannot read layer `{}`", text::shown(path)));
        let mut head = Vec::new();
        extent
            .read(&archive.input.file)
            .take(decode::HEAD as u64)
            .read_to_end(&mut head)
            .map_err(|error| cannot(Error::io("the file cannot be read", error)))?;
        let descriptor = match decode::sniff(&head) {
            Some(compression @ (Compression::Gzip | Compression::Zstd)) => {
                let digest = compressed(archive, extent, compression, &key.1, cancel).map_err(cannot)?;
                Descriptor::new(layer_media_type(compression), digest, extent.size)
            }
            _ => Descriptor::new(MediaType::ImageLayer, key.1.0.clone(), extent.size),
        };
        self.content.insert(descriptor.digest.clone(), extent);
        self.layers.insert(key, descriptor.clone());
        Ok(descriptor)
    }
}

/// The file that `manifest.json` means with `path`, by its name and its place. Fails with kind `corrupt` where it is outside or not there.
fn file(archive: &Reading, path: &str) -> Result<(Box<[u8]>, Extent)> {
    let shown = text::shown(path);
    let name = resolve(b"", path.as_bytes()).ok_or_else(|| Error::corrupt(format!("`{shown}` would escape from the archive")))?;
    match archive.file(&name)? {
        Some(extent) => Ok((name, extent)),
        None => Err(Error::corrupt(format!("`{shown}` is not in the archive"))),
    }
}

/// The SHA-256 that a file name promises: `HEX.json`, `blobs/sha256/HEX`.
fn named_digest(name: &[u8]) -> Option<&str> {
    let base = std::str::from_utf8(name).ok()?.rsplit('/').next()?;
    let stem = base.strip_suffix(".json").unwrap_or(base);
    (stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(stem)
}

/// Computes the digest of a compressed layer, which must have this diff ID.
fn compressed(archive: &Reading, extent: Extent, compression: Compression, diff_id: &DiffId, cancel: &Cancel) -> Result<Digest> {
    let mut blob = Hashing { source: extent.read(&archive.input.file), hasher: Hasher::sha256() };
    let mut layer = Hashing { source: decode::decoder(compression, &mut blob)?, hasher: diff_id.0.algorithm().hasher()? };
    layer.finish(cancel)?;
    let actual = layer.hasher.clone().finish();
    drop(layer);
    if actual != diff_id.0 {
        return Err(Error::corrupt(format!("its diff ID is {actual}, its config says {diff_id}")));
    }
    blob.finish(cancel)?;
    Ok(blob.hasher.finish())
}

/// Hashes what is read.
struct Hashing<R> {
    source: R,
    hasher: Hasher,
}

impl<R: Read> Hashing<R> {
    /// Reads what is left.
    fn finish(&mut self, cancel: &Cancel) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            cancel.check()?;
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(Error::io("the content cannot be read", error)),
                _ => {}
            }
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
