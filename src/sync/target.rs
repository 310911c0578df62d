//! What an image is called where it comes from, and what it is called where it goes.

use std::fmt;

use crate::error::{Error, Result};
use crate::spec::{Descriptor, ImageName, Reference, Selector, text};

use super::endpoint::{Below, Endpoint};
use super::glob::Globs;
use super::route::Route;

/// What an image is called where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its repository; none for names without one.
    pub repository: Option<RepositoryName>,
    /// The tag; none for an image that has a digest alone.
    pub tag: Option<String>,
}

/// A repository that images come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryName {
    /// With its host: `registry.example/team/hello`.
    pub full: String,
    /// Without it: `team/hello`.
    pub path: String,
    /// Without what the route leads from, where that is a path: `hello` of `docker://registry.example/team/`. This is what it is called below the target.
    pub name: String,
}

impl RepositoryName {
    /// The repository of a reference.
    pub fn of(reference: &Reference) -> RepositoryName {
        let path = reference.repository().to_owned();
        RepositoryName { full: format!("{}/{path}", reference.host()), name: path.clone(), path }
    }

    /// The repository of a reference that was found below a path.
    pub fn below(below: &Below, reference: &Reference) -> RepositoryName {
        let place = RepositoryName::of(reference);
        let name = place.path.strip_prefix(&below.path).unwrap_or(&place.path).to_owned();
        RepositoryName { name, ..place }
    }

    /// All names, the nearest first: patterns for everything are about that.
    fn names(&self) -> [&str; 3] {
        [&self.name, &self.path, &self.full]
    }
}

impl Origin {
    /// What an entry of a layout or an archive is called.
    pub fn of_entry(entry: &Descriptor) -> Origin {
        let Some(name) = ImageName::of(entry) else { return Origin::default() };
        let tag = name.tag();
        Origin { repository: name.reference().map(|reference| RepositoryName::of(&reference)), tag }
    }
}

/// What an image is called where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A repository in a registry, with a tag unless the image is to have a digest alone.
    Registry(Reference),
    /// A name in the layout or archive of the route.
    Local(ImageName),
}

impl fmt::Display for Target {
    /// Safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Registry(reference) => reference.fmt(f),
            Target::Local(name) => name.fmt(f),
        }
    }
}

impl Route {
    /// Whether the images of a repository are meant, whatever their tags.
    pub fn wants_repository(&self, place: &RepositoryName) -> bool {
        let one_of = |globs: &Globs| place.names().into_iter().any(|name| globs.matches(name));
        (self.repositories.is_empty() || one_of(&self.repositories)) && !one_of(&self.except) && self.renamed(place).is_some()
    }

    /// Whether an image is meant.
    pub fn wants(&self, origin: &Origin) -> bool {
        let repository = match &origin.repository {
            Some(place) => self.wants_repository(place),
            None => self.repositories.is_empty() && self.rename.is_empty(),
        };
        repository && origin.tag.as_ref().is_none_or(|tag| self.tags.matches(tag))
    }

    fn renamed(&self, place: &RepositoryName) -> Option<String> {
        match self.rename.is_empty() {
            true => Some(place.name.clone()),
            false => self.rename.apply_to_one_of(&place.names()),
        }
    }

    /// What the image of this name is called where it goes; none where the route is not for it. Which tags are meant is not looked at.
    ///
    /// Fails with kind `usage` where the new name is none, or the image has too little of a name for the target.
    pub fn target(&self, origin: &Origin) -> Result<Option<Target>> {
        let tag = match &origin.tag {
            Some(tag) => match self.rename_tags.apply(tag) {
                Some(tag) => Some(tag),
                None => return Ok(None),
            },
            None => None,
        };
        let wrong = |error: Error| self.to.place.wrap(error, format!("{} has no name where it goes", shown(origin)));
        match &self.to.value {
            Endpoint::Repository(reference) => {
                let named = match reference.tag().or(tag.as_deref()) {
                    Some(tag) => reference.with_tag(tag).map_err(wrong)?,
                    None => reference.clone(),
                };
                Ok(Some(Target::Registry(named)))
            }
            Endpoint::Below(below) => {
                let Some(repository) = self.new_repository(origin)? else { return Ok(None) };
                let repository = below.repository(&repository).map_err(wrong)?;
                let named = tag.as_deref().map_or(Ok(repository.clone()), |tag| repository.with_tag(tag)).map_err(wrong)?;
                Ok(Some(Target::Registry(named)))
            }
            Endpoint::Local(location) => {
                let name = match (location.selector(), location.name()) {
                    (Selector::Name(_), Some(name)) => ImageName::verbatim(name).map_err(wrong)?,
                    _ => match self.local_name(origin, tag.as_deref()).map_err(wrong)? {
                        Some(name) => name,
                        None => return Ok(None),
                    },
                };
                Ok(Some(Target::Local(name)))
            }
        }
    }

    /// The repository below the target; none where the route is not for it.
    fn new_repository(&self, origin: &Origin) -> Result<Option<String>> {
        match &origin.repository {
            Some(place) => Ok(self.renamed(place)),
            None => Err(self
                .to
                .place
                .usage(format!("{} has no repository, so it has no place below {}", shown(origin), self.to.value))
                .hint("give it a full name with `larder tag`, or name the target repository without a slash at its end")),
        }
    }

    fn local_name(&self, origin: &Origin, tag: Option<&str>) -> Result<Option<ImageName>> {
        let no_name = || Error::usage("an image without a tag needs a name").hint("write it after the path, as in oci:DIRECTORY:NAME");
        let tag = tag.ok_or_else(no_name)?;
        let Some(place) = &origin.repository else { return ImageName::tag_only(tag).map(Some) };
        let renamed = if self.rename.is_empty() { Some(place.full.clone()) } else { self.renamed(place) };
        renamed.map(|repository| ImageName::with_repository(&repository, tag)).transpose()
    }

    /// The tag from which a tag of the target could have come by this route; none where it could not.
    pub fn tag_before(&self, tag: &str) -> Option<String> {
        self.rename_tags.invert(tag).filter(|old| self.tags.matches(old))
    }
}

/// What a person calls it.
fn shown(origin: &Origin) -> String {
    let tag = origin.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    match &origin.repository {
        Some(place) => text::shown(&format!("{}{tag}", place.full)).into_owned(),
        None if tag.is_empty() => "an image without a name".to_owned(),
        None => text::shown(&tag[1..]).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::ErrorKind;
    use crate::specfile::{self, At};
    use crate::sync::{Rename, Renames, TagSpec, Tags};

    fn at(text: &str) -> At<String> {
        At::new(text.to_owned(), specfile::Place::flag(text))
    }

    fn route(to: &str, renames: &[(&str, &str)]) -> Route {
        let end = |text: &str| At::new(Endpoint::parse(text, Path::new("")).expect(text), specfile::Place::flag(text));
        let mut route = Route::new(specfile::Place::flag("push"), vec![end("oci:images")], end(to));
        route.rename = Renames::new(renames.iter().map(|(from, to)| Rename::compile(&at(from), &at(to)).expect("valid")).collect());
        route
    }

    fn origin(text: &str) -> Origin {
        match text.parse::<Reference>() {
            Ok(reference) if text.contains('/') => Origin { repository: Some(RepositoryName::of(&reference)), tag: reference.tag().map(str::to_owned) },
            _ => Origin { repository: None, tag: Some(text.to_owned()) },
        }
    }

    fn target(route: &Route, from: &str) -> String {
        route.target(&origin(from)).expect(from).map_or_else(|| "-".to_owned(), |target| target.to_string())
    }

    #[test]
    fn names_follow_from_both_ends() {
        for (to, renames, from, expected) in [
            ("docker://r.example/a/b", &[][..], "x.example/team/hello:1", "r.example/a/b:1"),
            ("docker://r.example/a/b:2", &[], "x.example/team/hello:1", "r.example/a/b:2"),
            ("docker://r.example/a/b", &[], "1", "r.example/a/b:1"),
            ("docker://r.example/a/", &[], "x.example/team/hello:1", "r.example/a/team/hello:1"),
            ("docker://r.example/", &[], "docker.io/hello:1", "r.example/library/hello:1"),
            ("docker://r.example/a/", &[("team/*", "b/*")], "x.example/team/hello:1", "r.example/a/b/hello:1"),
            ("docker://r.example/a/", &[("x.example/**", "x/**")], "x.example/team/hello:1", "r.example/a/x/team/hello:1"),
            ("docker://r.example/a/", &[("other/*", "b/*")], "x.example/team/hello:1", "-"),
            ("oci:mirror", &[], "x.example/team/hello:1", "x.example/team/hello:1"),
            ("oci:mirror", &[("x.example/**", "r.example/**")], "x.example/team/hello:1", "r.example/team/hello:1"),
            ("oci:mirror:stable", &[], "x.example/team/hello:1", "stable"),
            ("oci:mirror", &[], "1", "1"),
        ] {
            assert_eq!(target(&route(to, renames), from), expected, "{to} {from}");
        }
        let mut retagged = route("docker://r.example/a/b", &[]);
        retagged.rename_tags = Renames::new(vec![Rename::compile(&at("v*"), &at("*")).expect("valid")]);
        assert_eq!(target(&retagged, "x.example/a:v1"), "r.example/a/b:1");
        assert_eq!(target(&retagged, "x.example/a:1"), "-");
    }

    #[test]
    fn a_path_that_is_led_from_is_no_part_of_the_name() {
        let below = Below { host: "x.example".into(), path: "team/".into() };
        let reference: Reference = "x.example/team/a/b:1".parse().expect("valid");
        let origin = Origin { repository: Some(RepositoryName::below(&below, &reference)), tag: Some("1".into()) };
        let to = |to: &str, renames: &[(&str, &str)]| route(to, renames).target(&origin).expect("a name").expect("meant").to_string();
        assert_eq!(to("docker://r.example/mirror/", &[]), "r.example/mirror/a/b:1");
        assert_eq!(to("docker://r.example/", &[("a/*", "c/*")]), "r.example/c/b:1");
        assert_eq!(to("docker://r.example/", &[("team/a/*", "d/*")]), "r.example/d/b:1");
        assert_eq!(to("oci:mirror", &[]), "x.example/team/a/b:1");
    }

    #[test]
    fn what_has_no_name_where_it_goes_is_an_error() {
        for (to, renames, from) in [
            ("docker://r.example/a/", &[][..], "1"),
            ("docker://r.example/a/", &[("team/*", "Team/*")], "x.example/team/hello:1"),
            ("docker://r.example/a/", &[("team/*", "*/")], "x.example/team/hello:1"),
            ("oci:mirror", &[], "x.example/team/hello"),
        ] {
            assert_eq!(route(to, renames).target(&origin(from)).expect_err(from).kind(), ErrorKind::Usage, "{to} {from}");
        }
    }

    #[test]
    fn images_are_meant_by_repository_and_tag() {
        let mut route = route("docker://r.example/a/", &[]);
        let all = |route: &Route| ["x.example/team/hello:1", "x.example/base:2", "3"].map(|text| route.wants(&origin(text)));
        assert_eq!(all(&route), [true, true, true]);
        route.tags = Tags::compile(TagSpec { globs: vec![at("[12]")], ..TagSpec::default() }).expect("valid");
        assert_eq!(all(&route), [true, true, false]);
        route.repositories = Globs::compile(vec![at("team/*")]).expect("valid");
        assert_eq!(all(&route), [true, false, false]);
        route.except = Globs::compile(vec![at("x.example/**")]).expect("valid");
        assert_eq!(all(&route), [false, false, false]);
    }

    #[test]
    fn a_tag_of_the_target_is_traced_back_where_that_is_certain() {
        let mut route = route("docker://r.example/a/", &[]);
        route.tags = Tags::compile(TagSpec { globs: vec![at("v*")], ..TagSpec::default() }).expect("valid");
        assert_eq!([route.tag_before("v1"), route.tag_before("1")], [Some("v1".to_owned()), None]);
        route.rename_tags = Renames::new(vec![Rename::compile(&at("v*"), &at("*-mirror")).expect("valid")]);
        assert_eq!([route.tag_before("1-mirror"), route.tag_before("v1")], [Some("v1".to_owned()), None]);
    }
}
