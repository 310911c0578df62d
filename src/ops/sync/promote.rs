//! Promotion: an image that was proved good goes from one repository to another, as the bytes that it is.
//!
//! On one Artifactory the server does it itself, by the call that JFrog's CLI makes. Where that call is missing, or the repositories are on different servers,
//! larder copies the image with the copy engine: blobs are mounted where the registry can do that, and sent where it cannot. Whichever way, what is at the
//! target afterwards is read back: a tag must stand on the digest that it had before, and everything below it must be there.
//!
//! A move takes the image from the source. An answer that got lost is made up for by looking: what left the source and arrived at the target is done.

mod answer;
mod carry;
mod check;
mod report;
mod server;
mod way;

pub use report::{Arrived, PromotePlanReport, PromoteReport, Promoted};
pub use server::{Base, Scheme, Server};

use crate::copy::Referrers;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::spec::{Descriptor, Digest, Reference, text};
use crate::store::registry::{Registry, Settings, Which};

use answer::Outcome;
use server::Order;
use way::{By, Ends, OnServer, Way};

/// How often a move is asked for whose answer gets lost.
const MOVE_ATTEMPTS: usize = 3;

/// What to promote, and how.
pub struct PromoteRequest {
    /// From where to where.
    pub route: Route,
    /// Which tags.
    pub tags: Tags,
    /// What becomes of the source.
    pub manner: Manner,
    /// Whether each architecture gets a tag of its own.
    pub arch_tags: ArchTags,
    /// Whether what is attached to the images comes along. Of a move it stays.
    pub referrers: Referrers,
    /// How registries are spoken to.
    pub settings: Settings,
}

/// From where to where.
#[derive(Clone)]
pub enum Route {
    /// Between repositories of one Artifactory.
    Artifactory {
        /// The Artifactory.
        server: Server,
        /// The key of the repository with the image.
        source: String,
        /// The key of the repository that it goes to.
        target: String,
        /// The image, without the key.
        image: String,
        /// What it is called at the target.
        target_image: String,
    },
    /// Between any two repositories; tags and digests of these references are not looked at.
    Registries {
        /// Where the image is.
        source: Reference,
        /// Where it goes.
        target: Reference,
    },
}

impl Route {
    /// The registries that it names.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Route::Artifactory { server, .. } => vec![server.base.host()],
            Route::Registries { source, target } => vec![source.host(), target.host()],
        }
    }
}

/// Which tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// All that the image has, under the names that they have.
    All,
    /// This one.
    One {
        /// The tag at the source.
        source: String,
        /// The tag at the target.
        target: String,
        /// The digest that it must stand on.
        pinned: Option<Digest>,
    },
}

impl Tags {
    /// Whether every tag keeps its name.
    fn stay(&self) -> bool {
        match self {
            Tags::All => true,
            Tags::One { source, target, .. } => source == target,
        }
    }
}

/// What becomes of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It stays.
    Copy,
    /// It goes.
    Move,
}

/// Whether each architecture gets a tag of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchTags {
    /// As the server does it.
    Left,
    /// `TAG-OS-ARCH` for each, with the variant behind the architecture.
    Made,
}

/// One tag on its way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    source_tag: String,
    target_tag: String,
    /// What it stands on.
    root: Descriptor,
    /// What the tag at the target stands on before.
    before: Option<Digest>,
}

impl Step {
    /// Whether the target has it already.
    fn is_there(&self) -> bool {
        self.before.as_ref() == Some(&self.root.digest)
    }
}

/// A promotion that is decided and not yet done.
pub struct Promotion {
    way: Way,
    steps: Vec<Step>,
    manner: Manner,
    tags: Tags,
    arch_tags: ArchTags,
    referrers: Referrers,
}

impl Promotion {
    /// Looks at both ends. Changes nothing.
    ///
    /// Kinds: `not_found` for an image, a tag or a repository that is not there; `usage` for repositories that cannot be promoted from or to; `conflict` where a
    /// pinned tag has moved; `denied`, `unavailable`.
    pub fn plan(run: &Run, request: PromoteRequest) -> Result<Promotion> {
        let way = Way::find(run, &request)?;
        if way.from() == way.to() && request.tags.stay() {
            return Err(Error::usage(format!("{} would be promoted to itself", way.from())).hint("give another repository, image or tag as the target"));
        }
        let steps = steps(run, &way, &request.tags)?;
        let PromoteRequest { manner, tags, arch_tags, referrers, .. } = request;
        Ok(Promotion { way, steps, manner, tags, arch_tags, referrers })
    }

    /// What will be done.
    pub fn report(&self) -> PromotePlanReport {
        PromotePlanReport::new(&self.way, &self.steps, self.manner)
    }

    /// Promotes, and proves that it is done.
    ///
    /// Kinds: `denied`, `conflict` and `unavailable` from the server; `corrupt` and `not_found` where the target does not have what it should.
    pub fn execute(mut self, run: &Run) -> Result<PromoteReport> {
        let mut warnings = Vec::new();
        if self.manner == Manner::Move || !self.is_done(run) {
            let outcome = match &self.way.by {
                By::Server(on) => self.on_server(run, on)?,
                By::Engine => Outcome::Absent(String::new()),
            };
            match outcome {
                Outcome::Absent(why) => {
                    if let By::Server(on) = &self.way.by {
                        warnings.push(format!("{} does not promote this itself ({why}), so larder copies it", on.server.base));
                    }
                    self.way = self.way.by_engine(run, &self.steps)?;
                    carry::copy(run, &self.way.places.open(run)?, &self.steps, Referrers::Left)?;
                }
                Outcome::Partly(said) => warnings.push(said),
                Outcome::Done | Outcome::Locked(_) => {}
            }
        }
        if self.referrers == Referrers::Carried && self.manner == Manner::Copy {
            // No server takes them along. Of the images themselves nothing is sent again.
            carry::copy(run, &self.way.places.open(run)?, &self.steps, Referrers::Carried)?;
        }
        let ends = self.way.places.open(run)?;
        let mut promoted = check::all(run, &ends, &self.steps)?;
        if self.arch_tags == ArchTags::Made {
            carry::arch_tags(run, &ends, &mut promoted, self.manner)?;
        }
        if self.manner == Manner::Move {
            warnings.extend(self.clear_source(run, &ends)?);
        }
        warnings.iter().for_each(|warning| run.events.warn(warning));
        Ok(PromoteReport::new(&self.way, self.manner, promoted, warnings))
    }

    /// Whether the target has everything already, and whole.
    fn is_done(&self, run: &Run) -> bool {
        let is_whole = || check::all(run, &self.way.places.open(run)?, &self.steps);
        self.steps.iter().all(Step::is_there) && is_whole().is_ok()
    }

    /// Lets the server promote.
    fn on_server(&self, run: &Run, on: &OnServer) -> Result<Outcome> {
        let (tag, target_tag) = match &self.tags {
            Tags::All => ("", ""),
            Tags::One { source, target, .. } => (source.as_str(), if target == source { "" } else { target.as_str() }),
        };
        let order = Order {
            target_repo: &on.target,
            docker_repository: &on.image,
            target_docker_repository: if on.target_image == on.image { "" } else { &on.target_image },
            tag,
            target_tag,
            copy: self.manner == Manner::Copy,
        };
        let outcome = match self.manner {
            Manner::Copy => on.server.promote(run, &on.network, &on.source, &order),
            Manner::Move => self.move_on_server(run, on, &order),
        };
        let (from, to) = (self.way.from(), self.way.to());
        outcome.map_err(|error| error.context(format!("cannot promote {from} to {to}")).subject(from))
    }

    /// Lets the server move. What it did is looked at where its answer gets lost, and where what was asked for again is not there any more.
    fn move_on_server(&self, run: &Run, on: &OnServer, order: &Order<'_>) -> Result<Outcome> {
        let mut attempt = 1;
        loop {
            let error = match on.server.promote(run, &on.network, &on.source, order) {
                Err(error) if server::is_lost(&error) || (attempt > 1 && error.kind() == ErrorKind::NotFound) => error,
                outcome => return outcome,
            };
            run.cancel.check()?;
            if self.has_moved(run)? {
                return Ok(Outcome::Done);
            }
            if attempt == MOVE_ATTEMPTS || !server::is_lost(&error) {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Whether everything left the source and arrived at the target.
    fn has_moved(&self, run: &Run) -> Result<bool> {
        let ends = self.way.places.open(run)?;
        for step in &self.steps {
            let there = digest_of(&ends.target, &step.target_tag)?;
            if there.as_ref() != Some(&step.root.digest) || digest_of(&ends.source, &step.source_tag)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sees that nothing of a move stays at the source. Says what does.
    fn clear_source(&self, run: &Run, ends: &Ends) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for step in &self.steps {
            run.cancel.check()?;
            let removed = match (digest_of(&ends.source, &step.source_tag)?, &self.way.by) {
                (None, _) => Ok(()),
                (Some(digest), _) if digest != step.root.digest => Err(Error::conflict(format!("it stands on {digest} by now"))),
                // What the server did not remove, it did not want to remove.
                (Some(_), By::Server(_)) => Err(Error::unsupported("the server has left it there")),
                (Some(_), By::Engine) => ends.source.remove(Which::Tag(&step.source_tag)),
            };
            if let Err(error) = removed {
                warnings.push(format!("`{}` is at the target and still at the source: {error}", text::shown(&step.source_tag)));
            }
        }
        Ok(warnings)
    }
}

/// What a tag stands on; none where it is not there, or where the host does not say.
fn digest_of(repository: &Registry, tag: &str) -> Result<Option<Digest>> {
    match repository.manifest(Which::Tag(tag)) {
        Ok(found) => Ok(found.map(|found| found.digest)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tags, and what they stand on at both ends.
fn steps(run: &Run, way: &Way, tags: &Tags) -> Result<Vec<Step>> {
    let ends = way.places.open(run)?;
    let pairs = match tags {
        Tags::One { source, target, .. } => vec![(source.clone(), target.clone())],
        Tags::All => ends.source.tags()?.into_iter().map(|tag| (tag.clone(), tag)).collect(),
    };
    if pairs.is_empty() {
        return Err(Error::not_found(format!("{} has no tags", way.from())).subject(way.from()));
    }
    let steps = run.pool.waiting(pairs, |(source_tag, target_tag)| {
        run.cancel.check()?;
        let root = ends.source.manifest(Which::Tag(&source_tag))?.ok_or_else(|| absent(way, &source_tag))?;
        let before = ends.target.manifest_before_push(Which::Tag(&target_tag))?.map(|found| found.digest);
        Ok(Step { source_tag, target_tag, root, before })
    })?;
    if let (Tags::One { pinned: Some(pinned), source, .. }, [step]) = (tags, steps.as_slice())
        && step.root.digest != *pinned
    {
        return Err(Error::conflict(format!("the tag `{}` stands on {}, not on {pinned}", text::shown(source), step.root.digest)).subject(way.from()));
    }
    Ok(steps)
}

fn absent(way: &Way, tag: &str) -> Error {
    let error = Error::not_found(format!("there is no {}:{}", way.from(), text::shown(tag))).subject(way.from());
    match &way.by {
        By::Server(on) if on.image.split('/').next() == Some(on.source.as_str()) => {
            error.hint(format!("the image is a name without the key of the repository: leave `{}/` out of it", text::shown(&on.source)))
        }
        _ => error,
    }
}
