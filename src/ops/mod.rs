//! The use cases: one file each, from a request to a report, both plain data. The only place that combines the engines below.

pub mod build;
pub mod verify;
