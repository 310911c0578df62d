//! `larder tag`.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::error::Result;
use crate::ops::tag::{self, TagReport, TagRequest};
use crate::spec::text;
use crate::store::Location;

/// Gives an image in a layout more names
///
/// A name that stood on another image moves. Only index.json changes, at once for all names, so it takes no longer for large images than for small ones.
/// With its digest also an image gets a name that has none any more, as long as it is whole.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder tag oci:hello.oci:registry.example/team/hello:1.4.2 stable
  larder tag oci:hello.oci:1.4.2 registry.example/other/hello:1 hello:2")]
pub(crate) struct Args {
    /// Image to name; the layout alone means the only image in it
    #[arg(value_name = "LAYOUT[:NAME|@DIGEST]")]
    image: OsString,
    /// New name; a word alone is a tag in the repository of the name that the image has, or a plain tag
    #[arg(value_name = "NEWNAME", required = true)]
    names: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let location = Location::parse(&args.image)?;
    let request =
        TagRequest { layout: location.layout()?.to_owned(), image: location.selector().clone(), names: args.names, options: context.layout_options() };
    let report = tag::tag(&context.run, &request).map_err(|error| error.context(format!("cannot tag {location}")))?;
    context.output.print(&Text(report))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(TagReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        writeln!(out, "{} {}", style.strong("digest"), self.0.digest)?;
        for given in &self.0.names {
            let note = match &given.moved_from {
                Some(digest) => format!("  (moved from {digest})"),
                None if given.added => String::new(),
                None => "  (unchanged)".to_owned(),
            };
            writeln!(out, "{} {}{note}", style.strong("name  "), text::shown(&given.name))?;
        }
        Ok(())
    }
}
