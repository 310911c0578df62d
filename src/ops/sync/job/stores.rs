//! The stores of a job, each opened once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Result, Side};
use crate::exec::Run;
use crate::graph::referrers::{Referrers, Search};
use crate::spec::{Descriptor, Digest, ImageIndex, Reference};
use crate::store::{Location, Options, Source, transport};

use super::reach::{Reach, Repository};

/// Opens what the routes name.
pub(super) struct Stores<'a> {
    pub(super) reach: &'a dyn Reach,
    pub(super) options: &'a Options,
    local: Mutex<Vec<Arc<LocalSource>>>,
    repositories: Mutex<HashMap<String, Arc<dyn Repository>>>,
}

/// A layout or an archive that images come from.
pub(super) struct LocalSource {
    location: Location,
    pub(super) source: Box<dyn Source>,
    pub(super) index: ImageIndex,
    /// What is attached to what, once somebody asked.
    attached: Mutex<Option<Arc<Attachments>>>,
}

/// What is attached to each digest.
pub(super) type Attachments = HashMap<Digest, Vec<Descriptor>>;

impl<'a> Stores<'a> {
    pub(super) fn new(reach: &'a dyn Reach, options: &'a Options) -> Self {
        Stores { reach, options, local: Mutex::default(), repositories: Mutex::default() }
    }

    /// A layout or an archive to read.
    pub(super) fn local(&self, location: &Location) -> Result<Arc<LocalSource>> {
        let mut open = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.iter().find(|known| (known.location.scheme(), known.location.path()) == (location.scheme(), location.path())) {
            return Ok(known.clone());
        }
        let source = transport::source(location, self.options).map_err(|error| error.side(Side::Source))?;
        let index = source.index().map_err(|error| error.side(Side::Source))?;
        let local = Arc::new(LocalSource { location: location.store(), source, index, attached: Mutex::default() });
        open.push(local.clone());
        Ok(local)
    }

    /// A repository to write one image to. What is announced to it is about that image alone.
    pub(super) fn target(&self, reference: &Reference) -> Result<Arc<dyn Repository>> {
        self.reach.repository(reference)
    }

    /// A repository, open once for all who read it.
    pub(super) fn repository(&self, reference: &Reference) -> Result<Arc<dyn Repository>> {
        let mut open = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{}/{}", reference.host(), reference.repository());
        if let Some(known) = open.get(&name) {
            return Ok(known.clone());
        }
        let repository = self.reach.repository(reference)?;
        open.insert(name, repository.clone());
        Ok(repository)
    }
}

impl LocalSource {
    /// What is attached to what. The first call reads every manifest that has a name.
    pub(super) fn attached(&self, run: &Run) -> Result<Arc<Attachments>> {
        let mut known = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attached) = &*known {
            return Ok(attached.clone());
        }
        let found = Referrers::find(run, &*self.source, &self.index.manifests, Search::Every)?;
        let mut attached = Attachments::new();
        for (subject, entry) in found.all() {
            attached.entry(subject.clone()).or_default().push(entry.clone());
        }
        for (entry, _) in &found.unreadable {
            run.events.warn(format!("{} in {} cannot be read, and may be attached to an image", entry.digest, self.source.location()));
        }
        Ok(known.insert(Arc::new(attached)).clone())
    }
}
