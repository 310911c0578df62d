//! A route: images, and where they go.

use std::fmt;

use crate::error::Result;
use crate::spec::Platform;
use crate::specfile::{At, Place};
use crate::store::Location;
use crate::store::transport::{self, LAYOUT};

use super::endpoint::{Chosen, Endpoint};
use super::glob::Globs;
use super::rename::Renames;
use super::tags::Tags;

/// Images, and where they go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it is asked for.
    pub place: Place,
    /// Where the images are.
    pub from: Vec<At<Endpoint>>,
    /// Where they go.
    pub to: At<Endpoint>,
    /// The repositories that are meant, with or without their host; all where there are none.
    pub repositories: Globs,
    /// Repositories that are not meant.
    pub except: Globs,
    /// The tags that are meant.
    pub tags: Tags,
    /// Repositories that have another name where they go. With any, the others are not meant.
    pub rename: Renames,
    /// Tags that have another name where they go. With any, the others are not meant.
    pub rename_tags: Renames,
    /// The platforms that are carried; all where there are none.
    pub platforms: Vec<Platform>,
    /// What it means that an image lacks some of them.
    pub lacking: Lacking,
    /// Whether what is attached comes along.
    pub attached: Attached,
    /// What becomes of images that have a name which another one is to get.
    pub existing: Existing,
    /// What of the target goes.
    pub prune: Prune,
}

/// What it means that an image lacks some of the platforms that are carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lacking {
    /// A failure: what was asked for must be there.
    #[default]
    Fails,
    /// It comes with those that it has, and the report says so. An image that has none of them fails.
    Skipped,
}

/// Whether what is attached to images comes along: signatures, attestations and the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attached {
    /// It stays.
    #[default]
    Left,
    /// It comes along.
    Carried,
}

/// What becomes of an image whose name another one is to get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It loses the name.
    #[default]
    Replaced,
    /// It keeps the name, and the other does not come. For tags that must never change.
    Kept,
}

/// What of the target goes when images have come there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prune {
    /// Nothing.
    #[default]
    Nothing,
    /// Tags that could have come by this route, and whose image is not meant any more.
    Tags,
}

impl Route {
    /// A route from `from` to `to` for everything.
    pub fn new(place: Place, from: Vec<At<Endpoint>>, to: At<Endpoint>) -> Route {
        Route {
            place,
            from,
            to,
            repositories: Globs::default(),
            except: Globs::default(),
            tags: Tags::default(),
            rename: Renames::default(),
            rename_tags: Renames::default(),
            platforms: Vec::new(),
            lacking: Lacking::default(),
            attached: Attached::default(),
            existing: Existing::default(),
            prune: Prune::default(),
        }
    }

    /// Fails with kind `usage` for a route that contradicts itself, and `unsupported` for what no store of its kind can do.
    pub fn check(&self) -> Result<()> {
        if self.from.is_empty() {
            return Err(self.place.usage("there is nothing that it leads from"));
        }
        self.check_target()?;
        for from in &self.from {
            let one = is_one(&from.value);
            if one && !(self.tags.is_all() && self.repositories.is_empty() && self.except.is_empty()) {
                let message = format!("{} is one image, and which images are meant is said besides", from.value);
                return Err(from.place.usage(message).hint("leave out one of both"));
            }
            if one && self.prune == Prune::Tags {
                return Err(from.place.usage(format!("{} is one image, and pruning would take away all others", from.value)).hint("name the repository alone"));
            }
            if from.value == self.to.value {
                return Err(self.to.place.usage(format!("it leads from {} to itself", self.to.value)));
            }
        }
        Ok(())
    }

    fn check_target(&self) -> Result<()> {
        let place = &self.to.place;
        match &self.to.value {
            Endpoint::Repository(reference) => {
                if reference.digest().is_some() {
                    return Err(place
                        .usage("the target has a digest, which follows from what comes there")
                        .hint("write a tag or nothing after the repository"));
                }
                if !self.rename.is_empty() {
                    let message = format!("{} is one repository, so others can have no new names there", self.to.value);
                    return Err(place.usage(message).hint("end it with a slash, and name repositories below it"));
                }
                if reference.tag().is_some() && !self.rename_tags.is_empty() {
                    return Err(place.usage("the target has a tag, so others can have no new names there").hint("leave out one of both"));
                }
                Ok(())
            }
            Endpoint::Below(_) => Ok(()),
            Endpoint::Local(location) => {
                if matches!(location.selector(), crate::spec::Selector::Digest(_)) {
                    return Err(place.usage("the target has a digest, which follows from what comes there").hint("write a name or nothing after the path"));
                }
                if location.scheme().is_none() {
                    transport::of(location).map_err(|error| place.wrap(error, "cannot tell what is to be there"))?;
                }
                if self.prune == Prune::Tags && !is_layout(location) {
                    return Err(place.error(crate::ErrorKind::Unsupported, format!("nothing can be pruned in {location}, which is no layout")));
                }
                Ok(())
            }
        }
    }

    /// Whether several images would have one name.
    pub fn is_to_one_name(&self) -> bool {
        is_one(&self.to.value)
    }
}

/// Whether an end is one image.
fn is_one(end: &Endpoint) -> bool {
    match end {
        Endpoint::Local(location) => *location.selector() != crate::spec::Selector::Only,
        Endpoint::Repository(reference) => Chosen::of(reference) != Chosen::All,
        Endpoint::Below(_) => false,
    }
}

fn is_layout(location: &Location) -> bool {
    transport::of(location).is_ok_and(|transport| transport.scheme() == LAYOUT)
}

impl fmt::Display for Route {
    /// What a person calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from.as_slice() {
            [only] => write!(f, "{} to {}", only.value, self.to.value),
            [first, others @ ..] => write!(f, "{} and {} more to {}", first.value, others.len(), self.to.value),
            [] => write!(f, "nothing to {}", self.to.value),
        }
    }
}
