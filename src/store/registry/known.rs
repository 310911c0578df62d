//! Which repositories of a host have which blobs, and which are on their way there.
//!
//! A blob is uploaded to a host once at a time, whoever needs it and in however many repositories: the others wait, and take it from where it went. What is known is
//! a hint for the way that costs least: a host may have thrown a blob away since.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::exec::Cancel;
use crate::spec::{Descriptor, Digest};

/// How long to wait without looking whether anybody still wants the blob.
const SLICE: Duration = Duration::from_millis(100);

/// The blobs of a host.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    at: HashMap<Digest, Known>,
    /// On their way, and to where.
    moving: HashSet<(Digest, String)>,
}

/// A blob that some repositories have.
#[derive(Debug)]
struct Known {
    size: u64,
    /// All of them, and not just one to take it from: a blob that comes a second time while the manifest that needs it is put is written there again, and
    /// docker-registry reads what is half written.
    at: BTreeSet<String>,
}

/// Where a blob is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In this repository.
    Here,
    /// In another one of the host.
    Elsewhere,
    /// Nobody knows.
    Unknown,
}

/// What is to be done about a blob.
pub(crate) enum Step<'a> {
    /// Nothing: it is there.
    There,
    /// It is to be brought there, from the repository that has it where one is known.
    Bring(Moving<'a>, Option<String>),
}

/// A blob on its way. Dropping it tells those who wait that it may be their turn.
pub(crate) struct Moving<'a> {
    blobs: &'a Blobs,
    digest: Digest,
    size: u64,
    repository: String,
}

/// Whether to wait for a blob that is on its way to another repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// It can be taken from there.
    Wait,
    /// It can not.
    Ignore,
}

impl Blobs {
    /// Remembers that a repository has a blob.
    pub(crate) fn note(&self, blob: &Descriptor, repository: &str) {
        self.enter(&blob.digest, blob.size, repository);
    }

    fn enter(&self, digest: &Digest, size: u64, repository: &str) {
        let mut state = self.lock();
        match state.at.get_mut(digest) {
            Some(known) if known.at.contains(repository) => {}
            Some(known) => drop(known.at.insert(repository.to_owned())),
            None => drop(state.at.insert(digest.clone(), Known { size, at: BTreeSet::from([repository.to_owned()]) })),
        }
    }

    /// Where a blob is, as far as is known.
    pub(crate) fn whereabouts(&self, blob: &Descriptor, repository: &str) -> Whereabouts {
        match self.lock().at.get(&blob.digest).filter(|known| known.size == blob.size) {
            Some(known) if known.at.contains(repository) => Whereabouts::Here,
            Some(known) if !known.at.is_empty() => Whereabouts::Elsewhere,
            _ => Whereabouts::Unknown,
        }
    }

    /// Forgets that a repository has a blob.
    pub(crate) fn forget(&self, digest: &Digest, repository: &str) {
        if let Some(known) = self.lock().at.get_mut(digest) {
            known.at.remove(repository);
        }
    }

    /// What is to be done so that a repository has a blob. Waits for those who are bringing it. Fails with kind `interrupted`.
    pub(crate) fn begin(&self, blob: &Descriptor, repository: &str, others: Others, cancel: &Cancel) -> Result<Step<'_>> {
        let (digest, size) = (&blob.digest, blob.size);
        let mut state = self.lock();
        loop {
            let at = state.at.get(digest).filter(|known| known.size == size).map(|known| &known.at);
            if at.is_some_and(|at| at.contains(repository)) {
                return Ok(Step::There);
            }
            let from = at.and_then(|at| at.first().cloned());
            let is_moving = state.moving.iter().any(|(moving, to)| moving == digest && (to == repository || (others == Others::Wait && from.is_none())));
            if !is_moving {
                state.moving.insert((digest.clone(), repository.to_owned()));
                return Ok(Step::Bring(Moving { blobs: self, digest: digest.clone(), size, repository: repository.to_owned() }, from));
            }
            cancel.check()?;
            state = self.changed.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moving<'_> {
    /// It has arrived.
    pub(crate) fn arrived(self) {
        self.blobs.enter(&self.digest, self.size, &self.repository);
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let key = (self.digest.clone(), std::mem::take(&mut self.repository));
        self.blobs.lock().moving.remove(&key);
        self.blobs.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_blob_is_brought_once_and_then_taken_from_there() {
        let (blobs, digest) = (Blobs::default(), Descriptor::new("text/plain", Digest::sha256(b"a"), 1));
        let (brought, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for repository in ["a", "b", "a", "c", "b", "a"] {
                let (blobs, digest, brought, taken) = (&blobs, &digest, &brought, &taken);
                scope.spawn(move || match blobs.begin(digest, repository, Others::Wait, &Cancel::default()).expect("a step") {
                    Step::There => {}
                    Step::Bring(moving, from) => {
                        std::thread::sleep(Duration::from_millis(20));
                        if from.is_some() { taken } else { brought }.fetch_add(1, Ordering::SeqCst);
                        moving.arrived();
                    }
                });
            }
        });
        assert_eq!((brought.into_inner(), taken.into_inner()), (1, 2));
    }

    #[test]
    fn no_repository_is_forgotten_however_many_there_are() {
        let (blobs, digest) = (Blobs::default(), Descriptor::new("text/plain", Digest::sha256(b"a"), 1));
        for round in 0..2 {
            for number in 0..100 {
                let step = blobs.begin(&digest, &number.to_string(), Others::Wait, &Cancel::default()).expect("a step");
                match (round, step) {
                    (0, Step::Bring(moving, _)) => moving.arrived(),
                    (1, Step::There) => {}
                    _ => panic!("{number} in round {round}"),
                }
            }
        }
        blobs.forget(&digest.digest, "7");
        assert!(matches!(blobs.begin(&digest, "7", Others::Wait, &Cancel::default()).expect("a step"), Step::Bring(_, Some(_))));
    }

    #[test]
    fn who_waited_for_what_failed_takes_its_place() {
        let (blobs, digest) = (Blobs::default(), Descriptor::new("text/plain", Digest::sha256(b"a"), 1));
        let Step::Bring(moving, None) = blobs.begin(&digest, "a", Others::Wait, &Cancel::default()).expect("a step") else { panic!("nobody has it") };
        let Step::Bring(other, None) = blobs.begin(&digest, "b", Others::Ignore, &Cancel::default()).expect("a step") else { panic!("it need not wait") };
        drop(other);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| matches!(blobs.begin(&digest, "b", Others::Wait, &Cancel::default()).expect("a step"), Step::Bring(_, None)));
            drop(moving);
            assert!(waiting.join().expect("no panic"));
        });
        let cancel = Cancel::default();
        let _moving = blobs.begin(&digest, "a", Others::Wait, &cancel).expect("a step");
        cancel.cancel();
        assert_eq!(blobs.begin(&digest, "b", Others::Wait, &cancel).err().map(|error| error.kind()), Some(crate::error::ErrorKind::Interrupted));
    }
}
