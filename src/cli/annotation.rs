//! Annotations as flags, in the grammar of buildx: `[LEVEL[[PLATFORM]],…:]KEY=VALUE`.

use crate::build::annotation::Target;
use crate::build::place::Place;
use crate::build::spec::AnnotationSpec;
use crate::error::Result;

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
    // A colon may also be a part of the key, as in that of a URL.
    let prefixed = left.split_once(':').filter(|(prefix, _)| prefix.split(',').any(Target::is_meant));
    let Some((prefix, key)) = prefixed else { return Ok(vec![Target::MANIFESTS.annotation(place, left, value)?]) };
    prefix.split(',').map(|target| Target::parse(place, target)?.annotation(place, key, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::spec::Level;
    use crate::spec::Platform;

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
    fn a_mistyped_document_is_not_taken_for_a_key() {
        let error = set("manifests:a=b").expect_err("mistyped");
        assert_eq!(error.message(), "--annotation manifests:a=b: `manifests` is not a document that can be annotated");
        assert_eq!(error.hint_text(), Some("did you mean `manifest`?"));
        for written in ["index,manifset:a=b", "manifest[linux/amd64:a=b", "image[linux/amd64]:a=b", "index[linux/amd64]:a=b", "[linux/amd64]a=b"] {
            assert!(set(written).is_err(), "{written}");
        }
    }

    #[test]
    fn a_key_to_take_away_has_the_same_levels_and_no_value() {
        let two = unset("index,manifest[linux/arm64]:a").expect("valid");
        assert_eq!((two[0].level, two[1].level, two[0].key.as_str()), (Level::Index, Level::Manifest, "a"));
        assert_eq!(unset("http://x:key=v").expect("an odd key")[0].key, "http://x:key=v");
        assert!(unset("").is_err() && unset("index:").is_err());
    }
}
