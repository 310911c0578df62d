//! What a person asks to be built from a Dockerfile.

use std::ffi::OsString;
use std::path::PathBuf;

use super::bases::ContextSource;
use super::bundle::BundleSpec;
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
    /// What the file is called in errors.
    pub name: String,
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
    /// What steps that run a program get of this machine.
    pub machine: MachineSpec,
    /// Where builds elsewhere left what they knew.
    pub cache_from: Vec<At<BundleSpec>>,
    /// Where to leave it for builds elsewhere.
    pub cache_to: Vec<At<BundleSpec>>,
}

/// What steps that run a program get of this machine.
#[derive(Clone, Debug, Default)]
pub struct MachineSpec {
    /// What network they have, unless they say.
    pub network: Network,
    /// Secrets, by name.
    pub secrets: Vec<(String, Secret)>,
    /// Sockets of agents, by name.
    pub sockets: Vec<(String, PathBuf)>,
    /// The OCI runtime; without it the first one that is found.
    pub runtime: Option<PathBuf>,
    /// Where it is looked for, as the variable `PATH` says it.
    pub search: OsString,
}

/// What network a step has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// One that leads nowhere.
    #[default]
    None,
    /// That of the machine.
    Host,
}

/// Bytes that nobody is shown.
#[derive(Clone)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
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
