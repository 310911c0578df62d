//! Layouts that images come to.
//!
//! Giving a name means writing the whole `index.json` and waiting for the disk, so names are given many at once; and in the order of the job, so that the
//! order of entries does not tell which image came first. What has arrived and has no name yet when a run is killed is found by the next one.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::error::{ErrorKind, Result, Side};
use crate::exec::Cancel;
use crate::spec::{Descriptor, Digest, ImageName};
use crate::store::entries::Identity;
use crate::store::{Destination, Location, Options, transport};
use crate::sync::Key;

/// So many images get their names at once.
const BATCH: usize = 64;

/// A layout, and the images that have arrived there and wait for their names.
pub(super) struct Arrivals {
    location: Location,
    options: Options,
    /// Opened, or made, when the first image comes.
    destination: OnceLock<Box<dyn Destination>>,
    opening: Mutex<()>,
    /// The names that were there at first.
    known: HashMap<Identity, Digest>,
    queue: Mutex<Queue>,
    /// Held from taking images off the queue until they have their names: those behind them get theirs later.
    naming: Mutex<()>,
    pub(super) flights: Flights,
}

/// Pieces of work in the order in which their images get their names.
#[derive(Default)]
struct Queue {
    /// Those that are not through with all before them.
    order: VecDeque<usize>,
    /// Those that are through though others before them are not.
    early: BTreeMap<usize, Option<Arrival>>,
    /// Those whose turn has come.
    ready: Vec<Arrival>,
}

/// Images whose content has arrived.
pub(super) struct Arrival {
    /// Each with the key that the journal knows it by.
    pub(super) images: Vec<(usize, Key)>,
    /// The entries that they become.
    pub(super) entries: Vec<Descriptor>,
}

impl Arrivals {
    /// Looks at the layout, if there is one.
    pub(super) fn at(location: &Location, options: &Options) -> Result<Arrivals> {
        Ok(Arrivals {
            location: location.clone(),
            options: options.clone(),
            destination: OnceLock::new(),
            opening: Mutex::default(),
            known: known_names(location, options)?,
            queue: Mutex::default(),
            naming: Mutex::default(),
            flights: Flights::default(),
        })
    }

    /// The layout to write to, which is made where it is missing.
    pub(super) fn destination(&self) -> Result<&dyn Destination> {
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.destination.get() {
            return Ok(&**open);
        }
        let opened = transport::destination(&self.location, &self.options).map_err(|error| error.side(Side::Destination))?;
        Ok(&**self.destination.get_or_init(|| opened))
    }

    /// What a name stood on at first.
    pub(super) fn known(&self, name: &ImageName) -> Option<&Digest> {
        self.known.get(&Identity::of(name))
    }

    /// Announces a piece of work; all are announced before any is through, in their order.
    pub(super) fn expect(&self, work: usize) {
        self.queue().order.push_back(work);
    }

    /// Takes what came of a piece of work, and lets `name` give names to images whose turn it is, once they are worth it.
    pub(super) fn settle(&self, work: usize, arrival: Option<Arrival>, name: impl FnOnce(Vec<Arrival>)) {
        if !self.take_in(work, arrival) {
            return;
        }
        let _alone = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = std::mem::take(&mut self.queue().ready);
        if !ready.is_empty() {
            name(ready);
        }
    }

    /// Whether there are images enough that are to get their names now.
    fn take_in(&self, work: usize, arrival: Option<Arrival>) -> bool {
        let mut queue = self.queue();
        queue.early.insert(work, arrival);
        while let Some(arrival) = queue.order.front().copied().and_then(|next| queue.early.remove(&next)) {
            queue.order.pop_front();
            queue.ready.extend(arrival);
        }
        queue.ready.len() >= BATCH || queue.order.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives images their names, all at once.
    pub(super) fn name(&self, arrivals: &[Arrival]) -> Result<()> {
        let entries: Vec<Descriptor> = arrivals.iter().flat_map(|arrival| arrival.entries.iter().cloned()).collect();
        match entries.is_empty() {
            true => Ok(()),
            false => self.destination()?.commit(&entries).map_err(|error| error.side(Side::Destination)),
        }
    }
}

/// Content that is on its way: images that share a base and come at the same time would all bring it.
#[derive(Debug, Default)]
pub(super) struct Flights {
    under_way: Mutex<HashSet<Digest>>,
    landed: Condvar,
}

/// Content that nobody else brings meanwhile.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    digest: &'a Digest,
    /// Whether somebody else was bringing it before.
    pub(super) waited: bool,
}

/// How often who waits looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

impl Flights {
    /// Waits until nobody else brings this content. Fails with kind `interrupted`.
    pub(super) fn begin<'a>(&'a self, digest: &'a Digest, cancel: &Cancel) -> Result<Flight<'a>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waited = false;
        while !under_way.insert(digest.clone()) {
            cancel.check()?;
            waited = true;
            under_way = self.landed.wait_timeout(under_way, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Flight { flights: self, digest, waited })
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(self.digest);
        self.flights.landed.notify_all();
    }
}

/// The names in a layout or an archive; none where there is nothing yet.
pub(super) fn known_names(location: &Location, options: &Options) -> Result<HashMap<Identity, Digest>> {
    if location.is_stream() {
        return Ok(HashMap::new());
    }
    // What else is wrong with it is told when it is opened for writing.
    let source = match transport::source(location, options) {
        Ok(source) => source,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => return Ok(HashMap::new()),
        Err(error) => return Err(error.side(Side::Destination)),
    };
    let index = source.index().map_err(|error| error.side(Side::Destination))?;
    Ok(index.manifests.into_iter().filter_map(|entry| Some((Identity::of_entry(&entry)?, entry.digest))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_in_order_however_long_the_first_take() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let location = Location::parse(temp.path().join("none").as_os_str()).expect("a path");
        let arrivals = Arrivals::at(&location, &Options::default()).expect("nothing there yet");
        let arrival = || Some(Arrival { images: Vec::new(), entries: Vec::new() });
        (0..BATCH + 1).for_each(|work| arrivals.expect(work));
        (0..BATCH - 1).for_each(|work| arrivals.settle(work, arrival(), |_| panic!("too few")));
        let named = Mutex::new(Vec::new());
        let (begun, go_on) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                arrivals.settle(BATCH - 1, arrival(), |batch| {
                    begun.send(()).expect("somebody waits");
                    std::thread::sleep(Duration::from_millis(50));
                    named.lock().expect("unpoisoned").push(batch.len());
                });
            });
            go_on.recv().expect("it begins");
            arrivals.settle(BATCH, arrival(), |batch| named.lock().expect("unpoisoned").push(batch.len()));
        });
        assert_eq!(named.into_inner().expect("unpoisoned"), [BATCH, 1]);
    }
}
