//! Questions to a person at a terminal: asked on stderr, answered on stdin. Waiting ends when somebody asks to stop.

use std::io::Write as _;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::exec::Cancel;

/// The longest answer.
const ANSWER_BYTES: usize = 4096;

/// Whether there is somebody to ask.
pub(crate) fn is_possible() -> bool {
    rustix::termios::isatty(rustix::stdio::stdin()) && rustix::termios::isatty(rustix::stdio::stderr())
}

/// Asks for a yes. Whatever else is answered is a no.
pub(crate) fn confirm(question: &str, cancel: &Cancel) -> Result<bool> {
    let mut stderr = std::io::stderr().lock();
    let asked = stderr.write_all(format!("{question} [y/N] ").as_bytes()).and_then(|()| stderr.flush());
    asked.map_err(|error| Error::io("cannot ask", error))?;
    drop(stderr);
    Ok(is_yes(&answer(cancel)?))
}

fn is_yes(answer: &[u8]) -> bool {
    matches!(answer.trim_ascii().to_ascii_lowercase().as_slice(), b"y" | b"yes")
}

/// One line, or what came before the end.
fn answer(cancel: &Cancel) -> Result<Vec<u8>> {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let stdin = rustix::stdio::stdin();
    let (mut answer, mut buffer) = (Vec::new(), [0; 256]);
    while answer.len() < ANSWER_BYTES && !answer.ends_with(b"\n") {
        cancel.check()?;
        match rustix::event::poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(Error::io("cannot wait for an answer", error)),
        }
        match rustix::io::read(stdin, &mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(Error::io("cannot read the answer", error)),
        }
    }
    Ok(answer)
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
}
