//! The image as it is: its indexes, and the manifests and configs of the platforms that are edited.
//!
//! Each document is read once, however many ways lead to it. Only what may change is read: an image for another platform need not even be there.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Result};
use crate::exec::Run;
use crate::spec::document::Body;
use crate::spec::{Descriptor, DiffId, Digest, Document, ImageConfig, ImageIndex, ImageManifest, Kind, Platform, annotation, limits, media_type, text};
use crate::store::Source;

/// What a name stands on.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    root: usize,
}

/// A document that may change.
#[derive(Debug)]
pub(super) enum Node {
    Index(Box<Index>),
    Image(Box<Image>),
}

/// An index, and what becomes of each of its entries.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) document: Document<ImageIndex>,
    pub(super) children: Vec<Child>,
    /// How many indexes stand above each other, this one included.
    height: usize,
}

/// An image for one platform.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) manifest: Document<ImageManifest>,
    pub(super) config: Document<ImageConfig>,
    /// What the index says that it runs on, else what the config says.
    pub(super) platform: Platform,
    /// One for each layer.
    pub(super) diff_ids: Vec<DiffId>,
}

/// What an entry of an index is to an edit.
#[derive(Clone, Debug)]
pub(super) enum Child {
    /// A document that may change, by its position.
    Node(usize),
    /// It stays as it is.
    Left(Left),
}

/// An entry that stays as it is, or goes.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) why: Why,
    /// The manifest that it tells of. Where that changes, it tells of something that is no longer there.
    pub(super) attached_to: Option<Digest>,
}

/// Why an entry is not edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    OtherPlatform,
    Attestation,
    Artifact,
    Unknown,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Why::OtherPlatform => "another platform",
            Why::Attestation => "attestation",
            Why::Artifact => "artifact",
            Why::Unknown => "unknown media type",
        }
    }
}

impl Tree {
    /// Reads what `root` leads to. Kinds: `corrupt`; `not_found` for a platform that it lacks or a document that is missing; `unsupported` where there is no
    /// image.
    pub(super) fn read(run: &Run, source: &dyn Source, root: &Descriptor, wanted: &[Platform]) -> Result<Tree> {
        let mut reader = Reader { run, source, wanted, nodes: Vec::new(), known: HashMap::new(), met: vec![false; wanted.len()], seen: BTreeSet::new() };
        let found = reader.child(root, 0)?;
        reader.check_wanted()?;
        match found {
            Child::Node(root) if reader.nodes.iter().any(|node| matches!(node, Node::Image(_))) => Ok(Tree { nodes: reader.nodes, root }),
            _ => Err(Error::unsupported(format!("{} is no image: there is no image config to be found", root.digest))
                .subject(&root.digest)
                .hint("artifacts are not edited; make a new one with the tool that they are for")),
        }
    }

    /// The position of what the name stands on.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    pub(super) fn node(&self, position: usize) -> &Node {
        &self.nodes[position]
    }

    /// The image at a position that [`images`](Self::images) gave.
    pub(super) fn image(&self, position: usize) -> &Image {
        match &self.nodes[position] {
            Node::Image(image) => image,
            Node::Index(_) => unreachable!("positions of images are those of images"),
        }
    }

    /// The images to edit, in the order of the indexes.
    pub(super) fn images(&self) -> impl Iterator<Item = (usize, &Image)> {
        self.nodes.iter().enumerate().filter_map(|(position, node)| match node {
            Node::Image(image) => Some((position, &**image)),
            Node::Index(_) => None,
        })
    }

    /// The entries of indexes that lead to the images.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (&Descriptor, &Image)> {
        self.entries().filter_map(|(entry, child)| match child {
            Child::Node(position) => match &self.nodes[*position] {
                Node::Image(image) => Some((entry, &**image)),
                Node::Index(_) => None,
            },
            Child::Left(_) => None,
        })
    }

    /// The entries that stay as they are, with what they are, each once.
    pub(super) fn left(&self) -> Vec<(&Descriptor, &Left)> {
        let mut seen = BTreeSet::new();
        let left = self.entries().filter_map(|(entry, child)| if let Child::Left(left) = child { Some((entry, left)) } else { None });
        left.filter(|(entry, _)| seen.insert(&entry.digest)).collect()
    }

    fn entries(&self) -> impl Iterator<Item = (&Descriptor, &Child)> {
        let indexes = self.nodes.iter().filter_map(|node| if let Node::Index(index) = node { Some(index) } else { None });
        indexes.flat_map(|index| index.document.value.manifests.iter().zip(&index.children))
    }
}

/// The way to a document counts as far as it says what the document is.
type Key = (Digest, String, String);

struct Reader<'a> {
    run: &'a Run,
    source: &'a dyn Source,
    wanted: &'a [Platform],
    nodes: Vec<Node>,
    known: HashMap<Key, Child>,
    /// Which of the wanted platforms there are.
    met: Vec<bool>,
    /// The platforms there are.
    seen: BTreeSet<String>,
}

impl Reader<'_> {
    fn child(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Child> {
        self.run.cancel.check()?;
        let platform = descriptor.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = (descriptor.digest.clone(), descriptor.media_type.to_string(), platform);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let child = match Kind::of(&descriptor.media_type) {
            Kind::Index => self.index(descriptor, depth + 1)?,
            Kind::Manifest => self.manifest(descriptor)?,
            _ if media_type::is_schema_1(&descriptor.media_type) => self.manifest(descriptor)?,
            _ => Child::Left(Left { why: Why::Unknown, attached_to: None }),
        };
        self.known.insert(key, child.clone());
        Ok(child)
    }

    fn index(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Child> {
        check_depth(depth)?;
        let document: Document<ImageIndex> = self.document(descriptor, limits::MANIFEST_BYTES)?;
        let children = document.value.manifests.iter().map(|child| self.child(child, depth)).collect::<Result<Vec<_>>>()?;
        // One that was read before on a shorter way may stand on a longer one too.
        let below = children.iter().map(|child| match child {
            Child::Node(position) => match &self.nodes[*position] {
                Node::Index(index) => index.height,
                Node::Image(_) => 0,
            },
            Child::Left(_) => 0,
        });
        let height = 1 + below.max().unwrap_or(0);
        check_depth(height)?;
        Ok(self.add(Node::Index(Box::new(Index { document, children, height }))))
    }

    fn manifest(&mut self, descriptor: &Descriptor) -> Result<Child> {
        if let Some(digest) = descriptor.annotation(annotation::DOCKER_REFERENCE_DIGEST) {
            return Ok(Child::Left(Left { why: Why::Attestation, attached_to: Some(digest.parse()?) }));
        }
        if let Some(platform) = &descriptor.platform
            && !platform.is_attestation()
            && !self.wants(platform)
        {
            return Ok(Child::Left(Left { why: Why::OtherPlatform, attached_to: None }));
        }
        let manifest: Document<ImageManifest> = self.document(descriptor, limits::MANIFEST_BYTES)?;
        if !is_image(&manifest.value) {
            return Ok(Child::Left(Left { why: Why::Artifact, attached_to: manifest.value.subject.map(|subject| subject.digest) }));
        }
        let config: Document<ImageConfig> = self.document(&manifest.value.config, limits::CONFIG_BYTES)?;
        let platform = match &descriptor.platform {
            Some(platform) => platform.clone(),
            None => {
                let platform = config.value.platform()?;
                if !self.wants(&platform) {
                    return Ok(Child::Left(Left { why: Why::OtherPlatform, attached_to: None }));
                }
                platform
            }
        };
        let diff_ids = config.value.diff_ids_for(manifest.value.layers.len()).map_err(|error| error.subject(&descriptor.digest))?;
        Ok(self.add(Node::Image(Box::new(Image { manifest, config, platform, diff_ids }))))
    }

    fn document<T: Body>(&self, descriptor: &Descriptor, limit: usize) -> Result<Document<T>> {
        let bytes = self.source.read(descriptor, limit).map_err(|error| match error.kind() {
            crate::ErrorKind::NotFound => error.hint("an image that was copied for some platforms only lacks the others; say which with --platform"),
            _ => error,
        })?;
        Document::parse(descriptor.clone(), bytes, limit)
    }

    fn add(&mut self, node: Node) -> Child {
        self.nodes.push(node);
        Child::Node(self.nodes.len() - 1)
    }

    fn wants(&mut self, platform: &Platform) -> bool {
        self.seen.insert(platform.to_string());
        let mut wants = self.wanted.is_empty();
        for (wanted, met) in self.wanted.iter().zip(&mut self.met) {
            if is_meant(wanted, platform) {
                *met = true;
                wants = true;
            }
        }
        wants
    }

    fn check_wanted(&self) -> Result<()> {
        let Some(missing) = self.wanted.iter().zip(&self.met).find(|(_, met)| !**met).map(|(wanted, _)| wanted) else { return Ok(()) };
        let error = Error::not_found(format!("there is no image for {missing}")).subject(missing);
        let seen: Vec<&str> = self.seen.iter().map(String::as_str).collect();
        Err(if seen.is_empty() { error } else { error.hint(format!("there is {}", text::shown(&seen.join(", ")))) })
    }
}

fn check_depth(depth: usize) -> Result<()> {
    match depth > limits::INDEX_DEPTH {
        true => Err(Error::corrupt(format!("indexes are nested more than {} deep", limits::INDEX_DEPTH))),
        false => Ok(()),
    }
}

/// Signatures, attestations and other artifacts borrow the form of an image.
fn is_image(manifest: &ImageManifest) -> bool {
    Kind::of(&manifest.config.media_type) == Kind::Config && manifest.layers.iter().all(|layer| matches!(Kind::of(&layer.media_type), Kind::Layer(_)))
}

/// Whether `own` is the platform that a person calls `wanted`, who need not say a version or features.
pub(super) fn is_meant(wanted: &Platform, own: &Platform) -> bool {
    let (wanted, own) = (wanted.normalized(), own.normalized());
    let version = wanted.os_version.is_none() || wanted.os_version == own.os_version;
    let features = wanted.os_features.iter().all(|feature| own.os_features.contains(feature));
    (&wanted.os, &wanted.architecture, &wanted.variant) == (&own.os, &own.architecture, &own.variant) && version && features
}
