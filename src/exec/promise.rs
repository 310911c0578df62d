//! A value that one operation makes and others wait for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::error::{Error, Result};

/// A value to come. Clones are the same value.
#[derive(Debug)]
pub struct Promise<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Open,
    Kept(Arc<T>),
    Broken,
}

/// The duty to keep a promise. Dropped before, it breaks the promise, so that nobody waits for ever.
#[derive(Debug)]
pub struct Duty<T>(Promise<T>);

impl<T> Promise<T> {
    /// A promise, and the duty to keep it.
    pub fn new() -> (Promise<T>, Duty<T>) {
        let promise = Promise(Arc::new(Inner { state: Mutex::new(State::Open), changed: Condvar::new() }));
        (promise.clone(), Duty(promise))
    }

    /// Waits for the value. Fails with kind `interrupted` where it never comes: whoever had to make it failed, and says why.
    pub fn wait(&self) -> Result<Arc<T>> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.0.changed.wait_while(state, |state| matches!(state, State::Open)).unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Kept(value) => Ok(value.clone()),
            State::Open | State::Broken => Err(Error::interrupted()),
        }
    }

    fn settle(&self, settled: State<T>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open) {
            *state = settled;
        }
        self.0.changed.notify_all();
    }
}

impl<T> Duty<T> {
    /// Keeps the promise.
    pub fn keep(self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.0.settle(State::Kept(value.clone()));
        value
    }
}

/// Values that are made once, by whoever needs one first.
#[derive(Debug)]
pub struct Once<K, V>(Mutex<HashMap<K, Promise<V>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Once(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Once<K, V> {
    /// The value `key`, which `make` makes unless somebody did, or does at the moment. If that somebody fails, this one tries for itself.
    pub fn get(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let (known, duty) = match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key) {
            Entry::Occupied(known) => (Some(known.get().clone()), None),
            Entry::Vacant(free) => {
                let (promise, duty) = Promise::new();
                free.insert(promise);
                (None, Some(duty))
            }
        };
        if let Some(value) = known.and_then(|known| known.wait().ok()) {
            return Ok(value);
        }
        let value = make()?;
        Ok(match duty {
            Some(duty) => duty.keep(value),
            None => Arc::new(value),
        })
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Promise(self.0.clone())
    }
}

impl<T> Drop for Duty<T> {
    fn drop(&mut self) {
        self.0.settle(State::Broken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_value_is_made_once_and_again_after_a_failure() {
        let once = Once::default();
        assert!(once.get(1, || Err::<i32, _>(Error::usage("no"))).is_err());
        assert_eq!(*once.get(1, || Ok(5)).expect("made"), 5);
        assert_eq!(*once.get(2, || Ok(6)).expect("made"), 6);
        assert_eq!(*once.get(2, || Ok(7)).expect("known"), 6);
    }

    #[test]
    fn a_promise_is_kept_or_broken_and_nobody_waits_for_ever() {
        let (promise, duty) = Promise::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| promise.wait());
            duty.keep(7);
            assert_eq!(*waiter.join().expect("no panic").expect("kept"), 7);
        });
        let (promise, duty) = Promise::<()>::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| promise.wait());
            drop(duty);
            assert_eq!(waiter.join().expect("no panic").expect_err("broken").kind(), ErrorKind::Interrupted);
        });
    }
}
