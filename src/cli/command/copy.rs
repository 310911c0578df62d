//! `larder copy`.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::host;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::copy::{How, Names, Platforms, Reading, Referrers, Wanted};
use crate::error::{Error, Result};
use crate::ops::copy::{self, CopiedName, CopyPlanReport, CopyReport, CopyRequest, LeftOutReport, Moving, RewrittenReport, TallyReport};
use crate::spec::{ImageName, Platform, Prefix, Selector, text};
use crate::store::{Location, Sharing};

/// Copies images between layouts and archives, digests unchanged
///
/// Whole indexes are copied, with all platforms and their attestations. What is there already is not copied again, so a copy that was interrupted goes on
/// where it was. Names change last, all in one step; a name that stood on something else moves, and the report says so. Names that only an archive gives do not
/// move without --force.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "larder copy [OPTIONS] <SRC>... <DST>",
    after_help = "\
Examples:
  larder copy oci:hello.oci:1.4.2 oci:release.oci
  larder copy oci:a.oci:1 oci:b.oci:2 oci:release.oci
  larder copy --all-names oci:hello.oci oci:mirror.oci
  larder copy --platform linux/arm64 oci:hello.oci:1.4.2 oci:edge.oci:stable
  larder copy --all-names oci:hello.oci oci-archive:hello.tar
  larder copy --all-names --prefix mirror.example/imports docker-archive:foreign.tar oci:mirror.oci
  larder copy oci:hello.oci:1.4.2 docker-archive:- | ssh edge podman load"
)]
pub(crate) struct Args {
    /// Images to copy, then where to
    #[arg(value_names = ["SRC", "DST"], num_args = 1.., required = true)]
    locations: Vec<OsString>,
    /// Copies every image of SRC under the name that it has
    #[arg(long)]
    all_names: bool,
    /// Name of the copy; may be repeated
    #[arg(long, short, value_name = "NAME", conflicts_with = "all_names")]
    tag: Vec<String>,
    /// Brings the names of the images under this host and repository, in place of the host that they have
    #[arg(long, value_name = "HOST[/REPOSITORY]", conflicts_with = "tag")]
    prefix: Option<String>,
    /// Moves names that only an archive gives, too; those of layouts always move
    #[arg(long)]
    force: bool,
    /// Copies these platforms only, under an index that lists no others; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// Keeps the index and its digest though it lists platforms that are not copied
    #[arg(long, requires = "platform")]
    sparse: bool,
    /// Copies what is attached to the images too: signatures, attestations, and what is attached to these
    #[arg(long)]
    referrers: bool,
    /// What a copy on the same file system may share with its source
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Share::Files)]
    share: Share,
    /// Reads and verifies also what is shared, and replaces damaged content of the destination
    #[arg(long)]
    verify: bool,
    /// Says what would be copied, with bytes; writes nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is shared on one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Share {
    /// Blocks where the file system can, else the files of layers (hard links)
    Files,
    /// Blocks where the file system can (reflinks), else nothing
    Blocks,
    /// Nothing: everything is read, verified and written
    None,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let request = request(&args, context)?;
    if args.dry_run {
        return context.output.print(&PlanText(copy::plan(&context.run, &request)?));
    }
    let report = Text(copy::execute(&context.run, &request)?);
    match request.destination.is_stream() {
        true => context.output.beside().print(&report),
        false => context.output.print(&report),
    }
}

fn request(args: &Args, context: &Context) -> Result<CopyRequest> {
    let mut locations = args.locations.iter().map(Location::parse).collect::<Result<Vec<_>>>()?;
    let Some(destination) = locations.pop().filter(|_| !locations.is_empty()) else {
        return Err(Error::usage("it takes two places or more: from where, and to where").hint("`larder copy --help` explains the arguments"));
    };
    if matches!(destination.selector(), Selector::Digest(_)) {
        return Err(
            Error::usage(format!("`{destination}` has a digest, and a copy has the digest of its source")).hint("write a name or nothing after the path")
        );
    }
    let names = names(args, &destination, locations.len())?;
    let sources = locations.into_iter().map(|location| wanted(args, location, &names)).collect::<Result<_>>()?;
    let sharing = match args.share {
        Share::Files => Some(Sharing::Files),
        Share::Blocks => Some(Sharing::Blocks),
        Share::None => None,
    };
    Ok(CopyRequest {
        sources,
        destination,
        platforms: platforms(args)?,
        referrers: if args.referrers { Referrers::Carried } else { Referrers::Left },
        prefix: args.prefix.as_deref().map(Prefix::parse).transpose()?,
        moving: if args.force { Moving::Any } else { Moving::Known },
        how: How { sharing, reading: if args.verify { Reading::All } else { Reading::Copied } },
        options: context.layout_options(),
    })
}

/// The names that were asked for.
fn names(args: &Args, destination: &Location, sources: usize) -> Result<Names> {
    if let (Some(prefix), Some(name)) = (&args.prefix, destination.name()) {
        return Err(Error::usage(format!(
            "the copy is to be called `{}`, and --prefix {} makes names of those that images have",
            text::shown(name),
            text::shown(prefix)
        ))
        .hint("leave out one of both"));
    }
    let mut names = Vec::from_iter(destination.name().map(ImageName::verbatim).transpose()?);
    for tag in &args.tag {
        let name = ImageName::parse_within(tag, None)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match (names.is_empty(), sources > 1 || args.all_names) {
        (true, _) => Ok(Names::Kept),
        (false, false) => Ok(Names::New(names)),
        (false, true) => {
            Err(Error::usage("a new name is given for more than one image").hint("copy them one by one, or leave out the name: each keeps its own"))
        }
    }
}

fn wanted(args: &Args, location: Location, names: &Names) -> Result<(Location, Wanted)> {
    if !args.all_names {
        let wanted = Wanted::One(location.selector().clone(), names.clone());
        return Ok((location, wanted));
    }
    match location.selector() {
        Selector::Only => Ok((location, Wanted::All)),
        _ => Err(Error::usage(format!("`{location}` is one image, and --all-names means all of them")).hint("leave out one of both")),
    }
}

fn platforms(args: &Args) -> Result<Platforms> {
    if args.platform.is_empty() {
        return Ok(Platforms::All);
    }
    let platforms = Platform::parse_list_with(&args.platform.join(","), &host::platform())?;
    Ok(if args.sparse { Platforms::Sparse(platforms) } else { Platforms::Filtered(platforms) })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(CopyReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        write_names(out, &report.names)?;
        write_changes(out, &report.rewritten, &report.left_out)?;
        let content = &report.content;
        let parts = [("copied", content.copied), ("linked", content.linked), ("reflinked", content.reflinked), ("there already", content.present)];
        let parts: Vec<String> = parts.iter().filter(|(_, tally)| tally.count > 0).map(|(word, tally)| format!("{} {word}", amount(*tally))).collect();
        writeln!(out, "{} {}: {}", style.strong("copied to"), report.destination, if parts.is_empty() { "nothing".into() } else { parts.join(", ") })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct PlanText(CopyPlanReport);

impl Report for PlanText {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        write_names(out, &report.names)?;
        write_changes(out, &report.rewritten, &report.left_out)?;
        writeln!(out, "{} {}: {} to carry, {} there already", style.strong("would copy to"), report.destination, amount(report.missing), amount(report.present))
    }
}

fn write_names(out: &mut dyn Write, names: &[CopiedName]) -> io::Result<()> {
    let mut table = Table::new([("NAME", Align::Left), ("DIGEST", Align::Left), ("BEFORE", Align::Left)]);
    for name in names {
        let before = match (&name.moved_from, name.added) {
            // All of it, so that the name can be given back.
            (Some(digest), _) => digest.as_str(),
            (None, true) => "-",
            (None, false) => "the same",
        };
        table.row([name.name.as_deref().unwrap_or("-"), name.digest.short(), before]);
    }
    table.write(out)
}

/// How many things that were left out are listed in text; JSON has them all.
const LISTED: usize = 20;

fn write_changes(out: &mut dyn Write, rewritten: &[RewrittenReport], left_out: &[LeftOutReport]) -> io::Result<()> {
    for index in rewritten {
        writeln!(out, "index {} is {} without the other platforms", index.from.short(), index.to.short())?;
    }
    for left in left_out.iter().take(LISTED) {
        let what = left.name.as_deref().or(left.platform.as_deref()).unwrap_or(&left.media_type);
        writeln!(out, "left out: {} {} ({})", left.digest.short(), text::shown(what), left.reason)?;
    }
    match left_out.len() {
        0..=LISTED => Ok(()),
        more => writeln!(out, "left out: {} more", more - LISTED),
    }
}

fn amount(tally: TallyReport) -> String {
    format!("{} blob{} ({})", tally.count, if tally.count == 1 { "" } else { "s" }, bytes::size(tally.bytes))
}
