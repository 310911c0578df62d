//! The ways to reach a store: what stands before the first colon of a location.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::text;

use super::archive::OciArchive;
use super::docker_archive::DockerArchive;
use super::layout::OciLayout;
use super::{Destination, Location, Options, Source};

/// The scheme of image layouts.
pub const LAYOUT: &str = "oci";

/// A kind of store that locations can mean.
pub trait Transport: Sync {
    /// What stands before the colon.
    fn scheme(&self) -> &'static str;

    /// Whether what lies at `path` is a store of this kind. For locations without a scheme; a look that fails is a no.
    fn recognises(&self, path: &Path) -> bool;

    /// Opens what lies at `path` for reading. Kinds: `not_found` where nothing does; `corrupt` where something else does.
    fn source(&self, path: &Path, options: &Options) -> Result<Box<dyn Source>>;

    /// Opens what lies at `path` for writing, or makes it new. Kinds: `conflict` where something else lies there.
    fn destination(&self, path: &Path, options: &Options) -> Result<Box<dyn Destination>>;
}

/// All of them.
pub static TRANSPORTS: &[&dyn Transport] = &[&OciLayout, &OciArchive, &DockerArchive];

/// Opens the store of `location` for reading. Errors as [`Transport::source`], and `usage` where nothing tells what it is.
pub fn source(location: &Location, options: &Options) -> Result<Box<dyn Source>> {
    let (transport, path) = (of(location)?, location.path());
    transport.source(path, options).map_err(|error| {
        if error.kind() != ErrorKind::Corrupt || error.hint_text().is_some() {
            return error;
        }
        match TRANSPORTS.iter().find(|other| other.scheme() != transport.scheme() && other.recognises(path)) {
            Some(other) => error.hint(format!("write {}:{}, which it looks like", other.scheme(), text::path(path))),
            None => error,
        }
    })
}

/// Opens the store of `location` for writing. Errors as [`Transport::destination`], and `usage` where nothing tells what it is to be.
pub fn destination(location: &Location, options: &Options) -> Result<Box<dyn Destination>> {
    of(location)?.destination(location.path(), options)
}

/// The transport that is written, or that what lies there makes plain.
pub fn of(location: &Location) -> Result<&'static dyn Transport> {
    let mut transports = TRANSPORTS.iter().copied();
    let path = location.path();
    match location.scheme() {
        Some(scheme) => transports.find(|transport| transport.scheme() == scheme),
        None => transports.find(|transport| transport.recognises(path)),
    }
    .ok_or_else(|| unknown(path))
}

fn unknown(path: &Path) -> Error {
    let shown = text::path(path);
    if !path.exists() {
        return Error::not_found(format!("there is nothing at {shown}"))
            .subject(&shown)
            .hint(format!("something new needs a scheme, such as {LAYOUT}:{shown}"));
    }
    let schemes: Vec<String> = TRANSPORTS.iter().map(|transport| format!("{}:", transport.scheme())).collect();
    Error::usage(format!("nothing tells what {shown} is")).subject(&shown).hint(format!("write what it is: {}", schemes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_lies_there_tells_what_it_is() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let of = |path: &Path| super::of(&Location::parse(path).expect("a location")).map(Transport::scheme);
        let layout = temp.path().join("layout");
        assert_eq!(of(&layout).expect_err("nothing there").kind(), ErrorKind::NotFound);
        destination(&Location::parse(format!("oci:{}", layout.display())).expect("a location"), &Options::default()).expect("created");
        assert_eq!(of(&layout).expect("plain"), LAYOUT);
        assert_eq!(of(temp.path()).expect_err("an ordinary directory").kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_store_of_another_kind_is_told_with_what_to_write() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |scheme: &str, name: &str| Location::parse(format!("{scheme}:{}/{name}", temp.path().display())).expect("a location");
        let made = at("oci-archive", "a.tar");
        destination(&made, &Options::default()).expect("begun").commit(&[]).expect("written");
        let error = source(&at(LAYOUT, "a.tar"), &Options::default()).err().expect("a file");
        assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Corrupt, Some(&*format!("write {made}, which it looks like"))));
        std::fs::write(temp.path().join("text"), "text").expect("written");
        assert_eq!(source(&at(LAYOUT, "text"), &Options::default()).err().expect("a file").hint_text(), None);
    }
}
