//! `RUN` with every variable expanded.

use super::automatic::PROXIES;
use super::scope::Given;
use super::settings::Settings;
use super::{DocumentPlan, SourceId, mount};
use crate::build::dockerfile::instruction::{Command, Remark, RunSpec};
use crate::build::dockerfile::parse::is_document;
use crate::build::dockerfile::spec::Network;
use crate::build::place::At;
use crate::error::Result;
use crate::spec::text;

pub use super::mount::{BindPlan, CachePlan, MountPlan, MountedPlan, SecretPlan, SharedBy, SocketPlan, Writable};

/// Where a script that a here-document gives is, while its step runs.
pub(crate) const SCRIPTS: &str = "/dev/pipes";

/// A command, and what it runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// A program that is given in the instruction.
    pub script: Option<DocumentPlan>,
    /// Names and values, all there are.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute.
    pub directory: String,
    /// Who runs it; empty for root.
    pub user: String,
    /// What network it has.
    pub network: Network,
    /// What is mounted for it alone.
    pub mounts: Vec<MountPlan>,
}

/// The command, and what history says of it. `sources` says for each mount where it comes from.
pub(super) fn plan(settings: &Settings, given: &Given, spec: &RunSpec, sources: &[SourceId], remarks: &mut Vec<Remark>) -> Result<(RunPlan, String)> {
    let (command, script) = with_documents(spec);
    let words = settings.words(&command);
    let said = [vec!["RUN".to_owned()], arguments(settings), words.clone(), vec!["# buildkit".to_owned()]].concat().join(" ");
    let mut environment = settings.scope.environment.clone();
    for (name, value) in given.build_args.iter().filter(|(name, _)| PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))) {
        if !environment.iter().any(|(known, _)| known == name) {
            environment.push((name.clone(), value.clone()));
        }
    }
    let mounts = spec.mounts.iter().zip(sources).map(|(mount, source)| mount::plan(settings, given, mount, source, remarks)).collect::<Result<_>>()?;
    let directory = settings.absolute(".");
    let network = network(given, spec.network.as_ref())?;
    Ok((RunPlan { words, script, environment, directory, user: settings.config.user().to_owned(), network, mounts }, said))
}

/// What the here-documents of a command come to: text for the shell, or a program of its own.
fn with_documents(spec: &RunSpec) -> (Command, Option<DocumentPlan>) {
    let Command::Shell(written) = &spec.command else { return (spec.command.clone(), None) };
    match spec.documents.as_slice() {
        [] => (spec.command.clone(), None),
        [only] if is_document(written) => {
            let content = only.content.value.clone();
            match content.starts_with("#!") {
                true => (Command::Shell(format!("{SCRIPTS}/{}", only.name)), Some(DocumentPlan { name: only.name.clone(), content })),
                false => (Command::Shell(content), None),
            }
        }
        // The shell reads them itself.
        several => {
            let documents = several.iter().map(|document| format!("\n{}{}", document.content.value, document.name));
            (Command::Shell(std::iter::once(written.clone()).chain(documents).collect()), None)
        }
    }
}

/// The declared arguments with their values, and their number before them.
fn arguments(settings: &Settings) -> Vec<String> {
    let scope = &settings.scope;
    let value = |name: &str| scope.environment.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
    match scope.args.len() {
        0 => Vec::new(),
        count => std::iter::once(format!("|{count}")).chain(scope.args.iter().map(|(name, _)| format!("{name}={}", value(name)))).collect(),
    }
}

fn network(given: &Given, written: Option<&At<String>>) -> Result<Network> {
    match written.map(|written| (written, written.value.as_str())) {
        None | Some((_, "default")) => Ok(given.network),
        Some((_, "none")) => Ok(Network::None),
        Some((_, "host")) if given.network == Network::Host => Ok(Network::Host),
        Some((written, "host")) => {
            Err(written.place.usage("this step asks for the network of the machine, which the call does not give it").hint("say --network host"))
        }
        Some((written, other)) => {
            Err(written.place.usage(format!("`{}` is not a network of a step", text::shown(other))).hint("the networks are none, host and default"))
        }
    }
}
