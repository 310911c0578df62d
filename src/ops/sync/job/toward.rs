//! A destination under the name of the one image that goes there, for progress and for errors; and what others bring there meanwhile is waited for.

use std::collections::HashSet;
use std::io::Read;

use crate::error::Result;
use crate::exec::Cancel;
use crate::fsio::Placed;
use crate::spec::{Descriptor, Kind};
use crate::store::{Content, Destination, Presence, Put, Sharing, Source};

use super::arrivals::Flights;

/// The same destination with another location.
pub(super) struct Toward<'a> {
    pub(super) destination: &'a dyn Destination,
    pub(super) name: &'a str,
    pub(super) cancel: &'a Cancel,
    pub(super) traffic: Traffic<'a>,
}

/// What else goes to the same place at the same time.
#[derive(Clone, Copy)]
pub(super) enum Traffic<'a> {
    /// Nothing.
    None,
    /// Other images, to a layout, which does not know what is on its way.
    Layout(&'a Flights),
    /// Other images, to a registry, which knows that of blobs. Of manifests it must not get one twice at a time: docker-registry writes them in place, and
    /// refuses the one because it reads what it has of the other.
    Registry(&'a Flights),
}

impl Toward<'_> {
    /// Does what brings content, unless somebody else has just brought it.
    fn alone<T>(&self, descriptor: &Descriptor, there: T, bring: impl FnOnce() -> Result<T>) -> Result<T> {
        let is_manifest = matches!(Kind::of(&descriptor.media_type), Kind::Index | Kind::Manifest);
        let (flights, again) = match self.traffic {
            Traffic::None => return bring(),
            Traffic::Registry(_) if !is_manifest => return bring(),
            Traffic::Registry(flights) => (flights, true),
            // Documents come again, so that damage is repaired.
            Traffic::Layout(flights) => (flights, is_manifest || Kind::of(&descriptor.media_type) == Kind::Config),
        };
        let flight = flights.begin(&descriptor.digest, self.cancel)?;
        // Whoever brought it may have been through before this began.
        if (flight.waited || !again) && self.destination.has(descriptor)? { Ok(there) } else { bring() }
    }
}

impl Destination for Toward<'_> {
    fn location(&self) -> String {
        self.name.to_owned()
    }

    fn announce(&self, content: &[Descriptor], entries: &[Descriptor]) -> Result<()> {
        self.destination.announce(content, entries)
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.destination.has(descriptor)
    }

    fn presence(&self) -> Presence {
        self.destination.presence()
    }

    fn reuse(&self, source: &dyn Source, descriptor: &Descriptor, sharing: Sharing) -> Result<Option<Placed>> {
        self.alone(descriptor, Some(Placed::Linked), || self.destination.reuse(source, descriptor, sharing))
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        self.destination.put(descriptor, content)
    }

    fn put_from(&self, descriptor: &Descriptor, content: &dyn Content) -> Result<Put> {
        self.alone(descriptor, Put::Taken, || self.destination.put_from(descriptor, content))
    }

    fn commit(&self, entries: &[Descriptor]) -> Result<()> {
        let Traffic::Registry(flights) = self.traffic else { return self.destination.commit(entries) };
        // A manifest that gets a tag is put with it. Once it is there, its other tags may come at the same time.
        let mut seen = HashSet::new();
        let (first, others): (Vec<&Descriptor>, Vec<&Descriptor>) = entries.iter().partition(|entry| seen.insert(&entry.digest));
        for entry in first {
            let _flight = flights.begin(&entry.digest, self.cancel)?;
            self.destination.commit(std::slice::from_ref(entry))?;
        }
        let others: Vec<Descriptor> = others.into_iter().cloned().collect();
        if others.is_empty() { Ok(()) } else { self.destination.commit(&others) }
    }
}
