//! `larder sync plan`.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::error::Result;
use crate::sync::Prune;

use super::job::ShareFlags;
use super::run::read;

/// Says what a job in bulk would do: images, blobs, bytes and requests for each registry
///
/// Asks registries and sends nothing else; neither targets nor the journal change. Each blob counts once for each registry, and as taken where another
/// repository of the registry has it.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync plan nightly.toml
  larder sync plan nightly.toml --prune --format json | jq -r '.prune[].name'")]
pub(crate) struct Args {
    /// The job
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Tells also which names --prune would remove from all targets
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    share: ShareFlags,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    args.share.plan(read(&args.file, args.prune.then_some(Prune::Tags))?, context)
}
