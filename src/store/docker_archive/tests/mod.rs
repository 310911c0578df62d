#![allow(clippy::unwrap_used)]

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::exec::{Event, Events, Observer};
use crate::spec::{Digest, Document, ImageManifest, MediaType, Platform, json};
use crate::tar::forge;

/// A directory and a path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.tar");
    (temp, path)
}

fn config(platform: &str, layers: &[&[u8]]) -> Vec<u8> {
    let platform = Platform::parse(platform).unwrap();
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::sha256(layer)).collect();
    let rootfs = serde_json::json!({"type": "layers", "diff_ids": diff_ids});
    json::canonical(&serde_json::json!({"os": platform.os, "architecture": platform.architecture, "rootfs": rootfs, "docker_version": "20.10"})).unwrap()
}

fn open(archive: forge::Archive) -> Result<Images> {
    let (_temp, path) = place();
    std::fs::write(&path, archive.end().0).unwrap();
    Images::open(&path, &Options::default())
}

/// Hears the warnings of a store.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Observer for Ear {
    fn observe(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

fn listening() -> (Arc<Ear>, Options) {
    let ear = Arc::new(Ear::default());
    let options = Options { events: Events::to(ear.clone()), ..Options::default() };
    (ear, options)
}

fn digest(document: &Document<ImageManifest>) -> Digest {
    document.descriptor.digest.clone()
}
