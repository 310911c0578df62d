//! The entries of a store: which of them a new one replaces.
//!
//! Relies on [`crate::spec::name`] for what a name is. Works in time linear in the number of entries, because layouts with a hundred thousand names exist.

use std::collections::{HashMap, HashSet};

use crate::spec::{Descriptor, ImageIndex, ImageName};

/// What makes two names the same: the full reference with all its parts, or without one the ref.name. The rule is that of [`same_name`](crate::spec::name::same_name).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A full reference.
    Full(String),
    /// A name without a repository.
    RefName(String),
}

impl Identity {
    /// The identity of a name.
    pub fn of(name: &ImageName) -> Identity {
        match name.image() {
            Some(image) => Identity::Full(name.reference().map_or_else(|| image.to_owned(), |reference| reference.to_string())),
            None => Identity::RefName(name.ref_name().unwrap_or_default().to_owned()),
        }
    }

    /// The identity of an entry; none for one without a name.
    pub fn of_entry(entry: &Descriptor) -> Option<Identity> {
        ImageName::of(entry).as_ref().map(Identity::of)
    }
}

/// Adds `new` entries. Each takes the place of the first entry with its name, and the others with its name go; of several new ones with one name the last
/// counts. One without a name is added unless the same content is an entry already. All other entries stay as they are, where they are: entering the same
/// again changes nothing.
pub fn enter(index: &mut ImageIndex, new: &[Descriptor]) {
    let mut named: HashMap<Identity, &Descriptor> = HashMap::new();
    for entry in new {
        if let Some(identity) = Identity::of_entry(entry) {
            named.insert(identity, entry);
        }
    }
    let mut placed = HashSet::new();
    index.manifests.retain_mut(|entry| {
        let Some(identity) = Identity::of_entry(entry) else { return true };
        let Some(replacement) = named.get(&identity) else { return true };
        entry.clone_from(replacement);
        placed.insert(identity)
    });
    let mut present: HashSet<_> = index.manifests.iter().map(|entry| entry.digest.clone()).collect();
    for entry in new {
        let add = match Identity::of_entry(entry) {
            Some(identity) if placed.contains(&identity) => None,
            Some(identity) => {
                let last = named.get(&identity).copied();
                placed.insert(identity);
                last
            }
            None if present.contains(&entry.digest) => None,
            None => Some(entry),
        };
        if let Some(entry) = add {
            present.insert(entry.digest.clone());
            index.manifests.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Digest, MediaType, annotation, name};

    fn entry(content: &str, image: &str, ref_name: &str) -> Descriptor {
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, Digest::sha256(content.as_bytes()), 1);
        for (key, value) in [(annotation::IMAGE_NAME, image), (annotation::REF_NAME, ref_name)] {
            if !value.is_empty() {
                descriptor.annotations.insert(key.into(), value.into());
            }
        }
        descriptor
    }

    #[test]
    fn lay_62_a_new_entry_takes_the_place_of_all_with_its_name() {
        let mut index = ImageIndex::new(vec![entry("a", "", "1"), entry("b", "", "2"), entry("c", "", "1"), entry("d", "x.y/z:1", "1")]);
        enter(&mut index, &[entry("n", "", "1"), entry("o", "", "3"), entry("p", "", "3")]);
        assert_eq!(index.manifests, [entry("n", "", "1"), entry("b", "", "2"), entry("d", "x.y/z:1", "1"), entry("p", "", "3")]);
        let before = index.clone();
        enter(&mut index, &before.manifests);
        assert_eq!(index, before, "the same again changes nothing");
    }

    #[test]
    fn an_entry_without_a_name_is_added_once() {
        let mut index = ImageIndex::new(vec![entry("a", "", "1")]);
        enter(&mut index, &[entry("a", "", ""), entry("b", "", ""), entry("b", "", "")]);
        assert_eq!(index.manifests, [entry("a", "", "1"), entry("b", "", "")]);
    }

    #[test]
    fn the_identity_is_that_of_same_name() {
        let names = [
            ("", "1"),
            ("", "hello:1"),
            ("hello:1", ""),
            ("docker.io/library/hello:1", "1"),
            ("hello", ""),
            ("hello:latest", "x"),
            ("x.y/z:1", "1"),
            ("???", ""),
        ];
        for a in names {
            for b in names {
                let (a, b) = (entry("a", a.0, a.1), entry("b", b.0, b.1));
                let name = ImageName::of(&b).expect("a name");
                assert_eq!(Identity::of_entry(&a) == Identity::of_entry(&b), name::same_name(&a, &name), "{a:?} {b:?}");
            }
        }
    }
}
