//! `larder sync logout`.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::credentials::AuthfileFlag;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::error::Result;
use crate::ops::sync::login::{self, LogoutReport, LogoutRequest, What};
use crate::spec::text;
use crate::store::registry::credentials::Scope;

use super::login::scope;

/// Forgets the credentials for a registry
///
/// They are removed from the file that `larder sync login` and Docker's tools keep them in, and from the credential helper that it names. The registry is not
/// asked. larder says where it would still find others.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync logout registry.example
  larder sync logout --all --authfile auth.json")]
pub(crate) struct Args {
    /// Registry, and the path that the credentials are for where they are not for all of it
    #[arg(value_name = "HOST[:PORT][/PATH]", value_parser = scope, required_unless_present = "all")]
    registry: Option<Scope>,
    /// Everything that the file leads to
    #[arg(long, conflicts_with = "registry")]
    all: bool,
    #[command(flatten)]
    authfile: AuthfileFlag,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let what = args.registry.map_or(What::All, What::One);
    let (store, sources) = (args.authfile.store(context)?, args.authfile.sources(context, Vec::new())?);
    context.output.print(&Text(login::logout(&context.run, &LogoutRequest { what, store, sources })?))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(LogoutReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let file = text::shown(&self.0.file);
        for removed in &self.0.removed {
            let keeper = removed.helper.as_ref().map_or_else(|| file.to_string(), |helper| format!("docker-credential-{}", text::shown(helper)));
            writeln!(out, "{} {} from {keeper}", style.strong("removed"), text::shown(&removed.registry))?;
        }
        match self.0.removed.is_empty() {
            true => writeln!(out, "there are no credentials in {file}"),
            false => Ok(()),
        }
    }
}
