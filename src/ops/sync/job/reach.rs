//! What a job reaches beyond this machine.
//!
//! The engine knows registries through these two traits only, so that it can be tested without any.

use std::sync::Arc;

use crate::error::Result;
use crate::spec::{Descriptor, Reference};
use crate::store::registry::{Network, Registry, Traffic, Which};
use crate::store::{Destination, Source};

/// Opens repositories. One for all threads of a run.
pub trait Reach: Send + Sync {
    /// The repository of a reference, whose tag and digest are not looked at. Sends nothing.
    fn repository(&self, reference: &Reference) -> Result<Arc<dyn Repository>>;

    /// The repositories of a host.
    fn repositories(&self, host: &str) -> Result<Vec<String>>;

    /// Why nothing is asked any more of a repository, in one clause: its host refused the login for it.
    fn refused(&self, reference: &Reference) -> Option<String>;

    /// What was sent and received so far.
    fn traffic(&self) -> Traffic;
}

/// One repository, which can be read and written. The methods are those of [`Registry`].
pub trait Repository: Source + Destination {
    /// What a manifest is; none where there is none.
    fn manifest(&self, which: Which<'_>) -> Result<Option<Descriptor>>;

    /// As [`manifest`](Self::manifest) before a push: none also where the host will not tell.
    fn manifest_before_push(&self, which: Which<'_>) -> Result<Option<Descriptor>>;

    /// The tags. Kind `not_found` where there is no such repository.
    fn tags(&self) -> Result<Vec<String>>;

    /// Removes a tag or a manifest. Kinds: `not_found`; `unsupported` where the host does not do that.
    fn remove(&self, which: Which<'_>) -> Result<()>;
}

impl Reach for Network {
    fn repository(&self, reference: &Reference) -> Result<Arc<dyn Repository>> {
        Ok(Arc::new(Network::repository(self, reference)?))
    }

    fn repositories(&self, host: &str) -> Result<Vec<String>> {
        Network::repositories(self, host)
    }

    fn refused(&self, reference: &Reference) -> Option<String> {
        Network::refused(self, reference)
    }

    fn traffic(&self) -> Traffic {
        Network::traffic(self)
    }
}

impl Repository for Registry {
    fn manifest(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        Registry::manifest(self, which)
    }

    fn manifest_before_push(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        Registry::manifest_before_push(self, which)
    }

    fn tags(&self) -> Result<Vec<String>> {
        Registry::tags(self)
    }

    fn remove(&self, which: Which<'_>) -> Result<()> {
        Registry::remove(self, which)
    }
}
