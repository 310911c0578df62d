//! Everything that an instance is and knows, and the way of a request through it.

use std::time::Duration;

use super::access::Access;
use super::clock::Moment;
use super::errors;
use super::log::{Listener, Log};
use super::media;
use super::setup::{Anonymous, Class, Package, Repository, Setup, User};
use super::site::{Endpoint, Site, base, endpoint};
use super::storage::{Storage, UPLOADS};
use super::switches::Switches;
use super::uploads::Uploads;
use crate::support::http::{Answer, Fault, Intake, Request};

/// How long content is kept for a manifest to come.
const ADOPTION: Duration = Duration::from_secs(24 * 3600);

pub(super) struct World {
    pub(super) repositories: Vec<Repository>,
    pub(super) users: Vec<User>,
    pub(super) anonymous: Anonymous,
    pub(super) version: String,
    pub(super) switches: Switches,
    pub(super) storage: Storage,
    pub(super) uploads: Uploads,
    pub(super) access: Access,
    pub(super) log: Log,
    pub(super) now: Moment,
    /// The URL of the object store.
    pub(super) object_store: String,
    /// What nobody can guess who did not get it from here.
    pub(super) secret: String,
}

impl World {
    pub(super) fn new(setup: Setup) -> World {
        let Setup { repositories, users, anonymous, version, switches, identity: _ } = setup;
        let storage = Storage::new();
        // The name of a temporary directory is as random as a test needs it.
        let secret = storage.root().file_name().expect("a name").to_string_lossy().replace('.', "");
        World {
            repositories,
            users,
            anonymous,
            version,
            switches,
            storage,
            uploads: Uploads::default(),
            access: Access::default(),
            log: Log::default(),
            now: Moment::START,
            object_store: String::new(),
            secret,
        }
    }

    pub(super) fn repository(&self, key: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.key == key)
    }

    /// Lets time pass, and does what is done every day.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        let keys: Vec<String> = self.repositories.iter().map(|repository| repository.key.clone()).collect();
        for key in keys {
            let old = self.storage.iter_below(&key).filter(|(path, file)| path.contains(&format!("/{UPLOADS}/")) && self.now.since(file.created) > ADOPTION);
            let old: Vec<String> = old.map(|(path, _)| path.to_owned()).collect();
            old.iter().for_each(|path| self.storage.remove(path));
        }
    }

    /// What becomes of the body of a request.
    pub(super) fn intake(&mut self, head: &Request) -> Intake {
        let length = head.header("Content-Length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
        if let Some(limit) = self.switches.body_limit.filter(|limit| length > *limit) {
            let words = format!("<html><head><title>413 Request Entity Too Large</title></head><body>more than {limit}</body></html>");
            let answer = self.finished(head, Answer::new(413).header("Content-Type", "text/html").body(words));
            self.log.add(Listener::Artifactory, head, &answer);
            return Intake::Refused(answer);
        }
        match &mut self.switches.drop_connection {
            Some(drop) if length > drop.after && drop.hits(head) => {
                drop.times -= 1;
                let after = drop.after;
                // Nobody got an answer.
                self.log.add(Listener::Artifactory, head, &Answer::new(0));
                Intake::CutAt(after)
            }
            _ => Intake::Whole,
        }
    }

    /// Answers, and writes down that it did. `repository` is that of the port, if it has one.
    pub(super) fn answer(&mut self, request: &Request, repository: Option<&str>) -> Answer {
        // As a proxy it is the way to itself, whatever the name.
        if request.method == "CONNECT" {
            return Answer::new(200);
        }
        if request.path == "/__log" {
            return Answer::json(200, &self.log.document());
        }
        let answer = self.hindrance(request).unwrap_or_else(|| self.route(request, repository));
        let mut answer = self.finished(request, answer);
        let drop = self.switches.drop_connection.as_mut().filter(|drop| request.body.is_empty() && drop.hits(request) && answer.body.len() as u64 > drop.after);
        if let Some(drop) = drop {
            drop.times -= 1;
            answer = answer.fault(Fault::CutAt(usize::try_from(drop.after).expect("a length")));
        }
        self.log.add(Listener::Artifactory, request, &answer);
        answer
    }

    /// What stands in the way of every request.
    fn hindrance(&mut self, request: &Request) -> Option<Answer> {
        if let Some(limit) = self.switches.rate_limit.as_mut().filter(|limit| limit.times > 0 && request.path.contains(&limit.path)) {
            limit.times -= 1;
            let text = "You reached the request rate limit set by the Artifactory registry. Please contact Artifactory admin.";
            return Some(errors::registry(429, "TOOMANYREQUESTS", text, &serde_json::Value::Null).header("Retry-After", &limit.retry_after));
        }
        let status = self.switches.redirect_http_to_https.filter(|_| request.scheme == "http" && matches!(request.method.as_str(), "POST" | "PATCH"))?;
        let host = request.header("Host").unwrap_or("localhost");
        Some(Answer::new(status).header("Location", &format!("https://{host}{}", request.target())))
    }

    /// Adds what is in every answer.
    fn finished(&self, request: &Request, answer: Answer) -> Answer {
        let registry = request.path.starts_with("/v2/") || request.path == "/v2" || request.path.starts_with("/artifactory/api/docker/");
        let answer = answer
            .header("X-Jfrog-Version", &format!("Artifactory/{} 79999900", self.version))
            .header("X-Artifactory-Id", &format!("{:0>40}", self.secret))
            .header("X-Artifactory-Node-Id", "stand-in");
        if registry { answer.header("Docker-Distribution-Api-Version", "registry/2.0") } else { answer }
    }

    fn route(&mut self, request: &Request, repository: Option<&str>) -> Answer {
        let base = base(request);
        if let Some(rest) = request.path.strip_prefix("/artifactory/api/docker/") {
            return match rest.split_once('/') {
                Some(("v2", _)) => errors::generic(400, "Unsupported docker repository request for 'v2'"),
                Some((key, rest)) if rest == "v2" || rest.starts_with("v2/") => self.registry(request, &Site::api(&base, key), rest.get(3..).unwrap_or("")),
                _ => errors::generic(404, "Not Found"),
            };
        }
        if request.path.starts_with("/artifactory/") {
            return self.rest(request, &base);
        }
        let Some(rest) = request.path.strip_prefix("/v2").filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return errors::generic(404, "Not Found");
        };
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let host = request.header("Host").unwrap_or_default();
        let subdomain = host.split_once('.').map(|(first, _)| first.to_owned()).filter(|first| self.repository(first).is_some());
        if let Some(key) = repository.map(str::to_owned).or(subdomain) {
            return self.registry(request, &Site::host(&base, &key), rest);
        }
        match rest.split_once('/') {
            None if rest.is_empty() => self.ping(request, &Site::path(&base, "")),
            None if rest == "token" => self.give_token(request),
            Some((key, rest)) if self.repository(key).is_some() => self.registry(request, &Site::path(&base, key), rest),
            _ => {
                let first = rest.split('/').next().unwrap_or_default();
                errors::generic(404, &format!("Unsupported docker v2 repository request for '{first}'"))
            }
        }
    }

    /// The interface of a registry, of one repository.
    fn registry(&mut self, request: &Request, site: &Site, rest: &str) -> Answer {
        let believes = self.switches.https_location_on_http && request.header("X-Forwarded-Proto").is_none();
        let site = &if believes { site.clone().believing_in_tls() } else { site.clone() };
        let unsupported = || errors::generic(404, &format!("Unsupported docker v2 repository request for '{}'", site.repository));
        let Some(repository) = self.repository(&site.repository) else { return unsupported() };
        let endpoint = endpoint(rest);
        if repository.package == Package::Generic && endpoint != Endpoint::Promote {
            return unsupported();
        }
        if self.switches.strict_accept_406 && !matches!(endpoint, Endpoint::Manifest { .. }) && media::manifests_accepted(&request.list("Accept")) {
            return errors::generic(406, "Not Acceptable");
        }
        match (request.method.as_str(), &endpoint) {
            (_, Endpoint::Token) => self.give_token(request),
            ("GET" | "HEAD", Endpoint::Ping) => self.ping(request, site),
            ("POST", Endpoint::Promote) => self.promote(request, &site.repository),
            ("GET", Endpoint::Catalog) => self.catalog(request, site),
            ("GET", Endpoint::Tags { image }) => self.tags(request, site, image),
            ("GET", Endpoint::Referrers { image, digest }) => self.referrers(request, site, image, digest),
            ("GET" | "HEAD", Endpoint::Manifest { image, reference }) => self.get_manifest(request, site, image, reference),
            ("PUT", Endpoint::Manifest { image, reference }) => self.put_manifest(request, site, image, reference),
            ("DELETE", Endpoint::Manifest { image, reference }) => self.delete_manifest(request, site, image, reference),
            ("GET" | "HEAD", Endpoint::Blob { image, digest }) => self.get_blob(request, site, image, digest),
            ("POST", Endpoint::Uploads { image }) => self.begin_upload(request, site, image),
            ("PATCH", Endpoint::Upload { image, id }) => self.continue_upload(request, site, image, id),
            ("PUT", Endpoint::Upload { image, id }) => self.end_upload(request, site, image, id),
            ("GET", Endpoint::Upload { .. }) => errors::upload_unknown(),
            (_, Endpoint::Unknown) => errors::generic(404, "Not Found"),
            _ => errors::method_not_allowed(),
        }
    }

    /// The repositories that content is looked for in, in this order.
    pub(super) fn folders_to_read(&self, key: &str) -> Vec<String> {
        match self.repository(key) {
            Some(repository) if repository.class == Class::Virtual => repository.members.iter().flat_map(|member| self.folders_to_read(member)).collect(),
            Some(repository) if repository.class == Class::Remote => vec![format!("{key}-cache")],
            Some(_) => vec![key.to_owned()],
            None => Vec::new(),
        }
    }

    /// The repository that takes what is pushed to this one.
    pub(super) fn folder_to_write(&self, key: &str, what: &str) -> Result<String, Answer> {
        let repository = self.repository(key).expect("it was routed to");
        match (repository.class, &repository.default_deploy) {
            (Class::Remote, _) => Err(errors::generic(400, &format!("Unable to upload {what} to a remote repository."))),
            (Class::Virtual, None) => Err(errors::generic(400, "No local repository is configured for deployment to this virtual repository.")),
            (Class::Virtual, Some(local)) => Ok(local.clone()),
            (Class::Local | Class::Federated, _) => Ok(key.to_owned()),
        }
    }
}
