//! The command line: arguments, output, progress, environment, clock, signals and exit codes.
//!
//! Everything that touches the person or the process lives here and nowhere below: `output` alone writes to stdout,
//! `environment` alone reads variables, `clock` alone reads the time, `signals` alone knows signals. A command turns
//! arguments into a request for `ops` and hands the report that comes back to `output::Output`; it decides nothing else.
//!
//! Guarantees: every failure is an [`Error`](crate::error::Error) whose kind gives the exit code, and is told on stderr (see `failure`);
//! with `--format json` stdout carries one JSON document or nothing, and stderr of a failed run ends with one JSON line.

mod annotation;
mod args;
mod bundle;
mod bytes;
mod clock;
mod command;
mod context;
#[cfg(feature = "sync")]
mod credentials;
mod dockerfile;
mod ending;
mod environment;
mod failure;
mod fields;
mod host;
mod input;
mod layers;
#[cfg(feature = "run")]
mod machine;
#[cfg(feature = "sync")]
mod network;
mod output;
mod outputs;
#[cfg(feature = "run")]
mod part;
mod progress;
#[cfg(feature = "sync")]
mod prompt;
mod settings;
mod signals;
mod style;
mod table;
mod tree;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::error::{ErrorKind, Result};

use self::args::Arguments;
use self::context::Context;
use self::ending::Ending;
use self::environment::Environment;
use self::failure::{Failure, Reporter};
use self::progress::Progress;

/// The whole program, from arguments to exit code.
pub fn main() -> ExitCode {
    let environment = Environment::read();
    let style = environment.style(rustix::stdio::stderr());
    let arguments = Environment::arguments();
    #[cfg(feature = "run")]
    if let Some(code) = part::play(&arguments, style) {
        return code;
    }
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(answer) => return answer_without_command(&answer, Reporter::new(args::wanted_format(&arguments), style)),
    };
    let reporter = Reporter::new(parsed.globals.format, style);
    let progress = match Progress::to_stderr(&parsed.globals, &environment) {
        Ok(progress) => Arc::new(progress),
        Err(error) => return reporter.report(&Failure::from(&error)),
    };
    let reporter = reporter.after(progress.clone());
    failure::install_panic_hook(reporter.clone());
    match std::panic::catch_unwind(AssertUnwindSafe(|| execute(parsed, environment, progress))) {
        Ok(Ok(ending)) => ending.into(),
        Ok(Err(error)) => reporter.report(&Failure::from(&error)),
        // The hook has told it.
        Err(_) => ExitCode::from(failure::PANIC_EXIT_CODE),
    }
}

fn execute(arguments: Arguments, environment: Environment, progress: Arc<Progress>) -> Result<Ending> {
    let cancel = signals::install()?;
    let context = Context::new(&arguments.globals, environment, progress, cancel.clone())?;
    let outcome = command::run(arguments.command, &context);
    // Whatever an operation complains about once it was asked to stop, the signal is the reason.
    outcome.map_err(|error| if cancel.is_cancelled() { error.with_kind(ErrorKind::Interrupted) } else { error })
}

/// Help, the version, or arguments that cannot be understood.
fn answer_without_command(answer: &clap::Error, reporter: Reporter) -> ExitCode {
    let outcome = match answer.exit_code() {
        0 => output::write(format!("{}\n", answer.render().to_string().trim_end()).as_bytes()),
        _ => Err(args::usage_error(answer)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => reporter.report(&Failure::from(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_in_its_help() {
        for command in Arguments::command().get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("larder {name}")) && help.contains("Example"), "{name}:\n{help}");
        }
    }
}
