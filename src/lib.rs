//! larder
pub mod build;
pub mod cli;
pub mod error;
pub mod exec;
pub mod fsio;
pub mod layer;
pub mod ops;
pub mod spec;
pub mod store;
