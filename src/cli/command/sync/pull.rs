//! `larder sync pull`.

use std::ffi::OsString;

use crate::cli::context::Context;
use crate::error::{Error, Result};
use crate::spec::reference::DEFAULT_TAG;
use crate::specfile::At;
use crate::sync::{Chosen, Endpoint, Prune, SyncSpec};

use super::choice::{ChoiceFlags, ends};
use super::job::{JobFlags, Journals, key};

/// Pulls images from registries into a layout or an archive, digests unchanged
///
/// Whole indexes with all platforms, verified byte by byte. A repository without a tag means its tag `latest`, unless --all-tags or something about tags is
/// given; a place with a slash at its end means all repositories below it with all their tags. Each image keeps its full name, or gets the one behind the path
/// of the layout. What is there already is not fetched, so pulling again costs one request for each tag.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync pull docker://registry.example/team/hello:1.4.2 oci:mirror.oci
  larder sync pull docker://registry.example/team/hello --semver '>=1.4, <2' --newest 5 oci:mirror.oci
  larder sync pull docker://registry.example/team/ --exclude-tag '*-rc*' --platform linux/amd64 oci:mirror.oci
  larder sync pull docker://registry.example/team/hello:1.4.2 oci-archive:hello.tar")]
pub(crate) struct Args {
    /// Images and repositories to pull, then where to
    #[arg(value_names = ["docker://HOST/REPOSITORY[:TAG|@DIGEST]", "LAYOUT[:NAME]"], num_args = 1.., required = true)]
    locations: Vec<OsString>,
    /// Pulls all tags of a repository
    #[arg(long, short)]
    all_tags: bool,
    /// Says what would be pulled, with blobs, bytes and requests; writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Removes names that could have come by this pull and whose image is not meant any more; asks before, or wants --yes
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    choice: ChoiceFlags,
    #[command(flatten)]
    job: JobFlags,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let (from, to) = ends(&args.locations)?;
    if to.value.host().is_some() {
        return Err(Error::usage(format!("`{}` is no layout and no archive to pull into", to.value))
            .hint("write oci:DIRECTORY; between registries images go with `larder sync run FILE`"));
    }
    let some_tags = args.all_tags || args.choice.is_about_tags();
    let from = from.into_iter().map(|from| tagged(from, some_tags)).collect::<Result<_>>()?;
    let prune = if args.prune { Prune::Tags } else { Prune::Nothing };
    let route = args.choice.route(from, to, prune)?;
    let journals = Journals::Cached(key(&route));
    let spec = SyncSpec { registries: Vec::new(), routes: vec![route] };
    match args.dry_run {
        true => args.job.plan(spec, context),
        false => args.job.execute(spec, journals, context),
    }
}

/// What is meant by a place where nothing is said of tags. Fails with kind `usage`.
fn tagged(from: At<Endpoint>, some_tags: bool) -> Result<At<Endpoint>> {
    let value = match from.value {
        Endpoint::Local(location) => return Err(Error::usage(format!("`{location}` is no place in a registry")).hint("use `larder copy` on this machine")),
        Endpoint::Repository(reference) if !some_tags && Chosen::of(&reference) == Chosen::All => Endpoint::Repository(reference.with_tag(DEFAULT_TAG)?),
        other => other,
    };
    Ok(At::new(value, from.place))
}
