#![allow(clippy::unwrap_used)]

mod append;
mod hostile;
mod stream;
mod write;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::spec::{Descriptor, Digest, Document, ImageManifest, ImageName, MediaType};
use crate::store::tarfile::FileArchive;
use crate::store::transport;

/// A directory and a path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.tar");
    (temp, path)
}

fn create(path: &Path) -> FileArchive {
    FileArchive::ensure(path, &Layout, &quick()).unwrap()
}

fn quick() -> Options {
    Options { lock_timeout: std::time::Duration::from_millis(20), ..Options::default() }
}

/// Content, and what names it.
#[derive(Clone)]
struct Blob(Descriptor, Vec<u8>);

impl Blob {
    fn new(media_type: MediaType, bytes: &[u8]) -> Self {
        Blob(Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64), bytes.to_vec())
    }

    fn put(&self, to: &dyn Destination) {
        to.put(&self.0, &mut &self.1[..]).unwrap();
    }
}

/// A config, a layer and a manifest, in the order in which they are announced.
fn image(layer: &[u8]) -> [Blob; 3] {
    let config = Blob::new(MediaType::ImageConfig, b"{}");
    let layer = Blob::new(MediaType::ImageLayer, layer);
    let manifest = Document::create(MediaType::ImageManifest, ImageManifest::new(config.0.clone(), vec![layer.0.clone()])).unwrap();
    [config, layer, Blob(manifest.descriptor, manifest.bytes)]
}

fn named(image: &[Blob; 3], tag: &str) -> Descriptor {
    let mut entry = image[2].0.clone();
    ImageName::tag_only(tag).unwrap().apply(&mut entry);
    entry
}

/// Announces an image, puts it and commits it under `tag`.
fn copy(to: &dyn Destination, image: &[Blob; 3], tag: &str) {
    let content: Vec<_> = image.iter().map(|blob| blob.0.clone()).filter(|descriptor| !to.has(descriptor).unwrap()).collect();
    to.announce(&content, &[]).unwrap();
    image.iter().for_each(|blob| blob.put(to));
    to.commit(&[named(image, tag)]).unwrap();
}

/// The names in an archive after all of its content was proved.
fn names(path: &Path) -> Vec<String> {
    let archive = Archive::open(path, &Options::default()).unwrap();
    let index = archive.index().unwrap();
    for entry in &index.manifests {
        let bytes = archive.read(entry, 1 << 20).unwrap();
        for child in crate::spec::links::children(entry, &bytes).unwrap() {
            archive.read(&child.descriptor, 1 << 30).unwrap();
        }
    }
    index.manifests.iter().map(|entry| ImageName::of(entry).unwrap().as_str().to_owned()).collect()
}

/// The members as `tar` would list them.
fn listing(path: &Path) -> Vec<String> {
    let mut archive = ::tar::Archive::new(std::fs::File::open(path).unwrap());
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

/// What unpacking the archive puts at `name`: the last member of that name.
fn unpacked(path: &Path, name: &str) -> Vec<u8> {
    let mut content = Vec::new();
    for entry in ::tar::Archive::new(std::fs::File::open(path).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new(name) {
            content.clear();
            entry.read_to_end(&mut content).unwrap();
        }
    }
    content
}
