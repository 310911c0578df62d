//! `larder sync list`.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::credentials::CredentialFlags;
use crate::cli::network::NetworkFlags;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::error::Result;
use crate::ops::sync::list::{self, ListReport, ListRequest, Place};
use crate::spec::text;

/// Lists the repositories of a registry, or the tags of a repository
///
/// Many registries do not list their repositories, or list only those that the user may see.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync list docker://registry.example
  larder sync list docker://registry.example/team/app
  larder sync list docker://registry.example/team/app --format json | jq -r '.tags[]'")]
pub(crate) struct Args {
    /// Registry or repository to list
    #[arg(value_name = "docker://HOST[/REPOSITORY]")]
    place: String,
    #[command(flatten)]
    credentials: CredentialFlags,
    #[command(flatten)]
    network: NetworkFlags,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let place = Place::parse(&args.place)?;
    let sources = args.credentials.sources(context, &[place.host()])?;
    let settings = args.network.settings(context, &[place.host()], sources)?;
    let report = list::execute(&context.run, &ListRequest { place, settings })?;
    context.output.print(&Text(report))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(ListReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let names = self.0.repositories.iter().chain(&self.0.tags).flatten();
        names.into_iter().try_for_each(|name| writeln!(out, "{}", text::shown(name)))
    }
}
