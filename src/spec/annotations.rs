//! Annotations: what documents say of themselves, and pointers of what they point to. image-spec, annotations.md.
//!
//! A list in the order of its keys and not a tree: an index may have a million entries with two annotations each, and a tree takes half a kilobyte for each entry.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::annotation;

/// Texts by key, always in the order of the keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Annotations(Vec<(Key, Box<str>)>);

/// A key. What nearly every entry of an index has takes no memory of its own.
pub type Key = Cow<'static, str>;

/// What nearly every entry of an index has.
const COMMON: [&str; 4] = [annotation::IMAGE_NAME, annotation::REF_NAME, annotation::DOCKER_REFERENCE_TYPE, annotation::DOCKER_REFERENCE_DIGEST];

fn key(text: String) -> Key {
    match COMMON.into_iter().find(|common| *common == text) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(text),
    }
}

impl Annotations {
    /// None.
    pub const fn new() -> Self {
        Annotations(Vec::new())
    }

    /// Puts them in order. Of several texts for one key the last counts. Foreign documents have any number of keys in any order, so not one after the other.
    fn arrange(&mut self) {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(key))
    }

    /// Sets the text of a key. Returns the one that it had.
    pub fn insert(&mut self, key: String, text: String) -> Option<String> {
        match self.position(&key) {
            Ok(position) => Some(std::mem::replace(&mut self.0[position].1, text.into()).into()),
            Err(position) => {
                self.0.insert(position, (self::key(key), text.into()));
                None
            }
        }
    }

    /// Takes a key away. Returns the text that it had.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.position(key).ok().map(|position| self.0.remove(position).1.into())
    }

    /// The text of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.position(key).ok().map(|position| &*self.0[position].1)
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_ok()
    }

    /// Keeps those that `keep` says, given key and text.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.0.retain(|(key, text)| keep(key, text));
    }

    /// Keys and texts.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(|(key, text)| (key, text))
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What [`Annotations::iter`] gives.
pub type Iter<'a> = std::iter::Map<std::slice::Iter<'a, (Key, Box<str>)>, fn(&'a (Key, Box<str>)) -> (&'a str, &'a str)>;

impl<'a> IntoIterator for &'a Annotations {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Extend<(String, String)> for Annotations {
    /// Of several texts for one key the last counts.
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, pairs: I) {
        self.0.extend(pairs.into_iter().map(|(key, text)| (self::key(key), text.into())));
        self.arrange();
    }
}

impl FromIterator<(String, String)> for Annotations {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut annotations = Annotations::new();
        annotations.extend(pairs);
        annotations
    }
}

impl<const N: usize> From<[(String, String); N]> for Annotations {
    fn from(pairs: [(String, String); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl IntoIterator for Annotations {
    type Item = (String, String);
    type IntoIter = std::iter::Map<std::vec::IntoIter<(Key, Box<str>)>, fn((Key, Box<str>)) -> (String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(key, text)| (key.into_owned(), text.into()))
    }
}

impl Serialize for Annotations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        // Mostly there are one or two, and a vector would begin with four.
        let mut annotations = Annotations(Vec::with_capacity(2));
        while let Some((key, text)) = map.next_entry::<String, String>()? {
            annotations.0.push((self::key(key), text.into()));
        }
        annotations.arrange();
        annotations.0.shrink_to_fit();
        Ok(annotations)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        let key = prop_oneof![prop::sample::select(&COMMON[..]).prop_map(str::to_owned), "[a-c]{0,2}"];
        prop::collection::vec((key, "[a-z]{0,3}"), 0..8)
    }

    proptest! {
        /// The standard library's map is the specification.
        #[test]
        fn they_are_a_map(pairs in pairs(), removed in pairs(), more in pairs()) {
            let (mut annotations, mut map) = (Annotations::new(), BTreeMap::new());
            for (key, text) in pairs {
                prop_assert_eq!(annotations.insert(key.clone(), text.clone()), map.insert(key, text));
            }
            for (key, _) in removed {
                prop_assert_eq!(annotations.contains_key(&key), map.contains_key(&key));
                prop_assert_eq!(annotations.get(&key), map.get(&key).map(String::as_str));
                prop_assert_eq!(annotations.remove(&key), map.remove(&key));
            }
            prop_assert_eq!((annotations.len(), annotations.is_empty()), (map.len(), map.is_empty()));
            prop_assert!(annotations.keys().eq(map.keys()));
            let json = serde_json::to_string(&annotations).expect("plain data");
            prop_assert_eq!(&json, &serde_json::to_string(&map).expect("plain data"));
            prop_assert_eq!(format!("{annotations:?}"), format!("{map:?}"));
            prop_assert_eq!(&serde_json::from_str::<Annotations>(&json).expect("a map"), &annotations);
            prop_assert_eq!(&map.clone().into_iter().rev().collect::<Annotations>(), &annotations);
            let again: Vec<_> = more.iter().chain(&more).cloned().collect();
            annotations.extend(again.clone());
            map.extend(again.clone());
            prop_assert_eq!(&map.clone().into_iter().collect::<Annotations>(), &annotations);
            let members: Vec<String> = again.iter().map(|(key, text)| format!("{key:?}:{text:?}")).collect();
            let json = format!("{{{}}}", members.join(","));
            let read: BTreeMap<String, String> = serde_json::from_str(&json).expect("a map");
            prop_assert_eq!(&serde_json::from_str::<Annotations>(&json).expect("a map"), &read.into_iter().collect::<Annotations>());
            annotations.retain(|key, text| key > text);
            map.retain(|key, text| key.as_str() > text.as_str());
            prop_assert!(annotations.into_iter().eq(map));
        }
    }

    /// The largest manifest that is read may have so many.
    #[test]
    fn very_many_in_the_wrong_order_take_no_time() {
        const MANY: usize = 300_000;
        let members: Vec<String> = (0..MANY).rev().map(|n| format!("\"{n:06}\":\"\"")).collect();
        let json = format!("{{{}}}", members.join(","));
        let begin = std::time::Instant::now();
        let annotations: Annotations = serde_json::from_str(&json).expect("a map");
        assert!(annotations.len() == MANY && annotations.keys().next() == Some("000000"));
        // Inserted one after the other they take a minute and more.
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }

    #[test]
    fn what_is_no_map_of_texts_is_refused() {
        for json in ["[]", "null", r#""x""#, r#"{"a":1}"#, r#"{"a":null}"#] {
            assert!(serde_json::from_str::<Annotations>(json).is_err(), "{json}");
        }
    }
}
