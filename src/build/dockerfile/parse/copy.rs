//! `COPY` and `ADD`.

use super::document::announced;
use super::forms::list;
use super::{Parts, Reader};
use crate::build::dockerfile::instruction::{CopySpec, Document, Mode, Paths, Verb};
use crate::build::place::{At, Place};
use crate::error::Result;
use crate::spec::text;

pub(super) fn read(_: &mut Reader, mut parts: Parts<'_>) -> Result<CopySpec> {
    let is_add = parts.name == "ADD";
    let (chown, chmod) = (parts.flags.text("chown")?, parts.flags.text("chmod")?);
    let mode = if parts.flags.switch("link")?.is_some_and(|link| link.value) { Mode::Link } else { Mode::Onto };
    let exclude = parts.flags.texts("exclude")?;
    let (mut verb, mut from, mut paths, mut of_downloads) = (Verb::Copy, None, Paths::Name, None);
    if is_add {
        verb = if parts.flags.switch("unpack")?.is_some_and(|unpack| !unpack.value) { Verb::AddAsIs } else { Verb::Add };
        of_downloads = flag_of_downloads(&mut parts)?;
    } else {
        from = parts.flags.text("from")?;
        if parts.flags.switch("parents")?.is_some_and(|parents| parents.value) {
            paths = Paths::Parents;
        }
    }
    parts.flags.finish(&parts.name)?;
    let mut words = list(&parts)?;
    let (Some(to), false) = (words.pop(), words.is_empty()) else {
        return Err(parts.place.usage(format!("`{}` takes a source and a destination", parts.name)));
    };
    if announced(&to.value).is_some() {
        return Err(to.place.usage("a here-document cannot be a destination"));
    }
    let (sources, documents) = sources(&parts, words)?;
    if let Some(from) = from.as_ref().filter(|from| from.value.contains('$')) {
        return Err(from.place.usage("variables are not expanded in `--from`").hint("name a stage: FROM ${IMAGE} AS name, and then --from=name"));
    }
    Ok(CopySpec { verb, from, sources, documents, to, chown, chmod, mode, paths, exclude, of_downloads })
}

/// Where a flag asks for something that only means something for what is downloaded.
fn flag_of_downloads(parts: &mut Parts<'_>) -> Result<Option<Place>> {
    let (checksum, keep) = (parts.flags.text("checksum")?, parts.flags.switch("keep-git-dir")?);
    Ok(checksum.map(|checksum| checksum.place).or(keep.filter(|keep| keep.value).map(|keep| keep.place)))
}

/// Tells sources from here-documents.
fn sources(parts: &Parts<'_>, words: Vec<At<String>>) -> Result<(Vec<At<String>>, Vec<Document>)> {
    let (mut sources, mut documents) = (Vec::new(), Vec::new());
    for word in words {
        let document = announced(&word.value).and_then(|announced| parts.documents.iter().find(|document| document.name == announced.name));
        match document {
            Some(document) => documents.push(document.clone()),
            None if word.value.is_empty() => return Err(word.place.usage("a source is empty")),
            None => sources.push(word),
        }
    }
    for document in &documents {
        if document.name.contains('/') || matches!(document.name.as_str(), "." | "..") {
            return Err(document.content.place.usage(format!("`{}` cannot be the name of a file", text::shown(&document.name))));
        }
    }
    Ok((sources, documents))
}
