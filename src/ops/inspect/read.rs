//! Reading documents into the tree.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Run;
use crate::ops::verify::Code;
use crate::spec::annotation::{ATTESTATION_MANIFEST, DOCKER_REFERENCE_DIGEST, DOCKER_REFERENCE_TYPE};
use crate::spec::{Descriptor, DiffId, History, ImageConfig, ImageIndex, ImageManifest, Kind, Node, limits, links, shape};
use crate::store::Source;

use super::{Body, ConfigReport, Content, DocumentReport, Form, LayerReport, Problem, Settings};

/// The artifact type of BuildKit's attestations in their newer form.
const ATTESTATION_TYPE: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// Digest, size and media type: another size or type under one digest is another claim.
type Claim = (String, u64, String);

/// Reads documents, each once.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    run: &'a Run,
    seen: HashSet<Claim>,
    configs: HashMap<Claim, Configured>,
}

/// What is kept of a config for the manifests that name it again.
#[derive(Clone, Default)]
struct Configured {
    platform: Option<String>,
    diff_ids: Vec<DiffId>,
    problem: Option<Problem>,
}

/// What a config gives to the layers of one manifest.
#[derive(Default)]
struct Told {
    platform: Option<String>,
    diff_ids: Vec<DiffId>,
    steps: Vec<History>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source, run: &'a Run) -> Self {
        Reader { source, run, seen: HashSet::new(), configs: HashMap::new() }
    }

    /// The document that `descriptor` names, below `nesting` indexes. Fails only when it is interrupted.
    pub(super) fn document(&mut self, descriptor: &Descriptor, nesting: usize) -> Result<DocumentReport> {
        self.run.cancel.check()?;
        let mut report = new_report(descriptor);
        if !Node::manifest(descriptor.clone()).is_document() {
            report.content.problem = self.look(descriptor)?;
            return Ok(report);
        }
        if !self.seen.insert(claim(descriptor)) {
            report.repeated = true;
            return Ok(report);
        }
        let nesting = nesting + usize::from(report.form == Form::Index);
        if nesting > limits::INDEX_DEPTH {
            let message = format!("indexes are nested more than {} deep; what lies below is not looked at", limits::INDEX_DEPTH);
            report.content.problem = Some(Problem { code: Code::NestingTooDeep, message });
            return Ok(report);
        }
        match self.bytes(descriptor, limits::MANIFEST_BYTES)? {
            Ok(bytes) => self.parse(descriptor, &bytes, nesting, &mut report)?,
            Err(problem) => report.content.problem = Some(problem),
        }
        Ok(report)
    }

    fn parse(&mut self, descriptor: &Descriptor, bytes: &[u8], nesting: usize, report: &mut DocumentReport) -> Result<()> {
        let refused = |error: Error| Some(Problem::new(Code::of_document(&error), &error));
        match Kind::of(&descriptor.media_type) {
            Kind::Index => match shape::index(descriptor, bytes) {
                Ok(index) => self.index(index, nesting, report)?,
                Err(error) => report.content.problem = refused(error),
            },
            Kind::Manifest => match shape::manifest(descriptor, bytes) {
                Ok(manifest) => self.manifest(manifest, report)?,
                Err(error) => report.content.problem = refused(error),
            },
            _ => report.content.problem = links::children(descriptor, bytes).err().and_then(refused),
        }
        Ok(())
    }

    fn index(&mut self, index: ImageIndex, nesting: usize, report: &mut DocumentReport) -> Result<()> {
        report.artifact_type = index.artifact_type;
        report.annotations = index.annotations;
        report.subject = self.subject(index.subject.as_ref())?;
        let manifests = index.manifests.iter().map(|child| self.document(child, nesting)).collect::<Result<_>>()?;
        report.body = Body::Index { manifests };
        Ok(())
    }

    fn manifest(&mut self, manifest: ImageManifest, report: &mut DocumentReport) -> Result<()> {
        let (config, told) = self.config(&manifest)?;
        report.platform = report.platform.take().or(told.platform);
        report.artifact_type = artifact_type(&manifest);
        if report.form != Form::Attestation {
            report.form = match report.artifact_type.as_deref() {
                Some(ATTESTATION_TYPE) => Form::Attestation,
                Some(_) => Form::Artifact,
                None => Form::Manifest,
            };
        }
        report.annotations = manifest.annotations;
        report.subject = self.subject(manifest.subject.as_ref())?;
        if report.form == Form::Attestation && report.about.is_none() {
            report.about = manifest.subject.map(|subject| subject.digest);
        }
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for (position, layer) in manifest.layers.iter().enumerate() {
            layers.push(self.layer(layer, told.diff_ids.get(position), told.steps.get(position))?);
        }
        report.body = Body::Manifest { config: Box::new(config), layers };
        Ok(())
    }

    fn subject(&self, subject: Option<&Descriptor>) -> Result<Option<Content>> {
        subject.map(|subject| Ok(Content { problem: self.look(subject)?, ..Content::of(subject) })).transpose()
    }

    fn layer(&self, layer: &Descriptor, diff_id: Option<&DiffId>, step: Option<&History>) -> Result<LayerReport> {
        Ok(LayerReport {
            content: Content { problem: self.look(layer)?, ..Content::of(layer) },
            annotations: layer.annotations.clone(),
            diff_id: diff_id.cloned(),
            created_by: step.and_then(|step| step.created_by.clone()),
            comment: step.and_then(|step| step.comment.clone()),
            used_by: 0,
        })
    }

    /// The config of a manifest, with what it says of the layers. What was read before is not told again: a large config under many manifests must not
    /// make a larger report.
    fn config(&mut self, manifest: &ImageManifest) -> Result<(ConfigReport, Told)> {
        let descriptor = &manifest.config;
        let mut report = ConfigReport { content: Content::of(descriptor), repeated: false, settings: None };
        if Kind::of(&descriptor.media_type) != Kind::Config {
            report.content.problem = self.look(descriptor)?;
            return Ok((report, Told::default()));
        }
        let claim = claim(descriptor);
        report.repeated = self.configs.contains_key(&claim);
        let mut steps = Vec::new();
        if !report.repeated {
            let (configured, settings) = self.read_config(descriptor)?;
            if let Some(settings) = &settings {
                steps = settings.history.iter().filter(|step| !step.empty_layer).cloned().collect();
            }
            report.settings = settings;
            self.configs.insert(claim.clone(), configured);
        }
        let Configured { platform, mut diff_ids, mut problem } = self.configs.get(&claim).cloned().unwrap_or_default();
        let layers = manifest.layers.len();
        if problem.is_none() && diff_ids.len() != layers && is_image(manifest) {
            let message = format!("the manifest has {layers} layers, but the image config has {} diff IDs", diff_ids.len());
            problem = Some(Problem { code: Code::DiffIdCount, message });
        }
        if diff_ids.len() != layers {
            diff_ids.clear();
        }
        if steps.len() != layers {
            steps.clear();
        }
        report.content.problem = problem;
        Ok((report, Told { platform, diff_ids, steps }))
    }

    fn read_config(&self, descriptor: &Descriptor) -> Result<(Configured, Option<Settings>)> {
        let bytes = match self.bytes(descriptor, limits::CONFIG_BYTES)? {
            Ok(bytes) => bytes,
            Err(problem) => return Ok((Configured { problem: Some(problem), ..Configured::default() }, None)),
        };
        let config = match ImageConfig::parse(&bytes, limits::CONFIG_BYTES) {
            Ok(config) => config,
            Err(error) => {
                let problem = Some(Problem::new(Code::of_document(&error), &error));
                return Ok((Configured { problem, ..Configured::default() }, None));
            }
        };
        // Signatures have configs that say nothing; whether that is wrong depends on the manifest.
        let platform = config.platform().ok().map(|platform| platform.to_string());
        let configured = Configured { platform: platform.clone(), diff_ids: config.diff_ids().unwrap_or_default(), problem: None };
        Ok((configured, Some(settings(&config, platform))))
    }

    /// The verified bytes of a document, or why there are none.
    fn bytes(&self, descriptor: &Descriptor, limit: usize) -> Result<Result<Vec<u8>, Problem>> {
        match self.source.read(descriptor, limit) {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let code = if descriptor.size > limit as u64 { Code::DocumentInvalid } else { Code::of_content(&error) };
                Ok(Err(Problem::new(code, &error)))
            }
        }
    }

    /// Whether content is there with the right size; its bytes are not read.
    fn look(&self, descriptor: &Descriptor) -> Result<Option<Problem>> {
        match self.source.open(descriptor) {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => Ok(Some(Problem::new(Code::of_content(&error), &error))),
        }
    }
}

fn claim(descriptor: &Descriptor) -> Claim {
    (descriptor.digest.to_string(), descriptor.size, descriptor.media_type.to_string())
}

/// What the descriptor alone says.
fn new_report(descriptor: &Descriptor) -> DocumentReport {
    let attests = descriptor.annotation(DOCKER_REFERENCE_TYPE) == Some(ATTESTATION_MANIFEST);
    let form = match Kind::of(&descriptor.media_type) {
        Kind::Index => Form::Index,
        Kind::Manifest if attests => Form::Attestation,
        Kind::Manifest if descriptor.artifact_type.is_some() => Form::Artifact,
        Kind::Manifest => Form::Manifest,
        _ => Form::Other,
    };
    let about = descriptor.annotation(DOCKER_REFERENCE_DIGEST).filter(|_| attests).and_then(|digest| digest.parse().ok());
    DocumentReport {
        form,
        content: Content::of(descriptor),
        // An attestation runs nowhere, and says so in the place of a platform.
        platform: descriptor.platform.as_ref().filter(|platform| !platform.is_attestation()).map(ToString::to_string),
        artifact_type: descriptor.artifact_type.clone(),
        annotations: Default::default(),
        descriptor_annotations: descriptor.annotations.clone(),
        subject: None,
        about,
        repeated: false,
        referrers: Vec::new(),
        body: Body::Leaf {},
    }
}

/// What kind of artifact a manifest is: by its own word, else by its config, which is that of an image only for images. image-spec, manifest.md
/// "Guidelines for Artifact Usage".
pub(super) fn artifact_type(manifest: &ImageManifest) -> Option<String> {
    let by_config = || (Kind::of(&manifest.config.media_type) != Kind::Config).then(|| manifest.config.media_type.to_string());
    manifest.artifact_type.clone().or_else(by_config)
}

/// Whether all parts of a manifest are layers. Signatures borrow the form of an image.
fn is_image(manifest: &ImageManifest) -> bool {
    manifest.layers.iter().all(|layer| matches!(Kind::of(&layer.media_type), Kind::Layer(_)))
}

fn settings(config: &ImageConfig, platform: Option<String>) -> Settings {
    Settings {
        platform,
        created: config.created().map(Into::into),
        author: config.author().map(Into::into),
        entrypoint: config.entrypoint(),
        cmd: config.cmd(),
        env: config.env(),
        user: config.user().to_owned(),
        working_dir: config.working_dir().to_owned(),
        stop_signal: config.stop_signal().to_owned(),
        exposed_ports: config.exposed_ports(),
        volumes: config.volumes(),
        labels: config.labels(),
        history: config.history(),
    }
}
