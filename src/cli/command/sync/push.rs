//! `larder sync push`.

use std::ffi::OsString;

use crate::cli::context::Context;
use crate::error::{Error, Result};
use crate::sync::{Endpoint, Prune, SyncSpec};

use super::choice::{ChoiceFlags, ends};
use super::job::{JobFlags, Journals, key};

/// Pushes images from layouts and archives to registries, digests unchanged
///
/// One image, several, or all of a layout. A target with a slash at its end is a path below which each image keeps the repository of its name; without one it
/// is the repository. What is there already is not sent: an image that did not change costs one request. Blobs that another repository of the registry has are
/// taken from there. Tags change last, one by one; an image that fails stops no other, and the exit code is that of the worst failure.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync push oci:hello.oci:1.4.2 docker://registry.example/team/hello
  larder sync push oci:hello.oci:1.4.2 docker://registry.example/team/hello:stable --metadata-file image.json
  larder sync push oci:mirror.oci docker://acme.example/docker-local/ --dry-run
  larder sync push oci:mirror.oci docker://acme.example/docker-local/ --repository 'team/*' --semver '>=1.4' --referrers
  larder sync push oci-archive:release.tar docker://acme.example/ --rename 'registry.example/team/*=docker-local/*'")]
pub(crate) struct Args {
    /// Images to push, or layouts and archives of them, then where to
    #[arg(value_names = ["LAYOUT[:NAME]", "docker://HOST/REPOSITORY[:TAG]"], num_args = 1.., required = true)]
    locations: Vec<OsString>,
    /// Says what would be pushed, with blobs, bytes and requests; sends nothing but questions
    #[arg(long)]
    dry_run: bool,
    /// Removes tags that could have come by this push and whose image is not meant any more; asks before, or wants --yes
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    choice: ChoiceFlags,
    #[command(flatten)]
    job: JobFlags,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let (from, to) = ends(&args.locations)?;
    if let Endpoint::Local(location) = &to.value {
        return Err(Error::usage(format!("`{location}` is no registry to push to"))
            .subject(location)
            .hint("write docker://HOST/REPOSITORY, or use `larder copy`"));
    }
    if let Some(from) = from.iter().find(|from| from.value.host().is_some()) {
        return Err(Error::usage(format!("`{}` is not on this machine", from.value)).hint("between registries images go with `larder sync run FILE`"));
    }
    let prune = if args.prune { Prune::Tags } else { Prune::Nothing };
    let route = args.choice.route(from, to, prune)?;
    let journals = Journals::Cached(key(&route));
    let spec = SyncSpec { registries: Vec::new(), routes: vec![route] };
    match args.dry_run {
        true => args.job.plan(spec, context),
        false => args.job.execute(spec, journals, context),
    }
}
