//! The flags that say which images go where, for commands without a sync file.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::Path;

use crate::cli::host;
use crate::error::{Error, Result};
use crate::spec::{Platform, text};
use crate::specfile::{At, Place};
use crate::sync::{Attached, Endpoint, Existing, Globs, Lacking, Prune, Rename, Renames, Route, TagSpec, Tags};

/// Which images, and under which names.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Choice")]
pub(super) struct ChoiceFlags {
    /// Takes only tags that a glob matches; may be repeated: one of them must
    #[arg(long, value_name = "GLOB")]
    tag_glob: Vec<String>,
    /// Takes only tags that a regular expression matches as a whole; may be repeated: one of them must
    #[arg(long, value_name = "REGEX")]
    tag_regex: Vec<String>,
    /// Takes only tags that are versions in a range, such as '>=1.4, <2'; may be repeated: one of them must
    #[arg(long, value_name = "RANGE")]
    semver: Vec<String>,
    /// Leaves out tags that a glob matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude_tag: Vec<String>,
    /// Takes only so many tags of each repository, those of the newest versions
    #[arg(long, value_name = "N")]
    newest: Option<NonZeroUsize>,
    /// Takes only repositories that a glob matches, with or without their host; may be repeated
    #[arg(long, value_name = "GLOB")]
    repository: Vec<String>,
    /// Leaves out repositories that a glob matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude_repository: Vec<String>,
    /// Gives repositories other names, such as 'team/*=mirror/*'; others are left out then. May be repeated: the first that fits counts
    #[arg(long, value_name = "OLD=NEW")]
    rename: Vec<String>,
    /// Gives tags other names, such as 'v*=*'; others are left out then. May be repeated
    #[arg(long, value_name = "OLD=NEW")]
    rename_tag: Vec<String>,
    /// Carries these platforms only, under an index that lists no others; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// Carries images that lack some of these platforms with those that they have
    #[arg(long, requires = "platform")]
    skip_missing_platforms: bool,
    /// Carries what is attached to the images too: signatures, attestations, and what is attached to these
    #[arg(long)]
    referrers: bool,
    /// Leaves a tag alone that stands on another image already
    #[arg(long)]
    skip_existing: bool,
}

impl ChoiceFlags {
    /// Whether something is said about tags.
    pub(super) fn is_about_tags(&self) -> bool {
        !(self.tag_glob.is_empty() && self.tag_regex.is_empty() && self.semver.is_empty() && self.exclude_tag.is_empty()) || self.newest.is_some()
    }

    /// The route from `from` to `to`. Fails with kind `usage`.
    pub(super) fn route(&self, from: Vec<At<Endpoint>>, to: At<Endpoint>, prune: Prune) -> Result<Route> {
        let place = to.place.clone();
        let tags = TagSpec {
            globs: at("--tag-glob", &self.tag_glob),
            regexes: at("--tag-regex", &self.tag_regex),
            versions: at("--semver", &self.semver),
            except: at("--exclude-tag", &self.exclude_tag),
            newest: self.newest,
        };
        let platforms = if self.platform.is_empty() { Vec::new() } else { Platform::parse_list_with(&self.platform.join(","), &host::platform())? };
        let route = Route {
            repositories: Globs::compile(at("--repository", &self.repository))?,
            except: Globs::compile(at("--exclude-repository", &self.exclude_repository))?,
            tags: Tags::compile(tags)?,
            rename: renames("--rename", &self.rename)?,
            rename_tags: renames("--rename-tag", &self.rename_tag)?,
            platforms,
            lacking: if self.skip_missing_platforms { Lacking::Skipped } else { Lacking::Fails },
            attached: if self.referrers { Attached::Carried } else { Attached::Left },
            existing: if self.skip_existing { Existing::Kept } else { Existing::Replaced },
            prune,
            ..Route::new(place, from, to)
        };
        route.check()?;
        Ok(route)
    }
}

fn at(flag: &str, written: &[String]) -> Vec<At<String>> {
    written.iter().map(|text| At::new(text.clone(), Place::flag(format!("{flag} {text}")))).collect()
}

fn renames(flag: &str, written: &[String]) -> Result<Renames> {
    let renames = written.iter().map(|text| {
        let place = Place::flag(format!("{flag} {text}"));
        let (old, new) = text.split_once('=').ok_or_else(|| place.usage("is not OLD=NEW"))?;
        Rename::compile(&At::new(old.to_owned(), place.clone()), &At::new(new.to_owned(), place))
    });
    Ok(Renames::new(renames.collect::<Result<_>>()?))
}

/// The ends of a route as they were typed: all but the last lead from, the last leads to. Fails with kind `usage`.
pub(super) fn ends(written: &[OsString]) -> Result<(Vec<At<Endpoint>>, At<Endpoint>)> {
    let mut ends = written.iter().map(|written| {
        let shown = text::path(Path::new(written)).into_owned();
        Ok(At::new(Endpoint::parse(written, Path::new(""))?, Place::flag(shown)))
    });
    let mut ends = ends.by_ref().collect::<Result<Vec<_>>>()?;
    match ends.pop() {
        Some(to) if !ends.is_empty() => Ok((ends, to)),
        _ => Err(Error::usage("it takes two places or more: from where, and to where").hint("see --help for examples")),
    }
}
