//! How a failure is told: on stderr, last, and by the exit code.
//!
//! For people `error: …`, then lines of the file that it is about, `  caused by: …` for each level below and `  hint: …`. With `--format json` the last line of stderr is
//! `{"type":"error","code":…,"exit":…,"message":…,"subject":…,"side":…,"causes":[…],"hint":…}`; every field is always there and null
//! where there is nothing to say. The codes are those of [`ErrorKind`](crate::error::ErrorKind), and `internal` with exit code 101 for a panic.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::{Error, Side};
use crate::spec::text::shown;

use super::args::Format;
use super::progress::Progress;
use super::style::Style;

/// The exit code of a panic, as the Rust runtime has it.
pub(crate) const PANIC_EXIT_CODE: u8 = 101;

/// Everything that is said about one failure.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    r#type: &'static str,
    code: &'static str,
    exit: u8,
    message: String,
    subject: Option<String>,
    side: Option<&'static str>,
    causes: Vec<String>,
    hint: Option<String>,
    /// For people; programs have the place.
    #[serde(skip)]
    excerpt: Vec<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Failure {
            r#type: "error",
            code: error.kind().code(),
            exit: error.kind().exit_code(),
            message: error.message().to_owned(),
            subject: error.subject_text().map(str::to_owned),
            side: error.failed_side().map(Side::as_str),
            causes: error.causes(),
            hint: error.hint_text().map(str::to_owned),
            excerpt: error.excerpt_lines().to_vec(),
        }
    }
}

impl Failure {
    fn internal(what: &str, place: Option<String>) -> Self {
        Failure {
            r#type: "error",
            code: "internal",
            exit: PANIC_EXIT_CODE,
            message: format!("internal error: {what}"),
            subject: place,
            side: None,
            causes: Vec::new(),
            hint: Some("this is a defect in larder; please report it with the command that shows it and RUST_BACKTRACE=1".to_owned()),
            excerpt: Vec::new(),
        }
    }

    /// The lines for people. Each level is one line, whatever the text contains.
    fn text(&self, style: Style) -> String {
        let mut out = format!("{} {}\n", style.error("error:"), shown(&self.message));
        // Writing to a string does not fail.
        for line in &self.excerpt {
            let _ = writeln!(out, "  {}", shown(line));
        }
        for cause in &self.causes {
            let _ = writeln!(out, "  caused by: {}", shown(cause));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  {} {}", style.hint("hint:"), shown(hint));
        }
        out
    }

    fn render(&self, format: Format, style: Style) -> String {
        match format {
            Format::Text => self.text(style),
            // A struct of strings and numbers always serialises.
            Format::Json => serde_json::to_string(self).map(|line| line + "\n").unwrap_or_default(),
        }
    }
}

/// Tells failures on stderr.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    format: Format,
    style: Style,
    progress: Arc<Progress>,
}

impl Reporter {
    /// Tells in `format`.
    pub(crate) fn new(format: Format, style: Style) -> Self {
        Reporter { format, style, progress: Arc::new(Progress::none()) }
    }

    /// Ends `progress` before it tells anything.
    #[must_use]
    pub(crate) fn after(self, progress: Arc<Progress>) -> Self {
        Reporter { progress, ..self }
    }

    /// Tells the failure and returns its exit code. Nothing follows it on stderr.
    pub(crate) fn report(&self, failure: &Failure) -> ExitCode {
        self.progress.close();
        // Where stderr is gone, the exit code still tells.
        let _ = std::io::stderr().lock().write_all(failure.render(self.format, self.style).as_bytes());
        ExitCode::from(failure.exit)
    }
}

/// Makes a panic of any thread one failure like others. Later panics of a process that is ending already say nothing.
pub(crate) fn install_panic_hook(reporter: Reporter) {
    let told = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |panic| {
        if told.swap(true, Ordering::SeqCst) {
            return;
        }
        let place = panic.location().map(ToString::to_string);
        let what = format!("{}{}", panic.payload_as_str().unwrap_or("unknown"), place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default());
        reporter.progress.close();
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            let _ = writeln!(std::io::stderr().lock(), "{backtrace}");
        }
        reporter.report(&Failure::internal(&what, place));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn example() -> Failure {
        let error = Error::corrupt("digest differs\nnow").because(std::io::Error::other("\x1b[2Jinner"));
        Failure::from(&error.subject("sha256:ab").side(Side::Source).hint("copy it again").context("cannot copy oci:in"))
    }

    #[test]
    fn an_error_is_one_line_per_level() {
        let expected = "error: cannot copy oci:in\n  caused by: digest differs\\nnow\n  caused by: \\u{1b}[2Jinner\n  hint: copy it again\n";
        assert_eq!(example().render(Format::Text, Style::Plain), expected);
        let coloured = example().render(Format::Text, Style::Coloured);
        assert!(coloured.starts_with("\x1b[1;31merror:\x1b[0m cannot copy"), "{coloured:?}");
        assert!(coloured.contains("\x1b[36mhint:\x1b[0m copy"), "{coloured:?}");
    }

    #[test]
    fn lines_of_the_file_stand_below_the_message() {
        let error = Error::usage("D:2:1: no").excerpt(vec!["2 | a\u{1b}".to_owned()]).hint("yes");
        assert_eq!(Failure::from(&error).render(Format::Text, Style::Plain), "error: D:2:1: no\n  2 | a\\u{1b}\n  hint: yes\n");
    }

    #[test]
    fn ops_02_a_json_error_is_one_line_with_every_field() {
        let line = example().render(Format::Json, Style::Coloured);
        assert_eq!(
            line,
            concat!(
                r#"{"type":"error","code":"corrupt","exit":3,"message":"cannot copy oci:in","subject":"sha256:ab","side":"source","#,
                r#""causes":["digest differs\nnow","\u001b[2Jinner"],"hint":"copy it again"}"#,
                "\n"
            )
        );
        let bare = Failure::from(&Error::usage("x")).render(Format::Json, Style::Plain);
        assert_eq!(bare, "{\"type\":\"error\",\"code\":\"usage\",\"exit\":2,\"message\":\"x\",\"subject\":null,\"side\":null,\"causes\":[],\"hint\":null}\n");
    }

    #[test]
    fn exit_codes_are_those_of_the_table() {
        let table = [
            ("io", 1),
            ("usage", 2),
            ("corrupt", 3),
            ("not_found", 4),
            ("conflict", 5),
            ("unsupported", 6),
            ("denied", 7),
            ("unavailable", 8),
            ("interrupted", 130),
        ];
        let ours: Vec<(&str, u8)> =
            ErrorKind::ALL.iter().map(|kind| Failure::from(&Error::new(*kind, "x"))).map(|failure| (failure.code, failure.exit)).collect();
        assert_eq!(ours, table);
        assert_eq!(Failure::internal("x", None).exit, 101);
    }
}
