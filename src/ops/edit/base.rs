//! The images that an image stands on and is to stand on.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::image::{Choice, Image as Found};
use crate::graph::{find, lost};
use crate::spec::{Annotations, Descriptor, DiffId, Digest, ImageConfig, ImageName, Platform, Selector, annotation, text};
use crate::store::layout::{Layout, Options};
use crate::store::transport::{self, LAYOUT};
use crate::store::{Location, Source};

use super::changes::{LayerChanges, SquashFrom};
use super::stack::Stack;
use super::tree::{Image, Node, Tree};

/// A base for one platform.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Its manifest.
    pub(super) digest: Digest,
    /// What its name stands on: the index that it is in, or the manifest.
    pub(super) root: Digest,
    /// Its name, where it has one, without any path of this machine.
    pub(super) name: Option<String>,
    pub(super) layers: Vec<Descriptor>,
    pub(super) diff_ids: Vec<DiffId>,
    pub(super) config: ImageConfig,
}

impl Base {
    /// Its steps.
    pub(super) fn stack(&self) -> Stack {
        Stack::of_base(&self.layers, &self.diff_ids, &self.config)
    }
}

/// Where bases are.
pub(super) struct Bases {
    new: Option<Opened>,
    old: Option<Opened>,
    /// Whether what annotations say counts where no old base was named.
    looks: Looks,
}

/// When an old base is looked for that was not named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Always,
    Never,
}

/// A store with a base.
struct Opened {
    store: Store,
    root: Descriptor,
    location: Location,
}

enum Store {
    Layout(Layout),
    Other(Box<dyn Source>),
}

impl Store {
    fn open(location: &Location, options: &Options) -> Result<Store> {
        match transport::of(location)?.scheme() == LAYOUT {
            true => Layout::open(location.path(), options.clone()).map(Store::Layout),
            false => transport::source(location, options).map(Store::Other),
        }
    }

    fn source(&self) -> &dyn Source {
        match self {
            Store::Layout(layout) => layout,
            Store::Other(source) => &**source,
        }
    }
}

impl Opened {
    fn open(location: &Location, options: &Options) -> Result<Opened> {
        let cannot = |error: Error| error.context(format!("cannot use the base {location}"));
        let store = Store::open(location, options).map_err(cannot)?;
        let source = store.source();
        let index = source.index().map_err(cannot)?;
        // A digest may be that of an image whose name stands on another one by now.
        let root = match find::select(source, &index, location.selector()) {
            Err(error) if error.kind() == ErrorKind::NotFound => nameless(&store, location.selector())?.ok_or(error),
            found => found,
        };
        let root = root.map_err(cannot)?;
        Ok(Opened { store, root, location: location.clone() })
    }

    fn base(&self, platform: &Platform) -> Result<Base> {
        base(self.store.source(), &self.root, platform).map_err(|error| error.context(format!("cannot use the base {}", self.location)))
    }
}

impl Bases {
    /// Opens what the changes name.
    pub(super) fn open(changes: &LayerChanges, options: &Options) -> Result<Bases> {
        changes.check()?;
        let open = |location: &Option<Location>| location.as_ref().map(|location| Opened::open(location, options)).transpose();
        let looks = if changes.rebase.is_some() || changes.squash == Some(SquashFrom::Base) { Looks::Always } else { Looks::Never };
        Ok(Bases { new: open(&changes.rebase)?, old: open(&changes.old_base)?, looks })
    }

    /// The base that an image is to stand on.
    pub(super) fn new_for(&self, image: &Image) -> Result<Option<Base>> {
        self.new.as_ref().map(|new| new.base(&image.platform)).transpose()
    }

    /// Where the content of new bases is.
    pub(super) fn source(&self) -> Option<&dyn Source> {
        self.new.as_ref().map(|new| new.store.source())
    }

    /// The base that an image stands on: the one that was named, or where one is needed that annotations say. The image has its layers.
    ///
    /// Kinds: `usage` where nothing says which it is, and for one that the image does not stand on; `not_found` where it is nowhere to be found.
    pub(super) fn old_for(&self, layout: &Layout, tree: &Tree, image: &Image) -> Result<Option<Base>> {
        let base = match &self.old {
            Some(old) => old.base(&image.platform)?,
            None if self.looks == Looks::Never => return Ok(None),
            None => self.annotated(layout, tree, image)?,
        };
        check(image, &base)?;
        Ok(Some(base))
    }

    fn annotated(&self, layout: &Layout, tree: &Tree, image: &Image) -> Result<Base> {
        const SAY_IT: &str = "say which it is: --old-base LOCATION";
        let noted = noted(tree, image);
        let (digest, name) = (noted.get(annotation::BASE_DIGEST), noted.get(annotation::BASE_NAME));
        let selector = match (digest, name) {
            (Some(digest), _) => Selector::Digest(digest.parse().map_err(|error: Error| error.context("cannot use the annotation of the base").hint(SAY_IT))?),
            (None, Some(name)) => Selector::Name(name.to_owned()),
            (None, None) => return Err(Error::usage("no annotation says what the image is based on").hint(SAY_IT)),
        };
        let own = Store::Layout(layout.clone());
        let stores = std::iter::once(&own).chain(self.new.iter().map(|new| &new.store));
        let mut places = Vec::new();
        for store in stores {
            let found = match &selector {
                Selector::Name(name) => called(store, name),
                selector => find::select(store.source(), &store.source().index()?, selector),
            };
            let found = match found {
                Err(error) if error.kind() == ErrorKind::NotFound => nameless(store, &selector)?,
                found => Some(found.map_err(|error| error.context("cannot find the base that the annotations say").hint(SAY_IT))?),
            };
            match found {
                Some(root) => return base(store.source(), &root, &image.platform),
                None => places.push(store.source().location()),
            }
        }
        places.dedup();
        let shown = match &selector {
            Selector::Digest(digest) => digest.to_string(),
            _ => name.map(|name| text::shown(name).into_owned()).unwrap_or_default(),
        };
        Err(Error::not_found(format!("the base {shown}, which the annotations say, is not in {}", places.join(" nor in "))).subject(shown).hint(SAY_IT))
    }
}

/// What is noted of the base: on the manifest, on what points to it, or on the index.
fn noted<'a>(tree: &'a Tree, image: &'a Image) -> &'a Annotations {
    let has = |annotations: &&Annotations| annotations.contains_key(annotation::BASE_DIGEST) || annotations.contains_key(annotation::BASE_NAME);
    let manifest = &image.manifest.value.annotations;
    let pointers = tree.pointers().filter(|(_, other)| std::ptr::eq(*other, image)).map(|(pointer, _)| &pointer.annotations);
    let index = match tree.node(tree.root()) {
        Node::Index(index) => Some(&index.document.value.annotations),
        Node::Image(_) => None,
    };
    std::iter::once(manifest).chain(pointers).chain(index).find(has).unwrap_or(manifest)
}

fn base(source: &dyn Source, root: &Descriptor, platform: &Platform) -> Result<Base> {
    let found = Found::find(source, root, &Choice::For(platform.clone()))?;
    let name = ImageName::of(root).map(|name| name.as_str().to_owned());
    let Found { manifest, config, diff_ids, .. } = found;
    Ok(Base { digest: manifest.descriptor.digest, root: root.digest.clone(), name, layers: manifest.value.layers, diff_ids, config })
}

/// The entry with exactly this name. A tag alone that happens to be the same is another name: it may well be that of the image itself.
fn called(store: &Store, wanted: &str) -> Result<Descriptor> {
    let index = store.source().index()?;
    let reference = ImageName::parse_reference(wanted).ok().and_then(|name| name.reference());
    let is_it = |name: &ImageName| name.as_str() == wanted || (name.image().is_some() && name.reference() == reference);
    let hits: Vec<&Descriptor> = index.manifests.iter().filter(|entry| ImageName::of(entry).is_some_and(|name| is_it(&name))).collect();
    let selector = Selector::Name(wanted.to_owned());
    match hits.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other.digest == first.digest) => Ok((*first).clone()),
        Some(_) => Err(selector.ambiguous(&hits)),
        None => Err(selector.absent(&index)),
    }
}

/// The document of a digest that is in a layout though nothing leads to it.
fn nameless(store: &Store, selector: &Selector) -> Result<Option<Descriptor>> {
    match (store, selector) {
        (Store::Layout(layout), Selector::Digest(digest)) => lost::find(layout, digest),
        _ => Ok(None),
    }
}

/// Whether an image stands on a base: its lowest layers are those of the base, by their diff IDs. Kind `usage` where they are not.
fn check(image: &Image, base: &Base) -> Result<()> {
    let mut pairs = (1..).zip(base.diff_ids.iter().zip(image.diff_ids.iter().map(Some).chain(std::iter::repeat(None))));
    let why = match pairs.find(|(_, (base, own))| Some(*base) != *own) {
        None => return Ok(()),
        Some((number, (base, Some(own)))) => format!("layer {number} of the image is {own}, that of the base {base}"),
        Some((number, (base, None))) => format!("the base has a layer {number}, {base}, and the image has not"),
    };
    Err(Error::usage(format!("the image does not stand on the base {}: {why}", base.digest))
        .subject(&base.digest)
        .hint("say the base that it was made on: --old-base LOCATION"))
}
