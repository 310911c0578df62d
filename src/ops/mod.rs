//! placeholder
pub mod build;
