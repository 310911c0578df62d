//! The flags that say how a job is done, and doing it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::args::parse_duration;
use crate::cli::context::Context;
use crate::cli::credentials::CredentialFlags;
use crate::cli::environment::JOB_COMPLETION_INDEX;
use crate::cli::network::NetworkFlags;
use crate::cli::prompt;
use crate::error::{Error, Result};
use crate::ops::sync::job::{self, Failing, JournalNeed, JournalRequest, PruneCandidate, SyncRequest};
use crate::spec::text;
use crate::store::registry::Network;
use crate::sync::journal::EXTENSION;
use crate::sync::{Endpoint, Key, Route, Shard, SyncSpec};

use super::registries;
use super::report::{PlanText, Text};

/// Which share of a job is meant, and how registries are asked.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
pub(super) struct ShareFlags {
    /// Does only a share of the job: 1/3 is the first of three. With auto/3 the number is JOB_COMPLETION_INDEX and one more
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    #[command(flatten)]
    credentials: CredentialFlags,
    #[command(flatten)]
    network: NetworkFlags,
}

/// How a job is done.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
pub(super) struct JobFlags {
    /// Begins no other image once one has failed
    #[arg(long)]
    fail_fast: bool,
    /// Writes metadata as buildx does, once everything has arrived
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Notes in this file what is finished, so that a run which was killed goes on where it was
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long the journal of a run that was killed holds
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = parse_duration)]
    journal_validity: Duration,
    /// Removes names from targets without asking
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    share: ShareFlags,
}

/// Where a journal is kept if nobody says.
pub(super) enum Journals<'a> {
    /// Nowhere.
    None,
    /// Beside this file.
    Beside(&'a Path),
    /// Among the caches, under the key of the job.
    Cached(Key),
}

/// How many names that would go are shown before somebody is asked.
const SHOWN: usize = 20;

impl JobFlags {
    /// Does the job, and tells what became of it. Fails with the kind that the failures of images amount to.
    pub(super) fn execute(&self, spec: SyncSpec, journals: Journals<'_>, context: &Context) -> Result<()> {
        let shard = self.share.shard(context)?;
        let options = context.layout_options();
        let journal = self.journal(&journals, shard, context).map(|request| job::open_journal(&context.run, &request, &options)).transpose()?.flatten();
        let mut settings = self.share.settings(&spec, context)?;
        if let Some(journal) = &journal {
            settings.sessions = journal.clone();
        }
        // Who pushes by hand wants every image to be asked for; only uploads go on where they were.
        let (finished, uploads) = if matches!((&journals, &self.journal), (Journals::Cached(_), None)) { (None, journal) } else { (journal, None) };
        let network = Network::new(settings, &context.run)?;
        let on_stdout = spec.routes.iter().any(is_to_stdout);
        let request = SyncRequest {
            routes: spec.routes,
            shard,
            failing: if self.fail_fast { Failing::StopsAll } else { Failing::Alone },
            journal: finished,
            confirm: &|candidates| self.confirm(candidates, context),
            metadata_file: self.metadata_file.clone(),
            options,
            reach: &network,
        };
        let report = Text(job::execute(&context.run, &request)?);
        match on_stdout {
            true => context.output.beside().print(&report)?,
            false => context.output.print(&report)?,
        }
        if let Some(uploads) = uploads.filter(|_| report.0.failures() == 0) {
            uploads.complete()?;
        }
        match report.0.verdict() {
            None => Ok(()),
            Some(kind) => Err(Error::new(kind, report.failure()).hint("the report says why, image by image; another run does what is left")),
        }
    }

    /// Tells what the job would do.
    pub(super) fn plan(&self, spec: SyncSpec, context: &Context) -> Result<()> {
        self.share.plan(spec, context)
    }

    fn journal(&self, journals: &Journals<'_>, shard: Shard, context: &Context) -> Option<JournalRequest> {
        let (path, need) = match (&self.journal, journals) {
            (Some(path), _) => (path.clone(), JournalNeed::Must),
            (None, Journals::None) => return None,
            (None, Journals::Cached(key)) => {
                let name = format!("{}.{EXTENSION}", key.as_str());
                (context.environment.cache_directory()?.join("sync").join(name), JournalNeed::Handy)
            }
            (None, Journals::Beside(file)) => {
                let mut path = file.as_os_str().to_owned();
                if shard != Shard::WHOLE {
                    path.push(format!(".{}", shard.to_string().replace('/', "-of-")));
                }
                path.push(format!(".{EXTENSION}"));
                (path.into(), JournalNeed::May)
            }
        };
        Some(JournalRequest { path, validity: self.journal_validity, need })
    }

    /// Asks whether names may go.
    fn confirm(&self, candidates: &[PruneCandidate], context: &Context) -> Result<bool> {
        if self.yes {
            return Ok(true);
        }
        let names = if candidates.len() == 1 { "name" } else { "names" };
        let mut question = format!("{} {names} would be removed from their targets:\n", candidates.len());
        for candidate in candidates.iter().take(SHOWN) {
            question.push_str(&format!("  {}\n", text::shown(&candidate.name)));
        }
        if candidates.len() > SHOWN {
            question.push_str(&format!("  and {} more\n", candidates.len() - SHOWN));
        }
        if !prompt::is_possible() {
            // Where stderr is gone, the error still tells.
            let _ = io::stderr().lock().write_all(question.as_bytes());
            return Err(Error::usage(format!("{} {names} would be removed, and there is nobody to ask", candidates.len()))
                .hint("see them with --dry-run or `larder sync plan`, and allow it with --yes"));
        }
        question.push_str("Remove them once all images have arrived?");
        prompt::confirm(&question, &context.run.cancel)
    }
}

impl ShareFlags {
    /// Tells what the job would do.
    pub(super) fn plan(&self, spec: SyncSpec, context: &Context) -> Result<()> {
        let network = Network::new(self.settings(&spec, context)?, &context.run)?;
        let request = SyncRequest {
            routes: spec.routes,
            shard: self.shard(context)?,
            failing: Failing::Alone,
            journal: None,
            confirm: &|_| Ok(false),
            metadata_file: None,
            options: context.layout_options(),
            reach: &network,
        };
        let report = PlanText(job::plan(&context.run, &request)?);
        context.output.print(&report)?;
        match report.0.verdict() {
            None => Ok(()),
            Some(kind) => Err(Error::new(kind, report.failure())),
        }
    }

    fn settings(&self, spec: &SyncSpec, context: &Context) -> Result<crate::store::registry::Settings> {
        let mut hosts: Vec<&str> = spec.routes.iter().flat_map(|route| route.from.iter().chain([&route.to])).filter_map(|end| end.value.host()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut settings = self.network.settings(context, &hosts, self.credentials.sources(context, &hosts)?)?;
        registries::apply(&spec.registries, &mut settings, &context.environment)?;
        Ok(settings)
    }

    fn shard(&self, context: &Context) -> Result<Shard> {
        let Some(written) = &self.shard else { return Ok(Shard::WHOLE) };
        let cannot = |error: Error| error.context(format!("--shard {}", text::shown(written)));
        let Some(of) = written.strip_prefix("auto/") else { return written.parse().map_err(cannot) };
        let index = context.environment.parsed(&JOB_COMPLETION_INDEX, |text| text.parse::<u32>().map_err(|_| "a number from 0 is needed".to_owned()))?;
        let Some(index) = index else {
            return Err(cannot(
                Error::usage("JOB_COMPLETION_INDEX is not set").hint("Kubernetes sets it in Indexed Jobs; elsewhere write the number, as in --shard 1/3"),
            ));
        };
        let of = of.parse().map_err(|_| cannot(Error::usage(format!("`{}` is no number of shares", text::shown(of)))))?;
        Shard::new(index.saturating_add(1), of).map_err(cannot)
    }
}

/// Whether the archive that a route leads to is stdout.
fn is_to_stdout(route: &Route) -> bool {
    matches!(&route.to.value, Endpoint::Local(location) if location.is_stream())
}

/// What a job without a file is known by: where it leads.
pub(super) fn key(route: &Route) -> Key {
    let ends: Vec<String> = route.from.iter().chain([&route.to]).map(|end| end.value.to_string()).collect();
    Key::of(ends.iter().map(String::as_str))
}
