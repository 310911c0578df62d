//! Names of images in a layout: the two annotations that tools put on the entries of `index.json`, and finding an entry by them.
//!
//! `org.opencontainers.image.ref.name` holds the tag (containerd, BuildKit, Docker) or any text (skopeo, podman);
//! `io.containerd.image.name` holds the full reference. larder writes the tag and, where the repository is known, the full reference, so
//! that all of them find the image. What identifies an entry is its full reference, or without one its ref.name: two repositories with the
//! same tag live side by side. image-spec, annotations.md.

mod prefix;

use std::fmt;

pub use prefix::Prefix;

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::manifest::ImageIndex;
use super::reference::{DEFAULT_TAG, Reference, is_tag, validate_tag};
use super::{annotation, text};
use crate::error::{Error, Result};

/// How many names an error lists.
const LISTED_NAMES: usize = 10;

/// What an entry of a layout is called: a full reference, a ref.name, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    image: Option<String>,
    ref_name: Option<String>,
}

impl ImageName {
    /// The name for a reference as people write it: `hello:1` is `docker.io/library/hello:1`; a missing tag is `latest`. Fails with kind
    /// `usage`.
    pub fn parse_reference(text: &str) -> Result<ImageName> {
        let reference: Reference = text.parse()?;
        if reference.digest().is_some() {
            return Err(Error::usage(format!("`{}` cannot be a name: it has a digest", text::shown(text)))
                .hint("a digest follows from the content; give a repository and a tag"));
        }
        reference.with_tag(reference.tag().unwrap_or(DEFAULT_TAG)).map(|reference| ImageName::full(&reference))
    }

    /// A tag without a repository. Fails with kind `usage`.
    pub fn tag_only(tag: &str) -> Result<ImageName> {
        validate_tag(tag)?;
        Ok(ImageName { image: None, ref_name: Some(tag.into()) })
    }

    /// A tag in a repository, which is completed as in [`ImageName::parse_reference`]. Fails with kind `usage`.
    pub fn with_repository(repository: &str, tag: &str) -> Result<ImageName> {
        let reference: Reference = repository.parse()?;
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(Error::usage(format!("`{}` is not a repository: it has a tag or a digest", text::shown(repository))));
        }
        reference.with_tag(tag).map(|reference| ImageName::full(&reference))
    }

    /// The name for what people give an image in a word or a reference: a word alone is a tag, of `repository` where there is one; all else is as in
    /// [`ImageName::parse_reference`]. Fails with kind `usage`.
    pub fn parse_within(text: &str, repository: Option<&str>) -> Result<ImageName> {
        match repository {
            _ if text.contains(['/', ':', '@']) => ImageName::parse_reference(text),
            Some(repository) => ImageName::with_repository(repository, text),
            None => ImageName::tag_only(text),
        }
    }

    /// The name for what follows the path in `oci:PATH:NAME`: a reference with host and tag becomes a full name, all else the ref.name as
    /// it stands. Fails with kind `usage` for text that is neither a tag nor in the grammar of ref.name.
    pub fn verbatim(text: &str) -> Result<ImageName> {
        let has_host = |reference: &Reference| text.starts_with(&format!("{}/", reference.host()));
        match text.parse::<Reference>() {
            Ok(reference) if reference.tag().is_some() && reference.digest().is_none() && has_host(&reference) => Ok(ImageName::full(&reference)),
            _ if is_tag(text) || is_ref_name(text) => Ok(ImageName { image: None, ref_name: Some(text.into()) }),
            _ => {
                Err(Error::usage(format!("invalid name `{}`", text::shown(text)))
                    .hint("a name is made of letters and digits, separated by `/` or one of `-._:@+`"))
            }
        }
    }

    fn full(reference: &Reference) -> ImageName {
        ImageName { image: Some(reference.to_string()), ref_name: reference.tag().map(Into::into) }
    }

    /// The name of an entry as its annotations have it, whoever wrote them; none for an entry without a name.
    pub fn of(descriptor: &Descriptor) -> Option<ImageName> {
        let annotation = |key| descriptor.annotation(key).filter(|text| !text.is_empty()).map(Into::into);
        let name = ImageName { image: annotation(annotation::IMAGE_NAME), ref_name: annotation(annotation::REF_NAME) };
        (name.image.is_some() || name.ref_name.is_some()).then_some(name)
    }

    /// Gives an entry this name in place of the one it has.
    pub fn apply(&self, descriptor: &mut Descriptor) {
        ImageName::clear(descriptor);
        for (key, text) in [(annotation::IMAGE_NAME, &self.image), (annotation::REF_NAME, &self.ref_name)] {
            if let Some(text) = text {
                descriptor.annotations.insert(key.into(), text.clone());
            }
        }
    }

    /// Takes its name from an entry.
    pub fn clear(descriptor: &mut Descriptor) {
        descriptor.annotations.remove(annotation::IMAGE_NAME);
        descriptor.annotations.remove(annotation::REF_NAME);
    }

    /// The full reference, where it is known.
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// The ref.name: the tag, or whatever the writer of the entry put there.
    pub fn ref_name(&self) -> Option<&str> {
        self.ref_name.as_deref()
    }

    /// The name as it is known to others: the full reference, else the ref.name. Foreign text: it is not safe to show as it is.
    pub fn as_str(&self) -> &str {
        self.image.as_deref().or(self.ref_name.as_deref()).unwrap_or_default()
    }

    /// The tag: the ref.name when it is one, else that of the full reference.
    pub fn tag(&self) -> Option<String> {
        match &self.ref_name {
            Some(text) if is_tag(text) => Some(text.clone()),
            _ => self.reference()?.tag().map(Into::into),
        }
    }

    /// The full reference, or a ref.name that is one, with the parts filled in that Docker's tools leave out.
    pub fn reference(&self) -> Option<Reference> {
        // A word alone is a tag and not a repository.
        let text = self.image.as_deref().or_else(|| self.ref_name.as_deref().filter(|text| text.contains(['/', ':'])))?;
        let reference: Reference = text.parse().ok()?;
        if reference.tag().is_some() || reference.digest().is_some() { Some(reference) } else { reference.with_tag(DEFAULT_TAG).ok() }
    }
}

impl fmt::Display for ImageName {
    /// [`ImageName::as_str`], made safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::shown(self.as_str()))
    }
}

/// Whether an entry has the name `name`, so that giving `name` to another entry takes it from this one.
///
/// With a full reference on both sides these decide; without one on either side the ref.names do. A name with and one without a repository
/// are different names.
pub fn same_name(descriptor: &Descriptor, name: &ImageName) -> bool {
    let Some(own) = ImageName::of(descriptor) else { return false };
    match (&own.image, &name.image) {
        (Some(a), Some(b)) => a == b || own.reference().is_some_and(|own| name.reference() == Some(own)),
        (None, None) => own.ref_name == name.ref_name,
        _ => false,
    }
}

/// Which entry of a layout is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this name, in any of the forms that people use.
    Name(String),
    /// The one with this digest.
    Digest(Digest),
    /// The only one there is.
    Only,
}

impl Selector {
    /// The selector for what follows the path of a location: nothing, a name, or `@DIGEST` with or without a name before it. A digest
    /// decides alone. Fails with kind `usage` when a digest must follow and does not.
    pub fn parse(text: &str) -> Result<Selector> {
        if text.is_empty() {
            return Ok(Selector::Only);
        }
        match text.rsplit_once('@').map(|(name, digest)| (name, digest.parse::<Digest>())) {
            Some((_, Ok(digest))) => Ok(Selector::Digest(digest)),
            Some(("", Err(error))) => Err(Error::usage(error.message())),
            _ => Ok(Selector::Name(text.into())),
        }
    }

    /// All entries that are meant, in the order of the index: one name may stand on several of them, and a short one may mean several names.
    pub fn entries<'a>(&self, index: &'a ImageIndex) -> Vec<&'a Descriptor> {
        let all = &index.manifests;
        match self {
            Selector::Only => all.iter().collect(),
            Selector::Digest(digest) => all.iter().filter(|entry| entry.digest == *digest).collect(),
            Selector::Name(name) => named(name, all),
        }
    }

    /// The entry that is meant.
    ///
    /// Kinds: `not_found` when there is none, with the names there are; `usage` when several with different digests are meant.
    pub fn select<'a>(&self, index: &'a ImageIndex) -> Result<&'a Descriptor> {
        let hits = self.entries(index);
        let Some(first) = hits.first().copied() else { return Err(self.absent(index)) };
        if hits.iter().all(|hit| hit.digest == first.digest) {
            return Ok(first);
        }
        Err(self.ambiguous(&hits))
    }

    /// That no entry is meant, with the names there are. Kind `not_found`.
    pub fn absent(&self, index: &ImageIndex) -> Error {
        let all = &index.manifests;
        match self {
            Selector::Only => Error::not_found("there is no image"),
            Selector::Digest(digest) => Error::not_found(format!("there is no image with digest {digest}")).subject(digest),
            Selector::Name(name) => {
                let message = match all.is_empty() {
                    true => format!("there is no image named `{}`: there is no image at all", text::shown(name)),
                    false => format!("there is no image named `{}`; there are {}", text::shown(name), listed(all)),
                };
                Error::not_found(message).subject(text::shown(name))
            }
        }
    }

    /// That these entries are too many to be meant. Kind `usage`.
    pub fn ambiguous(&self, hits: &[&Descriptor]) -> Error {
        let several = match self {
            Selector::Name(name) => format!("`{}` names more than one image", text::shown(name)),
            Selector::Digest(_) | Selector::Only => "there is more than one image".to_owned(),
        };
        Error::usage(format!("{several}: {}", listed(hits.iter().copied()))).hint("give the full name, or a digest as `@sha256:…`")
    }
}

impl fmt::Display for Selector {
    /// The form that [`Selector::parse`] reads, made safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Name(name) => f.pad(&text::shown(name)),
            Selector::Digest(digest) => write!(f, "@{digest}"),
            Selector::Only => Ok(()),
        }
    }
}

/// The entries that `wanted` names by the strongest of the conventions that any entry follows.
fn named<'a>(wanted: &str, entries: &'a [Descriptor]) -> Vec<&'a Descriptor> {
    let named: Vec<(&Descriptor, ImageName)> = entries.iter().filter_map(|entry| Some((entry, ImageName::of(entry)?))).collect();
    let explicit = wanted.parse::<Reference>().ok();
    let full = ImageName::parse_reference(wanted).ok().and_then(|name| name.reference());
    let tag = explicit.as_ref().and_then(Reference::tag);
    let conventions: [&dyn Fn(&ImageName) -> bool; 6] = [
        &|name| name.image() == Some(wanted),
        &|name| full.is_some() && name.image.is_some() && name.reference() == full,
        // An entry that has no other name comes before those that share the tag with it.
        &|name| name.image.is_none() && name.ref_name() == Some(wanted),
        &|name| name.ref_name() == Some(wanted),
        &|name| full.is_some() && name.reference() == full,
        &|name| (name.image.is_none() && tag.is_some() && name.ref_name() == tag) || (is_tag(wanted) && name.tag().as_deref() == Some(wanted)),
    ];
    let hits = conventions.iter().map(|follows| named.iter().filter(|(_, name)| follows(name)).map(|(entry, _)| *entry).collect::<Vec<_>>());
    hits.into_iter().find(|hits| !hits.is_empty()).unwrap_or_default()
}

/// The names of entries, the first [`LISTED_NAMES`] of them, with their digests.
fn listed<'a>(entries: impl IntoIterator<Item = &'a Descriptor>) -> String {
    let mut names = entries.into_iter().map(|entry| match ImageName::of(entry) {
        Some(name) => format!("`{name}` ({})", entry.digest.short()),
        None => format!("one without a name ({})", entry.digest.short()),
    });
    let mut out = names.by_ref().take(LISTED_NAMES).collect::<Vec<_>>().join(", ");
    let more = names.count();
    if more > 0 {
        out.push_str(&format!(" and {more} more"));
    }
    out
}

/// Whether `text` is in the grammar of `org.opencontainers.image.ref.name`.
fn is_ref_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric();
    text.split('/').all(|component| {
        component.starts_with(letter)
            && component.ends_with(letter)
            && component.split(letter).filter(|separator| !separator.is_empty()).all(|separator| matches!(separator, "-" | "." | "_" | ":" | "@" | "+" | "--"))
    })
}

#[cfg(test)]
mod tests;
