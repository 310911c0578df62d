//! The graph of descriptors below the entries of a store: what must move together, what must stay, what is attached.
//!
//! Reads documents through a [`Source`](crate::store::Source), so that every byte of them is verified, and never opens a layer. What points to what is
//! decided in [`crate::spec::links`] alone.

pub mod attestation;
pub mod filter;
pub mod find;
pub mod image;
pub mod lost;
pub mod merge;
pub mod referrers;
pub mod walk;

pub use walk::{Graph, Reached};
