//! The content of regular files.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use crate::error::Error;
use crate::exec::Cancel;
use crate::spec::text;

/// How much is written at once.
const BUFFER: usize = 256 << 10;

/// Zeros of this length, at multiples of it, are left as holes: the file reads the same and takes no space. Shorter holes would save little and cost a call each.
const HOLE: usize = 64 << 10;

/// Writes `size` bytes of `content` into the new and empty `file`. `buffer` may come from the last call.
pub(in crate::layer) fn write(file: &OwnedFd, size: u64, content: &mut impl Read, buffer: &mut Vec<u8>, cancel: &Cancel) -> io::Result<()> {
    buffer.resize(BUFFER, 0);
    let mut offset = 0;
    let mut end = 0;
    while offset < size {
        cancel.check()?;
        let wanted = usize::try_from(size - offset).map_or(BUFFER, |left| left.min(BUFFER));
        let block = &mut buffer[..wanted];
        content.read_exact(block)?;
        let block_end = write_block(file, block, offset)?;
        end = block_end.unwrap_or(end);
        offset += wanted as u64;
    }
    if end < size { Ok(rustix::fs::ftruncate(file, size)?) } else { Ok(()) }
}

/// Writes what is not a hole; returns where the last of it ends in the file.
fn write_block(file: &OwnedFd, block: &[u8], offset: u64) -> io::Result<Option<u64>> {
    let mut end = None;
    let mut begin = 0;
    while begin < block.len() {
        let length = solid(&block[begin..]);
        if length == 0 {
            begin += HOLE;
            continue;
        }
        write_all(file, &block[begin..begin + length], offset + begin as u64)?;
        begin += length;
        end = Some(offset + begin as u64);
    }
    Ok(end)
}

/// How many bytes there are before the first hole.
fn solid(block: &[u8]) -> usize {
    static ZEROS: [u8; HOLE] = [0; HOLE];
    block.chunks(HOLE).take_while(|piece| **piece != ZEROS).map(<[u8]>::len).sum()
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Says which entry the content is of.
pub(in crate::layer) fn context(error: io::Error, path: &[u8]) -> Error {
    let shown = text::bytes(path);
    Error::io(format!("cannot unpack `{shown}`"), error).subject(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    fn written(bytes: &[u8]) -> (Vec<u8>, u64) {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("file");
        let file = OwnedFd::from(File::create(&path).expect("created"));
        write(&file, bytes.len() as u64, &mut &bytes[..], &mut Vec::new(), &Cancel::default()).expect("written");
        (std::fs::read(&path).expect("there"), std::fs::metadata(&path).expect("there").blocks() * 512)
    }

    #[test]
    fn content_is_the_same_with_and_without_holes() {
        for length in [0, 1, HOLE - 1, HOLE, HOLE + 1, BUFFER, BUFFER + 1, 3 * BUFFER + HOLE] {
            let zeros = vec![0; length];
            let mut begins = zeros.clone();
            let mut ends = zeros.clone();
            let mut middle = zeros.clone();
            begins.first_mut().into_iter().for_each(|byte| *byte = 1);
            ends.last_mut().into_iter().for_each(|byte| *byte = 1);
            middle.get_mut(length / 2).into_iter().for_each(|byte| *byte = 1);
            let full: Vec<u8> = (0..length).map(|n| (n % 255 + 1).to_le_bytes()[0]).collect();
            for bytes in [zeros, begins, ends, middle, full] {
                assert!(written(&bytes).0 == bytes, "{length}");
            }
        }
    }

    #[test]
    fn cmp_04_zeros_take_no_space() {
        let (bytes, space) = written(&vec![0; 32 * BUFFER]);
        assert_eq!(bytes.len(), 32 * BUFFER);
        assert!(space <= HOLE as u64, "{space}");
    }

    #[test]
    fn too_little_content_is_an_error() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let file = OwnedFd::from(File::create(temp.path().join("file")).expect("created"));
        assert!(write(&file, 10, &mut &b"short"[..], &mut Vec::new(), &Cancel::default()).is_err());
    }
}
