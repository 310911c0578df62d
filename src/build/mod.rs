//! Building images: from a `larder.toml` or flags to a plan, and from the plan to layers, configs, manifests and an index in a layout.
//!
//! ```text
//! BuildSpec --plan--> BuildPlan --execute--> Built        (names are given by whoever called)
//! Dockerfile: see dockerfile; what it makes is the base of a BuildPlan
//! ```
//!
//! Relies on `layer` for the bytes of layers and on `store` for the layout. Guarantees: planning writes nothing; what is built depends on the
//! specification, the source files and the time stamp of the run, and on nothing else of the machine; nothing is named before it is complete.

use crate::specfile::fields;

pub mod annotation;
mod archive;
pub mod base;
pub mod cache;
mod collect;
pub mod destination;
pub mod dockerfile;
pub mod execute;
pub mod file;
mod globs;
mod image;
mod names;
pub mod plan;
pub mod platforms;
mod recipe;
pub mod spec;
mod takeover;
pub mod template;

pub use crate::specfile::place;
pub use archive::items_below;
pub use cache::Cache;
pub use execute::{Built, BuiltImage, BuiltLayer, Origin, Shape, check_still, execute, items, make};
pub use plan::{AbovePlan, BuildPlan, Content, LayerPlan, PlatformPlan, plan, plan_above, plan_upon};
pub use spec::BuildSpec;
pub use takeover::{bring, is_known};
