//! Where steps run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::order::{Cgroups, Order, Report};
use super::place::{self, Place};
use super::{Changes, Content, Failure, Outcome, Program, Step, Stream, cgroup, mounts, names, session, userns};
use crate::error::{Error, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::claim::{Claim, Dead};
use crate::fsio::overlay::Attributes;
use crate::fsio::{Dir, remove};
use crate::spec::text;

/// What the names of workspaces begin with.
const PREFIX: &str = ".larder-run-";

/// How a workspace runs steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// larder itself, which starts once more for each step: `/proc/self/exe` where this is part of larder.
    pub larder: PathBuf,
    /// The OCI runtime.
    pub runtime: Program,
    /// How root filesystems are put together.
    pub rootfs: Rootfs,
}

/// How a root filesystem is put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rootfs {
    /// By overlayfs; copied where the kernel or the file system cannot do that.
    #[default]
    Overlay,
    /// Copied. The result is the same.
    Copy,
}

/// A directory in which steps run, as many at the same time as threads ask for. Dropped, it is gone with everything in it.
#[derive(Debug)]
pub struct Workspace {
    claim: Claim,
    options: Options,
    attributes: Attributes,
    cgroups: Cgroups,
    next: AtomicU64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
}

impl Workspace {
    /// Makes a workspace in the directory `parent`, which must exist, and sweeps those there whose owners no longer live.
    ///
    /// Kinds: `unsupported` where this process may not mount (see [`userns`]) or the path is not UTF-8; `io`.
    pub fn open(parent: &Path, options: Options) -> Result<Workspace> {
        if userns::is_needed() {
            return Err(Error::unsupported("RUN takes root, or a user namespace, to put root filesystems together").hint(userns::REMEDY));
        }
        let parent = std::fs::canonicalize(parent).at("find", parent)?;
        if parent.to_str().is_none() {
            let shown = text::path(&parent);
            return Err(Error::unsupported(format!("steps cannot run in {shown}, because the path is not UTF-8")).subject(&shown));
        }
        let root = Arc::new(Dir::open(&parent)?);
        sweep(&root);
        let claim = Claim::create(&root, PREFIX)?;
        let attributes = Attributes::here();
        let cgroups = cgroup::usable(&options.runtime, attributes);
        Ok(Workspace { claim, options, attributes, cgroups, next: AtomicU64::new(0), state: State::Open })
    }

    /// A new, empty directory that stays for as long as the workspace: for a lower directory.
    pub fn directory(&self) -> Result<PathBuf> {
        let name = PathBuf::from(self.unique());
        self.claim.dir().create(&name, 0o755)?;
        Ok(self.claim.dir().path().join(name))
    }

    /// The attributes that lower directories for this workspace have.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Runs a step. `output` receives every line that it writes, without its end, when it is complete; what is longer than 64 KiB comes in pieces.
    ///
    /// Once `cancel` is set the command gets its signal, and [`GRACE`](super::GRACE) after that it is killed.
    ///
    /// Kinds: `interrupted` once `cancel` is set, however the command ended; `not_found`, `unsupported` and `usage` where the command cannot be started: no such program, no interpreter for it,
    /// no such user; `io` where the machine or the runtime failed. Whatever the outcome, no process and no mount is left of it.
    pub fn step(&self, step: &Step, cancel: &Cancel, output: &mut dyn FnMut(Stream, &[u8])) -> Result<Outcome> {
        cancel.check()?;
        place::validate(step)?;
        let name = self.unique();
        let place = Place::create(self.claim.dir(), &name, step)?;
        let order = self.order(step, &name)?;
        let secrets = step.mounts.iter().filter_map(|mount| if let Content::Secret { bytes, .. } = &mount.content { Some(bytes.as_slice()) } else { None });
        let outcome = session::run(&self.options.larder, &order, &secrets.collect::<Vec<_>>(), cancel, output);
        if self.cgroups == Cgroups::Own {
            cgroup::remove(&order.id);
        }
        match outcome? {
            Report::Ended { status: 0, copied, .. } => Ok(Outcome::Done(Changes { upper: place.keep()?, copied })),
            Report::Ended { status, hint, copied } => Ok(Outcome::Failed(Failure { status, hint, copied })),
            Report::Failed(told) => Err(told.into_error()),
        }
    }

    fn order(&self, step: &Step, name: &str) -> Result<Order> {
        let place = self.claim.dir().path().join(name);
        Ok(Order {
            place: place.to_string_lossy().into_owned(),
            id: id(self.claim.name(), name),
            runtime: self.options.runtime.clone(),
            rootfs: self.options.rootfs,
            attributes: self.attributes,
            cgroups: self.cgroups,
            lowers: step.lowers.len(),
            command: step.command.clone(),
            environment: step.environment.clone(),
            directory: step.directory.clone(),
            user: step.user.clone(),
            network: step.network,
            mounts: step.mounts.iter().map(place::told).collect(),
            hosts: names::hosts(&step.hosts),
            resolv_conf: names::resolv_conf(step.network)?,
        })
    }

    /// Removes a directory that [`Workspace::directory`] or a step made, before the workspace goes. Fails with kind `usage` for any other.
    pub fn discard(&self, directory: &Path) -> Result<()> {
        let dir = self.claim.dir();
        let own = directory.strip_prefix(dir.path()).ok().and_then(|path| path.iter().next());
        let own = own.ok_or_else(|| Error::usage(format!("{} is no directory of the workspace {}", text::path(directory), text::path(dir.path()))))?;
        remove::tree(dir, Path::new(own))
    }

    /// Removes everything, now and telling of failures.
    pub fn close(mut self) -> Result<()> {
        self.state = State::Closed;
        remove::tree(self.claim.root(), self.claim.name())
    }

    fn unique(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.state == State::Open {
            // There is nobody to tell: who wants to know calls `close`. A later workspace in the same place tries again.
            let _ = remove::tree(self.claim.root(), self.claim.name());
        }
    }
}

/// The name of the container of a step: one that no other process of the machine gives.
fn id(workspace: &Path, step: &str) -> String {
    format!("{}-{step}", workspace.to_string_lossy().trim_start_matches('.'))
}

/// Removes the workspaces in `root` whose owners no longer live. What cannot be removed stays, and is no reason to fail.
fn sweep(root: &Dir) {
    for dead in Dead::all(root, PREFIX).unwrap_or_default() {
        let entries = root.open_below(dead.name()).and_then(|dir| dir.entries()).unwrap_or_default();
        entries.iter().filter_map(|(name, _)| name.to_str()).for_each(|step| cgroup::remove(&id(dead.name(), step)));
        // No step mounts anything where others see it. Should somebody else have mounted something there, its content is not ours to remove.
        if mounts::clear(&root.path().join(dead.name())) {
            let _ = remove::tree(root, dead.name());
        }
    }
}
