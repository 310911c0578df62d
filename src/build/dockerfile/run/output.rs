//! What a command writes.

use crate::exec::Run;
use crate::runtime::Stream;

/// Passes lines on.
pub(super) struct Listener<'a> {
    run: &'a Run,
    prefix: &'a str,
    last: Option<String>,
    complaint: Option<String>,
}

impl<'a> Listener<'a> {
    /// Who passes on the lines of the step with this prefix.
    pub(super) fn new(run: &'a Run, prefix: &'a str) -> Self {
        Listener { run, prefix, last: None, complaint: None }
    }

    /// Takes a line.
    pub(super) fn hear(&mut self, stream: Stream, line: &[u8]) {
        let line = visible(line);
        if !line.trim().is_empty() {
            let last = if stream == Stream::Error { &mut self.complaint } else { &mut self.last };
            *last = Some(line.clone());
        }
        self.run.events.output(self.prefix, line);
    }

    /// The last line that was not empty, on stderr where there was one: which of two streams came last nobody knows.
    pub(super) fn last(self) -> Option<String> {
        self.complaint.or(self.last)
    }
}

/// What a terminal would show of a line in the end: without colours, and what was written last over what was there before.
fn visible(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let shown = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut out = String::with_capacity(shown.len());
    let mut chars = shown.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.next_if_eq(&'[').is_some() => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_what_was_overwritten_are_left_out() {
        for (written, seen) in [
            (&b"plain"[..], "plain"),
            (b"\x1b[1;31merror:\x1b[0m x", "error: x"),
            (b"10%\r50%\r100%", "100%"),
            (b"windows\r", "windows"),
            (b"caf\xc3\xa9 \xff", "caf\u{e9} \u{fffd}"),
            (b"\x1b[", ""),
            (b"", ""),
        ] {
            assert_eq!(visible(written), seen);
        }
    }
}
