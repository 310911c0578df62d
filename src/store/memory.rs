//! A store in memory: for tests, and for what needs a store for a moment.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::fsio::{Mismatch, VerifyingReader};
use crate::spec::{Descriptor, Digest, ImageIndex};
use crate::store::{Destination, Source, entries};

/// Keeps everything in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    content: Mutex<BTreeMap<Digest, Arc<[u8]>>>,
    index: Mutex<ImageIndex>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore { shared: Arc::new(Shared { content: Mutex::default(), index: Mutex::new(ImageIndex::new(Vec::new())) }) }
    }
}

impl MemoryStore {
    fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        lock(&self.shared.content).get(digest).cloned()
    }
}

impl Source for MemoryStore {
    fn location(&self) -> String {
        "memory:".into()
    }

    fn index(&self) -> Result<ImageIndex> {
        Ok(lock(&self.shared.index).clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let digest = &descriptor.digest;
        let bytes = self.get(digest).ok_or_else(|| Error::not_found(format!("blob {digest} is missing in memory")).subject(digest))?;
        if bytes.len() as u64 != descriptor.size {
            return Err(Mismatch::Size { actual: bytes.len() as u64, expected: descriptor.size }.of(digest));
        }
        Ok(Box::new(VerifyingReader::new(std::io::Cursor::new(bytes), digest.clone(), descriptor.size)?))
    }
}

impl Destination for MemoryStore {
    fn location(&self) -> String {
        Source::location(self)
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.get(&descriptor.digest).is_some_and(|bytes| bytes.len() as u64 == descriptor.size))
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let bytes = VerifyingReader::new(content, descriptor.digest.clone(), descriptor.size)?.read_to_vec(usize::MAX)?;
        lock(&self.shared.content).insert(descriptor.digest.clone(), bytes.into());
        Ok(())
    }

    fn commit(&self, new: &[Descriptor]) -> Result<()> {
        self.commit_if(new, &|_| Ok(()))
    }

    fn commit_if(&self, new: &[Descriptor], condition: &dyn Fn(&ImageIndex) -> Result<()>) -> Result<()> {
        let mut index = lock(&self.shared.index);
        condition(&index)?;
        entries::enter(&mut index, new);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_contracts() {
        crate::store::conformance::check(super::MemoryStore::default);
    }
}
