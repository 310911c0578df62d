//! `larder sync login`.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::credentials::AuthfileFlag;
use crate::cli::network::NetworkFlags;
use crate::cli::output::Report;
use crate::cli::prompt;
use crate::cli::style::Style;
use crate::error::{Error, Result};
use crate::ops::sync::login::{self, LoginReport, LoginRequest};
use crate::spec::{Reference, text};
use crate::store::registry::credentials::Scope;

/// Logs in to a registry
///
/// The registry has to take the credentials first; then they are kept where Docker's tools keep theirs (`~/.docker/config.json`), so that these and podman find
/// them too, or with the credential helper that this file names. With a path behind the host they are for the repositories below it only.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync login registry.example -u me
  larder sync login registry.example -u ci --password-stdin < token
  larder sync login acme.example/docker-local -u ci --password-stdin --authfile auth.json < token")]
pub(crate) struct Args {
    /// Registry, and the path that the credentials are for where they are not for all of it
    #[arg(value_name = "HOST[:PORT][/PATH]", value_parser = scope)]
    registry: Scope,
    /// User; without it, it is asked for
    #[arg(long, short = 'u', visible_alias = "user", value_name = "USER")]
    username: Option<String>,
    /// Takes the password or the token from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    #[command(flatten)]
    authfile: AuthfileFlag,
    #[command(flatten)]
    network: NetworkFlags,
}

/// Reads what credentials are for. The error is one clause.
pub(super) fn scope(written: &str) -> Result<Scope, String> {
    let bare = ["https://", "docker://"].iter().find_map(|scheme| written.strip_prefix(scheme)).unwrap_or(written).trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    // The grammar of references is that of hosts and paths as well.
    let reference: Reference = format!("{bare}{}", if path.is_empty() { "/x" } else { "" }).parse().map_err(|error: Error| error.message().to_owned())?;
    match (reference.tag().is_none() && reference.digest().is_none(), host == "index.docker.io" || reference.host() == host) {
        (true, true) => Ok(Scope { host: reference.host().to_owned(), path: path.to_owned() }),
        (true, false) => Err(format!("`{}` is no host of a registry: it has neither a dot nor a port", text::shown(host))),
        (false, _) => Err("a tag or a digest has no credentials of its own".to_owned()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let cancel = &context.run.cancel;
    if !args.password_stdin && !prompt::is_possible() {
        return Err(Error::usage("there is no terminal to ask for the password on").hint("give -u USER and pipe the password in with --password-stdin"));
    }
    let user = match args.username {
        Some(user) => user,
        None => prompt::line("User: ", cancel)?,
    };
    if user.contains(':') {
        return Err(Error::usage("a user name has no colon"));
    }
    let password = match args.password_stdin {
        true => prompt::secret_from_stdin(cancel)?,
        false => prompt::secret("Password: ", cancel)?,
    };
    let (store, sources) = (args.authfile.store(context)?, args.authfile.sources(context, Vec::new())?);
    let settings = args.network.settings(context, &[&args.registry.host], args.authfile.sources(context, Vec::new())?)?;
    let request = LoginRequest { scope: args.registry, user, password, store, sources, settings };
    context.output.print(&Text(login::login(&context.run, request)?))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(LoginReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        writeln!(out, "{} to {} as {}", style.strong("logged in"), report.registry, text::shown(&report.user))?;
        match &report.helper {
            Some(helper) => writeln!(out, "the password is kept by docker-credential-{}", text::shown(helper)),
            None => writeln!(out, "the password is kept in {}, not encrypted", text::shown(&report.file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_and_maybe_a_path() {
        for (written, host, path) in [
            ("registry.example", "registry.example", ""),
            ("registry.example:5000/", "registry.example:5000", ""),
            ("https://registry.example/", "registry.example", ""),
            ("docker://registry.example/team", "registry.example", "team"),
            ("localhost", "localhost", ""),
            ("127.0.0.1:5000", "127.0.0.1:5000", ""),
            ("[::1]:5000", "[::1]:5000", ""),
            ("docker.io", "docker.io", ""),
            ("index.docker.io", "docker.io", ""),
            ("acme.example/docker-local/team", "acme.example", "docker-local/team"),
        ] {
            assert_eq!(scope(written), Ok(Scope { host: host.into(), path: path.into() }), "{written}");
        }
        for written in [
            "",
            "registry",
            "http://registry.example",
            "registry.example/a:1",
            "me@registry.example",
            "registry.example//a",
            "registry.example/A",
            "a b.example",
        ] {
            assert!(scope(written).is_err(), "{written}");
        }
    }
}
