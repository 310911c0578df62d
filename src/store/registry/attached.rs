//! What is attached to manifests. Distribution specification, "Listing Referrers", "Pushing Manifests with Subject".
//!
//! A host that knows the referrers API is asked. For others the clients keep a list themselves: an index under the tag `<algorithm>-<encoded>`. What cosign keeps under
//! tags with `.sig`, `.att` and `.sbom` behind that is attached too.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Annotations, Descriptor, Digest, Document, ImageIndex, ImageName, Kind, MediaType, limits, links};

use super::auth::Verb;
use super::host::Ability;
use super::pages::{self, Page};
use super::{Registry, Which};

/// How often the list of clients is written again because another client wrote it at the same time.
const ATTEMPTS: u32 = 5;

/// The longest tag.
const TAG: usize = 128;

impl Registry {
    /// Everything that is attached to a manifest, as entries: without names, but for what cosign keeps under tags.
    pub(super) fn attached_to(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut attached = match self.listed_by_host(subject)? {
            Some(attached) => attached,
            None => self.listed_by_clients(subject)?,
        };
        let tag = list_tag(subject);
        for suffix in ["sig", "att", "sbom"] {
            let tag = format!("{tag}.{suffix}");
            if self.may_have(&tag)?
                && let Some(entry) = self.named(&tag)?
            {
                attached.push(entry);
            }
        }
        Ok(attached)
    }

    /// What the host lists; none where it knows no such lists.
    pub(super) fn listed_by_host(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>> {
        if self.host.referrers() == Ability::Absent {
            return Ok(None);
        }
        let url = self.host.url(&format!("/{}/referrers/{subject}", self.repository), None);
        let mut seen = HashSet::new();
        let mut attached = Vec::new();
        let mut is_list = true;
        let listed = pages::walk(&self.client, &self.host, url, &self.access(Verb::Pull), MediaType::ImageIndex.as_ref(), |bytes| {
            // Something that answers everything with a page of its own knows no lists.
            let Ok(index) = serde_json::from_slice::<ImageIndex>(bytes) else {
                is_list = false;
                return Ok(Page { entries: 0, new: 0, last: None });
            };
            let (entries, before) = (index.manifests.len(), seen.len());
            attached.extend(index.manifests.into_iter().filter(|entry| seen.insert(entry.digest.clone())).map(|entry| entry.bare()));
            Ok(Page { entries, new: seen.len() - before, last: None })
        });
        let is_there = match listed {
            Ok(is_there) => is_there && is_list,
            // Not known, or not allowed: hosts say it in many ways.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::Denied) => false,
            Err(error) => return Err(error.context(format!("cannot list what is attached to {subject}"))),
        };
        self.host.set_referrers(if is_there { Ability::Present } else { Ability::Absent });
        Ok(is_there.then_some(attached))
    }

    /// What clients list.
    fn listed_by_clients(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let tag = list_tag(subject);
        if !self.may_have(&tag)? {
            return Ok(Vec::new());
        }
        let list = self.list(&tag)?;
        Ok(list.map_or(Vec::new(), |list| list.value.manifests.into_iter().map(|entry| entry.bare()).collect()))
    }

    /// The list under a tag; none where there is none. Fails with kind `conflict` where something else is there.
    fn list(&self, tag: &str) -> Result<Option<Document<ImageIndex>>> {
        let Some((descriptor, bytes)) = self.get(Which::Tag(tag))? else { return Ok(None) };
        if Kind::of(&descriptor.media_type) != Kind::Index {
            let error = Error::conflict(format!("the tag {tag} in {} is no list of what is attached, but {}", self.shown(), descriptor.media_type));
            return Err(error.subject(tag).hint("remove that tag, or give it another name"));
        }
        Document::parse(descriptor, bytes, limits::MANIFEST_BYTES).map(Some)
    }

    /// Adds a manifest to the list of what its subject has, where the host keeps no list itself.
    pub(super) fn attach(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        let Some(subject) = links::subject(descriptor, bytes)? else { return Ok(()) };
        let tag = list_tag(&subject.digest);
        let entry = as_entry(descriptor, bytes)?;
        // Threads of this run would overwrite each other.
        let _alone = self.host.lists.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for attempt in 1..=ATTEMPTS {
            let mut index = match self.list(&tag)? {
                Some(list) => list.value,
                None => ImageIndex::new(Vec::new()),
            };
            if index.manifests.iter().any(|other| other.digest == entry.digest) {
                return Ok(());
            }
            index.manifests.push(entry.clone());
            let list = Document::create(MediaType::ImageIndex, index)?;
            self.put_manifest(Which::Tag(&tag), &list.descriptor, &list.bytes)?.map_err(|refusal| refusal.into_error())?;
            // Another client may have written its own between our reading and our writing.
            let is_in = self.list(&tag)?.is_some_and(|list| list.value.manifests.iter().any(|other| other.digest == entry.digest));
            if is_in {
                return Ok(());
            }
            self.client.pause(attempt)?;
        }
        let error = Error::conflict(format!("others write the list of what is attached to {} all the time", subject.digest));
        Err(error.subject(&tag).hint("run the command again"))
    }

    /// Whether a tag may be there: only a repository that does not list its tags must be asked for it.
    fn may_have(&self, tag: &str) -> Result<bool> {
        let listed = self.listed.get_or_init(|| self.tags().map(HashSet::from_iter).map_err(|error| error.kind()));
        match listed {
            Ok(tags) => Ok(tags.contains(tag)),
            Err(ErrorKind::NotFound) => Ok(false),
            Err(ErrorKind::Interrupted) => Err(Error::interrupted()),
            Err(_) => Ok(true),
        }
    }

    /// The entry with a tag; none where there is none.
    pub(super) fn named(&self, tag: &str) -> Result<Option<Descriptor>> {
        let Some((mut entry, _)) = self.get(Which::Tag(tag))? else { return Ok(None) };
        self.name(tag)?.apply(&mut entry);
        Ok(Some(entry))
    }

    /// The full name for a tag here.
    pub(super) fn name(&self, tag: &str) -> Result<ImageName> {
        ImageName::with_repository(&format!("{}/{}", self.host.name, self.repository), tag)
    }
}

/// The tag under which clients list what is attached.
fn list_tag(subject: &Digest) -> String {
    let tag = format!("{}-{}", subject.algorithm().as_str(), subject.encoded());
    tag.chars().take(TAG).collect()
}

/// A manifest as lists of clients have it: with the type of the artifact and with its annotations.
fn as_entry(descriptor: &Descriptor, bytes: &[u8]) -> Result<Descriptor> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        artifact_type: Option<String>,
        config: Option<Config>,
        #[serde(default)]
        annotations: Annotations,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        media_type: String,
    }
    let body: Body = serde_json::from_slice(bytes).map_err(|error| Error::corrupt(format!("{} is not JSON", descriptor.digest)).because(error))?;
    let mut entry = Descriptor::new(descriptor.media_type.clone(), descriptor.digest.clone(), descriptor.size);
    entry.artifact_type = body.artifact_type.or(body.config.map(|config| config.media_type));
    entry.annotations = body.annotations;
    Ok(entry)
}
