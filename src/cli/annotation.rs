//! Annotations as flags, in the grammar of buildx: `[LEVEL[[PLATFORM]],…:]KEY=VALUE`.

use crate::build::place::Place;
use crate::build::spec::{AnnotationSpec, Level};
use crate::error::Result;
use crate::spec::Platform;

/// The annotations that `--annotation WRITTEN` gives. Fails with kind `usage`.
pub(crate) fn set(written: &str) -> Result<Vec<AnnotationSpec>> {
    let place = Place::flag(format!("--annotation {written}"));
    let (left, value) = written.split_once('=').ok_or_else(|| place.usage("is not KEY=VALUE"))?;
    annotations(&place, left, value)
}

/// The annotations that `--unset-annotation WRITTEN` takes away; their values are empty. Fails with kind `usage`.
pub(crate) fn unset(written: &str) -> Result<Vec<AnnotationSpec>> {
    annotations(&Place::flag(format!("--unset-annotation {written}")), written, "")
}

fn annotations(place: &Place, left: &str, value: &str) -> Result<Vec<AnnotationSpec>> {
    let prefixed = left.split_once(':').and_then(|(prefix, key)| Some((levels(prefix)?, key)));
    let (levels, key) = prefixed.unwrap_or_else(|| (vec![(Level::Manifest, None)], left));
    if key.is_empty() {
        return Err(place.usage("has no key"));
    }
    let spec = |(level, platform): (Level, Option<String>)| {
        if platform.is_some() && matches!(level, Level::Index | Level::IndexDescriptor) {
            return Err(place
                .usage("names a platform for an index, which is one for all platforms")
                .hint("annotate manifest[PLATFORM], or leave the platform out"));
        }
        let platform =
            platform.map(|platform| Platform::parse(&platform).map_err(|error| place.wrap(error, "has a platform that cannot be read"))).transpose()?;
        Ok(AnnotationSpec { place: place.clone(), level, platform, key: key.to_owned(), value: value.to_owned() })
    };
    levels.into_iter().map(spec).collect()
}

/// The levels before the colon; none where the text is part of a key.
fn levels(prefix: &str) -> Option<Vec<(Level, Option<String>)>> {
    let level = |item: &str| {
        let (name, platform) = match item.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']')?.to_owned())),
            None => (item, None),
        };
        let (_, level) = Level::NAMES.into_iter().find(|(known, _)| *known == name)?;
        Some((level, platform))
    };
    prefix.split(',').map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_as_buildx_reads_them() {
        let one = set("a=b=c").expect("valid");
        assert_eq!((one[0].level, one[0].key.as_str(), one[0].value.as_str()), (Level::Manifest, "a", "b=c"));
        let two = set("index,manifest[linux/arm64]:a=b").expect("valid");
        assert_eq!((two[0].level, two[1].level), (Level::Index, Level::Manifest));
        assert_eq!(two[1].platform, Some(Platform::parse("linux/arm64").expect("valid")));
        let colon = set("http://x:key=v").expect("valid");
        assert_eq!(colon[0].key, "http://x:key");
        assert!(set("a").is_err() && set("index:=b").is_err() && set("manifest[no/such/plat/form]:a=b").is_err());
    }

    #[test]
    fn a_platform_for_an_index_is_refused_and_not_ignored() {
        for written in ["index[linux/amd64]:k=v", "manifest,index-descriptor[linux/amd64]:k=v"] {
            assert_eq!(set(written).expect_err(written).kind(), crate::error::ErrorKind::Usage);
        }
        assert!(set("manifest-descriptor[linux/amd64],index:k=v").is_ok());
    }

    #[test]
    fn a_key_to_take_away_has_the_same_levels_and_no_value() {
        let two = unset("index,manifest[linux/arm64]:a").expect("valid");
        assert_eq!((two[0].level, two[1].level, two[0].key.as_str()), (Level::Index, Level::Manifest, "a"));
        assert_eq!(unset("http://x:key=v").expect("an odd key")[0].key, "http://x:key=v");
        assert!(unset("").is_err() && unset("index:").is_err());
    }
}
