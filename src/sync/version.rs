//! Which of two tags is the newer one, by the versions that they say.
//!
//! A version begins with a digit, after one `v` at most: numbers between dots, and whatever follows. `1.10` is newer than `1.9`, `1.4.2` newer than
//! `1.4.2-rc1`, and each of them newer than a tag that is no version, such as `latest`. What stands behind the numbers is compared like the numbers are: digits
//! by their value, all else letter by letter.

use std::cmp::Ordering;

/// Compares two tags: the older is less. Two different tags are never equal.
pub fn compare(a: &str, b: &str) -> Ordering {
    match (Version::of(a), Version::of(b)) {
        (Some(x), Some(y)) => x.compare(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => natural(a, b).then_with(|| a.cmp(b)),
    }
}

/// The version that a tag says, as ranges of versions understand it: what is left out after the first number is zero. None for tags that are no such version.
pub fn semantic(tag: &str) -> Option<semver::Version> {
    let Version { numbers, rest } = Version::of(tag)?;
    let mut parts = numbers.split('.').map(|part| part.parse::<u64>().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    let mut version = semver::Version::new(next()?, next()?, next()?);
    if parts.next().is_some() {
        return None;
    }
    if !rest.is_empty() {
        version.pre = semver::Prerelease::new(rest.strip_prefix('-')?).ok().filter(|pre| !pre.is_empty())?;
    }
    Some(version)
}

/// A tag in two parts.
#[derive(Clone, Copy)]
struct Version<'a> {
    /// Numbers and the dots between them.
    numbers: &'a str,
    rest: &'a str,
}

impl<'a> Version<'a> {
    fn of(tag: &'a str) -> Option<Self> {
        let text = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        // A letter right behind a dot belongs to no number, and neither does the dot.
        let numbers = text[..end].trim_end_matches('.');
        Some(Version { numbers, rest: &text[numbers.len()..] })
    }

    fn compare(&self, other: &Version<'_>) -> Ordering {
        let (mut a, mut b) = (self.numbers.split('.'), other.numbers.split('.'));
        loop {
            let order = match (a.next(), b.next()) {
                (None, None) => break,
                // Of `1.2` and `1.2.0` the longer is taken for the newer.
                (x, y) => number(x.unwrap_or_default(), y.unwrap_or_default()).then_with(|| x.is_some().cmp(&y.is_some())),
            };
            if order.is_ne() {
                return order;
            }
        }
        match (self.rest.is_empty(), other.rest.is_empty()) {
            (false, false) => natural(self.rest, other.rest),
            // What follows a version is a candidate for it, or a variant of it.
            (empty, other_empty) => empty.cmp(&other_empty),
        }
    }
}

/// Compares two runs of digits of any length by their value; none is zero.
fn number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Compares text as people do: runs of digits by their value, all else by bytes.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() && !b.is_empty() {
        let (x, y) = (run(a), run(b));
        let both_numbers = [x, y].iter().all(|part| part.starts_with(|c: char| c.is_ascii_digit()));
        let order = if both_numbers { number(x, y) } else { x.cmp(y) };
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[x.len()..], &b[y.len()..]);
    }
    a.len().cmp(&b.len())
}

/// The longest beginning that has digits only, or none.
fn run(text: &str) -> &str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    &text[..text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_are_ordered_by_the_versions_that_they_say() {
        let ordered = [
            "bookworm",
            "latest",
            "1-rc1",
            "1",
            "1.2",
            "1.2.0",
            "v1.4.2-rc2",
            "1.4.2-rc10",
            "1.4.2",
            "v1.4.10",
            "1.9",
            "1.10",
            "2",
            "20260131",
            "99999999999999999999",
        ];
        let mut shuffled: Vec<&str> = ordered.iter().copied().rev().collect();
        shuffled.sort_by(|a, b| compare(a, b));
        assert_eq!(shuffled, ordered);
    }

    #[test]
    fn ranges_see_what_people_mean() {
        for (tag, version) in [
            ("1.4.2", Some("1.4.2")),
            ("v1.4", Some("1.4.0")),
            ("24.04", Some("24.4.0")),
            ("3", Some("3.0.0")),
            ("1.4.2-alpine", Some("1.4.2-alpine")),
            ("1.2.3.4", None),
            ("1.4.2-", None),
            ("1.4.2_1", None),
            ("1.4.", None),
            ("latest", None),
            ("vv1", None),
            ("v", None),
            ("99999999999999999999.0", None),
        ] {
            assert_eq!(semantic(tag).map(|version| version.to_string()).as_deref(), version, "{tag}");
        }
    }

    proptest! {
        #[test]
        fn comparing_is_an_order(mut tags in prop::collection::vec("[v]?[0-9]{0,2}[.]?[0-9a]{0,2}-?[a-z0-9]{0,3}", 1..20)) {
            tags.sort_by(|a, b| compare(a, b));
            for (at, tag) in tags.iter().enumerate() {
                for later in &tags[at..] {
                    prop_assert!(compare(tag, later).is_le(), "{tag} {later}");
                    prop_assert_eq!(compare(tag, later), compare(later, tag).reverse());
                    prop_assert_eq!(compare(tag, later).is_eq(), tag == later);
                }
            }
        }
    }
}
