//! Buffers that are used again.
//!
//! A layer passes through buffers of a megabyte and more. Given back to the system after every chunk, their pages come back as page faults and have to be
//! cleared again; and a buffer that is only ever overwritten need not be filled with zeros first.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

/// Keeps what nobody uses at the moment. There is never more of it than was in use at once.
#[derive(Debug, Default)]
pub(super) struct Shelf<T>(Mutex<Vec<T>>);

impl<T: Default> Shelf<T> {
    /// Something that was used before, or something new.
    pub(super) fn take(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps something for the next one who wants it.
    pub(super) fn give(&self, item: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }
}

/// Bytes that grow at their end, in memory that is not cleared when it is used again.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// As long as the buffer has ever been; what stands behind `length` is left from before.
    memory: Vec<u8>,
    length: usize,
}

impl Buffer {
    /// Sees to it that `count` bytes fit without more memory, and takes no more than that.
    pub(super) fn reserve(&mut self, count: usize) {
        self.memory.reserve_exact(count.saturating_sub(self.memory.len()));
    }

    /// Takes away all bytes, so that the memory can be used again.
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Makes room for `count` bytes at the end, to be overwritten: nobody knows what they are.
    pub(super) fn grow(&mut self, count: usize) -> &mut [u8] {
        let begin = self.length;
        self.length += count;
        if self.memory.len() < self.length {
            self.memory.resize(self.length, 0);
        }
        &mut self.memory[begin..self.length]
    }

    /// Appends `bytes`.
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends `count` zeros.
    pub(super) fn extend_with_zeros(&mut self, count: usize) {
        self.grow(count).fill(0);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

/// A buffer that goes back to its shelf once the last one who reads it is through.
#[derive(Debug)]
pub(super) struct Lent<'a> {
    buffer: Buffer,
    shelf: &'a Shelf<Buffer>,
}

impl<'a> Lent<'a> {
    /// Lends what `buffer` holds.
    pub(super) fn new(buffer: Buffer, shelf: &'a Shelf<Buffer>) -> Self {
        Lent { buffer, shelf }
    }
}

impl Deref for Lent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.shelf.give(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_nothing_of_before_shows() {
        let shelf = Shelf::<Buffer>::default();
        let mut buffer = shelf.take();
        buffer.extend_from_slice(&[7; 1000]);
        let place = buffer.as_ptr();
        let lent = Lent::new(buffer, &shelf);
        assert_eq!(&*lent, [7; 1000]);
        let other = shelf.take();
        assert_ne!(other.as_ptr(), place, "it is in use");
        drop(lent);
        let mut again = shelf.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        again.extend_from_slice(b"content");
        again.extend_with_zeros(3);
        assert_eq!(&*again, b"content\0\0\0");
        assert_eq!(again.grow(2000).len(), 2000);
        assert_eq!((again.len(), &again[..10]), (2010, &b"content\0\0\0"[..]));
    }
}
