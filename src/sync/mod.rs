//! Jobs in bulk, as they are written: which images go where under which names, and what of it is finished.
//!
//! ```text
//! sync file or flags --> SyncSpec { routes, registries }      a route leads from some images to where they go
//! route + name there --> name here                            see [`Route::target`]
//! ```
//!
//! Plain data and one file, the [`journal`]. Nothing here opens a store or speaks to a registry: [`crate::ops::sync`] does, and asks here what is meant.
//! Everything that is wrong with a job as it is written is an error of kind `usage` with file, line and column, or the flag.

pub mod endpoint;
pub mod file;
pub mod glob;
pub mod journal;
pub mod registry;
pub mod rename;
pub mod route;
pub mod shard;
pub mod tags;
pub mod target;
pub mod version;

pub use endpoint::{Below, Chosen, Endpoint};
pub use glob::Globs;
pub use journal::{Journal, Key};
pub use registry::{CredentialSpec, RegistrySpec, SecretSource, Security, Upload, UserSource};
pub use rename::{Rename, Renames};
pub use route::{Attached, Existing, Lacking, Prune, Route};
pub use shard::Shard;
pub use tags::{TagSpec, Tags};
pub use target::{Origin, RepositoryName, Target};

/// A whole job.
#[derive(Clone, Debug, Default)]
pub struct SyncSpec {
    /// How registries are spoken to.
    pub registries: Vec<RegistrySpec>,
    /// The routes, in the order in which they are written.
    pub routes: Vec<Route>,
}
