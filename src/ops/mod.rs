//! What larder does, one file per use case: a request in, a report out.
//!
//! Only here are the engines below combined. A report is plain data that serialises by itself; nothing is printed.

mod absent;
pub mod build;
pub mod cache;
pub mod cat;
pub mod copy;
pub mod diff;
pub mod edit;
pub mod gc;
pub mod index;
pub mod inspect;
pub mod list;
#[cfg(test)]
mod sample;
#[cfg(feature = "sync")]
pub mod sync;
pub mod tag;
pub mod unpack;
pub mod verify;
