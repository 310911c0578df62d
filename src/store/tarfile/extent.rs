//! A run of bytes inside a file, and reading it at its offset: any number of threads at once, without moving anything.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::error::Result;
use crate::fsio::{Mismatch, VerifyingReader, regular};
use crate::spec::Descriptor;

/// Where bytes lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) struct Extent {
    /// Where they begin.
    pub(in crate::store) offset: u64,
    /// How many there are.
    pub(in crate::store) size: u64,
}

impl Extent {
    /// Reads the bytes from their beginning.
    pub(in crate::store) fn read(self, file: &Arc<File>) -> ExtentReader {
        ExtentReader { file: file.clone(), extent: self, at: 0 }
    }

    /// Reads the bytes as the content that `descriptor` names, unproved. Kind `corrupt` where their number is wrong.
    pub(in crate::store) fn open_unproved(self, file: &Arc<File>, descriptor: &Descriptor) -> Result<ExtentReader> {
        match self.size == descriptor.size {
            true => Ok(self.read(file)),
            false => Err(Mismatch::Size { actual: self.size, expected: descriptor.size }.of(&descriptor.digest)),
        }
    }

    /// Reads the bytes as the content that `descriptor` names, verified.
    ///
    /// Kinds: `corrupt` where their number is wrong; `unsupported` for a digest that cannot be computed.
    pub(in crate::store) fn open(self, file: &Arc<File>, descriptor: &Descriptor) -> Result<VerifyingReader<ExtentReader>> {
        VerifyingReader::new(self.open_unproved(file, descriptor)?, descriptor.digest.clone(), descriptor.size)
    }
}

/// Reads an [`Extent`].
#[derive(Debug)]
pub(in crate::store) struct ExtentReader {
    file: Arc<File>,
    extent: Extent,
    at: u64,
}

impl Read for ExtentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.extent.size.saturating_sub(self.at);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = regular::read_at(&self.file, &mut buffer[..wanted], self.extent.offset + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for ExtentReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.extent.size.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Whether two runs of bytes of one file are the same.
pub(in crate::store) fn same(file: &Arc<File>, a: Extent, b: Extent) -> io::Result<bool> {
    const CHUNK: usize = 256 << 10;
    if a.size != b.size {
        return Ok(false);
    }
    let (mut one, mut other) = (a.read(file), b.read(file));
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(one.at == a.size);
        }
        match other.read_exact(&mut right[..count]) {
            Ok(()) if left[..count] == right[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn reads_its_bytes_and_no_others() {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(b"..content..contenT..").expect("written");
        let file = Arc::new(file);
        let extent = |offset, size| Extent { offset, size };
        let mut text = String::new();
        extent(2, 7).read(&file).read_to_string(&mut text).expect("read");
        assert_eq!(text, "content");
        let mut reader = extent(2, 7).read(&file);
        reader.seek(SeekFrom::Current(3)).expect("inside");
        assert_eq!(reader.seek(SeekFrom::End(-2)).expect("inside"), 5);
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "contentnt");
        assert!(reader.seek(SeekFrom::Current(-8)).is_err());
        assert!(same(&file, extent(2, 6), extent(11, 6)).expect("read"));
        assert!(!same(&file, extent(2, 7), extent(11, 7)).expect("read"));
        assert!(!same(&file, extent(2, 7), extent(2, 6)).expect("read"));
        assert!(!same(&file, extent(18, 5), extent(18, 5)).expect("read"), "what is not there is the same as nothing");
    }
}
