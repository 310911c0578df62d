//! A reader that can be stopped, and that tells how far it is.

use std::io::{self, Read};

use crate::exec::Cancel;

/// Passes what it reads through. Fails with an error of kind `interrupted` inside once somebody asked to stop.
#[derive(Debug)]
pub struct Watched<R, F> {
    inner: R,
    cancel: Cancel,
    progress: F,
}

impl<R: Read, F: FnMut(u64)> Watched<R, F> {
    /// Reads `inner`; `progress` is told how many more bytes were read.
    pub fn new(inner: R, cancel: Cancel, progress: F) -> Self {
        Watched { inner, cancel, progress }
    }
}

impl<R: Read, F: FnMut(u64)> Read for Watched<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        let count = self.inner.read(buffer)?;
        (self.progress)(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn tells_each_byte_once_and_stops_when_asked() {
        let cancel = Cancel::default();
        let mut told = 0;
        let mut reader = Watched::new(io::repeat(1), cancel.clone(), |bytes| told += bytes);
        reader.read_exact(&mut [0; 1000]).expect("endless");
        cancel.cancel();
        let error = Error::io("cannot read", reader.read(&mut [0]).expect_err("stopped"));
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(told, 1000);
    }
}
