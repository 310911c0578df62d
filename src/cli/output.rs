//! Results: the only file that knows stdout.
//!
//! A command hands over one [`Report`], which is written as text or as one line with one JSON document. It is complete in memory
//! before its first byte is written. A reader that went away (`larder list out | head -1`) is an end like any other, not a failure.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};

use super::args::Format;
use super::environment::Environment;
use super::progress::Progress;
use super::style::Style;

/// What a command has to say at its end: serialised for programs, as text for people.
pub(crate) trait Report: Serialize {
    /// Writes the text. Foreign text goes through [`crate::spec::text`] or a [`super::table::Table`].
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()>;
}

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    style: Style,
    progress: Arc<Progress>,
}

/// Where results go when stdout carries an archive: to stderr, in the same form.
#[derive(Debug)]
pub(crate) struct Beside<'a>(&'a Output);

impl Beside<'_> {
    /// Writes a report. Fails with kind `io` when stderr fails.
    pub(crate) fn print(&self, report: &impl Report) -> Result<()> {
        let document = render(report, self.0.format, Style::Plain)?;
        self.0.progress.clear();
        io::stderr().lock().write_all(&document).map_err(|error| Error::io("cannot write the result to stderr", error))
    }
}

impl Output {
    /// Writes in `format`, coloured where the environment and the stream allow it; `progress` is cleared away before.
    pub(crate) fn new(format: Format, environment: &Environment, progress: Arc<Progress>) -> Self {
        Output { format, style: environment.style(rustix::stdio::stdout()), progress }
    }

    /// The form in which results are wanted, for a command whose result as text is no report.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes a report. Fails with kind `io` when stdout fails.
    pub(crate) fn print(&self, report: &impl Report) -> Result<()> {
        let document = render(report, self.format, self.style)?;
        self.raw(&document)
    }

    /// Writes a report as JSON, for a command whose result as text is no report. Fails with kind `io` when stdout fails.
    pub(crate) fn json(&self, report: &impl Serialize) -> Result<()> {
        self.raw(&json(report)?)
    }

    /// For a command whose result is an archive on stdout.
    pub(crate) fn beside(&self) -> Beside<'_> {
        Beside(self)
    }

    /// Writes bytes as they are, for commands whose result is a document or a file, or a piece of one. Fails with kind `io` when stdout fails.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<()> {
        self.progress.clear();
        write(bytes)
    }
}

fn render(report: &impl Report, format: Format, style: Style) -> Result<Vec<u8>> {
    match format {
        Format::Text => {
            let mut out = Vec::new();
            report.text(&mut out, style).map(|()| out).map_err(|error| Error::io("cannot format the result", error))
        }
        Format::Json => json(report),
    }
}

fn json(report: &impl Serialize) -> Result<Vec<u8>> {
    let mut out = serde_json::to_vec(report).map_err(|error| Error::io("cannot format the result as JSON", error))?;
    out.push(b'\n');
    Ok(out)
}

/// Stdout for a process that larder starts for itself.
#[cfg(feature = "run")]
pub(crate) fn handle() -> std::os::fd::BorrowedFd<'static> {
    rustix::stdio::stdout()
}

/// Stdout as a store, for an archive. None where a person would see the bytes, or where it is closed.
pub(crate) fn archive() -> Option<Arc<File>> {
    let stdout = rustix::stdio::stdout();
    let wanted = !rustix::termios::isatty(stdout) && rustix::fs::fstat(stdout).is_ok();
    wanted.then(|| rustix::io::fcntl_dupfd_cloexec(stdout, 3).ok())?.map(|handle| Arc::new(File::from(handle)))
}

/// Writes to stdout, to the end. Fails with kind `io`, except when nobody reads any more.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    write_to(&mut io::stdout().lock(), bytes)
}

fn write_to(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| Error::io("cannot write the result to stdout", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Greeting {
        name: String,
    }

    impl Report for Greeting {
        fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
            writeln!(out, "hello {}", style.strong(&self.name))
        }
    }

    #[test]
    fn a_report_is_text_or_one_line_of_json() {
        let report = Greeting { name: "a\nb".to_owned() };
        assert_eq!(render(&report, Format::Json, Style::Coloured).expect("memory"), b"{\"name\":\"a\\nb\"}\n");
        assert_eq!(render(&report, Format::Text, Style::Plain).expect("memory"), b"hello a\nb\n");
        assert_eq!(render(&report, Format::Text, Style::Coloured).expect("memory"), b"hello \x1b[1ma\nb\x1b[0m\n");
    }

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ops_09_a_closed_stdout_is_an_end_and_a_full_disk_is_not() {
        write_to(&mut Failing(io::ErrorKind::BrokenPipe), b"x").expect("nobody reads any more");
        let error = write_to(&mut Failing(io::ErrorKind::StorageFull), b"x").expect_err("full");
        assert_eq!(error.kind(), crate::error::ErrorKind::Io);
    }
}
