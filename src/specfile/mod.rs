//! Specification files: what people write in TOML, and how an error points to the line and column of it.
//!
//! A file is read field by field and not into structures, so that every mistake, also one that is found much later, can be told where it stands: values are
//! kept as [`At`], with their [`Place`]. Flags have places too. Relies on the error type and on platforms; reads no file itself.

pub mod fields;
pub mod place;
pub mod platforms;
pub mod size;

pub use place::{At, Origin, Place};
