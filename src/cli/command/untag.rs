//! `larder untag`.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::error::{Error, Result};
use crate::ops::tag::{self, UntagReport, UntagRequest};
use crate::spec::{Selector, text};
use crate::store::Location;

/// Removes names from a layout
///
/// All of them or, where one does not exist, none. Content stays, even that of an image which has lost its last name.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder untag oci:hello.oci:registry.example/team/hello:1.4.2
  larder untag oci:hello.oci stable latest")]
pub(crate) struct Args {
    /// Layout, or a name in it to remove
    #[arg(value_name = "LAYOUT[:NAME]")]
    layout: OsString,
    /// Name to remove; may be repeated, and may be written as oci:DIR:NAME with the same layout
    #[arg(value_name = "NAME")]
    names: Vec<OsString>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let location = Location::parse(&args.layout)?;
    let mut names = Vec::from_iter(name_of(&location)?);
    for written in &args.names {
        names.push(name(written, &location)?);
    }
    if names.is_empty() {
        return Err(Error::usage("there is no name to remove").hint(format!("write {location}:NAME; `larder list {location}` shows the names")));
    }
    let request = UntagRequest { layout: location.layout()?.to_owned(), names, options: context.layout_options() };
    let layout = text::path(location.path());
    let report = tag::untag(&request).map_err(|error| error.context(format!("cannot remove names from oci:{layout}")))?;
    context.output.print(&Text(report))
}

/// The name in a location, where it has one.
fn name_of(location: &Location) -> Result<Option<String>> {
    match location.selector() {
        Selector::Only => Ok(None),
        Selector::Name(name) => Ok(Some(name.clone())),
        Selector::Digest(_) => Err(Error::usage(format!("`{location}` is an image and not a name")).hint("give the names to remove; the image itself stays")),
    }
}

/// A further name, alone or with the layout before it.
fn name(written: &OsString, layout: &Location) -> Result<String> {
    let text = written.to_str().ok_or_else(|| Error::usage(format!("the name `{}` is not UTF-8", text::path(written.as_ref()))))?;
    if !text.starts_with("oci:") {
        return Ok(text.to_owned());
    }
    let location = Location::parse(text)?;
    if location.path() != layout.path() {
        return Err(Error::usage(format!("`{location}` is in another layout than `{layout}`")).hint("remove names from one layout at a time"));
    }
    name_of(&location)?.ok_or_else(|| Error::usage(format!("`{location}` has no name")))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(UntagReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        for removed in &self.0.removed {
            let note = if removed.was_last { "  (the last name of this image; its content stays until `larder gc`)" } else { "" };
            writeln!(out, "{} {} {}{note}", style.strong("removed"), text::shown(&removed.name), removed.digest.short())?;
        }
        Ok(())
    }
}
