//! `larder index`: making indexes of images, and changing them.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::host;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::copy::{How, Reading};
use crate::error::{Error, Result};
use crate::graph::merge::{Clash, Nesting};
use crate::ops::index::{self, Change, ChangeRequest, CreateRequest, Effect, IndexReport, MemberReport, Target};
use crate::spec::{Annotations, Digest, ImageName, Platform, Selector, text};
use crate::store::{Location, Sharing};

/// Makes one index of several images, and changes indexes
///
/// Merges what separate build hosts made for one platform each, without a registry. A name that stood on something else moves, and the report says so. Changing an index makes a new one, to which the name moves in one
/// step; changes that several processes make at the same time are all kept.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder index create oci:release.oci:1.4.2 oci:host-a.oci:1.4.2 oci:host-b.oci:1.4.2
  larder index append oci:release.oci:1.4.2 oci:host-c.oci
  larder index remove oci:release.oci:1.4.2 --platform linux/arm/v7
  larder index annotate oci:release.oci:1.4.2 --annotation org.opencontainers.image.version=1.4.2
  larder index filter oci:release.oci:1.4.2 --platform linux/amd64 --tag 1.4.2-amd64")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    Create(Create),
    Append(Append),
    Remove(Remove),
    Annotate(Annotate),
    Filter(Filter),
}

/// Makes an index of images and indexes of any stores, and brings their content along
///
/// The order is that of the sources. Indexes among them give their manifests; a manifest that comes twice counts once; two different images for one platform
/// are an error. A platform that is not said anywhere is read from the image's config.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  larder index create oci:release.oci:1.4.2 oci:host-a.oci:1.4.2 oci:host-b.oci:1.4.2")]
struct Create {
    /// Store and name of the new index
    #[arg(value_name = "DST:NAME")]
    destination: OsString,
    /// Images and indexes it is made of
    #[arg(value_name = "SRC", required = true)]
    sources: Vec<OsString>,
    /// Annotation of the index; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    merging: Merging,
    #[command(flatten)]
    result: Outcome,
}

/// Adds images to an index; a single image becomes an index that has it first
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  larder index append oci:release.oci:1.4.2 oci:host-c.oci")]
struct Append {
    /// Index to change
    #[arg(value_name = "oci:DIR:NAME")]
    index: OsString,
    /// Images and indexes to add
    #[arg(value_name = "SRC", required = true)]
    sources: Vec<OsString>,
    #[command(flatten)]
    merging: Merging,
    #[command(flatten)]
    result: Outcome,
}

/// Removes images from an index, with the attestations about them
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  larder index remove oci:release.oci:1.4.2 --platform linux/arm/v7")]
#[group(id = "targets", required = true, multiple = true, args = ["platform", "digest"])]
struct Remove {
    /// Index to change
    #[arg(value_name = "oci:DIR:NAME")]
    index: OsString,
    /// Images of these platforms; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// The manifest with this digest; may be repeated
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<Digest>,
    #[command(flatten)]
    result: Outcome,
}

/// Changes annotations of an index, or annotations and platforms of its entries
///
/// Without --platform and --digest the annotations are those of the index itself.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder index annotate oci:release.oci:1.4.2 --annotation org.opencontainers.image.version=1.4.2
  larder index annotate oci:release.oci:1.4.2 --platform linux/arm --set-platform linux/arm/v6")]
#[group(id = "changes", required = true, multiple = true, args = ["annotation", "unset_annotation", "set_platform"])]
struct Annotate {
    /// Index to change
    #[arg(value_name = "oci:DIR:NAME")]
    index: OsString,
    /// Entries of these platforms; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// The entry with this digest; may be repeated
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<Digest>,
    /// Annotation to set; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
    /// Key of an annotation to take away; may be repeated
    #[arg(long, value_name = "KEY")]
    unset_annotation: Vec<String>,
    /// What the entries are said to run on
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    set_platform: Option<String>,
    #[command(flatten)]
    result: Outcome,
}

/// Keeps some platforms of an index, with the attestations about them
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  larder index filter oci:release.oci:1.4.2 --platform linux/amd64 --tag 1.4.2-amd64")]
struct Filter {
    /// Index to change
    #[arg(value_name = "oci:DIR:NAME")]
    index: OsString,
    /// Platforms to keep; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…", required = true)]
    platform: Vec<String>,
    #[command(flatten)]
    result: Outcome,
}

/// How images are put together.
#[derive(clap::Args, Debug)]
struct Merging {
    /// Takes the later of two images for one platform
    #[arg(long)]
    replace: bool,
    /// Keeps indexes among the sources as entries instead of taking in their manifests
    #[arg(long)]
    nested: bool,
}

impl Merging {
    fn nesting(&self) -> Nesting {
        if self.nested { Nesting::Kept } else { Nesting::Flattened }
    }

    fn clash(&self) -> Clash {
        if self.replace { Clash::Replaces } else { Clash::Refused }
    }
}

/// What becomes of the result.
#[derive(clap::Args, Debug)]
struct Outcome {
    /// Name of the result; may be repeated
    #[arg(long, short, value_name = "NAME")]
    tag: Vec<String>,
    /// Says what the index would be; writes nothing
    #[arg(long)]
    dry_run: bool,
}

impl Outcome {
    fn names(&self) -> Result<Vec<ImageName>> {
        self.tag.iter().map(|tag| ImageName::parse_within(tag, None)).collect()
    }

    fn effect(&self) -> Effect {
        if self.dry_run { Effect::Told } else { Effect::Done }
    }
}

const HOW: How = How { sharing: Some(Sharing::Files), reading: Reading::Copied };

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let report = match args.action {
        Action::Create(args) => create(&args, context)?,
        Action::Append(args) => {
            let sources = locations(&args.sources)?;
            let change = Change::Append { sources, nesting: args.merging.nesting(), clash: args.merging.clash() };
            change_index(&args.index, change, &args.result, context)?
        }
        Action::Remove(args) => change_index(&args.index, Change::Remove(targets(&args.platform, args.digest)?), &args.result, context)?,
        Action::Annotate(args) => {
            let change = annotate(&args)?;
            change_index(&args.index, change, &args.result, context)?
        }
        Action::Filter(args) => change_index(&args.index, Change::Filter(platforms(&args.platform)?), &args.result, context)?,
    };
    context.output.print(&Text(report))
}

fn create(args: &Create, context: &Context) -> Result<IndexReport> {
    let destination = Location::parse(&args.destination)?;
    if matches!(destination.selector(), Selector::Digest(_)) {
        return Err(Error::usage(format!("`{destination}` has a digest, and a new index has its own")).hint("write a name after the path"));
    }
    let mut names = Vec::from_iter(destination.name().map(ImageName::verbatim).transpose()?);
    names.extend(args.result.names()?);
    let request = CreateRequest {
        sources: locations(&args.sources)?,
        destination,
        names,
        nesting: args.merging.nesting(),
        clash: args.merging.clash(),
        annotations: annotations(&args.annotation),
        how: HOW,
        effect: args.result.effect(),
        options: context.layout_options(),
    };
    index::create(&context.run, &request)
}

fn change_index(index: &OsString, change: Change, result: &Outcome, context: &Context) -> Result<IndexReport> {
    let index = Location::parse(index)?;
    let request = ChangeRequest { index, names: result.names()?, change, how: HOW, effect: result.effect(), options: context.layout_options() };
    index::change(&context.run, &request).map_err(|error| error.context(format!("cannot change {}", request.index)))
}

fn annotate(args: &Annotate) -> Result<Change> {
    let targets = targets(&args.platform, args.digest.clone())?;
    let platform = args.set_platform.as_deref().map(|platform| Platform::parse_with(platform, &host::platform())).transpose()?;
    if platform.is_some() && targets.is_empty() {
        return Err(Error::usage("--set-platform needs to know for which entry").hint("add --platform or --digest"));
    }
    Ok(Change::Annotate { targets, set: annotations(&args.annotation), unset: args.unset_annotation.clone(), platform })
}

fn locations(written: &[OsString]) -> Result<Vec<Location>> {
    written.iter().map(Location::parse).collect()
}

fn annotations(pairs: &[(String, String)]) -> Annotations {
    pairs.iter().cloned().collect()
}

fn platforms(written: &[String]) -> Result<Vec<Platform>> {
    Platform::parse_list_with(&written.join(","), &host::platform())
}

fn targets(written: &[String], digests: Vec<Digest>) -> Result<Vec<Target>> {
    let platforms = if written.is_empty() { Vec::new() } else { platforms(written)? };
    Ok(platforms.into_iter().map(Target::Platform).chain(digests.into_iter().map(Target::Digest)).collect())
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a key, `=` and a value are needed".to_owned()),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(IndexReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        let mut table = Table::new([("PLATFORM", Align::Left), ("DIGEST", Align::Left), ("SIZE", Align::Right), ("", Align::Left)]);
        let mut row = |member: &MemberReport, note: &str| {
            table.row([member.platform.as_deref().unwrap_or("-"), member.digest.short(), &bytes::size(member.size), note]);
        };
        report.members.iter().for_each(|member| row(member, ""));
        report.removed.iter().for_each(|member| row(member, "removed"));
        table.write(out)?;
        let names = report.names.iter().map(|name| text::shown(name)).collect::<Vec<_>>().join(", ");
        let before = report.before.as_ref().filter(|before| **before != report.digest).map(|before| format!(", before {}", before.short())).unwrap_or_default();
        writeln!(out, "{} {} in {}: {}{before}", style.strong("index"), names, report.store, report.digest)
    }
}
