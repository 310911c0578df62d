//! What a person asks to be built from a Dockerfile.

use std::path::PathBuf;

use super::bases::ContextSource;
use super::ignore::Ignore;
use super::instruction::Dockerfile;
use super::plan::EPOCH;
use crate::build::place::At;
use crate::error::Result;
use crate::exec::Timestamps;
use crate::spec::Platform;

/// A build from a Dockerfile.
#[derive(Debug)]
pub struct DockerfileSpec {
    /// The file.
    pub file: Dockerfile,
    /// Its text, to show what failed.
    pub text: String,
    /// The context.
    pub context: PathBuf,
    /// What of the context nobody sees.
    pub ignore: Ignore,
    /// The stage to build; without it the last one.
    pub target: Option<At<String>>,
    /// What the call says of arguments, by name.
    pub build_args: Vec<(At<String>, String)>,
    /// Layouts with images to build upon.
    pub bases: Vec<At<String>>,
    /// Contexts besides the main one.
    pub contexts: Vec<NamedContext>,
    /// The platform that the build runs on: `BUILDPLATFORM`.
    pub host: Platform,
}

impl DockerfileSpec {
    /// The times that the build writes: those that an argument of the call says, else none.
    ///
    /// Fails with kind `usage` when that is not a number of seconds.
    pub fn timestamps(&self) -> Result<Option<Timestamps>> {
        let given = self.build_args.iter().rev().find(|(name, _)| name.value == EPOCH);
        given.map(|(name, value)| Timestamps::parse(value).map_err(|error| name.place.wrap(error, "is no time"))).transpose()
    }
}

/// A context with a name of its own.
#[derive(Debug)]
pub struct NamedContext {
    /// The name, in lower case.
    pub name: At<String>,
    /// What it is.
    pub source: ContextSource,
    /// What of a directory nobody sees.
    pub ignore: Ignore,
}
