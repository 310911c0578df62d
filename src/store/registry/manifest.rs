//! Manifests of a repository: what they are, their bytes, and putting and removing them. Distribution specification, "Pulling manifests", "Pushing manifests".
//!
//! The body decides what a manifest is; headers are believed where they agree with it. What is put has exactly the type that it says of itself, because Artifactory
//! takes any other for a manifest of 2015.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, ErrorKind, Result};
use crate::fsio::Mismatch;
use crate::spec::{Descriptor, Digest, Kind, MediaType, limits, text};

use super::auth::Verb;
use super::http::client::{Call, Last, Payload, Reply};
use super::http::failure::Refusal;
use super::http::{encoding, header};
use super::rest::Method;
use super::{Registry, Which};

/// All that larder reads. Without it Artifactory converts to a form with another digest.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// What came of a question.
pub(super) enum Answer {
    Found(Box<Descriptor>),
    Absent,
    /// The host would not say.
    Refused,
}

/// What became of a manifest that was put.
pub(super) struct Stored {
    /// Whether the host has seen that it is attached to another one.
    pub(super) knows_subject: bool,
}

impl Which<'_> {
    fn written(&self) -> &str {
        match self {
            Which::Tag(tag) => tag,
            Which::Digest(digest) => digest.as_str(),
        }
    }
}

impl Registry {
    fn manifest_call<'a>(&'a self, method: Method, which: Which<'_>, verb: Verb) -> Call<'a> {
        let path = format!("/{}/manifests/{}", self.repository, which.written());
        Call::new(method, self.host.url(&path, None), self.access(verb))
    }

    /// Asks what a manifest is: one request, and where its answer does not say all, another.
    pub(super) fn head(&self, which: Which<'_>, verb: Verb) -> Result<Answer> {
        let mut call = self.manifest_call(Method::Head, which, verb).header("Accept", ACCEPT);
        // Whoever cannot be asked in this way may do all else.
        call.last = Last::Answer;
        let reply = self.client.call(&self.host, &mut call)?;
        let described = match reply.status {
            200 => self.described(&reply, which)?,
            404 => return Ok(Answer::Absent),
            _ => return Ok(Answer::Refused),
        };
        // While an answer is held, so is its slot, and asking on would wait for itself.
        drop(reply);
        match described {
            Some(descriptor) => Ok(Answer::Found(Box::new(descriptor))),
            None => Ok(self.get(which)?.map_or(Answer::Absent, |(descriptor, _)| Answer::Found(Box::new(descriptor)))),
        }
    }

    /// What the headers of an answer say; none where they do not say all.
    fn described(&self, reply: &Reply<'_>, which: Which<'_>) -> Result<Option<Descriptor>> {
        let said = digest_of(reply);
        let digest = match (which, said) {
            (Which::Digest(wanted), Some(said)) if said.algorithm() == wanted.algorithm() && said != *wanted => return Err(self.other_digest(wanted, &said)),
            (Which::Digest(wanted), _) => Some(wanted.clone()),
            (Which::Tag(_), said) => said,
        };
        let media_type = reply.header("content-type").map(header::media_type).filter(|media_type| is_manifest(media_type));
        let (Some(digest), Some(media_type), Some(size)) = (digest, media_type, reply.length()) else { return Ok(None) };
        Ok(Some(Descriptor::new(MediaType::from(media_type.as_str()), digest, size)))
    }

    /// Reads a manifest, whose digest is proved; none where there is none.
    pub(super) fn get(&self, which: Which<'_>) -> Result<Option<(Descriptor, Vec<u8>)>> {
        if let Which::Digest(digest) = which
            && let Some(bytes) = self.documents.get(digest)
        {
            let media_type = self.media_type(None, &bytes)?;
            return Ok(Some((Descriptor::new(media_type, digest.clone(), bytes.len() as u64), bytes.to_vec())));
        }
        let mut call = self.manifest_call(Method::Get, which, Verb::Pull).header("Accept", ACCEPT);
        let reply = self.client.call(&self.host, &mut call)?;
        match reply.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(reply.refusal(Method::Get, &call.url).into_error()),
        }
        let said = digest_of(&reply);
        let content_type = reply.header("content-type").map(header::media_type);
        let bytes = encoding::document(reply, limits::MANIFEST_BYTES)?;
        let wanted = match (which, &said) {
            (Which::Digest(digest), _) => Some(digest),
            (Which::Tag(_), Some(said)) if said.algorithm().hasher().is_ok() => Some(said),
            (Which::Tag(_), _) => None,
        };
        let digest = match wanted {
            Some(wanted) => {
                let mut hasher = wanted.algorithm().hasher()?;
                hasher.update(&bytes);
                let actual = hasher.finish();
                if actual != *wanted {
                    return Err(Mismatch::Digest { actual }.of(wanted).context(format!("{} sent another manifest", self.host.name)));
                }
                actual
            }
            None => Digest::sha256(&bytes),
        };
        let media_type = self.media_type(content_type.as_deref(), &bytes)?;
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        self.documents.keep(&descriptor.digest, &bytes);
        self.note_children(&descriptor, &bytes);
        Ok(Some((descriptor, bytes)))
    }

    /// The type of a manifest: what it says itself, and where it says nothing what the header says, or what it looks like.
    fn media_type(&self, header: Option<&str>, bytes: &[u8]) -> Result<MediaType> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            media_type: Option<String>,
            manifests: Option<IgnoredAny>,
            layers: Option<IgnoredAny>,
        }
        let corrupt = |why: String| Error::corrupt(format!("a manifest from {} {why}", self.shown()));
        let body: Body = serde_json::from_slice(bytes).map_err(|error| corrupt("is not JSON".into()).because(error))?;
        let header = header.filter(|header| is_manifest(header));
        match (body.media_type, header) {
            (Some(own), Some(header)) if own != header => {
                Err(corrupt(format!("is sent as {} and says to be {}", text::shown(header), text::shown(&own)))
                    .hint("two readers would understand it differently"))
            }
            (Some(own), _) => Ok(MediaType::from(own.as_str())),
            (None, Some(header)) => Ok(MediaType::from(header)),
            (None, None) if body.manifests.is_some() && body.layers.is_none() => Ok(MediaType::ImageIndex),
            (None, None) if body.layers.is_some() && body.manifests.is_none() => Ok(MediaType::ImageManifest),
            (None, None) => Err(Error::unsupported(format!("a manifest from {} does not say what it is", self.shown()))),
        }
    }

    /// Puts a manifest. Returns a refusal where the host gave one that may be about the manifest.
    pub(super) fn put_manifest(&self, which: Which<'_>, descriptor: &Descriptor, bytes: &[u8]) -> Result<Result<Stored, Refusal>> {
        let mut call = self.manifest_call(Method::Put, which, Verb::Push).header("Content-Type", descriptor.media_type.to_string());
        call.payload = Payload::Bytes(bytes);
        let reply = self.client.call(&self.host, &mut call)?;
        if !matches!(reply.status, 200 | 201 | 202 | 204) {
            return Ok(Err(reply.refusal(Method::Put, &call.url)));
        }
        if let Some(said) = digest_of(&reply).filter(|said| said.algorithm() == descriptor.digest.algorithm() && *said != descriptor.digest) {
            let hint = "the registry converts what it is given; larder cannot keep a digest there";
            return Err(self.other_digest(&descriptor.digest, &said).hint(hint));
        }
        self.documents.keep(&descriptor.digest, bytes);
        self.note_children(descriptor, bytes);
        Ok(Ok(Stored { knows_subject: reply.header("oci-subject").is_some() }))
    }

    /// Removes a tag or a manifest. Kinds: `not_found`; `unsupported` where the host removes nothing.
    pub fn remove(&self, which: Which<'_>) -> Result<()> {
        let mut call = self.manifest_call(Method::Delete, which, Verb::Delete);
        let reply = self.client.call(&self.host, &mut call)?;
        match reply.status {
            200 | 202 | 204 => {
                if let Which::Tag(tag) = which {
                    super::lock(&self.standing).remove(tag);
                }
                Ok(())
            }
            status => {
                let error = reply.refusal(Method::Delete, &call.url).into_error().context(format!("cannot remove {} from {}", which.written(), self.shown()));
                Err(if status == 400 { error.with_kind(ErrorKind::Unsupported) } else { error })
            }
        }
    }

    /// The name that Artifactory gives to the repository in which a manifest really is; none where it is no Artifactory or does not say. One request.
    pub fn physical_repository(&self, which: Which<'_>) -> Result<Option<String>> {
        let mut call = self.manifest_call(Method::Head, which, Verb::Pull).header("Accept", ACCEPT);
        let reply = self.client.call(&self.host, &mut call)?;
        Ok(reply.header("x-artifactory-docker-registry").map(str::to_owned))
    }

    fn other_digest(&self, wanted: &Digest, said: &Digest) -> Error {
        Error::corrupt(format!("{} made {said} of the manifest {wanted}", self.host.name)).subject(wanted)
    }
}

/// `Docker-Content-Digest`, where it is a digest.
fn digest_of(reply: &Reply<'_>) -> Option<Digest> {
    reply.header("docker-content-digest")?.trim().parse().ok()
}

fn is_manifest(media_type: &str) -> bool {
    matches!(Kind::of(media_type), Kind::Manifest | Kind::Index)
}
