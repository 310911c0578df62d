//! Moving images from store to store: the one engine behind every command that does.
//!
//! A [`CopyPlan`] is decided first, from names and documents alone; carrying it out puts content before the manifests that reference it, manifests before the
//! indexes that list them, and names last, in one step. Nothing that is only moved is re-serialised, each digest is moved once, and what is there already stays:
//! a copy that was interrupted goes on where it was when it is run again. The plan's order, and so the bytes of an archive, depends on the images alone.
//!
//! Content that two stores cannot share is read, proved and written, into archives and out of them always. The kernel would move it with less work
//! (`copy_file_range`), but of bytes that nobody has seen nobody knows that they are right.

pub mod claims;
mod execute;
mod overlay;
mod plan;
mod request;

pub use execute::{Carried, How, Reading, Tally, all, execute, missing};
pub use plan::{CopyPlan, LeftOut, Rewritten, Why};
pub use request::{CopyRequest, Names, Platforms, Referrers, Wanted};

#[cfg(test)]
mod tests;
