//! What the integration tests share: running larder, finding the tools that judge it, and proving a layout sound.
//!
//! Nothing in here uses larder's library. A test that cannot run says so on stderr with a line that begins with "skip:", also when
//! it passes; with `CI=true` it fails instead, so that no test is lost unseen.

pub(crate) mod artifactory;
pub(crate) mod authority;
pub(crate) mod bomb;
pub(crate) mod bundle;
pub(crate) mod context;
pub(crate) mod daemon;
#[cfg(feature = "sync")]
pub(crate) mod desk;
pub(crate) mod dockerfile;
pub(crate) mod everything;
pub(crate) mod foreign;
pub(crate) mod forge;
pub(crate) mod http;
pub(crate) mod image;
#[cfg(feature = "sync")]
pub(crate) mod image_set;
pub(crate) mod large;
pub(crate) mod layers;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod readme;
pub(crate) mod registry;
pub(crate) mod scripted;
pub(crate) mod snapshot;
pub(crate) mod sound;
pub(crate) mod storage;
pub(crate) mod strace;
pub(crate) mod tape;
pub(crate) mod token_server;
pub(crate) mod tools;
pub(crate) mod tree;
pub(crate) mod user;
