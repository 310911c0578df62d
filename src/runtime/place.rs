//! The directory of one step.
//!
//! ```text
//! l0 l1 …        links to the lower directories: names so short that the kernel takes hundreds of them in one call
//! m0-0 …         links to what is mounted
//! init work      what the runtime needs to find in the root filesystem: a lower directory above the others, never part of a layer
//! upper work     what the step changes
//! root           where the root filesystem is put together
//! own            the keeper's own files, in memory
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::order::{self, Content};
use super::{Mount, Step};
use crate::error::{Error, IoContext, Result};
use crate::fsio::{Dir, Hidden, remove};
use crate::spec::text;

pub(super) const ROOT: &str = "root";
pub(super) const UPPER: &str = "upper";
pub(super) const WORK: &str = "work";
pub(super) const INIT: &str = "init";
pub(super) const INIT_WORK: &str = "init-work";
pub(super) const OWN: &str = "own";
/// An empty directory, where a step has no lower directory.
pub(super) const NOTHING: &str = "nothing";

/// The directory of a step. Dropped, it is gone with everything in it.
#[derive(Debug)]
pub(super) struct Place {
    workspace: Arc<Dir>,
    name: PathBuf,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Temporary,
    Kept,
}

impl Place {
    /// Makes the directory `name` in `workspace` with all that a keeper needs there.
    pub(super) fn create(workspace: &Arc<Dir>, name: &str, step: &Step) -> Result<Place> {
        workspace.create(Path::new(name), 0o700)?;
        let place = Place { workspace: workspace.clone(), name: name.into(), state: State::Temporary };
        let dir = workspace.open_below(&place.name)?;
        for name in [ROOT, UPPER, WORK, INIT, INIT_WORK, OWN, NOTHING] {
            dir.create(Path::new(name), 0o755)?;
        }
        let link = |name: String, target: &Path| {
            let path = dir.path().join(name);
            // What is linked to is named by a path of this process.
            let target = std::path::absolute(target).at("find", target)?;
            fs::metadata(&target).at("find", &target)?;
            symlink(target, &path).at("create", &path)
        };
        for (index, lower) in step.lowers.iter().enumerate() {
            link(order::lower(index), lower)?;
        }
        for (index, mount) in step.mounts.iter().enumerate() {
            for (part, source) in sources(mount).iter().enumerate() {
                link(order::mounted(index, part), source)?;
            }
        }
        Ok(place)
    }

    /// Removes all but the upper directory and the list of what it hides, and returns where that is.
    pub(super) fn keep(mut self) -> Result<PathBuf> {
        let dir = self.workspace.open_below(&self.name)?;
        let list = Hidden::list(Path::new(UPPER));
        for (name, kind) in dir.entries()? {
            match (Path::new(&name), kind) {
                (name, _) if name == Path::new(UPPER) || name == list => {}
                (name, rustix::fs::FileType::Directory) => remove::tree(&dir, name)?,
                (name, _) => fs::remove_file(dir.path().join(name)).at("remove", &dir.path().join(name))?,
            }
        }
        self.state = State::Kept;
        Ok(dir.path().join(UPPER))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.state == State::Temporary {
            // What cannot be removed now is removed with the workspace, or by a later one.
            let _ = remove::tree(&self.workspace, &self.name);
        }
    }
}

/// What a mount takes of this machine.
fn sources(mount: &Mount) -> Vec<&Path> {
    match &mount.content {
        super::Content::Tree { lowers, .. } => lowers.iter().map(PathBuf::as_path).collect(),
        super::Content::Directory(path) | super::Content::Socket { path, .. } => vec![path],
        super::Content::Memory { .. } | super::Content::Secret { .. } => Vec::new(),
    }
}

/// A mount as the keeper is told of it.
pub(super) fn told(mount: &Mount) -> order::Mount {
    let content = match &mount.content {
        super::Content::Tree { lowers, path, access } => Content::Tree { lowers: lowers.len(), path: path.clone(), access: *access },
        super::Content::Directory(_) => Content::Place,
        super::Content::Memory { size } => Content::Memory { size: *size },
        super::Content::Secret { bytes, mode, owner } => Content::Secret { length: bytes.len(), mode: *mode, owner: *owner },
        super::Content::Socket { mode, owner, .. } => Content::Socket { mode: *mode, owner: *owner },
    };
    order::Mount { target: mount.target.clone(), content }
}

/// Says what is wrong with a step whoever runs it. Kind `usage`.
pub(super) fn validate(step: &Step) -> Result<()> {
    let bad = |what: String| Err(Error::usage(what));
    if step.command.first().is_none_or(String::is_empty) {
        return bad("there is no command to run".into());
    }
    let strings = step.command.iter().chain(step.environment.iter().flat_map(|(name, value)| [name, value]));
    let paths = || std::iter::once(&step.directory).chain(step.mounts.iter().map(|mount| &mount.target));
    if let Some(text) = strings.chain(paths()).find(|text| text.contains('\0')) {
        return bad(format!("`{}` contains a zero byte, which no argument, variable or path can", text::shown(text)));
    }
    if let Some((name, _)) = step.environment.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
        return bad(format!("`{}` cannot be the name of a variable", text::shown(name)));
    }
    if let Some(path) = paths().find(|path| !path.starts_with('/')) {
        return bad(format!("`{}` is no absolute path in the root filesystem", text::shown(path)));
    }
    Ok(())
}
