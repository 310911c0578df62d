//! placeholder
pub mod decode;
pub mod diff_id;
pub mod entry;
pub mod tar;
pub mod tree;
pub mod whiteout;
pub use entry::{Entry, EntryKind};
