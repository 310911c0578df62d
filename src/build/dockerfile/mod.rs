//! Building from a Dockerfile: from its text to instructions, to a plan of stages, and to the layers, the config and the history of the target stage.
//!
//! ```text
//! text --parse--> Dockerfile --plan--> Plan --execute--> layers, config and history per platform     (an ordinary build makes the image of them)
//! ```
//!
//! Relies on the rest of `build` for reading sources, for recipes and for the cache. What it makes is the base of an ordinary build, so that flags, names and
//! indices are the same for both. Guarantees: planning expands every variable and finds every base before anything is written; only the stages that the target
//! needs are planned; nothing comes from a network; no byte is read from outside of the contexts, and none is written outside of the root of a stage, whatever
//! links and `..` either of them holds. Where Docker's documentation leaves something open, BuildKit decides.

mod bases;
mod bounds;
pub mod bundle;
mod chmod;
mod content;
mod copy;
pub mod excerpt;
pub mod execute;
pub mod expand;
mod files;
mod glob;
pub mod ignore;
pub mod instruction;
mod key;
mod listing;
mod owner;
pub mod parse;
mod pattern;
pub mod plan;
mod queue;
#[cfg(feature = "run")]
mod run;
pub mod spec;
mod stage;

pub use bases::{BaseImage, ContextSource};
