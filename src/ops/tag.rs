//! Giving names to images in a layout, and taking names away.
//!
//! Only entries of `index.json` change, in one replacement under the lock, so the time does not depend on the images. Content is neither read nor deleted, but for
//! the documents of an image that no name leads to any more, which must be whole to get one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::graph::lost;
use crate::spec::reference::is_tag;
use crate::spec::{Descriptor, Digest, ImageIndex, ImageName, Selector};
use crate::store::entries::{self, Identity};
use crate::store::layout::{Layout, Options};

/// Which image gets which names.
#[derive(Clone, Debug)]
pub struct TagRequest {
    /// The directory of the layout.
    pub layout: PathBuf,
    /// The image.
    pub image: Selector,
    /// The new names: references, or words that become tags in the repository of the name that the image has.
    pub names: Vec<String>,
    /// How the layout is opened.
    pub options: Options,
}

/// Names given.
#[derive(Clone, Debug, Serialize)]
pub struct TagReport {
    /// What the names stand on.
    pub digest: Digest,
    /// Its media type. Foreign text.
    pub media_type: String,
    /// The names, in the order in which they were asked for, each once.
    pub names: Vec<GivenName>,
}

/// A name given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenName {
    /// The full reference, else the tag.
    pub name: String,
    /// What the name stood on before, where that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Digest>,
    /// Whether the name is new here, and not moved or where it was.
    pub added: bool,
}

/// Gives the names, all or none.
///
/// Kinds: `not_found` where there is no such image; `usage` where several are meant, or for what cannot be a name.
pub fn tag(run: &Run, request: &TagRequest) -> Result<TagReport> {
    let layout = Layout::open(&request.layout, request.options.clone())?;
    layout.update_index(|index| {
        let source = match (request.image.select(index), &request.image) {
            (Err(error), Selector::Digest(digest)) if error.kind() == ErrorKind::NotFound => lost::find_whole(run, &layout, digest)?.ok_or(error)?,
            (found, _) => found?.clone(),
        };
        let names = new_names(&request.names, &request.image, index, &source)?;
        let new: Vec<Descriptor> = names.iter().map(|name| named(&source, name)).collect();
        let given = given(index, &names, &source.digest);
        entries::enter(index, &new);
        Ok(TagReport { digest: source.digest, media_type: source.media_type.to_string(), names: given })
    })
}

fn named(source: &Descriptor, name: &ImageName) -> Descriptor {
    let mut entry = source.clone();
    name.apply(&mut entry);
    entry
}

/// The names `wanted` for the image `source`, which `image` selected, in full, each once. Kind `usage`.
pub(super) fn new_names(wanted: &[String], image: &Selector, index: &ImageIndex, source: &Descriptor) -> Result<Vec<ImageName>> {
    let has_word = wanted.iter().any(|name| !name.contains(['/', ':', '@']));
    let repository = if has_word { repository(image, index, source)? } else { None };
    let mut names: Vec<ImageName> = Vec::new();
    for name in wanted {
        let name = ImageName::parse_within(name, repository.as_deref())?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.is_empty() {
        true => Err(Error::usage("there is no new name")),
        false => Ok(names),
    }
}

/// The repository of the name that the image was selected by, or of all the names that it has.
fn repository(selector: &Selector, index: &ImageIndex, source: &Descriptor) -> Result<Option<String>> {
    let of = |entry: &Descriptor| {
        let reference = ImageName::of(entry)?.reference()?;
        Some(format!("{}/{}", reference.host(), reference.repository()))
    };
    if matches!(selector, Selector::Name(_)) {
        return Ok(of(source));
    }
    let same = index.manifests.iter().filter(|entry| entry.digest == source.digest && ImageName::of(entry).is_some());
    let found: BTreeSet<Option<String>> = same.map(of).collect();
    match found.len() {
        0 | 1 => Ok(found.into_iter().next().flatten()),
        _ => Err(Error::usage("the image has names in more than one repository, so a tag alone does not say which is meant")
            .subject(&source.digest)
            .hint("write the new name in full, or select the image by one of its names")),
    }
}

/// What each name is to the entries as they are, where it is to stand on `digest`.
pub(super) fn given(index: &ImageIndex, names: &[ImageName], digest: &Digest) -> Vec<GivenName> {
    let wanted: HashSet<Identity> = names.iter().map(Identity::of).collect();
    let mut before: HashMap<Identity, Vec<&Digest>> = HashMap::new();
    for entry in &index.manifests {
        if let Some(identity) = Identity::of_entry(entry).filter(|identity| wanted.contains(identity)) {
            before.entry(identity).or_default().push(&entry.digest);
        }
    }
    let given = |name: &ImageName| {
        let before = before.get(&Identity::of(name));
        let moved_from = before.and_then(|digests| digests.iter().find(|other| **other != digest)).map(|other| (*other).clone());
        GivenName { name: name.as_str().to_owned(), moved_from, added: before.is_none() }
    };
    names.iter().map(given).collect()
}

/// Which names to remove.
#[derive(Clone, Debug)]
pub struct UntagRequest {
    /// The directory of the layout.
    pub layout: PathBuf,
    /// The names, in any of the forms that people use.
    pub names: Vec<String>,
    /// How the layout is opened.
    pub options: Options,
}

/// Names removed.
#[derive(Clone, Debug, Serialize)]
pub struct UntagReport {
    /// The names, in the order in which they were asked for, each once.
    pub removed: Vec<RemovedName>,
}

/// A name removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemovedName {
    /// The full reference, else the ref.name. Foreign text.
    pub name: String,
    /// What it stood on.
    pub digest: Digest,
    /// Whether no other entry of the layout stands on the same.
    pub was_last: bool,
}

/// Removes the names, all or none. The images stay.
///
/// Kinds: `not_found` for a name that is not there; `usage` for a short form of several names.
pub fn untag(request: &UntagRequest) -> Result<UntagReport> {
    let layout = Layout::open(&request.layout, request.options.clone())?;
    layout.update_index(|index| {
        let mut doomed: HashSet<Identity> = HashSet::new();
        let mut removed: Vec<RemovedName> = Vec::new();
        for name in &request.names {
            let (identity, entry) = only_name(name, index)?;
            if doomed.insert(identity) {
                let name = ImageName::of(entry).map(|name| name.as_str().to_owned()).unwrap_or_default();
                removed.push(RemovedName { name, digest: entry.digest.clone(), was_last: false });
            }
        }
        index.manifests.retain(|entry| !Identity::of_entry(entry).is_some_and(|identity| doomed.contains(&identity)));
        let left: HashSet<&Digest> = index.manifests.iter().map(|entry| &entry.digest).collect();
        for name in &mut removed {
            name.was_last = !left.contains(&name.digest);
        }
        Ok(UntagReport { removed })
    })
}

/// The one name that `text` means. An image that has several names may be selected by a short form of them all, but which of them to remove must be clear.
fn only_name<'a>(text: &str, index: &'a ImageIndex) -> Result<(Identity, &'a Descriptor)> {
    let selector = Selector::Name(text.to_owned());
    let hits = selector.entries(index);
    let mut identified = hits.iter().filter_map(|entry| Some((Identity::of_entry(entry)?, *entry)));
    let first = identified.next().ok_or_else(|| selector.absent(index))?;
    if !identified.all(|(identity, _)| identity == first.0) {
        return Err(selector.ambiguous(&hits));
    }
    // A tag of no repository answers to that tag of every repository. It is none of their names.
    let named = ImageName::of(first.1).is_some_and(|name| name.reference().is_some() || name.as_str() == text);
    if named || is_tag(text) { Ok(first) } else { Err(selector.absent(index)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::MediaType;
    use crate::store::Destination as _;

    fn entry(content: &str, name: &str) -> Descriptor {
        let mut entry = Descriptor::new(MediaType::ImageManifest, Digest::sha256(content.as_bytes()), 1);
        if !name.is_empty() {
            ImageName::parse_within(name, None).expect("a name").apply(&mut entry);
        }
        entry
    }

    struct Sample {
        temp: tempfile::TempDir,
        layout: Layout,
    }

    fn sample(entries: &[Descriptor]) -> Sample {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(temp.path(), Options::default()).expect("created");
        layout.commit(entries).expect("committed");
        Sample { temp, layout }
    }

    impl Sample {
        fn tag(&self, image: &str, names: &[&str]) -> Result<TagReport> {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let image = Selector::parse(image).expect("a selector");
            let run = Run::new(std::num::NonZeroUsize::MIN).expect("threads start");
            tag(&run, &TagRequest { layout: self.temp.path().to_owned(), image, names, options: Options::default() })
        }

        fn untag(&self, names: &[&str]) -> Result<UntagReport> {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            untag(&UntagRequest { layout: self.temp.path().to_owned(), names, options: Options::default() })
        }

        fn names(&self) -> Vec<(String, Digest)> {
            let index = self.layout.index().expect("readable");
            let name = |entry: &Descriptor| ImageName::of(entry).map(|name| name.as_str().to_owned()).unwrap_or_default();
            index.manifests.iter().map(|entry| (name(entry), entry.digest.clone())).collect()
        }
    }

    fn names(pairs: &[(&str, &str)]) -> Vec<(String, Digest)> {
        pairs.iter().map(|(name, content)| ((*name).to_owned(), Digest::sha256(content.as_bytes()))).collect()
    }

    #[test]
    fn a_word_is_a_tag_in_the_repository_of_the_source_and_a_reference_is_itself() {
        let sample = sample(&[entry("a", "registry.example/a:1"), entry("b", "plain")]);
        sample.tag("registry.example/a:1", &["2", "hello:2"]).expect("tagged");
        sample.tag("plain", &["3"]).expect("tagged");
        let expected = [("registry.example/a:1", "a"), ("plain", "b"), ("registry.example/a:2", "a"), ("docker.io/library/hello:2", "a"), ("3", "b")];
        assert_eq!(sample.names(), names(&expected));
        let by_digest = format!("@{}", Digest::sha256(b"a"));
        assert_eq!(sample.tag(&by_digest, &["4"]).expect_err("two repositories").kind(), ErrorKind::Usage);
        sample.tag(&by_digest, &["x.y/z:4"]).expect("written in full");
        sample.tag(&format!("@{}", Digest::sha256(b"b")), &["4"]).expect("all its names are tags");
        assert!(sample.names().contains(&names(&[("4", "b")])[0]));
    }

    #[test]
    fn a_name_that_stood_elsewhere_moves_and_the_report_says_from_where() {
        let sample = sample(&[entry("a", "1"), entry("b", "2")]);
        let report = sample.tag("2", &["1", "2", "3", "3"]).expect("tagged");
        let given = |name: &str, moved_from, added| GivenName { name: name.to_owned(), moved_from, added };
        assert_eq!(report.names, [given("1", Some(Digest::sha256(b"a")), false), given("2", None, false), given("3", None, true)]);
        assert_eq!(sample.names(), names(&[("1", "b"), ("2", "b"), ("3", "b")]));
    }

    #[test]
    fn what_cannot_be_tagged_leaves_every_name() {
        let sample = sample(&[entry("a", "1"), entry("b", "2")]);
        for (image, new, kind) in
            [("absent", "3", ErrorKind::NotFound), ("", "3", ErrorKind::Usage), ("1", "-bad", ErrorKind::Usage), ("1", "x@y", ErrorKind::Usage)]
        {
            assert_eq!(sample.tag(image, &["4", new]).expect_err(new).kind(), kind, "{image} {new}");
        }
        assert_eq!(sample.names(), names(&[("1", "a"), ("2", "b")]));
    }

    #[test]
    fn names_go_all_or_none_and_the_rest_stays() {
        let sample = sample(&[entry("a", "x.y/a:1"), entry("a", "x.y/a:2"), entry("b", "x.y/b:1"), entry("c", "")]);
        let error = sample.untag(&["x.y/a:1", "absent"]).expect_err("absent");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("`absent`") && error.message().contains("`x.y/b:1`"), "{error}");
        assert_eq!(sample.names().len(), 4);

        let report = sample.untag(&["x.y/a:1", "x.y/b:1", "x.y/b:1"]).expect("removed");
        let removed = |name: &str, content: &[u8], was_last| RemovedName { name: name.to_owned(), digest: Digest::sha256(content), was_last };
        assert_eq!(report.removed, [removed("x.y/a:1", b"a", false), removed("x.y/b:1", b"b", true)]);
        assert_eq!(sample.names(), names(&[("x.y/a:2", "a"), ("", "c")]));
    }

    #[test]
    fn a_tag_of_no_repository_is_not_removed_by_the_name_of_one() {
        let sample = sample(&[entry("a", "1")]);
        for name in ["x.y/z:1", "hello:1"] {
            assert_eq!(sample.untag(&[name]).expect_err(name).kind(), ErrorKind::NotFound);
        }
        assert_eq!(sample.names(), names(&[("1", "a")]));
        assert_eq!(sample.untag(&["1"]).expect("removed").removed.len(), 1);
    }

    #[test]
    fn a_short_form_of_two_names_of_one_image_removes_neither() {
        let sample = sample(&[entry("a", "x.y/a:1"), entry("a", "x.y/b:1")]);
        assert_eq!(sample.untag(&["1"]).expect_err("two names").kind(), ErrorKind::Usage);
        sample.tag("1", &["x.y/c:1"]).expect("one image");
        assert_eq!(sample.names().len(), 3);
    }
}
