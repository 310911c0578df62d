//! What the entries lead to: each piece of content once, with the way there that was found first.

use std::collections::{BTreeSet, HashMap};

use crate::spec::{Descriptor, Digest, ImageName, Kind, Node};

/// All content that was reached, in the order in which it was reached.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Reached>,
    /// Another size or media type under one digest is another claim, which must be checked too.
    known: HashMap<(Digest, u64, String, Form), usize>,
}

/// One piece of content.
#[derive(Debug)]
struct Reached {
    descriptor: Descriptor,
    form: Form,
    from: From,
    /// The other ways there.
    also_from: Vec<From>,
    /// How many indexes lead to here, this one included.
    nesting: usize,
}

/// How content is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// As a manifest or index, whose children are reached too.
    Document,
    /// As bytes.
    Leaf,
}

#[derive(Debug)]
enum From {
    Entry(Option<String>),
    Document(usize),
}

impl Graph {
    /// Takes in the entries of a layout. Returns the positions of the documents to read.
    pub(super) fn enter(&mut self, entries: Vec<Descriptor>) -> Vec<usize> {
        let mut documents = Vec::new();
        for entry in entries {
            let name = ImageName::of(&entry).map(|name| name.as_str().to_owned());
            let (position, new) = self.reach(Node::manifest(entry), From::Entry(name));
            if new && self.form(position) == Form::Document {
                documents.push(position);
            }
        }
        documents
    }

    /// Takes in one child of the document at `parent`. Returns its position, and whether it is new.
    pub(super) fn follow(&mut self, node: Node, parent: usize) -> (usize, bool) {
        self.reach(node, From::Document(parent))
    }

    fn reach(&mut self, node: Node, from: From) -> (usize, bool) {
        let form = if node.is_document() { Form::Document } else { Form::Leaf };
        let descriptor = node.descriptor;
        let next = self.nodes.len();
        let claim = (descriptor.digest.clone(), descriptor.size, descriptor.media_type.to_string(), form);
        let position = *self.known.entry(claim).or_insert(next);
        if position == next {
            let above = if let From::Document(parent) = from { self.nodes[parent].nesting } else { 0 };
            let nesting = above + usize::from(form == Form::Document && Kind::of(&descriptor.media_type) == Kind::Index);
            self.nodes.push(Reached { descriptor, form, from, also_from: Vec::new(), nesting });
        } else {
            self.nodes[position].also_from.push(from);
        }
        (position, position == next)
    }

    pub(super) fn descriptor(&self, position: usize) -> &Descriptor {
        &self.nodes[position].descriptor
    }

    pub(super) fn form(&self, position: usize) -> Form {
        self.nodes[position].form
    }

    pub(super) fn nesting(&self, position: usize) -> usize {
        self.nodes[position].nesting
    }

    pub(super) fn positions(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    /// The name of the entry and the digests of the documents that lead to the content at `position`.
    pub(super) fn chain(&self, position: usize) -> Vec<String> {
        let mut chain = Vec::new();
        let mut from = &self.nodes[position].from;
        loop {
            match from {
                From::Document(parent) => {
                    let parent = &self.nodes[*parent];
                    chain.push(parent.descriptor.digest.to_string());
                    from = &parent.from;
                }
                From::Entry(name) => {
                    chain.extend(name.clone());
                    chain.reverse();
                    return chain;
                }
            }
        }
    }

    /// The names of all entries that lead to one of these positions, in the order of the entries.
    pub(super) fn names_above(&self, positions: impl Iterator<Item = usize>) -> Vec<String> {
        let mut pending: Vec<usize> = positions.filter(|position| *position < self.nodes.len()).collect();
        let mut seen: BTreeSet<usize> = pending.iter().copied().collect();
        while let Some(position) = pending.pop() {
            let node = &self.nodes[position];
            for from in std::iter::once(&node.from).chain(&node.also_from) {
                if let From::Document(parent) = from
                    && seen.insert(*parent)
                {
                    pending.push(*parent);
                }
            }
        }
        let ways = seen.into_iter().flat_map(|position| std::iter::once(&self.nodes[position].from).chain(&self.nodes[position].also_from));
        let mut names: Vec<String> = Vec::new();
        for way in ways {
            if let From::Entry(Some(name)) = way
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }

    /// The chain of what the document at `position` names.
    pub(super) fn chain_below(&self, position: usize) -> Vec<String> {
        let mut chain = self.chain(position);
        chain.push(self.nodes[position].descriptor.digest.to_string());
        chain
    }

    /// All digests that were reached.
    pub(super) fn digests(&self) -> BTreeSet<&Digest> {
        self.nodes.iter().map(|node| &node.descriptor.digest).collect()
    }
}
