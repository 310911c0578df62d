//! A repository as a destination.
//!
//! Blobs come first, then manifests by digest, and each tag is put once, with the manifest that it is to name; then it is read back. What gets a tag is not put by digest
//! before. Whatever fails, an old tag stays what it was.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;

use crate::error::{Error, ErrorKind, Result, Side};
use crate::fsio::VerifyingReader;
use crate::spec::{Descriptor, Digest, ImageName, Kind, limits, links};
use crate::store::{Content, Destination, Presence, Put};

use super::auth::Verb;
use super::host::Ability;
use super::http::failure::Refusal;
use super::known::Whereabouts;
use super::manifest::{Answer, Stored};
use super::source::is_document;
use super::{Registry, Which, lock};

/// How often a tag is read back.
const READ_BACK: u32 = 3;

/// How often a host may find another digest than ours in a manifest before it is believed.
const MISREADINGS: u32 = 2;

/// Content of this size is kept in memory where it comes from what can be read only once, so that it can be sent again.
const REPEATABLE: u64 = 8 << 20;

impl Destination for Registry {
    fn location(&self) -> String {
        crate::store::Source::location(self)
    }

    fn announce(&self, _: &[Descriptor], entries: &[Descriptor]) -> Result<()> {
        let tags = tags(entries)?;
        lock(&self.awaited).extend(tags.into_values().map(|entry| entry.digest.clone()));
        Ok(())
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        let digest = &descriptor.digest;
        match self.host.blobs.whereabouts(descriptor, &self.repository) {
            Whereabouts::Here => return Ok(true),
            // Taking it from there is one request, wherever else it is.
            Whereabouts::Elsewhere if !is_document(descriptor) && self.host.mounts() != Ability::Absent => {
                lock(&self.lacking).insert(digest.clone());
                return Ok(false);
            }
            Whereabouts::Elsewhere | Whereabouts::Unknown => {}
        }
        let is_there = match is_document(descriptor) {
            true => match self.head(Which::Digest(digest), Verb::Push)? {
                Answer::Found(found) => found.size == descriptor.size,
                Answer::Absent | Answer::Refused => false,
            },
            false => self.has_blob(descriptor)?,
        };
        match is_there {
            true => self.host.blobs.note(descriptor, &self.repository),
            false => {
                // Nothing is forgotten: what came meanwhile is newer than this answer.
                lock(&self.lacking).insert(digest.clone());
            }
        }
        Ok(is_there)
    }

    fn presence(&self) -> Presence {
        Presence::Proved
    }

    fn put(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        if descriptor.size <= REPEATABLE {
            let bytes = VerifyingReader::new(content, descriptor.digest.clone(), descriptor.size)?.read_to_vec(usize::MAX)?;
            return self.put_from(descriptor, &Bytes(&bytes)).map(drop);
        }
        self.put_from(descriptor, &Once(RefCell::new(Some(content)))).map(drop)
    }

    fn put_from(&self, descriptor: &Descriptor, content: &dyn Content) -> Result<Put> {
        // What cannot be proved here is not sent.
        descriptor.digest.algorithm().hasher()?;
        let put = match is_document(descriptor) {
            true => self.put_document(descriptor, content),
            false => self.bring(descriptor, content),
        };
        put.map_err(of_destination)
    }

    fn commit(&self, entries: &[Descriptor]) -> Result<()> {
        let tags: Vec<(String, &Descriptor)> = tags(entries)?.into_iter().collect();
        self.client.run.pool.waiting(tags, |(tag, entry)| self.set_tag(&tag, entry).map_err(of_destination))?;
        for entry in entries {
            lock(&self.held).remove(&entry.digest);
            lock(&self.awaited).remove(&entry.digest);
        }
        Ok(())
    }
}

impl Registry {
    fn put_document(&self, descriptor: &Descriptor, content: &dyn Content) -> Result<Put> {
        let bytes = VerifyingReader::new(content.open(0)?, descriptor.digest.clone(), descriptor.size)?.read_to_vec(limits::MANIFEST_BYTES)?;
        self.put_members(descriptor, &bytes)?;
        if lock(&self.awaited).contains(&descriptor.digest) {
            lock(&self.held).insert(descriptor.digest.clone(), bytes);
            return Ok(Put::Written);
        }
        self.store_document(Which::Digest(&descriptor.digest), descriptor, &bytes)?.map_err(Refusal::into_error)?;
        Ok(Put::Written)
    }

    /// Puts the members of an index that wait for tags of their own: it cannot come before them.
    fn put_members(&self, index: &Descriptor, bytes: &[u8]) -> Result<()> {
        if Kind::of(&index.media_type) != Kind::Index {
            return Ok(());
        }
        for member in links::children(index, bytes)? {
            let member = member.descriptor;
            let held = lock(&self.held).get(&member.digest).cloned();
            if let Some(bytes) = held.filter(|_| lock(&self.awaited).remove(&member.digest)) {
                self.store_document(Which::Digest(&member.digest), &member, &bytes)?.map_err(Refusal::into_error)?;
            }
        }
        Ok(())
    }

    /// Puts a manifest, and sees to it that it is found from what it is attached to.
    fn store_document(&self, which: Which<'_>, descriptor: &Descriptor, bytes: &[u8]) -> Result<Result<(), Refusal>> {
        let stored = match self.put_proved(which, descriptor, bytes)? {
            Ok(stored) => stored,
            Err(refusal) => {
                if refusal.is_about_absence() {
                    self.forget_children(descriptor, bytes);
                }
                return Ok(Err(refusal));
            }
        };
        self.host.blobs.note(descriptor, &self.repository);
        if !stored.knows_subject {
            self.attach(descriptor, bytes)?;
        }
        Ok(Ok(()))
    }

    /// Puts a manifest whose digest was proved. A host that says that it is another one read something else: what somebody was writing there.
    fn put_proved(&self, which: Which<'_>, descriptor: &Descriptor, bytes: &[u8]) -> Result<Result<Stored, Refusal>> {
        for attempt in 1..=MISREADINGS {
            match self.put_manifest(which, descriptor, bytes)? {
                Err(refusal) if refusal.is_about_digest() => self.client.pause(attempt)?,
                outcome => return Ok(outcome),
            }
        }
        self.put_manifest(which, descriptor, bytes)
    }

    /// Makes a tag stand on an entry, unless it does, and reads it back.
    fn set_tag(&self, tag: &str, entry: &Descriptor) -> Result<()> {
        let before = self.standing(tag)?;
        if before.as_ref() == Some(&entry.digest) {
            return Ok(());
        }
        let held = lock(&self.held).get(&entry.digest).cloned();
        let bytes = match held {
            Some(bytes) => bytes,
            None => match self.get(Which::Digest(&entry.digest))? {
                Some((_, bytes)) => bytes,
                None => return Err(Error::not_found(format!("manifest {} is missing in {}", entry.digest, self.shown())).subject(&entry.digest)),
            },
        };
        let cannot = |error: Error| error.context(format!("cannot put the tag {tag} of {}", self.shown()));
        match self.store_document(Which::Tag(tag), entry, &bytes).map_err(cannot)? {
            Ok(()) => {}
            Err(refusal) if before.is_some() && refusal.may_forbid_overwriting() => {
                let error = refusal.into_error().with_kind(ErrorKind::Conflict);
                return Err(cannot(error)
                    .subject(tag)
                    .hint("the tag exists and the registry does not let this user replace it: give another tag, or ask for the right to overwrite"));
            }
            Err(refusal) => return Err(cannot(refusal.into_error())),
        }
        self.read_back(tag, entry)
    }

    /// Sees to it that a tag stands on what was put under it. Some hosts need a moment for that.
    fn read_back(&self, tag: &str, entry: &Descriptor) -> Result<()> {
        let mut stands = None;
        for attempt in 1..=READ_BACK {
            lock(&self.standing).remove(tag);
            stands = self.standing(tag)?;
            if stands.as_ref() == Some(&entry.digest) {
                return Ok(());
            }
            if attempt < READ_BACK {
                self.client.pause(attempt)?;
            }
        }
        let stands = stands.map_or("nothing".to_owned(), |digest| digest.to_string());
        let error = Error::conflict(format!("the tag {tag} of {} was put, and stands on {stands} instead of {}", self.shown(), entry.digest));
        Err(error.subject(tag).hint("an index that was there may hide what was put: remove the tag, and run the command again"))
    }

    /// What a tag stands on, as far as the host says; asked once.
    fn standing(&self, tag: &str) -> Result<Option<Digest>> {
        if let Some(known) = lock(&self.standing).get(tag) {
            return Ok(known.clone());
        }
        Ok(self.manifest_before_push(Which::Tag(tag))?.map(|descriptor| descriptor.digest))
    }

    /// Takes what a manifest refers to for absent: the host said so.
    fn forget_children(&self, descriptor: &Descriptor, bytes: &[u8]) {
        for child in links::children(descriptor, bytes).unwrap_or_default() {
            self.host.blobs.forget(&child.descriptor.digest, &self.repository);
        }
        lock(&self.lacking).clear();
    }
}

/// The tags of entries. An entry without a name has none. Kinds: `usage` for names that cannot be tags; `unsupported` for what is no manifest; `conflict` where one tag would stand on two images.
fn tags(entries: &[Descriptor]) -> Result<BTreeMap<String, &Descriptor>> {
    let mut tags: BTreeMap<String, &Descriptor> = BTreeMap::new();
    for entry in entries {
        let Some(name) = ImageName::of(entry) else { continue };
        let Some(tag) = name.tag() else {
            return Err(Error::usage(format!("`{name}` cannot be a tag in a registry"))
                .subject(&name)
                .hint("give the image another name, or a tag to push it under"));
        };
        if !is_document(entry) {
            let error = Error::unsupported(format!("`{name}` stands on content of type {}, and a tag in a registry stands on a manifest", entry.media_type));
            return Err(error.subject(&name));
        }
        if let Some(other) = tags.insert(tag.clone(), entry).filter(|other| other.digest != entry.digest) {
            return Err(Error::conflict(format!("the tag {tag} would stand on two images: {} and {}", other.digest, entry.digest))
                .subject(&tag)
                .hint("push them to two repositories, or give one of them another tag"));
        }
    }
    Ok(tags)
}

fn of_destination(error: Error) -> Error {
    match error.failed_side() {
        Some(_) => error,
        None => error.side(Side::Destination),
    }
}

/// Content in memory.
struct Bytes<'a>(&'a [u8]);

impl Content for Bytes<'_> {
    fn open(&self, start: u64) -> Result<Box<dyn Read + '_>> {
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.0.len());
        Ok(Box::new(&self.0[start..]))
    }
}

/// Content that can be read once.
struct Once<'a>(RefCell<Option<&'a mut dyn Read>>);

impl Content for Once<'_> {
    fn open(&self, start: u64) -> Result<Box<dyn Read + '_>> {
        match self.0.take() {
            Some(content) if start == 0 => Ok(Box::new(content)),
            _ => Err(Error::new(ErrorKind::Io, "the connection failed, and what was sent cannot be read again")),
        }
    }
}
