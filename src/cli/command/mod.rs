//! The commands: one file each. A new command is a new file, its `mod` line and its line in the table.
//!
//! Each file has `Args`, whose comments are the help and whose `after_help` shows an example, and
//! `run(args: Args, context: &Context) -> Result<()>`, which turns them into a request for `ops` and prints the report. Where the exit code tells more than whether
//! it failed, it returns an [`Ending`].

mod build;
mod cache;
mod cat;
mod copy;
mod diff;
mod edit;
mod gc;
mod index;
mod inspect;
mod list;
#[cfg(feature = "sync")]
mod sync;
mod tag;
mod unpack;
mod untag;
mod verify;

use crate::error::Result;

use super::context::Context;
use super::ending::Ending;

pub(crate) use build::read_specification;

macro_rules! commands {
    ($($(#[$condition:meta])* $variant:ident => $module:ident,)*) => {
        /// One variant per command, in the order of `larder --help`. Boxed, because some commands have many options and others few.
        #[derive(clap::Subcommand, Debug)]
        pub(crate) enum Command {
            $($(#[$condition])* $variant(Box<$module::Args>),)*
        }

        /// Runs what was asked for.
        pub(crate) fn run(command: Command, context: &Context) -> Result<Ending> {
            match command {
                $($(#[$condition])* Command::$variant(args) => $module::run(*args, context).map(Ending::from),)*
            }
        }
    };
}

commands! {
    Build => build,
    Copy => copy,
    Edit => edit,
    Index => index,
    List => list,
    Inspect => inspect,
    Tag => tag,
    Untag => untag,
    Unpack => unpack,
    Cat => cat,
    Diff => diff,
    Verify => verify,
    Gc => gc,
    Cache => cache,
    #[cfg(feature = "sync")]
    Sync => sync,
}
