//! What the transport does when registries do as they should, and when they do not.

mod attached;
mod auth;
mod double;
mod download;
mod hostile;
mod lists;
mod patience;
mod peers;
mod push;
mod server;
mod upload;

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use crate::exec::{Clock, Run};
use crate::spec::{Descriptor, Digest, ImageManifest, ImageName, MediaType, json};
use crate::store::{Destination, Source, conformance};

use super::{Network, Patience, Registry, Settings};
use double::{Double, Ways};
use server::Server;

fn run() -> Run {
    let mut run = Run::new(NonZeroUsize::new(4).expect("not zero")).expect("a pool");
    run.clock = Clock(SystemTime::now);
    run
}

/// Settings of somebody who does not wait for long.
fn settings() -> Settings {
    let patience = Patience {
        attempts: NonZeroUsize::new(4).expect("not zero"),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(200),
        deadline: Duration::from_secs(20),
        connect: Duration::from_secs(5),
        answer: Duration::from_millis(1500),
        idle: Duration::from_millis(700),
        slowest: 16,
    };
    Settings { patience, ..Settings::default() }
}

fn network(settings: Settings) -> Network {
    Network::new(settings, &run()).expect("usable")
}

fn repository(network: &Network, server: &Server, name: &str) -> Registry {
    network.repository(&format!("{}/{name}", server.host()).parse().expect("a reference")).expect("usable")
}

/// A repository of a server, in a run of its own.
fn alone(server: &Server) -> Registry {
    repository(&network(settings()), server, "team/app")
}

fn blob(content: &[u8]) -> Descriptor {
    Descriptor::new(MediaType::ImageLayerGzip, Digest::sha256(content), content.len() as u64)
}

/// Content that does not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A manifest with one layer, and its bytes.
fn manifest(layer: &[u8], subject: Option<&Descriptor>) -> (Descriptor, Vec<u8>) {
    let config = Descriptor::new(MediaType::ImageConfig, Digest::sha256(b"{}"), 2);
    let mut manifest = ImageManifest::new(config, vec![blob(layer)]);
    manifest.subject = subject.map(Descriptor::bare);
    let bytes = json::canonical(&manifest).expect("writable");
    (Descriptor::new(MediaType::ImageManifest, Digest::sha256(&bytes), bytes.len() as u64), bytes)
}

fn named(mut entry: Descriptor, tag: &str) -> Descriptor {
    ImageName::tag_only(tag).expect("a tag").apply(&mut entry);
    entry
}

/// Pushes a whole image under a tag.
fn push(registry: &Registry, layer: &[u8], tag: &str) -> Descriptor {
    let (entry, bytes) = manifest(layer, None);
    registry.put(&Descriptor::new(MediaType::ImageConfig, Digest::sha256(b"{}"), 2), &mut &b"{}"[..]).expect("stored");
    registry.put(&blob(layer), &mut &layer[..]).expect("stored");
    registry.put(&entry, &mut &bytes[..]).expect("stored");
    let entry = named(entry, tag);
    registry.commit(std::slice::from_ref(&entry)).expect("committed");
    entry
}

#[test]
fn keeps_the_contracts() {
    for ways in [Ways::default(), Ways { no_single: true, ..Ways::default() }, Ways { referrers: true, no_stream: true, ..Ways::default() }] {
        let doubles = std::cell::RefCell::new(Vec::new());
        conformance::check_named(|| {
            let double = Double::start(ways);
            let registry = alone(&double.server);
            doubles.borrow_mut().push(double);
            registry
        });
    }
}

#[test]
fn a_location_is_written_as_people_write_it() {
    let double = Double::start(Ways::default());
    assert_eq!(Source::location(&alone(&double.server)), format!("docker://{}/team/app", double.server.host()));
}
