//! Several layers as one: what is unpacked stays what it was.
//!
//! ```text
//! layers --apply, in memory--> survey: what is there, and which entry of which layer said so
//! layers --read again--> the entries that count, as they come, behind directories and whiteouts --> one layer
//! ```
//!
//! Layers are read twice, so that nothing but names is kept: neither memory nor disk grows with content, and the only thing written is the layer itself. What
//! the layers below say counts too: a path that leads through a link of theirs becomes the path that it means, and what they have that is to be gone is hidden.
//!
//! The order is that of the layers and of nothing else: first, directory after directory, attributes and whiteouts; then files, links and devices in the order in which the
//! layers have them, each with its further names behind it. Two rules more decide bytes: a directory of a lower layer that loses two entries or more, and with them all it had,
//! becomes opaque, else each is hidden by itself; and a file whose first name was that of a lower layer and goes is carried again.
//!
//! image-spec, layer.md. Relies on [`apply`](super::apply) for the rules of layers.

mod entries;
mod survey;
#[cfg(test)]
mod tests;

use super::builder::{self, Layer};
use super::codec::Codec;
use super::stack::Stack;
use super::times::Times;
use crate::error::Result;
use crate::exec::Run;
use crate::store::BlobWriter;

use entries::Squashed;
use survey::Survey;

/// Writes the layers of `stack` from position `first` on as one layer. Those below `first` stay what they are and are only read.
///
/// Kinds: those of [`Stack::read`]; `corrupt` for layers that make no sense; `unsupported` beyond limits. The layer then never appears.
pub fn squash(run: &Run, label: &str, stack: &Stack<'_>, first: usize, times: Times, codec: Codec, writer: BlobWriter) -> Result<Layer> {
    let survey = {
        let task = run.events.start(format!("{label}: look"), Some(stack.size()));
        Survey::take(run, stack, first, &task)?
    };
    let task = run.events.start(label, Some(survey.size(stack)));
    builder::write(run, Squashed::new(run, stack, &survey, &task, times), codec, None, None, writer)
}
