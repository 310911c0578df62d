//! `larder sync` against the stand-in for Artifactory: a release, and every difficulty that is known.

mod promoting;
mod pulling;
mod pushing;
mod release;

use serde_json::Value;

use crate::support::artifactory::{Artifactory, Entry, PASSWORD, Setup, USER};
use crate::support::desk::Desk;
use crate::support::forge::sha256;
use crate::support::image_set::{ImageSet, Named};

/// An instance, a desk that is logged in to it, and a layout with images for it.
struct Scene {
    artifactory: Artifactory,
    desk: Desk,
    set: ImageSet,
}

impl Scene {
    fn new(setup: Setup) -> Scene {
        Scene::of(setup, ImageSet::new(3, 10_000))
    }

    fn of(setup: Setup, set: ImageSet) -> Scene {
        let (artifactory, desk) = (Artifactory::start(setup), Desk::new());
        desk.log_in(&artifactory.host(), USER, PASSWORD);
        Scene { artifactory, desk, set }
    }

    /// `docker://` and a place on the instance.
    fn at(&self, place: &str) -> String {
        format!("docker://{}/{place}", self.artifactory.host())
    }

    /// The location of the image of this number in the layout.
    fn image(&self, number: usize) -> String {
        let Named { repository, tag, .. } = &self.set.images[number];
        format!("oci:{}:registry.example/{repository}:{tag}", self.set.layout().display())
    }

    fn digest(&self, number: usize) -> &str {
        &self.set.images[number].digest
    }

    /// Pushes the first image, which must succeed; what larder reports.
    #[track_caller]
    fn push(&self, place: &str) -> Value {
        self.push_with(place, &[])
    }

    #[track_caller]
    fn push_with(&self, place: &str, flags: &[&str]) -> Value {
        let report = self.desk.json(&[&["sync", "push", &self.image(0), &self.at(place)], flags].concat());
        assert_eq!(report["images"][0]["digest"], self.digest(0), "{report}");
        report
    }

    /// Tries to push the first image, which must fail with this code; the words of the error.
    #[track_caller]
    fn refused(&self, place: &str, code: &str) -> String {
        self.desk.fails(&["sync", "push", &self.image(0), &self.at(place)], code)
    }

    /// The digest of the list under this tag in the storage view; nothing if there is none.
    fn stored(&self, tag: &str) -> String {
        std::fs::read(self.artifactory.storage().join(tag).join("list.manifest.json")).map_or(String::new(), |bytes| sha256(&bytes))
    }

    /// The requests of this method until now to paths with this in them.
    fn asked(&self, method: &str, path: &str) -> Vec<Entry> {
        self.artifactory.log().into_iter().filter(|entry| entry.method == method && entry.path.contains(path)).collect()
    }
}
