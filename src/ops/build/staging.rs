//! A layout that lives as long as one build, where no output is a layout.

use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{IoContext, Result};
use crate::store::layout::{Layout, Options};

/// What the names of these directories begin with.
const PREFIX: &str = ".larder-build-";

/// The layout in it.
const LAYOUT: &str = "layout";

/// A directory with a layout, removed when dropped. What a killed build left behind is removed by the next one in the same place.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    layout: Layout,
}

impl Staging {
    /// Makes an empty layout in a new directory of `parent`.
    pub(super) fn create(parent: &Path, options: &Options) -> Result<Staging> {
        sweep(parent, options);
        let path = parent.join(format!("{PREFIX}{}-{:016x}", std::process::id(), RandomState::new().hash_one(0)));
        // What is built is nobody else's business before it is where it was asked for.
        std::fs::DirBuilder::new().mode(0o700).create(&path).at("create directory", &path)?;
        match Layout::create(&path.join(LAYOUT), options.clone()) {
            Ok(layout) => Ok(Staging { path, layout }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    /// The layout.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by a later build.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes what builds left in `parent` that no longer live. What cannot be removed stays: it is no reason to fail.
fn sweep(parent: &Path, options: &Options) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)));
    for entry in ours {
        let options = Options { lock_timeout: Duration::ZERO, ..options.clone() };
        // A living build holds its layout open.
        if let Ok(_alone) = Layout::open_for_sweep(&entry.path().join(LAYOUT), options) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cra_23_the_dead_are_removed_and_the_living_are_not() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let names = || {
            let names = std::fs::read_dir(temp.path()).expect("listed").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        };
        let alive = Staging::create(temp.path(), &Options::default()).expect("created");
        let dead = temp.path().join(format!("{PREFIX}1-dead"));
        drop(Layout::create(&dead.join(LAYOUT), Options::default()).expect("created"));
        std::fs::create_dir(temp.path().join("other")).expect("created");
        let second = Staging::create(temp.path(), &Options::default()).expect("created");
        assert!(!dead.exists());
        assert_eq!(names().len(), 3);
        drop((alive, second));
        assert_eq!(names(), ["other"]);
    }
}
