//! The content of files of a stage, taken out of its layers.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::copy::{Planned, PlannedNode};
use super::files::ContentAt;
use crate::build::base::Proof;
use crate::build::execute::{BuiltLayer, Origin};
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::layer::changeset::{Item, Node};
use crate::layer::stack::{Entries, Stack};
use crate::spec::{Descriptor, DiffId};
use crate::store::layout::Layout;

/// A layer of a stage.
#[derive(Clone, Debug)]
pub(super) struct StageLayer {
    /// The blob.
    pub(super) descriptor: Descriptor,
    /// The tar.
    pub(super) diff_id: DiffId,
    /// Where the blob is.
    pub(super) layout: Arc<Layout>,
    /// Whether the blob is known to be right.
    pub(super) proof: Proof,
}

impl StageLayer {
    /// A layer that came to be in `layout`.
    pub(super) fn new(BuiltLayer { layer, origin }: &BuiltLayer, layout: &Arc<Layout>) -> Self {
        let proof = match origin {
            Origin::Built => Proof::Written,
            Origin::Cached => Proof::Missing,
        };
        StageLayer { descriptor: layer.descriptor.clone(), diff_id: layer.diff_id.clone(), layout: layout.clone(), proof }
    }
}

/// How much is copied at once.
const BUFFER: usize = 256 << 10;

/// The items of a changeset whose contents are all at hand: those that stand in layers are copied to `scratch`.
///
/// Fails with kind `corrupt` where a layer is not what its digests say.
pub(super) fn fetch(run: &Run, label: &str, layers: &[StageLayer], planned: Vec<Planned>, scratch: impl FnOnce() -> Result<Arc<File>>) -> Result<Vec<Item>> {
    let mut wanted: BTreeMap<usize, HashMap<usize, u64>> = BTreeMap::new();
    for item in &planned {
        if let PlannedNode::Content(entry, at) = &item.node
            && entry.size() > 0
        {
            wanted.entry(at.layer).or_default().insert(at.entry, entry.size());
        }
    }
    if wanted.is_empty() {
        return Ok(planned.into_iter().map(|item| ready(item, None)).collect());
    }
    let file = scratch()?;
    let mut offsets: HashMap<ContentAt, u64> = HashMap::new();
    let mut end = 0;
    for (layer, wanted) in wanted {
        let of = &layers[layer];
        let task = run.events.start(format!("{label}: layer {}", of.descriptor.digest.short()), Some(of.descriptor.size));
        Stack::new(run, &*of.layout, [(&of.descriptor, &of.diff_id)])?.read(&task, |_, entries| {
            let mut number = 0;
            while entries.next_entry()?.is_some() {
                if let Some(size) = wanted.get(&number) {
                    run.cancel.check()?;
                    offsets.insert(ContentAt { layer, entry: number }, end);
                    copy(entries, *size, &file)?;
                    end += size;
                }
                number += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let place = |item: &Planned| match &item.node {
        PlannedNode::Content(entry, at) if entry.size() > 0 => {
            let missing = || Error::corrupt(format!("layer {} has no entry {}", layers[at.layer].descriptor.digest, at.entry));
            offsets.get(at).map(|offset| Some((file.clone(), *offset))).ok_or_else(missing)
        }
        _ => Ok(None),
    };
    planned.into_iter().map(|item| Ok(ready(item.clone(), place(&item)?))).collect()
}

/// The content of one file.
pub(super) fn read(run: &Run, label: &str, layers: &[StageLayer], at: ContentAt, limit: usize) -> Result<Vec<u8>> {
    let of = &layers[at.layer];
    let mut content = Vec::new();
    let task = run.events.start(label, Some(of.descriptor.size));
    Stack::new(run, &*of.layout, [(&of.descriptor, &of.diff_id)])?.read(&task, |_, entries| {
        let mut number = 0;
        while let Some(entry) = entries.next_entry()? {
            if number == at.entry {
                if entry.size() > limit as u64 {
                    return Err(Error::unsupported(format!("`{}` has more than {limit} bytes", crate::spec::text::bytes(&entry.path))));
                }
                entries.read_to_end(&mut content).map_err(|error| Error::io("cannot read the layer", error))?;
            }
            number += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(content)
}

fn copy(entries: &mut Entries<'_>, size: u64, to: &File) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        entries.read_exact(&mut buffer[..wanted]).map_err(|error| Error::io("cannot read the layer", error))?;
        let mut to = to;
        to.write_all(&buffer[..wanted]).map_err(|error| Error::io("cannot write to temporary space", error))?;
        left -= wanted as u64;
    }
    Ok(())
}

fn ready(item: Planned, content: Option<(Arc<File>, u64)>) -> Item {
    let node = match (item.node, content) {
        (PlannedNode::Ready(node), _) => node,
        (PlannedNode::Content(entry, _), Some((file, offset))) => Node::Stored(entry, file, offset),
        (PlannedNode::Content(entry, _), None) => Node::Made(entry, Arc::default()),
    };
    Item { path: item.path, node }
}
