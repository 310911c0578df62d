//! placeholder
pub mod entry;
pub mod tree;
pub use entry::{Entry, EntryKind};
