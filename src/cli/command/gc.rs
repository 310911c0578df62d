//! `larder gc`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::cli::args::parse_duration;
use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Result};
use crate::ops::gc::{self, Absent, GarbageForm, GcPlan, GcReport, GcRequest, Tally};
use crate::spec::{Selector, text};
use crate::store::Location;

/// Removes the content of a layout that nothing leads to
///
/// What names lead to stays, and so does what is attached to it: signatures and other manifests whose subject stays, though they have no name. Waits until no
/// other larder has the layout open. Removes nothing at all where a document that stays is missing or damaged.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder gc oci:hello.oci --dry-run
  larder gc oci:hello.oci
  larder gc oci:hello.oci --grace 24h --format json | jq .removed.bytes")]
pub(crate) struct Args {
    /// Layout to clean
    #[arg(value_name = "LAYOUT")]
    layout: OsString,
    /// Says what would be removed, and removes nothing
    #[arg(long)]
    dry_run: bool,
    /// Content that nothing leads to stays for this long, since other tools write content before its name and lock nothing; 0 is for when nobody else writes
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    grace: Duration,
    /// Allows manifests that an index lists to be missing, as after a copy of some platforms only
    #[arg(long)]
    sparse: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let location = Location::parse(&args.layout)?;
    if *location.selector() != Selector::Only {
        return Err(Error::usage(format!("`{location}` is one image, and garbage is found in a whole layout"))
            .hint("`larder untag` takes the name away; what it stood on is then garbage"));
    }
    let absent = if args.sparse { Absent::LeftOut } else { Absent::Damage };
    let request = GcRequest { layout: location.layout()?.to_owned(), grace: args.grace, absent, options: context.layout_options() };
    let cannot = |error: Error| error.context(format!("cannot collect the garbage of {location}"));
    match args.dry_run {
        true => context.output.print(&Plan(gc::plan(&context.run, &request).map_err(cannot)?)),
        false => context.output.print(&Text(gc::execute(&context.run, &request).map_err(cannot)?)),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Plan(GcPlan);

impl Report for Plan {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let plan = &self.0;
        if !plan.garbage.is_empty() {
            let mut table = Table::new([("TYPE", Align::Left), ("DIGEST", Align::Left), ("SIZE", Align::Right)]);
            for garbage in &plan.garbage {
                let form = match garbage.form {
                    GarbageForm::Index => "index",
                    GarbageForm::Manifest => "manifest",
                    GarbageForm::Blob => "blob",
                };
                table.row([form, garbage.digest.as_str(), &bytes::size(garbage.size)]);
            }
            table.write(out)?;
            writeln!(out)?;
        }
        write_kept(plan, out, style)?;
        for name in &plan.staging {
            writeln!(out, "{} {}", style.strong("dead    "), text::shown(name))?;
        }
        writeln!(out, "{} {}", style.strong("garbage "), amount(Tally { blobs: plan.garbage.len(), bytes: plan.garbage_bytes }))
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(GcReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        write_kept(&report.plan, out, style)?;
        for digest in &report.changed {
            writeln!(out, "{} {digest}  (somebody changed it meanwhile)", style.strong("left    "))?;
        }
        writeln!(out, "{} {}", style.strong("removed "), amount(report.removed))
    }
}

/// What stays, and why.
fn write_kept(plan: &GcPlan, out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(out, "{} {}", style.strong("named   "), amount(plan.named))?;
    for (word, tally, why) in [("attached", plan.attached, "to what is named"), ("young   ", plan.young, "without a name, but younger than --grace")] {
        if tally.blobs > 0 {
            writeln!(out, "{} {}  ({why})", style.strong(word), amount(tally))?;
        }
    }
    for path in &plan.strays {
        writeln!(out, "{} {}  (not a blob)", style.strong("left    "), text::shown(path))?;
    }
    Ok(())
}

fn amount(tally: Tally) -> String {
    format!("{} blob{}, {}", tally.blobs, if tally.blobs == 1 { "" } else { "s" }, bytes::size(tally.bytes))
}
