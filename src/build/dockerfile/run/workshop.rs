//! Where commands run, and the root filesystems of stages as directories, which are made once for all stages that have the same layers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::build::dockerfile::content::StageLayer;
use crate::build::dockerfile::execute::Engine;
use crate::build::dockerfile::spec::MachineSpec;
use crate::error::{Error, Result};
use crate::exec::Once;
use crate::layer::overlay;
use crate::runtime::{Options, Program, Rootfs, Workspace};
use crate::spec::text;

/// Names some layers, one upon the other.
type Chain = [u8; 32];

/// What the commands of one build share.
#[derive(Default)]
pub(in crate::build::dockerfile) struct Workshop {
    workspace: Once<(), Arc<Workspace>>,
    /// The directories that layers make, the lowest first.
    known: Mutex<HashMap<Chain, Vec<PathBuf>>>,
    /// The directories that were made of layers, by what they stand upon and by what they make.
    made: Once<(Chain, Chain), PathBuf>,
    /// Directories of contexts, and caches that live as long as the build, by what they are.
    pub(super) directories: Once<String, PathBuf>,
    /// Whether it was told that root filesystems are copied.
    told: Once<(), ()>,
}

/// The OCI runtime.
pub(super) fn program(machine: &MachineSpec) -> Result<Program> {
    match &machine.runtime {
        Some(path) => Program::at(path),
        None => Program::find(&machine.search),
    }
}

impl Workshop {
    /// Where commands run: beside the layout in which layers are made.
    pub(super) fn workspace(&self, engine: &Engine<'_>) -> Result<Arc<Workspace>> {
        let open = || {
            let parent = engine.work.path().parent().unwrap_or(Path::new("."));
            let options = Options { larder: "/proc/self/exe".into(), runtime: program(&engine.spec.machine)?, rootfs: Rootfs::default() };
            Workspace::open(parent, options).map(Arc::new)
        };
        self.workspace.get((), open).map(|workspace| (*workspace).clone())
    }

    /// The directories that `layers` make, the lowest first.
    pub(super) fn lowers(&self, engine: &Engine<'_>, layers: &[StageLayer]) -> Result<Vec<PathBuf>> {
        let workspace = self.workspace(engine)?;
        let chains = chains(layers);
        let (mut have, mut paths) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let longest = (0..chains.len()).rev().find_map(|count| Some((count, known.get(&chains[count])?.clone())));
            longest.unwrap_or_default()
        };
        while have < layers.len() {
            // Those of one layout go together: they are read one after the other.
            let layout = &layers[have].layout;
            let end = have + layers[have..].iter().take_while(|layer| Arc::ptr_eq(&layer.layout, layout)).count();
            let make = || {
                let into = workspace.directory()?;
                let unpacked = layers[have..end].iter().map(|layer| (&layer.descriptor, &layer.diff_id));
                let cannot = |error: Error| error.context(format!("cannot unpack the root filesystem in {}", text::path(&into)));
                overlay::lower(engine.run, &**layout, unpacked, &paths, &into).map_err(cannot)?;
                Ok(into)
            };
            let path = (*self.made.get((chains[have], chains[end]), make)?).clone();
            paths.push(path);
            have = end;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(chains[end], paths.clone());
        }
        Ok(paths)
    }

    /// Tells, once in a build, why root filesystems are copied.
    pub(super) fn tell(&self, engine: &Engine<'_>, copied: &str) -> Result<()> {
        let tell = || {
            engine.run.events.warn(format!("the root filesystem is copied for every step, which takes time and space: {copied}"));
            Ok(())
        };
        self.told.get((), tell).map(drop)
    }

    /// Takes in what a command made upon `layers`, which are `lowers`: `layer`, and as a directory `upper`.
    pub(super) fn add(&self, layers: &[StageLayer], layer: &StageLayer, mut lowers: Vec<PathBuf>, upper: PathBuf) {
        let chains = chains(&[layers, std::slice::from_ref(layer)].concat());
        lowers.push(upper);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(chains[layers.len() + 1], lowers);
    }
}

/// The names of the first layers: none of them, one, two, and so on.
fn chains(layers: &[StageLayer]) -> Vec<Chain> {
    let mut hasher = blake3::Hasher::new_derive_key("larder chain of layers 1");
    let mut chains = vec![*hasher.finalize().as_bytes()];
    for layer in layers {
        hasher.update(layer.diff_id.0.as_str().as_bytes());
        hasher.update(b"\n");
        chains.push(*hasher.finalize().as_bytes());
    }
    chains
}
