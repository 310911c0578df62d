//! What a root filesystem on the disk does not have of what its layers say.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::spec::text;

/// How many entries of a kind are listed; all are counted.
const LISTED: usize = 100;

/// One thing that an entry does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Its owner or group: it has those that were asked for instead.
    Owner,
    /// Its setuid or setgid bit, which would lend the rights of an owner that the layer does not mean, or is not to lend any.
    Setuid,
    /// Itself: it is a device.
    Device,
    /// An extended attribute of this name.
    Attribute(Box<[u8]>),
}

impl What {
    /// The code of [`What::Owner`].
    pub const OWNER: &str = "owner";
    /// The code of [`What::Setuid`].
    pub const SETUID: &str = "setuid";
    /// The code of [`What::Device`].
    pub const DEVICE: &str = "device";
    /// The code of [`What::Attribute`].
    pub const ATTRIBUTE: &str = "attribute";

    /// The stable code, as reports have it.
    pub fn code(&self) -> &'static str {
        match self {
            What::Owner => What::OWNER,
            What::Setuid => What::SETUID,
            What::Device => What::DEVICE,
            What::Attribute(_) => What::ATTRIBUTE,
        }
    }
}

/// Everything of one kind that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What: `owner`, `setuid`, `device` or `attribute`.
    pub what: &'static str,
    /// How many entries.
    pub count: u64,
    /// The first of them, made safe to show; of an attribute with its name in parentheses.
    pub entries: Vec<String>,
}

/// Sums up what each path lacks, in the order of the paths.
pub(super) fn collect<'a>(all: impl Iterator<Item = (Vec<u8>, &'a [What])>) -> Vec<LeftOut> {
    let mut kinds: BTreeMap<&'static str, LeftOut> = BTreeMap::new();
    for (path, missing) in all {
        for what in missing {
            let kind = kinds.entry(what.code()).or_insert_with(|| LeftOut { what: what.code(), count: 0, entries: Vec::new() });
            kind.count += 1;
            if kind.entries.len() < LISTED {
                let path = if path.is_empty() { b"/".as_slice() } else { &path };
                kind.entries.push(match what {
                    What::Attribute(name) => format!("{} ({})", text::bytes(path), text::bytes(name)),
                    _ => text::bytes(path).into_owned(),
                });
            }
        }
    }
    kinds.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_listed() {
        let paths = (0..150).map(|n| (format!("f{n}").into_bytes(), [What::Owner, What::Attribute(b"user.x".as_slice().into())]));
        let paths: Vec<_> = paths.collect();
        let collected = collect(paths.iter().map(|(path, missing)| (path.clone(), missing.as_slice())));
        let kinds: Vec<_> = collected.iter().map(|kind| (kind.what, kind.count, kind.entries.len(), kind.entries[0].as_str())).collect();
        assert_eq!(kinds, [("attribute", 150, LISTED, "f0 (user.x)"), ("owner", 150, LISTED, "f0")]);
    }
}
