//! The part of Artifactory's own interface that tools for images use: what there is, what is known about it, and files as they are.

use serde_json::{Map, Value, json};

use super::access::{Caller, Right};
use super::aql::Query;
use super::blobs::with_checksums;
use super::errors;
use super::setup::Class;
use super::site::is_tidy;
use super::storage::{Child, File};
use super::world::World;
use crate::support::http::{Answer, Request, decoded};

/// What the answer to a file that was put is.
const ITEM_CREATED: &str = "application/vnd.org.jfrog.artifactory.storage.ItemCreated+json";

impl World {
    /// Everything below `/artifactory/` but the registry.
    pub(super) fn rest(&mut self, request: &Request, base: &str) -> Answer {
        let path = decoded(request.path.strip_prefix("/artifactory/").expect("it was routed here"));
        if path == "api/system/ping" {
            return Answer::text(200, "OK");
        }
        let caller = match self.caller(request) {
            Ok(caller) => caller,
            Err(_) => return errors::generic(401, "Bad Credentials"),
        };
        if caller.user.is_empty() && self.anonymous == super::setup::Anonymous::Nothing {
            return errors::generic(401, "Authentication is required").header("WWW-Authenticate", "Basic realm=\"Artifactory Realm\"");
        }
        let path = path.trim_end_matches('/');
        match (request.method.as_str(), path.strip_prefix("api/")) {
            ("GET", Some("system/version")) => {
                Answer::json(200, &json!({"version": self.version, "revision": "79999900", "addons": [], "license": "stand-in"}))
            }
            ("POST", Some("search/aql")) => self.search(request, &caller),
            ("GET", Some(path)) => match (path.strip_prefix("repositories/"), path.strip_prefix("storage/")) {
                (Some(key), _) => self.describe_repository(key),
                (_, Some(path)) if is_tidy(path) => self.describe(request, &caller, base, path),
                _ => errors::generic(404, "Not Found"),
            },
            (_, Some(_)) => errors::generic(404, "Not Found"),
            (method, None) if is_tidy(path) => match method {
                "PUT" => self.deploy(request, &caller, base, path),
                "GET" | "HEAD" => self.download(&caller, path),
                "DELETE" => self.undeploy(&caller, path),
                _ => errors::method_not_allowed(),
            },
            _ => errors::generic(400, "Bad Request"),
        }
    }

    fn describe_repository(&self, key: &str) -> Answer {
        let Some(repository) = self.repository(key) else { return errors::generic(400, "Bad Request") };
        let mut document = json!({"key": key, "rclass": repository.class.name(), "packageType": repository.package.name()});
        if let Some(local) = &repository.default_deploy {
            document["defaultDeploymentRepo"] = json!(local);
        }
        if repository.class == Class::Virtual {
            document["repositories"] = json!(repository.members);
        }
        Answer::json(200, &document)
    }

    /// What is known of a file or a folder: its info, its properties, or all files below it.
    fn describe(&self, request: &Request, caller: &Caller, base: &str, path: &str) -> Answer {
        if let Err(answer) = self.allow(caller, path, Right::Read) {
            return answer;
        }
        let uri = format!("{base}/artifactory/api/storage/{path}");
        let (repository, rest) = path.split_once('/').unwrap_or((path, ""));
        let unknown = || errors::generic(404, "Unable to find item");
        let asks = |name: &str| request.query.split('&').any(|pair| pair.split('=').next() == Some(name));
        if asks("properties") {
            let Some(file) = self.storage.file(path).filter(|file| !file.properties.is_empty()) else {
                return errors::generic(404, "No properties could be found.");
            };
            return Answer::json(200, &json!({"properties": file.properties, "uri": uri}));
        }
        if asks("list") {
            let files = self.storage.iter_below(path).map(|(file, known)| {
                let uri = &file[path.len()..];
                json!({"uri": uri, "size": known.size, "lastModified": known.created.text(), "folder": false, "sha1": known.sha1, "sha2": known.sha256})
            });
            return Answer::json(200, &json!({"uri": uri, "created": self.now.text(), "files": files.collect::<Vec<Value>>()}));
        }
        if let Some(file) = self.storage.file(path) {
            return Answer::json(200, &describe_file(file, base, path));
        }
        if !self.storage.is_folder(path) && self.repository(path).is_none() {
            return unknown();
        }
        let children = self.storage.children(path).into_iter().map(|child| match child {
            Child::File(name) => json!({"uri": format!("/{name}"), "folder": false}),
            Child::Folder(name) => json!({"uri": format!("/{name}"), "folder": true}),
        });
        Answer::json(200, &json!({"repo": repository, "path": format!("/{rest}"), "children": children.collect::<Vec<Value>>(), "uri": uri}))
    }

    /// PUT of a file, or of the checksum of a file that is here already.
    fn deploy(&mut self, request: &Request, caller: &Caller, base: &str, path: &str) -> Answer {
        let key = path.split('/').next().unwrap_or_default();
        match self.repository(key).map(|repository| (repository.class, repository.default_deploy.clone())) {
            None => return errors::generic(404, &format!("Could not find a local repository named {key} to deploy to.")),
            Some((Class::Virtual, None)) => return errors::method_not_allowed().header("Allow", "GET"),
            Some(_) => {}
        }
        if let Err(answer) = self.allow(caller, path, Right::Write) {
            return answer;
        }
        let Ok(folder) = self.folder_to_write(key, "files") else { return errors::generic(400, "Unable to upload files to a remote repository.") };
        let path = format!("{folder}{}", &path[key.len()..]);
        let mut bytes = request.body.clone();
        if request.header("X-Checksum-Deploy") == Some("true") {
            let sha256 = request.header("X-Checksum-Sha256").or_else(|| request.header("X-Checksum")).unwrap_or_default();
            let known = self.repositories.iter().find_map(|repository| self.storage.with_content(&repository.key, sha256));
            let Some(known) = known else { return errors::generic(404, &format!("Checksum deploy failed. No existing file with sha256: {sha256}")) };
            bytes = self.storage.read(&known).expect("it was found");
        }
        let wrong = {
            let file = self.storage.put(&path, &bytes, &caller.user, self.now);
            let said = [("X-Checksum-Sha256", &file.sha256), ("X-Checksum-Sha1", &file.sha1), ("X-Checksum-Md5", &file.md5)];
            said.iter().any(|(name, own)| request.header(name).is_some_and(|said| said != own.as_str()))
        };
        if wrong {
            self.storage.remove(&path);
            return errors::generic(409, "Checksum policy failed: the received checksum is not that of the content.");
        }
        let document = describe_file(self.storage.file(&path).expect("just put"), base, &path);
        let answer = Answer::new(201).header("Content-Type", ITEM_CREATED).header("Location", &format!("{base}/artifactory/{path}"));
        answer.body(document.to_string())
    }

    fn download(&self, caller: &Caller, path: &str) -> Answer {
        if let Err(answer) = self.allow(caller, path, Right::Read) {
            return answer;
        }
        let Some(file) = self.storage.file(path) else { return errors::generic(404, "File not found.") };
        let answer = Answer::new(200).header("Content-Type", "application/octet-stream").body(self.storage.read(path).expect("it is known"));
        with_checksums(answer, file)
    }

    fn undeploy(&mut self, caller: &Caller, path: &str) -> Answer {
        if let Err(answer) = self.allow(caller, path, Right::Delete) {
            return answer;
        }
        if self.storage.file(path).is_none() && !self.storage.is_folder(path) {
            return errors::generic(404, &format!("Could not locate artifact '{path}'."));
        }
        self.storage.remove(path);
        Answer::new(204)
    }

    fn search(&self, request: &Request, caller: &Caller) -> Answer {
        let Some(query) = Query::read(&String::from_utf8_lossy(&request.body)) else { return errors::generic(400, "Failed to parse query") };
        let keys = self.repositories.iter().filter(|repository| self.may(&caller.user, &repository.key, Right::Read));
        let results: Vec<Value> =
            keys.flat_map(|repository| self.storage.iter_below(&repository.key)).filter_map(|(path, file)| query.result(path, file)).collect();
        let range = json!({"start_pos": 0, "end_pos": results.len(), "total": results.len()});
        Answer::json(200, &json!({"results": results, "range": range}))
    }

    fn allow(&self, caller: &Caller, path: &str, right: Right) -> Result<(), Answer> {
        let key = path.split('/').next().unwrap_or_default();
        if self.repository(key).is_some() && !self.may(&caller.user, key, right) {
            return Err(errors::generic(403, "Forbidden"));
        }
        Ok(())
    }
}

fn describe_file(file: &File, base: &str, path: &str) -> Value {
    let (repository, rest) = path.split_once('/').expect("a file lies in a repository");
    let checksums = json!({"sha1": file.sha1, "md5": file.md5, "sha256": file.sha256});
    let mut document = Map::new();
    for (name, value) in [
        ("repo", json!(repository)),
        ("path", json!(format!("/{rest}"))),
        ("created", json!(file.created.text())),
        ("createdBy", json!(file.created_by)),
        ("downloadUri", json!(format!("{base}/artifactory/{path}"))),
        ("mimeType", json!("application/octet-stream")),
        ("size", json!(file.size.to_string())),
        ("checksums", checksums.clone()),
        ("originalChecksums", checksums),
        ("uri", json!(format!("{base}/artifactory/api/storage/{path}"))),
    ] {
        document.insert(name.into(), value);
    }
    document.into()
}
