//! `larder diff`.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::ending::Ending;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::{bytes, host};
use crate::error::{Error, Result};
use crate::exec::Timestamps;
use crate::layer::difference::Aspect;
use crate::ops::diff::{self, Change, DiffReport, DiffRequest, FieldDifference, FileReport, FileSide, ImageReport, LayerReport, LayerSide, Strictness};
use crate::spec::{Platform, text};
use crate::store::Location;

/// Compares two images: config, layers and files
///
/// Images for several platforms are compared platform by platform. Files are those that a container has in the end, with type, mode, owner, time, extended
/// attributes, hard links and the SHA-256 of their content. Ends with exit code 1 where there are differences, and with 0 where there are none; what could not be
/// compared ends with the code of its error, and an error on stderr.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder diff oci:hello.oci:1.4.2 oci:hello.oci:1.4.3
  larder diff --semantic oci:rebuilt.oci oci:hello.oci:1.4.2 --platform linux/arm64
  larder diff oci:hello.oci:1.4.2 oci-archive:hello.tar --format json | jq '.images[].files.differences[].path'

Exit codes: 0 the same, 1 different; others as `larder --help` lists them, with an error on stderr")]
pub(crate) struct Args {
    /// One image
    #[arg(value_name = "A")]
    a: OsString,
    /// The other
    #[arg(value_name = "B")]
    b: OsString,
    /// Compares the images for this platform alone
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Compares only what containers see: no times, no order of history, variables and entries, no names, and not how layers are cut, packed and compressed
    #[arg(long)]
    semantic: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<Ending> {
    let request = DiffRequest {
        a: Location::parse(&args.a)?,
        b: Location::parse(&args.b)?,
        platform: args.platform.map(|platform| Platform::parse_with(&platform, &host::platform())).transpose()?,
        strictness: if args.semantic { Strictness::Semantic } else { Strictness::Exact },
        options: context.layout_options(),
    };
    let report = diff::execute(&context.run, &request).map_err(|error: Error| error.context(format!("cannot compare {} with {}", request.a, request.b)))?;
    let ending = if report.equal { Ending::Done } else { Ending::Different };
    context.output.print(&Text(report))?;
    Ok(ending)
}

/// The differences, as a person reads them.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(DiffReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        for (mark, side) in [('-', &report.a), ('+', &report.b)] {
            writeln!(out, "{} {}", style.strong(&format!("{mark}{mark}{mark} {}", side.location)), side.digest)?;
        }
        if !report.index.is_empty() {
            writeln!(out, "{}", style.strong("index"))?;
            report.index.iter().try_for_each(|difference| field(out, "  ", difference))?;
        }
        report.images.iter().try_for_each(|found| image(out, found, style))?;
        let outcome = match (report.equal, report.a.digest == report.b.digest) {
            (true, true) => "the same",
            (true, false) => "the same to a container",
            (false, _) if report.index.is_empty() && report.images.iter().all(|image| image.change == Change::Same) => "the same, written in other bytes",
            (false, _) => "different",
        };
        writeln!(out, "{}", style.strong(outcome))
    }
}

fn image(out: &mut dyn Write, image: &ImageReport, style: Style) -> io::Result<()> {
    let what = match image.change {
        Change::Same => "the same",
        Change::Added => "only in the second",
        Change::Removed => "only in the first",
        Change::Changed if image.is_empty() => "the same, written in other bytes",
        Change::Changed => "",
    };
    writeln!(out, "{}", format!("{} {what}", style.strong(&text::shown(&image.platform))).trim_end())?;
    for (name, fields) in [("manifest", &image.manifest), ("config", &image.config)] {
        if !fields.is_empty() {
            writeln!(out, "  {name}")?;
            fields.iter().try_for_each(|difference| field(out, "    ", difference))?;
        }
    }
    if !image.layers.is_empty() {
        writeln!(out, "  layers")?;
        image.layers.iter().try_for_each(|found| layer(out, found))?;
    }
    let files = &image.files;
    if !files.differences.is_empty() {
        writeln!(out, "  files: {} added, {} removed, {} changed", files.added, files.removed, files.changed)?;
        files.differences.iter().try_for_each(|found| file(out, found))?;
    }
    Ok(())
}

fn field(out: &mut dyn Write, indent: &str, difference: &FieldDifference) -> io::Result<()> {
    let name = text::shown(&difference.field).into_owned();
    match (&difference.a, &difference.b) {
        (Some(a), None) => writeln!(out, "{indent}- {name}: {}", value(a)),
        (None, Some(b)) => writeln!(out, "{indent}+ {name}: {}", value(b)),
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            // Of long lists only what is in one of them is worth reading.
            let removed: Vec<&Value> = a.iter().filter(|item| !b.contains(item)).collect();
            let added: Vec<&Value> = b.iter().filter(|item| !a.contains(item)).collect();
            if removed.is_empty() && added.is_empty() {
                let list = |items: &[Value]| items.iter().map(value).collect::<Vec<_>>().join(" ");
                return writeln!(out, "{indent}~ {name}: {} -> {}, in another order or number", list(a), list(b));
            }
            writeln!(out, "{indent}~ {name}")?;
            removed.into_iter().try_for_each(|item| writeln!(out, "{indent}  - {}", value(item)))?;
            added.into_iter().try_for_each(|item| writeln!(out, "{indent}  + {}", value(item)))
        }
        (Some(a), Some(b)) => writeln!(out, "{indent}~ {name}: {} -> {}", value(a), value(b)),
        (None, None) => Ok(()),
    }
}

/// A value as JSON in one line.
fn value(value: &Value) -> String {
    text::shown(&value.to_string()).into_owned()
}

fn layer(out: &mut dyn Write, layer: &LayerReport) -> io::Result<()> {
    let side = |side: &LayerSide| format!("{} {} {}", side.digest.short(), bytes::size(side.size), text::shown(&side.media_type));
    match (&layer.a, &layer.b) {
        (Some(a), Some(b)) => {
            let place = if a.position == b.position { a.position.to_string() } else { format!("{} -> {}", a.position, b.position) };
            if a.digest == b.digest {
                writeln!(out, "    ~ {place}: {}", side(a))?;
                return layer.fields.iter().try_for_each(|difference| field(out, "      ", difference));
            }
            let same = if a.diff_id == b.diff_id { ", the same tar" } else { "" };
            writeln!(out, "    ~ {place}: {} -> {}{same}", side(a), side(b))
        }
        (Some(a), None) => writeln!(out, "    - {}: {}", a.position, side(a)),
        (None, Some(b)) => writeln!(out, "    + {}: {}", b.position, side(b)),
        (None, None) => Ok(()),
    }
}

fn file(out: &mut dyn Write, file: &FileReport) -> io::Result<()> {
    let path = format!("/{}", text::shown(&file.path));
    match (&file.a, &file.b) {
        (Some(a), Some(b)) => {
            let aspects: Vec<String> = file.aspects.iter().map(|aspect| changed(*aspect, a, b)).collect();
            writeln!(out, "    ~ {path}  {}", aspects.join(", "))
        }
        (Some(a), None) => writeln!(out, "    - {path}  {}", described(a)),
        (None, Some(b)) => writeln!(out, "    + {path}  {}", described(b)),
        (None, None) => Ok(()),
    }
}

/// One aspect, with what it was and what it is.
fn changed(aspect: Aspect, a: &FileSide, b: &FileSide) -> String {
    let of = |name: &str, part: &dyn Fn(&FileSide) -> String| format!("{name} {} -> {}", part(a), part(b));
    let shown = |text: Option<String>| text.map_or_else(|| "-".to_owned(), |text| text::shown(&text).into_owned());
    match aspect {
        Aspect::Type => of("type", &|side| side.kind().to_owned()),
        Aspect::Mode => of("mode", &FileSide::mode),
        Aspect::Uid => of("uid", &|side| side.inode().uid.to_string()),
        Aspect::Gid => of("gid", &|side| side.inode().gid.to_string()),
        Aspect::Mtime => of("mtime", &|side| Timestamps::written(side.inode().mtime)),
        Aspect::Size => of("size", &|side| side.size().unwrap_or_default().to_string()),
        Aspect::Content => "content".to_owned(),
        Aspect::Target => of("target", &|side| shown(side.target())),
        Aspect::Device => of("device", &|side| shown(side.device())),
        Aspect::Xattrs => xattrs(a, b),
        Aspect::Links => of("hard link to", &|side| shown(side.hard_link_to().map(|path| format!("/{path}")))),
    }
}

fn xattrs(a: &FileSide, b: &FileSide) -> String {
    let (a, b) = (a.xattrs(), b.xattrs());
    let removed = a.keys().filter(|name| !b.contains_key(*name)).map(|name| format!("-{name}"));
    let added = b.keys().filter(|name| !a.contains_key(*name)).map(|name| format!("+{name}"));
    let other = a.iter().filter(|(name, value)| b.get(*name).is_some_and(|other| other != *value)).map(|(name, _)| format!("~{name}"));
    let names: Vec<String> = removed.chain(added).chain(other).map(|name| text::shown(&name).into_owned()).collect();
    format!("xattrs {}", names.join(" "))
}

/// What stands on one side only.
fn described(side: &FileSide) -> String {
    let inode = side.inode();
    let mut words = vec![side.kind().replace('_', " "), side.mode(), format!("{}:{}", inode.uid, inode.gid)];
    words.extend(side.size().map(bytes::size));
    words.extend(side.device());
    words.extend(side.target().map(|target| format!("-> {}", text::shown(&target))));
    words.extend(side.hard_link_to().map(|path| format!("hard link to /{}", text::shown(&path))));
    words.join(" ")
}
