//! Edits of layouts that are made here, document by document.

mod documents;
mod graph;
mod layers;
mod naming;
mod sample;
