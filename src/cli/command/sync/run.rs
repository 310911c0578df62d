//! `larder sync run`.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::error::{Error, Result};
use crate::fsio::regular;
use crate::spec::{limits, text};
use crate::sync::{Prune, SyncSpec, file};

use super::job::{JobFlags, Journals};

/// Does a job in bulk that a file describes: pushes, pulls, and mirrors between registries
///
/// The file is TOML and is explained in the README. A journal is kept beside it while the job runs, so that a run which was killed goes on where it was; once
/// everything has arrived it is removed. Images that fail stop no others, and the exit code is that of the worst failure: 8 (unavailable) only where trying again
/// may help.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync run nightly.toml
  larder sync run nightly.toml --prune --yes --format json | jq '.images[] | select(.state == \"failed\")'
  larder sync run nightly.toml --shard 2/5
  larder sync run /jobs/mirror.toml --shard auto/8 --journal /work/mirror.journal")]
pub(crate) struct Args {
    /// The job
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Says what would be done, as `larder sync plan` does
    #[arg(long)]
    dry_run: bool,
    /// Removes names from all targets that could have come by the job and whose image is not meant any more; asks before, or wants --yes
    #[arg(long)]
    prune: bool,
    /// Keeps no journal
    #[arg(long, conflicts_with = "journal")]
    no_journal: bool,
    #[command(flatten)]
    job: JobFlags,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let spec = read(&args.file, args.prune.then_some(Prune::Tags))?;
    if args.dry_run {
        return args.job.plan(spec, context);
    }
    let journals = if args.no_journal { Journals::None } else { Journals::Beside(&args.file) };
    args.job.execute(spec, journals, context)
}

/// Reads a sync file; with `prune`, that holds for all its routes. Kinds: `usage` with line and column, or those of reading.
pub(super) fn read(path: &Path, prune: Option<Prune>) -> Result<SyncSpec> {
    let shown = text::path(path);
    let bytes = regular::read_path(path, limits::SPECIFICATION_BYTES)?;
    let content = std::str::from_utf8(&bytes).map_err(|_| Error::usage(format!("{shown} is not UTF-8 text")).subject(&shown))?;
    let mut spec = file::parse(&shown, content, path.parent().unwrap_or(Path::new("")))?;
    if let Some(prune) = prune {
        for route in &mut spec.routes {
            route.prune = prune;
            route.check()?;
        }
    }
    Ok(spec)
}
