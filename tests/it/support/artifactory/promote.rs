//! Promotion: an image, or one of its tags, goes or is copied to another repository of the same server, without its content being sent.

use std::collections::BTreeSet;

use serde_json::Value;

use super::access::Right;
use super::errors;
use super::lists::images;
use super::media::{self, Kind};
use super::setup::Package;
use super::storage::{Child, UPLOADS, sha256_of};
use super::world::World;
use crate::support::http::{Answer, Request};

/// What is asked for.
struct Promotion {
    source: Place,
    target: Place,
    /// What becomes of the source.
    manner: Manner,
}

/// An image, or a tag of it if that is not empty.
#[derive(PartialEq, Eq)]
struct Place {
    repository: String,
    image: String,
    tag: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Copy,
    Move,
}

impl World {
    pub(super) fn promote(&mut self, request: &Request, source: &str) -> Answer {
        let user = match self.caller(request) {
            Ok(caller) if !caller.user.is_empty() => caller.user,
            Ok(_) => return errors::generic(401, "Authentication is required"),
            Err(_) => return errors::generic(401, "Bad Credentials"),
        };
        if self.switches.promote_absent {
            return errors::generic(404, "Not Found");
        }
        let promotion = match self.read(request, source) {
            Ok(promotion) => promotion,
            Err(answer) => return answer,
        };
        match self.check(&promotion, &user) {
            Ok(()) => self.execute(&promotion, &user),
            Err(answer) => answer,
        }
    }

    /// What a request asks for, as far as it makes sense in itself.
    fn read(&self, request: &Request, source: &str) -> Result<Promotion, Answer> {
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| errors::generic(400, "Bad Request"))?;
        let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (target, image, tag) = (field("targetRepo"), field("dockerRepository"), field("tag"));
        let (target_image, target_tag) = (field("targetDockerRepository"), field("targetTag"));
        if !body.is_object() {
            return Err(errors::generic(400, "Bad Request"));
        }
        if image.is_empty() {
            return Err(text(400, "You must provide dockerRepository name"));
        }
        if target.is_empty() {
            return Err(text(400, "You must provide targetRepo"));
        }
        for key in [source, &target] {
            match self.repository(key) {
                Some(repository) if repository.package != Package::Generic && repository.is_physical() => {}
                Some(_) if self.switches.promote_silent_virtual => return Err(text(200, "Promotion ended successfully")),
                _ => return Err(text(400, &format!("Unsupported V2 repository request for '{key}'"))),
            }
        }
        if source == target && tag.is_empty() {
            return Err(text(400, "Skipping promote since destination and source are the same"));
        }
        if tag.is_empty() && !(target_image.is_empty() && target_tag.is_empty()) {
            return Err(text(400, "When 'targetTag' or 'targetDockerRepository' exists, 'tag' cannot be empty"));
        }
        let manner = if body["copy"] == true || body["copy"] == "true" { Manner::Copy } else { Manner::Move };
        let or = |own: String, other: &str| if own.is_empty() { other.to_owned() } else { own };
        let to = Place { repository: target, image: or(target_image, &image), tag: or(target_tag, &tag) };
        Ok(Promotion { source: Place { repository: source.into(), image, tag }, target: to, manner })
    }

    /// Whether it can be done, and by this user.
    fn check(&mut self, promotion: &Promotion, user: &str) -> Result<(), Answer> {
        let Promotion { source, target, .. } = promotion;
        let package = |key: &str| self.repository(key).map(|repository| repository.package);
        if self.switches.promote_400_oci && !source.tag.is_empty() && package(&source.repository) == Some(Package::Oci) {
            return Err(errors::generic(400, "Bad Request"));
        }
        if self.switches.promote_locked > 0 {
            self.switches.promote_locked -= 1;
            let (path, from, to) = (source.path(), &source.repository, &target.repository);
            return Err(text(400, &format!("Failed to acquire lock for promotion of '{path}' from '{from}' to '{to}'.")));
        }
        if !self.may(user, &target.repository, Right::Write) {
            return Err(text(403, &format!("No permission to write to the target repository '{}'. Promotion aborted", target.repository)));
        }
        if !self.may(user, &source.repository, Right::Read) {
            return Err(text(403, &format!("No permission to read from the source repository '{}'. Promotion aborted", source.repository)));
        }
        if !self.may(user, &target.repository, Right::Annotate) {
            return Err(text(403, &format!("User doesn't have permissions to annotate/write in '{}'. Promotion aborted", target.path())));
        }
        let image = format!("{}/{}", source.repository, source.image);
        if !images(&self.storage, &source.repository).contains(&source.image) {
            return Err(text(404, &format!("Unable to find docker image '{image}', request aborted")));
        }
        if !source.tag.is_empty() && !self.storage.is_folder(&source.path()) {
            return Err(text(404, &format!("Unable to find '{}'. Promotion aborted", source.path())));
        }
        Ok(())
    }

    fn execute(&mut self, promotion: &Promotion, user: &str) -> Answer {
        let Promotion { source, target, manner } = promotion;
        let folders = if source.tag.is_empty() { self.all_folders(source) } else { self.folders_of_tag(promotion) };
        let image = |place: &Place| format!("{}/{}", place.repository, place.image);
        let (from, to) = (image(source), image(target));
        for (old, new) in &folders {
            let (old, new_path) = (format!("{from}/{old}"), format!("{to}/{new}"));
            if old == new_path {
                continue;
            }
            self.storage.copy_folder(&old, &new_path);
            self.rename_in_properties(&target.repository, &target.image, new);
        }
        if *manner == Manner::Move && !(source == target) {
            if !self.may(user, &source.repository, Right::Delete) {
                let path = source.path();
                let words = "Promotion executed successfully; however, there were not enough permissions to delete all artifacts under";
                return text(206, &format!("{words} '{path}'."));
            }
            self.remove_source(&from, &folders, |old, new| from == to && old == new);
        }
        text(200, "Promotion ended successfully")
    }

    /// The folders of a whole image: they keep their names.
    fn all_folders(&self, place: &Place) -> Vec<(String, String)> {
        let children = self.storage.children(&format!("{}/{}", place.repository, place.image));
        let names = children.into_iter().filter_map(|child| match child {
            Child::Folder(name) if name != UPLOADS => Some(name),
            Child::Folder(_) | Child::File(_) => None,
        });
        names.map(|name| (name.clone(), name)).collect()
    }

    /// The folder of a tag, and those of everything that its list leads to, with their names at the target.
    fn folders_of_tag(&self, promotion: &Promotion) -> Vec<(String, String)> {
        let Promotion { source, target, .. } = promotion;
        let mut folders = vec![(source.tag.clone(), target.tag.clone())];
        let mut todo = vec![format!("{}/{}", source.path(), Kind::List.file_name())];
        while let Some(list) = todo.pop() {
            let Some(bytes) = self.storage.read(&list) else { continue };
            let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            for child in media::children(Kind::List, &document) {
                let digest = child["digest"].as_str().unwrap_or_default();
                if let Some(suffix) = media::platform_suffix(child).filter(|_| self.switches.promote_rename_children) {
                    let (old, new) = (format!("{}-{suffix}", source.tag), format!("{}-{suffix}", target.tag));
                    if self.storage.is_folder(&format!("{}/{}/{old}", source.repository, source.image)) {
                        folders.push((old, new));
                    }
                }
                let Some(path) = self.manifest_by_digest(&source.repository, &source.image, digest) else { continue };
                let name = path.rsplit('/').nth(1).expect("it lies in a folder").to_owned();
                // One that lies under a tag only is not taken away from it.
                let new = if name.starts_with("sha256") { name.clone() } else { digest.to_owned() };
                todo.push(path);
                folders.push((name, new));
            }
        }
        folders
    }

    /// Removes what was moved, except what another list still needs.
    fn remove_source(&mut self, image: &str, folders: &[(String, String)], stays: impl Fn(&str, &str) -> bool) {
        for (old, new) in folders {
            if !stays(old, new) && !is_digest(old) {
                self.storage.remove(&format!("{image}/{old}"));
            }
        }
        let needed = self.needed_digests(image);
        for (old, new) in folders {
            if !stays(old, new) && is_digest(old) && !needed.contains(&old.replacen("__", ":", 1)) {
                self.storage.remove(&format!("{image}/{old}"));
            }
        }
    }

    /// The digests that lists under tags of an image lead to.
    fn needed_digests(&self, image: &str) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        let all = self.storage.iter_below(image).filter(|(path, _)| path.ends_with(Kind::List.file_name()));
        let mut todo: Vec<String> = all.filter(|(path, _)| !path.rsplit('/').nth(1).is_some_and(is_digest)).map(|(path, _)| path.to_owned()).collect();
        while let Some(list) = todo.pop() {
            let document: Value = serde_json::from_slice(&self.storage.read(&list).expect("it is listed")).unwrap_or_default();
            for digest in media::children(Kind::List, &document).iter().filter_map(|child| child["digest"].as_str()) {
                let nested = format!("{image}/{digest}/{}", Kind::List.file_name());
                if needed.insert(digest.to_owned()) && self.storage.file(&nested).is_some() {
                    todo.push(nested);
                }
            }
        }
        needed
    }
}

impl Place {
    fn path(&self) -> String {
        let image = format!("{}/{}", self.repository, self.image);
        if self.tag.is_empty() { image } else { format!("{image}/{}", self.tag) }
    }
}

/// Whether a folder is that of a digest, in either spelling.
fn is_digest(folder: &str) -> bool {
    sha256_of(&folder.replacen("__", ":", 1)).is_some()
}

fn text(status: u16, words: &str) -> Answer {
    Answer::text(status, words)
}
