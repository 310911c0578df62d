//! Where images are kept.

pub mod layout;

pub use layout::{BlobWriter, Layout};
