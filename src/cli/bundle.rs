//! Build caches that travel, on the command line: `--cache-to` and `--cache-from`.

use std::path::PathBuf;

use crate::build::dockerfile::bundle::{BundleSpec, Scope};
use crate::build::place::{At, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::text;
use crate::store::Location;

use super::fields::Fields;

/// Whether a cache is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    From,
    To,
}

impl Direction {
    fn flag(self) -> &'static str {
        match self {
            Direction::From => "--cache-from",
            Direction::To => "--cache-to",
        }
    }

    /// What buildx calls the directory.
    fn key(self) -> &'static str {
        match self {
            Direction::From => "src",
            Direction::To => "dest",
        }
    }
}

/// Reads `oci:DIR[:NAME]`, or `type=local,dest=DIR` and `type=local,src=DIR` in the words of buildx.
pub(super) fn bundle(written: &str, direction: Direction) -> Result<At<BundleSpec>> {
    let place = Place::flag(format!("{} {written}", direction.flag()));
    let spec = match written.split(',').any(|field| field.starts_with("type=")) {
        true => in_words_of_buildx(written, direction, &place)?,
        false => location(written).map_err(|error| place.wrap(error, "is no place for a build cache"))?,
    };
    Ok(At::new(spec, place))
}

fn location(written: &str) -> Result<BundleSpec> {
    let location = Location::parse(written)?;
    let layout = location.layout()?.to_owned();
    match (location.name(), location.selector()) {
        (name, crate::spec::Selector::Name(_) | crate::spec::Selector::Only) => Ok(BundleSpec { layout, name: name.map(str::to_owned), scope: Scope::Max }),
        (_, crate::spec::Selector::Digest(_)) => Err(Error::usage("a build cache is known by its name, not by a digest")),
    }
}

fn in_words_of_buildx(written: &str, direction: Direction, place: &Place) -> Result<BundleSpec> {
    let mut fields = Fields::parse(written).map_err(|why| place.usage(why))?;
    match fields.take("type").as_deref() {
        Some("local") => {}
        Some(other) => {
            let error = place
                .error(ErrorKind::Unsupported, format!("a cache of type `{}` would have to be fetched or sent while the image is built", text::shown(other)));
            return Err(error.hint(match direction {
                Direction::To => {
                    "write it to a layout and push that: --cache-to oci:DIR, then larder sync push oci:DIR:buildcache docker://HOST/REPOSITORY:buildcache"
                }
                Direction::From => {
                    "pull it into a layout first: larder sync pull docker://HOST/REPOSITORY:buildcache oci:DIR:buildcache, then --cache-from oci:DIR"
                }
            }));
        }
        None => return Err(place.usage("says no type")),
    }
    let layout = fields.take(direction.key()).map(PathBuf::from);
    let layout = layout.ok_or_else(|| place.usage(format!("has no directory: `{}` is missing", direction.key())))?;
    let name = fields.take("tag");
    let scope = match (direction, fields.take("mode").as_deref()) {
        (_, None) | (Direction::To, Some("max")) => Scope::Max,
        (Direction::To, Some("min")) => Scope::Min,
        (_, Some(_)) => return Err(place.usage("`mode` is max or min, and is of `--cache-to`")),
    };
    match fields.first() {
        None => Ok(BundleSpec { layout, name, scope }),
        Some(key) => Err(place.usage(format!("`{}` is not known here", text::shown(key))).hint(format!("the keys are {}, tag and mode", direction.key()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str, direction: Direction) -> Result<(String, Option<String>, Scope)> {
        let spec = bundle(written, direction)?.value;
        Ok((spec.layout.display().to_string(), spec.name, spec.scope))
    }

    #[test]
    fn places_are_those_of_larder_or_those_of_buildx() {
        for (written, direction, expected) in [
            ("oci:d", Direction::To, ("d", None, Scope::Max)),
            ("oci:d:name", Direction::From, ("d", Some("name"), Scope::Max)),
            ("type=local,dest=d", Direction::To, ("d", None, Scope::Max)),
            ("type=local,dest=d,mode=min,tag=x", Direction::To, ("d", Some("x"), Scope::Min)),
            ("src=d,type=local", Direction::From, ("d", None, Scope::Max)),
        ] {
            let (layout, name, scope) = expected;
            assert_eq!(read(written, direction).expect(written), (layout.to_owned(), name.map(str::to_owned), scope), "{written}");
        }
    }

    #[test]
    fn what_would_need_a_network_has_a_remedy_and_what_is_not_known_is_refused() {
        for (written, direction, kind, hint) in [
            ("type=registry,ref=x", Direction::To, ErrorKind::Unsupported, "larder sync push"),
            ("type=gha", Direction::From, ErrorKind::Unsupported, "larder sync pull"),
            ("type=inline", Direction::To, ErrorKind::Unsupported, "--cache-to oci:DIR"),
            ("type=local", Direction::To, ErrorKind::Usage, ""),
            ("type=local,src=d", Direction::To, ErrorKind::Usage, ""),
            ("type=local,src=d,mode=max", Direction::From, ErrorKind::Usage, ""),
            ("type=local,dest=d,compression=zstd", Direction::To, ErrorKind::Usage, "tag and mode"),
            ("type=local,dest=d,dest=e", Direction::To, ErrorKind::Usage, ""),
            ("docker://x/y", Direction::From, ErrorKind::Unsupported, ""),
            ("oci-archive:x", Direction::To, ErrorKind::Unsupported, ""),
        ] {
            let error = bundle(written, direction).expect_err(written);
            assert_eq!(error.kind(), kind, "{written}: {error}");
            assert!(error.hint_text().unwrap_or_default().contains(hint), "{written}: {error:?}");
        }
    }
}
