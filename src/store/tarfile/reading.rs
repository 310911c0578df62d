//! An archive that is read.

use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use crate::error::{Error, IoContext, Result};
use crate::exec::Events;
use crate::fsio::VerifyingReader;
use crate::spec::{Descriptor, Digest, ImageIndex, limits, shape, text};
use crate::store::{Options, header};

use super::extent::{Extent, ExtentReader};
use super::input::Input;
use super::members::{Links, Members};
use super::{INDEX, MANIFESTS, frame};

/// A tar and what it has.
#[derive(Debug)]
pub(in crate::store) struct Reading {
    /// The tar.
    pub(in crate::store) input: Input,
    /// What it has.
    pub(in crate::store) members: Members,
    events: Events,
    /// What is strange about `index.json`, once that was seen.
    remark: OnceLock<&'static str>,
}

impl Reading {
    /// Opens the archive at `path`, or stdin for `-`. Kinds: those of [`Input::open`] and [`Members::scan`].
    pub(in crate::store) fn open(path: &Path, links: Links, options: &Options) -> Result<Reading> {
        Reading::of(Input::open(path, options)?, links, options)
    }

    /// What is at `path`, where it is a tar that is not compressed. For guessing: a look that fails is none.
    pub(in crate::store) fn look(path: &Path) -> Option<Reading> {
        Reading::of(Input::plain(path)?, Links::Inside, &Options::default()).ok()
    }

    /// Finds what is in a tar. Kinds: those of [`Members::scan`].
    pub(in crate::store) fn of(input: Input, links: Links, options: &Options) -> Result<Reading> {
        let members = Members::scan(&input, links, &options.cancel)?;
        Ok(Reading { input, members, events: options.events.clone(), remark: OnceLock::new() })
    }

    /// Whether there is a member of this name.
    pub(in crate::store) fn has_member(&self, name: &str) -> bool {
        self.members.begin(name).is_some()
    }

    /// The entries of the image layout in the archive. Kinds: `corrupt` where there is none that can be read; `unsupported` for another version of the layout.
    pub(in crate::store) fn layout(&self) -> Result<ImageIndex> {
        let Some(bytes) = self.document(header::NAME, limits::LAYOUT_HEADER_BYTES)? else { return Err(self.not_a_layout()) };
        header::check(&bytes, &Path::new(&self.input.shown).join(header::NAME))?;
        let shown = &self.input.shown;
        let lost = || Error::corrupt(format!("archive {shown} has no `{INDEX}`")).subject(shown).hint("the archive was probably cut off: make it anew");
        let bytes = self.document(INDEX, limits::LAYOUT_INDEX_BYTES)?.ok_or_else(lost)?;
        let index = shape::layout_index(&bytes, INDEX).map_err(|error| error.context(format!("cannot read archive {shown}")).subject(shown))?;
        if let Some(warning) = shape::layout_index_warning(&index, &bytes)
            && self.remark.set(warning).is_ok()
        {
            self.events.warn(format!("{INDEX} of {shown}: {warning}, so there are no names"));
        }
        Ok(index)
    }

    fn not_a_layout(&self) -> Error {
        let shown = &self.input.shown;
        let error = Error::corrupt(format!("archive {shown} holds no image layout: it has no `{}` file", header::NAME)).subject(shown);
        if let Some(directory) = self.members.directory_with(header::NAME) {
            return error.hint(format!("the layout is in its directory `{directory}`; pack what is in there: tar -C {directory} -cf FILE ."));
        }
        match self.members.begin(MANIFESTS) {
            Some(_) => error.hint(format!("it has a `{MANIFESTS}`: try docker-archive:{shown}")),
            None => error,
        }
    }

    /// A file of the archive, whose digest nobody knows; none where there is no such file. Fails with kind `corrupt` above `limit` bytes.
    pub(in crate::store) fn document(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let Some(extent) = self.file(name.as_bytes())? else { return Ok(None) };
        let shown = || format!("{}: {}", self.input.shown, text::shown(name));
        if extent.size > limit as u64 {
            return Err(Error::corrupt(format!("{} has {} bytes, more than the limit of {limit} bytes", shown(), extent.size)).subject(shown()));
        }
        let mut bytes = Vec::new();
        extent.read(&self.input.file).read_to_end(&mut bytes).at("read", Path::new(&self.input.shown))?;
        Ok(Some(bytes))
    }

    /// Where a file of the archive lies; none where there is no such file. Errors as [`Members::file`].
    pub(in crate::store) fn file(&self, name: &[u8]) -> Result<Option<Extent>> {
        self.members.file(name).map_err(|error| error.context(format!("cannot read archive {}", self.input.shown)))
    }

    /// Whether there is content with this digest and size.
    pub(in crate::store) fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.members.blob(&descriptor.digest)?.is_some_and(|extent| extent.size == descriptor.size))
    }

    /// Opens content for verified reading. Kinds: `not_found` where it is absent; `corrupt` where its size is wrong or it is there with different content;
    /// `unsupported` for a digest that cannot be computed.
    pub(in crate::store) fn open_blob(&self, descriptor: &Descriptor) -> Result<VerifyingReader<ExtentReader>> {
        self.blob(&descriptor.digest)?.open(&self.input.file, descriptor)
    }

    /// Opens content without proving it. Kinds as [`open_blob`](Self::open_blob).
    pub(in crate::store) fn open_unproved(&self, descriptor: &Descriptor) -> Result<ExtentReader> {
        self.blob(&descriptor.digest)?.open_unproved(&self.input.file, descriptor)
    }

    fn blob(&self, digest: &Digest) -> Result<Extent> {
        let blob = self.members.blob(digest).map_err(|error| error.context(format!("cannot read archive {}", self.input.shown)))?;
        blob.ok_or_else(|| missing(digest, &self.input.shown))
    }

    /// What readers should know of the archive that no content tells, one line each.
    pub(in crate::store) fn remarks(&self) -> Result<Vec<String>> {
        let mut remarks = self.members.remarks().to_vec();
        remarks.extend(self.remark.get().map(|remark| format!("{INDEX}: {remark}")));
        if self.has_hidden()? {
            remarks.push("there is something behind the end of the archive, where no reader looks".to_owned());
        }
        Ok(remarks)
    }

    /// Whether there is something other than zeros behind the end.
    fn has_hidden(&self) -> Result<bool> {
        let begin = self.members.end() + frame::END as u64;
        let mut rest = Extent { offset: begin, size: self.input.size.saturating_sub(begin) }.read(&self.input.file);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = rest.read(&mut buffer).at("read", Path::new(&self.input.shown))?;
            if count == 0 || buffer[..count].iter().any(|byte| *byte != 0) {
                return Ok(count > 0);
            }
        }
    }
}

/// That an archive does not have some content.
pub(in crate::store) fn missing(digest: &Digest, shown: &str) -> Error {
    Error::not_found(format!("blob {digest} is missing in {shown}")).subject(digest)
}
