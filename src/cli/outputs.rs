//! `--output` of `larder build`: locations of larder, or `type=…,dest=…` in the words of buildx.

use std::path::PathBuf;

use crate::build::place::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::unpack::{Owner, Privileges};
use crate::ops::build::{Output, OutputNames, Split, TreeForm, TreeOutput};
use crate::spec::name::ImageName;
use crate::spec::{Selector, text};
use crate::store::location::Location;

use super::fields::Fields;

/// What is written.
pub(super) enum Written {
    /// An image.
    Image(Output),
    /// The files of it.
    Tree(TreeOutput),
}

/// Whether names are given to the image besides those of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    Given,
    NotGiven,
}

/// Reads one output.
pub(super) fn output(written: &str, tags: Tags) -> Result<Written> {
    match written.split(',').any(|field| field.trim_start().to_lowercase().starts_with("type=")) {
        true => in_words_of_buildx(written, tags),
        false => {
            let location = Location::parse(written).map_err(|error| error.context(format!("cannot write to `{}`", text::shown(written))))?;
            Ok(Written::Image(image(location, None, tags)?))
        }
    }
}

fn image(location: Location, name: Option<&str>, tags: Tags) -> Result<Output> {
    if matches!(location.selector(), Selector::Digest(_)) {
        return Err(Error::usage(format!("`{location}` has a digest, which follows from what is built")).hint("write a name or nothing after the path"));
    }
    let names = match name.or_else(|| location.name()).map(ImageName::verbatim).transpose()? {
        None => OutputNames::Image,
        // Tags of this very call are meant; those of the file may be for other builds.
        Some(name) if tags == Tags::NotGiven => OutputNames::Only(name),
        Some(name) => OutputNames::ImageAnd(name),
    };
    Ok(Output { location, names })
}

fn in_words_of_buildx(written: &str, tags: Tags) -> Result<Written> {
    let place = Place::flag(format!("--output {written}"));
    let mut fields = Fields::parse(written).map_err(|why| place.usage(why))?;
    let kind = fields.take("type").unwrap_or_default();
    let destination = fields.take("dest");
    let output = match kind.as_str() {
        "oci" | "docker" => archive(&kind, destination, &mut fields, tags, &place)?,
        "local" | "tar" => tree(&kind, destination, &mut fields, &place)?,
        "image" | "registry" => return Err(elsewhere(&kind, &mut fields, &place)),
        "cacheonly" => {
            return Err(place
                .error(ErrorKind::Unsupported, "writes nothing")
                .hint("to keep what was built, write it: -o oci:DIR, or --cache-to oci:DIR besides"));
        }
        other => {
            let error = place.usage(format!("`{}` is no type of output", text::shown(other)));
            return Err(error.hint("the types are oci, docker, local and tar; or write a location, as in oci:DIR"));
        }
    };
    match fields.first() {
        None => Ok(output),
        Some(key) => Err(place.usage(format!("an output of type {kind} has no `{}` here", text::shown(key))).hint(instead_of(key))),
    }
}

/// An image layout in a file or a directory, or what `docker load` reads.
fn archive(kind: &str, destination: Option<String>, fields: &mut Fields, tags: Tags, place: &Place) -> Result<Written> {
    let is_tar = fields.flag("tar").map_err(|why| place.usage(why))?.unwrap_or(true);
    let scheme = match (kind, is_tar) {
        ("docker", true) => "docker-archive",
        ("docker", false) => {
            return Err(place.error(ErrorKind::Unsupported, "Docker reads no directory").hint("leave tar=false away, or write type=oci,tar=false"));
        }
        (_, true) => "oci-archive",
        (_, false) => "oci",
    };
    let destination = match destination {
        Some(destination) => destination,
        None if kind == "docker" => {
            return Err(place
                .error(ErrorKind::Unsupported, "there is no daemon to load the image into")
                .hint("write type=docker,dest=- and pass it on to docker load"));
        }
        None if is_tar => "-".to_owned(),
        None => return Err(place.usage("has no `dest`, the directory to write")),
    };
    let location = Location::parse(format!("{scheme}:{destination}")).map_err(|error| place.wrap(error, "cannot be written"))?;
    if *location.selector() != Selector::Only {
        return Err(place.usage(format!("`{}` has a colon or an at sign, which `dest` cannot have", text::shown(&destination))));
    }
    let name = fields.take("name");
    if name.as_ref().is_some_and(|name| name.contains(',')) {
        return Err(place.usage("has several names").hint("give them with --tag, which may be repeated"));
    }
    let output = image(location, name.as_deref(), tags).map_err(|error| place.wrap(error, "cannot give this name"))?;
    Ok(Written::Image(output))
}

/// The files of the image.
fn tree(kind: &str, destination: Option<String>, fields: &mut Fields, place: &Place) -> Result<Written> {
    let path = destination.map(PathBuf::from).ok_or_else(|| place.usage("has no `dest`"))?;
    let split = match fields.flag("platform-split").map_err(|why| place.usage(why))? {
        None => Split::Fitting,
        Some(true) => Split::Always,
        Some(false) => Split::Never,
    };
    let form = if kind == "tar" { TreeForm::Tar } else { TreeForm::Directory };
    let (owner, privileges) = owner();
    Ok(Written::Tree(TreeOutput { path, form, split, owner, privileges }))
}

/// Whom files belong to: whether something runs for the image or not, a user owns what it asked for.
fn owner() -> (Owner, Privileges) {
    // There the numbers of the user may be those of the layers and mean somebody else, so no program keeps rights to lend.
    #[cfg(feature = "run")]
    if super::part::is_in_own_namespace() {
        return (Owner::Caller, Privileges::Dropped);
    }
    (if rustix::process::geteuid().is_root() { Owner::Described } else { Owner::Caller }, Privileges::Kept)
}

/// What stores of daemons and registries would take.
fn elsewhere(kind: &str, fields: &mut Fields, place: &Place) -> Error {
    let pushes = kind == "registry" || matches!(fields.take("push").as_deref(), Some("true" | "1"));
    match pushes {
        true => place
            .error(ErrorKind::Unsupported, "a build sends nothing to a registry")
            .hint("build into a layout, and push that: -o oci:DIR, then larder sync push oci:DIR:NAME docker://HOST/REPOSITORY:TAG"),
        false => place
            .error(ErrorKind::Unsupported, "there is no store of images but layouts and archives")
            .hint("write -o oci:DIR, or type=docker,dest=FILE for docker load"),
    }
}

/// What larder has in the place of a key of buildx.
fn instead_of(key: &str) -> String {
    match key {
        "compression" | "compression-level" | "force-compression" => "--compression says how layers are compressed".to_owned(),
        "source-date-epoch" | "rewrite-timestamp" => "SOURCE_DATE_EPOCH is the time of the image, and no file is younger".to_owned(),
        "oci-mediatypes" => "images have the media types of OCI; larder edit --media-types changes them".to_owned(),
        "mode" => "a directory must be new or empty".to_owned(),
        key if key.starts_with("annotation") => "--annotation annotates".to_owned(),
        _ => "oci has dest, tar and name; docker has dest and name; local and tar have dest and platform-split".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(written: &str, tags: Tags) -> String {
        match output(written, tags).expect(written) {
            Written::Image(output) => format!("{} {:?}", output.location, output.names),
            Written::Tree(tree) => format!("{} {:?} {:?}", tree.path.display(), tree.form, tree.split),
        }
    }

    #[test]
    fn words_of_buildx_are_locations_or_trees() {
        for (written, expected) in [
            ("type=oci,dest=f.tar", "oci-archive:f.tar Image"),
            ("type=oci", "oci-archive:- Image"),
            ("Type=oci,tar=false,dest=d", "oci:d Image"),
            ("type=docker,dest=-", "docker-archive:- Image"),
            ("type=local,dest=d", "d Directory Fitting"),
            ("dest=d:x,type=local,platform-split=true", "d:x Directory Always"),
            ("type=tar,dest=-,platform-split=false", "- Tar Never"),
            ("oci:d", "oci:d Image"),
        ] {
            assert_eq!(shown(written, Tags::Given), expected, "{written}");
        }
        let named = |tags| shown("type=oci,dest=f,name=a/b:1", tags);
        assert!(named(Tags::NotGiven).contains("Only") && named(Tags::Given).contains("ImageAnd"), "{}", named(Tags::Given));
    }

    #[test]
    fn what_cannot_be_written_offline_has_a_remedy_and_what_is_not_known_is_refused() {
        for (written, kind, hint) in [
            ("type=image,push=true", ErrorKind::Unsupported, "larder sync push"),
            ("type=registry,name=x", ErrorKind::Unsupported, "larder sync push"),
            ("type=image", ErrorKind::Unsupported, "-o oci:DIR"),
            ("type=docker", ErrorKind::Unsupported, "docker load"),
            ("type=docker,dest=x,tar=false", ErrorKind::Unsupported, "type=oci"),
            ("type=cacheonly", ErrorKind::Unsupported, "--cache-to"),
            ("type=oci,tar=false", ErrorKind::Usage, ""),
            ("type=oci,dest=a:b", ErrorKind::Usage, ""),
            ("type=oci,dest=a,compression=zstd", ErrorKind::Usage, "--compression"),
            ("type=oci,dest=a,what=x", ErrorKind::Usage, "dest, tar and name"),
            ("type=oci,dest=a,\"name=a,b\"", ErrorKind::Usage, "--tag"),
            ("type=local", ErrorKind::Usage, ""),
            ("type=local,dest=d,mode=delete", ErrorKind::Usage, "new or empty"),
            ("type=tar,dest=d,platform-split=no", ErrorKind::Usage, ""),
            ("type=other,dest=d", ErrorKind::Usage, "the types are"),
            ("type=oci,dest", ErrorKind::Usage, ""),
            ("oci:d@sha256:0000000000000000000000000000000000000000000000000000000000000000", ErrorKind::Usage, ""),
        ] {
            let Err(error) = output(written, Tags::NotGiven) else { panic!("{written}") };
            assert_eq!(error.kind(), kind, "{written}: {error}");
            assert!(error.hint_text().unwrap_or_default().contains(hint), "{written}: {error:?}");
        }
    }
}
