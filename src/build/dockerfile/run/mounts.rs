//! What is mounted for a command.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::SCRIPTS;
use super::caches::{self, Held};
use super::directory;
use crate::build::dockerfile::content::{self, StageLayer};
use crate::build::dockerfile::copy::{self, Archives, Planned, Work};
use crate::build::dockerfile::execute::{Engine, Shared};
use crate::build::dockerfile::glob;
use crate::build::dockerfile::instruction::{Mode, Paths, Verb};
use crate::build::dockerfile::key::digest_of;
use crate::build::dockerfile::plan::{BindPlan, CachePlan, CopyPlan, DocumentPlan, MountPlan, MountedPlan, RunPlan, SecretPlan, SourceId, Writable};
use crate::build::dockerfile::stage::From;
use crate::build::place::At;
use crate::build::recipe::Recorder;
use crate::error::{ErrorKind, Result};
use crate::layer::changeset::Item;
use crate::runtime::{Access, Content, Mount, Workspace};
use crate::spec::text;

/// The variable that tells programs of an agent.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// Where what is copied for a mount is in its directory.
const COPIED: &str = "/content";

/// The mounts of a command, as far as it takes to know what it comes to.
pub(super) struct Mounted<'a> {
    plan: &'a RunPlan,
    all: Vec<Found<'a>>,
}

/// A mount, and where what it shows is.
struct Found<'a> {
    plan: &'a MountPlan,
    source: Source,
}

enum Source {
    /// It comes from nowhere.
    None,
    /// Files of a context, and a hash of what they are.
    Files { items: Vec<Item>, digest: String },
    /// The layers of a stage.
    Stage(Vec<StageLayer>),
}

/// A mount that is ready, and what must stay for it.
pub(super) struct Ready {
    pub(super) mount: Mount,
    _held: Option<Arc<Held>>,
}

/// Names and values of variables.
pub(super) type Variables = Vec<(String, String)>;

impl<'a> Mounted<'a> {
    pub(super) fn find(engine: &Engine<'_>, shared: &Shared, plan: &'a RunPlan) -> Result<Self> {
        let find = |mount: &'a MountPlan| {
            let source = match &mount.what {
                MountedPlan::Bind(bind) => source(engine, shared, &bind.from, &bind.source)?,
                MountedPlan::Cache(CachePlan { begin: Some((SourceId::Stage(stage), _)), .. }) => {
                    // Whoever waits for a stage must not have locked a cache by then: the stage may wait for that.
                    shared.stages[*stage].wait()?;
                    Source::None
                }
                MountedPlan::Cache(_) | MountedPlan::Memory { .. } | MountedPlan::Secret(_) | MountedPlan::Socket(_) => Source::None,
            };
            Ok(Found { plan: mount, source })
        };
        Ok(Mounted { plan, all: plan.mounts.iter().map(find).collect::<Result<_>>()? })
    }

    /// Records what of them decides what the command comes to.
    pub(super) fn record(&self, recorder: &mut Recorder) {
        for found in &self.all {
            recorder.text("mount");
            match (&found.plan.what, &found.source) {
                (MountedPlan::Bind(bind), Source::Stage(layers)) => {
                    recorder.text(&format!("{:?}", (&bind.target, &bind.source.value, bind.writable)));
                    layers.iter().for_each(|layer| recorder.text(layer.diff_id.0.as_str()));
                }
                (MountedPlan::Bind(bind), Source::Files { digest, .. }) => recorder.text(&format!("{:?}", (&bind.target, bind.writable, digest))),
                (what, _) => recorder.text(&format!("{:?}", without_place(what))),
            }
        }
    }

    /// The mounts, and the variables that tell of them.
    pub(super) fn ready(&self, engine: &Engine<'_>, shared: &Shared, workspace: &Workspace) -> Result<(Vec<Ready>, Variables)> {
        let (mut mounts, mut variables) = (Vec::new(), Vec::new());
        if let Some(script) = &self.plan.script {
            mounts.push(self.script(workspace, script)?);
        }
        let caches = self.caches(engine, shared, workspace)?;
        for found in &self.all {
            let mount = match &found.plan.what {
                MountedPlan::Bind(bind) => Some(bound(engine, shared, workspace, bind, &found.source)?),
                MountedPlan::Cache(cache) => Some(cached(cache, &caches[cache.id.as_str()])),
                MountedPlan::Memory { target, size } => Some(only(target, Content::Memory { size: *size })),
                MountedPlan::Secret(secret) => hidden(engine, found.plan, secret, &mut variables)?,
                MountedPlan::Socket(socket) => match engine.spec.machine.sockets.iter().find(|(name, _)| *name == socket.id) {
                    Some((_, path)) => {
                        variables.push((AGENT_VARIABLE.to_owned(), socket.target.clone()));
                        let (mode, uid, gid) = socket.attributes;
                        Some(only(&socket.target, Content::Socket { path: path.clone(), mode, owner: (uid, gid) }))
                    }
                    None if socket.required => return Err(missing(found.plan, "agent", &socket.id, "--ssh")),
                    None => None,
                },
            };
            mounts.extend(mount);
        }
        Ok((mounts, variables))
    }

    /// The caches, each once and in the order of their names: a step that has one twice does not wait for itself, nor do two steps for each other.
    fn caches(&self, engine: &Engine<'_>, shared: &Shared, workspace: &Workspace) -> Result<BTreeMap<&'a str, Arc<Held>>> {
        let mut wanted: BTreeMap<&str, CachePlan> = BTreeMap::new();
        for found in &self.all {
            if let MountedPlan::Cache(cache) = &found.plan.what {
                let wanted = wanted.entry(&cache.id).or_insert_with(|| cache.clone());
                wanted.shared = wanted.shared.max(cache.shared);
            }
        }
        wanted.into_iter().map(|(id, cache)| Ok((id, Arc::new(take(engine, shared, workspace, &cache)?)))).collect()
    }

    fn script(&self, workspace: &Workspace, script: &DocumentPlan) -> Result<Ready> {
        let directory = workspace.directory()?;
        directory::write(&directory.join(&script.name), script.content.as_bytes(), 0o755)?;
        Ok(only(SCRIPTS, Content::Tree { lowers: vec![directory], path: "/".to_owned(), access: Access::Read }))
    }
}

/// What a mount says, without where it is written.
fn without_place(what: &MountedPlan) -> String {
    let mut said = String::new();
    // Writing to a string does not fail.
    let _ = match what {
        MountedPlan::Cache(cache) => write!(said, "{:?}", (&cache.target, &cache.id, cache.shared, cache.attributes, cache.writable)),
        MountedPlan::Bind(bind) => write!(said, "{:?}", (&bind.target, &bind.source.value, bind.writable)),
        MountedPlan::Memory { .. } | MountedPlan::Secret(_) | MountedPlan::Socket(_) => write!(said, "{what:?}"),
    };
    said
}

fn only(target: &str, content: Content) -> Ready {
    Ready { mount: Mount { target: target.to_owned(), content }, _held: None }
}

fn missing(plan: &MountPlan, what: &str, id: &str, flag: &str) -> crate::Error {
    let id = text::shown(id);
    let error = plan.place.error(ErrorKind::NotFound, format!("the call gives no {what} `{id}`"));
    error.hint(format!("say {flag} {}", if flag == "--ssh" { format!("{id}=SOCKET") } else { format!("id={id},src=FILE") }))
}

/// Finds what is to be mounted.
fn source(engine: &Engine<'_>, shared: &Shared, from: &SourceId, path: &At<String>) -> Result<Source> {
    let opened = From::open(engine, shared, from)?;
    if let SourceId::Stage(_) = from {
        return Ok(Source::Stage(opened.layers().to_vec()));
    }
    let planned = collected(engine, &opened, from, path)?;
    let items = content::fetch(engine.run, "mount", opened.layers(), planned, || engine.work.scratch_file())?;
    let digest = digest_of(engine.run, &items)?;
    Ok(Source::Files { items, digest })
}

/// The files at `path`, as `COPY` would copy them to [`COPIED`].
fn collected(engine: &Engine<'_>, opened: &From<'_>, from: &SourceId, path: &At<String>) -> Result<Vec<Planned>> {
    let literal = At::new(glob::escaped(&path.value), path.place.clone());
    let plan = CopyPlan {
        verb: Verb::Copy,
        from: from.clone(),
        sources: vec![literal],
        documents: Vec::new(),
        to: At::new(COPIED.to_owned(), path.place.clone()),
        chown: None,
        chmod: None,
        mode: Mode::Link,
        paths: Paths::Name,
        exclude: Vec::new(),
    };
    let (source, tree) = opened.source();
    let owner = tree.map(|_| (0, 0));
    Ok(copy::collect(&Work { run: engine.run, plan: &plan, source: &*source, tree, owner }, None, Archives::Noted)?.items)
}

fn bound(engine: &Engine<'_>, shared: &Shared, workspace: &Workspace, bind: &BindPlan, source: &Source) -> Result<Ready> {
    let access = if bind.writable == Writable::Yes { Access::Discard } else { Access::Read };
    let (lowers, path) = match source {
        Source::Stage(layers) => {
            let lowers = shared.workshop.lowers(engine, layers)?;
            let lowers = if lowers.is_empty() { vec![workspace.directory()?] } else { lowers };
            (lowers, format!("/{}", bind.source.value.trim_start_matches('/')))
        }
        Source::Files { items, digest } => {
            let make = || {
                let directory = workspace.directory()?;
                directory::fill(engine.run, items, &directory)?;
                Ok(directory)
            };
            (vec![(*shared.workshop.directories.get(digest.clone(), make)?).clone()], COPIED.to_owned())
        }
        Source::None => (vec![workspace.directory()?], "/".to_owned()),
    };
    Ok(only(&bind.target, Content::Tree { lowers, path, access }))
}

fn take(engine: &Engine<'_>, shared: &Shared, workspace: &Workspace, cache: &CachePlan) -> Result<Held> {
    let begin = |directory: &PathBuf| match &cache.begin {
        None => Ok(()),
        Some((from, path)) => {
            let opened = From::open(engine, shared, from)?;
            let planned = collected(engine, &opened, from, path)?;
            let items = content::fetch(engine.run, "cache", opened.layers(), planned, || engine.work.scratch_file())?;
            directory::fill_from(engine.run, &items, COPIED, directory)
        }
    };
    match engine.cache {
        Some(known) => caches::take(engine.run, &known.mounts(), cache, begin),
        // They live as long as the build, and are shared in it in the same way.
        None => {
            let all = shared.workshop.directories.get("caches".to_owned(), || workspace.directory())?;
            caches::take(engine.run, &all, cache, begin)
        }
    }
}

fn cached(cache: &CachePlan, held: &Arc<Held>) -> Ready {
    let content = match cache.writable {
        Writable::Yes => Content::Directory(held.path().to_owned()),
        Writable::No => Content::Tree { lowers: vec![held.path().to_owned()], path: "/".to_owned(), access: Access::Read },
    };
    Ready { mount: Mount { target: cache.target.clone(), content }, _held: Some(held.clone()) }
}

fn hidden(engine: &Engine<'_>, plan: &MountPlan, secret: &SecretPlan, variables: &mut Variables) -> Result<Option<Ready>> {
    let Some((_, bytes)) = engine.spec.machine.secrets.iter().find(|(name, _)| *name == secret.id) else {
        return if secret.required { Err(missing(plan, "secret", &secret.id, "--secret")) } else { Ok(None) };
    };
    if let Some(variable) = &secret.variable {
        let value = String::from_utf8(bytes.0.clone()).ok().filter(|value| !value.contains('\0'));
        let value = value.ok_or_else(|| plan.place.usage(format!("the secret `{}` cannot be a variable: it is not text", text::shown(&secret.id))))?;
        variables.push((variable.clone(), value));
    }
    let (mode, uid, gid) = secret.attributes;
    Ok(secret.target.as_ref().map(|target| only(target, Content::Secret { bytes: bytes.0.clone(), mode, owner: (uid, gid) })))
}
