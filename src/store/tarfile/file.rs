//! An archive in a file, written anew or added to.

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Descriptor, ImageIndex, limits, text};
use crate::store::{Destination, Options, Source, entries, header};

use super::append::{self, Target};
use super::extent::Extent;
use super::form::Form;
use super::frame;
use super::pen::{Pen, copy_verified};
use super::plan::{Fill, Plan, Slot};
use super::reading::{Reading, missing};
use super::tail::{Place, Standing};

/// An archive in a file that is written. What was put can be read at once; what others see changes with each commit.
pub(in crate::store) struct FileArchive {
    form: &'static dyn Form,
    shown: String,
    options: Options,
    place: Place,
    /// The archive as it was when it was opened; none for a new one.
    before: Option<Reading>,
    /// Held by who commits. Taken before `end`.
    visible: Mutex<Visible>,
    /// Held by who writes behind everything that has a place. Taken before `plan`.
    end: Mutex<()>,
    plan: Mutex<Plan>,
}

/// What others see.
struct Visible {
    index: ImageIndex,
    standing: Standing,
}

impl FileArchive {
    /// Opens the archive at `path` for adding to it, or begins a new one. Kinds: those of [`append::open`].
    pub(in crate::store) fn ensure(path: &Path, form: &'static dyn Form, options: &Options) -> Result<FileArchive> {
        let Target { place, standing, before } = append::open(path, form, options)?;
        let shown = text::path(path).into_owned();
        let (before, index) = match before {
            Some((before, index)) => (Some(before), index),
            None => (None, ImageIndex::new(Vec::new())),
        };
        let plan = match (&standing, &before) {
            (Standing::There(_, tail), Some(before)) => Plan::from(tail.end, before.members.directories()),
            _ => {
                let full = place.path();
                let mut pen = Pen::new(&place.file, &full, &options.cancel, 0);
                pen.write(&frame::whole(header::NAME.as_bytes(), header::BYTES)?)?;
                Plan::from(pen.at(), std::iter::empty())
            }
        };
        let visible = Mutex::new(Visible { index, standing });
        Ok(FileArchive { form, shown, options: options.clone(), place, before, visible, end: Mutex::default(), plan: Mutex::new(plan) })
    }

    /// Where content stands that was put through this and proved.
    fn written(&self, descriptor: &Descriptor) -> Result<Option<Extent>> {
        let Some(slot) = lock(&self.plan).slot(descriptor)? else { return Ok(None) };
        let fill = *lock(&slot.state);
        Ok((fill == Fill::Written).then_some(slot.content))
    }

    /// Brings content to its place, unless somebody else has.
    fn fill(&self, slot: &Slot, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let mut state = lock(&slot.state);
        if *state == Fill::Written {
            return Ok(());
        }
        // Before the first byte: an unknown digest must not be tried.
        let headers = slot.headers(&descriptor.digest)?;
        let path = self.place.path();
        let mut pen = Pen::new(&self.place.file, &path, &self.options.cancel, slot.begin);
        pen.write(&headers)?;
        copy_verified(descriptor, content, |bytes| pen.write(bytes))?;
        pen.write(&vec![0; frame::padding(descriptor.size)])?;
        *state = Fill::Written;
        Ok(())
    }

    /// Puts content behind everything that has a place. One at a time: where the next begins is known when this is proved.
    fn put_behind(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let _end = lock(&self.end);
        let (given, proposed) = {
            let plan = lock(&self.plan);
            (plan.slot(descriptor)?, plan.propose(descriptor)?)
        };
        match given {
            Some(slot) => self.fill(&slot, descriptor, content),
            None => {
                self.fill(&proposed, descriptor, content)?;
                lock(&self.plan).take(&descriptor.digest, proposed);
                Ok(())
            }
        }
    }

    /// The archive as it was before, where it has something under this digest, right or wrong: it cannot be there twice.
    fn earlier(&self, descriptor: &Descriptor) -> Result<Option<&Reading>> {
        let Some(before) = &self.before else { return Ok(None) };
        Ok(before.members.blob(&descriptor.digest)?.map(|_| before))
    }

    /// Proves content that was in the archive before.
    fn prove(&self, before: &Reading, descriptor: &Descriptor) -> Result<()> {
        let proved = before.open_blob(descriptor).and_then(|mut content| content.drain());
        proved.map_err(|error| error.context(format!("archive {} cannot be added to", self.shown)).hint("write the images into a new archive"))
    }

    /// Asks the file system for the room that content needs, so that a full disk shows before anything is read.
    fn reserve(&self, from: u64, to: u64) -> Result<()> {
        if to <= from {
            return Ok(());
        }
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.place.file, FallocateFlags::KEEP_SIZE, from, to - from)) {
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                Err(Error::io(format!("cannot write {}: it needs {} bytes more", self.shown, to - from), error).subject(&self.shown))
            }
            // Not every file system can; then writing finds out.
            _ => Ok(()),
        }
    }
}

impl Source for FileArchive {
    fn location(&self) -> String {
        format!("{}:{}", self.form.scheme(), self.shown)
    }

    fn index(&self) -> Result<ImageIndex> {
        Ok(lock(&self.visible).index.clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match (self.written(descriptor)?, &self.before) {
            (Some(extent), _) => Ok(Box::new(extent.open(&self.place.file, descriptor)?)),
            (None, Some(before)) => Ok(Box::new(before.open_blob(descriptor)?)),
            (None, None) => Err(missing(&descriptor.digest, &self.shown)),
        }
    }
}

impl Destination for FileArchive {
    fn location(&self) -> String {
        Source::location(self)
    }

    fn announce(&self, content: &[Descriptor], _: &[Descriptor]) -> Result<()> {
        let _end = lock(&self.end);
        let mut plan = lock(&self.plan);
        let from = plan.next();
        let mut extended = plan.clone();
        for descriptor in content {
            if self.earlier(descriptor)?.is_none() && extended.slot(descriptor)?.is_none() {
                let slot = extended.propose(descriptor)?;
                extended.take(&descriptor.digest, slot);
            }
        }
        self.reserve(from, extended.next())?;
        *plan = extended;
        Ok(())
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        match self.written(descriptor) {
            Ok(Some(_)) => Ok(true),
            Ok(None) => self.before.as_ref().map_or(Ok(false), |before| before.has(descriptor)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        if let Some(before) = self.earlier(descriptor)? {
            return self.prove(before, descriptor);
        }
        let slot = lock(&self.plan).slot(descriptor)?;
        match slot {
            Some(slot) => self.fill(&slot, descriptor, content),
            None => self.put_behind(descriptor, content),
        }
    }

    fn commit(&self, new: &[Descriptor]) -> Result<()> {
        self.commit_if(new, &|_| Ok(()))
    }

    fn commit_if(&self, new: &[Descriptor], condition: &dyn Fn(&ImageIndex) -> Result<()>) -> Result<()> {
        let mut visible = lock(&self.visible);
        let _end = lock(&self.end);
        let at = {
            let plan = lock(&self.plan);
            if let Some(digest) = plan.awaited() {
                return Err(Error::not_found(format!("{digest} was announced for {} and not put", self.shown)).subject(digest));
            }
            plan.next()
        };
        let mut index = visible.index.clone();
        condition(&index)?;
        entries::enter(&mut index, new);
        if let Standing::There(_, tail) = &visible.standing
            && index == visible.index
            && at == tail.end
        {
            return Ok(());
        }
        let contents = self.form.write(&index, &|descriptor| self.read(descriptor, limits::MANIFEST_BYTES), &self.options.events)?;
        let documents: Vec<(&str, Vec<u8>)> = self.form.documents().iter().copied().zip(contents).collect();
        // Whatever fails from here on, nobody knows what is in the file.
        let standing = std::mem::replace(&mut visible.standing, Standing::Broken);
        let carried = match &standing {
            Standing::There(_, tail) => &tail.carried[..],
            _ => &[],
        };
        let tail = self.place.write_tail(at, carried, &documents, &self.options.cancel)?;
        let end = tail.end;
        visible.standing = self.place.appear(standing, tail, &self.options)?;
        visible.index = index;
        lock(&self.plan).resume(end);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
