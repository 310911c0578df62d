//! Manifests that were read or written lately: planning reads them, and carrying out the plan reads them again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::spec::Digest;

/// How much is kept: 32 MiB. A manifest has a few KiB, an index of many platforms a few dozen.
const BYTES: usize = 32 << 20;

/// Verified bytes of documents, by digest. What came first goes first.
#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: HashMap<Digest, Arc<[u8]>>,
    order: VecDeque<Digest>,
    total: usize,
}

impl Documents {
    /// A document, where it is kept.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.get(digest).cloned()
    }

    /// Keeps a document, whose bytes must be verified.
    pub(crate) fn keep(&self, digest: &Digest, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() > BYTES || kept.bytes.contains_key(digest) {
            return;
        }
        kept.total += bytes.len();
        kept.bytes.insert(digest.clone(), bytes.into());
        kept.order.push_back(digest.clone());
        while kept.total > BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.total -= kept.bytes.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let documents = Documents::default();
        let contents: Vec<Vec<u8>> = (0..10).map(|n| vec![n; BYTES / 4]).collect();
        let digests: Vec<Digest> = contents.iter().map(|content| Digest::sha256(content)).collect();
        digests.iter().zip(&contents).for_each(|(digest, content)| documents.keep(digest, content));
        let kept: Vec<bool> = digests.iter().map(|digest| documents.get(digest).is_some()).collect();
        assert_eq!(kept, [vec![false; 6], vec![true; 4]].concat());
    }
}
