//! What an Artifactory is set up with: repositories, people and their rights.

use std::collections::BTreeMap;

use super::switches::Switches;
use crate::support::authority::Identity;

/// A user who may do everything in every repository of [`Setup::release`].
pub(crate) const USER: &str = "ci";
pub(crate) const PASSWORD: &str = "swordfish-of-the-release";
/// Tokens of that user.
pub(crate) const ACCESS_TOKEN: &str = "eyJ2ZXIiOiIyIn0.eyJzdWIiOiJqZnJ0QDAxL3VzZXJzL2NpIn0.c2lnbmF0dXJlLW9mLXRoZS1yZWxlYXNl";
pub(crate) const REFERENCE_TOKEN: &str = "cmVmdGtuOjAxOjE4MDAwMDAwMDA6cmVmZXJlbmNlLXRva2VuLW9mLXJlbGVhc2Uh";
pub(crate) const API_KEY: &str = "AKCp8kqqfXyQpikey-of-the-release";

/// A user who may only read.
pub(crate) const READER: &str = "reader";
pub(crate) const READER_PASSWORD: &str = "trout-of-the-reader";

/// A user who may write but not overwrite.
pub(crate) const WRITER: &str = "writer";
pub(crate) const WRITER_PASSWORD: &str = "carp-of-the-writer";

/// What a test instance is made of.
pub(crate) struct Setup {
    pub(super) repositories: Vec<Repository>,
    pub(super) users: Vec<User>,
    pub(super) anonymous: Anonymous,
    pub(super) version: String,
    pub(super) switches: Switches,
    pub(super) identity: Option<Identity>,
}

/// A repository of Artifactory, which holds many images.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) key: String,
    pub(crate) class: Class,
    pub(crate) package: Package,
    /// Of a virtual repository, in the order they are asked.
    pub(crate) members: Vec<String>,
    /// Where a virtual repository puts what is pushed to it.
    pub(crate) default_deploy: Option<String>,
    /// No limit is 0.
    pub(crate) max_unique_tags: usize,
    /// With more than 1 a tag that is overwritten stays under another name.
    pub(crate) tag_retention: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Local,
    Remote,
    Virtual,
    Federated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    Docker,
    Oci,
    Generic,
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) tokens: Vec<Token>,
    /// By repository, letters of `rwdn`: read, write, delete or overwrite, annotate.
    pub(super) rights: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Access,
    Reference,
    ApiKey,
}

/// What those may who do not say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anonymous {
    Nothing,
    Read,
}

impl Setup {
    /// Nothing.
    pub(crate) fn new() -> Setup {
        let version = "7.125.4".into();
        Setup { repositories: Vec::new(), users: Vec::new(), anonymous: Anonymous::Nothing, version, switches: Switches::default(), identity: None }
    }

    /// What a release goes through: `docker-local` and `docker-target`, one repository of every other class, and three users.
    pub(crate) fn release() -> Setup {
        let setup = Setup::new()
            .repository(Repository::new("docker-local", Class::Local, Package::Docker))
            .repository(Repository::new("docker-target", Class::Local, Package::Docker))
            .repository(Repository::new("docker-federated", Class::Federated, Package::Docker))
            .repository(Repository::new("docker-remote", Class::Remote, Package::Docker))
            .repository(Repository::union("docker-virtual", &["docker-local", "docker-remote"]).deploying_to("docker-local"))
            .repository(Repository::union("docker-union", &["docker-local", "docker-target"]))
            .repository(Repository::new("oci-local", Class::Local, Package::Oci))
            .repository(Repository::new("generic-local", Class::Local, Package::Generic));
        let keys: Vec<String> = setup.repositories.iter().map(|repository| repository.key.clone()).collect();
        let rights = |letters: &str| keys.iter().map(|key| (key.clone(), letters.to_owned())).collect();
        let token = |value: &str, kind| Token { value: value.into(), kind };
        let tokens = vec![token(ACCESS_TOKEN, TokenKind::Access), token(REFERENCE_TOKEN, TokenKind::Reference), token(API_KEY, TokenKind::ApiKey)];
        setup
            .user(User { name: USER.into(), password: PASSWORD.into(), tokens, rights: rights("rwdn") })
            .user(User { name: READER.into(), password: READER_PASSWORD.into(), tokens: Vec::new(), rights: rights("r") })
            .user(User { name: WRITER.into(), password: WRITER_PASSWORD.into(), tokens: Vec::new(), rights: rights("rwn") })
    }

    #[must_use]
    pub(crate) fn repository(mut self, repository: Repository) -> Setup {
        self.repositories.retain(|own| own.key != repository.key);
        self.repositories.push(repository);
        self
    }

    fn user(mut self, user: User) -> Setup {
        self.users.push(user);
        self
    }

    /// Takes a user the rights in a repository, and gives these.
    #[must_use]
    pub(crate) fn grant(mut self, user: &str, repository: &str, letters: &str) -> Setup {
        let user = self.users.iter_mut().find(|own| own.name == user).expect("a user");
        user.rights.insert(repository.into(), letters.into());
        self
    }

    /// Gives a user another password, which nobody else has.
    #[must_use]
    pub(crate) fn password(mut self, user: &str, password: &str) -> Setup {
        let user = self.users.iter_mut().find(|own| own.name == user).expect("a user");
        user.password = password.into();
        self
    }

    #[must_use]
    pub(crate) fn anonymous(mut self, anonymous: Anonymous) -> Setup {
        self.anonymous = anonymous;
        self
    }

    /// Behaves as this version does, as far as that is known.
    #[must_use]
    pub(crate) fn version(mut self, version: &str) -> Setup {
        self.switches = Switches::of_version(version);
        self.version = version.into();
        self
    }

    #[must_use]
    pub(crate) fn switch(mut self, change: impl FnOnce(&mut Switches)) -> Setup {
        change(&mut self.switches);
        self
    }

    /// Serves HTTPS.
    #[must_use]
    pub(crate) fn tls(mut self, identity: Identity) -> Setup {
        self.identity = Some(identity);
        self
    }
}

impl Repository {
    pub(crate) fn new(key: &str, class: Class, package: Package) -> Repository {
        Repository { key: key.into(), class, package, members: Vec::new(), default_deploy: None, max_unique_tags: 0, tag_retention: 1 }
    }

    /// A virtual repository of these.
    pub(crate) fn union(key: &str, members: &[&str]) -> Repository {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        Repository { members, ..Repository::new(key, Class::Virtual, Package::Docker) }
    }

    #[must_use]
    pub(crate) fn deploying_to(mut self, key: &str) -> Repository {
        self.default_deploy = Some(key.into());
        self
    }

    /// Whether content is pushed and promoted to it under its own key.
    pub(super) fn is_physical(&self) -> bool {
        matches!(self.class, Class::Local | Class::Federated)
    }
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Local => "local",
            Class::Remote => "remote",
            Class::Virtual => "virtual",
            Class::Federated => "federated",
        }
    }
}

impl Package {
    pub(super) fn name(self) -> &'static str {
        match self {
            Package::Docker => "docker",
            Package::Oci => "oci",
            Package::Generic => "generic",
        }
    }
}
