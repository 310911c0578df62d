//! Output in lines.

use super::Stream;

/// The longest piece of a line that is waited for, in bytes.
const LONGEST: usize = 64 << 10;

/// Puts what a step writes together to lines, each stream for itself.
#[derive(Debug, Default)]
pub(super) struct Lines {
    output: Vec<u8>,
    error: Vec<u8>,
}

impl Lines {
    /// Takes what was written and shows `line` every line that is complete, without its end, and what is too long to wait for.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8], line: &mut dyn FnMut(Stream, &[u8])) {
        let pending = self.pending(stream);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            for part in text.chunks(LONGEST) {
                if pending.len() + part.len() > LONGEST {
                    line(stream, pending);
                    pending.clear();
                }
                pending.extend_from_slice(part);
            }
            if ends {
                line(stream, pending);
                pending.clear();
            }
        }
    }

    /// Shows what was begun and never ended.
    pub(super) fn finish(&mut self, line: &mut dyn FnMut(Stream, &[u8])) {
        for stream in [Stream::Output, Stream::Error] {
            let rest = std::mem::take(self.pending(stream));
            if !rest.is_empty() {
                line(stream, &rest);
            }
        }
    }

    fn pending(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[(Stream, &[u8])]) -> Vec<(Stream, Vec<u8>)> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut line = |stream, text: &[u8]| seen.push((stream, text.to_vec()));
        for (stream, bytes) in pieces {
            lines.take(*stream, bytes, &mut line);
        }
        lines.finish(&mut line);
        seen
    }

    #[test]
    fn lines_are_whole_and_streams_do_not_mix() {
        let (out, err) = (Stream::Output, Stream::Error);
        let seen = lines(&[(out, b"a"), (err, b"x\n\xff\xfe"), (out, b"b\n\nc\r\nd"), (err, b"\n")]);
        let expected: [(Stream, &[u8]); 6] = [(err, b"x"), (out, b"ab"), (out, b""), (out, b"c\r"), (err, b"\xff\xfe"), (out, b"d")];
        assert_eq!(seen.iter().map(|(stream, line)| (*stream, line.as_slice())).collect::<Vec<_>>(), expected);
        assert!(lines(&[(out, b"")]).is_empty());
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let long = vec![b'x'; 3 * LONGEST + 5];
        for piece in [1000, LONGEST, LONGEST + 1, long.len()] {
            let seen = lines(&long.chunks(piece).map(|bytes| (Stream::Output, bytes)).collect::<Vec<_>>());
            assert!(seen.iter().all(|(_, line)| !line.is_empty() && line.len() <= LONGEST), "{piece}");
            assert_eq!(seen.iter().map(|(_, line)| line.len()).sum::<usize>(), long.len());
        }
    }
}
