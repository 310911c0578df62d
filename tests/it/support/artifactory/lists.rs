//! What images and tags there are, in pages if a client wants them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::access::Right;
use super::errors;
use super::manifests::is_tag;
use super::media::Kind;
use super::site::Site;
use super::storage::{Storage, UPLOADS};
use super::world::World;
use crate::support::http::{Answer, Request};

impl World {
    pub(super) fn catalog(&mut self, request: &Request, site: &Site) -> Answer {
        let caller = match self.caller(request) {
            Ok(caller) if self.may(&caller.user, &site.repository, Right::Read) => caller,
            Ok(caller) if !caller.user.is_empty() => return errors::denied("pull", &site.repository),
            _ => return self.challenge(site, Some("registry:catalog:*")),
        };
        let folders = self.folders_to_read(&site.repository).into_iter().filter(|folder| self.may(&caller.user, folder, Right::Read));
        let images: BTreeSet<String> = folders.flat_map(|folder| images(&self.storage, &folder)).collect();
        page(request, site, "_catalog", images, |names| json!({"repositories": names}))
    }

    pub(super) fn tags(&mut self, request: &Request, site: &Site, image: &str) -> Answer {
        if let Err(answer) = self.admit(request, site, image, Right::Read) {
            return answer;
        }
        let folders = self.folders_to_read(&site.repository);
        let manifests = folders.iter().flat_map(|folder| self.manifests_of(folder, image));
        let names = manifests.filter_map(|(path, _)| path.rsplit('/').nth(1));
        let tags: BTreeSet<String> = names.filter(|name| is_tag(name) || self.switches.tags_with_digests).map(str::to_owned).collect();
        if tags.is_empty() {
            return errors::registry(404, "NAME_UNKNOWN", "repository name not known to registry", &json!({"name": site.name(image)}));
        }
        page(request, site, &format!("{}/tags/list", site.name(image)), tags, |names| json!({"name": site.name(image), "tags": names}))
    }
}

/// The images in a repository: every folder of folders with manifests.
pub(super) fn images(storage: &Storage, repository: &str) -> BTreeSet<String> {
    let paths = storage.iter_below(repository).map(|(path, _)| &path[repository.len() + 1..]);
    let manifests = paths.filter(|path| Kind::ALL.iter().any(|kind| path.rsplit('/').next() == Some(kind.file_name())));
    manifests.filter_map(|path| Some(path.rsplitn(3, '/').nth(2)?.to_owned())).filter(|image| !image.contains(UPLOADS)).collect()
}

/// The names behind `last`, as many as are wanted, and a link to the next.
fn page(request: &Request, site: &Site, rest: &str, names: BTreeSet<String>, document: impl Fn(&[String]) -> Value) -> Answer {
    let last = request.parameter("last").unwrap_or_default();
    let names: Vec<String> = names.into_iter().filter(|name| *name > last).collect();
    let wanted = request.parameter("n").and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
    let shown = &names[..wanted.min(names.len())];
    let answer = Answer::json(200, &document(shown));
    match shown.last() {
        Some(last) if shown.len() < names.len() => answer.header("Link", &format!("<{}?last={last}&n={wanted}>; rel=\"next\"", site.relative_link(rest))),
        _ => answer,
    }
}
