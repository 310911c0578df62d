//! Carrying out plans: content, then manifests, then indexes, then names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::{Cancel, Run, Task};
use crate::fsio::Placed;
use crate::spec::{Descriptor, Digest, Kind};
use crate::store::{Content, Destination, Presence, Put, Sharing, Source};

use super::claims;
use super::plan::{CopyPlan, two_sizes};

/// How content comes to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// What the destination may share with a source on the same file system; with none, everything is read and written.
    pub sharing: Option<Sharing>,
    /// Whether content that is shared is read and verified too.
    pub reading: Reading,
}

/// Whether content that is shared is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Only content that is copied is verified; of what is shared, the size.
    Copied,
    /// All content is verified: what is shared is read, and what the destination has already is compared with the source and replaced where it differs.
    All,
}

/// What became of the content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Was there already.
    pub present: Tally,
    /// Is the same file now.
    pub linked: Tally,
    /// Shares its blocks now.
    pub reflinked: Tally,
    /// Was read, verified and written.
    pub copied: Tally,
    /// Was elsewhere in the destination, and taken from there.
    pub taken: Tally,
}

/// A number of blobs and documents, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, descriptor: &Descriptor) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(descriptor.size);
    }
}

/// One piece of content on its way.
#[derive(Clone, Copy)]
struct Item<'a> {
    plan: usize,
    height: usize,
    descriptor: &'a Descriptor,
}

struct Execution<'a> {
    run: &'a Run,
    plans: &'a [CopyPlan<'a>],
    destination: &'a dyn Destination,
    how: How,
    task: Task,
    carried: Mutex<Carried>,
}

/// What of the plans the destination lacks, each digest once, in their order.
///
/// Errors as [`Destination::has`], and `corrupt` where the plans disagree.
pub fn missing<'a>(run: &Run, plans: &'a [CopyPlan<'_>], destination: &dyn Destination) -> Result<Vec<&'a Descriptor>> {
    let lacking = lacking(run, plans, destination, Asking::Above)?;
    Ok(lacking.into_iter().map(|item| item.descriptor).collect())
}

/// What a destination is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Nothing below a document that it has and that was [proved](Presence::Proved) when it came.
    Above,
    /// Everything.
    All,
}

/// What the destination lacks.
fn lacking<'a>(run: &Run, plans: &'a [CopyPlan<'_>], destination: &dyn Destination, asking: Asking) -> Result<Vec<Item<'a>>> {
    let mut all = once(plans)?;
    let mut present: HashSet<&Digest> = HashSet::new();
    let ask = |items: Vec<Item<'a>>| -> Result<Vec<Item<'a>>> {
        let answers = run.pool.waiting(items.clone(), |item| {
            run.cancel.check()?;
            destination.has(item.descriptor)
        })?;
        Ok(items.into_iter().zip(answers).filter(|(_, there)| *there).map(|(item, _)| item).collect())
    };
    if destination.presence() == Presence::Claimed || asking == Asking::All {
        present.extend(ask(all.clone())?.iter().map(|item| &item.descriptor.digest));
    } else {
        let mut heights: Vec<usize> = all.iter().map(|item| item.height).collect();
        heights.sort_unstable();
        heights.dedup();
        for height in heights.into_iter().rev() {
            let level: Vec<Item<'_>> = all.iter().filter(|item| item.height == height).copied().collect();
            let unknown = level.iter().filter(|item| !present.contains(&item.descriptor.digest)).copied().collect();
            present.extend(ask(unknown)?.iter().map(|item| &item.descriptor.digest));
            for item in level {
                if present.contains(&item.descriptor.digest) {
                    present.extend(plans[item.plan].below(&item.descriptor.digest));
                }
            }
        }
    }
    all.retain(|item| !present.contains(&item.descriptor.digest));
    Ok(all)
}

/// All content of the plans, each digest once, in their order. Fails with kind `corrupt` where the plans disagree.
pub fn all<'a>(plans: &'a [CopyPlan<'_>]) -> Result<Vec<&'a Descriptor>> {
    Ok(once(plans)?.into_iter().map(|item| item.descriptor).collect())
}

/// Copies what `plans` say and commits their names, all at once.
///
/// Kinds: those of [`Source::open`], [`Destination::put`] and [`Destination::commit`]; `conflict` for a [claimed](CopyPlan::claimed) name that stands on another
/// image; `interrupted`. Whatever fails, no name has changed.
pub fn execute(run: &Run, plans: &[CopyPlan<'_>], destination: &dyn Destination, how: How) -> Result<Carried> {
    let asking = if how.reading == Reading::All { Asking::All } else { Asking::Above };
    match carry_out(run, plans, destination, how, asking) {
        // Something that was there when it was asked for went away before what refers to it came.
        Err(error) if error.kind() == ErrorKind::NotFound && error.failed_side() == Some(Side::Destination) && destination.presence() == Presence::Proved => {
            carry_out(run, plans, destination, how, Asking::All)
        }
        outcome => outcome,
    }
}

fn carry_out(run: &Run, plans: &[CopyPlan<'_>], destination: &dyn Destination, how: How, asking: Asking) -> Result<Carried> {
    let missing: Vec<Descriptor> = lacking(run, plans, destination, asking)?.into_iter().map(|item| item.descriptor.clone()).collect();
    let entries: Vec<Descriptor> = plans.iter().flat_map(|plan| plan.entries.iter().cloned()).collect();
    destination.announce(&missing, &entries).map_err(|error| error.side(Side::Destination))?;
    let named: HashSet<&Digest> = entries.iter().map(|entry| &entry.digest).collect();
    let proved = destination.presence() == Presence::Proved;
    let lacks: HashSet<&Digest> = missing.iter().map(|descriptor| &descriptor.digest).collect();
    let total = missing.iter().map(|descriptor| descriptor.size).fold(0, u64::saturating_add);
    let task = run.events.start(format!("copy to {}", destination.location()), Some(total));
    let execution = Execution { run, plans, destination, how, task, carried: Mutex::default() };
    let mut levels: BTreeMap<usize, Vec<Item<'_>>> = BTreeMap::new();
    for item in once(plans)? {
        let lacking = lacks.contains(&item.descriptor.digest);
        if !lacking {
            execution.count(|carried| &mut carried.present, item.descriptor);
        }
        // Documents go over in any case, so that bytes that somebody damaged are replaced; where nobody can have damaged them, only what gets a name.
        let again = if proved { named.contains(&item.descriptor.digest) } else { item.height > 0 || is_config(item.descriptor) };
        if lacking || again || how.reading == Reading::All {
            levels.entry(item.height).or_default().push(item);
        }
    }
    for (height, items) in levels {
        run.pool.waiting(items, |item| match height {
            0 if lacks.contains(&item.descriptor.digest) => execution.carry(item),
            _ => execution.put_again(item, lacks.contains(&item.descriptor.digest)),
        })?;
    }
    run.cancel.check()?;
    // Content alone becomes visible with a name that comes later.
    if !entries.is_empty() {
        let committed = match plans.iter().all(|plan| plan.claimed.is_empty()) {
            true => destination.commit(&entries),
            false => destination.commit_if(&entries, &|there| claims::check(plans, &there.manifests, &destination.location())),
        };
        committed.map_err(|error| error.side(Side::Destination))?;
    }
    Ok(execution.carried.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// All content of all plans, each digest once.
fn once<'a>(plans: &'a [CopyPlan<'_>]) -> Result<Vec<Item<'a>>> {
    let mut known: HashMap<&Digest, u64> = HashMap::new();
    let mut items = Vec::new();
    for (plan, content) in plans.iter().enumerate() {
        for (height, descriptor) in content.content() {
            match known.insert(&descriptor.digest, descriptor.size) {
                None => items.push(Item { plan, height, descriptor }),
                Some(size) if size != descriptor.size => return Err(two_sizes(&descriptor.digest, size, descriptor.size)),
                Some(_) => {}
            }
        }
    }
    Ok(items)
}

impl Execution<'_> {
    fn count(&self, which: impl FnOnce(&mut Carried) -> &mut Tally, descriptor: &Descriptor) {
        which(&mut self.carried.lock().unwrap_or_else(PoisonError::into_inner)).add(descriptor);
    }

    /// Brings one blob over.
    fn carry(&self, item: Item<'_>) -> Result<()> {
        self.run.cancel.check()?;
        let descriptor = item.descriptor;
        let source = self.plans[item.plan].overlay();
        // A config is a document: small, and relied upon.
        let sharing = self.how.sharing.filter(|_| !is_config(descriptor));
        if let Some(sharing) = sharing {
            if self.how.reading == Reading::All {
                self.read(&source, descriptor)?;
            }
            match self.destination.reuse(&source, descriptor, sharing).map_err(|error| self.cannot(error, descriptor))? {
                Some(Placed::Linked) => return self.shared(|carried| &mut carried.linked, descriptor),
                Some(Placed::Reflinked) => return self.shared(|carried| &mut carried.reflinked, descriptor),
                Some(Placed::Copied) => return self.shared(|carried| &mut carried.copied, descriptor),
                None => {}
            }
        }
        self.put(&source, descriptor).map(|put| self.count_put(put, descriptor))
    }

    fn count_put(&self, put: Put, descriptor: &Descriptor) {
        match put {
            Put::Written => self.count(|carried| &mut carried.copied, descriptor),
            Put::Taken => {
                self.task.advance(descriptor.size);
                self.count(|carried| &mut carried.taken, descriptor);
            }
        }
    }

    fn shared(&self, which: impl FnOnce(&mut Carried) -> &mut Tally, descriptor: &Descriptor) -> Result<()> {
        if self.how.reading == Reading::Copied {
            self.task.advance(descriptor.size);
        }
        self.count(which, descriptor);
        Ok(())
    }

    /// Brings over what may be there already: the destination replaces bytes that somebody damaged.
    fn put_again(&self, item: Item<'_>, lacking: bool) -> Result<()> {
        self.run.cancel.check()?;
        let put = self.put(&self.plans[item.plan].overlay(), item.descriptor)?;
        if lacking {
            self.count_put(put, item.descriptor);
        }
        Ok(())
    }

    fn put(&self, source: &dyn Source, descriptor: &Descriptor) -> Result<Put> {
        let content = Carriage { source, descriptor, task: &self.task, cancel: &self.run.cancel, farthest: AtomicU64::new(0) };
        let mut put = self.destination.put_from(descriptor, &content);
        if source.may_heal() && put.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            put = self.destination.put_from(descriptor, &content);
        }
        put.map_err(|error| self.cannot(error, descriptor))
    }

    /// Reads content to its end, which proves it.
    fn read(&self, source: &dyn Source, descriptor: &Descriptor) -> Result<()> {
        let content = source.open(descriptor).map_err(|error| self.cannot(error.side(Side::Source), descriptor))?;
        let farthest = AtomicU64::new(0);
        let mut counted = Counted { content, task: &self.task, cancel: &self.run.cancel, at: 0, farthest: &farthest };
        let mut buffer = vec![0; READ];
        loop {
            match counted.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = Error::io(format!("cannot read {}", descriptor.digest), error);
                    return Err(self.cannot(error.side(Side::Source), descriptor));
                }
            }
        }
    }

    fn cannot(&self, error: Error, descriptor: &Descriptor) -> Error {
        error.context(format!("cannot copy {} to {}", descriptor.digest, self.destination.location()))
    }
}

fn is_config(descriptor: &Descriptor) -> bool {
    Kind::of(&descriptor.media_type) == Kind::Config
}

/// What is read at once only to be hashed.
const READ: usize = 1 << 20;

/// Content on its way from a source to the destination, which may ask for it more than once.
struct Carriage<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    task: &'a Task,
    cancel: &'a Cancel,
    farthest: AtomicU64,
}

impl Content for Carriage<'_> {
    fn open(&self, start: u64) -> Result<Box<dyn Read + '_>> {
        let content = match start {
            0 => self.source.open_unproved(self.descriptor),
            _ => self.source.open_unproved_from(self.descriptor, start),
        };
        let content = content.map_err(|error| error.side(Side::Source))?;
        Ok(Box::new(Counted { content, task: self.task, cancel: self.cancel, at: start, farthest: &self.farthest }))
    }
}

/// Content that tells how far it was read, each byte once however often it is read, and ends where that is asked for.
struct Counted<'a> {
    content: Box<dyn Read + Send + 'a>,
    task: &'a Task,
    cancel: &'a Cancel,
    at: u64,
    farthest: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        let count = self.content.read(buffer)?;
        self.at += count as u64;
        let before = self.farthest.fetch_max(self.at, Ordering::Relaxed);
        self.task.advance(self.at.saturating_sub(before).min(count as u64));
        Ok(count)
    }
}
