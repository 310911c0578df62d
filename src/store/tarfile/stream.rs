//! An archive that goes to stdout: the same bytes as in a file, each piece of content in its turn.
//!
//! Who puts content before its turn waits while the one whose turn it is writes. Where nobody does, because that content was not begun and is not for
//! [`PATIENCE`], the content is kept in a file without a name and written when its turn comes: nobody waits for what may never come, and memory does not depend
//! on sizes.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};
use crate::fsio::{Dir, durable};
use crate::spec::{Descriptor, ImageIndex, Kind, limits};
use crate::store::{Destination, Options, entries, header};

use super::form::Form;
use super::frame;
use super::input::STREAM;
use super::pen::{Pen, copy_verified};
use super::queue::{Queue, State, Step};

/// How long content that nobody began is waited for. Of threads that take it in turn a later one may be here first, and what it has may be large.
const PATIENCE: Duration = Duration::from_secs(2);

/// An archive on its way to stdout.
pub(in crate::store) struct StreamArchive {
    form: &'static dyn Form,
    options: Options,
    out: Arc<File>,
    queue: Mutex<Queue>,
    moved: Condvar,
    /// For content that is kept until its turn.
    spool: OnceLock<Arc<File>>,
}

impl StreamArchive {
    /// An archive to stdout, to which nothing was written yet. Fails with kind `usage` where there is no stdout for archives.
    pub(in crate::store) fn new(form: &'static dyn Form, options: &Options) -> Result<StreamArchive> {
        let Some(out) = options.stdout.clone() else {
            return Err(Error::usage("an archive is not written to a terminal").hint("redirect stdout into a file or a pipe, or name a file"));
        };
        let first = frame::whole(header::NAME.as_bytes(), header::BYTES)?;
        let queue = Mutex::new(Queue::behind(first.len() as u64));
        Ok(StreamArchive { form, options: options.clone(), out, queue, moved: Condvar::new(), spool: OnceLock::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.moved.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes content in hand and waits until it is clear what to do with it; none where it is there already.
    fn begin(&self, descriptor: &Descriptor) -> Result<Option<(usize, Step)>> {
        let mut queue = self.lock();
        let at = loop {
            queue.check()?;
            let at = queue.position(descriptor)?;
            match queue.state(at) {
                State::Awaited => break at,
                State::Active => queue = self.wait(queue),
                State::Kept(_) | State::Written(_) => return Ok(None),
            }
        };
        queue.set(at, State::Active);
        self.moved.notify_all();
        // What the last documents are made from must be read again.
        if self.form.reads_documents() && matches!(Kind::of(&descriptor.media_type), Kind::Index | Kind::Manifest) {
            return Ok(Some((at, Step::Keep)));
        }
        loop {
            queue.check()?;
            match queue.step(at) {
                Step::Wait => queue = self.wait(queue),
                Step::Keep if !queue.is_given_up() => {
                    let (held, waited) = self.moved.wait_timeout(queue, PATIENCE).unwrap_or_else(PoisonError::into_inner);
                    queue = held;
                    if waited.timed_out() {
                        queue.give_up();
                    }
                }
                step => return Ok(Some((at, step))),
            }
        }
    }

    /// Writes content whose turn it is.
    fn send(&self, at: usize, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let headers = self.lock().headers(at)?;
        let sent = self.emit_first(at).and_then(|()| {
            self.emit(&headers)?;
            copy_verified(descriptor, content, |bytes| self.emit(bytes))?;
            self.emit(&vec![0; frame::padding(descriptor.size)])
        });
        self.settle(at, sent.map(|()| State::Written(None)))
    }

    /// Keeps content until its turn comes.
    fn keep(&self, at: usize, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let kept = self.spool().and_then(|spool| {
            let extent = self.lock().keep(descriptor.size);
            let mut pen = Pen::new(spool, &self.options.temporary, &self.options.cancel, extent.offset);
            copy_verified(descriptor, content, |bytes| pen.write(bytes))?;
            Ok(extent)
        });
        match kept {
            Ok(extent) => {
                self.lock().set(at, State::Kept(extent));
                self.advance()
            }
            Err(error) => {
                // It may be tried again.
                self.lock().set(at, State::Awaited);
                self.moved.notify_all();
                Err(error.hint("give a directory with more room in TMPDIR"))
            }
        }
    }

    /// Writes what was kept for as long as it is its turn.
    fn advance(&self) -> Result<()> {
        loop {
            let mut queue = self.lock();
            queue.check()?;
            let Some((at, extent)) = queue.kept() else {
                self.moved.notify_all();
                return Ok(());
            };
            queue.set(at, State::Active);
            let headers = queue.headers(at)?;
            drop(queue);
            let sent = self.emit_first(at).and_then(|()| {
                self.emit(&headers)?;
                let mut content = extent.read(self.spool()?);
                let mut buffer = vec![0; 1 << 20];
                loop {
                    match content.read(&mut buffer).at("read", &self.options.temporary)? {
                        0 => break,
                        count => self.emit(&buffer[..count])?,
                    }
                }
                self.emit(&vec![0; frame::padding(extent.size)])
            });
            let written = sent.map(|()| State::Written(Some(extent)));
            self.lock().settle(at, written)?;
        }
    }

    /// Ends the turn of content that was sent, or all turns where that failed.
    fn settle(&self, at: usize, outcome: Result<State>) -> Result<()> {
        let settled = self.lock().settle(at, outcome);
        self.moved.notify_all();
        settled.and_then(|()| self.advance())
    }

    /// Writes what stands before the first content.
    fn emit_first(&self, at: usize) -> Result<()> {
        if at > 0 { Ok(()) } else { self.emit(&frame::whole(header::NAME.as_bytes(), header::BYTES)?) }
    }

    fn emit(&self, bytes: &[u8]) -> Result<()> {
        self.options.cancel.check()?;
        self.out.as_ref().write_all(bytes).at("write to", Path::new("stdout"))
    }

    fn spool(&self) -> Result<&Arc<File>> {
        if let Some(spool) = self.spool.get() {
            return Ok(spool);
        }
        let file = durable::scratch_file(&Arc::new(Dir::open(&self.options.temporary)?))?;
        Ok(self.spool.get_or_init(|| Arc::new(file)))
    }

    /// Reads a document that was kept.
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let extent = self.lock().written(&descriptor.digest).ok_or_else(|| super::reading::missing(&descriptor.digest, STREAM))?;
        extent.open(self.spool()?, descriptor)?.read_to_vec(limits::MANIFEST_BYTES)
    }

    fn finish(&self, count: usize, index: &ImageIndex) -> Result<()> {
        let contents = self.form.write(index, &|descriptor| self.read(descriptor), &self.options.events)?;
        if count == 0 {
            self.emit_first(0)?;
        }
        for (name, content) in self.form.documents().iter().zip(contents) {
            self.emit(&frame::whole(name.as_bytes(), &content)?)?;
        }
        self.emit(&[0; frame::END])?;
        match rustix::io::retry_on_intr(|| rustix::fs::fsync(&self.out)) {
            // Pipes and devices know nothing of disks.
            Ok(()) | Err(Errno::INVAL | Errno::ROFS | Errno::NOTSUP | Errno::BADF) => Ok(()),
            Err(error) => Err(error).at("bring to the disk", Path::new("stdout")),
        }
    }
}

impl Destination for StreamArchive {
    fn location(&self) -> String {
        format!("{}:{STREAM}", self.form.scheme())
    }

    fn announce(&self, content: &[Descriptor], _: &[Descriptor]) -> Result<()> {
        let mut queue = self.lock();
        queue.check()?;
        content.iter().try_for_each(|descriptor| queue.position(descriptor).map(drop))
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.lock().is_there(descriptor))
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        // Before anything is written: an unknown digest cannot be proved.
        descriptor.digest.algorithm().hasher()?;
        match self.begin(descriptor)? {
            None => Ok(()),
            Some((at, Step::Keep)) => self.keep(at, descriptor, content),
            Some((at, Step::Send | Step::Wait)) => self.send(at, descriptor, content),
        }
    }

    fn commit(&self, new: &[Descriptor]) -> Result<()> {
        self.commit_if(new, &|_| Ok(()))
    }

    fn commit_if(&self, new: &[Descriptor], condition: &dyn Fn(&ImageIndex) -> Result<()>) -> Result<()> {
        let mut index = ImageIndex::new(Vec::new());
        condition(&index)?;
        entries::enter(&mut index, new);
        let count = self.lock().close()?;
        let finished = self.finish(count, &index);
        if finished.is_err() {
            self.lock().fail();
        }
        finished
    }
}
