//! `larder list`.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::error::Result;
use crate::ops::list::{self, ListReport, ListRequest};
use crate::spec::media_type::Kind;
use crate::store::Location;

/// Lists the names in a layout or archive and what they stand on
///
/// Images without a name are listed too. No image is looked into: the size is that of the manifest or index itself.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder list oci:hello.oci
  larder list oci:hello.oci --format json | jq -r '.names[].name'")]
pub(crate) struct Args {
    /// Layout or archive to list
    #[arg(value_name = "LOCATION")]
    location: OsString,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let request = ListRequest { location: Location::parse(&args.location)?, options: context.layout_options() };
    let report = list::execute(&request).map_err(|error| error.context(format!("cannot list {}", request.location)))?;
    context.output.print(&Text(report))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(ListReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let mut table = Table::new([("NAME", Align::Left), ("TYPE", Align::Left), ("DIGEST", Align::Left), ("SIZE", Align::Right), ("PLATFORM", Align::Left)]);
        for entry in &self.0.names {
            let name = entry.name.as_deref().unwrap_or("-");
            let platform = entry.platform.as_deref().unwrap_or("-");
            table.row([name, type_of(&entry.media_type), entry.digest.short(), &bytes::size(entry.size), platform]);
        }
        table.write(out)
    }
}

fn type_of(media_type: &str) -> &str {
    match Kind::of(media_type) {
        Kind::Index => "index",
        Kind::Manifest => "manifest",
        Kind::Config | Kind::Layer(_) | Kind::Other => media_type,
    }
}
