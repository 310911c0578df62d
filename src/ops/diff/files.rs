//! The files of two root filesystems.

use std::io::Read;
use std::ops::{ControlFlow, Range};

use super::{Member, layers};
use crate::error::{Error, Result};
use crate::exec::{Run, Task};
use crate::layer::difference::{self, Difference, Times};
use crate::layer::inventory::Inventory;
use crate::layer::stack::Stack;
use crate::spec::{Sum, Summing, text};

/// How much content is hashed at once.
const BUFFER: usize = 256 << 10;

/// Reads both images and compares what their layers make. The layers that both have at the bottom are read once; where these are all, nothing is read.
pub(super) fn compare(run: &Run, a: &Member<'_>, b: &Member<'_>, times: Times) -> Result<Vec<Difference<Sum>>> {
    let common = layers::common(&a.image, &b.image);
    let (of_a, of_b) = (common..a.image.diff_ids.len(), common..b.image.diff_ids.len());
    if of_a.is_empty() && of_b.is_empty() {
        return Ok(Vec::new());
    }
    let size = size(a, 0..common).saturating_add(size(a, of_a.clone())).saturating_add(size(b, of_b.clone()));
    let task = run.events.start(format!("compare files {}", a.image.platform), Some(size));
    let base = read(run, a, 0..common, Inventory::default(), &task)?;
    let sides = vec![(a, of_a, base.clone()), (b, of_b, base)];
    let mut made = run.pool.concurrently(sides, |(member, range, base)| read(run, member, range, base, &task))?.into_iter();
    match (made.next(), made.next()) {
        (Some(a), Some(b)) => Ok(difference::compare(&a, &b, times)),
        _ => Ok(Vec::new()),
    }
}

/// Reads some layers on top of what lower layers made.
fn read(run: &Run, member: &Member<'_>, range: Range<usize>, mut inventory: Inventory<Sum>, task: &Task) -> Result<Inventory<Sum>> {
    let (layers, diff_ids) = (&member.image.manifest.value.layers[range.clone()], &member.image.diff_ids[range.clone()]);
    let read = || {
        let stack = Stack::new(run, member.source, layers.iter().zip(diff_ids))?;
        let mut buffer = vec![0; BUFFER];
        stack.read(task, |position, entries| {
            let remarks = inventory.apply(range.start + position, entries, &mut |entry, content| sum(&entry.path, content, &mut buffer))?;
            remarks.tell(run, &layers[position]);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(inventory)
    };
    read().map_err(|error: Error| error.context(format!("cannot read the files of an image of {}", member.source.location())))
}

fn sum(path: &[u8], content: &mut impl Read, buffer: &mut [u8]) -> Result<Sum> {
    let mut summing = Summing::default();
    loop {
        match content.read(buffer) {
            Ok(0) => return Ok(summing.finish()),
            Ok(count) => summing.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(format!("cannot read `{}`", text::bytes(path)), error)),
        }
    }
}

fn size(member: &Member<'_>, range: Range<usize>) -> u64 {
    member.image.manifest.value.layers[range].iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
}
