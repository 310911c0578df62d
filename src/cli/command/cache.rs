//! `larder cache`: what builds remember.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::build::Cache;
use crate::cli::args::parse_duration;
use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Result};
use crate::ops::cache::{self, Amount, CacheEntry, CacheReport, NoteTally, PruneReport, PruneRequest};
use crate::spec::text;

/// Shows what builds remember, and removes it
///
/// The cache has the layers that steps of Dockerfiles made, what is known of other layers and where they lie, and the directories of RUN --mount=type=cache. It can
/// be removed at any time, also while builds run: nothing but time is lost. Builds keep it within 20 GB by themselves.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder cache list
  larder cache prune --older-than 720h --max-used-space 5GB
  larder cache prune --all --dry-run")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    List(List),
    Prune(Prune),
}

/// Lists the entries, with their size and age; what was used last comes last
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  larder cache list --format json | jq .bytes")]
struct List {
    #[command(flatten)]
    place: Place,
}

/// Removes entries; without --all, --older-than and --max-used-space only what is beyond the bound of builds
///
/// Waits for builds that run before it removes layers (see --lock-timeout). A directory that a RUN uses right now stays.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder cache prune --max-used-space 5GB
  larder cache prune --older-than 720h --dry-run")]
struct Prune {
    #[command(flatten)]
    place: Place,
    /// Everything
    #[arg(long, short, conflicts_with_all = ["older_than", "max_used_space"])]
    all: bool,
    /// What no build has used for so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// What was used the longest ago, until no more than this is left, as in 5GB
    #[arg(long, visible_alias = "keep-storage", value_name = "SIZE", value_parser = bytes::parse)]
    max_used_space: Option<u64>,
    /// Says what would be removed, and removes nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Debug)]
struct Place {
    /// Where the cache is; the default is larder in the user's cache directory
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    match args.action {
        Action::List(list) => context.output.print(&Listing(cache::list(&context.run, &list.place.cache(context)?, &context.layout_options())?)),
        Action::Prune(prune) => self::prune(&prune, context),
    }
}

fn prune(args: &Prune, context: &Context) -> Result<()> {
    let amount = match (args.all, args.older_than, args.max_used_space) {
        (true, ..) => Amount::All,
        (false, None, None) => Amount::Usual,
        (false, unused, most) => Amount::Beyond { unused, most },
    };
    let request = PruneRequest { cache: args.place.cache(context)?, amount, options: context.layout_options() };
    let report = match args.dry_run {
        true => cache::plan(&context.run, &request)?,
        false => {
            #[cfg(feature = "run")]
            as_the_steps_ran(context, &request)?;
            cache::prune(&context.run, &request)?
        }
    };
    context.output.print(&Text { report: &report, word: if args.dry_run { "garbage " } else { "removed " } })
}

/// What steps wrote that ran in a user namespace belongs to users whom only such a namespace knows.
#[cfg(feature = "run")]
fn as_the_steps_ran(context: &Context, request: &PruneRequest) -> Result<()> {
    use crate::cli::environment::Environment;
    use crate::runtime::userns;
    if userns::is_needed() && cache::plan(&context.run, request)?.removed.iter().any(|entry| entry.form == "mount") {
        // Who starts again knows of no signal that came before.
        context.run.cancel.check()?;
        return Err(userns::enter(&Environment::arguments()[1..]));
    }
    Ok(())
}

impl Place {
    fn cache(&self, context: &Context) -> Result<Cache> {
        let directory = self.cache_dir.clone().or_else(|| context.environment.cache_directory());
        let missing = || Error::usage("there is no cache: neither XDG_CACHE_HOME nor HOME is set").hint("say --cache-dir DIR");
        directory.map(|directory| Cache::at(&directory)).ok_or_else(missing)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listing(CacheReport);

impl Report for Listing {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        table(&report.entries, out)?;
        notes(report.notes, out, style)?;
        writeln!(out, "{} {} of {} in {}", style.strong("all     "), bytes::size(report.bytes), bytes::size(report.bound), text::shown(&report.directory))
    }
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(flatten)]
    report: &'a PruneReport,
    #[serde(skip)]
    word: &'static str,
}

impl Report for Text<'_> {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = self.report;
        table(&report.removed, out)?;
        notes(report.notes, out, style)?;
        for busy in &report.busy {
            writeln!(out, "{} {}  (in use)", style.strong("left    "), text::shown(&busy.label))?;
        }
        writeln!(out, "{} {}", style.strong("kept    "), bytes::size(report.kept_bytes))?;
        writeln!(out, "{} {}", style.strong(self.word), bytes::size(report.removed_bytes))
    }
}

fn table(entries: &[CacheEntry], out: &mut dyn Write) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([("TYPE", Align::Left), ("USED", Align::Right), ("SIZE", Align::Right), ("LAYER", Align::Left), ("WHAT", Align::Left)]);
    for entry in entries {
        let digest = entry.digest.as_ref().map_or("-", |digest| digest.short());
        table.row([entry.form, &age(entry.age), &bytes::size(entry.size), digest, &entry.label]);
    }
    table.write(out)?;
    writeln!(out)
}

fn notes(notes: NoteTally, out: &mut dyn Write, style: Style) -> io::Result<()> {
    match notes.count {
        0 => Ok(()),
        count => writeln!(out, "{} {count}, {}  (lists of files and tables of pieces)", style.strong("notes   "), bytes::size(notes.bytes)),
    }
}

/// As in `3 min ago`.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit_that_people_count_in() {
        assert_eq!(
            [0, 119, 120, 7199, 7200, 172_799, 172_800].map(age),
            ["0 s ago", "119 s ago", "2 min ago", "119 min ago", "2 h ago", "47 h ago", "2 d ago"]
        );
    }
}
