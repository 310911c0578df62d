//! Questions to a person at a terminal: asked on stderr, answered on stdin. And what comes through stdin so that nobody needs to be asked.
//!
//! Waiting ends when somebody asks to stop. What is typed as a secret is not shown, and the terminal is as it was whatever happens.

use std::io::Write as _;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::exec::Cancel;
use crate::store::registry::Secret;

/// The longest answer: tokens have a few kilobytes.
const ANSWER_BYTES: usize = 64 << 10;

/// Whether there is somebody to ask.
pub(crate) fn is_possible() -> bool {
    rustix::termios::isatty(rustix::stdio::stdin()) && rustix::termios::isatty(rustix::stdio::stderr())
}

/// Asks for one line. Fails with kind `usage` where nothing is answered.
pub(crate) fn line(question: &str, cancel: &Cancel) -> Result<String> {
    ask(question)?;
    let answer = read(End::Line, cancel)?;
    Ok(text_of(&answer)?.to_owned())
}

/// Asks for one line that is not shown.
pub(crate) fn secret(question: &str, cancel: &Cancel) -> Result<Secret> {
    // What is typed once the question is there belongs to it.
    let silence = Silence::begin()?;
    ask(question)?;
    let answer = read(End::Line, cancel);
    drop(silence);
    // The line break was not shown either.
    ask("\n")?;
    Ok(Secret::new(text_of(&answer?)?))
}

/// Asks for a yes. Whatever else is answered is a no.
pub(crate) fn confirm(question: &str, cancel: &Cancel) -> Result<bool> {
    ask(&format!("{question} [y/N] "))?;
    Ok(is_yes(&read(End::Line, cancel)?))
}

fn is_yes(answer: &[u8]) -> bool {
    matches!(answer.trim_ascii().to_ascii_lowercase().as_slice(), b"y" | b"yes")
}

/// Everything that comes through stdin, without the line break at its end.
pub(crate) fn secret_from_stdin(cancel: &Cancel) -> Result<Secret> {
    if rustix::termios::isatty(rustix::stdio::stdin()) {
        return Err(Error::usage("--password-stdin wants the password through a pipe, and stdin is a terminal")
            .hint("leave it out to be asked, or pipe a file into it"));
    }
    let answer = read(End::OfFile, cancel)?;
    Ok(Secret::new(text_of(&answer)?))
}

fn ask(question: &str) -> Result<()> {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(|error| Error::io("cannot ask", error))
}

/// Where an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    OfFile,
}

fn read(end: End, cancel: &Cancel) -> Result<Zeroizing<Vec<u8>>> {
    let stdin = rustix::stdio::stdin();
    // All at once, so that no copy is left where it grew.
    let mut answer = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES + 1));
    let mut buffer = Zeroizing::new([0; 4096]);
    loop {
        wait(stdin, cancel)?;
        let count = match rustix::io::read(stdin, &mut *buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(error) => return Err(Error::io("cannot read the answer", error)),
        };
        answer.extend_from_slice(&buffer[..count]);
        if answer.len() > ANSWER_BYTES {
            return Err(Error::usage(format!("the answer has more than the limit of {ANSWER_BYTES} bytes")));
        }
        if count == 0 || (end == End::Line && answer.ends_with(b"\n")) {
            return Ok(answer);
        }
    }
}

/// Waits until there is something to read.
fn wait(stdin: BorrowedFd<'_>, cancel: &Cancel) -> Result<()> {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    loop {
        cancel.check()?;
        match rustix::event::poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Error::io("cannot wait for an answer", error)),
        }
    }
}

/// The text of an answer, without its line break. Fails with kind `usage` where there is none.
fn text_of(answer: &[u8]) -> Result<&str> {
    let answer = answer.strip_suffix(b"\n").unwrap_or(answer);
    let answer = answer.strip_suffix(b"\r").unwrap_or(answer);
    match std::str::from_utf8(answer) {
        Ok("") => Err(Error::usage("the answer is empty")),
        Ok(text) if text.contains(['\r', '\n']) => Err(Error::usage("the answer has more than one line")),
        Ok(text) => Ok(text),
        Err(_) => Err(Error::usage("the answer is not UTF-8")),
    }
}

/// A terminal that does not show what is typed. Dropped, it does again.
struct Silence(Termios);

impl Silence {
    fn begin() -> Result<Silence> {
        let stdin = rustix::stdio::stdin();
        let cannot = |error| Error::io("cannot make the terminal hide what is typed", error);
        let before = rustix::termios::tcgetattr(stdin).map_err(cannot)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        rustix::termios::tcsetattr(stdin, OptionalActions::Flush, &silent).map_err(cannot)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in [("y\n", true), ("YES\r\n", true), (" yes ", true), ("", false), ("\n", false), ("no\n", false), ("yes please\n", false)] {
            assert_eq!(is_yes(answer.as_bytes()), yes, "{answer:?}");
        }
    }

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_the_answer() {
        for (answer, expected) in [("p", "p"), ("p\n", "p"), ("p\r\n", "p"), (" p ", " p ")] {
            assert_eq!(text_of(answer.as_bytes()).expect("text"), expected);
        }
        for answer in [&b""[..], b"\n", b"\r\n", b"p\n\n", b"a\nb", b"\xff\n"] {
            assert!(text_of(answer).is_err(), "{answer:?}");
        }
    }
}
