//! A layout as transport, source and destination.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use crate::error::{Error, IoContext, Result};
use crate::fsio::{Placed, place};
use crate::spec::{Descriptor, ImageIndex, text};
use crate::store::transport::{LAYOUT, Transport};
use crate::store::{Destination, Options, Sharing, Source, entries};

use super::blob::is_manifest;
use super::{FILE_MODE, HEADER, INDEX, Layout};

/// What is read at once while content is put: large enough that it goes to the file without another copy, small enough to be in the cache of the processor
/// from reading over hashing to writing.
const CHUNK: usize = 256 << 10;

/// Layouts, as a transport.
#[derive(Debug)]
pub struct OciLayout;

impl Transport for OciLayout {
    fn scheme(&self) -> &'static str {
        LAYOUT
    }

    fn recognises(&self, path: &Path) -> bool {
        path.join(HEADER).exists()
    }

    fn source(&self, path: &Path, options: &Options) -> Result<Box<dyn Source>> {
        Ok(Box::new(Layout::open(path, options.clone())?))
    }

    fn destination(&self, path: &Path, options: &Options) -> Result<Box<dyn Destination>> {
        Ok(Box::new(Layout::ensure(path, options.clone())?))
    }
}

impl Source for Layout {
    fn location(&self) -> String {
        format!("oci:{}", text::path(self.path()))
    }

    fn index(&self) -> Result<ImageIndex> {
        Layout::index(self)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.open_blob(descriptor)?))
    }

    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.open_file(descriptor)?))
    }

    fn open_unproved_from(&self, descriptor: &Descriptor, start: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut file = self.open_file(descriptor)?;
        file.seek(SeekFrom::Start(start)).at("read in", self.path())?;
        Ok(Box::new(file))
    }

    fn remarks(&self) -> Result<Vec<String>> {
        Ok(self.shared.remark.get().map(|remark| format!("{INDEX}: {remark}")).into_iter().collect())
    }

    fn local_file(&self, descriptor: &Descriptor) -> Result<Option<File>> {
        self.open_file(descriptor).map(Some)
    }
}

impl Destination for Layout {
    fn location(&self) -> String {
        Source::location(self)
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Layout::has(self, descriptor)
    }

    fn reuse(&self, source: &dyn Source, descriptor: &Descriptor, sharing: Sharing) -> Result<Option<Placed>> {
        // Nobody could ever prove it, here or where it goes from here.
        descriptor.digest.algorithm().hasher().map_err(|error| error.subject(&descriptor.digest))?;
        let Some(file) = source.local_file(descriptor)? else { return Ok(None) };
        let staging = self.shared.staging()?;
        let copy = staging.file()?;
        let (temp, placed) = match place::reflink(&file, copy.file()).at("share content with", self.path())? {
            Some(placed) => {
                copy.set_mode(FILE_MODE)?;
                (copy, placed)
            }
            None if sharing == Sharing::Files && is_ours(&file).at("examine content in", self.path())? => match staging.link(file)? {
                Some(link) => (link, Placed::Linked),
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let algorithm = descriptor.digest.algorithm();
        temp.persist(&self.shared.blob_dir(algorithm)?, Path::new(descriptor.digest.encoded()))?;
        self.shared.barrier.mark(algorithm);
        Ok(Some(placed))
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        if is_manifest(&descriptor.media_type) {
            self.sync_blobs()?;
        }
        let mut writer = self.blob_writer(descriptor.digest.algorithm().clone())?;
        let mut buffer = vec![0; usize::try_from(descriptor.size).unwrap_or(CHUNK).clamp(1, CHUNK)];
        // A writer that is fed endlessly must not fill the disk.
        let mut content = content.take(descriptor.size.saturating_add(1));
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => return writer.finish_as(descriptor),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(format!("cannot read {}", descriptor.digest), error)),
            };
            writer.write_all(&buffer[..count]).at("write content to", self.path())?;
        }
    }

    fn commit(&self, new: &[Descriptor]) -> Result<()> {
        self.commit_if(new, &|_| Ok(()))
    }

    fn commit_if(&self, new: &[Descriptor], condition: &dyn Fn(&ImageIndex) -> Result<()>) -> Result<()> {
        self.update_index(|index| {
            condition(index)?;
            entries::enter(index, new);
            Ok(())
        })
    }
}

/// Whether a file may become ours as it is: a link has the owner and the permissions of the source, and who may write there may change what was verified here.
fn is_ours(file: &File) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    let mode = stat.st_mode;
    Ok(stat.st_uid == rustix::process::geteuid().as_raw() && mode & 0o022 == 0 && mode & 0o444 == 0o444)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Digest, MediaType};
    use crate::store::{MemoryStore, conformance};
    use std::cell::Cell;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    #[test]
    fn keeps_the_contracts() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let count = Cell::new(0);
        conformance::check(|| {
            count.set(count.get() + 1);
            Layout::create(&temp.path().join(count.get().to_string()), Options::default()).expect("created")
        });
    }

    #[test]
    fn never_links_what_others_may_write_or_not_read() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [from, to] = ["from", "to"].map(|name| Layout::create(&temp.path().join(name), Options::default()).expect("created"));
        let descriptor = Descriptor::new(MediaType::ImageLayer, Digest::sha256(b"content"), 7);
        from.put(&descriptor, &mut &b"content"[..]).expect("stored");
        let path = from.path().join(super::super::blob_path(&descriptor.digest));
        for mode in [0o666, 0o664, 0o600] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
            assert_ne!(to.reuse(&from, &descriptor, Sharing::Files).expect("asked"), Some(Placed::Linked), "{mode:o}");
        }
    }

    #[test]
    fn shares_files_only_where_that_is_wanted_and_never_their_permissions() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [from, to] = ["from", "to"].map(|name| Layout::create(&temp.path().join(name), Options::default()).expect("created"));
        let descriptor = Descriptor::new(MediaType::ImageLayer, Digest::sha256(b"content"), 7);
        from.put(&descriptor, &mut &b"content"[..]).expect("stored");
        let path = |layout: &Layout| layout.path().join(super::super::blob_path(&descriptor.digest));
        std::fs::set_permissions(path(&from), std::fs::Permissions::from_mode(0o444)).expect("changed");
        let (inode, mode) = {
            let metadata = std::fs::metadata(path(&from)).expect("there");
            (metadata.ino(), metadata.mode())
        };

        let shared = to.reuse(&from, &descriptor, Sharing::Blocks).expect("asked");
        assert!(matches!(shared, None | Some(Placed::Reflinked)));
        // Where blocks cannot be shared the file is, twice with the same outcome.
        for _ in 0..2 {
            let placed = to.reuse(&from, &descriptor, Sharing::Files).expect("asked");
            assert!(placed.is_some());
            assert_eq!(placed == Some(Placed::Linked), std::fs::metadata(path(&to)).expect("there").ino() == inode);
        }
        assert_eq!(std::fs::metadata(path(&from)).expect("there").mode(), mode);
        assert_eq!(to.read(&descriptor, 7).expect("verified"), b"content");
        assert_eq!(to.reuse(&MemoryStore::default(), &descriptor, Sharing::Files).expect("no file"), None);
        drop(to);
        assert_eq!(std::fs::read_dir(temp.path().join("to")).expect("listed").count(), 4, "nothing is left of staging");
    }
}
