//! placeholder
pub mod entry;
pub mod tar;
pub mod tree;
pub use entry::{Entry, EntryKind};
