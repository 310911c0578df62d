//! A repository as a source.

use std::io::{Cursor, Read};

use crate::error::{Error, Result};
use crate::fsio::{Mismatch, VerifyingReader};
use crate::spec::{Descriptor, ImageIndex, Kind, Reference, Selector, limits};
use crate::store::Source;

use super::auth::Verb;
use super::download::BlobReader;
use super::manifest::Answer;
use super::{Registry, Which};

impl Source for Registry {
    fn location(&self) -> String {
        format!("docker://{}", self.shown())
    }

    /// All tags and what they stand on: one request for each.
    fn index(&self) -> Result<ImageIndex> {
        let tags = match self.tags() {
            Ok(tags) => tags,
            Err(error) if error.kind() == crate::error::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let entries = self.client.run.pool.waiting(tags, |tag| {
            let found = match self.head(Which::Tag(&tag), Verb::Pull)? {
                Answer::Found(descriptor) => Some(*descriptor),
                // It went between listing and asking.
                Answer::Absent => None,
                Answer::Refused => self.get(Which::Tag(&tag))?.map(|(descriptor, _)| descriptor),
            };
            found.map(|mut entry| self.name(&tag).map(|name| name.apply(&mut entry)).map(|()| entry)).transpose()
        })?;
        Ok(ImageIndex::new(entries.into_iter().flatten().collect()))
    }

    fn entries_for(&self, selector: &Selector) -> Result<ImageIndex> {
        let entry = match selector {
            Selector::Only => return self.index(),
            Selector::Digest(digest) => self.get(Which::Digest(digest))?.map(|(descriptor, _)| descriptor),
            Selector::Name(name) => match self.tag_of(name) {
                Some(tag) => self.named(&tag)?,
                None => None,
            },
        };
        let entry = entry.ok_or_else(|| {
            let shown = match selector {
                Selector::Digest(digest) => format!("{}@{digest}", self.shown()),
                _ => format!("{}:{selector}", self.shown()),
            };
            let error = Error::not_found(format!("there is no image {shown}")).subject(shown);
            error.hint("look at the spelling of repository and tag; a registry also says this to those who may not see it")
        })?;
        Ok(ImageIndex::new(vec![entry]))
    }

    fn referrers(&self, subject: &Descriptor) -> Result<Option<Vec<Descriptor>>> {
        self.attached_to(&subject.digest).map(Some)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        if is_document(descriptor) {
            return self.open_document(descriptor);
        }
        let mut content = BlobReader::new(self, descriptor, 0);
        content.connect()?;
        Ok(Box::new(VerifyingReader::new(content, descriptor.digest.clone(), descriptor.size)?))
    }

    /// Asks for a blob only when it is read: whoever puts it somewhere may find that it is there.
    fn open_unproved(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        self.open_unproved_from(descriptor, 0)
    }

    fn open_unproved_from(&self, descriptor: &Descriptor, start: u64) -> Result<Box<dyn Read + Send + '_>> {
        match is_document(descriptor) {
            false => Ok(Box::new(BlobReader::new(self, descriptor, start))),
            true => {
                let mut content = self.open_document(descriptor)?;
                let mut skipped = content.by_ref().take(start);
                std::io::copy(&mut skipped, &mut std::io::sink()).map_err(|error| Error::io(format!("cannot read {}", descriptor.digest), error))?;
                Ok(content)
            }
        }
    }

    fn may_heal(&self) -> bool {
        true
    }
}

impl Registry {
    fn open_document(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let digest = &descriptor.digest;
        if descriptor.size > limits::MANIFEST_BYTES as u64 {
            return Err(
                Error::corrupt(format!("{digest} has {} bytes, more than the limit of {} bytes", descriptor.size, limits::MANIFEST_BYTES)).subject(digest)
            );
        }
        let (found, bytes) =
            self.get(Which::Digest(digest))?.ok_or_else(|| Error::not_found(format!("manifest {digest} is missing in {}", self.shown())).subject(digest))?;
        match found.size == descriptor.size {
            true => Ok(Box::new(Cursor::new(bytes))),
            false => Err(Mismatch::Size { actual: found.size, expected: descriptor.size }.of(digest)),
        }
    }

    /// The tag that a name means here; none where it means something elsewhere.
    fn tag_of(&self, name: &str) -> Option<String> {
        if crate::spec::reference::is_tag(name) {
            return Some(name.to_owned());
        }
        let reference: Reference = name.parse().ok()?;
        (reference.host() == self.host.name && reference.repository() == self.repository).then(|| reference.tag().map(str::to_owned))?
    }
}

/// Whether content is among the manifests of a repository and not among its blobs.
pub(super) fn is_document(descriptor: &Descriptor) -> bool {
    matches!(Kind::of(&descriptor.media_type), Kind::Manifest | Kind::Index)
}
