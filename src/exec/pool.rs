//! Threads: the only file that names rayon or starts a thread.
//!
//! Four shapes of parallel work, each of which returns results in the order of its input, so that thread count and timing
//! never show in what an operation makes:
//!
//! * [`Pool::try_map`]: many independent pieces of computing.
//! * [`Pool::concurrently`]: a few operations that block or use the pool themselves.
//! * [`Pool::pipeline`]: one ordered stream of items, transformed in parallel, in bounded memory.
//! * [`Pool::read_ahead`]: several streams of bytes read one after the other, and filled ahead in parallel, in bounded memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Cancel, ahead};

/// The threads of a process and the memory that bounds what is in flight in all pipelines together.
pub struct Pool {
    threads: rayon::ThreadPool,
    jobs: NonZeroUsize,
    memory: Memory,
    /// What an item takes of the memory at least, in bytes.
    least: usize,
}

/// Pipelines that run at the same time share the threads; more of them only cost memory.
const MAX_CONCURRENT: usize = 8;

/// Operations that wait leave the processor to others.
const WAITING_PER_JOB: usize = 4;

/// Bytes of items in flight in all pipelines, however many workers there are. What they become is in memory as well, at most as large again.
const IN_FLIGHT: usize = 96 << 20;

impl Pool {
    /// A pool of `jobs` worker threads. Fails with kind `io` when they cannot be started.
    pub fn new(jobs: NonZeroUsize) -> Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).thread_name(|index| format!("larder-{index}")).build().map_err(|error| {
            Error::new(ErrorKind::Io, format!("cannot start {jobs} worker threads")).because(error).hint("lower --jobs or raise the process limit")
        })?;
        // Each worker holds one item, one more waits for it, and a few are with the ordered stages: more would only cost memory.
        let least = IN_FLIGHT / (2 * jobs.get() + 4);
        Ok(Pool { threads, jobs, memory: Memory::new(IN_FLIGHT), least })
    }

    /// How many threads run at once here: cores, affinity and control groups considered. One where that cannot be found out.
    pub fn available() -> NonZeroUsize {
        thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// The number of worker threads.
    pub fn jobs(&self) -> NonZeroUsize {
        self.jobs
    }

    /// Applies `f` to every item on the workers. Returns the results in item order, or the first error in item order;
    /// after an error no later item is begun. Called on a worker it runs there, one item after the other.
    pub fn try_map<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
        if self.threads.current_thread_index().is_some() || items.len() < 2 {
            return items.into_iter().map(f).collect();
        }
        let failed = AtomicUsize::new(usize::MAX);
        let mut slots: Vec<Option<Result<R>>> = items.iter().map(|_| None).collect();
        self.threads.in_place_scope(|scope| {
            for (index, (item, slot)) in items.into_iter().zip(slots.iter_mut()).enumerate() {
                let (f, failed) = (&f, &failed);
                scope.spawn(move |_| {
                    if index < failed.load(Ordering::Relaxed) {
                        let result = f(item);
                        if result.is_err() {
                            failed.fetch_min(index, Ordering::Relaxed);
                        }
                        *slot = Some(result);
                    }
                });
            }
        });
        // Slots after the first failure may be empty; `collect` stops before it looks at them.
        slots.into_iter().map(|slot| slot.unwrap_or_else(|| Err(Error::interrupted()))).collect()
    }

    /// Runs `f` on every item, several at once, each on a thread of its own, so that `f` may block or use the pool.
    /// Results and errors as in [`Pool::try_map`].
    pub fn concurrently<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
        self.in_lanes(self.jobs.get(), items, f)
    }

    /// As [`Pool::concurrently`], for operations that mostly wait for a disk: a file system brings many small files to the disk in the time of a few.
    pub fn waiting<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
        self.in_lanes(WAITING_PER_JOB * self.jobs.get(), items, f)
    }

    fn in_lanes<T: Send, R: Send>(&self, most: usize, items: Vec<T>, f: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
        let lanes = items.len().min(most).min(MAX_CONCURRENT);
        if lanes < 2 {
            return items.into_iter().map(f).collect();
        }
        let failed = AtomicUsize::new(usize::MAX);
        let results: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
        let queue = Mutex::new(items.into_iter().enumerate());
        let lane = || {
            loop {
                let next = lock(&queue).next();
                let Some((index, item)) = next else { return };
                if index < failed.load(Ordering::Relaxed) {
                    let result = f(item);
                    if result.is_err() {
                        failed.fetch_min(index, Ordering::Relaxed);
                    }
                    *lock(&results[index]) = Some(result);
                }
            }
        };
        thread::scope(|scope| -> Result<()> {
            for _ in 1..lanes {
                spawn(scope, "larder-lane", lane)?;
            }
            lane();
            Ok(())
        })?;
        results.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(|| Err(Error::interrupted()))).collect()
    }

    /// Moves a stream of items through the workers in bounded memory.
    ///
    /// `produce` makes the items on the calling thread, `None` ends the stream. Every item is shown to `inspect` in order,
    /// transformed by `transform` on the workers in any order, and its result handed to `consume` in order; these two have threads of their own.
    /// No item is longer than `longest` bytes; what is in flight in all pipelines of the pool together takes no more memory than a fixed number of
    /// bytes, and one item where that alone takes more. The first failure ends all stages.
    pub fn pipeline<T: Send + Sync, R: Send>(
        &self,
        cancel: &Cancel,
        longest: usize,
        mut produce: impl FnMut() -> Result<Option<T>>,
        mut inspect: impl FnMut(&T) + Send,
        transform: impl Fn(&T) -> Result<R> + Sync,
        mut consume: impl FnMut(R) -> Result<()> + Send,
    ) -> Result<()> {
        let abort = AtomicBool::new(false);
        let (raw_in, raw_out) = mpsc::channel::<(Arc<T>, Arc<Share<'_>>)>();
        let (done_in, done_out) = mpsc::channel::<(u64, Arc<Share<'_>>, Result<R>)>();
        thread::scope(|scope| {
            let (abort, transform) = (&abort, &transform);
            let inspector = spawn(scope, "larder-inspect", move || {
                for (item, _share) in raw_out {
                    if !abort.load(Ordering::Relaxed) {
                        inspect(&item);
                    }
                }
            })?;
            let consumer = spawn(scope, "larder-consume", move || {
                let mut outcome = Ok(());
                let mut waiting = BTreeMap::new();
                let mut next = 0;
                for (sequence, share, result) in done_out {
                    waiting.insert(sequence, (share, result));
                    while let Some((_share, result)) = waiting.remove(&next) {
                        next += 1;
                        if outcome.is_ok() {
                            outcome = result.and_then(&mut consume);
                            if outcome.is_err() {
                                abort.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
                outcome
            })?;
            let produced = self.threads.in_place_scope(|workers| -> Result<()> {
                // Both channels end when these go.
                let (raw_in, done_in) = (raw_in, done_in);
                for sequence in 0.. {
                    cancel.check()?;
                    let share = Arc::new(self.memory.take(longest.max(self.least)));
                    if abort.load(Ordering::Relaxed) {
                        break;
                    }
                    let Some(item) = produce()? else { break };
                    let item = Arc::new(item);
                    let _ = raw_in.send((item.clone(), share.clone()));
                    let done_in = done_in.clone();
                    workers.spawn(move |_| {
                        let result = if abort.load(Ordering::Relaxed) { Err(Error::interrupted()) } else { transform(&item) };
                        drop(item);
                        let _ = done_in.send((sequence, share, result));
                    });
                }
                Ok(())
            });
            if produced.is_err() {
                abort.store(true, Ordering::Relaxed);
            }
            let consumed = consumer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            inspector.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            produced.and(consumed)
        })
    }

    /// Reads several streams one after the other on the calling thread. With more than one worker, threads of their own open the streams in order and fill this one
    /// and the next ones ahead; `open` may take its time and use no pool.
    ///
    /// `consume` receives the position of a stream and the stream; where it breaks, or fails, the others are not read. A failure of `open` is what reading its
    /// stream fails with.
    pub fn read_ahead<'a, S: Send>(
        &self,
        streams: Vec<S>,
        open: impl Fn(S) -> Result<Box<dyn Read + Send + 'a>> + Sync,
        mut consume: impl FnMut(usize, &mut dyn Read) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if self.jobs.get() == 1 {
            for (position, stream) in streams.into_iter().enumerate() {
                if consume(position, &mut *open(stream)?)?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let lanes = streams.len().min(self.jobs.get()).min(MAX_CONCURRENT);
        let (feeds, readers): (Vec<_>, Vec<_>) = streams.iter().map(|_| ahead::stream()).unzip();
        let queue = Mutex::new(streams.into_iter().zip(feeds));
        // A stream is begun only when an earlier one has been read, so that memory does not grow with their number.
        let (permit, permits) = mpsc::channel();
        let permits = Mutex::new(permits);
        thread::scope(|scope| {
            for _ in 0..lanes {
                spawn(scope, "larder-ahead", || {
                    while lock(&permits).recv().is_ok() {
                        let next = lock(&queue).next();
                        let Some((stream, feed)) = next else { return };
                        match open(stream) {
                            Ok(reader) => feed.fill(reader),
                            Err(error) => feed.fail(error.into()),
                        }
                    }
                })?;
            }
            // Once this thread is through, the permits and the readers that are left are gone, and every lane comes to its end.
            let permit = permit;
            (0..lanes).for_each(|_| allow(&permit));
            for (position, mut reader) in readers.into_iter().enumerate() {
                if consume(position, &mut reader)?.is_break() {
                    break;
                }
                allow(&permit);
            }
            Ok(())
        })
    }
}

/// Runs `f` on a thread of its own and waits for it: what `f` does to its thread, such as leaving the name spaces of the process, ends with it.
pub fn apart<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| Ok(spawn(scope, "larder-apart", f)?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
}

/// Runs `start` on a thread of its own, which lives on while `then` works with the result on this one: for what is bound to the thread that it began on.
pub fn beside<S: Send, T>(start: impl FnOnce() -> Result<S> + Send, then: impl FnOnce(S) -> Result<T>) -> Result<T> {
    thread::scope(|scope| {
        let (started_in, started_out) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        spawn(scope, "larder-beside", move || {
            if started_in.send(start()).is_ok() {
                // Fails once the other end is gone, which is when this thread is to end.
                let _ = ends.recv();
            }
        })?;
        let _end = end;
        // Without a result `start` has panicked, and so does the scope.
        started_out.recv().unwrap_or_else(|_| Err(Error::interrupted())).and_then(then)
    })
}

/// Runs `f` on a thread that nobody waits for: for what goes on for as long as the process does one thing.
pub fn detach(name: &str, f: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(f);
    started.map(drop).map_err(|error| Error::io("cannot start a thread", error))
}

/// Lets one more stream begin. Nobody is there to begin it where all have been.
fn allow(permit: &mpsc::Sender<()>) {
    let _ = permit.send(());
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body).map_err(|error| Error::io("cannot start a thread", error))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that may be used.
struct Memory {
    all: usize,
    free: Mutex<usize>,
    returned: Condvar,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        Memory { all: bytes, free: Mutex::new(bytes), returned: Condvar::new() }
    }

    /// Waits until so many bytes are free, or all where that is less.
    fn take(&self, bytes: usize) -> Share<'_> {
        let bytes = bytes.min(self.all);
        let mut free = self.returned.wait_while(lock(&self.free), |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Share { of: self, bytes }
    }
}

/// Some of the bytes; dropping it gives them back.
struct Share<'a> {
    of: &'a Memory,
    bytes: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *lock(&self.of.free) += self.bytes;
        // Those who wait may want different numbers of bytes.
        self.of.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(jobs: usize) -> Pool {
        Pool::new(NonZeroUsize::new(jobs).expect("not zero")).expect("threads start")
    }

    #[test]
    fn try_map_keeps_order_and_returns_the_first_error_in_item_order() {
        for jobs in [1, 2, 16] {
            let pool = pool(jobs);
            assert_eq!(pool.try_map((0..100).collect(), |n: u32| Ok(n * 2)).expect("no error"), (0..100).map(|n| n * 2).collect::<Vec<_>>());
            let error = pool.try_map((0..100).collect(), |n: u32| if n % 10 == 7 { Err(Error::corrupt(n.to_string())) } else { Ok(n) }).expect_err("some fail");
            assert_eq!(error.message(), "7");
        }
    }

    #[test]
    fn try_map_on_a_worker_does_not_deadlock() {
        let pool = pool(1);
        let sums = pool.try_map(vec![1, 2], |n| Ok(pool.try_map(vec![n, n], Ok)?.iter().sum::<i32>())).expect("no error");
        assert_eq!(sums, [2, 4]);
    }

    #[test]
    fn concurrently_keeps_order_and_may_use_the_pool() {
        let pool = pool(3);
        let out = pool.concurrently((0..20).collect(), |n: u32| pool.try_map(vec![n, n + 1], Ok)).expect("no error");
        assert_eq!(out[19], [19, 20]);
        let error = pool.concurrently((0..20).collect(), |n: u32| if n >= 5 { Err(Error::corrupt(n.to_string())) } else { Ok(n) }).expect_err("fails");
        assert_eq!(error.message(), "5");
    }

    #[test]
    fn pipeline_shows_and_consumes_in_order_whatever_the_thread_count() {
        for jobs in [1, 2, 16] {
            let pool = pool(jobs);
            let (mut n, mut seen, mut out) = (0, Vec::new(), Vec::new());
            pool.pipeline(
                &Cancel::default(),
                1,
                || {
                    n += 1;
                    Ok((n <= 500).then_some(n))
                },
                |item: &u32| seen.push(*item),
                |item| Ok(item * 3),
                |result| {
                    out.push(result);
                    Ok(())
                },
            )
            .expect("no error");
            assert_eq!(seen, (1..=500).collect::<Vec<_>>());
            assert_eq!(out, (1..=500).map(|n| n * 3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn pipeline_ends_at_a_failure_of_any_stage() {
        let pool = pool(2);
        let run = |fail_produce: u32, fail_transform: u32, fail_consume: u32| {
            let mut n = 0;
            let outcome = pool.pipeline(
                &Cancel::default(),
                1,
                || {
                    n += 1;
                    if n == fail_produce { Err(Error::corrupt("produce")) } else { Ok(Some(n)) }
                },
                |_| {},
                |item: &u32| if *item == fail_transform { Err(Error::corrupt("transform")) } else { Ok(*item) },
                |result| if result == fail_consume { Err(Error::corrupt("consume")) } else { Ok(()) },
            );
            outcome.expect_err("endless unless it fails").message().to_owned()
        };
        assert_eq!(run(50, 0, 0), "produce");
        assert_eq!(run(0, 50, 0), "transform");
        assert_eq!(run(0, 0, 50), "consume");
    }

    #[test]
    fn pipelines_share_memory_without_deadlock() {
        let pool = pool(2);
        pool.concurrently((0..6).collect(), |_: u32| {
            let mut n = 0;
            pool.pipeline(
                &Cancel::default(),
                1,
                || {
                    n += 1;
                    Ok((n < 200).then_some(n))
                },
                |_| {},
                |item: &u32| Ok(*item),
                |_| Ok(()),
            )
        })
        .expect("no error");
    }

    #[test]
    fn what_is_in_flight_is_bounded_by_workers_and_by_bytes() {
        // Jobs, bytes of an item, and how many may be in flight then.
        for (jobs, longest, most) in [(1, 1, 6), (4, 1 << 20, 12), (64, 4 << 20, 24), (64, IN_FLIGHT * 2, 1)] {
            let pool = pool(jobs);
            let made = AtomicUsize::new(0);
            let mut first = true;
            pool.pipeline(
                &Cancel::default(),
                longest,
                || {
                    let now = made.fetch_add(1, Ordering::SeqCst) + 1;
                    Ok((now <= 100).then_some(now))
                },
                |_| {},
                |item: &usize| Ok(*item),
                |_| {
                    let pause = || thread::sleep(std::time::Duration::from_millis(1));
                    if std::mem::take(&mut first) {
                        // Nothing is given back while this waits for all that may be made, and then for one too many.
                        (0..60_000).take_while(|_| made.load(Ordering::SeqCst) < most).for_each(|_| pause());
                        (0..20).for_each(|_| pause());
                        assert_eq!(made.load(Ordering::SeqCst), most, "{jobs} jobs, {longest} bytes");
                    }
                    Ok(())
                },
            )
            .expect("no error");
        }
    }

    #[test]
    fn read_ahead_reads_streams_in_order_and_opens_few_ahead() {
        for jobs in [1, 2, 16] {
            let opened = AtomicUsize::new(0);
            let mut read = Vec::new();
            let open = |n: u8| {
                opened.fetch_add(1, Ordering::Relaxed);
                Ok(Box::new(std::io::repeat(n).take(1_000_000)) as Box<dyn Read + Send>)
            };
            let outcome = pool(jobs).read_ahead((0..100).collect(), open, |position, reader| {
                let mut bytes = Vec::new();
                // The third is left in the middle.
                reader.take(if position == 2 { 10 } else { u64::MAX }).read_to_end(&mut bytes).expect("whole");
                assert!(bytes.iter().all(|byte| usize::from(*byte) == position));
                read.push(bytes.len());
                Ok(if position == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            });
            outcome.expect("no error");
            assert_eq!(read, [1_000_000, 1_000_000, 10, 1_000_000, 1_000_000]);
            assert!(opened.into_inner() <= 4 + jobs.min(MAX_CONCURRENT), "no more than one for each lane ahead");
        }
    }

    #[test]
    fn read_ahead_ends_at_a_failure_of_either_side() {
        for jobs in [1, 2, 16] {
            let open = |n: u32| {
                if n == 3 { Err(Error::corrupt("open")) } else { Ok(Box::new(std::io::repeat(0).take(50_000_000)) as Box<dyn Read + Send>) }
            };
            let drain = |reader: &mut dyn Read| std::io::copy(reader, &mut std::io::sink()).map_err(|error| Error::io("read", error));
            let error = pool(jobs).read_ahead((0..6).collect(), open, |_, reader| drain(reader).map(|_| ControlFlow::Continue(()))).expect_err("fails");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let error = pool(jobs).read_ahead((0..3).collect(), open, |_, _| Err(Error::conflict("consume"))).expect_err("fails");
            assert_eq!(error.message(), "consume");
        }
    }

    #[test]
    fn a_cancelled_pipeline_is_interrupted() {
        let cancel = Cancel::default();
        let mut n = 0;
        let error = pool(2)
            .pipeline(
                &cancel,
                1,
                || {
                    n += 1;
                    if n == 10 {
                        cancel.cancel();
                    }
                    Ok(Some(n))
                },
                |_| {},
                |item: &u32| Ok(*item),
                |_| Ok(()),
            )
            .expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn what_is_done_to_a_thread_apart_ends_with_it() {
        let name = || thread::current().name().map(str::to_owned);
        assert_eq!(apart(name).expect("a thread"), Some("larder-apart".to_owned()));
        assert_ne!(name(), Some("larder-apart".to_owned()));
    }

    #[test]
    fn a_thread_beside_lives_for_as_long_as_its_result_is_worked_with() {
        struct Alive<'a>(&'a AtomicBool);
        impl Drop for Alive<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::SeqCst);
            }
        }
        thread_local!(static KEPT: std::cell::RefCell<Option<Alive<'static>>> = const { std::cell::RefCell::new(None) });
        static ALIVE: AtomicBool = AtomicBool::new(true);
        let here = thread::current().id();
        let start = || {
            // Dropped when its thread ends.
            KEPT.with(|kept| *kept.borrow_mut() = Some(Alive(&ALIVE)));
            Ok(thread::current().id())
        };
        let worked = beside(start, |there| {
            assert!(there != here && thread::current().id() == here);
            thread::sleep(std::time::Duration::from_millis(20));
            Ok(ALIVE.load(Ordering::SeqCst))
        });
        assert!(worked.expect("no failure"));
        // What a thread keeps for itself goes a moment after its work is done.
        (0..5000).take_while(|_| ALIVE.load(Ordering::SeqCst)).for_each(|_| thread::sleep(std::time::Duration::from_millis(1)));
        assert!(!ALIVE.load(Ordering::SeqCst));
        assert_eq!(beside(|| Err::<(), _>(Error::corrupt("no start")), |()| Ok(())).expect_err("failed").message(), "no start");
    }
}
