//! The layers of an image, read as entries one layer after the other, each of them proved.
//!
//! While one layer is read, it and the next ones are decompressed on other threads, in bounded memory. Whatever a caller reads may be wrong until
//! [`Stack::read`] has returned, or has gone on to the next layer: size and digest of the blob and the diff ID of the tar are known only at its end.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::changeset::Item;
use super::chunk::Cutter;
use super::codec::Codec;
use super::diff_id::{self, DiffIdReader};
use super::stream::{Chunks, Items, Rendered};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Events, Run, Silent, Task, Watched};
use crate::fsio::Mismatch;
use crate::spec::{Algorithm, Compression, Descriptor, DiffId, Kind, text};
use crate::store::Source;
use crate::tar::{self, decode};

/// A layer as its entries.
pub type Entries<'a> = tar::Reader<DiffIdReader<&'a mut dyn Read>>;

/// Some layers of an image, those that are in a store and those that are yet to be made.
pub struct Stack<'a> {
    run: &'a Run,
    source: &'a dyn Source,
    layers: Vec<Stacked<'a>>,
}

/// One layer.
#[derive(Clone, Copy, Debug)]
enum Stacked<'a> {
    /// It is in the store, and this is what it must be.
    Stored { descriptor: &'a Descriptor, compression: Compression, diff_id: &'a DiffId },
    /// It is to be made of these.
    New(&'a [Item]),
}

impl<'a> Stack<'a> {
    /// The layers of an image in `source`, in the order in which they are to be read.
    ///
    /// Fails with kind `unsupported` for what is not a layer that can be read: artifacts, encrypted layers, diff IDs that cannot be computed.
    pub fn new(run: &'a Run, source: &'a dyn Source, layers: impl IntoIterator<Item = (&'a Descriptor, &'a DiffId)>) -> Result<Self> {
        let layers = layers.into_iter().map(|(descriptor, diff_id)| Stacked::new(descriptor, diff_id)).collect::<Result<_>>()?;
        Ok(Stack { run, source, layers })
    }

    /// Puts a layer on top that is to be made of `items`, which are in order. It is not made for this; its entries are those that it would have.
    pub fn push_new(&mut self, items: &'a [Item]) {
        self.layers.push(Stacked::New(items));
    }

    /// Bytes of all layers as they are stored.
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size()))
    }

    /// Bytes of one layer as it is stored.
    pub fn size_of(&self, position: usize) -> u64 {
        self.layers[position].size()
    }

    /// What the layer at a position is in the store; none for one that is yet to be made.
    pub fn descriptor(&self, position: usize) -> Option<&'a Descriptor> {
        match self.layers[position] {
            Stacked::Stored { descriptor, .. } => Some(descriptor),
            Stacked::New(_) => None,
        }
    }

    /// Shows each layer to `visit`, with its position. What `visit` leaves unread is read after it, so that every layer that was shown is proved. Where `visit`
    /// breaks, that is the last one. `task` is told of stored bytes.
    ///
    /// Kinds: `corrupt` for damage, which the error tells from whatever follows from it; those of [`tar::Reader::next_entry`], [`decode::decoder`] and
    /// [`Source::open`]; those of `visit`.
    pub fn read(&self, task: &Task, mut visit: impl FnMut(usize, &mut Entries<'_>) -> Result<ControlFlow<()>>) -> Result<()> {
        self.run.pool.read_ahead(
            (0..self.layers.len()).collect(),
            |position| self.open_tar(position, task),
            |position, reader| {
                let mut entries = tar::Reader::new(DiffIdReader::new(reader));
                let flow = visit(position, &mut entries).and_then(|flow| entries.finish().map(|_| flow));
                let outcome = flow.and_then(|flow| self.layers[position].check(entries.into_source()).map(|()| flow));
                outcome.map_err(|error| self.explain(position, error))
            },
        )
    }

    /// One layer as its entries, on this thread and without its diff ID: for who reads again what [`read`](Self::read) has proved. The blob is proved once more,
    /// where it is read to its end. Kinds as [`read`](Self::read).
    pub fn open<'t>(&'t self, position: usize, task: &'t Task) -> Result<tar::Reader<Box<dyn Read + Send + 't>>> {
        self.open_tar(position, task).map(tar::Reader::new).map_err(|error| self.explain(position, error))
    }

    fn open_tar<'t>(&'t self, position: usize, task: &'t Task) -> Result<Box<dyn Read + Send + 't>> {
        match self.layers[position] {
            Stacked::Stored { descriptor, compression, .. } => {
                let blob = Watched::new(self.source.open(descriptor)?, self.run.cancel.clone(), |bytes| task.advance(bytes));
                decode::decoder(compression, blob)
            }
            Stacked::New(items) => {
                let silent = Events::to(Arc::new(Silent)).start("", None);
                let tar = Rendered::new(Chunks::new(Items::new(self.run, items, silent), Cutter::of(Codec::None)));
                Ok(Box::new(Watched::new(tar, self.run.cancel.clone(), |bytes| task.advance(bytes))))
            }
        }
    }

    /// Entries that make no sense may come from content that is not what its digest says; then that is what there is to tell.
    pub fn explain(&self, position: usize, error: Error) -> Error {
        let Stacked::Stored { descriptor, .. } = self.layers[position] else { return error };
        let told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) && Mismatch::in_error(&error).is_none();
        let error = match told {
            true => self.prove(descriptor).err().unwrap_or(error),
            false => error,
        };
        let digest = &descriptor.digest;
        match error.subject_text() {
            Some(_) => error.context(format!("cannot read layer {digest}")),
            None => error.context(format!("cannot read layer {digest}")).subject(digest),
        }
    }

    /// Reads a blob for its digest alone.
    fn prove(&self, descriptor: &Descriptor) -> Result<()> {
        let mut blob = Watched::new(self.source.open(descriptor)?, self.run.cancel.clone(), |_| {});
        std::io::copy(&mut blob, &mut std::io::sink()).map_err(|error| Error::io("cannot read it", error))?;
        Ok(())
    }
}

impl std::fmt::Debug for Stack<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl<'a> Stacked<'a> {
    fn new(descriptor: &'a Descriptor, diff_id: &'a DiffId) -> Result<Self> {
        let cannot = |why: &str| Err(Error::unsupported(format!("layer {} {why}", descriptor.digest)).subject(&descriptor.digest));
        match Kind::of(&descriptor.media_type) {
            Kind::Layer(media) if media.encrypted => cannot("is encrypted"),
            Kind::Layer(_) if *diff_id.0.algorithm() != Algorithm::Sha256 => cannot("has a diff ID that is not of sha256"),
            Kind::Layer(media) => Ok(Stacked::Stored { descriptor, compression: media.compression, diff_id }),
            _ => cannot(&format!("is `{}`, which is no layer of a root filesystem", text::shown(descriptor.media_type.as_ref()))),
        }
    }

    /// Bytes to read.
    fn size(&self) -> u64 {
        match self {
            Stacked::Stored { descriptor, .. } => descriptor.size,
            Stacked::New(items) => items.iter().map(|item| item.node.size()).sum(),
        }
    }

    /// Reads what is left and compares the diff ID.
    fn check(&self, tar: DiffIdReader<&mut dyn Read>) -> Result<()> {
        let (actual, _) = tar.finish()?;
        match self {
            Stacked::Stored { descriptor, diff_id, .. } => diff_id::check(&actual, diff_id).map_err(|error| error.subject(&descriptor.digest)),
            Stacked::New(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Digest, MediaType};
    use crate::store::{Destination as _, MemoryStore};
    use std::num::NonZeroUsize;

    /// A tar of one empty file of this name.
    fn archive(name: &str) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, std::io::empty()).expect("in memory");
        builder.into_inner().expect("in memory")
    }

    fn put(store: &MemoryStore, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64);
        store.put(&descriptor, &mut &bytes[..]).expect("stored");
        descriptor
    }

    fn diff_id(bytes: &[u8]) -> DiffId {
        DiffId(Digest::sha256(bytes))
    }

    fn read(source: &dyn Source, layers: &[(Descriptor, DiffId)], flow: ControlFlow<()>) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for jobs in [1, 3] {
            names.clear();
            let run = Run::new(NonZeroUsize::new(jobs).expect("not zero"))?;
            let stack = Stack::new(&run, source, layers.iter().map(|(descriptor, diff_id)| (descriptor, diff_id)))?;
            stack.read(&run.events.start("read", Some(stack.size())), |position, entries| {
                let entry = entries.next_entry()?.expect("an entry");
                names.push(format!("{position} {}", String::from_utf8_lossy(&entry.path)));
                Ok(flow)
            })?;
        }
        Ok(names)
    }

    #[test]
    fn layers_are_read_in_order_and_up_to_a_break() {
        let store = MemoryStore::default();
        let layers: Vec<_> = ["a", "b", "c"].map(archive).iter().map(|tar| (put(&store, MediaType::ImageLayer, tar), diff_id(tar))).collect();
        assert_eq!(read(&store, &layers, ControlFlow::Continue(())).expect("read"), ["0 a", "1 b", "2 c"]);
        assert_eq!(read(&store, &layers, ControlFlow::Break(())).expect("read"), ["0 a"]);
    }

    #[test]
    fn lay_38_a_layer_that_was_shown_has_its_diff_id_also_after_a_break() {
        let store = MemoryStore::default();
        let tar = archive("a");
        let layer = put(&store, MediaType::ImageLayer, &tar);
        for flow in [ControlFlow::Continue(()), ControlFlow::Break(())] {
            let error = read(&store, &[(layer.clone(), diff_id(b"other"))], flow).expect_err("another diff ID");
            assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some(layer.digest.as_str())));
        }
    }

    /// Hands out other bytes than were asked for, verified as any source does.
    struct Damaged(Vec<u8>);

    impl Source for Damaged {
        fn location(&self) -> String {
            "damaged:".into()
        }

        fn index(&self) -> Result<crate::spec::ImageIndex> {
            Err(Error::not_found("no entries"))
        }

        fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
            Ok(Box::new(crate::fsio::VerifyingReader::new(&self.0[..], descriptor.digest.clone(), descriptor.size)?))
        }
    }

    #[test]
    fn lay_35_damage_is_told_rather_than_what_follows_from_it() {
        let tar = archive("a");
        let descriptor = Descriptor::new(MediaType::ImageLayer, Digest::sha256(&tar), tar.len() as u64);
        let mut damaged = tar.clone();
        damaged[0] ^= 1;
        let error = read(&Damaged(damaged), &[(descriptor.clone(), diff_id(&tar))], ControlFlow::Continue(())).expect_err("damaged");
        assert!(Mismatch::in_error(&error).is_some(), "{:?}", error.causes());
        let mut longer = tar.clone();
        longer.push(0);
        let error = read(&Damaged(longer), &[(descriptor, diff_id(&tar))], ControlFlow::Continue(())).expect_err("longer");
        assert!(matches!(Mismatch::in_error(&error), Some(Mismatch::Longer { .. })), "{:?}", error.causes());
    }

    #[test]
    fn cmp_12_what_cannot_be_read_is_refused_before_anything_is() {
        for media_type in ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "application/vnd.example", "application/vnd.oci.image.config.v1+json"] {
            let descriptor = Descriptor::new(media_type, Digest::sha256(b""), 0);
            let error = read(&MemoryStore::default(), &[(descriptor, diff_id(b""))], ControlFlow::Continue(())).expect_err("no layer");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}
