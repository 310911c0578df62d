//! Which way a promotion goes: what does it, and how both ends are reached.

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::{Reference, text};
use crate::store::registry::{HostSettings, Network, Registry, Security, Settings, Which};

use super::server::{Class, Scheme, Server};
use super::{Manner, PromoteRequest, Route, Step, Tags};

/// Both ends of a promotion, as they are reached now. What one of them has learnt of the server is not asked again; so whoever proves something begins anew.
pub(super) struct Ends {
    /// The repository with the image.
    pub(super) source: Registry,
    /// The one that it goes to.
    pub(super) target: Registry,
}

/// Where both ends are.
pub(super) struct Places {
    pub(super) source: Reference,
    pub(super) target: Reference,
    settings: Reaching,
}

/// How both ends are reached.
enum Reaching {
    /// As repositories of one network, which can take blobs from one to the other.
    Together(Box<Settings>),
    /// Each in its own way.
    Apart(Box<Settings>, Box<Settings>),
}

impl Places {
    /// Opens both ends, knowing nothing of them.
    pub(super) fn open(&self, run: &Run) -> Result<Ends> {
        let one = |settings: &Settings, reference: &Reference| Network::new(settings.clone(), run)?.repository(reference);
        match &self.settings {
            Reaching::Together(settings) => {
                let network = Network::new(Settings::clone(settings), run)?;
                Ok(Ends { source: network.repository(&self.source)?, target: network.repository(&self.target)? })
            }
            Reaching::Apart(source, target) => Ok(Ends { source: one(source, &self.source)?, target: one(target, &self.target)? }),
        }
    }
}

/// Which way it goes.
pub(super) struct Way {
    pub(super) places: Places,
    pub(super) by: By,
}

/// What does it.
pub(super) enum By {
    /// The Artifactory that has both ends.
    Server(Box<OnServer>),
    /// The copy engine.
    Engine,
}

/// A promotion by the server.
pub(super) struct OnServer {
    pub(super) server: Server,
    pub(super) network: Network,
    /// The keys of the repositories that hold images themselves.
    pub(super) source: String,
    pub(super) target: String,
    pub(super) image: String,
    pub(super) target_image: String,
    settings: Settings,
}

impl Way {
    /// Decides. Asks the server what its repositories are.
    pub(super) fn find(run: &Run, request: &PromoteRequest) -> Result<Way> {
        match &request.route {
            Route::Registries { source, target } => {
                let settings = Reaching::Together(Box::new(request.settings.clone()));
                Ok(Way { places: Places { source: source.clone(), target: target.clone(), settings }, by: By::Engine })
            }
            Route::Artifactory { server, source, target, image, target_image } => {
                if request.settings.of(server.base.host()).api_prefix.is_some() {
                    return Err(Error::usage("the path of an API is given, and an Artifactory has one for each repository").hint("leave out --api-prefix"));
                }
                let settings = for_server(&request.settings, server);
                let network = Network::new(settings.clone(), run)?;
                let wanted = Wanted { run, server, settings: &settings, network: &network, manner: request.manner, tags: &request.tags };
                let Some((source, by)) = wanted.source(source, image)? else { return wanted.elsewhere(source, target, image, target_image) };
                let Some(target) = wanted.target(target)? else { return wanted.elsewhere(&source, target, image, target_image) };
                let host = server.base.host();
                let places = Places {
                    source: reference(host, image)?,
                    target: reference(host, target_image)?,
                    settings: Reaching::Apart(Box::new(wanted.directly(&source)), Box::new(wanted.directly(&target))),
                };
                let (image, target_image) = (image.clone(), target_image.clone());
                let by = match by {
                    Doer::Engine => By::Engine,
                    Doer::Server => By::Server(Box::new(OnServer { server: server.clone(), network, source, target, image, target_image, settings })),
                };
                Ok(Way { places, by })
            }
        }
    }

    /// The same for the copy engine. Where the server shows its repositories as paths they are one registry, which can take blobs from one to the other.
    pub(super) fn by_engine(self, run: &Run, steps: &[Step]) -> Result<Way> {
        let By::Server(on) = self.by else { return Ok(self) };
        let host = on.server.base.host();
        let places = Places {
            source: reference(host, &format!("{}/{}", on.source, on.image))?,
            target: reference(host, &format!("{}/{}", on.target, on.target_image))?,
            settings: Reaching::Together(Box::new(on.settings)),
        };
        let source = places.open(run)?.source;
        let same = |step: &Step| source.manifest(Which::Tag(&step.source_tag)).is_ok_and(|found| found.is_some_and(|found| found.digest == step.root.digest));
        let places = if steps.iter().take(1).any(same) { places } else { self.places };
        Ok(Way { places, by: By::Engine })
    }

    /// What is promoted, for people.
    pub(super) fn from(&self) -> String {
        match &self.by {
            By::Server(on) => format!("{}/{}", on.source, on.image),
            By::Engine => shown(&self.places.source),
        }
    }

    /// Where it goes, for people.
    pub(super) fn to(&self) -> String {
        match &self.by {
            By::Server(on) => format!("{}/{}", on.target, on.target_image),
            By::Engine => shown(&self.places.target),
        }
    }
}

/// The repository, whatever tag or digest was written behind it.
fn shown(reference: &Reference) -> String {
    format!("{}/{}", reference.host(), reference.repository())
}

/// What does it, as far as one repository decides.
enum Doer {
    Server,
    Engine,
}

/// What is wanted of one server.
struct Wanted<'a> {
    run: &'a Run,
    server: &'a Server,
    settings: &'a Settings,
    network: &'a Network,
    manner: Manner,
    tags: &'a Tags,
}

impl Wanted<'_> {
    /// The repository that has the image itself. None where the server is no Artifactory.
    fn source(&self, key: &str, image: &str) -> Result<Option<(String, Doer)>> {
        let Some(class) = self.server.class(self.network, key)? else { return Ok(None) };
        let shown = text::shown(key);
        match class {
            Class::Physical | Class::Untold => Ok(Some((key.to_owned(), Doer::Server))),
            Class::Remote if self.manner == Manner::Copy => Ok(Some((key.to_owned(), Doer::Engine))),
            Class::Remote => {
                Err(Error::usage(format!("nothing can be moved out of `{shown}`, which shows what another server has")).subject(&shown).hint("add --copy"))
            }
            Class::Virtual(_) => {
                let Tags::One { source: tag, .. } = self.tags else {
                    return Err(Error::usage(format!("`{shown}` stands for several repositories, and all tags are meant"))
                        .subject(&shown)
                        .hint("name the local repository"));
                };
                let registry = Network::new(self.directly(key), self.run)?.repository(&reference(self.server.base.host(), image)?)?;
                let physical = registry.physical_repository(Which::Tag(tag))?.filter(|physical| physical != key);
                match physical.map(|physical| self.server.class(self.network, &physical).map(|class| (physical, class))).transpose()? {
                    Some((physical, Some(Class::Physical))) => Ok(Some((physical, Doer::Server))),
                    Some((physical, _)) if self.manner == Manner::Copy => Ok(Some((physical, Doer::Engine))),
                    _ => Err(Error::usage(format!("`{shown}` stands for several repositories, and does not say which has the image"))
                        .subject(&shown)
                        .hint("name the local repository")),
                }
            }
        }
    }

    /// The repository that takes the image itself. None where the server is no Artifactory.
    fn target(&self, key: &str) -> Result<Option<String>> {
        let shown = text::shown(key);
        match self.server.class(self.network, key)? {
            None => Ok(None),
            Some(Class::Physical | Class::Untold) => Ok(Some(key.to_owned())),
            Some(Class::Virtual(Some(local))) => Ok(Some(local)),
            Some(Class::Virtual(None)) => Err(Error::usage(format!("`{shown}` stands for several repositories, and for none that takes images"))
                .subject(&shown)
                .hint("name the local repository")),
            Some(Class::Remote) => Err(Error::usage(format!("nothing can be put into `{shown}`, which shows what another server has")).subject(&shown)),
        }
    }

    /// How a repository is reached where Artifactory itself has it, whatever stands before the server.
    fn directly(&self, key: &str) -> Settings {
        let mut settings = self.settings.clone();
        let host = self.server.base.host();
        let own = HostSettings { api_prefix: Some(self.server.base.registry(key)), ..settings.of(host).clone() };
        settings.hosts.insert(host.to_owned(), own);
        settings
    }

    /// The way on a server that is no Artifactory: the repositories are the beginnings of names.
    fn elsewhere(&self, source: &str, target: &str, image: &str, target_image: &str) -> Result<Way> {
        let place = |key: &str, image: &str| reference(self.server.base.host(), &format!("{key}/{image}"));
        let settings = Reaching::Together(Box::new(self.settings.clone()));
        Ok(Way { places: Places { source: place(source, image)?, target: place(target, target_image)?, settings }, by: By::Engine })
    }
}

fn reference(host: &str, repository: &str) -> Result<Reference> {
    let reference: Reference = format!("{host}/{repository}").parse()?;
    match reference.repository() == repository {
        true => Ok(reference),
        false => {
            Err(Error::usage(format!("`{}` is not the name of an image", text::shown(repository))).hint("give the tag with --source-tag and --target-tag"))
        }
    }
}

/// The settings with what the URL of the server says.
fn for_server(settings: &Settings, server: &Server) -> Settings {
    let mut settings = settings.clone();
    if server.base.scheme() == Scheme::Http {
        let host = server.base.host();
        let plain = HostSettings { security: Security::Plain, ..settings.of(host).clone() };
        settings.hosts.insert(host.to_owned(), plain);
    }
    settings
}
