//! The arguments as typed: the global options and the choice of a command. What they mean together is decided in [`super::context`].

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue, ErrorKind as Misuse};

use crate::error::{Error, ErrorKind};

use super::command::Command;
use super::ending::DIFFERENT_EXIT_CODE;
use super::environment;
use super::failure::PANIC_EXIT_CODE;

/// Builds and keeps multi-platform container images in OCI image layouts: offline, reproducibly, without a daemon.
#[derive(clap::Parser, Debug)]
#[command(name = "larder", version, propagate_version = false, subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = after_help())]
pub(crate) struct Arguments {
    /// What every command understands.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// How the result is written to stdout; json is exactly one document
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, global = true)]
    pub(crate) format: Format,
    /// How progress is shown on stderr; auto draws bars on a terminal and writes lines elsewhere [env: LARDER_PROGRESS]
    #[arg(long, value_enum, value_name = "KIND", global = true)]
    pub(crate) progress: Option<ProgressKind>,
    /// Worker threads; the default is what the machine offers [env: LARDER_JOBS]
    #[arg(long, short, value_name = "N", value_parser = parse_jobs, global = true)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Shows no progress and no warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How long to wait for another process that holds the layout: 30, 500ms, 2m, 1h
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration, global = true)]
    pub(crate) lock_timeout: Duration,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// Bar on a terminal, plain elsewhere
    Auto,
    /// Bars that redraw themselves
    Bar,
    /// One line now and then
    Plain,
    /// One JSON object per line
    Json,
    /// Only warnings
    None,
}

fn after_help() -> String {
    use std::fmt::Write as _;
    let mut text = "Exit codes:\n    0  done\n".to_owned();
    // Writing to a string does not fail.
    for kind in ErrorKind::ALL {
        let _ = writeln!(text, "  {:>3}  {}", kind.exit_code(), kind.code());
    }
    let _ = writeln!(text, "  {DIFFERENT_EXIT_CODE:>3}  the images differ, from `larder diff` alone and without an error on stderr");
    let _ = writeln!(text, "  {PANIC_EXIT_CODE}  internal, a defect in larder\n\nEnvironment:");
    for variable in environment::VARIABLES {
        let _ = writeln!(text, "  {:<19}  {}", variable.name, variable.purpose);
    }
    text.truncate(text.trim_end().len());
    text
}

/// More threads than any machine has cores are a typing error, and each costs memory.
const MAX_JOBS: usize = 1024;

/// Reads a number of worker threads. The error is one clause, for clap to print behind the argument.
pub(crate) fn parse_jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text.parse::<NonZeroUsize>().ok().filter(|jobs| jobs.get() <= MAX_JOBS);
    jobs.ok_or_else(|| format!("a number from 1 to {MAX_JOBS} is needed"))
}

/// Reads a kind of progress by its name. The error is one clause.
pub(crate) fn parse_kind(text: &str) -> Result<ProgressKind, String> {
    ProgressKind::from_str(text, false).map_err(|_| "auto, bar, plain, json or none is needed".to_owned())
}

/// Reads `30`, `30s`, `500ms`, `2m`, `1h`. Without a unit it is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds_per_unit = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let milliseconds = number.parse::<u64>().ok().zip(milliseconds_per_unit).and_then(|(number, unit)| number.checked_mul(unit));
    milliseconds.map(Duration::from_millis).ok_or_else(|| "a number with ms, s, m or h is needed".to_owned())
}

/// The format that was asked for, where the arguments as a whole could not be understood: the complaint must have that format too.
pub(crate) fn wanted_format(arguments: &[OsString]) -> Format {
    let mut wanted = Format::Text;
    let mut words = arguments.iter().skip(1).take_while(|word| *word != "--").peekable();
    while let Some(word) = words.next() {
        let value = match word.to_str() {
            Some("--format") => words.peek().and_then(|next| next.to_str()),
            Some(word) => word.strip_prefix("--format="),
            None => None,
        };
        if let Some(format) = value.and_then(|value| Format::from_str(value, false).ok()) {
            wanted = format;
        }
    }
    wanted
}

/// Says what clap found wrong with the arguments as an error of ours: one line, and a hint.
pub(crate) fn usage_error(misuse: &clap::Error) -> Error {
    if misuse.kind() == Misuse::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::usage("no command is given").hint("`larder --help` lists the commands");
    }
    let rendered = misuse.render().to_string();
    let mut paragraphs = rendered.split("\n\n");
    let message = one_line(paragraphs.next().unwrap_or_default());
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let tip = paragraphs.map(str::trim).find_map(|paragraph| paragraph.strip_prefix("tip: ")).map(|tip| one_line(tip.split("\n").next().unwrap_or_default()));
    let command = match misuse.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => command_of(&usage.to_string()),
        _ => "larder".to_owned(),
    };
    let help = format!("`{command} --help` explains the arguments");
    let elsewhere = match misuse.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if misuse.kind() == Misuse::UnknownArgument && command == "larder build" => {
            buildx_has(argument).map(str::to_owned)
        }
        _ => None,
    };
    Error::usage(message).hint(match elsewhere.or(tip) {
        Some(tip) => format!("{tip}; {help}"),
        None => help,
    })
}

/// What stands in larder for flags that people bring along from `docker buildx build`.
fn buildx_has(argument: &str) -> Option<&'static str> {
    match argument {
        "--push" => Some("larder builds into a layout, and `larder sync push` pushes from there"),
        "--load" => Some("`-o docker-archive:FILE` writes what `docker load` and `podman load` take"),
        "--provenance" | "--sbom" | "--attest" => Some("larder adds no attestations of its own, so there are none to ask for or to turn off"),
        _ => None,
    }
}

/// The words of a usage line up to the first argument: `Usage: larder index create [OPTIONS] LAYOUT` gives `larder index create`.
fn command_of(usage: &str) -> String {
    let words = usage.trim_start_matches("Usage:").split_whitespace();
    words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')).collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn misuse(arguments: &[&str]) -> Error {
        usage_error(&Arguments::try_parse_from(arguments).expect_err("not valid"))
    }

    #[test]
    fn durations_have_units_and_seconds_without_one() {
        for (text, milliseconds) in [("0", 0), ("30", 30_000), ("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "1d", "1 s", "99999999999999999999", "18446744073709551615h"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn jobs_are_at_least_one_and_not_absurd() {
        assert_eq!(parse_jobs("1024").map(NonZeroUsize::get), Ok(1024));
        for text in ["0", "-1", "1025", "x", ""] {
            assert!(parse_jobs(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_wanted_format_is_found_in_arguments_that_are_wrong() {
        let wanted = |words: &[&str]| wanted_format(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(wanted(&["larder", "--bogus", "--format", "json"]), Format::Json);
        assert_eq!(wanted(&["larder", "list", "--format=json", "--bogus"]), Format::Json);
        assert_eq!(wanted(&["larder", "--format", "json", "--format", "text"]), Format::Text);
        assert_eq!(wanted(&["larder", "--format"]), Format::Text);
        assert_eq!(wanted(&["larder", "list", "--", "--format", "json"]), Format::Text);
    }

    #[test]
    fn a_misuse_is_one_line_with_a_hint() {
        let error = misuse(&["larder", "--bogus"]);
        assert_eq!(error.message(), "unexpected argument '--bogus' found");
        assert_eq!(error.hint_text(), Some("`larder --help` explains the arguments"));
        let error = misuse(&["larder", "--forma", "json"]);
        assert_eq!(error.hint_text(), Some("a similar argument exists: '--format'; `larder --help` explains the arguments"));
        assert_eq!(misuse(&["larder"]).message(), "no command is given");
        let hint = |argument| misuse(&["larder", "build", argument]).hint_text().unwrap_or_default().to_owned();
        assert!(hint("--push").contains("`larder sync push`") && hint("--push").ends_with("explains the arguments"), "{}", hint("--push"));
        assert!(hint("--provenance=false").contains("no attestations") && hint("--load").contains("docker-archive"));
        let error = misuse(&["larder", "--jobs", "0"]);
        assert_eq!(error.message(), "invalid value '0' for '--jobs <N>': a number from 1 to 1024 is needed");
    }

    #[test]
    fn the_command_of_a_usage_line_ends_at_its_first_argument() {
        assert_eq!(command_of("Usage: larder index create [OPTIONS] <LAYOUT>"), "larder index create");
        assert_eq!(command_of("Usage: larder list <LAYOUT>"), "larder list");
    }
}
