//! What is to be copied.

use crate::spec::{ImageName, Platform, Selector};
use crate::store::Source;

/// Images of one source, and how they are to arrive.
#[derive(Clone, Copy)]
pub struct CopyRequest<'s, 'r> {
    /// Where they are.
    pub source: &'s dyn Source,
    /// Which they are.
    pub wanted: &'r Wanted,
    /// Which of their platforms are carried.
    pub platforms: &'r Platforms,
    /// Whether what is attached to them comes along.
    pub referrers: Referrers,
}

impl std::fmt::Debug for CopyRequest<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyRequest").field("source", &self.source.location()).field("wanted", self.wanted).finish_non_exhaustive()
    }
}

/// Which images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One, and what it is called where it arrives.
    One(Selector, Names),
    /// Every entry, under the name that it has.
    All,
}

/// What an image is called where it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// As it is called here.
    Kept,
    /// These instead.
    New(Vec<ImageName>),
}

/// Which platforms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Platforms {
    /// All that there are.
    #[default]
    All,
    /// These, under an index that lists no others and so has another digest.
    Filtered(Vec<Platform>),
    /// These, under the index as it is, which then lists manifests that are not there.
    Sparse(Vec<Platform>),
}

/// Whether what is attached to images comes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Referrers {
    /// It stays, and what was seen of it is told.
    #[default]
    Left,
    /// It comes along, and what is attached to it too.
    Carried,
}
