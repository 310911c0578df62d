//! The engine, against registries in memory that count what they are asked for.

mod bulk;
mod fake;
mod local;
mod prune;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::exec::Run;
use crate::spec::{Descriptor, Digest, Document, ImageIndex, ImageManifest, ImageName, MediaType, Platform};
use crate::specfile::{At, Place};
use crate::store::{Destination, Layout};
use crate::sync::TagSpec;
use fake::Hosts;

/// A layout, the registries, and a place for files.
struct Bench {
    temp: tempfile::TempDir,
    layout: Layout,
    hosts: Hosts,
    run: Run,
}

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("images"), Options::default()).expect("created");
        Bench { layout, hosts: Hosts::default(), run: Run::new(NonZeroUsize::new(2).expect("two")).expect("a pool"), temp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A route, with paths in the directory of the bench.
    fn route(&self, from: &str, to: &str) -> Route {
        Route::new(Place::flag("test"), vec![self.end(from)], self.end(to))
    }

    fn end(&self, written: &str) -> At<Endpoint> {
        At::new(Endpoint::parse(written, self.temp.path()).expect(written), Place::flag("test"))
    }

    fn request(&self, routes: Vec<Route>) -> SyncRequest<'_> {
        routes.iter().for_each(|route| route.check().expect("a route"));
        SyncRequest {
            routes,
            shard: Shard::WHOLE,
            failing: Failing::Alone,
            journal: None,
            confirm: &|_| Ok(true),
            metadata_file: None,
            options: Options::default(),
            reach: &self.hosts,
        }
    }

    fn execute(&self, route: Route) -> SyncReport {
        execute(&self.run, &self.request(vec![route])).expect("a report")
    }

    /// What the registries were asked for since the last time.
    fn asked(&self) -> Vec<String> {
        self.hosts.take_log()
    }
}

fn put<T: serde::Serialize>(store: &dyn Destination, media_type: MediaType, value: T) -> Descriptor {
    let document = Document::create(media_type, value).expect("created");
    store.put(&document.descriptor, &mut &document.bytes[..]).expect("stored");
    document.descriptor
}

fn blob(store: &dyn Destination, media_type: impl Into<MediaType>, content: &str) -> Descriptor {
    let descriptor = Descriptor::new(media_type, Digest::sha256(content.as_bytes()), content.len() as u64);
    store.put(&descriptor, &mut content.as_bytes()).expect("stored");
    descriptor
}

/// An image of one platform with these layers.
fn image(store: &dyn Destination, platform: &str, layers: &[&str]) -> Descriptor {
    let platform = Platform::parse(platform).expect("a platform");
    let config = serde_json::json!({"os": platform.os, "architecture": platform.architecture, "rootfs": {"type": "layers", "diff_ids": []}, "of": layers});
    let config = blob(store, MediaType::ImageConfig, &config.to_string());
    let layers = layers.iter().map(|layer| blob(store, MediaType::ImageLayer, layer)).collect();
    Descriptor { platform: Some(platform), ..put(store, MediaType::ImageManifest, ImageManifest::new(config, layers)) }
}

/// An index of two platforms, which share a base.
fn index(store: &dyn Destination, what: &str) -> Descriptor {
    let own = |platform: &str| image(store, platform, &["base", &format!("{what} for {platform}")]);
    put(store, MediaType::ImageIndex, ImageIndex::new(vec![own("linux/amd64"), own("linux/arm64")]))
}

/// Something that is attached to `subject`.
fn attachment(store: &dyn Destination, subject: &Descriptor, what: &str) -> Descriptor {
    let config = blob(store, "application/vnd.oci.empty.v1+json", "{}");
    let mut manifest = ImageManifest::new(config, vec![blob(store, "text/plain", what)]);
    manifest.subject = Some(subject.bare());
    put(store, MediaType::ImageManifest, manifest)
}

/// Names an entry: `registry.example/team/hello:1`, or a tag alone.
fn name(layout: &Layout, entry: &Descriptor, name: &str) {
    let mut entry = entry.clone();
    ImageName::parse_within(name, None).expect(name).apply(&mut entry);
    layout.commit(&[entry]).expect("committed");
}

fn at(text: &str) -> At<String> {
    At::new(text.to_owned(), Place::flag("test"))
}

/// State and target of each image.
fn states(report: &SyncReport) -> Vec<(State, String)> {
    report.images.iter().map(|image| (image.state, image.target.clone().unwrap_or_default())).collect()
}

fn journal(run: &Run, path: &Path) -> Option<Arc<Journal>> {
    let request = JournalRequest { path: path.to_owned(), validity: Duration::from_secs(3600), need: JournalNeed::Must };
    open_journal(run, &request, &Options::default()).expect("a journal")
}
