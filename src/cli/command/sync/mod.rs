//! `larder sync`: one file for each sub-command, in the form of the commands themselves. These are the only ones that open a socket.

mod list;

use crate::cli::context::Context;
use crate::error::Result;

/// Synchronises with registries: the only commands that use the network
#[derive(clap::Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
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
    List => list,
}
