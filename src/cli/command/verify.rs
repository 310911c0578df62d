//! `larder verify`.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::error::{Error, Result};
use crate::ops::verify::{self, Absent, Code, Depth, Severity, VerifyReport, VerifyRequest};
use crate::spec::{Digest, text};
use crate::store::location::Location;

/// Proves every byte of a layout or an archive, or of one image in it
///
/// Reads and hashes everything that the images lead to, holds documents against the rules of the specification, and lists all that is
/// wrong. Ends with exit code 3 where it found damage, and with 1 where only the machine failed; warnings alone are no failure.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder verify oci:hello.oci
  larder verify --deep oci:out:hello:1
  larder verify oci-archive:hello.tar
  larder verify --sparse oci:edge.oci
  larder verify --format json oci:out | jq -r '.findings[].subject'")]
pub(crate) struct Args {
    /// Layout or archive, and optionally the one image in it that is meant
    #[arg(value_name = "LOCATION[:NAME|@DIGEST]")]
    location: OsString,
    /// Also decompresses layers, compares them with their diff IDs and reads them as tar to the end
    #[arg(long)]
    deep: bool,
    /// Allows manifests that an index lists to be missing, as after a copy of some platforms only
    #[arg(long)]
    sparse: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let location = Location::parse(&args.location)?;
    let depth = if args.deep { Depth::Layers } else { Depth::Content };
    let absent = if args.sparse { Absent::LeftOut } else { Absent::Damage };
    let request = VerifyRequest { location, depth, absent, options: context.layout_options() };
    let report = Text(verify::execute(&context.run, &request)?, absent);
    context.output.print(&report)?;
    match report.0.verdict() {
        None => Ok(()),
        Some(kind) => {
            let message = format!("{} in {}", count(report.0.findings.len(), "finding"), report.0.location);
            Err(Error::new(kind, message).subject(&report.0.location))
        }
    }
}

/// The result, as a person reads it, and what was allowed.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(VerifyReport, #[serde(skip)] Absent);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        if !report.findings.is_empty() {
            let left = Align::Left;
            let mut table = Table::new([("SEVERITY", left), ("CODE", left), ("SUBJECT", left), ("REACHED BY", left), ("MESSAGE", left)]);
            for finding in &report.findings {
                let chain = finding.chain.iter().map(|link| short(link)).collect::<Vec<_>>().join(" > ");
                let chain = if chain.is_empty() { "-".to_owned() } else { chain };
                table.row([finding.severity.as_str(), finding.code.as_str(), &finding.subject, &chain, &finding.message]);
            }
            table.write(out)?;
            writeln!(out)?;
        }
        if !report.damaged.is_empty() {
            let names: Vec<String> = report.damaged.iter().take(LISTED).map(|name| text::shown(name).into_owned()).collect();
            let more = report.damaged.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(out, "{} {}{more}", style.strong("not whole:"), names.join(", "))?;
        }
        if report.errors().any(|finding| finding.code == Code::BlobMissing) {
            let hint = match self.1 {
                Absent::Damage => "copy what is missing; if the images were copied for some platforms only, allow that with --sparse",
                Absent::LeftOut => "copy what is missing",
            };
            writeln!(out, "{} {hint}", style.hint("hint:"))?;
        }
        let warnings = report.findings.iter().filter(|finding| finding.severity == Severity::Warning).count();
        let outcome = match (report.findings.len(), warnings) {
            (0, _) => "no damage found".to_owned(),
            (all, warnings) if all == warnings => format!("no damage found, {}", count(warnings, "warning")),
            (all, _) => count(all, "finding"),
        };
        let left_out = if report.left_out > 0 { format!("{} left out, ", count(report.left_out, "manifest")) } else { String::new() };
        writeln!(out, "{}, {} verified, {left_out}{}", count(report.blobs, "blob"), bytes::size(report.bytes), style.strong(&outcome))
    }
}

/// How many names are listed in text; JSON has them all.
const LISTED: usize = 20;

/// Digests short enough for a table; names as they are.
fn short(link: &str) -> String {
    link.parse::<Digest>().map_or_else(|_| link.to_owned(), |digest| digest.short().to_owned())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
