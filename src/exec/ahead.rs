//! One stream between two threads: filled ahead by one, read by the other, in bounded memory.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};

/// How much is handed over at once.
const CHUNK: usize = 256 << 10;

/// How many chunks may wait: with [`CHUNK`] 4 MiB for each stream. More would not make the slower of two threads faster.
const WAITING: usize = 16;

/// A filled buffer, of which the first bytes count. None of them count at the end of the stream.
type Chunk = (Vec<u8>, usize);

/// The end that is filled.
pub(super) struct Feed {
    full: SyncSender<io::Result<Chunk>>,
    spare: Receiver<Vec<u8>>,
}

/// The end that is read.
pub(super) struct Ahead {
    full: Receiver<io::Result<Chunk>>,
    spare: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    begin: usize,
    end: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

/// Both ends of a new stream.
pub(super) fn stream() -> (Feed, Ahead) {
    let (full_in, full_out) = mpsc::sync_channel(WAITING);
    let (spare_in, spare_out) = mpsc::channel();
    (Feed { full: full_in, spare: spare_out }, Ahead { full: full_out, spare: spare_in, chunk: Vec::new(), begin: 0, end: 0, state: State::Open })
}

impl Feed {
    /// Moves everything from `reader` into the stream, its end or its failure included. Ends early when nobody reads any more.
    pub(super) fn fill(self, mut reader: impl Read) {
        loop {
            let mut buffer = self.spare.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
            let outcome = fill(&mut reader, &mut buffer);
            let is_last = !matches!(outcome, Ok(CHUNK));
            let ends_here = matches!(outcome, Ok(length) if length > 0 && is_last);
            if self.full.send(outcome.map(|length| (buffer, length))).is_err() {
                return;
            }
            if ends_here {
                let _ = self.full.send(Ok((Vec::new(), 0)));
            }
            if is_last {
                return;
            }
        }
    }

    /// Ends the stream with a failure.
    pub(super) fn fail(self, error: io::Error) {
        let _ = self.full.send(Err(error));
    }
}

/// Reads until `buffer` is full or the reader ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.begin == self.end && self.state == State::Open {
            let spare = std::mem::take(&mut self.chunk);
            (self.begin, self.end) = (0, 0);
            if !spare.is_empty() {
                // The other end may be gone already, and then has no use for it.
                let _ = self.spare.send(spare);
            }
            match self.full.recv() {
                Ok(Ok((_, 0))) => self.state = State::Ended,
                Ok(Ok((chunk, length))) => (self.chunk, self.end) = (chunk, length),
                Ok(Err(error)) => {
                    self.state = State::Failed;
                    return Err(error);
                }
                Err(_) => self.state = State::Failed,
            }
        }
        if self.state == State::Failed {
            return Err(io::Error::other("the stream ended before its end"));
        }
        let count = buffer.len().min(self.end - self.begin);
        buffer[..count].copy_from_slice(&self.chunk[self.begin..self.begin + count]);
        self.begin += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails after some bytes.
    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("broken"));
            }
            let count = buffer.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }
    }

    fn through(reader: impl Read + Send) -> io::Result<Vec<u8>> {
        let (feed, mut ahead) = stream();
        std::thread::scope(|scope| {
            scope.spawn(|| feed.fill(reader));
            let mut bytes = Vec::new();
            ahead.read_to_end(&mut bytes).map(|_| bytes)
        })
    }

    #[test]
    fn every_length_arrives_whole() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, (WAITING + 5) * CHUNK, (WAITING + 5) * CHUNK + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251).to_le_bytes()[0]).collect();
            assert!(through(&bytes[..]).expect("whole") == bytes, "{length}");
        }
    }

    #[test]
    fn a_reader_that_is_first_changes_nothing() {
        let (feed, mut ahead) = stream();
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut bytes = Vec::new();
                ahead.read_to_end(&mut bytes).map(|_| bytes)
            });
            std::thread::sleep(std::time::Duration::from_millis(50));
            feed.fill(&b"content"[..]);
            assert_eq!(reader.join().expect("no panic").expect("whole"), b"content");
        });
    }

    #[test]
    fn a_failure_arrives_where_it_happened_and_is_never_an_end() {
        for length in [0, 1, 3 * CHUNK, 3 * CHUNK + 1] {
            assert_eq!(through(Broken(length)).expect_err("broken").to_string(), "broken");
        }
        let (feed, mut ahead) = stream();
        drop(feed);
        assert!(ahead.read(&mut [0]).is_err() && ahead.read(&mut [0]).is_err());
    }

    #[test]
    fn who_stops_reading_ends_the_filling() {
        let (feed, ahead) = stream();
        drop(ahead);
        feed.fill(io::repeat(1));
    }
}
