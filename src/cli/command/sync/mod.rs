//! `larder sync`: one file for each sub-command, in the form of the commands themselves. These are the only ones that open a socket.

mod choice;
mod job;
mod list;
mod login;
mod logout;
mod plan;
mod promote;
mod pull;
mod push;
mod registries;
mod report;
mod run;

use crate::cli::context::Context;
use crate::error::Result;

/// Synchronises with registries: the only commands that use the network
#[derive(clap::Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  larder sync push oci:hello.oci:1.4.2 docker://registry.example/team/hello
  larder sync pull docker://registry.example/team/hello:1.4.2 oci:mirror.oci
  larder sync run nightly.toml
  larder sync login registry.example -u me
  larder sync list docker://registry.example/team/app
  larder sync COMMAND --help")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

macro_rules! commands {
    ($($variant:ident => $module:ident,)*) => {
        /// One variant per sub-command, in the order of `larder sync --help`.
        #[derive(clap::Subcommand, Debug)]
        enum Command {
            $($variant(Box<$module::Args>),)*
        }

        pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
            match args.command {
                $(Command::$variant(args) => $module::run(*args, context),)*
            }
        }
    };
}

commands! {
    Push => push,
    Pull => pull,
    Run => run,
    Plan => plan,
    Promote => promote,
    List => list,
    Login => login,
    Logout => logout,
}
