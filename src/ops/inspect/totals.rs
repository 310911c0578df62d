//! How much a report is, and what of it several manifests share.

use std::collections::{BTreeSet, HashMap};

use crate::spec::Digest;

use super::{Body, Content, Form, InspectReport, Totals};

/// Counts everything in the report, and tells each layer how many manifests have it.
pub(super) fn count(report: &mut InspectReport) {
    let mut totals = Totals::default();
    let mut once: HashMap<Digest, u64> = HashMap::new();
    let mut users: HashMap<Digest, usize> = HashMap::new();
    let mut layers_once = BTreeSet::new();
    let mut add = |totals: &mut Totals, content: &Content| {
        totals.bytes = totals.bytes.saturating_add(content.size);
        once.insert(content.digest.clone(), content.size);
    };
    for document in report.documents() {
        add(&mut totals, &document.content);
        let Body::Manifest { config, layers } = &document.body else { continue };
        add(&mut totals, &config.content);
        for layer in layers {
            add(&mut totals, &layer.content);
        }
        let own: BTreeSet<&Digest> = layers.iter().map(|layer| &layer.content.digest).collect();
        for digest in &own {
            *users.entry((*digest).clone()).or_default() += 1;
        }
        if document.form == Form::Manifest {
            totals.manifests += 1;
            totals.layers += layers.len();
            layers_once.extend(own.into_iter().cloned());
        }
    }
    totals.unique_layers = layers_once.len();
    totals.unique_bytes = once.values().fold(0, |sum, size| sum.saturating_add(*size));
    report.totals = totals;
    report.change_documents(|document| {
        if let Body::Manifest { layers, .. } = &mut document.body {
            for layer in layers {
                layer.used_by = users.get(&layer.content.digest).copied().unwrap_or_default();
            }
        }
    });
}
