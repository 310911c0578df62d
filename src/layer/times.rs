//! What becomes of the times of files.

use super::builder::{self, Layer};
use super::codec::Codec;
use super::diff_id::{self, DiffIdReader};
use super::shelf::Buffer;
use super::stored::Stored;
use super::stream::{Head, Records};
use super::tar::{Reader, write};
use crate::error::{Error, Result};
use crate::exec::{Run, Timestamps};
use crate::spec::DiffId;
use crate::store::{BlobWriter, Source};
use std::io::Read;

/// What becomes of the times of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Times {
    /// They stay.
    #[default]
    Kept,
    /// None is later than the moment of the run, as in layers that are built.
    Clamped,
}

impl Times {
    /// The time of a file, in seconds since 1970.
    pub(super) fn of(self, mtime: i64, timestamps: Timestamps) -> i64 {
        match self {
            Times::Kept => mtime,
            Times::Clamped => timestamps.clamp(mtime),
        }
    }
}

/// Writes a layer again with no time of a file later than the moment of the run; entries and their order stay. Where no time is later nothing is written, and the layer is
/// the one that was given.
///
/// Kinds: those of [`Source::open`]; `corrupt` where the blob is damaged, holds another tar than the image says, or one that can be read in two ways; `unsupported` for an
/// encrypted layer. The new blob then never appears.
pub fn clamp(run: &Run, label: &str, source: &dyn Source, layer: &Stored, codec: Codec, writer: impl FnOnce() -> Result<BlobWriter>) -> Result<Layer> {
    let cannot = |error| layer.cannot("change the times in", error);
    if let Some(uncompressed) = look(run, label, source, layer).map_err(cannot)? {
        let Stored { descriptor, diff_id } = layer.clone();
        return Ok(Layer { descriptor, diff_id, uncompressed, reused: 0, chunks: Vec::new() });
    }
    let open = layer.open(run, label, source);
    open.and_then(|reader| builder::write(run, Clamped::new(run, reader, &layer.diff_id), codec, None, None, writer()?)).map_err(cannot)
}

/// The length of the tar of a layer in which no file has a later time than the moment of the run; such a layer is proved. None where one has.
fn look(run: &Run, label: &str, source: &dyn Source, layer: &Stored) -> Result<Option<u64>> {
    let mut entries = Reader::new(DiffIdReader::new(layer.open(run, &format!("{label}: look"), source)?));
    while let Some(entry) = entries.next_entry()? {
        if run.timestamps.clamp(entry.mtime) != entry.mtime {
            return Ok(None);
        }
    }
    entries.finish()?;
    let (actual, uncompressed) = entries.into_source().finish()?;
    diff_id::check(&actual, &layer.diff_id).map(|()| Some(uncompressed))
}

/// The entries of a layer with other times.
struct Clamped<'a, R> {
    timestamps: Timestamps,
    entries: Option<Reader<DiffIdReader<R>>>,
    /// The length of what fills the last block of the content.
    padding: usize,
    expected: &'a DiffId,
}

impl<'a, R: Read> Clamped<'a, R> {
    fn new(run: &Run, tar: R, expected: &'a DiffId) -> Self {
        Clamped { timestamps: run.timestamps, entries: Some(Reader::new(DiffIdReader::new(tar))), padding: 0, expected }
    }
}

impl<R: Read> Records for Clamped<'_, R> {
    fn next(&mut self) -> Result<Option<Head>> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        let Some(mut entry) = entries.next_entry()? else { return Ok(None) };
        entry.mtime = self.timestamps.clamp(entry.mtime);
        self.padding = write::padding(entry.size());
        Head::of(entry).map(Some)
    }

    fn content(&mut self, out: &mut [u8]) -> Result<()> {
        let Some(entries) = &mut self.entries else { return Ok(()) };
        entries.read_exact(out).map_err(|error| Error::io("cannot read the layer", error))
    }

    fn padding(&mut self, chunk: &mut Buffer) -> Result<()> {
        chunk.extend_with_zeros(self.padding);
        Ok(())
    }

    fn tail(&mut self, chunk: &mut Buffer, _: usize) -> Result<usize> {
        let Some(mut entries) = self.entries.take() else { return Ok(0) };
        entries.finish()?;
        let (actual, _) = entries.into_source().finish()?;
        diff_id::check(&actual, self.expected)?;
        chunk.extend_with_zeros(write::END);
        Ok(write::END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::layer::Entry;
    use crate::layer::entry::Xattrs;
    use crate::layer::tar::EntryKind;
    use crate::spec::{Algorithm, Descriptor, Digest, MediaType};
    use crate::store::layout::{Layout, Options};
    use crate::store::{Destination as _, MemoryStore};
    use std::num::NonZeroUsize;

    /// A tar of empty files with these times, some of them whiteouts and twice, in no order.
    fn archive(times: &[(&str, i64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, mtime) in times {
            let entry = Entry { path: (*path).into(), kind: EntryKind::File { size: 0 }, mode: 0o640, uid: 1, gid: 2, mtime: *mtime, xattrs: Xattrs::new() };
            write::header(&entry, &mut bytes).expect("an entry");
        }
        bytes.resize(bytes.len() + write::END, 0);
        bytes
    }

    fn stored(store: &MemoryStore, bytes: &[u8]) -> Stored {
        let descriptor = Descriptor::new(MediaType::ImageLayer, Digest::sha256(bytes), bytes.len() as u64);
        store.put(&descriptor, &mut &bytes[..]).expect("stored");
        Stored { diff_id: DiffId(descriptor.digest.clone()), descriptor }
    }

    #[test]
    fn only_later_times_change_and_a_layer_without_any_is_not_written() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::create(&temp.path().join("layout"), Options::default()).expect("created");
        let run = Run { timestamps: Timestamps::at(100).expect("a moment"), ..Run::new(NonZeroUsize::MIN).expect("threads start") };
        let store = MemoryStore::default();
        let clamp = |layer: &Stored| clamp(&run, "layer", &store, layer, Codec::None, || layout.blob_writer(Algorithm::Sha256));
        let late = stored(&store, &archive(&[("z", 101), ("a", 99), (".wh.x", 200), ("z", -1), ("m", 100)]));
        let made = clamp(&late).expect("written");
        let expected = archive(&[("z", 100), ("a", 99), (".wh.x", 100), ("z", -1), ("m", 100)]);
        assert_eq!((&made.descriptor.digest, &made.diff_id.0), (&Digest::sha256(&expected), &Digest::sha256(&expected)));
        let again = Stored { descriptor: made.descriptor, diff_id: made.diff_id };
        let read = layout.read(&again.descriptor, 10_000).expect("there");
        store.put(&again.descriptor, &mut &read[..]).expect("stored");
        let same = clamp(&again).expect("read");
        assert_eq!((same.descriptor, same.uncompressed), (again.descriptor.clone(), read.len() as u64));

        // Whether something is later or not, the layer must be what it should be.
        for layer in [late, again] {
            let other = Stored { diff_id: DiffId(Digest::sha256(b"other")), ..layer };
            let error = clamp(&other).expect_err("another tar");
            assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Corrupt, Some(other.descriptor.digest.as_str())));
        }
    }
}
