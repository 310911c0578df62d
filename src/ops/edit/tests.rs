//! Edits of layouts that are made here, document by document.

mod convert;
mod documents;
mod graph;
mod layers;
mod naming;
mod rebase;
mod sample;
mod squash;
mod times;
