//! Image configs: each read once, and held against every manifest that names it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::spec::{DiffId, ImageConfig, Kind, limits};

use super::document::Image;
use super::{Code, Outcome, Verifier, finding};

/// What the configs say, and which they are.
#[derive(Debug, Default)]
pub(super) struct Configured {
    /// For each layer that a config says something of: the manifest and the diff ID.
    pub(super) diff_ids: BTreeMap<usize, Vec<(usize, DiffId)>>,
    /// Configs, whose bytes need not be read again.
    pub(super) configs: BTreeSet<usize>,
}

/// What a config says of one layer.
struct Claim {
    layer: usize,
    manifest: usize,
    diff_id: DiffId,
}

impl Verifier<'_> {
    /// Reads the configs of `images`. What an artifact has in the place of a config is content like any other.
    pub(super) fn check_configs(&mut self, images: Vec<Image>) -> Result<Configured> {
        let mut users: BTreeMap<usize, Vec<&Image>> = BTreeMap::new();
        for image in &images {
            if Kind::of(&self.graph.descriptor(image.config).media_type) == Kind::Config {
                users.entry(image.config).or_default().push(image);
            }
        }
        let mut configured = Configured { diff_ids: BTreeMap::new(), configs: users.keys().copied().collect() };
        let checked = self.run.pool.try_map(users.into_iter().collect(), |(config, users)| self.check_config(config, &users))?;
        for (outcome, claims) in checked {
            self.take(outcome);
            for Claim { layer, manifest, diff_id } in claims {
                configured.diff_ids.entry(layer).or_default().push((manifest, diff_id));
            }
        }
        Ok(configured)
    }

    fn check_config(&self, position: usize, users: &[&Image]) -> Result<(Outcome, Vec<Claim>)> {
        self.run.cancel.check()?;
        let (bytes, mut outcome) = self.read_verified(position, limits::CONFIG_BYTES)?;
        let mut claims = Vec::new();
        let Some(bytes) = bytes else { return Ok((outcome, claims)) };
        let config = match ImageConfig::parse(&bytes, limits::CONFIG_BYTES) {
            Ok(config) => config,
            Err(error) => {
                outcome.error(&self.graph, position, Code::of_document(&error), finding::line(&error));
                return Ok((outcome, claims));
            }
        };
        // Signatures and other artifacts borrow the form of an image that runs nowhere.
        let images: Vec<&&Image> = users.iter().filter(|image| self.is_image(image)).collect();
        if images.is_empty() {
            return Ok((outcome, claims));
        }
        for error in [config.platform().err(), config.diff_ids().err()].into_iter().flatten() {
            outcome.error(&self.graph, position, Code::of_document(&error), finding::line(&error));
        }
        for image in images.into_iter().filter(|_| config.diff_ids().is_ok()) {
            match config.diff_ids_for(image.layers.len()) {
                Ok(ids) => {
                    let claim = |(layer, diff_id): (&usize, DiffId)| Claim { layer: *layer, manifest: image.manifest, diff_id };
                    claims.extend(image.layers.iter().zip(ids).map(claim));
                }
                Err(error) => outcome.error(&self.graph, image.manifest, Code::DiffIdCount, finding::line(&error)),
            }
        }
        Ok((outcome, claims))
    }

    fn is_image(&self, image: &Image) -> bool {
        image.layers.iter().all(|layer| matches!(Kind::of(&self.graph.descriptor(*layer).media_type), Kind::Layer(_)))
    }
}
