//! placeholder
pub mod entry;
pub use entry::{Entry, EntryKind};
